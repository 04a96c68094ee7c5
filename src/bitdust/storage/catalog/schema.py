"""The catalog's database: its tables, opening and checking the file, its errors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from bitdust.errors import BitdustError, DiskFull, IntegrityError, LocalFileError

APPLICATION_ID: Final = 0x42444354
"""``BDCT``, in the header of every catalog file."""
BUSY_MS: Final = 10_000
CLOSING_MS: Final = 200
WRITER_CACHE_KIB: Final = 65_536
READER_CACHE_KIB: Final = 8_192
WAL_PAGES: Final = 8192
ALWAYS_CHECKED: Final = 128 * 1024 * 1024
"""Bytes; larger files are checked page by page only when they were not closed in order."""


class CatalogDamaged(IntegrityError):
    """The catalog file is not a whole catalog; move it aside and recover from the journal."""

    code = "catalog_damaged"
    default_hint = "the file was left as it is; the catalog can be brought back from the suppliers"


class CatalogTooNew(BitdustError):
    """The catalog file was written by a later version of this program; it was left as it is."""

    code = "catalog_too_new"
    exit_code = 14
    default_hint = "install the version that wrote it, or a later one"


class CatalogBusy(BitdustError):
    """A running job or an unsent change stands in the way; nothing was changed."""

    code = "busy"
    http_status = 409
    exit_code = 12
    retryable = True
    default_hint = "wait until the running job is done, or stop it"


MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES
        ('revision', 0), ('next_key', 1), ('next_item', 1), ('next_version', 1),
        ('next_block', 1), ('next_chunk', 1), ('epoch', 0), ('next_segment', 0),
        ('outbox_sent', 0), ('loading', 0), ('clean', 0);

    CREATE TABLE keys(
        ref INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL UNIQUE,
        root INTEGER NOT NULL
    ) STRICT;

    -- flags: 1 folder, 2 explicit. Numbers are given once: next_number only grows.
    CREATE TABLE items(
        id INTEGER PRIMARY KEY,
        key INTEGER NOT NULL REFERENCES keys(ref),
        parent INTEGER REFERENCES items(id),
        number INTEGER NOT NULL,
        name BLOB NOT NULL,
        flags INTEGER NOT NULL,
        created REAL NOT NULL,
        next_number INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX items_by_name ON items(parent, name);
    CREATE UNIQUE INDEX items_by_number ON items(parent, number);

    CREATE TABLE versions(
        seq INTEGER PRIMARY KEY,
        root INTEGER NOT NULL REFERENCES items(id),
        label TEXT NOT NULL,
        created REAL NOT NULL,
        state TEXT NOT NULL,
        files INTEGER NOT NULL, folders INTEGER NOT NULL, links INTEGER NOT NULL,
        size INTEGER NOT NULL, new_size INTEGER NOT NULL, stored_size INTEGER NOT NULL,
        suppliers INTEGER NOT NULL, acks INTEGER NOT NULL,
        UNIQUE (root, label)
    ) STRICT;

    -- What an item was from version `since` up to, not including, `until`.
    CREATE TABLE entries(
        item INTEGER NOT NULL REFERENCES items(id),
        since INTEGER NOT NULL,
        until INTEGER,
        type TEXT NOT NULL,
        mode INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        size INTEGER NOT NULL,
        hash BLOB NOT NULL,
        target BLOB NOT NULL,
        content BLOB NOT NULL,
        ino INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        PRIMARY KEY (item, since),
        CHECK (until IS NULL OR until > since)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX entries_by_span ON entries(since, until);

    -- The numbers of a block's chunks are first .. first + chunks - 1, of no other block's.
    CREATE TABLE blocks(
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        key INTEGER NOT NULL REFERENCES keys(ref),
        kind INTEGER NOT NULL,
        state INTEGER NOT NULL,
        name TEXT NOT NULL,
        suppliers INTEGER NOT NULL,
        payload INTEGER NOT NULL,
        fragment_size INTEGER NOT NULL,
        created REAL NOT NULL,
        job INTEGER,
        first INTEGER NOT NULL,
        chunks INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX blocks_by_chunk ON blocks(first) WHERE chunks > 0;
    CREATE INDEX blocks_unsettled ON blocks(state) WHERE state != 1;
    CREATE UNIQUE INDEX blocks_by_name ON blocks(name) WHERE name != '';

    -- refs: how often entries and staged entries use the chunk.
    CREATE TABLE chunks(
        number INTEGER PRIMARY KEY,
        key INTEGER NOT NULL,
        id BLOB NOT NULL,
        block INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        plain INTEGER NOT NULL,
        compressed INTEGER NOT NULL,
        refs INTEGER NOT NULL DEFAULT 0 CHECK (refs >= 0),
        UNIQUE (key, id)
    ) STRICT;

    CREATE TABLE nodes(ref INTEGER PRIMARY KEY, node_id BLOB NOT NULL UNIQUE) STRICT;
    CREATE TABLE fragments(
        block INTEGER NOT NULL REFERENCES blocks(number),
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        state INTEGER NOT NULL,
        supplier INTEGER REFERENCES nodes(ref),
        challenges BLOB NOT NULL,
        PRIMARY KEY (block, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fragments_unstored ON fragments(block) WHERE state != 1;
    CREATE INDEX fragments_by_supplier ON fragments(supplier) WHERE supplier IS NOT NULL;

    CREATE TABLE jobs(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key INTEGER NOT NULL REFERENCES keys(ref),
        item INTEGER,
        local_path BLOB NOT NULL,
        remote_path BLOB NOT NULL,
        label TEXT NOT NULL,
        state TEXT NOT NULL,
        progress BLOB NOT NULL,
        error TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        options BLOB NOT NULL
    ) STRICT;
    CREATE INDEX jobs_unfinished ON jobs(state) WHERE state IN ('pending', 'running');

    -- type '' means: this item and everything below it is gone.
    CREATE TABLE stage(
        job INTEGER NOT NULL REFERENCES jobs(id),
        item INTEGER NOT NULL REFERENCES items(id),
        type TEXT NOT NULL,
        mode INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        size INTEGER NOT NULL,
        hash BLOB NOT NULL,
        target BLOB NOT NULL,
        content BLOB NOT NULL,
        ino INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        PRIMARY KEY (job, item)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX stage_by_item ON stage(item);

    -- Items that lost their last entry and may be taken away when nothing else needs them.
    CREATE TABLE orphans(item INTEGER PRIMARY KEY) STRICT;

    CREATE TABLE outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, records BLOB NOT NULL) STRICT;
    CREATE TABLE segment(
        only INTEGER PRIMARY KEY CHECK (only = 1),
        last INTEGER NOT NULL,
        sealed BLOB
    ) STRICT;
    """,
    """
    -- base_segments: how many of this epoch's segments are its base. newest_epoch: the highest that
    -- was ever begun, whether it was finished or not.
    INSERT INTO meta VALUES ('base_segments', 0), ('newest_epoch', 0);

    -- Versions that are forgotten already, and whose entries are still to be taken away.
    CREATE TABLE sweeps(
        seq INTEGER PRIMARY KEY,
        root INTEGER NOT NULL,
        key INTEGER NOT NULL
    ) STRICT;
    """,
)


