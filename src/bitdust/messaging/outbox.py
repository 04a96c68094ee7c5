"""What waits to be delivered, and the counters of each correspondence. Within a transaction."""

from __future__ import annotations

from typing import Any, Final

import apsw
import msgspec

from bitdust.messaging.letters import Kind

MAX_WAITING_PER_PEER: Final = 2000
"""Messages that may wait for one person."""
MAX_BYTES_PER_PEER: Final = 32 * 1024 * 1024
LIFETIME: Final = 30 * 86400.0
"""Seconds after which an undelivered message is given up."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox(
    no INTEGER PRIMARY KEY AUTOINCREMENT, message_id BLOB NOT NULL UNIQUE, peer BLOB NOT NULL,
    kind TEXT NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL, created REAL NOT NULL,
    envelope BLOB, copies INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS outbox_peer ON outbox(peer, no);
CREATE INDEX IF NOT EXISTS outbox_place ON outbox(peer, place);
CREATE TABLE IF NOT EXISTS peers(
    peer BLOB PRIMARY KEY, name TEXT NOT NULL DEFAULT '', epoch_out BLOB NOT NULL DEFAULT x'',
    sent INTEGER NOT NULL DEFAULT 0, epoch_in BLOB NOT NULL DEFAULT x'',
    got INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS noted(
    no INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, message_id BLOB NOT NULL,
    UNIQUE(peer, message_id));
CREATE TABLE IF NOT EXISTS held(
    peer BLOB NOT NULL, place INTEGER NOT NULL, message_id BLOB NOT NULL, data BLOB NOT NULL,
    time REAL NOT NULL, arrived REAL NOT NULL, PRIMARY KEY(peer, place)) WITHOUT ROWID;
"""


class Row(msgspec.Struct):
    """One message on its way.

    Args:
        no: its number in the outbox.
        message_id: 16 bytes.
        peer: node id of the receiver.
        kind: of its payload.
        place: see ``Payload``.
        data: of its payload.
        created: when it was written.
        envelope: encrypted and encoded, None while there is no session.
        copies: how many mailboxes hold it.
    """

    no: int
    message_id: bytes
    peer: bytes
    kind: Kind
    place: int
    data: bytes
    created: float
    envelope: bytes | None
    copies: int


_COLUMNS = "no, message_id, peer, kind, place, data, created, envelope, copies"


def add_row(
    db: apsw.Connection, message_id: bytes, peer: bytes, kind: Kind, data: bytes, now: float,
    epoch: bytes,
) -> Row:  # fmt: skip
    """Enter a message; one of kind ``message`` gets the next place.

    Args:
        epoch: for the counter, if it begins now.
    """
    place = 0
    if kind == "message":
        row: Any = db.execute(
            "INSERT INTO peers(peer, epoch_out, sent) VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET"
            " sent = sent + 1, epoch_out = iif(epoch_out = x'', ?2, epoch_out) RETURNING sent",
            (peer, epoch),
        ).fetchall()
        place = row[0][0]
    no: Any = db.execute(
        "INSERT INTO outbox(message_id, peer, kind, place, data, created)"
        " VALUES (?,?,?,?,?,?) RETURNING no",
        (message_id, peer, kind, place, data, now),
    ).fetchall()[0][0]
    return Row(no, message_id, peer, kind, place, data, now, None, 0)


def counter(db: apsw.Connection, peer: bytes, before: int) -> tuple[bytes, int]:
    """The epoch of what is written to a person, and the lowest place that waits, ``before`` when
    none is lower."""
    row: Any = db.execute("SELECT epoch_out FROM peers WHERE peer = ?", (peer,)).fetchone()
    low: Any = db.execute(
        "SELECT min(place) FROM outbox WHERE peer = ? AND place > 0", (peer,)
    ).fetchone()
    return (row[0] if row and row[0] else bytes(8)), min(low[0] or before, before)


def rows_for(db: apsw.Connection, peer: bytes) -> list[Row]:
    """All that waits for a person, oldest first."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE peer = ? ORDER BY no LIMIT ?",  # noqa: S608
        (peer, MAX_WAITING_PER_PEER * 2),
    )
    return [Row(*row) for row in found]


def peers_waiting(db: apsw.Connection) -> list[bytes]:
    """Who is waited for."""
    return [row[0] for row in db.execute("SELECT DISTINCT peer FROM outbox")]


def set_envelope(db: apsw.Connection, row: Row, envelope: bytes | None) -> None:
    """Keep the encrypted form of a message, or forget it."""
    db.execute("UPDATE outbox SET envelope = ?, copies = 0 WHERE no = ?", (envelope, row.no))


def set_copies(db: apsw.Connection, no: int, copies: int) -> None:
    """So many mailboxes hold it."""
    db.execute("UPDATE outbox SET copies = ? WHERE no = ?", (copies, no))


def remove_row(db: apsw.Connection, peer: bytes, message_id: bytes) -> bool:
    """It arrived, or is given up; False when it was gone before."""
    db.execute("DELETE FROM outbox WHERE message_id = ? AND peer = ?", (message_id, peer))
    return db.changes() > 0
