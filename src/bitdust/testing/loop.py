"""An event loop whose time is virtual: when nothing is ready, it jumps to the next timer.

    def test_three_days() -> None:
        async def scenario() -> None:
            await asyncio.sleep(3 * 86400)   # takes no time at all
        run_virtual(scenario())

Work given to an executor runs at once, in the loop's own thread, so that the order of everything
is the same in every run. The loop opens no sockets: use the in-memory network with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import selectors
from asyncio import base_events
from collections.abc import Callable, Coroutine, Mapping, MutableSequence, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_700_000_000.0
"""Wall clock of a ``VirtualClock`` at its loop's time zero, seconds since 1970."""


class Deadlock(RuntimeError):
    """Nothing is ready, no timer is set: the scenario would wait for ever."""


class _NothingToSelect(selectors.BaseSelector):
    """Stands where the loop's selector does, and moves time instead of waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits and no timer is set")
        self.now += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        raise NotImplementedError("the virtual loop has no files")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise NotImplementedError("the virtual loop has no files")

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(base_events.BaseEventLoop):
    """See the module; ``time()`` starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NothingToSelect()
        # One resolution step past a timer makes it due, whatever the rounding.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._selector.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run ``func`` now and give back a future that is done."""
        future: asyncio.Future[T] = self.create_future()
        try:
            result = contextvars.copy_context().run(func, *args)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt | SystemExit):
                raise
            future.set_exception(exc)
        else:
            future.set_result(result)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""


def run_virtual(scenario: Coroutine[Any, Any, T], *, within: float = 10 * 365 * 86400.0) -> T:
    """Run a coroutine on a fresh virtual loop and end everything it left.

    Args:
        scenario: what to run.
        within: virtual seconds after which it counts as stuck (timers may fire for ever).

    Raises:
        Deadlock: every task waits for something that cannot come.
        TimeoutError: it did not end within ``within``.
    """
    loop = VirtualLoop()

    async def bounded() -> T:
        async with asyncio.timeout(within):
            return await scenario

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(bounded())


class VirtualClock:
    """A ``Clock`` on the running loop's time; its wall clock can jump.

    Args:
        base: wall clock at the loop's time zero, seconds since 1970.
    """

    def __init__(self, base: float = START) -> None:
        self._base = base

    def now(self) -> float:
        """Wall clock, seconds since 1970."""
        return self._base + self.monotonic()

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait for virtual time to pass."""
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Move the wall clock, in either direction; monotonic time does not notice."""
        self._base += seconds


class SeededRandom:
    """A ``Random`` that gives the same in every run. Never for real keys.

    Args:
        seed: where the sequence starts.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, tests only

    def token(self, size: int) -> bytes:
        """``size`` bytes."""
        return self._random.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return self._random.uniform(low, high)

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put ``items`` in a new order, in place."""
        self._random.shuffle(items)

    def choice(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        return self._random.choice(items)
