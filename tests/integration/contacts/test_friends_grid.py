"""Friends in a network in memory: comings and goings, and a list that survives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import friends as api
from bitdust.api.envelope import Answer
from bitdust.api.parameters import Person
from bitdust.errors import AlreadyExists, InvalidInput, NotFound, PeerRefused, PeerUnreachable
from bitdust.events import Event
from bitdust.network import ContactState
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER

QUIET = {"services__supplier__enabled": False, "services__customer__enabled": False}


async def person(grid: Grid, name: str) -> Node:
    node = await grid.start(name, **QUIET)
    await node.create_identity(name, [NAME_SERVER])
    return node


def heard(node: Node) -> list[Event]:
    events: list[Event] = []

    def take(event: Event) -> None:
        if event.event_id.startswith("friend-"):
            events.append(event)

    node.events.on_event(take)
    return events


def ids(events: list[Event]) -> list[str]:
    return [event.event_id for event in events]


async def befriend(node: Node, name: str, alias: str = "") -> dict[str, Any]:
    answer = await api.friend_add.function(node, Person(name), alias=alias)
    assert isinstance(answer, Answer)
    return dict(answer.result)


def test_friends_come_and_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            events = heard(alice)
            row = await befriend(alice, "bob@names.test", "Bobby")
            assert (row["global_id"], row["alias"]) == ("bob@names.test", "Bobby")
            await befriend(bob, "http://names.test/alice.xml")
            await grid.until(lambda: len(events) == 2)
            assert ids(events) == ["friend-added", "friend-connected"]
            assert events[1].data["alias"] == "Bobby"
            [row] = await api.friends_list.function(alice)
            assert row["contact_status"] == "online"
            assert row["state"] == row["contact_state"] == "CONNECTED"
            status = await api.user_status.function(alice, Person("Bobby"))
            assert status["contact_state"] == "CONNECTED"
            # away, and back
            begun = grid.clock.monotonic()
            await grid.stop("bob")
            await grid.until(lambda: ids(events)[2:] == ["friend-disconnected"])
            assert grid.clock.monotonic() - begun < 3.0
            status = await api.user_status_check.function(alice, Person("bob@names.test"))
            assert status["contact_status"] == "offline"
            await grid.clock.sleep(2000.0)  # alice looks for bob rarely now, but bob for alice
            begun = grid.clock.monotonic()
            bob = await grid.start("bob", **QUIET)
            await grid.until(lambda: ids(events)[3:] == ["friend-connected"])
            assert grid.clock.monotonic() - begun < 3.0
            # alice's node is started again: the list is there
            await grid.stop("alice")
            alice = await grid.start("alice", **QUIET)
            await grid.until(lambda: alice.require_friends().state(bob_id(bob)) == "CONNECTED")
            [row] = await api.friends_list.function(alice)
            assert (row["global_id"], row["alias"]) == ("bob@names.test", "Bobby")
            events = heard(alice)
            await api.friend_remove.function(alice, Person("Bobby"))
            assert ids(events) == ["friend-removed"]
            assert await api.friends_list.function(alice) == []
            with pytest.raises(NotFound):
                await api.friend_remove.function(alice, Person("bob@names.test"))
            await grid.stop("bob")
            await grid.clock.sleep(10.0)
            assert ids(events) == ["friend-removed"], "nobody asks about strangers"

    run_virtual(scenario())


def bob_id(node: Node) -> bytes:
    return node.require_identity().node_id


def test_a_friend_that_is_none_the_other_way_is_noticed_as_soon(tmp_path: Path) -> None:
    """Bob has nobody on his list; his node calls on alice's when it comes back."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            events = heard(alice)
            await befriend(alice, "bob@names.test")
            await grid.until(lambda: "friend-connected" in ids(events))
            watchers = tmp_path / "grid" / "bob" / "metadata" / "watchers"
            await grid.until(watchers.exists)
            assert watchers.stat().st_mode & 0o777 == 0o600
            await grid.stop("bob")
            await grid.clock.sleep(5000.0)
            assert ids(events)[-1] == "friend-disconnected"
            begun = grid.clock.monotonic()
            bob = await grid.start("bob", **QUIET)
            await grid.until(lambda: ids(events)[-1] == "friend-connected")
            assert grid.clock.monotonic() - begun < 3.0
            # no friends any more: bob calls no more
            await api.friend_remove.function(alice, Person("bob@names.test"))
            await grid.clock.sleep(30.0)
            await grid.stop("bob")
            await grid.clock.sleep(30.0)
            bob = await grid.start("bob", **QUIET)
            await grid.clock.sleep(30.0)
            known = alice.require_network().status(bob_id(bob)).state
            assert known is ContactState.OFFLINE
            # a damaged list is no reason not to start
            await grid.stop("bob")
            watchers.write_bytes(b"nonsense")
            bob = await grid.start("bob", **QUIET)
            assert bob.friends is not None

    run_virtual(scenario())


