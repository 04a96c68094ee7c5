"""The outgoing journal: records wait here until a segment with them is safe at the suppliers.

A segment under way is fixed: after a crash it is sent again under the same name, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bitdust.errors import InvalidInput
from bitdust.storage.catalog.journal import MAX_SEGMENT
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.source import Sink, Source
from bitdust.storage.catalog.types import OpenSegment

MAX_SEALED: Final = 2 * MAX_SEGMENT
_PACKED_ROW: Final = {
    "items": 24,
    "entries": 64,
    "versions": 64,
    "chunks": 44,
    "blocks": 60,
    "fragments": 300,
}
"""About how many bytes a row takes in a base, packed: mostly hashes, which no packer makes less."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A part of the journal.

    Args:
        segments: how many. size: bytes of them, packed.
    """

    segments: int
    size: int


class OutboxReads(Source):
    """Questions about the journal's state."""

    def meta(self, name: str) -> int:
        """A counter or mark of the catalog by its name."""
        with self._using() as db:
            return int(db.execute("SELECT value FROM meta WHERE name = ?", (name,)).get)

    @property
    def revision(self) -> int:
        """Rises with every change that the journal tells of."""
        return self.meta("revision")

    @property
    def journal_position(self) -> tuple[int, int]:
        """Epoch and number of the next segment."""
        with self._using() as db:
            found = dict(
                db.execute("SELECT name, value FROM meta WHERE name IN ('epoch', 'next_segment')")
            )
        return found["epoch"], found["next_segment"]

    def journal_weights(self) -> tuple[Weight, Weight]:
        """The base of the present epoch, and the changes sent since; segments still being sent are
        left out."""
        with self._consistent() as db:
            found = dict(db.execute("SELECT name, value FROM meta"))
            rows: Any = db.execute(
                "SELECT CAST(substr(name, instr(name, '-') + 1) AS INTEGER) < ?1, count(*),"
                " sum(payload) FROM blocks WHERE name != '' AND kind = 2 AND state = 1"
                " AND CAST(name AS INTEGER) = ?2 GROUP BY 1",
                (found["base_segments"], found["epoch"]),
            )
            parts = {bool(base): Weight(count, size) for base, count, size in rows}
        return parts.get(True, Weight(0, 0)), parts.get(False, Weight(0, 0))

    def journal_is_spread_otherwise(self, n: int) -> bool:
        """Whether a segment of the present epoch was made for another number of suppliers."""
        with self._using() as db:
            return (
                db.execute(
                    "SELECT 1 FROM blocks WHERE name != '' AND kind = 2 AND state = 1"
                    " AND suppliers != ? AND CAST(name AS INTEGER) ="
                    " (SELECT value FROM meta WHERE name = 'epoch') LIMIT 1",
                    (n,),
                ).get
                is not None
            )

    def stray_segments(self) -> list[int]:
        """Blocks of an epoch that was begun and never adopted."""
        with self._using() as db:
            return [
                row[0]
                for row in db.execute(
                    "SELECT number FROM blocks WHERE name != '' AND kind = 2 AND state != 2"
                    " AND CAST(name AS INTEGER) >"
                    " (SELECT value FROM meta WHERE name = 'epoch') ORDER BY number"
                )
            ]

    def state_size(self) -> int:
        """About how many bytes a base would have, packed; counts rows, so ask rarely."""
        with self._consistent() as db:
            return sum(
                int(db.execute(f"SELECT count(*) FROM {table}").get) * size  # noqa: S608
                for table, size in _PACKED_ROW.items()
            )

    def outbox_size(self) -> int:
        """Bytes of records not yet safe at the suppliers."""
        with self._using() as db:
            return int(db.execute("SELECT coalesce(sum(length(records)), 0) FROM outbox").get)

    def open_segment(self) -> OpenSegment | None:
        """The segment being sent, or None."""
        with self._consistent() as db:
            row = db.execute("SELECT last, sealed FROM segment").fetchone()
            if row is None:
                return None
            records = b"".join(
                part
                for (part,) in db.execute(
                    "SELECT records FROM outbox WHERE seq <= ? ORDER BY seq", (row[0],)
                )
            )
            found = dict(
                db.execute("SELECT name, value FROM meta WHERE name IN ('epoch', 'next_segment')")
            )
        return OpenSegment(found["epoch"], found["next_segment"], row[0], records, row[1])


