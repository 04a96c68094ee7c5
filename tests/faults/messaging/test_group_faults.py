"""Groups when brokers die, lie or forget, when members go away and when people are put out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitdust.errors import AccessDenied, BitdustError
from bitdust.messaging import Groups
from bitdust.messaging.broker_talk import Append as Replicate
from bitdust.messaging.broker_talk import Vote
from bitdust.messaging.group_wire import (
    APPEND,
    ATTACH,
    HIRE,
    PUSH,
    READ,
    TALK,
    Append,
    Attach,
    Hire,
    Page,
    Read,
    Talk,
    decode_entries,
    decode_entry,
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
    stored = first.require_keys().create("group_" + "cd" * 16, 1024, label="faults")
    key_id = str(stored.key_id)
    await first.require_groups().create(key_id, stored.public.fingerprint, "faults")
    await first.require_groups().join(key_id)
    await grid.until(lambda: len(view(first, key_id)["brokers"]) == 3, 900.0)
    for other in others:
        await first.require_groups().share(key_id, other.require_identity().document)
        await other.require_groups().join(key_id)
    for node in members:
        await grid.until(lambda node=node: len(view(node, key_id)["members"]) == len(members))
    return key_id


async def said(node: Node, key_id: str) -> list[tuple[int | None, Any]]:
    """Sequence numbers and texts in the history, by place."""
    found: list[tuple[int | None, Any]] = []
    while True:
        page = await node.require_history().page(key_id, offset=len(found), limit=1000)
        if not page:
            break
        found = [(message.sequence, message.data["n"]) for message in page] + found
    return sorted(found, key=lambda row: -1 if row[0] is None else row[0])


async def all_have(grid: Grid, nodes: Iterable[Node], key_id: str, count: int) -> None:
    async with asyncio.timeout(900):
        for node in nodes:
            while True:
                rows = await said(node, key_id)
                if len(rows) >= count and all(place is not None for place, _ in rows):
                    break
                await grid.clock.sleep(0.5)


async def leader_of(grid: Grid, key_id: str, node: Node) -> str:
    await grid.until(lambda: bool(view(node, key_id)["active_broker_id"]), 300.0)
    return str(view(node, key_id)["active_broker_id"]).partition("@")[0]


def kill_off(grid: Grid, name: str) -> None:
    """As a SIGKILL looks from outside: connections end in the midst of everything, for good."""
    for other in grid.nodes:
        if other != name:
            grid.network.partition(name, other)
            grid.network.cut(name, other)


async def flood(grid: Grid, key_id: str, nodes: list[Node], count: int, lose: str) -> None:
    """Everybody writes; the broker that leads is lost in the middle."""
    started = asyncio.Event()

    async def write(node: Node, who: int) -> None:
        async def one(number: int) -> None:
            await node.require_groups().send(key_id, {"n": f"{who}-{number:05}"}, 120.0)
            if number > count // 3:
                started.set()

        for first in range(0, count, 50):
            await asyncio.gather(*(one(n) for n in range(first, min(first + 50, count))))

    async def kill() -> None:
        await started.wait()
        kill_off(grid, lose)

    await asyncio.gather(kill(), *(write(node, who) for who, node in enumerate(nodes)))


def check_flood(rows: list[tuple[int | None, Any]], people: int, count: int) -> None:
    texts = [text for _, text in rows]
    assert sorted(texts) == sorted(f"{w}-{n:05}" for w in range(people) for n in range(count))
    places = [place for place, _ in rows]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    "count", [120, pytest.param(3334, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_the_leading_broker_is_lost_while_three_people_write(tmp_path: Path, count: int) -> None:
    """Everything arrives once, in one order, at everybody; then the lost one is replaced."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(4):
                await broker(grid, f"broker-{number}")
            people = [await member(grid, f"member-{number}") for number in range(3)]
            key_id = await group(grid, *people)
            lost = await leader_of(grid, key_id, people[0])
            await flood(grid, key_id, people, count, lost)
            await all_have(grid, people, key_id, 3 * count)
            rows = [await said(node, key_id) for node in people]
            check_flood(rows[0], 3, count)
            assert rows[0] == rows[1] == rows[2]
            assert lost != await leader_of(grid, key_id, people[0])
            # the fourth broker takes the place of the one that is gone
            await grid.until(
                lambda: f"{lost}@names.test" not in view(people[0], key_id)["brokers"], 900.0
            )
            assert len(view(people[0], key_id)["brokers"]) == 3
            late = await member(grid, "late")
            await people[1].require_groups().share(key_id, late.require_identity().document)
            await late.require_groups().join(key_id)
            await all_have(grid, [late], key_id, 3 * count)
            assert await said(late, key_id) == rows[0]

    run_virtual(scenario())


