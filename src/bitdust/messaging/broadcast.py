"""Broadcasts: a few words to everybody who can be reached, passed on once per node.

A broadcast is signed with its author's master key. Each node shows it once and hands it to the
nodes it is connected with; the rates allow each author and each neighbour only so many.

Source: BitDust API, second generation, broadcast_send_message.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
import structlog

from bitdust.clock import Clock, Random
from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import (
    BitdustError,
    Busy,
    FormatError,
    IntegrityError,
    InvalidInput,
    KeyProblem,
)
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument
from bitdust.messaging.letters import Id16, Idurl, KeyDer, Nothing, RsaSignature, Second
from bitdust.messaging.message import decode_data, encode_data
from bitdust.messaging.ports import BROADCAST, FindDocument, NetworkPort
from bitdust.network import Call, Reply
from bitdust.supply import Rates

MAX_PAYLOAD: Final = 4096
"""Bytes of a broadcast's data as JSON."""
MAX_AGE: Final = 600
"""Seconds after which a broadcast is not passed on."""
MAX_AHEAD: Final = 60
MAX_SEEN: Final = 10_000
"""Broadcasts remembered, so that each is passed on once."""
MAX_NEIGHBOURS: Final = 32
"""Nodes that one broadcast is handed to."""
OWN_RATE: Final = 0.1
OWN_BURST: Final = 5.0
"""Own broadcasts: so many at once, then ``OWN_RATE`` per second."""
AUTHOR_RATE: Final = 0.1
AUTHOR_BURST: Final = 8.0
NEIGHBOUR_RATE: Final = 2.0
NEIGHBOUR_BURST: Final = 40.0
TOTAL_RATE: Final = 10.0
TOTAL_BURST: Final = 100.0
TIMEOUT: Final = 10.0
MAX_TASKS: Final = 256
RECEIVED: Final = "broadcast-message-received"
"""Event that tells a broadcast: ``sender``, ``message_id``, ``time`` and ``data``."""

log = structlog.get_logger(component="broadcast")


class Cast(msgspec.Struct, frozen=True):
    """A broadcast on the wire.

    Args:
        message_id: chosen at random.
        idurl: of its author.
        key: the author's master key as SPKI DER.
        time: second in which it was written.
        data: JSON.
        signature: by the master key, over all of that.
    """

    message_id: Id16
    idurl: Idurl
    key: KeyDer
    time: Second
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_PAYLOAD)]
    signature: RsaSignature = b""

    def to_sign(self) -> bytes:
        """What the author signs."""
        return b"bitdust broadcast 1\0" + msgspec.msgpack.encode(
            msgspec.structs.replace(self, signature=b"")
        )


class Broadcasts:
    """Broadcasts of one node.

    Args:
        network: sessions.
        neighbours: node ids that are connected now.
        key: the master key.
        document: this node's identity document of the moment.
        find_document: identity documents by IDURL.
        clock: time.
        random: chance.
        events: where broadcasts are told.
    """

    def __init__(
        self,
        network: NetworkPort,
        neighbours: Callable[[], list[bytes]],
        key: PrivateKey,
        document: Callable[[], IdentityDocument],
        find_document: FindDocument,
        clock: Clock,
        random: Random,
        events: EventBus,
    ) -> None:
        self._network = network
        self._neighbours = neighbours
        self._key = key
        self._document = document
        self._find_document = find_document
        self._clock = clock
        self._random = random
        self._events = events
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._own = Rates(OWN_RATE, OWN_BURST)
        self._authors = Rates(AUTHOR_RATE, AUTHOR_BURST)
        self._peers = Rates(NEIGHBOUR_RATE, NEIGHBOUR_BURST)
        self._total = Rates(TOTAL_RATE, TOTAL_BURST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._network.handle(BROADCAST, self._on_cast)

    async def stop(self) -> None:
        """Pass on nothing more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def send(self, data: dict[str, Any]) -> dict[str, Any]:
        """Tell everybody something.

        Args:
            data: a JSON object of at most 4 KiB.

        Returns:
            ``message_id``, and ``nodes``: how many it is handed to first.

        Raises:
            InvalidInput: no JSON object, or too large.
            Busy: too many in a short time.
        """
        raw = encode_data(data)
        if len(raw) > MAX_PAYLOAD:
            raise InvalidInput(f"payload: has {len(raw)} bytes as JSON, at most {MAX_PAYLOAD} go")
        if not self._own.allow(b"", self._clock.monotonic()):
            raise Busy("too many broadcasts in a short time")
        cast = Cast(
            self._random.token(16), str(self._document().idurl), self._key.public.der,
            int(self._clock.now()), raw,
        )  # fmt: skip
        cast = msgspec.structs.replace(cast, signature=self._key.sign(cast.to_sign()))
        self._remember(cast.message_id)
        nodes = self._pass_on(cast, b"")
        return {"message_id": cast.message_id.hex(), "nodes": nodes}

    async def _on_cast(self, call: Call) -> Reply:
        now = self._clock.monotonic()
        if not self._peers.allow(call.peer, now):
            raise Busy("too many broadcasts")
        cast = call.decode(Cast)
        if cast.message_id in self._seen:
            return Reply(Nothing())
        data = self._checked(cast)
        author = sha256(cast.key).digest()
        if not self._total.allow(b"", now) or not self._authors.allow(author, now):
            raise Busy("too many broadcasts")
        self._remember(cast.message_id)
        if author != self._key.public.fingerprint and len(self._tasks) < MAX_TASKS:
            self._spawn(self._show(cast, author, data))
            self._pass_on(cast, call.peer)
        return Reply(Nothing())

    def _checked(self, cast: Cast) -> dict[str, Any]:
        age = self._clock.now() - cast.time
        if not -MAX_AHEAD <= age <= MAX_AGE:
            raise FormatError("a broadcast that is too old, or from the future")
        try:
            PublicKey.from_der(cast.key).verify(cast.signature, cast.to_sign())
        except KeyProblem as exc:
            raise IntegrityError("a broadcast signed with a key that cannot be used") from exc
        return decode_data(cast.data)

    async def _show(self, cast: Cast, author: bytes, data: dict[str, Any]) -> None:
        try:
            document = await self._find_document(cast.idurl)
        except BitdustError as exc:
            log.info("a broadcast of somebody unknown", reason=exc.message)
            return
        if document.node_id != author:
            log.warning("a broadcast in the name of somebody else", idurl=cast.idurl)
            return
        self._events.publish(
            RECEIVED,
            sender=str(document.global_id),
            message_id=cast.message_id.hex(),
            time=cast.time,
            data=data,
        )

    def _pass_on(self, cast: Cast, source: bytes) -> int:
        me = self._key.public.fingerprint
        nodes = [node for node in self._neighbours() if node not in (source, me)]
        self._random.shuffle(nodes)
        nodes = nodes[: min(MAX_NEIGHBOURS, max(0, MAX_TASKS - len(self._tasks)))]
        for node in nodes:
            self._spawn(self._hand(node, cast))
        return len(nodes)

    async def _hand(self, node: bytes, cast: Cast) -> None:
        try:
            response = await self._network.request(node, BROADCAST, cast, timeout=TIMEOUT)
            response.close()
        except BitdustError as exc:
            log.debug("a broadcast was not taken", reason=exc.message)

    def _remember(self, message_id: bytes) -> None:
        self._seen[message_id] = None
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="broadcast")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
