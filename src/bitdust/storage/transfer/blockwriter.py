"""From chunks to blocks on the suppliers: pack, seal, encode, send, record.

``BlockWriter`` builds blocks in a worker thread and never waits; ``BlockSender`` sends them from
the event loop. One memory holds the payload that is being filled; the fragments of each block lie
in a memory of their own until they are sent. The number of those is the back-pressure: the reader
goes on only when one is free. A block is in the catalog as open before its first byte leaves, and
as stored once enough suppliers have it on disk, so a crash at any point leaves nothing that nobody
knows of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from bitdust.clock import Clock, Random
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import FragmentMark, FragmentState
from bitdust.storage.formats.audit import make_challenges
from bitdust.storage.formats.compression import Compressor
from bitdust.storage.formats.fragment import Fragment, build_fragments
from bitdust.storage.formats.packer import Block, BlockSpace, Packer
from bitdust.storage.formats.seal import (
    BLOCK_ID_SIZE,
    KEY_SIZE,
    MAX_PAYLOAD,
    BlockKind,
    wrap_key,
)
from bitdust.storage.jobs import Job
from bitdust.storage.transfer.spread import Outcome, Spreader

BLOCKS_IN_FLIGHT = 2
"""Memories for fragments of one upload: one block on its way while the next is being filled, or
both on their way. A third made nothing faster and costs 32 MiB (docs/performance.md)."""
CHUNKS_PER_BLOCK = 16_384
"""A block of tiny chunks ends here, so that what waits for its numbers stays bounded."""
STOP_CHECK = 0.5
"""Seconds after which a waiting upload looks whether it was stopped."""
CHALLENGES = 4
"""One-time audit questions kept for each fragment."""


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """What uploads and downloads need of the key that a catalog branch belongs to.

    Args:
        ref: row of the key in the catalog.
        kek: 32 bytes that wrap the keys of its blocks.
        chunk_key: 32 bytes that key its chunk ids.
    """

    ref: int
    kek: bytes
    chunk_key: bytes


class Slot:
    """A chunk whose number is known once the block it lies in is entered."""

    __slots__ = ("number",)

    def __init__(self, number: int = -1) -> None:
        self.number = number


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A block in the catalog, ready to be sent.

    Args:
        number: row in the catalog.
        fragments: all N, lying in ``space``.
        space: free again once they are sent.
    """

    number: int
    fragments: list[Fragment]
    space: BlockSpace


class BlockWriter:
    """Builds the blocks of one upload. One thread at a time; nothing here waits.

    Args:
        catalog: what is known and becomes known.
        owner: the key everything is stored under.
        n: number of suppliers.
        clock: wall clock.
        random: for block ids and keys.
        job: number of the upload.
        limit: payload bytes of a block, at most.
    """

    def __init__(
        self,
        catalog: Catalog,
        owner: OwnerKey,
        n: int,
        clock: Clock,
        random: Random,
        job: int,
        limit: int = MAX_PAYLOAD,
    ) -> None:
        self._catalog = catalog
        self._owner = owner
        self._n = n
        self._clock = clock
        self._random = random
        self._job = job
        self._compressor = Compressor()
        desk = BlockSpace(limit)
        self._limit = desk.limit
        self._space: BlockSpace | None = None
        # the closure holds the memory and not the writer: without a cycle it goes back at once
        self._packer = Packer(lambda: desk)
        self._open: dict[bytes, Slot] = {}
        self.ready: deque[BuiltBlock] = deque()
        self.blocks = 0
        self.new_bytes = 0
        self.packed_bytes = 0

    @property
    def wants_space(self) -> bool:
        """Whether memory must be given before the reader may go on to the next block."""
        return self._space is None

    def give_space(self, space: BlockSpace) -> None:
        """Provide memory for the fragments of the next block."""
        self._space = space

    def put(self, chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Slot]:
        """Store those chunks that are not stored yet.

        Built blocks appear in ``ready``; take them before the next call.

        Args:
            chunks: (chunk id, plain bytes), fewer bytes than a block holds; they may be reused
                after the call.

        Returns:
            A slot for each; all are filled after the next ``flush``, most of them before.
        """
        found = self._catalog.known_chunks(
            self._owner.ref,
            [chunk_id for chunk_id, _ in chunks if chunk_id not in self._open],
            job=self._job,
        )
        known = {chunk_id: Slot(number) for chunk_id, number in found.items()}
        slots: list[Slot] = []
        for chunk_id, data in chunks:
            slot = known.get(chunk_id) or self._open.get(chunk_id) or self._add(chunk_id, data)
            # remembered, for the block it lies in may be built before the same chunk comes again
            known[chunk_id] = slot
            slots.append(slot)
        return slots

    def _add(self, chunk_id: bytes, data: bytes | memoryview) -> Slot:
        compressed, stored = self._compressor.compress(data)
        self.new_bytes += len(data)
        self.packed_bytes += len(stored)
        if self._packer.used + len(stored) > self._limit:
            # built before the chunk comes in, so that its payload can be overwritten
            self.flush()
        self._packer.add(chunk_id, stored, size=len(data), compressed=compressed)
        slot = self._open[chunk_id] = Slot()
        if len(self._open) >= CHUNKS_PER_BLOCK:
            self.flush()
        return slot

    def flush(self) -> None:
        """Build the block as far as it is filled; afterwards all slots have numbers."""
        block = self._packer.flush()
        if block is not None:
            self._build(block)

    def _build(self, block: Block) -> None:
        block_id = self._random.token(BLOCK_ID_SIZE)
        key = self._random.token(KEY_SIZE)
        space, self._space = self._space, None
        if space is None:
            raise RuntimeError("a block is built before there is memory for it")
        fragments = build_fragments(
            block_id,
            key,
            wrap_key(self._owner.kek, key),
            self._n,
            [block.payload],
            kind=BlockKind.DATA,
            space=space,
        )
        with self._catalog.transaction(durable=False) as tx:
            added = tx.add_block(
                block_id,
                self._owner.ref,
                block.entries,
                [fragment.digest for fragment in fragments],
                payload=len(block.payload),
                fragment_size=fragments[0].size,
                created=self._clock.now(),
                challenges=[self._challenges(fragment) for fragment in fragments],
                job=self._job,
            )
        for entry, number in zip(block.entries, added.chunks, strict=True):
            self._open.pop(entry.chunk_id).number = number
        self.blocks += 1
        self.ready.append(BuiltBlock(added.number, fragments, space))

    def _challenges(self, fragment: Fragment) -> bytes:
        made = make_challenges(fragment.buffers, CHALLENGES, self._random.token)
        return b"".join(key + digest for key, digest in made)


