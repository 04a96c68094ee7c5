"""A node that lets devices in, over real sockets, without DHT and identity."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.client import Credential, DeviceClient
from bitdust.config import Settings
from bitdust.devices import Devices
from bitdust.node import Node

Until = Callable[..., Awaitable[None]]
DEADLINE = 30.0


@pytest.fixture
def until() -> Until:
    """Waits until something is so."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    home = tmp_path / "home"
    settings = Settings(home)
    settings.set("services/entangled-dht/enabled", False)
    settings.set("services/network/enabled", False)
    made = Node(home, serve=False)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def devices(node: Node) -> Devices:
    return node.require_devices()


@pytest.fixture
def add(devices: Devices) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Enters a direct device on a free port."""

    async def enter(name: str = "phone", **given: Any) -> dict[str, Any]:
        options = {"routed": False, "activate": True, "host": "localhost", "port": 0}
        return await devices.add(name, **{**options, "full_access": False, **given})

    return enter


@pytest.fixture
async def paired(devices: Devices, add: Callable[..., Any], tmp_path: Path) -> Path:
    """The credential file of a device that was paired."""
    await add()
    path = tmp_path / "phone.json"
    made = await DeviceClient.pair(devices.open_code("phone")["link"], path=path, label="my phone")
    assert isinstance(made, Credential)
    return path
