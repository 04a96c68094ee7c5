"""Many connections that ask for nothing, over real sockets: others are answered all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect

from bitdust.servers import WebSocketServer, patience
from bitdust.servers.http import MAX_CONNECTIONS
from bitdust.servers.websocket import MAX_HANDSHAKES

CROWD = 320
"""More than the servers take; both ends are in this process, which has 1,024 descriptors."""

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def crowd(port: int, data: bytes, size: int = CROWD) -> AsyncIterator[list[Line]]:
    lines: list[Line] = []
    try:
        for _ in range(size):
            line = await asyncio.open_connection("127.0.0.1", port)
            line[1].write(data)
            lines.append(line)
        yield lines
    finally:
        for _, writer in lines:
            writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(line: Line) -> bool:
    """Whether the server closed a connection, or reset it, without an answer."""
    try:
        async with asyncio.timeout(20):
            return await line[0].read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /process/health/v1 HTTP/1.1\r\nHost:",
        b"POST /file/create/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
    ],
    ids=["silent", "half a head", "half a body"],
)
async def test_http_answers_in_a_crowd(http: Any, data: bytes) -> None:
    async with crowd(http.server.port, data) as lines:
        async with asyncio.timeout(20):
            assert (await http.call("GET", "/process/health/v1"))["status"] == "OK"
        server = http.server._server
        await until(lambda: len(server.server_state.connections) <= MAX_CONNECTIONS)
        reader = lines[0][0]
        async with asyncio.timeout(20):  # the first of them had to go
            try:
                while await reader.read(65536):
                    pass
            except ConnectionError:
                pass


async def slowly(line: Line, data: bytes) -> None:
    for byte in data * 1000:
        line[1].write(bytes((byte,)))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("first", [False, True], ids=["at once", "after a request"])
async def test_a_request_that_never_ends_is_ended(
    http: Any, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(patience, "REQUEST_TIME", 0.5)
    line = await asyncio.open_connection("127.0.0.1", http.server.port)
    if first:
        head = f"Host: 127.0.0.1:{http.server.port}\r\n\r\n"
        line[1].write(f"GET /process/health/v1 HTTP/1.1\r\n{head}".encode())
        async with asyncio.timeout(20):
            await line[0].readuntil(b"\r\n\r\n")
            await line[0].readuntil(b"}\n")
    writing = asyncio.create_task(slowly(line, b"GET / HTTP/1.1\r\nX: "))
    assert await ended(line)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    line[1].transport.abort()


async def test_the_rest_of_a_refused_body_is_not_read_for_ever(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "REQUEST_TIME", 0.5)
    line = await asyncio.open_connection("127.0.0.1", http.server.port)
    line[1].write(
        b"POST /file/create/v1 HTTP/1.1\r\nHost: evil.org\r\nContent-Length: 999999999\r\n\r\n"
    )
    async with asyncio.timeout(20):
        assert b"access denied" in await line[0].readuntil(b"}\n")
    writing = asyncio.create_task(slowly(line, b"x"))
    assert await ended(line)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    line[1].transport.abort()


async def test_an_idle_connection_and_a_long_call_outlive_the_deadline(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "REQUEST_TIME", 0.2)
    line = await asyncio.open_connection("127.0.0.1", http.server.port)
    head = f"Host: 127.0.0.1:{http.server.port}\r\napi_secret: {http.secret}\r\n\r\n"
    for _ in range(2):
        line[1].write(f"GET /process/health/v1 HTTP/1.1\r\n{head}".encode())
        async with asyncio.timeout(20):
            assert b'"OK"' in await line[0].readuntil(b"}\n")
        await asyncio.sleep(0.4)  # longer than a request may take, and nobody sends one
    poll = "/event/listen/test/v1?consumer_callback_id=test&timeout=1"
    line[1].write(f"GET {poll} HTTP/1.1\r\n{head}".encode())
    async with asyncio.timeout(20):
        assert b'"status"' in await line[0].readuntil(b"}\n")
    line[1].transport.abort()


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["silent", "half a head"])
async def test_websockets_answer_in_a_crowd(
    websocket: WebSocketServer, secret: str, data: bytes
) -> None:
    url = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    call = json.dumps({"command": "api_call", "method": "process_health", "call_id": 1})
    async with connect(url, proxy=None) as early, crowd(websocket.port, data) as lines:
        async with connect(url, proxy=None) as late, asyncio.timeout(20):
            for socket in (early, late):
                await socket.send(call)
                assert json.loads(await socket.recv())["payload"]["response"] == {"status": "OK"}
        assert await ended(lines[0])
        assert len(websocket._handshakes) <= MAX_HANDSHAKES
    await until(lambda: not websocket._handshakes)
