"""Shares between whole nodes in one process, under virtual time."""

from __future__ import annotations

import os
import re
import shutil
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidInput,
    NotFound,
    NotInCatalog,
    PeerRefused,
    PeerUnreachable,
    QuotaExceeded,
)
from bitdust.ids import BackupID, KeyID, RemotePath
from bitdust.network import ContactState
from bitdust.node import Node
from bitdust.sharing.share_chain import OwnChain
from bitdust.sharing.share_ledger import ShareLedger
from bitdust.sharing.share_wire import NOTICE, Head, Invitation, Notice
from bitdust.storage import BLOCK_KEK, JOURNAL_ID, BlockKind, build_fragments, wrap_key
from bitdust.storage.catalog.journal import pack_segment
from bitdust.supply import SupplierClient
from bitdust.testing import Grid, run_virtual

Scenario = Callable[[Grid], Awaitable[None]]


def play(tmp_path: Path, scenario: Scenario, suppliers: int = 2) -> None:
    async def run() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(suppliers):
                await grid.supplier(f"supplier-{number}")
            await scenario(grid)

    run_virtual(run())


def make(folder: Path, name: str, data: bytes) -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_bytes(data)
    return str(folder / name)


async def upload(node: Node, key_id: KeyID, local: str, path: str) -> None:
    await node.require_storage().file_upload_start(local, RemotePath(key_id, path), True)


async def download(node: Node, key_id: KeyID, path: str, to: Path) -> bytes:
    await node.require_storage().file_download_start(RemotePath(key_id, path), str(to), True)
    return (to / path.rpartition("/")[2]).read_bytes()


async def names(node: Node, key_id: KeyID) -> list[str]:
    rows, _, _ = await node.require_storage().files_list(None, key_id)
    return [row["path"] for row in rows]


async def connected(grid: Grid, node: Node, key_id: KeyID) -> None:
    def there() -> bool:
        rows = node.shares.shares_list(only_active=True) if node.shares else []
        return any(row["key_id"] == str(key_id) for row in rows)

    await grid.until(there)


async def sees(grid: Grid, node: Node, key_id: KeyID, path: str) -> None:
    async def look() -> bool:
        return path in await names(node, key_id)

    for _ in range(600):
        if await look():
            return
        await grid.clock.sleep(0.1)
    raise AssertionError(f"{path} did not come to {node.global_id}: {await names(node, key_id)}")


async def share_between(grid: Grid, owner: Node, *others: Node) -> KeyID:
    key_id = await owner.require_shares().share_create(key_size=1024, label="summer")
    await connected(grid, owner, key_id)
    for other in others:
        assert other.global_id is not None
        document = await owner.find_person(str(other.global_id))
        await owner.require_shares().share_grant(key_id, document)
        await connected(grid, other, key_id)
    return key_id


def test_two_people_share_files(tmp_path: Path) -> None:
    """Scenario S4: both read and write; shares with equal names do not mix."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice)
        one = os.urandom(3_000_000)
        await upload(alice, key_id, make(tmp_path / "a", "one.bin", one), "cats/one.bin")
        assert await download(alice, key_id, "cats/one.bin", tmp_path / "back") == one
        document = await alice.find_person(str(bob.global_id))
        await alice.require_shares().share_grant(key_id, document)
        assert str(key_id) in [str(key.key_id) for key in bob.require_keys().list()]
        await connected(grid, bob, key_id)
        assert await download(bob, key_id, "cats/one.bin", tmp_path / "bob") == one
        two = b"from bob" * 100
        await upload(bob, key_id, make(tmp_path / "b", "two.txt", two), "cats/two.txt")
        await sees(grid, alice, key_id, "cats/two.txt")
        assert await download(alice, key_id, "cats/two.txt", tmp_path / "alice") == two
        other = await share_between(grid, bob)
        await upload(bob, other, make(tmp_path / "c", "one.bin", b"x" * 200), "cats/one.bin")
        assert await download(bob, other, "cats/one.bin", tmp_path / "other") == b"x" * 200
        assert await download(bob, key_id, "cats/one.bin", tmp_path / "first") == one

    play(tmp_path, scenario)


def test_members_without_a_connection_tell_each_other(tmp_path: Path) -> None:
    """What one writes is seen by the other at once, though the owner is away."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        key_id = await share_between(grid, alice, bob, carol)
        await grid.stop("alice")
        for number, (writer, reader) in enumerate([(carol, bob), (bob, carol)]):
            ids = [node.require_identity().node_id for node in (reader, writer)]
            for node, other in zip((writer, reader), ids, strict=True):
                node.require_network().release(other)
            grid.network.cut("bob", "carol")
            await grid.until(
                lambda: writer.require_network().status(ids[0]).state is not ContactState.ONLINE  # noqa: B023
            )
            began = grid.clock.monotonic()
            path = f"note-{number}"
            await upload(writer, key_id, make(tmp_path / "a", path, b"new"), path)
            await sees(grid, reader, key_id, path)
            assert grid.clock.monotonic() - began < 5.0

    play(tmp_path, scenario)


