"""A network in memory: named hosts, latency, rates, partitions, cut and damaged bytes.

It works on any event loop, and on the virtual one with virtual time:

    net = MemoryNetwork()
    a, b = net.transport("a"), net.transport("b")   # each implements bitdust.network.Transport
    net.set_link("a", "b", latency=0.05, rate=1e6)
    net.partition("a", "b")                          # nothing passes, nobody is told
    net.cut("a", "b")                                # connections break
    net.tamper = lambda source, target, data: data   # see and change all bytes
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bitdust.errors import PeerUnreachable, PortInUse
from bitdust.network import Accept, Chunk, Endpoint, LinkHandler

HIGH_WATER = 1024 * 1024
LOW_WATER = 256 * 1024
FIRST_FREE_PORT = 40_000


@dataclass(frozen=True, slots=True)
class CutAfter:
    """A tamper hook's order to let these bytes arrive and then break the connection."""

    data: bytes


Tamper: TypeAlias = Callable[[str, str, bytes], bytes | CutAfter]
"""Called with sending host, receiving host and bytes on their way; gives what arrives instead."""


@dataclass(slots=True)
class _Path:
    latency: float = 0.0
    rate: float = 0.0  # bytes per second, 0 for no limit


class MemoryLink:
    """One end of a connection in memory."""

    def __init__(
        self,
        network: MemoryNetwork,
        owner: MemoryTransport,
        remote_host: str,
        remote: Endpoint,
        handler: LinkHandler,
        listener_certificate: bytes,
    ) -> None:
        self.remote = remote
        self.listener_certificate = listener_certificate
        self.dialler_certificate = b""
        self.host = owner.host
        self.remote_host = remote_host
        self.handler = handler
        self.peer: MemoryLink | None = None
        self._network = network
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._flying: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.Handle | None = None
        self._in_flight = 0
        self._asked_to_pause = False
        self._reading = True
        self._open = True
        self._closing = False
        self._free_at = 0.0
        owner.links.add(self)

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Send bytes; what waits or travels counts against the high-water mark."""
        if not self._open or self._closing or self.peer is None:
            return
        data = b"".join(chunks)
        if data:
            self._in_flight += len(data)
            self._send(data)
            if self._in_flight > HIGH_WATER and not self._asked_to_pause:
                self._asked_to_pause = True
                self.handler.pause_writing()

    def pause_reading(self) -> None:
        """Keep what arrives."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver what was kept and what arrives."""
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._deliver)

    def close(self) -> None:
        """End after what was written has arrived."""
        if self._open and not self._closing:
            self._closing = True
            self._send(None)
            self._loop.call_soon(self.break_, None)

    def abort(self) -> None:
        """End at once; what has not arrived is lost."""
        if self._open:
            self._closing = True
            self._flying.clear()
            self._send(None)
            self._loop.call_soon(self.break_, None)

    def break_(self, error: Exception | None) -> None:
        """The end of this side."""
        if self._open:
            self._deliver()
            self._open = False
            self._owner.links.discard(self)
            self.handler.connection_lost(error)

    def move(self) -> None:
        """Let everything arrive whose time has come, in order."""
        self._timer = None
        peer = self.peer
        now = self._loop.time()
        while self._flying and peer is not None:
            if self._network.is_partitioned(self.host, self.remote_host):
                return  # as TCP does, tried again once the way is free
            due, data = self._flying[0]
            if due > now:
                self._timer = self._loop.call_at(due, self.move)
                return
            self._flying.popleft()
            if data is None:
                peer.break_(None)
                return
            arrived = self._network.tamper(self.host, self.remote_host, data)
            if isinstance(arrived, CutAfter):
                peer.arrive(arrived.data, len(data))
                error = ConnectionResetError("broken on the way")
                self.break_(error)
                peer.break_(error)
                return
            peer.arrive(arrived, len(data))

    def arrive(self, data: bytes, size: int) -> None:
        """Take bytes; ``size`` is what their sender counts them as."""
        if self._open:
            self._inbox.append((data, size))
            self._deliver()

    def _send(self, data: bytes | None) -> None:
        path = self._network.path(self.host, self.remote_host)
        now = self._loop.time()
        size = len(data) if data is not None else 0
        self._free_at = max(now, self._free_at) + (size / path.rate if path.rate else 0.0)
        self._flying.append((self._free_at + path.latency, data))
        if self._timer is None:
            self._timer = self._loop.call_soon(self.move)

    def _deliver(self) -> None:
        while self._inbox and self._reading and self._open:
            data, size = self._inbox.popleft()
            if self.peer is not None:
                self.peer._arrived(size)
            if data:
                self.handler.data_received(data)

    def _arrived(self, size: int) -> None:
        self._in_flight -= size
        if self._asked_to_pause and self._in_flight < LOW_WATER and self._open:
            self._asked_to_pause = False
            self._loop.call_soon(self._resume_writing)

    def _resume_writing(self) -> None:
        if self._open:
            self.handler.resume_writing()


