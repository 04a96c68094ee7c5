"""Jobs: long work that the catalog remembers over a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from bitdust.errors import InvalidInput, NotInCatalog
from bitdust.ids import decode_name, encode_name
from bitdust.storage.catalog.block_writes import BlockWrites
from bitdust.storage.catalog.removal import RemovalWrites
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.source import Source
from bitdust.storage.catalog.stage import StageWrites
from bitdust.storage.catalog.types import UNFINISHED, JobKind, JobRow, JobState, Progress

MAX_ERROR: Final = 4096
MAX_OPTIONS: Final = 64 * 1024
_progress: Final = msgspec.json.Decoder(Progress)


def to_job(row: Sequence[Any]) -> JobRow:
    """A job from a whole row of its table."""
    return JobRow(
        id=row[0],
        kind=JobKind(row[1]),
        key=row[2],
        item=row[3],
        local_path=decode_name(row[4]),
        remote_path=decode_name(row[5]),
        label=row[6],
        state=JobState(row[7]),
        progress=_progress.decode(row[8]),
        error=row[9],
        created=row[10],
        updated=row[11],
        options=msgspec.json.decode(row[12]),
    )


class JobReads(Source):
    """Questions about jobs."""

    def job(self, job: int) -> JobRow:
        """One job.

        Raises:
            NotInCatalog: no such job.
        """
        with self._using() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            raise NotInCatalog(f"there is no job {job}")
        return to_job(row)

    def jobs(
        self,
        *,
        states: Iterable[JobState] = UNFINISHED,
        kind: JobKind | None = None,
        limit: int = 1000,
    ) -> list[JobRow]:
        """Jobs in some states, oldest first.

        Args:
            states: which; those unfinished when not given. kind: of one kind only.
            limit: at most so many.
        """
        found: list[JobRow] = []
        with self._consistent() as db:
            for state in dict.fromkeys(states):
                # worded so that the index of unfinished jobs is used where it can be
                few = "state IN ('pending', 'running') AND " if state in UNFINISHED else ""
                found.extend(
                    to_job(row)
                    for row in db.execute(
                        f"SELECT * FROM jobs WHERE {few}state = ?1"  # noqa: S608
                        " AND (?2 IS NULL OR kind = ?2) ORDER BY id LIMIT ?3",
                        (str(state), kind and str(kind), limit),
                    )
                )
        return sorted(found, key=lambda job: job.id)[:limit]


class JobWrites(BlockWrites, StageWrites, RemovalWrites, JobReads):
    """Changes of jobs; none of them travels in the journal."""

    def add_job(
        self,
        kind: JobKind,
        key: int,
        *,
        created: float,
        local_path: str = "",
        remote_path: str = "",
        item: int | None = None,
        label: str = "",
        options: dict[str, Any] | None = None,
    ) -> int:
        """Enter a job, pending.

        Args:
            kind: what it does. key: reference of the key it works under.
            created: wall clock, seconds.
            local_path, remote_path: from where to where. item: what it is about.
            label: name of the version it makes or reads. options: JSON-ready details.

        Returns:
            Its id, never given again.

        Raises:
            NotInCatalog: no such key. InvalidInput: the options are too long.
        """
        self.key_id(key)
        raw = msgspec.json.encode(options or {})
        if len(raw) > MAX_OPTIONS:
            raise InvalidInput("the options of a job are too long")
        self.db.execute(
            "INSERT INTO jobs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)",
            (
                str(kind),
                key,
                item,
                encode_name(local_path),
                encode_name(remote_path),
                label,
                str(JobState.PENDING),
                msgspec.json.encode(Progress()),
                created,
                created,
                raw,
            ),
        )
        return self.db.last_insert_rowid()

    def update_job(
        self,
        job: int,
        *,
        updated: float,
        state: JobState | None = None,
        progress: Progress | None = None,
        error: str | None = None,
        item: int | None = None,
        label: str | None = None,
    ) -> None:
        """Change what is given of a job; a finished upload drops what it staged and not committed.

        Raises:
            NotInCatalog: no such job.
            CatalogBusy: an upload cannot begin to run while a version that was deleted under its
                key is still being taken away.
        """
        if (
            state == JobState.RUNNING
            and self.db.execute(
                "SELECT 1 FROM sweeps s JOIN jobs j ON j.key = s.key"
                " WHERE j.id = ? AND j.kind = 'upload'",
                (job,),
            ).get
        ):
            raise CatalogBusy(
                "a deleted version is still being taken away", hint="try again in a moment"
            )
        self.db.execute(
            "UPDATE jobs SET updated = ?, state = coalesce(?, state),"
            " progress = coalesce(?, progress), error = coalesce(?, error),"
            " item = coalesce(?, item), label = coalesce(?, label) WHERE id = ?",
            (
                updated,
                state and str(state),
                None if progress is None else msgspec.json.encode(progress),
                None if error is None else error[:MAX_ERROR],
                item,
                label,
                job,
            ),
        )
        if self.db.changes() != 1:
            raise NotInCatalog(f"there is no job {job}")
        if state is not None and state not in UNFINISHED:
            row = self.job(job)
            if row.kind == JobKind.UPLOAD:
                self.drop_stage(job)
                self.abandon_blocks(job)
                # what is left over is taken away by the caretaker
                self.prune_some(row.key)

    def interrupt_jobs(self, updated: float) -> list[JobRow]:
        """At start: what ran when the program ended is pending again.

        What they staged stays, except files with chunks in blocks that were still being sent: those
        blocks are given up, as no memory holds their fragments any more.

        Returns:
            The jobs that were interrupted.
        """
        interrupted = [
            row[0] for row in self.db.execute("SELECT id FROM jobs WHERE state = 'running'")
        ]
        self.db.execute(
            "UPDATE jobs SET state = 'pending', updated = ? WHERE state = 'running'", (updated,)
        )
        for job in interrupted:
            self.abandon_blocks(job)
        return [self.job(job) for job in interrupted]

    def remove_jobs(self, before: float) -> int:
        """Forget finished jobs last updated before a moment.

        Returns:
            How many they were.
        """
        self.db.execute(
            "DELETE FROM jobs WHERE state NOT IN ('pending', 'running') AND updated < ?", (before,)
        )
        return self.db.changes()
