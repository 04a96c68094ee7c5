"""Reading a local file or tree into the catalog and the block writer, one block after the other.

What looks untouched since the last version (size, times, inode) is not read again. What changed is
staged in the catalog as it is read, so a crash loses at most the block that was being filled: the
next run takes what was staged and goes on.
"""

from __future__ import annotations

import io
import os
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from bitdust.errors import LocalFileError
from bitdust.ids import display_name
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import INODE_MASK, Child, Entry, StagedEntry
from bitdust.storage.formats.chunker import MIN_CHUNK, Chunker, chunk_id
from bitdust.storage.jobs import Job
from bitdust.storage.transfer.blockwriter import BlockWriter, BuiltBlock, OwnerKey, Slot
from bitdust.storage.transfer.walk import (
    FILE,
    FOLDER,
    LINK,
    Found,
    Visit,
    open_file,
    stat_root,
    walk_tree,
)

ATTEMPTS = 3
"""How often a file that changes while it is read is read anew."""
BATCH_BYTES = 4 * 1024 * 1024
BATCH_FILES = 512
"""Small files are looked up and staged together, at most so many and so large."""


@dataclass(slots=True)
class Tally:
    """What an upload saw, over the whole tree, and what of it had changed.

    Args:
        size: bytes of all files.
        changed: files, folders and links that differ from the version before.
        removed: names that are gone.
    """

    files: int = 0
    folders: int = 0
    links: int = 0
    size: int = 0
    changed: int = 0
    removed: int = 0


@dataclass(slots=True)
class _Waiting:
    """A file whose chunks are not all numbered yet."""

    item: int
    found: Found
    size: int
    digest: bytes
    slots: list[Slot]

    def entry(self) -> StagedEntry:
        found = self.found
        return StagedEntry(
            self.item,
            FILE,
            found.mode,
            found.mtime_ns,
            self.size,
            self.digest,
            b"",
            encode_numbers(slot.number for slot in self.slots),
            found.ino & INODE_MASK,
            found.ctime_ns,
        )


