"""A customer that lost everything but its key finds its suppliers again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from bitdust.dht import customer_topic
from bitdust.errors import TooFewSuppliers
from bitdust.network import Reply
from bitdust.supply import Contract, Family
from bitdust.supply import messages as m

MIB = 1 << 20
DAY = 86400
Play = Callable[[Callable[[Any], Any]], None]


async def lose_everything(world: Any, alice: Any) -> Any:
    """The machine burned down; a new one has the key."""
    await alice.down()
    shutil.rmtree(alice.home)
    return await world.node(alice.name)


def test_from_the_key_alone_after_weeks(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        changed = await customer.change(1)
        before = customer.positions()
        contracts = [row["contract"] for row in customer.suppliers_list()]
        for i, node_id in enumerate(before):
            await customer.client.put(
                node_id, f"d/{i}", bytes(100 + i), 100 + i, hash_of(bytes(100 + i))
            )
        await alice.down()
        shutil.rmtree(alice.home)
        # Weeks by the wall clock; long enough by the other for every record of alice to fade.
        world.clock.jump(5 * 7 * DAY)
        await world.clock.sleep(3 * 3600)
        again = await world.node("alice")
        service = again.consume()
        assert await service.dht_lookup() is None
        assert await service.recover(30) == before
        assert before[1] == changed
        await service.start()
        await service.wait_ready(10)
        rows = service.suppliers_list()
        assert [row["contract"]["contract_id"] for row in rows] == [
            contract["contract_id"] for contract in contracts
        ]
        assert [row["used"] for row in rows] == [100, 101, 102, 103]
        for i, node_id in enumerate(before):
            assert await service.client.get(node_id, f"d/{i}") == bytes(100 + i)

        # It publishes again, beyond what it once published.
        async def published() -> bool:
            record = await service.dht_lookup()
            return record is not None and len(record["suppliers"]) == 4

        await world.until(published)

    play(scenario)


def test_suppliers_that_are_away_keep_their_places(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = customer.positions()
        dead = [world.by_id(before[i]) for i in (0, 3)]
        for node in dead:
            await node.down()
        again = await lose_everything(world, alice)
        service = again.consume()
        started = world.clock.monotonic()
        assert await service.recover(20) == before
        # Half is enough to go on with; the dead are not waited for until the time is over.
        assert world.clock.monotonic() - started < 12
        with pytest.raises(TooFewSuppliers):
            await service.wait_ready(1, 3)
        await service.start()
        await service.wait_ready(10, 2)
        rows = service.suppliers_list()
        assert [row["contract"] is not None for row in rows] == [False, True, True, False]
        assert rows[0]["supplier_state"] == "DISCONNECTED"
        # One comes back elsewhere and shows its contract.
        back = await world.node(dead[0].name)
        await back.supply()
        await world.until(lambda: service.suppliers_list()[0]["contract"] is not None, 4000)
        assert service.positions() == before

    play(scenario)


def test_expired_contracts_still_lead_home_and_are_renewed(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(2)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = customer.positions()
        for node_id in before:
            await customer.client.put(node_id, "d/1", b"x", 1, hash_of(b"x"))
        await alice.down()
        shutil.rmtree(alice.home)
        world.clock.jump(120 * DAY)
        again = await world.node("alice")
        service = again.consume(n=2)
        assert await service.recover(20) == before
        assert [row["contract"]["state"] for row in service.suppliers_list()] == ["lapsed"] * 2
        assert await service.client.get(before[0], "d/1") == b"x"
        await service.start()
        await world.until(
            lambda: all(row["contract"]["state"] == "active" for row in service.suppliers_list())
        )
        await service.client.put(before[0], "d/2", b"y", 1, hash_of(b"y"))

    play(scenario)


def test_strangers_on_the_topic_are_ignored(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(2)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = customer.positions()
        real = Contract.decode(customer._roster.places[0].contract)
        family = customer._roster.family
        assert family is not None

        eve = await world.node("eve")
        mallory = await world.node("mallory")
        # Eve shows a real contract of somebody else; Mallory her own family, with a high revision.
        forged = Family.build(
            mallory.key,
            customer_idurl=alice.idurl,
            n=2,
            members={0: (eve.id, eve.idurl)},
            revision=1 << 40,
            now=world.clock.now(),
        )

        async def show_foreign(call: Any) -> Any:
            return Reply(m.Held(real.encode(), forged.encode()))

        async def show_rubbish(call: Any) -> Any:
            return Reply(m.Held(b"\x81rubbish", b""))

        eve.network.handle(m.CONTRACT, show_foreign)
        mallory.network.handle(m.CONTRACT, show_rubbish)
        topic = customer_topic(alice.id)
        for node in (eve, mallory):
            node.dht.announce(topic, int(node.document.contacts[0].rpartition(":")[2]))
        # Addresses where nobody listens.
        for port in range(1, 60):
            world.dht.put_peer(topic, ("nowhere.example", port))
        await world.clock.sleep(1)
        again = await lose_everything(world, alice)
        service = again.consume(n=2)
        assert await service.recover(30) == before

    play(scenario)


def test_the_newest_family_wins(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(3)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        first = customer.positions()
        # The one that stays misses the change: it holds an older family.
        stays = world.by_id(first[0])
        await stays.down()
        replaced = await customer.change(1, timeout=20)
        again_stays = await world.node(stays.name)
        await again_stays.supply()
        again = await lose_everything(world, alice)
        service = again.consume(n=2)
        assert await service.recover(30) == [first[0], replaced]

    play(scenario)


def test_a_replaced_supplier_does_not_mislead(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(3)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        first = customer.positions()
        stays = world.by_id(first[0])
        await stays.down()
        replaced = await customer.change(1, timeout=20)
        # The one that missed the change and the one that was replaced show up; the newest is dead.
        again_stays = await world.node(stays.name)
        again = await lose_everything(world, alice)
        await again_stays.supply()
        await world.by_id(replaced).down()
        service = again.consume(n=2)
        assert await service.recover(30) == [first[0], replaced]

    play(scenario)


def test_nobody_there_is_a_clear_error(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(2)
        alice = await world.node("alice")
        service = alice.consume(n=2)
        with pytest.raises(TooFewSuppliers, match="no supplier of this key"):
            await service.recover(3)

    play(scenario)
