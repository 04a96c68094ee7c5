"""A broker's streams on the disk, and the log of one stream as the core wants it.

Everything that is not written yet is in memory, and the newest of what is; the rest is read from
the file when somebody catches up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import apsw
import msgspec

from bitdust.messaging.broker_reform import Rescue, obey
from bitdust.messaging.database import Database
from bitdust.messaging.group_order import Ordered
from bitdust.messaging.group_wire import Genesis, entry_hash, first_link, next_link

TAIL_BYTES: Final = 2 << 20
"""Of the newest entries of a stream, kept in memory."""

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS streams(
    no INTEGER PRIMARY KEY, stream BLOB NOT NULL UNIQUE, genesis BLOB NOT NULL,
    hired_by BLOB NOT NULL, welcome BLOB NOT NULL, term INTEGER NOT NULL DEFAULT 0,
    voted BLOB NOT NULL DEFAULT x'', committed INTEGER NOT NULL DEFAULT 0,
    epochs BLOB NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS entries(
    stream INTEGER NOT NULL, place INTEGER NOT NULL, term INTEGER NOT NULL, raw BLOB NOT NULL,
    link BLOB NOT NULL, brokers INTEGER NOT NULL, PRIMARY KEY(stream, place)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes ON entries(stream, place) WHERE brokers;
CREATE TABLE IF NOT EXISTS orders(stream INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks(
    stream INTEGER NOT NULL, sender BLOB NOT NULL, counter INTEGER NOT NULL, last BLOB NOT NULL,
    PRIMARY KEY(stream, sender)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Row:
    """One stream on the disk; ``terms`` are the places where another term begins, ``order`` the
    creator's newest order."""

    no: int
    stream: bytes
    genesis: bytes
    hired_by: bytes
    welcome: list[bytes]
    term: int
    voted: bytes
    committed: int
    epochs: bytes
    used: float
    length: int
    size: int
    link: bytes
    terms: list[tuple[int, int]]
    changes: list[tuple[int, bytes]]
    marks: dict[bytes, tuple[int, bytes]]
    tail: list[tuple[int, bytes, bytes]]
    order: bytes = b""


class Watcher(Protocol):
    """Is told what the log holds."""

    def apply(self, place: int, raw: bytes) -> None: ...

    def truncate(self, length: int) -> None: ...


