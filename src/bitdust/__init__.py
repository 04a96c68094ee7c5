"""BitDust: a private peer-to-peer engine.

Files are encrypted, cut into fragments and kept on other people's machines; they come back from
the private key alone. See ``docs/architecture.md`` for the layout of this package.
"""

__version__ = "0.1.0"
