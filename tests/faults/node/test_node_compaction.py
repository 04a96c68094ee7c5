"""A journal that is replaced by a shorter one, and what a crash in the middle of that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.storage.transfer.spread import Spreader
from bitdust.storage.upkeep import compacting
from bitdust.supply import SupplierClient

Play = Callable[[Callable[[Any], Awaitable[None]]], None]

HOUR = 3600.0


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals are compacted after five segments, into small ones."""
    monkeypatch.setattr(compacting, "LEAST_SEGMENTS", 5)
    monkeypatch.setattr(compacting, "SEGMENT_COST", 1 << 20)
    monkeypatch.setattr(compacting, "FACTOR", 0)
    monkeypatch.setattr(compacting, "SEGMENT_BYTES", 4000)


class Cut:
    """Holds a compaction for ever when a step is done for the n-th time."""

    def __init__(self) -> None:
        self.at = ("", 0)
        self.count = 0
        self.held = asyncio.Event()

    def arm(self, what: str, number: int) -> None:
        self.at, self.count = (what, number), 0
        self.held = asyncio.Event()

    async def step(self, what: str) -> None:
        self.count += what == self.at[0]
        if (what, self.count) == self.at:
            self.held.set()
            await asyncio.Event().wait()


POINTS = [
    ("before _describe", 1),
    ("after _describe", 1),
    ("after _prepare", 1),
    ("half sent", 1),
    ("sent", 1),
    ("after _sent", 1),
    ("half sent", 2),
    ("after _sent", 2),
    ("before _adopt", 1),
    ("after _adopt", 1),
    ("deleted", 1),
    ("deleted", 3),
]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch, eager: None) -> Cut:
    cut = Cut()
    in_pool, spread, delete = compacting.in_pool, Spreader.spread, SupplierClient.delete
    made: list[Any] = []

    async def counted(pool: Any, work: Any, *args: Any) -> Any:
        await cut.step(f"before {work.__name__}")
        result = await in_pool(pool, work, *args)
        if work.__name__ == "_prepare":
            made[:] = [result[1]]
        await cut.step(f"after {work.__name__}")
        return result

    async def half(self: Any, name: str, fragments: Any) -> Any:
        of_base = any(fragments is one for one in made)
        if of_base:
            node, first = self._suppliers.positions()[0], fragments[0]
            await self._client.put(node, name, list(first.buffers), first.size, first.digest)
            await cut.step("half sent")
        outcome = await spread(self, name, fragments)
        if of_base:
            await cut.step("sent")
        return outcome

    async def deleted(self: Any, node: bytes, names: Any) -> int:
        count = await delete(self, node, names)
        if any(name.startswith("j/") for name in names):
            await cut.step("deleted")
        return count

    monkeypatch.setattr(compacting, "in_pool", counted)
    monkeypatch.setattr(Spreader, "spread", half)
    monkeypatch.setattr(SupplierClient, "delete", deleted)
    return cut


async def restart(story: Any, *, lost: bool) -> None:
    await story.grid.stop("alice")
    if lost:
        for path in (story.folder / "grid" / "alice").glob("catalog.db*"):
            path.unlink()
    await story.grid.start("alice")
    story.watch()
    assert await story.alice.storage.wait_recovered(HOUR)
    await story.grid.until(lambda: story.alice.require_customer().ready() == 4)


async def journal_objects(story: Any) -> list[set[str]]:
    """Names of the journal's objects, by supplier."""
    client = story.alice.require_customer().client
    return [
        {entry.name async for entry in client.list(node, "j/")}
        for node in story.alice.require_customer().positions()
    ]


async def tidy(story: Any) -> bool:
    """Whether every supplier has the segments of the present epoch and nothing else."""
    epoch, count = story.catalog.journal_position
    journal = story.alice.storage.parts.journal
    wanted = {journal.object_name(epoch, seq) for seq in range(count)}
    return all(names == wanted for names in await journal_objects(story))


async def settled(story: Any) -> None:
    """Wait until nothing of another epoch is left anywhere."""
    async with asyncio.timeout(HOUR):
        while not await tidy(story):
            await story.grid.clock.sleep(61.0)


