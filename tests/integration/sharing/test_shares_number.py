"""Another number of suppliers, and shares that lie with them."""

from __future__ import annotations

import os
from pathlib import Path

from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

KEY = "services/customer/suppliers-number"


async def upload(node: Node, remote: RemotePath, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    local = folder / remote.name
    local.write_bytes(data := os.urandom(900_000))
    await node.require_storage().file_upload_start(str(local), remote, wait_result=True)
    return data


async def download(node: Node, remote: RemotePath, to: Path) -> bytes:
    await node.require_storage().file_download_start(remote, str(to), wait_result=True)
    return (to / remote.name).read_bytes()


def test_shares_follow_the_number_of_suppliers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(4):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=4)
            bob = await grid.customer("bob", suppliers=4)
            customer = alice.require_customer()
            key_id = await alice.require_shares().share_create(key_size=1024, label="ours")

            def connected(node: Node) -> bool:
                rows = node.require_shares().shares_list(only_active=True)
                return str(key_id) in [row["key_id"] for row in rows]

            await grid.until(lambda: connected(alice))
            document = await alice.find_person(str(bob.global_id))
            await alice.require_shares().share_grant(key_id, document)
            await grid.until(lambda: connected(bob))
            by_alice, by_bob = RemotePath(key_id, "by alice"), RemotePath(key_id, "by bob")
            contents = {
                by_alice: await upload(alice, by_alice, tmp_path / "source"),
                by_bob: await upload(bob, by_bob, tmp_path / "source"),
            }
            alice.settings.set(KEY, 2)
            await grid.until(lambda: customer.published == 2, 600.0)
            assert await alice.require_shares().are_spread_over(2)
            await grid.until(lambda: not customer.retired(), 600.0)
            # what the other one wrote is spread anew by the other one
            await grid.clock.sleep(600.0)
            names = {node.require_identity().node_id: name for name, node in grid.nodes.items()}
            first = customer.positions()[0]
            assert first is not None
            await grid.stop(names[first])
            for number, (remote, data) in enumerate(contents.items()):
                for node in (alice, bob):
                    to = tmp_path / f"{number}-{node.global_id}"
                    assert await download(node, remote, to) == data

    run_virtual(scenario())
