"""Hand-overs and audits under hostile bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError
from bitdust.identity import key_signature_message
from bitdust.ids import KeyID
from bitdust.sharing.audit import Audit
from bitdust.sharing.handover import (
    MAX_SKEW,
    HandOver,
    check_owner,
    key_in,
    open_handover,
    seal_handover,
)

SENDER, RECEIVER, KEY = (PrivateKey.generate(1024) for _ in range(3))
KEY_ID = KeyID.parse("photos$alice@names.test")
NOW = 1_000_000.0
TAME = settings(deadline=None, max_examples=60)


def handover(**changes: Any) -> HandOver:
    fields: dict[str, Any] = {
        "sender": SENDER.public.fingerprint,
        "receiver": RECEIVER.public.fingerprint,
        "time": NOW,
        "nonce": bytes(16),
        "key_id": str(KEY_ID),
        "public": KEY.public.der,
        "signature": SENDER.sign(key_signature_message(KEY_ID, KEY.public)),
        **changes,
    }
    return HandOver(**fields)


SEALED = seal_handover(handover(private=KEY.to_pem(), extra=b"extra"), SENDER, RECEIVER.public)


def test_what_was_sealed_is_opened() -> None:
    opened = open_handover(SEALED, RECEIVER, SENDER.public, NOW + MAX_SKEW)
    key_id, key = key_in(opened)
    assert (key_id, key, opened.extra) == (KEY_ID, KEY, b"extra")
    assert check_owner(opened, key_id, KEY.public, SENDER.public) == KEY_ID
    with pytest.raises(IntegrityError):
        open_handover(SEALED, RECEIVER, SENDER.public, NOW + MAX_SKEW + 1)
    with pytest.raises(IntegrityError):
        open_handover(SEALED, RECEIVER, KEY.public, NOW)
    with pytest.raises((IntegrityError, FormatError)):
        open_handover(SEALED, KEY, SENDER.public, NOW)


def test_an_owner_that_moved_is_recognised_by_what_it_signed() -> None:
    moved = handover(key_id="photos$alice@new.example.org", signed_as=str(KEY_ID))
    key_id, _ = key_in(moved)
    assert check_owner(moved, key_id, KEY.public, SENDER.public) == KEY_ID
    for bad in ("photos$alice@other.example.org", "cats$alice@names.test", "nonsense", ""):
        with pytest.raises(IntegrityError):
            check_owner(
                msgspec.structs.replace(moved, signed_as=bad), key_id, KEY.public, SENDER.public
            )


@TAME
@given(st.binary(max_size=2000))
def test_any_bytes(raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_handover(raw, RECEIVER, SENDER.public, NOW)


@TAME
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_flipped_byte(place: int, change: int) -> None:
    raw = bytearray(SEALED)
    raw[place] ^= change
    with pytest.raises(IntegrityError):
        open_handover(bytes(raw), RECEIVER, SENDER.public, NOW)


@TAME
@given(st.binary(max_size=500))
def test_any_signed_payload(payload: bytes) -> None:
    """A person may sign nonsense, too."""
    context = b"bitdust key handover 1\x00" + SENDER.public.fingerprint
    context += RECEIVER.public.fingerprint
    signed = {"payload": payload, "signature": SENDER.sign(context + payload)}
    sealed = RECEIVER.public.seal(msgspec.msgpack.encode(signed), context)
    with pytest.raises(IntegrityError):
        open_handover(sealed, RECEIVER, SENDER.public, NOW)


@TAME
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "key_id": st.text(max_size=80) | st.just("master$alice@names.test"),
            "public": st.binary(max_size=300),
            "private": st.text(max_size=300),
            "label": st.text(max_size=40),
            "signed_as": st.text(max_size=80),
            "signature": st.binary(max_size=200),
        },
    )
)
def test_any_fields(changes: dict[str, Any]) -> None:
    changed = handover(**changes)
    try:
        key_id, key = key_in(changed)
        public = key.public if isinstance(key, PrivateKey) else key
        check_owner(changed, key_id, public, SENDER.public)
    except IntegrityError:
        return
    assert key_id == KEY_ID
    assert public == KEY.public


@TAME
@given(
    st.booleans(),
    st.sampled_from(["key_id", "asking", "asked", "challenge", "private", "public"]),
)
def test_a_proof_is_good_for_one_audit(private: bool, other: str) -> None:
    fields: dict[str, Any] = {
        "key_id": KEY_ID,
        "public": KEY.public,
        "asking": b"a" * 32,
        "asked": b"b" * 32,
        "private": private,
        "challenge": b"c" * 32,
    }
    changes = {
        "key_id": KeyID.parse("cats$alice@names.test"),
        "public": SENDER.public,
        "asking": b"x" * 32,
        "asked": b"x" * 32,
        "private": not private,
        "challenge": b"x" * 32,
    }

    def audit(values: dict[str, Any]) -> Audit:
        rest = dict(values)
        return Audit(rest.pop("key_id"), rest.pop("public"), **rest)

    one, another = audit(fields), audit({**fields, other: changes[other]})
    proof = one.prove(KEY)
    one.check(proof)
    assert one.check_question(one.question_proof())
    assert not another.check_question(one.question_proof())
    with pytest.raises(IntegrityError):
        another.check(proof)
    with pytest.raises(IntegrityError):
        one.check(one.question_proof())
