"""Private messages between whole nodes: online, offline, after a crash, after a recovery."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bitdust.errors import InvalidInput
from bitdust.identity import IdentityDocument
from bitdust.messaging import Message, Sent
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual


async def person(grid: Grid, name: str, suppliers: int = 0) -> Node:
    if suppliers:
        return await grid.customer(name, suppliers)
    node = await grid.start(
        name, services__customer__enabled=False, services__supplier__enabled=False
    )
    await node.create_identity(name, ["names.test"])
    return node


def document(node: Node) -> IdentityDocument:
    return node.require_identity().document


async def say(sender: Node, to: IdentityDocument, text: str, timeout: float = 30.0) -> Sent:
    return await sender.require_messages().send(to, {"message": text}, timeout)


async def texts(node: Node, direction: str = "incoming") -> list[str]:
    page = await node.require_history().page(limit=1000)
    return [m.data["message"] for m in page if m.direction == direction]


async def heard(grid: Grid, node: Node, count: int, seconds: float = 600.0) -> list[str]:
    clock = grid.clock
    ends = clock.monotonic() + seconds
    while len(found := await texts(node)) < count:
        assert clock.monotonic() < ends, f"only {found} came"
        await clock.sleep(0.5)
    return found


async def states(node: Node) -> set[str]:
    page = await node.require_history().page(limit=1000)
    return {m.state for m in page if m.direction == "outgoing"}


async def settled(grid: Grid, node: Node, seconds: float = 1200.0) -> None:
    ends = grid.clock.monotonic() + seconds
    while await states(node) != {"delivered"}:
        assert grid.clock.monotonic() < ends, await states(node)
        await grid.clock.sleep(1.0)


def test_two_people_talk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            first = await say(alice, document(bob), "nobody listens")
            assert (first.state, first.consumed) == ("delivered", False)
            await bob.message_stream.receive("app", timeout=0)
            second = await say(alice, document(bob), "somebody listens")
            assert (second.state, second.consumed) == ("delivered", True)
            (got,) = await bob.message_stream.receive("app", timeout=0)
            assert got == Message(
                second.message_id, got.conversation_id, "private_message", "incoming",
                str(alice.global_id), str(bob.global_id), {"message": "somebody listens"},
                got.time, None, "delivered",
            )  # fmt: skip
            await say(bob, document(alice), "hello")
            for node in (alice, bob):
                (talk,) = await node.require_history().conversations()
                assert talk.events == 3
            assert await texts(alice) == ["hello"]
            assert await states(alice) == {"delivered"}

    run_virtual(scenario())


def test_what_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            messages = alice.require_messages()
            with pytest.raises(InvalidInput, match="your own address"):
                await messages.send(document(alice), {})
            bad: list[Any] = [{"message": "x" * 70_000}, "text", ["list"], {"a": object()}]
            for data in bad:
                with pytest.raises(InvalidInput):
                    await messages.send(document(bob), data)
            assert await alice.require_history().page() == []

    run_virtual(scenario())


def test_many_messages_keep_their_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            import asyncio

            await asyncio.gather(
                *(say(alice, document(bob), f"a{n:03}") for n in range(200)),
                *(say(bob, document(alice), f"b{n:03}") for n in range(200)),
            )
            assert await texts(bob) == [f"a{n:03}" for n in range(200)]
            assert await texts(alice) == [f"b{n:03}" for n in range(200)]

    run_virtual(scenario())


def test_a_receiver_without_mailbox_gets_it_on_return(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            to = document(bob)
            await grid.stop("bob")
            sent = await say(alice, to, "first contact while away")
            assert sent.state == "waiting"
            await say(alice, to, "and another")
            bob = await grid.start("bob")
            assert await heard(grid, bob, 2) == ["first contact while away", "and another"]
            await settled(grid, alice)

    run_virtual(scenario())


def test_the_ratchet_goes_on_after_both_were_restarted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            expected: list[str] = []
            for turn in range(6):
                await say(alice, document(bob), f"turn {turn}")
                expected.append(f"turn {turn}")
                if turn == 1:
                    await say(bob, document(alice), "answer")
                if turn in (1, 3, 4):
                    to = document(bob)
                    await grid.stop("bob")
                    waiting = await say(alice, to, f"away {turn}", 5.0)
                    expected.append(f"away {turn}")
                    assert waiting.state == "waiting"
                    await grid.stop("alice")
                    bob = await grid.start("bob")
                    alice = await grid.start("alice")
                    await heard(grid, bob, len(expected))
            assert await texts(bob) == expected
            await settled(grid, alice)
            assert await texts(alice) == ["answer"]

    run_virtual(scenario())


def test_a_machine_recovered_from_the_key_alone_talks_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            await say(alice, document(bob), "before")
            await say(bob, document(alice), "before too")
            backup = await bob.require_identity().backup_text()
            to = document(bob)
            await grid.stop("bob")
            await say(alice, to, "meanwhile", 5.0)
            shutil.rmtree(tmp_path / "bob")
            bob = await grid.start(
                "bob", services__customer__enabled=False, services__supplier__enabled=False
            )
            await bob.recover_identity(backup, None)
            assert await heard(grid, bob, 1) == ["meanwhile"]
            assert (await say(bob, document(alice), "I lost all")).state == "delivered"
            assert (await say(alice, document(bob), "poor you")).state == "delivered"
            assert await texts(bob) == ["meanwhile", "poor you"]
            assert await texts(alice) == ["before too", "I lost all"]

    run_virtual(scenario())


def test_messages_wait_in_mailboxes_while_their_sender_goes_away_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(5):
                await grid.supplier(f"supplier-{number}")
            alice = await person(grid, "alice", suppliers=4)
            bob = await person(grid, "bob", suppliers=4)
            to = document(bob)
            await grid.clock.sleep(30.0)  # bob leaves keys with the suppliers
            await grid.stop("bob")
            for number in range(3):
                sent = await say(alice, to, f"letter {number}", 20.0)
                assert sent.state == "waiting"
            kept = [await node.mailbox.stored() for node in grid.nodes.values() if node.mailbox]
            assert sum(row["letters"] for row in kept) == 6
            await grid.stop("alice")
            bob = await grid.start("bob")
            assert await heard(grid, bob, 3) == [f"letter {n}" for n in range(3)]
            await grid.clock.sleep(30.0)
            kept = [await node.mailbox.stored() for node in grid.nodes.values() if node.mailbox]
            # what is left are the acknowledgements for alice
            assert {row["letters"] for row in kept} <= {0, 1}
            await grid.stop("bob")
            alice = await grid.start("alice")
            await settled(grid, alice)
            assert await texts(alice) == []

    run_virtual(scenario())


def test_a_mailbox_that_dies_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(5):
                await grid.supplier(f"supplier-{number}")
            alice = await person(grid, "alice", suppliers=4)
            bob = await person(grid, "bob", suppliers=4)
            to = document(bob)
            await say(alice, to, "hello")
            await grid.stop("bob")
            for number in range(3):
                await say(alice, to, f"letter {number}", 20.0)
            await grid.stop("alice")
            holders = [
                name
                for name, node in grid.nodes.items()
                if node.mailbox and (await node.mailbox.stored())["letters"]
            ]
            assert len(holders) == 2
            await grid.stop(holders[0])
            bob = await grid.start("bob")
            assert await heard(grid, bob, 4) == ["hello", *(f"letter {n}" for n in range(3))]

    run_virtual(scenario())
