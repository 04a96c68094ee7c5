"""bitdust.api: see docs/architecture.md."""
