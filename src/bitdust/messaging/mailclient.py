"""Mailboxes from outside: putting messages into those of others, and emptying one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from bitdust.clock import Clock, pause
from bitdust.errors import BitdustError, FormatError, NetworkError
from bitdust.events import Event, EventBus
from bitdust.identity import IdentityDocument
from bitdust.messaging.letters import (
    MAX_BATCH_BYTES,
    MAX_ENVELOPE,
    MAX_IDS,
    TAKEN_OUTCOMES,
    Bundle,
    Drop,
    Envelope,
    Fetch,
    Fetched,
    KeysFound,
    KeysOf,
    Nothing,
    Offer,
    Offered,
    Outcome,
    Put,
    PutDone,
    PutOutcome,
    decode,
    join,
    split,
)
from bitdust.messaging.ports import (
    MAILBOX_DROP,
    MAILBOX_FETCH,
    MAILBOX_KEYS,
    MAILBOX_OFFER,
    MAILBOX_PUT,
    WAITING_MAIL,
    FindDocument,
    FindMailboxes,
    NetworkPort,
    People,
)
from bitdust.messaging.post import PrivateMessages
from bitdust.messaging.route import COPIES
from bitdust.network import Call, ContactState, Reply
from bitdust.supply import Rates

TIMEOUT: Final = 15.0
MOST_BOXES: Final = 8
"""Mailboxes of one person that are tried."""
LOOKUP_KEPT: Final = 60.0
"""Seconds for which the suppliers of somebody are believed to be the same."""
MAX_LOOKUPS: Final = 1000
COLLECT_EVERY: Final = 900.0
"""Seconds between two looks into the own mailboxes; suppliers tell of mail besides."""
GATHER: Final = 0.5
"""Seconds to wait for more suppliers to appear before the mailboxes are emptied."""
MAX_COLLECTED: Final = 5000
"""Letters taken from all mailboxes in one round."""
ONE_TIME_LOW: Final = 10
ONE_TIME_GIVEN: Final = 25
"""One-time keys left at each supplier, when fewer than ``ONE_TIME_LOW`` are there."""

log = structlog.get_logger(component="mail")


class OthersMail:
    """The mailboxes of others.

    Args:
        network: sessions.
        find: who keeps a person's mailboxes.
        clock: time.
    """

    def __init__(self, network: NetworkPort, find: FindMailboxes, clock: Clock) -> None:
        self._network = network
        self._find = find
        self._clock = clock
        self._known: dict[bytes, tuple[float, list[IdentityDocument]]] = {}

    async def put(self, recipient: IdentityDocument, envelopes: Sequence[bytes]) -> list[int]:
        """Leave envelopes in ``COPIES`` mailboxes of a person.

        Returns:
            How many mailboxes keep each.
        """
        counts = [0] * len(envelopes)
        for box in await self._boxes(recipient):
            wanted = [at for at, count in enumerate(counts) if count < COPIES]
            if not wanted:
                break
            body = join([envelopes[at] for at in wanted])
            try:
                response = await self._network.request(
                    box.node_id, MAILBOX_PUT, Put(recipient.node_id), body=body, timeout=TIMEOUT
                )
                async with response:
                    outcomes = response.decode(PutDone).outcomes
            except NetworkError as exc:
                log.info("a mailbox is away", at=str(box.global_id), reason=exc.message)
                continue
            for at, outcome in zip(wanted, outcomes, strict=False):
                counts[at] += outcome is not PutOutcome.FULL
        return counts

    async def keys(self, recipient: IdentityDocument) -> Bundle | None:
        """The keys that a person left with the suppliers; unchecked."""
        for box in await self._boxes(recipient):
            try:
                response = await self._network.request(
                    box.node_id, MAILBOX_KEYS, KeysOf(recipient.node_id), timeout=TIMEOUT
                )
                async with response:
                    found = response.decode(KeysFound).bundle
            except (NetworkError, FormatError) as exc:
                log.info("a mailbox is away", at=str(box.global_id), reason=exc.message)
                continue
            if found is not None:
                return found
        return None

    async def _boxes(self, recipient: IdentityDocument) -> list[IdentityDocument]:
        now = self._clock.monotonic()
        when, boxes = self._known.get(recipient.node_id, (-LOOKUP_KEPT, []))
        if now - when >= LOOKUP_KEPT or not boxes:
            boxes = (await self._find(recipient))[:MOST_BOXES]
            if len(self._known) >= MAX_LOOKUPS:
                self._known.clear()
            self._known[recipient.node_id] = (now, boxes)
        for box in boxes:
            self._network.learn(box)
        # those who are connected are surely there
        return sorted(
            boxes,
            key=lambda box: self._network.status(box.node_id).state is not ContactState.ONLINE,
        )


class OwnMail:
    """The own mailboxes: emptied when suppliers appear or tell of mail, and stocked with keys.

    Args:
        network: sessions.
        post: takes what is found.
        suppliers: node ids of the own suppliers.
        people: identity documents by node id.
        find_document: identity documents by IDURL.
        clock: time.
        events: tells when suppliers appear.
    """

    def __init__(
        self,
        network: NetworkPort,
        post: PrivateMessages,
        suppliers: Callable[[], list[bytes]],
        people: People,
        find_document: FindDocument,
        clock: Clock,
        events: EventBus,
    ) -> None:
        self._network = network
        self._post = post
        self._suppliers = suppliers
        self._people = people
        self._find_document = find_document
        self._clock = clock
        self._events = events
        self._wake = asyncio.Event()
        self._rates = Rates(1.0, 20.0)
        self._task: asyncio.Task[None] | None = None
        self._off: Callable[[], None] | None = None
        self.rounds = 0
        """How often the mailboxes were emptied."""

    def start(self) -> None:
        """Begin to look."""
        self._network.handle(WAITING_MAIL, self._on_waiting)
        self._off = self._events.on_event(self._on_event)
        self._task = asyncio.create_task(self._run(), name="own mailboxes")

    async def stop(self) -> None:
        """Look no more."""
        if self._off is not None:
            self._off()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _on_waiting(self, call: Call) -> Reply:
        if call.peer in self._suppliers() and self._rates.allow(call.peer, self._clock.monotonic()):
            self._wake.set()
        return Reply(Nothing())

    def _on_event(self, event: Event) -> None:
        if event.event_id in ("supplier-connected", "my-suppliers-all-hired"):
            self._wake.set()
        elif event.event_id == "node-connected":
            node = str(event.data.get("node_id", ""))
            if node in {supplier.hex() for supplier in self._suppliers()}:
                self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.collect()
                await self.stock()
            except BitdustError as exc:
                log.info("own mailboxes", reason=exc.message)
            self.rounds += 1
            await pause(self._clock, COLLECT_EVERY, self._wake)
            await self._clock.sleep(GATHER)

    def _online(self) -> list[bytes]:
        return [
            node
            for node in self._suppliers()
            if self._network.status(node).state is ContactState.ONLINE
        ]

    async def _each(
        self, nodes: Sequence[bytes], work: Callable[[bytes], Coroutine[Any, Any, None]]
    ) -> None:
        for outcome in await asyncio.gather(*map(work, nodes), return_exceptions=True):
            if isinstance(outcome, BitdustError):
                log.info("a mailbox of ours is away", reason=outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome

    # --- emptying --------------------------------------------------------------------------------

    async def collect(self) -> int:
        """Empty the own mailboxes on all suppliers that are there.

        Returns:
            How many letters were read.
        """
        nodes = self._online()
        found: dict[tuple[bytes, bytes], Envelope] = {}
        held: dict[bytes, list[tuple[bytes, bytes]]] = {node: [] for node in nodes}

        async def fetch(node: bytes) -> None:
            after = 0
            while len(held[node]) < MAX_COLLECTED:
                response = await self._network.request(
                    node, MAILBOX_FETCH, Fetch(after), timeout=TIMEOUT
                )
                async with response:
                    head = response.decode(Fetched)
                    raw = split(await response.read(MAX_BATCH_BYTES + 2 * MAX_ENVELOPE))
                for one in raw:
                    envelope = decode(one, Envelope, MAX_ENVELOPE)
                    letter = (envelope.sender, envelope.message_id)
                    found.setdefault(letter, envelope)
                    held[node].append(letter)
                if not raw or not head.more or head.last <= after:
                    return
                after = head.last

        await self._each(nodes, fetch)
        senders: dict[bytes, list[Envelope]] = {}
        for envelope in found.values():
            senders.setdefault(envelope.sender, []).append(envelope)
        read: set[tuple[bytes, bytes]] = set()
        for sender, envelopes in senders.items():
            try:
                read |= await self._read(sender, envelopes)
            except BitdustError as exc:
                log.info("mail stays in the mailbox", sender=sender.hex()[:16], reason=exc.message)

        async def drop(node: bytes) -> None:
            gone = [letter for letter in held[node] if letter in read]
            for start in range(0, len(gone), MAX_IDS):
                response = await self._network.request(
                    node, MAILBOX_DROP, Drop(gone[start : start + MAX_IDS]), timeout=TIMEOUT
                )
                response.close()

        await self._each(nodes, drop)
        return len(read)

    async def _read(self, sender: bytes, envelopes: list[Envelope]) -> set[tuple[bytes, bytes]]:
        """Read what one person wrote, and tell that person; returns what is to be removed."""
        person = await self._person(sender, envelopes)
        if person is None:
            return set()
        read: set[tuple[bytes, bytes]] = set()
        acked: list[bytes] = []
        unreadable: list[bytes] = []
        for start in range(0, len(envelopes), MAX_IDS):
            batch = envelopes[start : start + MAX_IDS]
            taken = await self._post.take(person, batch)
            for envelope, outcome in zip(batch, taken.outcomes, strict=True):
                if outcome is Outcome.BUSY:
                    continue
                read.add((envelope.sender, envelope.message_id))
                if outcome is Outcome.UNREADABLE:
                    unreadable.append(envelope.message_id)
                elif outcome in TAKEN_OUTCOMES and envelope.message_id not in taken.notes:
                    acked.append(envelope.message_id)
        if acked:
            await self._post.note(person, "acked", acked)
        if unreadable:
            await self._post.note(person, "unreadable", unreadable)
        return read

    async def _person(self, sender: bytes, envelopes: list[Envelope]) -> IdentityDocument | None:
        known = await self._people.get_node(sender)
        if known is not None:
            return known
        for envelope in envelopes:
            if envelope.opening is not None and envelope.opening.card.node_id == sender:
                found = await self._find_document(envelope.opening.card.idurl)
                return found if found.node_id == sender else None
        return None

    # --- stocking --------------------------------------------------------------------------------

    async def stock(self) -> None:
        """Leave the own card and enough one-time keys with every supplier that is there."""

        async def offer(node: bytes) -> None:
            card, _ = await self._post.keys(0)
            response = await self._network.request(
                node, MAILBOX_OFFER, Offer(card, []), timeout=TIMEOUT
            )
            async with response:
                left = response.decode(Offered).one_time
            if left < ONE_TIME_LOW:
                card, fresh = await self._post.keys(ONE_TIME_GIVEN)
                response = await self._network.request(
                    node, MAILBOX_OFFER, Offer(card, fresh), timeout=TIMEOUT
                )
                response.close()

        await self._each(self._online(), offer)
