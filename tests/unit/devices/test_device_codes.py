"""Pairing by code: who knows it, who does not, who is in the middle."""

from __future__ import annotations

import os

import pytest

from bitdust.devices.channel import Purpose, read_hello
from bitdust.devices.noise import public_key
from bitdust.devices.pairing import (
    ALPHABET,
    MAX_ATTEMPTS,
    OpenCode,
    PairingClient,
    PairingServer,
    clean_code,
    new_code,
)
from bitdust.errors import AccessDenied, FormatError, InvalidInput

DEVICE, NODE = os.urandom(32), os.urandom(32)


def new_key() -> bytes:
    return os.urandom(32)


def client(code: str, label: str = "phone") -> PairingClient:
    return PairingClient(code, DEVICE, label, new_key, os.urandom)


def server(code: str) -> PairingServer:
    return PairingServer(code, NODE, new_key, os.urandom)


def begun(device: PairingClient, node: PairingServer) -> bytes:
    purpose, rest = read_hello(device.begin())
    assert purpose is Purpose.PAIR
    return device.receive(node.begin(rest))


def test_the_right_code_gives_both_sides_each_others_keys() -> None:
    device, node = client("7KQM2XRD"), server("7KQM2XRD")
    answer = node.receive(begun(device, node))
    assert not node.device_key
    assert node.receive(device.receive(answer)) == b""
    assert device.node_key == public_key(NODE)
    assert node.device_key == public_key(DEVICE)
    assert node.label == "phone"
    assert device.channel is not None
    assert node.channel is not None
    assert device.channel.name == node.channel.name
    frame = next(node.channel.seal(b"welcome"))
    assert device.channel.open(frame) == b"welcome"


def test_a_wrong_code_is_found_out_by_the_node_before_it_says_anything() -> None:
    device, node = client("AAAAAAAA"), server("BBBBBBBB")
    proof = begun(device, node)
    before = node.guessed
    with pytest.raises(AccessDenied, match="wrong"):
        node.receive(proof)
    assert (before, node.guessed) == (False, True)
    assert node.channel is None


def test_a_node_that_does_not_know_the_code_is_found_out() -> None:
    device, node = client("AAAAAAAA"), server("AAAAAAAA")
    begun(device, node)
    with pytest.raises(AccessDenied):
        device.receive(os.urandom(96))
    assert device.channel is None


def test_a_man_in_the_middle_fails_with_both() -> None:
    """He talks to both sides with a guess of his own."""
    device, node = client("RIGHT123"), server("RIGHT123")
    to_device, to_node = server("WRONG123"), client("WRONG123")
    proof = device.receive(to_device.begin(read_hello(device.begin())[1]))
    with pytest.raises(AccessDenied):
        to_device.receive(proof)
    with pytest.raises(AccessDenied):
        node.receive(begun(to_node, node))


def test_messages_changed_on_the_way_fail() -> None:
    for where in range(3):
        device, node = client("7KQM2XRD"), server("7KQM2XRD")

        def carry(message: bytes, number: int, where: int = where) -> bytes:
            return message[:-1] + bytes([message[-1] ^ 1]) if number == where else message

        def talk(device: PairingClient = device, node: PairingServer = node) -> None:
            rest = read_hello(device.begin())[1]
            proof = device.receive(node.begin(carry(rest, 0)))
            answer = node.receive(carry(proof, 1))
            node.receive(carry(device.receive(answer), 2))

        with pytest.raises((AccessDenied, FormatError)):
            talk()
        assert node.channel is None


def test_what_is_no_message_is_refused() -> None:
    for bad in (b"", b"A", b"A" + bytes(32), b"B" + bytes(32), b"A" + b"\xff" * 32, bytes(2000)):
        with pytest.raises(FormatError):
            server("AAAAAAAA").begin(bad)
    device = client("AAAAAAAA")
    first = read_hello(device.begin())[1]
    with pytest.raises(FormatError):
        device.receive(first)  # sent back
    node = server("AAAAAAAA")
    with pytest.raises(FormatError):
        node.receive(b"before the first")
    for bad in (b"", bytes(40), bytes(1025)):
        node = server("AAAAAAAA")
        node.begin(read_hello(client("AAAAAAAA").begin())[1])
        with pytest.raises(FormatError):
            node.receive(bad)


def test_a_replayed_proof_is_worth_nothing() -> None:
    device, node = client("7KQM2XRD"), server("7KQM2XRD")
    rest = read_hello(device.begin())[1]
    proof = device.receive(node.begin(rest))
    node.receive(proof)
    again = server("7KQM2XRD")
    again.begin(rest)
    with pytest.raises(AccessDenied):
        again.receive(proof)


def test_codes_may_be_typed_in_many_ways() -> None:
    assert clean_code("7kqm-2xrd") == clean_code(" 7KQM 2XRD ") == "7KQM2XRD"
    assert clean_code("ol1i00u") == "01110" + "0V"
    for bad in ("", "1122", "12345", "A" * 33, "ABC\n12345", "ABCDEF§", "é" * 8, "-" * 1000):
        with pytest.raises(InvalidInput):
            clean_code(bad)
    made = {clean_code(new_code(os.urandom)) for _ in range(200)}
    assert len(made) == 200
    assert set("".join(made)) <= set(ALPHABET)


def test_attempts_are_counted() -> None:
    code = OpenCode("AAAAAAAA", expires=100.0)
    assert "AAAAAAAA" not in repr(code)
    for _ in range(MAX_ATTEMPTS):
        code.take(0.0)
    with pytest.raises(AccessDenied):
        code.take(0.0)
    code.give_back()
    assert code.is_good(99.0)
    assert not code.is_good(100.0)
    with pytest.raises(AccessDenied):
        code.take(100.0)
