"""The owner's own machine: its catalog, its settings, its clock and its disk, in one process."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import DamagedSettings, DiskFull
from bitdust.storage.transfer import restore

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365.25 * DAY
# the longer one is enough for the data of a lapsed contract to be removed
PAUSES = [
    pytest.param(300.0, id="minutes"),
    pytest.param(2 * DAY, id="days", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
]

Play = Callable[[Callable[[Any], Awaitable[None]]], None]


async def restarted(story: Any, meanwhile: Callable[[Path], None]) -> None:
    """Stop Alice, let something happen to her home, and start her again."""
    await story.grid.stop("alice")
    meanwhile(story.folder / "grid" / "alice")
    await story.grid.start("alice")
    story.watch()
    storage = story.alice.storage
    assert await storage.wait_recovered(600.0)


def truncate(home: Path) -> None:
    os.truncate(home / "catalog.db", (home / "catalog.db").stat().st_size // 2)


def overwrite(home: Path) -> None:
    with (home / "catalog.db").open("r+b") as file:
        for page in range(1, 12):
            file.seek(page * 4096 + 8)
            file.write(os.urandom(512))


def replace(home: Path) -> None:
    (home / "catalog.db").write_bytes(b"no database at all" * 1000)


def delete(home: Path) -> None:
    for path in home.glob("catalog.db*"):
        path.unlink()


def empty(home: Path) -> None:
    delete(home)
    (home / "catalog.db").write_bytes(b"")


@pytest.mark.parametrize("harm", [truncate, overwrite, replace, empty, delete])
def test_a_catalog_that_is_damaged_or_gone_comes_back_from_the_journal(
    play: Play, harm: Callable[[Path], None]
) -> None:
    async def scenario(story: Any) -> None:
        second = story.folder / "second"
        second.write_bytes(b"second version")
        await story.upload("file", second)
        await story.upload("other", second)
        await restarted(story, harm)
        assert (await story.download("other"))[0] == b"second version"
        assert (await story.download("file"))[0] == b"second version"
        info = await story.alice.require_storage().file_info(story.where("file"))
        first = info["versions"][1]["backup_id"].rpartition("/")[2]
        path_id = info["path_id"]
        assert (await story.download(f"{path_id}/{first}"))[0] == story.content
        # nothing known is sent again, and what comes goes where the old left off
        again = await story.upload("third", story.original)
        assert again["new_bytes"] == 0
        if harm not in (empty, delete):
            aside = list((story.folder / "grid" / "alice").glob("catalog.db.damaged-*"))
            assert aside
        # and once more, with what was added since
        await restarted(story, delete)
        assert (await story.download("third"))[0] == story.content

    play(scenario)


def test_a_segment_of_the_journal_that_was_cut_off_does_not_stop_a_recovery(play: Play) -> None:
    async def scenario(story: Any) -> None:
        # killed while the journal was on its way: one supplier has the next segment, nobody else
        epoch, number = story.catalog.journal_position
        storage = story.alice.storage
        name = storage.parts.journal.object_name(epoch, number)
        node = story.alice.require_customer().positions()[1]
        data = b"BDfrag half a segment"
        await story.alice.require_customer().client.put(
            node, name, [memoryview(data)], len(data), blake3(data).digest()
        )
        await restarted(story, delete)
        assert (await story.download())[0] == story.content
        # its number is used by the next change, and everybody has that in the end
        second = story.folder / "second"
        second.write_bytes(b"after the recovery")
        await story.upload("second", second)
        await story.grid.until(lambda: not story.catalog.blocks_needing_repair(), HOUR)
        await restarted(story, delete)
        assert (await story.download("second"))[0] == b"after the recovery"

    play(scenario)


def test_a_list_of_suppliers_that_is_damaged_costs_nothing(play: Play) -> None:
    async def scenario(story: Any) -> None:
        before = story.alice.require_customer().positions()
        await restarted(
            story, lambda home: (home / "metadata" / "suppliers.json").write_text("{ nonsense")
        )
        await story.grid.until(lambda: story.alice.require_customer().ready() == 4, HOUR)
        assert story.alice.require_customer().positions() == before
        assert (await story.download())[0] == story.content
        assert not story.catalog.blocks_needing_repair()
        assert not story.told("fragment-damaged")

    play(scenario)


def test_fragments_thought_lost_that_are_there_are_not_made_again(play: Play) -> None:
    async def scenario(story: Any) -> None:
        await story.alice.require_storage().files_sync()
        node = story.alice.require_customer().positions()[0]
        story.events.clear()
        with story.catalog.transaction() as tx:
            assert tx.supplier_lost(node)
        await story.inspector.compare(node)
        assert not story.catalog.blocks_needing_repair()
        assert not story.told("data-repaired")

    play(scenario)


def test_a_damaged_setting_is_named_and_left_alone(play: Play) -> None:
    async def scenario(story: Any) -> None:
        await story.grid.stop("alice")
        path = story.folder / "grid" / "alice" / "config" / "services" / "customer" / "needed-space"
        before = path.read_bytes()
        path.write_bytes(b"\xff\xfe much")
        with pytest.raises(DamagedSettings) as caught:
            await story.grid.start("alice", services__supplier__enabled=False)
        assert "services/customer/needed-space" in caught.value.message
        assert path.read_bytes() == b"\xff\xfe much"
        path.write_bytes(before)
        await story.grid.start("alice", services__supplier__enabled=False)
        assert (await story.download())[0] == story.content

    play(scenario)


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "backwards"])
@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("pause", PAUSES)
def test_a_clock_that_jumps_by_a_year_costs_nothing(
    play: Play, jump: float, restart: bool, pause: float
) -> None:
    async def scenario(story: Any) -> None:
        if restart:
            names = list(story.grid.nodes)
            for name in names:
                await story.grid.stop(name)
            story.grid.clock.jump(jump)
            for name in names:
                await story.grid.start(name)
            story.watch()
        else:
            story.grid.clock.jump(jump)
        await asyncio.sleep(pause)
        await story.grid.until(lambda: story.alice.require_customer().ready() == 4, HOUR)
        assert (await story.download())[0] == story.content
        second = story.folder / "second"
        second.write_bytes(blake3(b"second").digest(3_000_000))
        result = await story.upload("file", second)
        assert result["state"] == "stored"
        # the newest version is the one stored last, whatever the clock says
        assert (await story.download())[0] == second.read_bytes()
        await asyncio.sleep(pause)
        story.grid.clock.jump(-jump)
        await asyncio.sleep(pause)
        assert (await story.download())[0] == second.read_bytes()
        result = await story.upload("file", story.original)
        assert (await story.download())[0] == story.content
        assert not story.catalog.blocks_needing_repair()

    play(scenario)


@pytest.mark.parametrize("pause", PAUSES)
def test_nodes_whose_clocks_are_a_year_off_work_with_the_rest(play: Play, pause: float) -> None:
    async def scenario(story: Any) -> None:
        class Ahead:
            def __init__(self, clock: Any, seconds: float) -> None:
                self._clock, self._seconds = clock, seconds

            def now(self) -> float:
                return float(self._clock.now() + self._seconds)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._clock, name)

        for name, seconds in ((story.supplier(0), YEAR), (story.supplier(1), -YEAR)):
            supplier = story.grid.nodes[name].require_supplier()
            supplier._clock = supplier._fragments._clock = Ahead(supplier._clock, seconds)
        assert (await story.download())[0] == story.content
        second = story.folder / "second"
        second.write_bytes(b"second")
        assert (await story.upload("second", second))["acks"] >= 3
        await asyncio.sleep(pause)
        assert (await story.download())[0] == story.content
        assert (await story.download("second"))[0] == b"second"

    play(scenario)


def test_a_full_disk_at_the_destination_is_told_and_can_be_tried_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """The module ``os`` on a disk that takes no more."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario(story: Any) -> None:
        monkeypatch.setattr(restore, "os", Full())
        with pytest.raises(DiskFull) as caught:
            await story.download()
        assert caught.value.hint
        monkeypatch.undo()
        assert (await story.download())[0] == story.content

    play(scenario)


