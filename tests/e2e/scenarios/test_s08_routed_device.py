"""S8: a device reaches a node through web socket routers; when one is dead, the next is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import SUPPLIER, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_ports import Ports
from bitdust.client import DeviceClient
from bitdust.errors import AccessDenied, NotFound

Eventually = Callable[..., Any]
NAME = "tablet"
ROUTERS = [f"{SUPPLIER}-{number}" for number in (1, 2, 3)]
CONNECTED_WITHIN = 150.0
LOST_WITHIN = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture
def routers(network: Testnet) -> Iterator[dict[str, int]]:
    """Three suppliers that are routers too, by name, with their ports."""
    with Ports() as ports:
        chosen = {name: ports.take() for name in ROUTERS}
        for name, port in chosen.items():
            api = network.api(name)
            api.post("/config/set/v1", key="services/web-socket-router/port", value=port)
            api.post("/service/start/v1", service_name="web_socket_router")
        yield chosen
        for name in chosen:
            if network.member(name).daemon.alive:
                network.api(name).post("/service/stop/v1", service_name="web_socket_router")


@pytest.fixture
def alice(customer: NodeApi) -> Iterator[NodeApi]:
    yield customer
    with suppress(NotFound):
        customer.result("DELETE", "/device/remove/v1", {"name": NAME})


def test_s08_a_routed_device(
    network: Testnet,
    alice: NodeApi,
    routers: dict[str, int],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    alice.post("/device/add/v1", name=NAME, routed=True, activate=False)
    alice.post("/device/start/v1", name=NAME, wait_listening=True)

    def connected() -> list[str]:
        shown = alice.get("/device/info/v1", name=NAME)
        return list(shown["instance"]["active_routers"].values())

    urls = eventually(
        lambda: found if len(found := connected()) == len(routers) else None, CONNECTED_WITHIN
    )
    served = {name: network.api(name).get("/device/router/info/v1") for name in routers}
    assert {info["routes"][0]["route_url"] for info in served.values()} == set(urls)

    first = urls[0]
    dead = next(name for name, port in routers.items() if f":{port}/" in first)
    network.kill(dead)
    code = alice.post("/device/authorization/generate/v1", name=NAME)["authorization"][
        "client_code"
    ]
    credential = tmp_path / "tablet.json"
    asyncio.run(DeviceClient.pair(urls, code, credential))
    with pytest.raises(AccessDenied):
        asyncio.run(DeviceClient.pair(urls, code))

    async def use() -> str:
        async with DeviceClient(credential) as client:
            own = await client.identity_get()
            assert own["global_id"] == alice.get("/identity/get/v1")["global_id"]
            await asyncio.to_thread(
                alice.post, "/event/send/v1", event_id="from-home", data={"text": "x" * 50_000}
            )
            async with asyncio.timeout(60):
                async for event_id, data in client.events():
                    if event_id == "from-home":
                        assert len(data["text"]) == 50_000
                        break
            return client.url

    used = asyncio.run(use())
    assert used != first
    assert used in urls
    router = next(name for name, port in routers.items() if f":{port}/" in used)
    info = network.api(router).get("/device/router/info/v1")
    assert info["nodes_bytes"] > 50_000
    assert info["clients_bytes"] > 0

    # the dead one comes back, and the node with it, by itself
    network.resume(dead)
    eventually(lambda: first in connected(), CONNECTED_WITHIN)

    # everything goes away while the device is connected: it is told, and finds its way again
    network.halt("customer-1")
    network.resume("customer-1")
    eventually(lambda: len(connected()) == len(routers), CONNECTED_WITHIN)
    assert asyncio.run(use()) in urls
    alice.post("/device/authorization/reset/v1", name=NAME)
    with pytest.raises(AccessDenied):
        asyncio.run(use())
