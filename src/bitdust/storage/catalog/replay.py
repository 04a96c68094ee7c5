"""From the journal back to the catalog, and from the catalog to a shorter journal.

Segments are applied in order, each as one transaction together with the position it ends at, so
that a recovery may stop anywhere and go on later. A compacted journal begins a new epoch: its first
segments describe the present state, those after them the changes since.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Final

import apsw

from bitdust.errors import AlreadyExists, FormatError, IntegrityError, InvalidInput, NotFound
from bitdust.ids import GlobalID
from bitdust.storage.catalog import journal as j
from bitdust.storage.catalog.blocks import block_record
from bitdust.storage.catalog.catalog import Catalog, Reads, Transaction
from bitdust.storage.catalog.holders import JournalGap
from bitdust.storage.catalog.runs import decode_runs
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.stage import to_version

_CLEARED: Final = (
    "stage",
    "jobs",
    "orphans",
    "sweeps",
    "entries",
    "versions",
    "fragments",
    "chunks",
)
_ROWS: Final = 512
_BYTES: Final = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Args:
        applied: segments that changed the catalog. skipped: segments it had already.
        complete: False while a compacted journal is only partly there; the catalog is not to be
            used before its other segments are applied.
    """

    applied: int
    skipped: int
    complete: bool


def replay(catalog: Catalog, segments: Iterable[bytes]) -> Replayed:
    """Apply segments, in order, to an empty or older catalog.

    Args:
        catalog: must have nothing unsent of its own.
        segments: as ``pack_segment`` made them; those it has already change nothing.

    Raises:
        JournalGap: a segment is missing; all before it are applied.
        FormatError: no segment, or of a newer version.
        IntegrityError: records that contradict what the catalog holds.
        CatalogBusy: the catalog has unsent changes, or unfinished jobs stand in the way.
    """
    applied = skipped = 0
    for segment in segments:
        if apply_segment(catalog, segment):
            applied += 1
        else:
            skipped += 1
    # One durable transaction makes all those before it durable.
    with catalog._writing(journaling=False, durable=True) as tx:
        complete = tx.meta("loading") == 0
    return Replayed(applied, skipped, complete)


def apply_segment(catalog: Catalog, raw: bytes) -> bool:
    """Apply one segment as one transaction.

    Returns:
        False when the catalog has it already.

    Raises:
        as ``replay``; the catalog is then as it was.
    """
    header, packed = j.unpack_segment(raw)
    if header.format > j.FORMAT:
        raise FormatError(
            f"a journal segment has format {header.format}, this version reads {j.FORMAT}"
        )
    with catalog._writing(journaling=False, durable=False) as tx:
        epoch, seq = tx.journal_position
        if (header.epoch, header.seq) < (epoch, seq):
            return False
        first = seq if header.epoch == epoch else 0
        if header.seq > first:
            raise JournalGap(
                tuple((header.epoch, n) for n in range(first, min(header.seq, first + 10_000)))
            )
        if tx.outbox_size():
            raise CatalogBusy("the catalog has changes of its own that were not sent")
        try:
            begins = ends = False
            for index, record in enumerate(j.decode_records(packed, header.format)):
                if isinstance(record, j.BaseBegun):
                    begins = index == header.seq == 0
                    if not begins:
                        raise IntegrityError("a compacted journal begins in the middle")
                elif index == 0 and header.epoch != epoch:
                    raise IntegrityError("a new epoch of the journal does not begin with a base")
                _apply(tx, record)
                ends = ends or isinstance(record, j.BaseEnded)
            if header.epoch != epoch and not begins:
                raise IntegrityError("a new epoch of the journal begins empty")
        except apsw.ConstraintError as exc:
            raise IntegrityError(f"the journal contradicts itself: {exc}") from exc
        except (NotFound, AlreadyExists, InvalidInput) as exc:
            raise IntegrityError(f"the journal contradicts itself: {exc.message}") from exc
        if header.epoch != epoch:
            tx.set_meta("base_segments", 0)
        if ends:
            tx.set_meta("base_segments", header.seq + 1)
        tx.set_meta("epoch", header.epoch)
        tx.set_meta("next_segment", header.seq + 1)
    return True


def ends_base(raw: bytes) -> bool:
    """Whether the base of a compacted journal ends with this segment.

    Raises:
        FormatError: no segment, or of a newer version.
    """
    header, packed = j.unpack_segment(raw)
    return any(
        isinstance(record, j.BaseEnded) for record in j.decode_records(packed, header.format)
    )


