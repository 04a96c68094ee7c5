"""The catalog's trees: keys, items, their paths by name and by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import apsw

from bitdust.errors import AlreadyExists, InvalidInput, NotInCatalog
from bitdust.ids import GlobalID, KeyID, PathID, decode_name
from bitdust.storage.catalog.journal import (
    MAX_ROWS,
    ItemFlagged,
    ItemsAdded,
    KeyAdded,
    OwnerRenamed,
)
from bitdust.storage.catalog.source import Sink, Source
from bitdust.storage.catalog.types import Child, Entry, Item, check_raw_name, raw_name

FOLDER_FLAG: Final = 1
EXPLICIT_FLAG: Final = 2
ITEM_COLUMNS: Final = "i.id, i.key, i.parent, i.number, i.name, i.flags, i.created"
ENTRY_COLUMNS: Final = (
    "e.item, e.since, e.until, e.type, e.mode, e.mtime_ns, e.size, e.hash, e.target, e.content,"
    " e.ino, e.ctime_ns"
)
# The spans of one item never overlap, so its last entry is the only one that may be current.
CURRENT_ENTRY: Final = (
    "e.item = i.id AND e.since = (SELECT max(x.since) FROM entries x WHERE x.item = i.id)"
    " AND e.until IS NULL"
)


def to_item(row: Sequence[Any]) -> Item:
    """An item from its ``ITEM_COLUMNS``."""
    flags = row[5]
    return Item(
        row[0],
        row[1],
        row[2],
        row[3],
        decode_name(row[4]),
        bool(flags & FOLDER_FLAG),
        bool(flags & EXPLICIT_FLAG),
        row[6],
    )


class ItemReads(Source):
    """Questions about keys and items."""

    def keys(self) -> dict[str, int]:
        """All keys with their references."""
        with self._using() as db:
            return dict(db.execute("SELECT key_id, ref FROM keys ORDER BY ref"))

    def key_ref(self, key_id: KeyID | str) -> int:
        """The reference of a key, for all other methods.

        Raises:
            NotInCatalog: nothing is stored under that key.
        """
        ref = self.find_key(key_id)
        if ref is None:
            raise NotInCatalog(f"nothing is stored under the key {key_id}")
        return ref

    def find_key(self, key_id: KeyID | str) -> int | None:
        """The reference of a key, or None."""
        with self._using() as db:
            found: int | None = db.execute(
                "SELECT ref FROM keys WHERE key_id = ?", (str(key_id),)
            ).get
            return found

    def key_id(self, key: int) -> KeyID:
        """The name of a key.

        Raises:
            NotInCatalog: no such key.
        """
        with self._using() as db:
            text = db.execute("SELECT key_id FROM keys WHERE ref = ?", (key,)).get
        if text is None:
            raise NotInCatalog(f"the catalog has no key {key}")
        return KeyID.parse(text)

    def root(self, key: int) -> Item:
        """The root of a key's tree.

        Raises:
            NotInCatalog: no such key.
        """
        with self._using() as db:
            row = db.execute(
                f"SELECT {ITEM_COLUMNS} FROM keys k JOIN items i ON i.id = k.root WHERE k.ref = ?",  # noqa: S608
                (key,),
            ).fetchone()
        if row is None:
            raise NotInCatalog(f"the catalog has no key {key}")
        return to_item(row)

    def item(self, item: int) -> Item:
        """One item.

        Raises:
            NotInCatalog: no such item.
        """
        with self._using() as db:
            row = db.execute(
                f"SELECT {ITEM_COLUMNS} FROM items i WHERE i.id = ?",  # noqa: S608
                (item,),
            ).fetchone()
        if row is None:
            raise NotInCatalog(f"the catalog has no item {item}")
        return to_item(row)

    def lookup(self, key: int, path: str | PathID) -> Item | None:
        """The item at a path, by names or by numbers; the empty path is the key's root.

        Args:
            key: reference of the key.
            path: as ``ids.clean_path`` gives it, or an item id.
        """
        with self._consistent() as db:
            found: int | None = db.execute("SELECT root FROM keys WHERE ref = ?", (key,)).get
            if isinstance(path, PathID):
                query = "SELECT id FROM items WHERE parent = ? AND number = ?"
                steps: Iterable[int | bytes] = path.numbers
            else:
                query = "SELECT id FROM items WHERE parent = ? AND name = ?"
                steps = [raw_name(name) for name in path.split("/")] if path else ()
            for step in steps:
                if found is None:
                    return None
                found = db.execute(query, (found, step)).get
            if found is None:
                return None
            row = db.execute(
                f"SELECT {ITEM_COLUMNS} FROM items i WHERE i.id = ?",  # noqa: S608
                (found,),
            ).fetchone()
        return None if row is None else to_item(row)

    def path_of(self, item: int) -> tuple[str, PathID]:
        """An item's path by names and by numbers; the key's root has empty ones.

        Raises:
            NotInCatalog: no such item.
        """
        names: list[str] = []
        numbers: list[int] = []
        with self._consistent() as db:
            for parent, number, name in ancestors(db, item):
                if parent is not None:
                    names.append(decode_name(name))
                    numbers.append(number)
        return "/".join(reversed(names)), PathID(tuple(reversed(numbers)))

    def current(self, item: int) -> Entry | None:
        """What the item is in the latest version, or None."""
        with self._using() as db:
            row = db.execute(
                f"SELECT {ENTRY_COLUMNS} FROM items i JOIN entries e ON {CURRENT_ENTRY}"  # noqa: S608
                " WHERE i.id = ?",
                (item,),
            ).fetchone()
        return None if row is None else Entry(*row)

    def children(self, item: int) -> dict[bytes, Child]:
        """What is in a folder now: for comparing it with a local one.

        Returns:
            Children by the bytes of their name; those without a current entry have None.
        """
        with self._using() as db:
            return {
                row[0]: Child(row[1], None if row[2] is None else Entry(*row[2:]))
                for row in db.execute(
                    f"SELECT i.name, i.id, {ENTRY_COLUMNS}"  # noqa: S608
                    f" FROM items i LEFT JOIN entries e ON {CURRENT_ENTRY} WHERE i.parent = ?",
                    (item,),
                )
            }

    def highest_orphan(self, key: int) -> int | None:
        """One past the highest id that ``prune_some`` would look at, or None."""
        with self._using() as db:
            found: int | None = db.execute(
                "SELECT o.item + 1 FROM orphans o CROSS JOIN items i ON i.id = o.item"
                " WHERE i.key = ? ORDER BY o.item DESC LIMIT 1",
                (key,),
            ).get
        return found

    def is_within(self, item: int, root: int) -> bool:
        """Whether ``item`` is ``root`` or below it."""
        with self._consistent() as db:
            return root in lineage(db, item)


class ItemWrites(Sink, ItemReads):
    """Changes of keys and items."""

    def ensure_key(self, key_id: KeyID | str, created: float = 0.0) -> int:
        """The reference of a key, entered if it is new.

        Args:
            key_id: the key. created: wall clock, seconds.

        Raises:
            InvalidName: no key id.
        """
        key_id = KeyID.parse(str(key_id))
        found = self.find_key(key_id)
        if found is not None:
            return found
        record = KeyAdded(
            self._allocate("next_key", 1), str(key_id), self._allocate("next_item", 1), created
        )
        self._add_key(record)
        self._journal(record)
        return record.ref

    def _add_key(self, record: KeyAdded) -> None:
        self.db.execute(
            "INSERT INTO keys VALUES (?, ?, ?)", (record.ref, record.key_id, record.root)
        )
        self.db.execute(
            "INSERT INTO items VALUES (?, ?, NULL, 0, x'', ?, ?, 0)",
            (record.root, record.ref, FOLDER_FLAG | EXPLICIT_FLAG, record.created),
        )

    def rename_owner(self, old: GlobalID, new: GlobalID) -> int:
        """Give all keys of ``old`` to ``new``; nothing else changes.

        Returns:
            How many keys were renamed.

        Raises:
            AlreadyExists: ``new`` has a key of the same alias already.
        """
        count = self._rename_owner(old, new)
        if count:
            self._journal(OwnerRenamed(str(old), str(new)))
        return count

    def _rename_owner(self, old: GlobalID, new: GlobalID) -> int:
        known = self.keys()
        renamed = []
        for text, ref in known.items():
            key_id = KeyID.parse(text)
            if key_id.owner == old and old != new:
                changed = str(KeyID(key_id.alias, new))
                if changed in known:
                    raise AlreadyExists(f"the key {changed} has files of its own")
                renamed.append((changed, ref))
        self.db.executemany("UPDATE keys SET key_id = ? WHERE ref = ?", renamed)
        return len(renamed)

    def ensure_path(
        self, key: int, path: str, *, is_folder: bool, created: float = 0.0
    ) -> tuple[Item, bool]:
        """The item at ``path``, made with its parents if it is not there; it stays without data.

        Args:
            key: reference of the key.
            path: as ``ids.clean_path`` gives it.
            is_folder: what a new item shall be; an item that is there keeps what it is.
            created: wall clock, seconds.

        Returns:
            The item, and whether it was made now.

        Raises:
            NotInCatalog: no such key. InvalidName: a part of the path cannot be a name.
        """
        item = self.root(key).id
        names = [raw_name(name) for name in path.split("/")] if path else []
        made = False
        for depth, name in enumerate(names, 1):
            is_dir = is_folder or depth < len(names)
            found: int | None = self.db.execute(
                "SELECT id FROM items WHERE parent = ? AND name = ?", (item, name)
            ).get
            if found is None:
                found = self._new_items(item, [name], is_dir, True, created)
                made = depth == len(names)
            item = found
        flags = self.db.execute("SELECT flags FROM items WHERE id = ?", (item,)).get
        if not flags & EXPLICIT_FLAG:
            self._flag(ItemFlagged(item, flags | EXPLICIT_FLAG))
            self._journal(ItemFlagged(item, flags | EXPLICIT_FLAG))
        return self.item(item), made

    def _flag(self, record: ItemFlagged) -> None:
        self.db.execute("UPDATE items SET flags = ? WHERE id = ?", (record.flags, record.item))

    def ensure_children(
        self, parent: int, names: Iterable[bytes], *, is_folder: bool = False, created: float = 0.0
    ) -> dict[bytes, int]:
        """The ids of children by name, made if they are not there.

        Items made here go away again once no version has them.

        Raises:
            NotInCatalog: no such parent. InvalidName: bytes that cannot be a name.
        """
        wanted = list(dict.fromkeys(names))
        found: dict[bytes, int] = dict(
            self.db.executemany(
                "SELECT name, id FROM items WHERE parent = ? AND name = ?",
                ((parent, name) for name in wanted),
            )
        )
        new = [name for name in wanted if name not in found]
        for start in range(0, len(new), MAX_ROWS):
            part = new[start : start + MAX_ROWS]
            first = self._new_items(parent, part, is_folder, False, created)
            found.update(zip(part, range(first, first + len(part)), strict=True))
        return found

    def _new_items(
        self, parent: int, names: list[bytes], is_folder: bool, explicit: bool, created: float
    ) -> int:
        for name in names:
            check_raw_name(name)
        number = self.db.execute("SELECT next_number FROM items WHERE id = ?", (parent,)).get
        if number is None:
            raise NotInCatalog(f"the catalog has no item {parent}")
        flags = (FOLDER_FLAG if is_folder else 0) | (EXPLICIT_FLAG if explicit else 0)
        first = self._allocate("next_item", len(names))
        record = ItemsAdded(parent, first, number, flags, created, names)
        self._add_items(record)
        self._journal(record)
        return first

    def _add_items(self, record: ItemsAdded) -> None:
        key = self.db.execute("SELECT key FROM items WHERE id = ?", (record.parent,)).get
        self.db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (
                (
                    record.first + index,
                    key,
                    record.parent,
                    record.number + index,
                    name,
                    record.flags,
                    record.created,
                )
                for index, name in enumerate(record.names)
            ),
        )
        self.db.execute(
            "UPDATE items SET next_number = ? WHERE id = ?",
            (record.number + len(record.names), record.parent),
        )


def ancestors(db: apsw.Connection, item: int) -> Iterator[tuple[int | None, int, bytes]]:
    """Parent, number and name of an item and of all above it, upwards.

    Raises:
        NotInCatalog: no such item.
    """
    at: int | None = item
    while at is not None:
        row = db.execute("SELECT parent, number, name FROM items WHERE id = ?", (at,)).fetchone()
        if row is None:
            raise NotInCatalog(f"the catalog has no item {item}")
        yield row[0], row[1], row[2]
        at = row[0]


def lineage(db: apsw.Connection, item: int) -> list[int]:
    """An item and all above it, upwards; empty when it is not there."""
    found = db.execute(
        "WITH RECURSIVE up(id, parent) AS (SELECT id, parent FROM items WHERE id = ?"
        " UNION ALL SELECT i.id, i.parent FROM up u JOIN items i ON i.id = u.parent)"
        " SELECT id FROM up",
        (item,),
    )
    return [row[0] for row in found]


def require_hash(value: bytes, what: str, size: int = 32) -> bytes:
    """Return ``value`` if it has ``size`` bytes.

    Raises:
        InvalidInput: another length.
    """
    if len(value) != size:
        raise InvalidInput(f"{what} must have {size} bytes, not {len(value)}")
    return value
