"""The way of messages to one person: straight to the node, else into mailboxes, again and again.

One task per person who is written to. It takes what waits in order, sends it in batches, and goes
on when every message has its outcome; so nothing overtakes anything on the direct way. While the
person is away, each message goes into mailboxes at once and is brought directly later all the same:
whatever arrives twice is shown once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog

from bitdust.clock import pause
from bitdust.errors import BitdustError, Busy, IntegrityError, NetworkError, PeerRefused
from bitdust.identity import IdentityDocument
from bitdust.messaging.cards import check_bundle
from bitdust.messaging.letters import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_ENVELOPE,
    TAKEN_OUTCOMES,
    Bundle,
    Delivered,
    KeysFound,
    Nothing,
    Outcome,
    join,
)
from bitdust.messaging.message import DELIVERED, FAILED, WAITING
from bitdust.messaging.outbox import (
    LIFETIME,
    MAX_BYTES_PER_PEER,
    MAX_WAITING_PER_PEER,
    Row,
    remove_row,
    set_copies,
)
from bitdust.messaging.ports import DELIVER, KEYS
from bitdust.messaging.vault import CARD_LIFETIME
from bitdust.network import ContactState

if TYPE_CHECKING:
    import apsw

    from bitdust.messaging.post import PrivateMessages

DELIVER_TIMEOUT: Final = 30.0
"""Seconds for one batch, connecting included."""
KEYS_TIMEOUT: Final = 15.0
RETRY_FIRST: Final = 5.0
RETRY_MOST: Final = 900.0
IDLE: Final = 60.0
"""Seconds after which a way that is not used ends."""
COPIES: Final = 2
"""Mailboxes that shall hold a message."""
MAX_REOPENED: Final = 5
"""Times in a row that a receiver may ask for a new session before the sender slows down."""

log = structlog.get_logger(component="messages")


class Settled:
    """What a sender is told: state, and whether a program was listening at the other end."""

    __slots__ = ("consumed", "state")

    def __init__(self, state: str, consumed: bool = False) -> None:
        self.state = state
        self.consumed = consumed


class Route:
    """The way to one person.

    Args:
        post: the service it belongs to.
        peer: node id.
    """

    def __init__(self, post: PrivateMessages, peer: bytes) -> None:
        self._post = post
        self.peer = peer
        self.rows: dict[int, Row] = {}
        self.size = 0
        self.loaded = asyncio.Event()
        self._wake = asyncio.Event()
        self._failures = 0
        self._reopened = 0
        self._away_until = 0.0
        self._unboxed = False

    # --- what the service tells ------------------------------------------------------------------

    def check_room(self, size: int) -> None:
        """Raise ``Busy`` when too much waits for that person."""
        if len(self.rows) >= MAX_WAITING_PER_PEER or self.size + size > MAX_BYTES_PER_PEER:
            raise Busy(
                f"{len(self.rows)} messages wait for that person already",
                hint="wait until some are delivered, see `bitdust message history`",
            )

    def add(self, row: Row) -> None:
        """One more message, committed."""
        if row.no not in self.rows:
            self.rows[row.no] = row
            self.size += len(row.data)
            self._unboxed = True
        self._wake.set()

    def online(self) -> None:
        """The person may be there again."""
        self._away_until = 0.0
        self._failures = 0
        self._wake.set()

    def arrived(self, message_ids: Sequence[bytes]) -> None:
        """The person has these, and it was written down."""
        for no, row in list(self.rows.items()):
            if row.message_id in message_ids:
                self._drop(no, Settled(DELIVERED))

    def reopen(self, rows: Sequence[Row]) -> None:
        """These were encrypted anew."""
        for row in rows:
            if row.no in self.rows:
                self.rows[row.no] = row
        self._unboxed = True
        self._wake.set()

    # --- the way ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring what waits, until nothing was asked for a while."""
        for row in await self._post.load(self.peer):
            self.add(row)
        self.loaded.set()
        while True:
            self._wake.clear()
            if self.rows:
                await self._turn()
            if not self._wake.is_set() and not await self._rest() and not self.rows:
                self._post.ended(self)
                return

    async def _rest(self) -> bool:
        clock = self._post.clock
        rest = max(0.05, self._away_until - clock.monotonic()) if self.rows else IDLE
        return await pause(clock, rest, self._wake)

    async def _turn(self) -> None:
        try:
            await self._expire()
            if self._is_away():
                await self._away()
            else:
                await self._deliver()
        except NetworkError as exc:
            log.debug("messages wait", peer=self.peer.hex()[:16], reason=exc.message)
            self._failed()
            await self._away()
        except BitdustError as exc:
            log.warning("messages wait", peer=self.peer.hex()[:16], reason=exc.message)
            self._failed()
            self._settle_waiting()

    def _is_away(self) -> bool:
        if self._post.clock.monotonic() >= self._away_until:
            return False
        return self._post.network.status(self.peer).state is not ContactState.ONLINE or bool(
            self._failures
        )

    def _failed(self) -> None:
        self._failures = min(self._failures + 1, 16)
        wait = min(RETRY_FIRST * 2 ** (self._failures - 1), RETRY_MOST)
        wait *= self._post.random.uniform(0.75, 1.25)
        self._away_until = self._post.clock.monotonic() + max(wait, RETRY_FIRST)

    async def _deliver(self) -> None:
        while batch := self._batch():
            if any(row.envelope is None for row in batch):
                await self._encrypt()
                continue
            envelopes = [row.envelope for row in batch if row.envelope is not None]
            response = await self._post.network.request(
                self.peer, DELIVER, Nothing(), body=join(envelopes), timeout=DELIVER_TIMEOUT
            )
            async with response:
                outcomes = response.decode(Delivered).outcomes
            if len(outcomes) != len(batch):
                raise PeerRefused("the answer does not fit the messages")
            self._failures = 0
            await self._take(batch, outcomes)

    def _batch(self) -> list[Row]:
        batch: list[Row] = []
        size = 0
        for no in sorted(self.rows):
            row = self.rows[no]
            size += len(row.data) + MAX_ENVELOPE // 16
            if batch and (len(batch) == MAX_BATCH or size > MAX_BATCH_BYTES):
                break
            batch.append(row)
        return batch

    async def _take(self, batch: list[Row], outcomes: list[Outcome]) -> None:
        done = [
            (row, outcome)
            for row, outcome in zip(batch, outcomes, strict=True)
            if outcome in TAKEN_OUTCOMES or outcome is Outcome.REFUSED
        ]
        again = [
            row
            for row, outcome in zip(batch, outcomes, strict=True)
            if outcome is Outcome.UNREADABLE
        ]

        def write(db: apsw.Connection) -> None:
            for row, outcome in done:
                state = FAILED if outcome is Outcome.REFUSED else DELIVERED
                self._post.settle(db, row, state)
            for row in again:
                assert row.envelope is not None
                self._post.forget_session(db, row)

        if done or again:
            await self._post.database.write(write)
        for row, outcome in done:
            if outcome is Outcome.REFUSED:
                self._drop(row.no, Settled(FAILED))
            else:
                self._drop(row.no, Settled(DELIVERED, outcome is Outcome.CONSUMED))
        for row in again:
            row.envelope, row.copies = None, 0
        if again:
            self._reopened += 1
            if self._reopened > MAX_REOPENED:
                raise Busy("that person cannot read what is sent")
        else:
            self._reopened = 0
        if Outcome.BUSY in outcomes:
            raise Busy("that person takes no more messages now")

    async def _expire(self) -> None:
        old = self._post.clock.now() - LIFETIME
        if not self.rows or self.rows[min(self.rows)].created >= old:
            return
        gone = [row for row in self.rows.values() if row.created < old]

        def write(db: apsw.Connection) -> None:
            for row in gone:
                self._post.settle(db, row, FAILED)

        await self._post.database.write(write)
        for row in gone:
            self._drop(row.no, Settled(FAILED))

    # --- keys ------------------------------------------------------------------------------------

    async def _encrypt(self, bundle: Bundle | None = None) -> None:
        """Encrypt what is not encrypted yet; begins a session when there is none."""
        rows = [self.rows[no] for no in sorted(self.rows) if self.rows[no].envelope is None]
        rows = rows[:MAX_BATCH]
        if not await self._post.encrypt(self.peer, rows, bundle):
            bundle = bundle or await self._find_keys()
            if bundle is None:
                await self._post.seal(self.peer, rows)
            else:
                await self._post.encrypt(self.peer, rows, bundle)

    async def _find_keys(self) -> Bundle | None:
        """The person's keys, from the person or from the mailboxes.

        Raises:
            NetworkError: the person cannot be asked, and left none.
        """
        failure: NetworkError | None = None
        if not self._is_away():
            try:
                response = await self._post.network.request(
                    self.peer, KEYS, Nothing(), timeout=KEYS_TIMEOUT
                )
                async with response:
                    found = response.decode(KeysFound).bundle
                if found is not None:
                    return self._checked(found)
            except PeerRefused as exc:
                log.info("no message keys", peer=self.peer.hex()[:16], reason=exc.message)
            except NetworkError as exc:
                failure = exc
        document = await self._post.document_of(self.peer)
        found = await self._post.mail.keys(document) if document and self._post.mail else None
        if found is not None:
            try:
                return self._checked(found)
            except IntegrityError as exc:
                log.warning("message keys in a mailbox are no good", reason=exc.message)
        if failure is not None:
            raise failure
        return None

    def _checked(self, bundle: Bundle) -> Bundle:
        check_bundle(bundle, self.peer, self._post.clock.now(), CARD_LIFETIME)
        return bundle

    # --- mailboxes -------------------------------------------------------------------------------

    async def _away(self) -> None:
        """Bring to mailboxes what is in too few of them, and let senders know."""
        try:
            document = await self._post.document_of(self.peer)
            if self._unboxed and document is not None and self._post.mail is not None:
                self._unboxed = False
                await self._box(document)
        except BitdustError as exc:
            log.info("no mailbox", peer=self.peer.hex()[:16], reason=exc.message)
            self._unboxed = True
        self._settle_waiting()

    async def _box(self, document: IdentityDocument) -> None:
        assert self._post.mail is not None
        while True:
            rows = [self.rows[no] for no in sorted(self.rows) if self.rows[no].copies < COPIES]
            if not rows:
                return
            if any(row.envelope is None for row in rows):
                await self._encrypt()
                continue
            batch = rows[:MAX_BATCH]
            sealed = [row.envelope for row in batch if row.envelope is not None]
            while len(sealed) > 1 and sum(map(len, sealed)) > MAX_BATCH_BYTES:
                sealed.pop()
                batch.pop()
            counts = await self._post.mail.put(document, sealed)
            kept = [(row, n) for row, n in zip(batch, counts, strict=True) if n]

            def write(db: apsw.Connection, kept: list[tuple[Row, int]] = kept) -> None:
                for row, count in kept:
                    if row.kind == "message":
                        set_copies(db, row.no, count)
                        self._post.boxed(db, row)
                    else:  # a note has done its duty when it lies there
                        remove_row(db, self.peer, row.message_id)

            if kept:
                await self._post.database.write(write)
            for row, count in kept:
                row.copies = count
                if row.kind == "message":
                    self._post.tell_boxed(row)
                else:
                    self._drop(row.no, Settled(DELIVERED))
            if any(n < COPIES for n in counts):
                self._unboxed = True  # the next turn tries the rest
                return

    # --- ends ------------------------------------------------------------------------------------

    def _settle_waiting(self) -> None:
        for row in self.rows.values():
            self._post.tell(row.message_id, Settled(WAITING))

    def _drop(self, no: int, settled: Settled) -> None:
        row = self.rows.pop(no, None)
        if row is None:
            return
        self.size -= len(row.data)
        if not self._post.tell(row.message_id, settled) and row.kind == "message":
            self._post.delivered_late(row, settled.state)