class BlockSender:
    """Sends the blocks of one upload, a few at a time, and records them.

    Args:
        pool: where blocks are recorded.
        catalog: where.
        n: number of suppliers.
        spreader: sends fragments.
        job: progress is counted there, and its stop ends the sending.
    """

    def __init__(
        self, pool: Executor, catalog: Catalog, n: int, spreader: Spreader, job: Job
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._spreader = spreader
        self._job = job
        self._free: deque[BlockSpace] = deque()
        self._made = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.min_acks = n
        self.stored_bytes = 0

    async def send_all(self, blocks: Iterator[BuiltBlock], writer: BlockWriter) -> None:
        """Build and send until ``blocks`` ends and everything is recorded.

        Args:
            blocks: builds the next block; advanced in the pool.
            writer: gets memory to build in.

        Raises:
            BitdustError: a block could not be stored.
            Stopped: the job was stopped.
        """
        try:
            while True:
                if writer.wants_space:
                    writer.give_space(await self._space())
                self._job.check()
                block = await in_pool(self._pool, next, blocks, None)
                if block is None:
                    break
                self._job.work_blocks += 1
                self._tasks.add(asyncio.create_task(self._store(block), name="store block"))
            while self._tasks:
                await self._one_done()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._free.clear()

    async def _space(self) -> BlockSpace:
        if not self._free and self._made < BLOCKS_IN_FLIGHT:
            self._made += 1
            return BlockSpace()
        while not self._free:
            await self._one_done()
        return self._free.popleft()

    async def _one_done(self) -> None:
        """Wait until a block was sent, passing on what went wrong."""
        done, self._tasks = await asyncio.wait(
            self._tasks, timeout=STOP_CHECK, return_when=asyncio.FIRST_COMPLETED
        )
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors:
            raise errors[0]
        self._job.check()

    async def _store(self, block: BuiltBlock) -> None:
        name = data_name(block.fragments[0].header.block_id)
        outcome = await self._spreader.spread(name, block.fragments)
        await in_pool(self._pool, record_stored, self._catalog, block.number, outcome)
        self.min_acks = min(self.min_acks, outcome.acks)
        self.stored_bytes += outcome.sent
        self._job.block_number += 1
        self._job.work_blocks -= 1
        self._job.bytes_sent += outcome.sent
        self._free.append(block.space)


def record_stored(catalog: Catalog, number: int, outcome: Outcome) -> None:
    """Note who keeps which fragment of a block, and that it is stored; on disk at return."""
    with catalog.transaction() as tx:
        # marked first, so that the journal record of the block already says where they are
        tx.mark_fragments(outcome_marks(number, outcome))
        tx.block_stored(number)


def outcome_marks(number: int, outcome: Outcome) -> list[FragmentMark]:
    """Who keeps which fragment of a block."""
    return [
        FragmentMark(number, position, FragmentState.STORED, supplier=node)
        for position, node in enumerate(outcome.suppliers)
        if node is not None
    ]


def data_name(block_id: bytes) -> str:
    """Name of a data block's fragments on the suppliers."""
    return f"d/{block_id.hex()}"
