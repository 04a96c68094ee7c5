"""The DHT as the rest of the program sees it: topics, records, nodes."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from blake3 import blake3

from bitdust.clock import Clock, Random
from bitdust.dht.announcer import Announcer, check_topic
from bitdust.dht.heads import Head, make_parcel
from bitdust.dht.ownership import (
    PUBLIC_SIZE,
    KeySource,
    item_target,
    open_seed,
    owner_seed,
    public_of,
    record_salt,
)
from bitdust.dht.protocol import READ_TIMEOUT, WRITE_TIMEOUT
from bitdust.dht.records import (
    MAX_REVISION,
    SKIP_VALIDATION,
    RecordType,
    check_foreign,
    check_key,
    check_own,
    find_record_type,
    revision_of,
)
from bitdust.dht.results import DhtNode, DhtStats, LayerCounts, ReadResult, WriteResult
from bitdust.dht.store import Kept, Place, RecordStore
from bitdust.dht.topics import MAX_LAYER, check_layer, layer_topic
from bitdust.dht.values import decode_value, encode_value
from bitdust.dht.wire import MAX_PEERS, Address, Wire
from bitdust.errors import DhtError, FormatError, InvalidInput

NODE_ID_SIZE: Final = 20
MAX_CACHED: Final = 256
ROLLBACK_WINDOW: Final = 7200.0
"""Seconds for which an older revision than one already seen is not believed."""
JOIN_POLL: Final = 0.05

_log = structlog.get_logger(component="dht")


@dataclass(frozen=True, slots=True)
class _Cached:
    result: ReadResult
    read_at: float


class DhtService:
    """The records and topics of a node over any wire.

    Args:
        wire: the DHT itself; owned: started and stopped here.
        clock: time.
        random: chance.
        network: name of a private network, which separates its topics and records from others.
    """

    def __init__(self, wire: Wire, clock: Clock, random: Random, network: str = "") -> None:
        self._wire = wire
        self._clock = clock
        self._random = random
        self._network = network
        self._announcer = Announcer(wire, clock, random)
        self._store = RecordStore(wire, clock, random)
        self._cache: OrderedDict[Place, _Cached] = OrderedDict()
        self._layers: dict[int, LayerCounts] = {}
        self._layer_topics = {layer_topic(n, network): n for n in range(MAX_LAYER + 1)}
        self._running = False

    @property
    def my_id(self) -> bytes:
        return self._wire.my_id

    @property
    def port(self) -> int:
        return self._wire.port

    @property
    def network(self) -> str:
        return self._network

    async def start(self) -> None:
        if self._running:
            return
        await self._wire.start()
        self._running = True
        self._announcer.start()
        self._store.start()

    async def stop(self) -> None:
        self._running = False
        await self._announcer.stop()
        await self._store.stop()
        await self._wire.stop()

    async def joined(self, timeout: float = 10.0) -> bool:
        end = self._clock.monotonic() + timeout
        while not await self._wire.near(self.my_id):
            if self._clock.monotonic() >= end:
                return False
            await self._clock.sleep(JOIN_POLL)
        return True

    # --- topics ---------------------------------------------------------------------------------

    def announce(self, topic: bytes, port: int) -> None:
        """Make this node findable on a topic.

        Raises:
            InvalidInput: the topic has not 20 bytes, or the port is out of range.
            DhtError: more than 4,096 topics.
        """
        self._announcer.announce(topic, port)
        self._count(self._layer_topics.get(topic, 0)).packets_out += 1

    def withdraw(self, topic: bytes) -> None:
        self._announcer.withdraw(topic)

    async def peers(
        self, topic: bytes, timeout: float = 5.0, want: int | None = None
    ) -> list[Address]:
        """Addresses announced on a topic.

        Args:
            topic: 20 bytes.
            timeout: seconds; on the public DHT all of them are used unless ``want`` is reached.
            want: how many are enough; at most 256 in any case.
        Returns:
            ``(host, port)`` of whoever says so: to be proven by a session.
        Raises:
            InvalidInput: the topic has not 20 bytes.
            DhtError: not started.
        """
        check_topic(topic)
        limit = MAX_PEERS if want is None else max(1, min(want, MAX_PEERS))
        counts = self._count(self._layer_topics.get(topic, 0))
        counts.packets_out += 1
        found = await self._wire.peers(topic, timeout, limit)
        counts.packets_in += len(found)
        return found

    async def random_endpoints(
        self, layer: int, count: int = 1, timeout: float = 5.0
    ) -> list[Address]:
        found = await self.peers(layer_topic(layer, self._network), timeout)
        self._random.shuffle(found)
        return found[: max(0, count)]

    # --- records --------------------------------------------------------------------------------

    async def set_value(
        self,
        key: str,
        value: Any,
        *,
        record_type: str = SKIP_VALIDATION,
        layer: int = 0,
        signer: KeySource | None = None,
        expire: float | None = None,
        timeout: float = WRITE_TIMEOUT,
    ) -> WriteResult:
        """Write a record, and put it again before it fades while this node runs.

        Args:
            key: 1 to 512 bytes of text.
            value: a JSON value of at most 65,536 bytes; its field ``revision`` becomes the
                record's, else the record gets the next one.
            record_type: see ``records``.
            layer: 0 to 255.
            signer: the owner's private key; needed for owned records.
            expire: seconds from now after which readers ignore it.
            timeout: seconds.
        Returns:
            ``success`` is False, with a reason, when no node took it or when an owned record of a
            newer revision stands there already; then it is not kept alive.
        Raises:
            InvalidInput: the key, the value or the type cannot be taken.
            DhtError: not started, or this node keeps 1,024 records already.
        """
        kind = find_record_type(record_type)
        check_own(kind, value)
        raw = encode_value(value)
        if expire is not None and not 0 < expire < 2**40:
            raise InvalidInput("a DHT record expires after a positive number of seconds")
        seed = self._seed(kind, key, layer, signer)
        place = self._place(kind, key, layer, public_of(seed))
        self._store.check_room(place)
        expires = math.ceil(self._clock.now() + expire) if expire is not None else 0
        counts = self._count(layer)
        revision, copies, reason = 0, 0, ""
        try:
            async with asyncio.timeout(timeout), self._store.lock(place):
                counts.packets_out += 1
                revision, reason = await self._revision(place, value, raw)
                if not reason:
                    now = int(self._clock.now())
                    parcel = make_parcel(
                        raw,
                        record_type=kind.name,
                        revision=revision,
                        written=now,
                        expires=expires,
                        owner=place.public_key,
                        salt=place.salt,
                    )
                    copies = await self._store.put(seed, place.salt, parcel)
                    if copies:
                        kept = Kept(
                            seed=seed,
                            parcel=parcel,
                            value=decode_value(raw),
                            revision=revision,
                            written=now,
                            expires=expires,
                            published=self._clock.now(),
                        )
                        self._store.keep(place, kept)
                        self._cache.pop(place, None)
                    else:
                        reason = "no node of the DHT took the record"
        except TimeoutError:
            reason = f"the DHT did not take the record within {timeout:g} seconds"
        except DhtError as exc:
            if not self._running:
                raise
            reason = exc.message
        counts.packets_in += copies
        nodes = await self._near(place)
        return WriteResult(not reason, key, value, revision, copies, tuple(nodes), reason)

    async def get_value(
        self,
        key: str,
        *,
        record_type: str = SKIP_VALIDATION,
        layer: int = 0,
        owner_dht_key: bytes | None = None,
        cache_ttl: float | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> ReadResult:
        """Read a record; every hash, its place and its owner's signature are checked.

        Args:
            key: 1 to 512 bytes of text.
            record_type: see ``records``.
            layer: 0 to 255.
            owner_dht_key: ``dht_key`` of the owner's identity document, 32 bytes; needed for owned
                records.
            cache_ttl: seconds for which an earlier read will do; None asks the network.
            timeout: seconds.
        Raises:
            InvalidInput: the key, the type or the owner cannot be taken.
            FormatError: what stands there is no such record.
            DhtError: it stands there, but parts of it cannot be had now; or not started.
        """
        kind = find_record_type(record_type)
        if kind.owned:
            if owner_dht_key is None or len(owner_dht_key) != PUBLIC_SIZE:
                raise InvalidInput(
                    f"a record of type {kind.name} is read under its owner's DHT key of "
                    f"{PUBLIC_SIZE} bytes"
                )
            public_key = bytes(owner_dht_key)
        else:
            public_key = public_of(self._seed(kind, key, layer, None))
        place = self._place(kind, key, layer, public_key)
        now = self._clock.monotonic()
        cached = self._cache.get(place)
        if (
            cached is not None
            and cache_ttl is not None
            and now - cached.read_at <= cache_ttl
            and not _is_past(cached.result.expires, self._clock.now())
        ):
            return replace(cached.result, cached=True)
        counts = self._count(layer)
        counts.packets_out += 1
        reason = "there is no such record"
        head: Head | None = None
        raw = b""
        try:
            async with asyncio.timeout(timeout):
                head = await self._store.head(place)
                if head is not None and _is_past(head.expires, self._clock.now()):
                    head, reason = None, "the record has expired"
                if head is not None:
                    raw = await self._store.body(head)
        except TimeoutError:
            if head is not None:
                raise DhtError(f"the record could not be read within {timeout:g} seconds") from None
            reason = f"the DHT did not answer within {timeout:g} seconds"
        if head is None:
            return ReadResult(
                False, key, closest_nodes=tuple(await self._near(place)), reason=reason
            )
        counts.packets_in += 1
        value = decode_value(raw)
        check_foreign(kind, value)
        if kind.owned and revision_of(value) not in (None, head.revision):
            raise FormatError("the revision of a DHT record contradicts its head")
        if (
            cached is not None
            and kind.owned
            and cached.result.revision > head.revision
            and now - cached.read_at <= ROLLBACK_WINDOW
        ):
            _log.info("older revision of a record ignored", record_type=kind.name)
            return replace(cached.result, cached=True)
        result = ReadResult(True, key, value, head.revision, head.written, head.expires, public_key)
        self._remember(place, result)
        return result

    # --- nodes and counters ---------------------------------------------------------------------

    async def find_nodes(
        self, node_id: bytes | None = None, layer: int = 0, timeout: float = 5.0
    ) -> list[DhtNode]:
        """The closest live nodes to an id.

        Args:
            node_id: 20 bytes; None for a random place in layer 0, and for the place where the
                members of any other layer are announced.
            layer: 0 to 255.
            timeout: seconds.
        Returns:
            At most 8 nodes that answered, nearest first; never this node.
        Raises:
            InvalidInput: the id has not 20 bytes, or the layer is out of range.
            DhtError: not started.
        """
        check_layer(layer)
        if node_id is None:
            is_common = layer == 0
            target = (
                self._random.token(NODE_ID_SIZE) if is_common else layer_topic(layer, self._network)
            )
        elif len(node_id) != NODE_ID_SIZE:
            raise InvalidInput(f"a DHT node id has {NODE_ID_SIZE} bytes, not {len(node_id)}")
        else:
            target = bytes(node_id)
        counts = self._count(layer)
        counts.packets_out += 1
        found = await self._wire.lookup(target, timeout)
        counts.packets_in += len(found)
        return found

    def local_db_dump(self) -> dict[str, list[dict[str, Any]]]:
        """What this node itself keeps, by layer number.

        What it stores for others is inside libtorrent and not shown. Each row says its ``scope``:
        ``kept`` records are put again by this node, ``announced`` are its topics, ``cached`` are
        records of others it has read.
        """
        dump: dict[str, list[dict[str, Any]]] = {}
        for place, kept in self._store.kept.items():
            row = {
                **_row("kept", place, kept.revision, kept.value),
                "expireSeconds": kept.expires - kept.written if kept.expires else None,
                "lastPublished": kept.published,
                "originallyPublished": kept.written,
            }
            dump.setdefault(str(place.layer), []).append(row)
        for place, cached in self._cache.items():
            result = cached.result
            row = {
                **_row("cached", place, result.revision, result.value),
                "expireSeconds": result.expires - result.written if result.expires else None,
                "lastPublished": result.written,
                "originallyPublished": result.written,
            }
            dump.setdefault(str(place.layer), []).append(row)
        for topic, state in self._announcer.topics.items():
            row = {
                "scope": "announced",
                "key": topic.hex(),
                "type": "topic",
                "expireSeconds": None,
                "lastPublished": state.last,
                "originallyPublished": state.first,
                "originalPublisherID": self.my_id.hex(),
                "revision": 0,
                "value": {"port": state.port, "confirmed": state.confirmed},
            }
            dump.setdefault(str(self._layer_topics.get(topic, 0)), []).append(row)
        return dump

    async def stats(self) -> DhtStats:
        """Counters of bytes, nodes and layers.

        Raises:
            DhtError: not started.
        """
        traffic = await self._wire.traffic()
        for counts in self._layers.values():
            counts.cache = 0
        for place in self._cache:
            self._count(place.layer).cache += 1
        return DhtStats(
            my_id=self.my_id,
            port=self.port,
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            nodes=traffic.nodes,
            topics=len(self._announcer.topics),
            kept=len(self._store.kept),
            layers={layer: replace(counts) for layer, counts in self._layers.items()},
            packets_in=traffic.packets_in,
            packets_out=traffic.packets_out,
            dropped=traffic.dropped,
        )

    # --- within ---------------------------------------------------------------------------------

    def _count(self, layer: int) -> LayerCounts:
        return self._layers.setdefault(layer, LayerCounts())

    def _seed(self, kind: RecordType, key: str, layer: int, signer: KeySource | None) -> bytes:
        if not kind.owned:
            salt = record_salt(kind.name, check_key(key), check_layer(layer), self._network)
            return open_seed(salt)
        if signer is None:
            raise InvalidInput(
                f"a record of type {kind.name} is written with its owner's private key"
            )
        return owner_seed(signer)

    def _place(self, kind: RecordType, key: str, layer: int, public_key: bytes) -> Place:
        salt = record_salt(kind.name, check_key(key), check_layer(layer), self._network)
        return Place(kind.name, key, layer, public_key, salt, kind.owned)

    async def _near(self, place: Place) -> list[DhtNode]:
        return await self._wire.near(item_target(place.public_key, place.salt))

    async def _revision(self, place: Place, value: Any, raw: bytes) -> tuple[int, str]:
        """The revision a write gets, or the one in its way and why it must not be."""
        try:
            current = await self._store.head(place)
        except FormatError:
            # Anybody may have left rubbish in an open place; only its owner in an owned one.
            current = None
        kept = self._store.kept.get(place)
        known = max(current.revision if current else 0, kept.revision if kept else 0)
        named = revision_of(value) if place.owned else None
        if named is None:
            return min(known + 1, MAX_REVISION), ""
        if named < known:
            return known, f"revision {known} of this record is published already"
        if (
            current is not None
            and named == current.revision
            and blake3(raw).digest() != current.digest
        ):
            return known, f"revision {known} is published already with other content"
        return named, ""

    def _remember(self, place: Place, result: ReadResult) -> None:
        self._cache[place] = _Cached(result, self._clock.monotonic())
        self._cache.move_to_end(place)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)


def _row(scope: str, place: Place, revision: int, value: Any) -> dict[str, Any]:
    return {
        "scope": scope,
        "key": place.key,
        "type": place.record_type,
        "originalPublisherID": place.public_key.hex(),
        "revision": revision,
        "value": value,
    }


def _is_past(expires: int, now: float) -> bool:
    return expires > 0 and now >= expires
