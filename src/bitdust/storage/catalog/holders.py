"""Who says to keep which segment of a journal, and what follows from it; pure.

Segments are sent one after the other, each until three quarters of the suppliers acknowledged it.
So where a segment cannot have been acknowledged, the journal ends before it, and an epoch whose
base ends that way was never adopted. Where a supplier that does not answer may still have it,
nothing follows: falling back then would forget what was acknowledged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from bitdust.errors import IntegrityError
from bitdust.storage.formats.erasure import fragments_needed
from bitdust.storage.formats.repair import acknowledgements_needed

MAX_AHEAD = 1000
"""Epochs above the one in use that count as begun; a supplier may make up any number."""

Name = tuple[int, int]
"""Epoch and number of a segment."""


class JournalGap(IntegrityError):
    """Segments of the journal are missing.

    Args:
        missing: their epochs and numbers.
    """

    code = "journal_gap"
    default_hint = "wait until more suppliers are online and recover again"

    def __init__(self, missing: tuple[tuple[int, int], ...]) -> None:
        names = ", ".join(f"{epoch}-{seq}" for epoch, seq in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        super().__init__(f"segments of the journal are missing: {names}{more}")
        self.missing = missing


@dataclasses.dataclass(frozen=True, slots=True)
class Holders:
    """The lists of all suppliers that answered.

    Args:
        nodes: who lists each segment.
        n: positions of suppliers.
        silent: how many of those did not answer, or are not filled.
    """

    nodes: dict[Name, list[bytes]]
    n: int
    silent: int

    def of(self, name: Name) -> Sequence[bytes]:
        """Who lists a segment."""
        return self.nodes.get(name, ())

    def epochs(self) -> list[int]:
        """All epochs that somebody lists, the newest first."""
        return sorted({epoch for epoch, _ in self.nodes}, reverse=True)

    def plan(self, epoch: int, first: int = 0) -> list[Name]:
        """The segments of an epoch from ``first`` on, up to the first that nobody lists.

        Raises:
            JournalGap: there is a gap, and the journal goes on behind it.
        """
        seq = first
        while (epoch, seq) in self.nodes:
            seq += 1
        behind = any(one == epoch and other > seq for one, other in self.nodes)
        if behind and not self.may_end_before((epoch, seq)):
            raise JournalGap(((epoch, seq),))
        return [(epoch, number) for number in range(first, seq)]

    def may_end_before(self, name: Name) -> bool:
        """Whether the journal ends before a segment that cannot be read.

        Then it was never acknowledged: too few can have it, and nothing that came after it is kept
        by enough suppliers either. What fewer than half of them list may be made up.
        """
        epoch, seq = name
        if len(self.of(name)) + self.silent >= acknowledgements_needed(self.n):
            return False
        needed = fragments_needed(self.n)
        return not any(
            one == epoch and other > seq and len(nodes) >= needed
            for (one, other), nodes in self.nodes.items()
        )

    def is_a_beginning(self) -> bool:
        """Whether nothing but the first segment ever was on its way, and was never acknowledged."""
        return self.nodes.keys() == {(0, 0)} and self.may_end_before((0, 0))

    def newest(self, epoch: int) -> int:
        """The newest epoch that was begun, given the one in use."""
        return max((one for one in self.epochs() if one <= epoch + MAX_AHEAD), default=epoch)

    def others(self, epoch: int) -> dict[bytes, list[Name]]:
        """Segments of all other epochs, by who lists them."""
        found: dict[bytes, list[Name]] = {}
        for name, nodes in self.nodes.items():
            if name[0] != epoch:
                for node in nodes:
                    found.setdefault(node, []).append(name)
        return found


def gather(lists: Iterable[tuple[bytes, Iterable[Name] | None]], n: int) -> Holders:
    """Put lists together.

    Args:
        lists: each supplier with the segments it lists, None when it did not answer.
        n: positions of suppliers.
    """
    nodes: dict[Name, list[bytes]] = {}
    answered = 0
    for node, names in lists:
        if names is None:
            continue
        answered += 1
        for name in names:
            nodes.setdefault(name, []).append(node)
    return Holders(nodes, n, n - answered)
