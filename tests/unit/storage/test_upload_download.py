"""Local trees to suppliers in memory and back, through every kind of window."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.clock import SystemClock, SystemRandom
from bitdust.errors import BitdustError
from bitdust.events import EventBus
from bitdust.ids import RemotePath
from bitdust.storage.jobs import Job
from bitdust.storage.transfer import blockwriter, download, upload
from bitdust.storage.transfer.blockwriter import BlockSender, BlockWriter, OwnerKey
from bitdust.storage.transfer.download import Restorer
from bitdust.storage.transfer.fetch import BlockFetcher
from bitdust.storage.transfer.spread import Spreader
from bitdust.storage.transfer.upload import TreeReader
from bitdust.storage.upkeep.blockstore import BlockIndex

MIB = 1024 * 1024
NODES = [bytes([i]) * 32 for i in range(1, 5)]


class Suppliers:
    """Four suppliers in memory that count what is read of them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[bytes, str], bytes] = {}
        self.read = 0

    def positions(self) -> list[bytes | None]:
        return list(NODES)

    def online(self, position: int) -> bool:
        return True

    async def put(
        self,
        node: bytes,
        name: str,
        buffers: Sequence[memoryview],
        size: int,
        hash: bytes,
        timeout: float = 1.0,
    ) -> bool:
        data = b"".join(buffers)
        assert len(data) == size
        assert blake3(data).digest() == hash
        self.objects[node, name] = data
        return True

    async def get(
        self, node: bytes, name: str, offset: int = 0, length: int = -1, **_: Any
    ) -> bytes:
        data = self.objects[node, name][offset:]
        data = data if length < 0 else data[:length]
        self.read += len(data)
        return data

    async def get_into(self, node: bytes, name: str, out: memoryview, **_: Any) -> None:
        data = self.objects[node, name]
        assert len(data) == len(out)
        out[:] = data
        self.read += len(data)


class Grid:
    """One owner's storage without a network."""

    def __init__(self, box: Any, pool: ThreadPoolExecutor) -> None:
        self.box = box
        self.pool = pool
        self.suppliers = Suppliers()
        self.owner = OwnerKey(box.key, b"k" * 32, b"c" * 32)
        self.clock = SystemClock()
        self.blocks = BlockIndex(
            box.catalog, self.suppliers, b"j" * 16, EventBus(self.clock.now), lambda: None
        )
        self.fetcher = BlockFetcher(
            self.suppliers, self.clock, pool, lambda _: True, lambda *_: None
        )

    def job(self, number: int, kind: str, path: str, local: Path) -> Job:
        remote = RemotePath.parse(f"master$alice@example.org:{path}")
        return Job(number, kind, remote, str(local), "", 0.0)

    async def upload(self, local: Path, path: str) -> int:
        """The seq of the new version."""
        self.box.now += 1
        with self.box.catalog.transaction() as tx:
            tx.ensure_path(self.box.key, path, is_folder=local.is_dir(), created=1.0)
        number, item = self.box.start(path)
        job = self.job(number, "upload", path, local)
        writer = BlockWriter(self.box.catalog, self.owner, 4, self.clock, SystemRandom(), number)
        spreader = Spreader(self.suppliers, self.suppliers, self.clock)
        sender = BlockSender(self.pool, self.box.catalog, 4, spreader, job)
        reader = TreeReader(
            self.box.catalog, writer, self.owner, job, item, local, resumed=False, created=1.0
        )
        await sender.send_all(reader.blocks(), writer)
        assert sender.min_acks == 4
        with self.box.catalog.transaction() as tx:
            return int(self.box.commit(tx, number, item))

    async def download(self, path: str, seq: int, target: Path) -> Restorer:
        restorer = Restorer(
            self.box.catalog,
            self.blocks.stored,
            self.fetcher,
            self.owner,
            self.pool,
            self.job(0, "download", path, target),
            self.box.item(path),
            seq,
            b"back",
            target,
        )
        self.suppliers.read = 0
        await restorer.run()
        return restorer


