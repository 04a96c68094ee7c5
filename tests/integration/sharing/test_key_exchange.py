"""Keys from person to person, in a network in memory."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    InvalidInput,
    KeyProblem,
    NotFound,
    PeerRefused,
    PeerUnreachable,
)
from bitdust.events import Event
from bitdust.identity import key_signature_message
from bitdust.ids import KeyID
from bitdust.node import Node
from bitdust.sharing import MAX_EXTRA, Received
from bitdust.sharing.handover import SHARE_KEY, HandOver, seal_handover
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER


async def person(grid: Grid, name: str, **settings: object) -> Node:
    node = await grid.start(
        name, services__supplier__enabled=False, services__customer__enabled=False, **settings
    )
    await node.create_identity(name, [NAME_SERVER])
    return node


def heard(node: Node) -> list[Event]:
    events: list[Event] = []
    node.events.on_event(events.append)
    return events


def named(events: list[Event], event_id: str) -> list[Event]:
    return [event for event in events if event.event_id == event_id]


def new_key(node: Node, alias: str, label: str = "Cats") -> KeyID:
    return node.require_keys().create(alias, 1024, label=label).key_id


Scenario = Callable[[Grid], Awaitable[None]]


def play(tmp_path: Path, scenario: Scenario) -> None:
    async def run() -> None:
        async with Grid(tmp_path / "grid") as grid:
            await scenario(grid)

    run_virtual(run())


def test_a_key_goes_from_one_to_the_next(tmp_path: Path) -> None:
    """Public first, then whole; and on to a third person, who checks the owner's signature."""

    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        carol = await person(grid, "carol")
        key_id = new_key(alice, "photos")
        at_alice, at_bob = heard(alice), heard(bob)
        to_bob = await alice.find_person("bob@names.test")
        assert await alice.require_key_exchange().share(key_id, to_bob) is False
        held = bob.require_keys().get(key_id)
        assert held.is_public
        assert held.label == "Cats"
        assert held.public == alice.require_keys().get(key_id).public
        assert held.given_by == alice.require_identity().node_id.hex()
        assert named(at_bob, "key-registered")[0].data["key_id"] == str(key_id)
        assert named(at_alice, "public-key-shared")
        with pytest.raises(KeyProblem):
            await bob.require_key_exchange().share(
                key_id, await bob.find_person("carol@names.test"), include_private=True
            )
        assert await alice.require_key_exchange().share(key_id, to_bob, include_private=True) is (
            False
        )
        private = bob.require_keys().private(key_id)
        assert private == alice.require_keys().private(key_id)
        assert named(at_alice, "private-key-shared")[0].data["global_id"] == "bob@names.test"
        # once more: known
        assert await alice.require_key_exchange().share(key_id, to_bob, include_private=True)
        # bob's node is started again, and hands it on while alice is away
        await grid.stop("alice")
        await grid.stop("bob")
        bob = await grid.start("bob")
        to_carol = await bob.find_person("http://names.test/carol.xml")
        await bob.require_key_exchange().share(key_id, to_carol, include_private=True)
        assert carol.require_keys().private(key_id) == private

    play(tmp_path, scenario)


