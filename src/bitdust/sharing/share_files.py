"""What people ask of the files in a share; the same operations as on one's own files.

Source: BitDust API, third generation (names, parameters), second generation (shapes of results).
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    InvalidInput,
    NotInCatalog,
    Stopped,
)
from bitdust.events import EventBus
from bitdust.ids import BackupID, KeyID, PathID, RemotePath, looks_like_version
from bitdust.pool import in_pool
from bitdust.sharing.share_download import ShareDownload, way_to
from bitdust.sharing.share_space import ShareSpace
from bitdust.sharing.share_view import Merged, Place, ShareView
from bitdust.storage import (
    DOWNLOAD,
    Files,
    Job,
    JobQueue,
    ListRow,
    RangeReader,
    TreeWriter,
    check_range,
    ecc_map,
    file_at,
    item_view,
    read_range,
    version_view,
)

DOWNLOADS_AT_ONCE: Final = 2
READS_AT_ONCE: Final = 4
"""Ranges being fetched at the same time; further ones wait."""
MAX_LISTED: Final = 100_000
VERSIONS_SHOWN: Final = 32
HEALTH_OF: Final = 8
CONNECT_WAIT: Final = 30.0
"""Seconds an operation waits for a share that is being connected."""

Target = RemotePath | BackupID


class ShareFiles:
    """The operations on the files of one open share.

    Args:
        space: the share.
        events: of the node.
        restore_folder: where downloads go when no destination is named.
    """

    def __init__(
        self, space: ShareSpace, events: EventBus, restore_folder: Callable[[], Path]
    ) -> None:
        self.space = space
        self._events = events
        self._restore_folder = restore_folder
        self._own = Files(space.storage, restore_folder)
        self._numbers = itertools.count(1)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self.downloads = JobQueue(DOWNLOADS_AT_ONCE, self._record, self._ended)

    async def close(self) -> None:
        """Interrupt the downloads."""
        await self.downloads.close()

    # --- finding --------------------------------------------------------------------------------

    async def ready(self, *, to_write: bool = False) -> None:
        """Wait until the share can be used.

        Raises:
            ServiceOff: it cannot, yet.
        """
        if to_write:
            ends = self.space.clock.monotonic() + CONNECT_WAIT
            while not self.space.storage.opened and self.space.clock.monotonic() < ends:
                await self.space.clock.sleep(0.05)
        else:
            await self.space.wait_connected(CONNECT_WAIT)
        self.space.require_connected()

    def _find(self, view: ShareView, target: Target) -> tuple[Merged, str] | None:
        """What a caller named, and the version, if one was named."""
        if isinstance(target, BackupID):
            found = view.find_id(target.path_id)
            return None if found is None else (found, target.version)
        found = view.find(target.path)
        numbers, _, last = target.path.rpartition("/")
        label = ""
        if found is None and PathID.looks_like(target.path):
            found = view.find_id(PathID.parse(target.path))
        elif found is None and looks_like_version(last) and PathID.looks_like(numbers):
            found, label = view.find_id(PathID.parse(numbers)), last
        return None if found is None else (found, label)

    async def _require(self, target: Target) -> tuple[ShareView, Merged, str]:
        view = await self.space.view()
        found = await in_pool(self.space.pool, self._find, view, target)
        if found is None:
            raise NotInCatalog(f"{target} is not in the share")
        return view, *found

    def _remote(self, merged: Merged) -> RemotePath:
        return RemotePath(self.space.key_id, merged.path)

    def _short(self, merged: Merged) -> dict[str, Any]:
        key_id = self.space.key_id
        path_id = str(merged.main.path_id) if merged.places else ""
        return {
            "remote_path": str(self._remote(merged)),
            "global_id": f"{key_id}:{path_id}",
            "path_id": path_id,
            "path": merged.path,
            "key_id": str(key_id),
            "customer": str(key_id.owner),
        }

    # --- looking --------------------------------------------------------------------------------

    async def file_exists(self, target: Target) -> dict[str, Any]:
        """Whether something is in the share."""
        await self.ready()
        view = await self.space.view()
        found = await in_pool(self.space.pool, self._find, view, target)
        path_id = str(found[0].main.path_id) if found and found[0].places else None
        return {"exist": found is not None, "path_id": path_id}

    async def file_info(
        self, target: Target, include_uploads: bool, include_downloads: bool
    ) -> dict[str, Any]:
        """One item with the health of its newest versions."""
        await self.ready()
        view, merged, _ = await self._require(target)
        if not merged.places:
            raise NotInCatalog("nothing was written into this share yet")

        def describe() -> dict[str, Any]:
            shown = self._row(view, merged, health=HEALTH_OF)
            shown["revision"] = _revision(view)
            return shown

        shown = await in_pool(self.space.pool, describe)
        self._add_jobs(shown, include_uploads, include_downloads)
        return shown

    async def files_list(
        self,
        target: Target | None,
        recursive: bool,
        include_uploads: bool,
        include_downloads: bool,
        limit: int = MAX_LISTED,
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """Items of a folder of the share, or of all of it."""
        await self.ready()
        if target is None:
            view = await self.space.view()
            path = ""
        else:
            view, merged, _ = await self._require(target)
            path = merged.path

        def gather() -> tuple[list[dict[str, Any]], bool]:
            found: Iterable[Merged] = view.walk(path) if recursive else view.children(path)
            rows: list[dict[str, Any]] = []
            for one in found:
                if len(rows) >= limit:
                    return rows, True
                rows.append(self._row(view, one))
            return rows, False

        rows, cut = await in_pool(self.space.pool, gather)
        for shown in rows:
            self._add_jobs(shown, include_uploads, include_downloads)
        return rows, await in_pool(self.space.pool, _revision, view), cut

    def _row(self, view: ShareView, merged: Merged, health: int = 0) -> dict[str, Any]:
        """A merged item in the shape of one's own."""
        key_id = self.space.key_id
        places = sorted(merged.places, key=lambda place: place.row.entry is None)
        place = places[0] if merged.is_folder else merged.main
        childs = 0
        if merged.is_folder and len(merged.places) == 1:
            childs = place.row.childs
        elif merged.is_folder:
            childs = sum(1 for _ in view.children(merged.path))
        shown = item_view(key_id, self._lifted(place, merged, childs))
        versions = []
        everything = merged.versions()
        for at, (where, version) in enumerate(everything[:VERSIONS_SHOWN]):
            state = (
                where.source.catalog.health(where.row.item.id, version.version.seq)
                if at < health
                else None
            )
            row = self._lifted(where, merged, childs)
            versions.append(
                {
                    **version_view(key_id, row, version, state),
                    "writer": where.source.person,
                }
            )
        shown |= {
            "type": "dir" if merged.is_folder else "file",
            "versions": versions,
            "versions_total": len(everything),
            "latest": versions[0]["label"] if versions else "",
            "writer": place.source.person,
            "writers": sorted({where.source.person for where in merged.places}),
            "present": True,
        }
        return shown

    @staticmethod
    def _lifted(place: Place, merged: Merged, childs: int) -> ListRow:
        item = msgspec.structs.replace(place.row.item, name=merged.name)
        return msgspec.structs.replace(
            place.row, item=item, path=merged.path, path_id=place.path_id, childs=childs
        )

    def _add_jobs(self, shown: dict[str, Any], uploads: bool, downloads: bool) -> None:
        def about(job: Job) -> bool:
            return bool(str(job.remote) == shown["remote_path"])

        queue = self.space.storage.uploads
        if uploads:
            shown["uploads"] = {
                "running": [job.upload_view() for job in queue.running() if about(job)],
                "pending": [job.pending_view() for job in queue.pending() if about(job)],
            }
        if downloads:
            shown["downloads"] = [job.download_view() for job in self.downloads.find(about)]

    # --- changing -------------------------------------------------------------------------------

    async def file_create(
        self, remote_path: RemotePath, as_folder: bool, exist_ok: bool, force_path_id: str | None
    ) -> dict[str, Any]:
        """Enter an item without data."""
        await self.ready(to_write=True)
        if force_path_id is not None:
            raise InvalidInput("items of a share get their ids from their writers")
        view = await self.space.view()
        found = await in_pool(self.space.pool, view.find, remote_path.path)
        if found is not None and not exist_ok:
            raise AlreadyExists(
                f"{remote_path} is in the share already",
                hint="upload into it, or pass exist_ok",
            )
        made = found is None
        if made:
            await self._own.file_create(remote_path, as_folder, True)
            found = await in_pool(self.space.pool, view.find, remote_path.path)
        if found is None:
            raise NotInCatalog(f"{remote_path} was deleted meanwhile")
        kind = "dir" if found.is_folder else "file"
        return {**self._short(found), "created": made, "type": kind}

    async def file_delete(self, target: Target) -> dict[str, Any]:
        """Take something, or an own version of it, out of the share."""
        await self.ready(to_write=True)
        _, merged, label = await self._require(target)
        shown = self._short(merged)
        if label:
            place, seq = self._version(merged, target, label)
            if self.space.follower(place.source.node) is not None:
                raise AccessDenied(
                    f"version {label} was made by {place.source.person}",
                    hint="delete the whole file, or ask them to delete the version",
                )
            catalog = place.source.catalog

            def forget() -> None:
                with catalog.transaction() as tx:
                    tx.delete_version(seq)

            await in_pool(self.space.pool, forget)
            self.space.storage.parts.care.wake()
            return {**shown, "version": label}
        if not merged.path:
            raise InvalidInput(
                "a whole share is not emptied at once",
                hint="delete what is in it, or the share: `bitdust share delete`",
            )
        # of files that stand beside each other only the one that is meant
        writers = None if merged.is_folder else {place.source.writer for place in merged.places}
        await self.space.remove(merged.main.row.path, writers)
        return shown

    # --- uploads --------------------------------------------------------------------------------

    async def file_upload_start(
        self, local_path: str, target: Target, wait_result: bool
    ) -> dict[str, Any]:
        """Upload a local file or folder as a new version."""
        await self.ready(to_write=True)
        view = await self.space.view()
        found = await in_pool(self.space.pool, self._find, view, target)
        if found is not None and found[1]:
            raise InvalidInput("a version cannot be uploaded to", hint="leave the version out")
        if found is None and not isinstance(target, RemotePath):
            raise NotInCatalog(f"{target} is not in the share")
        if found is not None:
            remote = self._remote(found[0])
            is_file = await in_pool(self.space.pool, Path(local_path).is_file)
            if found[0].path and found[0].is_folder and is_file:
                raise InvalidInput(
                    f"{remote} is a folder, and the local path is a file",
                    hint=f"name the file in it: {remote.path}/…",
                )
        else:
            assert isinstance(target, RemotePath)
            remote = target
        answer = await self._own.file_upload_start(local_path, remote, wait_result)
        if wait_result:
            return answer
        slot = (await self.space.storage.source()).slot
        path_id = f"{slot}/{answer['path_id']}".rstrip("/")
        return answer | {"path_id": path_id, "global_id": f"{self.space.key_id}:{path_id}"}

    def uploads(self) -> JobQueue:
        """Uploads into the share."""
        return self.space.storage.uploads

    async def file_upload_stop(self, target: Target) -> list[str]:
        """Stop uploads of an item; returns their version ids."""
        _, merged, _ = await self._require(target)
        jobs = self.uploads().find(lambda job: job.remote.path == merged.path)
        return [f"{self.space.key_id}:{job.backup_id}" for job in _stopped(jobs, "upload")]

    # --- downloads ------------------------------------------------------------------------------

    def _version(self, merged: Merged, target: Target, label: str) -> tuple[Place, int]:
        """The version of that name; of two writers' the one whose item was named."""
        found = [
            (place, version.version.seq)
            for place, version in merged.versions()
            if version.version.label == label
        ]
        if not found:
            raise NotInCatalog(f"there is no version {label} of {self._remote(merged)}")
        named = str(target.path_id if isinstance(target, BackupID) else target.path)
        slot = named.partition("/")[0]
        return next((one for one in found if str(one[0].source.slot) == slot), found[0])

    async def file_read(self, target: Target, offset: int, size: int) -> dict[str, Any]:
        """A range of a file; nothing else of it is fetched."""
        check_range(offset, size)
        await self.ready()
        _, merged, label = await self._require(target)
        remote = self._remote(merged)
        if label:
            place, seq = self._version(merged, target, label)
        else:
            made = merged.versions()
            if not made:
                raise NotInCatalog(
                    f"nothing was uploaded to {remote} yet",
                    hint="upload it first: `bitdust file upload LOCAL REMOTE`",
                )
            place, seq = made[0][0], made[0][1].version.seq
            label = made[0][1].version.label
        catalog, pool = place.source.catalog, self.space.pool
        entry = await in_pool(pool, file_at, catalog, place.row.item.id, seq, remote)
        stored, fetcher, owner = await way_to(self.space, place.source)
        reader = RangeReader(catalog, stored, fetcher, pool)
        async with self._reads:
            part = await read_range(reader, owner, entry, offset, size, pool)
        return {**self._short(merged), "version": label, **part}

    async def file_download_start(
        self, target: Target, destination_path: str | None, wait_result: bool
    ) -> dict[str, Any]:
        """Download an item into a folder."""
        await self.ready()
        _, merged, label = await self._require(target)
        remote = self._remote(merged)
        version = self._version(merged, target, label) if label else None
        newest = label or next((v.version.label for _, v in merged.versions()), "")
        if not newest and not merged.is_folder:
            raise NotInCatalog(
                f"nothing was uploaded to {remote} yet",
                hint="upload it first: `bitdust file upload LOCAL REMOTE`",
            )
        destination = _normal(destination_path or str(self._restore_folder()))
        # tells at once, and not in a job that nobody may be looking at
        await in_pool(self.space.pool, lambda: TreeWriter(destination).close())
        path_id = str(version[0].path_id if version else merged.main.path_id)
        job = Job(
            next(self._numbers),
            DOWNLOAD,
            remote,
            str(destination),
            path_id,
            self.space.clock.now(),
        )
        job.version = newest
        job.eccmap = ecc_map(self.space.suppliers.n)
        if self.downloads.find(
            lambda other: (
                (other.remote, other.version, other.local) == (job.remote, job.version, job.local)
            )
        ):
            raise AlreadyExists(
                f"this download of {remote} is going on already",
                hint="see `bitdust file downloads`",
            )
        work = ShareDownload(self.space, job, merged, version)
        self.downloads.submit(job, lambda _: work.run())
        self._publish("restore-task-created", job)
        if wait_result:
            await job.finished.wait()
            if job.error is not None:
                raise job.error
            if job.state != "done":
                raise Stopped(f"the download of {remote} did not end")
            return job.result
        return {
            "downloaded": False,
            **self._short(merged),
            "backup_id": f"{self.space.key_id}:{job.backup_id}",
            "local_path": str(destination / remote.name),
            "version": newest,
            "job_id": job.id,
            "state": job.state,
        }

    async def _record(self, job: Job) -> None:
        """Downloads out of a share are not taken up again by a restart: nothing to write down."""

    def _ended(self, job: Job) -> None:
        self._publish("restore-done" if job.state == "done" else "restore-failed", job)

    def _publish(self, event_id: str, job: Job) -> None:
        self._events.publish(
            event_id,
            remote_path=str(job.remote),
            backup_id=f"{job.remote.key_id}:{job.backup_id}",
            job_id=job.id,
            reason=job.error.message if job.error else "",
        )

    async def file_download_stop(self, target: Target) -> list[dict[str, Any]]:
        """Stop downloads of an item."""
        _, merged, label = await self._require(target)
        jobs = self.downloads.find(
            lambda job: job.remote.path == merged.path and label in ("", job.version)
        )
        return [
            {"backup_id": f"{self.space.key_id}:{job.backup_id}", "aborted": True}
            for job in _stopped(jobs, "download")
        ]


def _normal(path: str) -> Path:
    """The path without ``..`` and double slashes; links in it are left as they are."""
    return Path(os.path.normpath(path))


def _stopped(jobs: list[Job], what: str) -> Iterator[Job]:
    if not jobs:
        raise NotInCatalog(
            f"no {what} of that is running or waiting", hint=f"see `bitdust file {what}s`"
        )
    for job in jobs:
        job.stopping.set()
        yield job


def _revision(view: ShareView) -> int:
    return sum(source.catalog.revision for source in view.sources())


def is_share(key_id: KeyID) -> bool:
    """Whether a key id names a share."""
    return key_id.alias.startswith("share_")