def _apply(tx: Transaction, record: j.Record) -> None:
    match record:
        case j.KeyAdded():
            tx._add_key(record)
            _raise(tx, next_key=record.ref + 1, next_item=record.root + 1)
        case j.OwnerRenamed():
            tx._rename_owner(GlobalID.parse(record.old), GlobalID.parse(record.new))
        case j.ItemsAdded():
            tx._add_items(record)
            _raise(tx, next_item=record.first + len(record.names))
        case j.ItemFlagged():
            tx._flag(record)
        case j.ItemDeleted():
            tx.item(record.item)
            tx._delete_item(record.item)
        case j.ItemsPruned():
            _prune(tx, record)
        case j.BlockStored():
            tx._add_stored_block(record)
            _raise(tx, next_block=record.number + 1, next_chunk=record.first + record.count)
        case j.FragmentsMarked():
            for mark in record.marks:
                tx._mark_fragment(mark)
        case j.SupplierLost():
            tx._supplier_lost(record.supplier)
        case j.BlocksDropped():
            tx._drop_blocks(record)
        case j.BlockRecoded():
            tx._recode(record)
        case j.EntriesOpened():
            tx._open_entries(record)
            _raise(tx, next_version=record.seq + 1)
        case j.EntriesClosed():
            tx._close_entries(record)
            _raise(tx, next_version=record.seq + 1)
        case j.VersionAdded():
            tx._add_version(record)
            _raise(tx, next_version=record.seq + 1)
        case j.VersionMarked():
            tx._mark_version(record)
        case j.VersionDeleted():
            tx._delete_version(record.seq)
        case j.Revised():
            _raise(tx, revision=record.revision)
        case _:
            _apply_base(tx, record)


def _apply_base(tx: Transaction, record: j.Record) -> None:
    match record:
        case j.BaseBegun():
            _clear(tx)
        case j.RootHeld():
            tx.db.execute(
                "UPDATE items SET next_number = ? WHERE id = ?", (record.next_number, record.item)
            )
        case j.ItemsHeld():
            tx.db.executemany(
                "INSERT INTO items VALUES"
                " (?1, (SELECT key FROM items WHERE id = ?2), ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    (i.id, i.parent, i.number, i.name, i.flags, i.created, i.next_number)
                    for i in record.rows
                ),
            )
        case j.EntriesHeld():
            tx._reference((row.content for row in record.rows if row.content), 1)
            tx.db.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
                (
                    (
                        row.item,
                        row.since,
                        row.until,
                        row.type,
                        row.mode,
                        row.mtime_ns,
                        row.size,
                        row.hash,
                        row.target,
                        row.content,
                    )
                    for row in record.rows
                ),
            )
        case j.BaseEnded():
            _raise(
                tx,
                revision=record.revision,
                next_key=record.next_key,
                next_item=record.next_item,
                next_version=record.next_version,
                next_block=record.next_block,
                next_chunk=record.next_chunk,
            )
            tx.set_meta("loading", 0)
        case _:
            raise FormatError("a journal record is out of place")


def _raise(tx: Transaction, **counters: int) -> None:
    """Bring counters up to at least these values."""
    tx.db.executemany("UPDATE meta SET value = max(value, ?2) WHERE name = ?1", counters.items())


def _prune(tx: Transaction, record: j.ItemsPruned) -> None:
    tx.db.execute("DELETE FROM doomed")
    for run in decode_runs(record.items):
        tx.db.execute(
            "INSERT OR IGNORE INTO doomed SELECT id FROM items WHERE id >= ? AND id < ?"
            " AND parent IS NOT NULL",
            (run.start, run.end),
        )
    tx.db.execute("DELETE FROM orphans WHERE item IN (SELECT item FROM doomed)")
    tx._remove_doomed()


def _clear(tx: Transaction) -> None:
    """Empty the catalog for a compacted journal; finished jobs and journal blocks go too."""
    if tx.db.execute("SELECT 1 FROM jobs WHERE state IN ('pending', 'running')").get:
        raise CatalogBusy("unfinished jobs stand in the way of the recovery")
    for table in _CLEARED:
        tx.db.execute(f"DELETE FROM {table}")  # noqa: S608
    tx.db.execute("DELETE FROM blocks")
    tx.db.execute("DELETE FROM doomed")
    tx.db.execute("INSERT INTO doomed SELECT id FROM items")
    tx._remove_doomed()
    tx.db.execute("DELETE FROM keys")
    tx.set_meta("loading", 1)


