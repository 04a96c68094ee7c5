"""Whole networks for fault tests: of processes, and of nodes in this process."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import BitdustError
from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

SUPPLIERS = 4
HOUR = 3600.0
SIZE = 18_000_000
BACK = 90.0
"""Seconds within which a network is whole again."""
# the first test of a network pays for its start, on a machine that may be busy
PATIENCE = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "net" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(PATIENCE))


@pytest.fixture(scope="module")
def running_net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("net")
    with Testnet(folder, Plan(suppliers=SUPPLIERS, customers=1, key_size=1024)) as network:
        yield network


@pytest.fixture
def net(running_net: Testnet) -> Iterator[Net]:
    """A network of processes, whole before each test; one for all tests of a module."""
    net = Net(running_net)
    net.whole()
    yield net
    net.let_go()


class Net:
    """A test network with one customer, and what fault tests do to it."""

    def __init__(self, network: Testnet) -> None:
        self.network = network
        self.name = f"{CUSTOMER}-1"
        self.stalled: list[int] = []

    @property
    def customer(self) -> NodeApi:
        return self.network.api(self.name)

    def whole(self) -> None:
        """All processes run and all suppliers are connected."""
        for member in self.network.members:
            if not member.daemon.alive:
                self.network.resume(member.name)
        self.network.await_suppliers(self.name, SUPPLIERS, BACK)

    def let_go(self) -> None:
        """Wake the processes that a test has stopped."""
        for pid in self.stalled:
            os.kill(pid, 18)
        self.stalled.clear()

    def stall(self, name: str) -> None:
        """Stop a process without ending it."""
        pid = self.network.member(name).daemon.pid
        os.kill(pid, 19)
        self.stalled.append(pid)

    def suppliers(self) -> list[str]:
        """Names of the customer's suppliers by position."""
        listed = self.customer.get("/supplier/list/v1")
        return [self.network.member(str(each["global_id"])).name for each in listed]

    def upload(self, local: Path, remote: str, *, wait: bool = True) -> dict[str, Any]:
        result: dict[str, Any] = self.customer.post(
            "/file/upload/start/v1", local_path=str(local), remote_path=remote, wait_result=wait
        )
        return result

    def download(self, remote: str, target: Path) -> dict[str, Any]:
        result: dict[str, Any] = self.customer.post(
            "/file/download/start/v1",
            remote_path=remote,
            destination_path=str(target),
            wait_result=True,
        )
        return result

    def info(self, remote: str) -> dict[str, Any]:
        result: dict[str, Any] = self.customer.get("/file/info/v1", remote_path=remote)
        return result

    def objects(self, name: str) -> list[Path]:
        """The objects on one supplier's disk, largest first."""
        home = self.network.member(name).home / "customers"
        found = [path for path in home.rglob("*~*") if path.is_file()]
        return sorted(found, key=lambda path: -path.stat().st_size)

    def reliable(self, remote: str) -> bool:
        """Whether every fragment behind the newest version is in its place."""
        try:
            versions = self.info(remote)["versions"]
        except BitdustError:
            return False
        return bool(versions and versions[0]["reliable"] == "100%")

    def idle(self) -> bool:
        """Whether no job runs or waits."""
        try:
            uploads = self.customer.get("/file/upload/v1")
            downloads = self.customer.get("/file/download/v1")
        except BitdustError:
            return False
        return not (uploads["running"] or uploads["pending"] or downloads)


def wait_until(condition: Callable[[], Any], deadline: float = BACK) -> Any:
    """Wait until something is so; its value."""
    ends = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < ends, f"not so within {deadline:g} s, last {value!r}"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """``eventually(condition, seconds)`` waits until it is true and returns its value."""
    return wait_until


@pytest.fixture
def noise() -> Callable[..., bytes]:
    """``noise(seed, size)``: bytes that no compressor makes smaller, the same for a seed."""
    return lambda seed, size: random.Random(seed).randbytes(size)


