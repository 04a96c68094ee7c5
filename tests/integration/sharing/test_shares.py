"""Shares between whole nodes in one process, under virtual time."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from bitdust.ids import KeyID, RemotePath
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
