"""The operations on devices, as any interface calls them."""

from __future__ import annotations

import os
from typing import Any

from bitdust.api import Registry, build_registry
from bitdust.api.dispatch import dispatch
from bitdust.client import DeviceClient
from bitdust.devices import PairingClient, public_key
from bitdust.node import Node


class Caller:
    def __init__(self, node: Node, registry: Registry) -> None:
        self.node = node
        self.registry = registry

    async def __call__(self, method: str, **given: Any) -> dict[str, Any]:
        return await dispatch(self.node, self.registry.named(method), given)

    async def result(self, method: str, **given: Any) -> Any:
        envelope = await self(method, **given)
        assert envelope["status"] == "OK", envelope
        return envelope.get("result")


async def test_a_device_from_its_beginning_to_its_end(node: Node) -> None:
    call = Caller(node, build_registry())
    assert await call.result("device_list") == []
    made = await call.result("device_add", name="phone", web_socket_port=0, key_size=2048)
    assert made["active"]
    assert set(made) == {"name", "active", "size", "url", "urls", "meta", "instance"}
    await call.result("device_add", name="car", activate=False)
    rows = await call.result("devices_list", sort=True)
    assert [row["name"] for row in rows] == ["car", "phone"]
    assert rows[0]["instance"] is None
    machines = await call.result("automats_list")
    (machine,) = [row for row in machines if row["name"] == "EncryptedWebSocket"]
    assert machine["state"] == "CLIENT_PUB?"

    generated = await call.result("device_authorization_generate", name="phone")
    authorization = generated["authorization"]
    assert generated["instance"]["pairing"]
    assert authorization["attempts"] == 3
    await DeviceClient.pair(authorization["link"])
    shown = await call.result("device_info", name="phone")
    assert shown["instance"]["state"] == "READY"
    assert not shown["instance"]["pairing"]
    assert shown["meta"]["client_public_key"]
    assert "key" not in str(shown["meta"].keys() - {"client_public_key"})

    reset = await call.result("device_authorization_reset", name="phone")
    assert reset["meta"]["client_public_key"] is None
    assert (
        await call.result("device_authorization_client_code", name="phone", client_code="77777777")
        is None
    )
    assert await DeviceClient.pair(shown["url"], "7777-7777")

    stopped = await call.result("device_stop", name="phone")
    assert not stopped["active"]
    started = await call.result("device_start", name="phone", wait_listening=True)
    assert started["instance"]["state"] == "READY"
    assert await call.result("device_remove", name="phone") is None
    assert (await call("device_info", name="phone"))["code"] == "not_found"


async def test_a_key_named_beforehand_is_the_only_one(node: Node) -> None:
    call = Caller(node, build_registry())
    await call.result("device_add", name="phone", web_socket_port=0)
    static = os.urandom(32)
    requested = await call.result(
        "device_authorization_request",
        name="phone",
        client_public_key=public_key(static).hex(),
        client_code="my-own-code",
    )
    assert len(requested["authorization"]["server_public_key"]) == 64

    from websockets.asyncio.client import connect

    device = PairingClient("MY0WNC0DE", static, "", lambda: os.urandom(32), os.urandom)
    async with connect(requested["url"], proxy=None) as socket:
        message = device.begin()
        for _ in range(2):
            await socket.send(message)
            answer = await socket.recv()
            assert isinstance(answer, bytes)
            message = device.receive(answer)
        await socket.send(message)
        last = await socket.recv()
    assert device.node_key.hex() == requested["authorization"]["server_public_key"]
    assert device.channel is not None
    assert isinstance(last, bytes)
    assert b'"paired"' in (device.channel.open(last) or b"")
    for key in ("", "zz" * 32, "ab" * 31, "ab" * 33, " " + "ab" * 32):
        refused = await call(
            "device_authorization_request",
            name="phone",
            client_public_key=key,
            client_code="my-own-code",
        )
        assert refused["code"] == "invalid_input", key
        assert "client_public_key" in refused["errors"][0]
    short = await call("device_authorization_client_code", name="phone", client_code="1122")
    assert short["code"] == "invalid_input"


async def test_what_is_switched_off_says_so(node: Node) -> None:
    call = Caller(node, build_registry())
    refused = await call("device_router_info")
    assert refused["code"] == "service_off"
    assert "web_socket_router" in refused["errors"][0]
    await call.result("device_add", name="phone", web_socket_port=0)
    await call.result("service_stop", service_name="web_socket_communicator")
    refused = await call("devices_list")
    assert refused["code"] == "service_off"
    await call.result("service_start", service_name="web_socket_communicator")
    assert [row["active"] for row in await call.result("devices_list")] == [True]
