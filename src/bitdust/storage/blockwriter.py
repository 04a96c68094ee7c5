"""From chunks to blocks on the suppliers: pack, seal, encode, send, record.

Chunks come from one reading thread, which also seals and encodes; the event loop sends. The number
of block memories is the back-pressure: when all are on their way, the reader waits. A block is in
the catalog as open before its first byte leaves, and as stored once enough suppliers have it on
disk, so a crash at any point leaves nothing that nobody knows of.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from bitdust.clock import Clock, Random
from bitdust.errors import BitdustError, Stopped
from bitdust.storage.audit import make_challenges
from bitdust.storage.catalog import Catalog
from bitdust.storage.catalog_types import FragmentMark, FragmentState
from bitdust.storage.compression import Compressor
from bitdust.storage.fragment import Fragment, build_fragments
from bitdust.storage.jobs import Job
from bitdust.storage.packer import Block, BlockSpace, Packer
from bitdust.storage.seal import BLOCK_ID_SIZE, KEY_SIZE, BlockKind, wrap_key
from bitdust.storage.spread import Outcome, Spreader

BLOCKS_IN_FLIGHT = 3
"""Block memories of one upload: one being filled, two on their way."""
CHUNKS_PER_BLOCK = 16_384
"""A block of tiny chunks ends here, so that what waits for its numbers stays bounded."""
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


class BlockWriter:
    """Stores the chunks of one upload. ``put``, ``flush`` and ``drain`` belong to its thread.

    Args:
        loop: the event loop that sends.
        pool: where blocks are recorded.
        catalog: what is known and becomes known.
        owner: the key everything is stored under.
        n: number of suppliers.
        spreader: sends fragments.
        clock: wall clock.
        random: for block ids and keys.
        job: progress is counted there, and its stop ends the writing.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        catalog: Catalog,
        owner: OwnerKey,
        n: int,
        spreader: Spreader,
        clock: Clock,
        random: Random,
        job: Job,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._catalog = catalog
        self._owner = owner
        self._n = n
        self._spreader = spreader
        self._clock = clock
        self._random = random
        self._job = job
        self._compressor = Compressor()
        self._packer = Packer(self._take_space)
        self._spaces: list[BlockSpace] = []
        self._made = 0
        self._in_flight = 0
        self._open: dict[bytes, Slot] = {}
        self._changed = threading.Condition()
        self._error: BitdustError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.min_acks = n
        self.blocks = 0
        self.stored_bytes = 0
        self.new_bytes = 0
        self.packed_bytes = 0

    def put(self, chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Slot]:
        """Store those chunks that are not stored yet.

        Args:
            chunks: (chunk id, plain bytes); the bytes may be reused after the call.

        Returns:
            A slot for each; all are filled after the next ``flush``, most of them before.

        Raises:
            BitdustError: a block could not be stored; the upload cannot go on.
            Stopped: the job was stopped.
        """
        self._check()
        known = self._catalog.known_chunks(
            self._owner.ref,
            [chunk_id for chunk_id, _ in chunks if chunk_id not in self._open],
            job=self._job.id,
        )
        slots: list[Slot] = []
        for chunk_id, data in chunks:
            slot = self._open.get(chunk_id)
            if slot is None:
                number = known.get(chunk_id)
                slot = self._add(chunk_id, data) if number is None else Slot(number)
            slots.append(slot)
        return slots

    def _add(self, chunk_id: bytes, data: bytes | memoryview) -> Slot:
        compressed, stored = self._compressor.compress(data)
        self.new_bytes += len(data)
        self.packed_bytes += len(stored)
        full = self._packer.add(chunk_id, stored, size=len(data), compressed=compressed)
        if full is not None:
            self._submit(full)
        slot = self._open[chunk_id] = Slot()
        if len(self._open) >= CHUNKS_PER_BLOCK:
            self.flush()
        return slot

    def flush(self) -> None:
        """Send the block as far as it is filled; afterwards all slots have numbers."""
        last = self._packer.flush()
        if last is not None:
            self._submit(last)

    def drain(self) -> None:
        """Wait until everything sent so far is on the suppliers and recorded.

        Raises:
            BitdustError: a block could not be stored.
        """
        with self._changed:
            while self._in_flight and self._error is None:
                self._changed.wait(0.5)
                self._check()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        self._job.check()

    def _take_space(self) -> BlockSpace:
        with self._changed:
            if not self._spaces and self._made < BLOCKS_IN_FLIGHT:
                self._made += 1
                return BlockSpace()
            while not self._spaces:
                self._check()
                self._changed.wait(0.5)
            return self._spaces.pop()

    def _submit(self, block: Block) -> None:
        block_id = self._random.token(BLOCK_ID_SIZE)
        key = self._random.token(KEY_SIZE)
        fragments = build_fragments(
            block_id,
            key,
            wrap_key(self._owner.kek, key),
            self._n,
            [block.payload],
            kind=BlockKind.DATA,
            space=block.space,
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
                job=self._job.id,
            )
        for entry, number in zip(block.entries, added.chunks, strict=True):
            self._open.pop(entry.chunk_id).number = number
        with self._changed:
            self._in_flight += 1
        self._job.work_blocks += 1
        self.blocks += 1
        self._loop.call_soon_threadsafe(self._start, added.number, block, fragments)

    def _challenges(self, fragment: Fragment) -> bytes:
        made = make_challenges(fragment.buffers, CHALLENGES, self._random.token)
        return b"".join(key + digest for key, digest in made)

    def _start(self, number: int, block: Block, fragments: list[Fragment]) -> None:
        task = self._loop.create_task(self._store(number, block, fragments), name="store block")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, number: int, block: Block, fragments: list[Fragment]) -> None:
        error: BitdustError | None = None
        try:
            outcome = await self._spreader.spread(
                data_name(fragments[0].header.block_id), fragments
            )
            await self._loop.run_in_executor(
                self._pool, record_stored, self._catalog, number, outcome
            )
            self.min_acks = min(self.min_acks, outcome.acks)
            self.stored_bytes += outcome.sent
            self._job.block_number += 1
            self._job.bytes_sent += outcome.sent
        except BitdustError as exc:
            error = exc
        except asyncio.CancelledError:
            error = Stopped("the node is stopping")
            raise
        except BaseException as exc:
            error = BitdustError(f"a block could not be stored ({type(exc).__name__})")
            raise
        finally:
            with self._changed:
                self._in_flight -= 1
                self._job.work_blocks -= 1
                self._spaces.append(block.space)
                self._error = self._error or error
                self._changed.notify_all()

    async def close(self) -> None:
        """Cancel what is still on its way and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def record_stored(catalog: Catalog, number: int, outcome: Outcome) -> None:
    """Note who keeps which fragment of a block, and that it is stored; on disk at return."""
    marks = [
        FragmentMark(number, position, FragmentState.STORED, supplier=node)
        for position, node in enumerate(outcome.suppliers)
        if node is not None
    ]
    with catalog.transaction() as tx:
        # marked first, so that the journal record of the block already says where they are
        tx.mark_fragments(marks)
        tx.block_stored(number)


def data_name(block_id: bytes) -> str:
    """Name of a data block's fragments on the suppliers."""
    return f"d/{block_id.hex()}"
