"""bitdust.dht: see docs/architecture.md."""
