"""The streams of a session and the credit they share, pure."""

from __future__ import annotations

from typing import Final

from bitdust.network.frames import FIN, FrameType, encode_frame
from bitdust.network.limits import SessionLimits
from bitdust.network.messages import ResetCode
from bitdust.network.scheduler import Scheduler
from bitdust.network.streams import Stream

CREDIT_SHARE: Final = 4
"""Credit is given back when a quarter of a window was consumed."""


class StreamTable:
    """Every stream that is not yet forgotten, and the frames that change one.

    Args:
        dialler: whether this side made the connection; it opens the odd stream ids.
        own: what this side accepts.
        peer: what the peer accepts.
        out: where frames to send go.
    """

    def __init__(
        self, *, dialler: bool, own: SessionLimits, peer: SessionLimits, out: Scheduler
    ) -> None:
        self.own = own
        self.peer = peer
        self.out = out
        self.open: dict[int, Stream] = {}
        self.lingering: dict[int, Stream] = {}
        """Streams ended on the wire whose bytes were not all consumed here."""
        self.discarding: dict[int, Stream] = {}
        """Streams reset here; the peer may still send on them until it knows."""
        self.peer_open = 0
        self.last_peer_id = 0
        self.recv_credit = own.connection_window
        self._credit_due = 0
        self._next_id = 1 if dialler else 2
        self._peer_parity = 0 if dialler else 1

    def belongs_to_peer(self, number: int) -> bool:
        """Whether only the peer may open this stream id."""
        return number % 2 == self._peer_parity

    def was_opened(self, number: int) -> bool:
        """Whether there is or was a stream with this id."""
        if self.belongs_to_peer(number):
            return number <= self.last_peer_id
        return number < self._next_id

    def add(self, *, number: int = 0, now: float) -> Stream:
        """A new stream: the peer's with that id, or the next one of this side."""
        mine = not number
        if mine:
            number = self._next_id
            self._next_id += 2
        else:
            self.last_peer_id = number
            self.peer_open += 1
        stream = Stream(
            number,
            mine=mine,
            send_credit=self.peer.stream_window,
            recv_credit=self.own.stream_window,
            now=now,
        )
        self.open[number] = stream
        return stream

    def settle(self, stream: Stream) -> None:
        """Take a stream off the table once both halves ended."""
        if stream.send_done and stream.recv_done and stream.number in self.open:
            self._remove(stream)
            if stream.consumed < stream.received:
                self.lingering[stream.number] = stream

    def drop(self, stream: Stream) -> None:
        """Take a stream off the table with all its bytes, without a word to the peer."""
        self._remove(stream)
        self.return_credit(stream.take_unconsumed())

    def reset(self, stream: Stream, code: ResetCode) -> None:
        """Stop a stream and tell the peer."""
        self.send_reset(stream.number, code)
        if not stream.recv_done:
            self.discarding[stream.number] = stream
        self.drop(stream)

    def forget_all(self) -> None:
        """Drop every stream and all output."""
        self.out.forget_all()
        self.open.clear()
        self.lingering.clear()
        self.discarding.clear()
        self.peer_open = 0

    def consume(self, stream: Stream, size: int) -> None:
        """Count ``size`` received bytes as used up and give credit back when it is worth it."""
        before = stream.charged_consumed
        stream.consumed += size
        self.return_credit(stream.charged_consumed - before)
        if stream.recv_done:
            if stream.consumed >= stream.received:
                self.lingering.pop(stream.number, None)
            return
        if stream.unwanted:
            return
        stream.credit_due += size
        if stream.credit_due * CREDIT_SHARE >= self.own.stream_window:
            self._send_credit(stream.number, stream.credit_due)
            stream.recv_credit += stream.credit_due
            stream.credit_due = 0

    def return_credit(self, size: int) -> None:
        """Give back connection credit, in large portions."""
        self._credit_due += size
        if self._credit_due * CREDIT_SHARE >= self.own.connection_window:
            self._send_credit(0, self._credit_due)
            self.recv_credit += self._credit_due
            self._credit_due = 0

    def send_head(
        self, kind: FrameType, stream: Stream, header: bytes, args: bytes, flags: int
    ) -> None:
        """Send a REQUEST or RESPONSE."""
        frame = encode_frame(kind, flags=flags, stream=stream.number, header=header, body=args)
        self.out.head(frame, stream, ends=bool(flags & FIN))

    def send_reset(self, number: int, code: ResetCode) -> None:
        """Send a RESET."""
        self.out.control(encode_frame(FrameType.RESET, stream=number, body=bytes([code])))

    def _send_credit(self, number: int, amount: int) -> None:
        body = amount.to_bytes(4, "big")
        self.out.control(encode_frame(FrameType.CREDIT, stream=number, body=body))

    def _remove(self, stream: Stream) -> None:
        stream.queue.clear()
        stream.send_done = True
        if self.open.pop(stream.number, None) is not None and not stream.mine:
            self.peer_open -= 1
