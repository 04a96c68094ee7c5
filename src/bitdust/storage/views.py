"""Catalog rows as JSON: the shapes of the BitDust API, second and third generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitdust.ids import KeyID, RemotePath
from bitdust.storage.catalog.types import Health, ItemVersion, ListRow
from bitdust.storage.formats.erasure import ecc_map
from bitdust.storage.formats.repair import may_vanish

UNKNOWN_SIZE = -1


def percent(part: int, whole: int) -> str:
    """``75%``; nothing to store is wholly stored."""
    return f"{100 * part // whole if whole else 100}%"


def version_view(
    key_id: KeyID, row: ListRow, version: ItemVersion, health: Health | None = None
) -> dict[str, Any]:
    """One version of an item.

    Args:
        key_id: of the item.
        row: the item.
        version: which version.
        health: counted fragment by fragment; else what was known when the version was last looked
            after.
    """
    made = version.version
    stats = made.stats
    n = stats.suppliers
    weakest = stats.acks
    view: dict[str, Any] = {
        "backup_id": f"{key_id}:{row.path_id}/{made.label}",
        "label": made.label,
        "time": made.created,
        "size": stats.size if made.root == row.item.id else version.entry.size,
        "new_size": stats.new_size,
        "stored_size": stats.stored_size,
        "files": stats.files,
        "folders": stats.folders,
        "links": stats.links,
        "state": str(made.state),
        "eccmap": ecc_map(n) if n else "",
        "suppliers_acknowledged": weakest,
        "may_vanish": max(0, may_vanish(weakest, n)) if n else 0,
        "delivered": percent(weakest, n),
        "reliable": percent(weakest, n),
    }
    if health is not None:
        # the numbers of a file without content, which needs no block, are those of a full one
        view["fragments"] = health.stored
        view["max_block"] = health.blocks - 1
        view["weak_block"] = UNKNOWN_SIZE if health.weak_block is None else health.weak_block
        view["delivered"] = percent(health.stored, health.fragments)
        if health.blocks:
            n, weakest = health.weakest_of, health.weakest
            view["eccmap"] = ecc_map(n)
            view["suppliers_acknowledged"] = weakest
            view["may_vanish"] = max(0, may_vanish(weakest, n))
        view["reliable"] = percent(weakest, n) if health.blocks else "100%"
        view["suppliers"] = [
            {"fragments": count, "stored": percent(count, health.blocks)}
            for count in health.by_position
        ]
    return view


def item_view(
    key_id: KeyID,
    row: ListRow,
    *,
    health: Sequence[Health] = (),
    local_path: str = "",
    local_size: int = UNKNOWN_SIZE,
) -> dict[str, Any]:
    """One item of a file list.

    Args:
        key_id: of the item.
        row: from the catalog.
        health: of the newest versions, where it was asked for.
        local_path: where it was uploaded from, if known.
        local_size: bytes there now, -1 when it is not there.
    """
    remote = RemotePath(key_id, row.path)
    is_folder = row.entry.type == "d" if row.entry is not None else row.item.is_folder
    known = list(health) + [None] * (len(row.versions) - len(health))
    versions = [
        version_view(key_id, row, version, one)
        for version, one in zip(row.versions, known, strict=False)
    ]
    newest = row.versions[0] if row.versions else None
    if newest is None:
        size = 0
    elif newest.version.root == row.item.id:
        size = newest.version.stats.size
    else:
        size = newest.entry.size
    return {
        "remote_path": str(remote),
        "global_id": f"{key_id}:{row.path_id}",
        "customer": str(key_id.owner),
        "idurl": str(key_id.owner.idurl),
        "path_id": str(row.path_id),
        "name": row.item.name,
        "path": row.path,
        "type": "dir" if is_folder else "file",
        "link": row.entry is not None and row.entry.type == "l",
        "size": size,
        "local_size": local_size,
        "latest": newest.version.label if newest else "",
        "key_id": str(key_id),
        "key_alias": key_id.alias,
        "childs": row.childs if is_folder else False,
        "present": row.current or row.entry is None,
        "versions": versions,
        "versions_total": row.version_count,
        "uploads": {"running": [], "pending": []},
        "downloads": [],
        "local_path": local_path,
    }
