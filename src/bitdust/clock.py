"""Time and chance as protocols, so that tests own both."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Where a component gets the time from."""

    def now(self) -> float:
        """Wall clock, seconds since 1970 in UTC. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for time-outs and durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of monotonic time."""
        ...


class Random(Protocol):
    """Where a component gets chance from."""

    def token(self, size: int) -> bytes:
        """``size`` unpredictable bytes, fit for keys and nonces."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``, for jitter."""
        ...

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put ``items`` in random order, in place."""
        ...

    def choice(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def pause(clock: Clock, seconds: float | None, wake: asyncio.Event) -> bool:
    """Wait for ``seconds``, or until ``wake`` is set.

    Args:
        clock: whose time it is.
        seconds: of monotonic time; None waits for ``wake`` however long it takes.
        wake: is left as it is.

    Returns:
        Whether ``wake`` is set.
    """
    waiting: set[asyncio.Task[Any]] = {asyncio.create_task(wake.wait())}
    if seconds is not None:
        waiting.add(asyncio.create_task(clock.sleep(seconds)))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return wake.is_set()


class SystemRandom:
    """The operating system's source of randomness."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def shuffle(self, items: MutableSequence[Any]) -> None:
        self._random.shuffle(items)

    def choice(self, items: Sequence[T]) -> T:
        return self._random.choice(items)
