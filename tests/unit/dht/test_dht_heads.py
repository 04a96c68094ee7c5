"""Heads and parts: how a value is cut, and what joining refuses."""

from __future__ import annotations

import os
import zlib
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from bitdust.dht.heads import (
    INDEX,
    INLINE,
    MAX_INLINE,
    MAX_ITEM,
    MAX_PARTS,
    PART_BYTES,
    PARTS,
    Parcel,
    address_of,
    check_place,
    join_value,
    make_parcel,
    parse_head,
    part_addresses,
)
from bitdust.errors import FormatError, InvalidInput

OWNER = b"o" * 32
SALT = b"s" * 64


def cut(raw: bytes, **changes: Any) -> Parcel:
    fields: dict[str, Any] = {
        "record_type": "skip_validation",
        "revision": 1,
        "written": 1_700_000_000,
        "expires": 0,
        "owner": OWNER,
        "salt": SALT,
    }
    return make_parcel(raw, **{**fields, **changes})


def join(parcel: Parcel) -> bytes:
    head = parse_head(parcel.head)
    by_address = {address_of(part): part for part in parcel.parts}
    index = [by_address[address] for address in head.addresses] if head.form == INDEX else []
    addresses = () if head.form == INLINE else part_addresses(head, index)
    return join_value(head, addresses, by_address)


def altered(parcel: Parcel, **changes: Any) -> bytes:
    fields = msgspec.msgpack.decode(parcel.head)
    return msgspec.msgpack.encode({**fields, **changes})


@pytest.mark.parametrize(
    ("size", "form"),
    [(1, INLINE), (MAX_INLINE, INLINE), (MAX_INLINE + 1, PARTS), (30_000, PARTS), (65_536, INDEX)],
)
def test_noise_of_any_size_comes_back(size: int, form: int) -> None:
    raw = os.urandom(size)
    parcel = cut(raw)
    assert parse_head(parcel.head).form == form
    assert join(parcel) == raw
    assert len(parcel.head) <= MAX_ITEM
    assert all(0 < len(part) <= PART_BYTES for part in parcel.parts)
    assert len(parcel.parts) <= MAX_PARTS + 2


def test_what_compresses_well_stays_inline() -> None:
    parcel = cut(b"a" * 65_536)
    assert parcel.parts == ()
    assert join(parcel) == b"a" * 65_536


def test_the_largest_inline_head_fits_an_item() -> None:
    parcel = cut(
        os.urandom(MAX_INLINE),
        record_type="t" * 32,
        revision=2**53 - 1,
        written=2**53 - 1,
        expires=2**53 - 1,
    )
    assert len(parcel.head) <= MAX_ITEM


def test_bounds_of_the_writer() -> None:
    for raw in (b"", b"x" * 65_537):
        with pytest.raises(InvalidInput):
            cut(raw)
    with pytest.raises(InvalidInput):
        cut(b"x", owner=b"short")


def test_a_head_found_elsewhere_is_refused() -> None:
    head = parse_head(cut(b"x").head)
    check_place(head, record_type="skip_validation", owner=OWNER, salt=SALT)
    for place in (
        {"record_type": "suppliers", "owner": OWNER, "salt": SALT},
        {"record_type": "skip_validation", "owner": b"p" * 32, "salt": SALT},
        {"record_type": "skip_validation", "owner": OWNER, "salt": b"t" * 64},
    ):
        with pytest.raises(FormatError):
            check_place(head, **place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": 0},
        {"t": ""},
        {"t": 5},
        {"r": -1},
        {"r": 2**53},
        {"w": -1},
        {"e": 1.5},
        {"o": b"x" * 31},
        {"s": b""},
        {"f": 3},
        {"f": PARTS},
        {"f": INDEX},
        {"z": 65_537},
        {"z": 12},
        {"z": 11},
        {"n": 0},
        {"n": 11},
        {"n": 65_537},
        {"n": 2**63},
        {"h": b"x" * 33},
        {"b": b""},
        {"b": b"x" * 11},
    ],
)
def test_a_head_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        parse_head(altered(cut(b"x" * 12), **changes))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"i5e", b"\x91" * 996, b"\x80", b"x" * 997])
def test_rubbish_is_no_head(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_head(data)


def test_later_versions_may_add_fields() -> None:
    parse_head(altered(cut(b"x"), later="field"))


def test_an_inline_value_with_the_wrong_hash_is_refused() -> None:
    head = parse_head(altered(cut(b"abc"), b=b"abd"))
    with pytest.raises(FormatError):
        join_value(head, (), {})


def test_missing_swapped_and_damaged_parts_are_refused() -> None:
    parcel = cut(os.urandom(3 * PART_BYTES))
    head = parse_head(parcel.head)
    addresses = part_addresses(head, ())
    parts = dict(zip(addresses, parcel.parts, strict=True))
    first, second, third = addresses
    for bad in (
        {first: parts[first], second: parts[second]},
        {**parts, first: parts[second], second: parts[first]},
        {**parts, third: parts[third][:-1]},
        {**parts, third: b""},
    ):
        with pytest.raises(FormatError):
            join_value(head, addresses, bad)


def test_an_index_that_names_other_counts_is_refused() -> None:
    parcel = cut(os.urandom(60_000))
    head = parse_head(parcel.head)
    assert head.form == INDEX
    index = list(parcel.parts[-len(head.addresses) :])
    part_addresses(head, index)
    short = index[-1][:-20]
    lying = parse_head(altered(parcel, b=address_of(index[0]) + address_of(short)))
    for bad in (index[:1], index[::-1], [index[0], short]):
        with pytest.raises(FormatError):
            part_addresses(head, bad)
    with pytest.raises(FormatError):
        part_addresses(lying, [index[0], short])


def test_a_bomb_is_cut_short() -> None:
    bomb = zlib.compress(b"0" * 50_000_000)[:600]
    whole = zlib.compress(b"0" * 400_000)
    for body in (bomb, whole):
        head = altered(cut(b"x"), z=len(body), n=65_000, b=body, h=blake3(b"0" * 65_000).digest())
        with pytest.raises(FormatError):
            join_value(parse_head(head), (), {})


def test_compression_must_be_whole_and_alone() -> None:
    raw = b"0123456789" * 100
    packed = zlib.compress(raw)
    digest = blake3(raw).digest()
    good = altered(cut(b"x"), z=len(packed), n=len(raw), b=packed, h=digest)
    assert join_value(parse_head(good), (), {}) == raw
    for body in (packed[:-1], packed + b"x", b"y" * len(packed)):
        bad = altered(cut(b"x"), z=len(body), n=len(raw), b=body, h=digest)
        with pytest.raises(FormatError):
            join_value(parse_head(bad), (), {})
