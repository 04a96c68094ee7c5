"""The header of a fragment and the arithmetic of where its stripes lie.

A fragment describes itself, so that a block can be found and opened from suppliers' objects and the
owner's key alone. The header has a fixed length: the place of every stripe follows from the number
of suppliers and the payload size.

    0    8  magic and version
    8    2  length of the description, big endian
    10   …  description, msgpack
    …    …  zeros
    240 16  first 16 bytes of BLAKE3 over bytes 0 to 239

Source: docs/spec/storage.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from bitdust.errors import FormatError, InvalidInput
from bitdust.storage.formats.erasure import SUPPLIER_COUNTS, check_suppliers
from bitdust.storage.formats.seal import (
    BLOCK_ID_SIZE,
    MAX_PAYLOAD,
    MAX_STRIPE_PLAIN,
    MIN_STRIPE_PLAIN,
    STRIPE_PLAIN,
    TAG_SIZE,
    WRAPPED_KEY_SIZE,
    BlockKind,
    stripe_count,
)

Buffer = bytes | bytearray | memoryview

MAGIC: Final = b"BDfrag\x00\x01"
HEADER_SIZE: Final = 256
CHECK_SIZE: Final = 16
_CHECK_AT: Final = HEADER_SIZE - CHECK_SIZE
_DESCRIPTION_AT: Final = len(MAGIC) + 2
_MAX_DESCRIPTION: Final = _CHECK_AT - _DESCRIPTION_AT


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in the fragments of one block.

    Args:
        n: number of suppliers.
        size: bytes of the payload.
        stripe_plain: payload bytes in each stripe but the last.

    Raises:
        InvalidInput: out of the bounds of the format.
    """

    n: int
    size: int
    stripe_plain: int = STRIPE_PLAIN

    def __post_init__(self) -> None:
        check_suppliers(self.n)
        if not 0 <= self.size <= MAX_PAYLOAD:
            raise InvalidInput("a block holds at most 16 MiB")
        if not MIN_STRIPE_PLAIN <= self.stripe_plain <= MAX_STRIPE_PLAIN:
            raise InvalidInput("the stripe size is out of range")

    @property
    def stripes(self) -> int:
        """Number of stripes, at least 1."""
        return stripe_count(self.size, self.stripe_plain)

    def sealed_size(self, stripe: int) -> int:
        """Bytes of a stripe after sealing."""
        if not 0 <= stripe < self.stripes:
            raise InvalidInput("no such stripe")
        start = stripe * self.stripe_plain
        return min(self.stripe_plain, self.size - start) + TAG_SIZE

    def piece_size(self, stripe: int) -> int:
        """Bytes of each data and parity piece of a stripe."""
        return -(-self.sealed_size(stripe) // self.n)

    def stripe_range(self, stripe: int) -> tuple[int, int]:
        """Offset and length within a fragment of one stripe's data piece and parity piece."""
        full = -(-(self.stripe_plain + TAG_SIZE) // self.n)
        return HEADER_SIZE + stripe * 2 * full, 2 * self.piece_size(stripe)

    def stripes_range(self, stripes: range) -> tuple[int, int]:
        """Offset and length within a fragment of consecutive stripes, at least one."""
        if stripes.step != 1 or not stripes:
            raise InvalidInput("consecutive stripes are read together, at least one")
        offset, _ = self.stripe_range(stripes[0])
        last, length = self.stripe_range(stripes[-1])
        return offset, last + length - offset

    @property
    def fragment_size(self) -> int:
        """Bytes of a whole fragment."""
        offset, length = self.stripe_range(self.stripes - 1)
        return offset + length

    def stripes_of(self, offset: int, length: int) -> range:
        """The stripes that hold ``length`` payload bytes from ``offset`` on.

        Raises:
            InvalidInput: not within the payload.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidInput("the range is not within the block")
        if not length:
            return range(0)
        return range(offset // self.stripe_plain, (offset + length - 1) // self.stripe_plain + 1)

    def plain_range(self, stripe: int) -> tuple[int, int]:
        """Where the payload of a stripe begins and ends."""
        start = stripe * self.stripe_plain
        return start, start + self.sealed_size(stripe) - TAG_SIZE


class _Description(msgspec.Struct, omit_defaults=False):
    block: Annotated[bytes, msgspec.Meta(min_length=BLOCK_ID_SIZE, max_length=BLOCK_ID_SIZE)]
    n: int
    index: int
    size: int
    stripe: int
    stripes: int
    key: Annotated[bytes, msgspec.Meta(min_length=WRAPPED_KEY_SIZE, max_length=WRAPPED_KEY_SIZE)]
    kind: int


@dataclass(frozen=True, slots=True)
class FragmentHeader:
    """What the first ``HEADER_SIZE`` bytes of a fragment say.

    Args:
        block_id: 16 bytes.
        layout: number of suppliers and sizes.
        index: which fragment it is, 0 to N-1.
        wrapped_key: the block key, locked; 40 bytes.
        kind: what the block holds.
    """

    block_id: bytes
    layout: Layout
    index: int
    wrapped_key: bytes
    kind: BlockKind

    @property
    def n(self) -> int:
        """Number of suppliers."""
        return self.layout.n

    def same_block(self, other: FragmentHeader) -> bool:
        """Whether both are of one block, encoded alike."""
        return (
            self.block_id == other.block_id
            and self.layout == other.layout
            and self.wrapped_key == other.wrapped_key
            and self.kind == other.kind
        )

    def to_bytes(self) -> bytes:
        """The header as it is stored, ``HEADER_SIZE`` bytes."""
        description = msgspec.msgpack.encode(
            _Description(
                block=self.block_id,
                n=self.n,
                index=self.index,
                size=self.layout.size,
                stripe=self.layout.stripe_plain,
                stripes=self.layout.stripes,
                key=self.wrapped_key,
                kind=int(self.kind),
            )
        )
        if len(description) > _MAX_DESCRIPTION or not 0 <= self.index < self.n:
            raise InvalidInput("a fragment header is out of bounds")
        head = MAGIC + len(description).to_bytes(2, "big") + description
        head = head.ljust(_CHECK_AT, b"\0")
        return head + blake3(head).digest(CHECK_SIZE)


def parse_header(data: Buffer) -> FragmentHeader:
    """Read the header at the start of a fragment.

    Args:
        data: a fragment or at least its first ``HEADER_SIZE`` bytes.

    Raises:
        FormatError: not a fragment, damaged, or out of the format's bounds.
    """
    head = bytes(memoryview(data)[:HEADER_SIZE])
    if len(head) != HEADER_SIZE or not head.startswith(MAGIC):
        raise FormatError("not a fragment of a block")
    if blake3(head[:_CHECK_AT]).digest(CHECK_SIZE) != head[_CHECK_AT:]:
        raise FormatError("the header of a fragment is damaged")
    end = _DESCRIPTION_AT + int.from_bytes(head[len(MAGIC) : _DESCRIPTION_AT], "big")
    if end > _CHECK_AT or any(head[end:_CHECK_AT]):
        raise FormatError("the header of a fragment is malformed")
    try:
        found = msgspec.msgpack.decode(head[_DESCRIPTION_AT:end], type=_Description)
        kind = BlockKind(found.kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FormatError("the header of a fragment is malformed") from error
    if (
        found.n not in SUPPLIER_COUNTS
        or not 0 <= found.index < found.n
        or not 0 <= found.size <= MAX_PAYLOAD
        or not MIN_STRIPE_PLAIN <= found.stripe <= MAX_STRIPE_PLAIN
        or found.stripes != stripe_count(found.size, found.stripe)
    ):
        raise FormatError("the header of a fragment is out of bounds")
    layout = Layout(found.n, found.size, found.stripe)
    return FragmentHeader(found.block, layout, found.index, found.key, kind)
