"""What a node stands on: time, chance, bytes to other machines, the DHT, name servers.

``RealWorld`` is this machine and its network. ``bitdust.testing`` has one in memory, so that many
nodes live in one process under a virtual clock.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from bitdust.clock import Clock, Random, SystemClock, SystemRandom
from bitdust.config import Settings
from bitdust.dht import Dht, LibtorrentDht
from bitdust.identity import HttpNameClient, NameClient
from bitdust.network import Certificate, TcpTransport, Transport

POOL_THREADS = 12
"""Threads for blocking calls; long readers and writers hold a few of them."""


class World(Protocol):
    """The surroundings of one node."""

    clock: Clock
    random: Random
    has_udp: bool
    """Whether datagrams can be sent and received."""

    def pool(self) -> Executor:
        """A new bounded pool for blocking calls."""
        ...

    def names(self, pool: Executor) -> NameClient:
        """How name servers are reached."""
        ...

    async def transport(self, home: Path, pool: Executor) -> tuple[Transport, str]:
        """How bytes reach other nodes, and the fingerprint (hex) of the own certificate."""
        ...

    def dht(self, home: Path, settings: Settings, pool: Executor) -> Dht:
        """The DHT, not started."""
        ...

    async def address(self, settings: Settings) -> str:
        """Host under which others reach this node."""
        ...


class RealWorld:
    """This machine."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.random: Random = SystemRandom()
        self.has_udp = True

    def pool(self) -> Executor:
        return ThreadPoolExecutor(POOL_THREADS, "bitdust")

    def names(self, pool: Executor) -> NameClient:
        return HttpNameClient(pool)

    async def transport(self, home: Path, pool: Executor) -> tuple[Transport, str]:
        loop = asyncio.get_running_loop()
        certificate = await loop.run_in_executor(
            pool, Certificate.load_or_create, home / "metadata" / "tls.pem"
        )
        return TcpTransport(certificate), certificate.fingerprint.hex()

    def dht(self, home: Path, settings: Settings, pool: Executor) -> Dht:
        branch = "services/entangled-dht"
        return LibtorrentDht(
            settings.get_int(f"{branch}/udp-port"),
            bootstrap=settings.get_items(f"{branch}/known-nodes") or None,
            private=settings.get_bool(f"{branch}/private-network"),
            state_path=home / "metadata" / "dht.state",
            executor=pool,
            clock=self.clock,
            random=self.random,
        )

    async def address(self, settings: Settings) -> str:
        told = settings.get_str("services/tcp-connections/host")
        if told:
            return told
        if settings.get_bool("services/entangled-dht/private-network"):
            return "127.0.0.1"
        # connecting a datagram socket sends nothing: it only asks the routing table
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
                return str(probe.getsockname()[0])
            except OSError:
                return "127.0.0.1"
