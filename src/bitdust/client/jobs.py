"""Uploads and downloads that can be watched, stopped and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any

LOOK_EVERY = 0.5
"""Seconds between two looks at the progress of a job."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Args:
        bytes_processed: plain bytes read or written so far.
        total_size: all of them, 0 while that is not known.
        percent: of the whole.
        details: the job as ``files_uploads`` or ``files_downloads`` shows it.
    """

    bytes_processed: int
    total_size: int
    percent: float
    details: dict[str, Any]


class Job:
    """A job of the node; ``async for progress in job``, ``await job``.

    Made inside a running event loop; whoever makes it awaits or stops it.

    Args:
        run: the call that answers when the job has ended.
        look: lists the jobs that run.
        stop: asks the node to end this one.
        about: which of the listed jobs is this one.
    """

    def __init__(
        self,
        run: Coroutine[Any, Any, Any],
        look: Callable[[], Awaitable[list[dict[str, Any]]]],
        stop: Callable[[], Awaitable[Any]],
        about: Callable[[dict[str, Any]], bool],
    ) -> None:
        self._task: asyncio.Task[dict[str, Any]] = asyncio.create_task(run, name="job")
        self._look = look
        self._stop = stop
        self._about = about

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        """The result of the job.

        Raises:
            BitdustError: why it failed; ``Stopped`` when it was stopped.
        """
        return asyncio.shield(self._task).__await__()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """What is known of the job, again and again until it ends, however that is."""
        while True:
            await asyncio.wait({self._task}, timeout=LOOK_EVERY)
            if self._task.done():
                return
            for row in await self._look():
                if self._about(row):
                    yield Progress(
                        int(row.get("bytes_processed", 0)),
                        int(row.get("total_size", 0)),
                        float(row.get("progress", 0)),
                        row,
                    )

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def stop(self) -> None:
        """Ask the node to end the job and wait until it has; awaiting it raises ``Stopped``.

        Raises:
            NotInCatalog: it is not running any more.
        """
        await self._stop()
        await asyncio.wait({self._task})
