"""A broker's file when the creator of a group orders to go on with other brokers.

Runs within one transaction: the order, what it makes void, what came with it, and everything that
is worked out from the entries that stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import apsw
import msgspec

from bitdust.errors import FormatError
from bitdust.messaging.broker_rules import Rules, encode_epochs
from bitdust.messaging.group_order import Ordered
from bitdust.messaging.group_wire import (
    Genesis,
    Kind,
    decode_entry,
    entry_hash,
    first_link,
    next_link,
)

PAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Rescue:
    """Entries that come with an order, from place ``start`` on."""

    start: int
    raws: list[bytes]


def obey(
    db: apsw.Connection, no: int, genesis: Genesis, ordered: Ordered, rescue: Rescue, me: bytes
) -> None:
    """Take an order.

    A broker that goes on and has, with what came along, everything before the order's place keeps
    it and adds the order; one that lacks some of it begins with nothing and gets it from the
    others. A broker that was replaced only notes the order, and keeps what it has.
    """
    order = ordered.order
    db.execute("INSERT OR REPLACE INTO orders VALUES (?,?)", (no, ordered.raw))
    if me not in {broker.node for broker in order.brokers}:
        return
    rows = _missing(db, no, genesis, ordered, rescue)
    keep = 0 if rows is None else order.base - len(rows)
    db.execute("DELETE FROM entries WHERE stream = ? AND place >= ?", (no, keep))
    if rows is not None:
        link = next_link(order.link, ordered.digest)
        rows.append((order.base, order.term, ordered.raw, link, False))
        db.executemany(
            "INSERT INTO entries VALUES (?,?,?,?,?,?)", [(no, *values) for values in rows]
        )
    length = 0 if rows is None else order.base + 1
    rules = _work_out(db, no, genesis, length)
    db.execute("DELETE FROM marks WHERE stream = ?", (no,))
    db.executemany(
        "INSERT INTO marks VALUES (?,?,?,?)",
        [(no, sender, counter, last) for sender, (counter, last) in rules.marks.items()],
    )
    db.execute(
        "UPDATE streams SET term = max(term, ?), voted = x'', committed = ?, epochs = ?,"
        " welcome = ? WHERE no = ?",
        (
            order.term, length, encode_epochs(rules.epochs),
            msgspec.msgpack.encode([broker.node for broker in order.brokers]), no,
        ),
    )  # fmt: skip


def _missing(
    db: apsw.Connection, no: int, genesis: Genesis, ordered: Ordered, rescue: Rescue
) -> list[tuple[int, int, bytes, bytes, bool]] | None:
    """Rows to be added so that everything before the order is there; None if that cannot be."""
    order = ordered.order
    if _link_at(db, no, genesis, order.base) == order.link:
        return []
    link = _link_at(db, no, genesis, rescue.start)
    if link is None or rescue.start + len(rescue.raws) != order.base:
        return None
    rows = []
    for place, raw in enumerate(rescue.raws, rescue.start):
        link = next_link(link, entry_hash(raw))
        rows.append((place, order.term, raw, link, _names_brokers(raw)))
    return rows if link == order.link else None


def _link_at(db: apsw.Connection, no: int, genesis: Genesis, length: int) -> bytes | None:
    if length == 0:
        return first_link(genesis.stream)
    found: Any = db.execute(
        "SELECT link FROM entries WHERE stream = ? AND place = ?", (no, length - 1)
    ).fetchone()
    return found[0] if found else None


def _names_brokers(raw: bytes) -> bool:
    try:
        return bool(raw) and decode_entry(raw).kind == Kind.BROKERS
    except FormatError:
        return False


def _work_out(db: apsw.Connection, no: int, genesis: Genesis, length: int) -> Rules:
    rules = Rules(genesis, 0)
    for start in range(0, length, PAGE):
        rows: Any = db.execute(
            "SELECT place, raw FROM entries WHERE stream = ? AND place >= ? AND place < ?"
            " ORDER BY place",
            (no, start, min(start + PAGE, length)),
        ).fetchall()
        for place, raw in rows:
            rules.apply(place, raw)
        rules.commit(start + PAGE)
    return rules
