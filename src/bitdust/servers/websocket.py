"""The WebSocket interface for programs of this machine; ``session`` says what goes over it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.protocol import State

from bitdust.api.registry import Registry
from bitdust.servers.guard import is_local_origin, is_own_host, is_secret
from bitdust.servers.session import Sessions
from bitdust.servers.sockets import listen_on_loopback, quiet_logger

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_MESSAGE = 1024 * 1024
"""Bytes of the longest message from a client."""
MAX_CLIENTS = 1024
MAX_HANDSHAKES = 64
"""Connections that have not shown the secret yet; a new one takes the place of the oldest."""
BACKLOG = 1024
"""Connections that the system keeps until we come to them."""
HANDSHAKE_TIME = 10.0
"""Seconds that a handshake may take."""
MAX_FIELDS = 16
"""Query arguments of a handshake."""
MAX_WRITE_BUFFER = 256 * 1024
SLOW_CLIENT = 1013
"""Close code for a client that does not read (RFC 6455 registry: try again later)."""
SLOW_REASON = "too slow: messages were not read"
SLOW_GRACE = 5.0
"""Seconds that a slow client has to read why it is dropped."""

PORT_SETTING = "interface/api/web-socket-port"


class _SocketLine:
    """A line to a client of the same machine."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self.recv = connection.recv

    async def send(self, message: bytes) -> None:
        await self._connection.send(message, text=True)

    @property
    def is_open(self) -> bool:
        connection = self._connection
        return connection.state is State.OPEN and not connection.transport.is_closing()

    def push(self, frames: bytes) -> bool:
        transport = self._connection.transport
        if transport.get_write_buffer_size() >= MAX_WRITE_BUFFER:
            return False
        transport.write(frames)
        return True

    async def drop(self) -> None:
        """The reason goes behind what the client has not read."""
        transport = self._connection.transport
        if self.is_open:
            transport.write(_close_frame(SLOW_CLIENT, SLOW_REASON))
            transport.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connection.wait_closed(), SLOW_GRACE)
        transport.abort()


class _Arrival(ServerConnection):
    """A connection that has to give way to later ones until its handshake is done."""

    waiting: ClassVar[dict[ServerConnection, None]]
    """Those of the same server, the oldest first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.waiting[self] = None
        if len(self.waiting) > MAX_HANDSHAKES:
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        super().connection_lost(exc)


class WebSocketServer:
    """Serves a registry and the event bus over WebSocket on the loopback interface.

    Args:
        node: what operations act on.
        registry: the operations.
        port: TCP port, 0 for any free one.
        secret: what callers must give as query argument ``api_secret`` or ``a``; None for no check.
    """

    def __init__(self, node: Node, registry: Registry, *, port: int, secret: str | None) -> None:
        self._node = node
        self._secret = secret
        self.port = port
        self._server: Server | None = None
        self._sessions = Sessions(node, registry)
        self._handshakes: dict[ServerConnection, None] = {}
        self._log = structlog.get_logger("websocket")

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._sessions)

    async def start(self) -> int:
        """Begin to serve.

        Returns:
            The port.

        Raises:
            PortInUse: the port is taken.
        """
        listener = listen_on_loopback(self.port, PORT_SETTING)
        self.port = listener.getsockname()[1]

        class Arrival(_Arrival):
            waiting = self._handshakes

        self._server = await serve(
            self._converse,
            sock=listener,
            process_request=self._admit,
            create_connection=Arrival,
            open_timeout=HANDSHAKE_TIME,
            backlog=BACKLOG,
            max_size=MAX_MESSAGE,
            max_queue=4,
            write_limit=MAX_WRITE_BUFFER,
            server_header=None,
            compression=None,
            logger=quiet_logger(),
        )
        self._sessions.start()
        self._log.info("websocket interface is up", port=self.port)
        return self.port

    async def stop(self) -> None:
        """Close all connections, end their calls and stop listening."""
        await self._sessions.stop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._server = None

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = _secret_in(request.path)
        hosts = request.headers.get_all("Host")
        origins = request.headers.get_all("Origin")
        reason = ""
        if len(hosts) != 1 or not is_own_host(hosts[0], self.port):
            reason = "host"
        elif not all(is_local_origin(origin) for origin in origins):
            reason = "origin"
        elif not is_secret(given, self._secret):
            reason = "secret"
        if reason:
            self._node.events.publish("web-socket-access-denied", reason=reason)
            return connection.respond(HTTPStatus.FORBIDDEN, "access denied\n")
        if len(self._sessions) >= MAX_CLIENTS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        self._handshakes.pop(connection, None)
        await self._sessions.converse(_SocketLine(connection))


def _close_frame(code: int, reason: str) -> bytes:
    """A close frame (RFC 6455, section 5.5.1)."""
    body = code.to_bytes(2, "big") + reason.encode()
    return bytes((0x88, len(body))) + body


def _secret_in(target: str) -> str | None:
    try:
        query = parse_qs(urlsplit(target).query, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return next(iter(query.get("api_secret") or query.get("a") or ()), None)
