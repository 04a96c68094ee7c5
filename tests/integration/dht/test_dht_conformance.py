"""One suite for both DHTs: libtorrent on the loopback interface, and the one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bitdust.clock import SystemClock, SystemRandom
from bitdust.crypto import PrivateKey
from bitdust.dht import (
    LAYER_SUPPLIERS,
    SUPPLIERS,
    DhtService,
    LibtorrentDht,
    WriteResult,
    customer_topic,
    identity_topic,
    layer_topic,
    lookup_answer,
    nickname_topic,
    owner_dht_key,
    read_answer,
    write_answer,
)
from bitdust.errors import DhtError, InvalidInput
from bitdust.testing import MemoryDhtNetwork

NODES = 8
DEADLINE = 15.0


async def start_libtorrent(stack: AsyncExitStack) -> list[DhtService]:
    nodes: list[DhtService] = []
    for _ in range(NODES):
        known = [f"127.0.0.1:{nodes[0].port}"] if nodes else []
        node = LibtorrentDht(private=True, bootstrap=known)
        await node.start()
        stack.push_async_callback(node.stop)
        nodes.append(node)
    return nodes


async def start_memory(stack: AsyncExitStack) -> list[DhtService]:
    shared = MemoryDhtNetwork(SystemClock())
    nodes: list[DhtService] = []
    for _ in range(NODES):
        node = shared.node(SystemRandom())
        await node.start()
        stack.push_async_callback(node.stop)
        nodes.append(node)
    return nodes


@pytest.fixture(params=[start_libtorrent, start_memory], ids=["libtorrent", "memory"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[list[DhtService]]:
    async with AsyncExitStack() as stack:
        started = await request.param(stack)
        for node in started:
            assert await node.joined()
        yield started


async def until(check: Callable[[], Any]) -> Any:
    """Repeat a question until its answer is true; the network may need a moment to form."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if answer := await check():
                return answer
            await asyncio.sleep(0.05)


async def write(node: DhtService, key: str, value: Any, **options: Any) -> WriteResult:
    async def attempt() -> WriteResult | None:
        result = await node.set_value(key, value, **options)
        return result if result.success else None

    result: WriteResult = await until(attempt)
    return result


def suppliers(revision: int, name: str) -> dict[str, Any]:
    return {
        "type": SUPPLIERS,
        "key": "suppliers:alice",
        "timestamp": 1_700_000_000,
        "customer_idurl": "http://id.example.org/alice.xml",
        "ecc_map": "ecc/4x4",
        "suppliers": [f"http://id.example.org/{name}-{n}.xml" for n in range(4)],
        "revision": revision,
    }


async def test_who_announces_is_found_by_all_and_on_no_other_topic(
    nodes: list[DhtService],
) -> None:
    topic = layer_topic(LAYER_SUPPLIERS)
    for number, node in enumerate(nodes[:3]):
        node.announce(topic, 7001 + number)
    nodes[3].announce(customer_topic(bytes(32)), 7999)
    expected = {("127.0.0.1", 7001), ("127.0.0.1", 7002), ("127.0.0.1", 7003)}

    for node in nodes:

        async def all_found(node: DhtService = node) -> bool:
            return set(await node.peers(topic)) == expected

        await until(all_found)
    assert await nodes[5].peers(identity_topic(bytes(32))) == []
    assert await nodes[5].peers(nickname_topic("alice")) == []
    assert len(await nodes[5].peers(topic, want=2)) == 2
    picked = await nodes[6].random_endpoints(LAYER_SUPPLIERS, 2)
    assert len(set(picked)) == 2
    assert set(picked) <= expected
    assert len(await nodes[6].random_endpoints(LAYER_SUPPLIERS, 50)) == 3


@pytest.mark.parametrize("size", [1, 700, 2_000, 30_000, 65_000])
async def test_values_of_every_size_are_read_by_all(nodes: list[DhtService], size: int) -> None:
    noise = SystemRandom().token(size).hex()[:size]
    value = {"noise": noise, "list": [1, 2.5, None, True, {"ü": "ö"}]}
    result = await write(nodes[1], "abcd", value)
    assert result.copies >= 1
    for node in nodes:

        async def found(node: DhtService = node) -> bool:
            answer = await node.get_value("abcd")
            return answer.found and answer.value == value

        await until(found)
    other_layer = await nodes[2].get_value("abcd", layer=3)
    assert not other_layer.found


async def test_a_missing_key_fails_and_names_the_closest_nodes(nodes: list[DhtService]) -> None:
    found = await nodes[2].get_value("missing")
    answer = read_answer(nodes[2].my_id, found)
    assert answer["read"] == "failed"
    assert answer["my_dht_id"] == nodes[2].my_id.hex()
    assert answer["key"] == "missing"
    assert "value" not in answer
    assert answer["closest_nodes"]
    for row in answer["closest_nodes"]:
        assert len(bytes.fromhex(row["dht_id"])) == 20
        assert row["address"].startswith("127.0.0.1:")


