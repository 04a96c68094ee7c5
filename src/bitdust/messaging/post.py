"""Private messages: the service that writes, sends, receives and acknowledges them.

A message is committed together with the wish to send it, and with the ratchet step that encrypted
it; sending comes after. What arrives is committed before it is acknowledged and shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import apsw
import msgspec
import structlog

from bitdust.clock import Clock, Random
from bitdust.crypto import PrivateKey
from bitdust.errors import (
    BitdustError,
    Busy,
    FormatError,
    IntegrityError,
    InvalidInput,
    PeerUnreachable,
    ServiceOff,
)
from bitdust.events import Event, EventBus
from bitdust.identity import IdentityDocument
from bitdust.messaging import outbox
from bitdust.messaging.cards import make_card
from bitdust.messaging.database import Database
from bitdust.messaging.history import History, insert_message, set_state
from bitdust.messaging.intake import Intake, Taken
from bitdust.messaging.letters import (
    MAX_BATCH_BYTES,
    MAX_ENVELOPE,
    MAX_IDS,
    NO_KEY,
    NO_SESSION,
    Bundle,
    Card,
    Delivered,
    Envelope,
    KeysFound,
    Kind,
    OneTimeKey,
    Opening,
    Outcome,
    Payload,
    Signed,
    associated_data,
    decode,
    encode,
    payload_to_sign,
    split,
)
from bitdust.messaging.message import (
    DELIVERED,
    OUTGOING,
    PRIVATE,
    SENT,
    WAITING,
    Message,
    encode_data,
    private_conversation,
)
from bitdust.messaging.outbox import Row
from bitdust.messaging.ownkeys import OwnKeys
from bitdust.messaging.ports import DELIVER, KEYS, FindDocument, Mail, NetworkPort, People
from bitdust.messaging.route import Route, Settled
from bitdust.messaging.stream import MessageStream
from bitdust.messaging.vault import Vault
from bitdust.network import Call, Reply
from bitdust.supply import Rates

RATE: Final = 3000.0
"""Messages per second taken from one node in the long run; ``BURST`` at once."""
BURST: Final = 6000.0
KEY_RATE: Final = 0.1
"""One-time keys per second given to one node; ``KEY_BURST`` at once. Then it gets none."""
KEY_BURST: Final = 10.0
UPKEEP_EVERY: Final = 15.0
"""Seconds between two looks for messages that waited long enough for those before them."""
MAX_CONFIRMED: Final = 10_000
"""Names remembered as confirmed by their name servers."""
IDENTITY_INFO: Final = b"bitdust messages identity 1"
AT_REST_INFO: Final = b"bitdust messages at rest 1"

log = structlog.get_logger(component="messages")


class Sent(msgspec.Struct, frozen=True):
    """What became of a message so far.

    Args:
        message_id: of the message.
        state: ``delivered``, ``waiting`` or ``failed``.
        consumed: whether a program was listening at the other end.
    """

    message_id: str
    state: str
    consumed: bool


class PrivateMessages:
    """Private messages of one node.

    Args:
        network: sessions to other nodes.
        history: where messages are kept; its file holds ratchets and outbox too.
        stream: where messages are shown.
        key: the master key.
        document: this node's identity document of the moment.
        people: identity documents by node id.
        find_document: identity documents by IDURL, confirmed by the name server.
        clock: time.
        random: chance.
        events: tells when a person appears.
        allow_sealed: whether messages without forward secrecy are sent and taken.
        mail: mailboxes of others, None without any.
    """

    def __init__(
        self,
        network: NetworkPort,
        history: History,
        stream: MessageStream,
        key: PrivateKey,
        document: Callable[[], IdentityDocument],
        people: People,
        find_document: FindDocument,
        clock: Clock,
        random: Random,
        events: EventBus,
        allow_sealed: Callable[[], bool] = lambda: False,
        mail: Mail | None = None,
    ) -> None:
        self.network = network
        self.database: Database = history.database
        self.clock = clock
        self.random = random
        self.mail = mail
        self._stream = stream
        self._key = key
        self._me = key.public.fingerprint
        self._document = document
        self._people = people
        self._find_document = find_document
        self._events = events
        self._allow_sealed = allow_sealed
        self._own = OwnKeys(key.derive(IDENTITY_INFO))
        self._vault = Vault(self._own, key.derive(AT_REST_INFO), random)
        self._intake = Intake(self._vault, key, lambda: str(document().global_id), allow_sealed)
        self._card: Card | None = None
        self._confirmed: set[tuple[bytes, str]] = set()
        self._routes: dict[bytes, Route] = {}
        self._expected: dict[bytes, asyncio.Future[Settled]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken = asyncio.Event()
        self._rates = Rates(RATE, BURST)
        self._key_rates = Rates(KEY_RATE, KEY_BURST)
        self._leave: list[Callable[[], None]] = []
        self._running = False

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to take messages, and go on with those that wait."""
        await self.database.write(self._make_tables)
        self._leave.append(self.database.join(self._vault))
        self._running = True
        self.network.handle(DELIVER, self._on_deliver)
        self.network.handle(KEYS, self._on_keys)
        self._leave.append(self._events.on_event(self._on_event))
        self._spawn(self._upkeep(), "messages upkeep")
        for peer in await self.database.read(outbox.peers_waiting):
            document = await self._people.get_node(peer)
            if document is not None:
                self.network.learn(document)
            self._route(peer)

    async def stop(self) -> None:
        """Send no more; what waits goes on with the next start."""
        self._running = False
        for leave in reversed(self._leave):
            leave()
        self._leave.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for future in list(self._expected.values()):
            future.cancel()

    def _make_tables(self, db: apsw.Connection) -> None:
        from bitdust.messaging import vault

        db.execute(vault.SCHEMA)
        db.execute(outbox.SCHEMA)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _upkeep(self) -> None:
        while True:
            self._taken.clear()
            try:
                if not await self.database.read(self._intake.holds):
                    await self._taken.wait()  # only what is taken now can have to wait
                await self.clock.sleep(UPKEEP_EVERY)
                shown = await self.database.write(self._release)
            except BitdustError as exc:
                log.warning("messages that wait for others stay", reason=exc.message)
                await self.clock.sleep(UPKEEP_EVERY)
                continue
            for message in shown:
                self._stream.publish(message)

    def _release(self, db: apsw.Connection) -> list[Message]:
        return self._intake.release(db, self.clock.now())

    def _on_event(self, event: Event) -> None:
        if event.event_id != "node-connected":
            return
        try:
            route = self._routes.get(bytes.fromhex(str(event.data.get("node_id", ""))))
        except ValueError:
            return
        if route is not None:
            route.online()

    # --- sending ---------------------------------------------------------------------------------

    async def send(
        self,
        recipient: IdentityDocument,
        data: dict[str, Any],
        ping_timeout: float = 30.0,
        message_ack_timeout: float = 15.0,
    ) -> Sent:
        """Write to a person; on return it is on the disk at least.

        Args:
            recipient: their identity document.
            data: a JSON object of at most 64 KiB.
            ping_timeout: seconds to reach them.
            message_ack_timeout: seconds more for their answer.

        Returns:
            ``delivered`` when they have it; ``waiting`` when they are away, or the time was over:
            it is brought to them all the same.

        Raises:
            InvalidInput: to oneself, or data that is no JSON object or too large.
            Busy: too many messages wait for that person.
            ServiceOff: the service is stopping.
        """
        peer = recipient.node_id
        if peer == self._me:
            raise InvalidInput(
                "recipient_id: this is your own address", hint="name the person to write to"
            )
        raw = encode_data(data)
        if not self._running:
            raise ServiceOff("private messages are switched off")
        self.network.learn(recipient)
        self._route(peer).check_room(len(raw))
        message_id = self.random.token(16)
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._expected[message_id] = future
        try:
            message = Message(
                message_id.hex(), private_conversation(peer), PRIVATE, OUTGOING,
                str(self._document().global_id), str(recipient.global_id), data,
                self.clock.now(), None, WAITING,
            )  # fmt: skip
            row = await self.database.write(lambda db: self._enter(db, message, peer, raw))
            self._stream.publish(message)
            self._route(peer).add(row)
            try:
                async with asyncio.timeout(ping_timeout + message_ack_timeout):
                    settled = await future
            except TimeoutError:
                settled = Settled(WAITING)
        finally:
            self._expected.pop(message_id, None)
        return Sent(message.message_id, settled.state, settled.consumed)

    def _enter(self, db: apsw.Connection, message: Message, peer: bytes, raw: bytes) -> Row:
        message_id = bytes.fromhex(message.message_id)
        row = outbox.add_row(
            db, message_id, peer, "message", raw, message.time, self._vault.epoch()
        )
        insert_message(db, message)
        if self._vault.has_session(db, peer):
            self._encrypt_row(db, row)
        return row

    def _encrypt_row(self, db: apsw.Connection, row: Row) -> None:
        signed = self._sign(db, row)
        envelope = self._vault.encrypt(db, row.peer, self._me, row.message_id, signed)
        row.envelope = encode(envelope)
        outbox.set_envelope(db, row, row.envelope)

    def _sign(self, db: apsw.Connection, row: Row) -> Signed:
        epoch, oldest = outbox.counter(db, row.peer, row.place)
        payload = encode(
            Payload(
                row.kind,
                row.message_id,
                epoch,
                row.place,
                oldest,
                row.created,
                row.data,
            )
        )
        return Signed(payload, self._own.sign(payload_to_sign(payload, self._me, row.peer)))

    def _route(self, peer: bytes) -> Route:
        route = self._routes.get(peer)
        if route is None:
            route = self._routes[peer] = Route(self, peer)
            self._spawn(route.run(), "messages to a person")
        return route

    # --- what routes ask for ---------------------------------------------------------------------

    def ended(self, route: Route) -> None:
        """That way is not used any more."""
        self._routes.pop(route.peer, None)

    def tell(self, message_id: bytes, settled: Settled) -> bool:
        """What became of a message; False when nobody waits for that any more."""
        future = self._expected.get(message_id)
        if future is None or future.done():
            return False
        future.set_result(settled)
        return True

    def delivered_late(self, row: Row, state: str) -> None:
        """A message whose sender was told that it waits has come to its end."""
        self._events.publish(
            "message-delivered" if state == DELIVERED else "message-failed",
            message_id=row.message_id.hex(),
            conversation_id=private_conversation(row.peer),
            state=state,
        )

    def boxed(self, db: apsw.Connection, row: Row) -> None:
        """A message lies in a mailbox; within a transaction."""
        set_state(db, row.message_id.hex(), SENT, private_conversation(row.peer))

    def tell_boxed(self, row: Row) -> None:
        """A message lies in a mailbox, and it was written down."""
        self._events.publish(
            "message-sent",
            message_id=row.message_id.hex(),
            conversation_id=private_conversation(row.peer),
            state=SENT,
        )

    async def load(self, peer: bytes) -> list[Row]:
        """What waits for a person."""
        return await self.database.read(lambda db: outbox.rows_for(db, peer))

    async def document_of(self, peer: bytes) -> IdentityDocument | None:
        """A person's identity document, as far as it is known here."""
        return self.network.document_of(peer) or await self._people.get_node(peer)

    def settle(self, db: apsw.Connection, row: Row, state: str) -> None:
        """A message has its outcome; within a transaction."""
        if outbox.remove_row(db, row.peer, row.message_id) and row.kind == "message":
            set_state(db, row.message_id.hex(), state, private_conversation(row.peer))

    def forget_session(self, db: apsw.Connection, row: Row) -> None:
        """The other side cannot read in the session of that envelope; within a transaction."""
        if row.envelope is not None:
            self._vault.forget(db, decode(row.envelope, Envelope, MAX_ENVELOPE).session)
        outbox.set_envelope(db, row, None)

    async def encrypt(self, peer: bytes, rows: Sequence[Row], bundle: Bundle | None) -> bool:
        """Encrypt messages that wait for it, beginning a session where there is none.

        Args:
            peer: for whom.
            rows: not empty.
            bundle: the person's checked keys, to begin a session with.

        Returns:
            False when there is no session, and no bundle to begin one.

        Raises:
            IntegrityError: the keys cannot be used.
        """
        card = await self.card()

        def work(db: apsw.Connection) -> bool:
            if not self._vault.has_session(db, peer):
                if bundle is None:
                    return False
                self._vault.begin(db, bundle, card, self.clock.now())
            for row in rows:
                self._encrypt_row(db, row)
            return True

        return await self.database.write(work)

    async def seal(self, peer: bytes, rows: Sequence[Row]) -> None:
        """Encrypt messages for the master key, without forward secrecy, if that is allowed.

        Raises:
            PeerUnreachable: it is not.
        """
        document = await self.document_of(peer)
        if not self._allow_sealed() or document is None:
            raise PeerUnreachable(
                "no keys for messages to that person can be found",
                hint="they are fetched when that person is online",
            )
        card = await self.card()
        receiver = document.public_key

        def work(db: apsw.Connection) -> None:
            opening = Opening(card, NO_KEY, NO_KEY)
            for row in rows:
                signed = encode(self._sign(db, row))
                envelope = Envelope(
                    1, row.message_id, self._me, peer, NO_SESSION, NO_KEY, 0, 0, opening, b""
                )
                body = receiver.seal(signed, associated_data(b"", envelope))
                row.envelope = encode(msgspec.structs.replace(envelope, body=body))
                outbox.set_envelope(db, row, row.envelope)

        await self.database.write(work)

    # --- own keys --------------------------------------------------------------------------------

    async def card(self) -> Card:
        """The own card of these days."""
        return (await self.keys(0))[0]

    async def keys(self, count: int) -> tuple[Card, list[OneTimeKey]]:
        """The own card, and fresh one-time keys to be given away."""
        idurl = str(self._document().idurl)
        now = self.clock.now()

        def work(db: apsw.Connection) -> tuple[Card, list[OneTimeKey]]:
            prekey, _ = self._vault.prekey(db, now)
            card = self._card
            if card is None or card.prekey != prekey.public or card.idurl != idurl:
                card = self._card = make_card(self._key, self._own, prekey, idurl, now)
            return card, self._vault.one_time_keys(db, count, now)

        if count == 0 and self._card is not None and self._card.idurl == idurl and self._fresh(now):
            return self._card, []
        return await self.database.write(work)

    def _fresh(self, now: float) -> bool:
        return self._card is not None and now - self._card.created < UPKEEP_EVERY * 60

    async def _on_keys(self, call: Call) -> Reply:
        self._check_running()
        given = self._key_rates.allow(call.peer, self.clock.monotonic())
        card, one_time = await self.keys(1 if given else 0)
        return Reply(KeysFound(Bundle(card, one_time[0] if one_time else None)))

    # --- receiving -------------------------------------------------------------------------------

    async def _on_deliver(self, call: Call) -> Reply:
        self._check_running()
        raw = split(await call.read(MAX_BATCH_BYTES + MAX_ENVELOPE * 2))
        if not self._rates.allow(call.peer, self.clock.monotonic(), max(1, len(raw))):
            raise Busy("too many messages")
        envelopes = [decode(one, Envelope, MAX_ENVELOPE) for one in raw]
        if any(envelope.sender != call.peer for envelope in envelopes):
            raise FormatError("a message of somebody else")
        taken = await self.take(call.document, envelopes)
        return Reply(Delivered(taken.outcomes))

    async def take(self, sender: IdentityDocument, envelopes: Sequence[Envelope]) -> Taken:
        """Read, keep and show what one person wrote.

        Args:
            sender: whose name the name server confirmed, or will be asked to.
            envelopes: all of that sender.

        Raises:
            Busy: the sender's name cannot be confirmed now.
            IntegrityError: the sender's name belongs to somebody else.
        """
        peer = sender.node_id
        name = await self._name(sender)
        now = self.clock.now()
        taken = await self.database.write(
            lambda db: self._intake.take(db, peer, name, envelopes, now)
        )
        self._taken.set()
        for place, message in taken.shown:
            if self._stream.publish(message) and place >= 0:
                taken.outcomes[place] = Outcome.CONSUMED
        if taken.acked:
            await self._acked(peer, taken.acked)
        if taken.unreadable:
            await self._unreadable(peer, taken.unreadable)
        return taken

    async def _name(self, sender: IdentityDocument) -> str:
        """The sender's global id; at their first message the name server must confirm it."""
        known = await self._people.get_node(sender.node_id)
        document = known if known and known.revision >= sender.revision else sender
        claim = (document.node_id, str(document.idurl))
        if claim not in self._confirmed:
            try:
                confirmed = await self._find_document(claim[1])
            except IntegrityError:
                raise
            except BitdustError as exc:
                raise Busy(f"who {document.global_id} is cannot be confirmed now") from exc
            if confirmed.node_id != document.node_id:
                raise IntegrityError(f"{document.global_id} is somebody else")
            if len(self._confirmed) >= MAX_CONFIRMED:
                self._confirmed.clear()
            self._confirmed.add(claim)
        return str(document.global_id)

    async def _acked(self, peer: bytes, message_ids: list[bytes]) -> None:
        def work(db: apsw.Connection) -> None:
            for message_id in message_ids:
                if outbox.remove_row(db, peer, message_id):
                    set_state(db, message_id.hex(), DELIVERED, private_conversation(peer))

        await self.database.write(work)
        route = self._routes.get(peer)
        if route is not None:
            route.arrived(message_ids)

    async def _unreadable(self, peer: bytes, message_ids: list[bytes]) -> None:
        wanted = set(message_ids)

        def work(db: apsw.Connection) -> list[Row]:
            rows = [row for row in outbox.rows_for(db, peer) if row.message_id in wanted]
            for row in rows:
                self.forget_session(db, row)
                row.envelope, row.copies = None, 0
            return rows

        rows = await self.database.write(work)
        if rows:
            self._route(peer).reopen(rows)

    async def note(self, peer: IdentityDocument, kind: Kind, message_ids: Sequence[bytes]) -> None:
        """Tell a person which messages arrived (``acked``) or could not be read
        (``unreadable``)."""
        self.network.learn(peer)
        for start in range(0, len(message_ids), MAX_IDS):
            data = b"".join(message_ids[start : start + MAX_IDS])
            note_id = self.random.token(16)

            def work(db: apsw.Connection, note_id: bytes = note_id, data: bytes = data) -> Row:
                row = outbox.add_row(db, note_id, peer.node_id, kind, data, self.clock.now(), b"")
                if self._vault.has_session(db, peer.node_id):
                    self._encrypt_row(db, row)
                return row

            self._route(peer.node_id).add(await self.database.write(work))

    def _check_running(self) -> None:
        if not self._running:
            raise ServiceOff("private messages are switched off")
