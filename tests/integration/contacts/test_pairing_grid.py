"""Two people become friends by hand; strangers, liars and late ones do not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import friends as api
from bitdust.contacts import Code
from bitdust.contacts.invitation import ACCEPT, Acceptance, Welcome, acceptance_proof, welcome_proof
from bitdust.errors import (
    AlreadyExists,
    IntegrityError,
    InvalidInput,
    NotFound,
    PeerRefused,
    PeerUnreachable,
)
from bitdust.identity import sign_document
from bitdust.ids import IDURL
from bitdust.network import Call, Reply
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER

QUIET = {"services__supplier__enabled": False, "services__customer__enabled": False}


async def person(grid: Grid, name: str) -> Node:
    node = await grid.start(name, **QUIET)
    await node.create_identity(name, [NAME_SERVER])
    return node


async def invite(node: Node, **given: Any) -> str:
    return str((await api.friend_invite.function(node, **given)).result["code"])


def names(node: Node) -> list[tuple[str, str]]:
    return [(str(f.document.global_id), f.alias) for f in node.require_friends().list()]


def test_one_invites_and_the_other_accepts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            code = await invite(alice, alias="Bobby")
            answer = await api.friend_accept.function(bob, code.lower(), alias="Al")
            assert answer.result["global_id"] == "alice@names.test"
            assert names(alice) == [("bob@names.test", "Bobby")]
            assert names(bob) == [("alice@names.test", "Al")]
            await grid.until(
                lambda: alice.require_friends().state(bob.require_identity().node_id) == "CONNECTED"
            )
            # good once, but whoever had it accepted may ask again: the answer may have been lost
            await api.friend_accept.function(bob, code, alias="Al")
            carol = await person(grid, "carol")
            with pytest.raises(PeerRefused) as caught:
                await api.friend_accept.function(carol, code)
            assert caught.value.reason == "not_found"
            assert "new invitation" in caught.value.hint
            assert names(carol) == []
            with pytest.raises(InvalidInput, match="your own"):
                await api.friend_accept.function(alice, await invite(alice))
            with pytest.raises(AlreadyExists):
                await invite(alice, alias="bobby")
            ghost = Code(IDURL.parse("http://names.test/ghost.xml").global_id, os.urandom(10))
            with pytest.raises(NotFound):
                await api.friend_accept.function(carol, ghost.text)

    run_virtual(scenario())


def test_an_invitation_survives_a_restart_and_expires(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            code, short = await invite(alice), await invite(alice, hours=0.5)
            path = tmp_path / "grid" / "alice" / "metadata" / "invitations"
            assert path.stat().st_mode & 0o777 == 0o600
            await grid.stop("alice")
            with pytest.raises(PeerUnreachable):
                await api.friend_accept.function(bob, code)
            alice = await grid.start("alice", **QUIET)
            await grid.clock.sleep(3600.0)
            with pytest.raises(PeerRefused):
                await api.friend_accept.function(bob, short)
            await api.friend_accept.function(bob, code)
            assert names(alice) == [("bob@names.test", "")]
            for _ in range(19):
                await invite(alice)
            await invite(alice)
            with pytest.raises(InvalidInput, match="20 invitations"):
                await invite(alice)

    run_virtual(scenario())


async def show(guest: Node, inviter: Node, number: bytes, proof: bytes) -> None:
    network, to = guest.require_network(), inviter.require_identity()
    network.learn(to.document)
    response = await network.request(to.node_id, ACCEPT, Acceptance(number, proof), timeout=10.0)
    response.close()


def test_guesses_void_an_invitation(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, mallory = await person(grid, "alice"), await person(grid, "mallory")
            code = Code.parse(await invite(alice))
            other = Code.parse(await invite(alice))
            for reason in ("access_denied", "access_denied", "access_denied", "not_found"):
                with pytest.raises(PeerRefused) as caught:
                    await show(mallory, alice, code.number, os.urandom(32))
                assert caught.value.reason == reason
            reasons = []
            for _ in range(20):
                with pytest.raises(PeerRefused) as caught:
                    await show(mallory, alice, os.urandom(8), os.urandom(32))
                reasons.append(caught.value.reason)
            assert set(reasons) == {"not_found", "busy"}
            assert names(alice) == []
            bob = await person(grid, "bob")
            await api.friend_accept.function(bob, other.text)
            assert names(alice) == [("bob@names.test", "")]

    run_virtual(scenario())


def test_a_lying_name_server_cannot_come_between(tmp_path: Path) -> None:
    """It gives mallory's key for alice's name: bob notices, and mallory can use nothing."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            mallory = await person(grid, "mallory")
            code = Code.parse(await invite(alice))
            liar = mallory.require_identity()
            idurl = alice.require_identity().idurl
            posing = sign_document(
                liar.key,
                sources=[idurl],
                contacts=liar.document.contacts,
                certificate=liar.document.certificate,
                revision=99,
                now=grid.clock.now(),
            )
            seen: list[Acceptance] = []

            async def answer(call: Call) -> Reply:
                seen.append(call.decode(Acceptance))
                guess = welcome_proof(os.urandom(10), liar.node_id, call.peer)
                return Reply(Welcome(guess))

            mallory.settings.set("services/p2p-notifications/enabled", False)
            await grid.until(lambda: mallory.friends is None)
            mallory.require_network()._handlers[ACCEPT] = answer

            async def lie(idurl: IDURL) -> Any:
                return posing

            bob.require_pairing()._find = lie
            with pytest.raises(IntegrityError, match="did not give you that code"):
                await api.friend_accept.function(bob, code.text)
            assert names(bob) == []
            # what bob showed is bound to mallory's key, so alice does not take it from mallory
            with pytest.raises(PeerRefused):
                await show(mallory, alice, seen[0].number, seen[0].proof)
            assert names(alice) == []

    run_virtual(scenario())


def test_a_guest_cannot_take_the_name_of_another(tmp_path: Path) -> None:
    """Even one with the code."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, _ = await person(grid, "alice"), await person(grid, "bob")
            mallory = await person(grid, "mallory")
            code = Code.parse(await invite(alice))
            liar = mallory.require_identity()
            posing = sign_document(
                liar.key,
                sources=[IDURL.parse("http://names.test/bob.xml")],
                contacts=liar.document.contacts,
                certificate=liar.document.certificate,
                revision=99,
                now=grid.clock.now(),
            )
            liar._document = posing
            proof = acceptance_proof(code.secret, alice.require_identity().node_id, liar.node_id)
            with pytest.raises(PeerRefused) as caught:
                await show(mallory, alice, code.number, proof)
            assert caught.value.reason == "integrity"
            assert names(alice) == []

    run_virtual(scenario())
