"""How fast the local API answers: ``python benchmarks/api.py [--seconds 3] [--upload 1024]``.

A daemon of its own runs in a process of its own, without an identity. Calls are made by raw sockets
from this process, so that the client costs as little as it can; rates are given per second of wall
clock and per second of the daemon's processor time, which is what one whole core would do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bitdust.api.secret import read_secret
from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.cli.testnet_ports import Ports
from bitdust.config import Settings
from bitdust.daemon import holder, run_daemon
from measure import processor_time

CONNECTIONS = 8
TICK = b"bench-tick"
PROBE = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"

Caller = Callable[[], Awaitable[None]]
Connect = Callable[[], Awaitable[Caller]]


@dataclass(frozen=True)
class Rate:
    """One line of the table.

    Args:
        name: what was called.
        per_second: calls per second of wall clock.
        per_core: calls per second of the daemon's processor time.
        p50, p99: milliseconds until the answer.
    """

    name: str
    per_second: float
    per_core: float
    p50: float
    p99: float


async def measure(name: str, connect: Connect, pid: int, seconds: float, width: int) -> Rate:
    """Call as fast as ``width`` connections can, each waiting for its answer."""
    callers = [await connect() for _ in range(width)]
    for caller in callers:
        await caller()
    times: list[float] = []
    cpu, began = processor_time(pid), time.perf_counter()
    ends = began + seconds

    async def loop(caller: Caller) -> None:
        before = time.perf_counter()
        while before < ends:
            await caller()
            now = time.perf_counter()
            times.append(now - before)
            before = now

    await asyncio.gather(*(loop(caller) for caller in callers))
    wall, used = time.perf_counter() - began, processor_time(pid) - cpu
    times.sort()
    return Rate(
        name,
        len(times) / wall,
        len(times) / max(used, 0.01),
        1000 * times[len(times) // 2],
        1000 * times[len(times) * 99 // 100],
    )


def http(port: int, secret: str, verb: str, target: str, body: bytes = b"") -> Connect:
    """Connections that send one request again and again."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    request = (
        f"{verb} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\napi_secret: {secret}\r\n"
        f"Accept: */*\r\n{length}\r\n"
    ).encode() + body

    async def connect() -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def call() -> None:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            answer = await reader.readexactly(size)
            assert b'"OK"' in answer, answer

        return call

    return connect


def handshake(port: int, secret: str) -> bytes:
    """The request that opens a WebSocket."""
    return (
        f"GET /?api_secret={secret} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def websocket(
    port: int,
    secret: str,
    depth: int,
    method: str = "process_health",
    kwargs: dict[str, str] | None = None,
) -> Connect:
    """Connections that send ``depth`` calls and wait for all answers."""
    call_text = json.dumps(
        {"command": "api_call", "method": method, "kwargs": kwargs or {}, "call_id": 1}
    ).encode()
    mask = b"\0\0\0\0"
    frame = bytes([0x81, 0x80 | len(call_text)]) + mask + call_text
    assert len(call_text) < 126

    async def connect() -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(port, secret))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head

        async def call() -> None:
            writer.write(frame * depth)
            left = depth
            while left:
                first, size = await reader.readexactly(2)
                assert first == 0x81
                if size == 126:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                answer = await reader.readexactly(size)
                if b'"type":"event"' not in answer:
                    assert b'"OK"' in answer, answer
                    left -= 1

        return call

    return connect


def command_line(home: Path, rounds: int = 5) -> float:
    """Milliseconds for ``bitdust process health``, from start to end; the best of some."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", PROBE, "--home", str(home), "process", "health"],
            check=True,
            capture_output=True,
        )
        best = min(best, time.perf_counter() - began)
    return 1000 * best


class _Listener(asyncio.Protocol):
    """Counts the events that come over one WebSocket connection."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.opened = asyncio.Event()
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if b" 101 " in data:
            self.opened.set()
        data = self._rest + data
        self.events += data.count(TICK)
        self._rest = data[-len(TICK) + 1 :]


async def listeners(port: int, secret: str, pid: int, count: int, rate: int, seconds: int) -> str:
    """Have ``count`` listeners receive ``rate`` events a second; a sentence about it."""
    loop = asyncio.get_running_loop()
    request = handshake(port, secret)
    opened = []
    for _ in range(count):
        _, listener = await loop.create_connection(lambda: _Listener(request), "127.0.0.1", port)
        opened.append(listener)
        await listener.opened.wait()
    send = await websocket(port, secret, 1, "event_send", {"event_id": TICK.decode()})()
    cpu, began = processor_time(pid), time.perf_counter()
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        await send()
    wanted = rate * seconds
    ends = time.perf_counter() + 10
    while any(one.events < wanted for one in opened) and time.perf_counter() < ends:
        await asyncio.sleep(0.05)
    wall, used = time.perf_counter() - began, processor_time(pid) - cpu
    lost = sum(wanted - one.events for one in opened)
    return (
        f"{count} listeners, {wanted} events in {wall:.1f} s: "
        f"{sum(one.events for one in opened):,} received, {lost} lost, "
        f"{100 * used / wall:.0f} % of one core"
    )


CALLS_DURING_UPLOAD = 100
"""Calls a second while an upload runs."""