class MemoryTransport:
    """The transport of one host; as ``bitdust.network.Transport``."""

    proto = "tcp"

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.host = host
        self.fingerprint = hashlib.sha256(b"certificate of " + host.encode()).digest()
        self.links: set[MemoryLink] = set()
        self._network = network
        self._ports: list[int] = []

    async def listen(self, endpoint: Endpoint, accept: Accept) -> Endpoint:
        """Take connections to this host, whatever host the endpoint names."""
        port = self._network.open_port(self, endpoint.port, accept)
        self._ports.append(port)
        return Endpoint(self.proto, self.host, port)

    async def dial(self, endpoint: Endpoint, handler: LinkHandler, timeout: float) -> None:
        """Connect to ``tcp://<host name>:port``."""
        await self._network.connect(self, endpoint, handler, timeout)

    async def stop(self) -> None:
        """Listen no more and end every link that is left."""
        for port in self._ports:
            self._network.close_port(self.host, port)
        self._ports.clear()
        for link in list(self.links):
            link.abort()
        await asyncio.sleep(0)


class MemoryNetwork:
    """All hosts and what lies between them. Attributes: ``tamper``, see ``Tamper``."""

    def __init__(self) -> None:
        self.tamper: Tamper = lambda source, target, data: data
        self._transports: dict[str, MemoryTransport] = {}
        self._listening: dict[tuple[str, int], tuple[MemoryTransport, Accept]] = {}
        self._partitions: set[frozenset[str]] = set()
        self._paths: dict[frozenset[str], _Path] = {}
        self._default = _Path()
        self._next_port = FIRST_FREE_PORT

    def transport(self, host: str) -> MemoryTransport:
        """The transport of a host, made when it is asked for the first time."""
        if host not in self._transports:
            self._transports[host] = MemoryTransport(self, host)
        return self._transports[host]

    def set_link(self, a: str, b: str, *, latency: float = 0.0, rate: float = 0.0) -> None:
        """Set seconds of latency and bytes per second (0: no limit), in both directions."""
        self._paths[frozenset((a, b))] = _Path(latency, rate)

    def partition(self, a: str, b: str) -> None:
        """Let nothing pass between two hosts; connections are not told."""
        self._partitions.add(frozenset((a, b)))

    def heal(self, a: str, b: str) -> None:
        """Let everything pass again, what was held up included."""
        self._partitions.discard(frozenset((a, b)))
        for host in (a, b):
            for link in list(self.transport(host).links):
                link.move()

    def cut(self, a: str, b: str) -> int:
        """Break all connections between two hosts; how many."""
        links = [link for link in self._transports[a].links if link.remote_host == b]
        for link in links:
            error = ConnectionResetError("cut")
            peer = link.peer
            link.break_(error)
            if peer is not None:
                peer.break_(error)
        return len(links)

    def is_partitioned(self, a: str, b: str) -> bool:
        """Whether nothing passes."""
        return frozenset((a, b)) in self._partitions

    def path(self, a: str, b: str) -> _Path:
        """Latency and rate between two hosts."""
        return self._paths.get(frozenset((a, b)), self._default)

    def open_port(self, transport: MemoryTransport, port: int, accept: Accept) -> int:
        """Listen on a port of a host, 0 for any."""
        if not port:
            port = self._next_port
            self._next_port += 1
        if (transport.host, port) in self._listening:
            raise PortInUse(f"port {port} on {transport.host} is in use")
        self._listening[transport.host, port] = (transport, accept)
        return port

    def close_port(self, host: str, port: int) -> None:
        """Listen no more."""
        self._listening.pop((host, port), None)

    async def connect(
        self, source: MemoryTransport, endpoint: Endpoint, handler: LinkHandler, timeout: float
    ) -> None:
        """Connect two hosts."""
        path = self.path(source.host, endpoint.host)
        if self.is_partitioned(source.host, endpoint.host):
            await asyncio.sleep(timeout)
            raise PeerUnreachable(f"no answer from {endpoint} within {timeout:g} s")
        await asyncio.sleep(2 * path.latency)
        found = self._listening.get((endpoint.host, endpoint.port))
        if found is None:
            raise PeerUnreachable(f"cannot connect to {endpoint}: connection refused")
        target, accept = found
        remote = Endpoint(source.proto, source.host, 0)
        other = accept(remote)
        if other is None:
            raise PeerUnreachable(f"cannot connect to {endpoint}: connection reset")
        here = MemoryLink(self, source, target.host, endpoint, handler, target.fingerprint)
        there = MemoryLink(self, target, source.host, remote, other, target.fingerprint)
        here.peer, there.peer = there, here
        here.handler.connection_made(here)
        there.handler.connection_made(there)
