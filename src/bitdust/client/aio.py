"""An asynchronous client over WebSocket: many calls at one time, and the node's events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from os.path import normpath
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bitdust.api.envelope import error_from
from bitdust.api.secret import read_secret
from bitdust.client.aio_operations import AsyncOperations
from bitdust.client.jobs import Job
from bitdust.config import Settings, default_home
from bitdust.errors import AccessDenied, DeadlineExceeded, NotFound, NotRunning

MAX_ANSWER = 256 * 1024 * 1024
MAX_EVENTS = 10_000
"""Events kept for a reader that does not collect them; the oldest go first."""
CONNECT_TIMEOUT = 10.0


class Connection(Protocol):
    """What carries the messages of a client, such as a WebSocket."""

    async def send(self, message: str) -> None: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...

    async def close(self) -> None: ...


class AsyncClient(AsyncOperations):
    """Calls operations of a running node; use it as ``async with AsyncClient(home) as client``.

    Every operation is a method, such as ``await client.file_info("0/0/1")``; ``file_upload`` and
    ``file_download`` give jobs.

    Args:
        home: the node's home folder; ``$BITDUST_HOME`` or ``~/.bitdust`` when not given.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.home: Path = default_home() if home is None else home
        self._connection: Connection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
        self._reader = asyncio.create_task(self._read(), name="api client")
        return self

    async def _connect(self) -> Connection:
        settings = Settings(self.home)
        port = settings.get_int("interface/api/web-socket-port")
        query = urlencode({"api_secret": read_secret(self.home)})
        try:
            return await connect(
                f"ws://127.0.0.1:{port}/?{query}",
                max_size=MAX_ANSWER,
                open_timeout=CONNECT_TIMEOUT,
                compression=None,
                proxy=None,
            )
        except InvalidHandshake:
            raise AccessDenied(
                "access denied", hint=f"the node on port {port} may belong to another home"
            ) from None
        except (OSError, TimeoutError):
            raise NotRunning(f"no daemon is running in {self.home}") from None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            await self._connection.close()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    async def call(self, method: str, *, timeout: float | None = None, **arguments: Any) -> Any:
        """Call an operation.

        Args:
            method: its name, such as ``file_info``.
            timeout: seconds to wait for the answer, None for ever.
            arguments: its parameters, as JSON values.

        Returns:
            The ``result`` of the envelope, None when it has none.

        Raises:
            NotRunning: the node is not reachable, or no longer.
            DeadlineExceeded: it did not answer in time.
            BitdustError: whatever the operation raised.
        """
        return await self._call(method, arguments, timeout)

    async def ask(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call an operation; ``call`` with the parameters in a dictionary."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return await self._call(method, given, None)

    def file_upload(self, local_path: str, remote_path: str) -> Job:
        """Upload a file or folder, and watch it.

        Args:
            local_path: the file or folder on this machine.
            remote_path: where it goes in the catalog.

        Returns:
            A job: iterate over its progress, await its result.
        """
        given = {"local_path": local_path, "remote_path": remote_path, "wait_result": True}

        async def look() -> list[dict[str, Any]]:
            jobs = await self.files_uploads(include_pending=False)
            return list(jobs["running"])

        return Job(
            self.ask("file_upload_start", given),
            look,
            lambda: self.file_upload_stop(remote_path),
            lambda row: bool(row.get("source_path") == normpath(local_path)),
        )

    def file_download(self, remote_path: str, destination_path: str | None = None) -> Job:
        """Download a file, a folder or a version, and watch it.

        Args:
            remote_path: what is wanted.
            destination_path: folder to put it into; the node's default when not given.

        Returns:
            A job: iterate over its progress, await its result.
        """
        given = {
            "remote_path": remote_path,
            "destination_path": destination_path,
            "wait_result": True,
        }

        def about(row: dict[str, Any]) -> bool:
            names = (row.get("remote_path"), row.get("backup_id"), row.get("path_id"))
            return remote_path in names

        return Job(
            self.ask("file_download_start", given),
            self.files_downloads,
            lambda: self.file_download_stop(remote_path),
            about,
        )

    async def _call(self, method: str, arguments: dict[str, Any], timeout: float | None) -> Any:
        if self._connection is None or self._reader is None or self._reader.done():
            raise NotRunning("the connection to the node is closed")
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        message = {"command": "api_call", "method": method, "kwargs": arguments, "call_id": number}
        try:
            await self._connection.send(json.dumps(message))
            async with asyncio.timeout(timeout):
                payload = await answer
        except ConnectionClosed:
            raise NotRunning("the node closed the connection") from None
        except TimeoutError:
            raise DeadlineExceeded(f"the node did not answer {method} in time") from None
        finally:
            self._waiting.pop(number, None)
        envelope = payload.get("response")
        if envelope is None:
            raise NotFound("; ".join(payload.get("errors", [])), hint=payload.get("hint", ""))
        if envelope.get("status") != "OK":
            raise error_from(envelope)
        return envelope.get("result")

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """The node's events as ``(event_id, data)``, until the connection closes."""
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)

    async def messages(
        self, *, direction: str | None = "in", conversation_id: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Messages as they come, from the first step of the iteration on, until the connection
        closes.

        Args:
            direction: ``in``, ``out``, None for both.
            conversation_id: one conversation only.

        Returns:
            Each as ``message_history`` shows it in ``doc``.
        """
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            if self._reader is None or self._reader.done():
                return
            while (message := await queue.get()) is not None:
                if direction in (None, message["direction"]) and conversation_id in (
                    None,
                    message["conversation_id"],
                ):
                    yield message
        finally:
            self._listeners.discard(queue)

    async def changes(
        self, model_name: str, *, request_all: bool = True
    ) -> AsyncIterator[dict[str, Any]]:
        """Changes of a model, such as ``conversation`` or ``online_status``, until the connection
        closes. The node goes on telling them until ``disable_model_listener`` is called.

        Args:
            model_name: of the model.
            request_all: begin with all items there are.

        Returns:
            Each with ``name``, ``id``, ``data``, ``created``, and ``deleted`` when the item is
            gone.

        Raises:
            InvalidInput: there is no such model.
            NotRunning: the node is not reachable.
        """
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            await self.enable_model_listener(model_name, request_all=request_all)
            while (change := await queue.get()) is not None:
                if change["name"] == model_name:
                    yield change
        finally:
            self._watchers.discard(queue)

    @staticmethod
    def _hear(queues: set[asyncio.Queue[dict[str, Any] | None]], message: dict[str, Any]) -> None:
        for queue in queues:
            if queue.qsize() >= MAX_EVENTS:
                queue.get_nowait()
            queue.put_nowait(message)

    async def _read(self) -> None:
        assert self._connection is not None
        try:
            async for raw in self._connection:
                message = json.loads(raw)
                payload = message.get("payload", {})
                if message.get("type") == "event":
                    if self._events.qsize() >= MAX_EVENTS:
                        self._events.get_nowait()
                    self._events.put_nowait((payload["event_id"], payload["data"]))
                    continue
                if message.get("type") in ("stream_message", "model"):
                    model = message["type"] == "model"
                    self._hear(self._watchers if model else self._listeners, payload)
                    continue
                waiting = self._waiting.get(payload.get("call_id"))
                if waiting is not None and not waiting.done():
                    waiting.set_result(payload)
        except ConnectionClosed:
            pass
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(NotRunning("the node closed the connection"))
            self._events.put_nowait(None)
            for queue in self._listeners | self._watchers:
                queue.put_nowait(None)
