"""What DHT calls give back, and the same in the shapes of the public API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DhtNode:
    """A node of the DHT.

    Args:
        node_id: its 20 bytes.
        host: IP address.
        port: UDP port.
    """

    node_id: bytes
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``, with IPv6 addresses in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """How a write ended.

    Args:
        success: whether at least one node took all of it.
        key: the record's key.
        value: what was written.
        revision: the revision it got; the one that stands in the way when refused.
        copies: nodes that took the head of the record.
        closest_nodes: nodes near the record's place.
        reason: why it failed, empty on success.
    """

    success: bool
    key: str
    value: Any
    revision: int
    copies: int
    closest_nodes: tuple[DhtNode, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """How a read ended.

    Args:
        found: whether there is such a record.
        key: the record's key.
        value: the record, None when there is none.
        revision: its revision, 0 when there is none.
        written: wall clock of the change, seconds.
        expires: wall clock after which it is void, seconds; 0 for never.
        owner: Ed25519 public key it stands under, 32 bytes.
        cached: whether it comes from memory and not from the network.
        closest_nodes: nodes near the record's place, when there is none.
        reason: why there is none.
    """

    found: bool
    key: str
    value: Any = None
    revision: int = 0
    written: int = 0
    expires: int = 0
    owner: bytes = b""
    cached: bool = False
    closest_nodes: tuple[DhtNode, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class LayerCounts:
    """What this node did for one layer.

    Args:
        packets_in: answers that came.
        packets_out: questions asked and records put.
        cache: records of the layer held in memory.
    """

    packets_in: int = 0
    packets_out: int = 0
    cache: int = 0


@dataclass(frozen=True, slots=True)
class DhtStats:
    """Counters of a node's DHT.

    Args:
        my_id: 20 bytes.
        port: UDP port.
        bytes_in: bytes received since start.
        bytes_out: bytes sent since start.
        nodes: live nodes in the routing table.
        layers: by layer number.
        topics: topics announced by this node.
        kept: records this node puts again.
        packets_in: packets received since start.
        packets_out: packets sent since start.
        dropped: packets neither sent nor answered because of the limit of the own rate.
    """

    my_id: bytes
    port: int
    bytes_in: int
    bytes_out: int
    nodes: int
    topics: int
    kept: int
    layers: dict[int, LayerCounts] = field(default_factory=dict)
    packets_in: int = 0
    packets_out: int = 0
    dropped: int = 0


def node_rows(nodes: Sequence[DhtNode]) -> list[dict[str, str]]:
    """Nodes as the API shows them: ``[{"dht_id": hex, "address": "host:port"}]``."""
    return [{"dht_id": node.node_id.hex(), "address": node.address} for node in nodes]


def read_answer(my_id: bytes, result: ReadResult) -> dict[str, Any]:
    """The answer of ``dht/value/get``.

    Source: BitDust API, third generation, dht_value_get.
    """
    answer: dict[str, Any] = {
        "read": "success" if result.found else "failed",
        "my_dht_id": my_id.hex(),
        "key": result.key,
    }
    if result.found:
        answer["value"] = result.value
    else:
        answer["closest_nodes"] = node_rows(result.closest_nodes)
    return answer


def write_answer(my_id: bytes, result: WriteResult) -> dict[str, Any]:
    """The answer of ``dht/value/set``.

    Source: BitDust API, third generation, dht_value_set.
    """
    return {
        "write": "success" if result.success else "failed",
        "my_dht_id": my_id.hex(),
        "key": result.key,
        "value": result.value,
        "closest_nodes": node_rows(result.closest_nodes),
    }


def lookup_answer(my_id: bytes, lookup: str, nodes: Sequence[DhtNode]) -> dict[str, Any]:
    """The answer of ``dht/node/find``.

    Source: BitDust API, third generation, dht_node_find.
    """
    return {"my_dht_id": my_id.hex(), "lookup": lookup, "closest_nodes": node_rows(nodes)}