def write_random(path: Path, size: int) -> None:
    """A file of ``size`` MiB that nothing can compress."""
    with path.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(1 << 20))


async def health_during(connect: Connect, work: Callable[[], object]) -> tuple[list[float], float]:
    """Ask for the health at a steady pace until ``work`` is done.

    The connections take turns, so that a call that waits keeps no other from being made.

    Returns:
        Milliseconds until each answer, sorted, and the seconds that the work took.
    """
    times: list[float] = []
    loop = asyncio.get_running_loop()
    callers = [await connect() for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    done = loop.run_in_executor(None, work)

    async def ask(caller: Caller) -> None:
        while not done.done():
            before = time.perf_counter()
            await caller()
            took = time.perf_counter() - before
            times.append(1000 * took)
            await asyncio.sleep(max(0.0, CONNECTIONS / CALLS_DURING_UPLOAD - took))

    await asyncio.gather(*(ask(caller) for caller in callers))
    await done
    return sorted(times), time.perf_counter() - began


def during_upload(size: int) -> str:
    """Measure the health call while a customer uploads ``size`` MiB; a sentence about it."""
    with tempfile.TemporaryDirectory(prefix="bitdust-bench-") as folder:
        work = Path(folder)
        write_random(work / "large", size)
        with Testnet(work / "network", Plan(suppliers=4, customers=1)) as network:
            name = f"{CUSTOMER}-1"
            home, api = network.member(name).home, network.api(name)

            def upload() -> None:
                given = {"local_path": str(work / "large"), "remote_path": "large"}
                api.post("/file/upload/start/v1", wait_result=True, **given)

            port = Settings(home).get_int("interface/api/rest-http-port")
            connect = http(port, read_secret(home), "GET", "/process/health/v1")
            idle, _ = asyncio.run(health_during(connect, lambda: time.sleep(3)))
            busy, seconds = asyncio.run(health_during(connect, upload))
    return (
        f"`process_health` {CALLS_DURING_UPLOAD} times a second while {size} MiB are uploaded to 4 "
        f"suppliers of the same machine in {seconds:.0f} s: {_spread(busy)}; idle before it: "
        f"{_spread(idle)}"
    )


def _spread(times: list[float]) -> str:
    picked = {
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "worst": times[-1],
    }
    return ", ".join(f"{name} {value:.1f} ms" for name, value in picked.items())


async def run(home: Path, seconds: float) -> None:
    """Measure the daemon that runs in ``home`` and print the table."""
    settings = Settings(home)
    port = settings.get_int("interface/api/rest-http-port")
    ws_port = settings.get_int("interface/api/web-socket-port")
    pid, secret = holder(home), read_secret(home)
    assert pid is not None
    rpc = json.dumps({"jsonrpc": "2.0", "method": "process_health", "id": 1}).encode()
    depth = 16
    rates = [
        await measure(name, connect, pid, seconds, width)
        for name, connect, width in (
            (
                "HTTP `process_health`",
                http(port, secret, "GET", "/process/health/v1"),
                CONNECTIONS,
            ),
            ("HTTP `process_info`", http(port, secret, "GET", "/process/info/v1"), CONNECTIONS),
            ("HTTP `configs_list`", http(port, secret, "GET", "/config/list/v1"), CONNECTIONS),
            ("`POST /rpc` `process_health`", http(port, secret, "POST", "/rpc", rpc), CONNECTIONS),
            ("WebSocket `process_health`", websocket(ws_port, secret, 1), CONNECTIONS),
        )
    ]
    batch = await measure("", websocket(ws_port, secret, depth), pid, seconds, CONNECTIONS)
    rates.append(
        Rate(
            f"WebSocket `process_health`, {depth} at one time",
            depth * batch.per_second,
            depth * batch.per_core,
            batch.p50,
            batch.p99,
        )
    )
    print("| call | per second | per second of one core | p50 ms | p99 ms |")
    print("|---|---|---|---|---|")
    for rate in rates:
        print(
            f"| {rate.name} | {rate.per_second:,.0f} | {rate.per_core:,.0f} "
            f"| {rate.p50:.2f} | {rate.p99:.2f} |"
        )
    print("\n" + await listeners(ws_port, secret, pid, 1000, 100, 5))
    print(f"\n`bitdust process health`: {command_line(home):.0f} ms")


def main() -> None:
    """Start a daemon, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each line of the table")
    parser.add_argument("--upload", type=int, default=0, metavar="MIB", help="measure this instead")
    given = parser.parse_args()
    if given.upload:
        print(during_upload(given.upload))
        return
    seconds = given.seconds
    with tempfile.TemporaryDirectory(prefix="bitdust-bench-") as folder:
        home = Path(folder)
        settings = Settings(home)
        with Ports() as ports:
            for name in ("rest-http-port", "web-socket-port"):
                settings.set(f"interface/api/{name}", ports.take())
        settings.set("services/entangled-dht/enabled", False)
        pid = run_daemon(home, foreground=False)
        assert pid is not None
        try:
            asyncio.run(run(home, seconds))
        finally:
            os.kill(pid, 15)
            while holder(home) is not None:
                time.sleep(0.05)


if __name__ == "__main__":
    main()
