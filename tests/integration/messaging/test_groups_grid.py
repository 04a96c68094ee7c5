"""Groups of whole nodes in one process, under virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bitdust.messaging import Groups
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual


async def broker(grid: Grid, name: str) -> Node:
    node = await grid.start(
        name,
        services__customer__enabled=False,
        services__supplier__enabled=False,
        services__private_groups__enabled=False,
    )
    await node.create_identity(name, ["names.test"])
    return node


async def member(grid: Grid, name: str) -> Node:
    node = await grid.start(
        name,
        services__customer__enabled=False,
        services__supplier__enabled=False,
        services__message_broker__enabled=False,
    )
    await node.create_identity(name, ["names.test"])
    return node


async def begin(node: Node, label: str = "friends") -> str:
    """A new group of that node; its key id."""
    stored = node.require_keys().create("group_" + "ab" * 16, 1024, label=label)
    key_id = str(stored.key_id)
    await node.require_groups().create(key_id, stored.public.fingerprint, label)
    await node.require_groups().join(key_id)
    return key_id


async def invite(inviter: Node, key_id: str, guest: Node) -> None:
    document = guest.require_identity().document
    await inviter.require_groups().share(key_id, document)
    await guest.require_groups().join(key_id)


def view(node: Node, key_id: str) -> dict[str, Any]:
    groups: Groups = node.require_groups()
    return groups.view(groups.get(key_id))


async def texts(node: Node, key_id: str) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await node.require_history().page(key_id, offset=len(found), limit=1000)
        if not page:
            break
        found = [(m.sequence, m.data["n"]) for m in page] + found
    return sorted(found)


async def arrive(grid: Grid, node: Node, key_id: str, expected: list[Any]) -> None:
    """Wait until a member has exactly these, in this order."""
    async with asyncio.timeout(300):
        while [n for _, n in await texts(node, key_id)] != expected:
            await grid.clock.sleep(0.1)


async def three_brokers(grid: Grid, node: Node, key_id: str) -> None:
    """Members hire more brokers by themselves as long as there are fewer than three."""
    await grid.until(lambda: len(view(node, key_id)["brokers"]) == 3, 600.0)


def test_three_people_write_to_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob = await member(grid, "alice"), await member(grid, "bob")
            key_id = await begin(alice)
            assert view(alice, key_id)["state"] == "CONNECTED"
            await three_brokers(grid, alice, key_id)
            sent = await alice.require_groups().send(key_id, {"n": 1})
            assert sent.state == "sent"
            await invite(alice, key_id, bob)
            await bob.require_groups().send(key_id, {"n": 2})
            await arrive(grid, alice, key_id, [1, 2])
            await alice.require_groups().leave(key_id)
            assert view(alice, key_id)["state"] == "CLOSED"
            carol = await member(grid, "carol")
            await invite(bob, key_id, carol)
            await grid.until(lambda: len(view(carol, key_id)["members"]) == 2)
            assert [n for _, n in await texts(carol, key_id)] == [1, 2]
            await carol.require_groups().send(key_id, {"n": 3})
            await arrive(grid, bob, key_id, [1, 2, 3])
            assert [n for _, n in await texts(alice, key_id)] == [1, 2]
            await alice.require_groups().join(key_id)
            await arrive(grid, alice, key_id, [1, 2, 3])
            assert await texts(alice, key_id) == await texts(bob, key_id)

    run_virtual(scenario())


def test_brokers_may_be_members(tmp_path: Path) -> None:
    """Nodes do both by default; each is its own broker then."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            people = []
            for name in ("alice", "bob", "carol", "dave"):
                node = await grid.start(
                    name, services__customer__enabled=False, services__supplier__enabled=False
                )
                await node.create_identity(name, ["names.test"])
                people.append(node)
            alice, *others = people
            key_id = await begin(alice)
            await three_brokers(grid, alice, key_id)
            for other in others:
                await invite(alice, key_id, other)
            for number, node in enumerate(people):
                await node.require_groups().send(key_id, {"n": number})
            for node in people:
                await arrive(grid, node, key_id, [0, 1, 2, 3])

    run_virtual(scenario())
