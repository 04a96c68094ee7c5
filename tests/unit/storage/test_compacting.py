"""When a journal is compacted, and what that costs."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from bitdust.clock import SystemClock, SystemRandom
from bitdust.errors import TooFewSuppliers
from bitdust.storage.catalog.outbox import Weight, segment_epoch
from bitdust.storage.catalog.types import BlockState
from bitdust.storage.formats.seal import BlockKind
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.spread import Outcome
from bitdust.storage.upkeep import compacting
from bitdust.storage.upkeep.compacting import FACTOR, LEAST_SEGMENTS, Compactor, cost, too_long
from bitdust.storage.upkeep.journalsync import JournalSync

NODES = [bytes([n]) * 32 for n in range(4)]


class Sent:
    """A spreader that keeps names only, and may have enough of it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fails_at = -1

    async def spread(self, name: str, fragments: Any) -> Outcome:
        if len(self.names) == self.fails_at:
            raise TooFewSuppliers("all are gone")
        self.names.append(name)
        return Outcome(list(NODES), sum(fragment.size for fragment in fragments))


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def compactor(box: Any, sent: Sent, pool: Executor) -> Compactor:
    owner = OwnerKey(box.key, b"k" * 32, b"c" * 32)
    clock, random = SystemClock(), SystemRandom()
    journal = JournalSync(box.catalog, owner, b"j" * 16, sent, clock, random, pool)
    return Compactor(box.catalog, journal, sent, clock, random, pool)


def journal_epochs(box: Any, state: BlockState = BlockState.STORED) -> set[int]:
    return {
        segment_epoch(block.name)
        for block in box.catalog.blocks(BlockKind.JOURNAL, limit=10_000)
        if block.state == state
    }


def test_the_rule() -> None:
    nothing = Weight(0, 0)
    assert not too_long(nothing, Weight(LEAST_SEGMENTS, 0))
    assert too_long(nothing, Weight(LEAST_SEGMENTS, 1))
    # a few large segments are as good a reason as many small ones
    assert too_long(nothing, Weight(1, cost(Weight(LEAST_SEGMENTS, 0))))
    large = Weight(10, 30_000_000)
    assert not too_long(large, Weight(60, 50_000_000))
    assert too_long(large, Weight(60, FACTOR * cost(large)))


def test_a_journal_that_tells_of_much_is_left_alone(
    box: Any, compactor: Compactor, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "LEAST_SEGMENTS", 0)
    monkeypatch.setattr(compacting, "SEGMENT_COST", 0)
    with box.catalog.transaction() as tx:
        docs = tx.ensure_path(box.key, "docs", is_folder=True)[0].id
        tx.ensure_children(docs, [b"%d %d" % (n, n**3) for n in range(3000)])
    assert asyncio.run(compactor.run(4)) == 0
    asyncio.run(compactor._journal.flush(4))
    # the base would be about as long
    assert asyncio.run(compactor.run(4)) == 0
    assert len(sent.names) == 1
    with box.catalog.transaction() as tx:
        tx.delete_item(docs)
    asyncio.run(compactor._journal.flush(4))
    assert asyncio.run(compactor.run(4)) == 1
    assert box.catalog.journal_position == (1, 1)
    assert journal_epochs(box) == {1}
    assert journal_epochs(box, BlockState.DYING) == {0}
    assert asyncio.run(compactor.run(4)) == 0


def test_one_that_fails_is_cleared_away_and_tried_later(
    box: Any, compactor: Compactor, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LEAST_SEGMENTS", 2), ("SEGMENT_COST", 1 << 20), ("SEGMENT_BYTES", 4000)):
        monkeypatch.setattr(compacting, name, value)
    for n in range(9):
        box.upload("docs", {f"{m}": b"%d %d" % (n, m) for m in range(30)})
        asyncio.run(compactor._journal.flush(4))
    sent.fails_at = len(sent.names) + 2
    assert asyncio.run(compactor.run(4)) == 0
    assert box.catalog.journal_position[0] == 0
    assert len(box.catalog.stray_segments()) == 3
    sent.fails_at = -1
    # not at once again, but what is left over is given up at once
    assert asyncio.run(compactor.run(4)) == 0
    assert box.catalog.stray_segments() == []
    assert journal_epochs(box, BlockState.DYING) == {1}
    compactor._not_before = 0.0
    assert asyncio.run(compactor.run(4)) > 3
    # a number that was used for half a journal is not used again
    assert box.catalog.journal_position[0] == 2
    assert journal_epochs(box) == {2}


def test_memory_holds_one_segment_and_not_the_base(
    box: Any, compactor: Compactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LEAST_SEGMENTS", 0), ("SEGMENT_COST", 1 << 30)):
        monkeypatch.setattr(compacting, name, value)
    monkeypatch.setattr(compacting, "SEGMENT_BYTES", 64 * 1024)
    with box.catalog.transaction() as tx:
        for n in range(40):
            folder = tx.ensure_path(box.key, f"folder {n}", is_folder=True)[0].id
            tx.ensure_children(folder, [b"a file of some length %d" % m for m in range(1000)])
    asyncio.run(compactor._journal.flush(4))
    tracemalloc.start()
    try:
        segments = asyncio.run(compactor.run(4))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert segments > 20
    assert peak < 2_000_000, peak
