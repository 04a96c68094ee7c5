"""bitdust.servers: see docs/architecture.md."""
