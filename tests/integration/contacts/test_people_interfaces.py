"""Friends and pings as clients of every generation see them, on whole nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.api.rpc import build_rpc_table
from bitdust.events import Subscription
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER

REGISTRY = build_registry()
TABLE = build_rpc_table(REGISTRY)


async def person(grid: Grid, name: str) -> Node:
    node = await grid.start(
        name, services__supplier__enabled=False, services__customer__enabled=False
    )
    await node.create_identity(name, [NAME_SERVER])
    return node


async def told(pushes: Subscription, name: str, state: str) -> dict[str, Any]:
    """The next push of a model that shows a state."""
    while True:
        for event in await pushes.collect():
            if event.data["name"] == name and event.data["data"]["state"] == state:
                return event.data


def test_models_of_friends_and_presence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice = await person(grid, "alice")
            await person(grid, "bob")
            for model in ("correspondent", "online_status"):
                await alice.models.enable(model, send=True)
            pushes = alice.models.bus.subscribe(1000)
            added = await dispatch(
                alice,
                REGISTRY.named("friend_add"),
                {"trusted_user_id": "bob@names.test", "alias": "Bobby"},
            )
            assert added["status"] == "OK"
            row = await told(pushes, "correspondent", "CONNECTED")
            assert row["id"] == "bob@names.test"
            assert (row["data"]["alias"], row["data"]["username"]) == ("Bobby", "bob")
            grid.network.partition("alice", "bob")  # the session stands, and is silent
            row = await told(pushes, "online_status", "OFFLINE")
            assert row["data"]["global_id"] == "bob@names.test"
            grid.network.heal("alice", "bob")
            await told(pushes, "correspondent", "CONNECTED")
            await dispatch(alice, REGISTRY.named("friend_remove"), {"user_id": "Bobby"})
            while True:
                events = [event.data for event in await pushes.collect()]
                if any(e["name"] == "correspondent" and "deleted" in e for e in events):
                    break

    run_virtual(scenario())


def test_older_names(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            idurl = str(bob.require_identity().idurl)

            async def call(name: str, *values: Any) -> Any:
                method = TABLE.method(name)
                envelope = await method.call(alice, method.named(list(values)))
                assert envelope["status"] == "OK", envelope
                return envelope.get("result")

            assert "is your friend" in await call("add_correspondent", idurl, "Bobby")
            assert await call("list_correspondents") == [{"idurl": idurl, "nickname": "Bobby"}]
            assert "answered" in await call("ping", idurl)
            assert "answered" in await call("user_ping", "bob@names.test", 10, 0)
            [status] = await call("user_status", idurl)
            assert status["contact_state"] == "CONNECTED"
            [status] = await call("user_status_check", idurl, 5)
            assert status["contact_status"] == "online"
            [row] = await call("friend_list")
            assert (row["global_id"], row["alias"]) == ("bob@names.test", "Bobby")
            assert "no longer" in await call("remove_correspondent", idurl)
            assert "is your friend" in await call("friend_add", "bob@names.test", "")
            assert "no longer" in await call("friend_remove", "bob@names.test")
            assert await call("list_correspondents") == []
            key_id = str(alice.require_keys().create("photos", 1024).key_id)
            assert (await call("key_share", key_id, idurl, True))["known"] is False
            assert (await call("key_audit", key_id, "bob@names.test", True))["audited"] is True
            # the spellings of a person that clients of the second generation use
            for name in ("id", "idurl", "global_id", "user_id"):
                answer = await dispatch(alice, REGISTRY.named("user_status"), {name: idurl})
                assert answer["status"] == "OK", name

    run_virtual(scenario())
