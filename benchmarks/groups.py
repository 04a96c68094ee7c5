"""How fast a group's messages travel: ``python benchmarks/groups.py [--seconds 5] [--json FILE]``.

Four whole nodes in four processes on loopback, files on this machine's disk: three members
write at the same time, three brokers replicate (two of the nodes are both). A message is committed
with a sync by its writer, by two brokers before it is acknowledged, and by each reader.
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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from bitdust.cli.testnet_ports import Ports
from bitdust.ids import IDURL
from bitdust.node import Node
from measure import machine
from messaging import READY, Row, configure, percentile, show

RATE = 800
"""Messages a second, from all members together."""
ARCHIVE = 100_000
WIDTH = 256


async def paced(node: Node, key_id: str, rate: float, seconds: float) -> list[float]:
    """Write at a rate; seconds from each call to its acknowledgement."""
    times: list[float] = []

    async def one(number: int) -> None:
        began = time.perf_counter()
        sent = await node.require_groups().send(key_id, {"message": f"number {number} " + "x" * 80})
        assert sent.sequence is not None, sent
        times.append(time.perf_counter() - began)

    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return times


async def other(home: Path, server: int, name: str) -> None:
    """Another process: a node that does what it is told by lines of text."""
    node = Node(home)
    await node.start()
    await node.create_identity(name, [f"127.0.0.1:{server}"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"{READY}{node.require_identity().document.idurl}", flush=True)
    while not stop.is_set():
        words = (await asyncio.to_thread(sys.stdin.readline)).split()
        if not words:
            break
        if words[0] == "join":
            began = time.perf_counter()
            await node.require_groups().join(words[1])
            view = node.require_groups().view(node.require_groups().get(words[1]))
            print(json.dumps([time.perf_counter() - began, view["last_sequence_id"]]), flush=True)
        else:
            times = await paced(node, words[1], float(words[2]), float(words[3]))
            print(json.dumps(times), flush=True)
    await node.stop()


class Other:
    """A process of ``other``."""

    def __init__(
        self, folder: Path, ports: Ports, server: int, name: str, **services: bool
    ) -> None:
        own = configure(folder / name, ports, server, False)
        for service, enabled in services.items():
            own.set(f"services/{service.replace('_', '-')}/enabled", enabled)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--other", str(folder / name), str(server), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    async def line(self, start: str = "[") -> str:
        """Its next answer."""
        assert self.process.stdout is not None
        while True:
            text = await asyncio.to_thread(self.process.stdout.readline)
            assert text, "a node ended"
            if text.startswith(start):
                return text.removeprefix(READY).strip()

    async def ask(self, command: str) -> Any:
        """Tell it to do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(await self.line())

    def end(self) -> None:
        """Stop it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def cpu_seconds(others: list[Other]) -> float:
    """Processor time that all nodes have used so far; it does not depend on the machine's load."""
    ticks = 0
    for pid in ("self", *(one.process.pid for one in others)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def fill(node: Node, key_id: str, count: int) -> float:
    """Write as fast as it goes; messages a second."""
    left = iter(range(count))
    began = time.perf_counter()

    async def loop() -> None:
        for number in left:
            await node.require_groups().send(key_id, {"message": f"number {number}"}, 60.0)

    await asyncio.gather(*(loop() for _ in range(WIDTH)))
    return count / (time.perf_counter() - began)


async def run(folder: Path, seconds: float, archive: int) -> list[Row]:
    """All measurements."""
    rows: list[Row] = []
    with Ports() as ports:
        server = ports.take()
        own = configure(folder / "first", ports, server, True)
        own.set("services/message-broker/enabled", False)
        node = Node(folder / "first")
        await node.start()
        others: list[Other] = []
        try:
            await node.create_identity("first", [f"127.0.0.1:{server}"])
            others = [
                Other(folder, ports, server, "second"),
                Other(folder, ports, server, "third"),
                Other(folder, ports, server, "broker", private_groups=False),
            ]
            idurls = [await one.line(READY) for one in others]
            node.settings.set("services/private-groups/preferred-brokers", ",".join(idurls))
            stored = node.require_keys().create("group_" + "00" * 16, 2048)
            key_id = str(stored.key_id)
            groups = node.require_groups()
            await groups.create(key_id, stored.public.fingerprint, "")
            await groups.join(key_id)
            assert len(groups.view(groups.get(key_id))["brokers"]) == 3
            documents = [await node.identities.resolve(IDURL.parse(i)) for i in idurls[:2]]
            for document, one in zip(documents, others, strict=False):
                await groups.share(key_id, document)
                await one.ask(f"join {key_id}")
            await paced(node, key_id, 100, 1.0)
            began, used = time.perf_counter(), cpu_seconds(others)
            share = RATE / 3
            everybody = await asyncio.gather(
                paced(node, key_id, share, seconds),
                *(one.ask(f"write {key_id} {share} {seconds}") for one in others[:2]),
            )
            took = time.perf_counter() - began
            times = [value for values in everybody for value in values]
            used = (cpu_seconds(others) - used) / len(times) * 1000
            reached = len(times) / took
            rows.append(
                Row("group: 3 write, ordered", reached, "messages/s", f">= {RATE}",
                    reached >= 0.97 * RATE)
            )  # fmt: skip
            rows.append(Row("group: processor, all four nodes", used, "s/1,000", "", None))
            for part, goal in ((0.5, 0.0), (0.99, 50.0)):
                value = percentile(times, part)
                rows.append(
                    Row(
                        f"group: sent to acknowledged, p{part * 100:.0f}",
                        value,
                        "ms",
                        f"< {goal:g}" if goal else "",
                        value < goal if goal else None,
                    )
                )
            rate = await fill(node, key_id, archive)
            rows.append(Row("group: one writes as fast as it can", rate, "messages/s", "", None))
            late = Other(folder, ports, server, "late", message_broker=False)
            others.append(late)
            document = await node.identities.resolve(IDURL.parse(await late.line(READY)))
            await groups.share(key_id, document)
            spent, last = await late.ask(f"join {key_id}")
            rate = last / spent
            rows.append(
                Row(f"group: catch-up of {last:,}", rate, "messages/s", ">= 10000", rate >= 10_000)
            )
        finally:
            for one in others:
                one.end()
            await node.stop()
    return rows


def main() -> None:
    """Measure, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for what is sustained")
    parser.add_argument("--archive", type=int, default=ARCHIVE, help="messages to catch up")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--other", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.other:
        home, server, name = given.other
        uvloop.run(other(Path(home), int(server), name))
        return
    with tempfile.TemporaryDirectory(prefix="bitdust-bench-") as name:
        rows = uvloop.run(run(Path(name), given.seconds, given.archive))
    show(rows)
    text = json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2)
    print("\n" + text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
