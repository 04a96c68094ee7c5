"""Blocks as fragments: building, and bringing a lost fragment back.

Fragment i of a block is the one object that supplier i keeps: a header, then for each stripe data
piece i and parity piece i. See ``fragment_header`` for the layout, ``fragment_read`` for reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blake3 import blake3

from bitdust.errors import IntegrityError, InvalidInput
from bitdust.storage.formats.erasure import Codec, fragments_needed
from bitdust.storage.formats.fragment_header import (
    HEADER_SIZE,
    FragmentHeader,
    Layout,
    parse_header,
)
from bitdust.storage.formats.packer import BlockSpace
from bitdust.storage.formats.seal import STRIPE_PLAIN, BlockKind, StripeCipher, gather

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment ready to be sent.

    Args:
        header: what its first bytes say.
        digest: BLAKE3 of the whole, 32 bytes.
        data: the whole, which lies in the block's space and lives as long as it.
    """

    header: FragmentHeader
    digest: bytes
    data: memoryview

    @property
    def index(self) -> int:
        """Which fragment it is, 0 to N-1: the position of its supplier."""
        return self.header.index

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    @property
    def buffers(self) -> tuple[memoryview, ...]:
        """The whole as the list of parts that senders take."""
        return (self.data,)

    def to_bytes(self) -> bytes:
        """A copy that does not depend on the block's space."""
        return bytes(self.data)


def build_fragments(
    block_id: bytes,
    key: bytes,
    wrapped_key: bytes,
    n: int,
    buffers: Sequence[Buffer],
    *,
    kind: BlockKind = BlockKind.DATA,
    space: BlockSpace | None = None,
    stripe_plain: int = STRIPE_PLAIN,
) -> list[Fragment]:
    """Seal a payload and spread it over N fragments.

    Args:
        block_id: 16 bytes.
        key: 32 random bytes, for this block alone.
        wrapped_key: the same key as ``seal.wrap_key`` gives it.
        n: number of suppliers.
        buffers: the payload in parts, at most 16 MiB; one part is taken without copying.
        kind: what the block holds.
        space: memory to work in; its earlier content is lost. Fresh memory when None.
        stripe_plain: payload bytes per stripe.

    Returns:
        The N fragments by index; their data lie in ``space``.
    """
    payload = gather(buffers)
    layout = Layout(n, len(payload), stripe_plain)
    cipher = StripeCipher(block_id, key, layout.size, kind, stripe_plain)
    codec = Codec.shared(n)
    length = layout.fragment_size
    widest = n * layout.piece_size(0)
    if space is None:
        area, scratch = memoryview(bytearray(n * length)), memoryview(bytearray(widest))
    else:
        area, scratch = space.fragments, space.stripe
    if len(area) < n * length or len(scratch) < widest:
        raise InvalidInput("the memory for a block is too small")
    views = [area[i * length : (i + 1) * length] for i in range(n)]
    headers = [FragmentHeader(block_id, layout, i, wrapped_key, kind) for i in range(n)]
    for header, view in zip(headers, views, strict=True):
        view[:HEADER_SIZE] = header.to_bytes()
    for stripe in range(layout.stripes):
        sealed, piece = layout.sealed_size(stripe), layout.piece_size(stripe)
        start, end = layout.plain_range(stripe)
        data = scratch[: n * piece]
        cipher.seal_into(stripe, payload[start:end], data[:sealed])
        data[sealed:] = bytes(n * piece - sealed)
        at, _ = layout.stripe_range(stripe)
        codec.encode_into(data, [view[at + piece : at + 2 * piece] for view in views])
        for i, view in enumerate(views):
            view[at : at + piece] = data[i * piece : (i + 1) * piece]
    # Each hashed in one go: BLAKE3 is several times slower over small unaligned parts.
    return [
        Fragment(header, blake3(view).digest(), view)
        for header, view in zip(headers, views, strict=True)
    ]


def stripe_pieces(
    fragments: Mapping[int, Buffer], layout: Layout, stripe: int
) -> dict[int, Buffer]:
    """The pieces of one stripe by index: i and N + i from fragment i."""
    offset, length = layout.stripe_range(stripe)
    pieces: dict[int, Buffer] = {}
    for i, fragment in fragments.items():
        both = memoryview(fragment)[offset : offset + length]
        pieces[i] = both[: length // 2]
        pieces[layout.n + i] = both[length // 2 :]
    return pieces


def common_header(fragments: Mapping[int, Buffer]) -> FragmentHeader:
    """The header that all the fragments share, as that of the first one.

    Raises:
        FormatError: a header is malformed.
        IntegrityError: not whole fragments of one block, or none at all.
    """
    first: FragmentHeader | None = None
    for index, fragment in fragments.items():
        header = parse_header(fragment)
        first = first or header
        if header.index != index or not header.same_block(first):
            raise IntegrityError("these are not fragments of one block")
        if len(fragment) != header.layout.fragment_size:
            raise IntegrityError("a fragment has the wrong length")
    if first is None:
        raise IntegrityError("no fragments of the block are left")
    return first


def rebuild_fragment(
    fragments: Mapping[int, Buffer], index: int, digest: bytes | None = None
) -> bytearray:
    """Bring back a lost fragment, byte for byte, without any key.

    Args:
        fragments: at least ceil(N/2) others by index; further ones are compared with what the
            first ones say.
        index: which one to make.
        digest: BLAKE3 that it must have, if known.

    Raises:
        IntegrityError: too few, not of one block, contradicting each other, or a result with
            another hash; ``fragment_read.find_damaged`` tells which one is at fault.
    """
    others = {i: fragment for i, fragment in fragments.items() if i != index}
    first = common_header(others)
    layout, n = first.layout, first.n
    if not 0 <= index < n:
        raise InvalidInput("no such fragment")
    if len(others) < fragments_needed(n):
        raise IntegrityError("too few fragments to bring another one back")
    codec = Codec.shared(n)
    header = FragmentHeader(first.block_id, layout, index, first.wrapped_key, first.kind)
    fragment = bytearray(layout.fragment_size)
    whole = memoryview(fragment)
    whole[:HEADER_SIZE] = header.to_bytes()
    widest = n * layout.piece_size(0)
    memory = bytearray(2 * widest)
    scratch = memoryview(memory)
    for stripe in range(layout.stripes):
        piece = layout.piece_size(stripe)
        made = [scratch[i * piece : (i + 1) * piece] for i in range(2 * n)]
        data = scratch[: n * piece]
        pieces = stripe_pieces(others, layout, stripe)
        codec.decode_into(pieces, layout.sealed_size(stripe), data)
        codec.encode_into(data, made[n:])
        # startswith compares as memcmp does; a comparison of views goes byte by byte.
        if not all(memory.startswith(found, i * piece) for i, found in pieces.items()):
            raise IntegrityError("the fragments of a block contradict each other")
        at, _ = layout.stripe_range(stripe)
        whole[at : at + piece] = made[index]
        whole[at + piece : at + 2 * piece] = made[n + index]
    if digest is not None and blake3(fragment).digest() != digest:
        raise IntegrityError("a fragment brought back differs from the lost one")
    return fragment
