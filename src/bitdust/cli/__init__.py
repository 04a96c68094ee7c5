"""bitdust.cli: see docs/architecture.md."""
