"""The tree of a share: what all its writers have, merged. Blocks; meant for the pool.

Folders are merged name by name as they are looked at, page by page, so that a folder of any size
costs the memory of a page per writer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from bitdust.ids import PathID, encode_name
from bitdust.sharing.share_merge import (
    MAX_SKEW,
    Claim,
    Facts,
    Removal,
    Writer,
    is_removed,
    name_all,
    plain_name,
    visible,
)
from bitdust.sharing.share_notes import path_hash
from bitdust.sharing.share_source import Source, moment
from bitdust.storage import ItemVersion, ListRow

MAX_DEPTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """One writer's row of a merged one."""

    source: Source
    row: ListRow

    @property
    def path_id(self) -> PathID:
        """The id of the row in the share: its writer, then the id in that writer's catalog."""
        return PathID((self.source.slot, *self.row.path_id.numbers))


@dataclass(frozen=True, slots=True)
class Merged:
    """A file or folder of a share.

    Args:
        path: in the share.
        is_folder: whose content is that of all places.
        places: of a file, the one that counts first, then others with older versions of it; of a
            folder, all writers that have it.
    """

    path: str
    is_folder: bool
    places: Sequence[Place]

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root."""
        return self.path.rpartition("/")[2]

    @property
    def main(self) -> Place:
        """The place that counts."""
        return self.places[0]

    def versions(self) -> list[tuple[Place, ItemVersion]]:
        """All versions that anybody made, newest first."""
        found = [(place, version) for place in self.places for version in place.row.versions]
        found.sort(
            key=lambda one: (moment(one[1].version.created), one[0].source.node), reverse=True
        )
        return found


class ShareView:
    """The merged tree at one moment.

    Args:
        sources: of all writers.
        now: wall clock, seconds; removals far ahead of it do not count yet.
    """

    def __init__(self, sources: Sequence[Source], now: float) -> None:
        self._now = now
        self._sources = sorted(sources, key=lambda source: source.node)
        names = [source.person.partition("@")[0] for source in self._sources]
        self._who: dict[Writer, str] = {
            source.writer: name if names.count(name) == 1 else source.person
            for source, name in zip(self._sources, names, strict=True)
        }

    # --- removals -------------------------------------------------------------------------------

    def _removals(self, path: str) -> list[Removal]:
        """Removals of a path itself, by anybody."""
        key = path_hash(encode_name(path))
        return [
            removal
            for source in self._sources
            for removal in source.removals.get(key, ())
            if removal.time <= self._now + MAX_SKEW
        ]

    def _removals_down_to(self, path: str) -> list[Removal]:
        """Removals of a path and of the folders above it."""
        found = self._removals("") if path else []
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            found += self._removals("/".join(parts[:depth]))
        return found

    # --- one name -------------------------------------------------------------------------------

    def _group(
        self, folder: str, name: str, rows: list[Place], above: list[Removal]
    ) -> list[Merged]:
        """What becomes of one name that some writers have in a folder."""
        path = f"{folder}/{name}" if folder else name
        removals = [*above, *self._removals(path)]
        claims: dict[Writer, Claim] = {}
        places: dict[Writer, Place] = {}
        for place in rows:
            claim = place.source.claim(place.row)
            if claim is None and not place.row.childs:
                continue
            if claim is None or (claim.is_folder and is_removed(claim, removals)):
                # a folder that was deleted is there while something newer is in it
                if not place.row.childs or not self._has_any(path, removals):
                    continue
                claim = Claim(place.source.writer, 0, {}, float("inf"), is_folder=True)
            claims[claim.writer] = claim
            places[claim.writer] = place
        shown = visible(Facts(claims, tuple(removals)))
        if not shown:
            return []
        every = [claim for claim in claims.values() if not is_removed(claim, removals)]
        merged: list[Merged] = []
        folders = [places[claim.writer] for claim in every if claim.is_folder]
        keep = [claim for claim in shown if not claim.is_folder]
        if folders:
            merged.append(Merged(path, True, folders))
            keep.insert(0, Claim(b"", 0, {}, 0.0, is_folder=True))

        def taken(other: str) -> bool:
            return self._is_taken(folder, other)

        for label, claim in name_all(name, keep, self._who, taken):
            if claim.is_folder:
                continue
            older = [
                places[other.writer]
                for other in every
                if not other.is_folder and other not in shown
            ]
            where = f"{folder}/{label}" if folder else label
            merged.append(Merged(where, False, [places[claim.writer], *older]))
        return merged

    def _is_taken(self, folder: str, name: str) -> bool:
        path = f"{folder}/{name}" if folder else name
        return any(source.row(path) is not None for source in self._sources)

    def _has_any(self, folder: str, removals: list[Removal]) -> bool:
        """Whether something in a folder is visible, however deep."""
        return next(self._children(folder, removals), None) is not None

    # --- folders --------------------------------------------------------------------------------

    def children(self, folder: str) -> Iterator[Merged]:
        """What is in a folder, by name."""
        return self._children(folder, self._removals_down_to(folder))

    def _children(self, folder: str, above: list[Removal]) -> Iterator[Merged]:
        def rows(source: Source) -> Iterator[tuple[bytes, bytes, Place]]:
            for row in source.children(folder):
                yield encode_name(row.item.name), source.node, Place(source, row)

        merged = heapq.merge(
            *(rows(source) for source in self._sources), key=lambda found: found[:2]
        )
        for _, group in groupby(merged, key=lambda found: found[0]):
            places = [found[2] for found in group]
            yield from self._group(folder, places[0].row.item.name, places, above)

    def walk(self, folder: str) -> Iterator[Merged]:
        """All below a folder, folders before what is in them."""
        levels = [self.children(folder)]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
                continue
            yield found
            if found.is_folder and len(levels) < MAX_DEPTH:
                levels.append(self.children(found.path))

    # --- finding --------------------------------------------------------------------------------

    def root(self) -> Merged:
        """The top of the tree."""
        places = [
            Place(source, row) for source in self._sources if (row := source.row("")) is not None
        ]
        return Merged("", True, places)

    def find(self, path: str) -> Merged | None:
        """What is at a path of the share, None when there is nothing."""
        if not path:
            return self.root()
        folder, _, name = path.rpartition("/")
        found = self._find_in(folder, name, path)
        if found is None:
            original = plain_name(name)
            found = None if original is None else self._find_in(folder, original, path)
        return found

    def _find_in(self, folder: str, name: str, path: str) -> Merged | None:
        at = f"{folder}/{name}" if folder else name
        places = [
            Place(source, row) for source in self._sources if (row := source.row(at)) is not None
        ]
        if not places:
            return None
        group = self._group(folder, name, places, self._removals_down_to(folder))
        return next((merged for merged in group if merged.path == path), None)

    def find_id(self, path_id: PathID) -> Merged | None:
        """What has an item id of the share, None when nothing has it."""
        if not path_id.numbers:
            return None
        slot, own = path_id.numbers[0], PathID(path_id.numbers[1:])
        for source in self._sources:
            if source.slot != slot:
                continue
            row = source.row_by_id(own)
            if row is None:
                continue
            folder, _, name = row.path.rpartition("/")
            places = [
                Place(other, found)
                for other in self._sources
                if (found := other.row(row.path)) is not None
            ]
            for merged in self._group(folder, name, places, self._removals_down_to(folder)):
                if any(
                    place.source is source and place.row.item.id == row.item.id
                    for place in merged.places
                ):
                    return merged
        return None

    def sources(self) -> Sequence[Source]:
        """All writers."""
        return self._sources
