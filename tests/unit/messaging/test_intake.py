"""What arrives is read, checked, ordered and kept; what is hostile changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec
import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import IntegrityError
from bitdust.messaging import outbox
from bitdust.messaging.cards import check_bundle, check_card, make_card
from bitdust.messaging.history import SCHEMA as HISTORY
from bitdust.messaging.intake import HOLD_TIME, Intake
from bitdust.messaging.letters import (
    NO_KEY,
    NO_SESSION,
    Bundle,
    Card,
    Envelope,
    Kind,
    OneTimeKey,
    Opening,
    Outcome,
    Payload,
    Signed,
    associated_data,
    encode,
    payload_to_sign,
)
from bitdust.messaging.ownkeys import OwnKeys
from bitdust.messaging.vault import CARD_LIFETIME, Vault
from bitdust.messaging.vault import SCHEMA as VAULT
from bitdust.testing import SeededRandom

NOW = 1_800_000_000.0
KEYS = {name: PrivateKey.generate(1024) for name in ("alice", "bob", "mallory")}


class Person:
    """One end, without a network."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = KEYS[name]
        self.node_id = self.key.public.fingerprint
        self.own = OwnKeys(self.key.derive(b"identity"))
        self.random = SeededRandom(len(name))
        self.vault = Vault(self.own, self.key.derive(b"rest"), self.random)
        self.allow_sealed = False
        self.intake = Intake(
            self.vault, self.key, lambda: f"{name}@h.test", lambda: self.allow_sealed
        )
        self.db = apsw.Connection(":memory:")
        for schema in (HISTORY, VAULT, outbox.SCHEMA):
            self.db.execute(schema)
        self.places: dict[bytes, int] = {}

    def do(self, work: Any) -> Any:
        with self.db:
            result = work(self.db)
            self.vault.before_commit(self.db)
        return result

    def card(self) -> Card:
        prekey, _ = self.do(lambda db: self.vault.prekey(db, NOW))
        return make_card(self.key, self.own, prekey, f"http://h.test/{self.name}.xml", NOW)

    def bundle(self) -> Bundle:
        keys: list[OneTimeKey] = self.do(lambda db: self.vault.one_time_keys(db, 1, NOW))
        return Bundle(self.card(), keys[0])

    def write(
        self,
        to: Person,
        text: str,
        *,
        kind: Kind = "message",
        data: bytes | None = None,
        place: int | None = None,
        oldest: int = 1,
        epoch: bytes = b"epoch-01",
        signer: OwnKeys | None = None,
        when: float = NOW,
        inner_id: bytes | None = None,
    ) -> Envelope:
        """An envelope, honest unless told otherwise."""
        if place is None:
            place = self.places[to.node_id] = self.places.get(to.node_id, 0) + 1
        message_id = self.random.token(16)
        payload = encode(
            Payload(
                kind, inner_id or message_id, epoch, place, oldest, when,
                data if data is not None else msgspec.json.encode({"message": text}),
            )
        )  # fmt: skip
        signature = (signer or self.own).sign(payload_to_sign(payload, self.node_id, to.node_id))
        signed = Signed(payload, signature)
        card = self.card()

        def work(db: apsw.Connection) -> Envelope:
            if not self.vault.has_session(db, to.node_id):
                self.vault.begin(db, to.bundle(), card, NOW)
            return self.vault.encrypt(db, to.node_id, self.node_id, message_id, signed)

        envelope: Envelope = self.do(work)
        return envelope

    def take(
        self, sender: Person, envelopes: Sequence[Envelope], now: float = NOW
    ) -> list[Outcome]:
        name = f"{sender.name}@h.test"
        taken = self.do(lambda db: self.intake.take(db, sender.node_id, name, envelopes, now))
        outcomes: list[Outcome] = taken.outcomes
        return outcomes

    def texts(self) -> list[str]:
        rows = self.db.execute("SELECT data FROM messages ORDER BY no").fetchall()
        return [msgspec.json.decode(row[0])["message"] for row in rows]  # type: ignore[arg-type]


@pytest.fixture
def alice() -> Person:
    return Person("alice")


@pytest.fixture
def bob() -> Person:
    return Person("bob")


@pytest.fixture
def mallory() -> Person:
    return Person("mallory")


def test_a_message_is_shown_once(alice: Person, bob: Person) -> None:
    one, two = alice.write(bob, "one"), alice.write(bob, "two")
    assert bob.take(alice, [one, two, one]) == [Outcome.TAKEN, Outcome.TAKEN, Outcome.AGAIN]
    assert bob.take(alice, [two]) == [Outcome.AGAIN]
    assert bob.texts() == ["one", "two"]


