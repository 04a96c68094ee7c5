"""The WebSocket interface: calls and their answers, and every event of the node as it happens.

A client sends ``{"command": "api_call", "method", "kwargs", "call_id"}`` and receives
``{"type": "api_call", "payload": {"call_id", "response"}}``, alone. Events come to all clients as
``{"type": "event", "payload": {"event_id", "data"}}``, and messages, sent and received, as
``{"type": "stream_message", "payload": {"conversation_id", "direction", "payload", …}}``.

Source: BitDust API, third generation, WebSocket and Access.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from bitdust.api.dispatch import dispatch, note_internal_failure
from bitdust.api.messages import message_view
from bitdust.api.registry import Registry
from bitdust.errors import BitdustError
from bitdust.events import Event, EventBus
from bitdust.servers.encoding import decode_object, encode
from bitdust.servers.guard import is_local_origin, is_own_host, is_secret
from bitdust.servers.sockets import listen_on_loopback

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.messaging import Message

MAX_MESSAGE = 1024 * 1024
"""Bytes of the longest message from a client."""
MAX_CLIENTS = 1024
MAX_FIELDS = 16
"""Query arguments of a handshake."""
MAX_CALLS = 32
"""Calls of one client that may run at one time; further messages wait unread."""
MAX_OUTGOING = 200
"""Messages that may wait for a client; one that leaves more unread is dropped."""
MAX_WRITE_BUFFER = 256 * 1024
MAX_PUSHED = 10_000
"""Events that may wait between two pushes."""
PUSH_EVERY = 0.02
"""Seconds between two pushes of events; the first after a silence goes at once."""
PUSH_PER_CLIENT = 0.0001
"""Seconds that each client adds to that pause: what a push costs grows with them, on both sides."""
PUSH_AT_ONCE = 250
"""Clients that are served in one turn of the loop."""
SLOW_CLIENT = 1013
"""Close code for a client that does not read (RFC 6455 registry: try again later)."""
SLOW_REASON = "too slow: messages were not read"
SLOW_GRACE = 5.0
"""Seconds that a slow client has to read why it is dropped."""

PORT_SETTING = "interface/api/web-socket-port"


class _Client:
    """One connection: its outgoing queue and its running calls."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.outgoing: asyncio.Queue[bytes] = asyncio.Queue(MAX_OUTGOING)
        self.calls: set[asyncio.Task[None]] = set()
        self.free = asyncio.Semaphore(MAX_CALLS)
        self.slow = asyncio.Event()

    def push_all(self, messages: list[bytes], frames: bytes) -> None:
        """Send what goes to every client: at once to one that keeps up, else through the queue.

        Args:
            messages: what is sent.
            frames: the same, ready for the wire; servers do not mask, so all clients get one.
        """
        transport = self.connection.transport
        if self.connection.state is not State.OPEN or transport.is_closing():
            return
        if self.outgoing.empty() and transport.get_write_buffer_size() < MAX_WRITE_BUFFER:
            transport.write(frames)
        else:
            for message in messages:
                self.push(message)

    def push(self, message: bytes) -> None:
        """Queue a message; marks the client as slow when there is no room."""
        try:
            self.outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self.slow.set()


