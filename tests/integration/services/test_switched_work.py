"""Uploads, downloads and repair, switched off and on in the middle of their work."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.storage import Job
from bitdust.testing import Grid, run_virtual

REGISTRY = build_registry()
BLOCK = "services/backups/block-size"
SIZE = 24 * 1024 * 1024
RATE = 2_000_000.0
"""Bytes a second to each supplier: the file takes about 12 s of virtual time."""


async def answer(node: Node, method: str, **arguments: Any) -> dict[str, Any]:
    return await dispatch(node, REGISTRY.named(method), arguments)


async def ask(node: Node, method: str, **arguments: Any) -> Any:
    envelope = await answer(node, method, **arguments)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


def remote(node: Node, name: str) -> RemotePath:
    return RemotePath.parse(f"master${node.global_id}:{name}")


async def store(node: Node, path: Path, name: str) -> dict[str, Any]:
    result: dict[str, Any] = await node.require_storage().file_upload_start(
        str(path), remote(node, name), wait_result=True
    )
    return result


async def fetch(node: Node, name: str, folder: Path) -> bytes:
    storage = node.require_storage()
    await storage.file_download_start(remote(node, name), str(folder), wait_result=True)
    return (folder / name).read_bytes()


async def build(grid: Grid, suppliers: int = 4) -> Node:
    for number in range(suppliers):
        await grid.supplier(f"s{number}")
        grid.network.set_link("alice", f"s{number}", latency=0.01, rate=RATE)
    return await grid.customer("alice")


def the_job(node: Node, kind: str) -> Job:
    assert node.storage is not None
    queue = getattr(node.storage, kind)
    (job,) = queue.find(lambda _: True)
    assert isinstance(job, Job)
    return job


def sent(node: Node) -> int:
    total = node.require_network().packets_stats()["out"]["total_bytes"]
    assert isinstance(total, int)
    return total


def test_an_upload_waits_while_its_service_is_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            await ask(alice, "config_set", key=BLOCK, value="10 KB")
            small = tmp_path / "small"
            small.write_bytes(b"small")
            await store(alice, small, "small")
            large = tmp_path / "large"
            large.write_bytes(os.urandom(SIZE))
            before = sent(alice)
            work = asyncio.create_task(store(alice, large, "large"))
            await grid.until(lambda: bool(alice.storage and alice.storage.uploads.running()))
            job = the_job(alice, "uploads")
            assert job.block_size == 4 * 1024 * 1024, "the smallest that holds every chunk"
            await grid.until(lambda: job.block_number >= 2)

            await ask(alice, "service_stop", service_name="backups")
            await grid.until(lambda: job.state == "pending", 2.0)
            assert [row["task_id"] for row in (await ask(alice, "files_uploads"))["pending"]]
            paused = sent(alice)
            await alice.clock.sleep(60.0)
            assert sent(alice) - paused < 200_000, "what remains is the talk of contacts"
            assert not work.done()
            refused = await answer(
                alice, "file_upload_start", local_path=str(small), remote_path="other"
            )
            assert refused["code"] == "service_off"
            assert "service_backups" in refused["errors"][0]
            assert await fetch(alice, "small", tmp_path / "back") == b"small"

            await ask(alice, "service_start", service_name="backups")
            result = await work
            assert (result["state"], result["bytes"]) == ("stored", SIZE)
            # what was stored before the break was not sent again, but for the blocks under way
            assert sent(alice) - before < 2 * SIZE + 2 * 3 * 4 * 1024 * 1024
            assert await fetch(alice, "large", tmp_path / "back") == large.read_bytes()

    run_virtual(scenario())


def test_a_waiting_upload_can_be_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            large = tmp_path / "large"
            large.write_bytes(os.urandom(SIZE))
            work = asyncio.create_task(answer_upload(alice, large))
            await grid.until(lambda: bool(alice.storage and alice.storage.uploads.running()))
            job = the_job(alice, "uploads")
            await ask(alice, "service_stop", service_name="backups")
            await grid.until(lambda: job.state == "pending", 30.0)
            await ask(alice, "file_upload_stop", remote_path="large")
            assert (await work)["code"] == "stopped"
            assert (await ask(alice, "files_uploads")) == {"running": [], "pending": []}

    run_virtual(scenario())


async def answer_upload(node: Node, path: Path) -> dict[str, Any]:
    return await answer(
        node,
        "file_upload_start",
        local_path=str(path),
        remote_path=path.name,
        wait_result=True,
    )


def test_a_waiting_upload_goes_on_after_a_restart_of_the_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            large = tmp_path / "large"
            large.write_bytes(os.urandom(SIZE))
            work = asyncio.create_task(answer_upload(alice, large))
            await grid.until(lambda: bool(alice.storage and alice.storage.uploads.running()))
            job = the_job(alice, "uploads")
            await grid.until(lambda: job.block_number >= 1)
            await ask(alice, "service_stop", service_name="data_motion")
            await grid.until(lambda: job.state == "pending", 30.0)
            await grid.stop("alice")
            assert (await work)["code"] == "stopped"

            alice = await grid.start("alice")
            await grid.until(lambda: alice.services.is_on("list_files"))
            assert alice.services.reason("backups") == "service_data_motion is not running"
            await alice.clock.sleep(30.0)
            assert the_job(alice, "uploads").state == "pending"
            await ask(alice, "service_start", service_name="data_motion")
            await grid.until(lambda: alice.events.counts.get("backup-done", 0) == 1)
            assert await fetch(alice, "large", tmp_path / "back") == large.read_bytes()

    run_virtual(scenario())


def test_a_download_waits_while_its_service_is_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            large = tmp_path / "large"
            large.write_bytes(os.urandom(SIZE))
            await store(alice, large, "large")
            work = asyncio.create_task(fetch(alice, "large", tmp_path / "back"))
            await grid.until(lambda: bool(alice.storage and alice.storage.downloads.running()))
            job = the_job(alice, "downloads")
            await alice.clock.sleep(1.0)

            await ask(alice, "service_stop", service_name="restores")
            await grid.until(lambda: job.state == "pending", 2.0)
            await alice.clock.sleep(60.0)
            assert not [p for p in alice.traffic.packets() if p.command == "fragment.get"]
            assert not work.done()
            refused = await answer(alice, "file_download_start", remote_path="large")
            assert refused["code"] == "service_off"

            await ask(alice, "service_start", service_name="restores")
            assert await work == large.read_bytes()

    run_virtual(scenario())


def test_nothing_is_rebuilt_while_that_is_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            await grid.stop("s2")
            customer = alice.require_customer()
            await grid.until(lambda: customer.ready() == 3)
            file = tmp_path / "file"
            file.write_bytes(os.urandom(1_000_000))
            assert (await store(alice, file, "file"))["state"] == "partial"
            await ask(alice, "service_stop", service_name="rebuilding")
            # what was stored before all suppliers were there may have been completed already
            before = alice.events.counts.get("data-repaired", 0)
            await grid.start("s2")
            await grid.until(lambda: customer.ready() == 4)
            await alice.clock.sleep(300.0)
            assert alice.events.counts.get("data-repaired", 0) == before
            info = await ask(alice, "file_info", remote_path="file")
            assert info["versions"][0]["state"] == "partial"
            await ask(alice, "service_start", service_name="rebuilding")
            await grid.until(lambda: alice.events.counts.get("data-repaired", 0) > before)
            info = await ask(alice, "file_info", remote_path="file")
            assert info["versions"][0]["state"] == "stored"

    run_virtual(scenario())


def test_a_replaced_supplier_keeps_its_fragments_meanwhile(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid, suppliers=5)
            customer = alice.require_customer()
            file = tmp_path / "file"
            file.write_bytes(os.urandom(1_000_000))
            await store(alice, file, "file")
            await ask(alice, "service_stop", service_name="rebuilding")
            await ask(alice, "supplier_change", position=1)
            await alice.clock.sleep(300.0)
            assert customer.retired(), "nothing was moved, so it is still needed"
            assert "data-repaired" not in alice.events.counts
            assert await fetch(alice, "file", tmp_path / "back") == file.read_bytes()
            await ask(alice, "service_start", service_name="rebuilding")
            await grid.until(lambda: "data-repaired" in alice.events.counts)
            await grid.until(lambda: not customer.retired())

    run_virtual(scenario())


def test_everything_rests_while_data_may_not_move(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            file = tmp_path / "file"
            file.write_bytes(os.urandom(100_000))
            await store(alice, file, "file")
            await ask(alice, "service_stop", service_name="data_motion")
            found = {row["name"]: row["state"] for row in await ask(alice, "services_list")}
            for name in ("rebuilding", "backups", "restores", "keys_storage"):
                assert found[f"service_{name}"] == "DEPENDS_OFF", name
            assert found["service_my_data"] == "ON"
            assert (await answer(alice, "files_sync"))["code"] == "service_off"
            assert [row["path"] for row in await ask(alice, "files_list")] == ["file"]
            await ask(alice, "file_create", remote_path="folder", as_folder=True)
            await ask(alice, "service_start", service_name="data_motion")
            await grid.until(lambda: alice.services.is_on("keys_storage"))
            assert (await ask(alice, "files_sync"))["segments"] >= 0
            assert await fetch(alice, "file", tmp_path / "back") == file.read_bytes()

    run_virtual(scenario())


def test_no_more_versions_are_kept_than_wanted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await build(grid)
            file = tmp_path / "file"
            for number in range(3):
                file.write_bytes(b"%d" % number)
                await store(alice, file, "file")
            assert len((await ask(alice, "file_info", remote_path="file"))["versions"]) == 3
            await ask(alice, "config_set", key="services/backups/max-copies", value=2)
            file.write_bytes(b"last")
            await store(alice, file, "file")
            await ask(alice, "files_sync")
            versions = (await ask(alice, "file_info", remote_path="file"))["versions"]
            assert len(versions) == 2
            assert await fetch(alice, "file", tmp_path / "back") == b"last"

    run_virtual(scenario())
