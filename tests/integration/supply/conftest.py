"""A world of suppliers and customers in one process, under virtual time."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.crypto import PrivateKey
from bitdust.dht import owner_dht_key
from bitdust.errors import NotFound
from bitdust.events import Event, EventBus
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.network import Endpoint, Network
from bitdust.supply import CustomerService, FragmentStore, SupplierService
from bitdust.testing import (
    MemoryDhtNetwork,
    MemoryNetwork,
    SeededRandom,
    VirtualClock,
    run_virtual,
)

MIB = 1 << 20


@functools.cache
def key_of(name: str) -> PrivateKey:
    return PrivateKey.generate(1024)


class Node:
    """One node: network and DHT, and the services that were put on it."""

    def __init__(self, world: World, name: str, serial: int) -> None:
        self.world = world
        self.name = name
        self.key = key_of(name)
        self.id = self.key.public.fingerprint
        self.host = f"{name}{serial}.example"
        self.home = world.root / name
        self.random = SeededRandom(sum(name.encode()) * 7 + serial)
        self.clock = world.clock
        self.events = EventBus(self.clock.now)
        self.seen: list[Event] = []
        self.events.on_event(self.seen.append)
        self.transport = world.net.transport(self.host)
        self.network = Network(
            self.key,
            lambda: self.document,
            self.transport,
            events=self.events,
            clock=self.clock,
            random=self.random,
        )
        self.dht = world.dht.node(self.random, host=self.host)
        self.document = self._sign("")
        self.supplier: SupplierService | None = None
        self.customer: CustomerService | None = None

    @property
    def idurl(self) -> str:
        return str(self.document.idurl)

    def _sign(self, contact: str) -> IdentityDocument:
        return sign_document(
            self.key,
            sources=[IDURL.parse(f"http://id.example.org/{self.name}.xml")],
            contacts=[contact] if contact else [],
            certificate=self.transport.fingerprint.hex(),
            dht_key=owner_dht_key(self.key),
            revision=1,
            now=self.clock.now(),
        )

    async def up(self) -> Node:
        endpoint = await self.network.start(Endpoint("tcp", self.host, 0))
        self.document = self._sign(str(endpoint))
        await self.dht.start()
        return self

    async def down(self) -> None:
        if self.customer is not None:
            await self.customer.stop()
        if self.supplier is not None:
            await self.supplier.stop()
        await self.dht.stop()
        await self.network.stop()

    async def supply(self, donated: int = 100 * MIB, **more: Any) -> SupplierService:
        self.supplier = SupplierService(
            self.network,
            self.dht,
            FragmentStore(self.home / "customers", self.world.pool),
            self.key,
            lambda: self.document,
            self.clock,
            self.random,
            self.events,
            donated,
            **more,
        )
        await self.supplier.start()
        return self.supplier

    def consume(self, needed: int = 8 * MIB, n: int = 4, **more: Any) -> CustomerService:
        self.customer = CustomerService(
            self.network,
            self.dht,
            self.key,
            lambda: self.document,
            self.clock,
            self.random,
            self.events,
            n,
            needed,
            self.home / "metadata" / "suppliers",
            self.world.pool,
            find_document=self.world.find_document,
            **more,
        )
        return self.customer

    def told(self, event_id: str) -> list[dict[str, Any]]:
        return [event.data for event in self.seen if event.event_id == event_id]


class World:
    """All nodes of a test."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor) -> None:
        self.root = root
        self.pool = pool
        self.clock = VirtualClock()
        self.net = MemoryNetwork()
        self.dht = MemoryDhtNetwork(self.clock)
        self.nodes: list[Node] = []
        self._serial = 0

    async def node(self, name: str) -> Node:
        """A new node; one of the same name before is somebody's earlier life."""
        self._serial += 1
        node = Node(self, name, self._serial)
        self.nodes.append(node)
        return await node.up()

    async def suppliers(self, count: int, donated: int = 100 * MIB, **more: Any) -> list[Node]:
        nodes = [await self.node(f"s{i}") for i in range(count)]
        for node in nodes:
            await node.supply(donated, **more)
        return nodes

    async def customer(self, name: str = "alice", **more: Any) -> tuple[Node, CustomerService]:
        node = await self.node(name)
        service = node.consume(**more)
        await service.start()
        return node, service

    async def find_document(self, idurl: str) -> IdentityDocument:
        for node in reversed(self.nodes):
            if node.idurl == idurl:
                return node.document
        raise NotFound(f"no identity {idurl}")

    def by_id(self, node_id: bytes | None) -> Node:
        return next(node for node in reversed(self.nodes) if node.id == node_id)

    async def until(self, what: Callable[[], bool | Awaitable[bool]], within: float = 60.0) -> None:
        end = self.clock.monotonic() + within
        while True:
            result = what()
            if result if isinstance(result, bool) else await result:
                return
            assert self.clock.monotonic() < end, "did not come true in time"
            await self.clock.sleep(0.05)

    async def end(self) -> None:
        for node in reversed(self.nodes):
            await node.down()


Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Run a scenario in a fresh world and end everything afterwards."""
    with ThreadPoolExecutor(1) as pool:

        def run(scenario: Scenario) -> None:
            async def whole() -> None:
                world = World(tmp_path, pool)
                try:
                    await scenario(world)
                finally:
                    await world.end()

            run_virtual(whole())

        yield run


@pytest.fixture
def hash_of() -> Callable[[bytes], bytes]:
    return lambda data: blake3(data).digest()
