"""Sessions between two people, whatever the network and the machines do to them."""

from __future__ import annotations

import contextlib
from typing import Any

import apsw
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError
from bitdust.messaging.cards import check_bundle, make_card
from bitdust.messaging.letters import (
    MAX_ENVELOPE,
    Bundle,
    Card,
    Envelope,
    Payload,
    Signed,
    decode,
    encode,
    join,
    split,
)
from bitdust.messaging.ownkeys import OwnKeys
from bitdust.messaging.vault import CARD_LIFETIME, SCHEMA, NoSession, Vault
from bitdust.testing import SeededRandom

KEYS = {name: PrivateKey.generate(1024) for name in ("alice", "bob")}
NOW = 1_800_000_000.0


class Side:
    """One person's machine: the file outlives the memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = KEYS[name]
        self.own = OwnKeys(self.key.derive(b"identity"))
        self.random = SeededRandom(len(name))
        self.lose()

    @property
    def node_id(self) -> bytes:
        return self.key.public.fingerprint

    def lose(self) -> None:
        """The disk is gone; the key is not."""
        self.db = apsw.Connection(":memory:")
        self.db.execute(SCHEMA)
        self.restart()

    def restart(self) -> None:
        """The memory is gone."""
        self.vault = Vault(self.own, self.key.derive(b"at rest"), self.random)

    def do(self, work: Any, *, fail: bool = False) -> Any:
        """A transaction; one that fails leaves nothing behind."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.db)
            self.vault.before_commit(self.db)
            if fail:
                raise RuntimeError("the disk is full")
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            self.vault.rolled_back()
            raise
        return result

    def card(self) -> Card:
        prekey, _ = self.do(lambda db: self.vault.prekey(db, NOW))
        return make_card(self.key, self.own, prekey, f"http://h.test/{self.name}.xml", NOW)

    def bundle(self, one_time: bool) -> Bundle:
        keys = self.do(lambda db: self.vault.one_time_keys(db, int(one_time), NOW))
        return Bundle(self.card(), keys[0] if keys else None)


class Talk(RuleBasedStateMachine):
    """Alice and Bob; the network loses, doubles, reorders and damages."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = {name: Side(name) for name in KEYS}
        self.flying: list[tuple[str, bytes, Envelope]] = []
        self.read: dict[tuple[str, bytes], int] = {}
        self.sent = 0

    @initialize()
    def first_contact(self) -> None:
        for name in KEYS:
            self.sides[name].card()

    def _other(self, name: str) -> Side:
        return self.sides["bob" if name == "alice" else "alice"]

    def _send(self, name: str, *, fail: bool = False) -> None:
        side, other = self.sides[name], self._other(name)
        self.sent += 1
        text = f"{name} {self.sent}".encode()
        message_id = self.sent.to_bytes(16, "big")
        card = side.card()

        def work(db: apsw.Connection) -> Envelope:
            if not side.vault.has_session(db, other.node_id):
                bundle = other.bundle(self.sent % 3 > 0)
                check_bundle(bundle, other.node_id, NOW, CARD_LIFETIME)
                side.vault.begin(db, bundle, card, NOW)
            signed = Signed(text, bytes(64))
            return side.vault.encrypt(db, other.node_id, side.node_id, message_id, signed)

        if fail:
            with pytest.raises(RuntimeError):
                side.do(work, fail=True)
            return
        self.flying.append((other.name, text, side.do(work)))

    @rule(name=st.sampled_from(sorted(KEYS)))
    def send(self, name: str) -> None:
        self._send(name)

    @rule(name=st.sampled_from(sorted(KEYS)))
    def fail_to_commit(self, name: str) -> None:
        self._send(name, fail=True)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        place = data.draw(st.integers(0, len(self.flying) - 1))
        to, text, envelope = self.flying[place]
        if not keep:
            self.flying.pop(place)
        side = self.sides[to]
        # over the wire
        envelope = decode(encode(envelope), Envelope, MAX_ENVELOPE)
        try:
            plain, identity = side.do(lambda db: side.vault.decrypt(db, envelope, NOW))
        except NoSession:
            self.lost_or_repeated(envelope)
            other = self._other(to)
            other.do(lambda db: other.vault.forget(db, envelope.session))
        except IntegrityError:  # ``Duplicate``, or its chain is over long since
            assert (to, envelope.message_id) in self.read
        else:
            assert decode(plain, Signed, 1000).payload == text
            assert identity == self._other(to).own.identity
            letter = (to, envelope.message_id)
            self.read[letter] = self.read.get(letter, 0) + 1

    def lost_or_repeated(self, envelope: Envelope) -> None:
        """Only a session that was dropped, or a machine that was lost, makes things unreadable."""
        assert self.losses or self.dropped_sessions(envelope)

    losses = 0

    def dropped_sessions(self, envelope: Envelope) -> bool:
        # a side keeps at most four sessions; many first messages at once push old ones out
        return any(
            len(side.db.execute("SELECT 1 FROM sessions").fetchall()) >= 4
            for side in self.sides.values()
        )

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lose_on_the_way(self, data: st.DataObject) -> None:
        self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        to, _, envelope = self.flying[data.draw(st.integers(0, len(self.flying) - 1))]
        body = bytearray(envelope.body)
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        forged = msgspec.structs.replace(envelope, body=bytes(body))
        side = self.sides[to]
        with pytest.raises(IntegrityError):
            side.do(lambda db: side.vault.decrypt(db, forged, NOW))

    @rule(name=st.sampled_from(sorted(KEYS)))
    def restart(self, name: str) -> None:
        self.sides[name].restart()

    may_lose = True

    @precondition(lambda self: self.may_lose)
    @rule(name=st.sampled_from(sorted(KEYS)))
    def recover_from_the_key(self, name: str) -> None:
        self.losses += 1
        self.sides[name].lose()
        self.sides[name].card()
        # the history is gone too
        self.read = {letter: n for letter, n in self.read.items() if letter[0] != name}

    @invariant()
    def nothing_is_read_twice(self) -> None:
        assert all(count == 1 for count in self.read.values())


class TalkOnGoodDisks(Talk):
    """Nobody loses a machine: then nothing may become unreadable."""

    may_lose = False


PROFILE = settings(
    max_examples=10,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTalk = Talk.TestCase
TestTalk.settings = PROFILE
TestTalkOnGoodDisks = TalkOnGoodDisks.TestCase
TestTalkOnGoodDisks.settings = PROFILE


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_foreign_bytes_are_refused_or_read(raw: bytes) -> None:
    for kind in (Envelope, Payload, Signed, Card, Bundle):
        with contextlib.suppress(FormatError):
            decode(raw, kind, 300)


@given(st.lists(st.binary(max_size=200), max_size=64))
def test_batches_come_apart_as_they_were_put_together(parts: list[bytes]) -> None:
    assert split(join(parts)) == parts


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.data())
def test_a_batch_that_is_cut_off_is_refused(parts: list[bytes], data: st.DataObject) -> None:
    whole = join(parts)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with contextlib.suppress(FormatError):
        found = split(cut)
        assert found == parts[: len(found)]
        assert len(found) < len(parts)
