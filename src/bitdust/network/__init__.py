"""bitdust.network: see docs/architecture.md."""
