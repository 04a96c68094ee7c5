"""The channel core: what passes, what is refused, and that a refusal is final."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from bitdust.devices.channel import (
    GRAIN,
    MAX_BODY,
    MAX_FRAME,
    MAX_HANDSHAKE_MESSAGE,
    MAX_MESSAGE,
    REKEY_AFTER,
    Channel,
    Purpose,
    SessionClient,
    SessionServer,
    hello,
    read_hello,
)
from bitdust.devices.noise import PAIRING, SESSION, CipherState, Handshake, public_key
from bitdust.errors import AccessDenied, FormatError, IntegrityError, InvalidInput


def new_key() -> bytes:
    return os.urandom(32)


DEVICE, NODE = bytes(range(32)), bytes(range(1, 33))


def connect(max_message: int = MAX_MESSAGE) -> tuple[Channel, Channel]:
    client = SessionClient(DEVICE, public_key(NODE), new_key, max_message=max_message)
    server = SessionServer(NODE, lambda key: key == public_key(DEVICE), new_key)
    purpose, rest = read_hello(client.begin())
    assert purpose is Purpose.SESSION
    answer, at_node = server.receive(rest)
    at_device = client.receive(answer)
    assert at_device.name == at_node.name
    return at_device, at_node


def passed(sender: Channel, receiver: Channel, message: bytes) -> bytes | None:
    got = None
    for frame in sender.seal(message):
        assert got is None
        assert len(frame) <= MAX_FRAME
        assert (len(frame) - 16) % GRAIN == 0
        got = receiver.open(frame)
    return got


@pytest.mark.parametrize(
    "size", [0, 1, GRAIN - 2, GRAIN - 1, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, MAX_MESSAGE]
)
def test_messages_pass_in_both_directions(size: int) -> None:
    device, node = connect()
    message = os.urandom(size)
    assert passed(device, node, message) == message
    assert passed(node, device, message) == message


def test_lengths_tell_little() -> None:
    device, _ = connect()
    sizes = {len(next(device.seal(bytes(size)))) for size in range(GRAIN - 1)}
    assert len(sizes) == 1


def test_keys_change_and_all_frames_still_pass() -> None:
    device, node = connect()
    before = device._sealing._key
    for number in range(2 * REKEY_AFTER + 3):
        assert passed(device, node, b"%d" % number) == b"%d" % number
    assert device._sealing._key != before
    assert passed(node, device, b"the other direction has keys of its own") is not None


def test_a_channel_says_that_it_ends() -> None:
    device, node = connect()
    assert node.open(device.seal_tick()) is None
    assert (node.confirmed, node.ended) == (True, False)
    assert node.open(device.seal_end()) is None
    assert (node.confirmed, node.ended) == (True, True)
    node.cut()
    with pytest.raises(IntegrityError):
        node.open(next(device.seal(b"after the end")))


def test_a_cut_is_noticed() -> None:
    device, node = connect()
    passed(device, node, b"whole")
    with pytest.raises(IntegrityError, match="cut off"):
        node.cut()
    with pytest.raises(IntegrityError):
        node.open(next(device.seal(b"more")))


def opens(channel: Channel, frames: list[bytes]) -> int:
    """How many pass before one fails."""
    for number, frame in enumerate(frames):
        try:
            channel.open(frame)
        except IntegrityError:
            return number
    return len(frames) + 2


def test_every_tampering_ends_the_channel() -> None:
    def flip(frames: list[bytes]) -> list[bytes]:
        return [frames[0][:-1] + bytes([frames[0][-1] ^ 1])]

    tampered: dict[str, Callable[[list[bytes]], list[bytes]]] = {
        "flipped": flip,
        "repeated": lambda frames: [frames[0], frames[0]],
        "left out": lambda frames: [frames[1]],
        "moved": lambda frames: [frames[1], frames[0]],
        "shortened": lambda frames: [frames[0][:-1]],
        "lengthened": lambda frames: [frames[0] + b"\0"],
        "empty": lambda _: [b""],
        "too long": lambda _: [bytes(MAX_FRAME + 1)],
    }
    for what, change in tampered.items():
        device, node = connect()
        frames = [next(device.seal(b"one")), next(device.seal(b"two"))]
        assert opens(node, change(frames)) < 2, what
        with pytest.raises(IntegrityError, match="closed"):
            node.open(frames[1])


def test_a_frame_sent_back_is_refused() -> None:
    device, _node = connect()
    frame = next(device.seal(b"mine"))
    with pytest.raises(IntegrityError):
        device.open(frame)


def test_messages_are_bounded() -> None:
    device, node = connect()
    with pytest.raises(FormatError, match="longer"):
        passed(device, node, bytes(MAX_MESSAGE + 1))
    device, node = connect(max_message=10)
    assert passed(device, node, bytes(100)) == bytes(100)
    with pytest.raises(FormatError):
        passed(node, device, bytes(11))


def test_frames_of_nonsense_are_refused() -> None:
    """Whoever has the keys and sends what no frame holds: documented errors only."""
    bodies = {
        "unknown kind": bytes((9, 62)) + bytes(62),
        "filling is not zero": bytes((1, 2)) + b"\0\1",
        "filling too long": bytes((1, 64)) + bytes(64),
        "filling longer than the frame": bytes((1, 5)) + bytes(4),
        "a tick with a body": bytes((3, 0)) + b"x",
        "an empty part": bytes((0, 0)),
    }
    for what, plain in bodies.items():
        device, node = connect()
        with pytest.raises(FormatError):
            node.open(device._sealing.seal(plain))
        with pytest.raises(IntegrityError, match="closed"):
            node.open(device.seal_tick())
        assert what


def test_a_message_may_not_be_interrupted() -> None:
    device, node = connect()
    frames = device.seal(bytes(MAX_BODY * 2))
    node.open(next(frames))
    with pytest.raises(FormatError, match="missing"):
        node.open(device.seal_end())


def test_only_a_paired_device_comes_in() -> None:
    stranger = SessionClient(os.urandom(32), public_key(NODE), new_key)
    server = SessionServer(NODE, lambda key: key == public_key(DEVICE), new_key)
    with pytest.raises(AccessDenied):
        server.receive(read_hello(stranger.begin())[1])


def test_only_the_right_node_answers() -> None:
    client = SessionClient(DEVICE, public_key(NODE), new_key)
    impostor = SessionServer(os.urandom(32), lambda _: True, new_key)
    rest = read_hello(client.begin())[1]
    with pytest.raises(IntegrityError):
        impostor.receive(rest)
    with pytest.raises(IntegrityError):
        client.receive(os.urandom(48))


def test_a_replayed_handshake_gives_a_channel_that_nobody_can_use() -> None:
    client = SessionClient(DEVICE, public_key(NODE), new_key)
    rest = read_hello(client.begin())[1]
    first, at_node = SessionServer(NODE, lambda _: True, new_key).receive(rest)
    frame = client.receive(first).seal_tick()
    assert at_node.open(frame) is None
    second, replayed = SessionServer(NODE, lambda _: True, new_key).receive(rest)
    assert second != first
    assert not replayed.confirmed
    with pytest.raises(IntegrityError):
        replayed.open(frame)


def test_first_messages_that_are_none() -> None:
    for bad in (
        b"",
        b"BDV",
        b"BDV\x02\x01",
        b"BDV\x01",
        b"BDV\x01\x09",
        b"GET / HTTP/1.1\r\n",
        hello(Purpose.PAIR) + bytes(MAX_HANDSHAKE_MESSAGE),
    ):
        with pytest.raises(FormatError):
            read_hello(bad)
    server = SessionServer(NODE, lambda _: True, new_key)
    with pytest.raises(FormatError):
        server.receive(bytes(MAX_HANDSHAKE_MESSAGE + 1))
    for size in (0, 31, 79, 95):
        with pytest.raises(IntegrityError):
            SessionServer(NODE, lambda _: True, new_key).receive(bytes(size))
    with pytest.raises(InvalidInput):
        SessionClient(b"short", public_key(NODE), new_key)


def test_keys_of_low_order_are_refused() -> None:
    """They would give everybody the same secret."""
    server = SessionServer(NODE, lambda _: True, new_key)
    with pytest.raises(IntegrityError, match="none"):
        server.receive(bytes(96))


def test_the_turns_of_a_handshake_are_kept() -> None:
    one = Handshake(SESSION, True, b"", DEVICE, new_key, public_key(NODE))
    with pytest.raises(FormatError):
        one.read(bytes(96))
    one.write()
    with pytest.raises(FormatError):
        one.write()
    with pytest.raises(FormatError):
        one.split()
    with pytest.raises(FormatError):
        Handshake(PAIRING, False, b"", NODE, new_key, psk=bytes(32)).read(bytes(65536))


def test_a_key_is_not_used_beyond_its_numbers() -> None:
    key = CipherState(bytes(32))
    key.counter = 2**64 - 1
    with pytest.raises(IntegrityError, match="too many"):
        key.seal(b"")
