"""The catalog: one SQLite file that knows a person's files under each of their keys.

All methods are synchronous and meant for a thread pool. One object serves many threads: readers
take connections of their own from a small pool, writers take turns at one connection. Every change
is part of a whole transaction, together with the journal record that tells the suppliers of it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import apsw

from bitdust.storage.catalog.blocks import BlockReads
from bitdust.storage.catalog.items import ItemReads
from bitdust.storage.catalog.jobs import JobReads, JobWrites
from bitdust.storage.catalog.journal import Record, Revised, encode_record
from bitdust.storage.catalog.outbox import OutboxReads, OutboxWrites
from bitdust.storage.catalog.schema import close_writer, connect, open_writer, translated_errors
from bitdust.storage.catalog.stage import StageReads
from bitdust.storage.catalog.versions import VersionReads, VersionWrites
from bitdust.storage.catalog.views import ViewReads

MAX_IDLE_READERS: Final = 8
"""Reading connections kept open for the next query."""
OUTBOX_ROW: Final = 256 * 1024
"""Bytes of records gathered into one row of the outbox."""


class Reads(ViewReads, BlockReads, StageReads, ItemReads, JobReads, VersionReads, OutboxReads):
    """All questions the catalog answers."""


class View(Reads):
    """The catalog as it was at one moment, whatever is written meanwhile."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db

    @contextlib.contextmanager
    def _using(self) -> Iterator[apsw.Connection]:
        with translated_errors():
            yield self.db

    def _consistent(self) -> AbstractContextManager[apsw.Connection]:
        return self._using()


class Transaction(VersionWrites, JobWrites, OutboxWrites, View):
    """One whole change of the catalog; it also answers questions, its own changes included."""

    def __init__(self, db: apsw.Connection, *, journaling: bool = True) -> None:
        super().__init__(db)
        self._journaling = journaling
        self._records: list[bytes] = []
        self._size = 0
        self._changed = False

    def _journal(self, record: Record) -> None:
        if not self._journaling:
            return
        self._changed = True
        raw = encode_record(record)
        self._records.append(raw)
        self._size += len(raw)
        if self._size >= OUTBOX_ROW:
            self._post()

    def _post(self) -> None:
        if self._records:
            self.db.execute("INSERT INTO outbox(records) VALUES (?)", (b"".join(self._records),))
            self._records.clear()
            self._size = 0

    def _finish(self) -> None:
        """Raise the revision and put what is gathered into the outbox."""
        if self._changed:
            revision = self._allocate("revision", 1) + 1
            self._journal(Revised(revision))
            self._post()


class Catalog(Reads):
    """The catalog file, open.

    Use ``Catalog.open``; ask questions directly, or several through ``view()``; change through
    ``with catalog.transaction() as tx: tx. …``.
    """

    def __init__(self, path: Path, writer: apsw.Connection) -> None:
        # releases: transactions that let something go, see ``Sink.released``
        self.path = path
        self._writer = writer
        self._turn = threading.Lock()
        self._owner: int | None = None
        self._synchronous = 2
        self.releases = 0
        self._pool = threading.Lock()
        self._idle: list[apsw.Connection] = []
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Catalog:
        """Open the catalog at ``path``; an empty one is made when there is none.

        Raises:
            CatalogDamaged: the file is not a whole catalog; it was left as it is.
            CatalogTooNew: written by a later version.
            DiskFull, LocalFileError: the file system is in the way.
        """
        return cls(path, open_writer(path))

    def close(self) -> None:
        """Wait for the running transaction, bring all into the one file, and close."""
        with self._turn, self._pool:
            if self._closed:
                return
            self._closed = True
            for db in self._idle:
                db.close()
            self._idle.clear()
            close_writer(self._writer)

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Transaction]:
        """A whole change: all of it on leaving the block, nothing of it when an error leaves it.

        Args:
            durable: on disk before this returns. Without it the change may be lost, whole, when the
                power fails before the next durable one; fit for staging and progress.

        Raises:
            CatalogDamaged, DiskFull, LocalFileError: nothing was changed.
        """
        with self._writing(journaling=True, durable=durable) as tx:
            yield tx

    @contextlib.contextmanager
    def _writing(self, *, journaling: bool, durable: bool) -> Iterator[Transaction]:
        me = threading.get_ident()
        if self._owner == me:
            raise RuntimeError("a transaction inside of a transaction")
        with self._turn:
            if self._closed:
                raise RuntimeError("the catalog is closed")
            self._owner = me
            try:
                with translated_errors(self.path):
                    wanted = 2 if durable else 1
                    if wanted != self._synchronous:
                        self._writer.pragma("synchronous", wanted)
                        self._synchronous = wanted
                    with self._begun("BEGIN IMMEDIATE"):
                        tx = Transaction(self._writer, journaling=journaling)
                        yield tx
                        tx._finish()
                    self.releases += tx.released
            finally:
                self._owner = None

    @contextlib.contextmanager
    def _begun(self, begin: str) -> Iterator[None]:
        db = self._writer
        db.execute(begin)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself, after a full disk for one.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def view(self) -> Iterator[View]:
        """The catalog as of now, for several questions that must fit together."""
        with self._consistent() as db:
            yield View(db)

    @contextlib.contextmanager
    def _using(self) -> Iterator[apsw.Connection]:
        with translated_errors(self.path):
            db = self._take()
            try:
                yield db
            finally:
                self._give(db)

    @contextlib.contextmanager
    def _consistent(self) -> Iterator[apsw.Connection]:
        with self._using() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    def _take(self) -> apsw.Connection:
        with self._pool:
            if self._closed:
                raise RuntimeError("the catalog is closed")
            if self._idle:
                return self._idle.pop()
        return connect(self.path, writer=False)

    def _give(self, db: apsw.Connection) -> None:
        with self._pool:
            if not self._closed and len(self._idle) < MAX_IDLE_READERS:
                self._idle.append(db)
                return
        db.close()
