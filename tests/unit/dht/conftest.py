"""A memory DHT of some nodes on virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from bitdust.testing import MemoryDht, MemoryDhtNetwork, SeededRandom, VirtualClock


@dataclass
class Cluster:
    """A network, its clock and its started nodes, each at an address of its own."""

    clock: VirtualClock
    memory: MemoryDhtNetwork
    nodes: list[MemoryDht]


class FixedKey:
    """A source of keys without RSA behind it."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        return random.Random(self._name + b"|" + info + b"|" + salt).randbytes(length)


@asynccontextmanager
async def _cluster(count: int = 4) -> AsyncIterator[Cluster]:
    clock = VirtualClock()
    memory = MemoryDhtNetwork(clock)
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(count):
            node = memory.node(SeededRandom(number), host=f"10.0.0.{number + 1}")
            await node.start()
            stack.push_async_callback(node.stop)
            nodes.append(node)
        yield Cluster(clock, memory, nodes)


@pytest.fixture
def cluster() -> Callable[..., AbstractAsyncContextManager[Cluster]]:
    return _cluster


@pytest.fixture
def fixed_key() -> Callable[[bytes], FixedKey]:
    return FixedKey
