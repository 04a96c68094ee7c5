"""Nodes in memory under virtual time: reconnecting, duplicates, partitions, cut and bad bytes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from bitdust.errors import BitdustError, DeadlineExceeded, NetworkError, PeerUnreachable
from bitdust.network import (
    Call,
    Chunk,
    ContactState,
    Endpoint,
    Limits,
    Reply,
    SessionLimits,
)
from bitdust.testing import CutAfter, run_virtual

KIB = 1024
MIB = 1024 * KIB


def run(world: Any, scenario: Coroutine[Any, Any, None]) -> None:
    """Run on the virtual loop, stop all nodes, and see that nothing is left."""

    async def whole() -> None:
        try:
            await scenario
        finally:
            await world.stop()
        await asyncio.sleep(60)
        left = [task for task in asyncio.all_tasks() if task.get_coro().__name__ != "bounded"]  # type: ignore[union-attr]
        assert [task for task in left if task is not asyncio.current_task()] == []
        for node in world.nodes:
            assert node.network.connections() == []

    run_virtual(whole(), within=1e7)


async def echo(call: Call) -> Reply:
    return Reply(body=await call.read(64 * MIB))


def test_a_kept_contact_is_reached_again_after_a_cut(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        a.network.keep(b.id)
        await asyncio.sleep(100)
        assert a.network.status(b.id).state is ContactState.ONLINE
        assert world.net.cut("host0", "host1") == 1
        status = a.network.status(b.id)
        assert status.state is ContactState.OFFLINE
        assert "lost" in status.last_error
        assert status.kept
        await asyncio.sleep(5)
        assert a.network.status(b.id).state is ContactState.ONLINE
        a.network.release(b.id)
        world.net.cut("host0", "host1")
        await asyncio.sleep(1000)
        assert a.network.status(b.id).state is ContactState.OFFLINE

    run(world, scenario())


def test_the_back_off_grows_to_its_bound_and_a_new_address_ends_it(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        attempts: list[float] = []
        connect = world.net.connect

        async def count(source: Any, *args: Any) -> None:
            attempts.append(world.clock.monotonic())
            await connect(source, *args)

        world.net.connect = count
        a.network.learn(b.document)
        await b.network.stop()
        a.network.keep(b.id)
        await asyncio.sleep(3 * 3600)
        pauses = [later - sooner for sooner, later in pairwise(attempts)]
        assert 0.5 <= pauses[0] <= 1.0
        assert all(150 <= pause <= 300 for pause in pauses[12:])
        assert len(set(pauses[12:])) > 5  # jitter
        assert 40 <= len(attempts) <= 90
        assert a.network.status(b.id).next_attempt > world.clock.now()

        before = len(attempts)
        b.endpoint, b.revision = Endpoint("tcp", "host2", 1), 9
        a.network.learn(b.sign())
        await asyncio.sleep(1)
        assert len(attempts) == before + 1

    run(world, scenario())


def test_both_dial_at_once_and_one_connection_remains(world: Any) -> None:
    async def scenario() -> None:
        world.net.set_link("host0", "host1", latency=0.05)
        a, b = await world.node(0), await world.node(1)
        for one, other in ((a, b), (b, a)):
            one.network.handle("echo", echo)
            one.network.learn(other.document)
        seen: list[tuple[str, str]] = []
        for name, one in (("a", a), ("b", b)):
            one.events.on_event(lambda event, name=name: seen.append((name, event.event_id)))

        async def ask(one: Any, other: Any) -> None:
            for _ in range(200):
                response = await one.network.request(other.id, "echo", body=b"x" * 1000)
                assert await response.read(1000) == b"x" * 1000

        await asyncio.gather(ask(a, b), ask(b, a))
        await asyncio.sleep(30)
        (row,) = a.network.connections()
        assert row["state"] == "CONNECTED"
        assert len(b.network.connections()) == 1
        # The one dialled by the lower node id: its listener's address is the other's.
        dialled_by_a = row["host"] == f"host1:{b.endpoint.port}"
        assert dialled_by_a == (a.id < b.id)
        assert sorted(seen) == [("a", "node-connected"), ("b", "node-connected")]

    run(world, scenario())


def test_a_second_connection_replaces_one_that_only_the_other_side_lost(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        low, high = (a, b) if a.id < b.id else (b, a)
        low.network.learn(high.document)
        high.network.learn(low.document)
        await low.network.request(high.id, "ping")
        # The higher one loses it without the lower one hearing of it, and dials anew.
        (link,) = high.transport.links
        link.peer.peer = None
        link.peer = None
        link.break_(ConnectionResetError("lost"))
        await high.network.request(low.id, "ping")
        await asyncio.sleep(20)
        await low.network.request(high.id, "ping")
        assert len(low.network.connections()) == 1
        assert len(high.network.connections()) == 1

    run(world, scenario())


def test_a_partition_is_noticed_by_silence_and_healed(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        a.network.keep(b.id)
        await a.network.request(b.id, "ping")
        world.net.partition("host0", "host1")
        with pytest.raises(DeadlineExceeded):
            await a.network.request(b.id, "ping", timeout=10)
        await asyncio.sleep(46)
        assert a.network.status(b.id).state is not ContactState.ONLINE
        assert b.network.status(a.id).state is ContactState.OFFLINE
        world.net.heal("host0", "host1")
        await asyncio.sleep(400)
        assert a.network.status(b.id).state is ContactState.ONLINE

    run(world, scenario())


def test_an_idle_connection_stays_open_for_days(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        await a.network.request(b.id, "ping")
        (before,) = a.network.connections()
        await asyncio.sleep(3 * 86400)
        (after,) = a.network.connections()
        assert after["bytes_sent"] > before["bytes_sent"]
        assert a.network.status(b.id).state is ContactState.ONLINE

    run(world, scenario())


def test_a_small_request_overtakes_a_large_body_on_a_slow_line(world: Any) -> None:
    async def scenario() -> None:
        world.net.set_link("host0", "host1", latency=0.02, rate=1e6)
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        b.network.handle("echo", echo)
        await a.network.request(b.id, "ping")
        began = world.clock.monotonic()
        bulk = asyncio.ensure_future(
            a.network.request(b.id, "echo", body=bytes(20 * MIB), timeout=100)
        )
        await asyncio.sleep(3)
        for _ in range(3):
            start = world.clock.monotonic()
            await a.network.request(b.id, "ping")
            assert world.clock.monotonic() - start < 2.0  # the transport's own buffer, no more
        assert not bulk.done()
        assert len(await (await bulk).read(64 * MIB)) == 20 * MIB
        assert 40 < world.clock.monotonic() - began < 50  # there and back at 1 MB/s

    run(world, scenario())


def test_a_peer_that_dies_in_a_body_ends_it_on_both_sides(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        got = asyncio.Event()
        errors: list[BaseException] = []

        async def take(call: Call) -> Reply:
            try:
                async for _ in call.body():
                    got.set()
            except NetworkError as exc:
                errors.append(exc)
                raise
            except asyncio.CancelledError as exc:
                errors.append(exc)
                raise
            return Reply()

        async def endless() -> AsyncIterator[Chunk]:
            while True:
                yield bytes(64 * KIB)
                await asyncio.sleep(0.01)

        b.network.handle("take", take)
        request = asyncio.ensure_future(a.network.request(b.id, "take", body=endless()))
        await got.wait()
        world.net.cut("host0", "host1")
        with pytest.raises(NetworkError):
            await request
        await asyncio.sleep(1)
        assert len(errors) == 1
        assert (await a.network.request(b.id, "ping")).args == b""

    run(world, scenario())


@pytest.mark.parametrize("seed", range(6))
def test_the_line_breaks_at_any_byte_and_every_request_ends(world: Any, seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        until_break = chance.randrange(400_000)
        breaks = 0

        def tamper(source: str, target: str, data: bytes) -> bytes | CutAfter:
            nonlocal until_break, breaks
            if until_break < len(data):
                breaks += 1
                arrives, until_break = until_break, chance.randrange(1_500_000)
                return CutAfter(data[:arrives])
            until_break -= len(data)
            return data

        world.net.set_link("host0", "host1", latency=0.01)
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        b.network.handle("echo", echo)
        world.net.tamper = tamper
        ended: dict[str, int] = {"ok": 0, "failed": 0}

        async def ask(number: int) -> None:
            body = random.Random(number).randbytes(chance.randrange(60_000))
            try:
                response = await a.network.request(b.id, "echo", body=body, timeout=60)
                assert await response.read(64 * MIB) == body
                ended["ok"] += 1
            except NetworkError:
                ended["failed"] += 1

        for start in range(0, 100, 5):
            await asyncio.gather(*(ask(number) for number in range(start, start + 5)))
        assert breaks >= 3
        assert sum(ended.values()) == 100
        assert ended["ok"] > 20
        world.net.tamper = lambda source, target, data: data

    run(world, scenario())


@pytest.mark.parametrize("seed", range(6))
def test_damaged_bytes_end_the_connection_and_nothing_else(world: Any, seed: int) -> None:
    """TLS would catch these; without it the session has to, or the body's reader."""

    async def scenario() -> None:
        chance = random.Random(seed)

        def tamper(source: str, target: str, data: bytes) -> bytes:
            if chance.random() < 0.2:
                damaged = bytearray(data)
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
                return bytes(damaged)
            return data

        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        b.network.handle("echo", echo)
        world.net.tamper = tamper
        for _ in range(60):
            try:
                response = await a.network.request(b.id, "echo", body=b"y" * 1000, timeout=5)
                await response.read(64 * MIB)
            except BitdustError:
                pass
        world.net.tamper = lambda source, target, data: data
        await asyncio.sleep(100)
        assert (await a.network.request(b.id, "ping")).args == b""
        counted = sum(a.network.statistics.misbehaviours.values()) + sum(
            b.network.statistics.misbehaviours.values()
        )
        assert counted > 0

    run(world, scenario())


