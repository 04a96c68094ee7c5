"""Taking items out of the catalog: by wish, or because nothing needs them any more."""

from __future__ import annotations

from typing import Any

from bitdust.storage.catalog.items import ItemWrites, lineage
from bitdust.storage.catalog.journal import ItemDeleted, ItemsPruned
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.schema import CatalogBusy


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
            "SELECT item FROM jobs WHERE state = 'running' AND kind = 'upload' AND item IS NOT NULL"
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
        if self.db.execute(
            "SELECT 1 FROM jobs WHERE state = 'running' AND kind = 'upload' AND key = ?", (key,)
        ).get:
            return 0
        total = 0
        while True:
            self.db.execute("DELETE FROM doomed")
            self.db.execute(
                "INSERT INTO doomed SELECT i.id FROM orphans o CROSS JOIN items i ON i.id = o.item"
                " WHERE i.key = ? AND i.flags & 2 = 0 AND i.parent IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.item = i.id)"
                " AND NOT EXISTS (SELECT 1 FROM items c WHERE c.parent = i.id)"
                " AND NOT EXISTS (SELECT 1 FROM stage s WHERE s.item = i.id)"
                " AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.root = i.id)",
                (key,),
            )
            gone = [row[0] for row in self.db.execute("SELECT item FROM doomed ORDER BY item")]
            if not gone:
                break
            self.db.execute("DELETE FROM orphans WHERE item IN (SELECT item FROM doomed)")
            self.db.execute(
                "INSERT OR IGNORE INTO orphans SELECT i.parent FROM doomed d"
                " CROSS JOIN items i ON i.id = d.item"
            )
            self._remove_doomed()
            self._journal(ItemsPruned(encode_numbers(gone)))
            total += len(gone)
        self.db.execute(
            "DELETE FROM orphans WHERE item IN (SELECT o.item FROM orphans o"
            " CROSS JOIN items i ON i.id = o.item WHERE i.key = ?)"
            " AND item NOT IN (SELECT item FROM stage)",
            (key,),
        )
        return total
