"""Groups in the form of the API."""

from __future__ import annotations

from typing import Any, Final

from bitdust.messaging.group_session import CLOSED, CONNECTED, DISCONNECTED, GroupSession, name_of
from bitdust.messaging.group_store import GroupRow

WANTED_BROKERS: Final = 3


def view_group(
    row: GroupRow, session: GroupSession | None, me: str, *, left: bool
) -> dict[str, Any]:
    """One group.

    Args:
        row: the group.
        session: the own part in it, None when it is not joined.
        me: own global id.
        left: whether it was left since the node started.
    """
    state = row.state
    alias, _, owner = row.key_id.partition("$")
    leader = session.leader if session is not None else None
    broker = "" if leader is None else name_of(leader.idurl)
    positions = [b.node for b in state.brokers]
    condition = session.state if session is not None else CLOSED if left else DISCONNECTED
    errors = [session.error] if session is not None and session.error else []
    if row.genesis and len(state.brokers) < WANTED_BROKERS:
        errors.append(f"{len(state.brokers)} of {WANTED_BROKERS} brokers are hired")
    if row.fork and row.fork not in errors:
        errors.append(row.fork)
    return {
        "group_key_id": row.key_id,
        "alias": alias,
        "label": row.label,
        "creator": row.creator,
        "state": condition,
        "active": condition == CONNECTED,
        "active_broker_id": broker,
        "active_supplier_id": broker,
        "active_supplier_pos": positions.index(leader.node)
        if leader is not None and leader.node in positions
        else -1,
        "active_queue_id": f"{alias}&{owner}&{broker}" if broker else "",
        "participant_id": me,
        "last_sequence_id": state.position - 1,
        "sequence_head": 0 if state.position else -1,
        "sequence_tail": state.position - 1,
        "sequence_count": state.position,
        "epoch": state.epoch,
        "generation": session.brokers.generation if session is not None else 0,
        "brokers": [name_of(b.idurl) for b in state.brokers],
        "brokers_wanted": WANTED_BROKERS,
        "members": members_of_group(row),
        "forked": bool(row.fork),
        "errors": errors,
    }


def members_of_group(row: GroupRow) -> list[str]:
    """Global ids of those who take part, as far as the stream was read."""
    return sorted(name_of(m.idurl) for m in row.state.members.values() if m.state == "active")


def view_queue(view: dict[str, Any], row: GroupRow) -> dict[str, Any]:
    """The queue of a joined group, out of its view."""
    return {
        "group_key_id": row.key_id,
        "queue_id": view["active_queue_id"],
        "active": view["active"],
        "state": view["state"],
        "members": view["members"],
        "sequence_id": view["last_sequence_id"],
        "produced": {
            name_of(m.idurl): m.counter for m in row.state.members.values() if m.state == "active"
        },
    }
