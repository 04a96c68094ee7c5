"""The gate for file managers in a browser: ``filemanager`` with its modes, each also a method.

Answers have no envelope of ours, so that the body of the HTTP answer has its ``result`` where such
pages look for it; changes answer ``{"success": true, "error": null}``.

Source: BitDust API, first and second generation, filemanager.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitdust.api import files, network, older_backups
from bitdust.api.blocking import in_pool
from bitdust.api.dispatch import context_of
from bitdust.api.parameters import InvalidParameters, JsonValue, LocalPath, Target
from bitdust.api.registry import Operation, operation
from bitdust.errors import InvalidInput, LocalFileError
from bitdust.ids import BackupID

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_LOCAL = 5000
"""Entries of a local folder that are listed."""

_DONE: Mapping[str, Any] = {"success": True, "error": None}


@operation()
async def filemanager(node: Node, json_request: JsonValue) -> Any:
    """Call a mode: ``{"params": {"mode": "stats"}}``."""
    params = json_request.get("params") if isinstance(json_request, dict) else None
    if not isinstance(params, dict):
        raise InvalidParameters(
            ["json_request: must be an object with params"], hint='{"params": {"mode": "stats"}}'
        )
    mode = params.get("mode")
    called = _modes().get(mode) if isinstance(mode, str) else None
    if called is None:
        raise InvalidParameters(
            [f"json_request: filemanager method {ascii(mode)[:60]} not found"],
            hint="modes are " + ", ".join(_modes()),
        )
    rest = {name: value for name, value in params.items() if name != "mode"}
    arguments = called.bind(rest, context_of(node))
    return await called.function(node, **arguments)


def _modes() -> dict[str, Operation[..., Any]]:
    prefix = "filemanager_"
    return {
        entry.name.removeprefix(prefix): entry
        for entry in globals().values()
        if isinstance(entry, Operation) and entry.name.startswith(prefix)
    }


# --- the state of things --------------------------------------------------------------------------


@operation()
async def filemanager_config(node: Node) -> list[dict[str, str]]:
    """Where a page may begin to look for files."""
    del node
    return [{"key": "homepath", "value": str(Path.home())}]


@operation()
async def filemanager_stats(node: Node) -> dict[str, Any]:
    """Numbers about the catalog, the suppliers and the customers."""
    from bitdust.supply import size_text

    rows = await older_backups.rows_of(node)
    stored = sum(version["stored_size"] for row in rows for version in row["versions"][:1])
    suppliers = node.customer.suppliers_list() if node.customer is not None else []
    customers = node.supplier.customers_list() if node.supplier is not None else []
    used = node.customer.space_consumed()["used"] if node.customer is not None else stored
    donated = node.settings.get_int("services/supplier/donated-space")
    needed = node.settings.get_int("services/customer/needed-space")
    files_count = sum(1 for row in rows if row["type"] == "file")
    return {
        "suppliers": len(suppliers),
        "max_suppliers": node.settings.get_int("services/customer/suppliers-number"),
        "online_suppliers": sum(1 for row in suppliers if row.get("contact_state") == "CONNECTED"),
        "customers": len(customers),
        "bytes_donated": donated,
        "value_donated": size_text(donated),
        "bytes_needed": needed,
        "value_needed": size_text(needed),
        "bytes_used_total": used,
        "value_used_total": size_text(used),
        "bytes_used_supplier": used // len(suppliers) if suppliers else 0,
        "bytes_indexed": sum(row["size"] for row in rows if row["type"] == "file"),
        "files_count": files_count,
        "folders_count": len(rows) - files_count,
        "items_count": len(rows),
        "timestamp": node.clock.now(),
    }


@operation()
async def filemanager_debuginfo(node: Node) -> dict[str, Any]:
    """The detail of the log and the state machines."""
    from bitdust.api import build_registry

    known = build_registry().operations.get("automats_list")
    return {
        "debug": node.settings.get_int("logs/debug-level"),
        "automats": await known.function(node) if known is not None else [],
    }


# --- lists ----------------------------------------------------------------------------------------


def _item(row: dict[str, Any]) -> dict[str, Any]:
    newest = row["versions"][0] if row["versions"] else None
    folder, _, _ = row["path"].rpartition("/")
    return {
        "type": older_backups.kind_of(row),
        "name": row["name"],
        "id": row["path_id"],
        "rights": "",
        "size": row["size"],
        "source_size": row["local_size"],
        "date": _moment(newest["time"]) if newest else "",
        "dirpath": "/" + folder,
        "has_childs": bool(row["childs"]),
        "content": "1" if newest else "",
        "versions": [
            {
                "backupid": version["backup_id"],
                "label": version["label"],
                "size": version["size"],
                "date": _moment(version["time"]),
                "reliable": version["reliable"],
            }
            for version in row["versions"]
        ],
    }


def _moment(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S")


@operation()
async def filemanager_list(node: Node, *, path: str = "") -> list[dict[str, Any]]:
    """What is directly in a folder of the catalog."""
    inner = path.strip("/")
    within = older_backups.mirrored(node, "/" + inner) if inner else None
    return [_item(row) for row in await older_backups.rows_of(node, within, deep=False)]


@operation()
async def filemanager_listall(node: Node) -> list[dict[str, Any]]:
    """Everything in the catalog that has a version."""
    return [_item(row) for row in await older_backups.rows_of(node) if row["versions"]]


@operation(aliases={"onlyFolders": "only_folders"})
async def filemanager_listlocal(
    node: Node, *, path: str = "/", only_folders: bool = False
) -> list[dict[str, Any]]:
    """What is in a folder of the local disk."""
    return await in_pool(node, _list_local, "/" + path.lstrip("/"), only_folders)


def _list_local(folder: str, only_folders: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir()
                if len(rows) >= MAX_LOCAL or (only_folders and not is_folder):
                    continue
                try:
                    found = entry.stat()
                except OSError:
                    continue  # gone meanwhile, or a link that leads nowhere
                rows.append(
                    {
                        "name": entry.name,
                        "rights": stat.filemode(found.st_mode),
                        "size": str(found.st_size),
                        "date": _moment(found.st_mtime),
                        "type": "dir" if is_folder else "file",
                        "dirpath": folder,
                    }
                )
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a path"
        raise LocalFileError(f"cannot list {folder[:200]!r}: {reason}") from None
    return sorted(rows, key=lambda row: row["name"])


@operation()
async def filemanager_tasks(node: Node) -> list[dict[str, Any]]:
    """Uploads that run or wait."""
    uploads = await node.require_storage().files_uploads(True, True)
    rows = []
    for job in (*uploads["pending"], *uploads["running"]):
        folder, _, name = job["source_path"].rpartition("/")
        path_id, _, version = str(job.get("version", "")).rpartition("/")
        rows.append(
            {
                "name": name,
                "path": folder,
                "id": job.get("path_id", path_id),
                "version": version,
                "customer": str(node.global_id),
                "mode": "up",
                "progress": f"{float(job.get('progress', 0)):.2f}%",
            }
        )
    return rows


@operation()
async def filemanager_packets(node: Node) -> list[dict[str, Any]]:
    """Packets on their way."""
    from bitdust.api import build_registry

    known = build_registry().operations.get("packets_list")
    rows = await known.function(node) if known is not None else []
    return [
        {
            "name": row.get("command") or row.get("transfer_id", ""),
            "label": row.get("label", ""),
            "from_to": "to" if row.get("direction") == "outgoing" else "from",
            "target": row.get("target", ""),
        }
        for row in rows
    ]


@operation(aliases={"protos": "protocols"})
async def filemanager_connections(
    node: Node, *, protocols: list[str] | None = None
) -> list[dict[str, Any]]:
    """Open connections."""
    return await network.connections_list.function(node, protocols=protocols)


@operation(aliases={"protos": "protocols"})
async def filemanager_streams(
    node: Node, *, protocols: list[str] | None = None
) -> list[dict[str, Any]]:
    """Data on its way."""
    rows = await network.streams_list.function(node, protocols=protocols)
    return [{**row, "id": row["stream_id"]} for row in rows]


# --- changes --------------------------------------------------------------------------------------


@operation()
async def filemanager_upload(node: Node, path: str) -> list[str]:
    """Upload a local file or folder."""
    local = "/" + path.strip("/")
    answer = await older_backups.backup_start_path.function(node, LocalPath(local))
    return [str(answer.result)]


@operation(aliases={"backup_id": "backupid"}, ignored=("name", "overwrite"))
async def filemanager_download(node: Node, backupid: Target, dest_path: str) -> Mapping[str, Any]:
    """Download a version into a folder."""
    destination = LocalPath("/" + dest_path.lstrip("/"))
    await files.file_download_start.function(node, backupid, destination_path=destination)
    return _DONE


@operation(ignored=("path",), aliases={"path_id": "id"})
async def filemanager_delete(node: Node, id: Target) -> Mapping[str, Any]:
    """Remove an item with all its versions."""
    await files.file_delete.function(node, id)
    return _DONE


@operation(aliases={"backup_id": "backupid"})
async def filemanager_deleteversion(node: Node, backupid: Target) -> Mapping[str, Any]:
    """Remove one version."""
    if not isinstance(backupid, BackupID):
        raise InvalidInput("backupid: names no version", hint="such as 0/1/F20160424013912PM")
    await files.file_delete.function(node, backupid)
    return _DONE
