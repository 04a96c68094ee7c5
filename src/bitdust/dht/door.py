"""The door of a private DHT node: a fixed port that tells newcomers where the node itself is.

libtorrent gives a node a new id at every start and has no way to keep one on private addresses. An
id and the port it is heard on must therefore be born and die together: where a restarted node
answered on the old port under a new id, the others' searches took the old id for somebody new again
with every answer, and never ended. So the node itself listens on a port of its own, new at every
start, and this door, which is no member of the DHT, keeps the port that others have written down.

The port that the node had before its restart gets a door that refuses: a refusal makes the others
drop the dead node at once, for which they would else wait 15 seconds in the midst of a search.

Source: BEP 5 (queries and compact node lists); docs/spec/dht.md.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import libtorrent as lt
import structlog
from blake3 import blake3

from bitdust.dht.results import DhtNode
from bitdust.errors import DhtError, FormatError, PortInUse

MAX_QUERY: Final = 1500
MAX_TRANSACTION: Final = 32
MAX_NODES: Final = 8
ANSWERS_PER_SECOND: Final = 200
ID_SIZE: Final = 20

_QUERIES: Final = (b"ping", b"find_node", b"get_peers", b"get", b"sample_infohashes")
_log = structlog.get_logger(component="dht.door")


def compact(nodes: Iterable[DhtNode], *, v6: bool) -> bytes:
    """Nodes as BEP 5 (IPv4) and BEP 32 (IPv6) write them; those of the other kind are left out."""
    rows = []
    for node in nodes:
        address = ipaddress.ip_address(node.host)
        if (address.version == 6) == v6 and 0 < node.port < 65536:
            rows.append(node.node_id + address.packed + node.port.to_bytes(2, "big"))
    return b"".join(rows[:MAX_NODES])


def read_query(data: bytes) -> bytes:
    """The transaction of a query that a door answers.

    Raises:
        FormatError: it is no such query.
    """
    try:
        message: Any = lt.bdecode(data) if len(data) <= MAX_QUERY else None
    except RuntimeError as exc:
        raise FormatError("a DHT packet is not bencoded") from exc
    if not isinstance(message, dict) or message.get(b"y") != b"q":
        raise FormatError("a DHT packet is not a query")
    transaction = message.get(b"t")
    if not isinstance(transaction, bytes) or not 0 < len(transaction) <= MAX_TRANSACTION:
        raise FormatError("a DHT query has no proper transaction")
    if message.get(b"q") not in _QUERIES:
        raise FormatError("a DHT query asks for what only a node answers")
    return transaction


def make_answer(transaction: bytes, door_id: bytes, nodes: Sequence[DhtNode], *, v6: bool) -> bytes:
    """The answer to any query: who I am, and whom to ask instead."""
    key = b"nodes6" if v6 else b"nodes"
    answer: dict[Any, Any] = {b"id": door_id, key: compact(nodes, v6=v6)}
    whole: dict[Any, Any] = {b"r": answer, b"t": transaction, b"y": b"r"}
    return lt.bencode(whole)


def make_refusal(transaction: bytes) -> bytes:
    """The answer of a port whose node is gone."""
    whole: dict[Any, Any] = {b"e": [201, b"this node is gone"], b"t": transaction, b"y": b"e"}
    return lt.bencode(whole)


class Door(asyncio.DatagramProtocol):
    """Answers newcomers on a fixed port.

    Args:
        nodes: gives the nodes to name, the own one first; its host is replaced by the address that
            the newcomer can reach where it is unspecified. None refuses everybody.
    """

    def __init__(self, nodes: Callable[[], Sequence[DhtNode]] | None) -> None:
        self._nodes = nodes
        self._id = bytes(ID_SIZE)
        self._transport: asyncio.DatagramTransport | None = None
        self._second = 0
        self._answered = 0
        self.port = 0

    async def open(self, interface: str, port: int) -> None:
        """Begin to answer.

        Raises:
            PortInUse: the port is taken.
            DhtError: the interface does not exist.
        """
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        own = socket.socket(family, socket.SOCK_DGRAM)
        try:
            # Bound here and not by the loop, whose kinds differ in how they say what is wrong.
            own.setblocking(False)
            own.bind((interface, port))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, sock=own
            )
        except OSError as exc:
            own.close()
            if exc.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"the DHT port {interface}:{port} is taken by another program",
                    hint="choose another one with `services/entangled-dht/udp-port`",
                ) from exc
            raise DhtError(f"the DHT cannot listen on {interface}:{port}: {exc.strerror}") from exc
        self._transport = transport
        self.port = int(transport.get_extra_info("sockname")[1])
        self._id = blake3(f"{interface}:{self.port}".encode()).digest(length=ID_SIZE)

    def close(self) -> None:
        """Answer no more."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer one packet; what is no query is dropped."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._answered = second, 0
        if self._transport is None or self._answered >= ANSWERS_PER_SECOND:
            return
        try:
            transaction = read_query(data)
        except FormatError as exc:
            _log.debug("packet dropped", reason=exc.message)
            return
        self._answered += 1
        host = str(addr[0]).partition("%")[0]
        if self._nodes is None:
            answer = make_refusal(transaction)
        else:
            nodes = [_reachable(node, host) for node in self._nodes()]
            answer = make_answer(transaction, self._id, nodes, v6=":" in host)
        self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """Somebody who asked is gone."""
        _log.debug("answer not delivered", reason=str(exc)[:100])


def _reachable(node: DhtNode, asker: str) -> DhtNode:
    if not ipaddress.ip_address(node.host).is_unspecified:
        return node
    family = socket.AF_INET6 if ":" in asker else socket.AF_INET
    # connecting a datagram socket sends nothing: it only asks the routing table
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((asker, 9))
            return DhtNode(node.node_id, str(probe.getsockname()[0]).partition("%")[0], node.port)
        except OSError:
            return node
