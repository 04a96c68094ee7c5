"""A small node for the interfaces, and both servers over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.chunkfiles import ChunkCounter
from bitdust.api.listening import EventConsumers
from bitdust.api.machines import look
from bitdust.api.machinewatch import MachineWatch
from bitdust.api.modelfeed import ModelFeed
from bitdust.api.registry import Registry, build_registry
from bitdust.api.secret import ensure_secret
from bitdust.clock import SystemClock, SystemRandom
from bitdust.config import Settings
from bitdust.crypto import PrivateKey
from bitdust.errors import NoIdentity, NotFound, NotInCatalog, ServiceOff
from bitdust.events import EventBus
from bitdust.identity import KeyRing
from bitdust.ids import GlobalID
from bitdust.machine import MachineTable
from bitdust.messaging import MessageStream
from bitdust.servers import HttpServer, WebSocketServer
from bitdust.services import ServiceRunner, Traffic, known_services

ALICE = GlobalID("alice", "server-a.com")


class FakeCache:
    """No other people are known."""

    async def count(self) -> int:
        return 0

    async def list(self, limit: int) -> tuple[()]:
        del limit
        return ()


class IdleQueue:
    """No jobs."""

    def running(self) -> list[Any]:
        return []

    pending = running


class FakeStorage:
    """Records calls of file operations and answers with their names."""

    def __init__(self) -> None:
        self.uploads = self.downloads = IdleQueue()
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: dict[str, Any] = {"files_list": ([], 0, False)}

    def __getattr__(self, name: str) -> Any:
        async def operation(*args: Any) -> Any:
            self.calls.append((name, args))
            answer = self.answers.get(name, {"called": name})
            if isinstance(answer, BaseException):
                raise answer
            return await answer() if callable(answer) else answer

        return operation


class IdlePart:
    """A service that does nothing."""

    def obstacle(self) -> str:
        return ""

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    def healthy(self) -> bool:
        return True


class FakeNode:
    """As much of a node as operations without a network need."""

    def __init__(self, home: Path, pool: ThreadPoolExecutor) -> None:
        self.home = home
        self.pool = pool
        self.clock = SystemClock()
        self.random = SystemRandom()
        self.settings = Settings(home)
        self.events = EventBus(self.clock.now)
        self.consumers = EventConsumers(self.events)
        self.storage = FakeStorage()
        self.identities = FakeCache()
        self.global_id: GlobalID | None = ALICE
        self.keys: KeyRing | None = None
        self.friends = self.pairing = self.key_exchange = None
        self.network = self.dht = self.customer = self.supplier = None
        self.devices = None
        self.message_stream = MessageStream()
        self.history = self.messages = self.broadcasts = None
        self.groups = self.broker = None
        self.traffic = Traffic(self.clock)
        self.machines = MachineTable()
        self.automats = MachineWatch(self, lambda: look(self))  # type: ignore[arg-type]
        self.models = ModelFeed(self)  # type: ignore[arg-type]
        self.chunks = ChunkCounter()
        graph = known_services()
        self.services = ServiceRunner(
            graph,
            {name: IdlePart() for name in graph.order},
            self.settings,
            self.events,
            self.clock,
            lambda: self.global_id is not None,
        )
        self.stops: list[bool] = []
        self.former: dict[GlobalID, GlobalID] = {}

    def current_name(self, name: GlobalID) -> GlobalID:
        return self.former.get(name, name)

    def require_storage(self) -> FakeStorage:
        if self.global_id is None:
            raise NoIdentity
        return self.storage

    def require_keys(self) -> KeyRing:
        if self.keys is None:
            raise NoIdentity
        return self.keys

    def require_network(self) -> Any:
        raise ServiceOff("the network is off")

    require_friends = require_pairing = require_key_exchange = require_network
    require_devices = require_router = require_network
    require_history = require_messages = require_broadcasts = require_groups = require_network

    async def find_person(self, person: str) -> Any:
        raise NotFound(f"unknown user {person}")

    require_dht = require_customer = require_supplier = require_network

    def require_identity(self) -> Any:
        raise NoIdentity

    def request_stop(self, restart: bool = False) -> None:
        self.stops.append(restart)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def node(tmp_path: Path, pool: ThreadPoolExecutor) -> FakeNode:
    return FakeNode(tmp_path / "home", pool)


@pytest.fixture(scope="session")
def master_key() -> PrivateKey:
    return PrivateKey.generate(1024)


@pytest.fixture
def keyed_node(node: FakeNode, master_key: PrivateKey) -> FakeNode:
    node.keys = KeyRing(node.home, ALICE, master_key, node.clock)
    node.keys.reload()
    return node


@pytest.fixture(scope="session")
def registry() -> Registry:
    return build_registry()


@pytest.fixture
def secret(node: FakeNode) -> str:
    return ensure_secret(node.home)


class Http:
    """A running HTTP server and raw requests to it."""

    def __init__(self, server: HttpServer, secret: str) -> None:
        self.server = server
        self.secret = secret

    async def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes, give status, headers and body of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
            return int(lines[0].split(" ")[1]), headers, body
        finally:
            writer.close()

    async def call(
        self,
        verb: str,
        target: str,
        body: bytes = b"",
        *,
        headers: dict[str, str | None] | None = None,
    ) -> dict[str, Any]:
        """Make a request as curl would, and give the envelope; a header of None is left out."""
        given: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.server.port}",
            "api_secret": self.secret,
            "Content-Length": str(len(body)) if body or verb != "GET" else None,
            **(headers or {}),
        }
        lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
        head = "\r\n".join([f"{verb} {target} HTTP/1.1", *lines, "", ""])
        status, _, answer = await self.raw(head.encode("latin-1") + body)
        assert status == 200
        envelope = json.loads(answer)
        assert isinstance(envelope, dict)
        return envelope


@pytest.fixture
async def http(node: FakeNode, registry: Registry, secret: str) -> AsyncIterator[Http]:
    server = HttpServer(node, registry, port=0, secret=secret)
    await server.start()
    node.settings.set("interface/api/rest-http-port", server.port)
    yield Http(server, secret)
    await server.stop()


@pytest.fixture
async def websocket(
    node: FakeNode, registry: Registry, secret: str
) -> AsyncIterator[WebSocketServer]:
    server = WebSocketServer(node, registry, port=0, secret=secret)
    await server.start()
    node.settings.set("interface/api/web-socket-port", server.port)
    yield server
    await server.stop()


@pytest.fixture
def missing() -> NotInCatalog:
    return NotInCatalog("no such item")