@pytest.mark.slow
def test_the_owner_may_be_away(tmp_path: Path) -> None:
    """A share stays readable and writable, and what was written meanwhile is there on return."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        key_id = await share_between(grid, alice, bob, carol)
        await upload(alice, key_id, make(tmp_path / "a", "one", b"one"), "one")
        await sees(grid, bob, key_id, "one")
        await grid.stop("alice")
        await grid.stop("bob")
        bob = await grid.start("bob")
        await connected(grid, bob, key_id)
        assert await download(bob, key_id, "one", tmp_path / "bob") == b"one"
        await upload(bob, key_id, make(tmp_path / "b", "two", b"two"), "docs/two")
        await sees(grid, carol, key_id, "docs/two")
        assert await download(carol, key_id, "docs/two", tmp_path / "carol") == b"two"
        alice = await grid.start("alice")
        await connected(grid, alice, key_id)
        await sees(grid, alice, key_id, "docs/two")
        assert await download(alice, key_id, "docs/two", tmp_path / "alice") == b"two"

    play(tmp_path, scenario)


def test_versions_conflicts_and_deletion(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        files = alice.require_storage()
        # one after the other: the later replaces the earlier, and both are versions
        await upload(alice, key_id, make(tmp_path / "a", "f.txt", b"first"), "f.txt")
        await sees(grid, bob, key_id, "f.txt")
        await upload(bob, key_id, make(tmp_path / "b", "f.txt", b"second"), "f.txt")

        async def reads(node: Node, path: str, data: bytes) -> None:
            for _ in range(600):
                if await download(node, key_id, path, tmp_path / "r") == data:
                    return
                await grid.clock.sleep(0.1)
            raise AssertionError(path)

        await reads(alice, "f.txt", b"second")
        info = await files.file_info(RemotePath(key_id, "f.txt"))
        assert [version["writer"] for version in info["versions"]] == [
            str(bob.global_id),
            str(alice.global_id),
        ]
        older = info["versions"][1]["backup_id"]
        await files.file_download_start(BackupID.parse(older), str(tmp_path / "old"), True)
        # and a range of each, the newest being bob's
        part = await files.file_read(RemotePath(key_id, "f.txt"), 1, 3)
        assert (b64decode(part["data"]), part["total"], part["completed"]) == (b"eco", 6, False)
        part = await files.file_read(BackupID.parse(older), 2, 100)
        assert part["completed"]
        assert b64decode(part["data"]) == (tmp_path / "old" / "f.txt").read_bytes()[2:]
        assert (tmp_path / "old" / "f.txt").read_bytes() == b"first"
        # at the same time: both stay, the same for both
        for node in (alice, bob):
            for held in node.require_shares().opened():
                held.space.look = nothing  # type: ignore[method-assign]
        await upload(alice, key_id, make(tmp_path / "a", "g.txt", b"of alice"), "d/g.txt")
        await grid.clock.sleep(2)
        await upload(bob, key_id, make(tmp_path / "b", "g.txt", b"of bob"), "d/g.txt")
        for node in (alice, bob):
            for held in node.require_shares().opened():
                del held.space.look
                held.space.wake()
        await grid.clock.sleep(120)
        found = await names(alice, key_id)
        assert found == await names(bob, key_id)
        assert len(found) == 4, found
        assert found[:2] == ["d", "d/g.txt"]
        other = found[2]
        assert re.fullmatch(r"d/g \(from bob 20\d\d-\d\d-\d\d \d\d-\d\d-\d\d\).txt", other)
        assert await download(bob, key_id, "d/g.txt", tmp_path / "x") == b"of alice"
        assert await download(alice, key_id, other, tmp_path / "x") == b"of bob"
        # a folder with files of both
        await files.file_download_start(RemotePath(key_id, "d"), str(tmp_path / "whole"), True)
        got = {path.name: path.read_bytes() for path in (tmp_path / "whole" / "d").iterdir()}
        assert got == {"g.txt": b"of alice", other[2:]: b"of bob"}
        # one of them is deleted by the other person; the other one stays
        await files.file_delete(RemotePath(key_id, other))
        await gone(grid, bob, key_id, other)
        assert "d/g.txt" in await names(bob, key_id)
        # deleted by the other and uploaded again: it is there again
        await bob.require_storage().file_delete(RemotePath(key_id, "d"))
        await gone(grid, alice, key_id, "d")
        await grid.clock.sleep(60)
        await upload(alice, key_id, str(tmp_path / "a" / "g.txt"), "d/g.txt")
        await sees(grid, bob, key_id, "d/g.txt")
        history = await alice.require_shares().share_history(key_id)
        told = [(row["what"], row["who"].partition("@")[0], row["path"]) for row in history]
        assert ("deleted", "bob", "d") in told
        assert ("uploaded", "bob", "f.txt") in told
        assert told[-1][:2] == ("created", "alice")

    play(tmp_path, scenario)


async def nothing() -> bool:
    return True


async def gone(grid: Grid, node: Node, key_id: KeyID, path: str) -> None:
    for _ in range(600):
        if path not in await names(node, key_id):
            return
        await grid.clock.sleep(0.1)
    raise AssertionError(f"{path} did not go")


def test_somebody_is_put_out(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        key_id = await share_between(grid, alice, bob, carol)
        await upload(bob, key_id, make(tmp_path / "b", "bob", b"of bob"), "bob")
        await sees(grid, carol, key_id, "bob")
        await sees(grid, alice, key_id, "bob")
        assert carol.global_id is not None
        await grid.stop("carol")
        assert bob.global_id is not None
        await alice.require_shares().share_revoke(key_id, bob.global_id)
        await upload(alice, key_id, make(tmp_path / "a", "after", b"secret"), "after")

        def out() -> bool:
            row = bob.require_shares().share_info(key_id)
            return row["state"] == "DISCONNECTED" and "withdrew" in row["reason"]

        await grid.until(out)
        with pytest.raises(AccessDenied):
            await bob.require_shares().share_open(key_id)
        # who was away comes back, reads what is new and what the other left
        carol = await grid.start("carol")
        await connected(grid, carol, key_id)
        await sees(grid, carol, key_id, "after")
        assert await download(carol, key_id, "after", tmp_path / "c") == b"secret"
        assert await download(carol, key_id, "bob", tmp_path / "c") == b"of bob"
        assert carol.require_shares().share_info(key_id)["epoch"] == 1
        # a new member reads all of it, too; the one put out may be let in again
        dave = await grid.customer("dave", suppliers=2)
        for node in (dave, bob):
            document = await alice.find_person(str(node.global_id))
            await alice.require_shares().share_grant(key_id, document)
            await connected(grid, node, key_id)
            for path, data in (("after", b"secret"), ("bob", b"of bob")):
                await sees(grid, node, key_id, path)
                assert await download(node, key_id, path, tmp_path / "d") == data
        await upload(bob, key_id, make(tmp_path / "b", "again", b"again"), "again")
        await sees(grid, dave, key_id, "again")

    play(tmp_path, scenario)


@pytest.mark.slow
def test_shares_come_back_with_the_identity(tmp_path: Path) -> None:
    """Of a lost home nothing is left but the identity file."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        await upload(alice, key_id, make(tmp_path / "a", "one", b"one"), "one")
        await upload(bob, key_id, make(tmp_path / "b", "two", b"two"), "two")
        await sees(grid, alice, key_id, "two")
        await grid.clock.sleep(300)
        for name in ("alice", "bob"):
            node = grid.nodes[name]
            text = await node.require_identity().backup_text()
            await grid.stop(name)
            shutil.rmtree(grid.folder / name)
            node = await grid.start(name, services__supplier__enabled=False)
            await node.recover_identity(text, None)
            await connected(grid, node, key_id)
            for path, data in (("one", b"one"), ("two", b"two")):
                await sees(grid, node, key_id, path)
                assert await download(node, key_id, path, tmp_path / name) == data
            await upload(node, key_id, make(tmp_path / name, "n", name.encode()), f"new/{name}")
        other = grid.nodes["alice"]
        await sees(grid, other, key_id, "new/bob")

    play(tmp_path, scenario)