class StreamLog:
    """The entries of one stream.

    Args:
        watcher: told of every entry that comes and goes.
        row: what the disk holds; its ``tail`` reaches back to the committed entries at least.
        read_old: reads places from..until from the disk: term, bytes, link.
        is_change: whether an entry names another set of brokers.
    """

    def __init__(
        self,
        row: Row,
        watcher: Watcher,
        read_old: Callable[[int, int], list[tuple[int, bytes, bytes]]],
        is_change: Callable[[bytes], bool],
    ) -> None:
        self._watcher = watcher
        self._read_old = read_old
        self._is_change = is_change
        self._terms = list(row.terms)
        self._first = row.length - len(row.tail)
        self._tail = deque(row.tail)
        self._tail_bytes = sum(len(raw) for _, raw, _ in row.tail)
        self._link = row.link
        self._start_link = first_link(row.stream)
        self.dirty_from = row.length
        """Entries from here on are not on the disk."""

    @property
    def length(self) -> int:
        """Number of entries."""
        return self._first + len(self._tail)

    @property
    def link(self) -> bytes:
        """The chain's value behind all entries."""
        return self._link

    def term_at(self, place: int) -> int:
        """Term of an entry, 0 before the first."""
        for start, term in reversed(self._terms):
            if place >= start:
                return term
        return 0

    def link_at(self, length: int) -> bytes:
        """The chain's value behind the first ``length`` entries; may read from the disk."""
        if length == 0:
            return self._start_link
        return self._rows(length - 1, length)[0][2]

    def read(self, start: int, max_entries: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Entries from ``start`` on, at least one if there is one."""
        found: list[tuple[int, bytes]] = []
        size = 0
        step = 256
        while start < self.length and len(found) < max_entries:
            for term, raw, _ in self._rows(
                start, min(start + step, start + max_entries - len(found), self.length)
            ):
                size += len(raw)
                if found and size > max_bytes:
                    return found
                found.append((term, raw))
                start += 1
        return found

    def append(self, term: int, raw: bytes) -> None:
        """Add one; it is written with the next flush."""
        if self.term_at(self.length) != term:
            self._terms.append((self.length, term))
        self._watcher.apply(self.length, raw)
        self._link = next_link(self._link, entry_hash(raw))
        self._tail.append((term, raw, self._link))
        self._tail_bytes += len(raw)

    def truncate(self, length: int) -> None:
        """Remove entries from ``length`` on; they are in memory, for they were not committed."""
        self._watcher.truncate(length)
        while self.length > length:
            self._tail_bytes -= len(self._tail.pop()[1])
        while self._terms and self._terms[-1][0] >= length:
            self._terms.pop()
        self._link = self.link_at(length)
        self.dirty_from = min(self.dirty_from, length)

    def unwritten(self) -> list[tuple[int, int, bytes, bytes, bool]]:
        """Rows to be written: place, term, bytes, link, whether it names brokers."""
        start = self.dirty_from
        rows = list(self._slice(start, self.length))
        self.dirty_from = self.length
        return [
            (start + at, term, raw, link, self._is_change(raw))
            for at, (term, raw, link) in enumerate(rows)
        ]

    def forget(self, keep_from: int) -> None:
        """Keep no more than the tail in memory; entries from ``keep_from`` on stay."""
        while self._tail_bytes > TAIL_BYTES and self._first < keep_from:
            self._tail_bytes -= len(self._tail.popleft()[1])
            self._first += 1

    def _rows(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        old = self._read_old(start, min(end, self._first)) if start < self._first else []
        return old + self._slice(max(start, self._first), end)

    def _slice(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        tail = self._tail
        if end - start == len(tail):
            return list(tail)
        return [tail[at] for at in range(start - self._first, end - self._first)]


class BrokerStore:
    """The file of a broker.

    Args:
        database: an open file with ``SCHEMA``.
        reader: a connection of its own, for short reads within the loop.
    """

    def __init__(self, database: Database, reader: apsw.Connection) -> None:
        self.database = database
        self._reader = reader

    @classmethod
    async def open(cls, path: Path, pool: Executor) -> Self:
        """Open or make the file, readable by its owner only.

        Raises:
            IntegrityError: it is damaged, or of another version.
            LocalFileError, DiskFull: it cannot be opened.
        """
        database = await Database.open(path, SCHEMA, SCHEMA_VERSION, pool)
        reader = apsw.Connection(str(path))
        reader.set_busy_timeout(1000)
        return cls(database, reader)

    async def close(self) -> None:
        """Commit what waits, and close."""
        await self.database.close()
        self._reader.close(True)

    async def load(self) -> list[Row]:
        """All streams."""
        return await self.database.read(_load_all)

    async def create(
        self, stream: bytes, genesis: bytes, hired_by: bytes, welcome: list[bytes],
        epochs: bytes, now: float,
    ) -> Row:  # fmt: skip
        """Keep a new stream."""

        def work(db: apsw.Connection) -> Row:
            db.execute(
                "INSERT INTO streams(stream, genesis, hired_by, welcome, epochs, used)"
                " VALUES (?,?,?,?,?,?)",
                (stream, genesis, hired_by, msgspec.msgpack.encode(welcome), epochs, now),
            )
            return _load(db, stream)

        return await self.database.write(work)

    async def obey(
        self, row_no: int, genesis: Genesis, ordered: Ordered, rescue: Rescue, me: bytes
    ) -> Row:
        """Take the creator's order to go on with other brokers."""

        def work(db: apsw.Connection) -> Row:
            obey(db, row_no, genesis, ordered, rescue, me)
            return _load(db, genesis.stream)

        return await self.database.write(work)

    async def drop(self, no: int) -> None:
        """Forget a stream."""

        def work(db: apsw.Connection) -> None:
            for table in ("entries", "marks", "orders"):
                db.execute(f"DELETE FROM {table} WHERE stream = ?", (no,))  # noqa: S608
            db.execute("DELETE FROM streams WHERE no = ?", (no,))

        await self.database.write(work)

    def read_old(self, no: int, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """Entries from the disk."""
        rows: Any = self._reader.execute(
            "SELECT term, raw, link FROM entries WHERE stream = ? AND place >= ? AND place < ?"
            " ORDER BY place",
            (no, start, end),
        )
        return list(rows)


def write_stream(
    db: apsw.Connection,
    no: int,
    start: int,
    rows: list[tuple[int, int, bytes, bytes, bool]],
    vote: tuple[int, bytes] | None,
    committed: int,
    marks: dict[bytes, tuple[int, bytes]],
    epochs: bytes | None,
    used: float,
) -> None:
    """Write what changed in one stream, within a transaction."""
    db.execute("DELETE FROM entries WHERE stream = ? AND place >= ?", (no, start))
    db.executemany(
        "INSERT INTO entries VALUES (?,?,?,?,?,?)",
        [(no, place, term, raw, link, change) for place, term, raw, link, change in rows],
    )
    if vote is not None:
        db.execute("UPDATE streams SET term = ?, voted = ? WHERE no = ?", (*vote, no))
    db.execute("UPDATE streams SET committed = ?, used = ? WHERE no = ?", (committed, used, no))
    if epochs is not None:
        db.execute("UPDATE streams SET epochs = ? WHERE no = ?", (epochs, no))
    db.executemany(
        "INSERT OR REPLACE INTO marks VALUES (?,?,?,?)",
        [(no, sender, counter, last) for sender, (counter, last) in marks.items()],
    )


def _load_all(db: apsw.Connection) -> list[Row]:
    found: Any = db.execute("SELECT stream FROM streams").fetchall()
    return [_load(db, stream) for (stream,) in found]


def _load(db: apsw.Connection, stream: bytes) -> Row:
    found: Any = db.execute(
        "SELECT no, genesis, hired_by, welcome, term, voted, committed, epochs, used FROM streams"
        " WHERE stream = ?",
        (stream,),
    ).fetchone()
    no, genesis, hired_by, welcome, term, voted, committed, epochs, used = found
    counted: Any = db.execute(
        "SELECT count(*), coalesce(sum(length(raw)), 0) FROM entries WHERE stream = ?", (no,)
    ).fetchone()
    length, size = counted
    committed = min(committed, length)
    tail: Any = db.execute(
        "SELECT term, raw, link FROM entries WHERE stream = ? AND place >= ? ORDER BY place",
        (no, committed),
    ).fetchall()
    last: Any = db.execute(
        "SELECT link FROM entries WHERE stream = ? AND place = ?", (no, length - 1)
    ).fetchone()
    terms: Any = db.execute(
        "SELECT min(place), term FROM entries WHERE stream = ? GROUP BY term ORDER BY 1", (no,)
    ).fetchall()
    changes: Any = db.execute(
        "SELECT place, raw FROM entries WHERE stream = ? AND brokers ORDER BY place", (no,)
    ).fetchall()
    marks: Any = db.execute(
        "SELECT sender, counter, last FROM marks WHERE stream = ?", (no,)
    ).fetchall()
    order: Any = db.execute("SELECT raw FROM orders WHERE stream = ?", (no,)).fetchone()
    return Row(
        no, stream, genesis, hired_by, msgspec.msgpack.decode(welcome, type=list[bytes]),
        term, voted, committed, epochs, used, length, size,
        last[0] if last else first_link(stream), terms, changes,
        {sender: (counter, mark) for sender, counter, mark in marks}, tail,
        order[0] if order else b"",
    )  # fmt: skip