def test_a_recorded_connection_played_again_is_refused(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        recorded: list[bytes] = []

        def record(source: str, target: str, data: bytes) -> bytes:
            if source == "host0":
                recorded.append(data)
            return data

        world.net.tamper = record
        a.network.learn(b.document)
        await a.network.request(b.id, "ping")
        await a.network.stop()
        await asyncio.sleep(10)
        assert b.network.connections() == []

        class Player:
            """Dials and says what was recorded."""

            def connection_made(self, link: Any) -> None:
                link.write(recorded)

            def data_received(self, data: bytes) -> None: ...
            def pause_writing(self) -> None: ...
            def resume_writing(self) -> None: ...
            def connection_lost(self, error: Exception | None) -> None: ...

        thief = world.net.transport("host9")
        await thief.dial(b.endpoint, Player(), 5.0)
        await asyncio.sleep(10)
        assert b.network.statistics.misbehaviours == {"impersonation": 1}
        assert b.network.statistics.misbehaving_peers == {"host9": 1}
        assert b.network.status(a.id).state is ContactState.OFFLINE
        await thief.stop()

    run(world, scenario())


def test_a_relay_in_the_middle_is_refused_by_the_dialler(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)
        middle = world.net.transport("middle")

        class Half:
            """Passes everything on to the other half."""

            def __init__(self) -> None:
                self.link: Any = None
                self.other: Half | None = None
                self.early: list[bytes] = []

            def connection_made(self, link: Any) -> None:
                self.link = link
                link.write(self.early)

            def data_received(self, data: bytes) -> None:
                assert self.other is not None
                if self.other.link is None:
                    self.other.early.append(data)
                else:
                    self.other.link.write([data])

            def pause_writing(self) -> None: ...
            def resume_writing(self) -> None: ...
            def connection_lost(self, error: Exception | None) -> None: ...

        tasks: list[asyncio.Task[None]] = []

        def accept(remote: Endpoint) -> Half:
            inner, outer = Half(), Half()
            inner.other, outer.other = outer, inner
            tasks.append(asyncio.ensure_future(middle.dial(b.endpoint, outer, 5.0)))
            return inner

        endpoint = await middle.listen(Endpoint("tcp", "middle", 0), accept)
        with pytest.raises(NetworkError):
            await a.network.dial(endpoint, expect=b.id)
        assert a.network.statistics.misbehaviours == {"certificate": 1}
        assert a.network.status(b.id).state is ContactState.OFFLINE
        await asyncio.gather(*tasks)
        await middle.stop()

    run(world, scenario())


def test_an_idle_stranger_makes_room_when_all_places_are_taken(world: Any) -> None:
    async def scenario() -> None:
        hub = await world.node(0, limits=Limits(max_connections=2))
        others = [await world.node(number) for number in (1, 2, 3)]
        for other in others:
            other.network.learn(hub.document)
            await other.network.request(hub.id, "ping")
            await asyncio.sleep(1)
        states = [hub.network.status(other.id).state for other in others]
        assert states == [ContactState.OFFLINE, ContactState.ONLINE, ContactState.ONLINE]

    run(world, scenario())


def test_connections_in_use_are_not_closed_for_a_newcomer(world: Any) -> None:
    async def scenario() -> None:
        hub = await world.node(0, limits=Limits(max_connections=1))
        busy, late = await world.node(1), await world.node(2)
        gate = asyncio.Event()

        async def hold(call: Call) -> Reply:
            await gate.wait()
            return Reply()

        hub.network.handle("hold", hold)
        for other in (busy, late):
            other.network.learn(hub.document)
        held = asyncio.ensure_future(busy.network.request(hub.id, "hold", timeout=1000))
        await asyncio.sleep(1)
        with pytest.raises(PeerUnreachable):
            await late.network.request(hub.id, "ping")
        assert hub.network.statistics.refused_connections == {"connections": 1}
        gate.set()
        await held
        await late.network.request(hub.id, "ping")

    run(world, scenario())


def test_a_body_nobody_reads_is_given_up(world: Any) -> None:
    async def scenario() -> None:
        session = SessionLimits(stall_after=30.0)
        a = await world.node(0, limits=Limits(session=session))
        b = await world.node(1, limits=Limits(session=session))
        a.network.learn(b.document)

        async def serve(call: Call) -> Reply:
            return Reply(body=bytes(20 * MIB))

        b.network.handle("serve", serve)
        response = await a.network.request(b.id, "serve")
        await asyncio.sleep(60)
        assert b.network.streams() == []
        with pytest.raises(NetworkError):
            await response.read(64 * MIB)
        assert a.network.buffered == 0
        assert (await a.network.request(b.id, "ping")).args == b""

    run(world, scenario())


def test_a_peer_that_asks_for_much_and_reads_nothing_holds_few_bodies(world: Any) -> None:
    async def scenario() -> None:
        a = await world.node(0)
        b = await world.node(1, limits=Limits(max_handlers_per_peer=2))
        a.network.learn(b.document)
        made = 0

        async def serve(call: Call) -> Reply:
            nonlocal made
            made += 1
            return Reply(body=bytes(20 * MIB))

        b.network.handle("serve", serve)
        requests = [
            asyncio.ensure_future(a.network.request(b.id, "serve", timeout=50)) for _ in range(6)
        ]
        await asyncio.sleep(5)
        assert made == 2
        for _ in range(3):
            done = [request for request in requests if request.done()]
            assert len(done) == 2
            for request in done:
                requests.remove(request)
                assert len(await (await request).read(20 * MIB)) == 20 * MIB
            await asyncio.sleep(1)
        assert made == 6

    run(world, scenario())


def test_a_node_without_a_fit_document_fails_its_handshakes_at_once(world: Any) -> None:
    async def scenario() -> None:
        a, b = await world.node(0), await world.node(1)

        def no_document() -> Any:
            raise RuntimeError("no identity")

        object.__setattr__(a.network._around, "document", no_document)
        began = world.clock.monotonic()
        with pytest.raises(NetworkError):
            await a.network.dial(b.endpoint)
        assert world.clock.monotonic() - began < 1
        await asyncio.sleep(1)
        assert b.network.connections() == []

    run(world, scenario())


def test_disconnecting_lets_what_is_under_way_end(world: Any) -> None:
    async def scenario() -> None:
        world.net.set_link("host0", "host1", latency=0.1, rate=1e6)
        a, b = await world.node(0), await world.node(1)
        a.network.learn(b.document)
        b.network.handle("echo", echo)
        request = asyncio.ensure_future(a.network.request(b.id, "echo", body=bytes(MIB)))
        await asyncio.sleep(0.6)
        a.network.disconnect(b.id)
        assert len(await (await request).read(MIB)) == MIB
        await asyncio.sleep(1)
        assert a.network.connections() == []
        assert b.network.connections() == []

    run(world, scenario())
