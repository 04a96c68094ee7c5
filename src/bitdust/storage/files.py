"""What people ask of their files: list, describe, create, delete, upload, download.

Each method answers one operation of the API and returns JSON-ready values.

Source: BitDust API, third generation (names, parameters), second generation (shapes of results).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    InvalidInput,
    LocalFileError,
    NotInCatalog,
    Stopped,
)
from bitdust.ids import BackupID, KeyID, PathID, RemotePath, looks_like_version
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import Entry, Item, ListRow, Version
from bitdust.storage.jobs import DOWNLOAD, UPLOAD, Job
from bitdust.storage.service import Storage
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.ranges import RangeReader
from bitdust.storage.transfer.restore import TreeWriter
from bitdust.storage.transfer.walk import FOLDER, stat_root
from bitdust.storage.views import item_view

MAX_LISTED: Final = 100_000
"""Rows of one list; a longer one is cut, and says so."""
READ_SIZE: Final = 64 * 1024
MAX_READ: Final = 4 * 1024 * 1024
"""Bytes of one ``file_read``."""
READS_AT_ONCE: Final = 4
"""Ranges being fetched at the same time; further ones wait."""
HEALTH_OF: Final = 8
"""Versions whose fragments ``file_info`` counts."""

Target = RemotePath | PathID | BackupID


@dataclass(frozen=True, slots=True)
class Found:
    """An item of the catalog that a caller named.

    Args:
        key_id: of the item.
        ref: the key's row.
        item: the item.
        path: by names.
        path_id: by numbers.
        label: a version, if one was named.
    """

    key_id: KeyID
    ref: int
    item: Item
    path: str
    path_id: PathID
    label: str = ""

    @property
    def remote(self) -> RemotePath:
        """Its remote path."""
        return RemotePath(self.key_id, self.path)

    def view(self) -> dict[str, Any]:
        """The part that many answers share."""
        return {
            "remote_path": str(self.remote),
            "global_id": f"{self.key_id}:{self.path_id}",
            "path_id": str(self.path_id),
            "path": self.path,
            "key_id": str(self.key_id),
            "customer": str(self.key_id.owner),
        }


class Files:
    """The operations on files of one person.

    Args:
        storage: the service that does the work.
        restore_folder: where downloads go when no destination is named.
    """

    def __init__(self, storage: Storage, restore_folder: Callable[[], Path]) -> None:
        self._storage = storage
        self._restore_folder = restore_folder
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    # --- finding -----------------------------------------------------------------------------

    def _find(self, target: Target) -> Found | None:
        """The item that ``target`` names; asks the catalog."""
        catalog = self._storage.parts.catalog
        key_id = self._storage.master if isinstance(target, PathID) else target.key_id
        ref = catalog.find_key(key_id)
        if ref is None:
            return None
        label = ""
        item: Item | None
        if isinstance(target, PathID):
            item = catalog.lookup(ref, target)
        elif isinstance(target, BackupID):
            label = target.version
            item = catalog.lookup(ref, target.path_id)
        else:
            item = catalog.lookup(ref, target.path)
            numbers, _, last = target.path.rpartition("/")
            if item is None and PathID.looks_like(target.path):
                item = catalog.lookup(ref, PathID.parse(target.path))
            elif item is None and looks_like_version(last) and PathID.looks_like(numbers):
                label = last
                item = catalog.lookup(ref, PathID.parse(numbers))
        if item is None:
            return None
        path, path_id = catalog.path_of(item.id)
        return Found(key_id, ref, item, path, path_id, label)

    async def _require(self, target: Target) -> Found:
        found = await in_pool(self._storage.pool, self._find, target)
        if found is None:
            raise NotInCatalog(f"{target} is not in the catalog")
        return found

    # --- looking -----------------------------------------------------------------------------

    async def file_exists(self, remote_path: Target) -> dict[str, Any]:
        """Whether an item is in the catalog."""
        found = await in_pool(self._storage.pool, self._find, remote_path)
        return {"exist": found is not None, "path_id": str(found.path_id) if found else None}

    async def file_info(
        self, remote_path: Target, include_uploads: bool = True, include_downloads: bool = True
    ) -> dict[str, Any]:
        """One item with the health of its newest versions."""
        found = await self._require(remote_path)
        catalog = self._storage.parts.catalog

        def describe() -> dict[str, Any]:
            if found.label:
                self._version(found)  # a version that is named must be there
            row = catalog.list_item(found.item.id)
            health = [
                catalog.health(found.item.id, version.version.seq)
                for version in row.versions[:HEALTH_OF]
            ]
            view = item_view(found.key_id, row, health=health)
            view["revision"] = catalog.revision
            return view

        view = await in_pool(self._storage.pool, describe)
        self._add_jobs(view, include_uploads, include_downloads)
        return view

    async def files_list(
        self,
        remote_path: Target | None = None,
        key_id: KeyID | None = None,
        recursive: bool = True,
        all_customers: bool = False,
        include_uploads: bool = False,
        include_downloads: bool = False,
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """Items of a folder or of a key.

        Returns:
            The items, the revision of the catalog, and whether the list was cut.
        """
        del all_customers  # catalogs of others come with shares; one's own keys are always listed
        catalog = self._storage.parts.catalog
        start = await self._require(remote_path) if remote_path is not None else None

        def gather() -> tuple[list[dict[str, Any]], int, bool]:
            rows: list[dict[str, Any]] = []
            if start is not None:
                roots = [(start.key_id, start.item.id)]
            else:
                roots = [
                    (KeyID.parse(text), catalog.root(ref).id)
                    for text, ref in catalog.keys().items()
                    if key_id is None or text == str(key_id)
                ]
            for key, root in roots:
                found = catalog.list_tree(root) if recursive else iter(catalog.list_folder(root))
                for row in found:
                    if len(rows) >= MAX_LISTED:
                        return rows, catalog.revision, True
                    rows.append(self._row(key, row))
            return rows, catalog.revision, False

        rows, revision, cut = await in_pool(self._storage.pool, gather)
        if include_uploads or include_downloads:
            for view in rows:
                self._add_jobs(view, include_uploads, include_downloads)
        return rows, revision, cut

    @staticmethod
    def _row(key_id: KeyID, row: ListRow) -> dict[str, Any]:
        return item_view(key_id, row)

    def _add_jobs(self, view: dict[str, Any], uploads: bool, downloads: bool) -> None:
        def about(job: Job) -> bool:
            return bool(str(job.remote) == view["remote_path"])

        if uploads:
            view["uploads"] = {
                "running": [j.upload_view() for j in self._storage.uploads.running() if about(j)],
                "pending": [j.pending_view() for j in self._storage.uploads.pending() if about(j)],
            }
        if downloads:
            view["downloads"] = [job.download_view() for job in self._storage.downloads.find(about)]

    # --- changing the catalog ----------------------------------------------------------------

    async def file_create(
        self,
        remote_path: RemotePath,
        as_folder: bool = False,
        exist_ok: bool = False,
        force_path_id: str | None = None,
    ) -> dict[str, Any]:
        """Enter an item without data."""
        if not remote_path.path:
            raise InvalidInput("the remote path names no file or folder")
        wanted = None if force_path_id is None else PathID.parse(force_path_id)
        owner = await self._storage.owner_key(remote_path.key_id)
        catalog = self._storage.parts.catalog
        now = self._storage.clock.now()

        def create() -> tuple[Item, bool, PathID]:
            with catalog.transaction() as tx:
                item, made = tx.ensure_path(
                    owner.ref, remote_path.path, is_folder=as_folder, created=now
                )
                path_id = tx.path_of(item.id)[1]
                # an error leaves the transaction, so that nothing is made
                if not made and not exist_ok:
                    raise AlreadyExists(
                        f"{remote_path} is in the catalog already",
                        hint="upload into it, or pass exist_ok",
                    )
                if wanted is not None and path_id != wanted:
                    raise AlreadyExists(
                        f"{remote_path} cannot get the item id {wanted}, but {path_id}"
                    )
                return item, made, path_id

        item, made, path_id = await in_pool(self._storage.pool, create)
        found = Found(remote_path.key_id, owner.ref, item, remote_path.path, path_id)
        self._storage.parts.care.wake()
        return {**found.view(), "created": made, "type": "dir" if item.is_folder else "file"}

    async def file_delete(self, remote_path: Target) -> dict[str, Any]:
        """Take an item, or one version of it, out of the catalog and off the suppliers."""
        found = await self._require(remote_path)
        if not found.path and not found.label:
            raise InvalidInput(
                "the whole catalog of a key is not deleted at once",
                hint="delete what is in it, or erase the key",
            )
        catalog = self._storage.parts.catalog

        def delete() -> None:
            with catalog.transaction() as tx:
                if found.label:
                    tx.delete_version(tx.find_version(found.item.id, found.label).seq)
                else:
                    tx.delete_item(found.item.id)

        await in_pool(self._storage.pool, delete)
        await self._storage.parts.sweeper.run()
        self._storage.parts.care.wake()
        view = found.view()
        if found.label:
            view["version"] = found.label
        return view

    async def files_sync(self) -> dict[str, Any]:
        """Send what waits and repair what can be repaired, now."""
        return dict(await self._storage.parts.care.look())

    # --- uploads -----------------------------------------------------------------------------

    async def file_upload_start(
        self,
        local_path: str,
        remote_path: Target,
        wait_result: bool = False,
        open_share: bool = False,
    ) -> dict[str, Any]:
        """Upload a local file or folder as a new version."""
        del open_share  # matters for shares only
        storage = self._storage
        local = _normal(local_path)
        kind = (await in_pool(storage.pool, stat_root, local)).kind
        found = await self._upload_target(remote_path, is_folder=kind == FOLDER)
        job = await storage.begin(UPLOAD, found.remote, str(local), found.item.id, {})
        if wait_result:
            return await self._result(job)
        return {
            **found.view(),
            "source_path": str(local),
            "version": job.version,
            "backup_id": f"{found.key_id}:{job.backup_id}",
            "job_id": job.id,
            "state": job.state,
        }

    async def _upload_target(self, target: Target, *, is_folder: bool) -> Found:
        """The item to upload into; a new remote path is entered."""
        storage = self._storage
        found = await in_pool(storage.pool, self._find, target)
        if found is None:
            if not isinstance(target, RemotePath):
                raise NotInCatalog(f"{target} is not in the catalog")
            if not target.path and not is_folder:
                raise InvalidInput(
                    "the remote path names no file", hint="add a name, such as docs/letter.txt"
                )
            owner = await storage.owner_key(target.key_id)
            catalog = storage.parts.catalog

            def enter() -> None:
                with catalog.transaction() as tx:
                    tx.ensure_path(
                        owner.ref, target.path, is_folder=is_folder, created=storage.clock.now()
                    )

            await in_pool(storage.pool, enter)
            found = await self._require(target)
        if found.label:
            raise InvalidInput("a version cannot be uploaded to", hint="leave the version out")
        catalog = storage.parts.catalog
        current = await in_pool(storage.pool, catalog.current, found.item.id)
        holds_folder = current.type == "d" if current is not None else not found.path
        if holds_folder and not is_folder:
            raise InvalidInput(
                f"{found.remote} is a folder, and the local path is a file",
                hint=f"name the file in it: {found.remote.path or 'NAME'}/…",
            )
        return found

    async def files_uploads(
        self, include_running: bool = True, include_pending: bool = True
    ) -> dict[str, Any]:
        """Uploads that run or wait."""
        queue = self._storage.uploads
        return {
            "running": [job.upload_view() for job in queue.running()] if include_running else [],
            "pending": [job.pending_view() for job in queue.pending()] if include_pending else [],
        }

    async def file_upload_stop(self, remote_path: Target) -> list[str]:
        """Stop uploads of an item; returns their version ids."""
        found = await self._require(remote_path)
        jobs = self._storage.uploads.find(lambda job: job.options.get("item") == found.item.id)
        if not jobs:
            raise NotInCatalog(
                f"no upload of {found.remote} is running or waiting",
                hint="see `bitdust file uploads`",
            )
        for job in jobs:
            job.stopping.set()
        return [f"{found.key_id}:{job.backup_id}" for job in jobs]

    # --- downloads ---------------------------------------------------------------------------

    async def file_download_start(
        self,
        remote_path: Target,
        destination_path: str | None = None,
        wait_result: bool = False,
        open_share: bool = True,
    ) -> dict[str, Any]:
        """Download a version of an item into a folder."""
        del open_share
        storage = self._storage
        found = await self._require(remote_path)
        version = await in_pool(storage.pool, self._version, found)
        destination = _normal(destination_path or str(self._restore_folder()))
        # tells at once, and not in a job that nobody may be looking at
        await in_pool(storage.pool, lambda: TreeWriter(destination).close())
        same = storage.downloads.find(
            lambda job: (
                job.options.get("item") == found.item.id
                and job.version == version.label
                and job.local == str(destination)
            )
        )
        if same:
            raise AlreadyExists(
                f"this download of {found.remote} is going on already",
                hint="see `bitdust file downloads`",
            )
        options = {"label": version.label, "seq": version.seq}
        job = await storage.begin(DOWNLOAD, found.remote, str(destination), found.item.id, options)
        if wait_result:
            return await self._result(job)
        return {
            "downloaded": False,
            **found.view(),
            "backup_id": f"{found.key_id}:{job.backup_id}",
            "local_path": str(destination / found.remote.name),
            "version": version.label,
            "job_id": job.id,
            "state": job.state,
        }

    def _version(self, found: Found) -> Version:
        catalog = self._storage.parts.catalog
        if found.label:
            version = catalog.find_version(found.item.id, found.label)
            if catalog.entry_at(found.item.id, version.seq) is None:
                raise NotInCatalog(f"{found.remote} was not there in version {found.label}")
            return version
        newest = catalog.versions_of(found.item.id, 1)
        if not newest:
            raise NotInCatalog(
                f"nothing was uploaded to {found.remote} yet",
                hint="upload it first: `bitdust file upload LOCAL REMOTE`",
            )
        return newest[0].version

    async def file_read(
        self, remote_path: Target, offset: int = 0, size: int = READ_SIZE
    ) -> dict[str, Any]:
        """A range of a stored file; nothing else of it is fetched."""
        check_range(offset, size)
        storage = self._storage
        found = await self._require(remote_path)
        parts = storage.parts

        def look() -> tuple[Version, Entry]:
            version = self._version(found)
            return version, file_at(parts.catalog, found.item.id, version.seq, found.remote)

        version, entry = await in_pool(storage.pool, look)
        owner = await storage.owner_key(found.key_id)
        reader = RangeReader(parts.catalog, parts.blocks.stored, parts.fetcher, storage.pool)
        async with self._reads:
            part = await read_range(reader, owner, entry, offset, size, storage.pool)
        return {**found.view(), "version": version.label, **part}

    async def files_downloads(self) -> list[dict[str, Any]]:
        """Downloads that run or wait."""
        return [job.download_view() for job in self._storage.downloads.find(lambda _: True)]

    async def file_download_stop(self, remote_path: Target) -> list[dict[str, Any]]:
        """Stop downloads of an item."""
        found = await self._require(remote_path)
        jobs = self._storage.downloads.find(
            lambda job: (
                job.options.get("item") == found.item.id
                and (not found.label or job.version == found.label)
            )
        )
        if not jobs:
            raise NotInCatalog(
                f"no download of {found.remote} is running",
                hint="see `bitdust file downloads`",
            )
        for job in jobs:
            job.stopping.set()
        return [{"backup_id": f"{found.key_id}:{job.backup_id}", "aborted": True} for job in jobs]

    async def _result(self, job: Job) -> dict[str, Any]:
        await job.finished.wait()
        if job.error is not None:
            raise job.error
        if job.state != "done":
            raise Stopped(f"the {job.kind} of {job.remote} did not end")
        return job.result

    # --- the desktop -------------------------------------------------------------------------

    async def file_explore(self, local_path: str) -> dict[str, Any]:
        """Show a local path in the desktop's file manager."""
        path = Path(local_path)

        def show() -> None:
            stat_root(path)
            opener = shutil.which("xdg-open") or shutil.which("open")
            if opener is None or not (
                os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
            ):
                raise LocalFileError(
                    "there is no desktop to show the file on",
                    hint="run the daemon from within a desktop session",
                )
            folder = path if path.is_dir() else path.parent
            try:
                subprocess.run([opener, str(folder)], check=True, timeout=10, capture_output=True)
            except (OSError, subprocess.SubprocessError) as exc:
                raise BitdustError(f"the file manager could not be opened: {exc}") from exc

        await in_pool(self._storage.pool, show)
        return {"local_path": str(path)}


