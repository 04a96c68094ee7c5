"""Times of the catalog: a million items, listing, looking up, comparing, staging, replaying.

python benchmarks/catalog.py [--items 1000000] [--dir DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
from blake3 import blake3

from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.journal import pack_segment
from bitdust.storage.catalog.replay import Compaction, apply_segment
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import (
    FragmentMark,
    FragmentState,
    JobKind,
    JobState,
    StagedEntry,
    VersionState,
    VersionStats,
)
from bitdust.storage.formats.packer import BlockEntry

PER_FOLDER = 1000
PER_BLOCK = 1000
NODES = [bytes([n]) * 32 for n in range(4)]

Results = dict[str, float]


@contextmanager
def timed(results: Results, name: str) -> Iterator[None]:
    """Note how long the block took, in seconds."""
    begin = time.perf_counter()
    yield
    results[name] = time.perf_counter() - begin
    print(f"{name:<44} {results[name] * 1000:>12.2f} ms", flush=True)


def median(call: Callable[[], object], times: int) -> float:
    """The middle of several measurements, in seconds."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def add_chunks(tx: Transaction, key: int, job: int, first: int, count: int) -> list[int]:
    """One stored block with ``count`` chunks; their numbers."""
    ids = [blake3(b"chunk %d" % n).digest() for n in range(first, first + count)]
    block_id = blake3(b"block %d" % first).digest(16)
    added = tx.add_block(
        block_id,
        key,
        [BlockEntry(one, n * 1000, 1000, 2000, True) for n, one in enumerate(ids)],
        [blake3(block_id + node).digest() for node in NODES],
        payload=count * 1000,
        fragment_size=count * 500,
        created=1.0,
        job=job,
    )
    tx.mark_fragments(
        FragmentMark(added.number, position, FragmentState.STORED, supplier=node)
        for position, node in enumerate(NODES)
    )
    tx.block_stored(added.number)
    return list(added.chunks)


def file_row(item: int, number: int, chunk: int) -> StagedEntry:
    digest = blake3(b"%d" % number).digest()
    content = encode_numbers([chunk])
    return StagedEntry(
        item, "f", 0o644, 10**18 + number, 2000, digest, b"", content, number, number
    )


