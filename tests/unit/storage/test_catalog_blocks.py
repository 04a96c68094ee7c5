"""Blocks, chunks, fragments, reclaiming; jobs over a restart."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import AlreadyExists, FormatError, IntegrityError, InvalidInput, NotInCatalog
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import (
    BlockState,
    FragmentMark,
    FragmentState,
    JobKind,
    JobState,
    Progress,
    StagedEntry,
)
from bitdust.storage.formats.packer import BlockEntry
from bitdust.storage.formats.seal import BlockKind

NODES = [bytes([n]) * 32 for n in range(4)]


def ids(*datas: bytes) -> list[bytes]:
    return [blake3(data).digest() for data in datas]


def test_chunks_are_known_once_their_block_is_stored(box: Any) -> None:
    with box.catalog.transaction() as tx:
        job = tx.add_job(JobKind.UPLOAD, box.key, created=1.0)
        other = tx.add_job(JobKind.UPLOAD, box.key, created=1.0)
        one, two = box.block(tx, job, b"one", b"two", stored=False)
    assert box.catalog.known_chunks(box.key, ids(b"one", b"two")) == {}
    assert box.catalog.known_chunks(box.key, ids(b"one"), job=other) == {}
    assert list(box.catalog.known_chunks(box.key, ids(b"one"), job=job).values()) == [one]
    with box.catalog.transaction() as tx:
        tx.block_stored(1)
        tx.block_stored(1)
    assert box.catalog.known_chunks(box.key, ids(b"two", b"no", b"one")) == dict(
        zip(ids(b"two", b"one"), (two, one), strict=True)
    )
    with box.catalog.transaction() as tx:
        foreign = tx.ensure_key("photos$alice@example.org")
    assert box.catalog.known_chunks(foreign, ids(b"one")) == {}


def test_a_chunk_that_is_there_keeps_its_place(box: Any) -> None:
    with box.catalog.transaction() as tx:
        (one,) = box.block(tx, None, b"one")
        again, two, twice = box.block(tx, None, b"one", b"two", b"two")
    assert (again, two, twice) == (one, two, two)
    places = list(box.catalog.chunk_locations(encode_numbers([two, one, one, two])))
    assert [place.block for place in places] == [2, 1, 1, 2]
    assert [place.offset for place in places] == [2, 0, 0, 2]
    assert places[0].block_id == box.catalog.block(2).id


def test_a_chunk_left_behind_by_a_dead_upload_moves_to_the_new_block(box: Any) -> None:
    with box.catalog.transaction() as tx:
        (old,) = box.block(tx, None, b"one", stored=False)
        (new,) = box.block(tx, None, b"one")
    assert new != old
    assert list(box.catalog.known_chunks(box.key, ids(b"one")).values()) == [new]
    with box.catalog.transaction() as tx:
        tx.remove_blocks([1])
    assert box.catalog.unsettled_blocks(BlockState.OPEN) == []


def test_a_chunk_on_its_way_in_a_running_upload_is_not_taken_from_it(box: Any) -> None:
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        (first,) = box.block(tx, job, b"one", stored=False)
        (second,) = box.block(tx, None, b"one")
        assert first == second
        content = encode_numbers([first])
        tx.stage_entries(job, [StagedEntry(item, "f", 0, 0, 3, bytes(32), b"", content)])
        with pytest.raises(InvalidInput):
            tx.remove_blocks([1])


def test_locations_of_what_is_not_there(box: Any) -> None:
    with box.catalog.transaction() as tx:
        numbers = box.block(tx, None, b"1", b"2", b"3")
    assert len(list(box.catalog.chunk_locations(encode_numbers(numbers)))) == 3
    for content in ([77], [numbers[0] - 1, numbers[0]], [*numbers, numbers[-1] + 1]):
        with pytest.raises(IntegrityError):
            list(box.catalog.chunk_locations(encode_numbers(n for n in content if n >= 0)))
    with pytest.raises(FormatError):
        list(box.catalog.chunk_locations(b"\x80"))


def test_fragments_and_repairs(box: Any) -> None:
    with box.catalog.transaction() as tx:
        for data in (b"one", b"two", b"three"):
            box.block(tx, None, data)
    assert box.catalog.blocks_needing_repair() == []
    rows = box.catalog.fragments(1)
    assert [(r.position, r.state, r.supplier) for r in rows] == [(n, 1, NODES[n]) for n in range(4)]
    assert rows[2].challenges == b"2"
    with box.catalog.transaction() as tx:
        tx.mark_fragments([FragmentMark(2, 1, FragmentState.BAD, challenges=b"used")])
        assert tx.supplier_lost(NODES[3]) == 3
        assert tx.supplier_lost(NODES[3]) == 0
    repairs = box.catalog.blocks_needing_repair()
    assert [(r.block.number, r.missing) for r in repairs] == [(2, (1, 3)), (1, (3,)), (3, (3,))]
    assert len(box.catalog.blocks_needing_repair(limit=1)) == 1
    assert box.catalog.fragments(2)[1].challenges == b"used"
    assert box.catalog.fragments(2)[1].supplier == NODES[1]
    at = box.catalog.fragments_at(NODES[3], after=1, limit=10)
    assert [(r.block, r.state) for r in at] == [(2, 2), (3, 2)]
    with box.catalog.transaction() as tx:
        tx.mark_fragments(
            FragmentMark(n, 3, FragmentState.STORED, supplier=b"n" * 32) for n in (1, 2, 3)
        )
    assert [r.block.number for r in box.catalog.blocks_needing_repair()] == [2]
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.mark_fragments([FragmentMark(1, 9, FragmentState.STORED)])


def test_health_counts_the_blocks_behind_a_version(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one", "b": b"two", "c": b"one"})
    box.upload("else", {"d": b"three"})
    with box.catalog.transaction() as tx:
        tx.mark_fragments([FragmentMark(2, n, FragmentState.LOST) for n in (0, 2)])
    health = box.catalog.health(box.item("docs"), seq)
    assert (health.blocks, health.fragments, health.stored) == (2, 8, 6)
    assert (health.weakest, health.weak_block) == (2, 2)
    assert health.by_position == (1, 2, 1, 2)
    assert box.catalog.health(box.item("docs/a"), seq).stored == 4
    assert box.catalog.health(box.item("else"), seq).blocks == 0


def test_only_what_nothing_needs_is_reclaimed(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one", "b": b"two"})
    with box.catalog.transaction() as tx:
        assert tx.claim_reclaimable() == []
        with pytest.raises(InvalidInput):
            tx.remove_blocks([1])
    box.upload("docs", {"b": b"two"})
    with box.catalog.transaction() as tx:
        tx.delete_version(seq)
    job, _ = box.start("other")
    with box.catalog.transaction() as tx:
        # An upload that runs may have been told that it need not send the chunk.
        assert tx.claim_reclaimable() == []
        tx.update_job(job, updated=1.0, state=JobState.FAILED)
        (dying,) = tx.claim_reclaimable()
        assert dying.number == 1
        assert [b.number for b in tx.claim_reclaimable()] == [1]
    assert box.catalog.known_chunks(box.key, ids(b"one")) == {}
    box.upload("docs", {"b": b"two", "again": b"one"})
    assert box.catalog.block(1).state == BlockState.DYING
    with box.catalog.transaction() as tx:
        tx.remove_blocks([1])
    with pytest.raises(NotInCatalog):
        box.catalog.block(1)
    assert box.catalog.block_by_id(dying.id) is None
    assert len(box.catalog.blocks(BlockKind.DATA)) == 2
    assert [b.number for b in box.catalog.blocks(BlockKind.DATA, after=2)] == [3]


@pytest.mark.parametrize(
    "change",
    [
        {"block_id": bytes(15)},
        {"hashes": []},
        {"hashes": [bytes(32)] * 65},
        {"hashes": [bytes(31)] * 4},
        {"entries": [BlockEntry(bytes(31), 0, 1, 1, False)]},
        {"challenges": [b""]},
        {"challenges": [bytes(70_000)] * 4},
        {"suppliers": [bytes(32)]},
        {"suppliers": [bytes(31)] * 4},
        {"kind": BlockKind.JOURNAL, "entries": [BlockEntry(bytes(32), 0, 1, 1, False)]},
    ],
)
def test_blocks_that_cannot_be(box: Any, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"block_id": bytes(16), "entries": [], "hashes": [bytes(32)] * 4}
    arguments |= change
    with pytest.raises(InvalidInput), box.catalog.transaction() as tx:
        tx.add_block(key=box.key, payload=1, fragment_size=1, created=1.0, **arguments)
    assert box.catalog.meta("next_block") == 1


def test_a_block_is_entered_once(box: Any) -> None:
    arguments: dict[str, Any] = {
        "key": box.key,
        "entries": [],
        "hashes": [bytes(32)] * 4,
        "payload": 1,
        "fragment_size": 1,
        "created": 1.0,
        "kind": BlockKind.JOURNAL,
    }
    with box.catalog.transaction() as tx:
        tx.add_block(bytes(16), name="0-0", **arguments)
        for block_id, name in ((bytes(16), "0-1"), (b"x" * 16, "0-0")):
            with pytest.raises(AlreadyExists):
                tx.add_block(block_id, name=name, **arguments)


def test_jobs_survive(box: Any) -> None:
    with box.catalog.transaction() as tx:
        one = tx.add_job(
            JobKind.UPLOAD,
            box.key,
            created=1.0,
            local_path="/home/\udcff",
            remote_path="docs/\u00e9",
            label="F20160424013912PM",
            options={"wait": True, "n": 3},
        )
        two = tx.add_job(JobKind.DOWNLOAD, box.key, created=2.0)
        tx.update_job(two, updated=3.0, state=JobState.RUNNING, progress=Progress(files=3, size=9))
    box.reopen()
    with box.catalog.transaction() as tx:
        assert [job.id for job in tx.interrupt_jobs(4.0)] == [two]
    first, second = box.catalog.jobs()
    assert (first.local_path, first.remote_path) == ("/home/\udcff", "docs/\u00e9")
    assert first.options == {"wait": True, "n": 3}
    assert (second.state, second.progress.size, second.updated) == (JobState.PENDING, 9, 4.0)
    assert [job.id for job in box.catalog.jobs(kind=JobKind.DOWNLOAD)] == [two]
    with box.catalog.transaction() as tx:
        tx.update_job(one, updated=5.0, state=JobState.FAILED, error="x" * 9999)
        assert tx.remove_jobs(5.0) == 0
    assert len(box.catalog.job(one).error) == 4096
    assert [job.id for job in box.catalog.jobs(states=[JobState.FAILED])] == [one]
    with box.catalog.transaction() as tx:
        assert tx.remove_jobs(6.0) == 1
        assert tx.add_job(JobKind.UPLOAD, box.key, created=1.0) > two
        for call in (tx.job, lambda job: tx.update_job(job, updated=1.0)):
            with pytest.raises(NotInCatalog):
                call(one)
        with pytest.raises(NotInCatalog):
            tx.add_job(JobKind.UPLOAD, 99, created=1.0)
        with pytest.raises(InvalidInput):
            tx.add_job(JobKind.UPLOAD, box.key, created=1.0, options={"x": "y" * 70_000})


def test_an_upload_cut_short_forgets_only_what_was_on_its_way(box: Any) -> None:
    job, item = box.start("docs")
    with box.catalog.transaction() as tx:
        made = tx.ensure_children(item, [b"safe", b"lost"])
        tx.stage_entries(job, [box.file(tx, job, made[b"safe"], b"safe")])
        (number,) = box.block(tx, job, b"lost", stored=False)
        lost = StagedEntry(
            made[b"lost"], "f", 0, 0, 4, blake3(b"lost").digest(), b"", encode_numbers([number])
        )
        tx.stage_entries(job, [lost])
        # Still running: its block is not given up.
        assert tx.abandon_blocks(job) == []
    box.reopen()
    with box.catalog.transaction() as tx:
        tx.interrupt_jobs(box.now)
    assert list(box.catalog.staged_children(job, item)) == [b"safe"]
    assert [b.number for b in box.catalog.unsettled_blocks(BlockState.DYING)] == [2]
    assert box.catalog.known_chunks(box.key, ids(b"lost"), job=job) == {}
    with pytest.raises(InvalidInput), box.catalog.transaction() as tx:
        tx.block_stored(2)
    with box.catalog.transaction() as tx:
        tx.update_job(job, updated=box.now, state=JobState.RUNNING)
        tx.stage_entries(job, [StagedEntry(item, "d")])
        tx.stage_entries(job, [box.file(tx, job, made[b"lost"], b"lost")])
        seq = box.commit(tx, job, item)
    assert box.snapshot("docs", seq) == {"": 0, "safe": 4, "lost": 4}
