"""Topics: 20 bytes, separate for every kind, subject and network."""

from __future__ import annotations

import pytest

from bitdust.dht import (
    LAYER_NAMES,
    customer_topic,
    group_topic,
    identity_topic,
    layer_topic,
    nickname_topic,
)
from bitdust.errors import InvalidInput

NODE = bytes(range(32))


def test_all_topics_differ() -> None:
    topics = [layer_topic(layer, network) for layer in range(256) for network in ("", "lab")]
    topics += [customer_topic(NODE), identity_topic(NODE), nickname_topic("alice")]
    topics += [group_topic(NODE), group_topic(NODE, "lab")]
    topics += [
        customer_topic(NODE, "lab"),
        identity_topic(NODE, "lab"),
        nickname_topic("alice", "lab"),
    ]
    assert len(set(topics)) == len(topics)
    assert {len(topic) for topic in topics} == {20}


def test_layers_have_the_numbers_of_the_original() -> None:
    assert LAYER_NAMES[3] == "SUPPLIERS"
    assert sorted(LAYER_NAMES) == list(range(10))


def test_nickname_ignores_case_and_outer_spaces() -> None:
    assert nickname_topic("  Alice ") == nickname_topic("alice")
    assert nickname_topic("alice") != nickname_topic("al ice")


@pytest.mark.parametrize("layer", [-1, 256, True, "3", 2.0])
def test_bad_layers_are_refused(layer: int) -> None:
    with pytest.raises(InvalidInput):
        layer_topic(layer)


@pytest.mark.parametrize("size", [0, 20, 31, 33])
def test_node_ids_have_32_bytes(size: int) -> None:
    with pytest.raises(InvalidInput):
        customer_topic(bytes(size))
    with pytest.raises(InvalidInput):
        identity_topic(bytes(size))
    with pytest.raises(InvalidInput):
        group_topic(bytes(size))


def test_names_are_bounded_and_text() -> None:
    with pytest.raises(InvalidInput):
        nickname_topic("x" * 257)
    with pytest.raises(InvalidInput):
        nickname_topic("\ud800")
    with pytest.raises(InvalidInput):
        layer_topic(1, "n" * 257)
