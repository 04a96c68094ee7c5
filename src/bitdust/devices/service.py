"""The devices of a node: which there are, where they come in, who is paired and connected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from bitdust.clock import Clock, Random
from bitdust.devices.book import MAX_DEVICES, DeviceBook, DeviceRecord, check_host, check_name
from bitdust.devices.line import BAD_DATA, BUSY, DENIED, TOO_LATE, DeviceLine, Pipe
from bitdust.devices.noise import KEY_SIZE, public_key
from bitdust.devices.pairing import CODE_SECONDS, OpenCode, clean_code, new_code, pairing_link
from bitdust.devices.reception import HANDSHAKE_SECONDS, welcome_pairing, welcome_session
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    FormatError,
    InvalidInput,
    NetworkError,
    NotFound,
)
from bitdust.events import EventBus
from bitdust.pool import in_pool

MAX_LINES = 8
"""Connections of one device at one time, paired or on the way to it."""
LISTEN_SECONDS = 60.0
"""Seconds that a caller may wait for a device's door to open."""
KEY_BITS = 256
LISTENING = "LISTENING"

log = structlog.get_logger(component="devices")


class Door(Protocol):
    """Where a device comes in. ``state`` is ``LISTENING`` once it can."""

    @property
    def state(self) -> str: ...

    @property
    def urls(self) -> list[str]: ...

    def view(self) -> dict[str, Any]: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def wait_open(self, timeout: float) -> bool: ...


Receive = Callable[[str, Pipe], Awaitable[None]]
"""What a door does with a connection for a device; returns when it is over."""
MakeDoor = Callable[[DeviceRecord, Receive], Door]
Serve = Callable[[DeviceLine, DeviceRecord], Awaitable[None]]
"""Serves the API to a device until its line ends."""


@dataclass
class _Live:
    """A device that is started."""

    door: Door
    index: int
    code: OpenCode | None = None
    waiting: int = 0
    pairing: int = 0
    lines: set[DeviceLine] = field(default_factory=set)


