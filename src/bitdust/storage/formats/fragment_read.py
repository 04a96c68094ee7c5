"""Reading blocks from fragments: whole or in part, around damaged ones, naming those.

The tag of every stripe tells whether the payload is right. When it is not, other choices of
fragments are tried, a bounded number; once one succeeds, the stripe is encoded again and compared
with every fragment, which tells exactly which ones are damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.storage.formats.erasure import Codec, fragments_needed
from bitdust.storage.formats.fragment_header import FragmentHeader, Layout, parse_header
from bitdust.storage.formats.seal import BlockKind, StripeCipher, unwrap_key

Buffer = bytes | bytearray | memoryview

# Choices of fragments tried for one stripe before it is given up.
MAX_CHOICES: Final = 256


@dataclass(frozen=True, slots=True)
class BlockContent:
    """A block that was read.

    Args:
        header: of the block, as in the first good fragment.
        payload: what was packed.
        damaged: positions of fragments found not to be what they should be; complete only where
            the reading had a reason to look.
    """

    header: FragmentHeader
    payload: memoryview
    damaged: frozenset[int]


class BlockReader:
    """Opens the stripes of one block from parts of its fragments; belongs to one thread.

    Args:
        block_id: 16 bytes.
        layout: as in the header, or as the catalog has it.
        key: the block's key, 32 bytes.
        kind: what the block holds.
    """

    def __init__(
        self, block_id: bytes, layout: Layout, key: bytes, kind: BlockKind = BlockKind.DATA
    ) -> None:
        self.layout = layout
        self._cipher = StripeCipher(block_id, key, layout.size, kind, layout.stripe_plain)
        self._codec = Codec.shared(layout.n)
        widest = layout.n * layout.piece_size(0)
        self._data = bytearray(widest)
        self._parity = bytearray()
        self._damaged: set[int] = set()

    @property
    def damaged(self) -> frozenset[int]:
        """Positions of the fragments found damaged so far."""
        return frozenset(self._damaged)

    def open_stripes(
        self,
        stripes: range,
        parts: Mapping[int, Buffer],
        out: memoryview | None = None,
        *,
        compare: bool = False,
    ) -> memoryview:
        """Open consecutive stripes.

        Args:
            stripes: at least one.
            parts: by position, what ``layout.stripes_range(stripes)`` names of each fragment; at
                least ceil(N/2) of them.
            out: memory for exactly the payload of these stripes; fresh memory when None.
            compare: whether to check every part, also those that were not needed.

        Returns:
            The payload of the stripes; see ``damaged`` for what was found on the way.

        Raises:
            IntegrityError: no choice of parts gives the payload.
        """
        base, length = self.layout.stripes_range(stripes)
        start, end = self.layout.plain_range(stripes[0])[0], self.layout.plain_range(stripes[-1])[1]
        if out is None:
            out = memoryview(bytearray(end - start))
        if len(out) != end - start:
            raise InvalidInput("the memory for the payload has the wrong size")
        whole: dict[int, memoryview] = {}
        for i, part in parts.items():
            if 0 <= i < self.layout.n and len(part) == length:
                whole[i] = memoryview(part)
            else:
                self._damaged.add(i)
        for stripe in stripes:
            low, high = self.layout.plain_range(stripe)
            offset, size = self.layout.stripe_range(stripe)
            at = offset - base
            views = {i: part[at : at + size] for i, part in whole.items()}
            self._open(stripe, views, out[low - start : high - start], compare)
        return out

    def _open(
        self, stripe: int, parts: Mapping[int, memoryview], out: memoryview, compare: bool
    ) -> None:
        need = fragments_needed(self.layout.n)
        good = [i for i in parts if i not in self._damaged]
        if len(good) >= need and self._attempt(stripe, parts, good, out):
            if compare:
                self._compare(stripe, parts)
            return
        # Fragments found damaged elsewhere may be whole here: they come last, but they come.
        candidates = good + [i for i in parts if i in self._damaged]
        if len(candidates) < need:
            raise IntegrityError("too few fragments to read a block")
        for choice in _choices(candidates, need):
            if self._attempt(stripe, parts, choice, out):
                self._compare(stripe, parts)
                return
        raise IntegrityError("no choice of fragments gives a block that opens")

    def _attempt(
        self, stripe: int, parts: Mapping[int, memoryview], choice: Sequence[int], out: memoryview
    ) -> bool:
        n, piece = self.layout.n, self.layout.piece_size(stripe)
        sealed = self.layout.sealed_size(stripe)
        pieces: dict[int, Buffer] = {i: parts[i][:piece] for i in choice}
        if len(pieces) < n:
            pieces.update({n + i: parts[i][piece:] for i in choice})
        data = memoryview(self._data)[: n * piece]
        try:
            self._codec.decode_into(pieces, sealed, data)
            self._cipher.open_into(stripe, data[:sealed], out)
        except IntegrityError:
            return False
        return True

    def _compare(self, stripe: int, parts: Mapping[int, memoryview]) -> None:
        """Encode the stripe just opened again, and note every fragment that differs."""
        n, piece = self.layout.n, self.layout.piece_size(stripe)
        if not self._parity:
            self._parity = bytearray(len(self._data))
        parity = memoryview(self._parity)
        self._codec.encode_into(
            memoryview(self._data)[: n * piece],
            [parity[i * piece : (i + 1) * piece] for i in range(n)],
        )
        for i, part in parts.items():
            # startswith compares as memcmp does; a comparison of views goes byte by byte.
            if not (
                self._data.startswith(part[:piece], i * piece)
                and self._parity.startswith(part[piece:], i * piece)
            ):
                self._damaged.add(i)


def _choices(candidates: Sequence[int], need: int) -> Iterator[Sequence[int]]:
    """Choices of ``need`` candidates: all of them when few, else spread evenly over them."""
    if comb(len(candidates), need) <= MAX_CHOICES:
        yield from combinations(candidates, need)
        return
    yield candidates[:need]
    yield candidates[-need:]
    for attempt in range(MAX_CHOICES - 2):
        # Any fixed order without a pattern will do: nobody gains from knowing it.
        weights = blake3(attempt.to_bytes(2, "big")).digest(2 * len(candidates))
        order = sorted(range(len(candidates)), key=lambda at: weights[2 * at : 2 * at + 2])
        yield [candidates[at] for at in order[:need]]


def _groups(
    fragments: Mapping[int, Buffer],
    digests: Mapping[int, bytes] | None,
    block_id: bytes | None,
) -> list[list[tuple[int, FragmentHeader]]]:
    """Fragments that agree on what block they are of, the largest group first."""
    groups: list[list[tuple[int, FragmentHeader]]] = []
    for i, fragment in fragments.items():
        if digests is not None and i in digests and blake3(fragment).digest() != digests[i]:
            continue
        try:
            header = parse_header(fragment)
        except FormatError:
            continue
        if (
            header.index != i
            or len(fragment) != header.layout.fragment_size
            or (block_id is not None and header.block_id != block_id)
        ):
            continue
        for group in groups:
            if group[0][1].same_block(header):
                group.append((i, header))
                break
        else:
            groups.append([(i, header)])
    return sorted(groups, key=len, reverse=True)


def read_block(
    fragments: Mapping[int, Buffer],
    kek: bytes,
    *,
    digests: Mapping[int, bytes] | None = None,
    block_id: bytes | None = None,
    out: memoryview | None = None,
    compare: bool = False,
) -> BlockContent:
    """Bring back a block's payload from any ceil(N/2) of its fragments.

    Args:
        fragments: whole fragments by position; more than needed help when some are damaged.
        kek: the owner's key-encryption key, 32 bytes.
        digests: BLAKE3 by position, of those that are known; fragments that differ are left out.
        block_id: which block it must be; any when None.
        out: memory for the payload, at least as long; fresh memory when None.
        compare: whether to check all fragments, also those that were not needed.

    Raises:
        IntegrityError: too few good fragments, or another key.
    """
    problem = IntegrityError("too few good fragments to read a block")
    for group in _groups(fragments, digests, block_id):
        header = group[0][1]
        layout = header.layout
        if len(group) < fragments_needed(layout.n):
            continue
        memory = None
        if out is not None:
            if len(out) < layout.size:
                raise InvalidInput("the memory for the payload is too small")
            memory = out[: layout.size]
        stripes = range(layout.stripes)
        offset, length = layout.stripes_range(stripes)
        parts = {i: memoryview(fragments[i])[offset : offset + length] for i, _ in group}
        try:
            key = unwrap_key(kek, header.wrapped_key)
            reader = BlockReader(header.block_id, layout, key, header.kind)
            payload = reader.open_stripes(stripes, parts, memory, compare=compare)
        except IntegrityError as error:
            problem = error
            continue
        outside = frozenset(fragments) - frozenset(i for i, _ in group)
        return BlockContent(header, payload, reader.damaged | outside)
    raise problem


def find_damaged(
    fragments: Mapping[int, Buffer], kek: bytes, *, block_id: bytes | None = None
) -> frozenset[int]:
    """Which fragments are not what they should be, found without knowing their hashes.

    Raises:
        IntegrityError: too many are damaged to tell.
    """
    return read_block(fragments, kek, block_id=block_id, compare=True).damaged
