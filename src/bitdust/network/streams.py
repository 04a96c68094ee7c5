"""One stream of a session: what was sent, received and may still be, pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from bitdust.network.frames import Chunk
from bitdust.network.limits import FREE_PREFIX
from bitdust.network.messages import UNKNOWN_LENGTH


def charged(total: int) -> int:
    """How many of a body's first ``total`` bytes use connection credit."""
    return total - FREE_PREFIX if total > FREE_PREFIX else 0


class TokenBucket:
    """Allows ``burst`` actions at once and ``rate`` more per second.

    Args:
        burst: most tokens ever held.
        rate: tokens per second.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Use one token; False when there is none."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def earn(self, tokens: float) -> None:
        """Add tokens for something that justifies more actions."""
        self._tokens = min(self._burst, self._tokens + tokens)


class SendQueue:
    """Body bytes that wait to be sent, never copied.

    ``size`` is the number of bytes in it.
    """

    __slots__ = ("_chunks", "size")

    def __init__(self) -> None:
        self._chunks: deque[memoryview] = deque()
        self.size = 0

    def push(self, chunks: Iterable[Chunk]) -> None:
        """Append bytes; the caller must not change them any more."""
        for chunk in chunks:
            view = memoryview(chunk).cast("B") if len(chunk) else None
            if view is not None:
                self._chunks.append(view)
                self.size += len(view)

    def pop(self, size: int) -> list[Chunk]:
        """Take exactly ``size`` bytes from the front (there must be as many)."""
        out: list[Chunk] = []
        self.size -= size
        chunks = self._chunks
        while size:
            first = chunks[0]
            if len(first) <= size:
                out.append(first)
                size -= len(first)
                chunks.popleft()
            else:
                out.append(first[:size])
                chunks[0] = first[size:]
                break
        return out

    def clear(self) -> None:
        """Drop everything."""
        self._chunks.clear()
        self.size = 0


class Stream:
    """The state of one stream on one side.

    Args:
        number: stream id.
        mine: whether this side opened it.
        send_credit: body bytes the peer takes now.
        recv_credit: body bytes this side takes now.
        now: monotonic seconds.
    """

    __slots__ = (
        "consumed",
        "credit_due",
        "declared_in",
        "declared_out",
        "fin_queued",
        "head_received",
        "head_sent",
        "mine",
        "number",
        "queue",
        "received",
        "recv_credit",
        "recv_done",
        "scheduled",
        "send_credit",
        "send_done",
        "sent",
        "touched",
        "unwanted",
        "wants_drain",
    )

    def __init__(
        self, number: int, *, mine: bool, send_credit: int, recv_credit: int, now: float
    ) -> None:
        self.number = number
        self.mine = mine
        self.queue = SendQueue()
        self.send_credit = send_credit
        self.recv_credit = recv_credit
        self.sent = 0
        self.received = 0
        self.consumed = 0
        self.credit_due = 0
        self.declared_out = UNKNOWN_LENGTH
        self.declared_in = UNKNOWN_LENGTH
        self.head_sent = False
        self.head_received = False
        self.fin_queued = False
        self.send_done = False
        self.recv_done = False
        self.scheduled = False
        self.wants_drain = False
        self.unwanted = False
        self.touched = now

    @property
    def fresh(self) -> bool:
        """Whether the next byte sent needs no connection credit."""
        return self.sent < FREE_PREFIX

    @property
    def sendable(self) -> bool:
        """Whether something of the body can go out as far as the stream itself is concerned."""
        if self.send_done or not self.head_sent:
            return False
        if self.queue.size:
            return self.send_credit > 0
        return self.fin_queued

    @property
    def moving(self) -> bool:
        """Whether a body is under way in either direction."""
        incoming = self.head_received and not self.recv_done
        outgoing = self.head_sent and not self.send_done
        return incoming or outgoing

    @property
    def charged_consumed(self) -> int:
        """Consumed bytes that held connection credit."""
        return charged(self.consumed)

    def take_unconsumed(self) -> int:
        """Mark all received bytes as consumed; how many of them held connection credit."""
        freed = charged(self.received) - charged(self.consumed)
        self.consumed = self.received
        return freed