class Diary:
    """A file of which every version must stay."""

    def __init__(self, story: Any) -> None:
        self.story = story
        self.local: Path = story.folder / "diary"
        self.count = 0

    async def write(self, times: int) -> None:
        for _ in range(times):
            self.local.write_bytes(b"day %d" % self.count)
            await self.story.upload("diary", self.local)
            self.count += 1

    async def check(self, *, unsure: bool = False) -> None:
        """All acknowledged versions are there; one that was not yet may be."""
        await self.story.grid.until(lambda: not self.story.alice.storage.uploads.running())
        catalog = self.story.catalog
        item = catalog.lookup(1, "diary").id
        versions = sorted(catalog.versions(item), key=lambda version: version.seq)
        if unsure and len(versions) == self.count + 1:
            self.count += 1
        assert len(versions) == self.count
        path_id = catalog.path_of(item)[1]
        for number in {0, self.count // 2, self.count - 1}:
            content, _ = await self.story.download(f"{path_id}/{versions[number].label}")
            assert content == b"day %d" % number


def test_a_long_journal_becomes_short_and_brings_everything_back(play: Play, eager: None) -> None:
    async def scenario(story: Any) -> None:
        diary = Diary(story)
        await diary.write(6)
        await story.grid.until(lambda: story.catalog.journal_position[0] == 1)
        await diary.write(7)
        await story.grid.until(lambda: story.catalog.journal_position[0] >= 2)
        await settled(story)
        await diary.write(2)
        await restart(story, lost=True)
        await diary.check()
        assert story.catalog.meta("base_segments") > 1
        # the journal goes on, and is compacted again
        epoch = story.catalog.journal_position[0]
        await diary.write(9)
        await story.grid.until(lambda: story.catalog.journal_position[0] > epoch)
        await settled(story)
        await restart(story, lost=True)
        await diary.check()
        assert (await story.download())[0] == story.content
        # and half of the suppliers are enough for it
        await story.grid.stop(story.supplier(0))
        await story.grid.stop(story.supplier(1))
        await story.grid.stop("alice")
        for path in (story.folder / "grid" / "alice").glob("catalog.db*"):
            path.unlink()
        await story.grid.start("alice")
        assert await story.alice.storage.wait_recovered(HOUR)
        await diary.check()

    play(scenario)


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "burned down"])
def test_a_compaction_that_is_cut_off_anywhere_costs_nothing(
    play: Play, cut: Cut, lost: bool
) -> None:
    async def scenario(story: Any) -> None:
        diary = Diary(story)
        await diary.write(5)
        for point in POINTS:
            cut.arm(*point)
            async with asyncio.timeout(HOUR):
                while not cut.held.is_set():
                    # an upload waits for a journal that stands still: then it is not acknowledged
                    writing = asyncio.create_task(diary.write(1))
                    holding = asyncio.create_task(cut.held.wait())
                    both = (writing, holding)
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(0.5)
                    holding.cancel()
            await restart(story, lost=lost)
            await asyncio.gather(*both, return_exceptions=True)
            await diary.check(unsure=not writing.done() or writing.exception() is not None)
        cut.arm("", 0)
        await settled(story)
        await restart(story, lost=True)
        await diary.check()
        assert (await story.download())[0] == story.content
        assert not story.catalog.blocks_needing_repair()

    play(scenario)


def test_a_newer_epoch_that_somebody_may_have_is_waited_for(play: Play, eager: None) -> None:
    async def scenario(story: Any) -> None:
        diary = Diary(story)
        await diary.write(6)
        await story.grid.until(lambda: story.catalog.journal_position[0] == 1)
        await settled(story)
        epoch, count = story.catalog.journal_position
        journal = story.alice.storage.parts.journal
        client = story.alice.require_customer().client
        nodes = story.alice.require_customer().positions()
        # two forget all but the names; the other two are away: nobody can tell what was stored
        for node in nodes[:2]:
            for seq in range(count):
                name = journal.object_name(epoch, seq)
                size = len(await client.get(node, name))
                data = bytes(size)
                await client.delete(node, [name])
                await client.put(node, name, [memoryview(data)], size, blake3(data).digest())
        away = [story.supplier(2), story.supplier(3)]
        await story.grid.stop("alice")
        for name in away:
            await story.grid.stop(name)
        for path in (story.folder / "grid" / "alice").glob("catalog.db*"):
            path.unlink()
        await story.grid.start("alice")
        assert not await story.alice.storage.wait_recovered(300.0)
        for name in away:
            await story.grid.start(name, services__customer__enabled=False)
        assert await story.alice.storage.wait_recovered(HOUR)
        await diary.check()

    play(scenario)


def test_another_number_of_suppliers_writes_the_journal_anew(play: Play) -> None:
    async def scenario(story: Any) -> None:
        await story.grid.until(lambda: not story.catalog.outbox_size())
        for number in range(4, 8):
            await story.grid.supplier(f"supplier-{number}")
        compactor = story.alice.storage.parts.care._compactor
        assert story.catalog.journal_position[0] == 0
        # a caretaker that is told of two suppliers only
        assert await compactor.run(2) == 1
        assert story.catalog.journal_position == (1, 1)
        assert await compactor.run(2) == 0
        assert await compactor.run(4) == 1

    play(scenario)