def test_a_friend_that_hangs_is_away_within_seconds(tmp_path: Path) -> None:
    """The connection stands, and nothing comes over it."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            events = heard(alice)
            await befriend(alice, "bob@names.test")
            await grid.until(lambda: "friend-connected" in ids(events))
            await grid.clock.sleep(60.0)
            assert ids(events) == ["friend-added", "friend-connected"]
            begun = grid.clock.monotonic()
            grid.network.partition("alice", "bob")
            await grid.until(lambda: "friend-disconnected" in ids(events))
            assert grid.clock.monotonic() - begun < 10.0
            assert alice.require_network().status(bob_id(bob)).state is ContactState.ONLINE
            assert alice.require_friends().state(bob_id(bob)) == "OFFLINE"
            grid.network.heal("alice", "bob")
            await grid.until(lambda: ids(events)[-1] == "friend-connected")

    run_virtual(scenario())


def test_ping_and_its_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice = await person(grid, "alice")
            await person(grid, "bob")
            answer = await api.user_ping.function(alice, Person("bob@names.test"))
            assert answer.result["attempts"] == 1
            assert "answered" in answer.message
            with pytest.raises(InvalidInput, match="yourself"):
                await api.user_ping.function(alice, Person("alice@names.test"))
            with pytest.raises(InvalidInput, match="yourself"):
                await befriend(alice, "alice@names.test")
            with pytest.raises(NotFound, match="unknown user"):
                await api.user_ping.function(alice, Person("ghost@names.test"))
            with pytest.raises(NotFound, match="unknown user"):
                await befriend(alice, "Bobby")
            await grid.stop("bob")
            begun = grid.clock.monotonic()
            with pytest.raises(PeerUnreachable, match=r"bob@names\.test did not answer"):
                await api.user_ping.function(
                    alice, Person("bob@names.test"), timeout=2.0, retries=1
                )
            assert grid.clock.monotonic() - begun < 5.0

    run_virtual(scenario())


def test_aliases_are_unique_and_one_word_for_a_person_everywhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice = await person(grid, "alice")
            for name in ("bob", "carol"):
                await person(grid, name)
            await befriend(alice, "bob@names.test", "Bobby")
            with pytest.raises(AlreadyExists, match="bobby"):
                await befriend(alice, "carol@names.test", "bobby")
            assert (await befriend(alice, "bob@names.test"))["alias"] == "Bobby"
            assert (await befriend(alice, "Bobby", "Rob"))["alias"] == "Rob"
            with pytest.raises(InvalidInput):
                await befriend(alice, "bob@names.test", "x@y")
            answer = await api.user_ping.function(alice, Person("Rob"))
            assert answer.result["global_id"] == "bob@names.test"
            assert len(await api.friends_list.function(alice)) == 1

    run_virtual(scenario())


def test_keys_from_friends_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            bob.settings.set("services/keys-registry/accept-keys-from", "friends")
            key_id = alice.require_keys().create("photos", 1024).key_id
            to_bob = await alice.find_person("bob@names.test")
            with pytest.raises(PeerRefused):
                await alice.require_key_exchange().share(key_id, to_bob)
            await befriend(bob, "alice@names.test")
            await alice.require_key_exchange().share(key_id, to_bob)
            assert key_id in bob.require_keys()

    run_virtual(scenario())


def test_one_purpose_less_leaves_a_connection_kept(tmp_path: Path) -> None:
    """A friend who is also one's supplier stays connected when the friendship ends."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            network = alice.require_network()
            supplier = bob_id(grid.nodes["supplier-0"])
            assert network.status(supplier).kept
            await befriend(alice, "supplier-0@names.test")
            await api.friend_remove.function(alice, Person("supplier-0@names.test"))
            assert network.status(supplier).kept
            await befriend(alice, "supplier-0@names.test")
            await alice.reconnect()
            await api.friend_remove.function(alice, Person("supplier-0@names.test"))
            assert network.status(supplier).kept

    run_virtual(scenario())


def test_friends_come_back_with_the_master_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(3):
                await grid.supplier(f"supplier-{number}")
            bob = await person(grid, "bob")
            alice = await grid.customer("alice", suppliers=2)
            await grid.until(lambda: alice.services.is_on("keys_storage"))
            await befriend(alice, "bob@names.test", "Bobby")
            storage = alice.require_storage()

            async def saved() -> bool:
                rows, _, _ = await storage.files_list(None, None, True, False, False, False)
                return any(str(row["path"]).endswith(".friend") and row["versions"] for row in rows)

            while not await saved():
                await grid.clock.sleep(1.0)
            await grid.clock.sleep(30.0)
            backup = await alice.require_identity().backup_text()
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")
            again = await grid.start("alice", services__supplier__enabled=False)
            await again.recover_identity(backup, None)
            await grid.until(
                lambda: again.friends is not None and bool(again.friends.list()), 600.0
            )
            [friend] = again.require_friends().list()
            assert (str(friend.document.global_id), friend.alias) == ("bob@names.test", "Bobby")
            await grid.until(lambda: again.require_friends().state(bob_id(bob)) == "CONNECTED")

    run_virtual(scenario())
