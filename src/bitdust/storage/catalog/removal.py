"""Taking items out of the catalog: by wish, or because nothing needs them any more."""

from __future__ import annotations

from typing import Any, Final

from bitdust.storage.catalog.items import ItemWrites, lineage
from bitdust.storage.catalog.journal import ItemDeleted, ItemsPruned
from bitdust.storage.catalog.runs import MAX_NUMBER, encode_numbers
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.source import RUNNING_UPLOADS

PRUNED_AT_ONCE: Final = 4000
"""Items that one part of a pruning looks at."""


class RemovalWrites(ItemWrites):
    """Changes that take items away.

    A ``CROSS JOIN`` keeps SQLite from turning a join around: it cannot know that the left side is
    the short one.
    """

    def delete_item(self, item: int) -> None:
        """Take an item and everything below it out of all versions; a key's root stays, empty.

        Raises:
            NotInCatalog: no such item.
            CatalogBusy: an upload that runs now holds the item, or is below it.
        """
        self.item(item)
        self._refuse_while_running(item)
        self._delete_item(item)
        self._journal(ItemDeleted(item))

    def _refuse_while_running(self, item: int) -> None:
        mine = set(lineage(self.db, item))
        running: Any = self.db.execute(
            f"SELECT item FROM jobs WHERE {RUNNING_UPLOADS} AND item IS NOT NULL"  # noqa: S608
        ).fetchall()
        for (other,) in running:
            if other in mine or item in lineage(self.db, other):
                raise CatalogBusy("an upload of this item is running")

    def _delete_item(self, item: int) -> None:
        db = self.db
        db.execute("DELETE FROM doomed")
        db.execute(
            "WITH RECURSIVE below(id) AS (SELECT ?1 UNION ALL SELECT i.id FROM below b"
            " JOIN items i ON i.parent = b.id) INSERT INTO doomed SELECT id FROM below",
            (item,),
        )
        for table in ("entries", "stage"):
            self._reference(
                (
                    row[0]
                    for row in db.execute(
                        f"SELECT t.content FROM doomed d CROSS JOIN {table} t ON t.item = d.item"  # noqa: S608
                        " WHERE t.content != x''"
                    )
                ),
                -1,
            )
            db.execute(f"DELETE FROM {table} WHERE item IN (SELECT item FROM doomed)")  # noqa: S608
        db.execute("DELETE FROM versions WHERE root IN (SELECT item FROM doomed)")
        db.execute("DELETE FROM sweeps WHERE root IN (SELECT item FROM doomed)")
        db.execute("DELETE FROM orphans WHERE item IN (SELECT item FROM doomed)")
        db.execute("UPDATE jobs SET item = NULL WHERE item IN (SELECT item FROM doomed)")
        if db.execute("SELECT parent FROM items WHERE id = ?", (item,)).get is None:
            db.execute("DELETE FROM doomed WHERE item = ?", (item,))
        self._remove_doomed()

    def _remove_doomed(self) -> None:
        # Children have higher ids than their parents, so this order never breaks a reference.
        self.db.executemany(
            "DELETE FROM items WHERE id = ?",
            self.db.execute("SELECT item FROM doomed ORDER BY item DESC").fetchall(),
        )

    def prune(self, key: int) -> int:
        """Take away items that no version, job or name needs any more.

        Does nothing while an upload under the key runs, which may know their ids.

        Returns:
            How many items went away.
        """
        total = 0
        below: int | None = MAX_NUMBER
        while below is not None:
            count, below = self.prune_some(key, below)
            total += count
        return total

    def prune_some(
        self, key: int, below: int = MAX_NUMBER, limit: int = PRUNED_AT_ONCE
    ) -> tuple[int, int | None]:
        """A part of ``prune``: begin with the highest ids and go on below the ones looked at.

        Children have higher ids than their parents, so that each item is looked at once.

        Args:
            key: reference of the key.
            below: what the call before returned.
            limit: items to look at.

        Returns:
            How many items went away, and where to go on; None when there is nothing left.
        """
        db = self.db
        running = f"SELECT 1 FROM jobs WHERE {RUNNING_UPLOADS} AND key = ?"  # noqa: S608
        if db.execute(running, (key,)).get:
            return 0, None
        found = [
            row[0]
            for row in db.execute(
                "SELECT o.item FROM orphans o CROSS JOIN items i ON i.id = o.item"
                " WHERE o.item < ? AND i.key = ? ORDER BY o.item DESC LIMIT ?",
                (below, key, limit),
            )
        ]
        if not found:
            return 0, None
        low = found[-1]
        left = set(found)
        gone: list[int] = []
        looked_at = left
        while looked_at:
            part, parents = self._prune_among(looked_at)
            gone += part
            left -= set(part)
            # those below are looked at by the next call
            looked_at = {parent for parent in parents if parent >= low}
            left |= looked_at
        db.executemany(
            "DELETE FROM orphans WHERE item = ?1"
            " AND NOT EXISTS (SELECT 1 FROM stage WHERE item = ?1)",
            ((item,) for item in left),
        )
        if gone:
            self._journal(ItemsPruned(encode_numbers(sorted(gone))))
        return len(gone), low

    def _prune_among(self, items: set[int]) -> tuple[list[int], set[int]]:
        """Take away those of some items that nothing needs; they, and the folders they were in."""
        db = self.db
        db.execute("DELETE FROM doomed")
        db.executemany(
            "INSERT INTO doomed SELECT i.id FROM items i WHERE i.id = ?"
            " AND i.flags & 2 = 0 AND i.parent IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.item = i.id)"
            " AND NOT EXISTS (SELECT 1 FROM items c WHERE c.parent = i.id)"
            " AND NOT EXISTS (SELECT 1 FROM stage s WHERE s.item = i.id)"
            " AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.root = i.id)",
            ((item,) for item in items),
        )
        rows: Any = db.execute(
            "SELECT d.item, i.parent FROM doomed d CROSS JOIN items i ON i.id = d.item"
        ).fetchall()
        gone = [row[0] for row in rows]
        parents = {row[1] for row in rows}
        db.execute("DELETE FROM orphans WHERE item IN (SELECT item FROM doomed)")
        db.executemany(
            "INSERT OR IGNORE INTO orphans VALUES (?)", ((parent,) for parent in parents)
        )
        self._remove_doomed()
        return gone, parents