def hosted(grid: Grid, name: str) -> Any:
    """The only stream that a broker keeps."""
    service = grid.nodes[name].broker
    assert service is not None
    (stream,) = service.streams.values()
    return stream


def lie(grid: Grid, name: str, change: Callable[[list[bytes]], list[bytes]], since: int) -> None:
    """From place ``since`` on that broker serves something else, with a chain that fits."""
    stream = hosted(grid, name)
    honest = stream.page

    def page(start: int, epoch: int) -> tuple[Page, bytes] | None:
        found = honest(start, epoch)
        if found is None or start < since:
            return found
        raws = change(decode_entries(found[1]))
        link = stream.log.link_at(start)
        for raw in raws:
            link = next_link(link, entry_hash(raw))
        return msgspec.structs.replace(found[0], link=link), encode_entries(raws)

    stream.page = page


def drop_first(raws: list[bytes]) -> list[bytes]:
    return raws[1:]


def swap(raws: list[bytes]) -> list[bytes]:
    return [raws[1], raws[0], *raws[2:]] if len(raws) > 1 else raws


def forge(raws: list[bytes]) -> list[bytes]:
    entry = decode_entry(raws[0])
    forged = msgspec.structs.replace(entry, content=entry.content[:-1] + b"\x00")
    return [forged.encode(), *raws[1:]]


@pytest.mark.parametrize("change", [drop_first, swap, forge], ids=["drops", "reorders", "forges"])
def test_a_lying_broker_is_found_out(tmp_path: Path, change: Any) -> None:
    """Nothing false is shown; the member says so and reads on from honest brokers."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob = await member(grid, "alice"), await member(grid, "bob")
            key_id = await group(grid, alice, bob)
            await alice.require_groups().send(key_id, {"n": 0})
            await all_have(grid, [bob], key_id, 1)
            events = bob.events.subscribe()
            await bob.require_groups().leave(key_id)
            for number in range(1, 5):
                await alice.require_groups().send(key_id, {"n": number})
            liar = await leader_of(grid, key_id, alice)
            lie(grid, liar, change, bob.require_groups().get(key_id).state.position)
            # the liar is the only one who can be reached at first
            for name in grid.nodes:
                if name.startswith("broker") and name != liar:
                    grid.network.partition("bob", name)
            await bob.require_groups().join(key_id, 60.0)
            await grid.until(lambda: view(bob, key_id)["forked"], 120.0)
            assert [n for _, n in await said(bob, key_id)] == [0]
            assert liar in " ".join(view(bob, key_id)["errors"])
            seen = [event.event_id for event in await events.collect()]
            assert "group-stream-forked" in seen
            for name in list(grid.nodes):
                grid.network.heal("bob", name)
            await all_have(grid, [bob], key_id, 5)
            assert [n for _, n in await said(bob, key_id)] == [0, 1, 2, 3, 4]

    run_virtual(scenario())


def test_a_broker_that_drops_what_it_acknowledged_is_found_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob = await member(grid, "alice"), await member(grid, "bob")
            key_id = await group(grid, alice, bob)
            liar = await leader_of(grid, key_id, alice)
            since = alice.require_groups().get(key_id).state.position
            for name in grid.nodes:  # or she may have read the truth elsewhere before
                if name.startswith("broker") and name != liar:
                    grid.network.partition("alice", name)
            # from now on alice is served what bob says, and never what she says herself
            mine = alice.require_groups().session(key_id).keys.sender
            lie(
                grid,
                liar,
                lambda raws: [raw for raw in raws if decode_entry(raw).sender != mine],
                since,
            )
            await alice.require_groups().send(key_id, {"n": "lost"})
            await bob.require_groups().send(key_id, {"n": "kept"})
            await grid.until(lambda: view(alice, key_id)["forked"], 120.0)
            assert "acknowledged" in " ".join(view(alice, key_id)["errors"])

    run_virtual(scenario())


def test_two_members_who_are_served_two_streams_notice(tmp_path: Path) -> None:
    """Entries of different senders in another order: no page shows it, the members' words do."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob, carol = [await member(grid, n) for n in ("alice", "bob", "carol")]
            key_id = await group(grid, alice, bob, carol)
            for node in (alice, bob, carol):
                await all_have(grid, [node], key_id, 0)
            await carol.require_groups().leave(key_id)
            await all_have(grid, [alice], key_id, 0)
            liar = await leader_of(grid, key_id, alice)
            await alice.require_groups().send(key_id, {"n": "from alice"})
            await bob.require_groups().send(key_id, {"n": "from bob"})
            await all_have(grid, [alice, bob], key_id, 2)
            for name in grid.nodes:
                if name.startswith("broker") and name != liar:
                    grid.network.partition("carol", name)
            start = carol.require_groups().get(key_id).state.position
            stream = hosted(grid, liar)
            honest = stream.page

            def other_order(at: int, epoch: int) -> tuple[Page, bytes] | None:
                found = honest(at, epoch)
                if found is None or at != start:
                    return found
                raws = decode_entries(found[1])
                raws = [*raws[:-2], raws[-1], raws[-2]]
                link = stream.log.link_at(at)
                for raw in raws:
                    link = next_link(link, entry_hash(raw))
                return msgspec.structs.replace(found[0], link=link), encode_entries(raws)

            stream.page = other_order
            await carol.require_groups().join(key_id, 30.0)
            await alice.require_groups().send(key_id, {"n": "what I saw"})
            await grid.until(lambda: view(carol, key_id)["forked"], 120.0)

    run_virtual(scenario())


