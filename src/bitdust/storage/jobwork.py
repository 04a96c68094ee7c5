"""What an upload and a download do from their first step to their result."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitdust.clock import Clock, Random
from bitdust.errors import BitdustError, TooFewSuppliers
from bitdust.events import EventBus
from bitdust.ids import KeyID
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.types import JobState, Progress, Version, VersionState, VersionStats
from bitdust.storage.formats.erasure import ecc_map, fragments_needed
from bitdust.storage.formats.repair import acknowledgements_needed, may_vanish
from bitdust.storage.jobs import Job
from bitdust.storage.ports import Suppliers
from bitdust.storage.rules import StorageRules
from bitdust.storage.transfer.blockwriter import BlockSender, BlockWriter, OwnerKey
from bitdust.storage.transfer.download import Restorer
from bitdust.storage.transfer.fetch import BlockFetcher
from bitdust.storage.transfer.spread import Spreader
from bitdust.storage.transfer.upload import Tally, TreeReader
from bitdust.storage.transfer.walk import FOLDER, measure, stat_root
from bitdust.storage.upkeep.blockstore import BlockIndex
from bitdust.storage.upkeep.care import Caretaker
from bitdust.storage.upkeep.inspection import Inspector
from bitdust.storage.upkeep.journalsync import JournalSync
from bitdust.storage.upkeep.sweeping import Sweeper


@dataclass(frozen=True, slots=True)
class Parts:
    """What is there while the catalog is open."""

    catalog: Catalog
    blocks: BlockIndex
    journal: JournalSync
    fetcher: BlockFetcher
    spreader: Spreader
    care: Caretaker
    inspector: Inspector
    sweeper: Sweeper


class JobWork(ABC):
    """The work of jobs; ``Storage`` adds the rest of the service."""

    suppliers: Suppliers
    events: EventBus
    clock: Clock
    pool: Executor
    rules: StorageRules
    _random: Random

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """The open catalog and what works on it."""

    def _committed(self, tx: Transaction, seq: int, job: Job) -> None:  # noqa: B027 - only shares hook in
        """Called within the transaction in which an upload made version ``seq``."""

    @abstractmethod
    async def owner_key(self, key_id: KeyID) -> OwnerKey:
        """What uploads and downloads need of a key."""

    def _online(self) -> int:
        """How many suppliers can be asked now to take new data."""
        return sum(
            node is not None and self.suppliers.online(position)
            for position, node in enumerate(self.suppliers.positions()[: self.suppliers.n])
        )

    def _mark_job(self, job: Job, state: JobState, error: str = "") -> None:
        progress = Progress(
            job.files_processed,
            job.total_files,
            job.bytes_processed,
            job.total_size,
            job.block_number,
            job.bytes_sent,
        )
        # that it runs, or is done with what was made durable before, may be lost with the power
        durable = state not in (JobState.RUNNING, JobState.DONE)
        with self.parts.catalog.transaction(durable=durable) as tx:
            tx.update_job(
                job.id,
                updated=self.clock.now(),
                state=state,
                progress=progress,
                error=error,
            )

    @contextlib.asynccontextmanager
    async def _job_row(self, job: Job) -> AsyncIterator[None]:
        """Keeps the row of a job in step with it; a job that is interrupted stays running there."""
        while True:
            try:
                await in_pool(self.pool, self._mark_job, job, JobState.RUNNING)
                break
            except CatalogBusy:
                # a version was deleted: an upload builds on what is left once it is taken away
                await self.parts.sweeper.run()
        yield
        await in_pool(self.pool, self._mark_job, job, JobState.DONE)

    async def _parked(self, job: Job) -> None:
        """Give up the blocks that an upload was sending, as no memory holds them any more."""

        def abandon() -> None:
            with self.parts.catalog.transaction() as tx:
                tx.abandon_blocks(job.id)

        await in_pool(self.pool, abandon)

    async def _record(self, job: Job) -> None:
        """Write down that a job failed or was stopped, so that no restart takes it up again."""
        state = JobState.STOPPED if job.state == "stopped" else JobState.FAILED
        text = job.error.message if job.error is not None else ""
        await in_pool(self.pool, self._mark_job, job, state, text)

    async def _upload(self, job: Job) -> dict[str, Any]:
        """Run one upload; its result is what ``wait_result`` gives."""
        parts = self.parts
        began = self.clock.monotonic()
        owner = await self.owner_key(job.remote.key_id)
        item = int(job.options["item"])
        local = Path(job.local)
        n = self.suppliers.n
        job.eccmap = ecc_map(n)
        self._refuse_too_few(n)
        self.events.publish("backup-started", remote_path=str(job.remote), job_id=job.id)
        async with self._job_row(job):
            writer = BlockWriter(
                parts.catalog,
                owner,
                n,
                self.clock,
                self._random,
                job.id,
                self.rules.block_limit,
            )
            sender = BlockSender(self.pool, parts.catalog, n, parts.spreader, job)
            reader = TreeReader(
                parts.catalog,
                writer,
                owner,
                job,
                item,
                local,
                resumed=bool(job.options.get("resumed")),
                created=self.clock.now(),
            )
            measuring = asyncio.create_task(self._measure(job, local), name="measure")
            try:
                await sender.send_all(reader.blocks(), writer)
            finally:
                measuring.cancel()
                await asyncio.gather(measuring, return_exceptions=True)
            tally = reader.tally
            version, acks = await self._commit(job, item, n, tally, writer, sender)
        return {
            "remote_path": str(job.remote),
            "key_id": str(job.remote.key_id),
            "source_path": job.local,
            "path_id": job.path_id,
            "version": version.label,
            "backup_id": f"{job.remote.key_id}:{job.path_id}/{version.label}",
            "state": str(version.state),
            "files": tally.files,
            "folders": tally.folders,
            "links": tally.links,
            "bytes": tally.size,
            "files_changed": tally.changed,
            "removed": tally.removed,
            "new_bytes": writer.new_bytes,
            "packed_bytes": writer.packed_bytes,
            "stored_bytes": sender.stored_bytes,
            "blocks": writer.blocks,
            "suppliers": n,
            "acks": acks,
            "may_vanish": max(0, may_vanish(acks, n)),
            "seconds": round(self.clock.monotonic() - began, 3),
            "warnings": job.warnings,
            "warnings_total": job.warnings_total,
        }

    def _refuse_too_few(self, n: int) -> None:
        """An upload that cannot end is not begun."""
        online = self._online()
        needed = acknowledgements_needed(n)
        if online < needed:
            raise TooFewSuppliers(
                f"{online} of {n} suppliers are connected, an upload needs {needed}"
            )

    async def _measure(self, job: Job, local: Path) -> None:
        """Find out how much there is to do, while it is being done."""
        try:
            found = await in_pool(self.pool, stat_root, local)
            if found.kind == FOLDER:
                files, size = await in_pool(self.pool, measure, local)
            else:
                files, size = 1, found.size
        except BitdustError:
            return
        job.total_files, job.total_size = files, size

    async def _commit(
        self,
        job: Job,
        item: int,
        n: int,
        tally: Tally,
        writer: BlockWriter,
        sender: BlockSender,
    ) -> tuple[Version, int]:
        """Make the version, and bring the catalog's journal to the suppliers."""
        parts = self.parts
        job.check()

        now = self.clock.now()

        def commit() -> tuple[int, int]:
            acks = sender.min_acks
            stats = VersionStats(
                tally.files,
                tally.folders,
                tally.links,
                tally.size,
                writer.new_bytes,
                sender.stored_bytes,
                n,
                acks,
            )
            state = VersionState.STORED if acks == n else VersionState.PARTIAL
            with parts.catalog.transaction() as tx:
                seq = tx.commit_version(
                    job.id, item, job.version, created=now, state=state, stats=stats
                )
                self._committed(tx, seq, job)
                # in one with the version: a job that is taken up again must not make it twice
                tx.update_job(job.id, updated=now, state=JobState.DONE)
            known = parts.catalog
            mixed = known.blocks_coded_otherwise(n, limit=1)
            if mixed or (acks == n and known.blocks_needing_repair(1)):
                # blocks of earlier versions, which were not sent again, may lack fragments
                health = known.health(item, seq)
                if health.blocks and (mixed or health.stored < health.fragments):
                    margin = may_vanish(health.weakest, health.weakest_of)
                    acks = min(acks, fragments_needed(n) + margin)
            return seq, acks

        seq, acks = await in_pool(self.pool, commit)
        journal_n = parts.care.journal_number
        _, journal_acks = await parts.journal.flush(journal_n)
        if journal_n != n:
            # as many more may vanish as of the journal, which is spread over others yet
            journal_acks = min(n, fragments_needed(n) + may_vanish(journal_acks, journal_n))
        acks = min(acks, journal_acks)
        if acks < sender.min_acks:

            def mark() -> None:
                with parts.catalog.transaction() as tx:
                    tx.mark_version(seq, VersionState.PARTIAL, acks)

            await in_pool(self.pool, mark)
        return await in_pool(self.pool, parts.catalog.version, seq), acks

    async def _download(self, job: Job) -> dict[str, Any]:
        """Run one download; its result is what ``wait_result`` gives."""
        parts = self.parts
        began = self.clock.monotonic()
        owner = await self.owner_key(job.remote.key_id)
        item = int(job.options["item"])
        seq = int(job.options["seq"])
        self.events.publish("restore-started", remote_path=str(job.remote), job_id=job.id)
        async with self._job_row(job):
            totals = await in_pool(self.pool, parts.catalog.tree_totals, item, seq)
            job.total_files, job.total_size = totals.files, totals.size
            restorer = Restorer(
                parts.catalog,
                parts.blocks.stored,
                parts.fetcher,
                owner,
                self.pool,
                job,
                item,
                seq,
                job.remote.name.encode("utf-8", "surrogateescape"),
                Path(job.local),
            )
            await restorer.run()
        return {
            "downloaded": True,
            "key_id": str(job.remote.key_id),
            "backup_id": f"{job.remote.key_id}:{job.backup_id}",
            "local_path": str(Path(job.local, job.remote.name)),
            "path_id": job.path_id,
            "remote_path": str(job.remote),
            "version": job.version,
            "files": restorer.files,
            "folders": restorer.folders,
            "links": restorer.links,
            "kept": restorer.kept,
            "bytes": job.total_size,
            "seconds": round(self.clock.monotonic() - began, 3),
            "warnings": job.warnings,
            "warnings_total": job.warnings_total,
        }
