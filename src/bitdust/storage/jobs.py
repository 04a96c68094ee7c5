"""Uploads and downloads as jobs: one object that every interface shows, stops and waits for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from bitdust.errors import BitdustError, ServiceOff, Stopped
from bitdust.ids import RemotePath

UPLOAD = "upload"
DOWNLOAD = "download"

MAX_PENDING = 1000
"""Jobs of one kind that may wait; more are refused."""
MAX_WARNINGS = 100
"""Warnings kept of one job; the rest is only counted."""
STOP_LOOK = 0.5
"""Seconds between two looks whether a job that waits was stopped."""

log = structlog.get_logger(component="jobs")


@dataclass(slots=True, eq=False)
class Job:
    """One upload or download, from the moment it was asked for.

    Args:
        id: number, also the row in the catalog that survives a restart.
        kind: ``upload`` or ``download``.
        remote: what it is about.
        local: path on this machine; the source or the destination folder.
        path_id: the item by numbers, ``0/0/1/3``.
        created: wall clock, seconds.
        eccmap: ``ecc/4x4``.
    """

    id: int
    kind: str
    remote: RemotePath
    local: str
    path_id: str
    created: float
    eccmap: str = ""
    version: str = ""
    block_size: int = 0
    state: str = "pending"
    bytes_processed: int = 0
    total_size: int = 0
    files_processed: int = 0
    total_files: int = 0
    block_number: int = 0
    work_blocks: int = 0
    bytes_sent: int = 0
    reading: bool = False
    eof: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    error: BitdustError | None = None
    warnings: list[str] = field(default_factory=list)
    warnings_total: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    parking: threading.Event = field(default_factory=threading.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def warn(self, text: str) -> None:
        """Note something the person should know that does not end the job."""
        self.warnings_total += 1
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)

    def check(self) -> None:
        """Raise ``Stopped`` if somebody asked the job to end, or to wait."""
        if self.stopping.is_set():
            raise Stopped(f"the {self.kind} of {self.remote} was stopped")
        if self.parking.is_set():
            raise Stopped(f"the {self.kind} of {self.remote} waits")

    def begin_again(self) -> None:
        """Be as it was before it ran; what it did stays done and is passed over."""
        self.parking.clear()
        self.state = "pending"
        self.options["resumed"] = True
        self.reading = self.eof = False
        self.bytes_processed = self.files_processed = self.bytes_sent = 0
        self.block_number = self.work_blocks = 0

    @property
    def progress(self) -> float:
        """Percent of the bytes, 0 to 100."""
        if self.state == "done":
            return 100.0
        return (
            min(100.0, 100.0 * self.bytes_processed / self.total_size) if self.total_size else 0.0
        )

    @property
    def backup_id(self) -> str:
        """``0/0/1/3/F20160424013912PM``, as the running lists name it."""
        return f"{self.path_id}/{self.version}" if self.version else self.path_id

    def upload_view(self) -> dict[str, Any]:
        """A running upload in the shape of the second-generation document."""
        return {
            "job_id": self.id,
            "aborting": self.stopping.is_set(),
            "version": self.backup_id,
            "backup_id": self.backup_id,
            "key_id": str(self.remote.key_id),
            "remote_path": str(self.remote),
            "block_number": self.block_number,
            "block_size": self.block_size,
            "bytes_processed": self.bytes_processed,
            "bytes_sent": self.bytes_sent,
            "files_processed": self.files_processed,
            "total_files": self.total_files,
            "closed": self.finished.is_set(),
            "eccmap": self.eccmap,
            "eof_state": self.eof,
            "pipe": 0,
            "progress": round(self.progress, 4),
            "reading": self.reading,
            "source_path": self.local,
            "terminating": self.stopping.is_set(),
            "total_size": self.total_size,
            "work_blocks": self.work_blocks,
            "warnings": self.warnings_total,
            "state": self.state,
        }

    def pending_view(self) -> dict[str, Any]:
        """A waiting upload in the shape of the second-generation document."""
        return {
            "id": self.id,
            "task_id": self.id,
            "key_id": str(self.remote.key_id),
            "remote_path": str(self.remote),
            "created": time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(self.created)),
            "source_path": self.local,
            "path_id": self.path_id,
        }

    def download_view(self) -> dict[str, Any]:
        """A running download in the shape of the second-generation document."""
        return {
            "job_id": self.id,
            "aborted": self.stopping.is_set(),
            "backup_id": self.backup_id,
            "remote_path": str(self.remote),
            "block_number": self.block_number,
            "bytes_processed": self.bytes_processed,
            "files_processed": self.files_processed,
            "total_files": self.total_files,
            "total_size": self.total_size,
            "progress": round(self.progress, 4),
            "creator_id": str(self.remote.key_id.owner.idurl),
            "done": self.finished.is_set(),
            "key_id": str(self.remote.key_id),
            "created": time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(self.created)),
            "eccmap": self.eccmap,
            "path_id": self.path_id,
            "version": self.version,
            "local_path": self.local,
            "warnings": self.warnings_total,
            "state": self.state,
        }


class JobQueue:
    """Runs jobs of one kind, ``slots`` at a time, in the order they came.

    Args:
        slots: how many run at once.
        record: writes down a job that failed or was stopped.
        on_end: called when a job ended, in whatever way, before its waiters are woken.
        on_park: called when a job that ran was made to wait, before it is in the line again.
        cancels: jobs that are to wait are cancelled wherever they are; else they come to a place
            where they look.
    """

    def __init__(
        self,
        slots: int,
        record: Callable[[Job], Awaitable[None]],
        on_end: Callable[[Job], None],
        on_park: Callable[[Job], Awaitable[None]] | None = None,
        *,
        cancels: bool = False,
    ) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._record = record
        self._on_end = on_end
        self._on_park = on_park
        self._cancels = cancels
        self._going = asyncio.Event()
        self._going.set()
        self._off = ""
        self._works: dict[Job, asyncio.Task[dict[str, Any]]] = {}
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._closing = False

    def submit(
        self,
        job: Job,
        run: Callable[[Job], Awaitable[dict[str, Any]]],
        ready: Callable[[Job], Awaitable[None]] | None = None,
    ) -> None:
        """Queue a job.

        Args:
            job: what to do.
            run: does it; gives the result.
            ready: waited for before the job takes its turn, so that others may go first.

        Raises:
            Stopped: too many wait already, or the node is stopping.
        """
        if self._closing or len(self._tasks) >= MAX_PENDING:
            raise Stopped(
                f"no more than {MAX_PENDING} jobs may wait", hint="wait until some have finished"
            )
        self._tasks[job] = asyncio.create_task(
            self._run(job, run, ready), name=f"{job.kind} {job.id}"
        )

    def pause(self, reason: str) -> None:
        """Let all jobs wait, those that run as well, until ``resume``.

        Args:
            reason: why new ones are refused meanwhile; they are not when it is empty.
        """
        self._off = reason
        self._going.clear()
        for job in self.running():
            job.parking.set()
            if self._cancels and job in self._works:
                self._works[job].cancel()

    def resume(self) -> None:
        """Let jobs run again; those that waited go on where they were."""
        self._off = ""
        self._going.set()

    def check_open(self) -> None:
        """See whether a job may be begun.

        Raises:
            ServiceOff: all of the kind are made to wait, with the reason.
        """
        if self._off:
            raise ServiceOff(self._off, hint="see `bitdust service list`")

    async def _permitted(self, job: Job) -> None:
        """Wait until jobs may run, or this one is to end."""
        while not self._going.is_set():
            job.check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_LOOK):
                    await self._going.wait()

    async def _work(
        self, job: Job, run: Callable[[Job], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any] | None:
        """Run a job; None when it was made to wait before its end."""
        work = self._works[job] = asyncio.ensure_future(run(job))
        try:
            return await work
        except (asyncio.CancelledError, Stopped):
            task = asyncio.current_task()
            outer = task is not None and task.cancelling()
            if outer or self._closing or job.stopping.is_set() or not job.parking.is_set():
                raise
            return None
        finally:
            self._works.pop(job, None)

    async def _perform(
        self, job: Job, run: Callable[[Job], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Run a job to its end, with as many breaks as it is made to take."""
        while True:
            await self._permitted(job)
            async with self._slots:
                job.check()
                if not self._going.is_set():
                    continue
                job.state = "running"
                result = await self._work(job, run)
                if result is not None:
                    return result
                if self._on_park is not None:
                    await self._on_park(job)
                job.begin_again()

    async def _run(
        self,
        job: Job,
        run: Callable[[Job], Awaitable[dict[str, Any]]],
        ready: Callable[[Job], Awaitable[None]] | None,
    ) -> None:
        try:
            if ready is not None:
                await ready(job)
            job.result = await self._perform(job, run)
            job.state = "done"
        except asyncio.CancelledError:
            # the node stops: the row in the catalog stays, and the job goes on at the next start
            job.state = "interrupted"
            job.error = Stopped(f"the {job.kind} of {job.remote} was interrupted by a shutdown")
        except Stopped as exc:
            # a shutdown stops the threads of a job as a person does; the job goes on all the same
            job.state, job.error = ("interrupted" if self._closing else "stopped"), exc
        except BitdustError as exc:
            job.state, job.error = "failed", exc
            log.warning("job failed", job=job.id, kind=job.kind, code=exc.code, error=exc.message)
        except Exception as exc:
            job.state = "failed"
            job.error = BitdustError(
                f"the {job.kind} failed unexpectedly ({type(exc).__name__})",
                hint=f"see the log for job {job.id}",
            )
            log.exception("job crashed", job=job.id, kind=job.kind)
        try:
            if job.state in ("failed", "stopped"):
                await self._record(job)
        except BitdustError as exc:
            log.error("end of a job not recorded", job=job.id, code=exc.code, error=exc.message)
        finally:
            self._tasks.pop(job, None)
            self._on_end(job)
            job.finished.set()

    def running(self) -> list[Job]:
        """Jobs at work now."""
        return [job for job in self._tasks if job.state == "running"]

    def pending(self) -> list[Job]:
        """Jobs that wait for a slot."""
        return [job for job in self._tasks if job.state == "pending"]

    def find(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Jobs not finished yet for which ``matches`` is true."""
        return [job for job in self._tasks if matches(job)]

    async def close(self) -> None:
        """Interrupt all jobs and wait for them."""
        self._closing = True
        tasks = list(self._tasks.values())
        for job in list(self._tasks):
            job.stopping.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
