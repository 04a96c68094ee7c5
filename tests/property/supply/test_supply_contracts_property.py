"""Signed records of the supply domain: any change shows, and no bytes raise anything else."""

from __future__ import annotations

import functools

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError, InvalidName
from bitdust.supply import NUMBERS, Contract, Family, Phase
from bitdust.supply.contracts import draft
from bitdust.supply.names import check_object_name, file_name, parse_file_name

DAY = 86400


@functools.cache
def key(name: str) -> PrivateKey:
    return PrivateKey.generate(1024)


@functools.cache
def contract() -> Contract:
    return (
        draft(
            contract_id=b"c" * 16,
            customer=key("alice").public.fingerprint,
            customer_idurl="http://id.example.org/alice.xml",
            supplier=key("bob").public.fingerprint,
            supplier_idurl="http://id.example.org:8084/bob.xml",
            granted=1 << 30,
            position=2,
            n=4,
            now=1_700_000_000.9,
            term=90 * DAY,
        )
        .offered(key("alice"))
        .countersigned(key("bob"))
    )


@functools.cache
def family() -> Family:
    return Family.build(
        key("alice"),
        customer_idurl="http://id.example.org/alice.xml",
        n=4,
        members={
            2: (key("bob").public.fingerprint, "http://id.example.org/bob.xml"),
            0: (key("carol").public.fingerprint, "http://id.example.org/carol.xml"),
        },
        revision=7,
        now=1_700_000_000,
    )


CHANGES: dict[str, st.SearchStrategy[object]] = {
    "contract_id": st.binary(min_size=16, max_size=16),
    "customer": st.binary(min_size=32, max_size=32),
    "customer_idurl": st.sampled_from(["http://id.example.org/eve.xml", "http://a.b/alice.xml"]),
    "supplier": st.binary(min_size=32, max_size=32),
    "supplier_idurl": st.sampled_from(["http://id.example.org/bob.xml", "http://a.b/bob.xml"]),
    "granted": st.integers(1, 1 << 50),
    "position": st.integers(0, 3),
    "n": st.sampled_from(NUMBERS),
    "issued": st.integers(0, 1 << 40),
    "expires": st.integers(0, 1 << 40),
    "revision": st.integers(1, 1 << 48),
    "offer_signature": st.binary(max_size=256),
    "grant_signature": st.binary(max_size=256),
}


def test_every_field_of_a_contract_has_a_mutation() -> None:
    assert set(CHANGES) == set(Contract.__struct_fields__)


def test_contract_survives_its_encoding() -> None:
    again = Contract.decode(contract().encode())
    assert again == contract()
    again.verify(key("alice").public, key("bob").public)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(CHANGES)))
def test_any_changed_field_of_a_contract_fails(data: st.DataObject, field: str) -> None:
    value = data.draw(CHANGES[field].filter(lambda v: v != getattr(contract(), field)))
    changed = msgspec.structs.replace(contract(), **{field: value})
    with pytest.raises(IntegrityError):
        changed.verify(key("alice").public, key("bob").public)


def test_signatures_are_bound_to_their_role_and_key() -> None:
    good = contract()
    with pytest.raises(IntegrityError):
        good.verify(key("bob").public, key("alice").public)
    swapped = msgspec.structs.replace(
        good, offer_signature=good.grant_signature, grant_signature=good.offer_signature
    )
    with pytest.raises(IntegrityError):
        swapped.verify(key("alice").public, key("bob").public)
    with pytest.raises(IntegrityError):
        good.offered(key("bob"))
    with pytest.raises(IntegrityError):
        good.countersigned(key("alice"))
    # A grant for one offer does not carry over to the same terms offered anew.
    again = good.offered(key("alice"))
    moved = msgspec.structs.replace(again, grant_signature=good.grant_signature)
    with pytest.raises(IntegrityError):
        moved.verify(key("alice").public, key("bob").public)


