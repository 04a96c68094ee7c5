"""Two networks of processes that the scenarios share, and what most of them do with files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Member, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi

SPARES, CROWD = "spares", "crowd"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for shared in (SPARES, CROWD):
                if shared in getattr(item, "fixturenames", ()):
                    item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def running_spares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    settings = {"services/customer/suppliers-number": 2}
    plan = Plan(suppliers=5, customers=0, key_size=1024, settings=settings)
    with Testnet(tmp_path_factory.mktemp(SPARES), plan) as network:
        yield network


@pytest.fixture(scope="session")
def running_crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    settings = {"services/customer/suppliers-number": 2}
    plan = Plan(suppliers=4, customers=3, identity_servers=3, key_size=1024, settings=settings)
    with Testnet(tmp_path_factory.mktemp(CROWD), plan) as network:
        for member in network.members:
            if member.role == CUSTOMER:
                # only suppliers keep what people write, so that one can be ended alone
                member.api.post(
                    "/config/set/v1", key="services/message-broker/enabled", value=False
                )
        yield network


def whole(network: Testnet) -> Testnet:
    for member in network.members:
        if not member.daemon.alive:
            network.resume(member.name)
    return network


@pytest.fixture
def spares(running_spares: Testnet) -> Testnet:
    """Five suppliers, of whom a customer hires two; customers are made by ``hire``."""
    return whole(running_spares)


@pytest.fixture
def crowd(running_crowd: Testnet) -> Testnet:
    """Three people, four suppliers of whom each has hired two, three identity servers."""
    network = whole(running_crowd)
    for number in (1, 2, 3):
        network.await_suppliers(f"{CUSTOMER}-{number}", 2)
    return network


@pytest.fixture
def hire(spares: Testnet) -> Iterator[Callable[[str], Member]]:
    """Adds a customer with two suppliers to ``spares``; it goes with the test."""
    made: list[str] = []

    def add(name: str) -> Member:
        member = spares.add(name, CUSTOMER)
        made.append(name)
        spares.await_suppliers(name, 2)
        return member

    yield add
    for name in made:
        if name in [member.name for member in spares.members]:
            spares.remove(name)


@pytest.fixture(scope="session")
def upload() -> Callable[[NodeApi, Path, str], dict[str, Any]]:
    """Uploads one file and returns the result once it is acknowledged."""

    def run(api: NodeApi, local: Path, remote: str) -> dict[str, Any]:
        made: dict[str, Any] = api.post(
            "/file/upload/start/v1", local_path=str(local), remote_path=remote, wait_result=True
        )
        return made

    return run


@pytest.fixture
def download(tmp_path: Path) -> Callable[[NodeApi, str], bytes]:
    """Downloads one file into a fresh folder and returns what is in it."""
    folders = iter(range(1_000_000))

    def run(api: NodeApi, remote: str) -> bytes:
        result = api.post(
            "/file/download/start/v1",
            remote_path=remote,
            destination_path=str(tmp_path / f"downloaded-{next(folders)}"),
            wait_result=True,
            open_share=True,
        )
        return Path(result["local_path"]).read_bytes()

    return run


@pytest.fixture
def random_file(tmp_path: Path) -> Callable[[str, int], Path]:
    """Makes a file of random bytes: ``random_file(name, size)``."""

    def make(name: str, size: int) -> Path:
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        return path

    return make


@pytest.fixture
def reliable(eventually: Callable[..., Any]) -> Callable[[NodeApi, str], None]:
    """Waits until every fragment of a file is where it belongs."""

    def wait(api: NodeApi, remote: str, deadline: float = 90.0) -> None:
        def stored() -> bool:
            [newest, *_] = api.get("/file/info/v1", remote_path=remote)["versions"]
            return bool(newest["state"] == "stored" and newest["reliable"] == "100%")

        eventually(stored, deadline)

    return wait


class Group:
    """A group as its members see it, each through the API of their node."""

    def __init__(self, network: Testnet, eventually: Callable[..., Any], creator: str) -> None:
        self._network = network
        self._eventually = eventually
        made = network.api(creator).post("/group/create/v1", label="scenario")
        self.key_id = str(made["group_key_id"])

    def info(self, who: str) -> dict[str, Any]:
        """What ``group/info`` says there."""
        found: dict[str, Any] = self._network.api(who).get(
            "/group/info/v1", group_key_id=self.key_id
        )
        return found

    def join(self, who: str) -> None:
        """Take part."""
        self._network.api(who).post("/group/join/v1", group_key_id=self.key_id)
        self.connected(who)

    def connected(self, who: str, deadline: float = 90.0) -> None:
        """Wait until a member is connected."""
        self._eventually(lambda: self.info(who)["state"] == "CONNECTED", deadline)

    def whole(self, who: str, brokers: int = 3, deadline: float = 120.0) -> None:
        """Wait until so many brokers keep the group."""
        self._eventually(lambda: len(self.info(who)["brokers"]) >= brokers, deadline)

    def invite(self, who: str, guest: str) -> None:
        """Hand the group over to somebody else."""
        person = self._network.api(guest).get("/identity/get/v1")["global_id"]
        self._network.api(who).result(
            "PUT", "/group/share/v1", {"group_key_id": self.key_id, "trusted_user_id": person}
        )
        self._eventually(lambda: self.known(guest), 30.0)

    def known(self, who: str) -> bool:
        """Whether somebody has the group in the list."""
        listed = self._network.api(who).get("/group/list/v1") or []
        return self.key_id in [row["group_key_id"] for row in listed]

    def leave(self, who: str) -> None:
        """Take part no more."""
        self._network.api(who).result("DELETE", "/group/leave/v1", {"group_key_id": self.key_id})

    def say(self, who: str, text: str) -> None:
        """Write."""
        self._network.api(who).post(
            "/message/send/group/v1", group_key_id=self.key_id, data={"message": text}
        )

    def texts(self, who: str) -> list[str]:
        """What was written, as the history of somebody has it, oldest first."""
        rows = self._network.api(who).get(
            "/message/history/v1", id=self.key_id, message_type="group_message"
        )
        return [row["doc"]["payload"]["data"]["message"] for row in rows or []]

    def arrives(self, who: str, texts: list[str], deadline: float = 60.0) -> None:
        """Wait until somebody has exactly these, in this order."""
        self._eventually(lambda: self.texts(who) == texts, deadline)

    def queues(self, who: str) -> list[str]:
        """Queue ids of the group that the streams of a node name."""
        alias = self.key_id.partition("$")[0]
        rows = self._network.api(who).get("/queue/stream/list/v1") or []
        return [row["queue_id"] for row in rows if alias in row["queue_id"]]


@pytest.fixture
def begin_group(crowd: Testnet, eventually: Callable[..., Any]) -> Callable[[str], Group]:
    """Makes a group in ``crowd``: ``begin_group(creator)``."""
    return lambda creator: Group(crowd, eventually, creator)