def snapshot_records(source: Reads) -> Iterator[j.Record]:
    """Records that describe the present state, in bounded memory.

    Args:
        source: the catalog, or a view of it when more than one question must fit together.

    Yields:
        ``BaseBegun`` first and ``BaseEnded`` last; order matters.
    """
    with source._consistent() as db:
        yield j.BaseBegun()
        yield from _key_records(db)
        yield from _item_records(db)
        numbers: Any = db.execute("SELECT number FROM blocks WHERE kind = 1 AND state = 1")
        for (number,) in numbers:
            yield block_record(db, number)
        for row in db.execute("SELECT * FROM versions ORDER BY seq"):
            v = to_version(row)
            yield j.VersionAdded(v.seq, v.root, v.label, v.created, v.state, v.stats)
        yield from _entry_records(db)
        meta: Any = dict(db.execute("SELECT name, value FROM meta"))
        yield j.BaseEnded(
            revision=meta["revision"],
            next_key=meta["next_key"],
            next_item=meta["next_item"],
            next_version=meta["next_version"],
            next_block=meta["next_block"],
            next_chunk=meta["next_chunk"],
        )


def _key_records(db: apsw.Connection) -> Iterator[j.Record]:
    rows: Any = db.execute(
        "SELECT k.ref, k.key_id, k.root, i.created, i.next_number FROM keys k"
        " JOIN items i ON i.id = k.root ORDER BY k.ref"
    )
    for ref, key_id, root, created, next_number in rows:
        yield j.KeyAdded(ref, key_id, root, created)
        yield j.RootHeld(root, next_number)


def _item_records(db: apsw.Connection) -> Iterator[j.Record]:
    # Parents have lower ids than their children.
    items: Any = db.execute(
        "SELECT id, parent, number, name, flags, created, next_number FROM items"
        " WHERE parent IS NOT NULL ORDER BY id"
    )
    rows: list[j.ItemRow] = []
    for row in items:
        rows.append(j.ItemRow(*row))
        if len(rows) >= _ROWS:
            yield j.ItemsHeld(rows)
            rows = []
    if rows:
        yield j.ItemsHeld(rows)


def _entry_records(db: apsw.Connection) -> Iterator[j.Record]:
    entries: Any = db.execute(
        "SELECT item, type, mode, mtime_ns, size, hash, target, content, since, until"
        " FROM entries ORDER BY item, since"
    )
    rows: list[j.EntryRow] = []
    size = 0
    for row in entries:
        size += len(row[7]) + len(row[6])
        if rows and (len(rows) >= _ROWS or size > _BYTES):
            yield j.EntriesHeld(rows)
            rows, size = [], len(row[7]) + len(row[6])
        rows.append(j.EntryRow(*row))
    if rows:
        yield j.EntriesHeld(rows)


class Compaction:
    """A shorter journal in the making: iterate for the records of its segments, in order.

    Seal and store each (``pack_segment(compaction.epoch, n, records)`` for the n-th), then call
    ``tx.adopt_epoch(compaction.epoch, compaction.segments, compaction.outbox_seq)``. Until then the
    old journal stays the valid one; do not send segments of it meanwhile.

    Args:
        catalog: whose present state is described.
        max_bytes: of records in one segment.
        epoch: from ``tx.begin_epoch()``; the next one when None.

    Raises:
        CatalogBusy: on iterating, a deleted version is still being taken away: the old journal
            tells of it already, so the new one must not describe what is left of it.
    """

    def __init__(
        self, catalog: Catalog, max_bytes: int = 4 * 1024 * 1024, epoch: int | None = None
    ) -> None:
        self._catalog = catalog
        self._max_bytes = min(max_bytes, j.MAX_SEGMENT - j.MAX_RECORD)
        self.epoch = catalog.journal_position[0] + 1 if epoch is None else epoch
        self.segments = 0
        self.outbox_seq = 0

    def __iter__(self) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = 0
        with self._catalog.view() as view:
            with view._using() as db:
                if db.execute("SELECT 1 FROM sweeps LIMIT 1").get:
                    raise CatalogBusy("a deleted version is still being taken away")
                self.outbox_seq = db.execute(
                    "SELECT max(coalesce((SELECT max(seq) FROM outbox), 0),"
                    " (SELECT value FROM meta WHERE name = 'outbox_sent'))"
                ).get
            for record in snapshot_records(view):
                raw = j.encode_record(record)
                if parts and size + len(raw) > self._max_bytes:
                    self.segments += 1
                    yield b"".join(parts)
                    parts, size = [], 0
                parts.append(raw)
                size += len(raw)
        self.segments += 1
        yield b"".join(parts)