class Story:
    """Alice with four suppliers and one stored file."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self.content = content
        self.original = folder / "original"
        self.original.write_bytes(content)
        self.grid = Grid(folder / "grid")
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.downloads = 0
        self.stored: dict[str, set[str]] = {}

    async def begin(self) -> None:
        for number in range(4):
            await self.grid.supplier(f"supplier-{number}")
        await self.grid.customer("alice")
        self.watch()
        result = await self.upload("file", self.original)
        assert result["state"] == "stored"
        names = [self.supplier(position) for position in range(4)]
        self.stored = {name: {path.name for path in self.objects(name)} for name in names}

    def watch(self) -> None:
        self.alice.events.on_event(lambda e: self.events.append((e.event_id, dict(e.data))))

    @property
    def alice(self) -> Node:
        return self.grid.nodes["alice"]

    @property
    def catalog(self) -> Any:
        storage = self.alice.storage
        assert storage is not None
        return storage.parts.catalog

    @property
    def inspector(self) -> Any:
        storage = self.alice.storage
        assert storage is not None
        return storage.parts.inspector

    def where(self, path: str) -> RemotePath:
        return RemotePath.parse(f"master${self.alice.global_id}:{path}")

    async def upload(self, path: str, local: Path) -> dict[str, Any]:
        return await self.alice.require_storage().file_upload_start(
            str(local), self.where(path), wait_result=True
        )

    async def download(self, path: str = "file") -> tuple[bytes, dict[str, Any]]:
        self.downloads += 1
        result = await self.alice.require_storage().file_download_start(
            self.where(path), str(self.folder / f"back-{self.downloads}"), wait_result=True
        )
        return Path(result["local_path"]).read_bytes(), result

    def supplier(self, position: int) -> str:
        node = self.alice.require_customer().positions()[position]
        return next(
            name
            for name, one in self.grid.nodes.items()
            if one.identity is not None and one.identity.node_id == node
        )

    def objects(self, name: str, prefix: str = "") -> list[Path]:
        found = (self.folder / "grid" / name / "customers").rglob(f"{prefix}*~*")
        return sorted(path for path in found if path.is_file())

    def told(self, event_id: str) -> list[dict[str, Any]]:
        return [data for name, data in self.events if name == event_id]

    def all_there(self) -> bool:
        """Whether the catalog knows of no fragment that is amiss, and the disks agree."""
        if self.catalog.blocks_needing_repair():
            return False
        for name, names in self.stored.items():
            files = {path.name: path for path in self.objects(name)}
            if not names <= set(files):
                return False
            for path in files.values():
                if blake3(path.read_bytes()).digest() != digest_of(path):
                    return False
        return True

    async def whole(self, seconds: float = 2 * HOUR) -> None:
        """Wait until everything that was stored at first lies undamaged where it was put."""
        async with asyncio.timeout(seconds):
            while not self.all_there():
                await self.grid.clock.sleep(240.0)

    def read_first(self, *positions: int) -> None:
        """Let downloads begin with these suppliers, as if the others had failed lately."""
        storage = self.alice.storage
        assert storage is not None
        for position, node in enumerate(self.alice.require_customer().positions()):
            if position not in positions and node is not None:
                storage.parts.fetcher.pace.failed(node)

    async def half(self, path: str = "file") -> bytes:
        """What two of the suppliers bring back, the two in the last positions."""
        stopped = [self.supplier(0), self.supplier(1)]
        for name in stopped:
            await self.grid.stop(name)
        content, _ = await self.download(path)
        for name in stopped:
            await self.grid.start(name, services__customer__enabled=False)
        return content


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[[Callable[[Story], Awaitable[None]]], None]]:
    """Runs a scenario with Alice, her four suppliers and her file, under virtual time."""

    def run(scenario: Callable[[Story], Awaitable[None]]) -> None:
        story = Story(tmp_path, blake3(b"content").digest(SIZE))

        async def act() -> None:
            async with story.grid:
                await story.begin()
                await scenario(story)

        run_virtual(act())

    yield run
    shutil.rmtree(tmp_path)


def digest_of(path: Path) -> bytes:
    """The hash that an object's file carries in its name."""
    return bytes.fromhex(path.name.rpartition("~")[2])
