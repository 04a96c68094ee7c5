"""The catalog against a plain model: trees, versions, deletions, reclaiming, the journal."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bitdust.ids import GlobalID, decode_name
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.journal import encode_records, pack_segment
from bitdust.storage.catalog.replay import Compaction, apply_segment, replay, snapshot_records
from bitdust.storage.catalog.runs import encode_numbers, iter_numbers
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

NAMES = [b"a", b"b", b"\xff\xfe", "\u00e9".encode(), "e\u0301".encode()]
ROOTS: list[tuple[bytes, ...]] = [(), (), (b"a",), (b"a", b"b"), (b"b",)]
SUPPLIERS = [bytes([n]) * 32 for n in range(4)]

Path_ = tuple[bytes, ...]
# type, mode, mtime, content symbols or link target
Node = tuple[str, int, int, Any]

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple)
contents = st.lists(st.integers(0, 9), max_size=4).map(tuple)
nodes = st.one_of(
    st.tuples(st.just("f"), st.sampled_from([0o600, 0o644]), st.integers(0, 3), contents),
    st.tuples(st.just("f"), st.just(0o600), st.just(0), contents),
    st.tuples(st.just("d"), st.sampled_from([0o700, 0o755]), st.integers(0, 3), st.none()),
    st.tuples(st.just("l"), st.just(0o777), st.just(0), st.sampled_from([b"x", b"/\xff"])),
)


def chunk_id(symbol: int) -> bytes:
    return blake3(b"chunk %d" % symbol).digest()


def text(path: Path_) -> str:
    return "/".join(map(decode_name, path))


def dump(catalog: Catalog) -> dict[str, Any]:
    """All that a recovery must bring back."""
    live = "b.state = 1 AND b.kind = 1"
    queries = {
        "keys": "SELECT * FROM keys",
        "items": "SELECT * FROM items",
        "versions": "SELECT * FROM versions",
        "entries": "SELECT item, since, until, type, mode, mtime_ns, size, hash, target, content"
        " FROM entries",
        "blocks": "SELECT number, b.id, key, kind, name, suppliers, payload, fragment_size,"
        f" created, first, chunks FROM blocks b WHERE {live}",
        "chunks": f"SELECT c.* FROM chunks c JOIN blocks b ON b.number = c.block WHERE {live}",
        "fragments": "SELECT f.block, f.position, f.hash, f.state, n.node_id, f.challenges"
        " FROM fragments f LEFT JOIN nodes n ON n.ref = f.supplier"
        f" JOIN blocks b ON b.number = f.block WHERE {live}",
        "meta": "SELECT * FROM meta WHERE name IN"
        " ('revision', 'next_key', 'next_item', 'next_version')",
    }
    with catalog._consistent() as db:
        return {name: sorted(db.execute(query), key=repr) for name, query in queries.items()}


class CatalogModel(RuleBasedStateMachine):
    @initialize(tree=st.lists(st.tuples(paths, nodes), max_size=6))
    def begin(self, tree: list[tuple[Path_, Node]]) -> None:
        # Memory, where there is such a place: what this tests is not the disk.
        self.home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.path = self.home / "catalog.db"
        self.catalog = Catalog.open(self.path)
        self.replica = Catalog.open(self.home / "replica.db")
        self.owner = GlobalID.parse("alice@host")
        with self.catalog.transaction(durable=False) as tx:
            self.key = tx.ensure_key(self.owner.key(), 1.0)
        self.local: dict[Path_, Node] = {(): ("d", 0o755, 0, None)}
        # seq -> root path, what it holds by path from the key's root
        self.versions: dict[int, tuple[Path_, dict[Path_, Node]]] = {}
        self.explicit: set[Path_] = set()
        self.segments: list[bytes] = []
        self.base = 0
        self.clock = 1_700_000_000.0
        self.blocks = 0
        self.write_many(tree)

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            try:
                self.check_replay()
            finally:
                self.catalog.close()
                self.replica.close()
                shutil.rmtree(self.home)

    # --- the local tree -------------------------------------------------------------------------

    @rule(changes=st.lists(st.tuples(paths, nodes), min_size=1, max_size=6))
    def write_many(self, changes: list[tuple[Path_, Node]]) -> None:
        for path, node in changes:
            self.write(path, node)

    def write(self, path: Path_, node: Node) -> None:
        for depth in range(1, len(path)):
            if self.local.get(path[:depth], ("d",))[0] != "d":
                self.unlink(path[:depth])
            self.local.setdefault(path[:depth], ("d", 0o755, 0, None))
        if node[0] != "d":
            self.unlink(path)
        elif path in self.local and self.local[path][0] != "d":
            del self.local[path]
        self.local[path] = node

    @rule(path=paths)
    def unlink(self, path: Path_) -> None:
        for one in [p for p in self.local if p[: len(path)] == path]:
            del self.local[one]

    # --- uploads --------------------------------------------------------------------------------

    def content_of(self, tx: Any, job: int, symbols: tuple[int, ...]) -> bytes:
        known = tx.known_chunks(self.key, {chunk_id(s) for s in symbols}, job=job)
        new = [s for s in dict.fromkeys(symbols) if chunk_id(s) not in known]
        if new:
            self.blocks += 1
            entries = [BlockEntry(chunk_id(s), i * 10, 10, 20 + s, True) for i, s in enumerate(new)]
            block_id = self.blocks.to_bytes(16, "big")
            added = tx.add_block(
                block_id,
                self.key,
                entries,
                [blake3(block_id + bytes([i])).digest() for i in range(4)],
                payload=len(new) * 10,
                fragment_size=300,
                created=self.clock,
                challenges=[b"c%d" % i for i in range(4)],
                job=job,
            )
            tx.mark_fragments(
                FragmentMark(added.number, i, FragmentState.STORED, supplier=SUPPLIERS[i])
                for i in range(3)
            )
            tx.block_stored(added.number)
            known.update(zip((chunk_id(s) for s in new), added.chunks, strict=True))
        return encode_numbers(known[chunk_id(s)] for s in symbols)

    def stage(self, tx: Any, job: int, item: int, path: Path_) -> None:
        """What the reader of a local tree does: compare folder by folder, stage what differs."""
        kind, mode, mtime, value = self.local[path]
        symbols = value if kind == "f" else ()
        row = StagedEntry(
            item,
            kind,
            mode,
            mtime,
            size=sum(20 + s for s in symbols),
            hash=blake3(bytes(symbols)).digest() if kind == "f" else b"",
            target=value if kind == "l" else b"",
            content=self.content_of(tx, job, symbols),
            ino=7,
            ctime_ns=int(self.clock),
        )
        tx.stage_entries(job, [row])
        if kind != "d":
            return
        known = tx.children(item)
        here = [p[-1] for p in self.local if len(p) == len(path) + 1 and p[:-1] == path]
        made = tx.ensure_children(item, here, created=self.clock)
        tx.stage_deleted(
            job,
            [c.item for name, c in known.items() if c.entry is not None and name not in here],
        )
        for name in here:
            self.stage(tx, job, made[name], (*path, name))

    @rule(root=st.sampled_from(ROOTS), change=st.tuples(paths, nodes))
    def change_and_upload(self, root: Path_, change: tuple[Path_, Node]) -> None:
        self.write(*change)
        self.upload(root, True, False)

    @rule(root=st.sampled_from(ROOTS), commit=st.booleans(), reopen=st.booleans())
    def upload(self, root: Path_, commit: bool, reopen: bool) -> None:
        if root not in self.local:
            return
        self.clock += 1
        with self.catalog.transaction(durable=False) as tx:
            item, _ = tx.ensure_path(self.key, text(root), is_folder=True, created=self.clock)
            self.explicit.update(root[:n] for n in range(1, len(root) + 1))
            job = tx.add_job(JobKind.UPLOAD, self.key, created=self.clock, item=item.id)
            tx.update_job(job, updated=self.clock, state=JobState.RUNNING)
        with self.catalog.transaction(durable=False) as tx:
            self.stage(tx, job, item.id, root)
        if reopen:
            self.reopen()
            with self.catalog.transaction(durable=False) as tx:
                assert [one.id for one in tx.interrupt_jobs(self.clock)] == [job]
                tx.update_job(job, updated=self.clock, state=JobState.RUNNING)
        with self.catalog.transaction(durable=False) as tx:
            if commit:
                seq = tx.commit_version(
                    job,
                    item.id,
                    tx.free_label(item.id, self.clock),
                    created=self.clock,
                    state=VersionState.STORED,
                    stats=VersionStats(files=1),
                )
                assert all(seq > other for other in self.versions)
                self.versions[seq] = (
                    root,
                    {p: n for p, n in self.local.items() if p[: len(root)] == root},
                )
            state = JobState.DONE if commit else JobState.FAILED
            tx.update_job(job, updated=self.clock, state=state)

    # --- other changes --------------------------------------------------------------------------

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.versions)))
        with self.catalog.transaction(durable=False) as tx:
            tx.delete_version(seq)
        del self.versions[seq]

    @rule(path=paths)
    def delete_item(self, path: Path_) -> None:
        item = self.catalog.lookup(self.key, text(path))
        if item is None:
            return
        with self.catalog.transaction(durable=False) as tx:
            tx.delete_item(item.id)
        size = len(path)
        self.explicit = {p for p in self.explicit if p[:size] != path}
        self.versions = {
            seq: (root, {p: n for p, n in tree.items() if p[:size] != path})
            for seq, (root, tree) in self.versions.items()
            if root[:size] != path
        }

    @rule(path=paths, folder=st.booleans())
    def create(self, path: Path_, folder: bool) -> None:
        with self.catalog.transaction(durable=False) as tx:
            tx.ensure_path(self.key, text(path), is_folder=folder, created=self.clock)
        self.explicit.update(path[:n] for n in range(1, len(path) + 1))

    @rule(host=st.sampled_from(["host", "elsewhere"]))
    def rename_owner(self, host: str) -> None:
        new = GlobalID.parse(f"alice@{host}")
        with self.catalog.transaction(durable=False) as tx:
            assert tx.rename_owner(self.owner, new) == (new != self.owner)
        self.owner = new

    @rule(position=st.integers(0, 3), state=st.sampled_from([0, 1, 2, 3]))
    def mark(self, position: int, state: int) -> None:
        with self.catalog.transaction(durable=False) as tx:
            for repair in tx.blocks_needing_repair(2):
                tx.mark_fragments(
                    [FragmentMark(repair.block.number, position, state, challenges=b"new")]
                )
            for seq in list(self.versions)[:1]:
                tx.mark_version(seq, VersionState.PARTIAL, position)

    @rule(supplier=st.sampled_from(SUPPLIERS))
    def lose(self, supplier: bytes) -> None:
        with self.catalog.transaction(durable=False) as tx:
            tx.supplier_lost(supplier)

    @rule(finish=st.booleans())
    def reclaim(self, finish: bool) -> None:
        with self.catalog.transaction(durable=False) as tx:
            claimed = tx.claim_reclaimable(3)
        if finish:
            with self.catalog.transaction(durable=False) as tx:
                tx.remove_blocks(block.number for block in claimed)

    @rule()
    def reopen(self) -> None:
        self.catalog.close()
        self.catalog = Catalog.open(self.path)

    # --- the journal ----------------------------------------------------------------------------

    def send(self) -> None:
        while True:
            with self.catalog.transaction(durable=False) as tx:
                segment = tx.begin_segment(2000)
                if segment is None:
                    return
                self.segments.append(pack_segment(segment.epoch, segment.seq, segment.records))
                tx.finish_segment(segment.epoch, segment.seq)

    @rule()
    def follow(self) -> None:
        """A replica that lags behind is brought up to date, and told some things twice."""
        self.send()
        result = replay(self.replica, self.segments[self.base :])
        assert result.complete
        assert dump(self.replica) == dump(self.catalog)
        assert self.replica.journal_position == self.catalog.journal_position

    @rule()
    def compact(self) -> None:
        self.send()
        compaction = Compaction(self.catalog, 3000)
        self.base = len(self.segments)
        for n, records in enumerate(compaction):
            self.segments.append(pack_segment(compaction.epoch, n, records))
        with self.catalog.transaction(durable=False) as tx:
            tx.adopt_epoch(compaction.epoch, compaction.segments, compaction.outbox_seq)

    def check_replay(self) -> None:
        self.send()
        fresh = Catalog.open(self.home / "fresh.db")
        for segment in self.segments:
            assert apply_segment(fresh, segment)
        assert dump(fresh) == dump(self.catalog)
        assert not apply_segment(fresh, self.segments[-1])
        assert dump(fresh) == dump(self.catalog)
        described = encode_records(snapshot_records(fresh))
        again = Catalog.open(self.home / "again.db")
        apply_segment(again, pack_segment(fresh.journal_position[0] + 1, 0, described))
        assert dump(again) == dump(self.catalog)
        again.close()
        fresh.close()

    # --- what must always hold ------------------------------------------------------------------

    @invariant()
    def snapshots_are_right(self) -> None:
        if not hasattr(self, "catalog"):
            return
        for seq, (root, tree) in self.versions.items():
            item = self.catalog.lookup(self.key, text(root))
            assert item is not None
            seen: dict[Path_, Node] = {}
            for below, entry in self.catalog.walk_snapshot(item.id, seq):
                value: Any = None
                if entry.type == "f":
                    ids = [c.id for c in self.catalog.chunk_locations(entry.content)]
                    value = tuple(i for one in ids for i in range(10) if chunk_id(i) == one)
                    assert entry.hash == blake3(bytes(value)).digest()
                elif entry.type == "l":
                    value = entry.target
                path = (*root, *below)
                assert path[:-1] in seen or not below
                seen[path] = (entry.type, entry.mode, entry.mtime_ns, value)
            assert seen == tree

    @invariant()
    def nothing_is_left_over(self) -> None:
        if not hasattr(self, "catalog"):
            return
        with self.catalog._consistent() as db:
            refs: Counter[int] = Counter()
            for (content,) in db.execute("SELECT content FROM entries"):
                refs.update(iter_numbers(content))
            kept = dict(db.execute("SELECT number, refs FROM chunks WHERE refs > 0"))
            assert kept == dict(refs)
            assert db.execute("SELECT count(*) FROM stage").get == 0
            # every entry is seen by a version that is there
            for item, since, until in db.execute("SELECT item, since, until FROM entries"):
                versions = [one.version.seq for one in self.catalog.versions_of(item)]
                assert any(since <= s and (until is None or s < until) for s in versions)
            ghosts = db.execute(
                "SELECT count(*) FROM items i WHERE flags & 2 = 0 AND NOT EXISTS"
                " (SELECT 1 FROM entries e WHERE e.item = i.id) AND NOT EXISTS"
                " (SELECT 1 FROM items c WHERE c.parent = i.id)"
            ).get
            assert ghosts == 0
            assert db.execute("PRAGMA foreign_key_check").get is None
        for path in self.explicit:
            item = self.catalog.lookup(self.key, text(path))
            assert item is not None
            found, numbers = self.catalog.path_of(item.id)
            assert found == text(path)
            assert self.catalog.lookup(self.key, numbers) == item


TestCatalogModel = CatalogModel.TestCase
TestCatalogModel.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, print_blob=True
)


class LongCatalogModel(CatalogModel):
    """The same, for longer histories and more of them."""


TestLongCatalogModel = pytest.mark.slow(pytest.mark.timeout(600)(LongCatalogModel.TestCase))
LongCatalogModel.TestCase.settings = settings(
    max_examples=600, stateful_step_count=40, deadline=None, print_blob=True
)
