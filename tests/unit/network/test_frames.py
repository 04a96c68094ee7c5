"""Frames against their frozen vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.network.frames import (
    FIN,
    HEAD_SIZE,
    FrameParser,
    FrameType,
    encode_frame,
    encode_head,
)
from bitdust.network.limits import MAX_FRAME_BODY, MAX_HEADER

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "network" / "frames.json").read_text()
)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda v: v["name"])
def test_good_vectors(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    wanted = vector["frame"]
    parser = FrameParser()
    (frame,) = parser.feed(raw)
    assert (frame.type, frame.flags, frame.stream) == (
        wanted["type"],
        wanted["flags"],
        wanted["stream"],
    )
    assert frame.header.hex() == wanted["header"]
    assert bytes(frame.body).hex() == wanted["body"]
    assert parser.violation is None
    assert parser.buffered == 0
    again = encode_frame(
        frame.type,
        flags=frame.flags,
        stream=frame.stream,
        header=frame.header,
        body=bytes(frame.body),
    )
    assert again == raw


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda v: v["name"])
def test_bad_vectors_name_their_failure(vector: dict[str, Any]) -> None:
    parser = FrameParser()
    assert parser.feed(bytes.fromhex(vector["hex"])) == []
    assert parser.violation is not None
    assert parser.violation.kind == vector["kind"]
    assert parser.feed(encode_frame(FrameType.PING, body=bytes(8))) == []


def test_frames_before_malformed_bytes_are_given_back() -> None:
    parser = FrameParser()
    frames = parser.feed(encode_frame(FrameType.PING, body=b"12345678") + b"\xff" * 12)
    assert [frame.type for frame in frames] == [FrameType.PING]
    assert parser.violation is not None


def test_a_large_body_is_passed_on_without_a_copy_and_never_collected() -> None:
    body = bytes(range(256)) * (MAX_FRAME_BODY // 256)
    raw = encode_head(FrameType.DATA, FIN, 1, 0, len(body)) + body
    parser = FrameParser()
    half = len(raw) // 2
    (first,) = parser.feed(raw[:half])
    assert parser.buffered == 0
    assert isinstance(first.body, memoryview)
    assert not first.flags & FIN
    (second,) = parser.feed(raw[half:])
    assert second.flags & FIN
    assert bytes(first.body) + bytes(second.body) == body


def test_a_small_piece_does_not_pin_the_read_it_came_in() -> None:
    small = encode_head(FrameType.DATA, 0, 1, 0, 10) + b"x" * 10
    frames = FrameParser().feed(small * 100)
    assert {type(frame.body) for frame in frames} == {bytes}


def test_the_own_announced_body_size_is_the_bound() -> None:
    parser = FrameParser(max_body=16384)
    parser.feed(encode_head(FrameType.DATA, 0, 1, 0, 16385))
    assert parser.violation is not None
    assert parser.violation.kind == "frame-size"


def test_a_header_is_held_back_within_its_bound_only() -> None:
    parser = FrameParser()
    head = encode_head(FrameType.REQUEST, 0, 1, MAX_HEADER, 0)
    assert parser.feed(head + bytes(MAX_HEADER - 1)) == []
    assert parser.buffered == MAX_HEADER - 1
    (frame,) = parser.feed(b"\x00")
    assert len(frame.header) == MAX_HEADER
    assert parser.buffered == 0
    assert len(head) == HEAD_SIZE
