"""What a network survives: suppliers that die, data that rots, the loss of the owner's machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.demo_tree import compare_trees, copy_tree
from bitdust.cli.testnet import CUSTOMER, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import DataUnavailable, TooFewSuppliers

Eventually = Callable[..., Any]
RETURN_DEADLINE = 60.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "random").write_bytes(os.urandom(6_000_000))
    for number in range(50):
        (root / "sub" / f"{number}.txt").write_text(f"file {number}\n" * number)
    return root


@pytest.fixture
def suppliers(customer: NodeApi) -> list[str]:
    """Global ids of the customer's suppliers, by position."""
    return [str(each["global_id"]) for each in customer.get("/supplier/list/v1")]


def upload(customer: NodeApi, local: Path, remote: str) -> dict[str, Any]:
    customer.post("/file/create/v1", remote_path=remote, as_folder=local.is_dir())
    result: dict[str, Any] = customer.post(
        "/file/upload/start/v1", local_path=str(local), remote_path=remote, wait_result=True
    )
    return result


def restored(customer: NodeApi, remote: str, target: Path) -> Path:
    result = customer.post(
        "/file/download/start/v1",
        remote_path=remote,
        destination_path=str(target),
        wait_result=True,
    )
    return Path(result["local_path"])


def test_any_two_suppliers_bring_everything_back(
    network: Testnet, customer: NodeApi, suppliers: list[str], tree: Path, tmp_path: Path
) -> None:
    assert upload(customer, tree, "half")["state"] == "stored"
    for victims in (suppliers[:2], suppliers[2:], suppliers[::3]):
        for victim in victims:
            network.kill(victim)
        back = restored(customer, "half", tmp_path / "-".join(victims))
        assert compare_trees(tree, back).differences == []
        for victim in victims:
            network.resume(victim)
        network.await_suppliers(f"{CUSTOMER}-1", 4, RETURN_DEADLINE)


def test_three_lost_suppliers_are_said_and_waited_for(
    network: Testnet, customer: NodeApi, suppliers: list[str], tree: Path, tmp_path: Path
) -> None:
    upload(customer, tree, "mostly lost")
    for victim in suppliers[:3]:
        network.kill(victim)
    with pytest.raises(DataUnavailable):
        restored(customer, "mostly lost", tmp_path / "early")
    network.resume(suppliers[0])
    network.await_suppliers(f"{CUSTOMER}-1", 2, RETURN_DEADLINE)
    back = restored(customer, "mostly lost", tmp_path / "later")
    assert compare_trees(tree, back).differences == []


