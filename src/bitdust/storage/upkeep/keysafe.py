"""The owner's other keys, kept under the master key like any folder: at ``.keys`` in the catalog.

Whoever recovers with the master key gets them back, and with them what was stored under them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from bitdust.errors import BitdustError, NotInCatalog
from bitdust.ids import BackupID, PathID, RemotePath
from bitdust.pool import in_pool
from bitdust.storage.files import Files
from bitdust.storage.service import Storage

FOLDER_NAME = ".keys"
RETRY = 30.0
"""Seconds until a backup that could not be made is tried again."""

log = structlog.get_logger(component="keysafe")


class KeySafe:
    """Keeps the folder of keys at the suppliers.

    Args:
        storage: where it goes.
        files: the operations on it.
        folder: of the key files.
        temp: a folder in the same file system for what comes back.
        reload: called in the pool once key files came back.
    """

    def __init__(
        self,
        storage: Storage,
        files: Files,
        folder: Path,
        temp: Path,
        reload: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._files = files
        self._folder = folder
        self._temp = temp
        self._reload = reload
        self._remote = RemotePath(storage.master, FOLDER_NAME)
        self.on_restored: Callable[[], object] | None = None
        """Called in the loop once key files came back."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: first bring keys back that are stored and not here, then store changes."""
        self._task = asyncio.create_task(self._run(), name="key safe")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def changed(self) -> None:
        """A key was made, changed or erased."""
        self._changed.set()

    async def _run(self) -> None:
        await self._again(self._restore)
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._again(self._backup)

    async def _again(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something until it succeeds."""
        while True:
            try:
                await work()
            except BitdustError as exc:
                log.info("keys put off", reason=exc.message)
                await self._storage.clock.sleep(RETRY)
            else:
                return

    async def _backup(self) -> None:
        await self._files.file_upload_start(str(self._folder), self._remote, wait_result=True)
        # an erased key must not live on in older versions
        info = await self._files.file_info(self._remote, False, False)
        for version in info["versions"][1:]:
            await self._files.file_delete(
                BackupID(
                    self._storage.master, PathID.parse(str(info["path_id"])), str(version["label"])
                )
            )

    async def _restore(self) -> None:
        await self._storage.wait_recovered(None)
        try:
            missing = await self._missing()
        except NotInCatalog:
            return
        if not missing:
            return
        await in_pool(self._storage.pool, self._clear)
        await self._files.file_download_start(self._remote, str(self._temp), wait_result=True)
        await in_pool(self._storage.pool, self._take, missing)
        if self.on_restored is not None:
            self.on_restored()
        log.info("keys brought back", count=len(missing))
        self._storage.events.publish("keys-recovered", count=len(missing))

    async def _missing(self) -> list[str]:
        rows, _, _ = await self._files.files_list(self._remote)
        names = [str(row["name"]) for row in rows if row["present"] and row["type"] == "file"]
        return [name for name in names if not (self._folder / name).exists()]

    def _clear(self) -> None:
        shutil.rmtree(self._temp, ignore_errors=True)

    def _take(self, names: list[str]) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            (self._temp / FOLDER_NAME / name).replace(self._folder / name)
        self._clear()
        self._reload()
