"""Customers and suppliers that lie, and what they get for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from bitdust.dht import LAYER_SUPPLIERS, layer_topic
from bitdust.errors import (
    AlreadyExists,
    DiskFull,
    IntegrityError,
    InvalidInput,
    InvalidName,
    NoContract,
    NotFound,
    PeerRefused,
    QuotaExceeded,
    TooFewSuppliers,
)
from bitdust.network import Endpoint, Reply
from bitdust.proofs import answer
from bitdust.supply import Contract, Family, SupplierClient, Terms
from bitdust.supply import messages as m
from bitdust.supply.contracts import draft
from bitdust.supply.store import MAX_OBJECT

MIB = 1 << 20
DAY = 86400
Play = Callable[[Callable[[Any], Any]], None]


async def one_supplier(world: Any, **more: Any) -> tuple[Any, Any]:
    """A supplier and a node that knows it."""
    [supplier] = await world.suppliers(1, **more)
    alice = await world.node("alice")
    await alice.network.dial(Endpoint.parse(supplier.document.contacts[0]))
    return supplier, alice


def terms(world: Any, customer: Any, supplier: Any, **changed: Any) -> Contract:
    values: dict[str, Any] = {
        "contract_id": b"i" * 16,
        "customer": customer.id,
        "customer_idurl": customer.idurl,
        "supplier": supplier.id,
        "supplier_idurl": supplier.idurl,
        "granted": MIB,
        "position": 0,
        "n": 2,
        "now": world.clock.now(),
        "term": 30 * DAY,
    }
    return draft(**(values | changed))


async def hire(node: Any, supplier: Any, offer: Contract) -> m.Hired:
    response = await node.network.request(supplier.id, m.HIRE, m.Hire(offer.encode()))
    async with response:
        hired: m.Hired = response.decode(m.Hired)
    return hired


# --- hostile customers --------------------------------------------------------------------------


def test_offers_are_judged(play: Play) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world, donated=4 * MIB)
        eve = await world.node("eve")

        async def reason(**changed: Any) -> str:
            offer = terms(world, alice, supplier, **changed).offered(alice.key)
            return (await hire(alice, supplier, offer)).reason

        now = world.clock.now()
        assert await reason(granted=4 * MIB + 1) == "full"
        assert await reason(term=500 * DAY) == "term"
        assert await reason(now=now - 2 * DAY) == "clock"
        assert await reason(now=now + 2 * DAY) == "clock"
        assert supplier.supplier.customers_list() == []
        supplier.supplier.set_donated(4 * MIB, enabled=False)
        assert await reason() == "disabled"
        supplier.supplier.set_donated(4 * MIB, enabled=True)
        assert await reason() == ""
        assert await reason() == ""  # the very same again: its answer may have been lost
        assert await reason(contract_id=b"j" * 16) == "already"
        assert await reason(granted=2 * MIB) == "stale"
        assert await reason(granted=5 * MIB, revision=2) == "full"
        assert await reason(granted=3 * MIB, revision=2) == ""
        [row] = supplier.supplier.customers_list()
        assert row["contract"]["allocated_bytes"] == 3 * MIB

        # In another's name, for another supplier, unsigned, or nonsense.
        for bad in (
            terms(world, eve, supplier).offered(eve.key),
            terms(world, alice, eve).offered(alice.key),
            terms(world, alice, supplier, revision=3),
            msgspec.structs.replace(
                terms(world, alice, supplier, revision=3).offered(alice.key), granted=1
            ),
        ):
            with pytest.raises(PeerRefused) as caught:
                await hire(alice, supplier, bad)
            assert caught.value.reason in ("integrity", "format")
        with pytest.raises(PeerRefused) as caught:
            await alice.network.request(supplier.id, m.HIRE, m.Hire(b"\xc1" * 100))
        assert caught.value.reason == "format"
        with pytest.raises(PeerRefused):
            await alice.network.request(supplier.id, m.HIRE, {"offer": 7})

    play(scenario)


def test_less_than_is_used_cannot_be_agreed(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        client = SupplierClient(alice.network)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))
        await client.put(supplier.id, "d/1", bytes(1000), 1000, hash_of(bytes(1000)))
        less = terms(world, alice, supplier, revision=2, granted=999).offered(alice.key)
        assert (await hire(alice, supplier, less)).reason == "in_use"
        # The supplier donates less than it promised: nothing is lost, renewing goes on.
        supplier.supplier.set_donated(10)
        assert await client.get(supplier.id, "d/1") == bytes(1000)
        same = terms(world, alice, supplier, revision=2, granted=MIB).offered(alice.key)
        assert (await hire(alice, supplier, same)).reason == ""
        await client.put(supplier.id, "d/2", b"x", 1, hash_of(b"x"))

    play(scenario)


def test_quota_holds_whatever_the_customer_says(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        usages: list[tuple[int, int]] = []
        client = SupplierClient(alice.network, lambda _, used, count: usages.append((used, count)))
        await hire(alice, supplier, terms(world, alice, supplier, granted=3000).offered(alice.key))
        data = os.urandom(1000)
        for i in range(3):
            assert await client.put(supplier.id, f"d/{i}", data, 1000, hash_of(data)) is True
        assert usages[-1] == (3000, 3)
        with pytest.raises(QuotaExceeded):
            await client.put(supplier.id, "d/3", data, 1000, hash_of(data))
        # It says one byte and sends a thousand, or the other way round.
        with pytest.raises((IntegrityError, QuotaExceeded)):
            await client.put(supplier.id, "d/3", data, 1, hash_of(data))
        assert await client.delete(supplier.id, ["d/0"]) == 1
        for size in (1, 999):
            with pytest.raises(IntegrityError):
                await client.put(supplier.id, "d/3", data, size, hash_of(data))
        with pytest.raises(IntegrityError):
            await client.put(supplier.id, "d/3", data[:10], 1000, hash_of(data))
        with pytest.raises(IntegrityError):
            await client.put(supplier.id, "d/3", data, 1000, bytes(32))
        with pytest.raises(InvalidInput):
            await client.put(supplier.id, "d/3", b"", MAX_OBJECT + 1, bytes(32))
        assert [entry.name async for entry in client.list(supplier.id)] == ["d/1", "d/2"]
        assert (supplier.supplier.customers_list()[0]["used"]) == 2000
        space = await supplier.supplier.space_donated()
        assert space["consumed"] == 3000
        assert space["used"] == 2000
        assert space["real"] == 8192
        assert space["free"] == 100 * MIB - 3000
        assert space["customers_num"] == 1
        assert space["customers"][0]["idurl"] == alice.idurl
        assert space["donated_str"] == "100 MB"
        assert space["old_customers"] == []

    play(scenario)


def test_the_client_and_its_errors(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        client = SupplierClient(alice.network)
        with pytest.raises(NoContract):
            await client.put(supplier.id, "d/1", b"x", 1, hash_of(b"x"))
        offer = terms(world, alice, supplier, granted=20 * MIB).offered(alice.key)
        await hire(alice, supplier, offer)
        data = os.urandom(3 * MIB + 5)
        parts = [memoryview(data)[: 2 * MIB], memoryview(data)[2 * MIB :]]
        assert await client.put(supplier.id, "d/1", parts, len(data), hash_of(data)) is True
        assert await client.put(supplier.id, "d/1", parts, len(data), hash_of(data)) is False

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 100_000):
                yield data[at : at + 100_000]

        assert await client.put(supplier.id, "d/2", pieces(), len(data), hash_of(data)) is True
        assert await client.get(supplier.id, "d/2") == data
        assert await client.get(supplier.id, "d/2", expect=hash_of(data)) == data
        assert await client.get(supplier.id, "d/2", 5, 10) == data[5:15]
        with pytest.raises(IntegrityError):
            await client.get(supplier.id, "d/2", expect=bytes(32))
        with pytest.raises(IntegrityError):
            await client.get(supplier.id, "d/2", max_size=MIB)
        with pytest.raises(AlreadyExists):
            await client.put(supplier.id, "d/1", b"x", 1, hash_of(b"x"))
        with pytest.raises(NotFound):
            await client.get(supplier.id, "d/none")
        with pytest.raises(InvalidInput):
            await client.get(supplier.id, "d/2", len(data) + 1)
        for name in ("../contract", "d/../../x", "/etc/passwd", "d//1", "D", "d/1\n"):
            with pytest.raises(InvalidName):
                await client.get(supplier.id, name)
            with pytest.raises(InvalidName):
                await client.put(supplier.id, name, b"x", 1, hash_of(b"x"))
        assert await client.audit(supplier.id, "d/2", b"k" * 32) == answer(
            b"k" * 32, len(data), lambda at, size: data[at : at + size]
        )
        for i in range(210):
            await client.put(supplier.id, f"j/{i:04}", b"x", 1, hash_of(b"x"))
        names = [entry.name async for entry in client.list(supplier.id, "j/")]
        assert names == [f"j/{i:04}" for i in range(210)]
        assert await client.delete(supplier.id, [*names, "j/none"]) == 210
        # A damaged object is refused, told to the owner of the disk, and can be sent again.
        [path] = (supplier.home / "customers").rglob("d%2~*")
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
        with pytest.raises(Exception) as caught:
            await client.get(supplier.id, "d/2")
        assert getattr(caught.value, "code", "") in ("integrity", "network")
        with pytest.raises(IntegrityError):
            await client.get(supplier.id, "d/2")
        [told] = supplier.told("fragment-damaged")
        assert told["name"] == "d/2"
        assert told["idurl"] == alice.idurl
        [broken] = [e async for e in client.list(supplier.id) if not e.intact]
        assert broken.name == "d/2"
        assert await client.put(supplier.id, "d/2", data, len(data), hash_of(data)) is True
        assert await client.get(supplier.id, "d/2") == data

    play(scenario)


def test_nobody_reaches_the_objects_of_another(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))
        await SupplierClient(alice.network).put(supplier.id, "d/1", b"mine", 4, hash_of(b"mine"))
        eve = await world.node("eve")
        eve.network.learn(supplier.document)
        client = SupplierClient(eve.network)
        for contract in (False, True):
            if contract:
                await hire(eve, supplier, terms(world, eve, supplier).offered(eve.key))
            expected = NotFound if contract else NoContract
            with pytest.raises(expected):
                await client.get(supplier.id, "d/1")
            with pytest.raises(expected):
                await client.audit(supplier.id, "d/1", bytes(32))
        assert [entry async for entry in client.list(supplier.id)] == []
        assert await client.delete(supplier.id, ["d/1"]) == 0
        assert await client.put(supplier.id, "d/1", b"eve's", 5, hash_of(b"eve's")) is True
        assert await SupplierClient(alice.network).get(supplier.id, "d/1") == b"mine"
        with pytest.raises(PeerRefused):
            await eve.network.request(supplier.id, m.CANCEL, m.Cancel(b"x" * 16))
        # Another's contract and family cannot be changed either.
        family = Family.build(
            alice.key, customer_idurl=alice.idurl, n=2, members={}, revision=5, now=0
        )
        put = m.FamilyPut(family.encode())
        with pytest.raises(PeerRefused):
            await eve.network.request(supplier.id, m.FAMILY_PUT, put)
        (await alice.network.request(supplier.id, m.FAMILY_PUT, put)).close()
        older = Family.build(
            alice.key, customer_idurl=alice.idurl, n=4, members={}, revision=4, now=9
        )
        response = await alice.network.request(
            supplier.id, m.FAMILY_PUT, m.FamilyPut(older.encode())
        )
        async with response:
            assert response.decode(m.FamilyGiven).family == family.encode()
        # Anybody may read it: it proves itself.
        asked = await eve.network.request(supplier.id, m.FAMILY_GET, m.FamilyAsk(alice.id))
        async with asked:
            given = Family.decode(asked.decode(m.FamilyGiven).family)
        given.verify(alice.key.public)
        assert given == family

    play(scenario)


def test_rates_are_bounded(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        client = SupplierClient(alice.network)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))

        async def flood() -> None:
            # below the client, which would wait and ask again
            for _ in range(200):
                async with await alice.network.request(supplier.id, m.LIST, m.List()):
                    pass

        with pytest.raises(PeerRefused, match="too many lists"):
            await flood()
        await world.clock.sleep(10)
        assert [entry async for entry in client.list(supplier.id)] == []

        async def offers() -> None:
            for i in range(50):
                offer = terms(world, alice, supplier, contract_id=bytes([i]) * 16)
                await hire(alice, supplier, offer.offered(alice.key))

        with pytest.raises(PeerRefused) as caught:
            await offers()
        assert caught.value.reason == "busy"

    play(scenario)


def test_after_the_end_reads_go_on_and_puts_do_not(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world, terms=Terms(0, grace=10 * DAY))
        client = SupplierClient(alice.network)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))
        for name in ("d/1", "d/2"):
            await client.put(supplier.id, name, b"x", 1, hash_of(b"x"))
        world.clock.jump(31 * DAY)
        assert supplier.supplier.customers_list()[0]["contract"]["state"] == "grace"
        assert await client.get(supplier.id, "d/1") == b"x"
        assert await client.delete(supplier.id, ["d/2"]) == 1
        with pytest.raises(NoContract):
            await client.put(supplier.id, "d/3", b"x", 1, hash_of(b"x"))
        # A clock that jumps far ahead for a while costs nobody anything.
        world.clock.jump(3000 * DAY)
        await world.clock.sleep(3600)
        world.clock.jump(-3000 * DAY)
        await world.clock.sleep(2 * DAY)
        assert await client.get(supplier.id, "d/1") == b"x"
        # Really over: a day later it is gone, and said so.
        world.clock.jump(20 * DAY)
        await world.clock.sleep(1.2 * DAY)
        assert supplier.supplier.customers_list() == []
        [told] = supplier.told("existing-customer-terminated")
        assert told["reason"] == "lapsed"
        with pytest.raises(NoContract):
            await client.get(supplier.id, "d/1")

    play(scenario)


def test_the_index_lost_but_not_the_customers(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        client = SupplierClient(alice.network)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))
        await client.put(supplier.id, "d/1", b"kept", 4, hash_of(b"kept"))
        family = Family.build(
            alice.key, customer_idurl=alice.idurl, n=2, members={}, revision=5, now=0
        )
        put = m.FamilyPut(family.encode())
        (await alice.network.request(supplier.id, m.FAMILY_PUT, put)).close()
        # A contract this supplier never signed, left in the folder by somebody.
        eve = await world.node("eve")
        folder = supplier.home / "customers" / eve.id.hex()
        folder.mkdir()
        (folder / "contract").write_bytes(terms(world, eve, supplier).offered(eve.key).encode())
        await supplier.supplier.stop()
        for path in (supplier.home / "customers").glob("index.db*"):
            path.unlink()
        await supplier.supplier.start()
        [row] = supplier.supplier.customers_list()
        assert row["idurl"] == alice.idurl
        assert row["used"] == 4
        assert await client.get(supplier.id, "d/1") == b"kept"
        response = await alice.network.request(supplier.id, m.CONTRACT, m.Nothing())
        async with response:
            held = response.decode(m.Held)
        assert held.family == family.encode()
        assert (held.used, held.count) == (4, 1)
        more = terms(world, alice, supplier, revision=2).offered(alice.key)
        assert (await hire(alice, supplier, more)).reason == ""

    play(scenario)


def test_disk_full_at_the_supplier(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, alice = await one_supplier(world)
        client = SupplierClient(alice.network)
        await hire(alice, supplier, terms(world, alice, supplier).offered(alice.key))
        supplier.supplier._store._free_space = lambda _: 0
        with pytest.raises(DiskFull, match="supplier"):
            await client.put(supplier.id, "d/1", b"x", 1, hash_of(b"x"))

    play(scenario)


# --- hostile suppliers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie", ["less", "unsigned", "foreign", "rubbish", "old", "refuses", "silent"]
)
def test_suppliers_with_other_terms_are_not_hired(play: Play, lie: str) -> None:
    async def scenario(world: Any) -> None:
        eve = await world.node("eve")
        other = await world.node("other")
        kept: list[Contract] = []

        async def answer(call: Any) -> Reply:
            offer = Contract.decode(call.decode(m.Hire).offer)
            kept.append(offer)
            if lie == "less":
                less = msgspec.structs.replace(offer, granted=1)
                return Reply(m.Hired(contract=less.countersigned(eve.key).encode()))
            if lie == "unsigned":
                return Reply(m.Hired(contract=offer.encode()))
            if lie == "foreign":
                wrong = msgspec.structs.replace(offer, supplier=other.id)
                return Reply(m.Hired(contract=wrong.countersigned(other.key).encode()))
            if lie == "rubbish":
                return Reply(m.Hired(contract=b"\xc1\x00"))
            if lie == "old":
                return Reply(m.Hired(contract=kept[0].countersigned(eve.key).encode()))
            if lie == "silent":
                await world.clock.sleep(10_000)
            return Reply(m.Hired(reason="already", contract=b"nonsense"))

        eve.network.handle(m.HIRE, answer)
        port = int(eve.document.contacts[0].rpartition(":")[2])
        eve.dht.announce(layer_topic(LAYER_SUPPLIERS), port)
        alice, customer = await world.customer(n=2, needed=MIB)
        if lie == "old":
            # The first answer is right; what she signs later is the contract of another time.
            await world.until(lambda: eve.id in customer.positions(), 300)
            customer.set_needed(2 * MIB)
            await world.clock.sleep(900)
            [row] = customer.suppliers_list()
            assert row["contract"]["allocated_bytes"] == MIB
        else:
            with pytest.raises(TooFewSuppliers):
                await customer.wait_ready(60, 1)
            assert customer.positions() == [None, None]
        honest = await world.suppliers(2)
        await world.until(lambda: sum(node.id in customer.positions() for node in honest) >= 1, 600)
        assert kept
        assert not alice.told("my-suppliers-all-hired") or lie == "old" or len(honest) == 2

    play(scenario)


def test_false_families_and_notices_change_nothing(play: Play) -> None:
    async def scenario(world: Any) -> None:
        suppliers = await world.suppliers(2)
        alice, customer = await world.customer(n=2, needed=MIB)
        await customer.wait_ready(5)
        before = customer.positions()
        eve = await world.node("eve")
        eve.network.learn(alice.document)
        real = Contract.decode(customer._roster.places[0].contract)
        # A stranger ends a contract that is not hers; a supplier ends another's contract.
        for node in (eve, world.by_id(before[1])):
            with pytest.raises(PeerRefused) as caught:
                await node.network.request(
                    alice.id, m.TERMINATED, m.Cancel(real.contract_id, "rejected")
                )
            assert caught.value.reason == "not_found"
        assert customer.positions() == before
        assert len(suppliers) == 2

    play(scenario)


@pytest.mark.parametrize("lie", ["flip", "short", "long", "swap", "refuse", "pages"])
def test_lying_about_objects_is_noticed(play: Play, hash_of: Any, lie: str) -> None:
    async def scenario(world: Any) -> None:
        eve = await world.node("eve")
        alice = await world.node("alice")
        alice.network.learn(eve.document)
        client = SupplierClient(alice.network)
        data = os.urandom(200_000)

        async def get(call: Any) -> Reply:
            size, digest, body = len(data), hash_of(data), data
            if lie == "flip":
                body = data[:-1] + bytes([data[-1] ^ 1])
            elif lie == "short":
                body = data[:-1]
            elif lie == "long":
                body = data + b"x"
            elif lie == "swap":
                body = bytes(len(data))
                digest = hash_of(body)
            else:
                raise IntegrityError("damaged")
            return Reply(m.Got(size, digest), body)

        async def pages(call: Any) -> Reply:
            return Reply(m.Listed([m.Entry("d/1", 1, bytes(32), True)], more=True))

        eve.network.handle(m.GET, get)
        eve.network.handle(m.LIST, pages)
        if lie == "pages":
            with pytest.raises(IntegrityError):
                [entry async for entry in client.list(eve.id)]
        else:
            with pytest.raises(IntegrityError):
                await client.get(eve.id, "d/1", expect=hash_of(data))

    play(scenario)
