"""Who may say which nodes are a group's brokers: members of the current epoch and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from bitdust.crypto import PrivateKey
from bitdust.dht import (
    GROUP_BROKERS,
    LAYER_MESSAGE_BROKERS,
    Item,
    SharedSecret,
    owner_dht_key,
    public_of,
    sign_item,
)
from bitdust.dht.ownership import owner_seed, record_salt
from bitdust.errors import FormatError, InvalidInput
from bitdust.testing import MemoryDht, MemoryDhtNetwork, SeededRandom, VirtualClock, run_virtual

GROUP = PrivateKey.generate(1024)
CREATOR = PrivateKey.generate(1024)
MALLORY = PrivateKey.generate(1024)
KEY = GROUP.public.fingerprint.hex()
EPOCHS = [SharedSecret(GROUP.derive(b"epoch %d" % n)) for n in range(2)]


def brokers(revision: int, name: str = "one", epoch: int = 0) -> dict[str, Any]:
    return {
        "type": GROUP_BROKERS,
        "key": KEY,
        "timestamp": 1,
        "brokers": [f"http://id.example.org/{name}.xml"],
        "epoch": epoch,
        "revision": revision,
    }


async def three(clock: VirtualClock) -> tuple[MemoryDhtNetwork, list[MemoryDht]]:
    shared = MemoryDhtNetwork(clock)
    nodes = [shared.node(SeededRandom(n), host=f"10.0.0.{n + 1}") for n in range(3)]
    for node in nodes:
        await node.start()
    return shared, nodes


async def write(node: MemoryDht, value: Any, signer: Any) -> Any:
    return await node.set_value(
        KEY, value, record_type=GROUP_BROKERS, layer=LAYER_MESSAGE_BROKERS, signer=signer
    )


async def read(node: MemoryDht, secret: Any) -> Any:
    return await node.get_value(
        KEY,
        record_type=GROUP_BROKERS,
        layer=LAYER_MESSAGE_BROKERS,
        owner_dht_key=owner_dht_key(secret),
    )


@pytest.mark.parametrize("secret", [GROUP, EPOCHS[0]], ids=["group key", "epoch secret"])
def test_only_members_change_the_brokers(secret: Any) -> None:
    async def scenario() -> None:
        shared, nodes = await three(VirtualClock())
        assert (await write(nodes[0], brokers(1), secret)).success
        assert (await write(nodes[1], brokers(2, "two"), secret)).success
        assert (await read(nodes[2], secret)).value == brokers(2, "two")

        # The fingerprint is public; a person's key, even the creator's, is not the group's.
        for stranger in (MALLORY, CREATOR):
            await write(nodes[1], brokers(99, "mallory"), stranger)
        assert (await read(nodes[2], secret)).value == brokers(2, "two")

        # A hostile DHT node puts the stranger's item where the group's stands.
        salt = record_salt(GROUP_BROKERS, KEY.encode(), LAYER_MESSAGE_BROKERS)
        seed = owner_seed(MALLORY)
        own = shared.item(public_of(seed), salt)
        assert own is not None
        hand = sign_item(seed, salt, 999, own.value)
        shared.forge_item(Item(owner_dht_key(secret), salt, 999, own.value, hand))
        with pytest.raises(FormatError):
            await read(nodes[2], secret)
        for node in nodes:
            await node.stop()

    run_virtual(scenario())


def test_a_removed_member_cannot_touch_the_next_epoch() -> None:
    async def scenario() -> None:
        _, nodes = await three(VirtualClock())
        assert (await write(nodes[0], brokers(1), EPOCHS[0])).success
        assert (await write(nodes[0], brokers(2, "two", 1), EPOCHS[1])).success
        assert (await write(nodes[1], brokers(50, "mallory", 1), EPOCHS[0])).success
        assert (await read(nodes[2], EPOCHS[1])).value == brokers(2, "two", 1)
        for node in nodes:
            await node.stop()

    run_virtual(scenario())


def test_two_members_who_write_at_once_do_not_undo_each_other() -> None:
    async def scenario() -> None:
        _, nodes = await three(VirtualClock())
        assert (await write(nodes[0], brokers(4), GROUP)).success
        late = await write(nodes[1], brokers(4, "other"), GROUP)
        assert (late.success, late.revision) == (False, 4)
        assert not (await write(nodes[1], brokers(3), GROUP)).success
        for node in nodes:
            await node.stop()

    run_virtual(scenario())


def test_a_shared_secret_is_long_and_never_shown() -> None:
    with pytest.raises(InvalidInput):
        SharedSecret(bytes(31)).derive(b"x")
    secret = SharedSecret(b"\x41" * 32)
    assert "AAAA" not in repr(secret)
    assert secret.derive(b"x") != secret.derive(b"y")
    assert owner_dht_key(secret) != owner_dht_key(SharedSecret(b"\x42" * 32))
