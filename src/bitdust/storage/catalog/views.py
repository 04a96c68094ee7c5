"""What people see of the catalog: file lists, sums, and how safe a version is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw

from bitdust.errors import NotInCatalog
from bitdust.ids import PathID, decode_name
from bitdust.storage.catalog.items import ENTRY_COLUMNS, ITEM_COLUMNS, ItemReads, lineage, to_item
from bitdust.storage.catalog.runs import decode_runs, merge_ranges
from bitdust.storage.catalog.stage import to_version
from bitdust.storage.catalog.types import Entry, Health, ListRow, Totals, Version, raw_name
from bitdust.storage.catalog.versions import VersionReads, covering_versions, match_versions
from bitdust.storage.formats.erasure import fragments_needed

PAGE: Final = 1000
VERSIONS_SHOWN: Final = 32
_MERGE_AT: Final = 100_000
"""Ranges of chunks gathered before they are merged, so that memory stays bounded."""


class ViewReads(ItemReads, VersionReads):
    """Rows and sums for the interfaces."""

    def list_item(self, item: int, *, versions: int = VERSIONS_SHOWN) -> ListRow:
        """One item as a row of a list.

        Raises:
            NotInCatalog: no such item.
        """
        path, path_id = self.path_of(item)
        with self._consistent() as db:
            above = lineage(db, item)
            query = f"SELECT {_ROW} FROM items i {_JOIN} WHERE i.id = ?"  # noqa: S608
            row: tuple[Any, ...] | None = db.execute(query, (item,)).fetchone()
            if row is None:
                raise NotInCatalog(f"the catalog has no item {item}")
            covering = covering_versions(db, above[1:])
            return _to_row(db, row, path, path_id, covering, versions)

    def list_folder(
        self, item: int, *, after: bytes = b"", limit: int = PAGE, versions: int = VERSIONS_SHOWN
    ) -> list[ListRow]:
        """What is in a folder, by name, page by page; items without data and gone ones included.

        Args:
            item: the folder. after: name of the last row of the page before.
            limit: rows of a page. versions: at most so many in each row.

        Raises:
            NotInCatalog: no such item.
        """
        path, path_id = self.path_of(item)
        prefix = f"{path}/" if path else ""
        query = (
            f"SELECT {_ROW} FROM items i {_JOIN}"  # noqa: S608
            " WHERE i.parent = ? AND i.name > ? ORDER BY i.name LIMIT ?"
        )
        with self._consistent() as db:
            covering = covering_versions(db, lineage(db, item))
            rows = []
            found: list[tuple[Any, ...]] = db.execute(query, (item, after, limit)).fetchall()
            for row in found:
                name = decode_name(row[4])
                numbers = PathID((*path_id.numbers, row[3]))
                rows.append(_to_row(db, row, prefix + name, numbers, covering, versions))
            return rows

    def list_tree(self, item: int, *, versions: int = VERSIONS_SHOWN) -> Iterator[ListRow]:
        """All below an item as rows, folders before what is in them.

        Memory is bounded by the depth times the size of a page.
        """
        levels = [self._pages(item, versions)]
        while levels:
            row = next(levels[-1], None)
            if row is None:
                levels.pop()
                continue
            yield row
            if row.childs:
                levels.append(self._pages(row.item.id, versions))

    def _pages(self, item: int, versions: int) -> Iterator[ListRow]:
        after = b""
        while page := self.list_folder(item, after=after, limit=256, versions=versions):
            yield from page
            after = raw_name(page[-1].item.name)

    def totals(self, key: int | None = None) -> Totals:
        """Sums over one key, or over all; reads every current entry, so ask rarely."""
        with self._consistent() as db:
            items = db.execute(
                "SELECT count(*) FROM items WHERE parent IS NOT NULL AND (?1 IS NULL OR key = ?1)",
                (key,),
            ).get
            sums: dict[str, tuple[int, int]] = {
                kind: (count, size)
                for kind, count, size in db.execute(
                    "SELECT e.type, count(*), sum(e.size) FROM entries e"
                    " WHERE e.until IS NULL AND (?1 IS NULL OR"
                    "  (SELECT i.key FROM items i WHERE i.id = e.item) = ?1) GROUP BY e.type",
                    (key,),
                )
            }
            versions = db.execute(
                "SELECT count(*) FROM versions v JOIN items i ON i.id = v.root"
                " WHERE ?1 IS NULL OR i.key = ?1",
                (key,),
            ).get
            blocks, stored = db.execute(
                "SELECT count(*), coalesce(sum(suppliers * fragment_size), 0) FROM blocks"
                " WHERE state = 1 AND kind = 1 AND (?1 IS NULL OR key = ?1)",
                (key,),
            ).fetchone() or (0, 0)
        files = sums.get("f", (0, 0))
        return Totals(
            items=items,
            files=files[0],
            folders=sums.get("d", (0, 0))[0],
            links=sums.get("l", (0, 0))[0],
            size=files[1],
            versions=versions,
            blocks=blocks,
            stored_size=stored,
        )

    def tree_totals(self, item: int, seq: int) -> Totals:
        """Sums over an item and all below it in one version; walks the whole tree."""
        counts = {"f": 0, "d": 0, "l": 0}
        size = 0
        for _, entry in self.walk_snapshot(item, seq):
            counts[entry.type] += 1
            if entry.type == "f":
                size += entry.size
        return Totals(
            items=sum(counts.values()),
            files=counts["f"],
            folders=counts["d"],
            links=counts["l"],
            size=size,
        )

    def health(self, item: int, seq: int) -> Health:
        """How safe an item and all below it are in one version; walks the whole tree."""
        ranges: list[tuple[int, int]] = []
        for _, entry in self.walk_snapshot(item, seq):
            ranges.extend((run.start, run.end) for run in decode_runs(entry.content))
            if len(ranges) > _MERGE_AT:
                ranges = merge_ranges(ranges)
        with self._consistent() as db:
            return _health(db, merge_ranges(ranges))


_CHILDS: Final = "(SELECT count(*) FROM items c WHERE c.parent = i.id)"
_ROW: Final = f"{ITEM_COLUMNS}, {_CHILDS}, {ENTRY_COLUMNS}"
_JOIN: Final = (
    "LEFT JOIN entries e ON e.item = i.id"
    " AND e.since = (SELECT max(x.since) FROM entries x WHERE x.item = i.id)"
)


def _to_row(
    db: apsw.Connection,
    row: tuple[Any, ...],
    path: str,
    path_id: PathID,
    covering: list[Version],
    limit: int,
) -> ListRow:
    item = to_item(row[:7])
    entry = None if row[8] is None else Entry(*row[8:])
    own = [
        to_version(found)
        for found in db.execute(
            "SELECT * FROM versions WHERE root = ? ORDER BY seq DESC", (item.id,)
        )
    ]
    if own:
        covering = sorted([*covering, *own], key=lambda version: -version.seq)
    if entry is None:
        entries = []
    elif not covering or entry.since <= covering[-1].seq:
        # The last entry is the only one any of the versions can see.
        entries = [entry]
    else:
        entries = [
            Entry(*found)
            for found in db.execute(
                f"SELECT {ENTRY_COLUMNS} FROM entries e WHERE e.item = ?"  # noqa: S608
                " ORDER BY e.since DESC",
                (item.id,),
            )
        ]
    matched = match_versions(covering, entries)
    return ListRow(
        item=item,
        path=path,
        path_id=path_id,
        entry=entry,
        current=entry is not None and entry.until is None,
        childs=row[7],
        versions=tuple(matched[:limit]),
        version_count=len(matched),
    )


def _health(db: apsw.Connection, ranges: list[tuple[int, int]]) -> Health:
    seen: set[int] = set()
    positions: list[int] = []
    fragments = stored = 0
    weakest = weakest_of = 0
    margin: int | None = None
    weak_block = None
    # A range may begin inside of a block; the block that holds a number is the last one that begins
    # at or before it.
    query = (
        "SELECT number FROM blocks WHERE chunks > 0 AND first >="
        " (SELECT max(first) FROM blocks WHERE chunks > 0 AND first <= ?1) AND first < ?2"
    )
    for start, end in ranges:
        for (number,) in db.execute(query, (start, end)):
            if number in seen:
                continue
            seen.add(number)
            good = n = 0
            for position, state in db.execute(
                "SELECT position, state FROM fragments WHERE block = ?", (number,)
            ):
                n += 1
                while len(positions) <= position:
                    positions.append(0)
                if state == 1:
                    good += 1
                    positions[position] += 1
            fragments += n
            stored += good
            if margin is None or good - fragments_needed(n) < margin:
                margin = good - fragments_needed(n)
                weakest, weakest_of, weak_block = good, n, number
    return Health(
        blocks=len(seen),
        fragments=fragments,
        stored=stored,
        weakest=weakest,
        weak_block=weak_block,
        by_position=tuple(positions),
        weakest_of=weakest_of,
    )