class Bench:
    """One catalog, filled and asked."""

    def __init__(self, home: Path, items: int) -> None:
        self.home = home
        self.items = items
        self.path = home / "catalog.db"
        self.catalog = Catalog.open(self.path)
        self.results: Results = {}
        with self.catalog.transaction() as tx:
            self.key = tx.ensure_key("master$alice@example.org", 1.0)
            self.root = tx.ensure_path(self.key, "home", is_folder=True, created=1.0)[0].id
        self.folders: list[int] = []
        self.serial = 0
        self.made = 0

    def job(self) -> int:
        with self.catalog.transaction() as tx:
            job = tx.add_job(JobKind.UPLOAD, self.key, created=1.0, item=self.root)
            tx.update_job(job, updated=1.0, state=JobState.RUNNING)
        return job

    def commit(self, job: int) -> int:
        self.serial += 1
        with self.catalog.transaction() as tx:
            seq = tx.commit_version(
                job,
                self.root,
                f"F20260101{self.serial // 60 + 1:02}{self.serial % 60:02}00AM",
                created=float(self.serial),
                state=VersionState.STORED,
                stats=VersionStats(files=self.items),
            )
            tx.update_job(job, updated=1.0, state=JobState.DONE)
        return seq

    def build(self) -> None:
        count = self.items // PER_FOLDER
        job = self.job()
        with timed(self.results, f"stage {self.items} files in {count} folders"):
            with self.catalog.transaction(durable=False) as tx:
                made = tx.ensure_children(
                    self.root, [b"folder-%05d" % n for n in range(count)], is_folder=True
                )
                self.folders = list(made.values())
                tx.stage_entries(job, [StagedEntry(self.root, "d", 0o755)])
                tx.stage_entries(job, [StagedEntry(f, "d", 0o755) for f in self.folders])
            for n, folder in enumerate(self.folders):
                with self.catalog.transaction(durable=False) as tx:
                    numbers = add_chunks(tx, self.key, job, n * PER_BLOCK, PER_BLOCK)
                    names = [b"file-%07d.txt" % (n * PER_FOLDER + k) for k in range(PER_FOLDER)]
                    made = tx.ensure_children(folder, names)
                    tx.stage_entries(
                        job,
                        [
                            file_row(item, self.made + k, numbers[k])
                            for k, item in enumerate(made.values())
                        ],
                    )
                    self.made += PER_FOLDER
        with timed(self.results, "commit them"):
            self.first = self.commit(job)

    def ask(self) -> None:
        chance = random.Random(1)
        results, catalog = self.results, self.catalog

        def report(name: str, seconds: float) -> None:
            results[name] = seconds
            print(f"{name:<44} {seconds * 1000:>12.3f} ms", flush=True)

        def look() -> None:
            folder = chance.randrange(len(self.folders))
            name = folder * PER_FOLDER + chance.randrange(PER_FOLDER)
            assert catalog.lookup(self.key, f"home/folder-{folder:05}/file-{name:07}.txt")

        report("look up a path (median)", median(look, 500))
        report(
            "list a folder of 1000 with versions (median)",
            median(lambda: catalog.list_folder(chance.choice(self.folders)), 20),
        )
        report(
            "children of a folder of 1000 (median)",
            median(lambda: catalog.children(chance.choice(self.folders)), 20),
        )
        some = self.folders[:10]
        report(
            "compare 10000 unchanged files in 10 folders",
            median(lambda: [catalog.children(one) for one in some], 5),
        )
        with timed(results, "sums over everything"):
            catalog.totals()
        with timed(results, "walk the whole snapshot"):
            count = sum(1 for _ in catalog.walk_snapshot(self.root, self.first))
        assert count == self.made + len(self.folders) + 1
        with timed(results, "health of the whole version"):
            health = catalog.health(self.root, self.first)
        assert health.blocks == len(self.folders)
        with timed(results, "blocks needing repair"):
            catalog.blocks_needing_repair()
        with timed(results, "open segment of the outbox"), catalog.transaction() as tx:
            tx.begin_segment()

    def small_folders(self) -> None:
        """10,000 files in 500 folders of 20: what comparing costs when folders are small."""
        job = self.job()
        with self.catalog.transaction(durable=False) as tx:
            top = tx.ensure_path(self.key, "small", is_folder=True)[0].id
            made = tx.ensure_children(top, [b"%d" % n for n in range(500)], is_folder=True)
            rows = [StagedEntry(top, "d", 0o755)]
            numbers = add_chunks(tx, self.key, job, 10**9, 10_000)
            for n, folder in enumerate(made.values()):
                rows.append(StagedEntry(folder, "d", 0o755))
                files = tx.ensure_children(folder, [b"file-%d" % k for k in range(20)])
                rows.extend(
                    file_row(item, n * 20 + k, numbers[n * 20 + k])
                    for k, item in enumerate(files.values())
                )
            tx.stage_entries(job, rows)
        self.commit(job)
        with timed(self.results, "compare 10000 unchanged files in 500 folders"):
            for folder in made.values():
                self.catalog.children(folder)

    def change(self) -> None:
        job = self.job()
        chance = random.Random(2)
        rows: list[StagedEntry] = []
        with self.catalog.transaction(durable=False) as tx:
            numbers = add_chunks(tx, self.key, job, 2 * 10**9, 10_000)
        for folder in chance.sample(self.folders, min(50, len(self.folders))):
            children = list(self.catalog.children(folder).values())
            for child in chance.sample(children, 10_000 // min(50, len(self.folders))):
                self.made += 1
                rows.append(file_row(child.item, self.made, numbers[len(rows)]))
        with timed(self.results, "stage 10000 changed files"):
            for start in range(0, len(rows), 500):
                with self.catalog.transaction(durable=False) as tx:
                    tx.stage_entries(job, rows[start : start + 500])
        with timed(self.results, "commit 10000 changed files"):
            seq = self.commit(job)
        job = self.job()
        with timed(self.results, "commit a version without changes"):
            self.commit(job)
        name = "delete that version of 10000 changes"
        with timed(self.results, name), self.catalog.transaction() as tx:
            tx.delete_version(seq)
        with self.catalog.transaction() as tx, timed(self.results, "claim reclaimable blocks"):
            tx.claim_reclaimable()

    def reopen(self) -> None:
        with timed(self.results, "close"):
            self.catalog.close()
        with timed(self.results, "open after an orderly close"):
            self.catalog = Catalog.open(self.path)
        # As after a crash: the mark of an orderly close is not there.
        copy = self.home / "copy.db"
        shutil.copy(self.path, copy)
        with apsw.Connection(str(copy)) as db:
            db.execute("UPDATE meta SET value = 0 WHERE name = 'clean'")
        with timed(self.results, "open after a crash, every page checked"):
            Catalog.open(copy).close()
        self.results["file, MB"] = self.path.stat().st_size / 1e6
        print(f"{'file':<44} {self.results['file, MB']:>12.1f} MB")

    def recover(self) -> None:
        segments = []
        with timed(self.results, "compact the journal"):
            compaction = Compaction(self.catalog)
            for n, records in enumerate(compaction):
                segments.append(pack_segment(compaction.epoch, n, records))
        self.results["compacted journal, MB"] = sum(map(len, segments)) / 1e6
        print(f"{'compacted journal':<44} {self.results['compacted journal, MB']:>12.1f} MB")
        fresh = Catalog.open(self.home / "recovered.db")
        with timed(self.results, "recover the catalog from it"):
            for segment in segments:
                apply_segment(fresh, segment)
        assert fresh.totals() == self.catalog.totals()
        fresh.close()

    def forget(self) -> None:
        name = "delete the item with everything"
        with timed(self.results, name), self.catalog.transaction() as tx:
            tx.delete_item(self.root)
        self.catalog.close()


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir=options.dir))
    try:
        bench = Bench(home, options.items)
        bench.build()
        bench.small_folders()
        bench.ask()
        bench.change()
        bench.reopen()
        bench.recover()
        bench.forget()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        bench.results["peak memory, MB"] = peak
        print(f"{'peak memory':<44} {peak:>12.1f} MB")
        if options.json:
            print(json.dumps(bench.results, indent=2))
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
