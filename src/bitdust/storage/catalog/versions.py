"""Versions: which there are, what a tree was in one of them, and forgetting them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Final

import apsw

from bitdust.errors import NotInCatalog
from bitdust.storage.catalog.items import ENTRY_COLUMNS, lineage
from bitdust.storage.catalog.journal import VersionDeleted, VersionMarked
from bitdust.storage.catalog.source import Source
from bitdust.storage.catalog.stage import CommitWrites, to_version
from bitdust.storage.catalog.types import Entry, ItemVersion, Version, VersionState

SWEPT_AT_ONCE: Final = 4000
"""Entries that one transaction takes away at the most: a writer waits some 50 ms for it."""
_FREED_AT_ONCE: Final = 50_000
_ENTRY_AT: Final = (
    "e.since = (SELECT max(x.since) FROM entries x WHERE x.item = {item} AND x.since <= {seq})"
    " AND (e.until IS NULL OR e.until > {seq})"
)


class VersionReads(Source):
    """Questions about versions and snapshots."""

    def version(self, seq: int) -> Version:
        """One version.

        Raises:
            NotInCatalog: no such version.
        """
        with self._using() as db:
            row = db.execute("SELECT * FROM versions WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            raise NotInCatalog(f"the catalog has no version {seq}")
        return to_version(row)

    def versions(self, root: int) -> list[Version]:
        """The versions made of exactly this item, newest first."""
        with self._using() as db:
            return [
                to_version(row)
                for row in db.execute(
                    "SELECT * FROM versions WHERE root = ? ORDER BY seq DESC", (root,)
                )
            ]

    def versions_in_state(self, state: VersionState) -> list[Version]:
        """All versions in a state, oldest first: those that still lack fragments, for one."""
        with self._using() as db:
            return [
                to_version(row)
                for row in db.execute(
                    "SELECT * FROM versions WHERE state = ? ORDER BY seq", (str(state),)
                )
            ]

    def versions_of(self, item: int, limit: int = 1000) -> list[ItemVersion]:
        """The versions in which an item is visible, its own and those of folders above.

        Args:
            item: its id. limit: at most so many, the newest, newest first.
        """
        with self._consistent() as db:
            covering = covering_versions(db, lineage(db, item))
            entries = [
                Entry(*row)
                for row in db.execute(
                    f"SELECT {ENTRY_COLUMNS} FROM entries e WHERE e.item = ?"  # noqa: S608
                    " ORDER BY e.since DESC",
                    (item,),
                )
            ]
        return match_versions(covering, entries)[:limit]

    def find_version(self, item: int, label: str) -> Version:
        """The version of that name that covers an item; its own before those of folders above.

        Raises:
            NotInCatalog: no such version.
        """
        with self._consistent() as db:
            for root in lineage(db, item):
                row = db.execute(
                    "SELECT * FROM versions WHERE root = ? AND label = ?", (root, label)
                ).fetchone()
                if row is not None:
                    return to_version(row)
        raise NotInCatalog(f"there is no version {label} of this item")

    def latest_version(self, item: int) -> Version | None:
        """The newest version that covers an item, or None."""
        with self._consistent() as db:
            covering = covering_versions(db, lineage(db, item))
        return covering[0] if covering else None

    def entry_at(self, item: int, seq: int) -> Entry | None:
        """What an item was in version ``seq``, or None."""
        at = _ENTRY_AT.format(item="?1", seq="?2")
        with self._using() as db:
            row = db.execute(
                f"SELECT {ENTRY_COLUMNS} FROM entries e WHERE e.item = ?1 AND {at}",  # noqa: S608
                (item, seq),
            ).fetchone()
        return None if row is None else Entry(*row)

    def walk_snapshot(self, item: int, seq: int) -> Iterator[tuple[tuple[bytes, ...], Entry]]:
        """An item and all below it as they were in version ``seq``, parents before children.

        Memory is bounded by the depth. The walk sees the catalog as it was when it began, and holds
        a connection until it is exhausted or closed.

        Yields:
            Names from the item down (empty for the item itself), and the entry.
        """
        at = _ENTRY_AT.format(item="i.id", seq="?2")
        query = (
            f"SELECT i.name, {ENTRY_COLUMNS} FROM items i CROSS JOIN entries e"  # noqa: S608
            f" ON e.item = i.id AND {at} WHERE i.parent = ?1 ORDER BY i.name"
        )
        own = _ENTRY_AT.format(item="?1", seq="?2")
        with self._consistent() as db:
            row = db.execute(
                f"SELECT {ENTRY_COLUMNS} FROM entries e WHERE e.item = ?1 AND {own}",  # noqa: S608
                (item, seq),
            ).fetchone()
            if row is None:
                return
            top = Entry(*row)
            yield (), top
            if top.type != "d":
                return
            levels: list[tuple[tuple[bytes, ...], Iterator[tuple[Any, ...]]]] = [
                ((), iter(db.execute(query, (item, seq))))
            ]
            try:
                while levels:
                    path, rows = levels[-1]
                    for name, *columns in rows:
                        below = (*path, name)
                        entry = Entry(*columns)
                        yield below, entry
                        if entry.type == "d":
                            levels.append((below, iter(db.execute(query, (entry.item, seq)))))
                            break
                    else:
                        levels.pop()
            finally:
                levels.clear()

    def sweeps(self) -> list[int]:
        """Versions that are forgotten, and whose entries are still to be taken away, by seq.

        Until then no upload under their key begins, and the journal is not compacted: the journal
        has it that those entries are gone.
        """
        with self._using() as db:
            return [row[0] for row in db.execute("SELECT seq FROM sweeps ORDER BY seq")]

    def swept_entries(self, seq: int) -> Generator[tuple[int, int], None, None]:
        """The entries that only a forgotten version saw, by item and ``since``.

        Holds a connection, and the state of the catalog at its beginning, until exhausted or
        closed. What it names stays unseen: versions only ever go away meanwhile.
        """
        with self._consistent() as db:
            root = db.execute("SELECT root FROM sweeps WHERE seq = ?", (seq,)).get
            if root is not None:
                yield from _only_seen_by(db, root, seq)


class VersionWrites(CommitWrites, VersionReads):
    """Changes of versions that exist."""

    def mark_version(self, seq: int, state: VersionState, acks: int, suppliers: int = 0) -> None:
        """Note how safe a version is now.

        Args:
            seq: which version.
            state, acks: how it stands.
            suppliers: how many it is spread over now, 0 for as many as before.

        Raises:
            NotInCatalog: no such version.
        """
        record = VersionMarked(seq, state, acks, suppliers)
        if not self._mark_version(record):
            raise NotInCatalog(f"the catalog has no version {seq}")
        self._journal(record)

    def _mark_version(self, record: VersionMarked) -> bool:
        self.db.execute(
            "UPDATE versions SET state = ?1, acks = ?2,"
            " suppliers = CASE ?3 WHEN 0 THEN suppliers ELSE ?3 END WHERE seq = ?4",
            (str(record.state), record.acks, record.suppliers, record.seq),
        )
        return self.db.changes() == 1

    def delete_version(self, seq: int) -> None:
        """Forget a version, and the entries that no other version can see.

        Of a large version the entries stay for now, seen by nobody: see ``sweeps``.

        Raises:
            NotInCatalog: no such version.
            CatalogBusy: an upload that runs now builds on it.
        """
        root = self.version(seq).root
        self._refuse_while_running(root)
        self._journal(VersionDeleted(seq))
        key = self.item(root).key
        before, _ = _neighbours(self.db, lineage(self.db, root), seq)
        suspects = self.db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM entries WHERE since > ? AND since <= ? LIMIT ?)",
            (before, seq, SWEPT_AT_ONCE + 1),
        ).get
        if suspects <= SWEPT_AT_ONCE:
            self._delete_version(seq)
            self.prune(key)
        else:
            self.db.execute("DELETE FROM versions WHERE seq = ?", (seq,))
            self.db.execute("INSERT INTO sweeps VALUES (?, ?, ?)", (seq, root, key))

    def sweep(self, entries: Sequence[tuple[int, int]]) -> None:
        """Take away some of the entries that ``swept_entries`` names; those gone are passed over.

        The journal said so with the version: whoever replays it takes them away at once.
        """
        self.db.execute("DELETE FROM freed")
        self.db.executemany("INSERT INTO freed VALUES (?, ?)", entries)
        self._free()

    def sweep_done(self, seq: int) -> None:
        """All entries that only this forgotten version saw are gone."""
        self.db.execute("DELETE FROM sweeps WHERE seq = ?", (seq,))

    def _delete_version(self, seq: int) -> None:
        db = self.db
        root = db.execute("SELECT root FROM versions WHERE seq = ?", (seq,)).get
        if root is None:
            raise NotInCatalog(f"the catalog has no version {seq}")
        db.execute("DELETE FROM versions WHERE seq = ?", (seq,))
        db.execute("DELETE FROM freed")
        part: list[tuple[int, int]] = []
        for found in _only_seen_by(db, root, seq):
            part.append(found)
            if len(part) >= _FREED_AT_ONCE:
                db.executemany("INSERT INTO freed VALUES (?, ?)", part)
                part.clear()
        db.executemany("INSERT INTO freed VALUES (?, ?)", part)
        self._free()

    def _free(self) -> None:
        """Delete the entries named in ``freed``; their items may be pruned later."""
        db = self.db
        self._reference(
            (
                row[0]
                for row in db.execute(
                    "SELECT e.content FROM freed f CROSS JOIN entries e"
                    " ON e.item = f.item AND e.since = f.since WHERE e.content != x''"
                )
            ),
            -1,
        )
        db.execute("DELETE FROM entries WHERE (item, since) IN (SELECT item, since FROM freed)")
        db.execute("INSERT OR IGNORE INTO orphans SELECT DISTINCT item FROM freed")
        db.execute("DELETE FROM freed")
        self.released = True


def covering_versions(db: apsw.Connection, roots: Iterable[int]) -> list[Version]:
    """The versions of any of some items, newest first."""
    rows = db.executemany("SELECT * FROM versions WHERE root = ?", ((root,) for root in roots))
    return sorted(map(to_version, rows), key=lambda version: -version.seq)


def match_versions(covering: list[Version], entries: list[Entry]) -> list[ItemVersion]:
    """Pair versions with the entry each of them sees; both newest first."""
    matched: list[ItemVersion] = []
    index = 0
    for version in covering:
        while index < len(entries) and entries[index].since > version.seq:
            index += 1
        if index == len(entries):
            break
        entry = entries[index]
        if entry.until is None or entry.until > version.seq:
            matched.append(ItemVersion(version, entry))
    return matched


def _neighbours(db: apsw.Connection, roots: Iterable[int], seq: int) -> tuple[int, int | None]:
    """The versions of any of some items next to ``seq``: the one before or 0, the one after."""
    before, after = 0, None
    for root in roots:
        low, high = db.execute(
            "SELECT max(seq) FILTER (WHERE seq < ?1), min(seq) FILTER (WHERE seq > ?1)"
            " FROM versions WHERE root = ?2",
            (seq, root),
        ).get
        before = max(before, low or 0)
        if high is not None:
            after = high if after is None else min(after, high)
    return before, after


def _nested_roots(
    db: apsw.Connection, above: set[int], before: int, after: int | None
) -> dict[int, list[int]]:
    """Versions of other items within the time that is forgotten, by item."""
    nested: dict[int, list[int]] = {}
    for root, seq in db.execute(
        "SELECT root, seq FROM versions WHERE seq > ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq",
        (before, after),
    ):
        if root not in above:
            nested.setdefault(root, []).append(seq)
    return nested


def _only_seen_by(db: apsw.Connection, root: int, seq: int) -> Iterator[tuple[int, int]]:
    """Entries at or below ``root`` that only version ``seq``, gone already, saw."""
    above = lineage(db, root)
    before, after = _neighbours(db, above, seq)
    nested = _nested_roots(db, set(above), before, after)
    # For each folder: None when it is not below the root, else the nested versions that cover it.
    known: dict[int, tuple[int, ...] | None] = {}

    def covered_by(item: int) -> tuple[int, ...] | None:
        path: list[int] = []
        at: int | None = item
        found: tuple[int, ...] | None = None
        while at is not None:
            if at in known:
                found = known[at]
                break
            path.append(at)
            if at == root:
                found = ()
                break
            at = db.execute("SELECT parent FROM items WHERE id = ?", (at,)).get
        for step in reversed(path):
            if found is not None and step in nested:
                found = (*found, *nested[step])
            known[step] = found
        return found

    for item, since, until, parent in db.execute(
        "SELECT e.item, e.since, e.until, i.parent"
        " FROM entries e CROSS JOIN items i ON i.id = e.item"
        " WHERE e.since > ?1 AND e.since <= ?2"
        " AND ((?3 IS NULL AND (e.until IS NULL OR e.until > ?2))"
        "   OR (?3 IS NOT NULL AND e.until > ?2 AND e.until <= ?3))",
        (before, seq, after),
    ):
        if item == root:
            cover = covered_by(item)
        else:
            cover = None if parent is None else covered_by(parent)
            if cover is not None and item in nested:
                cover = (*cover, *nested[item])
        if cover is None:
            continue
        if any(since <= other and (until is None or other < until) for other in cover):
            continue
        yield item, since
