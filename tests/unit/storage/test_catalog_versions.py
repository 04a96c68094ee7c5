"""Staging, committing, snapshots, forgetting versions."""

from __future__ import annotations

from typing import Any

import pytest

from bitdust.errors import (
    AlreadyExists,
    DataUnavailable,
    IntegrityError,
    InvalidInput,
    InvalidName,
    NotInCatalog,
)
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import (
    JobState,
    StagedEntry,
    VersionState,
    VersionStats,
)


def count(box: Any, query: str) -> int:
    with box.catalog._using() as db:
        return int(db.execute(query).get)


def test_an_unchanged_file_costs_no_row(box: Any) -> None:
    first = box.upload("docs", {"a": b"one", "b": b"two"})
    rows = count(box, "SELECT count(*) FROM entries")
    second = box.upload("docs", {"a": b"one", "b": b"two"})
    assert count(box, "SELECT count(*) FROM entries") == rows
    assert box.snapshot("docs", first) == box.snapshot("docs", second) == {"": 0, "a": 3, "b": 3}
    third = box.upload("docs", {"a": b"other", "b": b"two"})
    assert count(box, "SELECT count(*) FROM entries") == rows + 1
    assert box.catalog.entry_at(box.item("docs/a"), second).size == 3
    assert box.catalog.entry_at(box.item("docs/a"), third).size == 5
    assert box.catalog.current(box.item("docs/a")).size == 5
    assert box.catalog.entry_at(box.item("docs/a"), 0) is None


def test_the_same_bytes_under_a_new_inode_are_noted_without_a_row(box: Any) -> None:
    box.upload("docs", {"a": b"one"})
    rows = count(box, "SELECT count(*) FROM entries")
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        old = tx.current(box.item("docs/a"))
        tx.stage_entries(
            job,
            [StagedEntry(old.item, "f", old.mode, 5, 3, old.hash, b"", old.content, 2**64 - 1, 9)],
        )
        box.commit(tx, job, item)
    now = box.catalog.current(box.item("docs/a"))
    assert (now.ino, now.ctime_ns) == (2**63 - 1, 9)
    assert count(box, "SELECT count(*) FROM entries") == rows
    assert count(box, "SELECT sum(refs) FROM chunks") == 1


def test_a_folder_that_becomes_a_file_loses_what_was_below(box: Any) -> None:
    first = box.upload("docs", {"a": {"b": {"c": b"deep"}}, "k": b"kept"})
    second = box.upload("docs", {"a": b"now a file", "k": b"kept"})
    assert box.catalog.current(box.item("docs/a/b")) is None
    assert box.catalog.current(box.item("docs/a/b/c")) is None
    assert not box.catalog.item(box.item("docs/a")).is_folder
    third = box.upload("docs", {"a": {"new": b""}, "k": b"kept"})
    assert box.snapshot("docs", first) == {"": 0, "a": 0, "a/b": 0, "a/b/c": 4, "k": 4}
    assert box.snapshot("docs", second) == {"": 0, "a": 10, "k": 4}
    assert box.snapshot("docs", third) == {"": 0, "a": 0, "a/new": 0, "k": 4}
    assert box.catalog.children(box.item("docs/a"))[b"b"].entry is None
    assert box.catalog.item(box.item("docs/a")).is_folder


def test_versions_of_an_item_are_those_that_see_it(box: Any) -> None:
    one = box.upload("docs", {"a": b"1", "b": b"1"})
    two = box.upload("docs", {"b": b"1"})
    three = box.upload("docs/a", b"alone")
    four = box.upload("docs", {"a": b"alone", "b": b"2"})
    a, b = box.item("docs/a"), box.item("docs/b")
    assert [v.version.seq for v in box.catalog.versions_of(a)] == [four, three, one]
    assert [v.version.seq for v in box.catalog.versions_of(b)] == [four, two, one]
    assert [v.version.seq for v in box.catalog.versions_of(b, limit=1)] == [four]
    label = box.catalog.version(one).label
    assert box.catalog.find_version(a, label).seq == one
    assert box.catalog.find_version(a, box.catalog.version(three).label).seq == three
    assert box.catalog.latest_version(a).seq == four
    assert box.catalog.latest_version(box.catalog.root(box.key).id) is None
    with pytest.raises(NotInCatalog):
        box.catalog.find_version(b, "F20160424013912PM")
    with pytest.raises(NotInCatalog):
        box.catalog.version(99)
    assert box.snapshot("docs", two) == {"": 0, "b": 1}
    assert list(box.catalog.walk_snapshot(a, two)) == []


