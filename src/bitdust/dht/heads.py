"""How a record of up to 64 KiB fits into BEP 44 items of 1,000 bytes each.

A record's head is a mutable item. A small value stands in it. A larger one is compressed and cut
into immutable items ("parts") whose addresses stand in the head, or, when they are too many, in
further parts (the "index") whose addresses stand in the head:

    INLINE   head = [meta, value]
    PARTS    head = [meta, addresses]        part, part, ...
    INDEX    head = [meta, addresses]        index part, ...  each = addresses   part, part, ...

BEP 44 fixes SHA-1 for the address of an immutable item; since SHA-1 alone proves nothing, the head
carries the BLAKE3 of the whole value. The head also names its owner and its place, so that an item
copied elsewhere, or found under another key, is no record.

Source: BEP 44; docs/spec/dht.md.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from bitdust.dht.ownership import PUBLIC_SIZE, SALT_SIZE
from bitdust.dht.records import MAX_REVISION
from bitdust.dht.values import MAX_VALUE_BYTES
from bitdust.errors import FormatError, InvalidInput

HEAD_VERSION: Final = 1
MAX_ITEM: Final = 996
"""Bytes of a byte string whose bencoded form fits into the 1,000 bytes of BEP 44."""
PART_BYTES: Final = 960
ADDRESS_SIZE: Final = 20
MAX_DIRECT: Final = 32
"""Addresses that stand in a head."""
ADDRESSES_PER_INDEX: Final = PART_BYTES // ADDRESS_SIZE
MAX_PARTS: Final = -(-MAX_VALUE_BYTES // PART_BYTES)
MAX_INLINE: Final = 760

INLINE: Final = 0
PARTS: Final = 1
INDEX: Final = 2

_Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Salt = Annotated[bytes, msgspec.Meta(min_length=SALT_SIZE, max_length=SALT_SIZE)]
_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Head(
    msgspec.Struct,
    frozen=True,
    rename={
        "version": "v",
        "record_type": "t",
        "revision": "r",
        "written": "w",
        "expires": "e",
        "owner": "o",
        "salt": "s",
        "form": "f",
        "packed": "z",
        "size": "n",
        "digest": "h",
        "body": "b",
    },
):
    """What stands in the mutable item of a record.

    Args:
        version: 1.
        record_type: such as ``suppliers``.
        revision: grows with every change by the owner.
        written: wall clock of the change, seconds.
        expires: wall clock after which the record is void, seconds; 0 for never.
        owner: Ed25519 public key under which it stands, 32 bytes.
        salt: BEP 44 salt under which it stands, 64 bytes.
        form: INLINE, PARTS or INDEX.
        packed: bytes of the value after compression; 0 when it is not compressed.
        size: bytes of the value as JSON.
        digest: BLAKE3 of the value as JSON, 32 bytes.
        body: the value, or addresses of 20 bytes each.
    """

    version: Annotated[int, msgspec.Meta(ge=HEAD_VERSION, le=HEAD_VERSION)]
    record_type: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    revision: Annotated[int, msgspec.Meta(ge=0, le=MAX_REVISION)]
    written: _Moment
    expires: _Moment
    owner: _Bytes32
    salt: _Salt
    form: Annotated[int, msgspec.Meta(ge=INLINE, le=INDEX)]
    packed: Annotated[int, msgspec.Meta(ge=0, le=MAX_VALUE_BYTES)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_VALUE_BYTES)]
    digest: _Bytes32
    body: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_INLINE)]

    @property
    def stored(self) -> int:
        """Bytes of the value as it travels."""
        return self.packed or self.size

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """Addresses of the items named in the head; none when the value is inline."""
        return () if self.form == INLINE else _split(self.body, ADDRESS_SIZE)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A record ready to be put.

    Args:
        head: bytes of the mutable item, at most 996.
        parts: bytes of the immutable items that must stand before the head does.
    """

    head: bytes
    parts: tuple[bytes, ...]


