"""What a node remembers of one share beside the catalogs: charter, chains of journals, history.

All of it can be had again: the charter from the suppliers, the chains from the journals, the
history from catalogs and charters. One small SQLite file; its calls block and are meant for the
pool.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import structlog

from bitdust.errors import DiskFull, LocalFileError

log = structlog.get_logger(component="shares")

KEPT_LINKS: Final = 20_000
"""Links of one journal that are remembered; older ones are forgotten."""
KEPT_LOG: Final = 100_000
"""Rows of the history; the oldest go first."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links(
    writer BLOB NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, link BLOB NOT NULL,
    PRIMARY KEY (writer, epoch, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log(
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    path TEXT NOT NULL, detail TEXT NOT NULL, mark TEXT NOT NULL UNIQUE) STRICT;
CREATE INDEX IF NOT EXISTS log_by_time ON log(time);
PRAGMA user_version = 1;
"""
_BUSY_MS: Final = 5000


@dataclass(frozen=True, slots=True)
class Happening:
    """A row of a share's history.

    Args:
        time: wall clock, seconds.
        who: global id of the person, or empty when nobody did it.
        what: ``created``, ``granted``, ``revoked``, ``opened``, ``closed``, ``uploaded``,
            ``deleted``, ``refused``.
        path: of a file, or empty.
        detail: more about it, such as a version or another person.
        mark: the same for the same happening, so that it is entered once.
    """

    time: float
    who: str
    what: str
    path: str = ""
    detail: str = ""
    mark: str = ""


class ShareLedger:
    """The file, open.

    Args:
        path: made when missing, with mode 0600. One that cannot be read is put aside as
            ``*.damaged`` and begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._db = self._open()
        except (apsw.NotADBError, apsw.CorruptError):
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.replace(path.with_name(path.name + ".damaged"))
            log.warning("a damaged file of a share was put aside", file=str(path))
            self._db = self._open()

    def _open(self) -> apsw.Connection:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = apsw.Connection(str(self._path))
        except (OSError, apsw.CantOpenError) as exc:
            raise LocalFileError(
                f"{self._path} cannot be opened", hint="move it away; it is made anew"
            ) from exc
        try:
            db.set_busy_timeout(_BUSY_MS)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _using(self) -> Any:
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except apsw.FullError as exc:
                raise DiskFull(f"no room for {self._path.name}") from exc
            except apsw.Error as exc:
                raise LocalFileError(f"{self._path} cannot be read or written: {exc}") from exc

    # --- state ----------------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        """A value, empty when there is none."""
        with self._using() as db:
            found = db.execute("SELECT value FROM state WHERE name = ?", (name,)).get
            return b"" if found is None else bytes(found)

    def set(self, name: str, value: bytes) -> None:
        """Keep a value; on disk at return."""
        with self._using() as db:
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    # --- chains ---------------------------------------------------------------------------------

    def link(self, writer: bytes, epoch: int, seq: int) -> bytes | None:
        """What a segment of a journal follows, None when that is not known."""
        with self._using() as db:
            found = db.execute(
                "SELECT link FROM links WHERE writer = ? AND epoch = ? AND seq = ?",
                (writer, epoch, seq),
            ).get
            return None if found is None else bytes(found)

    def add_link(self, writer: bytes, epoch: int, seq: int, link: bytes) -> None:
        """Remember what a segment must follow; on disk at return."""
        with self._using() as db:
            db.execute(
                "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)", (writer, epoch, seq, link)
            )
            db.execute(
                "DELETE FROM links WHERE writer = ? AND epoch = ? AND seq < ?",
                (writer, epoch, seq - KEPT_LINKS),
            )

    def heads(self) -> list[tuple[bytes, int, int, bytes]]:
        """The newest link of every writer: writer, epoch, number, link."""
        with self._using() as db:
            return [
                (bytes(writer), epoch, seq, bytes(link))
                for writer, epoch, seq, link in db.execute(
                    "SELECT writer, epoch, seq, link FROM links l WHERE (epoch, seq) ="
                    " (SELECT epoch, seq FROM links m WHERE m.writer = l.writer"
                    "  ORDER BY epoch DESC, seq DESC LIMIT 1) ORDER BY writer"
                )
            ]

    def forget_links(self, writer: bytes) -> None:
        """Forget a writer's chain, as its journal is read from the start again."""
        with self._using() as db:
            db.execute("DELETE FROM links WHERE writer = ?", (writer,))

    # --- history --------------------------------------------------------------------------------

    def enter(self, happenings: Iterable[Happening]) -> int:
        """Add what is not there yet; how many rows are new."""
        with self._using() as db:
            before = db.total_changes()
            db.executemany(
                "INSERT OR IGNORE INTO log(time, who, what, path, detail, mark)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (h.time, h.who, h.what, _clean(h.path), _clean(h.detail), h.mark)
                    for h in happenings
                ),
            )
            added: int = db.total_changes() - before
            if added:
                db.execute("DELETE FROM log WHERE id <= (SELECT max(id) FROM log) - ?", (KEPT_LOG,))
            return added

    def history(self, limit: int, offset: int) -> list[Happening]:
        """A page of the history, the latest first."""
        with self._using() as db:
            return [
                Happening(*row)
                for row in db.execute(
                    "SELECT time, who, what, path, detail, mark FROM log"
                    " ORDER BY time DESC, id DESC LIMIT ? OFFSET ?",
                    (limit, offset),
                )
            ]


def _clean(text: str) -> str:
    """Text for the database: names with bytes that are no characters are shown with marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