def test_deleting_versions_frees_what_only_they_saw(box: Any) -> None:
    one = box.upload("docs", {"a": b"1", "same": b"same", "gone": {"x": b"x"}})
    two = box.upload("docs", {"a": b"2", "same": b"same"})
    three = box.upload("docs", {"a": b"3", "same": b"same"})
    with box.catalog.transaction() as tx:
        tx.delete_version(two)
    assert box.snapshot("docs", one) == {"": 0, "a": 1, "same": 4, "gone": 0, "gone/x": 1}
    assert box.snapshot("docs", three) == {"": 0, "a": 1, "same": 4}
    with box.catalog.transaction() as tx:
        tx.delete_version(one)
    assert box.catalog.lookup(box.key, "docs/gone") is None
    with box.catalog.transaction() as tx:
        freed = {block.payload: block.number for block in tx.claim_reclaimable()}
        assert len(tx.claim_reclaimable()) == 3
    assert len(freed) == 1  # one chunk each
    assert box.snapshot("docs", three) == {"": 0, "a": 1, "same": 4}
    with box.catalog.transaction() as tx:
        tx.delete_version(three)
    assert count(box, "SELECT count(*) FROM entries") == 0
    assert [row.path for row in box.catalog.list_tree(box.catalog.root(box.key).id)] == ["docs"]
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.delete_version(three)


def test_a_version_of_a_part_keeps_what_it_needs(box: Any) -> None:
    whole = box.upload("docs", {"a": {"x": b"1"}, "b": b"1"})
    part = box.upload("docs/a", {"x": b"2"})
    later = box.upload("docs", {"a": {"x": b"3"}, "b": b"1"})
    with box.catalog.transaction() as tx:
        tx.delete_version(whole)
    assert box.snapshot("docs/a", part) == {"": 0, "x": 1}
    assert box.snapshot("docs", later) == {"": 0, "a": 0, "a/x": 1, "b": 1}
    with box.catalog.transaction() as tx:
        tx.delete_version(later)
    assert box.snapshot("docs/a", part) == {"": 0, "x": 1}
    assert box.catalog.lookup(box.key, "docs/b") is None


def test_a_version_of_a_part_keeps_what_it_shares_with_one_that_goes(box: Any) -> None:
    whole = box.upload("docs", {"a": {"x": b"1", "y": b"same", "d": {"z": b"deep"}}})
    part = box.upload("docs/a", {"x": b"2", "y": b"same", "d": {"z": b"deep"}})
    box.upload("docs", {"a": {}})
    with box.catalog.transaction() as tx:
        tx.delete_version(whole)
    assert box.snapshot("docs/a", part) == {"": 0, "x": 1, "y": 4, "d": 0, "d/z": 4}
    with box.catalog.transaction() as tx:
        assert [block.number for block in tx.claim_reclaimable()] == [1]


def test_labels_of_one_second_are_counted(box: Any) -> None:
    job, item = box.start("docs")
    label = box.catalog.free_label(item, 1461504000.0)
    assert label == "F20160424012000PM"
    with box.catalog.transaction() as tx:
        tx.update_job(job, updated=1.0, label=label)
        assert tx.free_label(item, 1461504000.0) == label + ".1"
        tx.update_job(job, updated=1.0, label="")
        arguments = {
            "created": 1.0,
            "state": VersionState.PARTIAL,
            "stats": VersionStats(files=3, acks=3),
        }
        seq = tx.commit_version(job, item, label, **arguments)
        with pytest.raises(AlreadyExists):
            tx.commit_version(job, item, label, **arguments)
        with pytest.raises(InvalidName):
            tx.commit_version(job, item, "yesterday", **arguments)
        with pytest.raises(NotInCatalog):
            tx.commit_version(job, 999, label, **arguments)
        assert tx.free_label(item, 1461504000.0) == label + ".1"
    version = box.catalog.version(seq)
    assert (version.label, version.stats.files) == (label, 3)
    assert [v.seq for v in box.catalog.versions_in_state(VersionState.PARTIAL)] == [seq]
    with box.catalog.transaction() as tx:
        tx.mark_version(seq, VersionState.STORED, 4)
        with pytest.raises(NotInCatalog):
            tx.mark_version(99, VersionState.STORED, 4)
    assert box.catalog.version(seq).stats.acks == 4


