"""Hiring: who takes whom, under which terms, and what everybody sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bitdust.dht import LAYER_SUPPLIERS
from bitdust.errors import InvalidInput, NotFound, PeerRefused, TooFewSuppliers
from bitdust.network import Endpoint
from bitdust.supply import NUMBERS, CustomerService, granted_bytes

MIB = 1 << 20
Play = Callable[[Callable[[Any], Any]], None]


def test_four_suppliers_within_two_seconds(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(2.0)
        ids = customer.positions()
        assert len(ids) == len(set(ids)) == 4
        assert set(ids) <= {node.id for node in suppliers}
        assert all(customer.online(i) for i in range(4))
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        assert len(alice.told("supplier-connected")) == 4
        rows = customer.suppliers_list()
        assert [row["position"] for row in rows] == [0, 1, 2, 3]
        for row in rows:
            node = world.by_id(bytes.fromhex(row["node_id"]))
            assert row["idurl"] == node.idurl
            assert row["global_id"] == f"{node.name}@id.example.org"
            assert row["supplier_state"] == row["contact_state"] == "CONNECTED"
            assert row["contact_status"] == "online"
            assert row["connected"].startswith("14-11-2023 22:13:2")
            assert row["contract"]["allocated_bytes"] == granted_bytes(8 * MIB, 4) == 4 * MIB
            assert row["contract"]["ecc_map"] == "ecc/4x4"
            assert row["contract"]["state"] == "active"
            [seen] = node.supplier.customers_list()
            assert seen["idurl"] == alice.idurl
            assert seen["contact_state"] == "CONNECTED"
            assert seen["contract"]["position"] == row["position"]
            [accepted] = node.told("new-customer-accepted")
            assert accepted["allocated_bytes"] == 4 * MIB

    play(scenario)


def test_the_family_is_with_every_supplier_and_on_the_dht(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(4)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        record = await wait_for_record(world, customer)
        assert record["ecc_map"] == "ecc/4x4"
        assert record["customer_idurl"] == record["publisher_idurl"] == alice.idurl
        assert record["suppliers"] == [world.by_id(n).idurl for n in customer.positions()]
        bob = await world.node("bob")
        other = bob.consume()
        assert await other.dht_lookup(alice.idurl) == record
        assert await other.dht_lookup() is None
        with pytest.raises(NotFound):
            await other.dht_lookup("http://id.example.org/nobody.xml")

    play(scenario)


async def wait_for_record(world: Any, customer: CustomerService) -> dict[str, Any]:
    record: dict[str, Any] | None = None

    async def there() -> bool:
        nonlocal record
        record = await customer.dht_lookup()
        return record is not None and "" not in record["suppliers"]

    await world.until(there)
    assert record is not None
    return record


def test_a_full_supplier_refuses_and_another_is_found(play: Play) -> None:
    async def scenario(world: Any) -> None:
        small = [await world.node(f"small{i}") for i in range(2)]
        for node in small:
            await node.supply(5 * MIB)
        _, customer = await world.customer("alice", n=2, needed=4 * MIB)
        await customer.wait_ready(5)
        # Both now have 1 MiB left and bob wants 4 from each of two.
        bob, other = await world.customer("bob", n=2, needed=4 * MIB)
        with pytest.raises(TooFewSuppliers):
            await other.wait_ready(20)
        denied = [data for node in small for data in node.told("new-customer-denied")]
        assert denied
        assert {data["reason"] for data in denied} == {"full"}
        assert bob.told("my-suppliers-yet-not-hired")
        big = [await world.node(f"big{i}") for i in range(2)]
        for node in big:
            await node.supply(100 * MIB)
        await other.wait_ready(200)
        assert set(other.positions()) == {node.id for node in big}
        assert all(len(node.supplier.customers_list()) == 1 for node in small + big)

    play(scenario)


def test_a_full_or_disabled_supplier_invites_nobody(play: Play) -> None:
    async def scenario(world: Any) -> None:
        full, off, room = [await world.node(name) for name in ("full", "off", "room")]
        await full.supply(4 * MIB)
        await off.supply(100 * MIB, enabled=False)
        _, customer = await world.customer("alice", n=2, needed=4 * MIB)
        await world.until(lambda: full.id in customer.positions())
        await room.supply(100 * MIB)
        await customer.wait_ready(120)
        assert set(customer.positions()) == {full.id, room.id}
        await world.clock.sleep(2000)

        found = await off.dht.random_endpoints(LAYER_SUPPLIERS, 10)
        assert [host for host, _ in found] == [room.host]

    play(scenario)


def test_a_node_does_not_hire_itself(play: Play) -> None:
    async def scenario(world: Any) -> None:
        both = await world.node("both")
        await both.supply()
        await world.suppliers(1)
        customer = both.consume(n=2, needed=MIB)
        await customer.start()
        with pytest.raises(TooFewSuppliers):
            await customer.wait_ready(30)
        assert both.id not in customer.positions()
        assert sum(position is not None for position in customer.positions()) == 1

    play(scenario)


def test_configured_suppliers_come_first(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(8)
        chosen = suppliers[5:7]
        ends = [Endpoint.parse(node.document.contacts[0]) for node in chosen]
        _, customer = await world.customer("alice", n=2, configured=ends)
        await customer.wait_ready(5)
        assert set(customer.positions()) == {node.id for node in chosen}

    play(scenario)


def test_slow_and_dead_candidates_hold_nobody_up(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(12)
        alice = await world.node("alice")
        for node in suppliers[:6]:
            world.net.partition(alice.host, node.host)
        customer = alice.consume()
        await customer.start()
        await customer.wait_ready(3.0)
        assert set(customer.positions()) <= {node.id for node in suppliers[6:]}

    play(scenario)


def test_customer_restart_keeps_suppliers_and_contracts(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = customer.positions()
        contracts = [row["contract"]["contract_id"] for row in customer.suppliers_list()]
        await alice.down()
        again, service = await world.customer()
        await service.wait_ready(5)
        assert service.positions() == before
        assert [r["contract"]["contract_id"] for r in service.suppliers_list()] == contracts
        await world.clock.sleep(60)
        assert sum(len(node.supplier.customers_list()) for node in suppliers) == 4
        assert not again.told("supplier-modified")

    play(scenario)


def test_supplier_restart_keeps_customers_and_objects(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(4)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        old = world.by_id(customer.positions()[1])
        await customer.client.put(old.id, "d/1", b"kept", 4, hash_of(b"kept"))
        await old.down()
        await world.until(lambda: customer.ready() == 3)
        assert customer.suppliers_list()[1]["supplier_state"] == "DISCONNECTED"
        assert not customer.online(1)
        new = await world.node(old.name)
        await new.supply()
        assert new.id == old.id
        # Another address: the customer finds it by its identity.
        await customer.wait_ready(3600)
        assert customer.positions()[1] == new.id
        assert await customer.client.get(new.id, "d/1") == b"kept"
        [row] = new.supplier.customers_list()
        assert row["idurl"] == alice.idurl
        assert row["used"] == 4

    play(scenario)


def test_contracts_are_renewed_in_time(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(4)
        alice, customer = await world.customer(needed=4 * MIB)
        await customer.wait_ready(5)
        first = customer.suppliers_list()[0]["contract"]
        for _ in range(2):
            world.clock.jump(50 * 86400)
            await world.clock.sleep(400)
        rows = customer.suppliers_list()
        assert all(row["contract"]["revision"] > first["revision"] for row in rows)
        assert all(row["contract"]["state"] == "active" for row in rows)
        assert rows[0]["contract"]["contract_id"] == first["contract_id"]
        assert all(node.told("existing-customer-accepted") for node in suppliers)
        await customer.client.put(customer.positions()[0], "d/1", b"x", 1, hash_of(b"x"))
        # More is wanted: the contracts follow.
        customer.set_needed(8 * MIB)
        await world.until(
            lambda: all(
                row["contract"]["allocated_bytes"] == 4 * MIB for row in customer.suppliers_list()
            )
        )
        assert customer.space_consumed()["needed"] == 8 * MIB
        assert not alice.told("supplier-modified")

    play(scenario)


def test_change_one_supplier(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        first = await wait_for_record(world, customer)
        before = customer.positions()
        await customer.client.put(before[2], "d/1", b"x", 1, hash_of(b"x"))
        spare = next(node for node in suppliers if node.id not in before)
        assert await customer.change(2, spare.id) == spare.id
        after = customer.positions()
        assert after[2] == spare.id
        assert [after[i] for i in (0, 1, 3)] == [before[i] for i in (0, 1, 3)]
        [data] = alice.told("supplier-modified")
        assert data["position"] == 2
        assert data["new_idurl"] == spare.idurl
        assert data["old_idurl"] == world.by_id(before[2]).idurl
        # The old one keeps what it has until it is dismissed.
        assert customer.retired() == [before[2]]
        assert await customer.client.get(before[2], "d/1") == b"x"
        await customer.dismiss(before[2])
        old = world.by_id(before[2])
        await world.until(lambda: not old.supplier.customers_list())
        assert old.told("existing-customer-terminated")
        await world.until(lambda: customer.retired() == [])

        async def published() -> bool:
            record = await customer.dht_lookup()
            return record is not None and record["suppliers"][2] == spare.idurl

        await world.until(published)
        latest = await customer.dht_lookup()
        assert latest is not None
        assert latest["revision"] > first["revision"]
        # Any other one, and one by its address, be it a former one.
        third = await customer.change(0)
        assert third not in after
        assert customer.retired() == [after[0]]
        back = Endpoint.parse(world.by_id(after[0]).document.contacts[0])
        assert await customer.change(3, back) == after[0]
        assert customer.retired() == [after[3]]
        assert len(set(customer.positions())) == 4
        assert customer.suppliers_list()[3]["contract"]["position"] == 3
        with pytest.raises(InvalidInput):
            await customer.change(1, third)
        with pytest.raises(InvalidInput):
            await customer.change(1, alice.id)

    play(scenario)


def test_unknown_positions_name_the_valid_ones(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(2)
        _, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        for position in (-1, 2, 100):
            with pytest.raises(InvalidInput, match="0 to 1"):
                await customer.change(position)
            with pytest.raises(InvalidInput, match="0 to 1"):
                customer.online(position)
        assert customer.position_of(customer.suppliers_list()[1]["idurl"]) == 1
        with pytest.raises(NotFound):
            customer.position_of("http://id.example.org/eve.xml")
        with pytest.raises(TooFewSuppliers):
            await customer.change(0, timeout=5)

    play(scenario)


def test_only_numbers_with_an_erasure_code(play: Play) -> None:
    async def scenario(world: Any) -> None:
        node = await world.node("alice")
        with pytest.raises(InvalidInput, match="2, 4, 7"):
            node.consume(n=5)

    play(scenario)
    assert NUMBERS == (2, 4, 7, 13, 18, 26, 64)


def test_reject_a_customer(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(3)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        before = customer.positions()
        for node_id in before:
            await customer.client.put(node_id, "d/1", b"abc", 3, hash_of(b"abc"))
        gone = world.by_id(before[0])
        with pytest.raises(NotFound):
            await gone.supplier.reject_customer(gone.id)
        assert await gone.supplier.reject_customer(alice.id) == 3
        assert gone.supplier.customers_list() == []
        assert not list((gone.home / "customers").rglob("*~*"))
        [data] = gone.told("existing-customer-terminated")
        assert data["reason"] == "rejected"
        await world.until(lambda: bool(alice.told("supplier-modified")))
        spare = next(node for node in suppliers if node.id not in before)
        await world.until(lambda: customer.positions()[0] == spare.id)
        # It stays rejected, over a restart too, until it is forgiven.
        await gone.down()
        again = await world.node(gone.name)
        await again.supply()
        end = Endpoint.parse(again.document.contacts[0])
        with pytest.raises(PeerRefused, match="blocked"):
            await customer.change(1, end)
        assert again.told("new-customer-denied")[0]["reason"] == "blocked"
        await again.supplier.forgive_customer(alice.id)
        assert await customer.change(1, end) == again.id

    play(scenario)


def test_a_rejected_customer_that_was_away_learns_it_later(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(3)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        gone = world.by_id(customer.positions()[0])
        await alice.down()
        await gone.supplier.reject_customer(alice.id)
        again, service = await world.customer(n=2)
        await service.wait_ready(5)
        rows = await service.ping()
        assert all(row["answered"] for row in rows)
        await world.until(lambda: service.positions()[0] not in (gone.id, None), 120)
        assert again.told("supplier-modified")[0]["old_idurl"] == gone.idurl
        assert len(suppliers) == 3

    play(scenario)


def test_pings_both_ways(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(2)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        up, down = (world.by_id(node_id) for node_id in customer.positions())
        [row] = await up.supplier.ping_customers()
        assert row["answered"] is True
        await down.down()
        answers = [row["answered"] for row in await customer.ping()]
        assert answers == [True, False]
        await alice.down()
        [row] = await up.supplier.ping_customers(timeout=5)
        assert row["answered"] is False
        assert row["contact_state"] == "OFFLINE"

    play(scenario)


def test_a_damaged_list_of_suppliers_is_found_again(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(6)
        alice, customer = await world.customer()
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = customer.positions()
        await alice.down()
        path = alice.home / "metadata" / "suppliers"
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
        _, service = await world.customer()
        await service.wait_ready(60)
        assert service.positions() == before
        assert path.with_name("suppliers.damaged").exists()

    play(scenario)


def test_a_forgotten_list_leads_back_to_the_same_contract(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(2)
        alice, customer = await world.customer(n=2)
        await customer.wait_ready(5)
        await world.until(lambda: bool(alice.told("my-suppliers-all-hired")))
        before = {row["contract"]["contract_id"] for row in customer.suppliers_list()}
        family = (await wait_for_record(world, customer))["revision"]
        await alice.down()
        (alice.home / "metadata" / "suppliers").unlink()
        _, service = await world.customer(n=2)
        await service.wait_ready(30)
        rows = service.suppliers_list()
        assert {row["contract"]["contract_id"] for row in rows} == before
        assert all(len(node.supplier.customers_list()) == 1 for node in suppliers)

        async def newer() -> bool:
            record = await service.dht_lookup()
            return record is not None and record["revision"] > family

        # The family of the earlier life must not win against the new one.
        await world.until(newer, 1200)

    play(scenario)


def test_stop_in_the_middle_of_hiring(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.suppliers(3)
        for steps in range(0, 60, 7):
            node = await world.node(f"c{steps}")
            customer = node.consume(n=2, needed=MIB)
            await customer.start()
            for _ in range(steps):
                await asyncio.sleep(0)
            await customer.stop()
            await customer.stop()
            await node.down()

    play(scenario)