async def test_answers_have_the_shapes_of_the_api(nodes: list[DhtService]) -> None:
    written = await write(nodes[0], "k", {"text": "A-B-C-D"})
    answer = write_answer(nodes[0].my_id, written)
    assert set(answer) == {"write", "my_dht_id", "key", "value", "closest_nodes"}
    assert answer["write"] == "success"
    assert answer["closest_nodes"]
    read = read_answer(nodes[0].my_id, await nodes[0].get_value("k"))
    assert read == {
        "read": "success",
        "my_dht_id": nodes[0].my_id.hex(),
        "key": "k",
        "value": {"text": "A-B-C-D"},
    }
    lookup = lookup_answer(nodes[0].my_id, "ff" * 20, await nodes[0].find_nodes(b"\xff" * 20))
    assert lookup["lookup"] == "ff" * 20
    assert set(lookup) == {"my_dht_id", "lookup", "closest_nodes"}


async def test_the_last_writer_of_an_open_record_wins(nodes: list[DhtService]) -> None:
    first = await write(nodes[0], "k", "first")
    second = await write(nodes[1], "k", "second")
    assert second.revision > first.revision

    async def second_wins() -> bool:
        return (await nodes[2].get_value("k")).value == "second"

    await until(second_wins)


async def test_two_writers_at_once_leave_one_of_both(nodes: list[DhtService]) -> None:
    await asyncio.gather(nodes[0].set_value("k", "a"), nodes[1].set_value("k", "b"))
    for node in nodes:
        assert (await node.get_value("k")).value in ("a", "b")


async def test_a_stranger_cannot_take_over_an_owned_record(nodes: list[DhtService]) -> None:
    alice, mallory = PrivateKey.generate(1024), PrivateKey.generate(1024)
    key = "suppliers:alice"
    owned = {"record_type": SUPPLIERS}
    await write(nodes[0], key, suppliers(1, "good"), signer=alice, **owned)
    await write(nodes[4], key, suppliers(99, "evil"), signer=mallory, **owned)
    for node in nodes:
        found = await node.get_value(key, owner_dht_key=owner_dht_key(alice), **owned)
        assert (found.revision, found.value) == (1, suppliers(1, "good"))
        assert found.owner == owner_dht_key(alice)

    newer = await write(nodes[5], key, suppliers(2, "better"), signer=alice, **owned)
    assert newer.revision == 2
    for revision, name in ((1, "good"), (2, "other")):
        late = await nodes[0].set_value(key, suppliers(revision, name), signer=alice, **owned)
        assert not late.success
        assert late.revision == 2
    again = await nodes[0].set_value(key, suppliers(2, "better"), signer=alice, **owned)
    assert again.success

    async def newest() -> bool:
        found = await nodes[7].get_value(key, owner_dht_key=owner_dht_key(alice), **owned)
        return found.revision == 2 and found.value == suppliers(2, "better")

    await until(newest)


async def test_nodes_are_found_near_any_id(nodes: list[DhtService]) -> None:
    target = nodes[3].my_id

    async def found_itself() -> bool:
        found = await nodes[6].find_nodes(target)
        return bool(found) and found[0].node_id == target

    await until(found_itself)
    found = await nodes[6].find_nodes()
    assert 0 < len(found) <= 8
    assert nodes[6].my_id not in {node.node_id for node in found}
    assert await nodes[6].find_nodes(layer=LAYER_SUPPLIERS)


async def test_the_dump_shows_what_this_node_keeps_announces_and_read(
    nodes: list[DhtService],
) -> None:
    await write(nodes[0], "mine", {"x": 1}, layer=3, expire=100.0)
    nodes[0].announce(layer_topic(3), 7001)
    await nodes[1].get_value("mine", layer=3)
    mine = {row["scope"]: row for row in nodes[0].local_db_dump()["3"]}
    assert mine["kept"]["key"] == "mine"
    assert mine["kept"]["value"] == {"x": 1}
    assert 100 <= mine["kept"]["expireSeconds"] <= 101
    assert mine["announced"]["key"] == layer_topic(3).hex()
    (theirs,) = nodes[1].local_db_dump()["3"]
    assert theirs["scope"] == "cached"
    assert set(mine["kept"]) == set(theirs) == set(mine["announced"])


async def test_counters_count(nodes: list[DhtService]) -> None:
    await write(nodes[0], "k", {"x": 1})
    await nodes[0].get_value("k")
    stats = await nodes[0].stats()
    assert stats.my_id == nodes[0].my_id
    assert stats.port == nodes[0].port > 0
    assert stats.bytes_in > 0
    assert stats.bytes_out > 0
    assert stats.nodes >= 1
    assert stats.kept == 1
    assert stats.layers[0].packets_out >= 2
    assert stats.layers[0].cache == 1


async def test_a_stopped_node_refuses_and_stops_twice(nodes: list[DhtService]) -> None:
    node = nodes[7]
    await node.stop()
    await node.stop()
    with pytest.raises(DhtError):
        await node.get_value("k")
    with pytest.raises(DhtError):
        await node.set_value("k", 1)
    with pytest.raises(DhtError):
        await node.stats()
    with pytest.raises(InvalidInput):
        await node.set_value("", 1)
