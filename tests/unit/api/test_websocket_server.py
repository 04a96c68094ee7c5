"""The WebSocket interface and the asynchronous client over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bitdust.api.registry import Registry
from bitdust.client import AsyncClient
from bitdust.errors import (
    AccessDenied,
    DeadlineExceeded,
    NotFound,
    NotInCatalog,
    NotRunning,
    PortInUse,
)
from bitdust.servers import WebSocketServer
from bitdust.servers.session import MAX_CALLS, MAX_OUTGOING


@pytest.fixture
async def socket(websocket: WebSocketServer, secret: str) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    async with connect(url, proxy=None) as connection:
        yield connection


async def ask(socket: ClientConnection, message: Any) -> dict[str, Any]:
    await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
    async with asyncio.timeout(10):
        answer = json.loads(await socket.recv())
    assert isinstance(answer, dict)
    return answer


async def test_a_call_is_answered_as_documented(socket: ClientConnection) -> None:
    call = {"command": "api_call", "method": "process_health", "kwargs": {}, "call_id": "abc"}
    assert await ask(socket, call) == {
        "type": "api_call",
        "payload": {"call_id": "abc", "response": {"status": "OK"}},
    }
    answer = await ask(socket, {"command": "api_call", "method": "config_get", "kwargs": {}})
    assert answer["payload"]["call_id"] is None
    assert answer["payload"]["response"]["errors"] == ["key: missing"]


async def test_calls_that_are_none(socket: ClientConnection) -> None:
    call = {"command": "api_call", "call_id": 1}
    answer = await ask(socket, call)
    assert answer["payload"] == {"call_id": 1, "errors": ["api method name was not provided"]}
    answer = await ask(socket, {**call, "method": "no_such"})
    assert answer["payload"]["errors"] == ["invalid api method name"]
    answer = await ask(socket, {**call, "method": "process_health", "kwargs": [1]})
    assert answer["payload"]["errors"] == ["kwargs: must be a JSON object"]
    for bad in ("{", b"\xff\x00", "[]", "[" * 100_000):
        answer = await ask(socket, bad)
        assert answer["payload"]["errors"][0].startswith("invalid json input")
    await socket.send('{"command": "something else", "call_id": 2}')
    answer = await ask(socket, {**call, "method": "process_health"})
    assert answer["payload"]["call_id"] == 1


async def test_access_is_denied(node: Any, websocket: WebSocketServer, secret: str) -> None:
    base = f"ws://127.0.0.1:{websocket.port}/"
    good = f"{base}?a={secret}"
    for url, headers in (
        (base, {}),
        (f"{base}?api_secret=wrong", {}),
        (f"{base}?api_secret=&a=", {}),
        (f"{base}?" + "x=1&" * 20 + f"a={secret}", {}),
        (good, {"Origin": "https://evil.example.org"}),
        (good, {"Host": "evil.example.org"}),
    ):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url, additional_headers=headers, proxy=None):
                pytest.fail("the handshake was completed")
        assert caught.value.response.status_code == 403
    assert node.events.counts["web-socket-access-denied"] == 6
    async with connect(good, origin="http://localhost:3000", proxy=None) as connection:
        answer = await ask(connection, {"command": "api_call", "method": "process_health"})
        assert answer["payload"]["response"] == {"status": "OK"}


async def test_events_reach_every_client_and_answers_the_caller_only(
    node: Any, websocket: WebSocketServer, secret: str
) -> None:
    url = f"ws://127.0.0.1:{websocket.port}/?a={secret}"
    async with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
        call = {"command": "api_call", "method": "process_health", "call_id": 1}
        await ask(first, call)
        await ask(second, call)
        node.events.publish("supplier-connected", global_id="bob@host")
        for connection in (first, second):
            async with asyncio.timeout(10):
                message = json.loads(await connection.recv())
            assert message == {
                "type": "event",
                "payload": {"event_id": "supplier-connected", "data": {"global_id": "bob@host"}},
            }


async def test_an_event_that_is_not_json_is_skipped(node: Any, socket: ClientConnection) -> None:
    await ask(socket, {"command": "api_call", "method": "process_health"})
    node.events.publish("bad", thing=object())
    node.events.publish("good")
    async with asyncio.timeout(10):
        assert json.loads(await socket.recv())["payload"]["event_id"] == "good"


async def test_a_long_message_ends_the_connection(socket: ClientConnection) -> None:
    await socket.send("x" * (1024 * 1024 + 1))
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(socket.recv(), 10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


async def test_a_client_that_does_not_read_is_dropped(
    node: Any, websocket: WebSocketServer, secret: str
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", websocket.port, limit=1024)
    writer.write(
        f"GET /?a={secret} HTTP/1.1\r\nHost: 127.0.0.1:{websocket.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(20):
        while not websocket.clients:
            await asyncio.sleep(0)
        sent = 0
        while websocket.clients:
            node.events.publish("noise", filling="x" * 50_000)
            await asyncio.sleep(0)
            sent += 1
    assert sent >= MAX_OUTGOING
    writer.close()


async def test_many_calls_of_one_client_wait_for_their_turn(
    node: Any, socket: ClientConnection
) -> None:
    release = asyncio.Event()
    running = 0

    async def slow() -> dict[str, int]:
        nonlocal running
        running += 1
        await release.wait()
        return {}

    node.storage.answers["files_downloads"] = slow
    for number in range(MAX_CALLS + 5):
        call = {"command": "api_call", "method": "files_downloads", "call_id": number}
        await socket.send(json.dumps(call))
    async with asyncio.timeout(10):
        while running < MAX_CALLS:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert running == MAX_CALLS
        release.set()
        answers = [json.loads(await socket.recv()) for _ in range(MAX_CALLS + 5)]
    assert {answer["payload"]["call_id"] for answer in answers} == set(range(MAX_CALLS + 5))


async def test_an_answer_that_is_not_json_is_an_internal_error(
    node: Any, socket: ClientConnection
) -> None:
    node.storage.answers["files_downloads"] = {"bad": object()}
    call = {"command": "api_call", "method": "files_downloads", "call_id": 1}
    answer = await ask(socket, call)
    assert answer["payload"]["response"]["code"] == "internal"


async def test_a_taken_port_is_reported(
    node: Any, registry: Registry, websocket: WebSocketServer
) -> None:
    second = WebSocketServer(node, registry, port=websocket.port, secret=None)
    with pytest.raises(PortInUse) as caught:
        await second.start()
    assert "interface/api/web-socket-port" in caught.value.hint
    await second.stop()


async def test_stopping_ends_running_calls_and_connections(node: Any, registry: Registry) -> None:
    server = WebSocketServer(node, registry, port=0, secret=None)
    await server.start()
    started = asyncio.Event()
    ended = asyncio.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    node.storage.answers["files_downloads"] = endless
    async with connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as connection:
        await connection.send('{"command": "api_call", "method": "files_downloads"}')
        async with asyncio.timeout(10):
            await started.wait()
            await server.stop()
            assert ended.is_set()
            with pytest.raises(ConnectionClosed):
                await connection.recv()


async def test_the_asynchronous_client(
    node: Any, websocket: WebSocketServer, missing: NotInCatalog
) -> None:
    del websocket
    node.storage.answers["file_info"] = missing
    async with AsyncClient(node.home) as client:
        assert await client.call("process_health") is None
        option, counts = await asyncio.gather(
            client.call("config_get", key="personal/private-key-size"),
            client.call("events_list"),
        )
        assert option["value"] == 3072
        assert counts == {}
        with pytest.raises(NotInCatalog) as caught:
            await client.call("file_info", remote_path="0/1")
        assert caught.value.message == "no such item"
        with pytest.raises(NotFound):
            await client.call("no_such_method")
        node.events.publish("something", number=7)
        async with asyncio.timeout(10):
            async for event in client.events():
                assert event == ("something", {"number": 7})
                break
        node.storage.answers["files_downloads"] = asyncio.Event().wait
        with pytest.raises(DeadlineExceeded):
            await client.call("files_downloads", timeout=0.01)


async def test_the_asynchronous_client_without_a_node(
    node: Any, registry: Registry, secret: str
) -> None:
    server = WebSocketServer(node, registry, port=0, secret="another" * 4)
    node.settings.set("interface/api/web-socket-port", await server.start())
    assert secret
    with pytest.raises(AccessDenied):
        await AsyncClient(node.home).__aenter__()
    await server.stop()
    with pytest.raises(NotRunning):
        await AsyncClient(node.home).__aenter__()


async def test_calls_in_flight_end_when_the_node_goes(node: Any, registry: Registry) -> None:
    from bitdust.api.secret import ensure_secret

    server = WebSocketServer(node, registry, port=0, secret=ensure_secret(node.home))
    node.settings.set("interface/api/web-socket-port", await server.start())
    started = asyncio.Event()

    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    node.storage.answers["files_downloads"] = endless
    async with AsyncClient(node.home) as client:
        call = asyncio.create_task(client.call("files_downloads"))
        async with asyncio.timeout(10):
            await started.wait()
            await server.stop()
            with pytest.raises(NotRunning):
                await call
            assert [event async for event in client.events()] == []
        with pytest.raises(NotRunning):
            await client.call("process_health")


async def test_models_are_pushed(node: Any, socket: ClientConnection) -> None:
    call = {"command": "api_call", "method": "enable_model_listener", "call_id": 7}
    await socket.send(
        json.dumps({**call, "kwargs": {"model_name": "service", "request_all": True}})
    )
    messages = []
    async with asyncio.timeout(10):
        while {message["type"] for message in messages} != {"api_call", "model"}:
            messages.append(json.loads(await socket.recv()))
    models = [message["payload"] for message in messages if message["type"] == "model"]
    assert {"name", "id", "data", "created"} == models[0].keys()
    assert (models[0]["name"], models[0]["id"]) == ("service", "service_network")
    assert models[0]["data"]["config_path"] == "services/network/enabled"
    await node.models.close()