def test_what_was_acknowledged_is_on_the_suppliers_and_not_only_here(play: Play) -> None:
    async def scenario(story: Any) -> None:
        for number in range(5):
            local = story.folder / f"local{number}"
            local.write_bytes(b"%d" % number)
            await story.upload(f"number{number}", local)
        # at this very moment the machine burns down
        await restarted(story, delete)
        for number in range(5):
            assert (await story.download(f"number{number}"))[0] == b"%d" % number

    play(scenario)


def test_an_upload_taken_up_after_its_version_was_made_makes_no_second_one(play: Play) -> None:
    async def scenario(story: Any) -> None:
        story.original.write_bytes(blake3(b"changed").digest(2_000_000))
        storage = story.alice.storage
        item = story.catalog.lookup(1, "file").id
        flush = storage.parts.journal.flush

        async def killed(n: int) -> tuple[int, int]:
            await asyncio.Event().wait()
            return await flush(n)

        storage.parts.journal.flush = killed
        upload = asyncio.create_task(story.upload("file", story.original))
        await story.grid.until(lambda: len(story.catalog.versions(item)) == 2)
        await story.grid.stop("alice")
        await asyncio.gather(upload, return_exceptions=True)
        await story.grid.start("alice")
        await story.grid.until(lambda: story.alice.require_customer().ready() == 4)
        await story.grid.until(lambda: not story.catalog.outbox_size())
        assert not story.alice.storage.uploads.find(lambda job: True)
        info = await story.alice.require_storage().file_info(story.where("file"))
        assert len(info["versions"]) == 2
        await restarted(story, delete)
        assert (await story.download())[0] == story.original.read_bytes()

    play(scenario)


def test_an_old_segment_of_the_journal_under_a_newer_name_is_refused(play: Play) -> None:
    async def scenario(story: Any) -> None:
        second = story.folder / "second"
        second.write_bytes(b"second")
        await story.upload("second", second)
        await story.alice.require_storage().files_sync()
        epoch, number = story.catalog.journal_position
        journal = story.alice.storage.parts.journal
        old, new = journal.object_name(epoch, 0), journal.object_name(epoch, number - 1)
        assert number >= 2
        client = story.alice.require_customer().client
        nodes = story.alice.require_customer().positions()

        async def put(node: bytes, data: bytes) -> None:
            await client.delete(node, [new])
            await client.put(node, new, [memoryview(data)], len(data), blake3(data).digest())

        kept = {node: await client.get(node, new) for node in nodes}
        for node in nodes:
            await put(node, await client.get(node, old))
        await story.grid.stop("alice")
        delete(story.folder / "grid" / "alice")
        await story.grid.start("alice")
        story.watch()
        await story.grid.until(lambda: story.alice.require_customer().ready() == 4)
        storage = story.alice.storage
        assert not await storage.wait_recovered(300.0)
        client = story.alice.require_customer().client
        for node, data in kept.items():
            await put(node, data)
        assert await storage.wait_recovered(600.0)
        assert (await story.download("second"))[0] == b"second"

    play(scenario)
