"""Members of a share tell each other at once what is new, and compare what they were shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from bitdust.errors import AccessDenied, BitdustError, Busy
from bitdust.identity import Rate, TokenBuckets
from bitdust.network import Call, ContactState, Reply
from bitdust.pool import in_pool
from bitdust.sharing.share_held import HeldShare, NodeID, Surroundings
from bitdust.sharing.share_wire import NOTICE, Head, Notice
from bitdust.supply import MAX_MEMBERS

NOTICE_TIMEOUT: Final = 10.0
NOTICE_RATE: Final = Rate(2.0, 60.0)
MAX_NOTIFIERS: Final = 4096

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
        self._notices = TokenBuckets(NOTICE_RATE, MAX_NOTIFIERS)
        around.network.handle(NOTICE, self._on_notice)

    def grown(self, held: HeldShare) -> None:
        """Something was written here: tell the members who are there."""
        self._spawn(self._notify(held))

    async def _notify(self, held: HeldShare) -> None:
        charter, ledger = held.charter, held.ledger
        if charter is None or ledger is None:
            return
        heads = await in_pool(self._around.pool, ledger.heads)
        notice = Notice(
            held.share, charter.serial, [Head(*head) for head in heads[: 2 * MAX_MEMBERS]]
        )
        network = self._around.network
        await asyncio.gather(
            *(
                self._tell(member.node, notice)
                for member in charter.members
                if member.node != self._around.me
                and network.status(member.node).state is ContactState.ONLINE
            )
        )

    async def _tell(self, node: NodeID, notice: Notice) -> None:
        try:
            response = await self._around.network.request(
                node, NOTICE, notice, timeout=NOTICE_TIMEOUT
            )
            response.close()
        except BitdustError as exc:
            log.debug("member not told", member=node.hex()[:16], reason=exc.message)

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
