"""What carries a device's messages: frames of a channel over some pipe."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from bitdust.devices.channel import Channel
from bitdust.errors import BitdustError, NetworkError

IDLE = 900.0
"""Seconds of silence after which a device counts as gone; it ticks more often than that."""
END_SECONDS = 5.0
"""Seconds that saying good-bye may take."""

NORMAL = 1000
BAD_DATA = 4400
DENIED = 4403
NO_ROUTE = 4404
TOO_LATE = 4408
BUSY = 4429
SLOW = 1013
"""Close codes; they tell people why, and prove nothing."""


class Pipe(Protocol):
    """A connection that carries binary messages, in order, for which nothing else is assumed.

    ``receive`` and ``send`` raise ``NetworkError`` once it is closed.
    """

    async def receive(self) -> bytes: ...

    async def send(self, data: bytes) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...


class DeviceLine:
    """A line to a paired device, as ``servers.session`` wants one.

    Args:
        pipe: carries the frames.
        channel: seals and opens them.
    """

    def __init__(self, pipe: Pipe, channel: Channel) -> None:
        self._pipe = pipe
        self._channel = channel
        self._sending = asyncio.Lock()
        self._torn = False
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether something can still be sent."""
        return not self._closed

    async def recv(self) -> bytes:
        """The other side's next message.

        Raises:
            NetworkError: either side left, or the other was silent for too long.
            IntegrityError: what came is not from the other side, or was cut off.
        """
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    frame = await self._pipe.receive()
            except TimeoutError:
                raise NetworkError("the other side is silent") from None
            except NetworkError:
                self._channel.cut()
                raise
            if self._closed:
                # what comes before the other side notices is not for us any more
                raise NetworkError("the line is closed")
            message = self._channel.open(frame)
            if self._channel.ended:
                raise NetworkError("the other side left")
            if message is not None:
                return message

    async def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            NetworkError: the line is closed.
        """
        async with self._sending:
            if self._closed or self._torn:
                raise NetworkError("the line is closed")
            self._torn = True  # until the last frame is out
            for frame in self._channel.seal(message):
                await self._pipe.send(frame)
            self._torn = False

    async def tick(self) -> None:
        """Show that this side is there."""
        async with self._sending:
            if self._closed or self._torn:
                raise NetworkError("the line is closed")
            await self._pipe.send(self._channel.seal_tick())

    def push(self, frames: bytes) -> bool:
        """Nothing goes out as it is."""
        del frames
        return False

    async def drop(self) -> None:
        """End the line to a device that does not read."""
        await self.close(SLOW, "too slow: messages were not read")

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that nothing more comes, and close."""
        if self._closed:
            return
        self._closed = True
        with suppress(TimeoutError, BitdustError):
            async with asyncio.timeout(END_SECONDS):
                if not self._torn and not self._sending.locked():
                    await self._pipe.send(self._channel.seal_end())
        with suppress(BitdustError):
            await self._pipe.close(code, reason)
