"""A hostile DHT: forged, replayed and malformed items, lost parts. Memory network, virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from bitdust.crypto import PrivateKey
from bitdust.dht import (
    SUPPLIERS,
    DhtService,
    Item,
    customer_topic,
    owner_dht_key,
    public_of,
    read_answer,
    read_safely,
    sign_item,
)
from bitdust.dht.ownership import open_seed, owner_seed, record_salt
from bitdust.errors import DhtError, FormatError, InvalidInput
from bitdust.testing import MemoryDht, MemoryDhtNetwork, SeededRandom, VirtualClock, run_virtual

ALICE = PrivateKey.generate(1024)
MALLORY = PrivateKey.generate(1024)
OWNER = owner_dht_key(ALICE)
KEY = "suppliers:alice"
SALT = record_salt(SUPPLIERS, KEY.encode(), 0)


def record(revision: int, supplier: str = "bob") -> dict[str, Any]:
    return {
        "type": SUPPLIERS,
        "key": KEY,
        "timestamp": 1,
        "customer_idurl": "http://id.example.org/alice.xml",
        "ecc_map": "ecc/2x2",
        "suppliers": [f"http://id.example.org/{supplier}.xml"],
        "revision": revision,
    }


async def network(clock: VirtualClock) -> tuple[MemoryDhtNetwork, list[MemoryDht]]:
    shared = MemoryDhtNetwork(clock)
    nodes = [shared.node(SeededRandom(n), host=f"10.0.0.{n + 1}") for n in range(3)]
    for node in nodes:
        await node.start()
    return shared, nodes


async def read(node: DhtService, **options: Any) -> Any:
    return await node.get_value(KEY, record_type=SUPPLIERS, owner_dht_key=OWNER, **options)


async def stop_all(nodes: list[MemoryDht]) -> None:
    for node in nodes:
        await node.stop()


def test_a_stranger_with_a_higher_revision_changes_nothing() -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        mine: dict[str, Any] = {"record_type": SUPPLIERS, "signer": ALICE}
        assert (await nodes[0].set_value(KEY, record(2), **mine)).success
        stranger = await nodes[1].set_value(
            KEY, record(99, "mallory"), record_type=SUPPLIERS, signer=MALLORY
        )
        assert stranger.success
        found = await read(nodes[2])
        assert (found.revision, found.value) == (2, record(2))

        # The stranger's item under the owner's name, every way it can be dressed up.
        own = shared.item(owner_dht_key(MALLORY), SALT)
        good = shared.item(OWNER, SALT)
        assert own is not None
        assert good is not None
        forged = [
            replace(own, public_key=OWNER),
            replace(good, value=own.value),
            replace(good, seq=99),
            replace(good, signature=own.signature),
            replace(good, signature=b""),
        ]
        for item in forged:
            shared.forge_item(item)
            with pytest.raises(FormatError):
                await read(nodes[2])
        shared.forge_item(good)
        assert (await read(nodes[2])).revision == 2
        await stop_all(nodes)

    run_virtual(scenario())


def test_an_item_copied_from_another_place_of_the_same_owner_is_refused() -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        await nodes[0].set_value(KEY, record(2), record_type=SUPPLIERS, signer=ALICE)
        good = shared.item(OWNER, SALT)
        assert good is not None
        other = record_salt(SUPPLIERS, b"elsewhere", 0)
        seed = owner_seed(ALICE)
        shared.forge_item(Item(OWNER, other, 1, good.value, sign_item(seed, other, 1, good.value)))
        with pytest.raises(FormatError):
            await nodes[1].get_value("elsewhere", record_type=SUPPLIERS, owner_dht_key=OWNER)
        await stop_all(nodes)

    run_virtual(scenario())


def test_an_old_item_of_the_owner_replayed_is_not_believed_for_a_while() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        shared, nodes = await network(clock)
        mine: dict[str, Any] = {"record_type": SUPPLIERS, "signer": ALICE}
        await nodes[0].set_value(KEY, record(1), **mine)
        old = shared.item(OWNER, SALT)
        await nodes[0].set_value(KEY, record(2), **mine)
        assert (await read(nodes[1])).revision == 2
        assert old is not None
        shared.forge_item(old)
        again = await read(nodes[1])
        assert (again.revision, again.cached) == (2, True)
        await stop_all(nodes)

    run_virtual(scenario())


def open_item(seed: bytes, salt: bytes, value: bytes) -> Item:
    return Item(public_of(seed), salt, 1, value, sign_item(seed, salt, 1, value))


def head_fields(salt: bytes, seed: bytes, raw: bytes) -> dict[str, Any]:
    return {
        "v": 1,
        "t": "skip_validation",
        "r": 1,
        "w": 1,
        "e": 0,
        "o": public_of(seed),
        "s": salt,
        "f": 0,
        "z": 0,
        "n": len(raw),
        "h": blake3(raw).digest(),
        "b": raw,
    }


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        b"\xff" * 996,
        b"\x81\xa1v\x01",
        "bad json",
        "[" * 700,
        '{"a":1e999}',
    ],
)
def test_rubbish_in_an_open_record_is_named_so_and_can_be_overwritten(value: bytes | str) -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        salt = record_salt("skip_validation", b"k", 0)
        seed = open_seed(salt)
        raw = value if isinstance(value, bytes) else b""
        if isinstance(value, str):
            raw = msgspec.msgpack.encode(head_fields(salt, seed, value.encode()))
        shared.forge_item(open_item(seed, salt, raw))
        with pytest.raises(FormatError):
            await nodes[0].get_value("k")
        answer = read_answer(nodes[0].my_id, await read_safely(nodes[0], "k"))
        assert answer["read"] == "failed"
        assert answer["closest_nodes"]
        assert (await nodes[0].set_value("k", {"fine": True})).success
        assert (await nodes[1].get_value("k")).value == {"fine": True}
        await stop_all(nodes)

    run_virtual(scenario())


def test_a_revision_at_its_bound_does_not_lock_an_open_record() -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        salt = record_salt("skip_validation", b"k", 0)
        seed = open_seed(salt)
        fields = {**head_fields(salt, seed, b"1"), "r": 2**53 - 1}
        shared.forge_item(open_item(seed, salt, msgspec.msgpack.encode(fields)))
        assert (await nodes[0].set_value("k", 2)).success
        assert (await nodes[1].get_value("k")).value == 2
        await stop_all(nodes)

    run_virtual(scenario())


def test_an_owner_cannot_publish_what_is_no_record_of_its_type() -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        seed = owner_seed(ALICE)
        for raw in (b'{"type":"suppliers"}', msgspec.json.encode(record(7))):
            fields = {**head_fields(SALT, seed, raw), "t": SUPPLIERS}
            shared.forge_item(open_item(seed, SALT, msgspec.msgpack.encode(fields)))
            with pytest.raises(FormatError):
                await read(nodes[0])
        await stop_all(nodes)

    run_virtual(scenario())


def test_lost_parts_are_an_error_and_no_wrong_value() -> None:
    async def scenario() -> None:
        shared, nodes = await network(VirtualClock())
        noise = SeededRandom(1).token(20_000).hex()
        await nodes[0].set_value("k", noise)
        assert shared.drop_parts() > 10
        with pytest.raises(DhtError):
            await nodes[1].get_value("k")
        assert not (await read_safely(nodes[1], "k")).found
        await stop_all(nodes)

    run_virtual(scenario())


def test_owned_records_need_their_owner_to_be_written_and_read() -> None:
    async def scenario() -> None:
        _, nodes = await network(VirtualClock())
        with pytest.raises(InvalidInput):
            await nodes[0].set_value(KEY, record(1), record_type=SUPPLIERS)
        with pytest.raises(InvalidInput):
            await nodes[0].get_value(KEY, record_type=SUPPLIERS)
        with pytest.raises(InvalidInput):
            await nodes[0].get_value(KEY, record_type=SUPPLIERS, owner_dht_key=b"short")
        await stop_all(nodes)

    run_virtual(scenario())


def test_bad_arguments_are_the_callers_fault() -> None:
    async def scenario() -> None:
        _, nodes = await network(VirtualClock())
        node = nodes[0]
        for bad in (
            node.set_value("", 1),
            node.set_value("k", object()),
            node.set_value("k", 1, record_type="gold"),
            node.set_value("k", 1, layer=256),
            node.set_value("k", 1, expire=0),
            node.set_value("k", 1, expire=float("nan")),
            node.get_value("k", layer=-1),
            node.find_nodes(b"short"),
            node.peers(b"short"),
        ):
            with pytest.raises(InvalidInput):
                await bad
        for port in (0, 65536, -1):
            with pytest.raises(InvalidInput):
                node.announce(customer_topic(bytes(32)), port)
        await stop_all(nodes)
        with pytest.raises(DhtError):
            await node.set_value("k", 1)
        with pytest.raises(DhtError):
            await node.get_value("k")

    run_virtual(scenario())
