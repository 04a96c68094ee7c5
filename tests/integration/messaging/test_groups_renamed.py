"""A group whose maker moves: known by its new name to all, with what was written before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

REGISTRY = build_registry()
SERVERS = "names.test,other.test"


async def call(node: Node, method: str, **values: object) -> Any:
    envelope = await dispatch(node, REGISTRY.operations[method], values)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


async def person(grid: Grid, name: str) -> Node:
    node = await grid.start(
        name,
        services__customer__enabled=False,
        services__supplier__enabled=False,
        services__identity_propagate__known_servers=SERVERS,
        services__identity_propagate__min_servers=1,
        services__identity_propagate__max_servers=1,
        services__message_broker__enabled=name.startswith("broker"),
        services__private_groups__enabled=not name.startswith("broker"),
    )
    await node.create_identity(name, ["names.test"])
    return node


async def texts(node: Node, key_id: str) -> list[str]:
    rows = await call(node, "message_history", recipient_id=key_id) or []
    return [row["doc"]["payload"]["data"]["message"] for row in rows]


def test_a_group_is_known_by_its_new_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await person(grid, f"broker-{number}")
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            made = await call(alice, "group_create", label="friends", key_size=1024)
            old = made["group_key_id"]
            await call(alice, "group_join", group_key_id=old)
            await call(alice, "group_share", group_key_id=old, trusted_user_id=str(bob.global_id))
            await call(bob, "group_join", group_key_id=old)
            for node, text in ((alice, "one"), (bob, "two")):
                await call(node, "message_send_group", group_key_id=old, data={"message": text})
            await grid.clock.sleep(5.0)

            moved = await call(alice, "identity_rotate")
            new = f"{old.partition('$')[0]}${moved['global_id']}"
            assert new != old

            def named(node: Node) -> bool:
                return node.groups is not None and set(node.groups.rows) == {new}

            for node in (alice, bob):
                await grid.until(lambda node=node: named(node))  # type: ignore[misc]
                await call(node, "group_join", group_key_id=new)
            # under either name, and after a restart too
            await call(bob, "message_send_group", group_key_id=old, data={"message": "three"})
            await grid.stop("alice")
            alice = await grid.start("alice")
            await grid.until(lambda: named(alice))
            await call(alice, "group_join", group_key_id=new)
            await call(alice, "message_send_group", group_key_id=new, data={"message": "four"})
            await grid.clock.sleep(5.0)
            for node in (alice, bob):
                assert await texts(node, new) == ["one", "two", "three", "four"]
                [talk] = await call(node, "message_conversations_list")
                assert (talk["key_id"], talk["events"]) == (new, 4)
            carol = await person(grid, "carol")
            await call(alice, "group_share", group_key_id=new, trusted_user_id=str(carol.global_id))
            await call(carol, "group_join", group_key_id=new)
            await grid.clock.sleep(5.0)
            assert await texts(carol, new) == ["one", "two", "three", "four"]

    run_virtual(scenario())
