"""Blocks, the chunks in them, and the fragments of them that suppliers keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import apsw

from bitdust.errors import IntegrityError, InvalidInput, NotInCatalog
from bitdust.storage.catalog.journal import (
    BlockStored,
    ChunkRow,
    StoredFragment,
)
from bitdust.storage.catalog.runs import decode_runs
from bitdust.storage.catalog.source import RUNNING_UPLOADS, Source
from bitdust.storage.catalog.types import (
    BlockRow,
    BlockState,
    ChunkLocation,
    FragmentRow,
    Repair,
)
from bitdust.storage.formats.seal import BlockKind

BLOCK_COLUMNS: Final = (
    "b.number, b.id, b.key, b.kind, b.state, b.name, b.suppliers, b.payload, b.fragment_size,"
    " b.created, b.job"
)


UNUSED: Final = (
    "b.state = 1 AND b.kind = 1 AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.number >= b.first"  # noqa: S608
    " AND c.number < b.first + b.chunks AND c.refs > 0)"
    f" AND b.key NOT IN (SELECT key FROM jobs WHERE {RUNNING_UPLOADS})"
)
"""A stored block that nothing refers to, and that no upload may be counting on."""
_NO_CHUNK: Final = "a file refers to a chunk that the catalog does not have"
_SHORT_RUN: Final = 64
"""Chunks that are looked through one by one."""


def to_block(row: Any) -> BlockRow:
    """A block from its ``BLOCK_COLUMNS``."""
    number, block_id, key, kind, state, *rest = row
    return BlockRow(number, block_id, key, BlockKind(kind), BlockState(state), *rest)


class BlockReads(Source):
    """Questions about blocks, chunks and fragments."""

    def block(self, number: int) -> BlockRow:
        """One block.

        Raises:
            NotInCatalog: no such block.
        """
        with self._using() as db:
            row = db.execute(
                f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.number = ?",  # noqa: S608
                (number,),
            ).fetchone()
        if row is None:
            raise NotInCatalog(f"the catalog has no block {number}")
        return to_block(row)

    def block_by_id(self, block_id: bytes) -> BlockRow | None:
        """The block of that id, or None."""
        with self._using() as db:
            row = db.execute(
                f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.id = ?",  # noqa: S608
                (block_id,),
            ).fetchone()
        return None if row is None else to_block(row)

    def blocks(self, kind: BlockKind, *, after: int = 0, limit: int = 1000) -> list[BlockRow]:
        """Blocks of a kind with numbers above ``after``, rising."""
        with self._using() as db:
            return [
                to_block(row)
                for row in db.execute(
                    f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.number > ? AND b.kind = ?"  # noqa: S608
                    " ORDER BY b.number LIMIT ?",
                    (after, kind, limit),
                )
            ]

    def unsettled_blocks(
        self,
        state: BlockState,
        job: int | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
    ) -> list[BlockRow]:
        """Blocks that are open, or dying; of one job or of all; with numbers above ``after``."""
        if state == BlockState.STORED:
            raise InvalidInput("stored blocks are settled")
        with self._using() as db:
            return [
                to_block(row)
                for row in db.execute(
                    f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.state = ?1 AND b.state != 1"  # noqa: S608
                    " AND b.number > ?3 AND (?2 IS NULL OR b.job = ?2) ORDER BY b.number LIMIT ?4",
                    (state, job, after, -1 if limit is None else limit),
                )
            ]

    def blocks_coded_otherwise(self, n: int, *, after: int = 0, limit: int = 100) -> list[BlockRow]:
        """Data blocks above ``after`` that are not dying and not for ``n`` suppliers, rising."""
        with self._using() as db:
            return [
                to_block(row)
                for row in db.execute(
                    f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.number > ? AND b.kind = 1"  # noqa: S608
                    " AND b.state != 2 AND b.suppliers != ? ORDER BY b.number LIMIT ?",
                    (after, n, limit),
                )
            ]

    def reclaimable(self, limit: int = 100, *, after: int = 0) -> list[int]:
        """Blocks above ``after`` that nothing refers to, rising; looks at all blocks.

        Blocks of a key under which an upload runs are left out.
        """
        with self._using() as db:
            return [
                row[0]
                for row in db.execute(
                    f"SELECT b.number FROM blocks b WHERE b.number > ? AND {UNUSED}"  # noqa: S608
                    " ORDER BY b.number LIMIT ?",
                    (after, limit),
                )
            ]

    def uploads_running(self) -> bool:
        """Whether an upload runs, which may know blocks and items that nothing refers to."""
        with self._using() as db:
            query = f"SELECT 1 FROM jobs WHERE {RUNNING_UPLOADS} LIMIT 1"  # noqa: S608
            return db.execute(query).get is not None

    def unstored_fragments(self) -> int:
        """How many fragments of stored blocks are missing, lost or damaged."""
        with self._using() as db:
            return int(
                db.execute(
                    "SELECT count(*) FROM fragments f CROSS JOIN blocks b ON b.number = f.block"
                    " WHERE f.state != 1 AND b.state = 1"
                ).get
            )

    def fragments(self, block: int) -> list[FragmentRow]:
        """The fragments of a block by position."""
        with self._using() as db:
            return [
                FragmentRow(*row)
                for row in db.execute(
                    "SELECT f.block, f.position, f.hash, f.state, n.node_id, f.challenges"
                    " FROM fragments f LEFT JOIN nodes n ON n.ref = f.supplier"
                    " WHERE f.block = ? ORDER BY f.position",
                    (block,),
                )
            ]

    def holders(self) -> list[bytes]:
        """The node ids of all that keep a fragment now."""
        with self._using() as db:
            return [
                row[0]
                for row in db.execute(
                    "SELECT n.node_id FROM nodes n WHERE EXISTS (SELECT 1 FROM fragments f"
                    " WHERE f.supplier = n.ref AND f.state = 1)"
                )
            ]

    def fragments_at(
        self, supplier: bytes, *, after: int = 0, limit: int = 1000
    ) -> list[FragmentRow]:
        """Fragments of blocks above ``after`` that a supplier keeps, or kept, rising by block."""
        with self._using() as db:
            return [
                FragmentRow(*row)
                for row in db.execute(
                    "SELECT f.block, f.position, f.hash, f.state, n.node_id, f.challenges"
                    " FROM nodes n JOIN fragments f ON f.supplier = n.ref"
                    " WHERE n.node_id = ? AND f.block > ? ORDER BY f.block, f.position LIMIT ?",
                    (supplier, after, limit),
                )
            ]

    def stored_at(self, supplier: bytes, *, after: int = 0, limit: int = 1000) -> list[BlockRow]:
        """Stored blocks above ``after`` of which a supplier keeps a fragment, rising."""
        with self._using() as db:
            return [
                to_block(row)
                for row in db.execute(
                    f"SELECT {BLOCK_COLUMNS} FROM nodes n"  # noqa: S608
                    " CROSS JOIN fragments f ON f.supplier = n.ref"
                    " CROSS JOIN blocks b ON b.number = f.block"
                    " WHERE n.node_id = ? AND f.block > ? AND f.state = 1 AND b.state = 1"
                    " ORDER BY f.block LIMIT ?",
                    (supplier, after, limit),
                )
            ]

    def unstored_at(self, position: int, *, after: int = 0, limit: int = 1000) -> list[BlockRow]:
        """Stored blocks above ``after`` whose fragment of a position is missing or lost, rising."""
        with self._using() as db:
            return [
                to_block(row)
                for row in db.execute(
                    f"SELECT {BLOCK_COLUMNS} FROM fragments f"  # noqa: S608
                    " CROSS JOIN blocks b ON b.number = f.block"
                    " WHERE f.state != 1 AND f.state IN (0, 2) AND f.position = ? AND f.block > ?"
                    " AND b.state = 1 ORDER BY f.block LIMIT ?",
                    (position, after, limit),
                )
            ]

    def known_chunks(
        self, key: int, ids: Iterable[bytes], *, job: int | None = None
    ) -> dict[bytes, int]:
        """Which chunks need not be sent again, with their numbers.

        Args:
            key: reference of the key.
            ids: keyed ids of chunks, 32 bytes each.
            job: also take chunks of blocks this job has open.
        """
        with self._using() as db:
            return dict(
                db.executemany(
                    "SELECT c.id, c.number FROM chunks c JOIN blocks b ON b.number = c.block"
                    " WHERE c.key = ?1 AND c.id = ?2"
                    " AND (b.state = 1 OR (b.state = 0 AND b.job = ?3))",
                    ((key, chunk_id, job) for chunk_id in ids),
                )
            )

    def chunk_locations(self, content: bytes) -> Iterator[ChunkLocation]:
        """Where the chunks of a file are, in the order of the file.

        Holds a connection until exhausted or closed.

        Raises:
            IntegrityError: a chunk the catalog does not have.
            FormatError: not a list of numbers.
        """
        with self._consistent() as db:
            for run in decode_runs(content):
                for place in _locations(db, run.start, run.end):
                    for _ in range(run.length if run.same else 1):
                        yield place

    def chunks_between(
        self, content: bytes, start: int, end: int
    ) -> list[tuple[int, ChunkLocation]]:
        """The chunks that hold a range of a file, with where in the file each begins.

        Args:
            content: the file's chunks, as its entry has them.
            start, end: bytes of the file; what is past its end is left out.

        Raises:
            IntegrityError: a chunk the catalog does not have.
            FormatError: not a list of numbers.
        """
        found: list[tuple[int, ChunkLocation]] = []
        at = 0
        with self._consistent() as db:
            for run in decode_runs(content):
                if at >= end:
                    break
                size = _plain_size(db, run.start, run.end)
                times = run.length if run.same else 1
                if at + size * times <= start:
                    at += size * times
                elif run.same:
                    [chunk] = _locations(db, run.start, run.end)
                    skipped = max(0, start - at) // size if size else times
                    at += skipped * size
                    for _ in range(times - skipped):
                        if at >= end:
                            break
                        found.append((at, chunk))
                        at += size
                else:
                    first, at = _seek(db, run.start, run.end, at, start)
                    for chunk in _locations(db, first, run.end):
                        if at >= end:
                            break
                        if at + chunk.plain > start:
                            found.append((at, chunk))
                        at += chunk.plain
        return found

    def blocks_needing_repair(self, limit: int = 100) -> list[Repair]:
        """Stored blocks that lack fragments, those that lack most first."""
        with self._consistent() as db:
            worst = db.execute(
                "SELECT f.block FROM fragments f JOIN blocks b ON b.number = f.block"
                " WHERE f.state != 1 AND b.state = 1"
                " GROUP BY f.block ORDER BY count(*) DESC, f.block LIMIT ?",
                (limit,),
            ).fetchall()
            return [
                Repair(
                    to_block(
                        db.execute(
                            f"SELECT {BLOCK_COLUMNS} FROM blocks b WHERE b.number = ?",  # noqa: S608
                            (number,),
                        ).fetchone()
                    ),
                    tuple(
                        row[0]
                        for row in db.execute(
                            "SELECT position FROM fragments WHERE block = ? AND state != 1"
                            " ORDER BY position",
                            (number,),
                        )
                    ),
                )
                for (number,) in worst
            ]


def _locations(db: apsw.Connection, first: int, end: int) -> Iterator[ChunkLocation]:
    expected = first
    rows: Any = db.execute(
        "SELECT c.number, c.id, c.block, b.id, c.offset, c.stored, c.plain, c.compressed"
        " FROM chunks c JOIN blocks b ON b.number = c.block"
        " WHERE c.number >= ? AND c.number < ? ORDER BY c.number",
        (first, end),
    )
    for row in rows:
        if row[0] != expected:
            break
        expected += 1
        n, chunk_id, block, block_id, offset, stored, plain, packed = row
        yield ChunkLocation(n, chunk_id, block, block_id, offset, stored, plain, bool(packed))
    if expected != end:
        raise IntegrityError(_NO_CHUNK)


def _plain_size(db: apsw.Connection, first: int, end: int) -> int:
    """Bytes of consecutive chunks."""
    query = "SELECT count(*), coalesce(sum(plain), 0) FROM chunks WHERE number >= ? AND number < ?"
    count, size = db.execute(query, (first, end)).get
    if count != end - first:
        raise IntegrityError(_NO_CHUNK)
    return int(size)


def _seek(db: apsw.Connection, first: int, end: int, at: int, start: int) -> tuple[int, int]:
    """A chunk of a run shortly before where ``start`` lies; it, and where it begins.

    Args:
        first, end: the run. at: where ``first`` begins in the file. start: what is looked for.
    """
    while end - first > _SHORT_RUN:
        middle = (first + end) // 2
        size = _plain_size(db, first, middle)
        if at + size <= start:
            first, at = middle, at + size
        else:
            end = middle
    return first, at


def block_record(db: apsw.Connection, number: int) -> BlockStored:
    """The journal record of a block."""
    row: Any = db.execute(
        "SELECT id, key, payload, fragment_size, created, first, chunks FROM blocks"
        " WHERE number = ?",
        (number,),
    ).fetchone()
    block_id, key, payload, fragment_size, created, first, count = row
    rows: Any = db.execute(
        "SELECT number, id, offset, stored, plain, compressed FROM chunks"
        " WHERE number >= ? AND number < ? ORDER BY number",
        (first, first + count),
    )
    chunks = [
        ChunkRow(n, chunk_id, offset, stored, plain, bool(packed))
        for n, chunk_id, offset, stored, plain, packed in rows
    ]
    fragments = [
        StoredFragment(*row)
        for row in db.execute(
            "SELECT f.hash, f.state, n.node_id, f.challenges FROM fragments f"
            " LEFT JOIN nodes n ON n.ref = f.supplier WHERE f.block = ? ORDER BY f.position",
            (number,),
        )
    ]
    return BlockStored(
        number, block_id, key, payload, fragment_size, created, first, count, chunks, fragments
    )
