"""Network benchmark: bulk MiB/s and small requests/s on loopback, next to a plain TLS copy.

    python benchmarks/network.py [--mib 1024] [--requests 5000] [--loop NAME] [--json FILE]

Everything runs in one process on one event loop, so both ends share one core: what two machines
reach is about twice as much. The plain copy is the same loop's own TLS with nothing above it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from bitdust.crypto import PrivateKey
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.network import (
    Call,
    Certificate,
    Chunk,
    Endpoint,
    Limits,
    Network,
    Reply,
    TcpTransport,
)
from bitdust.network.certificate import client_context

MIB = 1024 * 1024
CHUNK = 256 * 1024


class _Sink(asyncio.Protocol):
    def __init__(self, size: int, done: asyncio.Future[None]) -> None:
        self.left = size
        self.done = done

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left <= 0 and not self.done.done():
            self.done.set_result(None)


class _Source(asyncio.Protocol):
    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    def pause_writing(self) -> None:
        self.ready.clear()

    def resume_writing(self) -> None:
        self.ready.set()


async def plain_copy(certificate: Certificate, size: int) -> float:
    """MiB/s of the event loop's own TLS."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    server = await loop.create_server(
        lambda: _Sink(size, done), "127.0.0.1", 0, ssl=certificate.server_context()
    )
    port = server.sockets[0].getsockname()[1]
    transport, source = await loop.create_connection(
        _Source, "127.0.0.1", port, ssl=client_context(), server_hostname=""
    )
    transport.set_write_buffer_limits(MIB, CHUNK)
    block = os.urandom(CHUNK)
    started = time.perf_counter()
    for _ in range(size // CHUNK):
        await source.ready.wait()
        transport.write(block)
    await done
    rate = size / MIB / (time.perf_counter() - started)
    transport.close()
    server.close()
    await server.wait_closed()
    return rate


class Node:
    """A network with a fresh identity on a loopback port."""

    def __init__(self, name: str, directory: Path) -> None:
        self.key = PrivateKey.generate(2048)
        self.certificate = Certificate.load_or_create(directory / f"{name}.pem")
        self._name = name
        self._contacts: tuple[str, ...] = ()
        self._document = self._sign()
        self.network = Network(
            self.key,
            lambda: self._document,
            TcpTransport(self.certificate),
            events=EventBus(time.time),
            limits=Limits(),
        )

    def _sign(self) -> IdentityDocument:
        return sign_document(
            self.key,
            sources=[IDURL("bench.example.org", 80, self._name)],
            contacts=self._contacts,
            certificate=self.certificate.fingerprint.hex(),
            dht_key=bytes(32),
            now=time.time(),
        )

    async def start(self) -> IdentityDocument:
        endpoint = await self.network.start(Endpoint("tcp", "127.0.0.1", 0))
        self._contacts = (str(endpoint),)
        self._document = self._sign()
        return self._document


async def _swallow(call: Call) -> Reply:
    size = 0
    async for piece in call.body():
        size += len(piece)
    return Reply({"size": size})


async def _produce(size: int) -> AsyncIterator[Chunk]:
    block = os.urandom(CHUNK)
    for _ in range(size // CHUNK):
        yield block


async def _serve(call: Call) -> Reply:
    return Reply(body=_produce(call.decode(dict[str, int])["size"]))


async def bulk_up(a: Network, b: bytes, size: int) -> float:
    """MiB/s of one request with a large body."""
    started = time.perf_counter()
    await a.request(b, "swallow", body=_produce(size), timeout=600)
    return size / MIB / (time.perf_counter() - started)


async def bulk_down(a: Network, b: bytes, size: int) -> float:
    """MiB/s of one response with a large body."""
    started = time.perf_counter()
    got = 0
    async for piece in await a.request(b, "serve", {"size": size}, timeout=600):
        got += len(piece)
    assert got == size
    return size / MIB / (time.perf_counter() - started)


async def bulk_parallel(a: Network, b: bytes, size: int, streams: int) -> float:
    """MiB/s of several large requests at a time."""
    started = time.perf_counter()
    share = size // streams
    await asyncio.gather(
        *(a.request(b, "swallow", body=_produce(share), timeout=600) for _ in range(streams))
    )
    return share * streams / MIB / (time.perf_counter() - started)


async def small(a: Network, b: bytes, count: int, workers: int) -> tuple[float, float, float]:
    """Requests per second, and median and 99th percentile of the latency in ms."""
    latencies: list[float] = []

    async def worker() -> None:
        for _ in range(count // workers):
            began = time.perf_counter()
            await a.request(b, "ping")
            latencies.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(workers)))
    rate = len(latencies) / (time.perf_counter() - started)
    latencies.sort()
    return rate, statistics.median(latencies) * 1e3, latencies[len(latencies) * 99 // 100] * 1e3


async def small_during_bulk(a: Network, b: bytes, size: int) -> tuple[float, float]:
    """Median and 99th percentile in ms of small requests while a large body goes the same way."""
    bulk = asyncio.ensure_future(bulk_up(a, b, size))
    latencies: list[float] = []
    while not bulk.done():
        began = time.perf_counter()
        await a.request(b, "ping")
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    await bulk
    latencies.sort()
    return statistics.median(latencies) * 1e3, latencies[len(latencies) * 99 // 100] * 1e3


async def run(mib: int, requests: int) -> dict[str, float]:
    """All measurements."""
    size = mib * MIB
    with tempfile.TemporaryDirectory() as directory:
        a, b = (Node(name, Path(directory)) for name in ("a", "b"))
        plain = [await plain_copy(a.certificate, size)]
        documents = [await node.start() for node in (a, b)]
        a.network.learn(documents[1])
        target = documents[1].node_id
        b.network.handle("swallow", _swallow)
        b.network.handle("serve", _serve)
        await a.network.request(target, "ping")
        up = await bulk_up(a.network, target, size)
        down = await bulk_down(a.network, target, size)
        parallel = await bulk_parallel(a.network, target, size, 8)
        one, one_median, one_99 = await small(a.network, target, requests, 1)
        many, _, _ = await small(a.network, target, requests, 32)
        during_median, during_99 = await small_during_bulk(a.network, target, size)
        await a.network.stop()
        await b.network.stop()
        plain.append(await plain_copy(a.certificate, size))
    base = statistics.mean(plain)
    return {
        "plain_copy_mib_s": base,
        "bulk_request_mib_s": up,
        "bulk_response_mib_s": down,
        "bulk_8_streams_mib_s": parallel,
        "bulk_request_share": up / base,
        "bulk_response_share": down / base,
        "small_requests_s_1_at_a_time": one,
        "small_requests_s_32_at_a_time": many,
        "small_latency_median_ms": one_median,
        "small_latency_p99_ms": one_99,
        "small_latency_during_bulk_median_ms": during_median,
        "small_latency_during_bulk_p99_ms": during_99,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runner: Callable[[Coroutine[Any, Any, dict[str, float]]], dict[str, float]] = asyncio.run
    if options.loop == "uvloop":
        import uvloop

        runner = uvloop.run
    figures = runner(run(options.mib, options.requests))
    print(f"{options.loop}, Python {platform.python_version()}, {options.mib} MiB, loopback")
    for name, value in figures.items():
        print(f"  {name:40} {value:12.2f}")
    record = {"loop": options.loop, "python": sys.version.split()[0], **figures}
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    else:
        print(json.dumps(record))


if __name__ == "__main__":
    main()
