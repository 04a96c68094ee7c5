"""The index of a supplier's disk: one SQLite file with objects, customers and rejections.

Rows of objects can be made again from the directory, so they are committed without waiting for the
disk; contracts and deletions are committed with a full sync. All calls block and are meant for the
pool; one lock lets any thread in.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import apsw

from bitdust.errors import DiskFull, LocalFileError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects(
    customer BLOB NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
    state INTEGER NOT NULL, PRIMARY KEY(customer, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_state ON objects(state) WHERE state != 0;
CREATE TABLE IF NOT EXISTS customers(
    customer BLOB PRIMARY KEY, contract BLOB NOT NULL, family BLOB NOT NULL,
    document BLOB NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected(
    customer BLOB PRIMARY KEY, idurl TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_BLOCK = 4096
_BUSY_MS = 5000
_ASCII_END = "\x7f"


class ObjectState(IntEnum):
    """What is known about an object."""

    GOOD = 0
    BAD = 1
    LOST = 2
    DELETING = 3


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object: name, size in bytes, BLAKE3 hash, state."""

    customer: bytes
    name: str
    size: int
    digest: bytes
    state: ObjectState


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """A customer as kept: encoded contract, family (may be empty), identity document (may be
    empty), and the second it was first accepted."""

    customer: bytes
    contract: bytes
    family: bytes
    document: bytes
    since: int


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over a customer's objects: bytes, count, bytes with the file system's rounding."""

    customer: bytes
    used: int
    count: int
    real: int


class Index:
    """The open database.

    Args:
        path: the SQLite file; made when missing. One that SQLite cannot read is put aside under
            ``<name>.damaged`` and a new one begun.

    Raises:
        LocalFileError: the file cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self.path = path
        self.was_damaged = False
        try:
            self._db = self._open()
        except (apsw.NotADBError, apsw.CorruptError):
            self.was_damaged = True
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{path}{suffix}.damaged")
            self._db = self._open()

    def _open(self) -> apsw.Connection:
        try:
            # SQLite gives its side files the mode of the main file.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = apsw.Connection(str(self.path))
        except (OSError, apsw.CantOpenError) as exc:
            raise LocalFileError(f"the index {self.path} cannot be opened") from exc
        try:
            db.set_busy_timeout(_BUSY_MS)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(_SCHEMA)
            if db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise apsw.CorruptError("quick_check")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self, *, durable: bool) -> Iterator[apsw.Connection]:
        """One transaction under the lock.

        Args:
            durable: return only when the disk has it.

        Raises:
            DiskFull: no room for it; nothing was changed.
            LocalFileError: the index failed; nothing was changed.
        """
        with self._lock:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            try:
                with self._db:
                    yield self._db
            except apsw.FullError as exc:
                raise DiskFull("no room for the index of stored objects") from exc
            except apsw.Error as exc:
                raise LocalFileError("the index of stored objects failed") from exc

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        with self._lock:
            try:
                yield self._db
            except apsw.Error as exc:
                raise LocalFileError("the index of stored objects failed") from exc

    # --- objects --------------------------------------------------------------------------------

    def find(self, customer: bytes, name: str) -> ObjectRow | None:
        """The row of an object, None when there is none or it is being deleted."""
        with self._reading() as db:
            row = db.execute(
                "SELECT customer, name, size, digest, state FROM objects"
                " WHERE customer = ? AND name = ? AND state != ?",
                (customer, name, ObjectState.DELETING),
            ).fetchone()
        return _row(row) if row else None

    def add(self, customer: bytes, name: str, size: int, digest: bytes) -> None:
        """Enter a good object."""
        with self.transaction(durable=False) as db:
            db.execute(
                "INSERT OR REPLACE INTO objects VALUES(?, ?, ?, ?, ?)",
                (customer, name, size, digest, ObjectState.GOOD),
            )

    def mark(self, row: ObjectRow, state: ObjectState) -> bool:
        """Change the state of a good object; False when it is not there as given any more."""
        with self.transaction(durable=False) as db:
            db.execute(
                "UPDATE objects SET state = ? WHERE customer = ? AND name = ? AND digest = ?"
                " AND state = ?",
                (state, row.customer, row.name, row.digest, ObjectState.GOOD),
            )
            return db.changes() == 1

    def begin_delete(self, customer: bytes, names: Sequence[str] | None) -> list[ObjectRow]:
        """Note that objects are to be deleted and return their rows; None means all."""
        with self.transaction(durable=True) as db:
            if names is None:
                cursor = db.execute(
                    "SELECT customer, name, size, digest, state FROM objects"
                    " WHERE customer = ? AND state != ?",
                    (customer, ObjectState.DELETING),
                )
                rows = [_row(row) for row in cursor]
            else:
                rows = []
                for name in dict.fromkeys(names):
                    found = self.find(customer, name)
                    if found is not None:
                        rows.append(found)
            db.executemany(
                "UPDATE objects SET state = ? WHERE customer = ? AND name = ?",
                [(ObjectState.DELETING, row.customer, row.name) for row in rows],
            )
        return rows

    def end_delete(self, rows: Sequence[ObjectRow]) -> None:
        """Forget objects whose files are gone."""
        with self.transaction(durable=False) as db:
            db.executemany(
                "DELETE FROM objects WHERE customer = ? AND name = ? AND state = ?",
                [(row.customer, row.name, ObjectState.DELETING) for row in rows],
            )

    def deleting(self) -> list[ObjectRow]:
        """Objects whose deletion was begun and not ended."""
        with self._reading() as db:
            cursor = db.execute(
                "SELECT customer, name, size, digest, state FROM objects WHERE state = ?",
                (ObjectState.DELETING,),
            )
            return [_row(row) for row in cursor]

    def list_names(self, customer: bytes, prefix: str, after: str, limit: int) -> list[ObjectRow]:
        """Objects whose name begins with ``prefix`` and comes after ``after``, by name."""
        with self._reading() as db:
            cursor = db.execute(
                "SELECT customer, name, size, digest, state FROM objects"
                " WHERE customer = ? AND name >= ? AND name < ? AND name > ? AND state != ?"
                " ORDER BY name LIMIT ?",
                (customer, prefix, prefix + _ASCII_END, after, ObjectState.DELETING, limit),
            )
            return [_row(row) for row in cursor]

    def prefix_size(self, customer: bytes, prefix: str) -> int:
        """Bytes of a customer's objects whose names begin with ``prefix``."""
        with self._reading() as db:
            found: int = db.execute(
                "SELECT coalesce(sum(size), 0) FROM objects WHERE customer = ? AND name >= ?"
                " AND name < ? AND state IN (?, ?)",
                (customer, prefix, prefix + _ASCII_END, ObjectState.GOOD, ObjectState.BAD),
            ).get
            return found

    def walk(self, after: tuple[bytes, str], limit: int) -> list[ObjectRow]:
        """Good objects of all customers in a fixed order, from behind ``after``."""
        with self._reading() as db:
            cursor = db.execute(
                "SELECT customer, name, size, digest, state FROM objects"
                " WHERE (customer, name) > (?, ?) AND state = ? ORDER BY customer, name LIMIT ?",
                (*after, ObjectState.GOOD, limit),
            )
            return [_row(row) for row in cursor]

    def totals(self) -> list[Total]:
        """Sums of every customer over the objects whose files are there."""
        with self._reading() as db:
            cursor = db.execute(
                "SELECT customer, SUM(size), COUNT(*), SUM((size + ? - 1) / ? * ?) FROM objects"
                " WHERE state IN (?, ?) GROUP BY customer",
                (_BLOCK, _BLOCK, _BLOCK, ObjectState.GOOD, ObjectState.BAD),
            )
            return [Total(*row) for row in cursor]

    # --- customers ------------------------------------------------------------------------------

    def save_customer(self, row: CustomerRow) -> None:
        """Enter or replace a customer, durably; a rejection of it ends."""
        with self.transaction(durable=True) as db:
            db.execute("DELETE FROM rejected WHERE customer = ?", (row.customer,))
            db.execute(
                "INSERT OR REPLACE INTO customers VALUES(?, ?, ?, ?, ?)",
                (row.customer, row.contract, row.family, row.document, row.since),
            )

    def drop_customer(self, customer: bytes, rejected: tuple[str, int] | None = None) -> None:
        """Forget a customer, durably.

        Args:
            rejected: its IDURL and the second, when it is not to be hired by again.
        """
        with self.transaction(durable=True) as db:
            db.execute("DELETE FROM customers WHERE customer = ?", (customer,))
            if rejected is not None:
                db.execute("INSERT OR REPLACE INTO rejected VALUES(?, ?, ?)", (customer, *rejected))

    def customers(self) -> list[CustomerRow]:
        """All customers, the first accepted one first."""
        with self._reading() as db:
            cursor = db.execute(
                "SELECT customer, contract, family, document, since FROM customers"
                " ORDER BY since, customer"
            )
            return [CustomerRow(*row) for row in cursor]

    def rejected(self) -> list[bytes]:
        """Node ids of customers that were rejected."""
        with self._reading() as db:
            return [row[0] for row in db.execute("SELECT customer FROM rejected")]

    def forgive(self, customer: bytes) -> None:
        """End the rejection of a customer."""
        with self.transaction(durable=True) as db:
            db.execute("DELETE FROM rejected WHERE customer = ?", (customer,))


def _row(values: tuple[object, ...]) -> ObjectRow:
    customer, name, size, digest, state = values
    assert isinstance(customer, bytes)
    assert isinstance(name, str)
    assert isinstance(size, int)
    assert isinstance(digest, bytes)
    assert isinstance(state, int)
    return ObjectRow(customer, name, size, digest, ObjectState(state))
