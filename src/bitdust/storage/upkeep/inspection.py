"""Looking whether suppliers still have what they acknowledged, without waiting for a download.

Two looks, both slow on purpose. The list of a supplier's objects is compared with the catalog soon
after it connects and a few times a day: it shows what an honest supplier lost. Audits ask for
proofs of random fragments all the time: they show what a supplier only claims to have. A fragment
whose challenges are used up is read once, which proves more, and gets new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import BitdustError, IntegrityError, NotFound
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import BlockState, FragmentMark, FragmentRow, FragmentState
from bitdust.storage.formats.audit import (
    check_answer,
    make_challenges,
    pack_challenges,
    take_challenge,
)
from bitdust.storage.transfer.blockwriter import CHALLENGES
from bitdust.storage.transfer.fetch import StoredBlock
from bitdust.storage.transfer.spread import NodeID, ObjectClient, SupplierSet
from bitdust.storage.upkeep.blockstore import BlockIndex

TICK = 5.0
"""Seconds between two looks at what is due."""
AUDIT_EVERY = 60.0
"""Seconds between two audits of one supplier."""
LIST_EVERY = 6 * 3600.0
"""Seconds between two lists of one supplier that stays connected."""
LIST_AGAIN = 10.0
"""Seconds between two lists of a supplier that comes and goes, at the least …"""
LIST_SHARE = 20.0
"""… and this many times what the last one took."""
RETRY = 5.0
"""Seconds after which a list that failed is asked for again, at first; it doubles up to an hour."""
AUDIT_TIMEOUT = 60.0
READ_TIMEOUT = 120.0
PAGE = 1000

log = structlog.get_logger(component="inspection")


class ListedObject(Protocol):
    """An object in a supplier's list."""

    @property
    def name(self) -> str:
        """The object's name."""
        ...

    @property
    def hash(self) -> bytes:
        """BLAKE3 of the object, as the supplier was told when it took it."""
        ...

    @property
    def intact(self) -> bool:
        """Whether the supplier says that it can serve it."""
        ...


class ProvingClient(ObjectClient, Protocol):
    """A connection to suppliers that can list objects and ask for proofs."""

    def list(self, node: NodeID, prefix: str = "") -> AsyncIterator[ListedObject]:
        """Own objects whose names begin with ``prefix``, by name."""
        ...

    async def audit(self, node: NodeID, name: str, key: bytes, timeout: float = ...) -> bytes:
        """The answer to a challenge."""
        ...


@dataclass(slots=True)
class Inspected:
    """What was found since the start.

    Args:
        audits: proofs asked for, and fragments read because they had no challenges left.
        failed: of those, how many found the fragment damaged or gone.
        lists: lists compared with the catalog.
        missing: fragments that the catalog had and a list had not.
    """

    audits: int = 0
    failed: int = 0
    lists: int = 0
    missing: int = 0


@dataclass(slots=True)
class _Due:
    """When something is to be asked of one supplier, monotonic seconds."""

    listing: float = 0.0
    audit: float = 0.0
    rest: float = LIST_AGAIN
    pause: float = RETRY


