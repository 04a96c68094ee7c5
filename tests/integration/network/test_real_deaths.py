"""Processes that are killed, nodes that restart, and the other event loop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bitdust.crypto import PrivateKey
from bitdust.errors import NetworkError
from bitdust.events import EventBus
from bitdust.identity import sign_document
from bitdust.ids import IDURL
from bitdust.network import (
    Call,
    Certificate,
    Chunk,
    ContactState,
    Endpoint,
    Limits,
    Network,
    Reply,
    TcpTransport,
)

Make = Callable[..., Awaitable[Any]]
Wait = Callable[..., Awaitable[None]]

VICTIM = """
import asyncio, sys
from pathlib import Path
from bitdust.crypto import PrivateKey
from bitdust.events import EventBus
from bitdust.identity import sign_document
from bitdust.ids import IDURL
from bitdust.network import Certificate, Endpoint, Network, Reply, TcpTransport

async def endless():
    while True:
        yield bytes(1 << 20)

async def serve(call):
    return Reply(body=endless())

async def main():
    key = PrivateKey.from_pem(Path(sys.argv[1]).read_text())
    certificate = Certificate.load_or_create(Path(sys.argv[2]))
    document = sign_document(key, sources=[IDURL("id.example.org", 80, "victim")],
        certificate=certificate.fingerprint.hex(), dht_key=bytes(32), now=1.7e9)
    network = Network(key, lambda: document, TcpTransport(certificate),
        events=EventBus(lambda: 0.0))
    network.handle("serve", serve)
    print(await network.start(Endpoint("tcp", "127.0.0.1", 0)), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_process_killed_in_the_middle_of_a_body(
    node: Make, tmp_path: Path, wait_until: Wait
) -> None:
    a = await node(0)
    key = PrivateKey.generate(1024)
    (tmp_path / "key.pem").write_text(key.to_pem())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        VICTIM,
        str(tmp_path / "key.pem"),
        str(tmp_path / "victim.pem"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        document = await a.network.dial(Endpoint.parse(line.decode()), key.public.fingerprint)
        response = await a.network.request(document.node_id, "serve")
        received = 0

        async def read_and_kill() -> None:
            nonlocal received
            async for piece in response:
                received += len(piece)
                if received > 8 << 20 and process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()

        with pytest.raises(NetworkError):
            await read_and_kill()
        assert received > 8 << 20
        await wait_until(lambda: a.network.status(document.node_id).state is ContactState.OFFLINE)
        assert a.network.buffered == 0
        assert a.network.streams() == []
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_kept_contact_is_reached_again_after_its_restart(
    node: Make, wait_until: Wait
) -> None:
    limits = Limits(back_off_first=0.05, back_off_most=0.2)
    a, b = await node(0, limits=limits), await node(1)
    a.network.learn(b.document)
    a.network.keep(b.id)
    await wait_until(lambda: a.network.status(b.id).state is ContactState.ONLINE)
    await b.network.stop()
    await wait_until(lambda: a.network.status(b.id).state is not ContactState.ONLINE)
    again = await node(1, port=b.endpoint.port)
    await wait_until(lambda: a.network.status(b.id).state is ContactState.ONLINE)
    assert (await a.network.request(again.id, "ping")).args == b""


def test_the_same_on_uvloop(tmp_path: Path) -> None:
    size = 32 << 20

    async def pieces() -> AsyncIterator[Chunk]:
        for _ in range(size >> 18):
            yield bytes(1 << 18)

    async def echo(call: Call) -> Reply:
        return Reply(body=call.body())

    async def scenario() -> int:
        networks = []
        endpoints = []
        for name in ("a", "b"):
            key = PrivateKey.generate(1024)
            certificate = Certificate.load_or_create(tmp_path / f"{name}.pem")
            document = sign_document(
                key,
                sources=[IDURL("id.example.org", 80, name)],
                certificate=certificate.fingerprint.hex(),
                dht_key=bytes(32),
                now=1.7e9,
            )
            network = Network(
                key,
                lambda document=document: document,  # type: ignore[misc]
                TcpTransport(certificate),
                events=EventBus(lambda: 0.0),
            )
            networks.append(network)
            endpoints.append(await network.start(Endpoint("tcp", "127.0.0.1", 0)))
        a, b = networks
        b.handle("echo", echo)
        assert endpoints[1] is not None
        peer = await a.dial(endpoints[1])
        received = 0
        async with await a.request(peer.node_id, "echo", body=pieces()) as response:
            async for piece in response:
                received += len(piece)
        with pytest.raises(NetworkError):
            await a.request(peer.node_id, "nowhere")
        await a.stop()
        await b.stop()
        return received

    assert uvloop.run(scenario()) == size
