"""Connections between nodes: proof of identity, streams, requests, contacts, statistics.

The protocol core (``frames``, ``messages``, ``handshake``, ``streams``, ``stream_table``,
``scheduler``, ``receiver``, ``session``) is pure; ``connection`` and ``exchanges`` bind it to a
transport and to handlers; ``network`` is the service the rest of the program uses. The wire is
described in docs/spec/wire.md.
"""

from bitdust.network.body import Body
from bitdust.network.calls import Call, Handler, Reply, Response
from bitdust.network.certificate import Certificate
from bitdust.network.contacts import ContactState, ContactStatus
from bitdust.network.frames import Chunk
from bitdust.network.limits import Limits, SessionLimits
from bitdust.network.network import Network, Resolver
from bitdust.network.tcp import TcpTransport
from bitdust.network.transport import Accept, Endpoint, Link, LinkHandler, NodeID, Transport

__all__ = [
    "Accept",
    "Body",
    "Call",
    "Certificate",
    "Chunk",
    "ContactState",
    "ContactStatus",
    "Endpoint",
    "Handler",
    "Limits",
    "Link",
    "LinkHandler",
    "Network",
    "NodeID",
    "Reply",
    "Resolver",
    "Response",
    "SessionLimits",
    "TcpTransport",
    "Transport",
]
