"""Groups whose leading broker lies, or whose brokers are lost for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitdust.errors import AccessDenied, InvalidInput
from bitdust.messaging import Groups
from bitdust.messaging.group_keys import make_entry
from bitdust.messaging.group_wire import (
    Attached,
    Kind,
    Page,
    decode_entries,
    encode_entries,
    entry_hash,
    next_link,
)
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

SETTINGS: dict[str, Any] = {
    "services__customer__enabled": False,
    "services__supplier__enabled": False,
}


async def broker(grid: Grid, name: str) -> Node:
    node = await grid.start(name, services__private_groups__enabled=False, **SETTINGS)
    await node.create_identity(name, ["names.test"])
    return node


async def member(grid: Grid, name: str) -> Node:
    node = await grid.start(name, services__message_broker__enabled=False, **SETTINGS)
    await node.create_identity(name, ["names.test"])
    return node


def view(node: Node, key_id: str) -> dict[str, Any]:
    groups: Groups = node.require_groups()
    return groups.view(groups.get(key_id))


async def group(grid: Grid, *members: Node) -> str:
    """A group of all of them with three brokers."""
    first, *others = members
    stored = first.require_keys().create("group_" + "ef" * 16, 1024, label="lost")
    key_id = str(stored.key_id)
    await first.require_groups().create(key_id, stored.public.fingerprint, "lost")
    await first.require_groups().join(key_id)
    await grid.until(lambda: len(view(first, key_id)["brokers"]) == 3, 900.0)
    for other in others:
        await first.require_groups().share(key_id, other.require_identity().document)
        await other.require_groups().join(key_id)
    for node in members:
        await grid.until(lambda node=node: len(view(node, key_id)["members"]) == len(members))
    return key_id


async def texts(node: Node, key_id: str) -> list[Any]:
    page = await node.require_history().page(key_id, limit=1000)
    return [m.data["n"] for m in page if m.sequence is not None]


async def have(grid: Grid, node: Node, key_id: str, *expected: Any) -> None:
    async with asyncio.timeout(900):
        while sorted(await texts(node, key_id), key=str) != sorted(expected, key=str):
            await grid.clock.sleep(0.5)


def hosted(grid: Grid, name: str) -> Any:
    service = grid.nodes[name].broker
    assert service is not None
    (stream,) = service.streams.values()
    return stream


def names_of(node: Node, key_id: str) -> set[str]:
    return {str(name).partition("@")[0] for name in view(node, key_id)["brokers"]}


async def leader_of(grid: Grid, key_id: str, node: Node) -> str:
    await grid.until(lambda: bool(view(node, key_id)["active_broker_id"]), 300.0)
    return str(view(node, key_id)["active_broker_id"]).partition("@")[0]


def lose(grid: Grid, *names: str) -> None:
    """These are out of everybody's reach, but not of each other's."""
    for name in names:
        for other in grid.nodes:
            if other not in names:
                grid.network.partition(name, other)
                grid.network.cut(name, other)


def find_again(grid: Grid, *names: str) -> None:
    for name in names:
        for other in grid.nodes:
            if other not in names:
                grid.network.heal(name, other)


def play(tmp_path: Path, scenario: Callable[[Grid], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Grid(tmp_path) as grid:
            await scenario(grid)

    run_virtual(run())


def test_a_leading_broker_that_lies_is_replaced_by_the_members(tmp_path: Path) -> None:
    """It serves everybody false pages; they choose another leader, and then another broker."""

    async def scenario(grid: Grid) -> None:
        for number in range(4):
            await broker(grid, f"broker-{number}")
        alice, bob = await member(grid, "alice"), await member(grid, "bob")
        key_id = await group(grid, alice, bob)
        await alice.require_groups().send(key_id, {"n": 0})
        await have(grid, bob, key_id, 0)
        liar = await leader_of(grid, key_id, alice)
        stream = hosted(grid, liar)
        honest, since = stream.page, stream.settled

        def false(start: int, epoch: int) -> tuple[Page, bytes] | None:
            found = honest(start, epoch)
            if found is None or start < since:
                return found
            raws = decode_entries(found[1])[1:]
            link = stream.log.link_at(start)
            for raw in raws:
                link = next_link(link, entry_hash(raw))
            return msgspec.structs.replace(found[0], link=link), encode_entries(raws)

        stream.page = false
        await asyncio.gather(
            *(alice.require_groups().send(key_id, {"n": n}, 120.0) for n in range(1, 4)),
            *(bob.require_groups().send(key_id, {"n": n}, 120.0) for n in range(4, 7)),
        )
        for node in (alice, bob):
            await have(grid, node, key_id, *range(7))
            assert await leader_of(grid, key_id, node) != liar
        await grid.until(lambda: liar not in names_of(alice, key_id), 900.0)
        await grid.until(lambda: len(names_of(alice, key_id)) == 3)
        sent = await alice.require_groups().send(key_id, {"n": 7}, 60.0)
        assert sent.state == "sent"
        await have(grid, bob, key_id, *range(8))
        assert view(alice, key_id)["forked"] or view(bob, key_id)["forked"]

    play(tmp_path, scenario)


def test_a_member_that_was_deceived_reads_again_and_replaces_nobody_honest(tmp_path: Path) -> None:
    """The first one it reads from gives two messages in another order; the two others decide."""

    async def scenario(grid: Grid) -> None:
        names = [f"broker-{number}" for number in range(3)]
        for name in [*names, "spare"]:
            await broker(grid, name)
        alice, bob = await member(grid, "alice"), await member(grid, "bob")
        key_id = await group(grid, alice, bob)
        brokers = names_of(alice, key_id)
        await bob.require_groups().leave(key_id)
        await grid.until(lambda: len(view(alice, key_id)["members"]) == 1)
        carol = await member(grid, "carol")
        await alice.require_groups().share(key_id, carol.require_identity().document)
        await carol.require_groups().join(key_id)
        await asyncio.gather(
            alice.require_groups().send(key_id, {"n": "a"}),
            carol.require_groups().send(key_id, {"n": "c"}),
        )
        await have(grid, alice, key_id, "a", "c")
        leader = await leader_of(grid, key_id, alice)
        liar = min(brokers - {leader})
        stream = hosted(grid, liar)
        page, state = stream.page, stream.state
        start = bob.require_groups().get(key_id).state.position
        false: dict[int, bytes] = {}

        def swapped(at: int, epoch: int) -> tuple[Page, bytes] | None:
            found = page(at, epoch)
            if found is None or at != start:
                return found  # type: ignore[no-any-return]
            raws = decode_entries(found[1])
            raws = [*raws[:-2], raws[-1], raws[-2]]
            link = stream.log.link_at(at)
            for raw in raws:
                link = next_link(link, entry_hash(raw))
            false[at + len(raws)] = link
            return msgspec.structs.replace(found[0], link=link), encode_entries(raws)

        def said(epoch: int, since: int = -1, generation: int = 0) -> Attached:
            right = state(epoch, since, generation)
            return msgspec.structs.replace(right, link=false.get(since, right.link))

        stream.page, stream.state = swapped, said
        for name in brokers - {liar}:
            grid.network.partition("bob", name)
        await bob.require_groups().join(key_id, 60.0)
        await have(grid, bob, key_id, "a", "c")
        for name in brokers:
            grid.network.heal("bob", name)
        await grid.until(lambda: view(bob, key_id)["forked"], 900.0)
        row = bob.require_groups().get(key_id)
        right = alice.require_groups().get(key_id)
        await grid.until(lambda: row.state.link == right.state.link, 900.0)
        await bob.require_groups().send(key_id, {"n": "b"}, 300.0)
        await have(grid, alice, key_id, "a", "b", "c")
        await grid.clock.sleep(300.0)
        assert brokers - {liar} <= names_of(alice, key_id)

    play(tmp_path, scenario)


def test_the_word_of_one_member_stops_nobody(tmp_path: Path) -> None:
    """A member claims to have seen another stream than all brokers hold."""

    async def scenario(grid: Grid) -> None:
        for number in range(3):
            await broker(grid, f"broker-{number}")
        alice, mallory = await member(grid, "alice"), await member(grid, "mallory")
        key_id = await group(grid, alice, mallory)
        session = mallory.require_groups().session(key_id)
        honest = session.sender._make

        def lying(batch: list[Any]) -> list[bytes]:
            state, me = session.row.state, session.reader.me
            key = session.reader.epoch_key(state.epoch)
            assert key is not None
            (waiting,) = batch
            plain = b"\x93" + msgspec.msgpack.encode((1, bytes(32)))[1:] + waiting.body
            entry = make_entry(
                Kind(waiting.kind), state.epoch, key, session.keys, stream=session.reader.stream,
                counter=me.counter + 1, before=me.last, plain=plain, random=mallory.random,
            )  # fmt: skip
            return [entry]

        session.sender._make = lying
        await mallory.require_groups().send(key_id, {"n": "I saw something else"}, 60.0)
        session.sender._make = honest
        await grid.until(lambda: view(alice, key_id)["forked"], 300.0)
        assert "mallory" in " ".join(view(alice, key_id)["errors"])
        sent = await alice.require_groups().send(key_id, {"n": "so what"}, 60.0)
        assert sent.state == "sent"
        await have(grid, alice, key_id, "I saw something else", "so what")
        assert view(alice, key_id)["state"] == "CONNECTED"

    play(tmp_path, scenario)


def test_two_of_three_brokers_are_lost_for_good(tmp_path: Path) -> None:
    """The creator goes on with the one that remains and two new ones; nothing known is lost."""

    async def scenario(grid: Grid) -> None:
        for number in range(3):
            await broker(grid, f"broker-{number}")
        alice, bob, carol = [await member(grid, n) for n in ("alice", "bob", "carol")]
        key_id = await group(grid, alice, bob, carol)
        for number, node in enumerate((alice, bob, carol)):
            await node.require_groups().send(key_id, {"n": number})
        await have(grid, carol, key_id, 0, 1, 2)
        with pytest.raises(InvalidInput):
            await alice.require_groups().reconnect(key_id, force=True)
        leader = await leader_of(grid, key_id, alice)
        last = next(n for n in sorted(names_of(alice, key_id)) if n != leader)
        lost = names_of(alice, key_id) - {last}
        # the last one misses what was acknowledged to bob, and the creator is away
        for other in lost:
            grid.network.partition(last, other)
        await alice.require_groups().leave(key_id)
        await bob.require_groups().send(key_id, {"n": "acknowledged"}, 60.0)
        await have(grid, bob, key_id, 0, 1, 2, "acknowledged")
        lose(grid, *lost)
        waiting = await carol.require_groups().send(key_id, {"n": "later"}, 5.0)
        assert waiting.state == "waiting"
        for number in (3, 4):
            await broker(grid, f"broker-{number}")
        await alice.require_groups().join(key_id, 5.0)
        with pytest.raises(AccessDenied):
            await bob.require_groups().reconnect(key_id, force=True)
        await alice.require_groups().reconnect(key_id, 120.0, force=True)
        everything = (0, 1, 2, "acknowledged", "later")
        for node in (alice, bob, carol):
            await have(grid, node, key_id, *everything)
            await grid.until(lambda node=node: view(node, key_id)["state"] == "CONNECTED", 300.0)
            assert names_of(node, key_id) == {last, "broker-3", "broker-4"}
            assert view(node, key_id)["generation"] == 1
            assert not view(node, key_id)["forked"]
        await bob.require_groups().send(key_id, {"n": "on"}, 60.0)
        late = await member(grid, "late")
        await carol.require_groups().share(key_id, late.require_identity().document)
        await late.require_groups().join(key_id)
        await have(grid, late, key_id, *everything, "on")
        states = [node.require_groups().get(key_id) for node in (alice, late)]
        await grid.until(lambda: states[0].state.link == states[1].state.link)
        # brokers may die and restart as before
        await grid.stop(last)
        await alice.require_groups().send(key_id, {"n": "two are enough"}, 120.0)
        await grid.start(last)
        await have(grid, late, key_id, *everything, "on", "two are enough")
        # those that were lost come back, and learn that others took their place
        find_again(grid, *lost)
        for name in lost:
            await grid.until(lambda name=name: hosted(grid, name).retired, 1200.0)

    play(tmp_path, scenario)


def test_who_wrote_to_the_old_brokers_meanwhile_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """The creator took the brokers for lost, but they were only on another side of the net."""

    async def scenario(grid: Grid) -> None:
        for number in range(3):
            await broker(grid, f"broker-{number}")
        alice, bob = await member(grid, "alice"), await member(grid, "bob")
        key_id = await group(grid, alice, bob)
        await alice.require_groups().send(key_id, {"n": "before"})
        await have(grid, bob, key_id, "before")
        leader = await leader_of(grid, key_id, alice)
        last = next(n for n in sorted(names_of(alice, key_id)) if n != leader)
        lost = names_of(alice, key_id) - {last}
        lose(grid, *lost, "bob")
        sent = await bob.require_groups().send(key_id, {"n": "other side"}, 60.0)
        assert sent.state == "sent"
        for number in (3, 4):
            await broker(grid, f"broker-{number}")
        lose(grid, *lost, "bob")
        events = bob.events.subscribe()
        await alice.require_groups().reconnect(key_id, 120.0, force=True)
        await alice.require_groups().send(key_id, {"n": "this side"}, 60.0)
        find_again(grid, *lost, "bob")
        both = ("before", "this side", "other side")
        await have(grid, bob, key_id, *both)
        await have(grid, alice, key_id, *both)
        assert "group-stream-forked" in [event.event_id for event in await events.collect()]
        assert view(bob, key_id)["forked"]
        assert "went on with other brokers" in " ".join(view(bob, key_id)["errors"])
        rows = [node.require_groups().get(key_id) for node in (alice, bob)]
        await grid.until(lambda: rows[0].state.link == rows[1].state.link)
        for name in lost:
            await grid.until(lambda name=name: hosted(grid, name).retired, 1200.0)

    play(tmp_path, scenario)


def test_all_brokers_are_lost_and_the_members_bring_everything_back(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        for number in range(3):
            await broker(grid, f"broker-{number}")
        alice, bob = await member(grid, "alice"), await member(grid, "bob")
        key_id = await group(grid, alice, bob)
        for number in range(5):
            await alice.require_groups().send(key_id, {"n": number})
        await have(grid, bob, key_id, *range(5))
        lose(grid, "broker-0", "broker-1", "broker-2")
        for number in (3, 4, 5):
            await broker(grid, f"broker-{number}")
        lose(grid, "broker-0", "broker-1", "broker-2")
        await alice.require_groups().reconnect(key_id, 120.0, force=True)
        # bob knows none of the new ones: he finds them on the DHT, or by what it says of the group
        await bob.require_groups().send(key_id, {"n": 5}, 600.0)
        await have(grid, alice, key_id, *range(6))
        assert names_of(bob, key_id) == {"broker-3", "broker-4", "broker-5"}

    play(tmp_path, scenario)


def test_an_old_invitation_leads_to_brokers_that_took_over_meanwhile(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        for number in range(3):
            await broker(grid, f"broker-{number}")
        alice, late = await member(grid, "alice"), await member(grid, "late")
        key_id = await group(grid, alice)
        await alice.require_groups().send(key_id, {"n": 1})
        await alice.require_groups().share(key_id, late.require_identity().document)
        for number in range(3):
            old = f"broker-{number}"
            await broker(grid, f"broker-{number + 3}")
            await grid.stop(old)
            await grid.until(
                lambda old=old: (
                    old not in names_of(alice, key_id) and len(names_of(alice, key_id)) == 3
                ),
                1200.0,
            )
        await alice.require_groups().send(key_id, {"n": 2}, 60.0)
        await late.require_groups().join(key_id, 300.0)
        await have(grid, late, key_id, 1, 2)
        await late.require_groups().send(key_id, {"n": 3}, 120.0)
        await have(grid, alice, key_id, 1, 2, 3)

    play(tmp_path, scenario)
