"""The body of an object while it arrives: many small pieces gathered into one large memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from bitdust.errors import IntegrityError

_REARM = 8
"""The idle clock is set anew at most this often within its time, for that costs more than a piece
does; so a body may stand still an eighth shorter than it should be allowed to."""


class Intake:
    """Fills memory from a body.

    Args:
        chunks: the body.
        idle: most seconds to wait for its next bytes.
    """

    def __init__(self, chunks: AsyncIterable[bytes | bytearray | memoryview], idle: float) -> None:
        self._pieces = aiter(chunks)
        self._idle = idle
        self._rest = memoryview(b"")

    async def fill(self, memory: memoryview) -> int:
        """Fill ``memory`` with the next bytes; fewer than it holds only at the end of the body.

        Raises:
            IntegrityError: the body stopped flowing.
        """
        filled = self._take(memory)
        if filled == len(memory):
            return filled
        now = asyncio.get_running_loop().time
        armed = now()
        try:
            async with asyncio.timeout_at(armed + self._idle) as limit:
                async for piece in self._pieces:
                    self._rest = memoryview(piece)
                    filled += self._take(memory[filled:])
                    if filled == len(memory):
                        break
                    time = now()
                    if time - armed > self._idle / _REARM:
                        limit.reschedule(time + self._idle)
                        armed = time
        except TimeoutError as exc:
            raise IntegrityError("the body of an object stopped flowing") from exc
        return filled

    def _take(self, memory: memoryview) -> int:
        """Move what is left of the last piece, as far as there is room."""
        size = min(len(self._rest), len(memory))
        memory[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
