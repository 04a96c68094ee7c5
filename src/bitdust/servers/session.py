"""Conversations over a line that carries messages: calls and their answers, and all that happens.

What the WebSocket interface and the doors for remote devices have in common. A client sends
``{"command": "api_call", "method", "kwargs", "call_id"}`` and receives
``{"type": "api_call", "payload": {"call_id", "response"}}``, alone. Events come to all clients as
``{"type": "event", "payload": {"event_id", "data"}}``, and messages, sent and received, as
``{"type": "stream_message", "payload": {"conversation_id", "direction", "payload", …}}``.

Source: BitDust API, third generation, WebSocket and Access.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from websockets.exceptions import ConnectionClosed

from bitdust.api.dispatch import dispatch, note_internal_failure
from bitdust.api.envelope import failure
from bitdust.api.messages import message_view
from bitdust.api.registry import Operation, Registry
from bitdust.errors import BitdustError
from bitdust.events import Event, EventBus
from bitdust.servers.encoding import decode_object, encode

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.messaging import Message

MAX_CALLS = 32
"""Calls of one client that may run at one time; further messages wait unread."""
MAX_OUTGOING = 200
"""Messages that may wait for a client; one that leaves more unread is dropped."""
MAX_PUSHED = 10_000
"""Events that may wait between two pushes."""
PUSH_EVERY = 0.02
"""Seconds between two pushes of events; the first after a silence goes at once."""
PUSH_PER_CLIENT = 0.0001
"""Seconds that each client adds to that pause: what a push costs grows with them, on both sides."""
PUSH_AT_ONCE = 250
"""Clients that are served in one turn of the loop."""

Guard = Callable[[Operation[..., Any], Mapping[str, Any]], Awaitable[None]]
"""Raises a documented error when a client may not make this call."""


class Line(Protocol):
    """What carries the messages of one client.

    ``recv`` and ``send`` raise ``ConnectionClosed`` or a documented error at the end.
    """

    async def recv(self) -> str | bytes:
        """The client's next message."""
        ...

    async def send(self, message: bytes) -> None:
        """Send a message; waits while the client does not keep up."""
        ...

    def push(self, frames: bytes) -> bool:
        """Send text frames at once, if the client is that fast and the line carries them as they
        are; False when the messages in them must be sent one by one."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether something can still be sent."""
        ...

    async def drop(self) -> None:
        """End the line to a client that does not read, and tell it why."""
        ...


class Client:
    """One client: its line, its outgoing queue and its running calls.

    Args:
        line: to it.
        guard: what it may not call; None when it may call everything.
    """

    def __init__(self, line: Line, guard: Guard | None) -> None:
        self.line = line
        self.guard = guard
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
        if not self.line.is_open:
            return
        if not (self.outgoing.empty() and self.line.push(frames)):
            for message in messages:
                self.push(message)

    def push(self, message: bytes) -> None:
        """Queue a message; marks the client as slow when there is no room."""
        try:
            self.outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self.slow.set()


class Sessions:
    """All clients of one interface.

    Args:
        node: what operations act on.
        registry: the operations.
    """

    def __init__(self, node: Node, registry: Registry) -> None:
        self._node = node
        self._registry = registry
        self._pumps: tuple[asyncio.Task[None], ...] = ()
        self._clients: set[Client] = set()
        self._messages_bus = EventBus(node.clock.now)
        self._silence: Callable[[], None] | None = None
        self._log = structlog.get_logger("websocket")

    def __len__(self) -> int:
        return len(self._clients)

    def start(self) -> None:
        """Begin to pass on what happens."""
        self._silence = self._node.message_stream.listen(self._on_message)
        self._pumps = (
            asyncio.create_task(self._push(self._node.events, _event), name="websocket events"),
            asyncio.create_task(self._push(self._messages_bus, _stream_message), name="messages"),
            asyncio.create_task(self._push(self._node.models.bus, _model), name="websocket models"),
        )

    async def stop(self) -> None:
        """Pass on nothing more; conversations end with their lines."""
        if self._silence is not None:
            self._silence()
            self._silence = None
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._pumps = ()

    def _on_message(self, message: Message) -> bool:
        if not self._clients:
            return False
        self._messages_bus.publish("stream_message", **message_view(message))
        return True

    async def converse(self, line: Line, guard: Guard | None = None) -> None:
        """Serve one client until its line ends.

        Args:
            line: to it.
            guard: what it may not call.
        """
        client = Client(line, guard)
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
            self._log.info("a client was dropped, since it did not read")
            await line.drop()

    async def _read(self, client: Client) -> None:
        with suppress(ConnectionClosed, BitdustError):
            while True:
                await client.free.acquire()
                message = await client.line.recv()
                task = asyncio.create_task(self._serve_message(client, message), name="call")
                client.calls.add(task)
                task.add_done_callback(client.calls.discard)
                task.add_done_callback(lambda _: client.free.release())

    async def _write(self, client: Client) -> None:
        with suppress(ConnectionClosed, BitdustError):
            while True:
                message = await client.outgoing.get()
                await client.line.send(message)

    async def _serve_message(self, client: Client, message: str | bytes) -> None:
        payload = await self._payload(message, client.guard)
        if payload is not None:
            client.push(self._encode(payload))

    async def _payload(self, message: str | bytes, guard: Guard | None) -> dict[str, Any] | None:
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
        if guard is not None:
            try:
                await guard(called, arguments or {})
            except BitdustError as exc:
                return {"call_id": call_id, "response": failure(exc)}
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


def _event(event: Event) -> dict[str, Any]:
    return {"type": "event", "payload": {"event_id": event.event_id, "data": event.data}}


def _stream_message(event: Event) -> dict[str, Any]:
    return {"type": "stream_message", "payload": event.data}


def _model(event: Event) -> dict[str, Any]:
    return {"type": "model", "payload": event.data}
