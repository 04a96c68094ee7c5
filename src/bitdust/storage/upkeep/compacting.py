"""A shorter journal in place of a long one.

Once the journal is much larger than what it tells of, the catalog's present state is written down
as the base of a new epoch, sent, and adopted; then the segments of the old epoch are deleted. Until
the adoption, one transaction, the old epoch is the valid one, and all of it is there. Each segment
of the new one is a row of the catalog before it is sent, so that what a crash or a missing supplier
leaves behind is known, and cleared away with the next look of the caretaker.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import IO

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import LocalFileError, QuotaExceeded, TooFewSuppliers
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.journal import pack_segment
from bitdust.storage.catalog.outbox import Weight, segment_name
from bitdust.storage.catalog.replay import Compaction
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.formats.fragment import Fragment, build_fragments
from bitdust.storage.formats.seal import BLOCK_ID_SIZE, KEY_SIZE, BlockKind, wrap_key
from bitdust.storage.transfer.spread import NodeID, Spreader
from bitdust.storage.upkeep.journalsync import (
    SEGMENT_BYTES,
    JournalSync,
    open_segment,
    segment_sent,
)

SEGMENT_COST = 16 * 1024
"""Bytes that one more segment is worth: a round trip, and a sync of each supplier's disk."""
LEAST_SEGMENTS = 64
"""A journal with less than the cost of so many segments since its base is short enough."""
FACTOR = 2
"""A journal is too long when what came since its base costs this many times the base itself."""
PAUSE = 600.0
"""Seconds until a compaction that could not be finished is tried again."""

log = structlog.get_logger(component="compaction")


def cost(part: Weight) -> int:
    """What a part of the journal costs to keep and to read back, bytes."""
    return part.size + part.segments * SEGMENT_COST


def too_long(base: Weight, since: Weight) -> bool:
    """Whether a journal is worth a look at what it describes.

    Args:
        base: the segments of its base, none in a journal that was never compacted.
        since: the segments after those.
    """
    return cost(since) > max(LEAST_SEGMENTS * SEGMENT_COST, FACTOR * cost(base))


@dataclass(slots=True)
class _Draft:
    """A base, packed, in a file without a name."""

    file: IO[bytes] | None = None
    epoch: int = 0
    outbox_seq: int = 0
    sizes: list[int] = field(default_factory=list)

    def read(self, seq: int) -> bytes:
        assert self.file is not None
        self.file.seek(sum(self.sizes[:seq]))
        return self.file.read(self.sizes[seq])


class Compactor:
    """Keeps the journal short.

    Args:
        catalog: what the journal tells of.
        journal: stands still meanwhile; its key and its envelope are used.
        spreader: sends fragments.
        clock, random: time and chance.
        pool: where segments are built and the catalog asked.
    """

    def __init__(
        self,
        catalog: Catalog,
        journal: JournalSync,
        spreader: Spreader,
        clock: Clock,
        random: Random,
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._journal = journal
        self._spreader = spreader
        self._clock = clock
        self._random = random
        self._pool = pool
        self._strays = True
        self._not_before = 0.0

    async def run(self, n: int) -> int:
        """Compact the journal if it is too long; one caller at a time.

        Args:
            n: number of suppliers.

        Returns:
            Segments of the new base; 0 when there was nothing to do, or not now.
        """
        if self._strays:
            # left by a run of the program that was cut off, or by a try that failed
            await in_pool(self._pool, self._drop_strays)
            self._strays = False
        if self._clock.monotonic() < self._not_before:
            return 0
        if not await in_pool(self._pool, self._due, n):
            return 0
        self._strays = True
        try:
            async with self._journal.quiet(n):
                segments = await self._replace(n)
        except (TooFewSuppliers, QuotaExceeded, CatalogBusy, LocalFileError) as exc:
            self._not_before = self._clock.monotonic() + PAUSE
            log.info("compaction put off", code=exc.code, reason=exc.message)
            return 0
        self._strays = False
        return segments

    def _drop_strays(self) -> None:
        if self._catalog.stray_segments():
            with self._catalog.transaction() as tx:
                tx.drop_strays()

    def _due(self, n: int) -> bool:
        base, since = self._catalog.journal_weights()
        if self._catalog.journal_is_spread_otherwise(n):
            return True
        return too_long(base, since) and cost(since) > FACTOR * self._catalog.state_size()

    async def _replace(self, n: int) -> int:
        draft = _Draft()
        try:
            await in_pool(self._pool, self._describe, draft)
            for seq in range(len(draft.sizes)):
                number, fragments = await in_pool(self._pool, self._prepare, draft, seq, n)
                name = self._journal.object_name(draft.epoch, seq)
                outcome = await self._spreader.spread(name, fragments)
                await in_pool(self._pool, self._sent, number, outcome.suppliers)
            old = await in_pool(self._pool, self._adopt, draft)
        finally:
            if draft.file is not None:
                draft.file.close()
        log.info("journal compacted", epoch=draft.epoch, before=old, segments=len(draft.sizes))
        return len(draft.sizes)

    def _describe(self, draft: _Draft) -> None:
        """Write the base into a file first: a view that is open for long makes the log grow."""
        with self._catalog.transaction() as tx:
            draft.epoch = tx.begin_epoch()
        compaction = Compaction(self._catalog, SEGMENT_BYTES, draft.epoch)
        try:
            draft.file = tempfile.TemporaryFile(dir=self._catalog.path.parent)  # noqa: SIM115
            for seq, records in enumerate(compaction):
                packed = self._journal.envelope.wrap(
                    draft.epoch, seq, pack_segment(draft.epoch, seq, records)
                )
                draft.file.write(packed)
                draft.sizes.append(len(packed))
        except OSError as exc:
            raise LocalFileError(f"no room for a shorter journal: {exc.strerror}") from exc
        draft.outbox_seq = compaction.outbox_seq

    def _prepare(self, draft: _Draft, seq: int, n: int) -> tuple[int, list[Fragment]]:
        key = self._random.token(KEY_SIZE)
        fragments = build_fragments(
            self._random.token(BLOCK_ID_SIZE),
            key,
            wrap_key(self._journal.owner.kek, key),
            n,
            [draft.read(seq)],
            kind=BlockKind.JOURNAL,
        )
        with self._catalog.transaction() as tx:
            number = open_segment(
                tx,
                self._journal.owner.ref,
                segment_name(draft.epoch, seq),
                fragments[0].header,
                [fragment.digest for fragment in fragments],
                self._clock.now(),
            )
        return number, fragments

    def _sent(self, number: int, suppliers: Sequence[NodeID | None]) -> None:
        with self._catalog.transaction() as tx:
            segment_sent(tx, number, suppliers)

    def _adopt(self, draft: _Draft) -> int:
        with self._catalog.transaction() as tx:
            return len(tx.adopt_epoch(draft.epoch, len(draft.sizes), draft.outbox_seq))
