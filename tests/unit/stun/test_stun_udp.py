"""STUN over real UDP on the loopback interface, and the vectors of RFC 5769."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bitdust.clock import SystemRandom
from bitdust.errors import FormatError, NetworkError, PortInUse
from bitdust.stun import StunResponder, binding_request, find_address, judge, read_answer
from bitdust.stun.service import ANSWERS_PER_SECOND

RFC5769_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
RFC5769_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf1"
    "1784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def test_the_vectors_of_the_rfc() -> None:
    transaction = bytes.fromhex("b7e7a701bc34d686fa87dfae")
    assert read_answer(RFC5769_IPV4) == (transaction, ("192.0.2.1", 32853))
    assert read_answer(RFC5769_IPV6) == (
        transaction,
        ("2001:db8:1234:5678:11:2233:4455:6677", 32853),
    )


def test_an_older_answer_with_a_plain_address() -> None:
    body = bytes.fromhex("0001000800011f90c0000201")
    head = b"\x01\x01" + len(body).to_bytes(2, "big") + bytes.fromhex("2112a442") + bytes(12)
    assert read_answer(head + body) == (bytes(12), ("192.0.2.1", 8080))
    with pytest.raises(FormatError):
        read_answer(b"\x01\x01\x00\x00" + bytes.fromhex("2112a442") + bytes(12))


async def test_asking_responders() -> None:
    responders = [StunResponder("127.0.0.1", 0) for _ in range(3)]
    servers = [("127.0.0.1", await responder.start()) for responder in responders]
    try:
        found = await find_address(servers, SystemRandom(), host="127.0.0.1")
        assert (found.host, found.kind) == ("127.0.0.1", "open")
        assert set(found.answers) == set(servers)
        assert all(responder.answered == 1 for responder in responders)
    finally:
        for responder in responders:
            await responder.stop()


async def test_a_taken_port_is_no_hindrance_for_a_responder() -> None:
    first = StunResponder("127.0.0.1", 0)
    port = await first.start()
    second = StunResponder("127.0.0.1", port)
    assert await second.start() != port
    await second.stop()
    with pytest.raises(PortInUse):
        await find_address([("127.0.0.1", port)], SystemRandom(), host="127.0.0.1", port=port)
    await first.stop()


async def test_dead_and_lying_responders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitdust.stun.service.FIRST_WAIT", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = ("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(NetworkError, match="none of 1"):
            await find_address([dead], SystemRandom(), host="127.0.0.1")
        alive = StunResponder("127.0.0.1", 0)
        server = ("127.0.0.1", await alive.start())
        found = await find_address([dead, server], SystemRandom(), host="127.0.0.1")
        assert list(found.answers) == [server]
        await alive.stop()


async def test_noise_and_floods_get_little() -> None:
    responder = StunResponder("127.0.0.1", 0)
    port = await responder.start()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.bind(("127.0.0.1", 0))
        for data in (b"", b"x", bytes(20), bytes(600)):
            await loop.sock_sendto(sender, data, ("127.0.0.1", port))
        second = int(loop.time())
        for _ in range(ANSWERS_PER_SECOND * 2):
            await loop.sock_sendto(sender, binding_request(bytes(12)), ("127.0.0.1", port))
            await asyncio.sleep(0)
        seconds = int(loop.time()) - second + 1
    assert 0 < responder.answered <= ANSWERS_PER_SECOND * seconds
    await responder.stop()


def test_what_the_answers_mean() -> None:
    one, two, three = ("198.51.100.1", 1), ("198.51.100.2", 1), ("198.51.100.3", 1)
    own = {"192.168.0.2"}
    cone = judge({one: ("203.0.113.5", 7), two: ("203.0.113.5", 7)}, own, 5)
    assert (cone.host, cone.port, cone.kind) == ("203.0.113.5", 7, "cone")
    assert judge({one: ("203.0.113.5", 7), two: ("203.0.113.5", 8)}, own, 5).kind == "symmetric"
    assert judge({one: ("203.0.113.5", 7)}, own, 5).kind == "unknown"
    assert judge({one: ("192.168.0.2", 5)}, own, 5).kind == "open"
    liar = {one: ("203.0.113.5", 7), two: ("10.0.0.1", 1), three: ("203.0.113.5", 7)}
    assert judge(liar, own, 5).host == "203.0.113.5"
