"""The names of one name server in SQLite. Synchronous; run it in the pool."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from bitdust.errors import IdentityServerError
from bitdust.identity.database import close_database, open_database, translate
from bitdust.identity.document import IdentityDocument
from bitdust.identity.namerules import check_publication
from bitdust.ids import IDURL

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE names (
    name TEXT PRIMARY KEY, xml BLOB NOT NULL, registered REAL NOT NULL, updated REAL NOT NULL
) WITHOUT ROWID;
"""


class NameStore:
    """Documents by user name.

    Args:
        path: the file.
        limit: names kept.

    Raises:
        IntegrityError: the file is damaged.
        LocalFileError, DiskFull: it cannot be used.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._connection = open_database(path, _SCHEMA, version=_SCHEMA_VERSION)
        with self._session():
            row: Any = self._connection.execute("SELECT count(*) FROM names").fetchone()
            self._count = int(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            close_database(self._connection)

    def get(self, name: str) -> bytes | None:
        """The document registered under ``name``."""
        with self._session():
            return self._get(name)

    def put(self, idurl: IDURL, document: IdentityDocument, now: float) -> bool:
        """Register or update; on the disk when this returns.

        Returns:
            whether anything changed.

        Raises:
            InvalidInput, NameTaken, AlreadyExists: as ``check_publication``.
            IdentityServerError: the server is full.
        """
        with self._session():
            raw = self._get(idurl.username)
            held = IdentityDocument.parse(raw) if raw is not None else None
            if not check_publication(held, document, idurl):
                return False
            if held is None and self._count >= self._limit:
                raise IdentityServerError("this identity server takes no more names")
            self._connection.execute(
                "INSERT INTO names (name, xml, registered, updated) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET xml = excluded.xml, updated = excluded.updated",
                (idurl.username, document.to_xml(), now, now),
            )
        if held is None:
            self._count += 1
        return True

    def _get(self, name: str) -> bytes | None:
        row: Any = self._connection.execute(
            "SELECT xml FROM names WHERE name = ?", (name,)
        ).fetchone()
        return bytes(row[0]) if row else None

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        try:
            with self._lock, self._connection:
                yield
        except apsw.Error as exc:
            raise translate(exc, self._path) from exc
