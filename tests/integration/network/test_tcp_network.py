"""Nodes over real TCP and TLS 1.3 on loopback."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitdust.errors import (
    DamagedSettings,
    DeadlineExceeded,
    IntegrityError,
    InvalidInput,
    Misbehaviour,
    NetworkError,
    PeerRefused,
    PeerUnreachable,
    PortInUse,
    QuotaExceeded,
)
from bitdust.network import (
    Call,
    Certificate,
    Chunk,
    ContactState,
    Endpoint,
    Limits,
    Reply,
    SessionLimits,
)
from bitdust.network.frames import FrameType, encode_frame

MIB = 1024 * 1024
Make = Callable[..., Awaitable[Any]]
Wait = Callable[..., Awaitable[None]]


class Numbers(msgspec.Struct):
    a: int
    b: int = 0


async def pair(node: Make, **options: Any) -> tuple[Any, Any]:
    """Two nodes, the first knows the second."""
    a, b = await node(0, **options), await node(1, **options)
    a.network.learn(b.document)
    return a, b


async def test_a_request_and_its_answer(node: Make) -> None:
    a, b = await pair(node)

    async def add(call: Call) -> Reply:
        numbers = call.decode(Numbers)
        assert call.peer == a.id
        assert call.document.node_id == a.id
        assert call.body_size == 0
        return Reply(Numbers(numbers.a + numbers.b))

    b.network.handle("add", add)
    response = await a.network.request(b.id, "add", Numbers(2, 3))
    assert response.decode(Numbers).a == 5
    assert await response.read(0) == b""
    assert a.network.status(b.id).state is ContactState.ONLINE
    assert b.network.status(a.id).state is ContactState.ONLINE
    assert b.network.document_of(a.id).node_id == a.id


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 3_000_001])
async def test_bodies_both_ways_in_every_form(node: Make, size: int) -> None:
    a, b = await pair(node)
    data = os.urandom(size)

    async def echo(call: Call) -> Reply:
        body = await call.read(4 * MIB)
        assert call.body_size in (-1, size)
        kind = call.decode(dict[str, str])["kind"]
        return Reply({"size": len(body)}, body=forms(body)[kind])

    def forms(body: bytes) -> dict[str, Any]:
        async def pieces() -> AsyncIterator[Chunk]:
            for start in range(0, len(body), 100_000):
                yield body[start : start + 100_000]

        half = len(body) // 2
        return {
            "bytes": body,
            "list": [memoryview(body)[:half], b"", body[half:]],
            "iterator": pieces(),
        }

    b.network.handle("echo", echo)
    for kind in ("bytes", "list", "iterator"):
        response = await a.network.request(b.id, "echo", {"kind": kind}, body=forms(data)[kind])
        assert response.decode(dict[str, int]) == {"size": size}
        assert await response.read(size) == data


async def test_64_mib_flow_at_the_readers_pace_in_bounded_memory(node: Make) -> None:
    limits = Limits(session=SessionLimits(stream_window=1 * MIB, connection_window=4 * MIB))
    a, b = await pair(node, limits=limits)
    size = 64 * MIB
    block = os.urandom(MIB)
    produced = 0
    most_ahead = 0
    gate = asyncio.Event()
    received = 0

    async def produce() -> AsyncIterator[Chunk]:
        nonlocal produced, most_ahead
        for _ in range(size // MIB):
            produced += MIB
            most_ahead = max(most_ahead, produced - received)
            yield block

    async def take(call: Call) -> Reply:
        nonlocal received
        await gate.wait()
        async for piece in call.body():
            received += len(piece)
        return Reply({"size": received})

    b.network.handle("take", take)
    tracemalloc.start()
    try:
        request = asyncio.ensure_future(a.network.request(b.id, "take", body=produce(), timeout=60))
        ping = await a.network.request(b.id, "ping")  # passes the body that stands still
        assert ping.document.node_id == b.id
        assert produced < 8 * MIB
        gate.set()
        response = await request
        assert response.decode(dict[str, int]) == {"size": size}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_ahead <= 1 * MIB + 8 * MIB  # window, queues, TLS and kernel buffers
    assert peak < 32 * MIB
    assert b.network.buffered == 0


async def test_small_requests_are_answered_while_a_large_body_is_under_way(node: Make) -> None:
    a, b = await pair(node)
    size = 64 * MIB
    block = os.urandom(MIB)
    finished = asyncio.Event()
    received = 0
    marks: list[int] = []

    async def produce() -> AsyncIterator[Chunk]:
        for _ in range(size // MIB):
            yield block

    async def take(call: Call) -> Reply:
        nonlocal received
        async for piece in call.body():
            received += len(piece)
        finished.set()
        return Reply()

    async def small(call: Call) -> Reply:
        marks.append(received)
        return Reply()

    b.network.handle("take", take)
    b.network.handle("small", small)
    bulk = asyncio.ensure_future(a.network.request(b.id, "take", body=produce(), timeout=60))
    answered = 0
    while not finished.is_set():
        before = received
        await a.network.request(b.id, "small")
        answered += 1
        # Between asking and answering, never more than what was already handed to the transport.
        assert marks[-1] - before <= 16 * MIB
    await bulk
    assert answered >= 4
    assert marks[0] < size


async def test_a_refusal_carries_its_code_and_an_internal_error_no_details(node: Make) -> None:
    a, b = await pair(node)

    async def full(call: Call) -> Reply:
        raise QuotaExceeded("the space agreed on is used up")

    async def broken(call: Call) -> Reply:
        raise KeyError("secret")

    async def nonsense(call: Call) -> Reply:
        return None  # type: ignore[return-value]

    b.network.handle("full", full)
    b.network.handle("broken", broken)
    b.network.handle("nonsense", nonsense)
    for method, reason in (
        ("full", "quota"),
        ("broken", "internal"),
        ("nonsense", "internal"),
        ("nowhere", "unknown_method"),
    ):
        with pytest.raises(PeerRefused) as caught:
            await a.network.request(b.id, method, body=b"x" * 100_000)
        assert caught.value.reason == reason
        assert "secret" not in str(caught.value)
    stats = b.network.packets_stats()
    assert stats["in"]["unknown_packets"] == 1
    assert stats["in"]["failed_packets"] == 4
    assert (await a.network.request(b.id, "ping")).args == b""
    assert b.network.streams() == []


async def test_arguments_of_another_form_are_refused(node: Make) -> None:
    a, b = await pair(node)

    async def add(call: Call) -> Reply:
        return Reply(Numbers(call.decode(Numbers).a))

    b.network.handle("add", add)
    with pytest.raises(PeerRefused) as caught:
        await a.network.request(b.id, "add", {"a": "text"})
    assert caught.value.reason == "format"
    with pytest.raises(ValueError, match="allowed"):
        await a.network.request(b.id, "add", {"a": "x" * 70_000})


async def test_an_early_refusal_stops_a_large_upload(node: Make) -> None:
    a, b = await pair(node)
    produced = 0

    async def produce() -> AsyncIterator[Chunk]:
        nonlocal produced
        for _ in range(1000):
            produced += MIB
            yield bytes(MIB)

    async def full(call: Call) -> Reply:
        raise QuotaExceeded("full")

    b.network.handle("full", full)
    with pytest.raises(PeerRefused):
        await a.network.request(b.id, "full", body=produce())
    assert produced < 40 * MIB
    assert (await a.network.request(b.id, "ping")).args == b""


async def test_a_deadline_cancels_the_handler(node: Make, wait_until: Wait) -> None:
    a, b = await pair(node)
    cancelled = asyncio.Event()

    async def slow(call: Call) -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Reply()

    b.network.handle("slow", slow)
    with pytest.raises(DeadlineExceeded):
        await a.network.request(b.id, "slow", timeout=0.2)
    await asyncio.wait_for(cancelled.wait(), 5)
    await wait_until(lambda: b.network.streams() == [])
    assert a.network.streams() == []
    assert a.network.status(b.id).state is ContactState.ONLINE
    assert a.network.packets_stats()["out"]["failed_packets"] == 1


async def test_a_cancelled_caller_cancels_the_handler(node: Make) -> None:
    a, b = await pair(node)
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> Reply:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Reply()

    b.network.handle("slow", slow)
    request = asyncio.ensure_future(a.network.request(b.id, "slow"))
    await asyncio.wait_for(entered.wait(), 5)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_response_that_is_closed_early_stops_its_source(
    node: Make, wait_until: Wait
) -> None:
    a, b = await pair(node)
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[Chunk]:
        try:
            while True:
                yield bytes(MIB)
        finally:
            closed.set()

    async def serve(call: Call) -> Reply:
        return Reply(body=endless())

    b.network.handle("serve", serve)
    async with await a.network.request(b.id, "serve") as response:
        async for piece in response:
            assert len(piece) > 0
            break
    await asyncio.wait_for(closed.wait(), 5)
    await wait_until(lambda: not a.network.streams() and not b.network.streams())


async def test_a_failing_source_ends_its_exchange_and_nothing_else(node: Make) -> None:
    a, b = await pair(node)
    seen: list[str] = []

    async def failing() -> AsyncIterator[Chunk]:
        yield b"x" * 10
        raise LookupError("disk broke")

    async def take(call: Call) -> Reply:
        try:
            await call.read(MIB)
        except NetworkError as exc:
            seen.append(exc.code)
            raise
        return Reply()

    async def serve(call: Call) -> Reply:
        return Reply(body=failing())

    b.network.handle("take", take)
    b.network.handle("serve", serve)
    with pytest.raises(LookupError):
        await a.network.request(b.id, "take", body=failing())
    response = await a.network.request(b.id, "serve")
    with pytest.raises(NetworkError):
        await response.read(MIB)
    assert (await a.network.request(b.id, "ping")).args == b""


async def test_damage_found_half_way_is_told_as_such(node: Make) -> None:
    a, b = await pair(node)

    async def rotten() -> AsyncIterator[Chunk]:
        yield b"x" * 10
        raise IntegrityError("another hash than recorded")

    async def serve(call: Call) -> Reply:
        return Reply(body=rotten())

    b.network.handle("serve", serve)
    response = await a.network.request(b.id, "serve")
    with pytest.raises(IntegrityError):
        await response.read(MIB)
    assert (await a.network.request(b.id, "ping")).args == b""


async def test_handlers_of_one_peer_are_bounded(node: Make) -> None:
    a, b = await pair(node, limits=Limits(max_handlers_per_peer=3))
    running = most = 0

    async def work(call: Call) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return Reply()

    b.network.handle("work", work)
    await asyncio.gather(*(a.network.request(b.id, "work") for _ in range(300)))
    assert most == 3


async def test_many_nodes_ask_each_other(node: Make) -> None:
    nodes = [await node(number) for number in range(4)]
    for one in nodes:
        for other in nodes:
            one.network.learn(other.document)

    async def whoami(call: Call) -> Reply:
        return Reply({"caller": call.peer}, body=call.peer * 1000)

    for one in nodes:
        one.network.handle("whoami", whoami)

    async def ask(one: Any, other: Any) -> None:
        response = await one.network.request(other.id, "whoami")
        assert response.decode(dict[str, bytes])["caller"] == one.id
        assert await response.read(100_000) == one.id * 1000

    await asyncio.gather(*(ask(one, other) for one in nodes for other in nodes if one is not other))
    for one in nodes:
        for other in nodes:
            if one is not other:
                assert one.network.status(other.id).state is ContactState.ONLINE


async def test_statistics_have_the_shapes_of_the_api(node: Make) -> None:
    a, b = await pair(node)
    await a.network.request(b.id, "ping")
    stats = a.network.packets_stats()
    wrong = ("misbehaviours", "misbehaving_peers", "refused_connections")
    assert [stats.pop(name) for name in wrong] == [{}, {}, {}]
    assert set(stats) == {"in", "out"}
    for direction in stats.values():
        assert set(direction) == {
            "total_packets",
            "total_bytes",
            "failed_packets",
            "unknown_packets",
            "unknown_bytes",
            "peers",
        }
        assert direction["total_packets"] == 1
        assert direction["total_bytes"] > 500
        assert direction["peers"] == {str(b.document.idurl): 1}
    (row,) = a.network.connections()
    assert row["state"] == "CONNECTED"
    assert row["status"] == "active"
    assert row["proto"] == "tcp"
    assert row["host"] == f"127.0.0.1:{b.endpoint.port}"
    assert row["global_id"] == str(b.document.global_id)
    assert row["idurl"] == str(b.document.idurl)
    assert row["bytes_sent"] > 500
    assert row["bytes_received"] > 500

    gate = asyncio.Event()

    async def serve(call: Call) -> Reply:
        await gate.wait()
        return Reply()

    b.network.handle("serve", serve)
    request = asyncio.ensure_future(a.network.request(b.id, "serve"))
    while not a.network.streams():
        await asyncio.sleep(0)
    (stream,) = a.network.streams()
    assert stream == {
        "proto": "tcp",
        "stream_id": 3,
        "type": "out:serve",
        "bytes_current": 0,
        "bytes_total": -1,
        "progress": 0.0,
    }
    gate.set()
    await request


async def test_events_tell_who_came_and_went(node: Make, wait_until: Wait) -> None:
    a, b = await pair(node)
    seen: list[tuple[str, str]] = []
    a.events.on_event(lambda event: seen.append((event.event_id, event.data["node_id"])))
    assert (await a.network.dial(b.endpoint)).node_id == b.id
    assert seen == [("node-connected", b.id.hex())]
    await b.network.stop()
    await wait_until(lambda: len(seen) == 2)
    assert seen[1] == ("node-disconnected", b.id.hex())
    assert a.network.status(b.id).state is ContactState.OFFLINE


async def test_the_wrong_node_at_an_address_is_refused(node: Make) -> None:
    a, b = await pair(node)
    with pytest.raises(Misbehaviour):
        await a.network.dial(b.endpoint, expect=bytes(32))
    assert a.network.statistics.misbehaviours == {"unexpected-identity": 1}
    assert a.network.status(b.id).state is ContactState.OFFLINE


async def test_a_listener_with_another_certificate_than_its_document_is_refused(
    node: Make,
) -> None:
    a = await node(0)
    b = await node(1, certificate="ab" * 32)
    with pytest.raises(Misbehaviour):
        await a.network.dial(b.endpoint)
    assert a.network.statistics.misbehaviours == {"certificate": 1}


async def test_dialling_oneself_is_refused(node: Make) -> None:
    a = await node(0)
    with pytest.raises(NetworkError):
        await a.network.dial(a.endpoint)


async def test_nobody_there(node: Make) -> None:
    a, b = await pair(node)
    await b.network.stop()
    with pytest.raises(PeerUnreachable):
        await a.network.request(b.id, "ping", timeout=5)
    with pytest.raises(PeerUnreachable, match="no address"):
        await a.network.request(bytes(32), "ping", timeout=5)
    status = a.network.status(b.id)
    assert status.state is ContactState.OFFLINE
    assert status.last_error


async def test_the_resolver_finds_a_node_that_moved(node: Make) -> None:
    b = await node(1)
    asked: list[bytes] = []

    async def resolver(node_id: bytes) -> list[Endpoint]:
        asked.append(node_id)
        return [b.endpoint]

    a = await node(0, resolver=resolver)
    assert (await a.network.request(b.id, "ping")).document.node_id == b.id
    assert asked == [b.id]


async def test_a_port_in_use_and_a_foreign_address(node: Make) -> None:
    a = await node(0)
    b = await node(1, listen=False)
    with pytest.raises(PortInUse):
        await b.network.start(Endpoint("tcp", "127.0.0.1", a.endpoint.port))
    with pytest.raises(InvalidInput):
        await b.network.start(Endpoint("tcp", "192.0.2.1", 0))


async def test_only_tls_1_3_is_spoken(node: Make) -> None:
    a = await node(0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", a.endpoint.port, ssl=context)


async def raw_client(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\xff" * 100, "frame-type"),
        (encode_frame(FrameType.PING, body=bytes(8)), "handshake-order"),
        (encode_frame(FrameType.HELLO, header=b"\xc1", body=b"<identity/>"), "hello"),
    ],
)
async def test_strangers_who_speak_nonsense_are_dropped_and_counted(
    node: Make, wait_until: Wait, raw: bytes, kind: str
) -> None:
    a = await node(0)
    reader, writer = await raw_client(a.endpoint.port)
    writer.write(raw)
    await asyncio.wait_for(reader.read(), 10)  # HELLO, CLOSE, end
    await wait_until(lambda: not a.network.connections())
    assert a.network.statistics.misbehaviours == {kind: 1}
    assert a.network.statistics.misbehaving_peers == {"127.0.0.1": 1}
    writer.close()


async def test_a_silent_stranger_is_dropped_in_time(node: Make, wait_until: Wait) -> None:
    a = await node(0, limits=Limits(handshake_timeout=0.2))
    reader, writer = await raw_client(a.endpoint.port)
    await asyncio.wait_for(reader.read(), 5)
    await wait_until(lambda: not a.network.connections())
    writer.close()


async def test_inbound_connections_are_bounded(node: Make, wait_until: Wait) -> None:
    a = await node(0, limits=Limits(max_handshakes=3, max_connections_per_address=5))
    waiting = [await asyncio.open_connection("127.0.0.1", a.endpoint.port) for _ in range(3)]
    await wait_until(lambda: len(a.network.connections()) == 3)
    reader, writer = await asyncio.open_connection("127.0.0.1", a.endpoint.port)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    assert a.network.statistics.refused_connections == {"handshakes": 1}
    writer.close()
    for _, open_writer in waiting:
        open_writer.close()
    await wait_until(lambda: not a.network.connections())


async def test_stopping_lets_a_request_end(node: Make) -> None:
    a, b = await pair(node)
    entered = asyncio.Event()

    async def work(call: Call) -> Reply:
        entered.set()
        await asyncio.sleep(0.2)
        return Reply(body=b"done")

    b.network.handle("work", work)
    request = asyncio.ensure_future(a.network.request(b.id, "work"))
    await entered.wait()
    await b.network.stop()
    assert await (await request).read(10) == b"done"
    assert b.network.connections() == []
    with pytest.raises(PeerUnreachable):
        await b.network.request(a.id, "ping")


async def test_no_task_is_left_behind(node: Make) -> None:
    a, b = await pair(node)
    a.network.keep(b.id)
    await a.network.request(b.id, "ping")
    await a.network.stop()
    await b.network.stop()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


def test_the_certificate_is_made_once_and_secret(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tls.pem"
    made = Certificate.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Certificate.load_or_create(path) == made
    assert Certificate.load_or_create(tmp_path / "other.pem").fingerprint != made.fingerprint
    path.write_text("nonsense")
    with pytest.raises(DamagedSettings):
        Certificate.load_or_create(path)
    own, other = made.path.with_name("own.pem"), tmp_path / "other.pem"
    Certificate.load_or_create(own)
    begin = "-----BEGIN CERTIFICATE-----"
    key = own.read_text().split(begin)[0]
    for text in (key, key + begin, key + begin + other.read_text().split(begin)[1]):
        own.write_text(text)
        with pytest.raises(DamagedSettings):
            Certificate.load_or_create(own)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://example.org:7771", Endpoint("tcp", "example.org", 7771)),
        ("tcp://[::1]:1", Endpoint("tcp", "::1", 1)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text", ["", "tcp", "tcp://", "tcp://host", "tcp://host:99999", "tcp://h:1/x", "tcp://[::1:1"]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidInput):
        Endpoint.parse(text)
