"""The same with real sockets, real TLS and the real DHT on loopback."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from bitdust.clock import SystemClock, SystemRandom
from bitdust.crypto import PrivateKey
from bitdust.dht import LibtorrentDht, owner_dht_key
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.network import Certificate, Endpoint, Network, TcpTransport
from bitdust.supply import CustomerService, FragmentStore, SupplierService

MIB = 1 << 20


@dataclass
class Node:
    key: PrivateKey
    network: Network
    dht: LibtorrentDht
    document: IdentityDocument
    events: EventBus
    home: Path
    pool: ThreadPoolExecutor

    def parts(self) -> tuple[SystemClock, SystemRandom, EventBus]:
        return SystemClock(), SystemRandom(), self.events


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def begin(stack: AsyncExitStack, root: Path, name: str, bootstrap: list[str]) -> Node:
    home = root / name
    (home / "metadata").mkdir(parents=True)
    key = PrivateKey.generate(1024)
    certificate = Certificate.load_or_create(home / "metadata" / "certificate")
    pool = stack.enter_context(ThreadPoolExecutor(2))
    holder: list[IdentityDocument] = []
    events = EventBus(time.time)
    network = Network(key, lambda: holder[-1], TcpTransport(certificate), events=events)

    def sign(contacts: list[str]) -> IdentityDocument:
        return sign_document(
            key,
            sources=[IDURL.parse(f"http://id.example.org/{name}.xml")],
            contacts=contacts,
            certificate=certificate.fingerprint.hex(),
            dht_key=owner_dht_key(key),
            revision=1,
            now=time.time(),
        )

    holder.append(sign([]))
    endpoint = await network.start(Endpoint("tcp", "127.0.0.1", 0))
    stack.push_async_callback(network.stop)
    holder.append(sign([str(endpoint)]))
    dht = LibtorrentDht(private=True, bootstrap=bootstrap, executor=pool)
    await dht.start()
    stack.push_async_callback(dht.stop)
    return Node(key, network, dht, holder[-1], events, home, pool)


async def test_hire_store_and_fetch_on_loopback(stack: AsyncExitStack, tmp_path: Path) -> None:
    bootstrap: list[str] = []
    for i in range(4):
        node = await begin(stack, tmp_path, f"s{i}", bootstrap)
        bootstrap = bootstrap or [f"127.0.0.1:{node.dht.port}"]
        supplier = SupplierService(
            node.network,
            node.dht,
            FragmentStore(node.home / "customers", node.pool),
            node.key,
            lambda node=node: node.document,  # type: ignore[misc]
            *node.parts(),
            64 * MIB,
        )
        await supplier.start()
        stack.push_async_callback(supplier.stop)
    alice = await begin(stack, tmp_path, "alice", bootstrap)
    customer = CustomerService(
        alice.network,
        alice.dht,
        alice.key,
        lambda: alice.document,
        *alice.parts(),
        4,
        64 * MIB,
        alice.home / "metadata" / "suppliers",
        alice.pool,
    )
    await customer.start()
    stack.push_async_callback(customer.stop)
    await customer.wait_ready(30)
    data = os.urandom(8 * MIB)
    digest = blake3(data).digest()
    nodes = [node_id for node_id in customer.positions() if node_id is not None]
    assert len(set(nodes)) == 4
    stored = await asyncio.gather(
        *(customer.client.put(node, "d/1", data, len(data), digest) for node in nodes)
    )
    assert stored == [True] * 4
    fetched = await asyncio.gather(
        *(customer.client.get(node, "d/1", expect=digest) for node in nodes)
    )
    assert all(got == data for got in fetched)
    assert customer.space_consumed()["used"] == 16 * MIB