@contextlib.contextmanager
def translated_errors(path: Path | None = None) -> Iterator[None]:
    """Turn the database's errors into the documented ones.

    Raises:
        CatalogDamaged: the file is no database, or its pages contradict each other.
        DiskFull: no room to write.
        CatalogBusy: another program holds the file for longer than ``BUSY_MS``.
        LocalFileError: the file cannot be opened, read or written.
    """
    where = f" {path}" if path else ""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as exc:
        raise CatalogDamaged(f"the catalog{where} is damaged: {exc}") from exc
    except apsw.FullError as exc:
        raise DiskFull(f"no room for the catalog{where}") from exc
    except (apsw.BusyError, apsw.LockedError) as exc:
        raise CatalogBusy(f"another program uses the catalog{where}") from exc
    except (apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError, apsw.PermissionsError) as exc:
        raise LocalFileError(f"the catalog{where} cannot be read or written: {exc}") from exc


def connect(path: Path, *, writer: bool) -> apsw.Connection:
    """Open one connection to a catalog that exists and is set up."""
    flags = apsw.SQLITE_OPEN_READWRITE if writer else apsw.SQLITE_OPEN_READONLY
    db = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    try:
        db.set_busy_timeout(BUSY_MS)
        db.pragma("foreign_keys", True)
        db.pragma("temp_store", 2)
        db.pragma("cache_size", -(WRITER_CACHE_KIB if writer else READER_CACHE_KIB))
    except BaseException:
        db.close()
        raise
    return db


