"""Staging and committing: what an upload found, gathered row by row, becomes a version at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import apsw

from bitdust.errors import AlreadyExists, DataUnavailable, InvalidInput, NotInCatalog
from bitdust.ids import check_version, version_name
from bitdust.storage.catalog.items import FOLDER_FLAG, require_hash
from bitdust.storage.catalog.journal import EntriesClosed, EntriesOpened, EntryRow, VersionAdded
from bitdust.storage.catalog.removal import RemovalWrites
from bitdust.storage.catalog.runs import check_runs, decode_runs, encode_numbers
from bitdust.storage.catalog.source import Sink, Source
from bitdust.storage.catalog.types import (
    INODE_MASK,
    BlockState,
    StagedEntry,
    Version,
    VersionState,
    VersionStats,
)

ROWS_PER_RECORD: Final = 512
CLOSED_PER_RECORD: Final = 65_536
_BYTES_PER_RECORD: Final = 128 * 1024
_MAX_LABELS: Final = 10_000
"""Versions of one item within one second."""

_GONE: Final = ""
# Only the last entry of an item may be current; an item may have ten thousand.
_LAST: Final = "(SELECT max(x.since) FROM entries x WHERE x.item = {0})"
_CURRENT: Final = "e.item = {0} AND e.until IS NULL AND e.since = " + _LAST


class StageReads(Source):
    """Questions about uploads under way."""

    def staged_count(self, job: int) -> int:
        """How many rows a job has staged."""
        with self._using() as db:
            return int(db.execute("SELECT count(*) FROM stage WHERE job = ?", (job,)).get)

    def staged(self, job: int, item: int) -> StagedEntry | None:
        """What a job staged for an item; None when nothing, or that it is gone."""
        with self._using() as db:
            row = db.execute(
                "SELECT item, type, mode, mtime_ns, size, hash, target, content, ino, ctime_ns"
                " FROM stage WHERE job = ? AND item = ? AND type != ''",
                (job, item),
            ).fetchone()
        return None if row is None else StagedEntry(*row)

    def staged_children(self, job: int, parent: int) -> dict[bytes, StagedEntry]:
        """What a job staged for the children of a folder, by name: for an upload that resumes."""
        with self._using() as db:
            return {
                row[0]: StagedEntry(*row[1:])
                for row in db.execute(
                    "SELECT i.name, s.item, type, mode, mtime_ns, size, hash, target, content, ino,"
                    " ctime_ns FROM items i JOIN stage s ON s.job = ? AND s.item = i.id"
                    " WHERE i.parent = ? AND type != ''",
                    (job, parent),
                )
            }

    def free_label(self, root: int, when: float) -> str:
        """A version name that no version or unfinished job of ``root`` has yet.

        Args:
            root: item. when: wall clock, seconds.

        Raises:
            AlreadyExists: thousands of versions within this second.
        """
        with self._consistent() as db:
            for serial in range(_MAX_LABELS):
                label = version_name(when, serial)
                taken = db.execute(
                    "SELECT 1 FROM versions WHERE root = ?1 AND label = ?2 UNION ALL"
                    " SELECT 1 FROM jobs WHERE state IN ('pending', 'running')"
                    " AND item = ?1 AND label = ?2 LIMIT 1",
                    (root, label),
                ).get
                if taken is None:
                    return label
        raise AlreadyExists("too many versions within one second")


class StageWrites(Sink, StageReads):
    """Changes on the way to a version."""

    def stage_entries(self, job: int, rows: Iterable[StagedEntry]) -> None:
        """Note what items shall be in the version a job makes; a later row replaces an earlier one.

        The chunks of the rows cannot be reclaimed from now on.

        Raises:
            InvalidInput: a row that cannot be.
            NotInCatalog: the item or the job is not there (any more).
            IntegrityError: a chunk that the catalog does not have.
        """
        checked = list({row.item: _checked(row) for row in rows}.values())
        self._unstage(job, [row.item for row in checked])
        self._reference((row.content for row in checked if row.content), 1)
        self._insert(
            job,
            (
                (
                    job,
                    row.item,
                    row.type,
                    row.mode,
                    row.mtime_ns,
                    row.size,
                    row.hash,
                    row.target,
                    row.content,
                    row.ino & INODE_MASK,
                    row.ctime_ns,
                )
                for row in checked
            ),
        )

    def stage_deleted(self, job: int, items: Iterable[int]) -> None:
        """Note that items, and everything below them, are gone in the version a job makes.

        Raises:
            NotInCatalog: an item or the job is not there (any more).
        """
        gone = list(items)
        self._unstage(job, gone)
        self._insert(job, ((job, item, _GONE, 0, 0, 0, b"", b"", b"", 0, 0) for item in gone))

    def _insert(self, job: int, rows: Iterator[tuple[Any, ...]]) -> None:
        try:
            self.db.executemany(
                "INSERT OR REPLACE INTO stage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
        except apsw.ConstraintError as exc:
            if getattr(exc, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
                raise
            raise NotInCatalog("an item was deleted while it was being stored") from exc

    def _unstage(self, job: int, items: Sequence[int]) -> None:
        contents = [
            row[0]
            for row in self.db.executemany(
                "SELECT content FROM stage WHERE job = ? AND item = ? AND content != x''",
                ((job, item) for item in items),
            )
        ]
        if contents:
            self._reference(iter(contents), -1)
            self.db.executemany(
                "DELETE FROM stage WHERE job = ? AND item = ?", ((job, item) for item in items)
            )

    def drop_stage(self, job: int) -> None:
        """Forget all that a job staged; items only it knew go away with the next ``prune``."""
        self._reference(
            (
                row[0]
                for row in self.db.execute(
                    "SELECT content FROM stage WHERE job = ? AND content != x''", (job,)
                )
            ),
            -1,
        )
        self.db.execute(
            "INSERT OR IGNORE INTO orphans SELECT item FROM stage WHERE job = ?", (job,)
        )
        self.db.execute("DELETE FROM stage WHERE job = ?", (job,))
        if self.db.changes():
            self.released = True


class CommitWrites(StageWrites, RemovalWrites):
    """Making versions."""

    def commit_version(
        self,
        job: int,
        root: int,
        label: str,
        *,
        created: float,
        state: VersionState,
        stats: VersionStats,
    ) -> int:
        """Make what a job staged the newest version of ``root``.

        Items staged as they already are cost nothing; items not staged stay as they are.

        Args:
            job: whose rows. root: item the version belongs to.
            label: its name, such as ``F20160424013912PM``; see ``free_label``.
            created: wall clock, seconds. state, stats: as shown in lists.

        Returns:
            The version's ``seq``, higher than all before.

        Raises:
            NotInCatalog: ``root`` is gone.
            AlreadyExists: ``root`` has a version of that name.
            DataUnavailable: a staged file needs a block that is not stored.
        """
        check_version(label)
        self.item(root)
        if self.db.execute(
            "SELECT 1 FROM versions WHERE root = ? AND label = ?", (root, label)
        ).get:
            raise AlreadyExists(f"there is a version {label} already")
        self._require_blocks(job)
        seq = self._allocate("next_version", 1)
        self._close_gone(job, seq)
        self._skip_unchanged(job)
        self._open_staged(job, seq)
        record = VersionAdded(seq, root, label, created, state, stats)
        self._add_version(record)
        self._journal(record)
        self.db.execute("DELETE FROM stage WHERE job = ?", (job,))
        return seq

    def _require_blocks(self, job: int) -> None:
        """Every chunk a staged file needs must be in a stored block."""
        unsafe: Any = self.db.execute(
            "SELECT first, first + chunks FROM blocks WHERE state != 1 AND kind = 1 AND chunks > 0"
        ).fetchall()
        if not unsafe:
            return
        query = (
            "SELECT 1 FROM chunks c JOIN blocks b ON b.number = c.block"
            " WHERE c.number >= ? AND c.number < ? AND b.state != ? LIMIT 1"
        )
        low, high = min(row[0] for row in unsafe), max(row[1] for row in unsafe)
        for (content,) in self.db.execute(
            "SELECT content FROM stage WHERE job = ? AND content != x''", (job,)
        ):
            for run in decode_runs(content):
                if run.start < high and run.end > low:
                    bounds = (max(run.start, low), min(run.end, high), BlockState.STORED)
                    if self.db.execute(query, bounds).get:
                        raise DataUnavailable("a file needs a block that is not stored yet")

    def _close_gone(self, job: int, seq: int) -> None:
        """Close entries below what is gone or no folder any more, and of what is gone itself."""
        db = self.db
        db.execute("DELETE FROM doomed")
        db.execute(
            "WITH RECURSIVE gone(id) AS ("  # noqa: S608
            "  SELECT item FROM stage WHERE job = ?1 AND type = ''"
            "  UNION"
            f"  SELECT i.id FROM stage s CROSS JOIN entries e ON {_CURRENT.format('s.item')}"
            "    AND e.type = 'd' CROSS JOIN items i ON i.parent = s.item"
            "    WHERE s.job = ?1 AND s.type IN ('f', 'l')"
            "  UNION"
            "  SELECT i.id FROM gone g CROSS JOIN items i ON i.parent = g.id)"
            " INSERT INTO doomed SELECT g.id FROM gone g CROSS JOIN entries e"
            f"  ON {_CURRENT.format('g.id')}"
            "  WHERE NOT EXISTS (SELECT 1 FROM stage s"
            "    WHERE s.job = ?1 AND s.item = g.id AND s.type != '')",
            (job,),
        )
        db.execute(
            "UPDATE entries SET until = ? WHERE until IS NULL AND (item, since) IN"  # noqa: S608
            f" (SELECT d.item, {_LAST.format('d.item')} FROM doomed d)",
            (seq,),
        )
        rows = db.execute("SELECT item FROM doomed ORDER BY item")
        while part := [row[0] for _, row in zip(range(CLOSED_PER_RECORD), rows, strict=False)]:
            self._journal(EntriesClosed(seq, encode_numbers(part)))

    def _skip_unchanged(self, job: int) -> None:
        """Take rows out of the stage that say what the current entry says."""
        same = (
            "SELECT s.item, s.ino, s.ctime_ns, s.content FROM stage s CROSS JOIN entries e"  # noqa: S608
            f" ON {_CURRENT.format('s.item')} WHERE s.job = ? AND e.type = s.type"
            " AND e.mode = s.mode AND e.mtime_ns = s.mtime_ns AND e.size = s.size"
            " AND e.hash = s.hash AND e.target = s.target AND e.content = s.content"
        )
        rows: list[tuple[Any, ...]] = self.db.execute(same, (job,)).fetchall()
        if not rows:
            return
        self.db.executemany(
            "UPDATE entries SET ino = ?1, ctime_ns = ?2 WHERE item = ?3 AND until IS NULL"  # noqa: S608
            f" AND since = {_LAST.format('?3')}",
            ((row[1], row[2], row[0]) for row in rows),
        )
        self._reference((row[3] for row in rows if row[3]), -1)
        self.db.executemany(
            "DELETE FROM stage WHERE job = ? AND item = ?", ((job, row[0]) for row in rows)
        )

    def _open_staged(self, job: int, seq: int) -> None:
        db = self.db
        db.execute(
            "UPDATE entries SET until = ? WHERE until IS NULL AND (item, since) IN"  # noqa: S608
            f" (SELECT s.item, {_LAST.format('s.item')} FROM stage s WHERE s.job = ?"
            " AND s.type != '')",
            (seq, job),
        )
        # The references counted at staging pass to the entries.
        db.execute(
            "INSERT INTO entries SELECT item, ?, NULL, type, mode, mtime_ns, size, hash, target,"
            " content, ino, ctime_ns FROM stage WHERE job = ? AND type != ''",
            (seq, job),
        )
        # What an item was last stored as; most are that already.
        db.execute(
            "UPDATE items SET flags = flags | 1 WHERE flags & 1 = 0 AND id IN"
            " (SELECT item FROM stage WHERE job = ? AND type = 'd')",
            (job,),
        )
        db.execute(
            "UPDATE items SET flags = flags & ~1 WHERE flags & 1 = 1 AND id IN"
            " (SELECT item FROM stage WHERE job = ? AND type IN ('f', 'l'))",
            (job,),
        )
        rows: list[EntryRow] = []
        size = 0
        for row in db.execute(
            "SELECT item, type, mode, mtime_ns, size, hash, target, content FROM stage"
            " WHERE job = ? AND type != '' ORDER BY item",
            (job,),
        ):
            # A long list of chunks travels in a record of its own.
            size += len(row[7])
            if rows and (len(rows) >= ROWS_PER_RECORD or size > _BYTES_PER_RECORD):
                self._journal(EntriesOpened(seq, rows))
                rows, size = [], len(row[7])
            rows.append(EntryRow(*row))
        if rows:
            self._journal(EntriesOpened(seq, rows))

    def _open_entries(self, record: EntriesOpened) -> None:
        """The same from a journal record."""
        db, seq = self.db, record.seq
        self._reference((row.content for row in record.rows if row.content), 1)
        db.executemany(
            "UPDATE entries SET until = ?1 WHERE until IS NULL AND item = ?2"  # noqa: S608
            f" AND since = {_LAST.format('?2')}",
            ((seq, row.item) for row in record.rows),
        )
        db.executemany(
            "INSERT INTO entries VALUES (?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
            (
                (
                    row.item,
                    seq,
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
        db.executemany(
            f"UPDATE items SET flags = (flags & ~{FOLDER_FLAG}) | ? WHERE id = ?",  # noqa: S608
            ((FOLDER_FLAG if row.type == "d" else 0, row.item) for row in record.rows),
        )

    def _close_entries(self, record: EntriesClosed) -> None:
        for run in decode_runs(record.items):
            self.db.execute(
                "UPDATE entries SET until = ? WHERE until IS NULL AND item >= ? AND item < ?",
                (record.seq, run.start, run.end),
            )

    def _add_version(self, record: VersionAdded) -> None:
        stats = record.stats
        self.db.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.seq,
                record.root,
                record.label,
                record.created,
                str(record.state),
                stats.files,
                stats.folders,
                stats.links,
                stats.size,
                stats.new_size,
                stats.stored_size,
                stats.suppliers,
                stats.acks,
            ),
        )


def to_version(row: tuple[Any, ...]) -> Version:
    """A version from a whole row of its table."""
    seq, root, label, created, state, *stats = row
    return Version(seq, root, label, created, VersionState(state), VersionStats(*stats))


def _checked(row: StagedEntry) -> StagedEntry:
    if row.type not in ("f", "d", "l"):
        raise InvalidInput(f"an entry cannot be of type {row.type[:20]!a}")
    require_hash(row.hash, "the hash of an entry", 32 if row.type == "f" else 0)
    if row.type != "f" and row.content:
        raise InvalidInput("only files have content")
    if not (
        0 <= row.mode < 2**32
        and 0 <= row.size < 2**62
        and len(row.target) <= 65_536
        and -(2**63) <= row.mtime_ns < 2**63
        and -(2**63) <= row.ctime_ns < 2**63
    ):
        raise InvalidInput("the mode, size, times or target of an entry is out of range")
    check_runs(row.content)
    return row
