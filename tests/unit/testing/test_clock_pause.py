"""Waiting for time or for news, whichever comes first."""

from __future__ import annotations

import asyncio

from bitdust.clock import pause
from bitdust.testing import VirtualClock, run_virtual


def test_time_ends_a_pause_without_news() -> None:
    async def scenario() -> tuple[bool, float]:
        clock, wake = VirtualClock(), asyncio.Event()
        before = clock.monotonic()
        return await pause(clock, 30.0, wake), clock.monotonic() - before

    assert run_virtual(scenario()) == (False, 30.0)


def test_news_ends_a_pause_before_its_time_and_stays() -> None:
    async def scenario() -> tuple[bool, float, bool]:
        clock, wake = VirtualClock(), asyncio.Event()
        before = clock.monotonic()
        asyncio.get_running_loop().call_later(5.0, wake.set)
        return await pause(clock, 30.0, wake), clock.monotonic() - before, wake.is_set()

    assert run_virtual(scenario()) == (True, 5.0, True)


def test_a_pause_without_time_waits_for_news_only() -> None:
    async def scenario() -> tuple[bool, float]:
        clock, wake = VirtualClock(), asyncio.Event()
        before = clock.monotonic()
        asyncio.get_running_loop().call_later(86400.0, wake.set)
        return await pause(clock, None, wake), clock.monotonic() - before

    assert run_virtual(scenario(), within=2 * 86400.0) == (True, 86400.0)


def test_a_cancelled_pause_leaves_no_task_behind() -> None:
    async def scenario() -> int:
        pausing = asyncio.create_task(pause(VirtualClock(), 30.0, asyncio.Event()))
        await asyncio.sleep(1.0)
        pausing.cancel()
        await asyncio.gather(pausing, return_exceptions=True)
        assert pausing.cancelled()
        return len(asyncio.all_tasks())

    assert run_virtual(scenario()) == 1  # the scenario itself
