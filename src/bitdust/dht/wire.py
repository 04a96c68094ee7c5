"""The few things records need of a DHT, whatever carries them.

``LibtorrentWire`` is the real one; ``bitdust.testing`` has one in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from bitdust.dht.results import DhtNode

MAX_PEERS: Final = 256
"""Announced addresses taken from one lookup."""
CLOSEST: Final = 8
"""Nodes shown as the closest ones, Kademlia's k."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Item:
    """A BEP 44 mutable item as it came from the network; nothing in it is proven.

    Args:
        public_key: 32 bytes.
        salt: at most 64 bytes.
        seq: its sequence number.
        value: its byte string.
        signature: 64 bytes.
    """

    public_key: bytes
    salt: bytes
    seq: int
    value: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of a wire: bytes and packets since start, and nodes known now.

    ``dropped`` counts packets that the limit of the own rate kept from being sent or answered.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    nodes: int = 0
    packets_in: int = 0
    packets_out: int = 0
    dropped: int = 0


class Wire(Protocol):
    """A DHT node without any knowledge of records."""

    @property
    def my_id(self) -> bytes:
        """This node's 20 bytes."""
        ...

    @property
    def port(self) -> int:
        """The UDP port in use, 0 when not started."""
        ...

    @property
    def settling(self) -> tuple[float, ...]:
        """Seconds after which what was stored is stored again, while the network still forms."""
        ...

    async def start(self) -> None:
        """Open the port and join.

        Raises:
            PortInUse: the port is taken.
        """
        ...

    async def stop(self) -> None:
        """Leave; safe to call twice."""
        ...

    def announce(self, topic: bytes, port: int) -> None:
        """Announce this node on a topic, once; there is no answer."""
        ...

    async def peers(self, topic: bytes, timeout: float, want: int) -> list[Address]:
        """Addresses announced on a topic: at most ``want``, within ``timeout`` seconds."""
        ...

    async def put_part(self, data: bytes) -> int:
        """Put an immutable item; how many nodes took it."""
        ...

    async def get_part(self, address: bytes) -> bytes | None:
        """Get an immutable item, None when there is none."""
        ...

    async def put_item(self, seed: bytes, salt: bytes, data: bytes) -> int:
        """Sign and put a mutable item with the next sequence number; how many nodes took it."""
        ...

    async def get_item(self, public_key: bytes, salt: bytes) -> Item | None:
        """Get the mutable item with the highest sequence number, None when there is none."""
        ...

    async def near(self, target: bytes) -> list[DhtNode]:
        """The closest nodes this node knows of, without asking anybody."""
        ...

    async def lookup(self, target: bytes, timeout: float) -> list[DhtNode]:
        """The closest live nodes of the whole network, within ``timeout`` seconds."""
        ...

    async def traffic(self) -> Traffic:
        """Counters."""
        ...
