"""JSON-RPC 2.0 for ``POST /rpc``: single calls, batches and notifications.

Methods go by the names of all three generations. What the method itself has to say, failures
included, is the ``result``; the ``error`` of JSON-RPC is for calls that never began.

Source: JSON-RPC 2.0 Specification; BitDust API, first and second generation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitdust.api.dispatch import note_internal_failure
from bitdust.api.envelope import failure
from bitdust.api.parameters import InvalidParameters
from bitdust.api.rpc import RpcMethod, RpcTable
from bitdust.errors import NotFound
from bitdust.servers.encoding import encode

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_BATCH = 100
"""Calls in one batch."""
MAX_ID = 1024
"""Characters of a call's id."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""The request was not let in; see BitDust API, Access."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that can be carried out.

    Args:
        method: what is called.
        params: by name or by position.
        id: of the caller's choice.
        answered: whether the caller wants to hear of it.
    """

    method: RpcMethod
    params: object
    id: str | int | float | None
    answered: bool


def error_object(
    code: int, message: str, call_id: object = None, data: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A response of JSON-RPC that says why a call never began."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data:
        error["data"] = dict(data)
    return {"jsonrpc": "2.0", "error": error, "id": call_id}


def refusal(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """The response for a request that the server turned away before reading it."""
    return error_object(REFUSED, "; ".join(envelope["errors"]), data=envelope)


class JsonRpc:
    """Carries out requests.

    Args:
        node: what methods act on.
        table: the methods.
    """

    def __init__(self, node: Node, table: RpcTable) -> None:
        self._node = node
        self._table = table

    def parse(self, body: bytes) -> Requests:
        """The calls of a request; malformed ones become the responses they get."""
        try:
            raw = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return Requests([error_object(PARSE_ERROR, "Parse error: invalid json input")], False)
        if not isinstance(raw, list):
            return Requests([self._request(raw)], False)
        if not raw:
            return Requests([error_object(INVALID_REQUEST, "Invalid Request: empty batch")], False)
        if len(raw) > MAX_BATCH:
            message = f"Invalid Request: more than {MAX_BATCH} calls in a batch"
            return Requests([error_object(INVALID_REQUEST, message)], False)
        return Requests([self._request(one) for one in raw], True)

    def _request(self, raw: object) -> _Call | dict[str, Any]:
        if not isinstance(raw, dict):
            return error_object(INVALID_REQUEST, "Invalid Request: not an object")
        call_id = raw.get("id")
        if isinstance(call_id, bool) or not isinstance(call_id, str | int | float | None):
            return error_object(INVALID_REQUEST, "Invalid Request: id must be text or a number")
        if len(str(call_id)) > MAX_ID:
            return error_object(INVALID_REQUEST, f"Invalid Request: id longer than {MAX_ID}")
        if raw.get("jsonrpc", "2.0") != "2.0":
            return error_object(INVALID_REQUEST, "Invalid Request: jsonrpc must be 2.0", call_id)
        name = raw.get("method")
        if not isinstance(name, str) or not name:
            return error_object(INVALID_REQUEST, "Invalid Request: method must be text", call_id)
        params = raw.get("params")
        if params is not None and not isinstance(params, list | dict):
            message = "Invalid Request: params must be a list or an object"
            return error_object(INVALID_REQUEST, message, call_id)
        try:
            method = self._table.method(name)
        except NotFound as exc:
            if "id" not in raw:
                return {}
            data = {"errors": [exc.message], "code": exc.code, "hint": exc.hint}
            return error_object(METHOD_NOT_FOUND, f"Method not found: {exc.message}", call_id, data)
        return _Call(method, params, call_id, "id" in raw)

    async def answer(self, requests: Requests) -> bytes | None:
        """Carry out the calls, one after the other.

        Returns:
            The body of the answer; None when nobody wants one.
        """
        responses = []
        for entry in requests.entries:
            if isinstance(entry, dict):
                if entry:
                    responses.append(self._encode(entry))
                continue
            response = self._encode(await self._call(entry))
            if entry.answered:
                responses.append(response)
        if not responses:
            return None
        return b"[" + b",".join(responses) + b"]" if requests.batch else responses[0]

    async def _call(self, call: _Call) -> dict[str, Any]:
        try:
            result = await call.method.call(self._node, call.method.named(call.params))
        except InvalidParameters as exc:
            message = f"Invalid params: {exc.message}"
            return error_object(INVALID_PARAMS, message, call.id, failure(exc))
        except Exception:
            data = note_internal_failure(self._node, f"rpc {call.method.name}")
            return error_object(INTERNAL_ERROR, "Internal error", call.id, data)
        return {"jsonrpc": "2.0", "result": result, "id": call.id}

    def _encode(self, response: dict[str, Any]) -> bytes:
        try:
            return encode(response, pretty=False)
        except (TypeError, ValueError):
            data = note_internal_failure(self._node, "rpc answer")
            broken = error_object(INTERNAL_ERROR, "Internal error", response["id"], data)
            return encode(broken, pretty=False)


@dataclass(frozen=True, slots=True)
class Requests:
    """What a body asked for.

    Args:
        entries: calls, and responses to what is no call; an empty one is a notification of no
            known method.
        batch: whether the answer is a list.
    """

    entries: list[_Call | dict[str, Any]]
    batch: bool

    @property
    def waits(self) -> bool:
        """Whether a call in it waits for something to happen."""
        return any(
            isinstance(entry, _Call) and entry.method.operation.long_poll for entry in self.entries
        )


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
