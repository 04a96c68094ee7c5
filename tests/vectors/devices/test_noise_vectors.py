"""Our Noise handshakes give the bytes of another implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.devices.noise import Handshake, Pattern, public_key

VECTORS = json.loads(Path(__file__).with_name("noise.json").read_text())["vectors"]


def side(vector: dict[str, Any], initiator: bool) -> Handshake:
    role = "init" if initiator else "resp"
    return Handshake(
        Pattern(vector["name"], tuple(tuple(m.split()) for m in vector["patterns"]), True),
        initiator=initiator,
        prologue=bytes.fromhex(vector["prologue"]),
        static=bytes.fromhex(vector[f"{role}_static"]),
        new_key=lambda: bytes.fromhex(vector[f"{role}_ephemeral"]),
        remote_static=bytes.fromhex(vector["init_remote_static"]) if initiator else b"",
        psk=bytes.fromhex(vector.get("psk", "")),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_bytes_are_those_of_another_implementation(vector: dict[str, Any]) -> None:
    ends = side(vector, True), side(vector, False)
    messages = [(bytes.fromhex(text), bytes.fromhex(sealed)) for text, sealed in vector["messages"]]
    steps = len(vector["patterns"])
    for number, (payload, wire) in enumerate(messages[:steps]):
        writer, reader = ends[number % 2], ends[1 - number % 2]
        assert writer.write(payload) == wire
        assert reader.read(wire) == payload
    assert ends[0].finished
    assert ends[0].hash == ends[1].hash
    assert ends[1].remote_static == public_key(bytes.fromhex(vector["init_static"]))
    keys = ends[0].split(), ends[1].split()
    for number, (payload, wire) in enumerate(messages[steps:], steps):
        sender = 0 if vector.get("one_way") else number % 2
        assert keys[sender][0].seal(payload) == wire
        assert keys[1 - sender][1].open(wire) == payload
