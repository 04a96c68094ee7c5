"""Devices that come in through routers: real sockets, dead and hostile routers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bitdust.client import Credential, DeviceClient
from bitdust.clock import SystemClock
from bitdust.devices import (
    MAX_CLIENTS_PER_ROUTE,
    MAX_ROUTED,
    Devices,
    Routed,
    RouteKind,
    check_confirmation,
    confirmation,
    read_registration,
    read_routed,
    registration,
    route_of,
    write_routed,
)
from bitdust.errors import AccessDenied, NotRunning, PeerUnreachable, PortInUse
from bitdust.node import Node
from bitdust.servers import DeviceRouter

Until = Callable[..., Awaitable[None]]
Routers = list[DeviceRouter]
DEAD = "ws://127.0.0.1:9/" + "0" * 32


@pytest.fixture
async def routers(node: Node) -> AsyncIterator[Routers]:
    """Three routers, which the node prefers."""
    made = [DeviceRouter("127.0.0.1", 0, "127.0.0.1", SystemClock()) for _ in range(3)]
    for router in made:
        await router.start()
    names = ",".join(f"127.0.0.1:{router.port}" for router in made)
    node.settings.set("services/web-socket-communicator/preferred-routers", names)
    yield made
    for router in made:
        await router.stop()


@pytest.fixture
async def routed(devices: Devices, routers: Routers, until: Until) -> dict[str, Any]:
    """A routed device that all routers know."""
    await devices.add("phone", routed=True, activate=True, host="", port=None, full_access=False)
    await until(lambda: len(devices.info("phone")["urls"]) == len(routers))
    return devices.info("phone")


async def paired(devices: Devices, urls: list[str]) -> Credential:
    return await DeviceClient.pair(urls, devices.open_code("phone")["client_code"])


async def test_a_device_pairs_and_calls_through_a_router(
    devices: Devices, node: Node, routers: Routers, routed: dict[str, Any]
) -> None:
    assert routed["instance"]["state"] == "CLIENT_PUB?"
    assert len(routed["instance"]["connected_routers"]) == 3
    assert set(routed["instance"]["active_routers"].values()) == set(routed["urls"])
    credential = await paired(devices, routed["urls"])
    assert set(credential.urls) == set(routed["urls"])
    async with DeviceClient(credential) as client:
        await client.process_health()
        node.events.publish("supplier-connected", text="x" * 200_000)
        async with asyncio.timeout(20):
            async for event_id, data in client.events():
                if event_id == "supplier-connected":
                    assert len(data["text"]) == 200_000
                    break
        number = routed["urls"].index(client.url)
        info = routers[number].info()
        assert info["routes"][0]["route_url"] == client.url
        assert info["routes"][0]["client_connected"]
        assert info["nodes_bytes"] > 200_000
        assert info["clients_bytes"] > 0


async def test_the_next_router_is_used_when_the_first_is_dead(
    devices: Devices, routers: Routers, routed: dict[str, Any], until: Until
) -> None:
    credential = await paired(devices, [DEAD, *routed["urls"]])
    async with DeviceClient(credential) as client:
        first = client.url
        await routers[routed["urls"].index(first)].stop()
        with pytest.raises(NotRunning):
            await client.call("event_listen", consumer_callback_id="c")
    async with DeviceClient(credential) as client:
        assert client.url != first
        await client.process_health()
    await until(lambda: first not in devices.info("phone")["urls"])


async def test_a_router_without_the_route_is_passed_over(
    devices: Devices, routers: Routers, routed: dict[str, Any]
) -> None:
    other = DeviceRouter("127.0.0.1", 0, "127.0.0.1", SystemClock())
    await other.start()
    try:
        empty = f"ws://127.0.0.1:{other.port}/{routed['urls'][0].rpartition('/')[2]}"
        credential = await paired(devices, [empty, *routed["urls"]])
        assert credential.name == "phone"
        with pytest.raises(PeerUnreachable):
            await DeviceClient.pair([empty, DEAD], "ABCDEFGH")
    finally:
        await other.stop()


async def test_a_wrong_code_is_refused_through_a_router_too(
    devices: Devices, routed: dict[str, Any]
) -> None:
    code = devices.open_code("phone")["client_code"]
    with pytest.raises(AccessDenied):
        await DeviceClient.pair(routed["urls"][0], "WRONG-COD")
    assert (await DeviceClient.pair(routed["urls"][0], code)).name == "phone"


async def test_a_routed_device_is_cut_off_at_once(
    devices: Devices, routed: dict[str, Any], routers: Routers, until: Until
) -> None:
    credential = await paired(devices, routed["urls"])
    async with DeviceClient(credential) as client:
        await client.process_health()
        await devices.reset("phone")
        with pytest.raises(NotRunning):
            await client.process_health()
    with pytest.raises(AccessDenied):
        async with DeviceClient(credential):
            pytest.fail("it came in")
    await devices.stop_device("phone")
    await until(lambda: not any(router.info()["routes"] for router in routers))


async def test_a_router_that_lies_reads_and_changes_nothing(
    devices: Devices, node: Node, until: Until
) -> None:
    """It answers clients itself, sends nodes nonsense, and changes what it passes on."""
    heard: list[bytes] = []

    async def liar(connection: ServerConnection) -> None:
        first = await connection.recv()
        assert isinstance(first, bytes)
        await connection.send(confirmation(route_of(read_registration(first))))
        for number in range(3):
            await connection.send(write_routed(Routed(RouteKind.OPEN, number)))
            data = os.urandom(5 + 50 * number)
            await connection.send(write_routed(Routed(RouteKind.DATA, number, data)))
        await connection.send(write_routed(Routed(RouteKind.DATA, 77, b"for nobody")))
        answers = 0
        while answers < 3:
            raw = await connection.recv()
            assert isinstance(raw, bytes)
            heard.append(raw)
            answers += read_routed(raw).kind is RouteKind.CLOSE
        await connection.send(b"\xff nonsense")
        await connection.wait_closed()

    async with serve(liar, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        name = f"127.0.0.1:{port}"
        node.settings.set("services/web-socket-communicator/preferred-routers", name)
        await devices.add(
            "phone", routed=True, activate=True, host="", port=None, full_access=False
        )
        await until(lambda: len(heard) == 3)
        await until(lambda: not devices.info("phone")["urls"])
    assert {read_routed(raw).kind for raw in heard} == {RouteKind.CLOSE}
    assert devices.info("phone")["instance"]["state"] == "ROUTERS?"


@pytest.mark.parametrize("first", [b"junk", b"BDR\x01" + bytes(31), "text"])
async def test_a_router_turns_away_what_is_no_node(routers: Routers, first: bytes | str) -> None:
    async with connect(f"ws://127.0.0.1:{routers[0].port}/", proxy=None) as raw:
        await raw.send(first)
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(raw.recv(), 20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4400
    assert routers[0].info()["routes"] == []


async def test_a_route_belongs_to_whoever_has_its_secret(routers: Routers) -> None:
    secret = os.urandom(32)
    url = f"ws://127.0.0.1:{routers[0].port}/"
    async with connect(url, proxy=None) as old, connect(url, proxy=None) as new:
        for socket in (old, new):
            await socket.send(registration(secret))
            answer = await socket.recv()
            assert isinstance(answer, bytes)
            check_confirmation(answer, route_of(secret))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(old.recv(), 20)
        async with connect(url + route_of(secret), proxy=None) as client:
            opened = await new.recv()
            assert isinstance(opened, bytes)
            assert read_routed(opened).kind is RouteKind.OPEN
            await client.send(b"sealed")
            data = await new.recv()
            assert isinstance(data, bytes)
            assert read_routed(data).data == b"sealed"
            await new.send(write_routed(Routed(RouteKind.DATA, read_routed(data).client, b"back")))
            assert await client.recv() == b"back"
        closed = await new.recv()
        assert isinstance(closed, bytes)
        assert read_routed(closed).kind is RouteKind.CLOSE
        await new.send(write_routed(Routed(RouteKind.DATA, 12345, b"to nobody")))
        await new.send(bytes(3))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(new.recv(), 20)


async def test_a_router_bounds_clients_and_messages(routers: Routers, until: Until) -> None:
    secret = os.urandom(32)
    url = f"ws://127.0.0.1:{routers[0].port}/"
    async with connect(url, proxy=None) as node:
        await node.send(registration(secret))
        await node.recv()
        clients = [
            await connect(url + route_of(secret), proxy=None) for _ in range(MAX_CLIENTS_PER_ROUTE)
        ]
        for _ in clients:
            await node.recv()
        async with connect(url + route_of(secret), proxy=None) as more:
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(more.recv(), 20)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4429
        await clients[0].send(bytes(MAX_ROUTED + 1))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(clients[0].recv(), 20)
        closed = await node.recv()
        assert isinstance(closed, bytes)
        assert read_routed(closed).kind is RouteKind.CLOSE
        await node.close()
        for client in clients[1:]:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(client.recv(), 20)
    await until(lambda: not routers[0].info()["routes"])


async def test_the_port_of_a_router_is_taken(routers: Routers) -> None:
    other = DeviceRouter("127.0.0.1", routers[0].port, "127.0.0.1", SystemClock())
    with pytest.raises(PortInUse):
        await other.start()
    await other.stop()
