"""Restoring a version: windows of files, each window's stripes fetched once, then written.

A window is a run of the snapshot with at most 16 MiB of stored content; where the content goes over
to another block it ends earlier, so that a large file's windows are its blocks. While one window is
written, the next ones are being fetched. Only those stripes of a block travel that hold chunks of
the window.

A block that a window needs whole is read into memory that is used for window after window, and its
chunks are written from there. Chunks out of single stripes are copied out of them, for a few small
chunks must not keep a stripe each in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from bitdust.errors import IntegrityError, LocalFileError
from bitdust.pool import in_pool
from bitdust.storage.catalog.types import ChunkLocation, Entry
from bitdust.storage.formats.chunker import chunk_id
from bitdust.storage.formats.compression import decompress
from bitdust.storage.formats.fragment_header import Layout
from bitdust.storage.formats.seal import MAX_PAYLOAD
from bitdust.storage.jobs import Job
from bitdust.storage.memory import reusable
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.fetch import BlockFetcher, FragmentSpace, StoredBlock
from bitdust.storage.transfer.ranges import runs
from bitdust.storage.transfer.restore import FileWriter, TreeWriter, local_error, part_name
from bitdust.storage.transfer.walk import FILE, FOLDER, LINK, open_file

WINDOW_BYTES = 16 * 1024 * 1024
"""Stored content of one window at the most."""
WINDOW_LEAST = 4 * 1024 * 1024
"""A window with less content does not end where a block does."""
WINDOW_ENTRIES = 8192
"""Files, folders and links in one window at the most."""
WINDOW_CHUNKS = 16_384
"""Chunks of one window at the most."""
WINDOWS_AHEAD = 2
"""Windows being fetched or fetched, besides the one that is being written."""
BLOCKS_AT_ONCE = 3
"""Blocks of a window of which single stripes are fetched at the same time."""
MOSTLY = 0.75
"""A block of which this share of the stripes is needed is read whole, with its hashes checked."""


@dataclass(slots=True)
class _Step:
    """A part of the work on one name: all of it, or a run of a large file's chunks."""

    segments: tuple[bytes, ...]
    entry: Entry
    chunks: list[ChunkLocation] = field(default_factory=list)
    first: bool = True
    last: bool = True
    # what an interrupted run left: the whole file, or these chunks of its start
    there: bool = False
    kept: list[tuple[bytes, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Window:
    steps: list[_Step] = field(default_factory=list)
    size: int = 0
    chunks: int = 0
    block: int = -1
    # what was fetched: each chunk as it is stored, by its number
    content: dict[int, memoryview | bytes] = field(default_factory=dict)
    payload: memoryview | None = None

    def takes(self, chunk: ChunkLocation) -> bool:
        """Whether the chunk still belongs into this window."""
        if self.size and (self.size + chunk.stored > WINDOW_BYTES or self.chunks >= WINDOW_CHUNKS):
            return False
        return self.size < WINDOW_LEAST or chunk.block == self.block

    def add(self, step: _Step, chunk: ChunkLocation) -> None:
        step.chunks.append(chunk)
        self.size += chunk.stored
        self.chunks += 1
        self.block = chunk.block


class Snapshots(Protocol):
    """Where a version is read from; a ``Catalog``, or a part of one."""

    def walk_snapshot(self, item: int, seq: int) -> Iterator[tuple[tuple[bytes, ...], Entry]]:
        """An item and all below it, parents before children."""
        ...

    def chunk_locations(self, content: bytes) -> Iterator[ChunkLocation]:
        """Where the chunks of a content are, in order."""
        ...


class Restorer:
    """One download. ``run`` belongs to the event loop; reading and writing happen in the pool.

    Args:
        catalog: where everything is.
        stored_block: a block of the catalog by its number.
        fetcher: brings blocks.
        owner: the key everything is stored under.
        pool: where files are written.
        job: progress, warnings and stop.
        item: what to restore.
        seq: the version.
        name: what the item is called at the destination; empty to restore what is in it.
        destination: folder to write into.
    """

    def __init__(
        self,
        catalog: Snapshots,
        stored_block: Callable[[int], StoredBlock],
        fetcher: BlockFetcher,
        owner: OwnerKey,
        pool: Executor,
        job: Job,
        item: int,
        seq: int,
        name: bytes,
        destination: Path,
    ) -> None:
        self._catalog = catalog
        self._stored_block = stored_block
        self._fetcher = fetcher
        self._owner = owner
        self._pool = pool
        self._job = job
        self._item = item
        self._seq = seq
        self._prefix = (name,) if name else ()
        self._destination = destination
        self._writer: FileWriter | None = None
        self._tree: TreeWriter | None = None
        self._payloads: list[memoryview] = []
        self._way: tuple[tuple[bytes, ...] | None, Path | None] = (None, None)
        self._last: tuple[int, bytes] = (-1, b"")
        self._spaces: list[FragmentSpace] = []
        self._fetching = asyncio.Semaphore(WINDOWS_AHEAD)
        self._reading = asyncio.Lock()
        self.files = 0
        self.folders = 0
        self.links = 0
        self.kept = 0

    async def run(self) -> None:
        """Restore everything.

        Raises:
            LocalFileError, DiskFull: the destination cannot be written.
            DataUnavailable: too few suppliers can be reached for a block.
            IntegrityError: content that does not match its manifest.
            Stopped: the job was stopped; whole files stay, a partial one is taken up again later.
        """
        self._tree = await in_pool(self._pool, TreeWriter, self._destination)
        windows = self._windows()
        ahead: deque[asyncio.Task[_Window | None]] = deque()
        try:
            for _ in range(WINDOWS_AHEAD):
                ahead.append(asyncio.create_task(self._load(windows), name="fetch window"))
            while (window := await ahead[0]) is not None:
                ahead.popleft()
                self._job.check()
                ahead.append(asyncio.create_task(self._load(windows), name="fetch window"))
                await in_pool(self._pool, self._write, window)
                window.content.clear()
                if window.payload is not None:
                    self._payloads.append(window.payload)
                    window.payload = None
            await in_pool(self._pool, self._tree.finish)
        except OSError as exc:
            raise local_error(exc, repr(str(self._destination))) from exc
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)
            self._payloads.clear()
            self._spaces.clear()
            windows.close()
            if self._writer is not None:
                self._writer.close()
            self._tree.close()

    # --- what to fetch -----------------------------------------------------------------------

    def _windows(self) -> Generator[_Window, None, None]:
        """The snapshot in windows; advanced in the pool, one window at a time."""
        window = _Window()
        for path, entry in self._catalog.walk_snapshot(self._item, self._seq):
            segments = (*self._prefix, *path)
            if not segments and entry.type == FOLDER:
                continue
            step = _Step(segments, entry)
            window.steps.append(step)
            if entry.type == FILE and entry.content:
                local = self._local(step)
                if local is not None and self._is_there(local, entry):
                    step.there = True
                else:
                    chunks = self._catalog.chunk_locations(entry.content)
                    if local is not None:
                        chunks = self._skip_kept(local, step, chunks)
                    for chunk in chunks:
                        if not window.takes(chunk):
                            if step.chunks or step.kept:
                                step.last = False
                                yield window
                                step = _Step(segments, entry, first=False)
                            else:
                                window.steps.pop()
                                yield window
                            window = _Window([step])
                        window.add(step, chunk)
            if len(window.steps) >= WINDOW_ENTRIES or window.size >= WINDOW_BYTES:
                yield window
                window = _Window()
        if window.steps:
            yield window

    def _local(self, step: _Step) -> Path | None:
        """Where the file would be, if the way there exists and leads through no links."""
        folder = step.segments[:-1]
        if self._way[0] != folder:
            # asked once a folder: what is made there meanwhile was made by this download
            self._way = (folder, self._way_to(folder))
        way = self._way[1]
        return way / os.fsdecode(step.segments[-1]) if way is not None else None

    def _way_to(self, folder: tuple[bytes, ...]) -> Path | None:
        names = [os.fsdecode(name) for name in folder]
        way = self._destination.joinpath(*names)
        try:
            straight = os.path.realpath(self._destination)
            real = os.path.realpath(way, strict=True)
        except (OSError, ValueError):
            return None
        return way if real == os.path.normpath(os.path.join(straight, *names)) else None

    @staticmethod
    def _is_there(path: Path, entry: Entry) -> bool:
        """Whether a run before has written this file already, whole."""
        try:
            st = os.lstat(path)
            if (st.st_size, st.st_mtime_ns) != (entry.size, entry.mtime_ns):
                return False
            hasher = blake3()
            with open(open_file(path), "rb", buffering=0) as stream:
                while data := stream.read(1 << 20):
                    hasher.update(data)
        except OSError:
            return False
        return hasher.digest() == entry.hash

    def _skip_kept(
        self, path: Path, step: _Step, chunks: Iterator[ChunkLocation]
    ) -> Iterator[ChunkLocation]:
        """Leave out the chunks that an interrupted run has written already."""
        entry = step.entry
        try:
            fd = open_file(path.parent / part_name(path.name, entry.size, entry.hash))
        except OSError:
            yield from chunks
            return
        with open(fd, "rb", buffering=0) as stream:
            for chunk in chunks:
                data = stream.read(chunk.plain) or b""
                if chunk_id(self._owner.chunk_key, data) != chunk.id:
                    yield chunk
                    break
                step.kept.append((chunk.id, chunk.plain))
                self._job.bytes_processed += chunk.plain
        yield from chunks

    async def _load(self, windows: Generator[_Window, None, None]) -> _Window | None:
        """The next window with the content of its chunks; None at the end."""
        # the lock serves in the order of asking, so that windows are written in theirs
        async with self._reading:
            window = await in_pool(self._pool, next, windows, None)
        if window is None:
            return None
        wanted: dict[int, dict[int, ChunkLocation]] = {}
        for step in window.steps:
            for chunk in step.chunks:
                wanted.setdefault(chunk.block, {})[chunk.number] = chunk
        slots = asyncio.Semaphore(BLOCKS_AT_ONCE)

        async def bring(number: int, chunks: list[ChunkLocation]) -> None:
            async with slots:
                self._job.check()
                await self._bring(window, number, chunks)
                self._job.block_number += 1

        tasks = [
            asyncio.create_task(bring(number, list(chunks.values())), name=f"fetch block {number}")
            for number, chunks in wanted.items()
        ]
        try:
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return window

    async def _bring(self, window: _Window, number: int, chunks: list[ChunkLocation]) -> None:
        """Fetch the stripes of one block that hold these chunks."""
        block = await in_pool(self._pool, self._stored_block, number)
        layout = Layout(block.n, block.size)
        needed = {
            stripe for chunk in chunks for stripe in layout.stripes_of(chunk.offset, chunk.stored)
        }
        if len(needed) < MOSTLY * layout.stripes:
            stretches = list(runs(sorted(needed)))
            loaded = await asyncio.gather(
                *(self._fetcher.part(block, self._owner.kek, run) for run in stretches)
            )
            parts = [
                (layout.plain_range(run[0])[0], part)
                for run, part in zip(stretches, loaded, strict=True)
            ]
        elif window.payload is None and block.size >= WINDOW_LEAST:
            window.payload = self._payloads.pop() if self._payloads else reusable(MAX_PAYLOAD)
            payload = await self._whole(block, window.payload)
            window.content.update(
                (chunk.number, payload[chunk.offset : chunk.offset + chunk.stored])
                for chunk in chunks
            )
            return
        else:
            parts = [(0, await self._whole(block, None))]

        def copy() -> None:
            for chunk in chunks:
                base, part = next(
                    (base, part)
                    for base, part in parts
                    if base <= chunk.offset and chunk.offset + chunk.stored <= base + len(part)
                )
                at = chunk.offset - base
                window.content[chunk.number] = bytes(part[at : at + chunk.stored])

        await in_pool(self._pool, copy)

    async def _whole(self, block: StoredBlock, out: memoryview | None) -> memoryview:
        """The payload of a block, through one of the memories for fragments."""
        async with self._fetching:
            space = self._spaces.pop() if self._spaces else FragmentSpace()
            try:
                return await self._fetcher.whole(block, self._owner.kek, space=space, out=out)
            finally:
                self._spaces.append(space)

    # --- writing, in the pool ----------------------------------------------------------------

    def _write(self, window: _Window) -> None:
        tree = self._tree
        assert tree is not None
        for step in window.steps:
            self._job.check()
            entry = step.entry
            if entry.type == FOLDER:
                tree.folder(step.segments, entry.mode, entry.mtime_ns)
                self.folders += 1
            elif entry.type == LINK:
                tree.link(step.segments, entry.target, entry.mtime_ns)
                self.links += 1
            elif step.there:
                # still made to match, for its mode may differ
                tree.touch(step.segments, entry.mode, entry.mtime_ns)
                self._count(entry.size)
                self.kept += 1
            else:
                self._write_file(tree, step, window.content)

    def _write_file(
        self, tree: TreeWriter, step: _Step, content: dict[int, memoryview | bytes]
    ) -> None:
        entry = step.entry
        if step.first:
            self._writer = tree.file(step.segments, entry.size, entry.hash)
            if self._writer.keep(step.kept, self._owner.chunk_key) != len(step.kept):
                raise LocalFileError(
                    "a half-written file changed while the download was going on",
                    hint="start the download again",
                )
        writer = self._writer
        assert writer is not None
        for chunk in step.chunks:
            self._job.check()
            plain = content[chunk.number]
            if chunk.compressed:
                plain = self._unpacked(chunk, plain)
            if len(plain) != chunk.plain:
                raise IntegrityError("a chunk has another length than the catalog says")
            writer.write(plain)
            self._job.bytes_processed += len(plain)
        if step.last:
            self._writer = None
            writer.commit(entry.mode, entry.mtime_ns)
            self._count(0)

    def _unpacked(self, chunk: ChunkLocation, raw: memoryview | bytes) -> bytes:
        """The content of a compressed chunk; runs of the same one are unpacked once."""
        number, plain = self._last
        if number != chunk.number:
            plain = decompress(raw, chunk.plain)
            self._last = (chunk.number, plain)
        return plain

    def _count(self, size: int) -> None:
        self.files += 1
        self._job.files_processed += 1
        self._job.bytes_processed += size