def _normal(path: str) -> Path:
    """The path without ``..`` and double slashes; links in it are left as they are."""
    return Path(os.path.normpath(path))


def check_range(offset: int, size: int) -> None:
    """Refuse a range that no file has, or that is too long for one answer.

    Raises:
        InvalidInput: it is.
    """
    if offset < 0 or size < 0:
        raise InvalidInput("offset and size must not be negative")
    if size > MAX_READ:
        raise InvalidInput(
            f"at most {MAX_READ} bytes are read at once",
            hint="read the rest with further calls, or download the file",
        )


def file_at(catalog: Catalog, item: int, seq: int, remote: RemotePath) -> Entry:
    """A file as it was in a version; asks the catalog.

    Raises:
        InvalidInput: it is something else.
    """
    entry = catalog.entry_at(item, seq)
    if entry is None or entry.type != "f":
        raise InvalidInput(f"{remote} is no file", hint="download it: `bitdust file download`")
    return entry


async def read_range(
    reader: RangeReader, owner: OwnerKey, entry: Entry, offset: int, size: int, pool: Executor
) -> dict[str, Any]:
    """What ``file_read`` answers about a range, whatever catalog the file is in."""
    count = max(0, min(size, entry.size - offset))
    data = await reader.read(owner, entry.content, offset, count) if count else b""
    return {
        "offset": offset,
        "size": count,
        "total": entry.size,
        "data": await in_pool(pool, lambda: b64encode(data).decode("ascii")),
        "completed": offset + count >= entry.size,
    }
