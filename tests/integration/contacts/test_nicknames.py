"""Nicknames among whole nodes: several holders, renaming, going away. Memory, virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import build_registry
from bitdust.api.dispatch import perform
from bitdust.api.parameters import Context
from bitdust.api.rpc import build_rpc_table
from bitdust.errors import InvalidName
from bitdust.events import Event
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

QUIET = {"services__supplier__enabled": False, "services__customer__enabled": False}
REGISTRY = build_registry()


async def call(node: Node, name: str, **raw: Any) -> Any:
    entry = REGISTRY.operations[name]
    envelope = await perform(node, entry, entry.bind(raw, Context(node.global_id)))
    assert envelope["status"] == "OK", envelope
    return envelope["result"]


async def person(grid: Grid, name: str, nickname: str = "") -> Node:
    node = await grid.start(name, personal__nickname=nickname, **QUIET)
    await node.create_identity(name, ["names.test"])
    await grid.until(lambda: node.nicknames is not None)
    return node


async def settle(grid: Grid) -> None:
    await grid.clock.sleep(3.0)


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["global_id"] for row in rows}


def test_scenario_1_known_unknown_and_exactly_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            await settle(grid)
            assert await call(alice, "user_search", nickname="Bob") == {
                "result": "exist",
                "nickname": "bob",
                "position": 0,
                "global_id": str(bob.global_id),
                "idurl": str(bob.require_identity().document.idurl),
            }
            assert await call(alice, "user_search", nickname="carol", attempts=2) == {
                "result": "not exist",
                "nickname": "carol",
                "position": -1,
                "global_id": "",
                "idurl": "",
            }
            rows = await call(alice, "user_observe", nickname="bob")
            assert [row["position"] for row in rows] == [0]
            assert await call(alice, "user_observe", nickname="carol") == []

    run_virtual(scenario())


def test_three_people_hold_one_nickname_and_one_goes_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            reader = await person(grid, "reader")
            holders = [await person(grid, f"person-{n}", "Robin Hood") for n in range(3)]
            await settle(grid)
            everybody = {str(node.global_id) for node in holders}
            rows = await call(reader, "user_observe", nickname="robin hood ")
            assert ids(rows) == everybody
            assert [row["position"] for row in rows] == [0, 1, 2]
            # one of the holders sees itself among them, in the same order
            assert await call(holders[0], "user_observe", nickname="ROBIN HOOD") == rows
            assert (await call(reader, "user_search", nickname="Robin Hood"))[
                "global_id"
            ] in everybody
            with pytest.raises(InvalidName) as caught:
                await reader.find_person("Robin Hood")
            assert "3 people" in caught.value.message

            # One is switched off. Who met it within a day still knows it, a newcomer does not.
            gone = str(holders[2].global_id)
            await grid.stop("person-2")
            assert ids(await call(reader, "user_observe", nickname="Robin Hood")) == everybody
            newcomer = await person(grid, "newcomer")
            await settle(grid)
            started = grid.clock.monotonic()
            found = ids(await call(newcomer, "user_observe", nickname="Robin Hood"))
            assert found == everybody - {gone}
            assert grid.clock.monotonic() - started < 46.0
            await grid.clock.sleep(25 * 3600.0)
            assert ids(await call(reader, "user_observe", nickname="Robin Hood")) == found

    run_virtual(scenario())


def test_a_new_nickname_is_found_and_the_old_one_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            await settle(grid)
            assert (await call(alice, "nickname_get"))["nickname"] == "alice"
            assert (await call(bob, "user_search", nickname="alice"))["result"] == "exist"
            seen: list[Event] = []
            others: list[Event] = []
            alice.events.on_event(seen.append)
            bob.events.on_event(others.append)
            answer = await call(alice, "nickname_set", nickname=" Queen of Hearts ")
            seen = [event for event in seen if "nickname" in event.event_id]
            assert not [event for event in others if "nickname" in event.event_id]
            assert answer["result"] == "registered"
            assert answer["nickname"] == "Queen of Hearts"
            assert [(e.event_id, e.data) for e in seen] == [
                (
                    "nickname-changed",
                    {"nickname": "Queen of Hearts", "old_nickname": "alice"},
                )
            ]
            await settle(grid)
            found = await call(bob, "user_search", nickname="queen of hearts")
            assert found["global_id"] == str(alice.global_id)
            # still announced under the old name for half an hour, but nobody proves it
            assert (await call(bob, "user_search", nickname="alice"))["result"] == "not exist"
            assert (await call(bob, "nickname_get"))["searches"]["refused"] >= 1

            # the name stays over a restart, and may come from the settings too
            await grid.stop("alice")
            alice = await grid.start("alice")
            await grid.until(lambda: alice.nicknames is not None)
            assert (await call(alice, "nickname_get"))["nickname"] == "Queen of Hearts"
            await call(alice, "config_set", key="personal/nickname", value="")
            assert (await call(alice, "nickname_get"))["nickname"] == "alice"
            await call(alice, "config_set", key="personal/nickname", value="bad\u200bname")
            assert (await call(alice, "nickname_get"))["nickname"] == "alice"

    run_virtual(scenario())


def test_older_names_answer_in_their_shapes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            await settle(grid)
            table = build_rpc_table(REGISTRY)
            for name in ("find_peer_by_nickname", "user_search"):
                method = table.method(name)
                answer = await method.call(alice, method.named(["bob"]))
                assert [row["global_id"] for row in answer["result"]] == [str(bob.global_id)]
            method = table.method("nickname_set")
            assert (await method.call(bob, method.named(["rob"])))["result"][0]["nickname"] == "rob"
            method = table.method("nickname_get")
            assert (await method.call(bob, {}))["result"][0]["nickname"] == "rob"

    run_virtual(scenario())


def test_a_search_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            await settle(grid)
            gate = asyncio.Event()

            async def hang(*_: Any) -> Any:
                await gate.wait()

            assert bob.nicknames is not None
            bob.nicknames._sign = hang  # type: ignore[method-assign]
            search = asyncio.create_task(call(alice, "user_search", nickname="bob"))
            await grid.until(lambda: alice.require_nicknames().counts.asked == 1)
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)
            assert search.cancelled()
            assert not [t for t in asyncio.all_tasks() if t.get_name() == "ask nickname"]

    run_virtual(scenario())
