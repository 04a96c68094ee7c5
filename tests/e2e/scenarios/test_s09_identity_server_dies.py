"""S9, S10, S13: an identity server dies, a customer moves, a supplier moves; nothing is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, IDENTITY_SERVER, SUPPLIER, Member, Plan, Testnet
from bitdust.errors import BitdustError

pytestmark = pytest.mark.slow

Eventually = Callable[..., Any]
DEAD_WITHIN = 100.0
BOB, ALICE = f"{SUPPLIER}-1", f"{CUSTOMER}-1"


class Listener:
    """Collects the events of one node, as a client that polls does."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._ended = threading.Event()
        self.events: list[dict[str, Any]] = []
        member.api.get("/event/listen/scenario/v1", polling_timeout=0)
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._ended.is_set():
            try:
                self.events += self._member.api.get("/event/listen/scenario/v1", polling_timeout=1)
            except BitdustError:
                time.sleep(0.1)

    def of(self, event_id: str) -> list[dict[str, Any]]:
        return [event["data"] for event in list(self.events) if event["id"] == event_id]

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10.0)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    settings = {"services/identity-propagate/health-check-interval-seconds": 5}
    plan = Plan(suppliers=2, customers=1, identity_servers=3, key_size=1024, settings=settings)
    with Testnet(tmp_path_factory.mktemp("identities"), plan) as running:
        yield running


@pytest.fixture
def listen(network: Testnet) -> Iterator[Callable[[str], Listener]]:
    made: list[Listener] = []

    def begin(name: str) -> Listener:
        made.append(Listener(network.member(name)))
        return made[-1]

    yield begin
    for listener in made:
        listener.stop()


def upload(network: Testnet, source: Path, remote: str) -> None:
    network.api(ALICE).post(
        "/file/upload/start/v1", local_path=str(source), remote_path=remote, wait_result=True
    )


def download(network: Testnet, remote: str, folder: Path) -> bytes:
    result = network.api(ALICE).post(
        "/file/download/start/v1",
        remote_path=remote,
        destination_path=str(folder),
        wait_result=True,
    )
    return Path(result["local_path"]).read_bytes()


def identity(network: Testnet, name: str) -> dict[str, Any]:
    found: dict[str, Any] = network.api(name).get("/identity/get/v1")
    return found


def suppliers(network: Testnet) -> set[str]:
    return {row["idurl"] for row in network.api(ALICE).get("/supplier/list/v1")}


def test_s10_a_customer_moves_and_finds_its_files_under_both_names(
    network: Testnet,
    listen: Callable[[str], Listener],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    alice = network.api(ALICE)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    before = identity(network, ALICE)
    old = before["global_id"]
    alice.post("/key/create/v1", alias="photos", key_size=1024)
    upload(network, source, f"photos${old}:cat.png")
    at_supplier = listen(BOB)
    hired = suppliers(network)

    result = alice.result("PUT", "/identity/rotate/v1")

    new = result["global_id"]
    assert result["rotated"] is True
    assert result["old_sources"] == before["sources"]
    assert result["idurl"] != before["idurl"]
    assert result["publickey"] == before["publickey"]
    keys = {row["key_id"] for row in alice.get("/key/list/v1")}
    assert {f"master${new}", f"photos${new}"} <= keys
    assert not [key for key in keys if key.endswith(f"${old}")]
    counts = alice.get("/event/list/v1")
    assert counts["my-identity-rotate-complete"] == 1
    assert counts["my-identity-url-changed"] == 1
    network.await_suppliers(ALICE, 2)
    assert suppliers(network) == hired
    eventually(lambda: at_supplier.of("identity-url-changed"), 60.0)
    told = at_supplier.of("identity-url-changed")[0]
    assert (told["old_idurl"], told["new_idurl"]) == (before["idurl"], result["idurl"])
    for number, name in enumerate((old, new)):
        folder = tmp_path / f"out-{number}"
        assert download(network, f"photos${name}:cat.png", folder) == source.read_bytes()
    # and after a restart
    network.halt(ALICE)
    network.resume(ALICE)
    network.await_suppliers(ALICE, 2)
    assert identity(network, ALICE)["global_id"] == new
    again = tmp_path / "again"
    assert download(network, f"photos${old}:cat.png", again) == source.read_bytes()


def test_s13_a_supplier_moves_and_stops(
    network: Testnet, tmp_path: Path, eventually: Eventually
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(200_000))
    upload(network, source, "kept")
    before = identity(network, BOB)
    after = network.api(BOB).result("PUT", "/identity/rotate/v1")
    assert after["idurl"] != before["idurl"]
    eventually(lambda: after["idurl"] in suppliers(network), 60.0)
    assert before["idurl"] not in suppliers(network)
    assert download(network, "kept", tmp_path / "one") == source.read_bytes()
    network.halt(BOB)
    try:
        assert download(network, "kept", tmp_path / "two") == source.read_bytes()
    finally:
        network.resume(BOB)
    network.await_suppliers(ALICE, 2)


def test_s09_an_identity_server_dies(
    network: Testnet,
    listen: Callable[[str], Listener],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    """All with that server among their sources leave it by themselves; their data stays."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(200_000))
    upload(network, source, "safe")
    before = identity(network, ALICE)
    port = before["idurl"].split(":")[2].partition("/")[0]
    dead = next(
        member.name
        for member in network.members
        if member.role == IDENTITY_SERVER and str(member.ports.identity) == port
    )
    affected = [
        name
        for name in (ALICE, BOB, f"{SUPPLIER}-2")
        if f":{port}/" in " ".join(identity(network, name)["sources"])
    ]
    assert ALICE in affected
    completed = network.api(ALICE).get("/event/list/v1").get("my-identity-rotate-complete", 0)
    at_suppliers = [listen(BOB), listen(f"{SUPPLIER}-2")]
    network.kill(dead)

    def left() -> bool:
        return not any(
            f":{port}/" in source
            for name in affected
            for source in identity(network, name)["sources"]
        )

    eventually(left, DEAD_WITHIN)
    after = identity(network, ALICE)
    assert after["idurl"] != before["idurl"]
    assert after["global_id"] != before["global_id"]
    assert after["publickey"] == before["publickey"]

    def told() -> bool:
        return all(
            after["idurl"] in [data["new_idurl"] for data in one.of("identity-url-changed")]
            for one in at_suppliers
        )

    eventually(told, 60.0)
    counts = network.api(ALICE).get("/event/list/v1")
    assert counts["my-identity-rotate-complete"] == completed + 1, "once"
    network.await_suppliers(ALICE, 2)
    shown = {identity(network, name)["idurl"] for name in (BOB, f"{SUPPLIER}-2")}
    eventually(lambda: suppliers(network) == shown, 60.0)
    old = before["global_id"]
    assert download(network, f"master${old}:safe", tmp_path / "out") == source.read_bytes()
