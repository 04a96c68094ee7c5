"""Looking after what is stored: sends the journal on, brings back lost fragments, clears away.

One task of each node. It is woken by events (a supplier came back or was replaced, an upload
ended, something was found damaged) and looks by itself every minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import structlog

from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    IntegrityError,
    NotInCatalog,
    QuotaExceeded,
    ServiceOff,
    TooFewSuppliers,
)
from bitdust.events import EventBus
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.types import (
    BlockRow,
    BlockState,
    FragmentMark,
    FragmentState,
    Repair,
    Version,
    VersionState,
)
from bitdust.storage.formats.erasure import fragments_needed
from bitdust.storage.formats.fragment import rebuild_fragment
from bitdust.storage.formats.repair import acknowledgements_needed
from bitdust.storage.rules import StorageRules
from bitdust.storage.transfer.fetch import BlockFetcher
from bitdust.storage.transfer.spread import NodeID, ObjectClient
from bitdust.storage.upkeep.blockstore import BlockIndex
from bitdust.storage.upkeep.compacting import Compactor
from bitdust.storage.upkeep.journalsync import JournalSync
from bitdust.storage.upkeep.moving import ChangingSuppliers, Mover
from bitdust.storage.upkeep.recoding import Recoder
from bitdust.storage.upkeep.recovery import NamedObject
from bitdust.storage.upkeep.sweeping import Sweeper

EVERY = 60.0
"""Seconds between two looks without a reason."""
BATCH = 100
"""Blocks taken at a time."""
RECODED_AT_ONCE = 16
"""Blocks spread anew before the space that they took before is given back."""
MARKED_AT_ONCE = 500
"""Versions marked in one transaction."""
PUT_TIMEOUT = 120.0

log = structlog.get_logger(component="care")


class DeletingClient(ObjectClient, Protocol):
    """A connection to suppliers that can also list and delete."""

    def list(self, node: NodeID, prefix: str = "") -> AsyncIterator[NamedObject]:
        """Own objects whose names begin with ``prefix``."""
        ...

    async def delete(self, node: NodeID, names: Sequence[str]) -> int:
        """Remove objects; those not there are passed over."""
        ...


class Caretaker:
    """Background care for one catalog.

    Args:
        catalog: what is known.
        blocks: where fragments are.
        journal: sends the catalog's records. compactor: keeps it short.
        sweeper: takes away what deleted versions leave in the catalog.
        fetcher: brings fragments.
        client: gives and deletes fragments.
        suppliers: who holds which position.
        events: ``data-repaired``, ``data-recoded`` and ``my-backup-index-synchronized`` are told
            there.
        pool: for the catalog and the erasure code.
        recoder: spreads blocks anew when there are more or fewer suppliers.
        busy: whether an upload runs that writes for another number of suppliers than given.
        rules: what may be done.
    """

    def __init__(
        self,
        catalog: Catalog,
        blocks: BlockIndex,
        journal: JournalSync,
        compactor: Compactor,
        sweeper: Sweeper,
        fetcher: BlockFetcher,
        client: DeletingClient,
        suppliers: ChangingSuppliers,
        events: EventBus,
        pool: Executor,
        recoder: Recoder,
        busy: Callable[[int], bool],
        rules: StorageRules,
    ) -> None:
        self._rules = rules
        self._catalog = catalog
        self._blocks = blocks
        self._journal = journal
        self._compactor = compactor
        self._sweeper = sweeper
        self._fetcher = fetcher
        self._client = client
        self._suppliers = suppliers
        self._events = events
        self._pool = pool
        self._recoder = recoder
        self._busy = busy
        self._recoded_for = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._claimed_at = -1
        self._settled_at = (-1, -1)
        self._deleted: dict[NodeID, set[int]] = {}
        self._mover = Mover(catalog, blocks, client, suppliers, self._put, pool)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="caretaker")

    async def stop(self) -> None:
        """End, in the middle of whatever is going on; the catalog knows how to go on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._wake.wait()
            self._wake.clear()
            if not self._rules.moving:
                continue
            try:
                await self.look()
            except BitdustError as exc:
                log.info("care put off", code=exc.code, reason=exc.message)
            except Exception:
                log.exception("care failed")

    async def look(self) -> dict[str, int]:
        """Do all that can be done now.

        Returns:
            ``segments`` sent, ``moved`` and ``rebuilt`` fragments, ``removed`` blocks.

        Raises:
            ServiceOff: nothing may travel.
            TooFewSuppliers, QuotaExceeded: the journal cannot be sent now.
        """
        if not self._rules.moving:
            raise ServiceOff(
                "service_data_motion is not running",
                hint="start it with `bitdust service start data_motion`",
            )
        moved = rebuilt = 0
        async with self._turn:
            await in_pool(self._pool, self._blocks.settle)
            removed = await self._remove_orphans()
            if self._rules.keep_versions:
                await in_pool(self._pool, self._thin_out, self._rules.keep_versions)
            await self._sweeper.run()
            segments, _ = await self._journal.flush(self.journal_number)
            recoded = 0
            if self._rules.repairing:
                moved = await self._mover.run()
                rebuilt = await self._repair()
            await self._settle()
            segments += await self._compactor.run(self.journal_number)
            if self._rules.repairing:
                recoded = await self._renumber()
                if recoded or self._suppliers.published > self._suppliers.n:
                    segments += await self._compactor.run(self.journal_number)
                    await self._let_go()
            removed += await self._reclaim()
            if moved or rebuilt or removed or recoded:
                more, _ = await self._journal.flush(self.journal_number)
                segments += more
        if segments:
            self._events.publish("my-backup-index-synchronized", segments=segments)
        if rebuilt or moved:
            self._events.publish("data-repaired", fragments=rebuilt, moved=moved)
        return {"segments": segments, "moved": moved, "rebuilt": rebuilt, "removed": removed}

    # --- another number of suppliers ---------------------------------------------------------

    @property
    def journal_number(self) -> int:
        """How many suppliers the journal is spread over.

        When some are to leave, all their data goes first and the journal last: until then whoever
        recovers from them finds it with them.
        """
        suppliers = self._suppliers
        n = suppliers.n
        return n if self._recoded_for == n else max(n, suppliers.published)

    async def _renumber(self) -> int:
        """Spread blocks anew that were made for another number of suppliers; how many."""
        done = 0
        while not await self._recoder.is_done(n := self._suppliers.n):
            self._recoded_for = 0
            try:
                count = await self._recoder.run(n, RECODED_AT_ONCE)
            except (TooFewSuppliers, QuotaExceeded) as exc:
                log.info("blocks not spread anew yet", code=exc.code, reason=exc.message)
                return done
            if not count:
                return done
            done += count
            self._events.publish("data-recoded", blocks=done, suppliers=n)
            # what they took before is free again before the next ones take more
            await self._reclaim()
        if self._recoded_for != n:
            await in_pool(self._pool, self._restate, n)
        self._recoded_for = n
        return done

    def _restate(self, n: int) -> None:
        """Versions whose blocks were all spread anew say so."""
        lacking = self._catalog.unstored_fragments()
        state = VersionState.PARTIAL if lacking else VersionState.STORED
        versions = [
            version
            for one in (VersionState.STORED, VersionState.PARTIAL)
            for version in self._catalog.versions_in_state(one)
            if version.stats.suppliers not in (0, n)
        ]
        for start in range(0, len(versions), MARKED_AT_ONCE):
            with self._catalog.transaction() as tx:
                for version in versions[start : start + MARKED_AT_ONCE]:
                    with contextlib.suppress(NotInCatalog):
                        acks = acknowledgements_needed(n) if lacking else n
                        tx.mark_version(version.seq, state, acks, n)

    async def is_spread_over(self, n: int) -> bool:
        """Whether nothing of this catalog, data or journal, is there for another number."""
        if self._busy(n) or not await self._recoder.is_done(n):
            return False
        return not await in_pool(self._pool, self._catalog.journal_is_spread_otherwise, n)

    async def _let_go(self) -> None:
        """Let suppliers go that are too many, once data and journal lie with the others."""
        suppliers = self._suppliers
        n = suppliers.n
        if suppliers.published > n and self._recoded_for == n and await self.is_spread_over(n):
            await suppliers.shrink()

    # --- repair ------------------------------------------------------------------------------

    async def _repair(self) -> int:
        rebuilt = 0
        skipped: set[int] = set()
        barred: set[NodeID] = set()
        while True:
            # those that could not be repaired now stay at the head of the line
            found = await in_pool(
                self._pool, self._catalog.blocks_needing_repair, BATCH + len(skipped)
            )
            repairs = [repair for repair in found if repair.block.number not in skipped]
            if not repairs:
                return rebuilt
            for repair in repairs:
                skipped.add(repair.block.number)
                done = await self._repair_block(repair, barred)
                rebuilt += done
                if done == len(repair.missing):
                    skipped.discard(repair.block.number)
            if len(skipped) > 10 * BATCH:
                return rebuilt

    async def _repair_block(self, repair: Repair, barred: set[NodeID]) -> int:
        """Bring back what a block lacks at suppliers that are there; returns how many fragments.

        Args:
            repair: the block.
            barred: suppliers that took nothing this time, so that no block is read for them in
                vain; more are added.
        """
        positions = self._suppliers.positions()
        targets = [
            position
            for position in repair.missing
            if position < len(positions)
            and positions[position] not in (None, *barred)
            and self._suppliers.online(position)
        ]
        if not targets:
            return 0
        number = repair.block.number
        rows = await in_pool(self._pool, self._catalog.fragments, number)
        block = await in_pool(self._pool, self._blocks.stored, number)
        try:
            others = await self._fetcher.fragments(block, fragments_needed(block.n))
        except BitdustError as exc:
            log.warning("block cannot be repaired now", block=block.name, reason=exc.message)
            return 0
        done = 0
        for position in targets:
            node = positions[position]
            assert node is not None
            row = rows[position]
            try:
                fragment = await in_pool(self._pool, rebuild_fragment, others, position, row.hash)
                await self._put(node, block.name, fragment, row.hash)
            except BitdustError as exc:
                log.info("fragment not brought back", block=block.name, reason=exc.message)
                barred.add(node)
                continue
            mark = FragmentMark(number, position, FragmentState.STORED, supplier=node)
            await in_pool(self._pool, self._mark, mark)
            done += 1
        return done

    async def _put(
        self, node: NodeID, name: str, fragment: bytes | bytearray, digest: bytes
    ) -> None:
        view = memoryview(fragment)
        try:
            await self._client.put(node, name, [view], len(view), digest, timeout=PUT_TIMEOUT)
        except (AlreadyExists, IntegrityError):
            # what lies there under the name is damaged, as the supplier may have found itself
            await self._client.delete(node, [name])
            await self._client.put(node, name, [view], len(view), digest, timeout=PUT_TIMEOUT)

    def _mark(self, mark: FragmentMark) -> None:
        with self._catalog.transaction() as tx:
            tx.mark_fragments([mark])

    async def _settle(self) -> None:
        """Versions that lacked fragments and now have them all are stored in full."""
        await in_pool(self._pool, self._settle_versions)

    def _settle_versions(self) -> None:
        partial = self._catalog.versions_in_state(VersionState.PARTIAL)
        lacking = self._catalog.unstored_fragments()
        # walking a large version is long work: only when it may come out otherwise than last time
        state = lacking, partial[-1].seq if partial else 0
        if state == self._settled_at:
            return
        whole = partial
        if lacking:
            whole = [version for version in partial if self._is_whole(version)]
        for start in range(0, len(whole), MARKED_AT_ONCE):
            with self._catalog.transaction() as tx:
                for version in whole[start : start + MARKED_AT_ONCE]:
                    # deleted while it was looked at: nothing to mark then
                    with contextlib.suppress(NotInCatalog):
                        tx.mark_version(version.seq, VersionState.STORED, version.stats.suppliers)
        self._settled_at = state

    def _is_whole(self, version: Version) -> bool:
        health = self._catalog.health(version.root, version.seq)
        return health.stored == health.fragments

    # --- clearing away -----------------------------------------------------------------------

    def _thin_out(self, keep: int) -> None:
        """Delete what is older than the newest ``keep`` complete versions of each item."""
        kept: dict[int, int] = {}
        surplus: list[int] = []
        for version in reversed(self._catalog.versions_in_state(VersionState.STORED)):
            kept[version.root] = kept.get(version.root, 0) + 1
            if kept[version.root] > keep:
                surplus.append(version.seq)
        for seq in reversed(surplus[-MARKED_AT_ONCE:]):
            try:
                with self._catalog.transaction() as tx:
                    tx.delete_version(seq)
            except (CatalogBusy, NotInCatalog):
                continue  # an upload builds on it, or it is gone: the next look sees

    async def _reclaim(self) -> int:
        """Delete the fragments of blocks that nothing refers to any more."""
        if await in_pool(self._pool, self._claim):
            # the journal must say so before the data goes, else a recovery would look for it
            await self._journal.flush(self.journal_number)
        removed = after = 0
        while rows := await in_pool(self._pool, self._dying, after):
            after = rows[-1].number
            removed += len(await self._delete([row.number for row in rows]))
        return removed

    def _dying(self, after: int) -> list[BlockRow]:
        return self._catalog.unsettled_blocks(BlockState.DYING, after=after, limit=BATCH)

    def _claim(self) -> bool:
        """Make blocks dying that nothing refers to; whether there are any that are dying."""
        releases = self._catalog.releases
        if releases != self._claimed_at:
            after = 0
            while found := self._catalog.reclaimable(BATCH, after=after):
                after = found[-1]
                with self._catalog.transaction() as tx:
                    tx.claim_reclaimable(0, among=found)
            # what an upload may count on now is looked at again after it
            if not self._catalog.uploads_running():
                self._claimed_at = releases
        return bool(self._dying(0))

    async def _remove_orphans(self) -> int:
        """Delete what uploads that ended without success had sent."""
        active = {job.id for job in await in_pool(self._pool, self._catalog.jobs)}
        rows = await in_pool(self._pool, self._catalog.unsettled_blocks, BlockState.OPEN)
        numbers = [row.number for row in rows if row.job not in active]
        return len(await self._delete(numbers)) if numbers else 0

    async def _delete(self, numbers: list[int]) -> list[int]:
        """Delete blocks from all suppliers and the catalog; those not deleted now stay dying."""
        rows = [await in_pool(self._pool, self._catalog.block, number) for number in numbers]
        names = {row.number: self._blocks.name(row) for row in rows}
        left: set[int] = set()
        for position, node in enumerate(self._suppliers.positions()):
            if node is None:
                continue
            # while another supplier is away, this one is not told again and again
            done = self._deleted.setdefault(node, set())
            ask = [number for number in numbers if number not in done]
            if not ask:
                continue
            if not self._suppliers.online(position):
                left.update(ask)
                continue
            try:
                await self._client.delete(node, [names[number] for number in ask])
            except BitdustError as exc:
                left.update(ask)
                log.info("not deleted there yet", supplier=node.hex()[:16], reason=exc.message)
            else:
                done.update(ask)
        gone = [number for number in numbers if number not in left]

        def remove() -> None:
            with self._catalog.transaction() as tx:
                tx.remove_blocks(gone)

        if gone:
            await in_pool(self._pool, remove)
            for told in self._deleted.values():
                told.difference_update(gone)
        return gone
