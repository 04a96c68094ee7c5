"""Lines of devices over a pipe that does what it likes."""

from __future__ import annotations

import asyncio
import os

import pytest

from bitdust.devices.channel import Channel, SessionClient, SessionServer, read_hello
from bitdust.devices.line import DENIED, DeviceLine
from bitdust.devices.noise import public_key
from bitdust.errors import IntegrityError, NetworkError


class Pipe:
    """Delivers what it is given, also after it was closed."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def receive(self) -> bytes:
        data = await self.coming.get()
        if data is None:
            raise NetworkError("the connection is closed")
        return data

    async def send(self, data: bytes) -> None:
        await self.blocked.wait()
        self.sent.append(data)

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


def new_key() -> bytes:
    return os.urandom(32)


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    device, node = os.urandom(32), os.urandom(32)
    client = SessionClient(device, public_key(node), new_key)
    answer, at_node = SessionServer(node, lambda _: True, new_key).receive(
        read_hello(client.begin())[1]
    )
    return client.receive(answer), at_node


async def test_nothing_is_taken_from_a_device_that_was_cut_off(
    ends: tuple[Channel, Channel],
) -> None:
    device, node = ends
    pipe = Pipe()
    line = DeviceLine(pipe, node)
    for frame in device.seal(b"one more call"):
        pipe.coming.put_nowait(frame)
    waits = asyncio.create_task(line.recv())
    await line.close(DENIED, "ended by the node")
    assert pipe.closed == (DENIED, "ended by the node")
    with pytest.raises(NetworkError):
        await waits
    with pytest.raises(NetworkError):
        await line.send(b"an answer")
    with pytest.raises(NetworkError):
        await line.tick()
    assert device.open(pipe.sent[0]) is None
    assert device.ended


async def test_a_cut_and_an_end_are_told_apart(ends: tuple[Channel, Channel]) -> None:
    device, node = ends
    pipe = Pipe()
    pipe.coming.put_nowait(device.seal_tick())
    pipe.coming.put_nowait(None)
    with pytest.raises(IntegrityError, match="cut off"):
        await DeviceLine(pipe, node).recv()


async def test_an_end_is_an_end(ends: tuple[Channel, Channel]) -> None:
    device, node = ends
    pipe = Pipe()
    pipe.coming.put_nowait(device.seal_end())
    with pytest.raises(NetworkError, match="left"):
        await DeviceLine(pipe, node).recv()


async def test_a_message_that_was_cut_short_is_followed_by_nothing(
    ends: tuple[Channel, Channel],
) -> None:
    _, node = ends
    pipe = Pipe()
    line = DeviceLine(pipe, node)
    pipe.blocked.clear()
    sending = asyncio.create_task(line.send(bytes(100_000)))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    pipe.blocked.set()
    with pytest.raises(NetworkError):
        await line.send(b"more")
    await line.close()
    assert pipe.sent == []
    assert pipe.closed is not None
    assert not line.is_open
    assert line.push(b"") is False
