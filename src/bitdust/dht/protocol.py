"""What the rest of the program may ask of the DHT, whatever carries it."""

from __future__ import annotations

from typing import Any, Final, Protocol

from bitdust.dht.ownership import KeySource
from bitdust.dht.records import SKIP_VALIDATION
from bitdust.dht.results import DhtNode, DhtStats, ReadResult, WriteResult
from bitdust.dht.wire import Address
from bitdust.errors import DhtError, FormatError

READ_TIMEOUT: Final = 25.0
WRITE_TIMEOUT: Final = 90.0


class Dht(Protocol):
    """What every part of the program may ask of the DHT."""

    @property
    def my_id(self) -> bytes:
        """This node's 20 bytes on the DHT."""
        ...

    @property
    def port(self) -> int:
        """The UDP port in use, 0 when not started."""
        ...

    @property
    def network(self) -> str:
        """Name of the private network, empty for the public one; part of every topic."""
        ...

    async def start(self) -> None:
        """Join. Raises PortInUse, or DhtError when the interface cannot be used."""
        ...

    async def stop(self) -> None:
        """Leave; safe to call twice."""
        ...

    async def joined(self, timeout: float = 10.0) -> bool:
        """Wait until at least one other node is known; whether that came true."""
        ...

    def announce(self, topic: bytes, port: int) -> None:
        """Make this node findable on a 20-byte topic under a TCP port, until withdrawn."""
        ...

    def withdraw(self, topic: bytes) -> None:
        """Announce the topic no longer; within 45 minutes it is forgotten."""
        ...

    async def peers(
        self, topic: bytes, timeout: float = 5.0, want: int | None = None
    ) -> list[Address]:
        """Addresses announced on a topic; returns early once there are ``want``."""
        ...

    async def set_value(
        self,
        key: str,
        value: Any,
        *,
        record_type: str = SKIP_VALIDATION,
        layer: int = 0,
        signer: KeySource | None = None,
        expire: float | None = None,
        timeout: float = WRITE_TIMEOUT,
    ) -> WriteResult:
        """Write a record and keep it alive while this node runs."""
        ...

    async def get_value(
        self,
        key: str,
        *,
        record_type: str = SKIP_VALIDATION,
        layer: int = 0,
        owner_dht_key: bytes | None = None,
        cache_ttl: float | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> ReadResult:
        """Read a record and check it."""
        ...

    async def find_nodes(
        self, node_id: bytes | None = None, layer: int = 0, timeout: float = 5.0
    ) -> list[DhtNode]:
        """The closest live nodes to an id, nearest first."""
        ...

    async def random_endpoints(
        self, layer: int, count: int = 1, timeout: float = 5.0
    ) -> list[Address]:
        """Up to ``count`` random addresses of those who serve a layer."""
        ...

    def local_db_dump(self) -> dict[str, list[dict[str, Any]]]:
        """What this node keeps, announces and remembers, by layer."""
        ...

    async def stats(self) -> DhtStats:
        """Counters."""
        ...


async def read_safely(dht: Dht, key: str, **options: Any) -> ReadResult:
    """Read a record; what stands there but is no such record counts as missing.

    Args:
        dht: the DHT.
        key: see ``Dht.get_value``.
        options: see ``Dht.get_value``.
    Raises:
        InvalidInput: the key, the type or the owner cannot be taken.
        DhtError: not started.
    """
    try:
        return await dht.get_value(key, **options)
    except (DhtError, FormatError) as exc:
        nodes = await dht.find_nodes(layer=options.get("layer", 0))
        return ReadResult(False, key, closest_nodes=tuple(nodes), reason=exc.message)
