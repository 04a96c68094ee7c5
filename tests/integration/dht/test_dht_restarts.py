"""Nodes that come back on the port they had: searches by the others must come to their end."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import libtorrent as lt
import pytest

from bitdust.dht import DhtNode, LibtorrentDht
from bitdust.dht.door import ANSWERS_PER_SECOND, Door, make_answer, read_query
from bitdust.errors import FormatError, PortInUse

NODES = 8
BUSY = 400
"""Packets a second of a node that answers a few questions; a storm is ten thousand."""


def free_ports(count: int) -> list[int]:
    with HeldPorts() as sockets:
        return [sockets.port() for _ in range(count)]


class HeldPorts:
    """Holds ports until all are taken, so that none is given twice."""

    def __enter__(self) -> HeldPorts:
        self._held: list[socket.socket] = []
        return self

    def port(self) -> int:
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held.bind(("127.0.0.1", 0))
        self._held.append(held)
        return int(held.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        for held in self._held:
            held.close()


class Village:
    """Private nodes on fixed ports, of which some are stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(NODES)
        self.nodes: dict[int, LibtorrentDht] = {}

    async def start(self, port: int) -> None:
        entrances = [f"127.0.0.1:{other}" for other in self.ports[:2] if other != port]
        state = self.folder / f"{port}.state"
        node = LibtorrentDht(port, bootstrap=entrances, private=True, state_path=state)
        await node.start()
        self.nodes[port] = node

    async def restart(self, ports: list[int]) -> None:
        await asyncio.gather(*(self.nodes[port].stop() for port in ports))
        await asyncio.gather(*map(self.start, ports))
        for port in ports:
            assert await self.nodes[port].joined()

    async def packets(self, seconds: float) -> dict[int, float]:
        """Packets a second that each node sends."""
        before = {port: (await node.stats()).packets_out for port, node in self.nodes.items()}
        await asyncio.sleep(seconds)
        after = {port: (await node.stats()).packets_out for port, node in self.nodes.items()}
        return {port: (after[port] - before[port]) / seconds for port in before}


@pytest.fixture
async def village(tmp_path: Path) -> AsyncIterator[Village]:
    async with AsyncExitStack() as stack:
        made = Village(tmp_path)
        for port in made.ports:
            await made.start(port)
            stack.push_async_callback(lambda port=port: made.nodes[port].stop())
        for node in made.nodes.values():
            assert await node.joined()
        yield made


@pytest.mark.slow
async def test_searches_end_although_nodes_came_back_on_their_ports(village: Village) -> None:
    chance = random.Random(7)

    async def ask(node: LibtorrentDht) -> None:
        await node.get_value(f"k{chance.randrange(6)}", timeout=1.0)

    for _ in range(4):
        await village.restart(chance.sample(village.ports, 3))
        for _ in range(4):
            await asyncio.gather(*map(ask, village.nodes.values()))
    rates = await village.packets(2.0)
    assert max(rates.values()) < BUSY, rates
    assert [(await node.stats()).dropped for node in village.nodes.values()] == [0] * NODES


async def test_a_node_that_came_back_is_a_full_member(village: Village) -> None:
    first, last = village.ports[0], village.ports[-1]
    await village.restart([first])
    assert (await village.nodes[first].set_value("k", "from the entrance")).success
    async with asyncio.timeout(30.0):
        while (await village.nodes[last].get_value("k")).value != "from the entrance":
            await asyncio.sleep(0.1)
    ids = {node.node_id for node in await village.nodes[last].find_nodes()}
    assert village.nodes[last].my_id not in ids


async def test_a_door_names_its_node_and_nothing_else() -> None:
    inside = [DhtNode(bytes([n]) * 20, f"10.0.0.{n}", 1000 + n) for n in range(1, 20)]
    door = Door(lambda: inside)
    await door.open("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.connect(("127.0.0.1", door.port))
            for noise in (b"", b"x", b"d1:ad2:id20:", b"i7e", lt.bencode({b"y": b"r", b"t": b"1"})):
                await loop.sock_sendall(asker, noise or b"\0")
            query = {b"q": b"find_node", b"t": b"ab", b"y": b"q", b"a": {b"id": bytes(20)}}
            await loop.sock_sendall(asker, lt.bencode(query))
            async with asyncio.timeout(10.0):
                answer = lt.bdecode(await loop.sock_recv(asker, 2000))
            assert isinstance(answer, dict)
            assert (answer[b"t"], answer[b"y"]) == (b"ab", b"r")
            nodes = answer[b"r"][b"nodes"]
            assert len(nodes) == 8 * 26
            assert nodes[:26] == bytes([1]) * 20 + bytes([10, 0, 0, 1]) + (1001).to_bytes(2, "big")
            assert b"token" not in answer[b"r"], "nothing is to be stored at a door"
        other = Door(lambda: inside)
        with pytest.raises(PortInUse):
            await other.open("127.0.0.1", door.port)
    finally:
        door.close()


async def test_a_door_answers_so_many_a_second() -> None:
    sent: list[bytes] = []

    class Counter:
        def sendto(self, data: bytes, addr: object) -> None:
            sent.append(data)

    door = Door(list)
    door._transport = Counter()  # type: ignore[assignment]
    query = lt.bencode({b"q": b"ping", b"t": b"a", b"y": b"q"})
    for _ in range(3 * ANSWERS_PER_SECOND):
        door.datagram_received(query, ("127.0.0.1", 9))
    assert ANSWERS_PER_SECOND <= len(sent) <= 2 * ANSWERS_PER_SECOND


@pytest.mark.parametrize(
    "query",
    [
        {b"y": b"q", b"t": b"", b"q": b"ping"},
        {b"y": b"q", b"t": b"x" * 33, b"q": b"ping"},
        {b"y": b"q", b"t": 7, b"q": b"ping"},
        {b"y": b"q", b"t": b"x", b"q": b"put"},
        {b"y": b"q", b"t": b"x", b"q": b"announce_peer"},
        {b"y": b"q", b"t": b"x", b"q": [b"ping"]},
        {b"y": b"q", b"t": b"x", b"q": b"ping", b"a": b"x" * 1500},
        [b"ping"],
    ],
)
def test_a_door_answers_proper_questions_only(query: object) -> None:
    with pytest.raises(FormatError):
        read_query(lt.bencode(query))  # type: ignore[arg-type]


def test_newcomers_over_ipv6_get_nodes_of_their_kind() -> None:
    nodes = [DhtNode(bytes(20), "::1", 7), DhtNode(bytes(20), "127.0.0.1", 8)]
    answer = lt.bdecode(make_answer(b"t", bytes(20), nodes, v6=True))
    assert isinstance(answer, dict)
    assert answer[b"r"][b"nodes6"] == bytes(20) + bytes(15) + b"\1" + b"\0\7"
