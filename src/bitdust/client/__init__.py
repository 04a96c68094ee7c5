"""bitdust.client: see docs/architecture.md."""