class Devices:
    """All remote devices of a node.

    Args:
        folder: where they are kept.
        make_door: how devices come in.
        serve: what they get.
        clock, random: time and chance.
        pool: for files, and for arithmetic that takes long.
        events: where comings and goings are told.
        port: where direct devices come in that name no port.
    """

    def __init__(
        self,
        folder: Path,
        make_door: MakeDoor,
        serve: Serve,
        *,
        clock: Clock,
        random: Random,
        pool: Executor,
        events: EventBus,
        port: Callable[[], int],
    ) -> None:
        self._book = DeviceBook(folder)
        self._make_door = make_door
        self._serve = serve
        self._clock = clock
        self._random = random
        self._pool = pool
        self._events = events
        self._port = port
        self._key = b""
        self._live: dict[str, _Live] = {}
        self._last = 0
        self._changing = asyncio.Lock()

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load all devices and open the doors of those that are active.

        Raises:
            LocalFileError, IntegrityError: the folder or the node's key cannot be read.
        """
        await in_pool(self._pool, self._book.load)
        for record in self._book.all():
            if not record.active:
                continue
            try:
                await self._open(record)
            except BitdustError as exc:
                log.warning("a device was not started", device=record.name, reason=exc.message)

    async def stop(self) -> None:
        """Close all doors and end all connections."""
        async with self._changing:
            for name in list(self._live):
                await self._close(name)

    async def _open(self, record: DeviceRecord) -> _Live:
        found = self._live.get(record.name)
        if found is not None:
            return found
        if not self._key:
            self._key = await in_pool(self._pool, self._book.node_key, self._new_key)
        self._last += 1
        live = _Live(self._make_door(record, self.receive), self._last)
        self._live[record.name] = live
        try:
            await live.door.open()
        except BaseException:
            self._live.pop(record.name, None)
            await live.door.close()
            raise
        return live

    async def _close(self, name: str) -> None:
        live = self._live.pop(name, None)
        if live is not None:
            await self._cut(live)
            await live.door.close()

    async def _cut(self, live: _Live) -> None:
        """End all connections of a device at once."""
        live.code = None
        lines = list(live.lines)
        live.lines.clear()
        await asyncio.gather(*(line.close(DENIED, "ended by the node") for line in lines))

    def _new_key(self) -> bytes:
        return self._random.token(KEY_SIZE)

    # --- what operations ask for ---------------------------------------------------------------

    def list(self) -> list[dict[str, Any]]:
        """All devices, oldest first."""
        return [self._view(record) for record in self._book.all()]

    def info(self, name: str) -> dict[str, Any]:
        """One device.

        Raises:
            NotFound: there is none of that name.
        """
        return self._view(self._book.get(name))

    async def add(
        self,
        name: str,
        *,
        routed: bool,
        activate: bool,
        host: str,
        port: int | None,
        full_access: bool,
    ) -> dict[str, Any]:
        """Enter a new device.

        Args:
            port: where a direct one comes in; the usual one when None, any free one when 0.

        Raises:
            InvalidName, AlreadyExists: another name is needed.
            InvalidInput: there are too many devices, or the host is none.
            PortInUse: it is entered, but its port is taken.
        """
        check_name(name)
        if not routed:
            check_host(host)
        async with self._changing:
            if len(self._book) >= MAX_DEVICES:
                raise InvalidInput(
                    f"there are {MAX_DEVICES} devices already", hint="remove one first"
                )
            record = DeviceRecord(
                name=name,
                routed=routed,
                active=activate,
                host="" if routed else host,
                port=0 if routed else self._port() if port is None else port,
                full_access=full_access,
                route=self._random.token(KEY_SIZE).hex() if routed else "",
                created=self._clock.now(),
            )
            await in_pool(self._pool, self._book.add, record)
            if activate:
                await self._open(record)
        return self._view(record)

    async def start_device(self, name: str, *, wait_listening: bool = False) -> dict[str, Any]:
        """Let a device come in, from now on and whenever the node starts.

        Raises:
            NotFound: there is none of that name.
            PortInUse: its port is taken.
            NetworkError: its door did not open in time.
        """
        async with self._changing:
            record = await self._set(self._book.get(name), active=True)
            live = await self._open(record)
        if wait_listening and not await live.door.wait_open(LISTEN_SECONDS):
            raise NetworkError(
                f"{name} cannot be reached yet: {live.door.state}",
                hint="it goes on trying; see `bitdust device info`",
            )
        return self._view(record)

    async def stop_device(self, name: str) -> dict[str, Any]:
        """Let a device no longer come in; it stays paired.

        Raises:
            NotFound: there is none of that name.
        """
        async with self._changing:
            record = await self._set(self._book.get(name), active=False)
            await self._close(name)
        return self._view(record)

    async def remove(self, name: str) -> None:
        """Forget a device and end its connections.

        Raises:
            NotFound: there is none of that name.
        """
        async with self._changing:
            self._book.get(name)
            await self._close(name)
            await in_pool(self._pool, self._book.remove, name)

    async def reset(self, name: str) -> dict[str, Any]:
        """Forget the key of a device, and end its connections at once; it must be paired again.

        Raises:
            NotFound: there is none of that name.
        """
        async with self._changing:
            # first the key, so that nobody comes in again while the connections end
            record = await self._set(self._book.get(name), key="", label="", paired=0.0)
            live = self._live.get(name)
            if live is not None:
                await self._cut(live)
        return self._view(record)

    def open_code(self, name: str, code: str = "", key: bytes = b"") -> dict[str, Any]:
        """Begin to pair a device that is started.

        Args:
            code: chosen by the person or the device; one is made when empty.
            key: the only device key that may be paired, empty for any.

        Returns:
            `client_code`, `expires` (seconds since 1970), `attempts`, `urls`, `link` and
            `server_public_key`.

        Raises:
            NotFound: there is no such device, or it is not started.
            InvalidInput: the code or the key cannot be taken.
        """
        self._book.get(name)
        live = self._live.get(name)
        if live is None:
            raise NotFound(f"{name} is not started", hint=f"`bitdust device start {name}`")
        if key and len(key) != KEY_SIZE:
            raise InvalidInput("client_public_key: a key has 64 hexadecimal digits")
        shown = code.strip() or new_code(self._random.token)
        live.code = OpenCode(clean_code(shown), self._clock.now() + CODE_SECONDS, key)
        return {
            "client_code": shown,
            "expires": live.code.expires,
            "attempts": live.code.left,
            "urls": live.door.urls,
            "link": pairing_link(shown, live.door.urls),
            "server_public_key": public_key(self._key).hex(),
        }

    async def _set(self, record: DeviceRecord, **changes: Any) -> DeviceRecord:
        changed = msgspec.structs.replace(record, **changes)
        if changed != record:
            await in_pool(self._pool, self._book.put, changed)
        return changed

    def _view(self, record: DeviceRecord) -> dict[str, Any]:
        live = self._live.get(record.name)
        urls = live.door.urls if live is not None else []
        meta: dict[str, Any] = {
            "routed": record.routed,
            "full_access": record.full_access,
            "client_public_key": record.key or None,
            "label": record.label,
            "created": record.created,
            "paired": record.paired,
        }
        if not record.routed:
            meta |= {"host": record.host, "port_number": record.port}
        return {
            "name": record.name,
            "active": live is not None,
            "size": KEY_BITS,
            "url": urls[0] if urls else None,
            "urls": urls,
            "meta": meta,
            "instance": self._instance(record, live) if live is not None else None,
        }

    def _instance(self, record: DeviceRecord, live: _Live) -> dict[str, Any]:
        kind = "RoutedWebSocket" if record.routed else "EncryptedWebSocket"
        return {
            "id": f"{'routed' if record.routed else 'encrypted'}_web_socket_{record.name}",
            "index": live.index,
            "name": kind,
            "state": self._state(record, live),
            "client_connected": bool(live.lines),
            "connections": len(live.lines),
            "pairing": live.code is not None and live.code.is_good(self._clock.now()),
            **live.door.view(),
        }

    def _state(self, record: DeviceRecord, live: _Live) -> str:
        if live.door.state != LISTENING:
            return live.door.state
        if live.pairing:
            return "CLIENT_CODE?"
        return "READY" if record.key else "CLIENT_PUB?"

    # --- connections -----------------------------------------------------------------------------

    async def receive(self, name: str, pipe: Pipe) -> None:
        """Take a connection for a device; returns when it is over.

        Args:
            name: of the device it is for, which nobody has proven yet.
            pipe: the connection.
        """
        live = self._live.get(name)
        if live is None or live.waiting + len(live.lines) >= MAX_LINES:
            await pipe.close(DENIED if live is None else BUSY, "not now")
            return
        live.waiting += 1
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                line = await self._greet(name, live, pipe)
        except (TimeoutError, BitdustError) as exc:
            reason = exc.message if isinstance(exc, BitdustError) else "it took too long"
            log.info("a device did not come in", device=name, reason=reason)
            self._events.publish("web-socket-handshake-failed", name=name, reason=reason)
            await pipe.close(*_close_code(exc))
            return
        finally:
            live.waiting -= 1
        if line is not None:
            await self._attend(name, live, line)

    async def _greet(self, name: str, live: _Live, pipe: Pipe) -> DeviceLine | None:
        self._events.publish("web-socket-handshake-started", name=name)
        first = await pipe.receive()
        session = await welcome_session(
            first, pipe, self._key, self._new_key, self._may_enter(name)
        )
        if session is not None:
            key, line = session
            if self._live.get(name) is not live or not self._may_enter(name)(key):
                raise AccessDenied("this device is not paired")  # since a moment
            live.lines.add(line)
            return line
        await self._pair(name, live, first, pipe)
        return None

    def _may_enter(self, name: str) -> Callable[[bytes], bool]:
        def allows(key: bytes) -> bool:
            try:
                return self._book.get(name).public_key == key
            except NotFound:
                return False

        return allows

    async def _pair(self, name: str, live: _Live, first: bytes, pipe: Pipe) -> None:
        code = live.code
        if code is None:
            raise AccessDenied("no pairing is open")
        code.take(self._clock.now())
        live.pairing += 1
        self._events.publish("web-socket-handshake-proceeding", name=name)
        try:
            paired = await welcome_pairing(
                first, pipe, code, self._key, self._new_key, self._random.token, self._pool
            )
            async with self._changing:
                if live.code is not code or self._live.get(name) is not live:
                    raise AccessDenied("no pairing is open")
                record = await self._set(
                    self._book.get(name),
                    key=paired.key.hex(),
                    label=paired.label,
                    paired=self._clock.now(),
                )
                await self._cut(live)
        finally:
            live.pairing -= 1
            if live.code is code and not code.is_good(self._clock.now()):
                live.code = None
        self._events.publish("device-paired", name=name, label=paired.label)
        line = DeviceLine(pipe, paired.channel)
        await line.send(self._hello("paired", record, live))
        await line.close()

    async def _attend(self, name: str, live: _Live, line: DeviceLine) -> None:
        record = self._book.get(name)
        self._events.publish("web-socket-connected", name=name)
        try:
            await line.send(self._hello("welcome", record, live))
            await self._serve(line, record)
        except BitdustError as exc:
            log.info("a device left", device=name, reason=exc.message)
        finally:
            live.lines.discard(line)
            await line.close()
            self._events.publish("web-socket-disconnected", name=name)

    def _hello(self, kind: str, record: DeviceRecord, live: _Live) -> bytes:
        payload = {
            "name": record.name,
            "urls": live.door.urls,
            "full_access": record.full_access,
        }
        return msgspec.json.encode({"type": kind, "payload": payload})


def _close_code(exc: BaseException) -> tuple[int, str]:
    if isinstance(exc, AccessDenied):
        return DENIED, "access denied"
    if isinstance(exc, TimeoutError):
        return TOO_LATE, "too slow"
    if isinstance(exc, FormatError):
        return BAD_DATA, "not understood"
    return DENIED, "refused"
