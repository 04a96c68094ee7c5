"""Comparing a store's directory with its index when it starts. Blocks; meant for the pool."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import cast

from bitdust.supply.disk import Layout, disk_errors
from bitdust.supply.index import Index, ObjectState

_BATCH = 1000


@dataclass(slots=True)
class Reconciled:
    """What the start of a store found.

    Args:
        adopted: objects on disk that the index did not know.
        lost: objects of the index without a file, as (customer, name); at most 1000 are named.
        lost_count: how many are lost.
        damaged: objects whose file has another size, as (customer, name).
        leftovers: unfinished writes and strays that were removed.
        index_damaged: the index could not be read and was made again.
    """

    adopted: int = 0
    lost: list[tuple[bytes, str]] = field(default_factory=list)
    lost_count: int = 0
    damaged: list[tuple[bytes, str]] = field(default_factory=list)
    leftovers: int = 0
    index_damaged: bool = False


def reconcile(layout: Layout, index: Index) -> Reconciled:
    """Bring index and directory to one state after a start.

    Files are the truth about what is there; the index is the truth about what was acknowledged
    under a name. Nothing that was acknowledged is removed.

    Raises:
        DiskFull, LocalFileError: the disk failed.
    """
    report = Reconciled(index_damaged=index.was_damaged)
    with disk_errors("looking through the folder of customers"):
        for entry in os.scandir(layout.incoming):
            os.unlink(entry.path)
            report.leftovers += 1
        interrupted = index.deleting()
        for row in interrupted:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(layout.row_path(row))
        index.end_delete(interrupted)
        with index.transaction(durable=True) as db:
            db.execute(
                "CREATE TEMP TABLE seen(customer BLOB, name TEXT, digest BLOB, size INTEGER,"
                " PRIMARY KEY(customer, name, digest)) WITHOUT ROWID"
            )
            for customer in layout.customers():
                batch = []
                for name, digest, size, _ in layout.objects(customer):
                    batch.append((customer, name, digest, size))
                    if len(batch) == _BATCH:
                        db.executemany("INSERT INTO seen VALUES(?, ?, ?, ?)", batch)
                        batch = []
                db.executemany("INSERT INTO seen VALUES(?, ?, ?, ?)", batch)
            good, bad, lost = ObjectState.GOOD, ObjectState.BAD, ObjectState.LOST
            # A second file under a name that the index knows was never acknowledged.
            strays = cast(
                list[tuple[bytes, str, bytes]],
                db.execute(
                    "SELECT s.customer, s.name, s.digest FROM seen s JOIN objects o"
                    " USING(customer, name) WHERE s.digest != o.digest"
                ).fetchall(),
            )
            for stray in strays:
                os.unlink(layout.object(*stray))
                report.leftovers += 1
            # A disk that was away at the last start and is back brings its objects back.
            db.execute(
                "UPDATE objects SET state = ? WHERE state = ? AND EXISTS(SELECT 1 FROM seen s WHERE"
                " s.customer = objects.customer AND s.name = objects.name"
                " AND s.digest = objects.digest AND s.size = objects.size)",
                (good, lost),
            )
            missing = cast(
                list[tuple[bytes, str]],
                db.execute(
                    "SELECT customer, name FROM objects o WHERE state != ? AND NOT EXISTS("
                    "SELECT 1 FROM seen s WHERE s.customer = o.customer AND s.name = o.name"
                    " AND s.digest = o.digest)",
                    (lost,),
                ).fetchall(),
            )
            db.executemany(
                "UPDATE objects SET state = ? WHERE customer = ? AND name = ?",
                [(lost, *key) for key in missing],
            )
            report.lost, report.lost_count = missing[:_BATCH], len(missing)
            report.damaged = cast(
                list[tuple[bytes, str]],
                db.execute(
                    "SELECT o.customer, o.name FROM objects o JOIN seen s"
                    " USING(customer, name, digest) WHERE o.state = ? AND o.size != s.size",
                    (good,),
                ).fetchall(),
            )
            db.executemany(
                "UPDATE objects SET state = ? WHERE customer = ? AND name = ?",
                [(bad, *key) for key in report.damaged],
            )
            db.execute(
                "INSERT OR IGNORE INTO objects SELECT customer, name, size, digest, ? FROM seen s"
                " WHERE NOT EXISTS(SELECT 1 FROM objects o WHERE o.customer = s.customer"
                " AND o.name = s.name)",
                (good,),
            )
            report.adopted = db.changes()
            db.execute("DROP TABLE temp.seen")
    return report
