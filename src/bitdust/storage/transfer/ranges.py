"""A range of one stored file, read without the rest of it.

Only the stripes that hold the range's chunks travel; the seal of each tells whether it is right,
else the whole block is read, which finds what is damaged. Each chunk must then have the id that the
catalog has for it, which stands in for the hash of the whole file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Protocol

from bitdust.errors import IntegrityError
from bitdust.pool import in_pool
from bitdust.storage.catalog.types import ChunkLocation
from bitdust.storage.formats.chunker import chunk_id
from bitdust.storage.formats.compression import decompress
from bitdust.storage.formats.fragment_header import Layout
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.fetch import BlockFetcher, StoredBlock

BLOCKS_AT_ONCE = 3
"""Blocks of which stripes are fetched at the same time, so that memory stays bounded."""

Piece = tuple[int, ChunkLocation]
"""Where in the file a chunk begins, and where it is stored."""


class ChunkMap(Protocol):
    """Where the chunks of files are; a ``Catalog`` is one."""

    def chunks_between(self, content: bytes, start: int, end: int) -> list[Piece]:
        """The chunks that hold a range of a file, with where in the file each begins."""
        ...


class RangeReader:
    """Reads ranges of files.

    Args:
        catalog: where everything is.
        stored_block: a block of the catalog by its number.
        fetcher: brings stripes of blocks.
        pool: where they are put together.
    """

    def __init__(
        self,
        catalog: ChunkMap,
        stored_block: Callable[[int], StoredBlock],
        fetcher: BlockFetcher,
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._stored_block = stored_block
        self._fetcher = fetcher
        self._pool = pool

    async def read(self, owner: OwnerKey, content: bytes, offset: int, size: int) -> bytes:
        """Bytes ``offset`` to ``offset + size`` of a file, both within it.

        Args:
            owner: the key it is stored under.
            content: the file's chunks, as its entry has them.
            offset, size: bytes.

        Raises:
            DataUnavailable: too few suppliers can be reached.
            IntegrityError: what came is not what was stored.
        """
        end = offset + size
        pieces = await in_pool(self._pool, self._catalog.chunks_between, content, offset, end)
        by_block: dict[int, dict[int, ChunkLocation]] = {}
        for _, chunk in pieces:
            by_block.setdefault(chunk.block, {})[chunk.number] = chunk
        plain: dict[int, bytes] = {}
        slots = asyncio.Semaphore(BLOCKS_AT_ONCE)

        async def bring(number: int, chunks: Sequence[ChunkLocation]) -> None:
            async with slots:
                plain.update(await self._bring(owner, number, chunks))

        tasks = [
            asyncio.create_task(bring(number, list(chunks.values())), name=f"read block {number}")
            for number, chunks in by_block.items()
        ]
        try:
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        def join() -> bytes:
            parts = []
            for at, chunk in pieces:
                part = memoryview(plain[chunk.number])
                parts.append(part[max(0, offset - at) : max(0, end - at)])
            return b"".join(parts)

        data = await in_pool(self._pool, join)
        if len(data) != size:
            raise IntegrityError("a file is shorter than the catalog says")
        return data

    async def _bring(
        self, owner: OwnerKey, number: int, chunks: Sequence[ChunkLocation]
    ) -> dict[int, bytes]:
        """The content of some chunks of one block, by their numbers."""
        block = await in_pool(self._pool, self._stored_block, number)
        layout = Layout(block.n, block.size)
        needed = {
            stripe for chunk in chunks for stripe in layout.stripes_of(chunk.offset, chunk.stored)
        }
        wanted = list(runs(sorted(needed)))
        loaded = await asyncio.gather(
            *(self._fetcher.part(block, owner.kek, run) for run in wanted)
        )
        parts = [
            (layout.plain_range(run[0])[0], part) for run, part in zip(wanted, loaded, strict=True)
        ]
        return await in_pool(self._pool, _open_chunks, parts, chunks, owner.chunk_key)


def _open_chunks(
    parts: Sequence[tuple[int, memoryview]], chunks: Sequence[ChunkLocation], chunk_key: bytes
) -> dict[int, bytes]:
    opened: dict[int, bytes] = {}
    for chunk in chunks:
        base, part = next(
            (base, part)
            for base, part in parts
            if base <= chunk.offset and chunk.offset + chunk.stored <= base + len(part)
        )
        at = chunk.offset - base
        stored = part[at : at + chunk.stored]
        plain = decompress(stored, chunk.plain) if chunk.compressed else bytes(stored)
        if len(plain) != chunk.plain or chunk_id(chunk_key, plain) != chunk.id:
            raise IntegrityError("a chunk is not what the catalog says")
        opened[chunk.number] = plain
    return opened


def runs(numbers: Sequence[int]) -> Iterator[range]:
    """Rising numbers as the fewest ranges."""
    start = previous = None
    for number in numbers:
        if start is None or previous is None:
            start = number
        elif number != previous + 1:
            yield range(start, previous + 1)
            start = number
        previous = number
    if start is not None and previous is not None:
        yield range(start, previous + 1)
