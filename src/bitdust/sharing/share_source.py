"""One writer's catalog in a share, as the merged view asks it. Blocks; meant for the pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from bitdust.errors import FormatError, NotInCatalog
from bitdust.ids import PathID, decode_name
from bitdust.sharing.share_ledger import Happening
from bitdust.sharing.share_merge import NOTHING, Claim, Removal, Seen, Writer
from bitdust.sharing.share_notes import (
    NOTES,
    Removed,
    Saw,
    note_number,
    note_path,
    path_hash,
    read_note,
)
from bitdust.storage import Catalog, ListRow, Transaction
from bitdust.supply import WRITER

PAGE: Final = 256
MAX_NOTE_DEPTH: Final = 16
LATEST: Final = 1e11
"""Seconds since 1970 that count as a time; the year 5138."""
MAX_NOTES: Final = 500_000
"""Notes of one writer that count; further ones are passed over."""

log = structlog.get_logger(component="shares")


@dataclass(slots=True)
class Source:
    """What one writer has in a share.

    Args:
        node: node id of the writer.
        person: global id of the writer.
        catalog: its catalog, open.
    """

    node: bytes
    person: str
    catalog: Catalog
    saw: dict[int, Seen] = field(default_factory=dict)
    removals: dict[bytes, list[Removal]] = field(default_factory=dict)
    removed: list[Removed] = field(default_factory=list)
    _last_note: bytes = b""
    _last_version: int = 0
    _number: int = 0
    _notes: int = 0
    _added: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def writer(self) -> Writer:
        """The writer as claims name it."""
        return self.node[:WRITER]

    @property
    def slot(self) -> int:
        """A number that stands for the writer in item ids."""
        return int.from_bytes(self.node[:4], "big")

    def tree(self) -> int | None:
        """The key under which the files are, None while nothing was written."""
        keys = self.catalog.keys()
        return min((ref for text, ref in keys.items() if text != str(NOTES)), default=None)

    def newest(self) -> int:
        """The number of the newest version."""
        return self.catalog.meta("next_version") - 1

    # --- notes ----------------------------------------------------------------------------------

    def refresh(self) -> list[Happening]:
        """Take what the catalog has new.

        Returns:
            What happened since the last time: uploads and deletions.
        """
        with self._lock:
            return self._refresh()

    def _refresh(self) -> list[Happening]:
        happened = [*self._new_versions()]
        ref = self.catalog.find_key(NOTES)
        if ref is None:
            return happened
        root = self.catalog.root(ref).id
        while rows := self.catalog.list_folder(root, after=self._last_note, limit=PAGE):
            for row in rows:
                self._last_note = row.item.name.encode("utf-8", "surrogateescape")
                try:
                    note = read_note(list(self._names(row)))
                    number = note_number(row.item.name)
                    self._number = max(self._number, number)
                    self._notes += 1
                    if self._notes > MAX_NOTES:
                        raise FormatError(f"a writer has more than {MAX_NOTES} notes")
                except FormatError as exc:
                    # of a later version of the program, or made up: it counts for nothing
                    log.warning("note not read", writer=self.person, reason=exc.message)
                    continue
                if isinstance(note, Saw):
                    self.saw[note.seq] = note.seen
                    continue
                if number in self._added:
                    self._added.discard(number)
                else:
                    happened.append(self._take_removal(note, number))
        return happened

    def _take_removal(self, note: Removed, number: int) -> Happening:
        # nobody can have seen of itself what it has not written
        seen = {**note.seen, self.writer: min(note.seen.get(self.writer, 0), self.newest())}
        place = self.removals.setdefault(path_hash(note.path), [])
        place.append(Removal(self.writer, seen, note.time))
        self.removed.append(note)
        return Happening(
            moment(note.time),
            self.person,
            "deleted",
            decode_name(note.path),
            mark=f"d/{self.node.hex()}/{number}",
        )

    def _names(self, row: ListRow) -> Iterator[str]:
        yield row.item.name
        depth = 0
        while row.childs and depth < MAX_NOTE_DEPTH:
            row = self.catalog.list_folder(row.item.id, limit=1)[0]
            yield row.item.name
            depth += 1

    def _new_versions(self) -> Iterator[Happening]:
        newest = self.newest()
        for seq in range(self._last_version + 1, newest + 1):
            try:
                version = self.catalog.version(seq)
                path = self.catalog.path_of(version.root)[0]
            except NotInCatalog:
                continue
            yield Happening(
                moment(version.created),
                self.person,
                "uploaded",
                path,
                version.label,
                mark=f"u/{self.node.hex()}/{seq}",
            )
        self._last_version = newest

    def add_note(self, tx: Transaction, note: Saw | Removed, now: float) -> Happening | None:
        """Write a note into the own catalog, within a transaction; it counts at once.

        Returns:
            What happened by it, for a removal.
        """
        with self._lock:
            # rises even when the transaction fails: others read notes by rising numbers
            self._number += 1
            number = self._number
        path = note_path(number, note)
        tx.ensure_path(tx.ensure_key(NOTES, now), path, is_folder=True, created=now)
        if isinstance(note, Saw):
            self.saw[note.seq] = note.seen
            return None
        self._added.add(number)
        return self._take_removal(note, number)

    # --- claims ---------------------------------------------------------------------------------

    def row(self, path: str) -> ListRow | None:
        """The writer's item at a path, None when it has none."""
        ref = self.tree()
        found = None if ref is None else self.catalog.lookup(ref, path)
        return None if found is None else self.catalog.list_item(found.id)

    def row_by_id(self, path_id: PathID) -> ListRow | None:
        """The writer's item with an id of its own catalog."""
        ref = self.tree()
        found = None if ref is None else self.catalog.lookup(ref, path_id)
        return None if found is None else self.catalog.list_item(found.id)

    def children(self, path: str) -> Iterator[ListRow]:
        """What the writer has in a folder, by the bytes of the names."""
        ref = self.tree()
        item = None if ref is None else self.catalog.lookup(ref, path)
        after = b""
        while item is not None:
            page = self.catalog.list_folder(item.id, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].item.name.encode("utf-8", "surrogateescape")

    def claim(self, row: ListRow) -> Claim | None:
        """What the writer says of a row; None when it says that it is gone."""
        if row.entry is None:
            return Claim(self.writer, 0, NOTHING, moment(row.item.created), row.item.is_folder)
        if not row.current:
            return None
        since = row.entry.since
        seen = self.saw.get(since, NOTHING)
        return Claim(self.writer, since, seen, self._made(row, since), row.entry.type == "d")

    @staticmethod
    def _made(row: ListRow, since: int) -> float:
        """When a version was made; of a forgotten one, when the next was."""
        later = [version for version in row.versions if version.version.seq >= since]
        return moment(later[-1].version.created if later else row.item.created)


def moment(time: float) -> float:
    """A time that somebody else wrote down, as one that can be compared and shown."""
    return time if 0.0 <= time <= LATEST else 0.0
