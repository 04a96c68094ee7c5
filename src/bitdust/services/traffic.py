"""Requests that are under way between this node and others, for the lists of packets and transfers.

``ServicePort`` is the network as one service sees it: every request it sends and answers is entered
here while it lasts, and its handlers end with it, so that it can come up again on the same network.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from bitdust.clock import Clock
from bitdust.errors import ServiceOff
from bitdust.identity import IdentityDocument
from bitdust.network import (
    Body,
    Call,
    Chunk,
    ContactStatus,
    Endpoint,
    Handler,
    Network,
    NodeID,
    Reply,
    Response,
)

T = TypeVar("T")

INCOMING = "incoming"
OUTGOING = "outgoing"


@dataclass(slots=True)
class Packet:
    """One request under way.

    Args:
        number: counts up from 1.
        direction: ``incoming`` or ``outgoing``.
        command: the method, such as ``fragment.put``.
        node: the other node's id.
        object_name: what of it is asked for or given, empty for other requests.
        size: bytes of the body that goes out or, once it is known, comes in; -1 when unknown.
        done: bytes of an incoming body that were read so far.
        started: wall clock, seconds.
        timeout: seconds for the answer, 0 for requests of others.
        fetches: the body comes with the answer.
    """

    number: int
    direction: str
    command: str
    node: NodeID
    object_name: str
    size: int
    started: float
    timeout: float
    done: int = 0
    fetches: bool = False


class Traffic:
    """The requests under way of one node; as many as the network's own bounds allow.

    Args:
        clock: stamps them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._packets: dict[int, Packet] = {}
        self._last = 0

    def begin(
        self, direction: str, command: str, node: NodeID, name: str, size: int, timeout: float
    ) -> Packet:
        """Enter a request."""
        self._last += 1
        packet = Packet(
            self._last, direction, command, node, name, size, self._clock.now(), timeout
        )
        self._packets[packet.number] = packet
        return packet

    def end(self, packet: Packet) -> None:
        """It is over, in whatever way."""
        self._packets.pop(packet.number, None)

    def packets(self) -> list[Packet]:
        """All that are under way, oldest first."""
        return list(self._packets.values())


class _Answer(Response):
    """An answer whose body is counted while it is read."""

    __slots__ = ("_inner", "_packet", "_traffic")

    def __init__(self, inner: Response, traffic: Traffic, packet: Packet) -> None:
        # the parent's own parts stay unset: everything that touches them goes to ``inner``
        self.document = inner.document
        self.args = inner.args
        self._inner = inner
        self._traffic = traffic
        self._packet = packet
        if inner.body_size:
            packet.size = inner.body_size
            packet.fetches = True

    @property
    def body_size(self) -> int:
        return self._inner.body_size

    async def read(self, max_size: int) -> bytes:
        try:
            return await self._inner.read(max_size)
        finally:
            self._traffic.end(self._packet)

    async def read_into(self, memory: memoryview) -> int:
        count = await self._inner.read_into(memory)
        self._packet.done += count
        return count

    async def _count(self) -> AsyncIterator[Chunk]:
        async for chunk in self._inner:
            self._packet.done += memoryview(chunk).nbytes
            yield chunk

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._count()

    def close(self) -> None:
        self._traffic.end(self._packet)
        self._inner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class ServicePort:
    """A network, as ``bitdust.supply`` wants it.

    Args:
        network: the sessions.
        traffic: where requests are entered.
        taken: who answers which method, shared by all ports of one network.
    """

    def __init__(
        self, network: Network, traffic: Traffic, taken: dict[str, Handler | None]
    ) -> None:
        self._network = network
        self._traffic = traffic
        self._taken = taken
        self._methods: list[str] = []

    def close(self) -> None:
        """Answer no more; another port may."""
        for method in self._methods:
            self._taken[method] = None
        self._methods.clear()

    def handle(self, method: str, handler: Handler) -> None:
        """Answer a method.

        Raises:
            ValueError: another port answers it.
        """
        if self._taken.get(method) is not None:
            raise ValueError(f"method {method!r} is answered already")
        if method not in self._taken:  # the network keeps a method for ever
            self._network.handle(method, self._answer)
        self._taken[method] = handler
        self._methods.append(method)

    async def _answer(self, call: Call) -> Reply:
        handler = self._taken[call.method]
        if handler is None:
            raise ServiceOff("this node does not offer that now")
        packet = self._traffic.begin(INCOMING, call.method, call.peer, "", call.body_size, 0.0)
        try:
            return await handler(call)
        finally:
            self._traffic.end(packet)

    async def request(
        self, node_id: NodeID, method: str, args: Any = None, *, body: Body = b"", timeout: float
    ) -> Response:
        """See ``Network.request``."""
        name = str(getattr(args, "name", ""))
        packet = self._traffic.begin(OUTGOING, method, node_id, name, _size(body), timeout)
        try:
            response = await self._network.request(
                node_id, method, args, body=body, timeout=timeout
            )
        except BaseException:
            self._traffic.end(packet)
            raise
        if not response.body_size:
            self._traffic.end(packet)
        return _Answer(response, self._traffic, packet)

    async def dial(
        self, endpoint: Endpoint, expect: NodeID | None = None, timeout: float = 10.0
    ) -> IdentityDocument:
        """See ``Network.dial``."""
        return await self._network.dial(endpoint, expect, timeout)

    async def ping(self, node_id: NodeID, timeout: float) -> None:
        """See ``Network.ping``."""
        await self._network.ping(node_id, timeout)

    def learn(self, document: IdentityDocument) -> None:
        """See ``Network.learn``."""
        self._network.learn(document)

    def keep(self, node_id: NodeID) -> None:
        """See ``Network.keep``."""
        self._network.keep(node_id, self)

    def release(self, node_id: NodeID) -> None:
        """See ``Network.release``."""
        self._network.release(node_id, self)

    def document_of(self, node_id: NodeID) -> IdentityDocument | None:
        """See ``Network.document_of``."""
        return self._network.document_of(node_id)

    def status(self, node_id: NodeID) -> ContactStatus:
        """See ``Network.status``."""
        return self._network.status(node_id)


def _size(body: Body) -> int:
    if isinstance(body, bytes | bytearray | memoryview):
        return len(body)
    if isinstance(body, AsyncIterator):
        return -1
    return sum(memoryview(chunk).nbytes for chunk in body)
