"""Another writer's catalog in a share: read from the suppliers, kept up to date, never changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError, IntegrityError
from bitdust.events import EventBus
from bitdust.pool import in_pool
from bitdust.sharing.share_chain import FollowedChain
from bitdust.sharing.share_ledger import Happening, ShareLedger
from bitdust.sharing.share_source import Source
from bitdust.storage import (
    BLOCK_KEK,
    JOURNAL_ID,
    BlockFetcher,
    BlockIndex,
    Catalog,
    CatalogDamaged,
    Recovery,
    Secret,
    StorageClient,
    StoredBlock,
    Suppliers,
)

MAX_COPY: Final = 2 * 1024 * 1024 * 1024
"""Bytes of the copy of one writer's catalog; millions of files fit, and no disk is filled."""
CHECK_EVERY: Final = 300.0
"""Seconds between two looks whether a writer took something back."""
NodeID = bytes

log = structlog.get_logger(component="shares")


def _quiet(*_: object) -> None:
    """Nobody is told."""


class Follower:
    """Follows one writer.

    Args:
        path: of the copy of its catalog.
        share: 16 bytes.
        node: the writer's node id.
        person: its global id.
        ledger: where its chain is kept.
        secret: what its secrets follow from.
        client: reads the writer's objects.
        suppliers: who keeps them.
        events, clock, pool: of the node.
    """

    def __init__(
        self,
        path: Path,
        share: bytes,
        node: NodeID,
        person: str,
        ledger: ShareLedger,
        secret: Callable[[], Secret],
        client: StorageClient,
        suppliers: Suppliers,
        events: EventBus,
        clock: Clock,
        pool: Executor,
    ) -> None:
        self._path = path
        self._share = share
        self.node = node
        self.person = person
        self._ledger = ledger
        self._secret = secret
        self._client = client
        self._suppliers = suppliers
        self._events = events
        self._clock = clock
        self._pool = pool
        self._catalog: Catalog | None = None
        self._source: Source | None = None
        self._blocks: BlockIndex | None = None
        self.fetcher = BlockFetcher(client, clock, pool, self._is_online, _quiet)
        self._check_at = 0.0
        self.problem = ""
        """Why nothing more of this writer is taken, empty while all is well."""

    def open(self) -> list[Happening]:
        """Open the copy; what it has. Blocks."""
        try:
            catalog = Catalog.open(self._path)
        except CatalogDamaged:
            self._begin_anew()
            catalog = Catalog.open(self._path)
        epoch, seq = catalog.journal_position
        if seq and self._ledger.link(self.node, epoch, seq) is None:
            # without the chain nothing that follows could be checked
            catalog.close()
            self._begin_anew()
            catalog = Catalog.open(self._path)
        self._catalog = catalog
        self._source = Source(self.node, self.person, catalog)
        self._blocks = BlockIndex(
            catalog,
            self._suppliers,
            self._secret().derive(JOURNAL_ID, 16),
            self._events,
            _quiet,
        )
        return self._source.refresh()

    def _begin_anew(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._ledger.forget_links(self.node)

    def close(self) -> None:
        """Close the copy. Blocks."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    @property
    def source(self) -> Source:
        """What the writer has."""
        assert self._source is not None
        return self._source

    def stored(self, number: int) -> StoredBlock:
        """A block of the writer. Blocks.

        A supplier that was replaced is not asked any more, but who stands in its place: the writer
        may be away, and somebody else may have brought the fragment there.
        """
        assert self._blocks is not None
        block = self._blocks.stored(number)
        positions = self._suppliers.positions()
        places = []
        for place in block.places:
            here = positions[place.position] if place.position < len(positions) else None
            moved = place.node not in positions and here is not None
            places.append(replace(place, node=here) if moved and here is not None else place)
        return replace(block, places=places)

    def kek(self) -> bytes:
        """What locks the keys of the writer's blocks."""
        return self._secret().derive(BLOCK_KEK)

    def _is_online(self, node: NodeID) -> bool:
        positions = self._suppliers.positions()
        return node in positions and self._suppliers.online(positions.index(node))

    async def follow(self, stop: tuple[int, int] | None) -> list[Happening]:
        """Take what the writer wrote since the last time.

        Args:
            stop: epoch of the journal, and how many of its segments count; all when None.

        Returns:
            What happened.

        Raises:
            IntegrityError: the writer contradicts itself; what came before is taken.
            DataUnavailable: too few suppliers answer now.
        """
        catalog = self._catalog
        assert catalog is not None
        if await in_pool(self._pool, self._size) > MAX_COPY:
            self.problem = f"its catalog has more than {MAX_COPY >> 20} MiB"
            raise IntegrityError(self.problem)
        secret = self._secret()
        recovery = Recovery(
            self._client,
            self._suppliers.positions(),
            secret.derive(JOURNAL_ID, 16),
            secret.derive(BLOCK_KEK),
            self._clock,
            self._pool,
            _quiet,
            FollowedChain(self._share, self.node, self._ledger),
        )
        try:
            applied = await recovery.follow(catalog, stop)
            good = bool(applied) or (stop is None and await self._is_there(catalog))
        except IntegrityError as exc:
            self.problem = exc.message
            raise
        if good:
            self.problem = ""
        if not applied:
            return []
        return await in_pool(self._pool, self.source.refresh)

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    async def _is_there(self, catalog: Catalog) -> bool:
        """Now and then see that the writer did not take back what was read from it.

        Returns:
            False when it was not looked now, or nobody can tell.

        Raises:
            IntegrityError: no supplier has it any more, and nothing newer either.
        """
        now = self._clock.monotonic()
        epoch, seq = await in_pool(self._pool, lambda: catalog.journal_position)
        nodes = self._suppliers.positions()
        present = [node for node in nodes if node is not None and self._is_online(node)]
        if not seq or now < self._check_at or len(present) < len(nodes):
            return False
        self._check_at = now + CHECK_EVERY
        prefix = f"j/{self._secret().derive(JOURNAL_ID, 16).hex()}/"
        for node in present:
            try:
                async for entry in self._client.list(node, prefix):
                    one, _, other = entry.name.removeprefix(prefix).partition("-")
                    known = one.isdecimal() and other.isdecimal()
                    if known and (int(one), int(other)) >= (epoch, seq - 1):
                        return True
            except BitdustError:
                return False
        raise IntegrityError("the writer took back a part of its journal that was read before")

    async def position(self) -> tuple[int, int]:
        """How far the copy is: epoch, and number of segments."""
        catalog = self._catalog
        assert catalog is not None
        return await in_pool(self._pool, lambda: catalog.journal_position)
