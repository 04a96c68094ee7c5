"""Taking away what a deleted version leaves in the catalog, in steps that hold up no writer.

A version of a million files is forgotten at once, and the journal tells of it at once; its entries
follow in transactions of a few milliseconds. After a crash the catalog still knows the version's
number, and the rest follows then.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator
from concurrent.futures import Executor

from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.removal import PRUNED_AT_ONCE
from bitdust.storage.catalog.versions import SWEPT_AT_ONCE


class Sweeper:
    """Clears away behind deleted versions.

    Args:
        catalog: what is cleared.
        pool: where.
    """

    def __init__(self, catalog: Catalog, pool: Executor) -> None:
        self._catalog = catalog
        self._pool = pool
        self._turn = asyncio.Lock()
        self._pruned_at = -1

    async def run(self) -> int:
        """Do all that is to be done; returns how many entries and items went away."""
        async with self._turn:
            swept = 0
            for seq in await in_pool(self._pool, self._catalog.sweeps):
                swept += await self._sweep(seq)
            return swept + await self._prune()

    async def _sweep(self, seq: int) -> int:
        entries = self._catalog.swept_entries(seq)
        swept = 0
        try:
            while count := await in_pool(self._pool, self._sweep_some, entries):
                swept += count
        finally:
            await in_pool(self._pool, entries.close)
        await in_pool(self._pool, self._sweep_done, seq)
        return swept

    def _sweep_some(self, entries: Generator[tuple[int, int], None, None]) -> int:
        part = list(itertools.islice(entries, SWEPT_AT_ONCE))
        if part:
            # the version is gone on disk already: what of this is lost in a crash is done again
            with self._catalog.transaction(durable=False) as tx:
                tx.sweep(part)
        return len(part)

    def _sweep_done(self, seq: int) -> None:
        with self._catalog.transaction(durable=False) as tx:
            tx.sweep_done(seq)

    async def _prune(self) -> int:
        releases = self._catalog.releases
        if releases == self._pruned_at:
            return 0
        pruned = 0
        for key in (await in_pool(self._pool, self._catalog.keys)).values():
            below: int | None = await in_pool(self._pool, self._catalog.highest_orphan, key)
            while below is not None:
                count, below = await in_pool(self._pool, self._prune_some, key, below)
                pruned += count
        if not await in_pool(self._pool, self._catalog.uploads_running):
            self._pruned_at = releases
        return pruned

    def _prune_some(self, key: int, below: int) -> tuple[int, int | None]:
        with self._catalog.transaction(durable=False) as tx:
            return tx.prune_some(key, below, PRUNED_AT_ONCE)
