"""One door to all files: what is named below a share's key goes to the share, the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitdust.ids import BackupID, KeyID, PathID, RemotePath
from bitdust.sharing.share_files import ShareFiles, is_share
from bitdust.sharing.shares import Shares
from bitdust.storage import READ_SIZE, Files, Storage

Target = RemotePath | PathID | BackupID


class RoutedFiles(Files):
    """The operations on files, one's own and those in shares.

    Args:
        storage: of one's own files.
        restore_folder: where downloads go when no destination is named.
        shares: the shares.
    """

    def __init__(
        self, storage: Storage, restore_folder: Callable[[], Path], shares: Shares
    ) -> None:
        super().__init__(storage, restore_folder)
        self._shares = shares

    async def _share(self, key_id: KeyID | None, *, open_share: bool = False) -> ShareFiles | None:
        if key_id is None or not is_share(key_id):
            return None
        return await self._shares.files(key_id, open_share=open_share)

    async def file_exists(self, remote_path: Target) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_exists(remote_path)
        return await super().file_exists(remote_path)

    async def file_info(
        self, remote_path: Target, include_uploads: bool = True, include_downloads: bool = True
    ) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_info(remote_path, include_uploads, include_downloads)
        return await super().file_info(remote_path, include_uploads, include_downloads)

    async def files_list(
        self,
        remote_path: Target | None = None,
        key_id: KeyID | None = None,
        recursive: bool = True,
        all_customers: bool = False,
        include_uploads: bool = False,
        include_downloads: bool = False,
    ) -> tuple[list[dict[str, Any]], int, bool]:
        wanted = key_id
        if remote_path is not None and not isinstance(remote_path, PathID):
            wanted = remote_path.key_id
            target: RemotePath | BackupID | None = remote_path
        else:
            target = None
        share = await self._share(wanted)
        if share is not None:
            return await share.files_list(target, recursive, include_uploads, include_downloads)
        rows, revision, cut = await super().files_list(
            remote_path, key_id, recursive, all_customers, include_uploads, include_downloads
        )
        if all_customers and remote_path is None and key_id is None:
            for other in self._shares.opened():
                if not other.space.connected:
                    continue
                more, grown, some = await other.files_list(
                    None, recursive, include_uploads, include_downloads
                )
                rows, revision, cut = [*rows, *more], revision + grown, cut or some
        return rows, revision, cut

    async def file_create(
        self,
        remote_path: RemotePath,
        as_folder: bool = False,
        exist_ok: bool = False,
        force_path_id: str | None = None,
    ) -> dict[str, Any]:
        share = await self._share(remote_path.key_id)
        if share is not None:
            return await share.file_create(remote_path, as_folder, exist_ok, force_path_id)
        return await super().file_create(remote_path, as_folder, exist_ok, force_path_id)

    async def file_delete(self, remote_path: Target) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_delete(remote_path)
        return await super().file_delete(remote_path)

    async def file_upload_start(
        self,
        local_path: str,
        remote_path: Target,
        wait_result: bool = False,
        open_share: bool = False,
    ) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id, open_share=open_share)
            if share is not None:
                return await share.file_upload_start(local_path, remote_path, wait_result)
        return await super().file_upload_start(local_path, remote_path, wait_result, open_share)

    async def files_uploads(
        self, include_running: bool = True, include_pending: bool = True
    ) -> dict[str, Any]:
        shown = await super().files_uploads(include_running, include_pending)
        for share in self._shares.opened():
            queue = share.uploads()
            if include_running:
                shown["running"] += [job.upload_view() for job in queue.running()]
            if include_pending:
                shown["pending"] += [job.pending_view() for job in queue.pending()]
        return shown

    async def file_upload_stop(self, remote_path: Target) -> list[str]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_upload_stop(remote_path)
        return await super().file_upload_stop(remote_path)

    async def file_download_start(
        self,
        remote_path: Target,
        destination_path: str | None = None,
        wait_result: bool = False,
        open_share: bool = True,
    ) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id, open_share=open_share)
            if share is not None:
                return await share.file_download_start(remote_path, destination_path, wait_result)
        return await super().file_download_start(
            remote_path, destination_path, wait_result, open_share
        )

    async def file_read(
        self, remote_path: Target, offset: int = 0, size: int = READ_SIZE
    ) -> dict[str, Any]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_read(remote_path, offset, size)
        return await super().file_read(remote_path, offset, size)

    async def files_downloads(self) -> list[dict[str, Any]]:
        shown = await super().files_downloads()
        for share in self._shares.opened():
            shown += [job.download_view() for job in share.downloads.find(lambda _: True)]
        return shown

    async def file_download_stop(self, remote_path: Target) -> list[dict[str, Any]]:
        if not isinstance(remote_path, PathID):
            share = await self._share(remote_path.key_id)
            if share is not None:
                return await share.file_download_stop(remote_path)
        return await super().file_download_stop(remote_path)

    async def files_sync(self) -> dict[str, Any]:
        done = await super().files_sync()
        for share in self._shares.opened():
            if share.space.storage.opened:
                await share.space.storage.parts.care.look()
                await share.space.look()
        return done
