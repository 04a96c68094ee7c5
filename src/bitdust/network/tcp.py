"""The TCP transport: TLS 1.3 over TCP with asyncio's own TLS, on asyncio's or uvloop's loop."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import structlog

from bitdust.errors import InvalidInput, PeerUnreachable, PortInUse
from bitdust.network.certificate import Certificate, client_context
from bitdust.network.frames import Chunk
from bitdust.network.transport import Accept, Endpoint, LinkHandler

BACKLOG: Final = 128
HIGH_WATER: Final = 1024 * 1024
"""Bytes waiting in the TLS layer from which on the session is asked to hold its bodies back."""
LOW_WATER: Final = 256 * 1024
UNSENT_IN_KERNEL: Final = 512 * 1024
"""Bytes the kernel may hold unsent, so that a small frame never queues behind megabytes."""
TLS_TIMEOUT: Final = 10.0
SHUTDOWN_TIMEOUT: Final = 2.0
ACCEPT_PAUSE: Final = 0.2
"""Seconds to wait when the process has no more file descriptors."""


class _TcpLink(asyncio.Protocol):
    """Both asyncio's protocol and our link: each call goes straight through."""

    def __init__(
        self, handler: LinkHandler, remote: Endpoint, transport: TcpTransport, *, dialler: bool
    ) -> None:
        self.remote = remote
        self.listener_certificate = b"" if dialler else transport.fingerprint
        self.dialler_certificate = b""
        self._handler = handler
        self._owner = transport
        self._dialler = dialler
        self._transport: asyncio.Transport | None = None
        self._paused = False
        # The parser and the session take bytes as they are, without a layer between.
        self.data_received = handler.data_received  # type: ignore[method-assign]
        self.pause_writing = handler.pause_writing  # type: ignore[method-assign]
        self.resume_writing = handler.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        transport = self._transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        tls = transport.get_extra_info("ssl_object")
        if self._dialler:
            certificate = tls.getpeercert(binary_form=True) or b""
            self.listener_certificate = hashlib.sha256(certificate).digest()
        _tune(transport.get_extra_info("socket"))
        self._owner.links.add(self)
        self._handler.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.links.discard(self)
        self._handler.connection_lost(exc)

    def never_made(self, error: Exception | None) -> None:
        """TLS failed: unless asyncio told the handler of a link, tell it that there is none."""
        if self._transport is None:
            self._handler.connection_lost(error)

    def write(self, chunks: Sequence[Chunk]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(chunks)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self.resume_reading()  # the other side's TLS farewell has to be read
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class TcpTransport:
    """TLS 1.3 over TCP.

    Args:
        certificate: this node's; its fingerprint belongs in the identity document.
    """

    proto = "tcp"

    def __init__(self, certificate: Certificate) -> None:
        self.fingerprint = certificate.fingerprint
        self.links: set[_TcpLink] = set()
        self._server_context = certificate.server_context()
        self._client_context = client_context()
        self._listening: dict[asyncio.Task[None], socket.socket] = {}
        self._greeting: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger().bind(component="network", proto=self.proto)

    async def listen(self, endpoint: Endpoint, accept: Accept) -> Endpoint:
        """Take connections; gives the endpoint with the real port.

        Raises:
            PortInUse: another program listens there.
            InvalidInput: not an address of this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = infos[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:
            raise InvalidInput(f"{endpoint.host!r} is no address to listen on") from exc
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as exc:
            listener.close()
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                raise PortInUse(
                    f"port {endpoint.port} on {endpoint.host} cannot be used: {exc.strerror}",
                    hint="stop the other program, or set services/tcp-connections/tcp-port",
                ) from exc
            raise InvalidInput(f"{endpoint.host!r} is no address of this machine") from exc
        task = loop.create_task(self._accept_loop(listener, accept))
        self._listening[task] = listener
        return Endpoint(self.proto, endpoint.host, listener.getsockname()[1])

    async def dial(self, endpoint: Endpoint, handler: LinkHandler, timeout: float) -> None:
        """Connect; the handler's ``connection_made`` was called when this returns.

        Raises:
            PeerUnreachable: nobody answers there, or not with TLS 1.3.
        """
        loop = asyncio.get_running_loop()
        made: list[_TcpLink] = []

        def factory() -> _TcpLink:
            link = _TcpLink(handler, endpoint, self, dialler=True)
            made.append(link)
            return link

        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(
                    factory,
                    endpoint.host,
                    endpoint.port,
                    ssl=self._client_context,
                    server_hostname="",
                    ssl_handshake_timeout=min(timeout, TLS_TIMEOUT),
                    ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
                )
        except TimeoutError:
            raise PeerUnreachable(f"no answer from {endpoint} within {timeout:g} s") from None
        except (OSError, ssl.SSLError) as exc:
            reason = exc.strerror or type(exc).__name__
            raise PeerUnreachable(f"cannot connect to {endpoint}: {reason}") from exc

    async def stop(self) -> None:
        """Listen no more and end every link that is left."""
        tasks = [*self._listening, *self._greeting]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for listener in self._listening.values():
            listener.close()
        self._listening.clear()
        for link in list(self.links):
            link.abort()

    async def _accept_loop(self, listener: socket.socket, accept: Accept) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(listener)
            except OSError as exc:
                self._log.warning("accept_failed", error=exc.strerror)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            remote = Endpoint(self.proto, address[0], address[1])
            handler = accept(remote)
            if handler is None:
                connected.close()
                continue
            task = loop.create_task(self._greet(connected, handler, remote))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(
        self, connected: socket.socket, handler: LinkHandler, remote: Endpoint
    ) -> None:
        link = _TcpLink(handler, remote, self, dialler=False)
        try:
            connected.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: link,
                connected,
                ssl=self._server_context,
                ssl_handshake_timeout=TLS_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except (OSError, ssl.SSLError) as exc:
            link.never_made(exc)
        except asyncio.CancelledError:
            link.never_made(None)
            raise


def _tune(connected: socket.socket | None) -> None:
    """No delay for small frames, and little unsent data in the kernel."""
    if connected is None:
        return
    with suppress(OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if unsent is not None:
            connected.setsockopt(socket.IPPROTO_TCP, unsent, UNSENT_IN_KERNEL)