class OutboxWrites(Sink, OutboxReads):
    """Steps of sending the journal."""

    def begin_segment(self, max_bytes: int = 4 * 1024 * 1024) -> OpenSegment | None:
        """Fix the next segment, or name the one already fixed; None when nothing waits.

        Changes of this same transaction come in a later one.

        Args:
            max_bytes: of records; a single longer change is still taken whole.
        """
        current = self.open_segment()
        if current is not None:
            return current
        last = size = 0
        for seq, length in self.db.execute("SELECT seq, length(records) FROM outbox ORDER BY seq"):
            if last and size + length > min(max_bytes, MAX_SEGMENT):
                break
            last, size = seq, size + length
        if not last:
            return None
        self.db.execute("INSERT INTO segment VALUES (1, ?, NULL)", (last,))
        return self.open_segment()

    def seal_segment(self, sealed: bytes) -> None:
        """Keep the sealed bytes of the fixed segment, so that sending it again sends the same.

        Raises:
            InvalidInput: none is fixed, or it is sealed already, or too long.
        """
        if len(sealed) > MAX_SEALED:
            raise InvalidInput("a sealed journal segment is too long")
        self.db.execute("UPDATE segment SET sealed = ? WHERE sealed IS NULL", (sealed,))
        if self.db.changes() != 1:
            raise InvalidInput("there is no journal segment to seal")

    def finish_segment(self, epoch: int, seq: int) -> None:
        """Note that the fixed segment is safe: its records leave the outbox.

        Raises:
            InvalidInput: another segment is fixed, or none.
        """
        current = self.open_segment()
        if current is None or (current.epoch, current.seq) != (epoch, seq):
            raise InvalidInput(f"the journal segment {epoch}-{seq} is not the one being sent")
        self._forget_outbox(current.last)
        self.db.execute("DELETE FROM segment")
        self.set_meta("next_segment", seq + 1)

    def _forget_outbox(self, last: int) -> None:
        self.db.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
        self.set_meta("outbox_sent", last)

    def adopt_epoch(self, epoch: int, segments: int, outbox_seq: int) -> list[int]:
        """Go on from a compacted journal that is safe at the suppliers; see ``replay.Compaction``.

        Blocks of older segments are dying from now on.

        Args:
            epoch: of the compacted journal. segments: how many it has.
            outbox_seq: last outgoing row that it includes.

        Returns:
            The numbers of the blocks of older segments.

        Raises:
            CatalogBusy: segments of the old epoch were sent meanwhile; compact again.
            InvalidInput: no later epoch.
        """
        if epoch <= self.meta("epoch"):
            raise InvalidInput(f"the journal is already in epoch {self.meta('epoch')}")
        if self.meta("outbox_sent") > outbox_seq or self.open_segment() is not None:
            raise CatalogBusy("the journal was sent while it was being compacted")
        self._forget_outbox(outbox_seq)
        self.set_meta("epoch", epoch)
        self.set_meta("next_segment", segments)
        self.set_meta("base_segments", segments)
        segments_kept: Any = self.db.execute(
            "SELECT number, name FROM blocks WHERE kind = 2 AND state != 2"
        ).fetchall()
        older = [int(number) for number, name in segments_kept if segment_epoch(name) < epoch]
        self.db.executemany(
            "UPDATE blocks SET state = 2 WHERE number = ?", ((number,) for number in older)
        )
        return older

    def begin_epoch(self) -> int:
        """The number of an epoch that no segment was ever named after, for a compacted journal."""
        epoch = max(self.meta("newest_epoch"), self.meta("epoch")) + 1
        self.set_meta("newest_epoch", epoch)
        return epoch

    def drop_strays(self) -> int:
        """Make the blocks of epochs that were never adopted dying; how many they are.

        Call it only while no compacted journal is being sent.
        """
        strays = self.stray_segments()
        self.db.executemany(
            "UPDATE blocks SET state = 2 WHERE number = ?", ((number,) for number in strays)
        )
        return len(strays)

    def set_meta(self, name: str, value: int) -> None:
        """Set a counter or mark that exists."""
        self.db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def segment_name(epoch: int, seq: int) -> str:
    """The name of the block of a journal segment: ``<epoch>-<seq>``."""
    return f"{epoch}-{seq}"


def segment_epoch(name: str) -> int:
    """The epoch in a segment's name.

    Raises:
        InvalidInput: no such name.
    """
    epoch, dash, seq = name.partition("-")
    if not (dash and epoch.isdecimal() and seq.isdecimal()):
        raise InvalidInput(f"{name[:40]!a} names no journal segment")
    return int(epoch)
