"""A process that is killed at any moment leaves a whole catalog."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.journal import pack_segment
from bitdust.storage.catalog.replay import apply_segment, snapshot_records

# Uploads for ever; says after each acknowledged change how many there are.
PROGRAM = """
import os
import sys
from pathlib import Path
from blake3 import blake3
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import *
from bitdust.storage.formats.packer import BlockEntry
from bitdust.storage.catalog.runs import encode_numbers

catalog = Catalog.open(Path(sys.argv[1]))
with catalog.transaction() as tx:
    key = tx.ensure_key("master$alice@host", 1.0)
    tx.interrupt_jobs(1.0)
    docs = tx.ensure_path(key, "docs", is_folder=True)[0].id
done = len(catalog.versions(docs))
while True:
    with catalog.transaction() as tx:
        job = tx.add_job(JobKind.UPLOAD, key, created=1.0, item=docs)
        tx.update_job(job, updated=1.0, state=JobState.RUNNING)
    with catalog.transaction(durable=False) as tx:
        files = tx.ensure_children(docs, [b"%d" % n for n in range(done % 7, done % 7 + 60)])
        ids = [blake3(b"%d/%d" % (done, n)).digest() for n in range(60)]
        added = tx.add_block(
            os.urandom(16), key,
            [BlockEntry(one, n, 1, 1, False) for n, one in enumerate(ids)],
            [bytes(32)] * 4, payload=60, fragment_size=60, created=1.0, job=job,
        )
        tx.stage_entries(job, [StagedEntry(docs, "d", done)])
        tx.stage_deleted(job, [c.item for n, c in tx.children(docs).items() if n not in files])
        tx.stage_entries(
            job,
            [
                StagedEntry(item, "f", 0, done, 1, ids[n], b"", encode_numbers([added.chunks[n]]))
                for n, item in enumerate(files.values())
            ],
        )
    print("staged", flush=True)
    with catalog.transaction() as tx:
        tx.block_stored(added.number)
        tx.commit_version(
            job, docs, tx.free_label(docs, 1.0 + done), created=1.0, state=VersionState.STORED,
            stats=VersionStats(files=60),
        )
        tx.update_job(job, updated=1.0, state=JobState.DONE)
    done += 1
    print("acknowledged", done, flush=True)
    if done % 3 == 0:
        with catalog.transaction() as tx:
            segment = tx.begin_segment()
        with catalog.transaction() as tx:
            Path(sys.argv[2], f"{segment.seq:06}").write_bytes(segment.records)
            tx.finish_segment(segment.epoch, segment.seq)
"""


def run(path: Path, sent: Path, kill_after: int) -> int:
    """Let it work until it said so many lines, kill it; the last number it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), str(sent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while len(lines) < kill_after and (line := process.stdout.readline()):
            lines.append(line)
    finally:
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    lines += rest.splitlines()
    return max((int(x.split()[1]) for x in lines if x.startswith("acknowledged")), default=0)


def check(path: Path, acknowledged: int) -> int:
    """Whether the catalog is whole; how many versions it has."""
    catalog = Catalog.open(path)
    try:
        docs = catalog.lookup(1, "docs")
        assert docs is not None
        versions = sorted(catalog.versions(docs.id), key=lambda v: v.seq)
        assert len(versions) >= acknowledged
        for serial, version in enumerate(versions):
            entries = list(catalog.walk_snapshot(docs.id, version.seq))
            assert len(entries) == 61
            assert all(entry.mtime_ns == serial for below, entry in entries if below)
            for _, entry in entries:
                assert len(list(catalog.chunk_locations(entry.content))) == (entry.type == "f")
        with catalog._using() as db:
            assert db.execute("PRAGMA integrity_check").get == "ok"
            assert db.execute("PRAGMA foreign_key_check").get is None
            wrong = db.execute(
                "SELECT count(*) FROM chunks WHERE refs > 1 OR refs = 0 AND number IN"
                " (SELECT c.number FROM chunks c JOIN blocks b ON b.number = c.block"
                "  WHERE b.state = 1)"
            ).get
            assert wrong == 0
        return len(versions)
    finally:
        catalog.close()


def kill_and_check(tmp_path: Path, moments: list[int]) -> None:
    path, sent = tmp_path / "catalog.db", tmp_path / "sent"
    sent.mkdir()
    versions = 0
    for kill_after in moments:
        acknowledged = run(path, sent, kill_after)
        versions = check(path, max(acknowledged, versions))
    # What was sent and what still waits describe the catalog as it is.
    catalog = Catalog.open(path)
    segments = [
        pack_segment(0, n, file.read_bytes()) for n, file in enumerate(sorted(sent.iterdir()))
    ]
    del segments[catalog.journal_position[1] :]
    with catalog.transaction() as tx:
        last = tx.begin_segment(10**9)
    if last is not None:
        segments.append(pack_segment(last.epoch, last.seq, last.records))
    fresh = Catalog.open(tmp_path / "fresh.db")
    for segment in segments:
        apply_segment(fresh, segment)
    assert list(snapshot_records(fresh))[:-1] == list(snapshot_records(catalog))[:-1]
    fresh.close()
    catalog.close()


def test_killed_a_few_times(tmp_path: Path) -> None:
    kill_and_check(tmp_path, [3, 1, 8])


@pytest.mark.slow
def test_killed_many_times(tmp_path: Path) -> None:
    kill_and_check(tmp_path, [*range(1, 20), 40])
