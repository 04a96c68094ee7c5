"""A web socket router: passes sealed messages between other people's nodes and their devices.

It sees who talks to whom, when and how much, and nothing else; both ends notice any change.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bitdust.clock import Clock
from bitdust.devices import (
    BAD_DATA,
    BUSY,
    IDLE,
    MAX_CLIENTS_PER_ROUTE,
    MAX_NUMBER,
    MAX_ROUTED,
    NO_ROUTE,
    SLOW,
    Routed,
    RouteKind,
    SocketPipe,
    confirmation,
    read_registration,
    read_routed,
    route_of,
    write_routed,
)
from bitdust.errors import BitdustError, PortInUse
from bitdust.identity import Rate
from bitdust.servers.device_direct import (
    CLOSE_SECONDS,
    MAX_BUFFER,
    OPEN_SECONDS,
    WILDCARDS,
    Counters,
)
from bitdust.servers.sockets import quiet_logger

MAX_ROUTES = 256
MAX_CONNECTIONS = 1024
MAX_PER_ADDRESS = 64
CONNECTION_RATE = Rate(per_second=5.0, burst=60.0)
REGISTER_SECONDS = 10.0
"""Seconds for a node to say which route it wants."""
SLOW_SECONDS = 30.0
"""Seconds that one side may leave a message unread."""
BYTES_PER_SECOND = 4 * 1024 * 1024
"""Of one route in one direction."""
BURST_SECONDS = 2.0
"""That much may come at once, as seconds of the rate."""

PORT_SETTING = "services/web-socket-router/port"


class _Pace:
    """Holds a sender back to a number of bytes per second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = clock.monotonic()

    async def take(self, size: int) -> None:
        now = self._clock.monotonic()
        self._due = max(self._due, now - BURST_SECONDS) + size / BYTES_PER_SECOND
        if self._due > now:
            await self._clock.sleep(self._due - now)


@dataclass(eq=False)
class _Route:
    """One node's way in."""

    name: str
    node: ServerConnection
    address: str
    created: float
    pace_in: _Pace
    pace_out: _Pace
    clients: dict[int, ServerConnection] = field(default_factory=dict)
    node_bytes: int = 0
    node_updated: float = 0.0
    client_bytes: int = 0
    client_updated: float = 0.0


