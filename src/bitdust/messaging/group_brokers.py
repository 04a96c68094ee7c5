"""A member and its group's brokers: finding the one that leads, comparing, objecting, replacing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from bitdust.errors import BitdustError, FormatError, IntegrityError, NetworkError, PeerUnreachable
from bitdust.messaging.group_around import Around, is_unknown
from bitdust.messaging.group_trust import Trust
from bitdust.messaging.group_wire import (
    MAX_PAGE_BODY,
    OBJECT,
    READ,
    REFORM,
    Attached,
    Broker,
    Object,
    Page,
    Read,
    Reform,
    decode_entries,
)

if TYPE_CHECKING:
    from bitdust.messaging.group_session import GroupSession

READ_TIMEOUT: Final = 20.0
DEAD_AFTER: Final = 60.0
"""Seconds of silence after which a broker is replaced."""
START_OVER: Final = 60.0
"""Seconds between two times that a whole stream is read again."""
LOOK_AGAIN: Final = 60.0
"""Seconds between two searches on the DHT for brokers that nobody here knows."""
MAX_HINTS: Final = 16
WANTED: Final = 3

log = structlog.get_logger(component="groups")


class GroupBrokers:
    """See the module.

    Args:
        session: the member's part in the group.
        around: what it stands on.
    """

    def __init__(self, session: GroupSession, around: Around) -> None:
        self._session = session
        self._around = around
        self.trust = Trust()
        self._hints: dict[bytes, Broker] = {}
        self._silent: dict[bytes, float] = {}
        self._retired: dict[bytes, Broker] = {}
        self._started_over = -1e9
        self._looked = -1e9

    @property
    def generation(self) -> int:
        """Of the creator's newest order that is known here."""
        ordered = self._session.reader.ordered
        return 0 if ordered is None else ordered.order.generation

    def current(self) -> list[Broker]:
        """The brokers of now, as far as the stream was read."""
        return list(self._session.row.state.brokers)

    def retire(self, brokers: list[Broker]) -> None:
        """These were replaced by the creator's order, and shall hear of it."""
        now = {broker.node for broker in self.current()}
        self._retired = {b.node: b for b in brokers if b.node not in now}
        self._silent.clear()
        self.trust.forget(liars=False)

    def trusted(self) -> list[Broker]:
        """Those to be asked: the brokers of now, then others that were heard of."""
        found = {broker.node: broker for broker in self.current()}
        for node, broker in self._hints.items():
            found.setdefault(node, broker)
        return [broker for node, broker in found.items() if self.trust.trusted(node)]

    # --- finding the leader ------------------------------------------------------------------

    async def connect(self) -> Broker:
        """Read what is missing, and attach to the broker that leads.

        Raises:
            BitdustError: none can be found now.
        """
        session = self._session
        problem: BitdustError = PeerUnreachable("no broker of the group can be trusted")
        waiting, tried = self.trusted(), set[bytes]()
        leaders: dict[bytes, int] = {}
        followers: list[tuple[Broker, bytes]] = []
        silent: set[bytes] = set()
        while waiting or (waiting := await self._look(tried)):
            waiting.sort(key=lambda broker: -leaders.get(broker.node, -1))
            broker = waiting.pop(0)
            if broker.node in tried:
                continue
            tried.add(broker.node)
            try:
                state = await self.visit(broker)
            except BitdustError as exc:
                problem = exc
                silent.add(broker.node)
                continue
            waiting += self._hint(state.brokers)
            is_one = broker.node in {b.node for b in self.current()}
            if state.leader == broker.node and is_one:
                attached = await self._around.attach(
                    broker, session.reader, session.keys,
                    since=session.row.state.position, push=True,
                )  # fmt: skip
                if attached.leader == broker.node:
                    return broker
            elif state.leader and is_one:
                leaders[state.leader] = state.term
                followers.append((broker, state.leader))
        if await self._judge():
            raise PeerUnreachable("the stream of the group is read again")
        for broker, leader in followers:
            if leader in self.trust.liars or leader in silent:
                await self._object(broker, leader)
        if isinstance(problem, IntegrityError):
            raise problem
        raise PeerUnreachable(f"no broker of the group leads now ({problem.message})")

    def _hint(self, brokers: list[Broker]) -> list[Broker]:
        fresh = [broker for broker in brokers if broker.node not in self._hints]
        fresh = fresh[: MAX_HINTS - len(self._hints)]
        self._hints.update((broker.node, broker) for broker in fresh)
        return [broker for broker in fresh if self.trust.trusted(broker.node)]

    async def _look(self, tried: set[bytes]) -> list[Broker]:
        """Nobody who is known leads: look on the DHT. What is found there proves nothing."""
        now = self._around.clock.monotonic()
        if now - self._looked < LOOK_AGAIN:
            return []
        self._looked = now
        row = self._session.row
        found = await self._around.find_group(
            self._session.reader.stream, row.fingerprint, row.state.keys
        )
        own = self._around.me
        return [b for b in found if b.node not in tried and self.trust.trusted(b.node)
                and b.node != own][:MAX_HINTS]  # fmt: skip

    async def _judge(self) -> bool:
        """Whether the stream as it was read is the false one; then it is read again."""
        false = self.trust.judge({broker.node for broker in self.current()})
        now = self._around.clock.monotonic()
        if not false and self.trusted():
            return False
        if not false and now - self._started_over < START_OVER:
            return False
        # most others, or all of them, hold another stream than the one that was taken
        self._started_over = now
        self.trust.forget(liars=False)
        await self._session.start_over()
        return True

    async def _object(self, broker: Broker, leader: bytes) -> None:
        """Ask a broker to do without the one that leads."""
        ask = Object(self._session.reader.stream, leader, leader in self.trust.liars)
        try:
            (await self._around.ask(broker, OBJECT, ask)).close()
        except BitdustError as exc:
            log.info("a broker does not hear an objection", reason=exc.message)

    async def visit(self, broker: Broker) -> Attached:
        """Attach to a broker and read all it has.

        Raises:
            BitdustError: it cannot be reached, refuses, or serves another stream.
        """
        session = self._session
        since = session.row.state.position
        try:
            state = await self._around.attach(
                broker, session.reader, session.keys, since=since, push=False
            )
        except NetworkError as exc:
            if is_unknown(exc) and broker in self.current():
                await self._around.hire(broker, session.reader, self.current(), fresh=False)
            raise
        self._silent.pop(broker.node, None)
        if state.order:
            await self._learn(broker, state.order)
            return await self.visit(broker)
        if state.generation < self.generation:
            await self._tell(broker)
            raise PeerUnreachable("that broker did not know of the creator's order")
        if state.link and since:
            self.trust.compared(broker.node, not session.reader.disagrees(since, state.link))
        if session.reader.disagrees(since, state.link):
            reason = "a broker serves another stream than others did"
            raise await session.report(broker, reason, proven=False)
        while session.row.state.position < state.length and not session.row.state.out:
            before = session.row.state.position
            ask = Read(session.reader.stream, before)
            response = await self._around.ask(broker, READ, ask, timeout=READ_TIMEOUT)
            raw = await response.read(MAX_PAGE_BODY)
            if not raw:
                break
            page = response.decode(Page)
            await session.take(broker, page, decode_entries(raw))
            if session.row.state.position <= before:
                break
        return state

    async def confirms(self, broker: Broker) -> bool:
        """Whether another broker holds the stream as it was read here, too."""
        session = self._session
        others = [other for other in self.current() if other.node != broker.node]
        position = session.row.state.position
        for other in others:
            try:
                state = await self._around.attach(
                    other, session.reader, session.keys, since=position, push=False
                )
            except BitdustError:
                continue
            if state.link and not session.reader.disagrees(position, state.link):
                return True
        return not others

    # --- orders of the creator ---------------------------------------------------------------

    async def _learn(self, broker: Broker, raw: bytes) -> None:
        before = self.generation
        try:
            await self._session.obey(raw)
        except (FormatError, IntegrityError) as exc:
            self.trust.lies(broker.node)
            raise PeerUnreachable(f"a broker names a false order: {exc.message}") from exc
        if self.generation <= before:
            raise PeerUnreachable("a broker repeats an order")

    async def _tell(self, broker: Broker) -> None:
        """Tell a broker of the creator's order."""
        reader = self._session.reader
        assert reader.ordered is not None
        (await self._around.ask(broker, REFORM, Reform(reader.stream, reader.ordered.raw))).close()

    # --- looking after the brokers -----------------------------------------------------------

    async def care(self, leader: Broker) -> bool:
        """Compare what the others hold with the own view; replace one that is gone for long.

        Returns:
            Whether all is well.
        """
        try:
            now = self._around.clock.monotonic()
            for broker in self.current():
                if broker.node != leader.node:
                    await self._look_after(broker, now)
            for node, broker in list(self._retired.items()):
                try:
                    await self._tell(broker)
                except BitdustError as exc:
                    if not is_unknown(exc):
                        continue
                del self._retired[node]
            if await self._judge() or leader.node in self.trust.liars:
                self._session.lost(leader.node)
                return False
            current = {broker.node for broker in self.current()}
            gone = sorted(self.trust.liars & current) + [
                n for n, since in self._silent.items() if n in current and now - since >= DEAD_AFTER
            ]
            if gone or len(current) < WANTED:
                await self._replace(gone[0] if gone else None)
            await self._session.announce()
        except BitdustError as exc:
            log.info("the brokers of a group stay as they are", reason=exc.message)
            return False
        return not (gone or self._silent or self._retired or len(current) < WANTED)

    async def _look_after(self, broker: Broker, now: float) -> None:
        try:
            state = await self.visit(broker)
            behind = state.length < self._session.row.state.position
            if behind and not state.leader:  # all it knew may have been replaced meanwhile
                reader = self._session.reader
                await self._around.hire(broker, reader, self.current(), fresh=False)
        except IntegrityError:
            return
        except BitdustError:
            self._silent.setdefault(broker.node, now)

    async def _replace(self, gone: bytes | None) -> None:
        session, brokers = self._session, self.current()
        found = await self._around.find_brokers(
            1, {broker.node for broker in brokers} | self.trust.liars
        )
        if not found or session.reader.me.state != "active":
            return
        wanted = [broker for broker in brokers if broker.node != gone] + found[:1]
        await self._around.hire(found[0], session.reader, wanted, fresh=False)
        if brokers == self.current():
            await session.sender.move(wanted)
            if gone is not None:
                self._silent.pop(gone, None)
            session.kick()
