"""Sending the journal, and bringing a catalog back from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.storage.catalog import journal as j
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.outbox import segment_epoch, segment_name
from bitdust.storage.catalog.replay import (
    Compaction,
    JournalGap,
    apply_segment,
    replay,
    snapshot_records,
)
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.types import BlockState, FragmentMark, FragmentState, JobKind
from bitdust.storage.formats.seal import BlockKind


def send(box: Any, max_bytes: int = 500) -> list[bytes]:
    """All that waits, as segments."""
    segments = []
    while True:
        with box.catalog.transaction() as tx:
            segment = tx.begin_segment(max_bytes)
            if segment is None:
                return segments
            segments.append(j.pack_segment(segment.epoch, segment.seq, segment.records))
            tx.finish_segment(segment.epoch, segment.seq)


@pytest.fixture
def fresh(tmp_path: Path) -> Any:
    catalog = Catalog.open(tmp_path / "fresh.db")
    yield catalog
    catalog.close()


def described(catalog: Catalog) -> list[j.Record]:
    return list(snapshot_records(catalog))


def test_a_segment_is_the_same_until_it_is_safe(box: Any) -> None:
    box.upload("docs", {"a": b"one"})
    with box.catalog.transaction() as tx:
        segment = tx.begin_segment(1)
        tx.seal_segment(b"sealed")
        with pytest.raises(InvalidInput):
            tx.seal_segment(b"otherwise")
    assert segment.sealed is None
    box.upload("docs", {"a": b"two"})
    box.reopen()
    with box.catalog.transaction() as tx:
        again = tx.begin_segment()
        assert (again.records, again.sealed) == (segment.records, b"sealed")
        for wrong in ((0, 1), (1, 0)):
            with pytest.raises(InvalidInput):
                tx.finish_segment(*wrong)
        tx.finish_segment(0, 0)
        with pytest.raises(InvalidInput):
            tx.finish_segment(0, 0)
        with pytest.raises(InvalidInput):
            tx.seal_segment(b"none is open")
    assert box.catalog.journal_position == (0, 1)
    assert box.catalog.outbox_size() > 0
    with box.catalog.transaction() as tx:
        assert tx.begin_segment().seq == 1


def test_replay_brings_everything_back(box: Any, fresh: Catalog) -> None:
    first = box.upload("docs", {"a": b"one", "b": {"c": b"three"}})
    second = box.upload("docs", {"a": b"changed"})
    with box.catalog.transaction() as tx:
        tx.mark_fragments([FragmentMark(1, 0, FragmentState.LOST, challenges=b"left")])
        tx.delete_version(first)
        assert tx.claim_reclaimable()
    segments = send(box)
    assert len(segments) > 3
    result = replay(fresh, segments)
    assert (result.applied, result.skipped, result.complete) == (len(segments), 0, True)
    assert described(fresh) == described(box.catalog)
    assert fresh.outbox_size() == 0
    assert fresh.revision == box.catalog.revision
    assert fresh.journal_position == box.catalog.journal_position
    item = fresh.lookup(fresh.key_ref("master$alice@example.org"), "docs")
    assert item is not None
    assert [e.size for _, e in fresh.walk_snapshot(item.id, second)] == [0, 7]
    again = replay(fresh, segments)
    assert (again.applied, again.skipped) == (0, len(segments))
    assert described(fresh) == described(box.catalog)
    # It goes on by itself, with numbers that were never given.
    with fresh.transaction() as tx:
        made = tx.ensure_path(1, "new", is_folder=False)[0]
    with fresh.transaction() as tx:
        segment = tx.begin_segment()
        assert segment is not None
    assert made.id == box.catalog.meta("next_item")
    assert (segment.epoch, segment.seq) == box.catalog.journal_position


def test_missing_segments_are_named(box: Any, fresh: Catalog) -> None:
    for n in range(4):
        box.upload("docs", {"a": b"%d" % n})
    segments = send(box, 1)
    replay(fresh, segments[:2])
    with pytest.raises(JournalGap) as caught:
        replay(fresh, segments[4:])
    assert caught.value.missing == ((0, 2), (0, 3))
    assert "0-2, 0-3" in str(caught.value)
    assert fresh.journal_position == (0, 2)
    replay(fresh, segments[2:])
    assert described(fresh) == described(box.catalog)


def compact(box: Any, max_bytes: int = 600) -> tuple[Compaction, list[bytes]]:
    compaction = Compaction(box.catalog, max_bytes)
    segments = [
        j.pack_segment(compaction.epoch, n, records) for n, records in enumerate(compaction)
    ]
    assert len(segments) == compaction.segments
    return compaction, segments


def test_a_compacted_journal_takes_over(box: Any, fresh: Catalog) -> None:
    for n in range(5):
        box.upload("docs", {"a": b"%d" % n, "b": b"same"})
    old = send(box)
    replay(fresh, old[:-1])
    compaction, segments = compact(box)
    assert len(segments) > 2
    with box.catalog.transaction() as tx:
        added = [
            tx.add_block(
                blake3(b"segment %d-%d" % (epoch, n)).digest(16),
                box.key,
                [],
                [bytes(32)] * 4,
                payload=1,
                fragment_size=1,
                created=1.0,
                kind=BlockKind.JOURNAL,
                name=segment_name(epoch, n),
            ).number
            for epoch, n in ((0, 0), (0, 1), (1, 0))
        ]
        for number in added:
            tx.block_stored(number)
        # A change made while the compacted journal was on its way.
        tx.ensure_path(box.key, "late", is_folder=False)
    with box.catalog.transaction() as tx:
        older = tx.adopt_epoch(compaction.epoch, compaction.segments, compaction.outbox_seq)
    assert older == added[:2]
    assert [b.number for b in box.catalog.unsettled_blocks(BlockState.DYING)] == older
    assert box.catalog.journal_position == (1, len(segments))
    segments += send(box)
    for n, segment in enumerate(segments):
        assert apply_segment(fresh, segment)
        assert (fresh.meta("loading") == 1) == (n < compaction.segments - 1)
    # Numbers of journal blocks are local: the last record counts them.
    assert described(fresh)[:-1] == described(box.catalog)[:-1]


def test_an_old_epoch_sent_meanwhile_spoils_the_compaction(box: Any) -> None:
    box.upload("docs", {"a": b"one"})
    compaction, _ = compact(box)
    box.upload("docs", {"a": b"two"})
    with box.catalog.transaction() as tx:
        tx.begin_segment()
    arguments = (compaction.epoch, compaction.segments, compaction.outbox_seq)
    with pytest.raises(CatalogBusy), box.catalog.transaction() as tx:
        tx.adopt_epoch(*arguments)
    send(box)
    with pytest.raises(CatalogBusy), box.catalog.transaction() as tx:
        tx.adopt_epoch(*arguments)
    with pytest.raises(InvalidInput), box.catalog.transaction() as tx:
        tx.adopt_epoch(0, 1, 10**9)
    assert box.catalog.journal_position[0] == 0


def test_a_catalog_with_changes_of_its_own_is_not_overwritten(box: Any, fresh: Catalog) -> None:
    box.upload("docs", {"a": b"one"})
    segments = send(box)
    with fresh.transaction() as tx:
        tx.ensure_key("master$bob@example.org")
    with pytest.raises(CatalogBusy):
        apply_segment(fresh, segments[0])
    assert fresh.keys() == {"master$bob@example.org": 1}


def test_a_base_does_not_throw_away_unfinished_jobs(box: Any, fresh: Catalog) -> None:
    box.upload("docs", {"a": b"one"})
    replay(fresh, send(box))
    with fresh.transaction() as tx:
        tx.add_job(JobKind.DOWNLOAD, 1, created=1.0)
    with pytest.raises(CatalogBusy):
        apply_segment(fresh, compact(box)[1][0])
    assert described(fresh) == described(box.catalog)


@pytest.mark.parametrize(
    "records",
    [
        [j.ItemsAdded(99, 100, 0, 0, 1.0, [b"a"])],
        [j.KeyAdded(1, "master$bob@host", 9, 1.0)],
        [j.ItemDeleted(99)],
        [j.EntriesOpened(1, [j.EntryRow(99, "d")])],
        [j.EntriesOpened(1, [j.EntryRow(1, "f", content=encode_numbers([5]))])],
        [j.EntriesOpened(1, [j.EntryRow(1, "f", content=encode_numbers(range(9)))])],
        [j.VersionAdded(1, 99, "F20160424013912PM", 1.0, "stored", j.VersionStats())],
        [j.VersionDeleted(99)],
        [j.FragmentsMarked([FragmentMark(9, 9, 1)])],
        [j.BlockStored(1, bytes(16), 99, 1, 1, 1.0, 1, 0, [], [])],
        [
            j.BlockStored(
                1, bytes(16), 1, 1, 1, 1.0, 1, 0, [j.ChunkRow(7, bytes(32), 0, 1, 1, 0)], []
            )
        ],
        [j.OwnerRenamed("alice@example.org", "bob@example.org")],
        [j.Revised(5), j.BaseBegun()],
        [j.EntriesHeld([j.EntryRow(1, "d", since=5, until=5)])],
        [j.ItemsHeld([j.ItemRow(50, 50, 0, b"own parent", 0, 1.0, 0)])],
    ],
)
def test_contradictions_change_nothing(box: Any, fresh: Catalog, records: list[j.Record]) -> None:
    with box.catalog.transaction() as tx:
        tx.ensure_key("master$bob@example.org")
    replay(fresh, send(box))
    epoch, seq = fresh.journal_position
    before = described(fresh)
    with pytest.raises(IntegrityError):
        apply_segment(fresh, j.pack_segment(epoch, seq, j.encode_records(records)))
    assert described(fresh) == before
    assert fresh.journal_position == (epoch, seq)


def test_a_new_epoch_begins_with_a_base(fresh: Catalog) -> None:
    for records in ([], [j.Revised(1)]):
        with pytest.raises(IntegrityError):
            apply_segment(fresh, j.pack_segment(1, 0, j.encode_records(records)))
    with pytest.raises(JournalGap):
        apply_segment(fresh, j.pack_segment(1, 1, b""))


def test_a_newer_format_is_named(fresh: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(j, "FORMAT", 7)
    segment = j.pack_segment(0, 0, b"")
    monkeypatch.undo()
    with pytest.raises(FormatError, match="format 7"):
        apply_segment(fresh, segment)


def test_names_of_segments() -> None:
    assert segment_epoch(segment_name(3, 14)) == 3
    for name in ("", "3", "3-", "-3", "a-b", "3-\u0664x"):
        with pytest.raises(InvalidInput):
            segment_epoch(name)
