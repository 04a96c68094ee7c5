"""The HTTP interface: every operation on 127.0.0.1, for programs that know the secret.

Status is 200 for every answer of ours, failures included, as clients of BitDust expect; the
envelope tells. Only requests that are no HTTP at all get another status, from the HTTP library.

Source: BitDust API, third generation, HTTP Rest API and Access.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bitdust.api.dispatch import dispatch, note_internal_failure
from bitdust.api.envelope import failure
from bitdust.api.messages import Collected
from bitdust.api.registry import Operation, Registry
from bitdust.api.rpc import build_rpc_table
from bitdust.errors import AccessDenied, BitdustError, InvalidInput, Stopped
from bitdust.servers.embedded import EmbeddedServer, embedded_config
from bitdust.servers.encoding import decode_object, encode
from bitdust.servers.guard import is_local_origin, is_own_host, is_secret
from bitdust.servers.jsonrpc import JsonRpc, refusal
from bitdust.servers.sockets import listen_on_loopback

if TYPE_CHECKING:
    from bitdust.api.node import Node

T = TypeVar("T")

MAX_BODY = 1024 * 1024
"""Bytes of the longest request body."""
MAX_HEADERS = 32 * 1024
"""Bytes of a request's head, query included."""
MAX_CONNECTIONS = 256
"""Connections and running calls at one time; more are turned away with status 503."""
KEEP_ALIVE = 30
"""Seconds an idle connection stays open."""
LARGE_ANSWER = 500
"""Entries of a list from which an answer is encoded in the pool and not on the loop."""

PORT_SETTING = "interface/api/rest-http-port"
RPC_PATH = "/rpc"
OPENAPI_PATH = "/openapi.json"