def test_messages_wait_for_those_before_them(alice: Person, bob: Person) -> None:
    first, second, third, fourth = (alice.write(bob, str(n)) for n in range(1, 5))
    assert bob.take(alice, [third, second]) == [Outcome.TAKEN, Outcome.TAKEN]
    assert bob.texts() == []
    assert bob.take(alice, [second]) == [Outcome.AGAIN]
    bob.take(alice, [first])
    assert bob.texts() == ["1", "2", "3"]
    bob.take(alice, [fourth])
    assert bob.texts() == ["1", "2", "3", "4"]


def test_what_the_sender_gave_up_is_not_waited_for(alice: Person, bob: Person) -> None:
    bob.take(alice, [alice.write(bob, "1")])
    bob.take(alice, [alice.write(bob, "4", place=4, oldest=3)])
    assert bob.texts() == ["1"]
    bob.take(alice, [alice.write(bob, "5", place=5, oldest=5)])
    assert bob.texts() == ["1", "4", "5"]


def test_nobody_waits_for_ever(alice: Person, bob: Person) -> None:
    bob.take(alice, [alice.write(bob, "2", place=2)])
    assert bob.do(lambda db: bob.intake.release(db, NOW + HOLD_TIME - 1)) == []
    shown = bob.do(lambda db: bob.intake.release(db, NOW + HOLD_TIME))
    assert [message.data for message in shown] == [{"message": "2"}]
    bob.take(alice, [alice.write(bob, "3", place=3), alice.write(bob, "1", place=1)])
    assert bob.texts() == ["2", "3", "1"]


def test_a_sender_who_counts_anew_is_read_at_once(alice: Person, bob: Person) -> None:
    bob.take(alice, [alice.write(bob, "1"), alice.write(bob, "3", place=3)])
    bob.take(alice, [alice.write(bob, "new 1", place=1, epoch=b"epoch-02")])
    assert bob.texts() == ["1", "3", "new 1"]


def test_a_forged_message_changes_nothing(alice: Person, bob: Person, mallory: Person) -> None:
    real = alice.write(bob, "real")
    forged = [
        msgspec.structs.replace(real, body=real.body[:-1] + bytes([real.body[-1] ^ 1])),
        msgspec.structs.replace(real, body=b""),
        msgspec.structs.replace(real, message_id=bytes(16)),
        msgspec.structs.replace(real, ratchet=bytes(32)),
        msgspec.structs.replace(real, number=2_000_000_000),
        msgspec.structs.replace(real, session=bytes(15) + b"\1"),
    ]
    assert set(bob.take(alice, forged)) == {Outcome.UNREADABLE}
    assert bob.take(alice, [real]) == [Outcome.TAKEN]
    assert bob.texts() == ["real"]
    later = alice.write(bob, "later")
    for envelope in forged:
        moved = msgspec.structs.replace(envelope, session=later.session)
        assert bob.take(alice, [moved])[0] is not Outcome.TAKEN
    assert bob.take(alice, [later]) == [Outcome.TAKEN]


def test_a_message_in_anothers_name_is_refused(alice: Person, bob: Person, mallory: Person) -> None:
    envelope = mallory.write(bob, "I am alice")
    pretended = msgspec.structs.replace(envelope, sender=alice.node_id)
    assert bob.take(alice, [pretended]) == [Outcome.UNREADABLE]
    assert bob.take(mallory, [mallory.write(bob, "x", signer=alice.own)]) == [Outcome.REFUSED]
    assert bob.take(mallory, [mallory.write(alice, "for alice")]) == [Outcome.REFUSED]
    assert bob.take(mallory, [mallory.write(bob, "x", inner_id=bytes(16))]) == [Outcome.REFUSED]
    assert bob.texts() == []


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b'"text"', b"[" * 60_000])
def test_data_that_is_no_object_is_refused(alice: Person, bob: Person, data: bytes) -> None:
    assert bob.take(alice, [alice.write(bob, "", data=data)]) == [Outcome.REFUSED]
    assert bob.texts() == []


def test_a_time_in_the_future_is_brought_back(alice: Person, bob: Person) -> None:
    bob.take(alice, [alice.write(bob, "x", when=NOW * 2)])
    assert bob.db.execute("SELECT time FROM messages").fetchall() == [(NOW,)]


