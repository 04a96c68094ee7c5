"""What went in and out, in all and by peer, in the shapes the API shows."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

MAX_PEERS: Final = 10_000
"""Peers counted one by one; the one not heard of for longest is forgotten first."""

MAX_KINDS: Final = 64
"""Kinds of misbehaviour counted one by one; there are about twenty."""

MAX_ADDRESSES: Final = 1000
"""Remote addresses whose failed handshakes are counted one by one."""


@dataclass(slots=True)
class Direction:
    """Counters of one direction; a packet is a request or a response."""

    total_packets: int = 0
    total_bytes: int = 0
    failed_packets: int = 0
    unknown_packets: int = 0
    unknown_bytes: int = 0
    peers: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def packet(self, idurl: str) -> None:
        """Count one packet of a peer."""
        self.total_packets += 1
        _count(self.peers, idurl, MAX_PEERS)

    def shown(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "total_packets": self.total_packets,
            "total_bytes": self.total_bytes,
            "failed_packets": self.failed_packets,
            "unknown_packets": self.unknown_packets,
            "unknown_bytes": self.unknown_bytes,
            "peers": dict(self.peers),
        }


class Statistics:
    """All counters of a network."""

    def __init__(self) -> None:
        self.incoming = Direction()
        self.outgoing = Direction()
        self.misbehaviours: OrderedDict[str, int] = OrderedDict()
        """By kind of violation."""
        self.misbehaving_peers: OrderedDict[str, int] = OrderedDict()
        """By IDURL where the peer was proven, by remote address otherwise."""
        self.refused_connections: OrderedDict[str, int] = OrderedDict()
        """By bound that was reached."""

    def misbehaviour(self, kind: str, who: str) -> None:
        """Count a violation by a peer (IDURL) or an unproven remote address."""
        _count(self.misbehaviours, kind, MAX_KINDS)
        _count(self.misbehaving_peers, who, MAX_ADDRESSES)

    def refused(self, bound: str) -> None:
        """Count an inbound connection that was one too many."""
        _count(self.refused_connections, bound, MAX_KINDS)

    def packets_stats(self) -> dict[str, Any]:
        """The shape of `packets_stats`: both directions, and what strangers and peers did wrong."""
        return {
            "in": self.incoming.shown(),
            "out": self.outgoing.shown(),
            "misbehaviours": dict(self.misbehaviours),
            "misbehaving_peers": dict(self.misbehaving_peers),
            "refused_connections": dict(self.refused_connections),
        }


def _count(counts: OrderedDict[str, int], key: str, bound: int) -> None:
    counts[key] = counts.get(key, 0) + 1
    counts.move_to_end(key)
    if len(counts) > bound:
        counts.popitem(last=False)
