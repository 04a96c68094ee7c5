"""Whole nodes in one process, under virtual time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bitdust.errors import QuotaExceeded
from bitdust.ids import RemotePath
from bitdust.testing import Grid, run_virtual

WEEK = 7 * 86400.0


def remote(node_id: object, path: str) -> RemotePath:
    return RemotePath.parse(f"master${node_id}:{path}")


def tree(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small.txt").write_text("hello")
    (folder / "empty").write_bytes(b"")
    (folder / "big.bin").write_bytes(os.urandom(3_000_000))
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to("../small.txt")
    return folder


CHECK_INTERVAL = "services/identity-propagate/health-check-interval-seconds"


def same(one: Path, other: Path) -> bool:
    names = sorted(p.relative_to(one) for p in one.rglob("*"))
    assert names == sorted(p.relative_to(other) for p in other.rglob("*"))
    for name in names:
        a, b = one / name, other / name
        assert a.lstat().st_mode == b.lstat().st_mode
        assert a.lstat().st_mtime_ns == b.lstat().st_mtime_ns or a.is_dir()
        if a.is_symlink():
            assert os.readlink(a) == os.readlink(b)
        elif a.is_file():
            assert a.read_bytes() == b.read_bytes()
    return True


def test_a_file_survives_weeks_and_the_loss_of_the_home(tmp_path: Path) -> None:
    """The owner is away for weeks: its own DHT records fade, those of its suppliers do not."""
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(5):
                supplier = await grid.supplier(f"supplier-{number}")
                # weeks of looks at name servers every few minutes are not what this is about
                supplier.settings.set(CHECK_INTERVAL, 6 * 3600)
            alice = await grid.customer("alice")
            global_id = alice.global_id
            files = alice.require_storage()
            stored = await files.file_upload_start(
                str(source), remote(global_id, "docs"), wait_result=True
            )
            assert stored["state"] == "stored"
            assert (stored["acks"], stored["may_vanish"]) == (4, 2)
            hired = set(filter(None, alice.require_customer().positions()))
            backup = await alice.require_identity().backup_text()
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")
            await grid.clock.sleep(5 * WEEK)
            # half of the suppliers are lost as well, and the identity server is gone
            lost = [n for n, node in grid.nodes.items() if node.require_identity().node_id in hired]
            for name in lost[:2]:
                await grid.stop(name)
            grid.names.away = True
            again = await grid.start("alice", services__supplier__enabled=False)
            await again.recover_identity(backup, None)
            assert again.global_id == global_id
            storage = again.storage
            assert storage is not None
            assert await storage.wait_recovered(600.0)
            result = await again.require_storage().file_download_start(
                remote(global_id, "docs"), str(tmp_path / "restored"), wait_result=True
            )
            assert result["downloaded"]
            assert same(source, tmp_path / "restored" / "docs")

    run_virtual(scenario())


def test_a_supplier_that_was_away_gets_its_fragments_later(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(4):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice")
            await grid.stop("supplier-2")
            customer = alice.require_customer()
            await grid.until(lambda: customer.ready() == 3)
            stored = await alice.require_storage().file_upload_start(
                str(source), remote(alice.global_id, "docs"), wait_result=True
            )
            assert stored["state"] == "partial"
            assert (stored["acks"], stored["may_vanish"]) == (3, 1)
            events = []
            alice.events.on_event(lambda event: events.append(event.event_id))
            await grid.start("supplier-2", services__customer__enabled=False)
            await grid.until(lambda: customer.ready() == 4)
            await grid.until(lambda: "data-repaired" in events)
            info = await alice.require_storage().file_info(remote(alice.global_id, "docs"))
            assert info["versions"][0]["state"] == "stored"
            assert info["versions"][0]["reliable"] == "100%"
            # and it was not only said: two others leave, the one that was away serves
            await grid.stop("supplier-0")
            await grid.stop("supplier-1")
            await alice.require_storage().file_download_start(
                remote(alice.global_id, "docs"), str(tmp_path / "restored"), wait_result=True
            )
            assert same(source, tmp_path / "restored" / "docs")

    run_virtual(scenario())


def test_a_replaced_supplier_hands_over_its_fragments(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(3):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            customer = alice.require_customer()
            where = remote(alice.global_id, "docs")
            files = alice.require_storage()
            await files.file_upload_start(str(source), where, wait_result=True)
            old = customer.positions()[0]
            events: list[str] = []
            alice.events.on_event(lambda event: events.append(event.event_id))
            await customer.change(0)
            assert old not in customer.positions()
            await grid.until(lambda: not customer.retired())
            assert "data-repaired" in events
            for name, node in list(grid.nodes.items()):
                if node.require_identity().node_id == old:
                    await grid.stop(name)
            # the one that stayed leaves as well: the new one has everything
            stayed = customer.positions()[1]
            for name, node in list(grid.nodes.items()):
                if node.require_identity().node_id == stayed:
                    await grid.stop(name)
            await files.file_download_start(where, str(tmp_path / "restored"), wait_result=True)
            assert same(source, tmp_path / "restored" / "docs")

    run_virtual(scenario())


def test_a_customer_that_is_rejected_finds_another_supplier(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(5):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=4)
            customer = alice.require_customer()
            where = remote(alice.global_id, "docs")
            files = alice.require_storage()
            await files.file_upload_start(str(source), where, wait_result=True)
            alice_id = alice.require_identity().node_id
            rejecting = next(
                node
                for node in grid.nodes.values()
                if node.require_identity().node_id == customer.positions()[2]
            )
            freed = await rejecting.require_supplier().reject_customer(alice_id)
            assert freed > 1_500_000
            await grid.until(lambda: customer.ready() == 4)
            storage = alice.storage
            assert storage is not None
            await grid.until(
                lambda: (
                    not storage.parts.catalog.blocks_needing_repair()
                    and rejecting.require_identity().node_id not in storage.parts.catalog.holders()
                )
            )
            info = await files.file_info(where)
            assert info["versions"][0]["reliable"] == "100%"

    run_virtual(scenario())


def test_other_keys_come_back_with_the_master_key(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            assert alice.global_id is not None
            key_id = alice.global_id.key("photos")
            done: list[str] = []
            alice.events.on_event(
                lambda event: (
                    done.append(str(event.data.get("remote_path")))
                    if event.event_id == "backup-done"
                    else None
                )
            )
            for alias in ("photos", "erased"):
                alice.require_keys().create(alias, 1024)
                alice.events.publish("key-generated")
            await alice.require_storage().file_upload_start(
                str(source), RemotePath(key_id, "docs"), wait_result=True
            )
            await grid.until(lambda: f"master${alice.global_id}:.keys" in done)
            done.clear()
            alice.require_keys().erase(alice.global_id.key("erased"))
            alice.events.publish("key-erased")
            await grid.until(lambda: f"master${alice.global_id}:.keys" in done)
            backup = await alice.require_identity().backup_text()
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")
            again = await grid.start("alice", services__supplier__enabled=False)
            await again.recover_identity(backup, None)
            await grid.until(lambda: key_id in again.require_keys())
            await again.require_storage().file_download_start(
                RemotePath(key_id, "docs"), str(tmp_path / "restored"), wait_result=True
            )
            assert same(source, tmp_path / "restored" / "docs")
            assert alice.global_id is None
            aliases = [stored.key_id.alias for stored in again.require_keys().list()]
            assert aliases == ["master", "photos"]

    run_virtual(scenario())


def test_versions_deletion_and_quota(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2, needed="16 MB")
            files = alice.require_storage()
            where = remote(alice.global_id, "docs")
            first = await files.file_upload_start(str(source), where, wait_result=True)
            (source / "small.txt").write_text("changed")
            (source / "empty").unlink()
            second = await files.file_upload_start(str(source), where, wait_result=True)
            assert second["new_bytes"] == len("changed")
            assert second["removed"] == 1
            assert first["version"] != second["version"]
            unchanged = await files.file_upload_start(str(source), where, wait_result=True)
            assert (unchanged["files_changed"], unchanged["blocks"]) == (0, 0)
            rows, _, _ = await files.files_list(where)
            assert [row["name"] for row in rows] == ["big.bin", "empty", "small.txt", "sub", "link"]
            await files.file_download_start(
                remote(alice.global_id, f"0/{first['version']}"), str(tmp_path / "1"), True
            )
            assert (tmp_path / "1" / "docs" / "small.txt").read_text() == "hello"
            used = await grid.nodes["supplier-0"].require_supplier().space_donated()
            # more than the quota is refused, and nothing stored before is touched
            too_much = tmp_path / "too-much.bin"
            too_much.write_bytes(os.urandom(40_000_000))
            with pytest.raises(QuotaExceeded, match="no room left"):
                await files.file_upload_start(
                    str(too_much), remote(alice.global_id, "too-much"), wait_result=True
                )
            assert (await files.file_info(where))["versions"][0]["reliable"] == "100%"
            await files.file_delete(where)
            await files.files_sync()
            after = await grid.nodes["supplier-0"].require_supplier().space_donated()
            assert after["used"] < used["used"] / 10
            assert not (await files.file_exists(where))["exist"]

    run_virtual(scenario())
