"""Bringing fragments from former suppliers to those in their place.

A former supplier keeps what it had until it is dismissed, so its fragments count until the new one
has them. One that ended the contract by itself has deleted them: they are lost at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Protocol

import structlog

from bitdust.errors import BitdustError, NetworkError
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import FragmentMark, FragmentRow, FragmentState
from bitdust.storage.transfer.spread import NodeID, ObjectClient, SupplierSet
from bitdust.storage.upkeep.blockstore import BlockIndex

PAGE = 100
"""Fragments looked at together."""
TIMEOUT = 120.0

log = structlog.get_logger(component="moving")


class ChangingSuppliers(SupplierSet, Protocol):
    """Suppliers that come and go."""

    @property
    def n(self) -> int:
        """How many new data is spread over."""
        ...

    @property
    def published(self) -> int:
        """How many there are; more than ``n`` while some are to leave, until ``shrink``."""
        ...

    async def shrink(self) -> None:
        """Let those go that are too many: what they keep lies with the others as well."""
        ...

    def retired(self) -> list[NodeID]:
        """Former suppliers that still keep what they had."""
        ...

    async def dismiss(self, node: NodeID) -> None:
        """Nothing more is wanted from a former supplier."""
        ...


class Mover:
    """Empties former suppliers.

    Args:
        catalog: who keeps what.
        blocks: names of fragments.
        client: how they travel.
        suppliers: who is in place, and who was.
        put: gives a fragment to a supplier, over a damaged one if need be.
        pool: for the catalog.
    """

    def __init__(
        self,
        catalog: Catalog,
        blocks: BlockIndex,
        client: ObjectClient,
        suppliers: ChangingSuppliers,
        put: Callable[[NodeID, str, bytes | bytearray, bytes], Awaitable[None]],
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._blocks = blocks
        self._client = client
        self._suppliers = suppliers
        self._put = put
        self._pool = pool

    async def run(self) -> int:
        """Move what can be moved now; returns how many fragments."""
        moved = 0
        retired = self._suppliers.retired()
        holders = await in_pool(self._pool, self._catalog.holders)
        for node in holders:
            if node in self._suppliers.positions():
                continue
            if node in retired:
                moved += await self._empty(node)
            elif None not in self._suppliers.positions():
                # while the list of suppliers is not whole, it may be one that was forgotten
                await in_pool(self._pool, self._lost, node)
        left = await in_pool(self._pool, self._catalog.holders)
        for node in retired:
            if node not in left:
                await self._suppliers.dismiss(node)
                log.info("former supplier dismissed", supplier=node.hex()[:16])
        return moved

    def _lost(self, node: NodeID) -> None:
        with self._catalog.transaction() as tx:
            count = tx.supplier_lost(node)
        log.warning("a supplier is gone", supplier=node.hex()[:16], fragments=count)

    async def _empty(self, node: NodeID) -> int:
        """Move one former supplier's fragments; those it cannot give any more are lost."""
        moved = after = 0
        while True:
            rows = await in_pool(self._pool, self._page, node, after)
            if not rows:
                return moved
            for row in rows:
                after = row.block
                if row.state != FragmentState.STORED:
                    continue
                try:
                    moved += await self._move(node, row)
                except NetworkError as exc:
                    # it is away, or the new one is: what it keeps counts on
                    log.info("fragments not moved yet", reason=exc.message)
                    return moved

    def _page(self, node: NodeID, after: int) -> list[FragmentRow]:
        return self._catalog.fragments_at(node, after=after, limit=PAGE)

    async def _move(self, node: NodeID, row: FragmentRow) -> int:
        positions = self._suppliers.positions()
        if row.position >= len(positions):
            return 0
        successor = positions[row.position]
        if successor is None or not self._suppliers.online(row.position):
            return 0
        block = await in_pool(self._pool, self._catalog.block, row.block)
        name = self._blocks.name(block)
        try:
            data = await self._client.get(node, name, timeout=TIMEOUT, expect=row.hash)
        except NetworkError:
            raise
        except BitdustError as exc:
            log.warning("a former supplier lost a fragment", name=name, reason=exc.message)
            await in_pool(self._pool, self._mark, row, FragmentState.LOST, None)
            return 0
        await self._put(successor, name, data, row.hash)
        await in_pool(self._pool, self._mark, row, FragmentState.STORED, successor)
        return 1

    def _mark(self, row: FragmentRow, state: FragmentState, node: NodeID | None) -> None:
        with self._catalog.transaction() as tx:
            tx.mark_fragments([FragmentMark(row.block, row.position, state, supplier=node)])
