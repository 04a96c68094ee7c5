"""Files and folders of the catalog: create, upload, download, delete, watch the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitdust.api.envelope import Answer
from bitdust.api.parameters import LocalPath, Target
from bitdust.api.registry import DELETE, GET, POST, operation
from bitdust.ids import KeyID, RemotePath

if TYPE_CHECKING:
    from bitdust.api.node import Node

_FIAT = "master$alice@server-a.com:cars/fiat.jpeg"


@operation(GET("/file/sync/v1"), cli="file sync", ignored=("force",))
async def files_sync(node: Node) -> Any:
    """Exchange the catalog with the suppliers now.

    The node does this by itself; the call is provided for tests and development.

    Returns:
        What was sent and received.

    Raises:
        NoIdentity: there is no identity yet.
        TooFewSuppliers: no supplier can be reached.

    Source: BitDust API, third generation, files_sync.
    """
    return await node.require_storage().files_sync()


@operation(
    GET("/file/list/v1"),
    GET(
        "/file/list/all/v1",
        all_customers=True,
        include_uploads=True,
        include_downloads=True,
    ),
    GET("/f/l"),
    GET("/f/l/v1"),
    cli="file list",
    positional=("remote_path",),
    aliases={"uploads": "include_uploads", "downloads": "include_downloads"},
)
async def files_list(
    node: Node,
    *,
    remote_path: Target | None = None,
    key_id: KeyID | None = None,
    recursive: bool = True,
    all_customers: bool = False,
    include_uploads: bool = False,
    include_downloads: bool = False,
) -> Answer:
    """List files and folders of the catalog.

    Args:
        remote_path: only what is in this folder.
        key_id: only what belongs to this key.
        recursive: with everything in sub-folders.
        all_customers: with the catalogs of others that are shared with you.
        include_uploads: with the running and waiting uploads of each item.
        include_downloads: with the running downloads of each item.

    Returns:
        A list of items: `remote_path`, `path_id`, `name`, `path`, `type` (`file` or `dir`), `size`,
        `latest`, `versions` and more. Beside it stands `revision`, the state of the catalog.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such folder.

    Source: BitDust, second generation, file/list.
    """
    rows, revision, cut = await node.require_storage().files_list(
        remote_path, key_id, recursive, all_customers, include_uploads, include_downloads
    )
    message = f"only the first {len(rows)} items are shown; name a folder" if cut else ""
    return Answer(rows, message=message, extra={"revision": revision})


@operation(GET("/file/exists/v1"), cli="file exists")
async def file_exists(node: Node, remote_path: Target) -> Any:
    """Say whether a file or folder is in the catalog.

    Args:
        remote_path: `key$user@host:path`, or an item id such as `0/0/1`; a path without a key is
            meant under your master key.

    Returns:
        `exist` and `path_id`.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, file_exists.
    """
    return await node.require_storage().file_exists(remote_path)


@operation(GET("/file/info/v1"), cli="file info")
async def file_info(
    node: Node,
    remote_path: Target,
    *,
    include_uploads: bool = True,
    include_downloads: bool = True,
) -> Any:
    """Describe one file or folder of the catalog.

    Args:
        remote_path: `key$user@host:path`, or an item id such as `0/0/1`.
        include_uploads: with its running and waiting uploads.
        include_downloads: with its running downloads.

    Returns:
        The item as `files_list` shows it, with its `versions`, `uploads` and `downloads`.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item.

    Source: BitDust API, third generation, file_info.
    """
    return await node.require_storage().file_info(remote_path, include_uploads, include_downloads)


@operation(POST("/file/create/v1"), cli="file create")
async def file_create(
    node: Node,
    remote_path: RemotePath,
    *,
    as_folder: bool = False,
    exist_ok: bool = False,
    force_path_id: str | None = None,
) -> Any:
    """Create an item in the catalog, without any data yet.

    Args:
        remote_path: `key$user@host:path`; missing folders on the way are created.
        as_folder: a folder and not a file.
        exist_ok: no error when it is there already.
        force_path_id: the item id it must get, such as `0/0/1`.

    Returns:
        `path_id`, `key_id`, `path`, `remote_path`, `global_id`, `customer`, `created` and `type`.

    Raises:
        NoIdentity: there is no identity yet.
        AlreadyExists: it is there already, or the item id is taken.

    Source: BitDust API, third generation, file_create.
    """
    return await node.require_storage().file_create(remote_path, as_folder, exist_ok, force_path_id)


@operation(POST("/file/delete/v1"), DELETE("/file/delete/v1"), cli="file delete")
async def file_delete(node: Node, remote_path: Target) -> Any:
    """Remove a file, a folder with everything in it, or one version, from catalog and suppliers.

    Args:
        remote_path: `key$user@host:path`, an item id, or one version such as
            `master$alice@server-a.com:0/1/F20160424013912PM`.

    Returns:
        `path_id`, `path`, `remote_path`, `global_id` and `customer`.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item.

    Source: BitDust API, third generation, file_delete.
    """
    return await node.require_storage().file_delete(remote_path)


@operation(
    GET("/file/upload/v1"),
    cli="file uploads",
    aliases={"running": "include_running", "pending": "include_pending"},
)
async def files_uploads(
    node: Node, *, include_running: bool = True, include_pending: bool = True
) -> Any:
    """List running and waiting uploads.

    Args:
        include_running: with those that run.
        include_pending: with those that wait for their turn.

    Returns:
        `running` and `pending`, each a list; a running one has `version`, `key_id`, `source_path`,
        `bytes_processed`, `total_size`, `progress`, `block_number`, `eccmap` and more.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, files_uploads.
    """
    return await node.require_storage().files_uploads(include_running, include_pending)


@operation(
    POST("/file/upload/start/v1"),
    cli="file upload",
    example={"local_path": "/tmp/fiat.jpeg", "remote_path": _FIAT},  # noqa: S108 - an example
)
async def file_upload_start(
    node: Node,
    local_path: LocalPath,
    remote_path: Target,
    *,
    wait_result: bool = False,
    open_share: bool = False,
) -> Any:
    """Upload a file or a folder as a new version.

    Args:
        local_path: the file or folder on this machine.
        remote_path: where it goes in the catalog.
        wait_result: answer only when it is stored at the suppliers, or failed.
        open_share: open the share the path belongs to first.

    Returns:
        `remote_path`, `key_id`, `source_path`, `path_id` and `version`.

    Raises:
        NoIdentity: there is no identity yet.
        LocalFileError: the local path is missing or unreadable.
        TooFewSuppliers: not enough suppliers are hired or reachable.
        QuotaExceeded: the space agreed with the suppliers is used up.

    Source: BitDust API, third generation, file_upload_start.
    """
    return await node.require_storage().file_upload_start(
        local_path, remote_path, wait_result, open_share
    )


@operation(POST("/file/upload/stop/v1"), cli="file upload-stop", example={"remote_path": _FIAT})
async def file_upload_stop(node: Node, remote_path: Target) -> Any:
    """Stop an upload that runs or waits.

    Args:
        remote_path: what is being uploaded.

    Returns:
        The ids of the versions that were stopped.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item.

    Source: BitDust API, third generation, file_upload_stop.
    """
    return await node.require_storage().file_upload_stop(remote_path)


@operation(GET("/file/read/v1"), example={"remote_path": _FIAT})
async def file_read(node: Node, remote_path: Target, *, offset: int = 0, size: int = 65536) -> Any:
    """Read a range of a stored file; only the pieces that hold it are fetched from the suppliers.

    Args:
        remote_path: `key$user@host:path`, an item id, or one version such as
            `master$alice@server-a.com:0/1/F20160424013912PM`; the newest version if none is named.
        offset: where the range begins, in bytes.
        size: bytes wanted, 4194304 at the most.

    Returns:
        `remote_path`, `path_id`, `version`, `offset`, `size` (what is there of the range), `total`
        (of the whole file), `data` in base64, and `completed`: whether the file ends there. On the
        command line, `bitdust file read` writes the bytes themselves, of the whole file if no size
        is given.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item or version.
        InvalidInput: it is a folder, or the range is none.
        DataUnavailable: too few fragments can be reached.

    Source: BitDust has no such method; what HTTP calls a range (RFC 9110, section 14).
    """
    return await node.require_storage().file_read(remote_path, offset, size)


@operation(GET("/file/download/v1"), cli="file downloads")
async def files_downloads(node: Node) -> Any:
    """List running downloads.

    Returns:
        A list with `backup_id`, `key_id`, `bytes_processed`, `total_size`, `progress`,
        `block_number`, `eccmap` and more.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, files_downloads.
    """
    return await node.require_storage().files_downloads()


@operation(
    POST("/file/download/start/v1"),
    cli="file download",
    positional=("destination_path",),
    aliases={"local_path": "destination_path", "destination_folder": "destination_path"},
    example={
        "remote_path": "master$alice@server-a.com:movies/back_to_the_future.mp4",
        "destination_path": "/tmp/films/",  # noqa: S108 - an example
    },
)
async def file_download_start(
    node: Node,
    remote_path: Target,
    *,
    destination_path: LocalPath | None = None,
    wait_result: bool = False,
    open_share: bool = True,
) -> Any:
    """Download a file or folder from the suppliers; what is at the destination is overwritten.

    Args:
        remote_path: `key$user@host:path`, an item id, or one version such as
            `master$alice@server-a.com:0/1/F20160424013912PM`; the newest version if none is named.
        destination_path: folder to put it into; the setting `paths/restore`, else your home folder,
            if not given.
        wait_result: answer only when it is complete and checked, or failed.
        open_share: open the share the path belongs to first.

    Returns:
        `downloaded`, `key_id`, `backup_id`, `local_path`, `path_id` and `remote_path`.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item or version.
        LocalFileError: the destination cannot be written.
        DataUnavailable: too few fragments can be reached.

    Source: BitDust API, third generation, file_download_start.
    """
    return await node.require_storage().file_download_start(
        remote_path, destination_path, wait_result, open_share
    )


@operation(POST("/file/download/stop/v1"), cli="file download-stop", example={"remote_path": _FIAT})
async def file_download_stop(node: Node, remote_path: Target) -> Any:
    """Stop a running download.

    Args:
        remote_path: what is being downloaded.

    Returns:
        A list of `backup_id` and `aborted`.

    Raises:
        NoIdentity: there is no identity yet.
        NotInCatalog: there is no such item.

    Source: BitDust API, third generation, file_download_stop.
    """
    return await node.require_storage().file_download_stop(remote_path)


@operation(
    GET("/file/explore/v1"),
    cli="file explore",
    example={"local_path": "/tmp/movies/back_to_the_future.mp4"},  # noqa: S108 - an example
)
async def file_explore(node: Node, local_path: LocalPath) -> Any:
    """Show a local file in the file manager of the desktop the node runs on.

    Args:
        local_path: the file or folder on this machine.

    Raises:
        LocalFileError: there is no such file, or no desktop.

    Source: BitDust API, third generation, file_explore.
    """
    return await node.require_storage().file_explore(local_path)