def test_an_upload_without_one_supplier_ends_honestly_and_is_completed(
    network: Testnet,
    customer: NodeApi,
    suppliers: list[str],
    tree: Path,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    network.kill(suppliers[0])
    result = upload(customer, tree, "without one")
    assert result["state"] == "partial"
    assert result["acks"] == 3
    assert result["may_vanish"] == 1
    network.resume(suppliers[0])

    def complete() -> bool:
        versions = customer.get("/file/info/v1", remote_path="without one")["versions"]
        return bool(versions[0]["state"] == "stored")

    eventually(complete, RETURN_DEADLINE)
    # the one that was away and any other must now be enough
    for victim in suppliers[1:3]:
        network.kill(victim)
    back = restored(customer, "without one", tmp_path / "back")
    assert compare_trees(tree, back).differences == []


def test_an_upload_without_two_of_four_suppliers_is_refused(
    network: Testnet, customer: NodeApi, suppliers: list[str], tree: Path
) -> None:
    for victim in suppliers[:2]:
        network.kill(victim)
    with pytest.raises(TooFewSuppliers) as caught:
        upload(customer, tree, "too few")
    assert caught.value.hint
    customer.get("/process/health/v1")


def test_a_supplier_killed_during_an_upload_does_not_stop_it(
    network: Testnet,
    customer: NodeApi,
    suppliers: list[str],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for _ in range(128):
            file.write(os.urandom(1024 * 1024))
    customer.post("/file/upload/start/v1", local_path=str(big), remote_path="under fire")
    eventually(lambda: any(each["block_number"] for each in running(customer)), 30.0)
    network.kill(suppliers[1])
    eventually(lambda: not running(customer), 90.0)
    network.kill(suppliers[2])
    back = restored(customer, "under fire", tmp_path / "back")
    assert back.read_bytes() == big.read_bytes()


def running(customer: NodeApi) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = customer.get("/file/upload/v1")["running"]
    return found


def fragments(network: Testnet, supplier: str) -> set[Path]:
    """Files with data of customers on one supplier's disk."""
    home = network.member(supplier).home / "customers"
    return {path for path in home.rglob("*") if path.is_file() and path.stat().st_size > 500_000}


def rot(path: Path) -> bytes:
    """Change some bytes of a file; returns what it holds then."""
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 100_000):
        data[at] ^= 0x55
    path.chmod(0o600)
    path.write_bytes(data)
    return bytes(data)


def reported(customer: NodeApi) -> int:
    """How often the customer told of damage and of its repair."""
    events = customer.get("/event/list/v1")
    return int(events.get("fragment-damaged", 0) + events.get("data-repaired", 0))


def delivered(customer: NodeApi, remote: str) -> str:
    """What share of a file's fragments its owner knows to be stored."""
    info = customer.get("/file/info/v1", remote_path=remote)
    return str(info["versions"][0]["delivered"])


def test_rotten_fragments_are_noticed_and_others_used(
    network: Testnet,
    customer: NodeApi,
    suppliers: list[str],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    original = tmp_path / "original"
    original.write_bytes(os.urandom(10_000_000))
    rotting, _, *others = suppliers
    before = fragments(network, rotting)
    uploaded = upload(customer, original, "rotting")
    assert uploaded["state"] == "stored", uploaded
    (path,) = fragments(network, rotting) - before
    bad = rot(path)
    told = reported(customer)
    # two are left, and one of them has rotted: that is noticed, and nothing wrong is written
    for other in others:
        network.kill(other)
    answer = customer.call(
        "POST",
        "/file/download/start/v1",
        {
            "remote_path": "rotting",
            "destination_path": str(tmp_path / "back"),
            "wait_result": True,
        },
    )
    assert answer["status"] == "ERROR", answer
    assert answer["code"] == "data_unavailable", answer
    assert not (tmp_path / "back" / "rotting").exists()
    assert reported(customer) > told
    # with another one back, it is got around and made anew
    network.resume(others[0])
    network.await_suppliers(f"{CUSTOMER}-1", 3, RETURN_DEADLINE)
    back = restored(customer, "rotting", tmp_path / "back")
    assert back.read_bytes() == original.read_bytes()
    eventually(lambda: path.exists() and path.read_bytes() != bad, RETURN_DEADLINE)
    # on the disk is not enough: its owner must know before the next one is lost
    eventually(lambda: delivered(customer, "rotting") == "100%", RETURN_DEADLINE)
    # what was made anew serves in the place of one that never rotted
    network.kill(others[0])
    again = restored(customer, "rotting", tmp_path / "again")
    assert again.read_bytes() == original.read_bytes()


@pytest.fixture
def lost(network: Testnet, tree: Path, tmp_path: Path) -> Iterator[tuple[Testnet, str]]:
    """A customer with two versions, whose machine is gone; its key backup is left."""
    member = network.add("mallory", CUSTOMER)
    network.await_suppliers("mallory", 4)
    upload(member.api, tree, "docs")
    copy_tree(tree, tmp_path / "first")
    (tree / "added").write_text("second version")
    member.api.post(
        "/file/upload/start/v1", local_path=str(tree), remote_path="docs", wait_result=True
    )
    backup = tmp_path / "mallory.key"
    member.api.post("/identity/backup/v1", destination_filepath=str(backup))
    network.remove("mallory")
    yield network, backup.read_text("ascii")
    for name in ("mallory-again",):
        if name in [each.name for each in network.members]:
            network.remove(name)


def test_everything_comes_back_from_the_key_alone(
    lost: tuple[Testnet, str], tree: Path, tmp_path: Path, eventually: Eventually
) -> None:
    network, key = lost
    member = network.add("mallory-again", CUSTOMER, identity=False)
    identity = member.api.post("/identity/recover/v1", private_key_source=key)
    assert identity["name"] == "mallory"

    def versions() -> list[dict[str, Any]]:
        envelope = member.api.call("GET", "/file/info/v1", {"remote_path": "docs"})
        found = envelope.get("result", {}).get("versions", [])
        return found if len(found) == 2 else []

    found = sorted(each["backup_id"] for each in eventually(versions, 60.0))
    for backup_id, original in zip(found, (tmp_path / "first", tree), strict=True):
        back = restored(member.api, backup_id, tmp_path / backup_id.rpartition("/")[2])
        assert compare_trees(original, back).differences == []
    # and the owner goes on where they were: what is known is not sent again
    result = member.api.post(
        "/file/upload/start/v1", local_path=str(tree), remote_path="docs", wait_result=True
    )
    assert result["new_bytes"] == 0
