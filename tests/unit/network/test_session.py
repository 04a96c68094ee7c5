"""The session core: streams, credit, order of output, keep-alive, and what it does not take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.errors import NetworkError
from bitdust.network.frames import FIN, FrameParser, FrameType, encode_frame, encode_head
from bitdust.network.limits import FREE_PREFIX, KIB, MIB, SessionLimits
from bitdust.network.messages import RequestHeader, ResetCode, ResponseHeader, encode
from bitdust.network.scheduler import LOW_WATER
from bitdust.network.session import Session
from bitdust.network.session_events import (
    BodyReceived,
    Event,
    PeerGoingAway,
    PongReceived,
    RequestReceived,
    ResponseReceived,
    SessionClosed,
    StreamReset,
)

BAD = json.loads((Path(__file__).parents[2] / "vectors" / "network" / "session.json").read_text())
SMALL = SessionLimits(
    max_frame_body=16 * KIB, stream_window=128 * KIB, connection_window=256 * KIB, max_streams=8
)


def output(session: Session, now: float = 0.0, limit: int = 1 << 40) -> bytes:
    """Everything the session wants to send."""
    sent = b""
    while session.has_output and len(sent) < limit:
        chunks, size = session.next_output(min(limit - len(sent), 64 * KIB), now)
        assert size == sum(map(len, chunks))
        sent += b"".join(chunks)
    return sent


class Pair:
    """A dialler and a listener whose bytes go straight across."""

    def __init__(
        self, dialler: SessionLimits | None = None, listener: SessionLimits | None = None
    ) -> None:
        a, b = dialler or SessionLimits(), listener or SessionLimits()
        self.a = Session(dialler=True, own=a, peer=b, now=0.0)
        self.b = Session(dialler=False, own=b, peer=a, now=0.0)
        self.at_a: list[Event] = []
        self.at_b: list[Event] = []

    def run(self, now: float = 0.0) -> None:
        """Carry bytes until nobody has any."""
        while self.a.has_output or self.b.has_output:
            self.at_b += self.b.receive(output(self.a, now), now)
            self.at_a += self.a.receive(output(self.b, now), now)

    def body(self, events: list[Event], stream: int) -> bytes:
        return b"".join(
            bytes(e.data) for e in events if isinstance(e, BodyReceived) and e.stream == stream
        )


def test_a_request_and_its_answer() -> None:
    pair = Pair()
    number = pair.a.request("echo", b"args", 5, 0.0)
    pair.a.offer(number, [b"he", b"llo"], ended=True)
    pair.run()
    assert number == 1
    assert pair.at_b[0] == RequestReceived(1, "echo", b"args", 5, False)
    assert pair.body(pair.at_b, 1) == b"hello"
    pair.b.consumed(1, 5, 0.0)
    pair.b.respond(1, b"done", 3, 0.0)
    pair.b.offer(1, [memoryview(b"hey")], ended=True)
    pair.run()
    assert pair.at_a[0] == ResponseReceived(1, b"done", 3, None, "", False)
    assert pair.body(pair.at_a, 1) == b"hey"
    assert not pair.a.idle  # three bytes are not consumed yet
    pair.a.consumed(1, 3, 0.0)
    assert pair.a.idle
    assert pair.b.idle


def test_both_sides_may_ask() -> None:
    pair = Pair()
    assert pair.b.request("up", b"", 0, 0.0, ended=True) == 2
    assert pair.a.request("down", b"", 0, 0.0, ended=True) == 1
    pair.run()
    assert isinstance(pair.at_a[0], RequestReceived)
    assert isinstance(pair.at_b[0], RequestReceived)


def test_a_refusal_keeps_its_reason() -> None:
    pair = Pair()
    pair.a.request("put", b"", 0, 0.0, ended=True)
    pair.run()
    pair.b.refuse(1, "quota", "no space " + "x" * 1000)
    pair.run()
    (event,) = pair.at_a
    assert isinstance(event, ResponseReceived)
    assert event.reason == "quota"
    assert event.message.startswith("no space")
    assert len(event.message) == 500
    assert pair.a.idle


def test_credit_bounds_what_is_sent_and_consuming_gives_it_back() -> None:
    pair = Pair(listener=SMALL)
    total = 1 * MIB
    pair.a.request("put", b"", total, 0.0)
    pair.a.offer(1, [bytes(total)], ended=True)
    pair.run()
    assert len(pair.body(pair.at_b, 1)) == SMALL.stream_window
    assert pair.b.buffered == SMALL.stream_window
    got = 0
    while got < total:
        seen = len(pair.body(pair.at_b, 1))
        assert seen - got <= SMALL.stream_window
        pair.b.consumed(1, seen - got, 0.0)
        got = seen
        pair.run()
    assert pair.at_b[-1] == BodyReceived(1, pair.at_b[-1].data, True)  # type: ignore[union-attr]


def test_a_small_body_passes_when_all_connection_credit_is_used() -> None:
    pair = Pair(listener=SMALL)
    for _ in range(5):
        number = pair.a.request("file", b"", 1 * MIB, 0.0)
        pair.a.offer(number, [bytes(1 * MIB)], ended=True)
    pair.run()
    held = sum(
        max(0, len(pair.body(pair.at_b, number)) - FREE_PREFIX) for number in (1, 3, 5, 7, 9)
    )
    assert held == SMALL.connection_window
    small = pair.a.request("message", b"", 1000, 0.0)
    pair.a.offer(small, [b"m" * 1000], ended=True)
    pair.run()
    assert pair.body(pair.at_b, small) == b"m" * 1000


def test_a_request_goes_out_before_the_bodies_that_wait() -> None:
    pair = Pair()
    pair.a.request("file", b"", 4 * MIB, 0.0)
    pair.a.offer(1, [bytes(4 * MIB)], ended=True)
    output(pair.a, limit=1 * MIB)
    pair.a.request("message", b"now", 0, 0.0, ended=True)
    chunks, _ = pair.a.next_output(64 * KIB, 0.0)
    (frame,) = FrameParser().feed(bytes(chunks[0]))
    assert frame.type == FrameType.REQUEST
    assert frame.body == b"now"


def test_streams_take_turns() -> None:
    pair = Pair()
    for _ in range(3):
        number = pair.a.request("file", b"", 2 * MIB, 0.0)
        pair.a.offer(number, [bytes(2 * MIB)], ended=True)
    parser = FrameParser()
    order = [
        frame.stream
        for frame in parser.feed(output(pair.a))
        if frame.type == FrameType.DATA and not frame.flags & FIN
    ]
    turns = [n for i, n in enumerate(order) if i == 0 or order[i - 1] != n]
    assert turns[:9] == [1, 3, 5] * 3
    sent = [sum(1 for n in order[: len(order) // 2] if n == stream) for stream in (1, 3, 5)]
    assert max(sent) - min(sent) <= 2


def test_young_streams_do_not_starve_an_old_one() -> None:
    pair = Pair(listener=SessionLimits(max_streams=100))
    pair.a.request("file", b"", 4 * MIB, 0.0)
    pair.a.offer(1, [bytes(4 * MIB)], ended=True)
    output(pair.a, limit=256 * KIB)
    for _ in range(60):
        number = pair.a.request("message", b"", 1000, 0.0)
        pair.a.offer(number, [bytes(1000)], ended=True)
    order = [f.stream for f in FrameParser().feed(output(pair.a)) if f.type == FrameType.DATA]
    assert 1 in order[:20]
    assert len(set(order[:20])) > 10


def test_the_end_of_a_body_can_come_after_all_its_bytes_were_sent() -> None:
    pair = Pair()
    pair.a.request("put", b"", -1, 0.0)
    pair.a.offer(1, [b"abc"])
    pair.run()
    pair.a.offer(1, (), ended=True)
    pair.run()
    assert pair.at_b[-1] == BodyReceived(1, b"", True)


def test_a_source_is_asked_again_once_its_queue_is_low() -> None:
    pair = Pair()
    pair.a.request("put", b"", -1, 0.0)
    assert pair.a.offer(1, [bytes(LOW_WATER - 1)]) < LOW_WATER
    assert pair.a.offer(1, [bytes(LOW_WATER)]) >= LOW_WATER
    assert pair.a.take_drained() == []
    output(pair.a)
    assert pair.a.take_drained() == [1]
    assert pair.a.take_drained() == []


def test_more_or_fewer_bytes_than_declared_are_refused_at_home() -> None:
    pair = Pair()
    pair.a.request("put", b"", 5, 0.0)
    with pytest.raises(ValueError, match="declared"):
        pair.a.offer(1, [b"123456"])
    pair.a.request("put", b"", 5, 0.0)
    with pytest.raises(ValueError, match="declared"):
        pair.a.offer(3, [b"1234"], ended=True)
    with pytest.raises(ValueError, match="bounds"):
        pair.a.request("no spaces", b"", 0, 0.0)
    with pytest.raises(ValueError, match="bounds"):
        pair.a.request("put", bytes(64 * KIB + 1), 0, 0.0)


def test_a_cancelled_request_frees_both_sides() -> None:
    pair = Pair(listener=SMALL)
    pair.a.request("put", b"", 1 * MIB, 0.0)
    pair.a.offer(1, [bytes(1 * MIB)], ended=True)
    pair.run()
    pair.a.reset(1, ResetCode.CANCELLED)
    pair.run()
    assert StreamReset(1, ResetCode.CANCELLED, False) in pair.at_b
    assert pair.a.idle
    assert pair.b.idle
    assert pair.b.buffered == 0
    assert not pair.b.respond(1, b"", 0, 0.0, ended=True)
    # Its unread bytes gave their connection credit back: another body of any size goes through.
    number = pair.a.request("put", b"", 120 * KIB, 0.0)
    pair.a.offer(number, [bytes(120 * KIB)], ended=True)
    pair.run()
    assert len(pair.body(pair.at_b, number)) == 120 * KIB


def test_resets_that_cross_are_no_violation() -> None:
    pair = Pair()
    pair.a.request("put", b"", 100, 0.0)
    pair.run()
    pair.a.offer(1, [bytes(100)], ended=True)
    from_a = output(pair.a)
    pair.a.reset(1, ResetCode.CANCELLED)
    from_a += output(pair.a)
    pair.b.reset(1, ResetCode.FAILED)
    from_b = output(pair.b)
    assert all(not isinstance(e, SessionClosed) for e in pair.b.receive(from_a, 0.0))
    assert all(not isinstance(e, SessionClosed) for e in pair.a.receive(from_b, 0.0))
    pair.run()
    assert pair.a.idle
    assert pair.b.idle


def test_an_early_answer_stops_the_rest_of_the_body() -> None:
    pair = Pair(listener=SMALL)
    pair.a.request("put", b"", 10 * MIB, 0.0)
    pair.a.offer(1, [bytes(10 * MIB)], ended=True)
    pair.run()
    pair.b.refuse(1, "quota", "full")
    pair.b.unwanted(1)
    pair.run()
    kinds = [type(event) for event in pair.at_a]
    assert kinds == [ResponseReceived, StreamReset]
    assert pair.at_a[1] == StreamReset(1, ResetCode.NO_BODY, True)
    assert pair.a.idle
    assert pair.b.idle
    assert pair.a.bytes_sent < 1 * MIB


def test_the_peers_bound_on_streams_is_kept_and_enforced() -> None:
    pair = Pair(listener=SMALL)
    for _ in range(SMALL.max_streams):
        pair.a.request("x", b"", 0, 0.0, ended=True)
    assert not pair.a.can_open
    with pytest.raises(NetworkError):
        pair.a.request("x", b"", 0, 0.0, ended=True)
    pair.run()
    head = encode(RequestHeader("x", 0))
    events = pair.b.receive(encode_frame(FrameType.REQUEST, flags=FIN, stream=99, header=head), 0.0)
    closed = events[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.violation is not None
    assert closed.violation.kind == "too-many-streams"


def test_more_than_the_credit_is_a_violation() -> None:
    session = Session(dialler=False, own=SMALL, peer=SessionLimits(), now=0.0)
    head = encode(RequestHeader("x", -1))
    session.receive(encode_frame(FrameType.REQUEST, stream=1, header=head), 0.0)
    block = encode_head(FrameType.DATA, 0, 1, 0, 16 * KIB) + bytes(16 * KIB)
    for _ in range(SMALL.stream_window // (16 * KIB)):
        events = session.receive(block, 0.0)
        assert not session.closed
    events = session.receive(encode_head(FrameType.DATA, 0, 1, 0, 1) + b"x", 0.0)
    closed = events[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.violation is not None
    assert closed.violation.kind == "credit"


@pytest.mark.parametrize("vector", BAD, ids=lambda v: v["name"])
@pytest.mark.parametrize("step", [1, 1 << 20], ids=["bytewise", "whole"])
def test_bad_vectors_end_the_session_and_name_the_violation(
    vector: dict[str, Any], step: int
) -> None:
    session = Session(dialler=False, own=SessionLimits(), peer=SessionLimits(), now=0.0)
    session.request("mine", b"", 0, 0.0, ended=True)
    raw = bytes.fromhex(vector["hex"])
    if vector["name"] == "response-nobody-asked-for":
        session = Session(dialler=False, own=SessionLimits(), peer=SessionLimits(), now=0.0)
    events: list[Event] = []
    for start in range(0, len(raw), step):
        events += session.receive(raw[start : start + step], 0.0)
    assert sum(isinstance(event, SessionClosed) for event in events) == 1
    closed = events[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.violation is not None
    assert closed.violation.kind == vector["kind"]
    assert session.closed
    parser = FrameParser()
    assert parser.feed(output(session))[-1].type == FrameType.CLOSE
    assert session.receive(raw, 0.0) == []


@pytest.mark.parametrize(
    ("frame", "most"),
    [
        (encode_frame(FrameType.RESET, stream=1, body=b"\x01"), 700),
        (encode_frame(FrameType.CREDIT, stream=1, body=b"\0\0\0\1"), 2100),
        (encode_frame(FrameType.PING, body=b"abcdefgh"), 25),
    ],
    ids=["resets", "credits", "pings"],
)
def test_floods_of_control_frames_are_violations(frame: bytes, most: int) -> None:
    session = Session(dialler=False, own=SessionLimits(), peer=SessionLimits(), now=0.0)
    head = encode(RequestHeader("x", 0))
    session.receive(encode_frame(FrameType.REQUEST, flags=FIN, stream=1, header=head), 0.0)
    events = session.receive(frame * most, 0.0)
    closed = events[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.violation is not None
    assert closed.violation.kind == "flood"


def test_control_frames_at_a_fair_rate_are_taken_for_ever() -> None:
    session = Session(dialler=False, own=SessionLimits(), peer=SessionLimits(), now=0.0)
    for second in range(1000):
        session.receive(encode_frame(FrameType.PING, body=b"abcdefgh"), float(second))
        output(session, float(second))
    assert not session.closed


def test_opening_and_resetting_streams_rapidly_is_a_flood() -> None:
    session = Session(dialler=False, own=SessionLimits(), peer=SessionLimits(), now=0.0)
    head = encode(RequestHeader("x", 0))
    for number in range(1, 4001, 2):
        session.receive(
            encode_frame(FrameType.REQUEST, flags=FIN, stream=number, header=head)
            + encode_frame(FrameType.RESET, stream=number, body=b"\x01"),
            0.0,
        )
    assert session.closed
    assert session.open_streams == 0


def test_a_peer_that_never_reads_cannot_fill_our_memory() -> None:
    own = SessionLimits(max_replies=10, ping_burst=1000)
    session = Session(dialler=False, own=own, peer=SessionLimits(), now=0.0)
    events = session.receive(encode_frame(FrameType.PING, body=b"abcdefgh") * 11, 0.0)
    closed = events[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.violation is not None
    assert closed.violation.kind == "not-reading"


def test_keep_alive() -> None:
    pair = Pair()
    assert pair.a.deadline() == 20.0
    assert pair.a.tick(19.9) == []
    assert not pair.a.has_output
    assert pair.a.tick(20.0) == []
    assert pair.a.has_output
    assert pair.a.deadline() == 45.0
    pair.run(20.1)
    assert pair.a.deadline() == pytest.approx(40.1)
    assert pair.at_a == []  # the PONG of a keep-alive is no event
    (closed,) = pair.a.tick(66.0)
    assert isinstance(closed, SessionClosed)
    assert closed.reason == "timeout"
    assert pair.a.deadline() is None


def test_a_ping_with_a_token_is_answered() -> None:
    pair = Pair()
    pair.a.ping(b"12345678")
    pair.run()
    assert pair.at_a == [PongReceived(b"12345678")]


def test_a_body_that_stands_still_is_reset_and_a_patient_request_is_not() -> None:
    pair = Pair()
    pair.a.request("put", b"", 100, 0.0)
    pair.a.request("think", b"", 0, 0.0, ended=True)
    pair.run(0.0)
    now = 0.0
    while pair.b.open_streams == 2 and now < 1000:
        now += 10.0
        pair.at_b += pair.b.tick(now)
        pair.at_a += pair.a.tick(now)
        pair.run(now)
    assert 120 <= now <= 160
    assert StreamReset(1, ResetCode.STALLED, False) in pair.at_b + pair.at_a
    assert pair.b.open_streams == 1
    assert pair.b.respond(3, b"", 0, now, ended=True)


def test_going_away_lets_open_streams_end() -> None:
    pair = Pair()
    pair.a.request("put", b"", 0, 0.0, ended=True)
    pair.run()
    pair.a.go_away()
    with pytest.raises(NetworkError):
        pair.a.request("put", b"", 0, 0.0, ended=True)
    crossing = pair.b.request("crossing", b"", 0, 0.0, ended=True)
    pair.run()
    assert PeerGoingAway() in pair.at_b
    assert not pair.b.can_open
    assert pair.b.respond(1, b"", 0, 0.0, ended=True)
    assert pair.a.respond(crossing, b"", 0, 0.0, ended=True)
    pair.run()
    assert sum(isinstance(e, ResponseReceived) for e in pair.at_a + pair.at_b) == 2
    assert pair.a.idle
    assert pair.b.idle


def test_close_says_why_and_nothing_else() -> None:
    pair = Pair()
    pair.a.request("put", b"", 1 * MIB, 0.0)
    pair.a.offer(1, [bytes(1 * MIB)], ended=True)
    pair.a.close("stopping", "good bye")
    pair.run()
    assert pair.at_b == [SessionClosed("stopping", "good bye", None)]
    assert pair.b.closed
    assert pair.b.connection_lost("x") == []


def test_a_late_response_to_a_cancelled_request_is_dropped() -> None:
    pair = Pair()
    pair.a.request("get", b"", 0, 0.0, ended=True)
    pair.run()
    pair.a.reset(1, ResetCode.CANCELLED)
    late = encode_frame(FrameType.RESPONSE, stream=1, header=encode(ResponseHeader(3)))
    late += encode_head(FrameType.DATA, FIN, 1, 0, 3) + b"abc"
    assert pair.a.receive(late, 0.0) == []
    again = pair.a.receive(encode_head(FrameType.DATA, FIN, 1, 0, 3) + b"abc", 0.0)
    assert isinstance(again[-1], SessionClosed)