class HttpServer:
    """Serves a registry over HTTP on the loopback interface.

    Args:
        node: what operations act on.
        registry: the operations.
        port: TCP port, 0 for any free one.
        secret: what callers must send as ``api_secret``, in a header or the query; None for no
            check.
    """

    def __init__(self, node: Node, registry: Registry, *, port: int, secret: str | None) -> None:
        self._node = node
        self._registry = registry
        self._rpc = JsonRpc(node, build_rpc_table(registry))
        self._openapi: bytes | None = None
        self._secret = secret
        self.port = port
        self._server: EmbeddedServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._log = structlog.get_logger("http")

    async def start(self) -> int:
        """Begin to serve.

        Returns:
            The port.

        Raises:
            PortInUse: the port is taken.
        """
        listener = listen_on_loopback(self.port, PORT_SETTING)
        self.port = listener.getsockname()[1]
        grace = self._node.settings.get_float("interface/api/shutdown-timeout")
        config = embedded_config(
            self._serve,
            interface="asgi3",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(grace)),
            h11_max_incomplete_event_size=MAX_HEADERS,
        )
        self._server = EmbeddedServer(config)
        self._task = await self._server.begin(listener, "http")
        self._log.info("http interface is up", port=self.port)
        return self.port

    async def stop(self) -> None:
        """End waiting calls, let the others finish for a while, and close."""
        self._closing.set()
        if self._server is not None and self._task is not None:
            await self._server.end(self._task)
        self._server = self._task = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; every path is ours, so that none needs a router before it."""
        if scope["type"] == "http":
            response = await self._handle(Request(scope, receive))
            await response(scope, receive, send)

    async def _handle(self, request: Request) -> Response:
        if request.method == "POST" and request.scope["path"].rstrip("/") == RPC_PATH:
            return await self._handle_rpc(request)
        if request.method == "GET" and request.scope["path"] == OPENAPI_PATH:
            return self._handle_openapi(request)
        started = time.perf_counter()
        try:
            envelope = await self._answer(request)
        except BitdustError as exc:
            envelope = failure(exc)
        except Exception:
            envelope = note_internal_failure(self._node, "http request")
        envelope["execution"] = f"{time.perf_counter() - started:.6f}"
        response = await self._respond(envelope)
        result = envelope.get("result")
        if isinstance(result, Collected):
            await asyncio.sleep(0)  # let the loop see whether the caller is still there
            if await request.is_disconnected():
                result.give_back()
        return response

    async def _respond(self, envelope: dict[str, Any]) -> Response:
        result = envelope.get("result")
        try:
            if isinstance(result, list | dict) and len(result) > LARGE_ANSWER:
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(
                    self._node.pool, lambda: encode(envelope, pretty=True)
                )
            else:
                body = encode(envelope, pretty=True)
        except (TypeError, ValueError):
            body = encode(note_internal_failure(self._node, "http answer"), pretty=True)
        return Response(body, media_type="application/json")

    def _handle_openapi(self, request: Request) -> Response:
        try:
            self._admit(request, _query(request))
        except BitdustError as exc:
            return Response(encode(failure(exc), pretty=True), media_type="application/json")
        if self._openapi is None:
            from bitdust.api.openapi import describe

            self._openapi = encode(describe(self._registry, port=self.port), pretty=True)
        return Response(self._openapi, media_type="application/json")

    async def _handle_rpc(self, request: Request) -> Response:
        try:
            self._admit(request, _query(request))
            requests = self._rpc.parse(await self._read_body(request))
            answer = self._rpc.answer(requests)
            body = await (self._until_gone(request, answer) if requests.waits else answer)
        except BitdustError as exc:
            body = encode(refusal(failure(exc)), pretty=False)
        except Exception:
            body = encode(refusal(note_internal_failure(self._node, "rpc request")), pretty=False)
        if body is None:
            return Response(status_code=204)
        return Response(body, media_type="application/json")

    async def _answer(self, request: Request) -> dict[str, Any]:
        query = _query(request)
        self._admit(request, query)
        called, in_path = self._registry.route(request.method, request.scope["path"])
        if request.method == "GET":
            return await self._call(request, called, {**in_path, **query}, textual=True)
        body = decode_object(await self._read_body(request))
        return await self._call(request, called, {**in_path, **query, **body}, textual=False)

    def _admit(self, request: Request, query: dict[str, object]) -> None:
        in_query = query.pop("api_secret", None)
        given = request.headers.get("api_secret") or (str(in_query) if in_query else None)
        if not is_own_host(request.headers.get("host", ""), self.port):
            raise AccessDenied(
                "access denied", hint=f"address this server as 127.0.0.1:{self.port}"
            )
        if not is_local_origin(request.headers.get("origin")):
            raise AccessDenied("access denied", hint="web pages of other machines may not call")
        if not is_secret(given, self._secret):
            raise AccessDenied(
                "access denied", hint="send the content of metadata/apisecret as header api_secret"
            )

    async def _read_body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        too_long = InvalidInput(f"the request is longer than {MAX_BODY} bytes")
        if not declared.isdecimal() or int(declared[:20]) > MAX_BODY:
            raise too_long
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_long
        except ClientDisconnect:
            raise Stopped("the caller went away") from None
        return bytes(body)

    async def _call(
        self,
        request: Request,
        called: Operation[..., Any],
        raw: dict[str, object],
        *,
        textual: bool,
    ) -> dict[str, Any]:
        work = dispatch(self._node, called, raw, textual=textual)
        return await (self._until_gone(request, work) if called.long_poll else work)

    async def _until_gone(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """Work that ends when its caller goes away, so that no event is collected for nobody."""
        call = asyncio.create_task(work, name="long poll")
        ends = {
            asyncio.create_task(self._closing.wait()),
            asyncio.create_task(_disconnected(request)),
        }
        try:
            await asyncio.wait({call, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return call.result()
            raise Stopped("the node is stopping")
        finally:
            for task in (call, *ends):
                task.cancel()
            await asyncio.gather(call, *ends, return_exceptions=True)


def _query(request: Request) -> dict[str, object]:
    query: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, value)  # the first value of a name counts
    return query


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