def _split(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def address_of(part: bytes) -> bytes:
    """Where an immutable item with this byte string stands in the DHT, 20 bytes.

    Source: BEP 44.
    """
    return hashlib.sha1(b"%d:%s" % (len(part), part), usedforsecurity=False).digest()


def make_parcel(
    raw: bytes,
    *,
    record_type: str,
    revision: int,
    written: int,
    expires: int,
    owner: bytes,
    salt: bytes,
) -> Parcel:
    """Cut a value into the items that carry it.

    Args:
        raw: the value as JSON, 1 to 65,536 bytes.
        record_type: see ``records``.
        revision: see ``Head``.
        written: wall clock, seconds.
        expires: wall clock, seconds; 0 for never.
        owner: 32 bytes.
        salt: 64 bytes.
    Raises:
        InvalidInput: a size or number is out of its bounds.
    """
    if not 0 < len(raw) <= MAX_VALUE_BYTES:
        raise InvalidInput(f"a DHT value has 1 to {MAX_VALUE_BYTES} bytes, not {len(raw)}")
    if len(owner) != PUBLIC_SIZE or len(salt) != SALT_SIZE:
        raise InvalidInput("a DHT owner key has 32 bytes and a salt has 64")
    stored, packed = raw, 0
    if len(raw) > MAX_INLINE:
        smaller = zlib.compress(raw, 9)
        if len(smaller) < len(raw):
            stored, packed = smaller, len(smaller)
    parts: tuple[bytes, ...] = ()
    form, body = INLINE, stored
    if len(stored) > MAX_INLINE:
        parts = _split(stored, PART_BYTES)
        form, body = PARTS, b"".join(map(address_of, parts))
        if len(parts) > MAX_DIRECT:
            index = _split(body, ADDRESSES_PER_INDEX * ADDRESS_SIZE)
            form, body = INDEX, b"".join(map(address_of, index))
            parts += index
    head = Head(
        version=HEAD_VERSION,
        record_type=record_type,
        revision=revision,
        written=written,
        expires=expires,
        owner=owner,
        salt=salt,
        form=form,
        packed=packed,
        size=len(raw),
        digest=blake3(raw).digest(),
        body=body,
    )
    encoded = msgspec.msgpack.encode(head)
    parse_head(encoded)
    return Parcel(encoded, parts)


def parse_head(data: bytes) -> Head:
    """Read the head of a record, written by anybody.

    Raises:
        FormatError: not a head, or its numbers contradict each other.
    """
    if not 0 < len(data) <= MAX_ITEM:
        raise FormatError(f"the head of a DHT record has 1 to {MAX_ITEM} bytes, not {len(data)}")
    try:
        head = msgspec.msgpack.decode(data, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise FormatError("a DHT item is not the head of a record") from exc
    if head.packed >= head.size:
        raise FormatError("the head of a DHT record claims a compression that grows the value")
    count = -(-head.stored // PART_BYTES)
    if head.form == INDEX:
        count = -(-count // ADDRESSES_PER_INDEX)
    expected = head.stored if head.form == INLINE else count * ADDRESS_SIZE
    if len(head.body) != expected:
        raise FormatError("the head of a DHT record contradicts its own size")
    return head


def check_place(head: Head, *, record_type: str, owner: bytes, salt: bytes) -> None:
    """Check that a head was written for the place where it was found.

    Raises:
        FormatError: it belongs to another owner, type, key or layer.
    """
    if head.owner != owner or head.salt != salt or head.record_type != record_type:
        raise FormatError("a DHT record stands where it was not written for")


def part_addresses(head: Head, index: Sequence[bytes]) -> tuple[bytes, ...]:
    """Addresses of the parts that carry the value, in order.

    Args:
        head: a head whose form is PARTS or INDEX.
        index: with INDEX, the items that the head names, in order; else empty.
    Raises:
        FormatError: the index contradicts the head.
    """
    if head.form != INDEX:
        return head.addresses
    check_parts(head.addresses, index)
    joined = b"".join(index)
    if len(joined) != -(-head.stored // PART_BYTES) * ADDRESS_SIZE:
        raise FormatError("the index of a DHT record contradicts its head")
    return _split(joined, ADDRESS_SIZE)


def check_parts(addresses: Sequence[bytes], parts: Sequence[bytes]) -> None:
    """Check that each item is the one its address names.

    Raises:
        FormatError: one is not, or their numbers differ.
    """
    if len(addresses) != len(parts):
        raise FormatError("a DHT record has another number of parts than its head says")
    for address, part in zip(addresses, parts, strict=True):
        if len(part) > PART_BYTES or address_of(part) != address:
            raise FormatError("a part of a DHT record is not the one its head names")


def join_value(head: Head, addresses: Sequence[bytes], parts: Mapping[bytes, bytes]) -> bytes:
    """The value of a record as JSON, every hash checked.

    Args:
        head: the record's head.
        addresses: from ``part_addresses``; empty when the value is inline.
        parts: items by address.
    Raises:
        FormatError: a part is missing, wrong, or the whole does not fit the head.
    """
    if head.form == INLINE:
        stored = head.body
    else:
        found = [parts[address] for address in addresses if address in parts]
        check_parts(addresses, found)
        stored = b"".join(found)
    if len(stored) != head.stored:
        raise FormatError("a DHT record has another size than its head says")
    raw = _unpack(stored, head.size) if head.packed else stored
    if len(raw) != head.size or blake3(raw).digest() != head.digest:
        raise FormatError("a DHT record does not have the hash its head names")
    return raw


def _unpack(stored: bytes, size: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        # One byte more than promised is room enough to notice a lie, and bounds the memory.
        raw = engine.decompress(stored, size + 1)
    except zlib.error as exc:
        raise FormatError("a DHT record cannot be decompressed") from exc
    if len(raw) != size or not engine.eof or engine.unused_data:
        raise FormatError("a DHT record does not decompress to what its head says")
    return raw
