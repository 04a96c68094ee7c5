"""Spreading blocks anew when the number of suppliers changes.

A block is read, sealed afresh and spread for the new number; once enough suppliers acknowledged
that, one transaction lets it stand for the old one, which dies then. Until that moment the old one
is whole. One block at a time is in memory, and what is left to do is what the catalog still has
under another number: it goes on after any crash.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import BitdustError, DataUnavailable, NotInCatalog
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import BlockRow, BlockState
from bitdust.storage.formats.audit import make_challenges
from bitdust.storage.formats.fragment import Fragment, build_fragments
from bitdust.storage.formats.packer import BlockSpace
from bitdust.storage.formats.seal import BLOCK_ID_SIZE, KEY_SIZE, wrap_key
from bitdust.storage.transfer.blockwriter import CHALLENGES, data_name, outcome_marks
from bitdust.storage.transfer.fetch import BlockFetcher
from bitdust.storage.transfer.spread import Outcome, Spreader
from bitdust.storage.upkeep.blockstore import BlockIndex

PAGE = 100
"""Blocks looked at together."""

log = structlog.get_logger(component="recoding")


class Recoder:
    """Brings data blocks to the present number of suppliers.

    Args:
        catalog: what is stored how.
        blocks: where fragments are.
        fetcher: brings them. spreader: sends them.
        kek: what locks the keys of the blocks of a key, by its row in the catalog.
        clock, random: time and chance.
        pool: for the catalog and the codes.
    """

    def __init__(
        self,
        catalog: Catalog,
        blocks: BlockIndex,
        fetcher: BlockFetcher,
        spreader: Spreader,
        kek: Callable[[int], bytes],
        clock: Clock,
        random: Random,
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._blocks = blocks
        self._fetcher = fetcher
        self._spreader = spreader
        self._kek = kek
        self._clock = clock
        self._random = random
        self._pool = pool

    async def is_done(self, n: int) -> bool:
        """Whether no block is there for another number of suppliers, or being made for one."""
        return not await in_pool(self._pool, self._page, n, 0, 1)

    async def run(self, n: int, most: int) -> int:
        """Spread blocks anew over ``n`` suppliers.

        Args:
            n: number of suppliers.
            most: blocks at most, so that what they took can be given back in between.

        Returns:
            How many were.

        Raises:
            TooFewSuppliers, QuotaExceeded: the suppliers take no more now.
        """
        done = after = 0
        while rows := await in_pool(self._pool, self._page, n, after, PAGE):
            for row in rows:
                after = row.number
                if row.state != BlockState.STORED:
                    continue  # an upload that began before the change is sending it
                done += await self._recode(row, n)
                if done >= most:
                    return done
        return done

    def _page(self, n: int, after: int, limit: int) -> list[BlockRow]:
        return self._catalog.blocks_coded_otherwise(n, after=after, limit=limit)

    async def _recode(self, row: BlockRow, n: int) -> bool:
        try:
            kek = await in_pool(self._pool, self._kek, row.key)
            block = await in_pool(self._pool, self._blocks.stored, row.number)
            payload = await self._fetcher.whole(block, kek)
        except DataUnavailable as exc:
            log.warning("block cannot be spread anew now", block=row.id.hex(), reason=exc.message)
            return False
        except BitdustError as exc:
            log.warning("block stays as it is", block=row.id.hex(), reason=exc.message)
            return False
        draft, fragments = await in_pool(self._pool, self._draft, row, kek, n, payload)
        outcome = await self._spreader.spread(data_name(fragments[0].header.block_id), fragments)
        return await in_pool(self._pool, self._adopt, row.number, draft, outcome)

    def _draft(
        self, row: BlockRow, kek: bytes, n: int, payload: memoryview
    ) -> tuple[int, list[Fragment]]:
        block_id = self._random.token(BLOCK_ID_SIZE)
        key = self._random.token(KEY_SIZE)
        fragments = build_fragments(
            block_id, key, wrap_key(kek, key), n, [payload], kind=row.kind, space=BlockSpace()
        )
        made = [make_challenges(one.buffers, CHALLENGES, self._random.token) for one in fragments]
        with self._catalog.transaction() as tx:
            added = tx.add_block(
                block_id,
                row.key,
                (),
                [fragment.digest for fragment in fragments],
                payload=row.payload,
                fragment_size=fragments[0].size,
                created=self._clock.now(),
                challenges=[b"".join(ask + digest for ask, digest in each) for each in made],
            )
        return added.number, fragments

    def _adopt(self, number: int, draft: int, outcome: Outcome) -> bool:
        try:
            with self._catalog.transaction() as tx:
                if tx.block(number).state != BlockState.STORED:
                    return False  # deleted meanwhile; the draft is cleared away
                tx.mark_fragments(outcome_marks(draft, outcome))
                tx.recode_block(number, draft)
        except NotInCatalog:
            return False
        return True
