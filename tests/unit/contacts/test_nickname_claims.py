"""Nicknames and their signed claims, apart from any network."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.contacts.nicknames_claims import (
    MAX_NICKNAME,
    Claim,
    SignedClaim,
    clean_nickname,
    in_turns,
    matching_form,
    open_claim,
    sign_claim,
)
from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError, InvalidName

ALICE = PrivateKey.generate(1024)
MALLORY = PrivateKey.generate(1024)
IDURL = "http://id.example.org/alice.xml"


def claim_of(key: PrivateKey, name: str = "Alice", idurl: str = IDURL) -> Claim:
    return Claim(1, name, key.public.fingerprint, idurl, 1_700_000_000)


def test_a_claim_is_opened_whatever_the_case_of_the_name() -> None:
    signed = sign_claim(claim_of(ALICE), ALICE)
    assert open_claim(signed, "ALICE", ALICE.public) == claim_of(ALICE)
    strasse = sign_claim(claim_of(ALICE, "Straße"), ALICE)
    assert open_claim(strasse, "STRASSE", ALICE.public).name == "Straße"


def test_a_claim_holds_for_its_name_and_its_signer_alone() -> None:
    signed = sign_claim(claim_of(ALICE), ALICE)
    with pytest.raises(IntegrityError):
        open_claim(signed, "alicia", ALICE.public)
    with pytest.raises(IntegrityError):  # shown by somebody else
        open_claim(signed, "alice", MALLORY.public)
    with pytest.raises(IntegrityError):  # signed by somebody else
        open_claim(sign_claim(claim_of(ALICE), MALLORY), "alice", ALICE.public)
    with pytest.raises(IntegrityError):
        open_claim(SignedClaim(signed.record, signed.signature[:-1]), "alice", ALICE.public)
    # every byte of the record counts
    for at in range(len(signed.record)):
        changed = bytearray(signed.record)
        changed[at] ^= 1
        with pytest.raises(IntegrityError):
            open_claim(SignedClaim(bytes(changed), signed.signature), "alice", ALICE.public)


@pytest.mark.parametrize(
    "claim",
    [
        claim_of(ALICE, " Alice"),
        claim_of(ALICE, "Al\nice"),
        claim_of(ALICE, idurl="alice"),
        claim_of(ALICE, idurl="http://a b/c.xml"),
    ],
)
def test_what_is_signed_but_makes_no_sense_is_refused(claim: Claim) -> None:
    with pytest.raises(FormatError):
        open_claim(sign_claim(claim, ALICE), "alice", ALICE.public)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.binary(max_size=140))
def test_any_bytes_raise_documented_errors_only(record: bytes, signature: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_claim(SignedClaim(record, signature), "alice", ALICE.public)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_a_clean_nickname_or_refused(text: str) -> None:
    try:
        name = clean_nickname(text)
    except InvalidName:
        return
    assert clean_nickname(name) == name
    assert 0 < len(name) <= MAX_NICKNAME
    assert name.isprintable()
    assert matching_form(name) == matching_form(matching_form(name))
    msgspec.msgpack.encode(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 65,
        "a\tb",
        "zero\u200bwidth",
        "left\u202eright",
        "\ud800",
        "\U0001f600" * 51,
    ],
)
def test_what_cannot_be_seen_is_no_nickname(text: str) -> None:
    with pytest.raises(InvalidName):
        clean_nickname(text)


def test_two_ways_to_write_a_letter_are_one_nickname() -> None:
    assert clean_nickname("Zoe\u0308 ") == "Zoë"


def test_a_crowd_on_one_host_hides_nobody() -> None:
    crowd = [("10.0.0.66", port) for port in range(1000, 2000)]
    others = [(f"10.0.0.{n}", 7771) for n in range(1, 6)]
    chosen = in_turns([*crowd, *others], 16)
    assert set(others) <= set(chosen)
    assert len(chosen) == 16
    assert in_turns([], 16) == []
    assert in_turns(crowd[:3], 16) == crowd[:3]
