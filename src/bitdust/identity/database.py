"""Opening the SQLite files of this room."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import apsw

from bitdust.errors import DiskFull, IntegrityError, LocalFileError
from bitdust.identity.secretfile import FILE_MODE, make_private_directory

BUSY_TIMEOUT_MS = 5000


def open_database(path: Path, schema: str, *, version: int) -> apsw.Connection:
    """Open or make a database that only its owner can read.

    Args:
        schema: statements for a new file.
        version: of the schema, kept in ``user_version``.

    Raises:
        IntegrityError: the file is damaged or of another version.
        LocalFileError, DiskFull: it cannot be opened.
    """
    make_private_directory(path.parent)
    try:
        # SQLite gives its side files the mode of the main file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        connection = apsw.Connection(str(path))
    except OSError as exc:
        raise LocalFileError(f"cannot open {path}: {exc.strerror}") from exc
    except apsw.Error as exc:
        raise LocalFileError(f"cannot open {path}: {exc}") from exc
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        found = connection.pragma("user_version")
        if found == 0:
            with connection:
                connection.execute(schema)
                connection.pragma("user_version", version)
        elif found != version:
            raise IntegrityError(f"{path} is of version {found}, this program knows {version}")
    except apsw.Error as exc:
        close_database(connection)
        raise translate(exc, path) from exc
    except IntegrityError:
        close_database(connection)
        raise
    return connection


def close_database(connection: apsw.Connection) -> None:
    """Close, whatever state it is in."""
    with contextlib.suppress(apsw.Error):
        connection.close(True)


def translate(exc: apsw.Error, path: Path) -> Exception:
    """The error of our tree for one of SQLite."""
    if isinstance(exc, (apsw.NotADBError, apsw.CorruptError)):
        return IntegrityError(f"{path} is damaged", hint="move it away and start again")
    if isinstance(exc, apsw.FullError):
        return DiskFull(f"no room left to write {path}")
    return LocalFileError(f"cannot use {path}: {exc}")