@pytest.fixture
async def grid(box: Any) -> AsyncIterator[Grid]:
    with ThreadPoolExecutor(4) as pool:
        yield Grid(box, pool)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


async def test_a_large_file_travels_block_by_block(grid: Grid, tmp_path: Path) -> None:
    # random, then zeros that compress to nothing, then the random part again, which is known
    noise = random.Random(1).randbytes(37 * MIB)
    source = tmp_path / "large"
    source.write_bytes(noise + bytes(20 * MIB) + noise[: 9 * MIB] + b"end")
    seq = await grid.upload(source, "large")
    blocks = len({name for _, name in grid.suppliers.objects})
    assert blocks == 3
    await grid.download("large", seq, tmp_path / "out")
    assert (tmp_path / "out" / "back").read_bytes() == source.read_bytes()
    # whole blocks are read once, and the repeated part once more, by stripes
    stored = sum(map(len, grid.suppliers.objects.values())) // 2
    assert stored <= grid.suppliers.read <= stored + 14 * MIB


@pytest.mark.parametrize("largest", [64 * 1024, 16 * MIB])
async def test_many_files_and_versions(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(download, "WINDOW_BYTES", largest)
    monkeypatch.setattr(download, "WINDOW_LEAST", largest // 4)
    monkeypatch.setattr(download, "WINDOW_ENTRIES", 50)
    monkeypatch.setattr(blockwriter, "CHUNKS_PER_BLOCK", 100)
    monkeypatch.setattr(upload, "BATCH_FILES", 40)
    chance = random.Random(2)
    source = tmp_path / "tree"
    for number in range(300):
        folder = source / f"{number % 7}" / f"{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        data = chance.randbytes(chance.choice([0, 1, 100, 5000, 40_000]))
        (folder / f"{number}").write_bytes(data * chance.choice([1, 1, 3]))
    first = await grid.upload(source, "tree")
    before = contents(source)
    for number in range(0, 300, 9):
        (source / f"{number % 7}" / f"{number % 3}" / f"{number}").write_bytes(b"changed")
    second = await grid.upload(source, "tree")
    for seq, expected in ((first, before), (second, contents(source))):
        target = tmp_path / f"out{seq}"
        restorer = await grid.download("tree", seq, target)
        assert contents(target / "back") == expected
        assert restorer.files == 300
        # what is there already is neither fetched nor written again
        again = await grid.download("tree", seq, target)
        assert again.kept == sum(1 for data in expected.values() if data)
        assert grid.suppliers.read == 0


async def test_a_small_file_in_a_large_block_costs_its_stripe_only(
    grid: Grid, tmp_path: Path
) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    for number in range(120):
        (source / f"{number:03d}").write_bytes(os.urandom(100_000))
    await grid.upload(source, "tree")
    assert len({name for _, name in grid.suppliers.objects}) == 1
    item = grid.box.item("tree/077")
    seq = grid.box.catalog.versions_of(item, 1)[0].version.seq
    await grid.download("tree/077", seq, tmp_path / "out")
    assert (tmp_path / "out" / "back").read_bytes() == (source / "077").read_bytes()
    assert grid.suppliers.read <= 2 * MIB + 8192


async def test_wrong_content_is_never_given_a_name(grid: Grid, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(os.urandom(MIB))
    seq = await grid.upload(source, "file")
    for key, data in grid.suppliers.objects.items():
        grid.suppliers.objects[key] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(BitdustError, match="fragments"):
        await grid.download("file", seq, tmp_path / "out")
    assert not (tmp_path / "out" / "back").exists()


async def test_memory_goes_back_without_a_collection(grid: Grid, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(20 * MIB))
    gc.collect()
    gc.disable()
    try:
        before = mapped()
        seq = await grid.upload(source, "large")
        assert mapped() - before < 8 * MIB
        await grid.download("large", seq, tmp_path / "out")
        assert mapped() - before < 8 * MIB
    finally:
        gc.enable()


def mapped() -> int:
    """Bytes in anonymous mappings as large as those that blocks lie in."""
    from mmap import mmap

    return sum(len(found) for found in gc.get_objects() if isinstance(found, mmap))
