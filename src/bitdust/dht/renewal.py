"""Renewal: one task that does many things again and again, each at its own time.

Announcements and records of a DHT fade unless renewed; this is the clockwork for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

import structlog

from bitdust.clock import Clock, pause
from bitdust.errors import BitdustError, DhtError

MAX_CONCURRENT: Final = 16
IDLE: Final = 3600.0

K = TypeVar("K", bound=Hashable)

_log = structlog.get_logger(component="dht.renewal")


class Renewal(Generic[K]):
    """Calls ``work(name)`` when it is due; ``work`` says in how many seconds again.

    Args:
        work: does one round for a name and returns seconds until the next, or None for never.
            A ``BitdustError`` is logged, and the round repeated after ``retry`` seconds.
        clock: time.
        limit: how many names there may be.
        retry: seconds.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        clock: Clock,
        limit: int,
        retry: float = 60.0,
    ) -> None:
        self._work = work
        self._clock = clock
        self._limit = limit
        self._retry = retry
        self._due: dict[K, float] = {}
        self._running: dict[K, asyncio.Task[None]] = {}
        self._rounds: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, name: K) -> bool:
        return name in self._due

    def start(self) -> None:
        """Begin; needs a running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="dht-renewal")

    async def stop(self) -> None:
        """End all rounds and wait for them."""
        tasks = [*self._rounds]
        if self._task is not None:
            tasks.append(self._task)
            self._task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    def add(self, name: K, delay: float = 0.0) -> None:
        """Do ``name`` in ``delay`` seconds, and from then on.

        Raises:
            DhtError: there are too many names.
        """
        if name not in self._due and len(self._due) >= self._limit:
            raise DhtError(f"this node keeps {self._limit} entries alive already")
        self._due[name] = self._clock.monotonic() + delay
        self._wake.set()

    def discard(self, name: K) -> None:
        """Never do ``name`` again; a round under way is cancelled."""
        self._due.pop(name, None)
        task = self._running.pop(name, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            waiting = sorted(
                ((due, name) for name, due in self._due.items() if name not in self._running),
                key=lambda pair: pair[0],
            )
            room = MAX_CONCURRENT - len(self._running)
            started = 0
            for due, name in waiting[:room]:
                if due > now:
                    break
                task = asyncio.create_task(self._round(name), name="dht-renewal-round")
                self._running[name] = task
                self._rounds.add(task)
                task.add_done_callback(self._rounds.discard)
                started += 1
            later = waiting[started:]
            full = len(self._running) >= MAX_CONCURRENT
            delay = IDLE if full or not later else max(later[0][0] - now, 0.0)
            await pause(self._clock, delay, self._wake)

    async def _round(self, name: K) -> None:
        delay: float | None = self._retry
        before = self._due.get(name)
        try:
            delay = await self._work(name)
        except BitdustError as exc:
            _log.warning("renewal failed", code=exc.code, reason=exc.message)
        finally:
            if self._running.get(name) is asyncio.current_task():
                del self._running[name]
            # Somebody who added or dropped the name meanwhile has the last word.
            if self._due.get(name) == before and before is not None:
                if delay is None:
                    del self._due[name]
                else:
                    self._due[name] = self._clock.monotonic() + delay
            self._wake.set()
