"""Groups whose key has another name, because whoever made them has another address now."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import apsw

from bitdust.messaging.database import Database
from bitdust.messaging.group_keep import GroupKeep
from bitdust.pool import in_pool


async def rename_groups(
    database: Database, keep: GroupKeep, names: Mapping[bytes, str], pool: Executor
) -> list[tuple[str, str]]:
    """Call groups, and what was written in them, by the present names of their keys.

    To be done before the groups are taken up.

    Args:
        database: holds groups and history.
        keep: holds what must outlive this machine.
        names: key ids by the fingerprint of the key.
        pool: for the files.

    Returns:
        Old and new key ids of those that had another name.
    """
    renamed = await database.write(lambda db: _rename(db, names))
    await in_pool(pool, _rename_files, keep, names)
    return renamed


def _rename(db: apsw.Connection, names: Mapping[bytes, str]) -> list[tuple[str, str]]:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'groups'").get is None:
        return []
    rows: Any = db.execute("SELECT key_id, fingerprint FROM groups").fetchall()
    taken = {key_id for key_id, _ in rows}
    renamed: list[tuple[str, str]] = []
    for old, fingerprint in rows:
        new = names.get(fingerprint, old)
        if new == old or new in taken:
            continue
        taken.add(new)
        renamed.append((old, new))
        db.execute("UPDATE groups SET key_id = ? WHERE key_id = ?", (new, old))
        # the history names its conversations there; one that began anew stays beside the old one
        db.execute("UPDATE OR IGNORE names SET name = ? WHERE name = ?", (new, old))
    return renamed


def _rename_files(keep: GroupKeep, names: Mapping[bytes, str]) -> None:
    rows = keep.load()
    taken = {row.key_id for row in rows}
    for row in rows:
        old, new = row.key_id, names.get(row.fingerprint, row.key_id)
        if new == old:
            continue
        if new not in taken:
            row.key_id = new
            keep.put(row)
        # written first, so that a crash leaves two and not none
        keep.drop(old)
