"""Calls to the HTTP API of one local node, by route, as any foreign program would make them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bitdust.api.envelope import error_from
from bitdust.errors import FormatError, NotRunning

CALL_DEADLINE = 600.0
"""Seconds a call may take; uploads and downloads that are waited for are the longest."""
MAX_ANSWER = 256 * 1024 * 1024


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


class NodeApi:
    """The HTTP API of one node.

    Args:
        url: such as ``http://127.0.0.1:8180``.
        secret_file: where the node keeps its API secret; read at every call, as a node makes a new
            one when the file is removed.
    """

    def __init__(self, url: str, secret_file: Path) -> None:
        self.url = url
        self.secret_file = secret_file

    def call(
        self,
        verb: str,
        route: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline: float = CALL_DEADLINE,
    ) -> dict[str, Any]:
        """Make one call and return the whole envelope, whatever its status.

        Args:
            verb: GET sends ``params`` as query arguments, all others as a JSON body.
            route: such as ``/process/health/v1``.
            params: the operation's parameters.
            deadline: seconds until the call is given up.

        Raises:
            NotRunning: nobody answers there, or not in time.
            FormatError: the answer is no JSON object.
        """
        headers = {"api_secret": self._secret()}
        body: bytes | None = None
        if verb == "GET":
            query = urlencode({name: _word(value) for name, value in (params or {}).items()})
            route = f"{route}?{query}" if query else route
        else:
            body = json.dumps(dict(params or {})).encode()
            headers["Content-Type"] = "application/json"
        target = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            target.hostname or "127.0.0.1", target.port, timeout=deadline
        )
        try:
            connection.request(verb, route, body, headers)
            text = connection.getresponse().read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as exc:
            raise NotRunning(f"no answer from {self.url} to {verb} {route[:80]}: {exc}") from exc
        finally:
            connection.close()
        try:
            envelope = json.loads(text)
        except ValueError as exc:
            raise FormatError(f"{self.url} answered {verb} {route[:80]} with no JSON") from exc
        if not isinstance(envelope, dict):
            raise FormatError(f"{self.url} answered {verb} {route[:80]} with no JSON object")
        return envelope

    def _secret(self) -> str:
        try:
            return self.secret_file.read_text("ascii").strip()
        except FileNotFoundError:
            return ""

    def result(
        self,
        verb: str,
        route: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline: float = CALL_DEADLINE,
    ) -> Any:
        """As ``call``, but return only the ``result`` (None when there is none).

        Raises:
            BitdustError: the one that the envelope stands for.
        """
        envelope = self.call(verb, route, params, deadline=deadline)
        if envelope.get("status") != "OK":
            raise error_from(envelope)
        return envelope.get("result")

    def get(self, route: str, **params: Any) -> Any:
        """The result of a GET."""
        return self.result("GET", route, params)

    def post(self, route: str, **params: Any) -> Any:
        """The result of a POST."""
        return self.result("POST", route, params)