def test_what_is_staged_is_pinned_and_shown_to_a_job_that_resumes(box: Any) -> None:
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        made = tx.ensure_children(item, [b"a", b"b", b"c"])
        row = box.file(tx, job, made[b"a"], b"data")
        tx.stage_entries(job, [row, row])
        tx.stage_entries(job, [row])
        tx.stage_deleted(job, [made[b"b"]])
    box.reopen()
    assert box.catalog.staged(job, made[b"a"]) == row
    assert box.catalog.staged(job, made[b"b"]) is None
    assert box.catalog.staged_children(job, item) == {b"a": row}
    assert box.catalog.staged_count(job) == 2
    assert count(box, "SELECT refs FROM chunks") == 1
    with box.catalog.transaction() as tx:
        tx.stage_deleted(job, [made[b"a"]])
    assert count(box, "SELECT refs FROM chunks") == 0
    with box.catalog.transaction() as tx:
        tx.stage_entries(job, [row])
        tx.update_job(job, updated=1.0, state=JobState.STOPPED)
    assert count(box, "SELECT refs FROM chunks") == 0
    assert count(box, "SELECT count(*) FROM stage") == 0
    assert box.catalog.lookup(box.key, "docs/a") is None


def test_what_a_waiting_job_staged_stays_when_versions_go(box: Any) -> None:
    only = box.upload("docs", {"a": b"one", "b": b"two"})
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        row = box.file(tx, job, box.item("docs/a"), b"changed")
        tx.stage_entries(job, [row])
        tx.interrupt_jobs(box.now)
    with box.catalog.transaction() as tx:
        tx.delete_version(only)
    assert box.catalog.lookup(box.key, "docs/b") is None
    assert box.catalog.staged_children(job, item) == {b"a": row}
    with box.catalog.transaction() as tx:
        tx.update_job(job, updated=1.0, state=JobState.STOPPED)
    assert box.catalog.lookup(box.key, "docs/a") is None


@pytest.mark.parametrize(
    "change",
    [
        {"type": "x"},
        {"type": "d"},
        {"hash": b"short"},
        {"mode": -1},
        {"size": 2**63},
        {"mtime_ns": 2**63},
        {"target": bytes(70_000)},
        {"type": "l", "hash": b"", "content": b"\x02\x02"},
    ],
)
def test_rows_that_cannot_be(box: Any, change: dict[str, Any]) -> None:
    job, item = box.start("docs")
    row = StagedEntry(**({"item": item, "type": "f", "hash": bytes(32)} | change))
    with pytest.raises(InvalidInput), box.catalog.transaction() as tx:
        tx.stage_entries(job, [row])


def test_staging_what_is_not_there(box: Any) -> None:
    job, item = box.start("docs")
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.stage_entries(job, [StagedEntry(999, "d")])
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.stage_deleted(999, [item])
    with pytest.raises(IntegrityError), box.catalog.transaction() as tx:
        tx.stage_entries(
            job, [StagedEntry(item, "f", 0, 0, 1, bytes(32), b"", encode_numbers([77]))]
        )
    assert box.catalog.staged_count(job) == 0


def test_a_version_needs_its_blocks_stored(box: Any) -> None:
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        (number,) = box.block(tx, job, b"data", stored=False)
        content = encode_numbers([number, number, number])
        tx.stage_entries(job, [StagedEntry(item, "f", 0, 0, 12, bytes(32), b"", content)])
    with pytest.raises(DataUnavailable), box.catalog.transaction() as tx:
        box.commit(tx, job, item)
    with box.catalog.transaction() as tx:
        tx.block_stored(1)
        box.commit(tx, job, item)
    assert count(box, "SELECT refs FROM chunks") == 3


def test_a_running_walk_sees_one_state(box: Any) -> None:
    seq = box.upload("docs", {str(n): b"x" for n in range(50)})
    walk = box.catalog.walk_snapshot(box.item("docs"), seq)
    seen = [next(walk) for _ in range(10)]
    with box.catalog.transaction() as tx:
        tx.delete_item(box.item("docs"))
    seen.extend(walk)
    assert len(seen) == 51
    abandoned = box.catalog.walk_snapshot(box.catalog.root(box.key).id, seq)
    assert next(abandoned, None) is None