def open_writer(path: Path) -> apsw.Connection:
    """Make, check and migrate the catalog file, and open its one writing connection.

    Raises:
        CatalogDamaged: no catalog, or damaged; the file was not changed.
        CatalogTooNew: of a later version.
        DiskFull, LocalFileError: the file system is in the way.
    """
    try:
        # The names of a person's files are nobody else's business: 0600 from the first byte.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise LocalFileError(f"the catalog {path} cannot be opened: {exc.strerror}") from exc
    with translated_errors(path):
        db = connect(path, writer=True)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    empty = db.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if db.pragma("application_id") != APPLICATION_ID and not (empty and version == 0):
        raise CatalogDamaged(f"{path} is a database, but not a catalog")
    if version > len(MIGRATIONS):
        raise CatalogTooNew(
            f"the catalog {path} has format {version}, this program {len(MIGRATIONS)}"
        )
    if not empty:
        _check(db, path)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", 2)
    db.pragma("journal_size_limit", 64 * 1024 * 1024)
    # Ids of chunks are random: seldom checkpoints write each page of their index less often.
    db.pragma("wal_autocheckpoint", WAL_PAGES)
    for number in range(version, len(MIGRATIONS)):
        with db:
            db.execute(MIGRATIONS[number])
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", number + 1)
    _check_tables(db, path)
    db.execute("UPDATE meta SET value = 0 WHERE name = 'clean'")
    # Holds the subtree or the spans an operation works on; of this connection alone.
    db.execute(
        "CREATE TEMP TABLE doomed(item INTEGER PRIMARY KEY);"
        "CREATE TEMP TABLE freed(item INTEGER, since INTEGER, PRIMARY KEY (item, since))"
        " WITHOUT ROWID"
    )


def _check(db: apsw.Connection, path: Path) -> None:
    """Look through the pages when the file is small or was not closed in order."""
    try:
        clean = db.execute("SELECT value FROM meta WHERE name = 'clean'").get
    except apsw.SQLError as exc:
        raise CatalogDamaged(f"the catalog {path} is damaged: {exc}") from exc
    if clean == 1 and path.stat().st_size > ALWAYS_CHECKED:
        return
    found = db.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise CatalogDamaged(f"the catalog {path} is damaged: {str(found)[:200]}")


def _check_tables(db: apsw.Connection, path: Path) -> None:
    """Whether the tables are those this program makes."""
    fresh = apsw.Connection(":memory:")
    try:
        for migration in MIGRATIONS:
            fresh.execute(migration)
        query = (
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
            " WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
        )
        if db.execute(query).get != fresh.execute(query).get:
            raise CatalogDamaged(f"the tables of the catalog {path} are not those of a catalog")
    finally:
        fresh.close()


def close_writer(db: apsw.Connection) -> None:
    """Note that the file was closed in order, bring the log into it, and close."""
    with contextlib.suppress(apsw.Error):
        db.execute("UPDATE meta SET value = 1 WHERE name = 'clean'")
        # A walk may still be reading; the next opening brings the log in then.
        db.set_busy_timeout(CLOSING_MS)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
