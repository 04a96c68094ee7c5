"""A client of a node elsewhere: paired once by a code, then let in by its key.

``DeviceClient.pair`` makes a credential; ``DeviceClient(credential)`` is used like ``AsyncClient``.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from bitdust.client.aio import MAX_ANSWER, AsyncClient, Connection
from bitdust.devices import (
    BUSY,
    KEY_SIZE,
    MAX_FRAME,
    NO_ROUTE,
    SLOW,
    TOO_LATE,
    Channel,
    DeviceLine,
    PairingClient,
    PipeClosed,
    SessionClient,
    SocketPipe,
    check_url,
    clean_code,
    read_link,
)
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    FormatError,
    IntegrityError,
    InvalidInput,
    NetworkError,
    NotRunning,
    PeerUnreachable,
)
from bitdust.identity import read_secret, write_new_secret, write_secret

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""Seconds for one address to answer; the next is tried then."""
HANDSHAKE_SECONDS = 20.0
TICK = 240.0
"""Seconds after which a client that has nothing to say shows that it is there."""
MAX_FILE = 16 * 1024
MAX_URLS = 8


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a paired device keeps; whoever has it is the device.

    Args:
        name: of the device at the node.
        urls: where the node was reached last.
        node_key: the node's public key (hex).
        private_key: the device's (hex).
    """

    name: str
    urls: tuple[str, ...]
    node_key: str
    private_key: str = ""

    def __repr__(self) -> str:
        return f"Credential(name={self.name!r}, urls={self.urls!r})"

    @classmethod
    def load(cls, path: Path) -> Credential:
        """Read a credential file.

        Raises:
            NotFound, LocalFileError: it cannot be read.
            FormatError: it is no credential.
        """
        try:
            found = msgspec.json.decode(read_secret(path, MAX_FILE), type=cls)
            keys = bytes.fromhex(found.node_key), bytes.fromhex(found.private_key)
            for url in found.urls:
                check_url(url)
        except (msgspec.DecodeError, ValueError, InvalidInput):
            keys = (b"", b"")
        if any(len(key) != KEY_SIZE for key in keys):
            raise FormatError(f"{path} is no credential of a device", hint="pair the device anew")
        return found

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write a credential file that only its owner can read.

        Raises:
            AlreadyExists: there is a file, and it shall not be replaced.
            LocalFileError, DiskFull: it cannot be written.
        """
        data = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
        (write_secret if replace else write_new_secret)(path, data)


class DeviceClient(AsyncClient):
    """Calls operations of a node elsewhere: ``async with DeviceClient(credential) as client``.

    Addresses are tried in turn; which are good is learned anew at every connection, and written
    back where the credential came from a file.

    Args:
        credential: what pairing gave, or the path of its file.
    """

    def __init__(self, credential: Credential | Path) -> None:
        super().__init__(Path())
        self._path = credential if isinstance(credential, Path) else None
        self.credential = (
            Credential.load(credential) if isinstance(credential, Path) else credential
        )
        self.url = ""
        """Where the node was reached."""
        self._ticker: asyncio.Task[None] | None = None

    @classmethod
    async def pair(
        cls,
        where: str | Sequence[str],
        code: str = "",
        path: Path | None = None,
        *,
        label: str = "",
    ) -> Credential:
        """Become a device of a node that shows a pairing code.

        Args:
            where: the address that the node shows, several of them, or its link, which holds the
                code too.
            code: the pairing code.
            path: where to keep the credential; nothing may be there yet.
            label: what this device calls itself; the name of this machine when empty.

        Raises:
            AccessDenied: the code is wrong, used up or too old.
            PeerUnreachable: none of the addresses answers.
            AlreadyExists: there is a file at that path.
        """
        urls = [where] if isinstance(where, str) else list(where)
        if len(urls) == 1 and not urls[0].startswith("ws"):
            found, urls = read_link(urls[0])
            code = code or found
        code = clean_code(code)
        static = secrets.token_bytes(KEY_SIZE)
        label = label or platform.node()

        async def pair_there(url: str) -> Credential:
            device = PairingClient(code, static, label, _new_key, secrets.token_bytes)
            hello = await _at(url, lambda pipe: _pair(device, pipe))
            return Credential(
                name=str(hello.get("name", "")),
                urls=_good(hello.get("urls")) or tuple(urls[:MAX_URLS]),
                node_key=device.node_key.hex(),
                private_key=static.hex(),
            )

        credential = await _anywhere(urls, pair_there)
        if path is not None:
            credential.save(path)
        return credential

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        await super().__aexit__(kind, exc, trace)

    async def _connect(self) -> Connection:
        async def enter_there(url: str) -> _Wire:
            wire = await _at(url, self._enter)
            self.url = url
            return wire

        return await _anywhere(self.credential.urls, enter_there)

    async def _enter(self, pipe: SocketPipe) -> _Wire:
        keys = self.credential
        session = SessionClient(
            bytes.fromhex(keys.private_key),
            bytes.fromhex(keys.node_key),
            _new_key,
            max_message=MAX_ANSWER,
        )
        try:
            await pipe.send(session.begin())
            channel = session.receive(await pipe.receive())
            line = DeviceLine(pipe, channel)
            await line.tick()
            hello = _payload(await line.recv(), "welcome")
        except (PipeClosed, IntegrityError) as exc:
            raise _denied(exc, "this device is not paired, or no longer") from exc
        urls = _good(hello.get("urls"))
        if urls and set(urls) != set(keys.urls):
            self.credential = msgspec.structs.replace(keys, urls=urls)
            if self._path is not None:
                with suppress(BitdustError):
                    self.credential.save(self._path, replace=True)
        self._ticker = asyncio.create_task(_tick(line), name="device ticks")
        return _Wire(line)


