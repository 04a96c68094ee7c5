"""Ranges of stored files, over chunk and block edges, with damage and with suppliers away."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import DataUnavailable, InvalidInput, NotInCatalog
from bitdust.ids import RemotePath
from bitdust.supply import SupplierClient

Play = Callable[[Callable[[Any], Awaitable[None]]], None]
MIB = 1 << 20


async def read(story: Any, path: str, offset: int, size: int) -> tuple[bytes, dict[str, Any]]:
    found = await story.alice.require_storage().file_read(story.where(path), offset, size)
    data = b64decode(found.pop("data"))
    assert len(data) == found["size"]
    return data, found


def edges(story: Any, path: str) -> tuple[list[int], list[int]]:
    """Where in the file chunks begin, and where another block does."""
    catalog = story.catalog
    item = catalog.lookup(1, path).id
    entry = catalog.current(item)
    pieces = catalog.chunks_between(entry.content, 0, entry.size)
    starts = [at for at, _ in pieces]
    blocks = [at for (_, before), (at, chunk) in pairwise(pieces) if before.block != chunk.block]
    return starts, blocks


def test_any_range_is_what_was_stored(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(story: Any) -> None:
        content, total = story.content, len(story.content)
        chunks, blocks = edges(story, "file")
        assert len(chunks) > 5
        assert blocks
        ranges = [(0, 1), (0, 65536), (total - 10, 10), (total - 10, 65536), (total, 10)]
        ranges += [(total + 1000, 10), (5, 0), (0, 4 * MIB)]
        ranges += [(at - 3, 7) for at in (*chunks[1:4], *blocks)]
        ranges += [(chunks[1], chunks[2] - chunks[1]), (blocks[0] - MIB, 3 * MIB)]
        for offset, size in ranges:
            data, found = await read(story, "file", offset, size)
            assert data == content[offset : offset + size], (offset, size)
            assert found["total"] == total
            assert found["completed"] == (offset + size >= total)
            assert found["offset"] == offset
        # content that repeats itself, and that is packed
        local = story.folder / "zeros"
        same = b"0123456789abcdef" * (6 * MIB // 16)
        local.write_bytes(same)
        await story.upload("zeros", local)
        for offset, size in ((0, 10), (MIB - 1, 3), (5 * MIB + 7, 2 * MIB), (2 * MIB, 4 * MIB)):
            assert (await read(story, "zeros", offset, size))[0] == same[offset : offset + size]
        # only what holds the range travels
        fetched: Counter[str] = Counter()
        get = SupplierClient.get

        async def counted(self: Any, node: bytes, name: str, *args: Any, **more: Any) -> bytes:
            data = await get(self, node, name, *args, **more)
            fetched["bytes"] += len(data)
            return data

        monkeypatch.setattr(SupplierClient, "get", counted)
        await read(story, "file", 8 * MIB + 5, 65536)
        assert 0 < fetched["bytes"] < 6 * MIB

    play(scenario)


def test_versions_and_what_cannot_be_read(play: Play) -> None:
    async def scenario(story: Any) -> None:
        files = story.alice.require_storage()
        first = (await files.file_info(story.where("file")))["versions"][0]
        other = blake3(b"other").digest(3_000_000)
        story.original.write_bytes(other)
        await story.upload("file", story.original)
        data, found = await read(story, "file", 1_000_000, 1000)
        assert data == other[1_000_000:1_001_000]
        assert found["version"] != first["label"]
        path_id = found["path_id"]
        data, found = await read(story, f"{path_id}/{first['label']}", 10_000_000, 1000)
        assert data == story.content[10_000_000:10_001_000]
        assert found["version"] == first["label"]
        tree = story.folder / "tree"
        tree.mkdir()
        (tree / "empty").write_bytes(b"")
        (tree / "small").write_bytes(b"small")
        await story.upload("tree", tree)
        assert (await read(story, "tree/small", 1, 3))[0] == b"mal"
        data, found = await read(story, "tree/empty", 0, 10)
        assert (data, found["completed"]) == (b"", True)
        with pytest.raises(InvalidInput, match="no file"):
            await read(story, "tree", 0, 10)
        with pytest.raises(NotInCatalog):
            await read(story, "nothing", 0, 10)
        for offset, size in ((-1, 10), (0, -1), (0, 4 * MIB + 1)):
            with pytest.raises(InvalidInput):
                await read(story, "file", offset, size)
        await files.file_create(story.where("made"))
        with pytest.raises(NotInCatalog, match="nothing was uploaded"):
            await files.file_read(RemotePath.parse(str(story.where("made"))))

    play(scenario)


def test_a_damaged_fragment_is_got_around_told_and_repaired(play: Play) -> None:
    async def scenario(story: Any) -> None:
        story.read_first(0, 1)
        [path, *_] = sorted(
            story.objects(story.supplier(0), "d%"), key=lambda found: -found.stat().st_size
        )
        raw = bytearray(path.read_bytes())
        for at in range(2000, len(raw), 1000):
            raw[at] ^= 0xFF
        path.chmod(0o600)
        path.write_bytes(raw)
        for offset in range(0, len(story.content), 3 * MIB):
            data, _ = await read(story, "file", offset, 70_000)
            assert data == story.content[offset : offset + 70_000]
        assert story.told("fragment-damaged")
        await story.whole()

    play(scenario)


def test_half_of_the_suppliers_are_enough_and_fewer_are_not(play: Play) -> None:
    async def scenario(story: Any) -> None:
        away = [story.supplier(position) for position in range(3)]
        for name in away[:2]:
            await story.grid.stop(name)
        data, _ = await read(story, "file", 12 * MIB, 2 * MIB)
        assert data == story.content[12 * MIB : 14 * MIB]
        await story.grid.stop(away[2])
        with pytest.raises(DataUnavailable):
            await read(story, "file", 12 * MIB, 2 * MIB)

    play(scenario)
