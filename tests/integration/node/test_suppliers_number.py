"""More suppliers, and fewer: what was stored before is spread anew, and is never less safe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.storage import Catalog
from bitdust.storage.catalog.types import BlockState
from bitdust.storage.formats.seal import BlockKind
from bitdust.testing import Grid, run_virtual

KEY = "services/customer/suppliers-number"


def catalog(node: Node) -> Catalog:
    assert node.storage is not None
    return node.storage.parts.catalog


def all_for(node: Node, n: int) -> bool:
    """Whether every block of the catalog that is kept is spread over ``n`` suppliers."""
    known = catalog(node)
    blocks = [*known.blocks(BlockKind.DATA), *known.blocks(BlockKind.JOURNAL)]
    kept = [block for block in blocks if block.state == BlockState.STORED]
    return bool(kept) and all(block.suppliers == n for block in kept)


async def upload(node: Node, source: Path, name: str) -> dict[str, object]:
    (source / name).write_bytes(os.urandom(1_500_000))
    remote = RemotePath.parse(f"master${node.global_id}:{name}")
    result = await node.require_storage().file_upload_start(
        str(source / name), remote, wait_result=True
    )
    return dict(result)


async def comes_back(node: Node, source: Path, target: Path) -> bool:
    for path in sorted(source.iterdir()):
        remote = RemotePath.parse(f"master${node.global_id}:{path.name}")
        await node.require_storage().file_download_start(remote, str(target), wait_result=True)
        if (target / path.name).read_bytes() != path.read_bytes():
            return False
    return True


def names_of(grid: Grid, nodes: list[bytes | None]) -> list[str]:
    by_node = {node.require_identity().node_id: name for name, node in grid.nodes.items()}
    return [by_node[node] for node in nodes if node is not None]


def test_two_four_two(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(5):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            customer = alice.require_customer()
            first = customer.positions()
            assert (await upload(alice, source, "with two"))["suppliers"] == 2
            events: list[str] = []
            alice.events.on_event(lambda event: events.append(event.event_id))

            alice.settings.set(KEY, 4)
            await grid.until(lambda: customer.published == 4 and all_for(alice, 4))
            await grid.until(lambda: len(catalog(alice).holders()) == 4)
            assert customer.positions()[:2] == first, "those that were there keep their place"
            assert "data-recoded" in events
            assert (await upload(alice, source, "with four"))["suppliers"] == 4
            await grid.until(lambda: not catalog(alice).reclaimable())
            # any two of the four are enough, for what was stored before as well
            stopped = names_of(grid, customer.positions())[:2]
            for name in stopped:
                await grid.stop(name)
            assert await comes_back(alice, source, tmp_path / "out-4")
            for name in stopped:
                await grid.start(name)
            await grid.until(lambda: customer.ready() == 4)

            leaving = customer.positions()[2:]
            alice.settings.set(KEY, 2)
            assert (await upload(alice, source, "with two again"))["suppliers"] == 2
            await grid.until(lambda: customer.published == 2 and all_for(alice, 2), 600.0)
            await grid.until(lambda: not customer.retired(), 600.0)
            assert customer.positions() == first
            assert set(catalog(alice).holders()) == set(first)
            me = alice.require_identity().node_id
            left = [grid.nodes[name].require_supplier() for name in names_of(grid, leaving)]

            def forgotten() -> bool:
                rows = [row for there in left for row in there.customers_list()]
                return me.hex() not in [row["node_id"] for row in rows]

            await grid.until(forgotten)
            info = await alice.require_storage().file_info(
                RemotePath.parse(f"master${alice.global_id}:with four")
            )
            [version] = info["versions"]
            assert (version["eccmap"], version["reliable"]) == ("ecc/2x2", "100%")
            assert (version["state"], version["may_vanish"]) == ("stored", 1)
            for name in names_of(grid, first[:1]):
                await grid.stop(name)
            assert await comes_back(alice, source, tmp_path / "out-2")

    run_virtual(scenario())


def test_a_change_that_is_cut_off_goes_on_and_can_be_recovered_from(tmp_path: Path) -> None:
    """The machine is stopped in the middle of going from four to two, and then lost."""
    source = tmp_path / "source"
    source.mkdir()

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(4):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=4)
            for number in range(3):
                await upload(alice, source, f"file {number}")
            # one that stays is away, so that nothing can be spread over two: all stay with four
            customer = alice.require_customer()
            [away] = names_of(grid, customer.positions()[:1])
            await grid.stop(away)
            alice.settings.set(KEY, 2)
            await grid.clock.sleep(300.0)
            assert (customer.n, customer.published, len(customer.positions())) == (2, 4, 4)
            assert all_for(alice, 4)
            await grid.stop("alice")
            alice = await grid.start("alice")
            customer = alice.require_customer()
            await grid.until(lambda: customer.ready() == 3)
            assert (customer.n, customer.published) == (2, 4)
            backup = await alice.require_identity().backup_text()
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")

            again = await grid.start("alice", services__supplier__enabled=False)
            await again.recover_identity(backup, None)
            storage = again.storage
            assert storage is not None
            assert await storage.wait_recovered(600.0)
            assert again.settings.get_int(KEY) == 4, "what the network knows, not the default"
            assert await comes_back(again, source, tmp_path / "out")
            again.settings.set(KEY, 2)
            await grid.start(away)
            customer = again.require_customer()
            await grid.until(lambda: customer.published == 2 and all_for(again, 2), 600.0)
            await grid.until(lambda: not customer.retired(), 600.0)
            for name in names_of(grid, customer.positions()[1:]):
                await grid.stop(name)
            assert await comes_back(again, source, tmp_path / "out-2")

    run_virtual(scenario())


def test_too_few_to_grow_leaves_all_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(3):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            customer = alice.require_customer()
            alice.settings.set(KEY, 4)
            await grid.clock.sleep(60.0)
            assert (customer.n, len(customer.suppliers_list())) == (2, 2)
            assert (await upload(alice, source, "meanwhile"))["state"] == "stored"
            await grid.stop("alice")
            alice = await grid.start("alice")
            customer = alice.require_customer()
            await grid.until(lambda: customer.ready() >= 2)
            # the one that was hired already keeps waiting, and goes when it is not wanted
            alice.settings.set(KEY, 2)
            await grid.until(lambda: len(customer._roster.places) == 2)
            await grid.until(lambda: not customer.retired(), 600.0)
            assert customer.published == 2
            assert await comes_back(alice, source, tmp_path / "out")

    run_virtual(scenario())
