"""Files by the names of the first generation, which knew them by their local path.

The catalog of that time mirrored the local disk: ``/home/alice/cat.png`` is the item
``home/alice/cat.png`` under the master key here, and the other way round.

Source: BitDust API, first generation.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bitdust.api import files
from bitdust.api.blocking import in_pool
from bitdust.api.dispatch import context_of
from bitdust.api.envelope import Answer
from bitdust.api.parameters import LocalPath, Target
from bitdust.api.parameters import kind_of as parameter_kind
from bitdust.api.registry import operation
from bitdust.errors import InvalidInput, LocalFileError, NotInCatalog
from bitdust.ids import BackupID, RemotePath

if TYPE_CHECKING:
    from bitdust.api.node import Node

BARE = frozenset({"backups_list", "backups_id_list"})
"""Methods that answer with a list and no envelope."""
BLOCK = 16 * 1024 * 1024
"""Bytes of the largest block; what is smaller shares one with others."""
MAX_TREE = 10_000
"""Entries that ``backup_tree_add`` enters with one call."""


def mirrored(node: Node, local: str) -> RemotePath:
    """The item that stands for a local path.

    Raises:
        NoIdentity: there is no identity yet.
        InvalidInput: the root of the disk.
    """
    node.require_storage()
    owner = node.global_id
    assert owner is not None, "with storage there is an identity"
    names = [name for name in PurePosixPath(local).parts if name != "/"]
    if not names or ".." in names:
        raise InvalidInput(f"{local[:120]!r} cannot stand in the catalog")
    return RemotePath.parse("/".join(names), owner.key())


async def rows_of(node: Node, within: Target | None = None, *, deep: bool = True) -> list[Any]:
    """Items of the catalog as ``files_list`` gives them."""
    rows, _, _ = await node.require_storage().files_list(within, None, deep, False, False, False)
    return rows


def kind_of(row: dict[str, Any]) -> str:
    """``file``, ``dir`` for a folder that was stored, ``parent`` for one on the way to others."""
    if row["type"] == "file":
        return "file"
    return "dir" if row["versions"] else "parent"


def size_text(size: int) -> str:
    """Bytes as text; empty when they are not known."""
    from bitdust.supply import size_text as text

    return text(size) if size >= 0 else ""


def _versions(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "version": version["label"],
            "blocks": max(1, -(-version["size"] // BLOCK)),
            "size": size_text(version["size"]),
        }
        for version in row["versions"]
    ]


@operation()
async def backups_update(node: Node) -> Answer:
    """Exchange the catalog with the suppliers."""
    await files.files_sync.function(node)
    return Answer("the main loop has been restarted")


@operation()
async def backups_list(node: Node) -> list[dict[str, Any]]:
    """List files and folders of the catalog."""
    return [
        {
            "id": row["path_id"],
            "path": "/" + row["path"],
            "size": row["size"],
            "type": kind_of(row),
            "versions": _versions(row),
        }
        for row in await rows_of(node)
    ]


@operation()
async def backups_id_list(node: Node) -> list[dict[str, Any]]:
    """List what is stored at suppliers, version by version."""
    return [
        {
            "backupid": f"{row['path_id']}/{version['label']}",
            "path": "/" + row["path"],
            "size": size_text(version["size"]),
        }
        for row in await rows_of(node)
        for version in row["versions"]
    ]


# --- upload ---------------------------------------------------------------------------------------


async def start(node: Node, local: str, target: Target) -> Answer:
    """Upload a local path, and say it in the words of that time."""
    found = await files.file_upload_start.function(node, LocalPath(local), target)
    return Answer(f"uploading {found['path_id']} started, local path is: {local}")


@operation(aliases={"path_id": "pathID"})
async def backup_start_id(node: Node, pathID: Target) -> Answer:
    """Upload an item of the catalog from the local path it stands for."""
    item = await node.require_storage().file_info(pathID, False, False)
    return await start(node, "/" + item["path"], pathID)


@operation()
async def backup_start_path(node: Node, path: LocalPath) -> Answer:
    """Upload a local file or folder, entering it into the catalog first."""
    return await start(node, path.rstrip("/") or path, mirrored(node, path))


async def _enter(node: Node, local: str, *, as_folder: bool) -> dict[str, Any]:
    found = await files.file_create.function(
        node, mirrored(node, local), as_folder=as_folder, exist_ok=True
    )
    return dict(found)


async def _kind_on_disk(node: Node, local: str) -> str:
    def look() -> str:
        path = Path(local)
        if path.is_dir():
            return "folder"
        return "file" if path.is_file() else "nothing"

    return await in_pool(node, look)


async def _require(node: Node, local: str, kind: str) -> None:
    found = await _kind_on_disk(node, local)
    if found != kind:
        raise LocalFileError(f"there is no {kind} {local!r} on this machine")


@operation()
async def backup_dir_add(node: Node, dirpath: LocalPath) -> Answer:
    """Enter a local folder into the catalog without uploading it."""
    await _require(node, dirpath, "folder")
    found = await _enter(node, dirpath, as_folder=True)
    return Answer(f"new folder was added: {found['path_id']}, local path is {dirpath}")


@operation()
async def backup_file_add(node: Node, filepath: LocalPath) -> Answer:
    """Enter a local file into the catalog without uploading it."""
    await _require(node, filepath, "file")
    found = await _enter(node, filepath, as_folder=False)
    return Answer(f"new file was added: {found['path_id']}, local path is {filepath}")


@operation()
async def backup_tree_add(node: Node, dirpath: LocalPath) -> Answer:
    """Enter a local folder and everything below it into the catalog without uploading it."""
    await _require(node, dirpath, "folder")
    found = await _enter(node, dirpath, as_folder=True)
    count = 1
    for local, is_folder in await in_pool(node, _walk, Path(dirpath)):
        await _enter(node, local, as_folder=is_folder)
        count += 1
    return Answer(
        f"{count} items were added to the catalog, parent path is {found['path_id']}, "
        f"local path is {dirpath}"
    )


def _walk(top: Path) -> list[tuple[str, bool]]:
    entries: list[tuple[str, bool]] = []
    for folder, folders, names in os.walk(top):
        for name in sorted(folders) + sorted(names):
            path = os.path.join(folder, name)
            # a link is one item, whatever it leads to
            entries.append((path, name in folders and not os.path.islink(path)))
        if len(entries) > MAX_TREE:
            raise InvalidInput(
                f"there are more than {MAX_TREE} files and folders in {str(top)!r}",
                hint="add it with backup_dir_add; an upload takes all that is in it",
            )
    return entries


# --- delete ---------------------------------------------------------------------------------------


@operation(aliases={"backup_id": "backupID"})
async def backup_delete_local(node: Node, backupID: Target) -> Answer:
    """Remove local copies of a version; this node keeps none beside the files themselves."""
    item = await node.require_storage().file_info(backupID, False, False)
    version = backupID.version if isinstance(backupID, BackupID) else ""
    if version and all(known["label"] != version for known in item["versions"]):
        raise NotInCatalog(f"{backupID} is not in the catalog")
    shown = "/".join(filter(None, (item["path_id"], version)))
    return Answer(f"no local copies of {shown} are kept, nothing had to be deleted")


@operation()
async def backup_delete_id(node: Node, pathID_or_backupID: Target) -> Answer:
    """Remove an item or a version from the catalog and the suppliers."""
    found = await files.file_delete.function(node, pathID_or_backupID)
    shown = "/".join(filter(None, (found["path_id"], found.get("version", ""))))
    return Answer(f"item {shown} was deleted from remote peers")


@operation(aliases={"path": "localPath"})
async def backup_delete_path(node: Node, localPath: LocalPath) -> Answer:
    """Remove what stands for a local path from the catalog and the suppliers."""
    found = await files.file_delete.function(node, mirrored(node, localPath))
    return Answer(f"item {found['path_id']} was deleted from remote peers")


# --- download -------------------------------------------------------------------------------------


@operation()
async def restore_single(
    node: Node,
    pathID_or_backupID_or_localPath: str,
    destinationPath: LocalPath | None = None,
) -> Answer:
    """Download an item or a version."""
    text = pathID_or_backupID_or_localPath
    target: Target
    if text.startswith("/"):
        target = mirrored(node, text)
    else:
        target = parameter_kind(Target).convert(text, context_of(node))
    found = await files.file_download_start.function(node, target, destination_path=destinationPath)
    path = found["backup_id"].rpartition(":")[2]
    where = destinationPath or found["local_path"]
    return Answer(f"downloading of version {path} has been started to {where}")
