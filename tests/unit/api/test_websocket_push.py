"""Events to many listeners: all of them, in order, whatever their size."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from websockets.asyncio.client import connect

from bitdust.servers.session import PUSH_EVERY
from bitdust.servers.websocket import SLOW_CLIENT, SLOW_REASON

LISTENERS = 30
EVENTS = 300
SIZES = (0, 1, 125, 126, 200, 65_535, 65_536, 70_000)
"""Around the places where the length of a frame gets another form."""


async def test_many_listeners_hear_every_event_in_order(
    websocket: Any, node: Any, secret: str
) -> None:
    async def listen(ready: asyncio.Barrier) -> list[int]:
        address = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
        async with connect(address, compression=None, proxy=None) as connection:
            await ready.wait()
            heard: list[int] = []
            async with asyncio.timeout(30):
                while len(heard) < EVENTS:
                    payload = json.loads(await connection.recv())["payload"]
                    if payload["event_id"] == "counted":
                        heard.append(payload["data"]["number"])
            return heard

    ready = asyncio.Barrier(LISTENERS + 1)
    tasks = [asyncio.create_task(listen(ready)) for _ in range(LISTENERS)]
    await ready.wait()
    for number in range(EVENTS):
        node.events.publish("counted", number=number)
        if number % 50 == 0:
            await asyncio.sleep(PUSH_EVERY)
    for heard in await asyncio.gather(*tasks):
        assert heard == list(range(EVENTS))


async def test_frames_of_every_length(websocket: Any, node: Any, secret: str) -> None:
    address = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    async with connect(address, compression=None, proxy=None) as connection:
        for size in SIZES:
            node.events.publish("sized", text="x" * size)
        async with asyncio.timeout(30):
            for size in SIZES:
                payload = json.loads(await connection.recv())["payload"]
                assert payload["data"]["text"] == "x" * size


async def test_a_listener_that_leaves_disturbs_nobody(
    websocket: Any, node: Any, secret: str
) -> None:
    address = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    async with connect(address, compression=None, proxy=None) as stays:
        leaves = await connect(address, compression=None, proxy=None)
        leaves.transport.abort()
        for number in range(10):
            node.events.publish("counted", number=number)
            await asyncio.sleep(PUSH_EVERY)
        await leaves.wait_closed()
        async with asyncio.timeout(30):
            for number in range(10):
                assert json.loads(await stays.recv())["payload"]["data"]["number"] == number


async def test_a_listener_that_does_not_read_is_told_why_it_is_dropped(
    websocket: Any, node: Any, secret: str
) -> None:
    address = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    raw = socket.create_connection(("127.0.0.1", websocket.port))
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    lines = [
        f"GET /?api_secret={secret} HTTP/1.1",
        f"Host: 127.0.0.1:{websocket.port}",
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
    ]
    await loop.sock_sendall(raw, "\r\n".join(lines).encode())
    assert b" 101 " in await loop.sock_recv(raw, 4096)
    heard = 0
    async with connect(address, compression=None, proxy=None) as reads, asyncio.timeout(60):
        while websocket.clients == 2:
            for _ in range(10):
                node.events.publish("large", text="x" * 60_000)
            for _ in range(10):
                await reads.recv()
            heard += 10
        assert heard > 200, "what fits into the bounds is kept"
        received = bytearray()
        while part := await loop.sock_recv(raw, 1 << 20):
            received += part
        assert received.endswith(SLOW_CLIENT.to_bytes(2, "big") + SLOW_REASON.encode())
        node.events.publish("after", text="")
        assert json.loads(await reads.recv())["payload"]["event_id"] == "after"
    raw.close()
