"""The command line: local commands, and one command per operation of the registry.

Import from the modules: this package stays empty so that ``bitdust --help`` starts quickly.
"""
