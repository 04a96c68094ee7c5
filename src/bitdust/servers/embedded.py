"""uvicorn in somebody else's event loop, and the host of the name server that runs in it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bitdust.clock import Clock
from bitdust.errors import PortInUse
from bitdust.identity import NameServer
from bitdust.servers.patience import PatientProtocol

MAX_CONNECTIONS = 512
"""Connections of a name server at one time; more are turned away with status 503."""
KEEP_ALIVE = 10
MAX_HEADERS = 16 * 1024


class EmbeddedServer(uvicorn.Server):
    """No signal handlers, and it says when it runs."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.ending = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # The library's own loop wakes up ten times a second, for each node of a process.
        await self.on_tick(0)
        await self.ending.wait()

    async def begin(self, listener: socket.socket, name: str) -> asyncio.Task[None]:
        """Serve on a bound socket in a task of its own; returns once it takes connections."""
        task = asyncio.create_task(self.serve(sockets=[listener]), name=name)
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            task.result()
        return task

    async def end(self, task: asyncio.Task[None]) -> None:
        """Close the socket, let running requests finish for a while, and wait for the task."""
        self.should_exit = True
        self.ending.set()
        with suppress(asyncio.CancelledError):
            await task


def embedded_config(app: Any, **options: Any) -> uvicorn.Config:
    """A configuration without logs, signals, WebSockets and trust in proxies."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        **options,
    )


class NameHost:
    """Serves identity documents of others on the network.

    Args:
        path: of the file of names.
        host, port: under which others reach it; it listens on all addresses unless the host is
            loopback.
        clock, pool: time, and threads for SQLite.
    """

    def __init__(self, path: Path, host: str, port: int, *, clock: Clock, pool: Executor) -> None:
        self._path = path
        self._host = host
        self._port = port
        self._clock = clock
        self._pool = pool
        self._names: NameServer | None = None
        self._server: EmbeddedServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger(component="name-server")

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            PortInUse: another program listens there.
            IntegrityError: the file of names is damaged.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind = self._host if self._host.startswith("127.") else "0.0.0.0"  # noqa: S104 - public
        try:
            listener.bind((bind, self._port))
        except OSError as exc:
            listener.close()
            raise PortInUse(
                f"port {self._port} of the identity server is taken",
                hint="stop the other program, or set services/identity-server/web-port",
            ) from exc
        try:
            self._names = await NameServer.open(
                self._path, self._host, self._port, clock=self._clock, pool=self._pool
            )
        except BaseException:
            listener.close()
            raise
        config = embedded_config(
            self._dated(self._names.app),
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MAX_HEADERS,
        )
        self._server = EmbeddedServer(config)
        self._task = await self._server.begin(listener, "name server")
        self._log.info("identity server is up", host=self._host, port=self._port)

    def _dated(self, app: ASGIApp) -> ASGIApp:
        """The same with a ``Date`` in every answer, by which nodes can check their clocks."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_dated(message: Message) -> None:
                if message["type"] == "http.response.start":
                    date = formatdate(self._clock.now(), usegmt=True).encode("ascii")
                    message = {**message, "headers": [*message["headers"], (b"date", date)]}
                await send(message)

            await app(scope, receive, send_dated)

        return serve

    async def stop(self) -> None:
        """Stop serving and close the file."""
        if self._server is not None and self._task is not None:
            await self._server.end(self._task)
        if self._names is not None:
            await self._names.close()
        self._server = self._task = self._names = None
