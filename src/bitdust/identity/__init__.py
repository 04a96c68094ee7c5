"""bitdust.identity: see docs/architecture.md."""