def test_a_removed_member_reads_nothing_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob, carol = [await member(grid, n) for n in ("alice", "bob", "carol")]
            key_id = await group(grid, alice, bob, carol)
            await alice.require_groups().send(key_id, {"n": "before"})
            await all_have(grid, [bob, carol], key_id, 1)
            person = bob.require_identity().document
            with pytest.raises(AccessDenied):
                await carol.require_groups().remove(key_id, person)
            # carol is away while it happens
            await carol.require_groups().leave(key_id)
            assert await alice.require_groups().remove(key_id, person)
            await alice.require_groups().send(key_id, {"n": "after"})
            await carol.require_groups().join(key_id)
            await all_have(grid, [alice, carol], key_id, 2)
            await grid.until(lambda: view(bob, key_id)["state"] == "DISCONNECTED", 120.0)
            with pytest.raises(AccessDenied):
                await bob.require_groups().send(key_id, {"n": "still here"})
            # with all that bob has he gets no entry of the new epoch from any broker
            row = bob.require_groups().get(key_id)
            stream = hosted(grid, await leader_of(grid, key_id, alice))
            assert stream.rules.readable(max(row.state.keys), stream.settled) < stream.settled
            assert 1 not in row.state.keys
            assert [n for _, n in await said(bob, key_id)] == ["before"]
            with pytest.raises(AccessDenied):
                await bob.require_groups().share(key_id, carol.require_identity().document)
            # invited again he is back
            await alice.require_groups().share(key_id, person)
            await bob.require_groups().reconnect(key_id)
            await all_have(grid, [bob], key_id, 2)
            await bob.require_groups().send(key_id, {"n": "back"})
            await all_have(grid, [alice, carol], key_id, 3)

    run_virtual(scenario())


