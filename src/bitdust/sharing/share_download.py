"""Bringing files back out of a share, from whichever writers have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bitdust.errors import NotInCatalog
from bitdust.ids import encode_name
from bitdust.pool import in_pool
from bitdust.sharing.share_source import Source
from bitdust.sharing.share_space import ShareSpace
from bitdust.sharing.share_view import Merged, Place, ShareView
from bitdust.storage import (
    BlockFetcher,
    Catalog,
    ChunkLocation,
    Entry,
    Job,
    OwnerKey,
    Restorer,
    StoredBlock,
)

_FOLDER_MODE: Final = 0o755


class _Whole:
    """A version as its writer made it.

    Args:
        catalog: of the writer.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def walk_snapshot(self, item: int, seq: int) -> Iterator[tuple[tuple[bytes, ...], Entry]]:
        """See ``Catalog``."""
        return self._catalog.walk_snapshot(item, seq)

    def chunk_locations(self, content: bytes) -> Iterator[ChunkLocation]:
        """See ``Catalog``."""
        return self._catalog.chunk_locations(content)


class _Part(_Whole):
    """What one writer has in a merged folder, with all folders.

    Args:
        view: the merged tree.
        folder: its path in the share.
        source: the writer.
        now: wall clock for folders that were never uploaded, seconds.
    """

    def __init__(self, view: ShareView, folder: Merged, source: Source, now: float) -> None:
        super().__init__(source.catalog)
        self._view = view
        self._folder = folder
        self._source = source
        self._now = now

    def walk_snapshot(self, item: int, seq: int) -> Iterator[tuple[tuple[bytes, ...], Entry]]:
        """The merged folder, as far as it is of this writer."""
        del item, seq
        yield (), self._folder_entry(self._folder)
        skip = len(self._folder.path) + 1 if self._folder.path else 0
        for merged in self._view.walk(self._folder.path):
            names = tuple(encode_name(name) for name in merged.path[skip:].split("/"))
            if merged.is_folder:
                yield names, self._folder_entry(merged)
            elif merged.main.source is self._source and merged.main.row.entry is not None:
                yield names, merged.main.row.entry

    def _folder_entry(self, merged: Merged) -> Entry:
        for place in merged.places:
            if place.row.entry is not None:
                return place.row.entry
        time_ns = int(self._now * 1e9)
        return Entry(0, 0, None, "d", _FOLDER_MODE, time_ns, 0, b"", b"", b"", 0, 0)


class ShareDownload:
    """One download out of a share.

    Args:
        space: the share.
        job: progress, warnings and stop; its ``local`` is the folder to write into.
        merged: what to bring back.
        version: which version of it, None for what it is now.
    """

    def __init__(
        self, space: ShareSpace, job: Job, merged: Merged, version: tuple[Place, int] | None
    ) -> None:
        self._space = space
        self._job = job
        self._merged = merged
        self._version = version
        self._files = self._folders = self._links = self._kept = 0

    async def run(self) -> dict[str, Any]:
        """Do it; the result is what ``wait_result`` gives.

        Raises:
            as ``Restorer``.
        """
        began = self._space.clock.monotonic()
        merged, job = self._merged, self._job
        if self._version is not None or not merged.is_folder:
            await self._one()
        else:
            await self._folder()
        return {
            "downloaded": True,
            "key_id": str(job.remote.key_id),
            "backup_id": f"{job.remote.key_id}:{job.backup_id}",
            "local_path": str(Path(job.local, job.remote.name)),
            "path_id": job.path_id,
            "remote_path": str(job.remote),
            "version": job.version,
            "files": self._files,
            "folders": self._folders,
            "links": self._links,
            "kept": self._kept,
            "bytes": job.total_size,
            "seconds": round(self._space.clock.monotonic() - began, 3),
            "warnings": job.warnings,
            "warnings_total": job.warnings_total,
        }

    async def _one(self) -> None:
        """A file, or a version of something as its writer made it."""
        if self._version is not None:
            place, seq = self._version
        else:
            place = self._merged.main
            if not place.row.versions:
                raise NotInCatalog(f"nothing was uploaded to {self._job.remote} yet")
            seq = place.row.versions[0].version.seq
        catalog = place.source.catalog
        item = place.row.item.id
        totals = await in_pool(self._space.pool, catalog.tree_totals, item, seq)
        self._job.total_files, self._job.total_size = totals.files, totals.size
        await self._restore(_Whole(catalog), place.source, item, seq)

    async def _folder(self) -> None:
        """A folder as it is now, from all who have a part of it."""
        view = await self._space.view()

        def survey() -> dict[bytes, Source]:
            sources: dict[bytes, Source] = {}
            for merged in view.walk(self._merged.path):
                if not merged.is_folder and merged.main.row.entry is not None:
                    sources[merged.main.source.node] = merged.main.source
                    self._job.total_files += merged.main.row.entry.type == "f"
                    self._job.total_size += merged.main.row.entry.size
            return sources

        sources = await in_pool(self._space.pool, survey)
        if not sources:  # folders alone; whoever has one knows them all
            sources = {place.source.node: place.source for place in self._merged.places[:1]}
        for source in sources.values():
            part = _Part(view, self._merged, source, self._space.clock.now())
            await self._restore(part, source, 0, 0)

    async def _restore(self, part: _Whole, source: Source, item: int, seq: int) -> None:
        space = self._space
        stored, fetcher, owner = await way_to(space, source)
        restorer = Restorer(
            part,
            stored,
            fetcher,
            owner,
            space.pool,
            self._job,
            item,
            seq,
            encode_name(self._job.remote.name),
            Path(self._job.local),
        )
        await restorer.run()
        self._files += restorer.files
        self._folders = max(self._folders, restorer.folders)
        self._links += restorer.links
        self._kept += restorer.kept


async def way_to(
    space: ShareSpace, source: Source
) -> tuple[Callable[[int], StoredBlock], BlockFetcher, OwnerKey]:
    """How what a writer stored is read: its blocks by number, what brings them, and the key."""
    own = await space.storage.owner_key(space.key_id)
    follower = space.follower(source.node)
    if follower is None:
        parts = space.storage.parts
        return parts.blocks.stored, parts.fetcher, own
    return follower.stored, follower.fetcher, OwnerKey(own.ref, follower.kek(), own.chunk_key)
