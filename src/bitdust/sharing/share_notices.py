"""Members of a share tell each other at once what is new, and compare what they were shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from bitdust.errors import AccessDenied, BitdustError, Busy, IntegrityError
from bitdust.identity import Rate, TokenBuckets
from bitdust.network import Call, ContactState, Reply
from bitdust.pool import in_pool
from bitdust.sharing.share_held import HeldShare, NodeID, Surroundings
from bitdust.sharing.share_wire import NOTICE, Head, Notice
from bitdust.supply import MAX_MEMBERS, ShareMember

NOTICE_TIMEOUT: Final = 10.0
NOTICE_RATE: Final = Rate(2.0, 60.0)
MAX_NOTIFIERS: Final = 4096
MAX_DIALLED: Final = 32
"""Members without a connection that are told of one change; the others find out by themselves."""
AWAY_FOR: Final = 60.0
"""Seconds for which a member that could not be reached is not tried again."""

log = structlog.get_logger(component="shares")


class Notices:
    """What members of shares tell each other.

    Args:
        around: what shares stand on.
        find: the share of an id, None when it is not held.
        spawn: runs something in the background.
        looked: called when a charter may have changed.
    """

    def __init__(
        self,
        around: Surroundings,
        find: Callable[[bytes], HeldShare | None],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        looked: Callable[[], None],
    ) -> None:
        self._around = around
        self._find = find
        self._spawn = spawn
        self._looked = looked
        self._away: dict[NodeID, float] = {}
        self._notices = TokenBuckets(NOTICE_RATE, MAX_NOTIFIERS)
        around.network.handle(NOTICE, self._on_notice)

    def grown(self, held: HeldShare) -> None:
        """Something was written here: tell the other members."""
        self._spawn(self._notify(held))

    async def _notify(self, held: HeldShare) -> None:
        charter, ledger = held.charter, held.ledger
        if charter is None or ledger is None:
            return
        heads = await in_pool(self._around.pool, ledger.heads)
        notice = Notice(
            held.share, charter.serial, [Head(*head) for head in heads[: 2 * MAX_MEMBERS]]
        )
        others = [member for member in charter.members if member.node != self._around.me]
        there = [member for member in others if self._is_there(member.node)]
        now = self._around.clock.monotonic()
        self._away = {node: until for node, until in self._away.items() if until > now}
        missing = [m for m in others if m not in there and m.node not in self._away]
        await asyncio.gather(
            *(self._tell(member, notice) for member in [*there, *missing[:MAX_DIALLED]])
        )

    def _is_there(self, node: NodeID) -> bool:
        return self._around.network.status(node).state is ContactState.ONLINE

    async def _tell(self, member: ShareMember, notice: Notice) -> None:
        around = self._around
        try:
            if around.network.document_of(member.node) is None:
                document = await around.find(member.idurl)
                if document.node_id != member.node:
                    raise IntegrityError(f"{document.global_id} is somebody else")
                around.network.learn(document)
            response = await around.network.request(
                member.node, NOTICE, notice, timeout=NOTICE_TIMEOUT
            )
            response.close()
        except BitdustError as exc:
            if not self._is_there(member.node):
                self._away[member.node] = around.clock.monotonic() + AWAY_FOR
            log.debug("member not told", member=member.node.hex()[:16], reason=exc.message)

    async def _on_notice(self, call: Call) -> Reply:
        notice = call.decode(Notice)
        held = self._find(notice.share)
        if held is None or held.charter is None or not held.charter.is_member(call.peer):
            raise AccessDenied("no share that you are a member of")
        if self._notices.take(call.peer.hex(), self._around.clock.monotonic()):
            raise Busy("too many notices at once")
        await self._compare(held, call, notice)
        if notice.serial > held.charter.serial:
            self._spawn(self._hurry(held))
        if held.space is not None:
            held.space.wake()
        return Reply()

    async def _hurry(self, held: HeldShare) -> None:
        try:
            await held.sync_charter(now=True)
        except BitdustError as exc:
            log.info("charter not looked up", reason=exc.message)
        self._looked()

    async def _compare(self, held: HeldShare, call: Call, notice: Notice) -> None:
        """See whether the other was shown the same journals."""
        ledger, space = held.ledger, held.space
        if ledger is None or space is None:
            return
        for head in notice.heads:
            known = await in_pool(self._around.pool, ledger.link, head.writer, head.epoch, head.seq)
            if known in (None, head.link) or head.writer == self._around.me:
                continue
            teller = str(call.document.global_id)
            if head.writer == call.peer:
                reason = "it wrote another journal than the one that was read from it"
            else:
                reason = f"{teller} was shown another journal of it"
            await space.accuse(head.writer, reason)
