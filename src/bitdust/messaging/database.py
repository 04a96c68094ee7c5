"""The SQLite file of this room, and its writer: many changes share one commit.

History, outbox, ratchets and mailboxes are tables of one file, so that a message, the ratchet step
that made it and the wish to send it are one transaction. Whoever writes waits for the disk; those
who write at the same time wait together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import apsw

from bitdust.errors import BitdustError, DiskFull, IntegrityError, LocalFileError, ServiceOff
from bitdust.pool import in_pool

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]

FILE_MODE = 0o600
BUSY_MS = 5000
MAX_BATCH = 64
"""Changes in one transaction."""
MAX_WAITING = 4096
"""Changes that may wait for their turn; more callers wait to be let in."""
READ_CACHE_KIB = 8192
FULL, NORMAL = 2, 1
"""Of SQLite's ``synchronous``: with the second the log is not synced at each commit."""


class Guest(Protocol):
    """Keeps things of the file in memory, and must know what becomes of the transactions."""

    def before_commit(self, db: apsw.Connection) -> None:
        """Write down what was changed in memory alone."""
        ...

    def rolled_back(self) -> None:
        """Nothing of what was changed since the last commit is true."""
        ...


@dataclass(slots=True)
class _Waiting:
    work: Work[Any]
    done: asyncio.Future[Any]
    lasting: bool


class Database:
    """An open file. All work on it runs in the pool.

    Args:
        path: the file; made when missing, readable by its owner only.
        schema: statements for a new file; each must do no harm when its table is there.
        version: of the schema, kept in ``user_version``.
        pool: where the work runs.
    """

    def __init__(self, path: Path, schema: str, version: int, pool: Executor) -> None:
        self.path = path
        self._pool = pool
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._syncs = True
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False
        self._guests: list[Guest] = []
        self._writer = self._connect()
        try:
            found = self._writer.pragma("user_version")
            if found not in (0, version):
                raise IntegrityError(f"{path} is of version {found}, this program knows {version}")
            with self._writer:
                self._writer.execute(schema)
                self._writer.pragma("user_version", version)
            self._reader = self._connect()
            self._reader.pragma("cache_size", -READ_CACHE_KIB)
        except apsw.Error as exc:
            self._shut(self._writer)
            raise self._translate(exc) from exc
        except BitdustError:
            self._shut(self._writer)
            raise

    @classmethod
    async def open(cls, path: Path, schema: str, version: int, pool: Executor) -> Self:
        """Open or make the file.

        Raises:
            IntegrityError: it is damaged, or of another version.
            LocalFileError, DiskFull: it cannot be opened.
        """
        return await in_pool(pool, cls, path, schema, version, pool)

    async def close(self) -> None:
        """Commit what waits, and close."""
        self._closed = True
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        await in_pool(self._pool, self._close)

    def join(self, guest: Guest) -> Callable[[], None]:
        """Tell ``guest`` of all transactions from now on, in the thread that writes.

        Returns:
            A function that ends it.
        """
        self._guests.append(guest)

        def off() -> None:
            if guest in self._guests:
                self._guests.remove(guest)

        return off

    async def write(self, work: Work[T], *, lasting: bool = True) -> T:
        """Run a change; on return it is on the disk.

        Args:
            work: takes the connection, within a transaction that it shares with others. What it
                raises undoes its own change alone; it may be run a second time after somebody
                else's failure.
            lasting: False for what can be had again from elsewhere: it is not waited for the disk,
                and a power failure may undo it. What lasts and was written later keeps it, too.

        Raises:
            LocalFileError, DiskFull, IntegrityError: the file cannot be written.
        """
        if self._closed:
            raise ServiceOff("the messages are closed")
        async with self._room:
            done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(work, done, lasting))
            if self._flusher is None:
                self._flusher = asyncio.create_task(self._flush(), name="write messages")
            return await done

    async def read(self, work: Work[T]) -> T:
        """Run queries.

        Raises:
            LocalFileError, IntegrityError: the file cannot be read.
        """
        return await in_pool(self._pool, self._read, work)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                works = [waiting.work for waiting in batch]
                lasting = any(waiting.lasting for waiting in batch)
                try:
                    outcomes = await in_pool(self._pool, self._commit, works, lasting)
                except BaseException as exc:
                    outcomes = [exc if isinstance(exc, Exception) else ServiceOff("stopped")] * len(
                        batch
                    )
                    self._tell(batch, outcomes)
                    if not isinstance(exc, Exception):
                        raise
                else:
                    self._tell(batch, outcomes)
        finally:
            self._flusher = None

    @staticmethod
    def _tell(batch: list[_Waiting], outcomes: list[Any]) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            done = waiting.done
            if done.done():  # whoever asked was cancelled meanwhile
                continue
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def _commit(self, works: list[Work[Any]], lasting: bool) -> list[Any]:
        with self._writing:
            try:
                if lasting is not self._syncs:
                    self._writer.pragma("synchronous", FULL if lasting else NORMAL)
                    self._syncs = lasting
                return self._transact(works)
            except Exception as exc:
                if len(works) == 1:
                    return [self._translate(exc) if isinstance(exc, apsw.Error) else exc]
            # One of them fails: each gets a transaction of its own.
            outcomes: list[Any] = []
            for work in works:
                try:
                    outcomes += self._transact([work])
                except apsw.Error as exc:
                    outcomes.append(self._translate(exc))
                except Exception as exc:
                    outcomes.append(exc)
            return outcomes

    def _transact(self, works: list[Work[Any]]) -> list[Any]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [work(self._writer) for work in works]
            for guest in self._guests:
                guest.before_commit(self._writer)
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                with contextlib.suppress(apsw.Error):
                    self._writer.execute("ROLLBACK")
            for guest in self._guests:
                guest.rolled_back()
            raise
        return outcomes

    def _read(self, work: Work[T]) -> T:
        with self._reading:
            try:
                return work(self._reader)
            except apsw.Error as exc:
                raise self._translate(exc) from exc

    def _connect(self) -> apsw.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives its side files the mode of the main file.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            os.chmod(self.path, FILE_MODE)
            connection = apsw.Connection(str(self.path))
        except OSError as exc:
            raise LocalFileError(f"cannot open {self.path}: {exc.strerror}") from exc
        except apsw.Error as exc:
            raise self._translate(exc) from exc
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.pragma("journal_mode", "WAL")
            # A ratchet that went back after a crash would use a key twice.
            connection.pragma("synchronous", FULL)
            connection.pragma("secure_delete", 1)
        except apsw.Error as exc:
            self._shut(connection)
            raise self._translate(exc) from exc
        return connection

    def _close(self) -> None:
        with self._writing, self._reading:
            self._shut(self._reader)
            self._shut(self._writer)

    @staticmethod
    def _shut(connection: apsw.Connection) -> None:
        with contextlib.suppress(apsw.Error):
            connection.close(True)

    def _translate(self, exc: apsw.Error) -> BitdustError:
        if isinstance(exc, (apsw.NotADBError, apsw.CorruptError)):
            return IntegrityError(f"{self.path} is damaged", hint="move it away and start again")
        if isinstance(exc, apsw.FullError):
            return DiskFull(f"no room left to write {self.path}")
        return LocalFileError(f"cannot use {self.path}: {exc}")
