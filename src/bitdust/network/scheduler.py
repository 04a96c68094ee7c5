"""Which bytes go out next: control first, then young streams, then large bodies in turn, pure."""

from __future__ import annotations

from collections import deque

from bitdust.network.frames import FIN, Chunk, FrameType, encode_head
from bitdust.network.limits import BULK_SLICE, FREE_PREFIX, FRESH_PER_BULK, SHARED_SLICE
from bitdust.network.streams import Stream

LOW_WATER = 512 * 1024
"""A body's source is asked for more when less than this waits in its stream's queue."""


class Scheduler:
    """The outgoing side of a session.

    Args:
        credit: connection credit the peer gave at first, in bytes.
        max_body: largest DATA body the peer takes, in bytes.
    """

    __slots__ = (
        "_bulk",
        "_control",
        "_fresh",
        "_fresh_in_row",
        "_max_body",
        "credit",
        "drained",
        "finished",
        "replies",
    )

    def __init__(self, credit: int, max_body: int) -> None:
        self.credit = credit
        self._max_body = min(max_body, BULK_SLICE)
        self._control: deque[tuple[bytes, Stream | None, bool]] = deque()
        self._fresh: deque[Stream] = deque()
        self._bulk: deque[Stream] = deque()
        self._fresh_in_row = 0
        self.replies = 0
        """Control frames waiting that belong to no stream's head."""
        self.drained: list[int] = []
        """Streams whose queue fell below ``LOW_WATER`` since this list was last emptied."""
        self.finished: list[Stream] = []
        """Streams whose last frame was handed out since this list was last emptied."""

    def control(self, frame: bytes) -> None:
        """Send a control frame before all bodies."""
        self._control.append((frame, None, False))
        self.replies += 1

    def head(self, frame: bytes, stream: Stream, *, ends: bool) -> None:
        """Send the REQUEST or RESPONSE frame of a stream; ``ends``: it carries FIN."""
        self._control.append((frame, stream, ends))
        stream.head_sent = True

    def wake(self, stream: Stream) -> None:
        """Look at a stream again after it got data or credit."""
        if not stream.scheduled and stream.sendable:
            stream.scheduled = True
            (self._fresh if stream.fresh else self._bulk).append(stream)

    @property
    def has_output(self) -> bool:
        """Whether ``next_output`` would give anything."""
        return bool(self._control or self._fresh or (self._bulk and self._can_send_bulk()))

    def next_output(self, limit: int) -> tuple[list[Chunk], int]:
        """Buffers to write now.

        Args:
            limit: stop after this many bytes; exceeded by at most one frame.

        Returns:
            The buffers in order, and their size in bytes.
        """
        out: list[Chunk] = []
        size = 0
        control = self._control
        while control and size < limit:
            frame, stream, ends = control.popleft()
            out.append(frame)
            size += len(frame)
            if stream is None:
                self.replies -= 1
            elif ends:
                self._finish(stream)
        while size < limit:
            stream = self._pick()
            if stream is None:
                break
            size += self._slice(stream, out)
        return out, size

    def forget_all(self) -> None:
        """Drop everything that waits."""
        self._control.clear()
        self._fresh.clear()
        self._bulk.clear()
        self.replies = 0

    def _can_send_bulk(self) -> bool:
        # A body that only has its end to send needs no credit.
        return self.credit > 0 or any(not s.queue.size or not s.sendable for s in self._bulk)

    def _pick(self) -> Stream | None:
        turn = self._fresh_in_row >= FRESH_PER_BULK
        if self._fresh and not (turn and self._bulk and self.credit > 0):
            self._fresh_in_row += 1
            return self._fresh.popleft()
        self._fresh_in_row = 0
        for _ in range(len(self._bulk)):
            stream = self._bulk.popleft()
            if self.credit > 0 or not stream.queue.size or not stream.sendable:
                return stream
            self._bulk.append(stream)
        return None

    def _slice(self, stream: Stream, out: list[Chunk]) -> int:
        stream.scheduled = False
        if not stream.sendable:  # reset meanwhile
            return 0
        queue = stream.queue
        shared = bool(self._fresh or self._bulk)
        most = SHARED_SLICE if shared else self._max_body
        take = min(queue.size, stream.send_credit, self._max_body, most)
        if stream.fresh:
            take = min(take, FREE_PREFIX - stream.sent)
        else:
            take = min(take, self.credit)
            self.credit -= take
        before = queue.size
        stream.sent += take
        stream.send_credit -= take
        ends = stream.fin_queued and take == before
        out.append(encode_head(FrameType.DATA, FIN if ends else 0, stream.number, 0, take))
        if take:
            out.extend(queue.pop(take))
        if stream.wants_drain and queue.size < LOW_WATER:
            stream.wants_drain = False
            self.drained.append(stream.number)
        if ends:
            self._finish(stream)
            return take + 12
        self.wake(stream)
        return take + 12

    def _finish(self, stream: Stream) -> None:
        stream.send_done = True
        self.finished.append(stream)