def test_the_first_message_of_a_session_cannot_be_played_again(alice: Person, bob: Person) -> None:
    first = alice.write(bob, "once")
    assert bob.take(alice, [first]) == [Outcome.TAKEN]
    bob.do(lambda db: bob.vault.forget(db, first.session))
    bob.db.execute("DELETE FROM messages")
    assert bob.take(alice, [first]) == [Outcome.UNREADABLE]  # its one-time key is used up


def test_notes_name_messages(alice: Person, bob: Person) -> None:
    ids = [bytes([n]) * 16 for n in range(3)]
    envelope = alice.write(bob, "", kind="acked", data=b"".join(ids), place=0)
    taken = bob.do(lambda db: bob.intake.take(db, alice.node_id, "a@h.test", [envelope], NOW))
    assert taken.acked == ids
    assert taken.notes == {envelope.message_id}
    broken = alice.write(bob, "", kind="unreadable", data=b"123", place=0)
    assert bob.take(alice, [broken]) == [Outcome.REFUSED]
    assert bob.take(alice, [envelope]) == [Outcome.AGAIN]
    alice.take(bob, [bob.write(alice, "the chain goes on")])
    bob.take(alice, [alice.write(bob, "and on")])
    assert bob.take(alice, [envelope]) == [Outcome.AGAIN]


def test_messages_without_forward_secrecy_need_leave(alice: Person, bob: Person) -> None:
    message_id = bytes(16)
    payload = encode(
        Payload("message", message_id, b"epoch-01", 1, 1, NOW, b'{"message": "sealed"}')
    )
    signed = Signed(payload, alice.own.sign(payload_to_sign(payload, alice.node_id, bob.node_id)))
    opening = Opening(alice.card(), NO_KEY, NO_KEY)
    empty = Envelope(
        1, message_id, alice.node_id, bob.node_id, NO_SESSION, NO_KEY, 0, 0, opening, b""
    )
    body = bob.key.public.seal(encode(signed), associated_data(b"", empty))
    envelope = msgspec.structs.replace(empty, body=body)
    assert bob.take(alice, [envelope]) == [Outcome.REFUSED]
    bob.allow_sealed = True
    assert bob.take(alice, [msgspec.structs.replace(envelope, body=body[:-1])]) != [Outcome.TAKEN]
    assert bob.take(alice, [envelope]) == [Outcome.TAKEN]
    assert bob.take(alice, [envelope]) == [Outcome.AGAIN]
    assert bob.texts() == ["sealed"]


def test_cards_are_good_for_their_owner_and_their_time(alice: Person, mallory: Person) -> None:
    card = alice.card()
    check_card(card, alice.node_id, NOW, CARD_LIFETIME)
    bad = [
        (card, mallory.node_id, NOW),
        (card, alice.node_id, NOW + CARD_LIFETIME + 1),
        (card, alice.node_id, NOW - 2 * 86400),
        (msgspec.structs.replace(card, identity=mallory.own.identity), alice.node_id, NOW),
        (msgspec.structs.replace(card, signature=b""), alice.node_id, NOW),
        (msgspec.structs.replace(card, idurl="http://H.test/alice.xml"), alice.node_id, NOW),
        (msgspec.structs.replace(card, key=b"no key"), alice.node_id, NOW),
    ]
    for given, node_id, now in bad:
        with pytest.raises(IntegrityError):
            check_card(given, node_id, now, CARD_LIFETIME)
    bundle = alice.bundle()
    check_bundle(bundle, alice.node_id, NOW, CARD_LIFETIME)
    assert bundle.one_time is not None
    forged = OneTimeKey(bundle.one_time.key, mallory.own.sign(bundle.one_time.to_sign()))
    with pytest.raises(IntegrityError):
        check_bundle(Bundle(bundle.card, forged), alice.node_id, NOW, CARD_LIFETIME)


def test_what_is_kept_is_encrypted_and_bound_to_its_owner(alice: Person, bob: Person) -> None:
    bob.take(alice, [alice.write(bob, "hello")])
    bob.write(alice, "hello too")
    raw = b"".join(
        bytes(row[0])  # type: ignore[arg-type]
        for table in ("sessions", "prekeys")
        for row in bob.db.execute(f"SELECT state FROM {table}").fetchall()
    )
    assert alice.own.identity not in raw
    assert bob.own.identity not in raw
    stranger = Vault(bob.own, bytes(32), bob.random)
    with pytest.raises(IntegrityError):
        stranger.has_session(bob.db, alice.node_id)
