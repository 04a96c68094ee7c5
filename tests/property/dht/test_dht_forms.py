"""Values, heads and parts under Hypothesis: all come back, and rubbish raises only FormatError."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.dht import is_signed
from bitdust.dht.heads import (
    INDEX,
    INLINE,
    Head,
    Parcel,
    address_of,
    join_value,
    make_parcel,
    parse_head,
    part_addresses,
)
from bitdust.dht.records import RECORD_TYPES, check_foreign
from bitdust.dht.values import decode_value, encode_value
from bitdust.errors import FormatError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=50)
)
JSON = st.recursive(
    LEAVES,
    lambda children: (
        st.lists(children, max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=("Cs",)), max_size=10), children, max_size=5
        )
    ),
    max_leaves=30,
)
PLACES = st.fixed_dictionaries(
    {
        "record_type": st.sampled_from(sorted(RECORD_TYPES)),
        "revision": st.integers(0, 2**53 - 1),
        "written": st.integers(0, 2**53 - 1),
        "expires": st.integers(0, 2**53 - 1),
        "owner": st.binary(min_size=32, max_size=32),
        "salt": st.binary(min_size=64, max_size=64),
    }
)
RAW = st.one_of(
    st.binary(min_size=1, max_size=3000),
    st.tuples(st.integers(0, 2**32), st.integers(1, 65_536)).map(
        lambda pair: random.Random(pair[0]).randbytes(pair[1])
    ),
)


def collect(parcel: Parcel) -> tuple[Head, tuple[bytes, ...], dict[bytes, bytes]]:
    head = parse_head(parcel.head)
    stored = {address_of(part): part for part in parcel.parts}
    index = [stored[a] for a in head.addresses] if head.form == INDEX else []
    return head, () if head.form == INLINE else part_addresses(head, index), stored


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_every_json_value_comes_back(value: Any) -> None:
    assert decode_value(encode_value(value)) == value


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_foreign_json_raises_only_format_errors(raw: bytes) -> None:
    with suppress(FormatError):
        value = decode_value(raw)
        assert decode_value(encode_value(value)) == value


@settings(max_examples=80, deadline=None)
@given(RAW, PLACES)
def test_every_value_comes_back_from_its_items(raw: bytes, place: dict[str, Any]) -> None:
    parcel = make_parcel(raw, **place)
    head, addresses, stored = collect(parcel)
    assert join_value(head, addresses, stored) == raw
    assert len(parcel.head) <= 996
    assert (head.owner, head.salt, head.revision) == (
        place["owner"],
        place["salt"],
        place["revision"],
    )


@settings(max_examples=80, deadline=None)
@given(RAW, PLACES, st.data())
def test_one_flipped_bit_anywhere_is_noticed(
    raw: bytes, place: dict[str, Any], data: st.DataObject
) -> None:
    parcel = make_parcel(raw, **place)
    head, addresses, stored = collect(parcel)
    if not addresses:
        return
    victim = data.draw(st.sampled_from(addresses))
    part = bytearray(stored[victim])
    position = data.draw(st.integers(0, len(part) * 8 - 1))
    part[position // 8] ^= 1 << position % 8
    try:
        join_value(head, addresses, {**stored, victim: bytes(part)})
    except FormatError:
        return
    raise AssertionError("a damaged part was taken")


@settings(max_examples=150, deadline=None)
@given(
    st.binary(min_size=1, max_size=700),
    PLACES,
    st.dictionaries(
        st.sampled_from("vtrwesfoznhb"),
        st.none() | st.integers(-5, 70_000) | st.binary(max_size=64) | st.text(max_size=5),
        min_size=1,
        max_size=4,
    ),
)
def test_altered_heads_give_the_value_or_a_format_error(
    raw: bytes, place: dict[str, Any], changes: dict[str, Any]
) -> None:
    fields = msgspec.msgpack.decode(make_parcel(raw, **place).head)
    with suppress(FormatError):
        head = parse_head(msgspec.msgpack.encode({**fields, **changes}))
        assert len(head.addresses) <= 32
        assert join_value(head, head.addresses, {}) == raw


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1000))
def test_random_bytes_are_no_head(data: bytes) -> None:
    with suppress(FormatError):
        parse_head(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(RECORD_TYPES)), JSON)
def test_foreign_records_raise_only_format_errors(name: str, value: Any) -> None:
    with suppress(FormatError):
        check_foreign(RECORD_TYPES[name], value)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=40),
    st.binary(max_size=64),
    st.integers(-(2**63), 2**63),
    st.binary(max_size=50),
    st.binary(max_size=70),
)
def test_no_random_hand_is_a_signature(
    key: bytes, salt: bytes, seq: int, value: bytes, hand: bytes
) -> None:
    assert not is_signed(key, salt, seq, value, hand)