class Inspector:
    """One task that looks after the suppliers of one catalog.

    Args:
        catalog: what should be there.
        blocks: names of fragments; told what is amiss.
        client: asks suppliers.
        suppliers: who they are now.
        clock, random: time, and which fragment comes next.
        pool: for the catalog and for making challenges.
    """

    def __init__(
        self,
        catalog: Catalog,
        blocks: BlockIndex,
        client: ProvingClient,
        suppliers: SupplierSet,
        clock: Clock,
        random: Random,
        pool: Executor,
    ) -> None:
        self._catalog = catalog
        self._blocks = blocks
        self._client = client
        self._suppliers = suppliers
        self._clock = clock
        self._random = random
        self._pool = pool
        self._due: dict[NodeID, _Due] = {}
        self._task: asyncio.Task[None] | None = None
        self.found = Inspected()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="inspector")

    async def stop(self) -> None:
        """End, in the middle of whatever is going on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def connected(self, node: NodeID) -> None:
        """A supplier is there again: its list is compared soon."""
        due = self._due.get(node)
        if due is not None:
            due.listing = min(due.listing, self._clock.monotonic() + due.rest)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            try:
                await self.look()
            except Exception:
                # a defect here must not end the care for good; the next round tries again
                log.exception("inspection failed")

    async def look(self) -> None:
        """Ask what is due now of every supplier that is there."""
        positions = self._suppliers.positions()
        present = [
            node
            for position, node in enumerate(positions)
            if node is not None and self._suppliers.online(position)
        ]
        for node in set(self._due) - {node for node in positions if node is not None}:
            del self._due[node]
        await asyncio.gather(*map(self._look_at, present))

    async def _look_at(self, node: NodeID) -> None:
        due = self._due.setdefault(node, _Due())
        now = self._clock.monotonic()
        if now >= due.listing:
            try:
                await self.compare(node)
            except BitdustError as exc:
                due.listing = now + due.pause
                due.pause = min(3600.0, 2 * due.pause)
                log.info("list not had", supplier=node.hex()[:16], code=exc.code)
                return
            took = self._clock.monotonic() - now
            due.rest = max(LIST_AGAIN, LIST_SHARE * took)
            due.pause = RETRY
            due.listing = now + LIST_EVERY * self._random.uniform(0.8, 1.2)
        if now >= due.audit:
            due.audit = now + AUDIT_EVERY * self._random.uniform(0.8, 1.2)
            try:
                await self.audit(node)
            except BitdustError as exc:
                # it may be gone, busy or shutting down: no proof, but no proof of a loss either
                log.info("audit not answered", supplier=node.hex()[:16], code=exc.code)

    # --- lists -------------------------------------------------------------------------------

    async def compare(self, node: NodeID) -> int:
        """Compare a supplier's list with the catalog and mark what is missing.

        Returns:
            How many fragments it turned out not to have.

        Raises:
            BitdustError: the supplier did not answer; nothing was marked.
        """
        # what is stored while the list travels is not in here, so it cannot be missed
        had, lacked = await in_pool(self._pool, self._expected, node)
        found: list[tuple[int, bytes]] = []
        if had or lacked:
            async for entry in self._client.list(node):
                if entry.intact:
                    had.pop(entry.name, None)
                    if entry.name in lacked:
                        found.append((lacked.pop(entry.name), entry.hash))
        missing = list(had.values())
        self.found.lists += 1
        self.found.missing += len(missing)
        for start in range(0, len(missing), PAGE):
            await in_pool(self._pool, self._lost, node, missing[start : start + PAGE])
        for start in range(0, len(found), PAGE):
            await in_pool(self._pool, self._there, node, found[start : start + PAGE])
        if missing:
            log.warning("fragments lost", supplier=node.hex()[:16], count=len(missing))
            self._blocks.tell_missing(node, len(missing))
        return len(missing)

    def _expected(self, node: NodeID) -> tuple[dict[str, int], dict[str, int]]:
        """Block numbers by name: of what a supplier should have, and of what it lacks."""
        had: dict[str, int] = {}
        lacked: dict[str, int] = {}
        positions = self._suppliers.positions()
        with self._catalog.view() as view:
            after = 0
            while rows := view.stored_at(node, after=after, limit=PAGE):
                after = rows[-1].number
                had.update((self._blocks.name(row), row.number) for row in rows)
            after = 0
            place = positions.index(node) if node in positions else -1
            while place >= 0 and (rows := view.unstored_at(place, after=after, limit=PAGE)):
                after = rows[-1].number
                lacked.update((self._blocks.name(row), row.number) for row in rows)
        return had, lacked

    def _lost(self, node: NodeID, numbers: list[int]) -> None:
        with self._catalog.transaction() as tx:
            marks = []
            for number in numbers:
                # deleted or moved while the list was on its way: nothing is lost then
                marks += [
                    FragmentMark(number, row.position, FragmentState.LOST)
                    for row in tx.fragments(number)
                    if row.supplier == node
                    and row.state == FragmentState.STORED
                    and tx.block(number).state == BlockState.STORED
                ]
            tx.mark_fragments(marks)

    def _there(self, node: NodeID, found: list[tuple[int, bytes]]) -> None:
        """Fragments that were thought lost or never acknowledged, and are there."""
        positions = self._suppliers.positions()
        with self._catalog.transaction() as tx:
            tx.mark_fragments(
                FragmentMark(number, row.position, FragmentState.STORED, supplier=node)
                for number, digest in found
                for row in tx.fragments(number)
                if row.hash == digest
                and row.state in (FragmentState.MISSING, FragmentState.LOST)
                and positions[row.position : row.position + 1] == [node]
                and tx.block(number).state == BlockState.STORED
            )

    # --- audits ------------------------------------------------------------------------------

    async def audit(self, node: NodeID) -> bool | None:
        """Ask a supplier to prove one random fragment.

        Returns:
            Whether it has it; None when it should have nothing.

        Raises:
            BitdustError: it did not answer.
        """
        picked = await in_pool(self._pool, self._pick, node)
        if picked is None:
            return None
        row, block, challenge = picked
        self.found.audits += 1
        error: BitdustError
        try:
            if challenge is None:
                await self._read(node, block, row)
                return True
            key, expected = challenge
            given = await self._client.audit(node, block.name, key, timeout=AUDIT_TIMEOUT)
            if check_answer(expected, given):
                return True
            error = IntegrityError("the supplier cannot prove that it has the fragment")
        except (NotFound, IntegrityError) as exc:
            error = exc
        self.found.failed += 1
        self._blocks.amiss(block, row.position, node, error)
        return False

    def _pick(
        self, node: NodeID
    ) -> tuple[FragmentRow, StoredBlock, tuple[bytes, bytes] | None] | None:
        """A random fragment of a supplier, with a challenge that is used up by this."""
        chance = self._random.uniform(0.0, 1.0)
        with self._catalog.view() as view:
            after = int(chance * view.meta("next_block"))
            found = view.stored_at(node, after=after, limit=1) or view.stored_at(node, limit=1)
            if not found:
                return None
            number = found[0].number
            row = next(
                row
                for row in view.fragments(number)
                if row.supplier == node and row.state == FragmentState.STORED
            )
        taken = take_challenge(row.challenges)
        if taken is not None:
            # off the list before it is asked, so that none is asked twice
            with self._catalog.transaction(durable=False) as tx:
                tx.keep_challenges(number, row.position, taken[2])
        return row, self._blocks.stored(number), taken and (taken[0], taken[1])

    async def _read(self, node: NodeID, block: StoredBlock, row: FragmentRow) -> None:
        fragment = await self._client.get(node, block.name, timeout=READ_TIMEOUT, expect=row.hash)

        def renew() -> None:
            made = make_challenges([fragment], CHALLENGES, self._random.token)
            with self._catalog.transaction(durable=False) as tx:
                tx.keep_challenges(block.number, row.position, pack_challenges(made))

        await in_pool(self._pool, renew)
