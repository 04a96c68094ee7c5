"""Doors for devices that reach this node directly: an encrypted WebSocket on an address of its own.

Devices that name the same host and port share a listener; the path says which one is meant.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from bitdust.clock import Clock
from bitdust.devices import DENIED, LISTENING, MAX_FRAME, DeviceRecord, Receive, SocketPipe
from bitdust.errors import PortInUse
from bitdust.identity import Rate, TokenBuckets
from bitdust.servers.sockets import quiet_logger

MAX_CONNECTIONS = 64
"""Connections of a listener at one time."""
MAX_PER_ADDRESS = 16
"""Of them from one address."""
CONNECTION_RATE = Rate(per_second=2.0, burst=20.0)
"""How often one address may connect."""
MAX_ADDRESSES = 1024
"""Addresses whose rate is remembered."""
OPEN_SECONDS = 10.0
"""Seconds for the HTTP part of a connection."""
CLOSE_SECONDS = 2.0
"""Seconds that a connection may take to end when it is told to."""
MAX_BUFFER = 64 * 1024
"""Bytes that may wait to be sent before a sender waits."""
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not bound


class Counters:
    """How many connections there are from where, and how fast they come.

    Args:
        clock: for rates.
        total, per_address: bounds.
        rate: of one address.
    """

    def __init__(self, clock: Clock, total: int, per_address: int, rate: Rate) -> None:
        self._clock = clock
        self._total = total
        self._per_address = per_address
        self._buckets = TokenBuckets(rate, MAX_ADDRESSES)
        self._counts: dict[str, int] = {}

    def refusal(self, address: str) -> HTTPStatus | None:
        """Why one more connection is not taken, None when it is."""
        if self._buckets.take(address, self._clock.monotonic()):
            return HTTPStatus.TOO_MANY_REQUESTS
        if sum(self._counts.values()) >= self._total:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self._counts.get(address, 0) >= self._per_address:
            return HTTPStatus.TOO_MANY_REQUESTS
        return None

    def enter(self, address: str) -> None:
        """One more from there."""
        self._counts[address] = self._counts.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """One less from there."""
        left = self._counts.get(address, 0) - 1
        if left > 0:
            self._counts[address] = left
        else:
            self._counts.pop(address, None)


class _Listener:
    """One listening socket and the devices that come in by it."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self.host = host
        self.port = port
        self.receivers: dict[str, Receive] = {}
        self._counters = Counters(clock, MAX_CONNECTIONS, MAX_PER_ADDRESS, CONNECTION_RATE)
        self._connections: dict[ServerConnection, str] = {}
        self._server: Server | None = None

    async def open(self) -> None:
        try:
            self._server = await serve(
                self._converse,
                host=None if self.host in WILDCARDS else self.host,
                port=self.port,
                process_request=self._admit,
                max_size=MAX_FRAME,
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
                f"port {self.port} on {self.host[:100]} {what}",
                hint="add the device with another host or port",
            ) from exc
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def hang_up(self, name: str) -> None:
        """End what is left of the connections of one device."""
        for connection, whose in self._connections.items():
            if whose == name:
                connection.transport.abort()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        del request
        refusal = self._counters.refusal(_address(connection))
        if refusal is not None:
            return connection.respond(refusal, "not now\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        address = _address(connection)
        assert connection.request is not None
        name = unquote(urlsplit(connection.request.path).path.strip("/"))[:40]
        receive = self.receivers.get(name)
        pipe = SocketPipe(connection)
        if receive is None:
            await pipe.close(DENIED, "not now")
            return
        self._counters.enter(address)
        self._connections[connection] = name
        try:
            await receive(name, pipe)
        finally:
            self._connections.pop(connection, None)
            self._counters.leave(address)


class DirectDoor:
    """The door of one device.

    Args:
        doors: all of them.
        record: the device.
        receive: what happens to its connections.
    """

    def __init__(self, doors: DirectDoors, record: DeviceRecord, receive: Receive) -> None:
        self._doors = doors
        self._record = record
        self._receive = receive
        self._listener: _Listener | None = None

    @property
    def state(self) -> str:
        return LISTENING if self._listener is not None else "WEB_SOCKET?"

    @property
    def urls(self) -> list[str]:
        if self._listener is None:
            return []
        host = self._record.host
        shown = self._doors.address() if host in WILDCARDS else host
        shown = f"[{shown}]" if ":" in shown else shown
        return [f"ws://{shown}:{self._listener.port}/{self._record.name}"]

    def view(self) -> dict[str, Any]:
        return {"port_number": self._listener.port if self._listener is not None else 0}

    async def open(self) -> None:
        record = self._record
        self._listener = await self._doors.enter(
            record.host, record.port, record.name, self._receive
        )

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await self._doors.leave(listener, self._record.name)

    async def wait_open(self, timeout: float) -> bool:
        """It is open when ``open`` returns."""
        del timeout
        return self._listener is not None


class DirectDoors:
    """The listeners of all direct devices.

    Args:
        address: host of this machine as others reach it, where a device names none.
        clock: for rates.
    """

    def __init__(self, address: Callable[[], str], clock: Clock) -> None:
        self.address = address
        self._clock = clock
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._changing = asyncio.Lock()

    def door(self, record: DeviceRecord, receive: Receive) -> DirectDoor:
        """The door of one device, closed."""
        return DirectDoor(self, record, receive)

    async def enter(self, host: str, port: int, name: str, receive: Receive) -> _Listener:
        """Let a device come in.

        Raises:
            PortInUse: nobody can listen there.
        """
        async with self._changing:
            listener = self._listeners.get((host, port))
            if listener is None:
                listener = _Listener(host, port, self._clock)
                await listener.open()
                self._listeners[host, port] = listener
                structlog.get_logger(component="devices").info(
                    "devices can come in", host=host, port=listener.port
                )
            listener.receivers[name] = receive
            return listener

    async def leave(self, listener: _Listener, name: str) -> None:
        """Let a device no longer come in."""
        async with self._changing:
            listener.receivers.pop(name, None)
            listener.hang_up(name)
            if not listener.receivers:
                self._listeners = {
                    key: other for key, other in self._listeners.items() if other is not listener
                }
                await listener.close()


def _address(connection: ServerConnection) -> str:
    """Where a connection comes from; all of one IPv6 network count as one."""
    remote = connection.remote_address
    host = str(remote[0]) if isinstance(remote, tuple) and remote else ""
    return ":".join(host.split(":")[:4]) if ":" in host and "." not in host else host
