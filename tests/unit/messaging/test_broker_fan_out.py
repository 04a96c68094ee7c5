"""Three brokers and a group of a thousand members in one process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bitdust.errors import PeerUnreachable
from bitdust.messaging import Broker, BrokerService, BrokerStore
from bitdust.messaging.group_keys import EpochKey
from bitdust.messaging.group_wire import (
    APPEND,
    ATTACH,
    HIRE,
    PUSH,
    ZERO,
    Append,
    Attach,
    Attached,
    Entry,
    Genesis,
    Hire,
    Kind,
    Page,
    Pushed,
    Taken,
    decode_entries,
    encode_entries,
    entry_hash,
)
from bitdust.network import Call, Reply, Response
from bitdust.network.loopback import ask_oneself
from bitdust.testing import SeededRandom, VirtualClock, run_virtual
from bitdust.testing.memory_world import InlineExecutor

MEMBERS = 1000


class Hub:
    """A network in which every request arrives at once."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, dict[str, Any]] = {}


class Port:
    def __init__(self, hub: Hub, me: bytes) -> None:
        self._hub = hub
        self._me = me
        self._handlers = hub.nodes[me] = {}

    def handle(self, method: str, handler: Any) -> None:
        self._handlers[method] = handler

    async def request(
        self, node_id: bytes, method: str, args: Any = None, *, body: Any = b"", timeout: float
    ) -> Response:
        await asyncio.sleep(0)
        if node_id not in self._hub.nodes:
            raise PeerUnreachable("gone")
        caller: Any = SimpleNamespace(node_id=self._me)
        handlers = self._hub.nodes[node_id]
        return await ask_oneself(handlers, caller, method, args, body, timeout)


class Writer:
    """A member that signs; what it says is not encrypted, for brokers do not look."""

    def __init__(self, hub: Hub, number: int, stream: bytes, key: EpochKey) -> None:
        self.me = number.to_bytes(32, "big")
        self.port = Port(hub, self.me)
        self.port.handle(PUSH, self.on_push)
        self.sign = Ed25519PrivateKey.from_private_bytes(self.me)
        self.sender = self.sign.public_key().public_bytes_raw()
        self.stream, self.key = stream, key
        self.got: list[bytes] = []
        self.counter, self.last = 0, ZERO

    async def on_push(self, call: Call) -> Reply:
        page = call.decode(Page)
        assert page.start == len(self.got)
        self.got += decode_entries(await call.read(1 << 22))
        return Reply(Pushed(len(self.got)))

    async def attach(self, broker: bytes) -> Attached:
        ask = Attach(self.stream, 0, self.sender, len(self.got), True, 0)
        message = ask.message(self.me, broker)
        ask = msgspec.structs.replace(
            ask, proof=self.key.prove(message), sent=self.sign.sign(message)
        )
        return (await self.port.request(broker, ATTACH, ask, timeout=5.0)).decode(Attached)

    def entry(self, content: bytes) -> bytes:
        self.counter += 1
        bare = Entry(Kind.MESSAGE, 0, self.sender, self.counter, self.last, b"", content, b"")
        signature = self.sign.sign(bare.message(self.stream))
        raw = msgspec.structs.replace(bare, signature=signature).encode()
        self.last = entry_hash(raw)
        return raw

    async def append(self, broker: bytes, raws: list[bytes]) -> Taken:
        response = await self.port.request(
            broker, APPEND, Append(self.stream), body=encode_entries(raws), timeout=30.0
        )
        return response.decode(Taken)


async def start_brokers(folder: Path, hub: Hub, quota: int = 1 << 30) -> list[BrokerService]:
    async def introduce(node_id: bytes, idurl: str) -> None:
        assert idurl.startswith("http://")

    services = []
    for number in range(3):
        me = bytes([200 + number]) * 32
        store = await BrokerStore.open(folder / f"{number}.db", InlineExecutor())
        service = BrokerService(
            Port(hub, me), store, me, VirtualClock(), SeededRandom(number), introduce,
            max_streams=4, quota=quota,
        )  # fmt: skip
        await service.start()
        services.append(service)
    return services


async def hire(hub: Hub, key: EpochKey) -> tuple[Writer, list[Broker]]:
    brokers = [Broker(bytes([200 + n]) * 32, f"http://b/{n}.xml") for n in range(3)]
    owner = Ed25519PrivateKey.from_private_bytes((1).to_bytes(32, "big"))
    genesis = Genesis(bytes(32), owner.public_key().public_bytes_raw(), key.access, brokers)
    writer = Writer(hub, 1, genesis.stream, key)
    for broker in brokers:
        ask = Hire(genesis.encode(), 0, key.access, b"", brokers, True)
        proof = key.prove(ask.message(writer.me, broker.node))
        ask = msgspec.structs.replace(ask, proof=proof)
        (await writer.port.request(broker.node, HIRE, ask, timeout=5.0)).close()
    return writer, brokers


async def find_leader(services: list[BrokerService]) -> bytes:
    async with asyncio.timeout(60):
        while True:
            for service in services:
                for hosted in service.streams.values():
                    if hosted.leads:
                        return hosted.core.me
            await asyncio.sleep(0.1)


def test_a_thousand_members_get_everything_in_one_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub, key = Hub(), EpochKey(bytes(32))
        services = await start_brokers(tmp_path, hub)
        first, _ = await hire(hub, key)
        leader = await find_leader(services)
        members = [first, *(Writer(hub, n, first.stream, key) for n in range(2, MEMBERS + 1))]
        for member in members:
            state = await member.attach(leader)
            assert state.leader == leader
        for member in members[:20]:
            taken = await member.append(leader, [member.entry(b"x" * 100) for _ in range(10)])
            assert len(taken.places) == 10
            assert not taken.reason
        async with asyncio.timeout(60):
            while any(len(member.got) < 200 for member in members):
                await asyncio.sleep(0.05)
        assert all(member.got == members[0].got for member in members)
        # again in the same words: the same places, nothing twice
        again = members[0]
        again.counter, again.last = 0, ZERO
        taken = await again.append(leader, [again.entry(b"x" * 100) for _ in range(10)])
        assert taken.places == list(range(10))
        await asyncio.sleep(1.0)
        assert len(again.got) == 200
        for service in services:
            (row,) = service.views()
            assert row["length"] == 200
            await service.stop()

    run_virtual(scenario())


def test_what_is_over_its_bounds_is_not_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub, key = Hub(), EpochKey(bytes(32))
        services = await start_brokers(tmp_path, hub, quota=5000)
        writer, _ = await hire(hub, key)
        leader = await find_leader(services)
        await writer.attach(leader)
        taken = await writer.append(leader, [writer.entry(b"x" * 1000) for _ in range(8)])
        assert (len(taken.places), taken.reason) == (4, "quota")
        for raw, reason in (
            (b"\x00", "format"),
            (Writer(hub, 9, writer.stream, key).entry(b"x"), "sender"),
        ):
            assert (await writer.append(leader, [raw])).reason == reason
        other = next(s for s in services if not next(iter(s.streams.values())).leads)
        me = next(iter(other.streams.values())).core.me
        await writer.attach(me)
        assert (await writer.append(me, [b"x"])).reason == "leader"
        for service in services:
            await service.stop()

    run_virtual(scenario())
