"""A blocking client over HTTP, small enough for the command line to start quickly.

As a context manager it keeps one connection for each thread that uses it open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

from bitdust.api.envelope import error_from
from bitdust.api.registry import Operation, Registry, build_registry
from bitdust.api.secret import read_secret
from bitdust.client.operations import Operations
from bitdust.config import Settings, default_home
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    DeadlineExceeded,
    IntegrityError,
    InvalidInput,
    NotRunning,
)

if TYPE_CHECKING:
    from http.client import HTTPConnection
    from socket import socket
    from types import TracebackType

HOST = "127.0.0.1"
DEFAULT_TIMEOUT = 60.0
MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of the longest answer that is read."""


class Client(Operations):
    """Calls operations of the node that runs in a home folder; safe to use from several threads.

    Every operation is a method, such as ``client.file_info("0/0/1")``. In a ``with`` block
    connections stay open between calls; else each call makes its own.

    Args:
        home: the node's home folder; ``$BITDUST_HOME`` or ``~/.bitdust`` when not given.
        registry: the operations, built when not given.
        timeout: seconds to wait for an answer, None for ever.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        registry: Registry | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.home: Path = default_home() if home is None else home
        self._registry = registry or build_registry()
        self._timeout = timeout
        self._settings = Settings(self.home)
        self._kept: dict[int, HTTPConnection] | None = None

    def __enter__(self) -> Self:
        self._kept = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        kept, self._kept = self._kept or {}, None
        for connection in kept.values():
            connection.close()

    def call(self, method: str, **arguments: Any) -> Any:
        """Call an operation.

        Args:
            method: its name, such as ``file_info``.
            arguments: its parameters, as JSON values.

        Returns:
            The ``result`` of the envelope, None when it has none.

        Raises:
            NotRunning: no node answers.
            BitdustError: whatever the operation raised.
        """
        return self.ask(method, arguments)

    def ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Call an operation; ``call`` with the parameters in a mapping."""
        envelope = self.envelope(method, arguments)
        if envelope.get("status") != "OK":
            raise error_from(envelope)
        return envelope.get("result")

    def envelope(
        self, method: str, arguments: Mapping[str, Any], *, timeout: float | None = -1.0
    ) -> dict[str, Any]:
        """Call an operation and return the whole envelope, failures included.

        Raises:
            NotRunning: no node answers.
            DeadlineExceeded: it did not answer in time.
            BitdustError: the method does not exist, or what answers is no node.
        """
        wait = self._timeout if timeout == -1.0 else timeout
        called = self._registry.named(method)
        if not called.routes:
            raise InvalidInput(
                f"{called.name} is there over WebSocket only",
                hint="use bitdust.client.AsyncClient",
            )
        given = {name: value for name, value in arguments.items() if value is not None}
        raw = self._exchange(called, given, wait)
        try:
            envelope = json.loads(raw)
        except (ValueError, RecursionError):
            envelope = None
        if not isinstance(envelope, dict) or "status" not in envelope:
            raise IntegrityError(
                f"what answers on port {self.port} is not a bitdust node",
                hint="see `bitdust config get interface/api/rest-http-port`",
            )
        if envelope.get("code") == AccessDenied.code and envelope.get("errors") == [
            "access denied"
        ]:
            envelope["hint"] = (
                f"the node on port {self.port} may belong to another home than {self.home}"
            )
        return envelope

    @property
    def port(self) -> int:
        """The port of the node's HTTP interface, from its settings."""
        return self._settings.get_int("interface/api/rest-http-port")

    def is_running(self) -> bool:
        """Whether a node of this home answers."""
        try:
            return self.envelope("process_health", {}, timeout=5.0).get("status") == "OK"
        except BitdustError:
            return False

    def _exchange(
        self, called: Operation[..., Any], arguments: Mapping[str, Any], timeout: float | None
    ) -> bytes:
        from http.client import HTTPException
        from urllib.parse import urlencode

        route = next(route for route in called.routes if "{" not in route.path)
        headers = {"api_secret": read_secret(self.home)}
        target, body = route.path, None
        if route.verb == "GET":
            words = {name: _as_word(value) for name, value in arguments.items()}
            target += "?" + urlencode(words, errors="surrogateescape") if words else ""
        else:
            body = json.dumps(arguments).encode("ascii")
            headers["Content-Type"] = "application/json"
        connection = self._connection(timeout)
        keep = False
        try:
            connection.request(route.verb, target, body, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER)
            keep = self._kept is not None and response.isclosed()
            return answer
        except TimeoutError:
            raise DeadlineExceeded(
                f"the node did not answer {called.name} within {timeout:g} s"
            ) from None
        except ConnectionRefusedError:
            raise NotRunning(f"no daemon is running in {self.home}") from None
        except (OSError, HTTPException) as exc:
            raise NotRunning(
                f"the daemon in {self.home} ended the connection: {type(exc).__name__}",
                hint=f"it may be stopping; its log is in {self.home / 'logs'}",
            ) from exc
        finally:
            if not keep:
                self._forget(connection)

    def _connection(self, timeout: float | None) -> HTTPConnection:
        """A connection to the node: this thread's, if it is kept and still whole, or a new one."""
        from http.client import HTTPConnection

        kept = self._kept
        connection = kept.get(get_ident()) if kept is not None else None
        if connection is not None and connection.sock is not None:
            if not _is_readable(connection.sock):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()  # the node closed it, as it does after a while
        connection = HTTPConnection(HOST, self.port, timeout=timeout)
        if kept is not None:
            kept[get_ident()] = connection
        return connection

    def _forget(self, connection: HTTPConnection) -> None:
        connection.close()
        if self._kept is not None:
            self._kept.pop(get_ident(), None)


def _is_readable(connected: socket) -> bool:
    import select

    return bool(select.select([connected], [], [], 0)[0])


def _as_word(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)
