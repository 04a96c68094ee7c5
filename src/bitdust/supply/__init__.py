"""bitdust.supply: see docs/architecture.md."""