class _Wire:
    """A line to a node, as ``AsyncClient`` wants one."""

    def __init__(self, line: DeviceLine) -> None:
        self._line = line

    async def send(self, message: str) -> None:
        try:
            await self._line.send(message.encode())
        except NetworkError as exc:
            raise NotRunning("the connection to the node is closed") from exc

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(NetworkError, IntegrityError):
            while True:
                yield await self._line.recv()

    async def close(self) -> None:
        await self._line.close()


async def _anywhere(urls: Sequence[str], attempt: Callable[[str], Awaitable[T]]) -> T:
    """Try addresses in turn until one is good.

    Raises:
        AccessDenied: whoever answered is not the node, or does not let this device in.
        PeerUnreachable: nobody answered.
    """
    problem: BitdustError = PeerUnreachable("no address was given")
    for url in urls[:MAX_URLS]:
        try:
            return await attempt(check_url(url))
        except (AccessDenied, NetworkError, IntegrityError) as exc:
            # another address may be good; what says most is told
            if not isinstance(problem, AccessDenied):
                problem = exc
    raise problem


async def _at(url: str, talk: Callable[[SocketPipe], Awaitable[T]]) -> T:
    """Talk to whoever answers at an address; the connection is closed when that fails."""
    try:
        socket = await connect(
            url,
            max_size=MAX_FRAME,
            max_queue=4,
            open_timeout=CONNECT_SECONDS,
            compression=None,
            proxy=None,
        )
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as exc:
        raise PeerUnreachable(
            f"{url} does not answer: {str(exc)[:200] or type(exc).__name__}",
            hint="check that the node runs and that the device is started",
        ) from exc
    pipe = SocketPipe(socket)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await talk(pipe)
    except TimeoutError:
        await pipe.close(1000, "")
        raise PeerUnreachable(f"{url} did not go on with the conversation") from None
    except BaseException:
        await pipe.close(1000, "")
        raise


async def _pair(device: PairingClient, pipe: SocketPipe) -> dict[str, Any]:
    try:
        await pipe.send(device.begin())
        await pipe.send(device.receive(await pipe.receive()))
        await pipe.send(device.receive(await pipe.receive()))
        assert device.channel is not None, "it is there after the node's second message"
        hello = _payload(await _first(device.channel, pipe), "paired")
        await pipe.close(1000, "")
        return hello
    except PipeClosed as exc:
        raise _denied(exc, "the pairing code is wrong, used up or too old") from exc


async def _first(channel: Channel, pipe: SocketPipe) -> bytes:
    while (message := channel.open(await pipe.receive())) is None:
        if channel.ended:
            raise FormatError("the node ended the pairing")
    return message


def _payload(raw: bytes, kind: str) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        message = {}
    payload = message.get("payload")
    if message.get("type") != kind or not isinstance(payload, dict):
        raise FormatError("the node says something else than expected")
    return payload


def _good(urls: object) -> tuple[str, ...]:
    found = []
    for url in urls[:MAX_URLS] if isinstance(urls, list) else ():
        with suppress(InvalidInput):
            found.append(check_url(str(url)))
    return tuple(found)


def _denied(exc: BitdustError, meaning: str) -> BitdustError:
    """What the end of a handshake most likely means."""
    if isinstance(exc, PipeClosed) and exc.reason_code in (NO_ROUTE, BUSY, TOO_LATE, SLOW):
        return PeerUnreachable(f"the node cannot be reached there: {exc.message}")
    return AccessDenied(meaning, hint="look at the node with `bitdust device info`, pair anew")


async def _tick(line: DeviceLine) -> None:
    with suppress(BitdustError):
        while True:
            await asyncio.sleep(TICK)
            await line.tick()


def _new_key() -> bytes:
    return secrets.token_bytes(KEY_SIZE)
