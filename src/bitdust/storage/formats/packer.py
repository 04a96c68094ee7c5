"""Packing of chunks into blocks of at most 16 MiB, and the memory that one block needs.

Memory is taken once and used again for block after block: on the machines measured, the first
touch of fresh memory costs more than encrypting it (docs/adr/storage-memory.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bitdust.errors import InvalidInput
from bitdust.storage.formats.chunker import CHUNK_ID_SIZE, MAX_CHUNK
from bitdust.storage.formats.erasure import SUPPLIER_COUNTS
from bitdust.storage.formats.fragment_header import HEADER_SIZE
from bitdust.storage.formats.seal import MAX_PAYLOAD, STRIPE_PLAIN, TAG_SIZE, stripe_count
from bitdust.storage.memory import reusable

Buffer = bytes | bytearray | memoryview

_MOST_SUPPLIERS: Final = max(SUPPLIER_COUNTS)


class BlockSpace:
    """The memory for one block on its way: payload, fragments, one stripe; about 49 MiB.

    Untouched parts cost nothing. May be used again as soon as nobody reads the fragments built in
    it; whoever owns several keeps count of the blocks in flight.

    Args:
        limit: most payload bytes of a block.
        stripe_plain: payload bytes in each stripe but the last.
    """

    def __init__(self, limit: int = MAX_PAYLOAD, stripe_plain: int = STRIPE_PLAIN) -> None:
        if not MAX_CHUNK <= limit <= MAX_PAYLOAD:
            raise InvalidInput("a block must hold the largest chunk, and at most 16 MiB")
        # A stripe grows by its tag and by at most one byte per piece.
        sealed = limit + stripe_count(limit, stripe_plain) * (TAG_SIZE + _MOST_SUPPLIERS)
        self.limit = limit
        self.payload = reusable(limit)
        self.fragments = reusable(2 * sealed + _MOST_SUPPLIERS * HEADER_SIZE)
        self.stripe = reusable(stripe_plain + TAG_SIZE + _MOST_SUPPLIERS)


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """Where a chunk lies in a block's payload.

    ``stored`` is the number of bytes at ``offset``, ``size`` that of the chunk before compression.
    """

    chunk_id: bytes
    offset: int
    stored: int
    size: int
    compressed: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A full payload and what is in it; the payload lies in ``space`` and lives as long."""

    payload: memoryview
    entries: tuple[BlockEntry, ...]
    space: BlockSpace


class Packer:
    """Fills blocks with chunks, in order; a chunk is never split. Belongs to one thread.

    Args:
        allocate: gives the memory for the next block; it may wait until some is free, which holds
            back the reading of the file. The block before is handed over only after that, so there
            must be memory for two.
    """

    def __init__(self, allocate: Callable[[], BlockSpace] = BlockSpace) -> None:
        self._allocate = allocate
        self._space: BlockSpace | None = None
        self._used = 0
        self._entries: list[BlockEntry] = []

    @property
    def used(self) -> int:
        """Payload bytes in the block that is being filled."""
        return self._used

    def add(
        self, chunk_id: bytes, data: Buffer, *, size: int | None = None, compressed: bool = False
    ) -> Block | None:
        """Copy one chunk into the block.

        Args:
            chunk_id: 32 bytes.
            data: what to store, at most ``MAX_CHUNK`` bytes; may be changed after the call.
            size: bytes of the chunk before compression; ``len(data)`` when None.
            compressed: whether ``data`` is compressed.

        Returns:
            The block before, when the chunk did not fit into it any more.
        """
        length = len(data)
        if len(chunk_id) != CHUNK_ID_SIZE or length > MAX_CHUNK:
            raise InvalidInput("a chunk has an id of 32 bytes and at most 4 MiB")
        full = None
        if self._space is not None and self._used + length > self._space.limit:
            full = self.flush()
        if self._space is None:
            self._space = self._allocate()
        start = self._used
        self._space.payload[start : start + length] = data
        self._used = start + length
        plain_size = length if size is None else size
        self._entries.append(BlockEntry(chunk_id, start, length, plain_size, compressed))
        return full

    def flush(self) -> Block | None:
        """The block as far as it is filled; None when there is nothing in it."""
        space, self._space = self._space, None
        if space is None:
            return None
        entries, self._entries = tuple(self._entries), []
        used, self._used = self._used, 0
        return Block(space.payload[:used], entries, space)
