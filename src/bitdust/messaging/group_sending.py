"""Entries of one member on their way into a stream: made, sent, acknowledged, seen.

What waits is on the disk until it is seen in the stream. An entry that may or may not have got in
is made again, with the same number, only after everything that got in was read, so nothing is in
twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from itertools import islice
from typing import Any, Final

import msgspec

from bitdust.errors import Busy, NetworkError
from bitdust.messaging.group_around import Around
from bitdust.messaging.group_keys import EpochKey, SenderKeys, make_entry, seal_epoch
from bitdust.messaging.group_log import Came, Keys, Moved, Reader, Said, Went
from bitdust.messaging.group_store import (
    MAX_OUTBOX,
    GroupRow,
    Waiting,
    count_waiting,
    next_waiting,
    put_waiting,
)
from bitdust.messaging.group_wire import (
    APPEND,
    MAX_APPENDS,
    MAX_PAGE_BYTES,
    WRAPS_PER_ENTRY,
    Access,
    Append,
    Broker,
    Kind,
    Taken,
    encode_entries,
    entry_hash,
)
from bitdust.messaging.history import insert_message
from bitdust.messaging.message import Message
from bitdust.pool import in_pool

SEND_TIMEOUT: Final = 15.0
SEND_PAUSE: Final = 0.015
"""Seconds between two requests with few entries; the first one goes at once."""
MAX_ACKED: Final = 10_000
MAX_NEXT: Final = 4 << 20
"""Bytes of waiting entries kept in memory; what is beyond is read from the disk later."""
FINAL: Final = frozenset({"format", "sender", "owner", "signature", "brokers"})
"""Reasons after which an entry is not sent again."""

Body = Said | Came | Went | Keys | Moved


class Sender:
    """See the module.

    Args:
        row: the group.
        reader: the stream as far as it was read.
        around: what groups stand on.
        keys: the own keys in the group.
    """

    def __init__(self, row: GroupRow, reader: Reader, around: Around, keys: SenderKeys) -> None:
        self._row = row
        self._reader = reader
        self._around = around
        self._keys = keys
        self._last_no = 0
        self._counter = 0
        self._before = b""
        self._urgent: list[Waiting] = []
        self._next: deque[Waiting] = deque()
        self._next_bytes = 0
        self._newest = 0
        self._more = True
        """Whether the disk holds some that are not in memory."""
        self._acked: dict[int, bytes] = {}
        self._waiters: dict[str, asyncio.Future[int]] = {}
        self.behind = False
        """Whether the stream must be read before anything can be sent."""
        self.refused = ""
        """Why the last entry was not taken."""
        self.sealed_to: frozenset[bytes] = frozenset()

    def use(self, reader: Reader) -> None:
        """Go on with another reader."""
        self._reader = reader
        self._acked.clear()
        self.reset()

    def reset(self) -> None:
        """Everything that got in was read; begin with what did not."""
        me = self._reader.me
        self._counter, self._before = me.counter, me.last
        self._last_no = 0
        self._forget_next()
        self.behind = False

    def fail(self) -> None:
        """Nobody needs to wait any more."""
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.cancel()
        self._waiters.clear()

    # --- what is to be sent ------------------------------------------------------------------

    async def say(self, message: Message, raw: bytes) -> asyncio.Future[int]:
        """Let a message wait; on return it is on the disk, and in the history.

        Returns:
            A future that gives its place in the stream once the brokers have it.

        Raises:
            Busy: too many wait.
        """
        said = msgspec.msgpack.encode(Said(message.message_id, raw, message.time))
        no = self._row.no

        def work(db: Any) -> int:
            if count_waiting(db, no) >= MAX_OUTBOX:
                raise Busy("too many messages wait for the brokers of this group")
            insert_message(db, message)
            return put_waiting(db, no, message.message_id, Kind.MESSAGE, said)

        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters[message.message_id] = waiter
        waiter.add_done_callback(lambda _: self._waiters.pop(message.message_id, None))
        try:
            number = await self._around.database.write(work)
        except BaseException:
            waiter.cancel()
            self._more = True
            raise
        self._remember(Waiting(number, message.message_id, Kind.MESSAGE, said, b""))
        return waiter

    def _remember(self, waiting: Waiting) -> None:
        """Keep what was just written in memory, too, if it is the next there."""
        self._more = self._more or self._next_bytes + len(waiting.body) > MAX_NEXT
        if not self._more and waiting.no > self._newest:  # it may have been read already
            self._next.append(waiting)
            self._newest = waiting.no
            self._next_bytes += len(waiting.body)

    def _forget_next(self) -> None:
        self._next.clear()
        self._next_bytes, self._more = 0, True

    async def _take_next(self) -> list[Waiting]:
        """Those that come next; they stay in memory until they are sent."""
        if not self._next and self._more:
            self._more = False  # what is written from now on comes behind what is read now
            found = await self._around.database.read(
                partial(next_waiting, no=self._row.no, after=self._last_no, limit=MAX_APPENDS)
            )
            newest = found[-1].no if found else 0
            self._more = self._more or len(found) == MAX_APPENDS
            later = [] if self._more else [one for one in self._next if one.no > newest]
            self._next = deque([*found, *later])
            self._newest = max(self._newest, newest)
            self._next_bytes = sum(len(waiting.body) for waiting in self._next)
        return list(islice(self._next, MAX_APPENDS))

    async def queue(
        self, kind: Kind, body: Body, opened: bytes = b"", *, first: bool = False
    ) -> None:
        """Let a control entry wait; ``first`` ones are sent before all others, and not kept."""
        ident = "control-" + self._around.random.token(8).hex()
        raw = msgspec.msgpack.encode(body)
        if first:
            self._urgent = [Waiting(0, ident, kind, raw, opened)]
            return
        no = self._row.no
        await self._around.database.write(lambda db: put_waiting(db, no, ident, kind, raw, opened))
        self._forget_next()

    async def move(self, brokers: list[Broker]) -> None:
        """Let the naming of other brokers wait."""
        self._urgent.append(
            Waiting(
                0,
                "control-" + self._around.random.token(8).hex(),
                Kind.BROKERS,
                msgspec.msgpack.encode(Moved()),
                msgspec.msgpack.encode(brokers),
            )
        )

    async def begin_epoch(self, removed: list[bytes]) -> None:
        """Let a new epoch wait, whose key the removed do not get."""
        state = self._reader.state
        gone = set(removed)
        members = {m.sender: m.wrap for m in self._reader.admitted() if m.node not in gone}
        epoch = state.epoch + 1
        secret = self._around.random.token(32)
        stream = self._reader.stream
        ephemeral, wraps = await in_pool(
            self._around.pool, seal_epoch, secret, members, stream, epoch, self._around.random
        )
        self.sealed_to = frozenset(members)
        access = Access(epoch, EpochKey(secret).access, b"")
        access = msgspec.structs.replace(access, signature=self._keys.sign(access.message(stream)))
        parts = [
            wraps[at : at + WRAPS_PER_ENTRY] for at in range(0, len(wraps), WRAPS_PER_ENTRY)
        ] or [[]]
        entries: list[tuple[Kind, bytes, bytes]] = []
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            keys = Keys(epoch, ephemeral, removed if last else [], part)
            kind = Kind.EPOCH if last else Kind.CONTROL
            opened = msgspec.msgpack.encode(access) if last else b""
            entries.append((kind, msgspec.msgpack.encode(keys), opened))
        no = self._row.no
        ident = "epoch-" + self._around.random.token(8).hex()

        def work(db: Any) -> None:
            for kind, raw, opened in entries:
                put_waiting(db, no, ident, kind, raw, opened)

        await self._around.database.write(work)
        self._forget_next()

    # --- sending -----------------------------------------------------------------------------

    async def send(self, leader: Broker) -> bool:
        """Send what waits; True when nothing is left.

        Raises:
            NetworkError: the broker cannot be reached, or refuses.
        """
        while True:
            batch = self._urgent[:MAX_APPENDS]
            if not batch:
                batch = await self._take_next()
            if not batch:
                return True
            began = self._around.clock.monotonic()
            made = self._make(batch)
            if not made:
                self.behind = True
                return False
            if not await self._send(leader, batch[: len(made)], made):
                return False
            if len(batch) < MAX_APPENDS:  # many small requests cost more than a few larger ones
                rest = began + SEND_PAUSE - self._around.clock.monotonic()
                await self._around.clock.sleep(max(0.0, rest))

    def _make(self, batch: list[Waiting]) -> list[bytes]:
        state = self._reader.state
        key = self._reader.epoch_key(state.epoch)
        if key is None:
            return []
        made: list[bytes] = []
        counter, before, size = self._counter, self._before, 0
        prefix = msgspec.msgpack.encode((state.position, state.link))
        for waiting in batch:
            counter += 1
            raw = make_entry(
                Kind(waiting.kind),
                state.epoch,
                key,
                self._keys,
                stream=self._reader.stream,
                counter=counter,
                before=before,
                # an array of three: its head, the two fields already encoded, and the body
                plain=b"\x93" + prefix[1:] + waiting.body,
                random=self._around.random,
                opened=waiting.opened,
            )
            before = entry_hash(raw)
            made.append(raw)
            size += len(raw)
            if waiting.kind == Kind.EPOCH or size > MAX_PAGE_BYTES:
                break  # what follows an epoch is made with its key
        return made

    async def _send(self, leader: Broker, batch: list[Waiting], made: list[bytes]) -> bool:
        response = await self._around.ask(
            leader,
            APPEND,
            Append(self._reader.stream),
            body=encode_entries(made),
            timeout=SEND_TIMEOUT,
        )
        response.close()
        taken = response.decode(Taken)
        done: list[str] = []
        for waiting, raw, place in zip(batch, made, taken.places, strict=False):
            self._counter += 1
            self._before = entry_hash(raw)
            self._note(waiting, raw, place, done)
        if len(taken.places) > len(made):
            raise NetworkError("a broker acknowledges more than it was sent")
        self.refused = taken.reason
        if taken.reason in FINAL and len(taken.places) < len(batch):
            refused = batch[len(taken.places)]
            done.append(refused.ident)
            self._give_up(refused)
            self._forget_next()
        if done:
            await self._end(done)
        if len(taken.places) == len(made):
            return True
        if taken.reason in ("rate", "quota"):
            await self._around.clock.sleep(0.5)
        self.behind = taken.reason != "leader"
        return False

    def _note(self, waiting: Waiting, raw: bytes, place: int, done: list[str]) -> None:
        """An entry is with the brokers."""
        if waiting.no:
            self._last_no = waiting.no
            self._drop_next(waiting.no)
        else:
            self._urgent = [one for one in self._urgent if one.ident != waiting.ident]
        if waiting.kind == Kind.MESSAGE:
            if place >= self._reader.state.position and len(self._acked) < MAX_ACKED:
                self._acked[place] = entry_hash(raw)
            self.seen(waiting.ident, place)
        elif waiting.no:
            done.append(f"#{waiting.no}")

    def _drop_next(self, number: int) -> None:
        while self._next and self._next[0].no <= number:
            self._next_bytes -= len(self._next.popleft().body)

    def seen(self, ident: str, place: int) -> None:
        """A message of ours is in the stream; a broker that died may not have said so."""
        waiter = self._waiters.get(ident)
        if waiter is not None and not waiter.done():
            waiter.set_result(place)

    def _give_up(self, waiting: Waiting) -> None:
        self._urgent = [one for one in self._urgent if one.ident != waiting.ident]
        waiter = self._waiters.get(waiting.ident)
        if waiter is not None and not waiter.done():
            waiter.set_exception(NetworkError(f"the brokers do not take it: {self.refused}"))

    async def _end(self, idents: list[str]) -> None:
        no = self._row.no

        def work(db: Any) -> None:
            for ident in idents:
                if ident.startswith("#"):
                    db.execute("DELETE FROM group_outbox WHERE no = ?", (int(ident[1:]),))
                else:
                    db.execute("DELETE FROM group_outbox WHERE grp = ? AND ident = ?", (no, ident))

        await self._around.database.write(work)

    def is_missing(self, start: int, raws: list[bytes]) -> bool:
        """Whether a page holds something else where an acknowledged entry must be."""
        for place in [p for p in self._acked if p < start + len(raws)]:
            expected = self._acked.pop(place)
            if place >= start and entry_hash(raws[place - start]) != expected:
                return True
        return False
