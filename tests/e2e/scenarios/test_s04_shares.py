"""S4: people share files over processes and the public interface, and nobody needs the owner."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shares")]

Eventually = Callable[..., Any]
ALICE, BOB = f"{CUSTOMER}-1", f"{CUSTOMER}-2"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    plan = Plan(suppliers=2, customers=2, key_size=1024)
    with Testnet(tmp_path_factory.mktemp("shares"), plan) as running:
        yield running


def upload(network: Testnet, who: str, local: Path, remote: str) -> dict[str, Any]:
    made: dict[str, Any] = network.api(who).post(
        "/file/upload/start/v1", local_path=str(local), remote_path=remote, wait_result=True
    )
    return made


def download(network: Testnet, who: str, remote: str, folder: Path) -> bytes:
    result = network.api(who).post(
        "/file/download/start/v1",
        remote_path=remote,
        destination_path=str(folder),
        wait_result=True,
        open_share=True,
    )
    return Path(result["local_path"]).read_bytes()


def state(network: Testnet, who: str, key_id: str) -> str:
    rows = network.api(who).get("/share/list/v1")
    return next((row["state"] for row in rows if row["key_id"] == key_id), "unknown")


def names(network: Testnet, who: str, key_id: str) -> list[str]:
    return [row["path"] for row in network.api(who).get("/file/list/v1", key_id=key_id)]


def test_shares_over_processes(shared: Testnet, eventually: Eventually, tmp_path: Path) -> None:
    network = shared
    alice, bob = network.api(ALICE), network.api(BOB)
    bob_id = network.member(BOB).global_id
    made = alice.post("/share/create/v1", label="summer")
    key_id = made["key_id"]
    assert made["label"] == "summer"
    opened = alice.result("PUT", "/share/open/v1", {"key_id": key_id})
    assert opened["state"] == "CONNECTED"
    assert opened["ecc_map"] == "ecc/2x2"
    assert len(opened["suppliers"]) == 2
    one, two = tmp_path / "one.bin", tmp_path / "two.bin"
    one.write_bytes(os.urandom(3_000_000))
    two.write_bytes(os.urandom(200))
    assert upload(network, ALICE, one, f"{key_id}:cats/one.bin")["state"] == "stored"
    assert download(network, ALICE, f"{key_id}:cats/one.bin", tmp_path / "a") == one.read_bytes()

    # granted: the key is in the other's list, the share is connected there, and both write
    alice.result("PUT", "/share/grant/v1", {"key_id": key_id, "trusted_user_id": bob_id})
    assert key_id in [row["key_id"] for row in bob.get("/key/list/v1")]
    eventually(lambda: state(network, BOB, key_id) == "CONNECTED", 30.0)
    assert download(network, BOB, f"{key_id}:cats/one.bin", tmp_path / "b") == one.read_bytes()
    upload(network, BOB, two, f"{key_id}:cats/two.bin")
    eventually(lambda: "cats/two.bin" in names(network, ALICE, key_id), 10.0)
    assert download(network, ALICE, f"{key_id}:cats/two.bin", tmp_path / "a") == two.read_bytes()

    # a share of the other with an equally named file does not mix with it
    other = bob.post("/share/create/v1")["key_id"]
    upload(network, BOB, two, f"{other}:cats/one.bin")
    assert download(network, BOB, f"{other}:cats/one.bin", tmp_path / "o") == two.read_bytes()
    assert download(network, BOB, f"{key_id}:cats/one.bin", tmp_path / "o") == one.read_bytes()

    # the owner is killed: the other one is started anew, reads and writes
    network.kill(ALICE)
    network.kill(BOB)
    network.resume(BOB)
    bob = network.api(BOB)
    eventually(lambda: state(network, BOB, key_id) == "CONNECTED", 60.0)
    assert download(network, BOB, f"{key_id}:cats/one.bin", tmp_path / "c") == one.read_bytes()
    upload(network, BOB, two, f"{key_id}:while/away.bin")
    network.resume(ALICE)
    alice = network.api(ALICE)
    eventually(lambda: state(network, ALICE, key_id) == "CONNECTED", 60.0)
    eventually(lambda: "while/away.bin" in names(network, ALICE, key_id), 60.0)

    # put out: no new file reaches them
    out = alice.result("PUT", "/share/revoke/v1", {"key_id": key_id, "user_id": bob_id})
    assert bob_id not in out["members"]
    upload(network, ALICE, two, f"{key_id}:secret.bin")
    answer = bob.call("PUT", "/share/open/v1", {"key_id": key_id})
    assert answer["status"] == "ERROR"
    assert "no access" in answer["errors"][0]
    eventually(lambda: state(network, BOB, key_id) == "DISCONNECTED", 90.0)
    told = [(row["what"], row["path"]) for row in alice.get("/share/history/v1", key_id=key_id)]
    assert ("uploaded", "secret.bin") in told
    assert ("revoked", "") in told
    assert told[-1][0] == "created"
    alice.call("DELETE", "/share/delete/v1", {"key_id": key_id})
    assert key_id not in [row["key_id"] for row in alice.get("/key/list/v1")]
