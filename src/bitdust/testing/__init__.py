"""Test tools that ship with the engine: virtual time, networks, DHT and whole nodes in memory."""

from bitdust.testing.loop import Deadlock as Deadlock
from bitdust.testing.loop import SeededRandom as SeededRandom
from bitdust.testing.loop import VirtualClock as VirtualClock
from bitdust.testing.loop import VirtualLoop as VirtualLoop
from bitdust.testing.loop import run_virtual as run_virtual
from bitdust.testing.memory_dht import MemoryDht as MemoryDht
from bitdust.testing.memory_dht import MemoryDhtNetwork as MemoryDhtNetwork
from bitdust.testing.memory_names import MemoryNames as MemoryNames
from bitdust.testing.memory_network import CutAfter as CutAfter
from bitdust.testing.memory_network import MemoryLink as MemoryLink
from bitdust.testing.memory_network import MemoryNetwork as MemoryNetwork
from bitdust.testing.memory_network import MemoryTransport as MemoryTransport
from bitdust.testing.memory_world import Grid as Grid
from bitdust.testing.memory_world import MemoryWorld as MemoryWorld
