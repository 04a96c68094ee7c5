"""Blocks as fragments: building, and bringing a lost fragment back.

Fragment i of a block is the one object that supplier i keeps: a header, then for each stripe data
piece i and parity piece i. See ``fragment_header`` for the layout, ``fragment_read`` for reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blake3 import blake3

from bitdust.errors import IntegrityError, InvalidInput
from bitdust.storage.erasure import Codec, fragments_needed
from bitdust.storage.fragment_header import FragmentHeader, Layout, parse_header
from bitdust.storage.packer import BlockSpace
from bitdust.storage.seal import STRIPE_PLAIN, BlockKind, StripeCipher, gather

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment ready to be sent.

    Args:
        header: what its first bytes say.
        size: bytes in all.
        digest: BLAKE3 of the whole, 32 bytes.
        buffers: the whole in parts; they lie in the block's space and live as long as it.
    """

    header: FragmentHeader
    size: int
    digest: bytes
    buffers: tuple[Buffer, ...]

    @property
    def index(self) -> int:
        """Which fragment it is, 0 to N-1: the position of its supplier."""
        return self.header.index

    def to_bytes(self) -> bytes:
        """The fragment in one piece."""
        return b"".join(self.buffers)


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
        The N fragments by index; their buffers lie in ``space``.
    """
    payload = gather(buffers)
    layout = Layout(n, len(payload), stripe_plain)
    cipher = StripeCipher(block_id, key, layout.size, kind, stripe_plain)
    codec = Codec.shared(n)
    headers = [FragmentHeader(block_id, layout, i, wrapped_key, kind) for i in range(n)]
    parts: list[list[Buffer]] = [[header.to_bytes()] for header in headers]
    hashers = [blake3(part[0]) for part in parts]
    total = sum(n * layout.piece_size(stripe) for stripe in range(layout.stripes))
    if space is None:
        sealed_area, parity_area = memoryview(bytearray(total)), memoryview(bytearray(total))
    else:
        sealed_area, parity_area = space.sealed, space.parity
    if len(sealed_area) < total:
        raise InvalidInput("the memory for a block is too small")
    at = 0
    for stripe in range(layout.stripes):
        sealed, piece = layout.sealed_size(stripe), layout.piece_size(stripe)
        data = sealed_area[at : at + n * piece]
        parity = parity_area[at : at + n * piece]
        at += n * piece
        start, end = layout.plain_range(stripe)
        cipher.seal_into(stripe, payload[start:end], data[:sealed])
        data[sealed:] = bytes(n * piece - sealed)
        codec.encode_into(data, parity)
        # Hashed here, while the stripe is still in the processor's cache.
        for i in range(n):
            for area in (data, parity):
                part = area[i * piece : (i + 1) * piece]
                parts[i].append(part)
                hashers[i].update(part)
    return [
        Fragment(headers[i], layout.fragment_size, hashers[i].digest(), tuple(parts[i]))
        for i in range(n)
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
) -> bytes:
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
    result: list[Buffer] = [header.to_bytes()]
    for stripe in range(layout.stripes):
        piece = layout.piece_size(stripe)
        pieces = stripe_pieces(others, layout, stripe)
        data = memoryview(bytearray(n * piece))
        parity = memoryview(bytearray(n * piece))
        codec.decode_into(pieces, layout.sealed_size(stripe), data)
        codec.encode_into(data, parity)
        for i, found in pieces.items():
            area, at = (data, i) if i < n else (parity, i - n)
            if area[at * piece : (at + 1) * piece] != found:
                raise IntegrityError("the fragments of a block contradict each other")
        result += [area[index * piece : (index + 1) * piece] for area in (data, parity)]
    fragment = b"".join(result)
    if digest is not None and blake3(fragment).digest() != digest:
        raise IntegrityError("a fragment brought back differs from the lost one")
    return fragment
