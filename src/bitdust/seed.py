"""A process that is nothing but a DHT node, from which others start: no identity, no API, no files.

Its home holds settings, a log, the lock and the memory of known nodes, and nothing that is secret.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from bitdust.config import Settings, make_private
from bitdust.dht import Dht
from bitdust.world import RealWorld, World

REPORT_EVERY = 600.0
"""Seconds between two lines of the log that say how many nodes are known."""

log = structlog.get_logger(component="seed")


class DhtSeed:
    """A DHT node and nothing else.

    Args:
        home: its directory.
        settings: its settings; those below ``services/entangled-dht`` count.
        world: what it stands on; this machine when None.
    """

    def __init__(self, home: Path, settings: Settings, world: World | None = None) -> None:
        self._home = home
        self._settings = settings
        self._world = world or RealWorld()
        self._pool = self._world.pool()
        self._stopping = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None
        self.dht: Dht | None = None

    async def start(self) -> None:
        """Join the DHT.

        Raises:
            DamagedSettings: a settings file cannot be read.
            PortInUse: the port is taken.
            DhtError: the interface cannot be used.
        """
        self._settings.check()
        make_private(self._home / "metadata")
        dht = self._world.dht(self._home, self._settings, self._pool)
        await dht.start()
        self.dht = dht
        log.info("DHT seed started", port=dht.port)
        self._reporting = asyncio.create_task(self._report(dht), name="seed report")

    async def stop(self) -> None:
        """Leave the DHT; safe to call twice."""
        reporting, self._reporting = self._reporting, None
        if reporting is not None:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        dht, self.dht = self.dht, None
        if dht is not None:
            await dht.stop()
            log.info("DHT seed stopped")
        self._pool.shutdown(wait=False)

    def request_stop(self) -> None:
        """Begin to stop the process."""
        self._stopping.set()

    async def wait_stop(self) -> bool:
        """Wait until somebody asks to stop; False, since a seed never starts itself again."""
        await self._stopping.wait()
        return False

    async def _report(self, dht: Dht) -> None:
        while True:
            await self._world.clock.sleep(REPORT_EVERY)
            stats = await dht.stats()
            log.info(
                "DHT seed",
                nodes=stats.nodes,
                packets_in=stats.packets_in,
                packets_out=stats.packets_out,
                dropped=stats.dropped,
            )
