"""bitdust.testing: see docs/architecture.md."""
