"""Doors for devices that reach this node through web socket routers of other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from bitdust.clock import Clock
from bitdust.devices import (
    LISTENING,
    MAX_CLIENTS_PER_ROUTE,
    MAX_ROUTED,
    DeviceRecord,
    PipeClosed,
    Receive,
    Routed,
    RouteKind,
    SocketPipe,
    check_confirmation,
    read_routed,
    registration,
    route_of,
    write_routed,
)
from bitdust.errors import BitdustError, FormatError, NetworkError

DIAL_SECONDS = 10.0
MAX_WAITING = 64
"""Messages of one client that may wait to be read."""
UNREAD_SECONDS = 30.0
"""Seconds that they may wait when there are so many; the client is dropped after that."""
HURRY = 5.0
"""Seconds between two looks for routers while there are too few."""
REST = 300.0
"""The same while there are enough."""
AVOID = 60.0
"""Seconds for which a router that failed is left alone."""

Address = tuple[str, int]
FindRouters = Callable[[int], Awaitable[list[Address]]]
"""Up to that many addresses of routers, the preferred first."""


class _ClientPipe:
    """One client of a router connection, as a pipe."""

    def __init__(self, router: SocketPipe, number: int) -> None:
        self._router = router
        self._number = number
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self._gone = False

    async def feed(self, data: bytes) -> bool:
        """Take a message; False when those before were not read for too long."""
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._waiting.put(data)
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """The client is gone; what it said last may still be read."""
        self._gone = True
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(None)

    async def receive(self) -> bytes:
        if self._gone and self._waiting.empty():
            raise PipeClosed("the connection was closed", 0)
        data = await self._waiting.get()
        if data is None:
            raise PipeClosed("the connection was closed", 0)
        return data

    async def send(self, data: bytes) -> None:
        if self._gone:
            raise PipeClosed("the connection was closed", 0)
        await self._router.send(write_routed(Routed(RouteKind.DATA, self._number, data)))

    async def close(self, code: int, reason: str) -> None:
        del code, reason  # the router could tell any reason it likes
        if not self._gone:
            self.end()
            await self._router.send(write_routed(Routed(RouteKind.CLOSE, self._number)))


class _RouterLink:
    """A connection to one router, and the clients that came over it."""

    def __init__(self, pipe: SocketPipe, name: str, receive: Receive) -> None:
        self._pipe = pipe
        self._name = name
        self._receive = receive
        self._clients: dict[int, _ClientPipe] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Pass on what clients say until the connection ends.

        Raises:
            NetworkError: it ended.
            FormatError: the router sends nonsense.
        """
        try:
            while True:
                await self._take(read_routed(await self._pipe.receive()))
        finally:
            for client in self._clients.values():
                client.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, message: Routed) -> None:
        number = message.client
        client = self._clients.get(number)
        if message.kind is RouteKind.OPEN:
            if client is not None or len(self._clients) >= MAX_CLIENTS_PER_ROUTE:
                raise FormatError("the router opens what it should not")
            client = self._clients[number] = _ClientPipe(self._pipe, number)
            task = asyncio.create_task(self._attend(number, client), name="routed device")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif client is None:
            return  # ended here a moment ago
        elif message.kind is RouteKind.CLOSE:
            client.end()
        elif not await client.feed(message.data):
            await client.close(0, "")

    async def _attend(self, number: int, client: _ClientPipe) -> None:
        try:
            await self._receive(self._name, client)
        finally:
            self._clients.pop(number, None)
            with suppress(BitdustError):
                await client.close(0, "")


class RoutedDoor:
    """The door of one device, at several routers.

    Args:
        record: the device.
        receive: what happens to its connections.
        find: finds routers.
        bounds: gives how many connections to keep at least and at most.
        clock: time.
    """

    def __init__(
        self,
        record: DeviceRecord,
        receive: Receive,
        find: FindRouters,
        bounds: Callable[[], tuple[int, int]],
        clock: Clock,
    ) -> None:
        self._record = record
        self._receive = receive
        self._find = find
        self._bounds = bounds
        self._clock = clock
        self._secret = bytes.fromhex(record.route)
        self._route = route_of(self._secret)
        self._links: dict[Address, asyncio.Task[None]] = {}
        self._connected: dict[Address, str] = {}
        self._avoided: dict[Address, float] = {}
        self._changed = asyncio.Event()
        self._first = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(component="devices")

    @property
    def state(self) -> str:
        return LISTENING if self._connected else "ROUTERS?"

    @property
    def urls(self) -> list[str]:
        return list(self._connected.values())

    def view(self) -> dict[str, Any]:
        routers = {_url(address): url for address, url in self._connected.items()}
        return {"connected_routers": list(routers), "active_routers": routers}

    async def open(self) -> None:
        """Begin to look for routers."""
        self._keeper = asyncio.create_task(self._keep(), name="device routers")

    async def close(self) -> None:
        """Leave all routers."""
        tasks = [task for task in (self._keeper, *self._links.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeper = None

    async def wait_open(self, timeout: float) -> bool:
        """Wait until a router has the route."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), timeout)
        return bool(self._connected)

    async def _keep(self) -> None:
        while True:
            least, most = self._bounds()
            self._changed.clear()
            if len(self._links) < most:
                await self._look(most)
            enough = len(self._connected) >= min(least, most)
            with suppress(TimeoutError):
                # a clock that tests turn is for what happens rarely; this follows real sockets
                await asyncio.wait_for(self._changed.wait(), REST if enough else HURRY)

    async def _look(self, most: int) -> None:
        try:
            found = await self._find(most + len(self._avoided))
        except BitdustError as exc:
            self._log.info("no routers can be looked for", reason=exc.message)
            return
        now = self._clock.monotonic()
        self._avoided = {key: until for key, until in self._avoided.items() if until > now}
        for address in dict.fromkeys(found):
            if len(self._links) >= most:
                break
            if address not in self._links and address not in self._avoided:
                task = asyncio.create_task(self._hold(address), name="device router")
                self._links[address] = task

    async def _hold(self, address: Address) -> None:
        """Keep one connection to a router as long as it lasts."""
        try:
            await self._connect(address)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as exc:
            reason = type(exc).__name__
        except (ConnectionClosed, BitdustError) as exc:
            reason = exc.message if isinstance(exc, BitdustError) else "it hung up"
        finally:
            self._links.pop(address, None)
            if self._connected.pop(address, None) is not None and not self._connected:
                self._first.clear()
            self._avoided[address] = self._clock.monotonic() + AVOID
            self._changed.set()
        self._log.info("a router is lost", router=_url(address), reason=reason)

    async def _connect(self, address: Address) -> None:
        async with connect(
            _url(address),
            max_size=MAX_ROUTED,
            max_queue=4,
            open_timeout=DIAL_SECONDS,
            compression=None,
            proxy=None,
        ) as socket:
            pipe = SocketPipe(socket)
            async with asyncio.timeout(DIAL_SECONDS):
                await pipe.send(registration(self._secret))
                check_confirmation(await pipe.receive(), self._route)
            self._connected[address] = f"{_url(address)}{self._route}"
            self._first.set()
            self._changed.set()
            self._log.info("a router has the route", router=_url(address))
            await _RouterLink(pipe, self._record.name, self._receive).run()
        raise NetworkError("the router ended the connection")


def _url(address: Address) -> str:
    host, port = address
    return f"ws://[{host}]:{port}/" if ":" in host else f"ws://{host}:{port}/"