def test_everybody_restarts(tmp_path: Path) -> None:
    """What waits for the brokers is sent when they are back; nobody has to do anything."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            people = [await member(grid, "alice"), await member(grid, "bob")]
            key_id = await group(grid, *people)
            await people[0].require_groups().send(key_id, {"n": 1})
            for number in range(3):
                await grid.stop(f"broker-{number}")
            waiting = await people[0].require_groups().send(key_id, {"n": 2}, 5.0)
            assert waiting.state == "waiting"
            for name in ("alice", "bob"):
                await grid.stop(name)
            people = [await grid.start(name) for name in ("alice", "bob")]
            for number in range(3):
                await grid.start(f"broker-{number}")
            await all_have(grid, people, key_id, 2)
            await people[1].require_groups().send(key_id, {"n": 3}, 120.0)
            await all_have(grid, people, key_id, 3)
            rows = [await said(node, key_id) for node in people]
            assert rows[0] == rows[1]
            assert [n for _, n in rows[0]] == [1, 2, 3]

    run_virtual(scenario())


def test_a_broker_that_forgot_everything_catches_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice = await member(grid, "alice")
            key_id = await group(grid, alice)
            await alice.require_groups().send(key_id, {"n": 1})
            lost = next(
                name
                for name in grid.nodes
                if name.startswith("broker") and not hosted(grid, name).leads
            )
            await grid.stop(lost)
            for path in (tmp_path / lost).glob("brokers.db*"):
                path.unlink()
            await grid.start(lost)
            await alice.require_groups().send(key_id, {"n": 2}, 60.0)

            def caught_up() -> bool:
                service = grid.nodes[lost].broker
                streams = list(service.streams.values()) if service is not None else []
                return bool(streams) and streams[0].settled == 1 + int(
                    view(alice, key_id)["last_sequence_id"]
                )

            await grid.until(caught_up, 600.0)

    run_virtual(scenario())


def test_strangers_get_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, mallory = await member(grid, "alice"), await member(grid, "mallory")
            key_id = await group(grid, alice)
            await alice.require_groups().send(key_id, {"n": 1})
            name = await leader_of(grid, key_id, alice)
            target = grid.nodes[name].require_identity()
            stream = hosted(grid, name)
            before = stream.log.length, stream.core.term
            network = mallory.require_network()
            network.learn(target.document)
            genesis = stream.genesis
            brokers = list(genesis.brokers)
            requests: list[tuple[str, Any, bytes]] = [
                (
                    ATTACH,
                    Attach(stream.stream, 0, bytes(32), 0, True, 0, bytes(64), bytes(64)),
                    b"",
                ),
                (READ, Read(stream.stream, 0), b""),
                (APPEND, Append(stream.stream), encode_entries([b"x"])),
                (HIRE, Hire(genesis.encode(), 0, genesis.access, b"", brokers, True), b""),
                (HIRE, {"genesis": b"\xff"}, b""),
            ]
            for method, args, body in requests:
                with pytest.raises(BitdustError):
                    (
                        await network.request(target.node_id, method, args, body=body, timeout=10.0)
                    ).close()
            forged = [
                Talk(stream.stream, Vote(10**6, 10**6, 10**6, False)),
                Talk(stream.stream, Replicate(10**6, 0, 0, [(1, b"")], 1)),
            ]
            body = msgspec.msgpack.encode(forged)
            (await network.request(target.node_id, TALK, body=body, timeout=10.0)).close()
            assert (stream.log.length, stream.core.term) == before
            with pytest.raises(BitdustError):
                await network.request(target.node_id, TALK, body=b"\xc1", timeout=10.0)
            page = Page(stream.stream, 0, 1, bytes(32))
            person, body = alice.require_identity(), encode_entries([b""])
            network.learn(person.document)
            with pytest.raises(BitdustError):
                await network.request(person.node_id, PUSH, page, body=body, timeout=10.0)
            await alice.require_groups().send(key_id, {"n": 2})
            await all_have(grid, [alice], key_id, 2)
            assert [n for _, n in await said(alice, key_id)] == [1, 2]

    run_virtual(scenario())


def test_whoever_lost_the_history_has_the_group_again(tmp_path: Path) -> None:
    """The file beside the keys is enough: everything is read from the brokers' archive."""

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await broker(grid, f"broker-{number}")
            alice, bob = await member(grid, "alice"), await member(grid, "bob")
            key_id = await group(grid, alice, bob)
            await alice.require_groups().send(key_id, {"n": 1})
            await bob.require_groups().send(key_id, {"n": 2})
            carol = await member(grid, "carol")
            await alice.require_groups().share(key_id, carol.require_identity().document)
            await carol.require_groups().join(key_id)
            await grid.until(lambda: len(view(alice, key_id)["members"]) == 3)
            assert await alice.require_groups().remove(key_id, carol.require_identity().document)
            await alice.require_groups().send(key_id, {"n": 3})
            await all_have(grid, [bob], key_id, 3)
            await grid.stop("bob")
            for path in (tmp_path / "bob" / "metadata").glob("messages.db*"):
                path.unlink()
            bob = await grid.start("bob")
            await all_have(grid, [alice, bob], key_id, 3)
            assert await said(bob, key_id) == await said(alice, key_id)
            page = await bob.require_history().page(key_id)
            assert [m.direction for m in page] == ["incoming", "outgoing", "incoming"]
            await bob.require_groups().send(key_id, {"n": 4})
            await all_have(grid, [alice], key_id, 4)

    run_virtual(scenario())
