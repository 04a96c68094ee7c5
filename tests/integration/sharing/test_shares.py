"""Shares between whole nodes in one process, under virtual time."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bitdust.errors import AccessDenied
from bitdust.ids import BackupID, KeyID, RemotePath
from bitdust.node import Node
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
