"""The incoming side of a session: what each frame does, and which ones break the rules, pure."""

from __future__ import annotations

from typing import Final

from bitdust.network.frames import FIN, REFUSED, Frame, FrameType, Violation, encode_frame
from bitdust.network.limits import MAX_WINDOW
from bitdust.network.messages import (
    DECODE_ERRORS,
    UNKNOWN_LENGTH,
    ResetCode,
    decode_close,
    decode_request,
    decode_response,
    is_method,
)
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
from bitdust.network.stream_table import StreamTable
from bitdust.network.streams import Stream, TokenBucket, charged

KEEP_ALIVE: Final = bytes(8)
"""The token of PINGs that only keep the connection alive; their PONGs are no event."""


class Broken(Exception):
    """Inside this package only: the peer broke a rule; never crosses the session's border."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.violation = Violation(kind, message)


class Receiver:
    """Applies the peer's frames to the table of streams.

    Args:
        table: the streams.
        now: monotonic seconds.
    """

    def __init__(self, table: StreamTable, now: float) -> None:
        own = table.own
        self._table = table
        self._own = own
        self._pings = TokenBucket(own.ping_burst, own.ping_rate, now)
        self._resets = TokenBucket(own.reset_burst, own.reset_rate, now)
        self.credits = TokenBucket(own.credit_burst, own.credit_rate, now)
        self.ping_tokens: list[bytes] = []
        """Tokens of PINGs not answered yet."""
        self.got_goaway = False

    def take(self, frame: Frame, now: float, events: list[Event]) -> None:
        """Apply one frame and append what the owner has to know.

        Raises:
            Broken: the frame breaks the protocol.
        """
        kind = frame.type
        if kind == FrameType.DATA:
            self._on_data(frame, now, events)
        elif kind == FrameType.REQUEST:
            self._on_request(frame, now, events)
        elif kind == FrameType.RESPONSE:
            self._on_response(frame, now, events)
        elif kind == FrameType.CREDIT:
            self._on_credit(frame, now)
        elif kind == FrameType.RESET:
            self._on_reset(frame, now, events)
        elif kind == FrameType.PING:
            self._pay(self._pings, now, "PING")
            self._table.out.control(encode_frame(FrameType.PONG, body=bytes(frame.body)))
        elif kind == FrameType.PONG:
            self._on_pong(bytes(frame.body), now, events)
        elif kind == FrameType.GOAWAY:
            if self.got_goaway:
                raise Broken("state", "GOAWAY twice")
            self.got_goaway = True
            events.append(PeerGoingAway())
        elif kind == FrameType.CLOSE:
            try:
                header = decode_close(frame.header or b"\x80")
            except DECODE_ERRORS as exc:
                raise Broken("header", "malformed CLOSE header") from exc
            events.append(SessionClosed(header.reason or "closed", header.message, None))
        else:
            raise Broken("state", f"frame of type {kind} after the handshake")

    def _on_pong(self, token: bytes, now: float, events: list[Event]) -> None:
        if token in self.ping_tokens:
            self.ping_tokens.remove(token)
            events.append(PongReceived(token))
        elif token == KEEP_ALIVE:
            self._pay(self._pings, now, "PONG")
        else:
            raise Broken("state", "PONG without a PING")

    def _on_request(self, frame: Frame, now: float, events: list[Event]) -> None:
        number = frame.stream
        table = self._table
        if not table.belongs_to_peer(number) or number <= table.last_peer_id:
            raise Broken("stream-id", f"REQUEST on stream {number}")
        if self.got_goaway:
            raise Broken("state", "REQUEST after GOAWAY")
        if table.peer_open >= self._own.max_streams:
            raise Broken("too-many-streams", f"more than {self._own.max_streams} open streams")
        if len(table.discarding) >= 2 * self._own.max_streams:
            raise Broken("flood", "RESETs are not acknowledged")
        try:
            header = decode_request(frame.header)
        except DECODE_ERRORS as exc:
            raise Broken("header", "malformed REQUEST header") from exc
        if not is_method(header.method):
            raise Broken("header", "invalid method name")
        ended = bool(frame.flags & FIN)
        stream = table.add(number=number, now=now)
        self._take_head(stream, header.length, ended)
        args = bytes(frame.body)
        events.append(RequestReceived(number, header.method, args, header.length, ended))

    def _on_response(self, frame: Frame, now: float, events: list[Event]) -> None:
        ended = bool(frame.flags & FIN)
        refused = bool(frame.flags & REFUSED)
        number = frame.stream
        try:
            header = decode_response(frame.header)
        except DECODE_ERRORS as exc:
            raise Broken("header", "malformed RESPONSE header") from exc
        if refused and (not ended or frame.body):
            raise Broken("header", "a refusal with a body")
        stream = self._table.open.get(number)
        live = stream is not None
        if stream is None:
            stream = self._table.discarding.get(number)
        if stream is None or not stream.mine or stream.head_received:
            raise Broken("state", f"RESPONSE on stream {number} out of its place")
        self._take_head(stream, header.length, ended)
        if not live:
            if ended:
                del self._table.discarding[number]
            return
        stream.touched = now
        args = bytes(frame.body)
        reason = header.reason if refused else None
        events.append(ResponseReceived(number, args, header.length, reason, header.message, ended))

    def _on_data(self, frame: Frame, now: float, events: list[Event]) -> None:
        number = frame.stream
        table = self._table
        stream = table.open.get(number)
        live = stream is not None
        if stream is None:
            stream = table.discarding.get(number)
        if stream is None or stream.recv_done or not stream.head_received:
            raise Broken("state", f"DATA on stream {number} out of its place")
        size = len(frame.body)
        before = charged(stream.received)
        stream.received += size
        stream.recv_credit -= size
        table.recv_credit -= charged(stream.received) - before
        if stream.recv_credit < 0 or table.recv_credit < 0:
            raise Broken("credit", f"stream {number} sent more than its credit")
        ended = bool(frame.flags & FIN)
        declared = stream.declared_in
        if declared != UNKNOWN_LENGTH and (
            stream.received > declared or (ended and stream.received < declared)
        ):
            raise Broken("length", f"stream {number} does not have the length declared")
        if not live:
            table.return_credit(stream.take_unconsumed())
            if ended:
                del table.discarding[number]
            return
        stream.touched = now
        if ended:
            stream.recv_done = True
        if stream.unwanted:
            table.consume(stream, size)
            table.settle(stream)
            return
        table.settle(stream)
        events.append(BodyReceived(number, frame.body, ended))

    def _on_credit(self, frame: Frame, now: float) -> None:
        self._pay(self.credits, now, "CREDIT")
        amount = int.from_bytes(frame.body, "big")
        if not amount:
            raise Broken("credit", "CREDIT of nothing")
        number = frame.stream
        out = self._table.out
        if number == 0:
            out.credit += amount
            if out.credit > MAX_WINDOW:
                raise Broken("credit", "more connection credit than allowed")
            return
        stream = self._table.open.get(number)
        if stream is None:
            self._check_known(number)
            return
        stream.send_credit += amount
        stream.touched = now
        if stream.send_credit > MAX_WINDOW:
            raise Broken("credit", "more stream credit than allowed")
        out.wake(stream)

    def _on_reset(self, frame: Frame, now: float, events: list[Event]) -> None:
        self._pay(self._resets, now, "RESET")
        number = frame.stream
        table = self._table
        stream = table.open.get(number)
        if stream is None:
            self._check_known(number)
            table.discarding.pop(number, None)
            return
        complete = stream.recv_done
        if not stream.send_done:
            table.send_reset(number, ResetCode.ACKNOWLEDGED)
        stream.queue.clear()
        stream.send_done = True
        if complete:
            table.settle(stream)
        else:
            table.drop(stream)
        events.append(StreamReset(number, frame.body[0], complete))

    def _take_head(self, stream: Stream, length: int, ended: bool) -> None:
        if ended and length > 0:
            raise Broken("length", f"stream {stream.number} ends before its body")
        stream.head_received = True
        stream.declared_in = length
        if ended:
            stream.recv_done = True
            self._table.settle(stream)

    def _pay(self, bucket: TokenBucket, now: float, what: str) -> None:
        if not bucket.take(now):
            raise Broken("flood", f"too many {what} frames")

    def _check_known(self, number: int) -> None:
        # A frame for a stream that is gone crossed its end on the way; that is nobody's fault.
        if not self._table.was_opened(number):
            raise Broken("stream-id", f"stream {number} was never opened")
