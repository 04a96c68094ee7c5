"""Damage on suppliers' disks and on the wire, in one process: noticed, got around, repaired."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import BitdustError, QuotaExceeded, TooFewSuppliers

HOUR = 3600.0

Play = Callable[[Callable[[Any], Awaitable[None]]], None]


def flip(path: Path) -> None:
    """Change bytes all over a file without changing its size."""
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2 % 7919, len(data), 7919):
        data[at] ^= 0x10
    path.write_bytes(data)


def test_a_fragment_damaged_on_disk_is_got_around_told_and_repaired(play: Play) -> None:
    async def scenario(story: Any) -> None:
        damaged = [
            path
            for position in (0, 1)
            for path in story.objects(story.supplier(position))
            if path.name.startswith("d%2F") or path.stat().st_size > 100_000
        ]
        assert len(damaged) >= 4
        for path in damaged:
            flip(path)
        story.read_first(0, 1)
        content, result = await story.download()
        assert content == story.content
        assert result["warnings_total"] >= 1
        assert any("damaged" in text for text in result["warnings"])
        told = story.told("fragment-damaged")
        assert told
        assert all(data["supplier"] and data["reason"] for data in told)
        # those that the download did not touch are found by audits
        await story.whole(12 * HOUR)
        assert story.told("data-repaired")
        assert await story.half() == story.content

    play(scenario)


def test_a_fragment_that_is_gone_is_got_around_told_and_repaired(play: Play) -> None:
    async def scenario(story: Any) -> None:
        for position in (2, 3):
            for path in story.objects(story.supplier(position)):
                path.unlink()
        story.read_first(2, 3)
        content, _ = await story.download()
        assert content == story.content
        await story.whole(12 * HOUR)
        assert story.told("fragment-damaged")
        assert story.told("data-repaired")
        assert await story.half() == story.content

    play(scenario)


def test_a_silent_loss_is_found_by_audits_without_a_read(play: Play) -> None:
    async def scenario(story: Any) -> None:
        name = story.supplier(3)
        # the same size and dates, so that nobody notices who does not look inside
        for path in story.objects(name):
            stat = path.stat()
            path.write_bytes(bytes(stat.st_size))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        supplier = story.grid.nodes[name].require_supplier()

        async def no_scrub(*args: Any) -> int:
            return 0

        supplier._store.scrub = no_scrub  # type: ignore[method-assign]
        began = story.grid.clock.monotonic()
        await story.whole(24 * HOUR)
        assert story.inspector.found.failed >= 1
        assert story.told("fragment-damaged")
        assert story.grid.clock.monotonic() - began > 30.0
        assert await story.half() == story.content

    play(scenario)


def test_a_supplier_without_its_folder_is_noticed_and_filled_again(play: Play) -> None:
    async def scenario(story: Any) -> None:
        name = story.supplier(2)
        before = {path.name for path in story.objects(name)}
        await story.grid.stop(name)
        shutil.rmtree(story.folder / "grid" / name / "customers")
        await story.grid.start(name, services__customer__enabled=False)
        await story.grid.until(
            lambda: before <= {path.name for path in story.objects(story.supplier(2))}, HOUR
        )
        await story.whole()
        assert story.told("fragment-damaged")
        assert await story.half() == story.content

    play(scenario)


def test_audits_go_on_when_the_challenges_are_used_up(play: Play) -> None:
    async def scenario(story: Any) -> None:
        inspector = story.inspector
        fragments = sum(len(story.objects(story.supplier(p))) for p in range(4))
        await story.grid.until(lambda: inspector.found.audits > 8 * fragments, 400 * HOUR)
        assert inspector.found.failed == 0
        assert not story.told("fragment-damaged")
        left = [
            row.challenges
            for number in range(1, story.catalog.meta("next_block"))
            for row in story.catalog.fragments(number)
        ]
        assert all(len(challenges) % 64 == 0 for challenges in left)

    play(scenario)


def test_one_challenge_is_never_asked_twice(play: Play) -> None:
    async def scenario(story: Any) -> None:
        asked: list[bytes] = []
        client = story.alice.require_customer().client
        audit = client.audit

        async def spy(node: bytes, name: str, key: bytes, timeout: float = 60.0) -> bytes:
            asked.append(key)
            return await audit(node, name, key, timeout)

        client.audit = spy  # type: ignore[method-assign]
        await story.grid.until(lambda: len(asked) > 40, 100 * HOUR)
        assert len(set(asked)) == len(asked)

    play(scenario)


def test_bits_flipped_on_the_wire_do_no_harm(play: Play) -> None:
    async def scenario(story: Any) -> None:
        name = story.supplier(1)
        flipped = 0
        passed = 0

        def tamper(source: str, target: str, data: bytes) -> bytes:
            nonlocal flipped, passed
            passed += len(data)
            # the transport of this network has no TLS, so that the layers above are tried
            if name in (source, target) and len(data) > 20_000 and passed > 3_000_000:
                flipped += 1
                changed = bytearray(data)
                changed[len(data) // 2] ^= 0x40
                return bytes(changed)
            return data

        story.grid.network.tamper = tamper
        content, _ = await story.download()
        assert content == story.content
        second = story.folder / "second"
        second.write_bytes(blake3(b"second").digest(12_000_000))
        result = await story.upload("second", second)
        assert result["acks"] >= 3
        assert flipped
        story.grid.network.tamper = lambda source, target, data: data
        await story.whole(12 * HOUR)
        assert await story.half() == story.content
        assert (await story.download("second"))[0] == second.read_bytes()

    play(scenario)


def test_a_supplier_with_a_full_disk_says_so_and_the_upload_goes_on(play: Play) -> None:
    async def scenario(story: Any) -> None:
        full = [story.grid.nodes[story.supplier(p)].require_supplier()._store for p in (0, 1)]
        room = full[0]._free_space
        full[0]._free_space = lambda path: 0
        second = story.folder / "second"
        second.write_bytes(blake3(b"second").digest(6_000_000))
        result = await story.upload("second", second)
        assert (result["state"], result["acks"], result["may_vanish"]) == ("partial", 3, 1)
        # a second full one is one too many: clear, and nothing of it stays
        full[1]._free_space = lambda path: 0
        third = story.folder / "third"
        third.write_bytes(blake3(b"third").digest(6_000_000))
        with pytest.raises(BitdustError) as caught:
            await story.upload("third", third)
        assert isinstance(caught.value, TooFewSuppliers | QuotaExceeded)
        assert "no room" in caught.value.message
        assert (await story.download())[0] == story.content
        # and once there is room again, everything comes to be where it should be
        for store in full:
            store._free_space = room
        await story.grid.until(lambda: not story.catalog.blocks_needing_repair(), 2 * HOUR)
        info = await story.alice.require_storage().file_info(story.where("second"))
        assert info["versions"][0]["state"] == "stored"
        assert (await story.upload("third", third))["state"] == "stored"

    play(scenario)


def test_fragments_that_were_never_stored_fail_clearly(play: Play) -> None:
    async def scenario(story: Any) -> None:
        for position in (0, 1):
            await story.grid.stop(story.supplier(position))
        with pytest.raises(TooFewSuppliers) as caught:
            await story.upload("file", story.original)
        assert caught.value.hint
        # what failed is not taken up behind the person's back at the next start
        await story.grid.stop("alice")
        await story.grid.start("alice")
        storage = story.alice.storage
        assert storage is not None
        assert not storage.uploads.pending()
        assert not storage.uploads.running()
        assert (await story.download())[0] == story.content

    play(scenario)
