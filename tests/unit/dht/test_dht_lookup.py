"""The iterative lookup, on a network that exists only as a table."""

from __future__ import annotations

import random

from bitdust.dht import DhtNode
from bitdust.dht.lookup import MAX_QUESTIONS, closest, distance, walk

TARGET = bytes(20)


def made(count: int, seed: int = 1) -> list[DhtNode]:
    chance = random.Random(seed)
    return [DhtNode(chance.randbytes(20), "10.0.0.1", 1000 + n) for n in range(count)]


async def test_the_closest_live_nodes_are_found_from_one_far_away() -> None:
    nodes = made(200)
    chance = random.Random(2)
    # As in Kademlia: everybody knows a few at random and those nearest to itself.
    known = {node: chance.sample(nodes, 10) + closest(nodes, node.node_id, 8) for node in nodes}
    best = closest(nodes, TARGET, 8)
    dead = {best[0], best[3]}
    asked: list[DhtNode] = []

    async def ask(node: DhtNode) -> list[DhtNode] | None:
        asked.append(node)
        return None if node in dead else closest(known[node], TARGET, 8)

    far = max(nodes, key=lambda node: distance(node.node_id, TARGET))
    found = await walk(TARGET, [far], ask, count=8, avoid=b"\xff" * 20)
    expected = closest([node for node in nodes if node not in dead], TARGET, 8)
    assert found[:5] == expected[:5]
    assert len(asked) == len(set(asked)) <= MAX_QUESTIONS


async def test_this_node_is_never_asked() -> None:
    me, *others = made(5)

    async def ask(node: DhtNode) -> list[DhtNode] | None:
        assert node is not me
        return [me, *others]

    found = await walk(TARGET, [me, others[0]], ask, count=8, avoid=me.node_id)
    assert set(found) == set(others)


async def test_nobody_known_is_nobody_found() -> None:
    async def ask(node: DhtNode) -> list[DhtNode] | None:
        raise AssertionError("nobody to ask")

    assert await walk(TARGET, [], ask, count=8, avoid=TARGET) == []


async def test_a_liar_who_invents_nodes_does_not_keep_us_walking() -> None:
    chance = random.Random(3)
    questions = 0

    async def ask(node: DhtNode) -> list[DhtNode] | None:
        nonlocal questions
        questions += 1
        return [DhtNode(bytes(10) + chance.randbytes(10), "10.9.9.9", 9) for _ in range(1000)]

    found = await walk(TARGET, made(3), ask, count=8, avoid=b"\xff" * 20)
    assert questions <= MAX_QUESTIONS + 4
    assert len(found) <= 8


def test_addresses_of_ipv6_stand_in_brackets() -> None:
    assert DhtNode(TARGET, "::1", 5).address == "[::1]:5"
    assert DhtNode(TARGET, "10.0.0.1", 5).address == "10.0.0.1:5"
