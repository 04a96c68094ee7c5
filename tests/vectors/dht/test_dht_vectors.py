"""Frozen vectors: what other programs, and later versions of this one, must agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.dht import (
    customer_topic,
    identity_topic,
    is_signed,
    item_target,
    layer_topic,
    nickname_topic,
    public_of,
    sign_item,
)
from bitdust.dht.heads import address_of, join_value, make_parcel, parse_head
from bitdust.dht.ownership import open_seed, record_salt
from bitdust.errors import FormatError

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("dht-v1.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["topics"], ids=lambda v: v["kind"] + v["network"])
def test_topics(vector: dict[str, Any]) -> None:
    made = {
        "layer": lambda v: layer_topic(v["layer"], v["network"]),
        "customer": lambda v: customer_topic(bytes.fromhex(v["node_id"]), v["network"]),
        "identity": lambda v: identity_topic(bytes.fromhex(v["node_id"]), v["network"]),
        "nickname": lambda v: nickname_topic(v["name"], v["network"]),
    }[vector["kind"]](vector)
    assert made.hex() == vector["topic"]


@pytest.mark.parametrize("vector", VECTORS["places"], ids=lambda v: v["key"])
def test_places(vector: dict[str, Any]) -> None:
    salt = record_salt(
        vector["record_type"], vector["key"].encode(), vector["layer"], vector["network"]
    )
    seed = open_seed(salt)
    assert salt.hex() == vector["salt"]
    assert seed.hex() == vector["open_seed"]
    assert item_target(public_of(seed), salt).hex() == vector["open_target"]


@pytest.mark.parametrize("vector", VECTORS["heads"], ids=lambda v: v["form"])
def test_heads_are_read(vector: dict[str, Any]) -> None:
    head = parse_head(bytes.fromhex(vector["head"]))
    parts = {address_of(part): part for part in map(bytes.fromhex, vector["parts"])}
    assert join_value(head, head.addresses, parts).hex() == vector["value"]


@pytest.mark.parametrize("vector", VECTORS["heads"][:2], ids=lambda v: v["form"])
def test_heads_are_written_the_same(vector: dict[str, Any]) -> None:
    head = parse_head(bytes.fromhex(vector["head"]))
    made = make_parcel(
        bytes.fromhex(vector["value"]),
        record_type=head.record_type,
        revision=head.revision,
        written=head.written,
        expires=head.expires,
        owner=head.owner,
        salt=head.salt,
    )
    assert made.head.hex() == vector["head"]
    assert [part.hex() for part in made.parts] == vector["parts"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_bad_heads_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        parse_head(bytes.fromhex(vector["head"]))


def test_owner() -> None:
    vector = VECTORS["owner"]
    seed, salt = bytes.fromhex(vector["seed"]), bytes.fromhex(vector["salt"])
    value, signature = bytes.fromhex(vector["value"]), bytes.fromhex(vector["signature"])
    assert public_of(seed).hex() == vector["public"]
    assert sign_item(seed, salt, vector["seq"], value) == signature
    assert is_signed(public_of(seed), salt, vector["seq"], value, signature)
