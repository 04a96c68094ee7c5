"""Models: what WebSocket clients are told of, on whole nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.events import Subscription
from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

REGISTRY = build_registry()


async def ask(node: Node, method: str, **arguments: Any) -> Any:
    envelope = await dispatch(node, REGISTRY.named(method), arguments)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


async def told(pushes: Subscription, name: str, item: str) -> dict[str, Any]:
    """The next push about an item."""
    while True:
        for event in await pushes.collect():
            if event.data["name"] == name and event.data["id"].endswith(item):
                return event.data


def test_everything_that_changes_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            for model in ("service", "key", "online_status", "private_file", "remote_version"):
                await ask(alice, "enable_model_listener", model_name=model)
            pushes = alice.models.bus.subscribe(1000)

            await ask(alice, "key_create", key_alias="photos", key_size=1024)
            key = await told(pushes, "key", "photos$alice@names.test")
            assert key["data"]["alias"] == "photos"
            assert "deleted" not in key
            assert "PRIVATE" not in str(key)
            await ask(alice, "key_erase", key_id="photos$alice@names.test")
            assert "deleted" in await told(pushes, "key", "photos$alice@names.test")

            (tmp_path / "file").write_bytes(b"hello")
            remote = RemotePath.parse(f"master${alice.global_id}:file")
            await alice.require_storage().file_upload_start(
                str(tmp_path / "file"), remote, wait_result=True
            )
            row: dict[str, Any] = {"data": {"versions": []}}
            while not row["data"]["versions"]:
                row = await told(pushes, "private_file", "")
            assert row["data"]["remote_path"] == str(remote)

            await ask(alice, "service_stop", service_name="keys_storage")
            service = await told(pushes, "service", "service_keys_storage")
            assert (service["data"]["state"], service["data"]["enabled"]) == ("OFF", False)

            await grid.stop("s0")
            status = await told(pushes, "online_status", "s0@names.test")
            assert status["data"]["state"] == "OFFLINE"

            await ask(alice, "disable_model_listener", model_name="service")
            await ask(alice, "service_start", service_name="keys_storage")
            await grid.clock.sleep(5)
            later = [event.data["name"] for event in await drain(alice, pushes)]
            assert "service" not in later

    run_virtual(scenario())


async def drain(node: Node, pushes: Subscription) -> list[Any]:
    await ask(node, "request_model_data", model_name="key")
    return await pushes.collect()


def test_many_items_reach_a_reader_with_a_small_queue(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            node = await grid.start("nobody")
            rows = {str(number): {"n": number} for number in range(1000)}

            async def many() -> dict[str, dict[str, Any]]:
                return rows

            node.models._sources["service"] = many
            pushes = node.models.bus.subscribe(100)
            heard: list[str] = []

            async def read() -> None:
                while len(heard) < len(rows):
                    heard.extend(event.data["id"] for event in await pushes.collect())

            reader = asyncio.create_task(read())
            await ask(node, "enable_model_listener", model_name="service", request_all=True)
            await reader
            assert heard == list(rows)
            assert not pushes.dropped

    run_virtual(scenario())


def test_unknown_and_empty_models(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            node = await grid.start("nobody")
            wrong = await dispatch(
                node, REGISTRY.named("enable_model_listener"), {"model_name": "nothing"}
            )
            assert "model_name" in wrong["errors"][0]
            pushes = node.models.bus.subscribe()
            await ask(node, "enable_model_listener", model_name="message", request_all=True)
            await ask(node, "enable_model_listener", model_name="key", request_all=True)
            await ask(node, "request_model_data", model_name="service")
            names = {event.data["name"] for event in await pushes.collect()}
            assert names == {"service"}

    run_virtual(scenario())
