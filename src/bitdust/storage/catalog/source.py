"""Where the catalog's queries run: what readers, views and transactions have in common."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import apsw

from bitdust.errors import IntegrityError
from bitdust.storage.catalog.runs import Run, decode_runs

if TYPE_CHECKING:
    from bitdust.storage.catalog.journal import Record

_RUNS_AT_ONCE: Final = 50_000
"""Runs of chunk numbers gathered in memory before they are counted."""


RUNNING_UPLOADS: Final = "state IN ('pending', 'running') AND state = 'running' AND kind = 'upload'"
"""Of the table ``jobs``; worded so that the index of unfinished jobs is used, not all of them."""


class Source(ABC):
    """A place to read from: a pooled connection, one consistent view, or the open transaction."""

    @abstractmethod
    def _using(self) -> AbstractContextManager[apsw.Connection]:
        """A connection for one query."""

    @abstractmethod
    def _consistent(self) -> AbstractContextManager[apsw.Connection]:
        """A connection whose queries all see the same state."""


class Sink(Source):
    """A place to write to: the open transaction."""

    db: apsw.Connection
    released: bool = False
    """Whether something was let go that blocks or items may have been kept for."""

    @abstractmethod
    def _journal(self, record: Record) -> None:
        """Add a record of the change to the outgoing journal, in this transaction."""

    def _allocate(self, counter: str, count: int) -> int:
        """Take ``count`` numbers that are never given again; the first of them."""
        after = self.db.execute(
            "UPDATE meta SET value = value + ? WHERE name = ? RETURNING value", (count, counter)
        ).get
        return int(after) - count

    def _reference(self, contents: Iterator[bytes], sign: int) -> None:
        """Count the chunks of contents in (``sign`` 1) or out (-1).

        Raises:
            IntegrityError: a chunk that the catalog does not have.
            FormatError: a content that is no list of numbers.
        """
        runs = itertools.chain.from_iterable(map(decode_runs, contents))
        while part := list(itertools.islice(runs, _RUNS_AT_ONCE)):
            self.released = self.released or sign < 0
            for start, end, times in join_runs(part):
                self.db.execute(
                    "UPDATE chunks SET refs = refs + ? WHERE number >= ? AND number < ?",
                    (times * sign, start, end),
                )
                if self.db.changes() != end - start:
                    raise IntegrityError("a file refers to chunks that the catalog does not have")


def join_runs(runs: list[Run]) -> list[tuple[int, int, int]]:
    """The chunks that runs use, as ``(first, end, times)`` with neighbours joined."""
    joined: list[tuple[int, int, int]] = []
    for start, end, times in sorted(
        (run.start, run.end, run.length if run.same else 1) for run in runs
    ):
        if joined and joined[-1][1] == start and joined[-1][2] == times:
            joined[-1] = (joined[-1][0], end, times)
        else:
            joined.append((start, end, times))
    return joined
