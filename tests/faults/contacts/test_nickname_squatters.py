"""Squatters on a nickname: they add rows at most, and forged ones are dropped and counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bitdust.contacts.nicknames_claims import CLAIM_METHOD, Claim, SignedClaim, sign_claim
from bitdust.crypto import PrivateKey
from bitdust.dht import nickname_topic
from bitdust.network import Call, Reply
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

QUIET = {"services__supplier__enabled": False, "services__customer__enabled": False}


async def person(grid: Grid, name: str, nickname: str = "") -> Node:
    node = await grid.start(name, personal__nickname=nickname, **QUIET)
    await node.create_identity(name, ["names.test"])
    await grid.until(lambda: node.nicknames is not None)
    return node


def answer_with(node: Node, make: Any) -> None:
    """Let a node answer for any nickname, with whatever ``make`` gives."""

    async def answer(call: Call) -> Reply:
        made = make()
        if asyncio.iscoroutine(made):
            made = await made
        return made if isinstance(made, Reply) else Reply(made)

    assert node.network is not None
    node.network._handlers[CLAIM_METHOD] = answer


def claim_for(node: Node, **changed: Any) -> Claim:
    document = node.require_identity().document
    fields = {
        "version": 1,
        "name": "bob",
        "node": document.node_id,
        "idurl": str(document.idurl),
        "issued": 1,
    }
    return Claim(**{**fields, **changed})


FORGERIES = {
    "the holder's own claim, played back": lambda bob, squatter: sign_claim(
        claim_for(bob), bob.require_identity().key
    ),
    "in the holder's name, by the squatter's key": lambda bob, squatter: sign_claim(
        claim_for(bob), squatter.require_identity().key
    ),
    "with the holder's address": lambda bob, squatter: sign_claim(
        claim_for(squatter, idurl=str(bob.require_identity().document.idurl)),
        squatter.require_identity().key,
    ),
    "signed by nobody known": lambda bob, squatter: sign_claim(
        claim_for(squatter), PrivateKey.generate(1024)
    ),
    "of another name": lambda bob, squatter: sign_claim(
        claim_for(squatter, name="rob"), squatter.require_identity().key
    ),
    "noise": lambda bob, squatter: SignedClaim(b"\xff" * 100, b"\x00" * 128),
    "of another form": lambda bob, squatter: {"record": 7},
    "with a body without end": lambda bob, squatter: Reply({"record": 7}, b"x" * 5_000_000),
}


@pytest.mark.parametrize("kind", sorted(FORGERIES))
def test_a_forged_claim_is_dropped_and_counted(kind: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            reader, bob = await person(grid, "reader"), await person(grid, "bob")
            squatter = await person(grid, "squatter", "bob")
            answer_with(squatter, lambda: FORGERIES[kind](bob, squatter))
            await grid.clock.sleep(3.0)
            nicknames = reader.require_nicknames()
            found = await nicknames.observe("bob", 3)
            assert [holder.global_id for holder in found] == [str(bob.global_id)]
            assert nicknames.counts.forged == 1
            for _ in range(5):
                one = await nicknames.search("bob", 1)
                assert one is not None
                assert one.global_id == str(bob.global_id)

    run_virtual(scenario())


def test_a_claim_is_not_believed_while_nobody_knows_the_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            reader = await person(grid, "reader")
            squatter = await person(grid, "squatter", "bob")
            unknown = claim_for(squatter, idurl="http://names.test/never-registered.xml")
            answer_with(squatter, lambda: sign_claim(unknown, squatter.require_identity().key))
            await grid.clock.sleep(3.0)
            nicknames = reader.require_nicknames()
            assert await nicknames.observe("bob", 2) == []
            assert nicknames.counts.unconfirmed == 1

    run_virtual(scenario())


def test_a_crowd_of_dead_and_silent_announcements_hides_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            reader, bob = await person(grid, "reader"), await person(grid, "bob")
            squatter = await person(grid, "squatter", "bob")
            answer_with(squatter, lambda: asyncio.sleep(3600))
            await grid.clock.sleep(3.0)
            topic = nickname_topic("bob")
            for port in range(1000, 1200):
                grid.dht.put_peer(topic, ("10.9.9.9", port))
            started = grid.clock.monotonic()
            nicknames = reader.require_nicknames()
            one = await nicknames.search("bob", 1)
            assert one is not None
            assert one.global_id == str(bob.global_id)
            found = await nicknames.observe("bob", 3)
            assert [holder.global_id for holder in found] == [str(bob.global_id)]
            assert grid.clock.monotonic() - started < 60.0
            assert nicknames.counts.unreachable <= 2 * 64

    run_virtual(scenario())
