"""What only the real DHT has: ports, state files, unreachable entrances, quick ends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bitdust.clock import SystemRandom
from bitdust.dht import Item, LibtorrentDht, layer_topic, public_of
from bitdust.dht.libtorrent_wire import LibtorrentWire
from bitdust.dht.ownership import open_seed, record_salt
from bitdust.dht.session import DEFAULT_BOOTSTRAP, DhtOptions, parse_state, session_settings
from bitdust.errors import DhtError, FormatError, InvalidSetting, PortInUse

DEADLINE = 15.0


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def begin(stack: AsyncExitStack, **options: object) -> LibtorrentDht:
    node = LibtorrentDht(private=True, **options)  # type: ignore[arg-type]
    await node.start()
    stack.push_async_callback(node.stop)
    return node


async def test_two_nodes_are_a_dht(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    second = await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"])
    assert await second.joined()
    assert await first.joined()
    assert (await second.set_value("k", [1, 2])).success
    assert (await first.get_value("k")).value == [1, 2]
    first.announce(layer_topic(3), 7001)
    async with asyncio.timeout(DEADLINE):
        while await second.peers(layer_topic(3)) != [("127.0.0.1", 7001)]:
            await asyncio.sleep(0.05)


async def test_a_node_alone_says_so_at_once(stack: AsyncExitStack) -> None:
    node = await begin(stack)
    began = time.monotonic()
    written = await node.set_value("k", 1)
    assert not written.success
    assert written.reason
    assert not (await node.get_value("k")).found
    assert await node.peers(layer_topic(3)) == []
    assert await node.find_nodes() == []
    assert not await node.joined(timeout=0.1)
    assert time.monotonic() - began < 5.0


async def test_unreachable_entrances_harm_nobody(stack: AsyncExitStack) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{silent.getsockname()[1]}"
        node = await begin(stack, bootstrap=[dead, "nobody.invalid:6881"])
        assert not await node.joined(timeout=0.5)
        began = time.monotonic()
        assert await node.peers(layer_topic(3), timeout=0.5) == []
        assert not (await node.get_value("k", timeout=0.5)).found
        late = await node.set_value("k", 1, timeout=0.5)
        assert not late.success
        assert late.reason
        assert time.monotonic() - began < 6.0
        began = time.monotonic()
        await node.stop()
        assert time.monotonic() - began < 3.0


async def test_nodes_that_died_cost_a_time_out_and_no_more(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    others = [await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"]) for _ in range(2)]
    for node in (first, *others):
        assert await node.joined()
    await asyncio.gather(*(node.stop() for node in others))
    began = time.monotonic()
    missing = await first.get_value("k", timeout=0.5)
    assert (missing.found, missing.reason) == (False, "the DHT did not answer within 0.5 seconds")
    late = await first.set_value("k", 1, timeout=0.5)
    assert (late.success, late.reason) == (
        False,
        "the DHT did not take the record within 0.5 seconds",
    )
    assert await first.find_nodes(timeout=2.0) == []
    assert time.monotonic() - began < 8.0
    assert first.local_db_dump() == {}


async def test_peers_are_found_quickly_although_many_nodes_died(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    entrance = [f"127.0.0.1:{first.port}"]
    others = [await begin(stack, bootstrap=entrance) for _ in range(6)]
    last = await begin(stack, bootstrap=entrance)
    topic = layer_topic(3)
    for number, node in enumerate(others):
        node.announce(topic, 7001 + number)
    async with asyncio.timeout(DEADLINE):
        while len(await last.peers(topic)) < len(others):
            await asyncio.sleep(0.05)
    await asyncio.gather(*(node.stop() for node in others[:3]))
    began = time.monotonic()
    assert {port for _, port in await last.peers(topic)} >= {7004, 7005, 7006}
    assert time.monotonic() - began < 4.0


async def test_a_record_is_put_again_by_its_writer(stack: AsyncExitStack) -> None:
    options = DhtOptions(interface="127.0.0.1", bootstrap=(), private=True)
    reader = LibtorrentWire(options, SystemRandom())
    await reader.start()
    stack.push_async_callback(reader.stop)
    writer = await begin(stack, bootstrap=[f"127.0.0.1:{reader.port}"])
    assert await writer.joined()
    assert (await writer.set_value("k", 1)).success
    salt = record_salt("skip_validation", b"k", 0)
    public_key = public_of(open_seed(salt))

    async def current() -> Item:
        async with asyncio.timeout(DEADLINE):
            while (item := await reader.get_item(public_key, salt)) is None:
                await asyncio.sleep(0.05)
        return item

    before = await current()
    # The network is young, so the record is put again after a second and not only after an hour.
    async with asyncio.timeout(DEADLINE):
        while (after := await current()).seq == before.seq:
            await asyncio.sleep(0.05)
    assert after.seq > before.seq
    assert after.value == before.value


async def test_a_public_node_has_an_id_once_its_entrances_are_resolved(
    stack: AsyncExitStack,
) -> None:
    node = LibtorrentDht(interface="127.0.0.1", bootstrap=["nobody.invalid:6881"])
    await node.start()
    stack.push_async_callback(node.stop)
    async with asyncio.timeout(DEADLINE):
        while node.my_id == bytes(20):
            await asyncio.sleep(0.05)
    began = time.monotonic()
    assert await node.peers(layer_topic(3), timeout=0.5) == []
    assert not (await node.set_value("k", 1, timeout=0.5)).success
    assert time.monotonic() - began < 6.0


async def test_the_entrance_may_come_up_later(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    port = first.port
    await first.stop()
    second = await begin(stack, bootstrap=[f"127.0.0.1:{port}"])
    assert not await second.joined(timeout=0.3)
    await begin(stack, port=port)
    assert await second.joined(timeout=DEADLINE)


async def test_a_restarted_node_remembers_whom_it_knew(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    state = tmp_path / "metadata" / "dht.state"
    first = await begin(stack)
    second = await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"], state_path=state)
    third = await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"])
    assert await third.joined()
    assert await second.joined()
    assert (await third.set_value("k", "v")).success
    await second.stop()
    assert 0 < state.stat().st_size < 10_000
    assert [path.name for path in state.parent.iterdir()] == ["dht.state"]

    again = await begin(stack, state_path=state)
    assert await again.joined(timeout=DEADLINE)
    assert (await again.get_value("k")).value == "v"


@pytest.mark.parametrize("damage", [b"", b"garbage", b"d9:dht state", b"x" * 2_000_000])
async def test_a_damaged_state_file_is_ignored(
    stack: AsyncExitStack, tmp_path: Path, damage: bytes
) -> None:
    state = tmp_path / "dht.state"
    state.write_bytes(damage)
    first = await begin(stack)
    node = await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"], state_path=state)
    assert await node.joined(timeout=DEADLINE)
    await node.stop()
    assert state.read_bytes() != damage


def test_state_files_are_read_with_care() -> None:
    nodes = b"6:\x7f\x00\x00\x01\x1a\xe16:\x7f\x00\x00\x01\x00\x003:abci5e"
    six = b"18:" + bytes(15) + b"\x01\x1a\xe1"
    good = b"d9:dht stated5:nodesl" + nodes + b"e6:nodes6l" + six + b"eee"
    assert parse_state(good) == [("127.0.0.1", 6881), ("::1", 6881)]
    assert parse_state(b"d9:dht stated5:nodesi5eee") == []
    many = b"d9:dht stated5:nodesl" + b"6:\x7f\x00\x00\x01\x1a\xe1" * 5000 + b"eee"
    assert len(parse_state(many)) == 200
    for bad in (b"", b"le", b"i5e", b"d9:dht statei5ee", good[:-1], b"l" * 5000, bytes(2**20 + 1)):
        with pytest.raises(FormatError):
            parse_state(bad)


async def test_a_taken_port_is_named(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    with pytest.raises(PortInUse) as caught:
        await begin(stack, port=first.port)
    assert str(first.port) in caught.value.message
    assert caught.value.hint
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with pytest.raises(PortInUse):
            await begin(stack, port=udp.getsockname()[1])


async def test_an_interface_that_is_not_there_is_named(stack: AsyncExitStack) -> None:
    with pytest.raises(DhtError):
        await begin(stack, interface="203.0.113.7")


@pytest.mark.parametrize(
    "node", ["host", "host:", ":1", "host:0", "host:65536", "host:1x", "a,b:1", "a b:1", "ü:1"]
)
def test_bootstrap_nodes_are_checked(node: str) -> None:
    with pytest.raises(InvalidSetting):
        LibtorrentDht(bootstrap=[node])


def test_the_public_dht_keeps_its_protections_and_knows_its_entrances() -> None:
    public = session_settings(DhtOptions())
    assert public["dht_bootstrap_nodes"] == ",".join(DEFAULT_BOOTSTRAP)
    assert not [name for name in public if "restrict" in name or "enforce" in name]
    assert not public["enable_upnp"]
    assert not public["enable_lsd"]
    private = session_settings(DhtOptions(private=True, interface="::1", bootstrap=()))
    assert private["dht_bootstrap_nodes"] == ""
    assert private["dht_restrict_routing_ips"] is False
    assert private["listen_interfaces"] == "[::1]:0"


async def test_names_of_networks_separate_topics_and_records(stack: AsyncExitStack) -> None:
    first = await begin(stack, network="lab")
    second = await begin(stack, network="lab", bootstrap=[f"127.0.0.1:{first.port}"])
    other = await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"])
    for node in (first, second, other):
        assert await node.joined()
    assert (await first.set_value("k", 1)).success
    assert (await second.get_value("k")).found
    assert not (await other.get_value("k")).found


async def test_the_loop_is_never_held_up(stack: AsyncExitStack) -> None:
    pool = ThreadPoolExecutor(2)
    stack.callback(pool.shutdown)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - began)

    watcher = asyncio.create_task(watch())
    first = await begin(stack, executor=pool)
    nodes = [
        await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"], executor=pool) for _ in range(5)
    ]
    for node in nodes:
        assert await node.joined()
    noise = SystemRandom().token(24_000).hex()
    assert (await nodes[0].set_value("k", noise)).success
    assert (await nodes[4].get_value("k")).value == noise
    for node in nodes:
        await node.stop()
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    # Other work on the machine may hold up any process; blocking calls would take seconds.
    assert longest < 0.5


@pytest.mark.slow
async def test_sixty_nodes_form_a_network_within_seconds(stack: AsyncExitStack) -> None:
    first = await begin(stack)
    nodes = [await begin(stack, bootstrap=[f"127.0.0.1:{first.port}"]) for _ in range(59)]
    topic = layer_topic(3)
    for number, node in enumerate(nodes):
        node.announce(topic, 7000 + number)
    async with asyncio.timeout(30.0):
        while len(await first.peers(topic)) < len(nodes):
            await asyncio.sleep(0.1)
        while not (await nodes[7].set_value("k", "v")).success:
            await asyncio.sleep(0.1)
        for node in nodes:
            while (await node.get_value("k")).value != "v":
                await asyncio.sleep(0.1)