class TreeReader:
    """One upload's walk through the local tree; advanced in the pool, and it never waits there.

    Args:
        catalog: what was there before; rows are staged there.
        writer: takes the content.
        owner: keys the chunk ids.
        job: progress and warnings.
        root: the item everything goes below.
        local: the file, folder or link to read.
        resumed: whether an earlier run of this job may have staged something.
        created: wall clock for new items, seconds.
    """

    def __init__(
        self,
        catalog: Catalog,
        writer: BlockWriter,
        owner: OwnerKey,
        job: Job,
        root: int,
        local: Path,
        *,
        resumed: bool,
        created: float,
    ) -> None:
        self._catalog = catalog
        self._writer = writer
        self._chunk_key = owner.chunk_key
        self._job = job
        self._root = root
        self._local = local
        self._resumed = resumed
        self._created = created
        self._chunker = Chunker()
        self._small: list[tuple[int, Found, bytes, bytes]] = []
        self._small_bytes = 0
        self._waiting: deque[_Waiting] = deque()
        self._rows: list[StagedEntry] = []
        self.tally = Tally()

    def blocks(self) -> Iterator[BuiltBlock]:
        """Read everything, handing over each block as soon as it is built.

        At the end all rows are staged, and ``tally`` says what was seen.

        Raises:
            LocalFileError: the root cannot be read.
            Stopped: the job was stopped.
        """
        root = stat_root(self._local)
        self._job.reading = True
        current = Child(self._root, self._catalog.current(self._root))
        if root.kind == FOLDER:
            self._one(root, current, None, b"", None)
            yield from self._read_tree()
        else:
            path = os.fsencode(self._local)
            work = self._one(root, current, self._staged_root(), path, None)
            if work is not None:
                yield from work
        self._store_small()
        yield from self._built()
        self._writer.flush()
        yield from self._built()
        self._job.reading = False
        self._job.eof = True
        self._stage(everything=True)

    def _built(self) -> Iterator[BuiltBlock]:
        while self._writer.ready:
            yield self._writer.ready.popleft()

    def _staged_root(self) -> StagedEntry | None:
        return self._catalog.staged(self._job.id, self._root) if self._resumed else None

    def _read_tree(self) -> Iterator[BuiltBlock]:
        # the folders in each folder between the root and where the walk is: name to item
        path: list[dict[bytes, int]] = []
        for visit in walk_tree(self._local):
            self._job.check()
            depth = len(visit.segments)
            del path[depth:]
            item = path[-1][visit.segments[-1]] if depth else self._root
            for name, reason in visit.skipped:
                self._skipped(visit, name, reason)
            path.append((yield from self._read_folder(visit, item)) if visit.fd >= 0 else {})

    def _skipped(self, visit: Visit, name: bytes, reason: str) -> None:
        where = "/".join(os.fsdecode(part) for part in (*visit.segments, name) if part)
        self._job.warn(f"{display_name(where)}: {reason}")

    def _read_folder(
        self, visit: Visit, item: int
    ) -> Generator[BuiltBlock, None, dict[bytes, int]]:
        """Compare one folder with the catalog; returns the items of the folders in it."""
        known = self._catalog.children(item)
        staged = self._catalog.staged_children(self._job.id, item) if self._resumed else {}
        new = [found for found in visit.found if found.name not in known]
        if new:
            for names, is_folder in (
                ([f.name for f in new if f.kind == FOLDER], True),
                ([f.name for f in new if f.kind != FOLDER], False),
            ):
                with self._catalog.transaction(durable=False) as tx:
                    made = tx.ensure_children(
                        item, names, is_folder=is_folder, created=self._created
                    )
                known.update((name, Child(number, None)) for name, number in made.items())
        folders: dict[bytes, int] = {}
        for found in visit.found:
            child = known.pop(found.name)
            if found.kind == FOLDER:
                folders[found.name] = child.item
            work = self._one(found, child, staged.get(found.name), found.name, visit)
            if work is not None:
                yield from work
        unreadable = {name for name, _ in visit.skipped}
        gone = [
            child.item
            for name, child in known.items()
            if child.entry is not None and name not in unreadable
        ]
        if gone:
            self.tally.removed += len(gone)
            with self._catalog.transaction(durable=False) as tx:
                tx.stage_deleted(self._job.id, gone)
        return folders

    def _one(
        self,
        found: Found,
        child: Child,
        staged: StagedEntry | None,
        path: bytes,
        visit: Visit | None,
    ) -> Iterator[BuiltBlock] | None:
        """Take one name: count it, and stage it if it differs from what is known.

        Returns:
            What is left to do for a file that has to be read, else None.
        """
        tally = self.tally
        if found.kind == FOLDER:
            tally.folders += 1
        elif found.kind == LINK:
            tally.links += 1
        else:
            tally.files += 1
            tally.size += found.size
            self._job.files_processed += 1
        before = child.entry
        if (before is not None and _unchanged(found, before)) or (
            staged is not None and _unchanged(found, staged)
        ):
            self._job.bytes_processed += found.size if found.kind == FILE else 0
            return None
        tally.changed += 1
        if found.kind == FILE:
            return self._read(found, child.item, path, visit)
        self._rows.append(
            StagedEntry(
                child.item,
                found.kind,
                found.mode,
                found.mtime_ns,
                0,
                b"",
                found.target,
                b"",
                found.ino & INODE_MASK,
                found.ctime_ns,
            )
        )
        if len(self._rows) >= BATCH_FILES:
            self._stage()
        return None

    def _read(
        self, found: Found, item: int, path: bytes, visit: Visit | None
    ) -> Iterator[BuiltBlock]:
        """Read a file until it holds still, at most ``ATTEMPTS`` times."""
        try:
            for attempt in range(1, ATTEMPTS + 1):
                fd = open_file(path, visit.fd if visit else None)
                with open(fd, "rb", buffering=0) as stream:
                    st = os.fstat(fd)
                    mode = stat.S_IMODE(st.st_mode)
                    seen = Found(
                        found.name,
                        FILE,
                        mode,
                        st.st_mtime_ns,
                        st.st_ctime_ns,
                        st.st_ino,
                        st.st_size,
                    )
                    if (yield from self._read_once(seen, item, stream, attempt == ATTEMPTS)):
                        return
            self._warn_changed(visit, found)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            if visit is None:
                raise LocalFileError(
                    f"cannot read {str(self._local)!r}: {reason}",
                    hint="check the local path and its permissions",
                ) from exc
            self._skipped(visit, found.name, reason)

    def _warn_changed(self, visit: Visit | None, found: Found) -> None:
        where = [os.fsdecode(part) for part in (*(visit.segments if visit else ()), found.name)]
        self._job.warn(f"{display_name('/'.join(where))}: it changed while it was read")

    def _read_once(
        self, seen: Found, item: int, stream: io.FileIO, last: bool
    ) -> Generator[BuiltBlock, None, bool]:
        """Read an open file; False when it changed meanwhile, and it is kept only if ``last``."""
        if seen.size <= MIN_CHUNK:
            data = stream.read(MIN_CHUNK + 1) or b""
            still = len(data) == seen.size and self._same(seen, stream.fileno())
            if len(data) <= MIN_CHUNK:
                if still or last:
                    self._take_small(item, seen, data)
                    yield from self._built()
                return still
            stream.seek(0)
        hasher = blake3()
        size = 0
        slots: list[Slot] = []
        for chunk in self._chunker.chunks(stream.readinto):
            hasher.update(chunk)
            size += len(chunk)
            slots += self._writer.put([(chunk_id(self._chunk_key, chunk), chunk)])
            self._job.bytes_processed += len(chunk)
            if self._writer.ready:
                yield from self._built()
                self._job.check()
        still = size == seen.size and self._same(seen, stream.fileno())
        if still or last:
            self._waiting.append(_Waiting(item, seen, size, hasher.digest(), slots))
            self._stage()
        return still

    @staticmethod
    def _same(seen: Found, fd: int) -> bool:
        now = os.fstat(fd)
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
            seen.size,
            seen.mtime_ns,
            seen.ctime_ns,
        )

    def _take_small(self, item: int, found: Found, data: bytes) -> None:
        self._small.append((item, found, data, chunk_id(self._chunk_key, data)))
        self._small_bytes += len(data)
        self._job.bytes_processed += len(data)
        if self._small_bytes >= BATCH_BYTES or len(self._small) >= BATCH_FILES:
            self._store_small()

    def _store_small(self) -> None:
        batch, self._small, self._small_bytes = self._small, [], 0
        slots = self._writer.put([(cid, data) for _, _, data, cid in batch if data])
        taken = iter(slots)
        for item, found, data, _ in batch:
            own = [next(taken)] if data else []
            self._waiting.append(_Waiting(item, found, len(data), blake3(data).digest(), own))
        self._stage()

    def _stage(self, *, everything: bool = False) -> None:
        """Stage the rows whose chunks have numbers."""
        rows = self._rows
        while self._waiting and (
            everything or all(slot.number >= 0 for slot in reversed(self._waiting[0].slots))
        ):
            rows.append(self._waiting.popleft().entry())
        if rows and (everything or len(rows) >= BATCH_FILES or not self._waiting):
            for start in range(0, len(rows), 4 * BATCH_FILES):
                self._stage_rows(rows[start : start + 4 * BATCH_FILES])
            self._rows = []

    def _stage_rows(self, rows: Sequence[StagedEntry]) -> None:
        with self._catalog.transaction(durable=False) as tx:
            tx.stage_entries(self._job.id, rows)


def _unchanged(found: Found, before: Entry | StagedEntry) -> bool:
    """Whether a local name is as the catalog knows it, told without reading it."""
    if before.type != found.kind or before.mode != found.mode:
        return (
            before.type == LINK == found.kind
            and before.target == found.target
            and (before.mtime_ns == found.mtime_ns)
        )
    if found.kind == FILE:
        return (
            before.size == found.size
            and before.mtime_ns == found.mtime_ns
            and before.ctime_ns == found.ctime_ns
            and before.ino == found.ino & INODE_MASK
        )
    return before.mtime_ns == found.mtime_ns and before.target == found.target
