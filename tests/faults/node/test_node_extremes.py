"""Very many files, a very long path, very many versions."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.demo_tree import compare_trees
from bitdust.supply.rules import Rates

Play = Callable[[Callable[[Any], Awaitable[None]]], None]

LONG_PATH = 4000
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]


async def lose_the_catalog(story: Any) -> None:
    await story.grid.stop("alice")
    for path in (story.folder / "grid" / "alice").glob("catalog.db*"):
        path.unlink()
    await story.grid.start("alice")
    # virtual seconds: suppliers give a long journal at the pace they allow anybody
    assert await story.alice.storage.wait_recovered(86400.0)


@pytest.mark.parametrize("count", [1500, pytest.param(100_000, marks=SLOW)])
def test_many_files_in_one_folder(play: Play, count: int) -> None:
    async def scenario(story: Any) -> None:
        tree = story.folder / "many"
        tree.mkdir()
        for number in range(count):
            (tree / f"file {number:06}").write_bytes(b"%d" % number)
        result = await story.upload("many", tree)
        assert (result["state"], result["files"]) == ("stored", count)
        rows, _, cut = await story.alice.require_storage().files_list(story.where("many"))
        assert len(rows) == count
        assert not cut
        (tree / "file 000007").write_bytes(b"changed")
        again = await story.upload("many", tree)
        assert (again["files_changed"], again["new_bytes"]) == (2 - 1, 7)
        await lose_the_catalog(story)
        result = await story.alice.require_storage().file_download_start(
            story.where("many"), str(story.folder / "back"), wait_result=True
        )
        assert compare_trees(tree, Path(result["local_path"])).differences == []

    play(scenario)


def test_a_path_of_4000_bytes(play: Play) -> None:
    async def scenario(story: Any) -> None:
        # the longest path that the system takes has 4,095 bytes, the folder's own included
        short = Path(tempfile.mkdtemp(prefix="f", dir="/tmp"))
        try:
            names = ["ä" * 124 + str(number % 10) for number in range(LONG_PATH // 250 - 1)]
            left = LONG_PATH - sum(len(name.encode()) + 1 for name in names)
            names.append("x" * left)
            relative = "/".join(names)
            assert len(relative.encode()) == LONG_PATH
            tree = short / "t"
            path = tree / relative
            path.parent.mkdir(parents=True)
            path.write_bytes(b"far down")
            assert (await story.upload("deep", tree))["state"] == "stored"
            await lose_the_catalog(story)
            info = await story.alice.require_storage().file_info(story.where(f"deep/{relative}"))
            assert info["size"] == len(b"far down")
            target = short / "b"
            await story.alice.require_storage().file_download_start(
                story.where("deep"), str(target), wait_result=True
            )
            assert (target / "deep" / relative).read_bytes() == b"far down"
            # and one name of it alone
            await story.alice.require_storage().file_download_start(
                story.where(f"deep/{relative}"), str(short / "c"), wait_result=True
            )
            assert os.listdir(short / "c") == [names[-1]]
        finally:
            shutil.rmtree(short)

    play(scenario)


@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=SLOW)])
def test_many_versions_of_one_file(play: Play, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    # no power fails here, and 160,000 waits for a disk that other tests use as well show nothing
    monkeypatch.setattr(os, "fsync", lambda fd: None)

    async def scenario(story: Any) -> None:
        local = story.folder / "diary"
        for number in range(count):
            local.write_bytes(b"day %d" % number)
            assert (await story.upload("diary", local))["acks"] == 4
            await asyncio.sleep(0.2)
        # suppliers let nobody ask without end: a long journal is read at the pace they allow
        for position in range(4):
            supplier = story.grid.nodes[story.supplier(position)].require_supplier()
            supplier._fragments._requests = Rates(10.0, 20.0)
        await lose_the_catalog(story)
        files = story.alice.require_storage()
        info = await files.file_info(story.where("diary"))
        assert info["versions_total"] == count
        catalog = story.catalog
        # the journal was written anew now and then, so that not each version is a part of its own
        assert catalog.journal_position[1] <= max(100, count // 4)
        item = catalog.lookup(1, "diary").id
        labels = [version.label for version in catalog.versions(item)]
        assert len(set(labels)) == count
        newest_first = sorted(catalog.versions(item), key=lambda version: -version.seq)
        for number in (0, 1, count // 2, count - 1):
            label = newest_first[count - 1 - number].label
            content, _ = await story.download(f"{info['path_id']}/{label}")
            assert content == b"day %d" % number

    play(scenario)