def test_what_comes_with_a_key_reaches_its_part(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        key_id = new_key(alice, "share_1234")
        to_bob = await alice.find_person("bob@names.test")
        exchange = alice.require_key_exchange()
        with pytest.raises(PeerRefused) as caught:  # nobody there waits for shares
            await exchange.share(key_id, to_bob, extra=b"epoch 1")
        assert caught.value.reason == "service_off"
        assert key_id not in bob.require_keys()
        got: list[Received] = []

        async def receive(received: Received) -> None:
            got.append(received)
            if received.extra == b"bad":
                raise AccessDenied("not wanted")

        off = bob.require_key_exchange().on_received("share_", receive)
        with pytest.raises(ValueError, match="share_"):
            bob.require_key_exchange().on_received("share_", receive)
        with pytest.raises(PeerRefused, match="not wanted"):
            await exchange.share(key_id, to_bob, extra=b"bad")
        assert key_id not in bob.require_keys(), "what was refused is forgotten"
        extra = os.urandom(MAX_EXTRA)
        await exchange.share(key_id, to_bob, include_private=True, extra=extra)
        assert (got[-1].extra, got[-1].is_new, got[-1].label) == (extra, True, "Cats")
        assert got[-1].sender.global_id == alice.global_id
        await exchange.share(key_id, to_bob, include_private=True, extra=b"epoch 2")
        assert (got[-1].extra, got[-1].is_new) == (b"epoch 2", False)
        with pytest.raises(PeerRefused, match="not wanted"):
            await exchange.share(key_id, to_bob, extra=b"bad")
        assert not bob.require_keys().get(key_id).is_public, "what was known stays"
        count = len(got)
        await exchange.share(new_key(alice, "photos"), to_bob)
        assert len(got) == count, "another prefix"
        off()
        await exchange.share(key_id, to_bob)
        assert len(got) == count
        with pytest.raises(InvalidInput):
            await exchange.share(key_id, to_bob, extra=bytes(MAX_EXTRA + 1))

    play(tmp_path, scenario)


def test_clear_errors_for_the_sender(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        exchange = alice.require_key_exchange()
        key_id, to_bob = new_key(alice, "photos"), await alice.find_person("bob@names.test")
        with pytest.raises(NotFound, match=r"unknown user nobody@names\.test"):
            await alice.find_person("nobody@names.test")
        with pytest.raises(InvalidInput, match="yourself"):
            await exchange.share(key_id, await alice.find_person("alice@names.test"))
        with pytest.raises(NotFound, match="no key"):
            await exchange.share(alice.require_identity().global_id.key("none"), to_bob)
        with pytest.raises(InvalidInput, match="identity key"):
            await exchange.share(alice.require_identity().global_id.key(), to_bob)
        with pytest.raises(NotFound):
            await exchange.share(key_id, bytes(32))
        bob.settings.set("services/keys-registry/accept-keys-from", "nobody")
        events = heard(alice)
        with pytest.raises(PeerRefused) as caught:
            await exchange.share(key_id, to_bob, include_private=True)
        assert caught.value.reason == "access_denied"
        assert named(events, "private-key-share-failed")[0].data["key_id"] == str(key_id)
        await grid.stop("bob")
        with pytest.raises(PeerUnreachable):
            await exchange.share(key_id, to_bob, timeout=5.0)

    play(tmp_path, scenario)


def test_only_the_owner_changes_a_label(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        carol = await person(grid, "carol")
        key_id = new_key(alice, "photos", "Cats")
        ring = carol.require_keys()
        for node in (bob, carol):
            to = await alice.find_person(str(node.global_id))
            await alice.require_key_exchange().share(key_id, to)
        bob.require_keys().set_label(key_id, "Dogs")
        to_carol = await bob.find_person("carol@names.test")
        await bob.require_key_exchange().share(key_id, to_carol)
        assert ring.get(key_id).label == "Cats"
        alice.require_keys().set_label(key_id, "Birds")
        await alice.require_key_exchange().share(
            key_id, await alice.find_person("carol@names.test")
        )
        assert ring.get(key_id).label == "Birds"

    play(tmp_path, scenario)


async def hand(sender: Node, receiver: Node, handover: HandOver, body: bytes | None = None) -> None:
    """Send a hand-over that an honest node would not make."""
    identity, to = sender.require_identity(), receiver.require_identity()
    network = sender.require_network()
    network.learn(to.document)
    sealed = seal_handover(handover, identity.key, to.document.public_key)
    response = await network.request(
        to.node_id, SHARE_KEY, body=sealed if body is None else body, timeout=10.0
    )
    response.close()


def test_liars_plant_nothing(tmp_path: Path) -> None:
    """Forged owners, halves that do not fit, replays, old times, garbage: refused, nothing kept."""

    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        mallory = await person(grid, "mallory")
        liar = mallory.require_identity()
        key, other = PrivateKey.generate(1024), PrivateKey.generate(1024)
        own_id = liar.global_id.key("photos")
        alices = alice.require_identity().global_id.key("photos")

        def handover(key_id: KeyID = own_id, **changes: object) -> HandOver:
            fields: dict[str, object] = {
                "sender": liar.node_id,
                "receiver": bob.require_identity().node_id,
                "time": grid.clock.now(),
                "nonce": os.urandom(16),
                "key_id": str(key_id),
                "public": key.public.der,
                "private": key.to_pem(),
                "signature": liar.key.sign(key_signature_message(key_id, key.public)),
                **changes,
            }
            return HandOver(**fields)  # type: ignore[arg-type]

        bad = {
            "alice's name": handover(alices),
            "alice's name as the old one": handover(signed_as=str(alices)),
            "unknown owner": handover(KeyID.parse("photos$ghost@names.test")),
            "not the owner's signature": handover(
                signature=other.sign(key_signature_message(own_id, key.public))
            ),
            "signed for another key": handover(
                signature=liar.key.sign(key_signature_message(own_id, other.public))
            ),
            "signed under another alias": handover(
                signed_as=str(liar.global_id.key("cats")),
                signature=liar.key.sign(
                    key_signature_message(liar.global_id.key("cats"), key.public)
                ),
            ),
            "halves": handover(private=other.to_pem()),
            "no PEM": handover(private="-----BEGIN RSA PRIVATE KEY-----"),
            "no DER": handover(public=b"\x30\x03"),
            "identity key": handover(liar.global_id.key()),
            "spelling": handover(key_id="photos$http://names.test/mallory.xml"),
            "label": handover(label="a\x1b[31m"),
            "too old": handover(time=grid.clock.now() - 3600),
            "from the future": handover(time=grid.clock.now() + 3600),
            "another receiver": handover(receiver=alice.require_identity().node_id),
            "another sender": handover(sender=alice.require_identity().node_id),
        }
        before = bob.require_keys().list()
        for what, each in bad.items():
            with pytest.raises(PeerRefused) as caught:
                await hand(mallory, bob, each)
            assert caught.value.reason in ("integrity", "format", "not_found"), (what, caught.value)
        too_long = msgspec.structs.replace(handover(), label="x" * 257)
        with pytest.raises(PeerRefused):
            await hand(mallory, bob, too_long)
        good = handover()
        bare = seal_handover(good, liar.key, bob.require_identity().document.public_key)
        for body in (b"", b"x", os.urandom(5000), bytes(200_000), bare[:-1], bare[:-1] + b"x"):
            with pytest.raises(PeerRefused):
                await hand(mallory, bob, good, body)
        assert bob.require_keys().list() == before
        await hand(mallory, bob, good)
        assert own_id in bob.require_keys()
        bob.require_keys().erase(own_id)
        with pytest.raises(PeerRefused, match="seen before"):
            await hand(mallory, bob, good)
        assert own_id not in bob.require_keys()
        # sealed by mallory and carried by alice: opens for mallory's sessions only
        with pytest.raises(PeerRefused):
            await hand(alice, bob, good, seal_handover(handover(), liar.key, key.public))
        # another key under a name that is known
        await hand(mallory, bob, handover())
        changed = handover(
            public=other.public.der,
            private=other.to_pem(),
            signature=liar.key.sign(key_signature_message(own_id, other.public)),
        )
        with pytest.raises(PeerRefused) as caught:
            await hand(mallory, bob, changed)
        assert caught.value.reason == "already_exists"
        assert bob.require_keys().get(own_id).public == key.public

    play(tmp_path, scenario)


def test_a_flood_is_slowed_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitdust.identity.keyring.MAX_GIVEN_BY_ONE", 3)

    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        to_bob = await alice.find_person("bob@names.test")
        exchange = alice.require_key_exchange()
        keys = [new_key(alice, f"key{number}") for number in range(4)]
        for key_id in keys[:3]:
            await exchange.share(key_id, to_bob)
        with pytest.raises(PeerRefused, match="at most 3 keys"):
            await exchange.share(keys[3], to_bob)
        reasons = []
        for _ in range(80):
            try:
                await exchange.share(keys[0], to_bob)
            except PeerRefused as exc:
                reasons.append(exc.reason)
        assert reasons
        assert set(reasons) == {"busy"}
        await grid.clock.sleep(60.0)
        await exchange.share(keys[0], to_bob)
        assert len(bob.require_keys().list()) == 4

    play(tmp_path, scenario)


def test_the_service_can_be_switched(tmp_path: Path) -> None:
    async def scenario(grid: Grid) -> None:
        alice, bob = await person(grid, "alice"), await person(grid, "bob")
        key_id, to_bob = new_key(alice, "photos"), await alice.find_person("bob@names.test")
        exchange = alice.require_key_exchange()
        bob.settings.set("services/keys-exchange/enabled", False)
        await grid.until(lambda: bob.key_exchange is None)
        with pytest.raises(BitdustError, match="keys_exchange"):
            bob.require_key_exchange()
        with pytest.raises(PeerRefused) as caught:
            await exchange.share(key_id, to_bob)
        assert caught.value.reason == "service_off"
        bob.settings.set("services/keys-exchange/enabled", True)
        await grid.until(lambda: bob.key_exchange is not None)
        await exchange.share(key_id, to_bob)

    play(tmp_path, scenario)
