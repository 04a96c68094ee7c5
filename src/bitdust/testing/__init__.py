"""bitdust.testing: see docs/architecture.md."""

from bitdust.testing.memory_names import MemoryNames as MemoryNames
from bitdust.testing.memory_dht import MemoryDht as MemoryDht
from bitdust.testing.memory_dht import MemoryDhtNetwork as MemoryDhtNetwork
