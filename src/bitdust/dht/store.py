"""Records on a wire: put in parts, fetched and checked, kept alive while this node runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog

from bitdust.clock import Clock, Random
from bitdust.dht.heads import (
    INDEX,
    INLINE,
    Head,
    Parcel,
    check_place,
    join_value,
    parse_head,
    part_addresses,
)
from bitdust.dht.ownership import is_signed
from bitdust.dht.renewal import Renewal
from bitdust.dht.wire import Wire
from bitdust.errors import DhtError, FormatError

PARALLEL_PARTS: Final = 8
MAX_KEPT: Final = 1024
SHORTEST_RENEWAL: Final = 2700.0
LONGEST_RENEWAL: Final = 3600.0
"""BEP 44 items fade after two hours; so one renewal may fail."""
RENEWAL_RETRY: Final = 60.0

_log = structlog.get_logger(component="dht.store")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands.

    Args:
        record_type: see ``records``.
        key: as the caller named it.
        layer: 0 to 255.
        public_key: Ed25519 key it stands under, 32 bytes.
        salt: 64 bytes.
        owned: whether only its owner can write it.
    """

    record_type: str
    key: str
    layer: int
    public_key: bytes
    salt: bytes
    owned: bool


@dataclass(slots=True)
class Kept:
    """A record this node put and puts again.

    Args:
        seed: secret under which it stands, 32 bytes; never shown.
        parcel: its items.
        value: the record itself.
        revision: see ``Head``.
        written: wall clock, seconds.
        expires: wall clock, seconds; 0 for never.
        published: wall clock of the latest put, seconds.
        rounds: puts so far.
    """

    seed: bytes = field(repr=False)
    parcel: Parcel = field(repr=False)
    value: Any = field(repr=False)
    revision: int
    written: int
    expires: int
    published: float
    rounds: int = 1


class RecordStore:
    """Puts and gets whole records.

    Args:
        wire: the DHT.
        clock: time.
        random: chance, for jitter.
    """

    def __init__(self, wire: Wire, clock: Clock, random: Random) -> None:
        self._wire = wire
        self._clock = clock
        self._random = random
        self.kept: dict[Place, Kept] = {}
        self._locks: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()
        self._renewal: Renewal[Place] = Renewal(self._renew, clock, MAX_KEPT, RENEWAL_RETRY)

    def start(self) -> None:
        """Begin renewing; needs a running event loop."""
        self._renewal.start()

    async def stop(self) -> None:
        """Renew no more; records fade within two hours."""
        await self._renewal.stop()

    def keep(self, place: Place, kept: Kept) -> None:
        """Put a record again before it fades, from now on.

        Raises:
            DhtError: there are too many.
        """
        self._renewal.discard(place)
        self._renewal.add(place, self._next(kept))
        self.kept[place] = kept

    def drop(self, place: Place) -> None:
        """Put a record no longer."""
        self._renewal.discard(place)
        self.kept.pop(place, None)

    def lock(self, place: Place) -> asyncio.Lock:
        """The lock under which a place is written: two puts at once could leave the older one."""
        return self._locks.setdefault(place, asyncio.Lock())

    def check_room(self, place: Place) -> None:
        """Check that one more record can be kept.

        Raises:
            DhtError: there are too many.
        """
        if place not in self.kept and len(self.kept) >= MAX_KEPT:
            raise DhtError(f"this node keeps {MAX_KEPT} DHT records alive already")

    async def put(self, seed: bytes, salt: bytes, parcel: Parcel) -> int:
        """Put all items of a record, the head last; how many nodes took the head.

        Raises:
            DhtError: a part was taken by nobody.
        """
        gate = asyncio.Semaphore(PARALLEL_PARTS)

        async def put_part(part: bytes) -> int:
            async with gate:
                return await self._wire.put_part(part)

        taken = await asyncio.gather(*(put_part(part) for part in parcel.parts))
        missing = sum(1 for copies in taken if not copies)
        if missing:
            raise DhtError(f"{missing} of {len(taken)} parts of the record were taken by no node")
        return await self._wire.put_item(seed, salt, parcel.head)

    async def head(self, place: Place) -> Head | None:
        """The head that stands in a place now, None when there is none.

        Raises:
            FormatError: what stands there is no record.
        """
        item = await self._wire.get_item(place.public_key, place.salt)
        if item is None:
            return None
        if (item.public_key, item.salt) != (place.public_key, place.salt) or not is_signed(
            item.public_key, item.salt, item.seq, item.value, item.signature
        ):
            raise FormatError("a DHT item is not signed by the key it stands under")
        head = parse_head(item.value)
        check_place(head, record_type=place.record_type, owner=place.public_key, salt=place.salt)
        return head

    async def body(self, head: Head) -> bytes:
        """The value that belongs to a head, as JSON.

        Raises:
            DhtError: a part of it is not in the DHT.
            FormatError: it is not what the head says.
        """
        if head.form == INLINE:
            return join_value(head, (), {})
        index: list[bytes] = []
        if head.form == INDEX:
            found = await self._parts(head.addresses)
            index = [found[address] for address in head.addresses]
        addresses = part_addresses(head, index)
        return join_value(head, addresses, await self._parts(addresses))

    async def _parts(self, addresses: tuple[bytes, ...]) -> dict[bytes, bytes]:
        gate = asyncio.Semaphore(PARALLEL_PARTS)

        async def get_part(address: bytes) -> tuple[bytes, bytes | None]:
            async with gate:
                return address, await self._wire.get_part(address)

        unique = dict.fromkeys(addresses)
        answers = await asyncio.gather(*(get_part(address) for address in unique))
        found = {address: part for address, part in answers if part is not None}
        if len(found) < len(unique):
            raise DhtError(
                f"{len(unique) - len(found)} of {len(unique)} parts of the record are not in the "
                "DHT now"
            )
        return found

    def _next(self, kept: Kept) -> float:
        settling = self._wire.settling
        if kept.rounds <= len(settling):
            return settling[kept.rounds - 1]
        return self._random.uniform(SHORTEST_RENEWAL, LONGEST_RENEWAL)

    async def _renew(self, place: Place) -> float | None:
        async with self.lock(place):
            kept = self.kept.get(place)
            if kept is None:
                return None
            if kept.expires and self._clock.now() >= kept.expires:
                del self.kept[place]
                return None
            try:
                current = await self.head(place)
            except FormatError:
                current = None
            if current is not None and _supersedes(current, place, kept):
                _log.info("record superseded", record_type=place.record_type, layer=place.layer)
                del self.kept[place]
                return None
            if not await self.put(kept.seed, place.salt, kept.parcel):
                return RENEWAL_RETRY
            kept.published = self._clock.now()
            kept.rounds += 1
            return self._next(kept)


def _supersedes(head: Head, place: Place, kept: Kept) -> bool:
    """Whether what stands there is newer than what this node wrote.

    For an owned record that is another device of the same person; for one of nobody, anybody.
    """
    if place.owned:
        return head.revision > kept.revision
    mine = (kept.written, kept.revision)
    return (head.written, head.revision) > mine
