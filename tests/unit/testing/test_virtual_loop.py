"""The virtual loop, its clock and its chance."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bitdust.testing import Deadlock, SeededRandom, VirtualClock, run_virtual


def test_time_jumps_to_the_next_timer() -> None:
    order: list[tuple[str, float]] = []

    async def scenario() -> float:
        loop = asyncio.get_running_loop()

        async def step(name: str, after: float) -> None:
            await asyncio.sleep(after)
            order.append((name, loop.time()))

        await asyncio.gather(step("late", 7 * 86400), step("soon", 1.5), step("mid", 3600))
        return loop.time()

    began = time.monotonic()
    assert run_virtual(scenario()) == pytest.approx(7 * 86400)
    assert time.monotonic() - began < 5
    assert [name for name, _ in order] == ["soon", "mid", "late"]
    assert [when for _, when in order] == pytest.approx([1.5, 3600, 7 * 86400])


def test_a_scenario_that_waits_for_ever_is_found_by_its_bound() -> None:
    async def scenario() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_virtual(scenario(), within=60)


def test_without_any_timer_the_loop_says_deadlock() -> None:
    from bitdust.testing import VirtualLoop

    loop = VirtualLoop()
    waiting = loop.create_future()
    with pytest.raises(Deadlock):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.close()


def test_executor_work_runs_at_once_and_keeps_its_error() -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(pool, lambda: 1 // 0)
            return await asyncio.to_thread(lambda: 42)

    assert run_virtual(scenario()) == 42


def test_the_wall_clock_jumps_and_monotonic_time_does_not() -> None:
    async def scenario() -> None:
        clock = VirtualClock(base=1000.0)
        await clock.sleep(5)
        assert clock.now() == pytest.approx(1005)
        clock.jump(-500)
        assert clock.now() == pytest.approx(505)
        assert clock.monotonic() == pytest.approx(5)

    run_virtual(scenario())


def test_seeded_chance_repeats() -> None:
    def sample(seed: int) -> tuple[object, ...]:
        chance = SeededRandom(seed)
        items = list(range(20))
        chance.shuffle(items)
        return chance.token(16), chance.uniform(1, 2), tuple(items), chance.choice("abc")

    assert sample(7) == sample(7)
    assert sample(7) != sample(8)
