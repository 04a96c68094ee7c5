"""bitdust.testing: see docs/architecture.md."""

from bitdust.testing.memory_names import MemoryNames as MemoryNames
