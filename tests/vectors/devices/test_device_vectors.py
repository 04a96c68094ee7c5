"""The bytes of pairing, sessions and frames, frozen: whoever is paired today stays paired."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitdust.devices.channel import REKEY_AFTER, SessionClient, SessionServer, read_hello
from bitdust.devices.noise import public_key
from bitdust.devices.pairing import PairingClient, PairingServer

FROZEN = Path(__file__).with_name("channel.json")


def entropy(name: str) -> Callable[[int], bytes]:
    """The same bytes whenever the same is asked for in the same order."""
    state = [0]

    def give(size: int) -> bytes:
        state[0] += 1
        return hashlib.shake_256(f"{name} {state[0]}".encode()).digest(size)

    return give


def conversation() -> dict[str, Any]:
    """What goes over when everything that is random is known."""
    device_key, node_key = entropy("device key")(32), entropy("node key")(32)
    device, node = entropy("device"), entropy("node")
    asking = PairingClient("7KQM2XRD", device_key, "phone", lambda: device(32), device)
    asked = PairingServer("7KQM2XRD", node_key, lambda: node(32), node)
    pairing = [asking.begin()]
    pairing.append(asked.begin(read_hello(pairing[0])[1]))
    pairing.append(asking.receive(pairing[1]))
    pairing.append(asked.receive(pairing[2]))
    pairing.append(asking.receive(pairing[3]))
    asked.receive(pairing[4])
    assert asked.device_key == public_key(device_key)
    assert asked.channel is not None
    pairing += asked.channel.seal(b'{"type":"paired"}')
    client = SessionClient(device_key, public_key(node_key), lambda: device(32))
    server = SessionServer(node_key, lambda _: True, lambda: node(32))
    session = [client.begin()]
    answer, at_node = server.receive(read_hello(session[0])[1])
    at_device = client.receive(answer)
    session += [answer, at_device.seal_tick(), *at_device.seal(b"question")]
    session += [*at_node.seal(b"answer"), at_node.seal_end()]
    for _ in range(REKEY_AFTER):
        later = at_device.seal_tick()
    return {
        "pairing": [message.hex() for message in pairing],
        "session": [message.hex() for message in session],
        "after_new_key": later.hex(),
    }


def test_the_bytes_stay_as_they_are() -> None:
    assert conversation() == json.loads(FROZEN.read_text())