class WebSocketServer:
    """Serves a registry and the event bus over WebSocket on the loopback interface.

    Args:
        node: what operations act on.
        registry: the operations.
        port: TCP port, 0 for any free one.
        secret: what callers must give as query argument ``api_secret`` or ``a``; None for no check.
    """

    def __init__(self, node: Node, registry: Registry, *, port: int, secret: str | None) -> None:
        self._node = node
        self._registry = registry
        self._secret = secret
        self.port = port
        self._server: Server | None = None
        self._pumps: tuple[asyncio.Task[None], ...] = ()
        self._clients: set[_Client] = set()
        self._messages_bus = EventBus(node.clock.now)
        self._silence: Callable[[], None] | None = None
        self._log = structlog.get_logger("websocket")

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    async def start(self) -> int:
        """Begin to serve.

        Returns:
            The port.

        Raises:
            PortInUse: the port is taken.
        """
        listener = listen_on_loopback(self.port, PORT_SETTING)
        self.port = listener.getsockname()[1]
        self._server = await serve(
            self._converse,
            sock=listener,
            process_request=self._admit,
            max_size=MAX_MESSAGE,
            max_queue=4,
            write_limit=MAX_WRITE_BUFFER,
            server_header=None,
            compression=None,
            logger=_quiet_logger(),
        )
        self._silence = self._node.message_stream.listen(self._on_message)
        self._pumps = (
            asyncio.create_task(self._push(self._node.events, _event), name="websocket events"),
            asyncio.create_task(self._push(self._messages_bus, _stream_message), name="messages"),
            asyncio.create_task(self._push(self._node.models.bus, _model), name="websocket models"),
        )
        self._log.info("websocket interface is up", port=self.port)
        return self.port

    async def stop(self) -> None:
        """Close all connections, end their calls and stop listening."""
        if self._silence is not None:
            self._silence()
            self._silence = None
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._server = None
        self._pumps = ()

    def _on_message(self, message: Message) -> bool:
        if not self._clients:
            return False
        self._messages_bus.publish("stream_message", **message_view(message))
        return True

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = _secret_in(request.path)
        hosts = request.headers.get_all("Host")
        origins = request.headers.get_all("Origin")
        reason = ""
        if len(hosts) != 1 or not is_own_host(hosts[0], self.port):
            reason = "host"
        elif not all(is_local_origin(origin) for origin in origins):
            reason = "origin"
        elif not is_secret(given, self._secret):
            reason = "secret"
        if reason:
            self._node.events.publish("web-socket-access-denied", reason=reason)
            return connection.respond(HTTPStatus.FORBIDDEN, "access denied\n")
        if len(self._clients) >= MAX_CLIENTS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        client = _Client(connection)
        self._clients.add(client)
        tasks = {
            asyncio.create_task(self._read(client), name="websocket reader"),
            asyncio.create_task(self._write(client), name="websocket writer"),
            asyncio.create_task(client.slow.wait(), name="websocket watch"),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(client)
            running = tasks | client.calls
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if client.slow.is_set():
            await self._drop(connection)

    async def _drop(self, connection: ServerConnection) -> None:
        """End a connection whose client does not read, and say why behind what it has not read."""
        self._log.info("a client was dropped", reason=SLOW_REASON)
        transport = connection.transport
        if connection.state is State.OPEN and not transport.is_closing():
            transport.write(_close_frame(SLOW_CLIENT, SLOW_REASON))
            transport.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), SLOW_GRACE)
        transport.abort()

    async def _read(self, client: _Client) -> None:
        with suppress(ConnectionClosed):
            while True:
                await client.free.acquire()
                message = await client.connection.recv()
                task = asyncio.create_task(self._serve_message(client, message), name="call")
                client.calls.add(task)
                task.add_done_callback(client.calls.discard)
                task.add_done_callback(lambda _: client.free.release())

    async def _write(self, client: _Client) -> None:
        with suppress(ConnectionClosed):
            while True:
                message = await client.outgoing.get()
                await client.connection.send(message, text=True)

    async def _serve_message(self, client: _Client, message: str | bytes) -> None:
        payload = await self._payload(message)
        if payload is not None:
            client.push(self._encode(payload))

    async def _payload(self, message: str | bytes) -> dict[str, Any] | None:
        """The answer to one message; None where BitDust keeps silent too."""
        try:
            request = decode_object(message)
        except BitdustError as exc:
            return {"call_id": None, "errors": [exc.message], "code": exc.code}
        if request.get("command") != "api_call":
            return None
        call_id = request.get("call_id")
        method, arguments = request.get("method"), request.get("kwargs")
        if not isinstance(method, str) or not method:
            return {"call_id": call_id, "errors": ["api method name was not provided"]}
        if arguments is not None and not isinstance(arguments, Mapping):
            return {"call_id": call_id, "errors": ["kwargs: must be a JSON object"]}
        try:
            called = self._registry.named(method)
        except BitdustError as exc:
            return {"call_id": call_id, "errors": ["invalid api method name"], "hint": exc.hint}
        response = await dispatch(self._node, called, arguments or {})
        return {"call_id": call_id, "response": response}

    def _encode(self, payload: dict[str, Any]) -> bytes:
        try:
            return encode({"type": "api_call", "payload": payload}, pretty=False)
        except (TypeError, ValueError):
            response = note_internal_failure(self._node, "websocket answer")
            answer = {"call_id": payload["call_id"], "response": response}
            return encode({"type": "api_call", "payload": answer}, pretty=False)

    async def _push(self, bus: EventBus, shape: Callable[[Event], dict[str, Any]]) -> None:
        """Send everything that a bus publishes to all clients."""
        subscription = bus.subscribe(MAX_PUSHED)
        try:
            while True:
                events = await subscription.collect()
                if subscription.dropped:
                    self._log.warning("more was published than can be pushed; some was lost")
                    subscription = bus.subscribe(MAX_PUSHED)
                if self._clients:
                    messages = self._messages(events, shape)
                    frames = b"".join(map(_frame, messages))
                    for number, client in enumerate(list(self._clients), 1):
                        client.push_all(messages, frames)
                        if not number % PUSH_AT_ONCE:
                            await asyncio.sleep(0)
                await asyncio.sleep(PUSH_EVERY + PUSH_PER_CLIENT * len(self._clients))
        finally:
            bus.unsubscribe(subscription)

    def _messages(
        self, events: list[Event], shape: Callable[[Event], dict[str, Any]]
    ) -> list[bytes]:
        messages = []
        for event in events:
            try:
                messages.append(encode(shape(event), pretty=False))
            except (TypeError, ValueError):
                self._log.exception("an event is not JSON", event_id=event.event_id)
        return messages


def _frame(message: bytes) -> bytes:
    """A text message as one unmasked frame (RFC 6455, section 5.2)."""
    size = len(message)
    if size < 126:
        return bytes((0x81, size)) + message
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


def _close_frame(code: int, reason: str) -> bytes:
    """A close frame (RFC 6455, section 5.5.1)."""
    body = code.to_bytes(2, "big") + reason.encode()
    return bytes((0x88, len(body))) + body


def _event(event: Event) -> dict[str, Any]:
    return {"type": "event", "payload": {"event_id": event.event_id, "data": event.data}}


def _stream_message(event: Event) -> dict[str, Any]:
    return {"type": "stream_message", "payload": event.data}


def _model(event: Event) -> dict[str, Any]:
    return {"type": "model", "payload": event.data}


def _secret_in(target: str) -> str | None:
    try:
        query = parse_qs(urlsplit(target).query, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return next(iter(query.get("api_secret") or query.get("a") or ()), None)


def _quiet_logger() -> Any:
    """A logger for the library, whose notes about broken handshakes are not ours to repeat."""
    import logging

    logger = logging.Logger("websockets.server.quiet", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger
