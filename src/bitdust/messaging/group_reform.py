"""The creator goes on with other brokers when most of the old ones are lost for good.

What any reachable broker or member knows is brought together first: what brokers know to be
committed, then what members read, then what a broker has without knowing whether it was committed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from bitdust.errors import AccessDenied, BitdustError, InvalidInput, PeerUnreachable
from bitdust.messaging.group_around import Around
from bitdust.messaging.group_brokers import READ_TIMEOUT, WANTED
from bitdust.messaging.group_keys import make_entry
from bitdust.messaging.group_log import Content, Moved
from bitdust.messaging.group_order import Order
from bitdust.messaging.group_store import read_tail
from bitdust.messaging.group_wire import (
    MAX_PAGE_BODY,
    MAX_RESCUE,
    READ,
    RECALL,
    REFORM,
    Attached,
    Broker,
    Kind,
    Page,
    Read,
    Reform,
    decode_entries,
    encode_entries,
)

if TYPE_CHECKING:
    from bitdust.messaging.group_session import GroupSession

RECALL_TIMEOUT: Final = 5.0
RECALL_AT_ONCE: Final = 16
PATIENCE: Final = 10.0
"""Seconds for which the brokers may yet go on by themselves."""

log = structlog.get_logger(component="groups")


async def reform(session: GroupSession, around: Around) -> None:
    """Begin a new set of brokers; see the module.

    Raises:
        AccessDenied: only the creator may.
        InvalidInput: the brokers are well.
        PeerUnreachable: there are no brokers, or nobody has the beginning of the stream any more.
    """
    if session.keys.sender != session.reader.genesis.owner:
        raise AccessDenied(
            "only the creator of a group may go on without most of its brokers",
            hint=f"ask {session.row.creator}, or make a new group",
        )
    if await session.until(lambda: session.connected, PATIENCE):
        raise InvalidInput("the brokers of the group are well; nothing has to be forced")
    survivors = await _survivors(session)
    await _recall(session, around)
    for broker, _ in survivors:
        await _beyond(session, around, broker)
    old = session.brokers.current()
    lost = {b.node for b in old} - {b.node for b, _ in survivors}
    brokers = [broker for broker, _ in survivors][:WANTED]
    if len(brokers) < WANTED:
        known = {b.node for b in brokers} | lost | session.brokers.trust.liars
        brokers += await around.find_brokers(WANTED - len(brokers), known)
    if not brokers:
        raise PeerUnreachable(
            "no node was found that could keep this group",
            hint="wait until other nodes are online, or name some in"
            " `services/private-groups/preferred-brokers`",
        )
    raw = _order(session, around, brokers)
    lengths = {broker.node: state.length for broker, state in survivors}
    if not survivors:
        lengths[brokers[0].node] = 0
    bodies = await _rescues(session, around, lengths)
    await session.obey(raw)
    failures = []
    for broker in brokers:
        try:
            if broker.node not in {b.node for b, _ in survivors}:
                await around.hire(broker, session.reader, brokers, fresh=True)
            if broker.node in bodies:
                start, body = bodies[broker.node]
                ask = Reform(session.reader.stream, raw, start)
                response = await around.ask(broker, REFORM, ask, body=body, timeout=READ_TIMEOUT)
                response.close()
        except BitdustError as exc:
            log.warning("a broker does not take the creator's order", reason=exc.message)
            failures.append(exc)
    if len(failures) == len(brokers):
        raise failures[0]


async def _survivors(session: GroupSession) -> list[tuple[Broker, Attached]]:
    found = []
    for broker in session.brokers.current():
        if not session.brokers.trust.trusted(broker.node):
            continue
        try:
            found.append((broker, await session.brokers.visit(broker)))
        except BitdustError as exc:
            log.info("a broker of a group is lost", who=broker.idurl, reason=exc.message)
    return sorted(found, key=lambda pair: -pair[1].length)


async def _recall(session: GroupSession, around: Around) -> None:
    """Read from other members what no broker has any more."""
    free = asyncio.Semaphore(RECALL_AT_ONCE)

    async def ask(who: Broker) -> None:
        async with free:
            while await _read_on(session, around, who, RECALL, RECALL_TIMEOUT):
                pass

    people = [
        Broker(member.node, member.idurl)
        for member in session.reader.active()
        if member.node and member.node != around.me
    ]
    await asyncio.gather(*(ask(who) for who in people))


async def _beyond(session: GroupSession, around: Around, broker: Broker) -> None:
    while await _read_on(session, around, broker, READ, READ_TIMEOUT):
        pass


async def _read_on(
    session: GroupSession, around: Around, who: Broker, method: str, timeout: float
) -> bool:
    """Read one page from somebody; False when nothing came of it."""
    before = session.row.state.position
    ask = Read(session.reader.stream, before, beyond=True)
    try:
        response = await around.ask(who, method, ask, timeout=timeout)
        raw = await response.read(MAX_PAGE_BODY)
        if not raw:
            return False
        await session.take(who, response.decode(Page), decode_entries(raw), tentative=True)
    except BitdustError as exc:  # it is away, or has something that others do not have
        log.info("nothing more is to be had", who=who.idurl, reason=exc.message)
        return False
    return session.row.state.position > before


def _order(session: GroupSession, around: Around, brokers: list[Broker]) -> bytes:
    state, me = session.row.state, session.reader.me
    key = session.reader.epoch_key(state.epoch)
    if key is None:
        raise PeerUnreachable("the group's key of today is missing")
    order = Order(session.brokers.generation + 1, state.position, state.link, brokers)
    return make_entry(
        Kind.ORDER,
        state.epoch,
        key,
        session.keys,
        stream=session.reader.stream,
        counter=me.counter + 1,
        before=me.last,
        plain=msgspec.msgpack.encode(Content(state.position, state.link, Moved())),
        random=around.random,
        opened=msgspec.msgpack.encode(order),
    )


async def _rescues(
    session: GroupSession, around: Around, lengths: dict[bytes, int]
) -> dict[bytes, tuple[int, bytes]]:
    """What each broker needs that has ``length`` entries, as far as it is kept here."""
    found = {}
    end = session.row.state.position
    for node, length in lengths.items():
        raws, _ = await around.database.read(
            partial(read_tail, no=session.row.no, start=length, end=end, most=MAX_RESCUE)
        )
        if length + len(raws) == end:
            found[node] = (length, encode_entries(raws))
    if not found:
        raise PeerUnreachable(
            "nobody who can be reached has all that was written in this group",
            hint="wait until one of its brokers is back, or make a new group",
        )
    return found
