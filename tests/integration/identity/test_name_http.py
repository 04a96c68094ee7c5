"""The name server behind a real uvicorn, asked by the real client over loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bitdust.clock import SystemClock
from bitdust.crypto import PrivateKey
from bitdust.errors import AlreadyExists, IdentityServerError, NameTaken, NotFound
from bitdust.identity import (
    HttpNameClient,
    IdentityCache,
    IdentityDocument,
    LocalIdentity,
    NameServer,
    sign_document,
)
from bitdust.ids import IDURL

KEY = PrivateKey.generate(1024)
OTHER = PrivateKey.generate(1024)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@contextlib.asynccontextmanager
async def running(server: NameServer, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(server.app, log_config=None, lifespan="off", ws="none")
    web = uvicorn.Server(config)
    task = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        yield
    finally:
        web.should_exit = True
        await task
        await server.close()


@pytest.fixture
async def place(tmp_path: Path, pool: ThreadPoolExecutor) -> AsyncIterator[IDURL]:
    """Where alice is served by a running name server."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await NameServer.open(
        tmp_path / "names.db", "127.0.0.1", port, clock=SystemClock(), pool=pool
    )
    async with running(server, listener):
        yield IDURL("127.0.0.1", port, "alice")


async def test_register_fetch_update_refuse(place: IDURL, pool: ThreadPoolExecutor) -> None:
    client = HttpNameClient(pool)
    with pytest.raises(NotFound):
        await client.fetch(place)
    first = sign_document(KEY, sources=[place], revision=1)
    await client.publish(place, first.to_xml())
    await client.publish(place, first.to_xml())
    assert IdentityDocument.parse(await client.fetch(place)) == first
    with pytest.raises(NameTaken):
        await client.publish(place, sign_document(OTHER, sources=[place], revision=9).to_xml())
    changed = sign_document(KEY, sources=[place], revision=1, contacts=["tcp://h:1"])
    with pytest.raises(AlreadyExists):
        await client.publish(place, changed.to_xml())
    second = sign_document(KEY, sources=[place], revision=2)
    await client.publish(place, second.to_xml())
    assert IdentityDocument.parse(await client.fetch(place)) == second
    elsewhere = sign_document(KEY, sources=[IDURL("h", 80, "alice")])
    with pytest.raises(IdentityServerError, match=r"answered 400: .*sources"):
        await client.publish(place, elsewhere.to_xml())


async def test_a_huge_upload_is_refused(place: IDURL, pool: ThreadPoolExecutor) -> None:
    client = HttpNameClient(pool)
    with pytest.raises(IdentityServerError):
        await client.publish(place, b"x" * 5_000_000)
    with pytest.raises(NotFound):
        await client.fetch(place)


async def test_a_whole_life(place: IDURL, pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "client": HttpNameClient(pool),
        "clock": SystemClock(),
        "pool": pool,
    }
    address = f"127.0.0.1:{place.port}"
    me = await LocalIdentity.create(tmp_path / "a", "alice", [address], key_size=1024, **common)
    await me.update(contacts=["tcp://127.0.0.1:7771"])
    cache = await IdentityCache.open(tmp_path / "b", **common)
    assert (await cache.resolve(me.idurl)) == me.document
    back = await LocalIdentity.recover(tmp_path / "c", await me.backup_text(), **common)
    assert (await cache.resolve(me.idurl, max_age=0)) == back.document
    with pytest.raises(NameTaken):
        await LocalIdentity.create(tmp_path / "d", "alice", [address], key_size=1024, **common)
    await cache.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def dishonest(answer: Handler) -> AsyncIterator[IDURL]:
    """A server that reads the request's head and then does as told."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield IDURL("127.0.0.1", server.sockets[0].getsockname()[1], "alice")
    finally:
        server.close()


def saying(raw: bytes) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/alice.xml\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\n\r\n\x1b[31mred",
        b"HTTP/1.1 429 Slow\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
)
async def test_a_server_that_talks_nonsense(raw: bytes, pool: ThreadPoolExecutor) -> None:
    client = HttpNameClient(pool, timeout=5)
    async with dishonest(saying(raw)) as place:
        with pytest.raises(IdentityServerError) as caught:
            await client.fetch(place)
        assert "\x1b" not in str(caught.value)
        assert f"127.0.0.1:{place.port}" in str(caught.value)
        if b"200 OK\r\n\r\n" not in raw and b"9999999" not in raw:
            with pytest.raises(IdentityServerError):
                await client.publish(place, b"x")


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"]
)
async def test_a_server_that_drips(head: bytes, pool: ThreadPoolExecutor) -> None:
    """The deadline holds for the whole exchange, and the pool's thread comes back."""
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(head)
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        finally:
            gone.set()

    async with dishonest(drip) as place:
        begun = time.monotonic()
        with pytest.raises(IdentityServerError, match="in time"):
            await HttpNameClient(pool, timeout=0.3).fetch(place)
        assert time.monotonic() - begun < 3
        await asyncio.wait_for(gone.wait(), 5)
    busy = threading.Barrier(5)
    loop = asyncio.get_running_loop()
    waiting = [loop.run_in_executor(pool, busy.wait, 5) for _ in range(4)]
    await loop.run_in_executor(None, busy.wait, 5)
    await asyncio.gather(*waiting)


async def test_nobody_there(pool: ThreadPoolExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = HttpNameClient(pool, timeout=5)
    for place in (IDURL("127.0.0.1", port, "alice"), IDURL("a" * 64 + ".invalid", 80, "alice")):
        with pytest.raises(IdentityServerError) as caught:
            await client.fetch(place)
        assert caught.value.retryable
        with pytest.raises(IdentityServerError):
            await client.publish(place, b"x")


async def test_a_cancelled_call_lets_go(pool: ThreadPoolExecutor) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        gone.set()

    async with dishonest(hold) as place:
        call = asyncio.create_task(HttpNameClient(pool, timeout=30).fetch(place))
        await asyncio.wait_for(arrived.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(gone.wait(), 5)
