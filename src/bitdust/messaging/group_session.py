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

from bitdust.errors import BitdustError, IntegrityError, NetworkError, PeerUnreachable
from bitdust.ids import IDURL
from bitdust.messaging.group_around import Around, is_unknown
from bitdust.messaging.group_keys import SenderKeys, Voucher
from bitdust.messaging.group_log import MAX_SENDERS, Came, Heard, Noticed, Outcome, Reader, begin
from bitdust.messaging.group_sending import Sender
from bitdust.messaging.group_store import (
    GroupRow,
    end_waiting,
    forget_members,
    save_group,
    save_progress,
)
from bitdust.messaging.group_wire import (
    MAX_PAGE_BODY,
    READ,
    Attached,
    Broker,
    Kind,
    Page,
    Read,
    decode_entries,
)
from bitdust.messaging.history import insert_message, set_sequence, set_state
from bitdust.messaging.message import GROUP, INCOMING, OUTGOING, SENT, Message, decode_data
from bitdust.pool import in_pool

RENEW: Final = 20.0
"""Seconds between two looks at the broker that leads, and at one of the others."""
PAUSE_FIRST: Final = 0.3
PAUSE_MOST: Final = 10.0
READ_TIMEOUT: Final = 20.0
BIG_PAGE: Final = 16
"""Entries from which a page is checked in the pool."""
DEAD_AFTER: Final = 60.0
"""Seconds of silence after which a broker is replaced."""
CARE: Final = 15.0
START_OVER: Final = 60.0
"""Seconds between two times that a whole stream is read again."""

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
        self._distrusted: set[bytes] = set()
        self._liars: set[bytes] = set()
        """Of them, those whose entries were wrong in themselves."""
        self._started_over = -1e9
        self._hints: dict[bytes, Broker] = {}
        self._silent: dict[bytes, float] = {}
        self._next_care = 0.0
        self._names: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._carer: asyncio.Task[None] | None = None
        self.left_out: list[tuple[bytes, str]] = []
        """People who came while an epoch was made, and need its key."""

    def _new_reader(self) -> Reader:
        row = self.row
        return Reader(row.stream(), row.fingerprint, self.keys, row.creator_node, row.state)

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

    async def reconnect(self) -> None:
        """Look for the leader anew; after a fork read the whole stream again."""
        if self.row.fork:
            self.row.fork = self.error = ""
            await self._start_over()
        self._distrusted.clear()
        self._liars.clear()
        self._lost = True
        self._wake.set()

    async def _start_over(self) -> None:
        """Read the whole stream again; the history holds what was shown."""
        async with self._turn:
            self.row.state = begin(self.row.stream(), self.row.state.keys)
            self.reader = self._new_reader()
            self.sender.use(self.reader)

            def work(db: apsw.Connection) -> None:
                forget_members(db, self.row.no)
                save_group(db, self.row)

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
                await self._connect()
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

    # --- finding the leader ------------------------------------------------------------------

    def _candidates(self) -> list[Broker]:
        found = {broker.node: broker for broker in self.row.state.brokers}
        found.update({node: b for node, b in self._hints.items() if node not in found})
        return [broker for node, broker in found.items() if node not in self._distrusted]

    async def _connect(self) -> None:
        """Read what is missing, and attach to the broker that leads.

        Raises:
            BitdustError: none can be found now.
        """
        if self.row.state.out:
            raise PeerUnreachable(
                "you are not in this group any more", hint="ask a member to invite you again"
            )
        now = self._around.clock.monotonic()
        if not self._candidates() and now - self._started_over > START_OVER:
            # all others hold another stream than the one that was taken: that one was the false one
            self._started_over = now
            self._distrusted = set(self._liars)
            await self._start_over()
        problem: BitdustError = PeerUnreachable("no broker of the group can be trusted")
        waiting, tried = self._candidates(), set[bytes]()
        leaders: dict[bytes, int] = {}
        while waiting:
            waiting.sort(key=lambda broker: -leaders.get(broker.node, -1))
            broker = waiting.pop(0)
            if broker.node in tried:
                continue
            tried.add(broker.node)
            try:
                state = await self._visit(broker)
            except BitdustError as exc:
                problem = exc
                continue
            for hint in state.brokers:
                if hint.node not in self._hints and len(self._hints) < 16:
                    self._hints[hint.node] = hint
                    waiting.append(hint)
            if state.leader == broker.node:
                attached = await self._around.attach(
                    broker, self.reader, self.keys, since=self.row.state.position, push=True
                )
                if attached.leader == broker.node:
                    self.leader = broker
                    self.error = self.row.fork
                    self.sender.reset()
                    return
            elif state.leader:
                leaders[state.leader] = state.term
        if isinstance(problem, IntegrityError):
            raise problem
        raise PeerUnreachable(f"no broker of the group leads now ({problem.message})")

    async def _visit(self, broker: Broker) -> Attached:
        """Attach to a broker and read all it has.

        Raises:
            BitdustError: it cannot be reached, refuses, or serves another stream.
        """
        since = self.row.state.position
        try:
            state = await self._around.attach(
                broker, self.reader, self.keys, since=since, push=False
            )
        except NetworkError as exc:
            if not is_unknown(exc):
                raise
            await self._around.hire(broker, self.reader, self.row.state.brokers, fresh=False)
            raise
        self._silent.pop(broker.node, None)
        if self.reader.disagrees(since, state.link):
            raise await self._forked(
                broker, "a broker serves another stream than others did", proven=False
            )
        while self.row.state.position < state.length and not self.row.state.out:
            before = self.row.state.position
            ask = Read(self.reader.stream, before)
            response = await self._around.ask(broker, READ, ask, timeout=READ_TIMEOUT)
            raw = await response.read(MAX_PAGE_BODY)
            if not raw:
                break
            page = response.decode(Page)
            await self.take(broker, page, decode_entries(raw))
            if self.row.state.position <= before:
                break
        return state

    async def _forked(self, broker: Broker, reason: str, *, proven: bool = True) -> IntegrityError:
        self._distrusted.add(broker.node)
        if proven:
            self._liars.add(broker.node)
        self.row.fork = f"{reason} ({broker.idurl})"
        self.error = self.row.fork
        self._around.events.publish(
            "group-stream-forked",
            group_key_id=self.row.key_id,
            broker=broker.idurl,
            reason=reason,
            sequence_id=self.row.state.position - 1,
        )
        log.warning("a broker does not tell the truth", group=self.row.key_id, reason=reason)
        await self._around.database.write(
            lambda db: db.execute(
                "UPDATE groups SET fork = ? WHERE no = ?", (self.row.fork, self.row.no)
            )
        )
        return IntegrityError(reason)

    # --- while it is connected ---------------------------------------------------------------

    async def _serve(self) -> None:
        leader = self.leader
        assert leader is not None
        await self._introduce_myself()
        self._set_state(CONNECTED)
        clock = self._around.clock
        due = clock.monotonic() + RENEW
        while not self._lost:
            self._wake.clear()
            if not await self.sender.send(leader):
                if self.sender.behind:
                    await self._visit(leader)
                    self.sender.reset()
                    await clock.sleep(0.05)
                    continue
                return
            now = clock.monotonic()
            if now >= due:
                due = now + RENEW
                state = await self._visit(leader)
                if state.leader != leader.node:
                    return
                # a push may have failed meanwhile: say that entries are wanted
                await self._around.attach(
                    leader, self.reader, self.keys, since=self.row.state.position, push=True
                )
            if now >= self._next_care and (self._carer is None or self._carer.done()):
                self._next_care = now + CARE * self._around.random.uniform(1.0, 2.0)
                self._carer = asyncio.create_task(self._care(leader), name="group brokers")
            try:
                async with asyncio.timeout(max(0.05, min(due, self._next_care) - now)):
                    await self._wake.wait()
            except TimeoutError:
                pass

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

    async def take(self, broker: Broker, page: Page, raws: list[bytes]) -> None:
        """Take a page that a broker serves.

        Raises:
            IntegrityError: it is not part of the stream as it was served before.
        """
        async with self._turn:
            state = self.row.state
            missing = self.sender.is_missing(page.start, raws)
            if missing:
                raise await self._forked(broker, "an acknowledged message is missing")
            start = state.position
            try:
                if len(raws) > BIG_PAGE:
                    outcome = await in_pool(
                        self._around.pool, self.reader.take, page.start, raws, page.link
                    )
                else:
                    outcome = self.reader.take(page.start, raws, page.link)
            except IntegrityError as exc:
                if state.fork:
                    state.fork = ""
                    raise await self._forked(broker, exc.message) from exc
                raise
            messages = [self._message(e) for e in outcome.events if isinstance(e, Heard)]
            fresh: list[Message] = []
            if state.position > start:
                fresh = await self._around.database.write(
                    lambda db: self._write(db, outcome, messages)
                )
                for message in messages:
                    if message.direction == OUTGOING and message.sequence is not None:
                        self.sender.seen(message.message_id, message.sequence)
            await self._tell(outcome, fresh)
            if state.fork:
                reason, state.fork = state.fork, ""
                raise await self._forked(broker, reason)

    def _name(self, idurl: str) -> str:
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
            self._name(heard.member.idurl), self.row.key_id, data, heard.said.time, heard.place,
            SENT if mine else "delivered",
        )  # fmt: skip

    def _write(
        self, db: apsw.Connection, outcome: Outcome, messages: list[Message]
    ) -> list[Message]:
        """Everything that a page changes, as one transaction; gives the messages not known."""
        row, own, fresh = self.row, [], []
        for message in messages:
            if insert_message(db, message):
                fresh.append(message)
            elif message.direction == OUTGOING:
                set_state(db, message.message_id, SENT, row.key_id)
                assert message.sequence is not None
                set_sequence(db, message.message_id, row.key_id, message.sequence)
            if message.direction == OUTGOING:
                own.append(message.message_id)
        end_waiting(db, row.no, own)
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
                await self._announce()
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

    async def _announce(self) -> None:
        state = self.row.state
        key = state.keys.get(state.epoch)
        if key is not None:
            await self._around.announce(
                self.row.key_id, self.row.fingerprint, state.epoch, key, state.brokers
            )

    # --- looking after the brokers -----------------------------------------------------------

    async def _care(self, leader: Broker) -> None:
        """Compare what the others hold with the own view; replace one that is gone for long."""
        try:
            now = self._around.clock.monotonic()
            for broker in list(self.row.state.brokers):
                if broker.node == leader.node:
                    continue
                try:
                    await self._visit(broker)
                except IntegrityError:
                    self._silent.setdefault(broker.node, now - DEAD_AFTER)
                except BitdustError:
                    self._silent.setdefault(broker.node, now)
            gone = [n for n, since in self._silent.items() if now - since >= DEAD_AFTER]
            current = {broker.node for broker in self.row.state.brokers}
            gone = [node for node in gone if node in current]
            if gone or len(current) < 3:
                await self._replace(gone[0] if gone else None)
            await self._announce()
        except BitdustError as exc:
            log.info("the brokers of a group stay as they are", reason=exc.message)

    async def _replace(self, gone: bytes | None) -> None:
        brokers = self.row.state.brokers
        found = await self._around.find_brokers(1, {broker.node for broker in brokers})
        if not found or self.reader.me.state != "active":
            return
        wanted = [broker for broker in brokers if broker.node != gone] + found[:1]
        await self._around.hire(found[0], self.reader, wanted, fresh=False)
        if brokers == self.row.state.brokers:
            await self.sender.move(wanted)
            if gone is not None:
                self._silent.pop(gone, None)
            self._wake.set()


def name_of(idurl: str) -> str:
    """The global id behind an address that a member claims."""
    try:
        return str(IDURL.parse(idurl).global_id)
    except BitdustError:
        return idurl[:256]