@pytest.mark.parametrize(
    "bad",
    [
        {"n": 5},
        {"position": 4},
        {"granted": 0},
        {"granted": (1 << 50) + 1},
        {"granted": -1},
        {"expires": 1_700_000_000},
        {"customer": b"short"},
        {"customer_idurl": "ftp://id.example.org/alice.xml"},
        {"customer_idurl": "http://ID.example.org/alice.xml"},
        {"supplier_idurl": "http://x/" + "b" * 500 + ".xml"},
        {"revision": 0},
        {"supplier": "self"},
        {"contract_id": b""},
    ],
)
def test_senseless_terms_are_a_format_error(bad: dict[str, object]) -> None:
    if bad.get("supplier") == "self":
        bad = {"supplier": contract().customer}
    with pytest.raises(FormatError):
        Contract.decode(msgspec.structs.replace(contract(), **bad).encode())


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 5000), st.integers(0, 255), st.integers(0, 5000))
def test_damaged_bytes_raise_only_documented_errors(at: int, value: int, cut: int) -> None:
    for raw, kind in ((contract().encode(), Contract), (family().encode(), Family)):
        changed = bytearray(raw)
        changed[at % len(raw)] = value
        for candidate in (bytes(changed), raw[: cut % len(raw)]):
            if candidate == raw:
                continue
            try:
                got = kind.decode(candidate)
                if isinstance(got, Contract):
                    got.verify(key("alice").public, key("bob").public)
                else:
                    got.verify(key("alice").public)
            except IntegrityError:
                continue
            # Only a change outside the signed fields may pass, and then it changed nothing.
            assert got in (contract(), family())


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
@example(b"\x81\xa1x" + b"\x91" * 5000)
@example(b"\x81\xa3ecc\xa1\xff")
@example(b"\x80" + bytes(100_000))
def test_random_bytes_are_a_format_error(raw: bytes) -> None:
    for kind in (Contract, Family):
        with pytest.raises(FormatError):
            kind.decode(raw)


def test_family_survives_its_encoding_and_proves_itself() -> None:
    again = Family.decode(family().encode())
    assert again == family()
    again.verify(key("alice").public)
    assert [m.position for m in again.members] == [0, 2]
    assert again.positions()[2].node == key("bob").public.fingerprint
    with pytest.raises(IntegrityError):
        again.verify(key("bob").public)


FAMILY_CHANGES: dict[str, st.SearchStrategy[object]] = {
    "customer": st.binary(min_size=32, max_size=32),
    "customer_key": st.binary(max_size=200),
    "customer_idurl": st.sampled_from(["http://id.example.org/eve.xml"]),
    "n": st.sampled_from(NUMBERS),
    "ecc": st.sampled_from(["ecc/2x2", "ecc/7x7", ""]),
    "members": st.sampled_from([(), family().members[:1], family().members[::-1]]),
    "revision": st.integers(1, 1 << 48),
    "timestamp": st.integers(0, 1 << 40),
    "signature": st.binary(max_size=256),
}


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(sorted(FAMILY_CHANGES)))
def test_any_changed_field_of_a_family_fails(data: st.DataObject, field: str) -> None:
    assert set(FAMILY_CHANGES) == set(Family.__struct_fields__)
    value = data.draw(FAMILY_CHANGES[field].filter(lambda v: v != getattr(family(), field)))
    with pytest.raises(IntegrityError):
        msgspec.structs.replace(family(), **{field: value}).verify(key("alice").public)


@pytest.mark.parametrize("members", ["twice", "disorder", "range", "self", "many"])
def test_senseless_families_are_a_format_error(members: str) -> None:
    zero, two = family().members
    bad = {
        "twice": (zero, msgspec.structs.replace(zero, position=3)),
        "disorder": (two, zero),
        "range": (zero, msgspec.structs.replace(two, position=4)),
        "self": (msgspec.structs.replace(zero, node=family().customer),),
        "many": tuple(
            msgspec.structs.replace(zero, position=i % 64, node=bytes([i]) * 32) for i in range(65)
        ),
    }[members]
    with pytest.raises(FormatError):
        Family.decode(msgspec.structs.replace(family(), members=bad).encode())


def test_phases_of_a_contract() -> None:
    good = contract()
    assert good.phase(good.issued, 10) is Phase.ACTIVE
    assert good.phase(good.expires - 0.1, 10) is Phase.ACTIVE
    assert good.phase(good.expires, 10) is Phase.GRACE
    assert good.phase(good.expires + 10, 10) is Phase.LAPSED


NAMES = st.text(alphabet="abz09/._-", min_size=1, max_size=170)


@settings(deadline=None, max_examples=300)
@given(NAMES | st.text(max_size=20), st.binary(min_size=32, max_size=32))
@example("d/" + "a" * 158, b"x" * 32)
@example("../../etc/passwd", b"x" * 32)
@example("d//x", b"x" * 32)
@example("/d", b"x" * 32)
@example("d/..", b"x" * 32)
@example("d/x\n", b"x" * 32)
def test_names_become_one_file_name_and_back(name: str, digest: bytes) -> None:
    try:
        check_object_name(name)
    except InvalidName:
        return
    text = file_name(name, digest)
    assert "/" not in text
    assert len(text) <= 255
    assert text not in (".", "..")
    assert parse_file_name(text) == (name, digest)
