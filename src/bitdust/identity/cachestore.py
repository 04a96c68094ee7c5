"""The file of the identity cache: documents by key, names by IDURL. Synchronous; one lock.

Two things are remembered. Per key (node id) the newest document. Per name (IDURL) the key that it
belongs to, and whether a name server said so ("confirmed") or only a document, which may name any
source it likes. A confirmed name never changes its key unless the caller insists.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from bitdust.errors import IntegrityError, InvalidInput, LocalFileError, NotFound
from bitdust.identity.database import close_database, open_database, translate
from bitdust.identity.document import IdentityDocument
from bitdust.ids import IDURL

MAX_NAMES_PER_KEY = 32
"""Addresses remembered per key, former ones included."""
TOUCH_INTERVAL = 60.0
"""Seconds within which a second use of a document is not written down."""
EVICTION_SHARE = 64
"""One part in so many is evicted at once, so that not every new document pays for a search."""

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE documents (
    node_id BLOB PRIMARY KEY, revision INTEGER NOT NULL, xml BLOB NOT NULL,
    fetched REAL NOT NULL, used REAL NOT NULL, pinned INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX documents_used ON documents (pinned, used);
CREATE TABLE names (
    idurl TEXT PRIMARY KEY, node_id BLOB NOT NULL REFERENCES documents ON DELETE CASCADE,
    confirmed INTEGER NOT NULL, seen REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX names_node ON names (node_id);
"""


