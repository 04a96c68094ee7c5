"""The catalog of a person's files in SQLite, its journal, and the way back from the journal.

All methods are synchronous and meant for a thread pool; docs/spec/catalog.md has the model.
"""
