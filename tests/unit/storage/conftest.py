"""A catalog with a helper that uploads small trees into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import (
    FragmentMark,
    FragmentState,
    JobKind,
    JobState,
    StagedEntry,
    VersionState,
    VersionStats,
)
from bitdust.storage.formats.packer import BlockEntry

SUPPLIERS = [bytes([n]) * 32 for n in range(4)]

Tree = dict[str, "bytes | Tree"]


class Box:
    """One catalog and what tests do with it all the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalog = Catalog.open(path)
        self.now = 1_700_000_000.0
        with self.catalog.transaction() as tx:
            self.key = tx.ensure_key("master$alice@example.org", self.now)

    def reopen(self) -> None:
        self.catalog.close()
        self.catalog = Catalog.open(self.path)

    def item(self, path: str) -> int:
        found = self.catalog.lookup(self.key, path)
        assert found is not None, path
        return found.id

    def start(self, path: str, state: JobState = JobState.RUNNING) -> tuple[int, int]:
        """A job about a path: its id and the item's."""
        with self.catalog.transaction() as tx:
            item = tx.ensure_path(self.key, path, is_folder=True, created=self.now)[0].id
            job = tx.add_job(
                JobKind.UPLOAD, self.key, created=self.now, item=item, remote_path=path
            )
            tx.update_job(job, updated=self.now, state=state)
        return job, item

    def block(
        self, tx: Transaction, job: int | None, *datas: bytes, stored: bool = True
    ) -> list[int]:
        """A block with these chunks: their numbers."""
        block_id = blake3(b"|".join(datas) + str(tx.meta("next_block")).encode()).digest(16)
        added = tx.add_block(
            block_id,
            self.key,
            [BlockEntry(blake3(d).digest(), n, 1, len(d), False) for n, d in enumerate(datas)],
            [blake3(block_id + bytes([n])).digest() for n in range(4)],
            payload=len(datas),
            fragment_size=100,
            created=self.now,
            challenges=[b"%d" % n for n in range(4)],
            job=job,
        )
        if stored:
            tx.mark_fragments(
                FragmentMark(added.number, n, FragmentState.STORED, supplier=SUPPLIERS[n])
                for n in range(4)
            )
            tx.block_stored(added.number)
        return list(added.chunks)

    def file(self, tx: Transaction, job: int, item: int, data: bytes) -> StagedEntry:
        chunk = blake3(data).digest()
        known = tx.known_chunks(self.key, [chunk])
        number = known[chunk] if known else self.block(tx, job, data)[0]
        content = encode_numbers([number]) if data else b""
        return StagedEntry(item, "f", 0o644, 5, len(data), blake3(data).digest(), b"", content)

    def stage(self, tx: Transaction, job: int, item: int, value: bytes | Tree) -> None:
        if isinstance(value, bytes):
            tx.stage_entries(job, [self.file(tx, job, item, value)])
            return
        tx.stage_entries(job, [StagedEntry(item, "d", 0o755, 5)])
        known = tx.children(item)
        made = tx.ensure_children(item, [name.encode() for name in value], created=self.now)
        tx.stage_deleted(
            job, [c.item for n, c in known.items() if n.decode() not in value and c.entry]
        )
        for name, below in value.items():
            self.stage(tx, job, made[name.encode()], below)

    def upload(self, path: str, value: bytes | Tree) -> int:
        """Store a tree as a new version: its seq."""
        self.now += 1
        job, item = self.start(path)
        with self.catalog.transaction() as tx:
            self.stage(tx, job, item, value)
            return self.commit(tx, job, item)

    def commit(self, tx: Transaction, job: int, item: int) -> int:
        seq = tx.commit_version(
            job,
            item,
            tx.free_label(item, self.now),
            created=self.now,
            state=VersionState.STORED,
            stats=VersionStats(suppliers=4, acks=4),
        )
        tx.update_job(job, updated=self.now, state=JobState.DONE)
        return seq

    def snapshot(self, path: str, seq: int) -> dict[str, int]:
        """What a version holds, with sizes."""
        return {
            b"/".join(below).decode(): entry.size
            for below, entry in self.catalog.walk_snapshot(self.item(path), seq)
        }


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "catalog.db")
    yield made
    made.catalog.close()
