"""Deleted versions of many files, taken away in small steps."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitdust.storage.catalog import removal, versions
from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.journal import pack_segment
from bitdust.storage.catalog.replay import Compaction, replay, snapshot_records
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.types import JobState
from bitdust.storage.formats.seal import BlockKind
from bitdust.storage.upkeep import sweeping
from bitdust.storage.upkeep.sweeping import Sweeper

STEP = 4


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (versions, "SWEPT_AT_ONCE"),
        (sweeping, "SWEPT_AT_ONCE"),
        (sweeping, "PRUNED_AT_ONCE"),
        (removal, "PRUNED_AT_ONCE"),
    ):
        monkeypatch.setattr(module, name, STEP)


def tree(count: int, mark: str = "") -> dict[str, Any]:
    return {
        "sub": {f"file {n}": b"%d %s" % (n, mark.encode()) for n in range(count)},
        "same": b"same",
    }


def sweep(box: Any) -> int:
    with ThreadPoolExecutor(1) as pool:
        return asyncio.run(Sweeper(box.catalog, pool).run())


def described(catalog: Catalog) -> list[Any]:
    return list(snapshot_records(catalog))


def replayed(box: Any, path: Path) -> list[Any]:
    """What somebody who has only the journal knows."""
    segments = []
    with box.catalog.transaction() as tx:
        while (segment := tx.begin_segment()) is not None:
            segments.append(pack_segment(segment.epoch, segment.seq, segment.records))
            tx.finish_segment(segment.epoch, segment.seq)
    catalog = Catalog.open(path)
    replay(catalog, segments)
    found = described(catalog)
    catalog.close()
    return found


@pytest.mark.usefixtures("small_steps")
def test_a_large_version_is_forgotten_at_once_and_cleared_in_steps(
    box: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    free = Transaction.sweep

    def counted(self: Transaction, entries: Any) -> None:
        steps.append(len(entries))
        free(self, entries)

    monkeypatch.setattr(Transaction, "sweep", counted)
    seq = box.upload("docs", tree(11))
    with box.catalog.transaction() as tx:
        tx.delete_version(seq)
    assert box.catalog.versions(box.item("docs")) == []
    assert box.catalog.sweeps() == [seq]
    assert box.catalog.reclaimable() == []
    # an upload would build on entries that the journal knows are gone
    job, item = box.start("docs", JobState.PENDING)
    with pytest.raises(CatalogBusy), box.catalog.transaction() as tx:
        tx.update_job(job, updated=1.0, state=JobState.RUNNING)
    with pytest.raises(CatalogBusy):
        list(Compaction(box.catalog))
    assert sweep(box) == 14 + 13
    assert steps == [4, 4, 4, 2]
    assert box.catalog.sweeps() == []
    assert box.catalog.children(item) == {}
    assert box.catalog.reclaimable()
    assert sweep(box) == 0
    with box.catalog.transaction() as tx:
        tx.update_job(job, updated=1.0, state=JobState.FAILED)
    assert described(box.catalog) == replayed(box, tmp_path / "other.db")


@pytest.mark.usefixtures("small_steps")
def test_a_sweep_that_was_cut_off_goes_on(box: Any, tmp_path: Path) -> None:
    seq = box.upload("docs", tree(11))
    kept = box.upload("docs", tree(3, "new"))
    snapshot = box.snapshot("docs", kept)
    with box.catalog.transaction() as tx:
        tx.delete_version(seq)
    entries = box.catalog.swept_entries(seq)
    with box.catalog.transaction() as tx:
        tx.sweep([next(entries), next(entries), next(entries)])
    entries.close()
    box.reopen()
    assert box.catalog.sweeps() == [seq]
    assert sweep(box) > 0
    assert box.snapshot("docs", kept) == snapshot
    assert described(box.catalog) == replayed(box, tmp_path / "other.db")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 2, 0, 3), (2, 0, 3, 1)])
@pytest.mark.parametrize("swept", [False, True], ids=["at the end", "each time"])
def test_steps_leave_what_one_transaction_leaves(
    box: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...], swept: bool
) -> None:
    seqs = [box.upload("docs", tree(9, str(n // 2))) for n in range(4)]
    part = box.upload("docs/sub", {"file 3": b"otherwise", "more": b"more"})
    last = box.upload("docs", tree(5))
    for module in (versions, sweeping):
        monkeypatch.setattr(module, "SWEPT_AT_ONCE", STEP)
    for index in order:
        with box.catalog.transaction() as tx:
            tx.delete_version(seqs[index])
        if swept:
            sweep(box)
    sweep(box)
    assert box.catalog.sweeps() == []
    assert set(box.snapshot("docs/sub", part)) == {"", "file 3", "more"}
    assert len(box.snapshot("docs", last)) == 8
    # the journal's reader takes each version away in one transaction
    assert described(box.catalog) == replayed(box, tmp_path / "other.db")
    with box.catalog.transaction() as tx:
        tx.delete_version(part)
        tx.delete_version(last)
    sweep(box)
    assert box.catalog.totals().files == 0
    assert len(box.catalog.reclaimable()) == len(box.catalog.blocks(BlockKind.DATA))


@pytest.mark.usefixtures("small_steps")
def test_an_item_that_is_deleted_ends_the_sweep_below_it(box: Any, tmp_path: Path) -> None:
    seq = box.upload("docs", tree(11))
    with box.catalog.transaction() as tx:
        tx.delete_version(seq)
        tx.delete_item(box.item("docs"))
    assert box.catalog.sweeps() == []
    sweep(box)
    assert box.catalog.totals().items == 0
    assert described(box.catalog) == replayed(box, tmp_path / "other.db")
