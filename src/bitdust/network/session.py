"""A session after its handshake: streams, credit, keep-alive; sans I/O.

Bytes and the time go in; events, bytes to send and the next deadline come out. Nothing a peer
sends raises: a broken rule ends the session with a ``SessionClosed`` that names the violation.

Source: docs/spec/wire.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from bitdust.errors import NetworkError
from bitdust.network.frames import FIN, REFUSED, Chunk, Frame, FrameParser, FrameType, encode_frame
from bitdust.network.limits import FREE_PREFIX, MAX_ARGS, MAX_MESSAGE, MAX_REASON, SessionLimits
from bitdust.network.messages import (
    UNKNOWN_LENGTH,
    CloseHeader,
    RequestHeader,
    ResetCode,
    ResponseHeader,
    encode,
    is_method,
    shorten,
)
from bitdust.network.receiver import KEEP_ALIVE, Broken, Receiver
from bitdust.network.scheduler import LOW_WATER, Scheduler
from bitdust.network.session_events import Event, SessionClosed, StreamReset
from bitdust.network.stream_table import StreamTable


class Session:
    """One side of a session.

    Args:
        dialler: whether this side made the connection; it opens the odd stream ids.
        own: what this side accepts.
        peer: what the peer said it accepts.
        now: monotonic seconds.
        parser: the parser of the handshake, so that bytes it holds are not lost.
    """

    def __init__(
        self,
        *,
        dialler: bool,
        own: SessionLimits,
        peer: SessionLimits,
        now: float,
        parser: FrameParser | None = None,
    ) -> None:
        self._own = own
        self._peer = peer
        self._parser = parser or FrameParser(own.max_frame_body)
        self._out = Scheduler(peer.connection_window, peer.max_frame_body)
        self._table = StreamTable(dialler=dialler, own=own, peer=peer, out=self._out)
        self._receiver = Receiver(self._table, now)
        self._heard = now
        self._pinged = False
        self._stall_check = now
        self.closed = False
        self.sent_goaway = False
        self.bytes_received = 0
        self.bytes_sent = 0

    # --- state -------------------------------------------------------------------------------

    @property
    def got_goaway(self) -> bool:
        """Whether the peer wants no more streams."""
        return self._receiver.got_goaway

    @property
    def open_streams(self) -> int:
        """Streams not ended on the wire."""
        return len(self._table.open)

    @property
    def can_open(self) -> bool:
        """Whether a new request may be sent now."""
        mine = len(self._table.open) - self._table.peer_open
        return not (self.closed or self.sent_goaway or self.got_goaway) and (
            mine < self._peer.max_streams
        )

    @property
    def idle(self) -> bool:
        """Whether no stream is open and nothing waits to be sent or consumed."""
        return not (self._table.open or self._table.lingering or self._out.has_output)

    @property
    def buffered(self) -> int:
        """Body bytes received and not consumed, over all streams."""
        table = self._table
        every = (*table.open.values(), *table.lingering.values())
        return sum(stream.received - stream.consumed for stream in every)

    # --- what the owner asks for -------------------------------------------------------------

    def request(
        self, method: str, args: bytes, length: int, now: float, *, ended: bool = False
    ) -> int:
        """Open a stream with a request.

        Args:
            method: its name, see ``is_method``.
            args: msgpack, at most 64 KiB.
            length: bytes of the body, -1 when not known.
            now: monotonic seconds.
            ended: there is no body.

        Returns:
            The stream id.

        Raises:
            NetworkError: the session is closed or retired, or too many streams are open.
            ValueError: the method or the arguments are out of bounds.
        """
        if not is_method(method) or len(args) > MAX_ARGS:
            raise ValueError("method name or arguments out of bounds")
        if not self.can_open:
            raise NetworkError("the connection takes no more requests")
        if not self._table.open:
            self._stall_check = now
        stream = self._table.add(now=now)
        stream.declared_out = 0 if ended else length
        header = encode(RequestHeader(method, stream.declared_out))
        self._table.send_head(FrameType.REQUEST, stream, header, args, FIN if ended else 0)
        return stream.number

    def respond(
        self, number: int, args: bytes, length: int, now: float, *, ended: bool = False
    ) -> bool:
        """Answer a request; False when its stream is gone (reset by the peer).

        Raises:
            ValueError: the arguments are larger than 64 KiB.
        """
        if len(args) > MAX_ARGS:
            raise ValueError("arguments out of bounds")
        stream = self._table.open.get(number)
        if stream is None or stream.head_sent:
            return False
        stream.touched = now
        stream.declared_out = 0 if ended else length
        header = encode(ResponseHeader(stream.declared_out))
        self._table.send_head(FrameType.RESPONSE, stream, header, args, FIN if ended else 0)
        return True

    def refuse(self, number: int, reason: str, message: str) -> bool:
        """Answer a request with a refusal; False when its stream is gone."""
        stream = self._table.open.get(number)
        if stream is None or stream.head_sent:
            return False
        header = ResponseHeader(0, shorten(reason, MAX_REASON), shorten(message, MAX_MESSAGE))
        flags = FIN | REFUSED
        self._table.send_head(FrameType.RESPONSE, stream, encode(header), b"", flags)
        return True

    def offer(self, number: int, chunks: Iterable[Chunk], *, ended: bool = False) -> int:
        """Queue body bytes without copying them.

        Returns:
            Bytes now waiting in the stream's queue; -1 when the stream is gone. From
            ``LOW_WATER`` on, the stream will be in ``take_drained`` once it is below again.

        Raises:
            ValueError: more or, at the end, fewer bytes than the length declared.
        """
        stream = self._table.open.get(number)
        if stream is None or stream.send_done:
            return -1
        queue = stream.queue
        queue.push(chunks)
        total = stream.sent + queue.size
        declared = stream.declared_out
        if declared != UNKNOWN_LENGTH and (total > declared or (ended and total < declared)):
            raise ValueError(f"a body of {total} bytes was declared as {declared}")
        stream.fin_queued = stream.fin_queued or ended
        stream.wants_drain = queue.size >= LOW_WATER
        self._out.wake(stream)
        return queue.size

    def consumed(self, number: int, size: int, now: float) -> None:
        """Give back credit for ``size`` received bytes that were used up."""
        stream = self._table.open.get(number) or self._table.lingering.get(number)
        if stream is not None:
            stream.touched = now
            self._table.consume(stream, size)

    def unwanted(self, number: int) -> None:
        """Drop what the peer still sends on a stream whose answer goes on (or went out)."""
        lingering = self._table.lingering.pop(number, None)
        if lingering is not None:
            self._table.return_credit(lingering.take_unconsumed())
        stream = self._table.open.get(number)
        if stream is not None:
            stream.unwanted = True
            self._table.return_credit(stream.take_unconsumed())
            if stream.send_done and not stream.recv_done:
                self._table.reset(stream, ResetCode.NO_BODY)

    def reset(self, number: int, code: ResetCode) -> None:
        """Stop a stream: send nothing more, take nothing more, forget what was received."""
        lingering = self._table.lingering.pop(number, None)
        if lingering is not None:
            self._table.return_credit(lingering.take_unconsumed())
        stream = self._table.open.get(number)
        if stream is not None:
            self._table.reset(stream, code)

    def ping(self, token: bytes) -> None:
        """Send a PING with 8 bytes, not all zero, of the caller's choice."""
        if not self.closed:
            self._receiver.ping_tokens.append(token)
            self._out.control(encode_frame(FrameType.PING, body=token))

    def go_away(self) -> None:
        """Open no more streams; those open go on to their end."""
        if not self.sent_goaway and not self.closed:
            self.sent_goaway = True
            self._out.control(encode_frame(FrameType.GOAWAY))

    def close(self, reason: str, message: str = "") -> None:
        """End the session; the only output left is a CLOSE frame."""
        if self.closed:
            return
        self._shut()
        header = CloseHeader(shorten(reason, MAX_REASON), shorten(message, MAX_MESSAGE))
        self._out.control(encode_frame(FrameType.CLOSE, header=encode(header)))

    # --- output ------------------------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether ``next_output`` would give anything."""
        return self._out.has_output

    def next_output(self, limit: int, now: float) -> tuple[list[Chunk], int]:
        """Buffers to write now and their size; stops at ``limit`` bytes or one frame later."""
        out, size = self._out.next_output(limit)
        self.bytes_sent += size
        self._receiver.credits.earn(size / FREE_PREFIX)
        finished = self._out.finished
        if finished:
            self._out.finished = []
            for stream in finished:
                stream.touched = now
                self._table.settle(stream)
                if stream.unwanted and not stream.recv_done and stream.number in self._table.open:
                    self._table.reset(stream, ResetCode.NO_BODY)
        return out, size

    def take_drained(self) -> list[int]:
        """Streams that want more body bytes since the last call."""
        drained = self._out.drained
        if drained:
            self._out.drained = []
        return drained

    # --- time --------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When ``tick`` has to be called at the latest, monotonic; None once closed."""
        if self.closed:
            return None
        own = self._own
        when = self._heard + (own.dead_after if self._pinged else own.ping_after)
        if self._table.open:
            when = min(when, self._stall_check + own.stall_after / 4)
        return when

    def tick(self, now: float) -> list[Event]:
        """Do what time asks for."""
        if self.closed:
            return []
        own = self._own
        # The same sums as in ``deadline``, so that rounding cannot make a due tick do nothing.
        if now >= self._heard + own.dead_after:
            self._shut()
            silent = now - self._heard
            return [SessionClosed("timeout", f"nothing heard for {silent:.0f} s", None)]
        if now >= self._heard + own.ping_after and not self._pinged:
            self._pinged = True
            self._out.control(encode_frame(FrameType.PING, body=KEEP_ALIVE))
        events: list[Event] = []
        if now >= self._stall_check + own.stall_after / 4:
            self._stall_check = now
            for stream in list(self._table.open.values()):
                if stream.moving and now - stream.touched >= own.stall_after:
                    self._table.reset(stream, ResetCode.STALLED)
                    events.append(StreamReset(stream.number, ResetCode.STALLED, False))
        return events

    # --- input -------------------------------------------------------------------------------

    def connection_lost(self, message: str) -> list[Event]:
        """The bytes ended; everything open ends with it."""
        if self.closed:
            return []
        self._shut()
        return [SessionClosed("lost", message, None)]

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes as they came, cut anywhere."""
        if self.closed:
            return []
        self.bytes_received += len(data)
        return self.receive_frames(self._parser.feed(data), now)

    def receive_frames(self, frames: list[Frame], now: float) -> list[Event]:
        """Take frames that the session's parser gave."""
        if self.closed:
            return []
        self._heard = now
        self._pinged = False
        if not self._table.open:
            self._stall_check = now
        events: list[Event] = []
        take = self._receiver.take
        try:
            for frame in frames:
                take(frame, now, events)
                if frame.type == FrameType.CLOSE:
                    self._shut()
                    return events
            if self._parser.violation is not None:
                raise Broken(self._parser.violation.kind, self._parser.violation.message)
            if self._out.replies > self._own.max_replies:
                raise Broken("not-reading", "the peer asks and does not read the answers")
        except Broken as exc:
            self.close("misbehaviour", exc.violation.kind)
            message = exc.violation.message
            events.append(SessionClosed("misbehaviour", message, exc.violation))
        return events

    def _shut(self) -> None:
        self.closed = True
        self._table.forget_all()