class CacheStore:
    """Documents in SQLite.

    Args:
        path: the file; a damaged one is put aside as ``*.damaged`` and a new one begun.
        limit: documents kept, at least 1.

    Raises:
        LocalFileError: the file cannot be used.
    """

    def __init__(self, path: Path, limit: int) -> None:
        if limit < 1:
            raise InvalidInput("the identity cache needs room for one document at least")
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self.put_aside = False
        try:
            self._connection = open_database(path, _SCHEMA, version=_SCHEMA_VERSION)
        except (IntegrityError, LocalFileError) as exc:
            if isinstance(exc, LocalFileError) and not path.is_dir():
                raise
            # Everything in it can be fetched again.
            aside = path.with_name(path.name + ".damaged")
            if aside.is_dir() or path.is_dir():
                aside = next(
                    free
                    for number in itertools.count(1)
                    if not (free := path.with_name(f"{path.name}.damaged-{number}")).exists()
                )
            os.replace(path, aside)
            for side in ("-wal", "-shm"):
                path.with_name(path.name + side).unlink(missing_ok=True)
            self._connection = open_database(path, _SCHEMA, version=_SCHEMA_VERSION)
            self.put_aside = True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            close_database(self._connection)

    def add(
        self, document: IdentityDocument, served_at: IDURL | None, replace: bool, now: float
    ) -> tuple[IdentityDocument, IdentityDocument | None]:
        """See ``IdentityCache.add``; also the older document that was replaced, if any."""
        node_id = document.node_id
        with self._session():
            held = self._document(node_id)
            if (
                served_at is not None
                and served_at not in document.sources
                and self._owner(served_at) != (node_id, True)
            ):
                raise IntegrityError(f"what is served at {served_at} is not that person's document")
            names = self._names_to_claim(document, served_at, replace)
            newer = held is None or document.revision > held.revision
            if newer:
                self._connection.execute(
                    "INSERT INTO documents (node_id, revision, xml, fetched, used)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET"
                    " revision = excluded.revision, xml = excluded.xml,"
                    " fetched = excluded.fetched, used = excluded.used",
                    (node_id, document.revision, document.to_xml(), now, now),
                )
            elif served_at is not None:
                # A copy from anybody else proves nothing new: it may be an old one, played again.
                self._connection.execute(
                    "UPDATE documents SET fetched = ?, used = ? WHERE node_id = ?",
                    (now, now, node_id),
                )
            if newer or served_at is not None:
                self._claim(node_id, names, served_at, now)
                self._trim_names(node_id, document)
            self._evict(node_id)
            if newer or held is None:
                return document, held
            return held, None

    def by_name(self, idurl: IDURL, confirmed: bool, now: float) -> IdentityDocument | None:
        """The newest document of the key that owns a name."""
        with self._session():
            owner = self._owner(idurl)
            if owner is None or (confirmed and not owner[1]):
                return None
            return self._use(owner[0], now)

    def by_node(self, node_id: bytes, now: float) -> IdentityDocument | None:
        """The newest document of a key."""
        with self._session():
            return self._use(node_id, now)

    def confirmed_names(self, node_id: bytes) -> list[str]:
        """IDURLs of a key that a name server said belong to it, former ones included."""
        with self._session():
            rows: list[tuple[Any, ...]] = self._connection.execute(
                "SELECT idurl FROM names WHERE node_id = ? AND confirmed = 1 ORDER BY seen",
                (node_id,),
            ).fetchall()
        return [str(row[0]) for row in rows]

    def fetched(self, node_id: bytes) -> float:
        """When a name server, or a newer revision, last spoke for the document; 0 if unknown."""
        with self._session():
            row = self._row("SELECT fetched FROM documents WHERE node_id = ?", (node_id,))
            return float(row[0]) if row else 0.0

    def pin(self, node_id: bytes) -> None:
        """See ``IdentityCache.pin``."""
        with self._session():
            if self._row("SELECT 1 FROM documents WHERE node_id = ?", (node_id,)) is None:
                raise NotFound(f"no identity document of node {node_id.hex()[:16]} is known")
            self._connection.execute(
                "UPDATE documents SET pinned = 1 WHERE node_id = ?", (node_id,)
            )

    def unpin(self, node_id: bytes) -> None:
        """Allow eviction again."""
        with self._session():
            self._connection.execute(
                "UPDATE documents SET pinned = 0 WHERE node_id = ?", (node_id,)
            )

    def forget(self, node_id: bytes) -> None:
        """Drop a document and its names."""
        with self._session():
            self._connection.execute("DELETE FROM documents WHERE node_id = ?", (node_id,))

    def newest_used(self, limit: int) -> tuple[IdentityDocument, ...]:
        """Documents by last use, newest first."""
        with self._session():
            rows: list[tuple[Any, ...]] = self._connection.execute(
                "SELECT xml FROM documents ORDER BY used DESC LIMIT ?", (limit,)
            ).fetchall()
        return tuple(IdentityDocument.parse(row[0]) for row in rows)

    def count(self) -> int:
        """Documents held."""
        with self._session():
            row = self._row("SELECT count(*) FROM documents", ())
            return int(row[0]) if row else 0

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        """The lock and one transaction, with SQLite's errors made ours."""
        try:
            with self._lock, self._connection:
                yield
        except apsw.Error as exc:
            raise translate(exc, self._path) from exc

    def _row(self, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return self._connection.execute(statement, values).fetchone()

    def _document(self, node_id: bytes) -> IdentityDocument | None:
        row = self._row("SELECT xml FROM documents WHERE node_id = ?", (node_id,))
        if row is None:
            return None
        try:
            return IdentityDocument.parse(row[0])
        except IntegrityError:
            # Damaged on disk; its owner or a name server has another copy.
            self._connection.execute("DELETE FROM documents WHERE node_id = ?", (node_id,))
            return None

    def _use(self, node_id: bytes, now: float) -> IdentityDocument | None:
        document = self._document(node_id)
        if document is not None:
            self._connection.execute(
                "UPDATE documents SET used = ? WHERE node_id = ? AND used NOT BETWEEN ? AND ?",
                (now, node_id, now - TOUCH_INTERVAL, now),
            )
        return document

    def _owner(self, idurl: IDURL) -> tuple[bytes, bool] | None:
        row = self._row("SELECT node_id, confirmed FROM names WHERE idurl = ?", (str(idurl),))
        return (bytes(row[0]), bool(row[1])) if row else None

    def _names_to_claim(
        self, document: IdentityDocument, served_at: IDURL | None, replace: bool
    ) -> list[IDURL]:
        """The sources of a document that may point to its key from now on.

        Raises:
            IntegrityError: its address, or the place it was served at, belongs to another key.
        """
        names = []
        for name in document.sources:
            owner = self._owner(name)
            if owner is None or owner[0] == document.node_id or replace:
                names.append(name)
            elif owner[1]:
                if name in (document.idurl, served_at):
                    raise IntegrityError(
                        f"the identity served as {name} has another key than the known one",
                        hint="somebody may be posing as that person; ask them on another channel",
                    )
            elif name == served_at:
                names.append(name)  # a server's word beats a claim that nobody confirmed
        return names

    def _claim(
        self, node_id: bytes, names: list[IDURL], served_at: IDURL | None, now: float
    ) -> None:
        for name in names:
            owner = self._owner(name)
            confirmed = name == served_at or (owner == (node_id, True))
            self._connection.execute(
                "INSERT INTO names (idurl, node_id, confirmed, seen) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (idurl) DO UPDATE SET node_id = excluded.node_id,"
                " confirmed = excluded.confirmed, seen = excluded.seen",
                (str(name), node_id, confirmed, now),
            )

    def _trim_names(self, node_id: bytes, document: IdentityDocument) -> None:
        rows = self._connection.execute(
            "SELECT idurl FROM names WHERE node_id = ? ORDER BY confirmed, seen", (node_id,)
        ).fetchall()
        current = {str(source) for source in document.sources}
        former = [row[0] for row in rows if row[0] not in current]
        for idurl in former[: max(0, len(rows) - MAX_NAMES_PER_KEY)]:
            self._connection.execute("DELETE FROM names WHERE idurl = ?", (idurl,))

    def _evict(self, newcomer: bytes) -> None:
        row = self._row("SELECT count(*) FROM documents", ())
        excess = (int(row[0]) if row else 0) - self._limit
        if excess <= 0:
            return
        # People whose name a server confirmed stay longer than those who only introduced
        # themselves: the latter cost a hostile peer nothing. The newcomer goes last.
        self._connection.execute(
            "DELETE FROM documents WHERE node_id IN ("
            " SELECT node_id FROM documents WHERE pinned = 0 ORDER BY node_id = ?, EXISTS ("
            "  SELECT 1 FROM names WHERE names.node_id = documents.node_id AND confirmed = 1),"
            " used LIMIT ?)",
            (newcomer, excess + self._limit // EVICTION_SHARE),
        )
