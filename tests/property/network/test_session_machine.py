"""Two session cores under every interleaving: bytes split, delayed, and lost at any byte."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from bitdust.network.frames import FrameParser, FrameType, encode_frame
from bitdust.network.limits import FREE_PREFIX, KIB, SessionLimits
from bitdust.network.messages import ResetCode
from bitdust.network.session import Session
from bitdust.network.session_events import (
    BodyReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    SessionClosed,
    StreamReset,
)

LIMITS = SessionLimits(
    max_frame_body=16 * KIB,
    stream_window=96 * KIB,
    connection_window=160 * KIB,
    max_streams=6,
)


def pattern(seed: int, size: int) -> bytes:
    """Bytes in which every lost or doubled piece shows."""
    block = b"".join((seed * 1_000_003 + i).to_bytes(4, "big") for i in range(size // 4 + 1))
    return block[:size]


@dataclass
class Half:
    """What one side sent on a stream and what the other one got."""

    sent: bytes = b""
    offered: int = 0
    ended: bool = False
    got: bytearray = field(default_factory=bytearray)
    got_end: bool = False
    consumed: int = 0


@dataclass
class Exchange:
    """One request, as the two models see it."""

    asker: int
    number: int
    request: Half = field(default_factory=Half)
    response: Half = field(default_factory=Half)
    arrived: bool = False
    answered: bool = False
    dead: bool = False  # its connection is gone
    outcome: str = ""  # at the asker: response, refused, reset, closed


class TwoSessions(RuleBasedStateMachine):
    """Rules act on both ends; invariants compare what was sent with what came."""

    exchanges = Bundle("exchanges")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._connect()
        self.known: dict[tuple[int, int], Exchange] = {}
        self.seed = 0
        self.alive = True

    def _connect(self) -> None:
        self.sides = [
            Session(dialler=True, own=LIMITS, peer=LIMITS, now=self.now),
            Session(dialler=False, own=LIMITS, peer=LIMITS, now=self.now),
        ]
        self.wires: list[deque[bytes]] = [deque(), deque()]  # by receiving side

    # --- rules -------------------------------------------------------------------------------

    @precondition(lambda self: self.alive)
    @rule(
        target=exchanges,
        side=st.integers(0, 1),
        size=st.sampled_from([0, 1, 5000, 70_000, 200_000]),
        known=st.booleans(),
    )
    def ask(self, side: int, size: int, known: bool) -> Exchange | None:
        session = self.sides[side]
        if not session.can_open:
            return None
        length = size if known else -1
        number = session.request("m", b"args", length, self.now, ended=size == 0)
        exchange = self.known[side, number] = Exchange(side, number)
        self.seed += 1
        exchange.request.sent = pattern(self.seed, size)
        exchange.request.ended = size == 0
        if size == 0:
            exchange.request.offered = 0
        return exchange

    @precondition(lambda self: self.alive)
    @rule(exchange=exchanges, share=st.floats(0.01, 1.0))
    def offer_request(self, exchange: Exchange | None, share: float) -> None:
        if exchange is not None and not exchange.dead:
            self._offer(self.sides[exchange.asker], exchange.number, exchange.request, share)

    @precondition(lambda self: self.alive)
    @rule(
        exchange=exchanges,
        size=st.sampled_from([0, 3, 65_536, 150_000]),
        known=st.booleans(),
        unwanted=st.booleans(),
    )
    def answer(self, exchange: Exchange | None, size: int, known: bool, unwanted: bool) -> None:
        if exchange is None or exchange.dead or not exchange.arrived or exchange.answered:
            return
        session = self.sides[1 - exchange.asker]
        length = size if known else -1
        if session.respond(exchange.number, b"r", length, self.now, ended=size == 0):
            self.seed += 1
            exchange.response.sent = pattern(self.seed, size)
            exchange.response.ended = size == 0
            if unwanted:
                session.unwanted(exchange.number)
        exchange.answered = True

    @precondition(lambda self: self.alive)
    @rule(exchange=exchanges)
    def refuse(self, exchange: Exchange | None) -> None:
        if exchange is None or exchange.dead or not exchange.arrived or exchange.answered:
            return
        session = self.sides[1 - exchange.asker]
        session.refuse(exchange.number, "no", "because")
        session.unwanted(exchange.number)
        exchange.answered = True

    @precondition(lambda self: self.alive)
    @rule(exchange=exchanges, share=st.floats(0.01, 1.0))
    def offer_response(self, exchange: Exchange | None, share: float) -> None:
        if exchange is not None and not exchange.dead and exchange.answered:
            session = self.sides[1 - exchange.asker]
            self._offer(session, exchange.number, exchange.response, share)

    @precondition(lambda self: self.alive)
    @rule(exchange=exchanges, at_asker=st.booleans(), share=st.floats(0.01, 1.0))
    def consume(self, exchange: Exchange | None, at_asker: bool, share: float) -> None:
        if exchange is None or exchange.dead:
            return
        half = exchange.response if at_asker else exchange.request
        session = self.sides[exchange.asker if at_asker else 1 - exchange.asker]
        size = int((len(half.got) - half.consumed) * share)
        if size:
            half.consumed += size
            session.consumed(exchange.number, size, self.now)

    @precondition(lambda self: self.alive)
    @rule(exchange=exchanges, at_asker=st.booleans())
    def reset(self, exchange: Exchange | None, at_asker: bool) -> None:
        if exchange is None or exchange.dead:
            return
        side = exchange.asker if at_asker else 1 - exchange.asker
        if side != exchange.asker and not exchange.arrived:
            return
        self.sides[side].reset(exchange.number, ResetCode.CANCELLED)
        if at_asker and not exchange.outcome:
            exchange.outcome = "reset"
        if not at_asker:
            exchange.answered = True

    @precondition(lambda self: self.alive)
    @rule(side=st.integers(0, 1), limit=st.integers(1, 300_000))
    def send(self, side: int, limit: int) -> None:
        chunks, size = self.sides[side].next_output(limit, self.now)
        data = b"".join(chunks)
        assert len(data) == size
        if data:
            self.wires[1 - side].append(data)

    @precondition(lambda self: self.alive)
    @rule(side=st.integers(0, 1), size=st.integers(1, 100_000))
    def deliver(self, side: int, size: int) -> None:
        wire = self.wires[side]
        if wire:
            data = wire.popleft()
            if len(data) > size:
                wire.appendleft(data[size:])
            self._events(side, self.sides[side].receive(data[:size], self.now))

    @precondition(lambda self: self.alive)
    @rule(seconds=st.floats(0.0, 5.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for side in (0, 1):
            self._events(side, self.sides[side].tick(self.now))

    @precondition(lambda self: self.alive)
    @rule(arrives=st.integers(0, 200_000))
    def lose_the_connection(self, arrives: int) -> None:
        """Both directions break, after any number of the bytes on the way."""
        for side in (0, 1):
            data = b"".join(self.wires[side])[:arrives]
            self._events(side, self.sides[side].receive(data, self.now))
            self._events(side, self.sides[side].connection_lost("lost"))
        self.alive = False

    @precondition(lambda self: not self.alive)
    @rule()
    def connect_again(self) -> None:
        for exchange in self.known.values():
            assert exchange.outcome, exchange.number
            exchange.dead = True
        self.known.clear()
        self._connect()
        self.alive = True

    # --- the model ---------------------------------------------------------------------------

    def _offer(self, session: Session, number: int, half: Half, share: float) -> None:
        if half.ended:
            return
        rest = half.sent[half.offered :]
        piece = rest[: max(1, int(len(rest) * share))]
        ended = half.offered + len(piece) == len(half.sent)
        if session.offer(number, [memoryview(piece)], ended=ended) >= 0:
            half.offered += len(piece)
            half.ended = ended
        else:
            half.ended = True

    def _events(self, side: int, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SessionClosed):
                assert event.violation is None, event
                for exchange in self.known.values():
                    if exchange.asker == side and not exchange.outcome:
                        exchange.outcome = "closed"
                continue
            if isinstance(event, RequestReceived):
                exchange = self.known[1 - side, event.stream]
                assert not exchange.arrived
                assert event.args == b"args"
                exchange.arrived = True
                exchange.request.got_end = event.ended
            elif isinstance(event, ResponseReceived):
                exchange = self.known[side, event.stream]
                assert exchange.outcome == ""
                exchange.outcome = "response" if event.reason is None else "refused"
                exchange.response.got_end = event.ended
            elif isinstance(event, BodyReceived):
                mine = (side, event.stream) in self.known
                exchange = self.known[(side if mine else 1 - side), event.stream]
                half = exchange.response if mine else exchange.request
                assert not half.got_end
                half.got += event.data
                half.got_end = event.ended
            elif isinstance(event, StreamReset):
                mine = (side, event.stream) in self.known
                exchange = self.known[(side if mine else 1 - side), event.stream]
                if mine and not exchange.outcome:
                    exchange.outcome = "reset"
                if not mine:
                    exchange.answered = True

    @invariant()
    def no_byte_is_lost_doubled_or_changed(self) -> None:
        for exchange in self.known.values():
            for half in (exchange.request, exchange.response):
                assert half.sent.startswith(bytes(half.got))
                if half.got_end:
                    assert len(half.got) == len(half.sent)

    @invariant()
    def memory_is_bounded(self) -> None:
        bound = LIMITS.connection_window + 2 * LIMITS.max_streams * FREE_PREFIX
        for session in self.sides:
            table = session._table
            lingering = len(table.lingering) * FREE_PREFIX
            assert session.buffered <= bound + lingering
            for stream in table.open.values():
                assert 0 <= stream.recv_credit <= LIMITS.stream_window
                assert 0 <= stream.send_credit <= LIMITS.stream_window
            assert 0 <= table.recv_credit <= LIMITS.connection_window
            assert 0 <= session._out.credit <= LIMITS.connection_window
            assert table.peer_open <= LIMITS.max_streams

    def teardown(self) -> None:
        """Let everything end: no request may be left without a response or an error."""
        for _ in range(4000):
            if not self.alive:
                break
            progress = False
            for side in (0, 1):
                session = self.sides[side]
                while session.has_output:
                    chunks, _ = session.next_output(1 << 20, self.now)
                    self.wires[1 - side].append(b"".join(chunks))
                    progress = True
            for side in (0, 1):
                session = self.sides[side]
                while self.wires[side]:
                    progress = True
                    data = self.wires[side].popleft()
                    self._events(side, session.receive(data, self.now))
            for exchange in self.known.values():
                asker, other = self.sides[exchange.asker], self.sides[1 - exchange.asker]
                if exchange.arrived and not exchange.answered:
                    other.respond(exchange.number, b"", 0, self.now, ended=True)
                    other.unwanted(exchange.number)
                    exchange.answered = progress = True
                for session, half in ((asker, exchange.request), (other, exchange.response)):
                    if not half.ended and (half is exchange.request or exchange.answered):
                        self._offer(session, exchange.number, half, 1.0)
                        progress = True
                for session, half in ((other, exchange.request), (asker, exchange.response)):
                    size = len(half.got) - half.consumed
                    if size:
                        half.consumed += size
                        session.consumed(exchange.number, size, self.now)
                        progress = True
            if not progress:
                break
        for exchange in self.known.values():
            assert exchange.outcome, exchange.number
        if self.alive:
            for session in self.sides:
                assert session.idle
                assert session.buffered == 0
                assert not session._table.discarding
                # What is not given back yet is less than a quarter, so nothing can stand still.
                assert session._table.recv_credit * 4 >= LIMITS.connection_window * 3 - 4


TestTwoSessions = TwoSessions.TestCase
TestTwoSessions.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.slow
class TestTwoSessionsLong(TwoSessions.TestCase):
    settings = settings(
        max_examples=2000,
        stateful_step_count=80,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_foreign_bytes_never_raise(pieces: list[bytes]) -> None:
    session = Session(dialler=False, own=LIMITS, peer=LIMITS, now=0.0)
    for piece in pieces:
        session.receive(piece, 0.0)
        session.next_output(1 << 20, 0.0)


frames = st.builds(
    lambda kind, flags, stream, header, body: encode_frame(
        kind, flags=flags, stream=stream, header=header, body=body
    ),
    st.sampled_from(list(FrameType)),
    st.sampled_from([0, 1, 2, 3]),
    st.integers(0, 9),
    st.one_of(st.just(b""), st.just(b"\x81\xa6method\xa1m"), st.binary(max_size=20)),
    st.one_of(st.just(b""), st.binary(max_size=9), st.just(bytes(8)), st.just(b"\0\0\0\1")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(frames, max_size=30))
def test_well_formed_frames_in_any_order_never_raise(sequence: list[bytes]) -> None:
    for dialler in (True, False):
        session = Session(dialler=dialler, own=LIMITS, peer=LIMITS, now=0.0)
        if dialler:
            session.request("mine", b"", -1, 0.0)
        for frame in sequence:
            for event in session.receive(frame, 0.0):
                if isinstance(event, RequestReceived):
                    session.respond(event.stream, b"", 0, 0.0, ended=True)
            session.next_output(1 << 20, 0.0)
        assert session.buffered <= LIMITS.connection_window + 12 * FREE_PREFIX


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_split_gives_the_same_frames(data: st.DataObject) -> None:
    sequence = data.draw(st.lists(frames, min_size=1, max_size=10))
    raw = b"".join(sequence)
    whole = FrameParser()
    wanted = whole.feed(raw)
    cut = FrameParser()
    got = []
    pos = 0
    while pos < len(raw):
        size = data.draw(st.integers(1, max(1, len(raw) - pos)))
        got += cut.feed(raw[pos : pos + size])
        pos += size
    assert (whole.violation is None) == (cut.violation is None)
    if whole.violation is not None and cut.violation is not None:
        assert whole.violation == cut.violation

    def flat(found: list) -> list[tuple[int, int, bytes]]:  # type: ignore[type-arg]
        """Pieces of one DATA body joined."""
        out: list[tuple[int, int, bytes]] = []
        for frame in found:
            if frame.type == FrameType.DATA and out and out[-1][:2] == (5, frame.stream):
                out[-1] = (5, frame.stream, out[-1][2] + bytes(frame.body))
            else:
                out.append((frame.type, frame.stream, frame.header + bytes(frame.body)))
        return out

    assert flat(wanted) == flat(got)
