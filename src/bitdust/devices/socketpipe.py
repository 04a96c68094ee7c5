"""A WebSocket as a pipe: one binary message after the other."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from bitdust.errors import FormatError, NetworkError


class Socket(Protocol):
    """A connection of the library, of either side."""

    async def recv(self) -> str | bytes: ...

    async def send(self, message: bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class SocketPipe:
    """A pipe over a WebSocket.

    Args:
        socket: the connection; its own settings bound messages and memory.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        """The next message.

        Raises:
            NetworkError: the connection is closed.
            FormatError: it is text.
        """
        try:
            message = await self._socket.recv()
        except ConnectionClosed as exc:
            raise closed(exc) from exc
        if isinstance(message, str):
            raise FormatError("text came where frames are expected")
        return message

    async def send(self, data: bytes) -> None:
        """Send a message; waits while the other side does not keep up.

        Raises:
            NetworkError: the connection is closed.
        """
        try:
            await self._socket.send(data)
        except ConnectionClosed as exc:
            raise closed(exc) from exc

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, with a reason for people."""
        with suppress(ConnectionClosed):
            await self._socket.close(code, reason)


class PipeClosed(NetworkError):
    """The connection is closed; ``reason_code`` says why, as the other side put it."""

    code = NetworkError.code

    def __init__(self, message: str, reason_code: int) -> None:
        super().__init__(message)
        self.reason_code = reason_code


def closed(exc: ConnectionClosed) -> PipeClosed:
    """What the end of a connection is called here."""
    said = exc.rcvd
    if said is None:
        return PipeClosed("the connection was closed", 0)
    reason = f": {said.reason[:100]!a}" if said.reason else ""
    return PipeClosed(f"the connection was closed{reason}", said.code)
