"""The bodies of requests and responses: given as buffers or iterators, taken piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeAlias

from bitdust.errors import DeadlineExceeded, FormatError
from bitdust.network.frames import Chunk
from bitdust.network.messages import UNKNOWN_LENGTH

Body: TypeAlias = bytes | bytearray | memoryview | Sequence[Chunk] | AsyncIterator[Chunk]
"""What can be sent. Buffers are sent without a copy and must not be changed afterwards."""

_SMALL = 4096
"""Pieces below this size are gathered, so that a peer cannot make us hold a million tiny ones."""


def as_chunks(body: Body) -> Sequence[Chunk] | None:
    """The body as buffers, or None when it is an iterator."""
    if isinstance(body, bytes | bytearray | memoryview):
        return (memoryview(body),) if len(body) else ()
    if isinstance(body, AsyncIterator):
        return None
    return body


def length_of(chunks: Sequence[Chunk] | None) -> int:
    """Bytes in the buffers, -1 for an iterator."""
    if chunks is None:
        return UNKNOWN_LENGTH
    return sum(memoryview(chunk).nbytes for chunk in chunks)


class InboundBody:
    """A body while it arrives; credit goes back to the sender as it is read.

    Args:
        size: bytes in all as the sender declared, -1 when it does not know.
        consumed: told how many bytes were read.
    """

    def __init__(self, size: int, consumed: Callable[[int], None]) -> None:
        self.size = size
        self.received = 0
        self.ended = False
        self.timeout: float | None = None
        """Seconds to wait for one more piece; None waits as long as the session allows."""
        self._consumed = consumed
        self._pieces: deque[Chunk | bytearray] = deque()
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, piece: Chunk, *, ended: bool) -> None:
        """Take a piece from the session."""
        size = len(piece)
        if size:
            self.received += size
            tail = self._pieces[-1] if self._pieces else None
            if size >= _SMALL:
                self._pieces.append(piece)
            elif isinstance(tail, bytearray) and len(tail) < _SMALL:
                tail += piece
            else:
                self._pieces.append(bytearray(piece))
        self.ended = self.ended or ended
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more will come; readers get ``error`` after what is here."""
        if not self.ended and self._error is None:
            self._error = error
            self._wake()

    @property
    def exhausted(self) -> bool:
        """Whether everything was read or the body failed."""
        return not self._pieces and (self.ended or self._error is not None)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        while not self._pieces:
            if self.ended:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            await self._wait()
        piece = self._pieces.popleft()
        self._consumed(len(piece))
        return bytes(piece) if isinstance(piece, bytearray) else piece

    async def read_into(self, memory: memoryview) -> int:
        """Fill ``memory`` with the next bytes; fewer than it holds only at the end of the body.

        Raises:
            NetworkError: the peer or the connection went away before its end.
        """
        filled, room = 0, len(memory)
        while filled < room:
            if not self._pieces:
                if self.ended:
                    break
                if self._error is not None:
                    raise self._error
                await self._wait()
                continue
            before = filled
            while self._pieces and filled < room:
                piece = self._pieces[0]
                size = len(piece)
                if size > room - filled:
                    size = room - filled
                    # a view, for what is left of a large piece must not be copied
                    self._pieces[0] = memoryview(piece)[size:]
                    piece = memoryview(piece)[:size]
                else:
                    self._pieces.popleft()
                memory[filled : filled + size] = piece
                filled += size
            self._consumed(filled - before)
        return filled

    async def read(self, max_size: int) -> bytes:
        """The rest of the body as one piece.

        Raises:
            FormatError: it is larger than ``max_size`` bytes.
            NetworkError: the peer or the connection went away before its end.
        """
        if self.size > max_size:
            raise FormatError(f"a body of {self.size} bytes where {max_size} are allowed")
        pieces: list[Chunk] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > max_size:
                raise FormatError(f"a body larger than the {max_size} bytes allowed")
            pieces.append(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two readers of one body")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self.timeout):
                await self._waiter
        except TimeoutError:
            raise DeadlineExceeded(f"no more of the body within {self.timeout} s") from None
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
