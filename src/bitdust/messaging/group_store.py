"""Groups of this node on the disk: keys, place in the stream, members, what waits to be sent.

Tables of the file that holds the history, so that a message, the place in the stream behind it and
the end of its wait are one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import apsw
import msgspec

from bitdust.messaging.database import Database
from bitdust.messaging.group_log import Member, State
from bitdust.messaging.group_wire import (
    MAX_RESCUE,
    Broker,
    Genesis,
    decode_entries,
    decode_struct,
    encode_entries,
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS groups(
    no INTEGER PRIMARY KEY, key_id TEXT NOT NULL UNIQUE, fingerprint BLOB NOT NULL,
    label TEXT NOT NULL, creator TEXT NOT NULL, creator_node BLOB NOT NULL, genesis BLOB NOT NULL,
    voucher BLOB NOT NULL, active INTEGER NOT NULL, position INTEGER NOT NULL, link BLOB NOT NULL,
    epoch INTEGER NOT NULL, keys BLOB NOT NULL, pending BLOB NOT NULL, brokers BLOB NOT NULL,
    signature BLOB NOT NULL, fork TEXT NOT NULL, out INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS group_members(
    grp INTEGER NOT NULL, sender BLOB NOT NULL, counter INTEGER NOT NULL, last BLOB NOT NULL,
    node BLOB NOT NULL, idurl TEXT NOT NULL, wrap BLOB NOT NULL, state TEXT NOT NULL,
    epoch INTEGER NOT NULL, PRIMARY KEY(grp, sender)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS group_outbox(
    no INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, ident TEXT NOT NULL,
    kind INTEGER NOT NULL, body BLOB NOT NULL, opened BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS group_orders(grp INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS group_tail(
    grp INTEGER NOT NULL, start INTEGER NOT NULL, raws BLOB NOT NULL, link BLOB NOT NULL,
    PRIMARY KEY(grp, start)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS group_outbox_ident ON group_outbox(grp, ident);
"""

MAX_GROUPS: Final = 1000
MAX_OUTBOX: Final = 10_000
"""Entries of one group that may wait for a broker."""