def heard(node: Node, event_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    node.events.on_event(lambda e: found.append(e.data) if e.event_id == event_id else None)
    return found


async def forge_segment(node: Node, key_id: KeyID, ledger: Path, seq: int, key: PrivateKey) -> None:
    """Put another segment of the own journal at the suppliers, signed with any key."""
    space = node.require_shares().opened()[0].space
    secret = space.storage._keys.private(key_id)
    chain = OwnChain(space.charter.share, key, ShareLedger(ledger))
    if seq:
        chain._ledger.add_link(key.public.fingerprint, 0, seq, bytes(32))
    payload = chain.wrap(0, seq, pack_segment(0, seq, b""))
    block_key, block_id = os.urandom(32), os.urandom(16)
    fragments = build_fragments(
        block_id,
        block_key,
        wrap_key(secret.derive(BLOCK_KEK), block_key),
        space.suppliers.n,
        [payload],
        kind=BlockKind.JOURNAL,
    )
    name = f"j/{secret.derive(JOURNAL_ID, 16).hex()}/0-{seq}"
    for fragment, supplier in zip(fragments, space.suppliers.positions(), strict=True):
        assert supplier is not None
        buffers = [memoryview(part) for part in fragment.buffers]
        await space.storage._client.delete(supplier, [name])
        await space.storage._client.put(supplier, name, buffers, fragment.size, fragment.digest)


@pytest.mark.parametrize(
    "lie",
    [
        "another past",
        pytest.param("in another's name", marks=pytest.mark.slow),
        pytest.param("taken back", marks=pytest.mark.slow),
    ],
)
def test_a_member_who_lies_is_named(tmp_path: Path, lie: str) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        await upload(bob, key_id, make(tmp_path / "b", "good", b"good"), "good")
        await sees(grid, alice, key_id, "good")
        told = heard(alice, "share-member-contradicts")
        space = alice.require_shares().opened()[0].space
        seq = (await space.position(bob.require_identity().node_id))[1]
        for held in bob.require_shares().opened():
            await held.space.storage.parts.care.stop()
        ledger = tmp_path / "forged.db"
        if lie == "another past":
            await forge_segment(bob, key_id, ledger, seq, bob.require_identity().key)
        elif lie == "in another's name":
            await forge_segment(bob, key_id, ledger, seq, PrivateKey.generate(1024))
        else:
            storage = bob.require_shares().opened()[0].space.storage
            for supplier in storage.suppliers.positions():
                assert supplier is not None
                listed = [e.name async for e in storage._client.list(supplier, "j/")]
                await storage._client.delete(supplier, listed)
            await grid.clock.sleep(400)
        await grid.until(lambda: bool(told))
        assert told[0]["global_id"] == str(bob.global_id)
        shown = alice.require_shares().share_info(key_id)
        assert shown["problems"][0]["global_id"] == str(bob.global_id)
        history = await alice.require_shares().share_history(key_id)
        assert history[0]["what"] == "refused"
        assert history[0]["who"] == str(bob.global_id)
        # what was right before stays, and the others go on
        assert "good" in await names(alice, key_id)
        await upload(alice, key_id, make(tmp_path / "a", "more", b"more"), "more")
        assert await download(alice, key_id, "more", tmp_path / "x") == b"more"

    play(tmp_path, scenario)


@pytest.mark.slow
def test_members_compare_what_they_were_shown(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        mallory = await grid.customer("mallory", suppliers=2)
        key_id = await share_between(grid, alice, bob, carol)
        await upload(bob, key_id, make(tmp_path / "b", "good", b"good"), "good")
        await sees(grid, alice, key_id, "good")
        told = heard(alice, "share-member-contradicts")
        share = alice.require_shares().opened()[0].space.charter.share
        node = bob.require_identity().node_id
        at = alice.require_identity().node_id
        heads = [Head(node, 0, 1, bytes(32))]
        network = carol.require_network()
        await network.request(at, NOTICE, Notice(share, 0, heads), timeout=9.0)
        await grid.until(lambda: bool(told))
        assert told[0]["global_id"] == str(bob.global_id)
        assert str(carol.global_id) in told[0]["reason"]
        with pytest.raises(PeerRefused) as caught:
            await mallory.require_network().request(
                at, NOTICE, Notice(share, 9, heads), timeout=9.0
            )
        assert caught.value.reason == "access_denied"

    play(tmp_path, scenario)


@pytest.mark.slow
def test_a_share_on_lent_suppliers(tmp_path: Path) -> None:
    """Its data lies with the person who lends, and counts there; the maker decides who is in."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        shares = bob.require_shares()
        owner = await bob.find_person(str(alice.global_id))
        with pytest.raises(PeerRefused, match="lend"):
            await shares.share_create(owner, 1024)
        alice.settings.set("services/shared-data/sponsor", "everybody")
        alice.settings.set("services/shared-data/sponsor-quota", "1 MB")
        key_id = await shares.share_create(owner, 1024, "lent")
        assert str(key_id.owner) == str(alice.global_id)
        await connected(grid, bob, key_id)
        shown = shares.share_info(key_id)
        assert (shown["mine"], shown["admin"]) == (False, str(bob.global_id))
        await upload(bob, key_id, make(tmp_path / "b", "one", b"one"), "one")
        document = await bob.find_person(str(carol.global_id))
        await shares.share_grant(key_id, document)
        await connected(grid, carol, key_id)
        await sees(grid, carol, key_id, "one")
        assert await download(carol, key_id, "one", tmp_path / "c") == b"one"
        with pytest.raises(AccessDenied):
            await carol.require_shares().share_grant(key_id, owner)
        big = make(tmp_path / "b", "big", os.urandom(1_500_000))
        with pytest.raises(QuotaExceeded):
            await upload(bob, key_id, big, "big")
        await grid.stop("alice")
        await upload(carol, key_id, make(tmp_path / "c", "two", b"two"), "two")
        await sees(grid, bob, key_id, "two")

    play(tmp_path, scenario)


@pytest.mark.slow
def test_a_share_ends(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        carol = await grid.customer("carol", suppliers=2)
        key_id = await share_between(grid, alice, bob, carol)
        await upload(alice, key_id, make(tmp_path / "a", "one", os.urandom(50_000)), "one")
        await sees(grid, bob, key_id, "one")
        # closed is not gone
        shares = bob.require_shares()
        assert (await shares.share_close(key_id))["state"] == "DISCONNECTED"
        with pytest.raises(AccessDenied, match="closed"):
            await names(bob, key_id)
        await grid.stop("bob")
        bob = await grid.start("bob")
        shares = bob.require_shares()
        await grid.clock.sleep(60)
        assert shares.share_info(key_id)["opened"] is False
        assert shares.shares_list(only_active=True) == []
        assert len(shares.shares_list(include_mine=False)) == 1
        assert shares.shares_list(include_granted=False) == []
        # a download opens it, unless told not to
        await download(bob, key_id, "one", tmp_path / "b")
        assert shares.share_info(key_id)["state"] == "CONNECTED"
        # one leaves, then it ends for all
        await carol.require_shares().share_delete(key_id)
        assert key_id not in carol.require_keys()
        with pytest.raises(NotFound):
            carol.require_shares().share_info(key_id)
        client = SupplierClient(alice.require_network())
        supplier = alice.require_customer().positions()[0]
        assert supplier is not None
        assert [entry.name async for entry in client.list(supplier, "s/")]
        await alice.require_shares().share_delete(key_id)
        assert not [entry.name async for entry in client.list(supplier, "s/")]
        assert key_id not in alice.require_keys()
        await grid.until(lambda: not shares.share_info(key_id)["opened"])
        with pytest.raises(AccessDenied):
            await shares.share_open(key_id)
        with pytest.raises(NotFound):
            await alice.require_shares().share_open(key_id)

    play(tmp_path, scenario)


def test_clear_words_for_what_cannot_be(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        shares = alice.require_shares()
        files = alice.require_storage()
        mine = alice.require_identity().document
        other = KeyID.parse(f"share_{'0' * 32}${alice.global_id}")
        for work, error in (
            (shares.share_grant(key_id, mine), InvalidInput),
            (shares.share_revoke(key_id, mine.global_id), InvalidInput),
            (shares.share_revoke(key_id, b"n" * 32), NotFound),
            (shares.share_open(other), NotFound),
            (shares.share_history(key_id, limit=0), InvalidInput),
            (files.file_info(RemotePath(key_id, "nothing")), NotInCatalog),
            (files.file_delete(RemotePath(key_id, "")), InvalidInput),
            (files.file_download_start(RemotePath(key_id, "nothing")), NotInCatalog),
            (files.files_list(None, other), NotFound),
            (files.file_create(RemotePath(key_id, "f"), False, False, "0/1"), InvalidInput),
        ):
            with pytest.raises(error):
                await work
        assert await files.file_exists(RemotePath(key_id, "x")) == {"exist": False, "path_id": None}
        made = await files.file_create(RemotePath(key_id, "x"), True)
        assert made["created"] is True
        with pytest.raises(AlreadyExists):
            await files.file_create(RemotePath(key_id, "x"), True)
        await sees(grid, bob, key_id, "x")
        with pytest.raises(InvalidInput):
            await upload(bob, key_id, make(tmp_path / "b", "f", b"f"), "x")
        document = await alice.find_person(str(bob.global_id))
        await grid.stop("bob")
        carol = await grid.customer("carol", suppliers=2)
        away = await alice.find_person(str(carol.global_id))
        await grid.stop("carol")
        serial = shares.share_info(key_id)["revision"]
        with pytest.raises(PeerUnreachable):
            await shares.share_grant(key_id, away, 5.0)
        shown = shares.share_info(key_id)
        assert str(carol.global_id) not in shown["members"]
        assert shown["revision"] == serial + 2
        with pytest.raises(PeerUnreachable):
            await shares.share_grant(key_id, document, 5.0)
        assert str(document.global_id) in shares.share_info(key_id)["members"]

    play(tmp_path, scenario)


@pytest.mark.slow
def test_a_supplier_is_replaced_while_a_writer_is_away(tmp_path: Path) -> None:
    """The customer makes whole what the other wrote, so that one more loss costs nothing."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        data = os.urandom(200_000)
        await upload(bob, key_id, make(tmp_path / "b", "one", data), "one")
        await sees(grid, alice, key_id, "one")
        await grid.clock.sleep(60)
        bob_id = bob.require_identity().node_id
        await grid.stop("bob")
        await grid.supplier("newcomer")
        customer = alice.require_customer()
        old = customer.positions()
        newcomer = grid.nodes["newcomer"].require_identity().node_id
        await customer.change(0, newcomer, 60.0)
        client = SupplierClient(
            alice.require_network(),
            prefix=f"s/{key_id.alias.removeprefix('share_')}/{bob_id.hex()[:32]}/",
        )

        async def objects() -> set[str]:
            return {entry.name[0] async for entry in client.list(newcomer)}

        for _ in range(1200):
            if await objects() == {"d", "j"}:
                break
            await grid.clock.sleep(0.5)
        assert await objects() == {"d", "j"}
        await grid.clock.sleep(60)
        # the other one is gone now, too; a new member learns all of it from the newcomer
        for name, node in list(grid.nodes.items()):
            if node.require_identity().node_id in old:
                await grid.stop(name)
        assert await download(alice, key_id, "one", tmp_path / "x") == data

    play(tmp_path, scenario)


def test_models_show_shares_and_their_files(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        told: list[dict[str, Any]] = []
        alice.models.bus.on_event(lambda event: told.append(event.data))
        for model in ("shared_location", "shared_file"):
            await alice.models.enable(alice.models.check(model), send=True)
        key_id = await share_between(grid, alice)
        await upload(alice, key_id, make(tmp_path / "a", "one", b"one"), "one")

        def last(model: str) -> list[dict[str, Any]]:
            return [row["data"] for row in told if row["name"] == model]

        await grid.until(lambda: bool(last("shared_file")))
        assert last("shared_location")[-1]["state"] == "CONNECTED"
        assert last("shared_file")[-1]["remote_path"] == f"{key_id}:one"
        await alice.require_shares().share_close(key_id)
        await grid.until(lambda: last("shared_location")[-1]["state"] == "DISCONNECTED")

    play(tmp_path, scenario)


def test_a_compacted_journal_is_followed(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        for number in range(4):
            await upload(alice, key_id, make(tmp_path / "a", f"f{number}", b"%d" % number), "f")
        await sees(grid, bob, key_id, "f")
        storage = alice.require_shares().opened()[0].space.storage
        compactor = storage.parts.care._compactor
        compactor._due = lambda n: True
        assert await compactor.run(2)
        del compactor._due
        await upload(alice, key_id, make(tmp_path / "a", "more", b"more"), "more")
        await sees(grid, bob, key_id, "more")
        space = bob.require_shares().opened()[0].space
        epoch, _ = await space.position(alice.require_identity().node_id)
        assert epoch == 1
        assert space.problems() == []
        assert await download(bob, key_id, "f", tmp_path / "b") == b"3"

    play(tmp_path, scenario)


@pytest.mark.slow
def test_a_share_follows_its_owner_to_another_name(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        alice.settings.set(
            "services/identity-propagate/known-servers", "names.test:80, other.test:80"
        )
        key_id = await share_between(grid, alice, bob)
        await upload(alice, key_id, make(tmp_path / "a", "one", b"one"), "one")
        await sees(grid, bob, key_id, "one")
        await alice.rotate_identity()
        assert alice.global_id is not None
        moved = KeyID(key_id.alias, alice.global_id)
        assert moved != key_id
        await connected(grid, alice, moved)
        assert await download(alice, moved, "one", tmp_path / "x") == b"one"
        await upload(alice, moved, make(tmp_path / "a", "two", b"two"), "two")
        await grid.until(lambda: moved in bob.require_keys())
        await connected(grid, bob, moved)
        await sees(grid, bob, moved, "two")
        await upload(bob, moved, make(tmp_path / "b", "three", b"three"), "three")
        await sees(grid, alice, moved, "three")
        assert await download(alice, moved, "three", tmp_path / "x") == b"three"

    play(tmp_path, scenario)


def test_nobody_puts_another_share_in_the_place_of_one(tmp_path: Path) -> None:
    """A member has the key and the id, and calls it by a name of its own."""

    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        assert bob.global_id is not None
        forged = bob.global_id.key(key_id.alias)
        bob.require_keys().add(forged, bob.require_keys().private(key_id))
        extra = msgspec.msgpack.encode(
            Invitation(bob.require_shares().opened()[0].space.charter.encode())
        )
        to_alice = await bob.find_person(str(alice.global_id))
        for made in (extra, b"", b"nonsense"):
            with pytest.raises(PeerRefused):
                await bob.require_key_exchange().share(forged, to_alice, True, extra=made)
        assert forged not in alice.require_keys()
        await grid.clock.sleep(60)
        rows = alice.require_shares().shares_list()
        assert [row["key_id"] for row in rows] == [str(key_id)]
        assert rows[0]["state"] == "CONNECTED"

    play(tmp_path, scenario)


@pytest.mark.slow
def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice = await grid.customer("alice", suppliers=2)
        bob = await grid.customer("bob", suppliers=2)
        key_id = await share_between(grid, alice, bob)
        await upload(alice, key_id, make(tmp_path / "a", "f", b"old"), "f")
        await sees(grid, bob, key_id, "f")
        data = os.urandom(40_000_000)
        local = make(tmp_path / "b", "f", data)
        started = await bob.require_storage().file_upload_start(local, RemotePath(key_id, "f"))
        assert started["state"] in ("pending", "running")
        await grid.stop("bob")
        bob = await grid.start("bob")
        await connected(grid, bob, key_id)
        await grid.until(
            lambda: not bob.require_shares().opened()[0].uploads().find(lambda _: True)
        )
        for _ in range(600):
            if await download(alice, key_id, "f", tmp_path / "x") == data:
                break
            await grid.clock.sleep(0.5)
        # it still knows that it replaces what was there when it was begun
        assert [path for path in await names(alice, key_id) if path.startswith("f")] == ["f"]
        assert await download(alice, key_id, "f", tmp_path / "x") == data

    play(tmp_path, scenario)
