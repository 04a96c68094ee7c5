"""Record types: mandatory fields and their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from bitdust.dht import (
    GROUP_BROKERS,
    IDENTITY,
    MESSAGE_BROKER,
    NICKNAME,
    RECORD_TYPES,
    SUPPLIERS,
)
from bitdust.dht.records import (
    check_foreign,
    check_key,
    check_own,
    find_record_type,
    problem_of,
    revision_of,
)
from bitdust.errors import FormatError, InvalidInput

ALICE = "http://id.example.org/alice.xml"
BOB = "http://id.example.org:8084/bob.xml"
COMMON = {"key": "k", "timestamp": 1700000000}
GOOD: dict[str, dict[str, Any]] = {
    NICKNAME: {**COMMON, "type": NICKNAME, "idurl": ALICE, "nickname": "alice", "position": 0},
    IDENTITY: {**COMMON, "type": IDENTITY, "idurl": ALICE, "identity": "<xml/>"},
    SUPPLIERS: {
        **COMMON,
        "type": SUPPLIERS,
        "customer_idurl": ALICE,
        "ecc_map": "ecc/4x4",
        "suppliers": [BOB, "", BOB],
        "revision": 3,
    },
    MESSAGE_BROKER: {
        **COMMON,
        "type": MESSAGE_BROKER,
        "customer_idurl": ALICE,
        "broker_idurl": BOB,
        "position": 1,
    },
    GROUP_BROKERS: {
        **COMMON,
        "key": "0a" * 32,
        "type": GROUP_BROKERS,
        "brokers": [ALICE, BOB],
        "epoch": 2,
        "revision": 7,
    },
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_records_pass_with_extra_fields(name: str) -> None:
    kind = find_record_type(name)
    check_own(kind, {**GOOD[name], "publisher_idurl": BOB})
    check_foreign(kind, GOOD[name])


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, value in GOOD.items() for field in value]
)
def test_every_mandatory_field_is_demanded(name: str, field: str) -> None:
    value = {key: item for key, item in GOOD[name].items() if key != field}
    with pytest.raises(FormatError):
        check_foreign(find_record_type(name), value)
    with pytest.raises(InvalidInput):
        check_own(find_record_type(name), value)


@pytest.mark.parametrize(
    ("name", "field", "bad"),
    [
        (SUPPLIERS, "type", "identity"),
        (SUPPLIERS, "revision", -1),
        (SUPPLIERS, "revision", True),
        (SUPPLIERS, "revision", 2**53),
        (SUPPLIERS, "revision", "3"),
        (SUPPLIERS, "suppliers", [BOB] * 129),
        (SUPPLIERS, "suppliers", [1]),
        (SUPPLIERS, "suppliers", "none"),
        (SUPPLIERS, "ecc_map", "ecc/4"),
        (SUPPLIERS, "customer_idurl", "alice"),
        (SUPPLIERS, "customer_idurl", "http://a b/"),
        (NICKNAME, "nickname", ""),
        (NICKNAME, "nickname", "n" * 513),
        (NICKNAME, "position", 1024),
        (NICKNAME, "revision", "x"),
        (NICKNAME, "timestamp", -1),
        (NICKNAME, "timestamp", "now"),
        (IDENTITY, "identity", "x" * (60 * 1024 + 1)),
        (MESSAGE_BROKER, "broker_idurl", ""),
        (GROUP_BROKERS, "key", "0A" * 32),
        (GROUP_BROKERS, "brokers", []),
        (GROUP_BROKERS, "brokers", [ALICE, ALICE]),
        (GROUP_BROKERS, "brokers", [ALICE, ""]),
        (GROUP_BROKERS, "brokers", [f"{ALICE}{n}" for n in range(17)]),
        (GROUP_BROKERS, "epoch", -1),
    ],
)
def test_bad_fields_are_named(name: str, field: str, bad: Any) -> None:
    assert field in problem_of(find_record_type(name), {**GOOD[name], field: bad})


def test_anything_passes_without_validation() -> None:
    kind = RECORD_TYPES["skip_validation"]
    for value in (None, 1, "text", [], {"type": 7}):
        check_foreign(kind, value)
    assert not kind.owned


def test_all_other_types_have_owners() -> None:
    assert {name for name, kind in RECORD_TYPES.items() if kind.owned} == set(GOOD)


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        find_record_type("bitcoin")
    assert "suppliers" in caught.value.hint


def test_keys_are_bounded() -> None:
    assert check_key("ü") == "ü".encode()
    for bad in ("", "k" * 513, "\ud800"):
        with pytest.raises(InvalidInput):
            check_key(bad)


def test_only_whole_numbers_count_as_revisions() -> None:
    assert revision_of({"revision": 5}) == 5
    for value in ({}, {"revision": True}, {"revision": "5"}, {"revision": -1}, [5], None):
        assert revision_of(value) is None
