"""One member's part in one group: finding the broker that leads, catching up, taking pages.

The session goes on by itself after a restart, after a broker's death and after a change of brokers.
What a broker serves is taken only as far as ``Reader`` finds it right; one that serves another
stream than before is not listened to any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import apsw
import msgspec
import structlog

from bitdust.errors import BitdustError, IntegrityError, PeerUnreachable
from bitdust.ids import IDURL
from bitdust.messaging.group_around import Around
from bitdust.messaging.group_brokers import GroupBrokers
from bitdust.messaging.group_keys import SenderKeys, Voucher
from bitdust.messaging.group_log import (
    MAX_SENDERS,
    Came,
    Heard,
    Noticed,
    Outcome,
    Reader,
    Said,
    begin,
)
from bitdust.messaging.group_order import check_order, known_order
from bitdust.messaging.group_sending import Sender
from bitdust.messaging.group_store import (
    MAX_OUTBOX,
    GroupRow,
    drop_tail,
    end_waiting,
    forget_members,
    keep_tail,
    put_waiting,
    save_group,
    save_progress,
    trim_tail,
)
from bitdust.messaging.group_wire import (
    MAX_RESCUE,
    Broker,
    Kind,
    Page,
)
from bitdust.messaging.history import insert_message, set_sequence, set_state, void_sequences
from bitdust.messaging.message import GROUP, INCOMING, OUTGOING, SENT, Message, decode_data
from bitdust.pool import in_pool

RENEW: Final = 20.0
"""Seconds between two looks at the broker that leads."""
RENEW_IDLE: Final = 120.0
CARE: Final = 15.0
"""Seconds between two looks at all brokers; up to twice that."""
CARE_IDLE: Final = 120.0
ACTIVE: Final = 60.0
"""Seconds without an entry after which a group is idle, and is looked at seldom."""
PAUSE_FIRST: Final = 0.3
PAUSE_MOST: Final = 10.0
BIG_PAGE: Final = 16
"""Entries from which a page is checked in the pool."""

CONNECTED: Final = "CONNECTED"
DISCONNECTED: Final = "DISCONNECTED"
CLOSED: Final = "CLOSED"

log = structlog.get_logger(component="groups")


class GroupSession:
    """See the module.

    Args:
        row: the group; it has a genesis.
        around: what it stands on.
        keys: the own keys in the group.
    """

    def __init__(self, row: GroupRow, around: Around, keys: SenderKeys) -> None:
        self.row = row
        self.keys = keys
        self.state = DISCONNECTED
        self.error = ""
        self.leader: Broker | None = None
        self._around = around
        self.reader = self._new_reader()
        self.sender = Sender(row, self.reader, around, keys)
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._lost = False
        self.brokers = GroupBrokers(self, around)
        self._next_care = 0.0
        self._tail_bytes = MAX_RESCUE
        self._names: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._carer: asyncio.Task[None] | None = None
        self.left_out: list[tuple[bytes, str]] = []
        """People who came while an epoch was made, and need its key."""

    def _new_reader(self) -> Reader:
        row = self.row
        genesis = row.stream()
        ordered = known_order(row.order, genesis)
        return Reader(genesis, row.fingerprint, self.keys, row.creator_node, row.state, ordered)

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part from now on."""
        self._task = asyncio.create_task(self._run(), name="group")

    async def stop(self) -> None:
        """Take part no more."""
        tasks = [task for task in (self._task, self._carer) if task is not None]
        self._task = self._carer = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sender.fail()
        self._set_state(CLOSED)

    def kick(self) -> None:
        """Something may be sent, or looked after."""
        self._wake.set()

    def lost(self, node_id: bytes) -> None:
        """The connection to a node ended."""
        if self.leader is not None and self.leader.node == node_id:
            self._lost = True
            self._wake.set()

    async def reconnect(self, *, again: bool = True) -> None:
        """Look for the leader anew; after a fork read the whole stream ``again``."""
        if self.row.fork and again:
            self.row.fork = self.error = ""
            await self.start_over()
        self.brokers.trust.forget()
        self._lost = True
        self._wake.set()

    async def start_over(self, void: int | None = None) -> None:
        """Read the whole stream again; the history holds what was shown.

        Args:
            void: from this place on the stream is another one now.
        """
        async with self._turn:
            brokers = self.row.state.brokers
            self.row.state = begin(self.row.stream(), self.row.state.keys)
            self.row.state.brokers = brokers
            self.reader = self._new_reader()
            self.sender.use(self.reader)

            def work(db: apsw.Connection) -> None:
                no = self.row.no
                forget_members(db, no)
                drop_tail(db, no, 0 if void is None else void)
                save_group(db, self.row)
                if void is not None:
                    for ident, data, time in void_sequences(db, self.row.key_id, void, MAX_OUTBOX):
                        said = msgspec.msgpack.encode(Said(ident, data, time))
                        put_waiting(db, no, ident, Kind.MESSAGE, said)

            await self._around.database.write(work)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for something to become true; False when it does not in time."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    @property
    def connected(self) -> bool:
        """Whether messages come and go."""
        return self.state == CONNECTED

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            name = "group-connected" if state == CONNECTED else "group-disconnected"
            self._around.events.publish(
                name, group_key_id=self.row.key_id, state=state, reason=self.error
            )
        self._changed.set()

    async def _run(self) -> None:
        pause = PAUSE_FIRST
        while True:
            self._lost = False
            try:
                if self.row.state.out:
                    raise PeerUnreachable(
                        "you are not in this group any more",
                        hint="ask a member to invite you again",
                    )
                self.leader = await self.brokers.connect()
                self.error = self.row.fork
                self.sender.reset()
                pause = PAUSE_FIRST
                await self._serve()
            except BitdustError as exc:
                self.error = exc.message
            except Exception:
                log.exception("a group's session failed")
                self.error = "an internal error"
            self.leader = None
            self._set_state(DISCONNECTED)
            try:
                async with asyncio.timeout(pause * self._around.random.uniform(0.7, 1.3)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            pause = min(2 * pause, PAUSE_MOST)

    async def report(
        self, broker: Broker | None, reason: str, *, proven: bool = True
    ) -> IntegrityError:
        """Tell that something is wrong with the stream.

        Args:
            broker: whose page it was; None when no broker is to blame.
            reason: what is wrong.
            proven: the page is wrong in itself, so nobody else has to be heard.

        Returns:
            The error to be raised.
        """
        if broker is not None and proven:
            self.brokers.trust.lies(broker.node)
        self.row.fork = reason if broker is None else f"{reason} ({broker.idurl})"
        self.error = self.row.fork
        self._around.events.publish(
            "group-stream-forked",
            group_key_id=self.row.key_id,
            broker="" if broker is None else broker.idurl,
            reason=reason,
            sequence_id=self.row.state.position - 1,
        )
        log.warning("a group's stream is not what it was", group=self.row.key_id, reason=reason)
        await self._around.database.write(
            lambda db: db.execute(
                "UPDATE groups SET fork = ? WHERE no = ?", (self.row.fork, self.row.no)
            )
        )
        return IntegrityError(reason)

    async def obey(self, raw: bytes) -> None:
        """Go on with other brokers, as the creator ordered.

        What was read from the order's place on is void: it stays in the history without a place,
        and the own messages of it are said again.

        Raises:
            FormatError, IntegrityError: that is no order of the creator.
        """
        ordered = check_order(raw, self.reader.genesis)
        order, known = ordered.order, self.reader.ordered
        if known is not None and known.order.generation >= order.generation:
            return
        old, read = self.row.state.brokers, self.row.state.position
        self.row.order, self.reader.ordered = raw, ordered
        self.row.state.brokers = list(order.brokers)
        if read > order.base:
            await self.start_over(void=order.base)
            await self.report(
                None,
                f"the creator went on with other brokers from place {order.base} on:"
                f" {read - order.base} entries that were read here are not in the group any more",
            )
        else:
            await self._around.database.write(lambda db: save_group(db, self.row))
        self.brokers.retire(old)
        self._lost = True
        self._wake.set()
        await self._around.kept(self.row)
        await self.announce()

    # --- while it is connected ---------------------------------------------------------------

    async def _serve(self) -> None:
        leader = self.leader
        assert leader is not None
        await self._introduce_myself()
        self._set_state(CONNECTED)
        clock = self._around.clock
        due, active = clock.monotonic() + RENEW, clock.monotonic()
        position = self.row.state.position
        while not self._lost:
            self._wake.clear()
            if not await self.sender.send(leader):
                if self.sender.behind:
                    await self.brokers.visit(leader)
                    self.sender.reset()
                    await clock.sleep(0.05)
                    continue
                return
            now = clock.monotonic()
            if position != self.row.state.position:
                position, active = self.row.state.position, now
            idle = now - active > ACTIVE
            if now >= due:
                due = now + (RENEW_IDLE if idle else RENEW)
                state = await self.brokers.visit(leader)
                if state.leader != leader.node:
                    return
                # a push may have failed meanwhile: say that entries are wanted
                await self._around.attach(
                    leader, self.reader, self.keys, since=self.row.state.position, push=True
                )
            if now >= self._next_care and (self._carer is None or self._carer.done()):
                self._next_care = now + CARE * self._around.random.uniform(1.0, 2.0)
                self._carer = asyncio.create_task(self._care(leader, idle), name="group brokers")
            try:
                async with asyncio.timeout(max(0.05, min(due, self._next_care) - now)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _care(self, leader: Broker, idle: bool) -> None:
        if await self.brokers.care(leader) and idle:
            self._next_care += CARE_IDLE * self._around.random.uniform(1.0, 2.0)

    async def _introduce_myself(self) -> None:
        me = self.reader.me
        idurl = self._around.idurl()
        if me.state == "active" and me.idurl == idurl:
            return
        card = await in_pool(
            self._around.pool, self.keys.card, self._around.identity, idurl, self.row.fingerprint
        )
        raw = self.row.voucher
        voucher = msgspec.msgpack.decode(raw, type=Voucher) if raw else None
        await self.sender.queue(Kind.CONTROL, Came(card, voucher), first=True)

    async def take(
        self, broker: Broker, page: Page, raws: list[bytes], *, tentative: bool = False
    ) -> None:
        """Take a page that a broker serves.

        Args:
            broker: who serves it.
            page: where it belongs.
            raws: the entries.
            tentative: whoever serves it need not be right; nothing is reported.

        Raises:
            IntegrityError: it is not part of the stream as it was served before.
        """
        async with self._turn:
            state = self.row.state
            if self.sender.is_missing(page.start, raws):
                raise await self.report(broker, "an acknowledged message is missing")
            while await self._take(broker, page, raws, tentative):
                pass
            if state is not self.row.state:
                raise IntegrityError("the stream is read again")

    async def _take(self, broker: Broker, page: Page, raws: list[bytes], tentative: bool) -> bool:
        """Take a page as far as it is right; True when the rest can be tried once more."""
        state = self.row.state
        start = state.position
        try:
            if len(raws) > BIG_PAGE:
                outcome = await in_pool(
                    self._around.pool, self.reader.take, page.start, raws, page.link
                )
            else:
                outcome = self.reader.take(page.start, raws, page.link)
        except IntegrityError as exc:
            reason, state.fork = state.fork, ""
            if reason and not tentative:
                raise await self.report(broker, exc.message) from exc
            raise
        reason, doubt = state.fork, state.doubt
        state.fork, state.doubt = "", b""
        messages = [self._message(e) for e in outcome.events if isinstance(e, Heard)]
        fresh: list[Message] = []
        if state.position > start:
            taken = raws[start - page.start : state.position - page.start]
            fresh = await self._around.database.write(
                lambda db: self._write(db, outcome, messages, start, taken),
                lasting=False,  # the brokers have it
            )
            for message in messages:
                if message.direction == OUTGOING and message.sequence is not None:
                    self.sender.seen(message.message_id, message.sequence)
        await self._tell(outcome, fresh)
        if not reason:
            return False
        if doubt and (tentative or await self.brokers.confirms(broker)):
            # one member's word against what several brokers hold: it was deceived, or deceives
            self.reader.excused.add(doubt)
            await self.report(None, reason)
            return True
        if tentative:
            raise IntegrityError(reason)
        raise await self.report(broker, reason, proven=not doubt)

    def name(self, idurl: str) -> str:
        """A member's global id; kept, since every message needs it."""
        name = self._names.get(idurl)
        if name is None:
            if len(self._names) >= MAX_SENDERS:
                self._names.clear()
            name = self._names[idurl] = name_of(idurl)
        return name

    def _message(self, heard: Heard) -> Message:
        mine = heard.member.sender == self.keys.sender
        try:
            data = decode_data(heard.said.data)
        except BitdustError:
            data = {}
        return Message(
            heard.said.ident, self.row.key_id, GROUP, OUTGOING if mine else INCOMING,
            self.name(heard.member.idurl), self.row.key_id, data, heard.said.time, heard.place,
            SENT if mine else "delivered",
        )  # fmt: skip

    def _write(
        self,
        db: apsw.Connection,
        outcome: Outcome,
        messages: list[Message],
        start: int,
        raws: list[bytes],
    ) -> list[Message]:
        """Everything that a page changes, as one transaction; gives the messages not known."""
        row, own, fresh = self.row, [], []
        for message in messages:
            if insert_message(db, message):
                fresh.append(message)
            else:
                if message.direction == OUTGOING:
                    set_state(db, message.message_id, SENT, row.key_id)
                assert message.sequence is not None
                set_sequence(db, message.message_id, row.key_id, message.sequence)
            if message.direction == OUTGOING:
                own.append(message.message_id)
        end_waiting(db, row.no, own)
        keep_tail(db, row.no, start, raws, row.state.link)
        self._tail_bytes += sum(map(len, raws))
        if self._tail_bytes > MAX_RESCUE // 8:
            self._tail_bytes = 0
            trim_tail(db, row.no)
        if outcome.ordered is not None:
            row.order = outcome.ordered.raw
            save_group(db, row)
        members = row.state.members
        save_progress(db, row, [members[s] for s in outcome.changed if s in members])
        return fresh

    async def _tell(self, outcome: Outcome, fresh: list[Message]) -> None:
        for number, message in enumerate(fresh, 1):
            self._around.stream.publish(message)
            if not number % 50:  # readers have bounded queues
                await asyncio.sleep(0)
        key_id = self.row.key_id
        for event in outcome.events:
            if not isinstance(event, Noticed):
                continue
            who = name_of(event.member.idurl) if event.member is not None else ""
            if event.what in ("joined", "left", "removed"):
                self._around.events.publish(
                    f"group-member-{event.what}", group_key_id=key_id, global_id=who
                )
            elif event.what == "epoch":
                self._on_epoch()
                await self._around.kept(self.row)
            elif event.what == "brokers":
                self._lost = self.leader not in self.row.state.brokers
                self._wake.set()
                await self._around.kept(self.row)
                await self.announce()
        self._changed.set()

    def _on_epoch(self) -> None:
        if self.row.state.out:
            self.error = "you were removed from this group"
            self._lost = True
            self._wake.set()
        elif self.keys.sender == self.reader.genesis.owner:
            sealed = self.sender.sealed_to
            self.left_out += [
                (member.node, member.idurl)
                for member in self.reader.admitted()
                if sealed and member.sender not in sealed
            ]
            self.sender.sealed_to = frozenset()

    async def announce(self) -> None:
        """Publish who the brokers are."""
        state = self.row.state
        key = state.keys.get(state.epoch)
        if key is not None:
            await self._around.announce(
                self.row.key_id, self.row.fingerprint, state.epoch, key, state.brokers
            )


def name_of(idurl: str) -> str:
    """The global id behind an address that a member claims."""
    try:
        return str(IDURL.parse(idurl).global_id)
    except BitdustError:
        return idurl[:256]
