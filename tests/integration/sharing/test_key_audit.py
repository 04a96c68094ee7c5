"""Proofs of possession between people, honest and not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import IntegrityError, InvalidInput, NotFound, PeerRefused, PeerUnreachable
from bitdust.node import Node
from bitdust.sharing.audit import Audit, Proof, Question
from bitdust.sharing.handover import AUDIT_KEY
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER


async def person(grid: Grid, name: str) -> Node:
    node = await grid.start(
        name, services__supplier__enabled=False, services__customer__enabled=False
    )
    await node.create_identity(name, [NAME_SERVER])
    return node


def test_who_holds_what_is_proven(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            exchange, ring = alice.require_key_exchange(), alice.require_keys()
            key_id = ring.create("photos", 1024).key_id
            to_bob = await alice.find_person("bob@names.test")
            for private in (False, True):
                with pytest.raises(NotFound, match="does not hold"):
                    await exchange.audit(key_id, to_bob, private)
            await exchange.share(key_id, to_bob)
            await exchange.audit(key_id, to_bob)
            with pytest.raises(NotFound, match="does not hold the private key"):
                await exchange.audit(key_id, to_bob, True)
            await exchange.share(key_id, to_bob, include_private=True)
            await exchange.audit(key_id, to_bob, True)
            # bob has another key of that name: he is no holder of alice's
            bob.require_keys().erase(key_id)
            bob.require_keys().add(key_id, PrivateKey.generate(1024))
            for private in (False, True):
                with pytest.raises(NotFound, match="does not hold"):
                    await exchange.audit(key_id, to_bob, private)
            with pytest.raises(InvalidInput, match="yourself"):
                await exchange.audit(key_id, alice.require_identity().document)
            with pytest.raises(NotFound, match="no key"):
                await exchange.audit(alice.require_identity().global_id.key("none"), to_bob)
            await grid.stop("bob")
            with pytest.raises(PeerUnreachable):
                await exchange.audit(key_id, to_bob, timeout=3.0)

    run_virtual(scenario())


async def ask(asking: Node, asked: Node, question: Question) -> bytes:
    network, to = asking.require_network(), asked.require_identity()
    network.learn(to.document)
    response = await network.request(to.node_id, AUDIT_KEY, question, timeout=10.0)
    return response.decode(Proof).proof


def test_a_question_gives_nothing_away_and_cannot_be_passed_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await person(grid, "alice"), await person(grid, "bob")
            mallory = await person(grid, "mallory")
            key_id = alice.require_keys().create("photos", 1024).key_id
            public = alice.require_keys().get(key_id).public
            to_bob = await alice.find_person("bob@names.test")
            await alice.require_key_exchange().share(key_id, to_bob, include_private=True)
            who = {name: node.require_identity().node_id for name, node in grid.nodes.items()}
            challenge = os.urandom(32)
            # a stranger who knows the name only
            for private in (False, True):
                question = Question(str(key_id), private, challenge, os.urandom(32))
                assert await ask(mallory, bob, question) == b""
            # mallory passes alice's own question, which was for mallory, on to bob
            for private in (False, True):
                audit = Audit(
                    key_id,
                    public,
                    asking=who["alice"],
                    asked=who["mallory"],
                    private=private,
                    challenge=challenge,
                )
                question = Question(str(key_id), private, challenge, audit.question_proof())
                assert await ask(mallory, bob, question) == b""
            # even one that knows the public half gets an answer that is good for itself alone
            own = Audit(
                key_id,
                public,
                asking=who["mallory"],
                asked=who["bob"],
                private=True,
                challenge=challenge,
            )
            answer = await ask(
                mallory, bob, Question(str(key_id), True, challenge, own.question_proof())
            )
            own.check(answer)
            with pytest.raises(IntegrityError):
                audit.check(answer)
            for bad in ("", "no key", "photos$", "photos$ghost@names.test"):
                assert await ask(mallory, bob, Question(bad, True, challenge, bytes(32))) == b""
            reasons = set()
            for _ in range(60):
                try:
                    await ask(mallory, bob, question)
                except PeerRefused as exc:
                    reasons.add(exc.reason)
            assert reasons == {"busy"}
            await alice.require_key_exchange().audit(key_id, to_bob, True)

    run_virtual(scenario())


def test_a_lie_is_told_from_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, _ = await person(grid, "alice"), await person(grid, "bob")
            exchange = alice.require_key_exchange()
            key_id = alice.require_keys().create("photos", 1024).key_id
            to_bob = await alice.find_person("bob@names.test")
            await exchange.share(key_id, to_bob)
            monkeypatch.setattr(Audit, "prove", lambda *_: os.urandom(128))
            with pytest.raises(IntegrityError, match="wrong proof"):
                await exchange.audit(key_id, to_bob, True)

    run_virtual(scenario())
