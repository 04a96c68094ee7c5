"""bitdust.crypto: see docs/architecture.md."""