class DeviceRouter:
    """Serves routes.

    Args:
        host: address to listen on, empty for all.
        port: TCP port, 0 for any free one.
        shown: host in the URLs of routes.
        clock: for rates and times.
    """

    def __init__(self, host: str, port: int, shown: str, clock: Clock) -> None:
        self._host = host
        self.port = port
        self._shown = shown
        self._clock = clock
        self._counters = Counters(clock, MAX_CONNECTIONS, MAX_PER_ADDRESS, CONNECTION_RATE)
        self._routes: dict[str, _Route] = {}
        self._numbers = count(1)
        self._server: Server | None = None
        self._nodes_bytes = 0
        self._clients_bytes = 0
        self._log = structlog.get_logger(component="router")

    async def start(self) -> int:
        """Begin to route.

        Returns:
            The port.

        Raises:
            PortInUse: nobody can listen there.
        """
        try:
            self._server = await serve(
                self._converse,
                host=None if self._host in WILDCARDS else self._host,
                port=self.port,
                process_request=self._admit,
                max_size=MAX_ROUTED,
                max_queue=4,
                write_limit=MAX_BUFFER,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
                server_header=None,
                compression=None,
                logger=quiet_logger(),
            )
        except (OSError, UnicodeError) as exc:
            taken = isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE
            what = "is in use" if taken else f"cannot be used: {exc}"
            raise PortInUse(
                f"port {self.port} of the web socket router {what}",
                hint=f"stop the other program, or set {PORT_SETTING}",
            ) from exc
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._log.info("web socket router is up", port=self.port)
        return self.port

    async def stop(self) -> None:
        """End all routes."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def info(self) -> dict[str, Any]:
        """What is passed on now, as ``device_router_info`` shows it."""
        return {
            "routes": [self._view(route) for route in self._routes.values()],
            "nodes_bytes": self._nodes_bytes,
            "clients_bytes": self._clients_bytes,
        }

    def _view(self, route: _Route) -> dict[str, Any]:
        return {
            "route_id": route.name,
            "route_url": f"ws://{self._shown}:{self.port}/{route.name}",
            "created": route.created,
            "node_url": route.address,
            "node_connected": True,
            "node_bytes": route.node_bytes,
            "node_updated": route.node_updated,
            "client_connected": bool(route.clients),
            "client_bytes": route.client_bytes,
            "client_updated": route.client_updated,
        }

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        del request
        refusal = self._counters.refusal(_address(connection))
        if refusal is None and self._server is None:
            refusal = HTTPStatus.SERVICE_UNAVAILABLE
        return None if refusal is None else connection.respond(refusal, "not now\n")

    async def _converse(self, connection: ServerConnection) -> None:
        address = _address(connection)
        self._counters.enter(address)
        try:
            assert connection.request is not None
            name = urlsplit(connection.request.path).path.strip("/")
            with suppress(ConnectionClosed, BitdustError):
                if name:
                    await self._serve_client(name, connection)
                else:
                    await self._serve_node(address, connection)
        finally:
            self._counters.leave(address)

    # --- a node ----------------------------------------------------------------------------------

    async def _serve_node(self, address: str, connection: ServerConnection) -> None:
        pipe = SocketPipe(connection)
        try:
            async with asyncio.timeout(REGISTER_SECONDS):
                secret = read_registration(await pipe.receive())
        except (TimeoutError, BitdustError):
            await connection.close(BAD_DATA, "no registration")
            return
        name = route_of(secret)
        older = self._routes.get(name)
        if older is None and len(self._routes) >= MAX_ROUTES:
            await connection.close(BUSY, "too many routes")
            return
        route = _Route(
            name,
            connection,
            address,
            self._clock.now(),
            _Pace(self._clock),
            _Pace(self._clock),
        )
        self._routes[name] = route
        if older is not None:
            # the same node, whose old connection is half dead
            await self._end(older)
        try:
            await pipe.send(confirmation(name))
            while True:
                await self._from_node(route, await pipe.receive())
        except BitdustError:
            await connection.close(BAD_DATA, "not understood")
        finally:
            if self._routes.get(name) is route:
                del self._routes[name]
            await self._end(route)

    async def _end(self, route: _Route) -> None:
        clients, route.clients = list(route.clients.values()), {}
        closing = [client.close(NO_ROUTE, "the node is gone") for client in clients]
        await asyncio.gather(route.node.close(NO_ROUTE, "the route ended"), *closing)

    async def _from_node(self, route: _Route, raw: bytes) -> None:
        message = read_routed(raw)
        route.node_bytes += len(message.data)
        route.node_updated = self._clock.now()
        self._nodes_bytes += len(message.data)
        client = route.clients.get(message.client)
        if client is None:
            return  # it left a moment ago
        if message.kind is RouteKind.CLOSE:
            route.clients.pop(message.client, None)
            await client.close()
        elif message.kind is RouteKind.DATA:
            await route.pace_out.take(len(message.data))
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    await client.send(message.data)
            except ConnectionClosed:
                return  # its own task tells the node
            except TimeoutError:
                client.transport.abort()

    # --- a client --------------------------------------------------------------------------------

    async def _serve_client(self, name: str, connection: ServerConnection) -> None:
        route = self._routes.get(name)
        if route is None:
            await connection.close(NO_ROUTE, "no such route")
            return
        if len(route.clients) >= MAX_CLIENTS_PER_ROUTE:
            await connection.close(BUSY, "too many connections")
            return
        number = next(self._numbers) % MAX_NUMBER
        route.clients[number] = connection
        pipe = SocketPipe(connection)
        try:
            await self._to_node(route, Routed(RouteKind.OPEN, number))
            while True:
                async with asyncio.timeout(IDLE):
                    data = await pipe.receive()
                route.client_bytes += len(data)
                route.client_updated = self._clock.now()
                self._clients_bytes += len(data)
                await route.pace_in.take(len(data))
                await self._to_node(route, Routed(RouteKind.DATA, number, data))
        except TimeoutError:
            await connection.close(SLOW, "silent for too long")
        finally:
            if route.clients.pop(number, None) is not None:
                with suppress(ConnectionClosed, TimeoutError):
                    await self._to_node(route, Routed(RouteKind.CLOSE, number))

    async def _to_node(self, route: _Route, message: Routed) -> None:
        async with asyncio.timeout(SLOW_SECONDS):
            await route.node.send(write_routed(message))


def _address(connection: ServerConnection) -> str:
    remote = connection.remote_address
    return str(remote[0]) if isinstance(remote, tuple) and remote else ""
