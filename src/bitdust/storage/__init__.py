"""bitdust.storage: see docs/architecture.md."""
