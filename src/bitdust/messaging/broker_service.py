"""A node as a broker: keeps streams of groups, orders them with two others, serves members.

All streams share one flush: what arrived while the disk was writing is written next, together, and
only then acknowledged to leaders and members.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

import apsw
import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    Busy,
    FormatError,
    Misbehaviour,
    NotFound,
    QuotaExceeded,
)
from bitdust.messaging.broker_outbox import BrokerOutbox
from bitdust.messaging.broker_reform import Rescue
from bitdust.messaging.broker_rules import Epoch, encode_epochs, may_hire
from bitdust.messaging.broker_store import BrokerStore, Row, write_stream
from bitdust.messaging.broker_stream import Attachment, HostedStream
from bitdust.messaging.group_order import check_order
from bitdust.messaging.group_ports import Introduce, Port
from bitdust.messaging.group_wire import (
    APPEND,
    ATTACH,
    HIRE,
    MAX_APPENDS,
    MAX_MEMBERS,
    MAX_PAGE_BYTES,
    MAX_RESCUE,
    MAX_TALK,
    OBJECT,
    PUSH,
    READ,
    REFORM,
    TALK,
    Append,
    Attach,
    Hire,
    Object,
    Pushed,
    Read,
    Reform,
    Taken,
    decode_entries,
    decode_rescue,
    decode_talk,
)
from bitdust.network import Call, Reply

TICK: Final = 0.05
"""Seconds between two looks at what is due, at least."""
SWEEP: Final = 60.0
"""Seconds between two looks at what is not used any more."""
PUSH_TIMEOUT: Final = 20.0
PUSH_PAUSE: Final = 0.025
"""Seconds between two pages pushed to one member; the first one goes at once."""
APPEND_TIMEOUT: Final = 10.0
ATTACHED_FOR: Final = 600.0
"""Seconds after which a member that does not come again is forgotten."""
MAX_ATTACHED: Final = MAX_MEMBERS + 200
MAX_PER_NODE: Final = 64
"""Streams that one node may have kept here."""
MAX_APPEND_BODY: Final = 4 << 20
UNUSED_FOR: Final = 180 * 86400.0
"""Seconds after which a stream that nobody reads or writes is dropped."""
LEFT_FOR: Final = 3600.0
"""Seconds for which a broker that was replaced keeps its copy."""

log = structlog.get_logger(component="broker")


class BrokerService:
    """The broker of one node.

    Args:
        port: the network.
        store: the file.
        me: own node id.
        clock, random: time and chance.
        introduce: makes other brokers known to the network.
        max_streams: groups kept here.
        quota: bytes of entries of one group.
        on_stream: told of each stream that is kept from now on, or no more.
    """

    def __init__(
        self,
        port: Port,
        store: BrokerStore,
        me: bytes,
        clock: Clock,
        random: Random,
        introduce: Introduce,
        *,
        max_streams: int,
        quota: int,
        on_stream: Callable[[bytes, bool], None] = lambda stream, kept: None,
    ) -> None:
        self._port = port
        self._store = store
        self._me = me
        self._clock = clock
        self._random = random
        self.max_streams = max_streams
        self.quota = quota
        self._on_stream = on_stream
        self.streams: dict[bytes, HostedStream] = {}
        self._dirty: dict[bytes, HostedStream] = {}
        self._wake = asyncio.Event()
        self._hosting = asyncio.Event()
        self._outbox = BrokerOutbox(port, clock, introduce)
        self._planned = 0.0
        self._replan = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hiring = asyncio.Lock()
        self._swept = 0.0

    async def start(self) -> None:
        """Take up the streams on the disk, and answer."""
        for row in await self._store.load():
            self._take_up(row)
        self._port.handle(HIRE, self._on_hire)
        self._port.handle(ATTACH, self._on_attach)
        self._port.handle(APPEND, self._on_append)
        self._port.handle(READ, self._on_read)
        self._port.handle(TALK, self._on_talk)
        self._port.handle(OBJECT, self._on_object)
        self._port.handle(REFORM, self._on_reform)
        self._own(self._flush())
        self._own(self._ticks())

    async def stop(self) -> None:
        """End all tasks and close the file."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outbox.stop()
        for hosted in self.streams.values():
            hosted.close()
            self._on_stream(hosted.stream, False)
        self.streams.clear()
        await self._store.close()

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="broker")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _take_up(self, row: Row, *, silent: bool = True) -> HostedStream:
        hosted = self.streams[row.stream] = HostedStream(
            row,
            self._store,
            self._me,
            self.quota,
            now=self._clock.monotonic(),
            jitter=lambda: self._random.uniform(0.0, 1.0),
            silent=silent,
        )
        self._hosting.set()
        self._replan.set()
        self._on_stream(hosted.stream, not hosted.retired)
        return hosted

    # --- the disk ----------------------------------------------------------------------------

    def _touch(self, hosted: HostedStream) -> None:
        """Something happened in a stream: send what may go, let the rest be written."""
        ready = hosted.core.take()
        for node_id, message in ready.now:
            self._outbox.say(hosted.stream, node_id, hosted.known.get(node_id, ""), message)
        hosted.pending.append(ready)
        if hosted.settle():
            self._push(hosted)
        self._dirty[hosted.stream] = hosted
        self._wake.set()
        if hosted.due < self._planned:
            self._replan.set()

    async def _flush(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, {}
            batches = []
            works = []
            for hosted in dirty.values():
                if hosted.closed:
                    continue
                pending, hosted.pending = hosted.pending, []
                vote = next((r.vote for r in reversed(pending) if r.vote is not None), None)
                start = hosted.log.dirty_from
                rows = hosted.log.unwritten()
                batches.append((hosted, pending))
                moved = hosted.settled != hosted.committed_on_disk and bool(
                    rows or hosted.epochs_due or hosted.settled - hosted.committed_on_disk > 1000
                )
                if not (rows or vote or start < hosted.on_disk or moved):
                    continue
                marks, hosted.marks_due = hosted.marks_due, {}
                epochs = hosted.epochs_settled() if hosted.epochs_due else None
                hosted.epochs_due = False
                hosted.on_disk = hosted.log.length
                hosted.committed_on_disk = hosted.settled
                works.append(
                    (hosted.no, start, rows, vote, hosted.settled, marks, epochs, hosted.used)
                )
            if works:
                await self._write(works)
            now = self._clock.monotonic()
            for hosted, pending in batches:
                if hosted.closed:  # what it says is void
                    continue
                for ready in pending:
                    hosted.core.flushed(ready.mark, now)
                    for node_id, message in ready.after:
                        self._outbox.say(
                            hosted.stream, node_id, hosted.known.get(node_id, ""), message
                        )
                hosted.log.forget(hosted.settled)
                if hosted.core.take_is_due():
                    self._touch(hosted)
                elif hosted.settle():
                    self._push(hosted)

    async def _write(self, works: list[tuple[Any, ...]]) -> None:
        def work(db: apsw.Connection) -> None:
            for given in works:
                write_stream(db, *given)

        while True:
            try:
                await self._store.database.write(work)
                return
            except BitdustError as exc:  # nothing is acknowledged before it is written
                log.error("the broker's file cannot be written", reason=exc.message)
                await self._clock.sleep(2.0)

    async def _ticks(self) -> None:
        """Sleep until something is due in some stream."""
        while True:
            if not self.streams:  # a node without streams has nothing to wake up for
                self._hosting.clear()
                await self._hosting.wait()
            now = self._clock.monotonic()
            due = min((h.due for h in self.streams.values()), default=now)
            self._planned = max(min(due, self._swept + SWEEP), now + TICK)
            self._replan.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._planned - now):
                    await self._replan.wait()
            now = self._clock.monotonic()
            for hosted in list(self.streams.values()):
                if now >= hosted.due:
                    hosted.core.tick(now)
                    self._touch(hosted)
            if now - self._swept >= SWEEP:
                self._swept = now
                await self._sweep(now)

    async def _sweep(self, now: float) -> None:
        today = self._clock.now()
        for hosted in list(self.streams.values()):
            attached = hosted.attached
            while attached:
                oldest = next(iter(attached.values()))
                if now - oldest.seen < ATTACHED_FOR:
                    break
                del attached[oldest.node]
            if attached:
                hosted.used = max(hosted.used, today)
            left = (
                not hosted.retired
                and hosted.core.settled
                and self._me not in {b.node for b in hosted.brokers}
            )
            idle = today - hosted.used
            if idle > UNUSED_FOR or (left and self._me in hosted.known and idle > LEFT_FOR):
                del self.streams[hosted.stream]
                hosted.close()
                self._on_stream(hosted.stream, False)
                await self._store.drop(hosted.no)

    # --- other brokers -----------------------------------------------------------------------

    async def _on_talk(self, call: Call) -> Reply:
        for talk in decode_talk(await call.read(MAX_TALK)):
            hosted = self.streams.get(talk.stream)
            if hosted is None or hosted.retired:
                continue
            try:
                hosted.core.receive(call.peer, talk.message, self._clock.monotonic())
            except Misbehaviour as exc:
                log.warning("another broker misbehaves", reason=exc.message)
            self._touch(hosted)
        return Reply()

    # --- members -----------------------------------------------------------------------------

    async def _on_hire(self, call: Call) -> Reply:
        hire = call.decode(Hire)
        genesis = may_hire(hire, call.peer, self._me)
        if genesis is None:
            raise AccessDenied("whoever wants a group kept here must prove to be in it")
        stream = genesis.stream
        async with self._hiring:
            hosted = self.streams.get(stream)
            if hosted is None:
                ordered = check_order(hire.order, genesis) if hire.order else None
                mine = sum(h.hired_by == call.peer for h in self.streams.values())
                if len(self.streams) >= self.max_streams or mine >= MAX_PER_NODE:
                    raise QuotaExceeded("this broker keeps as many groups as it may")
                first = genesis.brokers if ordered is None else ordered.order.brokers
                fresh = hire.fresh and hire.brokers == first
                row = await self._store.create(
                    stream,
                    hire.genesis,
                    call.peer,
                    [broker.node for broker in hire.brokers],
                    encode_epochs([Epoch(0, genesis.access)]),
                    self._clock.now(),
                )
                if ordered is not None:
                    row = await self._store.obey(row.no, genesis, ordered, Rescue(0, []), self._me)
                hosted = self._take_up(row, silent=not fresh)
            elif hire.order:
                hosted = await self._obey(hosted, hire.order, Rescue(0, []))
        hosted.core.welcome |= {broker.node for broker in hire.brokers}
        hosted.known.update((broker.node, broker.idurl) for broker in hire.brokers)
        return Reply(hosted.state(hire.epoch))

    async def _on_attach(self, call: Call) -> Reply:
        ask = call.decode(Attach)
        hosted = self._hosted(ask.stream)
        if not hosted.rules.may_attach(ask, call.peer, self._me):
            raise AccessDenied("the keys shown do not open this group")
        known = hosted.attached.pop(call.peer, None)
        if known is None and len(hosted.attached) >= MAX_ATTACHED:
            raise Busy("this broker serves as many members of the group as it may")
        now = self._clock.monotonic()
        fresh = Attachment(call.peer, ask.sender, ask.epoch, ask.push, ask.since, now)
        if known is not None:
            known.epoch, known.push, known.seen = ask.epoch, ask.push, now
            known.sender = ask.sender
            if not known.busy:
                known.cursor = ask.since
            fresh = known
        hosted.attached[call.peer] = fresh  # the last in the dict was heard of last
        hosted.used = self._clock.now()
        self._push_one(hosted, fresh)
        return Reply(hosted.state(ask.epoch, ask.since, ask.generation))

    async def _on_append(self, call: Call) -> Reply:
        hosted = self._hosted(call.decode(Append).stream)
        attached = self._attached(hosted, call.peer)
        raws = decode_entries(await call.read(MAX_APPEND_BODY))
        if len(raws) > MAX_APPENDS:
            raise FormatError("too many entries in one request")
        if not hosted.leads or hosted.retired:
            return Reply(Taken([], "leader", hosted.state(attached.epoch)))
        if attached.epoch != hosted.rules.epoch.number:
            return Reply(Taken([], "epoch", hosted.state(attached.epoch)))
        places: list[int] = []
        reason = ""
        now = self._clock.monotonic()
        for raw in raws:
            place, reason = hosted.offer(raw, attached.sender, now)
            if reason:
                break
            places.append(place)
        if places:
            hosted.core.replicate(now)
            waiter = hosted.wait(max(places))
            self._touch(hosted)
            try:
                async with asyncio.timeout(APPEND_TIMEOUT):
                    committed = await waiter
            except TimeoutError:
                committed = False
            if not committed:
                return Reply(Taken([], "leader", hosted.state(attached.epoch)))
        return Reply(Taken(places, reason, hosted.state(attached.epoch) if reason else None))

    async def _on_read(self, call: Call) -> Reply:
        ask = call.decode(Read)
        hosted = self._hosted(ask.stream)
        attached = self._attached(hosted, call.peer)
        page = hosted.page(ask.start, attached.epoch)
        if page is None and ask.beyond and attached.sender == hosted.genesis.owner:
            page = hosted.beyond(ask.start)
        if page is None:
            return Reply(hosted.state(attached.epoch, ask.start))
        return Reply(*page)

    async def _on_reform(self, call: Call) -> Reply:
        ask = call.decode(Reform)
        check_order(ask.order, self._hosted(ask.stream).genesis)  # before anything large is read
        rescue = Rescue(ask.start, decode_rescue(await call.read(MAX_RESCUE + MAX_PAGE_BYTES)))
        async with self._hiring:
            hosted = await self._obey(self._hosted(ask.stream), ask.order, rescue)
        return Reply(hosted.state(0))

    async def _obey(self, hosted: HostedStream, raw: bytes, rescue: Rescue) -> HostedStream:
        """Go on as the creator ordered, or leave it to others; what is known already stays."""
        ordered = check_order(raw, hosted.genesis)
        known = hosted.ordered
        again = known is not None and known.digest == ordered.digest
        if ordered.order.generation < hosted.generation or (
            again and (hosted.retired or hosted.settled > ordered.order.base or not rescue.raws)
        ):
            return hosted
        if ordered.order.generation == hosted.generation and not again:
            raise AccessDenied("the creator gave two orders of one generation")
        hosted.close()
        self._dirty.pop(hosted.stream, None)
        row = await self._store.obey(hosted.no, hosted.genesis, ordered, rescue, self._me)
        log.warning("the creator of a group ordered to go on with other brokers")
        # whoever had this order before may have lost its disk since, and stays silent
        return self._take_up(row, silent=again and hosted.core.silent)

    async def _on_object(self, call: Call) -> Reply:
        ask = call.decode(Object)
        hosted = self._hosted(ask.stream)
        attached = self._attached(hosted, call.peer)
        now = self._clock.monotonic()
        if ask.lies:
            if not hosted.core.shun(ask.leader, now):
                raise Busy("another broker of the group was objected to a short while ago")
            log.warning("a member objects to the broker that leads", leader=ask.leader.hex())
        else:
            hosted.core.doubt(ask.leader, now)
        self._touch(hosted)
        return Reply(hosted.state(attached.epoch))

    def _hosted(self, stream: bytes) -> HostedStream:
        hosted = self.streams.get(stream)
        if hosted is None:
            raise NotFound("this broker does not keep that group")
        return hosted

    @staticmethod
    def _attached(hosted: HostedStream, node_id: bytes) -> Attachment:
        attached = hosted.attached.get(node_id)
        if attached is None:
            raise AccessDenied("show your keys first")
        return attached

    # --- pushing -----------------------------------------------------------------------------

    def _push(self, hosted: HostedStream) -> None:
        for attached in hosted.attached.values():
            self._push_one(hosted, attached)

    def _push_one(self, hosted: HostedStream, attached: Attachment) -> None:
        if attached.push and not attached.busy and attached.cursor < hosted.settled:
            attached.busy = True
            self._own(self._serve(hosted, attached))

    async def _serve(self, hosted: HostedStream, attached: Attachment) -> None:
        """Bring a member everything it does not have."""
        try:
            while attached.push:
                page = hosted.page(attached.cursor, attached.epoch)
                if page is None:
                    return
                since = self._clock.monotonic()
                response = await self._port.request(
                    attached.node, PUSH, page[0], body=page[1], timeout=PUSH_TIMEOUT
                )
                with contextlib.closing(response):
                    answer = response.decode(Pushed)
                if answer.since <= attached.cursor or not answer.more:
                    attached.push = False
                attached.cursor = answer.since
                # many small pages cost everybody more than a few larger ones
                await self._clock.sleep(max(0.0, since + PUSH_PAUSE - self._clock.monotonic()))
        except BitdustError as exc:
            attached.push = False
            log.debug("a member does not take entries", reason=exc.message)
        finally:
            attached.busy = False

    # --- views -------------------------------------------------------------------------------

    def views(self) -> list[dict[str, Any]]:
        """For each stream: ``stream``, ``role``, ``length``, ``bytes``, ``members`` attached."""
        return [
            {
                "stream": hosted.stream.hex(),
                "role": hosted.core.role.value,
                "length": hosted.settled,
                "bytes": hosted.rules.size,
                "members": len(hosted.attached),
            }
            for hosted in self.streams.values()
        ]