@dataclass(slots=True)
class GroupRow:
    """One group.

    Args:
        no: number in the file, 0 before it is there.
        key_id: of the group's key.
        fingerprint: of that key.
        label: words of the creator.
        creator: its address; ``creator_node`` its node id.
        genesis: encoded, empty before the stream was made.
        voucher: encoded, empty for the creator.
        active: whether this member takes part.
        state: place in the stream; meaningful once there is a genesis.
        fork: what was wrong with the stream last, empty if nothing was.
        order: the creator's newest order to go on with other brokers, empty if there was none.
    """

    key_id: str
    fingerprint: bytes
    label: str
    creator: str
    creator_node: bytes
    genesis: bytes = b""
    voucher: bytes = b""
    active: bool = False
    state: State = field(default_factory=lambda: State(0, b"", 0, {}, []))
    fork: str = ""
    no: int = 0
    order: bytes = b""

    def stream(self) -> Genesis:
        """What the stream begins with."""
        return decode_struct(self.genesis, Genesis, 4096)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that waits to be made and sent; ``opened`` is the part that brokers read."""

    no: int
    ident: str
    kind: int
    body: bytes
    opened: bytes


async def load_groups(database: Database) -> list[GroupRow]:
    """All groups."""
    return await database.read(_load)


def save_group(db: apsw.Connection, row: GroupRow) -> None:
    """Write everything but the members; gives a new row its number."""
    state = row.state
    values = (
        row.key_id, row.fingerprint, row.label, row.creator, row.creator_node, row.genesis,
        row.voucher, row.active, state.position, state.link, state.epoch,
        msgspec.msgpack.encode(state.keys), state.pending, msgspec.msgpack.encode(state.brokers),
        state.signature, row.fork, state.out,
    )  # fmt: skip
    if row.no:
        db.execute("DELETE FROM groups WHERE no = ?", (row.no,))
    marks = ",".join("?" * (len(values) + 1))
    db.execute(f"INSERT INTO groups VALUES ({marks})", (row.no or None, *values))  # noqa: S608
    row.no = row.no or db.last_insert_rowid()
    if row.order:
        db.execute("INSERT OR REPLACE INTO group_orders VALUES (?,?)", (row.no, row.order))


def save_progress(db: apsw.Connection, row: GroupRow, changed: Iterable[Member]) -> None:
    """Write how far the stream was read, and members that changed."""
    state = row.state
    db.execute(
        "UPDATE groups SET position = ?, link = ?, epoch = ?, keys = ?, pending = ?, brokers = ?,"
        " signature = ?, out = ? WHERE no = ?",
        (
            state.position, state.link, state.epoch, msgspec.msgpack.encode(state.keys),
            state.pending, msgspec.msgpack.encode(state.brokers), state.signature, state.out,
            row.no,
        ),
    )  # fmt: skip
    db.executemany(
        "INSERT OR REPLACE INTO group_members VALUES (?,?,?,?,?,?,?,?,?)",
        [
            (row.no, m.sender, m.counter, m.last, m.node, m.idurl, m.wrap, m.state, m.epoch)
            for m in changed
        ],
    )


def forget_members(db: apsw.Connection, no: int) -> None:
    """Before the stream is read anew."""
    db.execute("DELETE FROM group_members WHERE grp = ?", (no,))


def drop_group(db: apsw.Connection, no: int) -> None:
    """Forget a group; its history stays."""
    db.execute("DELETE FROM groups WHERE no = ?", (no,))
    for table in ("group_members", "group_outbox", "group_orders", "group_tail"):
        db.execute(f"DELETE FROM {table} WHERE grp = ?", (no,))  # noqa: S608


# --- the newest entries, for brokers who lost them ------------------------------------------


def keep_tail(db: apsw.Connection, no: int, start: int, raws: list[bytes], link: bytes) -> None:
    """Keep a page as it was read, until ``trim_tail``.

    Args:
        start: place of its first entry.
        raws: the entries.
        link: the chain's value behind them.
    """
    db.execute(
        "INSERT OR REPLACE INTO group_tail VALUES (?,?,?,?)",
        (no, start, encode_entries(raws), link),
    )


def trim_tail(db: apsw.Connection, no: int) -> None:
    """Forget what is beyond ``MAX_RESCUE`` bytes."""
    size = 0
    rows: Any = db.execute(
        "SELECT start, length(raws) FROM group_tail WHERE grp = ? ORDER BY start DESC", (no,)
    )
    for start, length in rows:
        size += length
        if size > MAX_RESCUE:
            db.execute("DELETE FROM group_tail WHERE grp = ? AND start <= ?", (no, start))
            return


def read_tail(
    db: apsw.Connection, no: int, start: int, end: int, most: int
) -> tuple[list[bytes], bytes]:
    """Kept entries from ``start`` on, up to ``end``, without a gap.

    Returns:
        The entries, none if the first is not kept, up to about ``most`` bytes; and the chain's
        value behind them.
    """
    found: Any = db.execute(
        "SELECT start, raws, link FROM group_tail WHERE grp = ? AND start < ? AND start >="
        " coalesce((SELECT max(start) FROM group_tail WHERE grp = ? AND start <= ?), ?)"
        " ORDER BY start",
        (no, end, no, start, start),
    ).fetchall()
    raws: list[bytes] = []
    size, link = 0, b""
    for first, body, value in found:
        page = decode_entries(body)
        if first > start + len(raws):
            break
        page = page[start + len(raws) - first :]
        size += sum(map(len, page))
        if start + len(raws) + len(page) > end or (raws and size > most):
            break
        if page:
            raws += page
            link = value
    return raws, link


def drop_tail(db: apsw.Connection, no: int, since: int) -> None:
    """Entries from ``since`` on are not in the stream."""
    db.execute("DELETE FROM group_tail WHERE grp = ? AND start >= ?", (no, since))


def put_waiting(
    db: apsw.Connection, no: int, ident: str, kind: int, body: bytes, opened: bytes = b""
) -> int:
    """Let an entry wait; gives its number."""
    db.execute(
        "INSERT INTO group_outbox(grp, ident, kind, body, opened) VALUES (?,?,?,?,?)",
        (no, ident, kind, body, opened),
    )
    return db.last_insert_rowid()


def count_waiting(db: apsw.Connection, no: int) -> int:
    """How many wait."""
    found: Any = db.execute("SELECT count(*) FROM group_outbox WHERE grp = ?", (no,)).fetchone()
    return int(found[0])


def next_waiting(db: apsw.Connection, no: int, after: int, limit: int) -> list[Waiting]:
    """Those that wait, oldest first, behind number ``after``."""
    found: Any = db.execute(
        "SELECT no, ident, kind, body, opened FROM group_outbox WHERE grp = ? AND no > ?"
        " ORDER BY no LIMIT ?",
        (no, after, limit),
    ).fetchall()
    return [Waiting(*row) for row in found]


def end_waiting(db: apsw.Connection, no: int, idents: Iterable[str]) -> None:
    """They are in the stream, or are given up."""
    db.executemany(
        "DELETE FROM group_outbox WHERE grp = ? AND ident = ?", [(no, ident) for ident in idents]
    )


def _load(db: apsw.Connection) -> list[GroupRow]:
    groups: Any = db.execute("SELECT * FROM groups ORDER BY no").fetchall()
    rows = []
    for found in groups:
        (
            no, key_id, fingerprint, label, creator, creator_node, genesis, voucher, active,
            position, link, epoch, keys, pending, brokers, signature, fork, out,
        ) = found  # fmt: skip
        state = State(
            position,
            link,
            epoch,
            msgspec.msgpack.decode(keys, type=dict[int, bytes]),
            msgspec.msgpack.decode(brokers, type=list[Broker]),
            pending,
            signature,
            out=bool(out),
        )
        members: Any = db.execute(
            "SELECT sender, counter, last, node, idurl, wrap, state, epoch FROM group_members"
            " WHERE grp = ?",
            (no,),
        ).fetchall()
        state.members = {row[0]: Member(*row) for row in members}
        order: Any = db.execute("SELECT raw FROM group_orders WHERE grp = ?", (no,)).fetchone()
        rows.append(
            GroupRow(
                key_id, fingerprint, label, creator, creator_node, genesis, voucher, bool(active),
                state, fork, no, order[0] if order else b"",
            )
        )  # fmt: skip
    return rows
