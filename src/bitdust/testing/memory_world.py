"""Many whole nodes in one process: network, DHT, name servers and time in memory, disks for real.

def test_three_nodes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await grid.person("alice", suppliers=2)
            ...
    run_virtual(scenario())
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from bitdust.clock import Clock, Random, SystemRandom
from bitdust.config import Settings
from bitdust.dht import Dht
from bitdust.identity import NameClient
from bitdust.network import Transport
from bitdust.node import Node
from bitdust.testing.loop import VirtualClock
from bitdust.testing.memory_dht import MemoryDht, MemoryDhtNetwork
from bitdust.testing.memory_names import MemoryNames
from bitdust.testing.memory_network import MemoryNetwork

P = ParamSpec("P")
T = TypeVar("T")

NAME_SERVER = "names.test"
PORT = 7771


class InlineExecutor(Executor):
    """Does the work at once in the caller's thread, for loops that are not virtual."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as exc:
            future.set_exception(exc)
        return future


class MemoryWorld:
    """The surroundings of one node of a ``Grid``.

    Args:
        grid: what all nodes share.
        host: this node's name in the network.
    """

    def __init__(self, grid: Grid, host: str) -> None:
        self.clock: Clock = grid.clock
        self.random: Random = SystemRandom()
        self.has_udp = False
        self._grid = grid
        self._host = host
        self.node_dht: MemoryDht | None = None

    def pool(self) -> Executor:
        return InlineExecutor() if isinstance(self.clock, VirtualClock) else ThreadPoolExecutor(4)

    def names(self, pool: Executor) -> NameClient:
        return self._grid.names

    async def transport(self, home: Path, pool: Executor) -> tuple[Transport, str]:
        transport = self._grid.network.transport(self._host)
        return transport, transport.fingerprint.hex()

    def dht(self, home: Path, settings: Settings, pool: Executor) -> Dht:
        self.node_dht = self._grid.dht.node(self.random, host=self._host)
        return self.node_dht

    async def address(self, settings: Settings) -> str:
        return self._host


class Grid:
    """A network of whole nodes in this process.

    Args:
        folder: homes are made below it.
        clock: time of all nodes; virtual when None, so the running loop must be a ``VirtualLoop``.
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock: Clock = clock or VirtualClock()
        self.network = MemoryNetwork()
        self.dht = MemoryDhtNetwork(self.clock)
        self.names = MemoryNames()
        self.nodes: dict[str, Node] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for name in list(self.nodes):
            await self.stop(name)

    async def start(self, name: str, **settings: Any) -> Node:
        """Start a node, with the home it had before if there is one.

        Args:
            name: of the node and of its home.
            settings: keys with ``__`` for ``/`` and ``_`` for ``-``.
        """
        home = self.folder / name
        own = Settings(home)
        own.set("personal/private-key-size", 1024)
        for key, value in settings.items():
            own.set(key.replace("__", "/").replace("_", "-"), value)
        node = Node(home, world=MemoryWorld(self, name), serve=False)
        await node.start()
        self.nodes[name] = node
        return node

    async def stop(self, name: str) -> None:
        """Stop a node; its home stays."""
        await self.nodes.pop(name).stop()

    async def supplier(self, name: str, donated: str = "1 GB") -> Node:
        """A node that only keeps data of others."""
        node = await self.start(
            name, services__customer__enabled=False, services__supplier__donated_space=donated
        )
        await node.create_identity(name, [NAME_SERVER])
        return node

    async def customer(self, name: str, suppliers: int = 4, needed: str = "256 MB") -> Node:
        """A node that keeps its own data at others; returns once all its suppliers are hired."""
        node = await self.start(
            name,
            services__supplier__enabled=False,
            services__customer__suppliers_number=suppliers,
            services__customer__needed_space=needed,
        )
        await node.create_identity(name, [NAME_SERVER])
        await node.require_customer().wait_ready(120.0)
        return node

    async def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait until something is true.

        Raises:
            TimeoutError: it did not come true.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                await self.clock.sleep(0.05)
