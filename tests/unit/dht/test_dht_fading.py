"""What fades and what is kept alive, over virtual hours."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from bitdust.dht import SUPPLIERS, KeySource, customer_topic, layer_topic, owner_dht_key
from bitdust.errors import DhtError
from bitdust.testing import run_virtual

HOUR = 3600.0
ALICE = "http://id.example.org/alice.xml"

Clusters = Callable[..., AbstractAsyncContextManager[Any]]
Keys = Callable[[bytes], KeySource]


def suppliers(revision: int, *names: str) -> dict[str, Any]:
    return {
        "type": SUPPLIERS,
        "key": "k",
        "timestamp": 1,
        "customer_idurl": ALICE,
        "ecc_map": "ecc/2x2",
        "suppliers": [f"http://id.example.org/{name}.xml" for name in names],
        "revision": revision,
    }


def test_announcements_outlive_days_and_fade_after_their_node(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            topic = customer_topic(bytes(32))
            c.nodes[0].announce(topic, 7771)
            c.nodes[1].announce(topic, 7772)
            await c.clock.sleep(1.0)
            both = [("10.0.0.1", 7771), ("10.0.0.2", 7772)]
            assert sorted(await c.nodes[2].peers(topic)) == both
            for _ in range(72 * 12):
                await c.clock.sleep(HOUR / 12)
                assert sorted(await c.nodes[2].peers(topic)) == both
            c.nodes[0].withdraw(topic)
            await c.nodes[1].stop()
            await c.clock.sleep(0.6 * HOUR)
            assert await c.nodes[2].peers(topic) == []

    run_virtual(scenario())


def test_a_new_announcement_is_tried_until_the_network_is_there(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            topic = layer_topic(3)
            c.nodes[0].cut_off = True
            c.nodes[0].announce(topic, 7771)
            await c.clock.sleep(300.0)
            assert await c.nodes[1].peers(topic) == []
            c.nodes[0].cut_off = False
            await c.clock.sleep(76.0)
            assert await c.nodes[1].peers(topic) == [("10.0.0.1", 7771)]

    run_virtual(scenario())


def test_a_changed_port_is_announced_at_once(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            topic = layer_topic(3)
            c.nodes[0].announce(topic, 7771)
            await c.clock.sleep(1.0)
            c.nodes[0].announce(topic, 7000)
            await c.clock.sleep(1.0)
            assert ("10.0.0.1", 7000) in await c.nodes[1].peers(topic)
            await c.clock.sleep(HOUR)
            assert await c.nodes[1].peers(topic) == [("10.0.0.1", 7000)]

    run_virtual(scenario())


@pytest.mark.parametrize("size", [10, 40_000])
def test_records_are_put_again_while_their_writer_runs(
    cluster: Clusters, fixed_key: Keys, size: int
) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            value = {"noise": fixed_key(b"x").derive(b"n", size).hex()[:size]}
            assert (await c.nodes[0].set_value("k", value)).success
            for _ in range(50 * 6):
                await c.clock.sleep(HOUR / 6)
                assert (await c.nodes[1].get_value("k")).value == value
            await c.nodes[0].stop()
            await c.clock.sleep(2.1 * HOUR)
            gone = await c.nodes[1].get_value("k")
            assert not gone.found
            assert gone.closest_nodes

    run_virtual(scenario())


def test_a_record_survives_its_writers_offline_hour(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            await c.nodes[0].set_value("k", 5)
            await c.clock.sleep(0.5 * HOUR)
            c.nodes[0].cut_off = True
            await c.clock.sleep(5 * HOUR)
            assert not (await c.nodes[1].get_value("k")).found
            c.nodes[0].cut_off = False
            await c.clock.sleep(70.0)
            assert (await c.nodes[1].get_value("k")).value == 5

    run_virtual(scenario())


def test_a_record_expires_for_readers_and_is_no_longer_put(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            await c.nodes[0].set_value("k", 5, expire=3 * HOUR)
            await c.clock.sleep(2.9 * HOUR)
            assert (await c.nodes[1].get_value("k", cache_ttl=9e9)).found
            await c.clock.sleep(0.2 * HOUR)
            gone = await c.nodes[1].get_value("k", cache_ttl=9e9)
            assert not gone.found
            assert "expired" in gone.reason
            await c.clock.sleep(4 * HOUR)
            assert c.nodes[0].local_db_dump() == {}
            assert c.memory.items() == []

    run_virtual(scenario())


def test_an_old_device_does_not_bring_back_an_old_record(
    cluster: Clusters, fixed_key: Keys
) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            alice = fixed_key(b"alice")
            mine: dict[str, Any] = {"record_type": SUPPLIERS, "signer": alice}
            theirs = {"record_type": SUPPLIERS, "owner_dht_key": owner_dht_key(alice)}
            assert (await c.nodes[0].set_value("k", suppliers(1, "a"), **mine)).success
            assert (await c.nodes[1].set_value("k", suppliers(2, "b"), **mine)).success
            late = await c.nodes[0].set_value("k", suppliers(1, "a"), **mine)
            assert not late.success
            assert late.revision == 2
            await c.clock.sleep(10 * HOUR)
            assert (await c.nodes[2].get_value("k", **theirs)).revision == 2
            assert c.nodes[0].local_db_dump() == {}

    run_virtual(scenario())


def test_of_two_writers_of_an_open_record_the_last_one_stays(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            await c.nodes[0].set_value("k", "first")
            await c.clock.sleep(60.0)
            await c.nodes[1].set_value("k", "second")
            await c.clock.sleep(12 * HOUR)
            assert (await c.nodes[2].get_value("k")).value == "second"

    run_virtual(scenario())


def test_reads_are_cached_only_for_those_who_ask(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            await c.nodes[0].set_value("k", 1)
            assert (await c.nodes[1].get_value("k")).value == 1
            await c.nodes[0].set_value("k", 2)
            cached = await c.nodes[1].get_value("k", cache_ttl=60.0)
            assert (cached.value, cached.cached) == (1, True)
            fresh = await c.nodes[1].get_value("k")
            assert (fresh.value, fresh.cached) == (2, False)
            await c.clock.sleep(61.0)
            assert not (await c.nodes[1].get_value("k", cache_ttl=60.0)).cached

    run_virtual(scenario())


def test_the_cache_is_bounded(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster(2) as c:
            for number in range(300):
                await c.nodes[0].set_value(f"k{number}", number)
                await c.nodes[1].get_value(f"k{number}")
            assert len(c.nodes[1].local_db_dump()["0"]) == 256
            assert (await c.nodes[1].stats()).layers[0].cache == 256

    run_virtual(scenario())


def test_a_node_keeps_at_most_1024_records(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster(2) as c:
            for number in range(1024):
                await c.nodes[0].set_value(f"k{number}", number)
            with pytest.raises(DhtError):
                await c.nodes[0].set_value("one more", 1)
            assert (await c.nodes[0].set_value("k7", "again")).success

    run_virtual(scenario())


def test_a_node_that_is_cut_off_says_so(cluster: Clusters) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            node = c.nodes[0]
            node.cut_off = True
            written = await node.set_value("k", 1)
            assert not written.success
            assert "no node" in written.reason
            assert not (await node.get_value("k")).found
            assert not await node.joined(timeout=1.0)
            node.cut_off = False
            assert await node.joined(timeout=1.0)
            assert node.local_db_dump() == {}

    run_virtual(scenario())
