"""Hostile and odd situations between whole nodes: impostors, floods, missing keys, broadcasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bitdust.errors import Busy, InvalidInput, NetworkError, PeerRefused
from bitdust.events import Event
from bitdust.messaging.broadcast import MAX_PAYLOAD, OWN_BURST, Cast
from bitdust.messaging.letters import Delivered, Envelope, Nothing, encode, join
from bitdust.network import Endpoint
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import PORT


async def person(grid: Grid, name: str, **settings: Any) -> Node:
    node = await grid.start(
        name, services__customer__enabled=False, services__supplier__enabled=False, **settings
    )
    await node.create_identity(name, ["names.test"])
    return node


async def texts(node: Node) -> list[str]:
    page = await node.require_history().page(limit=1000)
    return [m.data["message"] for m in page if m.direction == "incoming"]


async def deliver(sender: Node, to: Node, *raw: bytes) -> Delivered:
    network = sender.require_network()
    document = to.require_identity().document
    network.learn(document)
    response = await network.request(
        document.node_id, "message.deliver", Nothing(), body=join(list(raw)), timeout=30.0
    )
    async with response:
        answer: Delivered = response.decode(Delivered)
        return answer


def envelope_of(sender: bytes, to: bytes, body: bytes = b"x" * 64) -> bytes:
    return encode(Envelope(1, bytes(16), sender, to, b"s" * 16, b"r" * 32, 0, 0, None, body))


def test_a_peer_that_breaks_the_rules_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            me, you = alice.require_identity().node_id, bob.require_identity().node_id
            for raw in (
                envelope_of(you, you),  # in somebody else's name
                b"no envelope",
                b"",
                envelope_of(me, you)[:-5],
                envelope_of(me, you, b"x" * 90_000),
            ):
                with pytest.raises(NetworkError):
                    await deliver(alice, bob, raw)
            answer = await deliver(alice, bob, envelope_of(me, you))
            assert [outcome.name for outcome in answer.outcomes] == ["UNREADABLE"]
            answer = await deliver(alice, bob, envelope_of(me, me))
            assert [outcome.name for outcome in answer.outcomes] == ["REFUSED"]
            # and an honest message goes through after all of that
            sent = await alice.require_messages().send(
                bob.require_identity().document, {"message": "honest"}
            )
            assert sent.state == "delivered"
            assert await texts(bob) == ["honest"]

    run_virtual(scenario())


def test_an_envelope_that_is_sent_again_is_shown_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            to = bob.require_identity().document
            caught: list[bytes] = []
            network = alice.require_network()
            request = network.request

            async def listening(node_id: bytes, method: str, args: Any = None, **given: Any) -> Any:
                if method == "message.deliver":
                    caught.append(bytes(given["body"]))
                return await request(node_id, method, args, **given)

            network.request = listening  # type: ignore[method-assign]
            for number in range(3):
                await alice.require_messages().send(to, {"message": f"m{number}"})
            network.request = request  # type: ignore[method-assign]
            for body in caught:
                response = await request(
                    to.node_id, "message.deliver", Nothing(), body=body, timeout=30.0
                )
                async with response:
                    answer = response.decode(Delivered)
                assert [outcome.name for outcome in answer.outcomes] == ["AGAIN"]
            assert await texts(bob) == ["m0", "m1", "m2"]

    run_virtual(scenario())


def test_no_message_without_forward_secrecy_unless_both_allow_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await person(grid, "alice")
            bob = await person(grid, "bob")
            to = bob.require_identity().document

            async def no_keys(call: Any) -> Any:
                raise PeerRefused("no keys today")

            bob.require_network()._handlers["message.keys"] = no_keys
            sent = await alice.require_messages().send(to, {"message": "secret"}, 5.0, 1.0)
            assert sent.state == "waiting"
            assert await texts(bob) == []
            bob.settings.set("services/private-messages/allow-sealed", True)
            alice.settings.set("services/private-messages/allow-sealed", True)

            async def until_read() -> None:
                while await texts(bob) != ["secret"]:
                    await grid.clock.sleep(1.0)

            await until_read()

    run_virtual(scenario())


def test_a_broadcast_reaches_everybody_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            nodes = [await person(grid, f"node-{number}") for number in range(5)]
            heard: dict[int, list[dict[str, Any]]] = {number: [] for number in range(5)}

            def listener(number: int) -> Any:
                def on_event(event: Event) -> None:
                    if event.event_id == "broadcast-message-received":
                        heard[number].append(event.data)

                return on_event

            for number, node in enumerate(nodes):
                node.events.on_event(listener(number))
            # a ring with a chord: everybody hears it from two sides
            for number, node in enumerate(nodes):
                await node.require_network().dial(Endpoint("tcp", f"node-{(number + 1) % 5}", PORT))
            sent = nodes[0].require_broadcasts().send({"message": "hello everybody"})
            assert sent["nodes"] == 2
            await grid.until(lambda: all(heard[number] for number in range(1, 5)))
            await grid.clock.sleep(30.0)
            assert [len(heard[number]) for number in range(5)] == [0, 1, 1, 1, 1]
            for number in range(1, 5):
                assert heard[number][0]["data"] == {"message": "hello everybody"}
                assert heard[number][0]["sender"] == str(nodes[0].global_id)

    run_virtual(scenario())


def test_broadcasts_are_bounded_and_cannot_be_forged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            heard: list[Event] = []
            bob.events.on_event(heard.append)
            to = bob.require_identity().document
            network = alice.require_network()
            network.learn(to)
            key = alice.require_identity().key
            now = int(grid.clock.now())

            async def cast(idurl: str, when: int, *, signed: bool = True) -> None:
                made = Cast(alice.random.token(16), idurl, key.public.der, when, b'{"a": 1}')
                signature = key.sign(made.to_sign()) if signed else bytes(128)
                given = {name: getattr(made, name) for name in made.__struct_fields__}
                response = await network.request(
                    to.node_id,
                    "message.broadcast",
                    Cast(**(given | {"signature": signature})),
                    timeout=10.0,
                )
                response.close()

            mine = str(alice.require_identity().document.idurl)
            for when, signed in ((now - 3600, True), (now + 3600, True), (now, False)):
                with pytest.raises(NetworkError):
                    await cast(mine, when, signed=signed)
            await cast(str(to.idurl), now)  # in the name of somebody else
            await grid.clock.sleep(5.0)
            assert not [e for e in heard if e.event_id == "broadcast-message-received"]
            broadcasts = alice.require_broadcasts()
            with pytest.raises(InvalidInput):
                broadcasts.send({"message": "x" * MAX_PAYLOAD})
            for _ in range(int(OWN_BURST)):
                broadcasts.send({"message": "again"})
            with pytest.raises(Busy):
                broadcasts.send({"message": "again"})

    run_virtual(scenario())
