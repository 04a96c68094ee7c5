"""Storage as one service: the catalog, its care, and uploads and downloads as jobs.

What the operations ``file_*`` and ``files_*`` ask for is in ``files``; this module starts and stops
the parts, runs the jobs and takes them up again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import AlreadyExists, BitdustError, NotFound, ServiceOff, TooFewSuppliers
from bitdust.events import Event, EventBus
from bitdust.ids import GlobalID, KeyID, RemotePath
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.schema import CatalogDamaged
from bitdust.storage.catalog.types import (
    JobKind,
    JobRow,
)
from bitdust.storage.formats.erasure import ecc_map
from bitdust.storage.formats.repair import acknowledgements_needed
from bitdust.storage.jobs import DOWNLOAD, UPLOAD, Job, JobQueue
from bitdust.storage.jobwork import JobWork, Parts
from bitdust.storage.ports import Keys, Secret, StorageClient, Suppliers
from bitdust.storage.rules import StorageRules
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.fetch import BlockFetcher, StoredBlock
from bitdust.storage.transfer.spread import NodeID, Spreader
from bitdust.storage.upkeep.blockstore import BlockIndex
from bitdust.storage.upkeep.care import Caretaker
from bitdust.storage.upkeep.compacting import Compactor
from bitdust.storage.upkeep.envelope import PLAIN, Envelope
from bitdust.storage.upkeep.inspection import Inspector
from bitdust.storage.upkeep.journalsync import JournalSync
from bitdust.storage.upkeep.recoding import Recoder
from bitdust.storage.upkeep.recovery import Recovery
from bitdust.storage.upkeep.sweeping import Sweeper

UPLOADS_AT_ONCE = 1
DOWNLOADS_AT_ONCE = 2
RESUME_PATIENCE = 600.0
"""Seconds for which a job that was interrupted waits for suppliers after a restart."""
RESUME_LOOK = 0.25
KEEP_JOBS = 30 * 86400.0
"""Seconds for which finished jobs stay in the catalog."""

BLOCK_KEK = b"bitdust block kek v1"
_CHUNK_KEY = b"bitdust chunk id v1"
JOURNAL_ID = b"bitdust journal id v1"

log = structlog.get_logger(component="storage")


class Storage(JobWork):
    """A person's files.

    Args:
        path: of the catalog.
        master: id of the master key.
        keys: private keys by id.
        suppliers: who keeps the data.
        client: how objects travel to them.
        events: told what happens; listened to for suppliers that come and go.
        clock, random: time and chance.
        pool: for everything that blocks.
        envelope: around the segments of the journal.
        other_names: of the same person, of now or from before; what is under them in the catalog
            becomes that of the master key's owner.
    """

    def __init__(
        self,
        path: Path,
        master: KeyID,
        keys: Keys,
        suppliers: Suppliers,
        client: StorageClient,
        events: EventBus,
        clock: Clock,
        random: Random,
        pool: Executor,
        envelope: Envelope = PLAIN,
        other_names: Sequence[GlobalID] = (),
    ) -> None:
        self._envelope = envelope
        self._other_names = tuple(other_names)
        self._path = path
        self.master = master
        self._keys = keys
        self.suppliers = suppliers
        self._client = client
        self.events = events
        self.clock = clock
        self._random = random
        self.pool = pool
        self._parts: Parts | None = None
        self._off = "the catalog is not open yet"
        self._recovery: asyncio.Task[int] | None = None
        self.rules = StorageRules()
        self.uploads = JobQueue(UPLOADS_AT_ONCE, self._record, self._ended, self._parked)
        self.downloads = JobQueue(DOWNLOADS_AT_ONCE, self._record, self._ended, cancels=True)
        events.on_event(self._on_event)

    # --- life --------------------------------------------------------------------------------

    async def start(self, *, recover: bool = False) -> None:
        """Open the catalog, or begin to bring it back from the suppliers.

        Args:
            recover: there was a catalog once, on another disk; it is looked for at the suppliers
                when there is none here.
        """
        if await in_pool(self.pool, self._is_hollow):
            # begun anew, it would overwrite the journal that the suppliers keep
            log.error("catalog empty", path=str(self._path))
            self._path.unlink()
            recover = True
        if not recover or self._path.exists():
            try:
                await self._open()
            except CatalogDamaged as exc:
                aside = self._path.with_name(f"{self._path.name}.damaged-{int(self.clock.now())}")
                log.error("catalog damaged", reason=exc.message, moved_to=str(aside))
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        self._path.with_name(self._path.name + suffix).rename(
                            aside.with_name(aside.name + suffix)
                        )
                self.events.publish("my-backup-index-out-of-sync", reason=exc.message)
            else:
                return
        self._off = "the catalog is being brought back from the suppliers"
        self._recovery = asyncio.create_task(self._recover(), name="recover catalog")

    def _is_hollow(self) -> bool:
        """Whether there is a file without anything in it, such as a crash of the machine leaves."""
        log_file = self._path.with_name(self._path.name + "-wal")
        return (
            self._path.exists()
            and not self._path.stat().st_size
            and not (log_file.exists() and log_file.stat().st_size)
        )

    async def _open(self) -> None:
        catalog = await in_pool(self.pool, Catalog.open, self._path)
        now = self.clock.now()

        def prepare() -> tuple[int, list[JobRow]]:
            with catalog.transaction() as tx:
                for name in self._other_names:
                    rename(tx, name, self.master.owner)
                ref = tx.ensure_key(self.master, now)
                tx.interrupt_jobs(now)
                tx.remove_jobs(now - KEEP_JOBS)
            return ref, catalog.jobs()

        ref, rows = await in_pool(self.pool, prepare)
        master = self._keys.private(self.master)
        journal_id = master.derive(JOURNAL_ID, 16)
        owner = self._derive(ref, master)
        blocks = BlockIndex(catalog, self.suppliers, journal_id, self.events, self._wake_care)
        spreader = Spreader(self._client, self.suppliers, self.clock)
        fetcher = BlockFetcher(self._client, self.clock, self.pool, self._is_online, self._amiss)
        journal = JournalSync(
            catalog,
            owner,
            journal_id,
            spreader,
            self.clock,
            self._random,
            self.pool,
            self._envelope,
        )
        compactor = Compactor(catalog, journal, spreader, self.clock, self._random, self.pool)
        sweeper = Sweeper(catalog, self.pool)
        care = Caretaker(
            catalog,
            blocks,
            journal,
            compactor,
            sweeper,
            fetcher,
            self._client,
            self.suppliers,
            self.events,
            self.pool,
            Recoder(
                catalog,
                blocks,
                fetcher,
                spreader,
                self._block_kek,
                self.clock,
                self._random,
                self.pool,
            ),
            lambda n: any(job.eccmap != ecc_map(n) for job in self.uploads.running()),
            self.rules,
        )
        inspector = Inspector(
            catalog,
            blocks,
            self._client,
            self.suppliers,
            self.clock,
            self._random,
            self.pool,
        )
        self._parts = Parts(catalog, blocks, journal, fetcher, spreader, care, inspector, sweeper)
        care.start()
        inspector.start()
        care.wake()
        for row in rows:
            self._resume(row)

    async def _recover(self) -> int:
        """Bring the catalog back; tried again until it succeeds."""
        master = self._keys.private(self.master)
        pause = 1.0
        while True:
            recovery = Recovery(
                self._client,
                self.suppliers.positions(),
                master.derive(JOURNAL_ID, 16),
                master.derive(BLOCK_KEK),
                self.clock,
                self.pool,
                self._recovering,
                self._envelope,
            )
            try:
                if not any(self.suppliers.positions()):
                    raise TooFewSuppliers("no supplier of this key has been found yet")
                segments = await recovery.run(self._path, str(self.master), tidy=True)
                await self._open()
            except BitdustError as exc:
                self._off = f"the catalog cannot be brought back yet: {exc.message}"
                log.warning("recovery put off", reason=exc.message, pause=pause)
                await self.clock.sleep(pause)
                pause = min(60.0, pause * 1.5)
            else:
                log.info("catalog recovered", segments=segments)
                self.events.publish("my-backup-index-synchronized", segments=segments)
                return segments

    def _recovering(self, done: int, total: int) -> None:
        self._off = f"the catalog is being brought back: {done} of {total} parts"

    async def wait_recovered(self, timeout: float | None) -> bool:
        """Wait for a recovery that is going on, for ever if None; whether the catalog is open."""
        if self._recovery is not None and not self._recovery.done():
            await asyncio.wait([self._recovery], timeout=timeout)
        return self._parts is not None

    async def stop(self) -> None:
        """End all work; jobs that ran go on at the next start."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await self.uploads.close()
        await self.downloads.close()
        if self._parts is not None:
            await self._parts.inspector.stop()
            await self._parts.care.stop()
            catalog, self._parts = self._parts.catalog, None
            self._off = "the node is stopping"
            await in_pool(self.pool, catalog.close)

    @property
    def parts(self) -> Parts:
        """The open catalog and what works on it.

        Raises:
            ServiceOff: it is not open, with the reason.
        """
        if self._parts is None:
            raise ServiceOff(self._off, hint="try again in a moment; see `bitdust supplier list`")
        return self._parts

    async def change_rules(
        self, *, moving: bool | None = None, repairing: bool | None = None
    ) -> None:
        """Let data move, and be repaired, or not; what the caretaker does now ends at once."""
        if moving is not None:
            self.rules.moving = moving
        if repairing is not None:
            self.rules.repairing = repairing
        if self._parts is not None:
            await self._parts.care.stop()
            self._parts.care.start()
            self._wake_care()

    def rekey(self) -> None:
        """The secret of the master key changed: what is sent from now on is locked under it."""
        if self._parts is not None:
            journal = self._parts.journal
            journal.rekey(self._derive(journal.owner.ref, self._keys.private(self.master)))

    # --- keys and suppliers ------------------------------------------------------------------

    @staticmethod
    def _derive(ref: int, key: Secret) -> OwnerKey:
        return OwnerKey(ref, key.derive(BLOCK_KEK), key.derive(_CHUNK_KEY))

    def _block_kek(self, ref: int) -> bytes:
        """What locks the keys of the blocks of a key. Blocks.

        Raises:
            KeyProblem, NotFound: this node has no such private key.
        """
        refs = {ref: key_id for key_id, ref in self.parts.catalog.keys().items()}
        if ref not in refs:
            raise NotFound("the catalog has no such key")
        return self._keys.private(KeyID.parse(refs[ref])).derive(BLOCK_KEK)

    async def owner_key(self, key_id: KeyID) -> OwnerKey:
        """What uploads and downloads need of a key, which is entered if the catalog has none.

        Raises:
            KeyProblem, NotFound: this node has no such private key.
        """
        private = self._keys.private(key_id)
        catalog = self.parts.catalog

        def ensure() -> int:
            found = catalog.find_key(key_id)
            if found is not None:
                return found
            with catalog.transaction() as tx:
                return tx.ensure_key(key_id, self.clock.now())

        return self._derive(await in_pool(self.pool, ensure), private)

    async def rename_owner(self, old: GlobalID, new: GlobalID) -> None:
        """Follow another person, whose keys the catalog may have, to a new name."""
        if self._parts is None:
            return
        catalog = self._parts.catalog

        def follow() -> None:
            with catalog.transaction() as tx:
                rename(tx, old, new)

        await in_pool(self.pool, follow)

    def _is_online(self, node: NodeID) -> bool:
        positions = self.suppliers.positions()
        return node in positions and self.suppliers.online(positions.index(node))

    def _amiss(self, block: StoredBlock, position: int, node: NodeID, error: BitdustError) -> None:
        if self._parts is not None:
            self._parts.blocks.amiss(block, position, node, error)
            what = "gone" if isinstance(error, NotFound) else "damaged"
            for job in self.downloads.running():
                job.warn(f"fragment {position} of block {block.name} is {what}; others were used")

    def _wake_care(self) -> None:
        if self._parts is not None:
            self._parts.care.wake()

    def _on_event(self, event: Event) -> None:
        if event.event_id == "suppliers-number-changed":
            self._wake_care()
        elif event.event_id in ("supplier-connected", "supplier-modified"):
            if self._parts is not None:
                for node in self.suppliers.positions():
                    if node is not None:
                        self._parts.spreader.forgive(node)
            self._wake_care()
        elif event.event_id == "node-connected" and self._parts is not None:
            node = bytes.fromhex(str(event.data["node_id"]))
            if node in self.suppliers.positions():
                self._parts.spreader.forgive(node)
                self._parts.inspector.connected(node)
                self._wake_care()

    def _path_id(self, catalog: Catalog, item: int) -> str:
        """The id under which people know an item."""
        return str(catalog.path_of(item)[1])

    # --- jobs --------------------------------------------------------------------------------

    def _resume(self, row: JobRow) -> None:
        """Go on with a job that the last run of the program left."""
        catalog = self.parts.catalog
        try:
            remote = RemotePath.parse(row.remote_path)
            if remote.key_id.owner in self._other_names:
                key_id = replace(remote.key_id, owner=self.master.owner)
                remote = replace(remote, key_id=key_id)
            path_id = self._path_id(catalog, row.item) if row.item is not None else ""
        except BitdustError as exc:
            log.warning("job not taken up again", job=row.id, reason=exc.message)
            return
        job = Job(row.id, str(row.kind), remote, row.local_path, path_id, row.created)
        job.version = row.label
        job.options = {**row.options, "item": row.item, "resumed": True}
        self._submit(job, self._suppliers_back)

    def _submit(self, job: Job, ready: Callable[[Job], Awaitable[None]] | None = None) -> None:
        job.eccmap = ecc_map(self.suppliers.n)
        job.block_size = self.rules.block_limit
        if job.kind == UPLOAD:
            self.uploads.submit(job, self._upload, ready)
        else:
            self.downloads.submit(job, self._download, ready)

    async def _suppliers_back(self, job: Job) -> None:
        """After a restart the suppliers are not connected yet: a job waits for them for a while."""
        ends = self.clock.monotonic() + RESUME_PATIENCE
        while self._online() < acknowledgements_needed(self.suppliers.n):
            job.check()
            if self.clock.monotonic() > ends:
                return
            await self.clock.sleep(RESUME_LOOK)

    async def begin(
        self, kind: str, remote: RemotePath, local: str, item: int, options: dict[str, Any]
    ) -> Job:
        """Enter a job into the catalog and queue it.

        Args:
            kind: ``upload`` or ``download``.
            remote: what it is about.
            local: source, or destination folder.
            item: of the catalog.
            options: kept with the job.
        """
        (self.uploads if kind == UPLOAD else self.downloads).check_open()
        owner = await self.owner_key(remote.key_id)
        catalog = self.parts.catalog
        now = self.clock.now()

        def enter() -> tuple[int, str, str]:
            with catalog.transaction() as tx:
                label = options.get("label") or tx.free_label(item, now)
                number = tx.add_job(
                    JobKind(kind),
                    owner.ref,
                    created=now,
                    local_path=local,
                    remote_path=str(remote),
                    item=item,
                    label=label,
                    options=options,
                )
            return number, label, self._path_id(catalog, item)

        number, label, path_id = await in_pool(self.pool, enter)
        job = Job(number, kind, remote, local, path_id, now)
        job.version = label
        job.options = {**options, "item": item}
        self._submit(job)
        self.events.publish(
            "backup-task-created" if kind == UPLOAD else "restore-task-created",
            remote_path=str(remote),
            backup_id=f"{remote.key_id}:{job.backup_id}",
            job_id=number,
        )
        return job

    def _ended(self, job: Job) -> None:
        """Write down how a job ended, and tell."""
        name = {
            (UPLOAD, "done"): "backup-done",
            (UPLOAD, "stopped"): "backup-aborted",
            (UPLOAD, "failed"): "backup-task-failed",
            (DOWNLOAD, "done"): "restore-done",
            (DOWNLOAD, "stopped"): "restore-failed",
            (DOWNLOAD, "failed"): "restore-failed",
        }.get((job.kind, job.state))
        if name is None or self._parts is None:
            return
        self.events.publish(
            name,
            remote_path=str(job.remote),
            backup_id=f"{job.remote.key_id}:{job.backup_id}",
            job_id=job.id,
            reason=job.error.message if job.error else "",
        )
        self._wake_care()


def rename(tx: Transaction, old: GlobalID, new: GlobalID) -> None:
    """Give what is under one name of a person to another; two with files of their own stay two."""
    try:
        tx.rename_owner(old, new)
    except AlreadyExists as exc:
        log.warning("catalog not renamed", old=str(old), new=str(new), reason=exc.message)
