"""Whole networks for fault tests: of processes, and of nodes in this process."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import BitdustError

SUPPLIERS = 4
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
