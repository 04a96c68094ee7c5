"""Nodes on real TCP with TLS, or in memory on the virtual loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bitdust.clock import Clock
from bitdust.crypto import PrivateKey
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.network import (
    Certificate,
    Endpoint,
    Limits,
    Network,
    NodeID,
    Resolver,
    TcpTransport,
    Transport,
)
from bitdust.testing import MemoryNetwork, SeededRandom, VirtualClock

PEMS = json.loads((Path(__file__).parents[2] / "vectors" / "network" / "keys.json").read_text())


class Node:
    """A network and what it needs."""

    def __init__(
        self,
        number: int,
        transport: Transport,
        *,
        clock: Clock | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
        certificate: str | None = None,
    ) -> None:
        self.number = number
        self.key = PrivateKey.from_pem(PEMS[number])
        self.transport = transport
        self.endpoint: Endpoint | None = None
        self.events = EventBus(time.time)
        self.certificate = transport.fingerprint.hex() if certificate is None else certificate
        self.revision = 1
        self.document = self.sign()
        self.network = Network(
            self.key,
            lambda: self.document,
            transport,
            events=self.events,
            clock=clock,
            random=SeededRandom(number),
            limits=limits,
            resolver=resolver,
        )

    @property
    def id(self) -> NodeID:
        return self.key.public.fingerprint

    def sign(self) -> IdentityDocument:
        return sign_document(
            self.key,
            sources=[IDURL("id.example.org", 80, f"node{self.number}")],
            contacts=(str(self.endpoint),) if self.endpoint is not None else (),
            certificate=self.certificate,
            dht_key=bytes(32),
            revision=self.revision,
            now=1.7e9,
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Node:
        self.endpoint = await self.network.start(Endpoint("tcp", host, port))
        self.revision += 1
        self.document = self.sign()
        return self


async def eventually(check: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within):
        while not check():
            await asyncio.sleep(0.005)


MakeNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[MakeNode]:
    """Makes started nodes on real TCP; they are stopped after the test."""
    nodes: list[Node] = []

    async def make(number: int, *, listen: bool = True, port: int = 0, **options: object) -> Node:
        certificate = Certificate.load_or_create(tmp_path / f"node{number}.pem")
        made = Node(number, TcpTransport(certificate), **options)  # type: ignore[arg-type]
        nodes.append(made)
        if listen:
            return await made.start(port=port)
        await made.network.start(None)
        return made

    yield make
    for made in reversed(nodes):
        await made.network.stop()


class World:
    """Nodes in memory under virtual time."""

    def __init__(self) -> None:
        self.net = MemoryNetwork()
        self.clock = VirtualClock()
        self.nodes: list[Node] = []

    async def node(self, number: int, **options: object) -> Node:
        made = Node(
            number,
            self.net.transport(f"host{number}"),
            clock=self.clock,
            **options,  # type: ignore[arg-type]
        )
        self.nodes.append(made)
        return await made.start(f"host{number}")

    async def stop(self) -> None:
        for made in self.nodes:
            await made.network.stop()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return eventually
