"""How fast messages travel: ``python benchmarks/messaging.py [--seconds 5] [--json FILE]``.

Two whole nodes in two processes on loopback, with their files on this machine's disk: every message
is encrypted by the ratchet and committed with a sync before it is sent, and again before it is
acknowledged. The writer runs in this process, so that what is measured is the engine and not the
local API; one line of the table shows the way through that as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from bitdust.cli.testnet_ports import Ports
from bitdust.client import AsyncClient
from bitdust.config import Settings
from bitdust.identity import IdentityDocument
from bitdust.ids import IDURL
from bitdust.messaging import History, Message
from bitdust.node import Node
from measure import machine, processor_time

PAGES = 100_000
"""Messages in the history whose pages are timed."""
READY = "ready "


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what was measured.
        value: the figure.
        unit: of it.
        goal: what it should be, as text.
        met: whether it is.
    """

    name: str
    value: float
    unit: str
    goal: str
    met: bool | None


def configure(home: Path, ports: Ports, server: int, serve_names: bool) -> Settings:
    """Settings of a node that lives on loopback alone."""
    own = Settings(home)
    own.set("services/entangled-dht/private-network", True)
    own.set("services/entangled-dht/udp-port", ports.take())
    own.set("services/entangled-dht/known-nodes", f"127.0.0.1:{ports.take()}")
    own.set("services/tcp-connections/tcp-port", ports.take())
    own.set("services/tcp-connections/host", "127.0.0.1")
    own.set("services/customer/enabled", False)
    own.set("services/supplier/enabled", False)
    own.set("services/ip-port-responder/enabled", False)
    own.set("interface/api/rest-http-port", ports.take())
    own.set("interface/api/web-socket-port", ports.take())
    if serve_names:
        own.set("services/identity-server/enabled", True)
        own.set("services/identity-server/host", "127.0.0.1")
        own.set("services/identity-server/web-port", server)
    return own


async def reader(home: Path, server: int) -> None:
    """The other process: a node that takes messages until it is told to stop."""
    node = Node(home)
    await node.start()
    await node.create_identity("reader", [f"127.0.0.1:{server}"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"{READY}{node.require_identity().document.idurl}", flush=True)
    await stop.wait()
    await node.stop()


def percentile(times: list[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(times)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def one_after_another(send: Callable[[int], Awaitable[Any]], count: int) -> list[float]:
    """Seconds from each call to its acknowledgement."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        await send(number)
        times.append(time.perf_counter() - began)
    return times


async def sustained(
    send: Callable[[int], Awaitable[Any]], seconds: float, width: int
) -> tuple[int, float]:
    """How many were acknowledged, and in how many seconds, with ``width`` on their way."""
    began = time.perf_counter()
    ends = began + seconds
    sent = 0

    async def loop() -> None:
        nonlocal sent
        while time.perf_counter() < ends:
            sent += 1
            await send(sent)

    await asyncio.gather(*(loop() for _ in range(width)))
    return sent, time.perf_counter() - began


async def private(folder: Path, seconds: float) -> list[Row]:
    """Two people, one writes."""
    rows: list[Row] = []
    with Ports() as ports:
        server = ports.take()
        configure(folder / "writer", ports, server, True)
        configure(folder / "reader", ports, server, False)
        node = Node(folder / "writer")
        await node.start()
        child = subprocess.Popen(
            [sys.executable, __file__, "--reader", str(folder / "reader"), str(server)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            await node.create_identity("writer", [f"127.0.0.1:{server}"])
            assert child.stdout is not None
            line = ""
            while not line.startswith(READY):
                line = await asyncio.to_thread(child.stdout.readline)
                assert line, "the reader ended"
            idurl = IDURL.parse(line.removeprefix(READY).strip())
            to: IdentityDocument = await node.identities.resolve(idurl)

            async def send(number: int) -> None:
                sent = await node.require_messages().send(
                    to, {"message": f"message number {number} " + "x" * 80}
                )
                assert sent.state == "delivered", sent

            await one_after_another(send, 20)
            times = await one_after_another(send, 500)
            for share, goal in ((0.5, 5.0), (0.99, 25.0)):
                value = percentile(times, share)
                rows.append(
                    Row(
                        f"private: sent to acknowledged, p{share * 100:.0f}",
                        value,
                        "ms",
                        f"< {goal:g}",
                        value < goal,
                    )
                )
            cpu = processor_time(os.getpid()), processor_time(child.pid)
            sent, took = await sustained(send, seconds, 256)
            rate = sent / took
            rows.append(
                Row("private: one way, sustained", rate, "messages/s", ">= 1500", rate >= 1500)
            )
            for name, pid, before in (
                ("writer", os.getpid(), cpu[0]),
                ("reader", child.pid, cpu[1]),
            ):
                used = 1e6 * (processor_time(pid) - before) / sent
                rows.append(
                    Row(f"private: processor time of the {name}", used, "us each", "", None)
                )
            async with AsyncClient(folder / "writer") as client:

                async def call(number: int) -> None:
                    answer = await client.message_send(str(to.global_id), {"message": str(number)})
                    assert answer["state"] == "delivered", answer

                times = await one_after_another(call, 200)
            rows.append(
                Row("private: through the local API, p50", percentile(times, 0.5), "ms", "", None)
            )
        finally:
            child.terminate()
            await asyncio.to_thread(child.wait)
            await node.stop()
    return rows


async def pages(folder: Path) -> list[Row]:
    """Any page of a long history."""
    talk, me, you = "private_" + "ab" * 16, "alice@id.example.org", "bob@id.example.org"
    worst, found = 0.0, 0.0
    with ThreadPoolExecutor(2) as pool:
        history = await History.open(folder / "history.db", pool)
        for start in range(0, PAGES, 1000):
            await asyncio.gather(
                *(
                    history.add(
                        Message(
                            f"m{number:08}",
                            talk,
                            "private_message",
                            "incoming" if number % 2 else "outgoing",
                            me,
                            you,
                            {"message": f"message number {number}, word{number % 997}"},
                            float(number),
                        )
                    )
                    for number in range(start, start + 1000)
                )
            )
        for offset in range(0, PAGES, PAGES // 50):
            began = time.perf_counter()
            page = await history.page(talk, offset=offset)
            worst = max(worst, time.perf_counter() - began)
            assert len(page) == 100
        began = time.perf_counter()
        assert await history.search("word500 message")
        found = time.perf_counter() - began
        await history.close()
    return [
        Row(f"history of {PAGES:,}: slowest page", 1000 * worst, "ms", "< 20", worst < 0.02),
        Row(f"history of {PAGES:,}: search", 1000 * found, "ms", "", None),
    ]


def show(rows: list[Row]) -> None:
    """Print the table."""
    print("| what | measured | goal | |")
    print("|---|---|---|---|")
    for row in rows:
        mark = "" if row.met is None else "met" if row.met else "MISSED"
        print(f"| {row.name} | {row.value:,.2f} {row.unit} | {row.goal} | {mark} |")


async def run(folder: Path, seconds: float) -> list[Row]:
    """All measurements, one after the other."""
    return [*await private(folder, seconds), *await pages(folder)]


def main() -> None:
    """Measure, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for what is sustained")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--reader", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.reader:
        uvloop.run(reader(Path(given.reader[0]), int(given.reader[1])))
        return
    with tempfile.TemporaryDirectory(prefix="bitdust-bench-") as name:
        rows = uvloop.run(run(Path(name), given.seconds))
    show(rows)
    text = json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2)
    print("\n" + text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
