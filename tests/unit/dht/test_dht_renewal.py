"""The clockwork: rounds at their time, retries, limits, and an end that waits."""

from __future__ import annotations

import asyncio

import pytest

from bitdust.dht.renewal import MAX_CONCURRENT, Renewal
from bitdust.errors import DhtError
from bitdust.testing import VirtualClock, run_virtual


def test_a_name_comes_round_at_the_time_it_asked_for() -> None:
    async def scenario() -> list[float]:
        clock = VirtualClock()
        rounds: list[float] = []

        async def work(name: str) -> float | None:
            rounds.append(clock.monotonic())
            return 10.0 if len(rounds) < 4 else None

        renewal = Renewal(work, clock, 5)
        renewal.start()
        renewal.add("a", 3.0)
        await clock.sleep(1000.0)
        assert "a" not in renewal
        await renewal.stop()
        return rounds

    assert run_virtual(scenario()) == pytest.approx([3.0, 13.0, 23.0, 33.0])


def test_an_earlier_name_added_later_is_not_late() -> None:
    async def scenario() -> list[tuple[str, float]]:
        clock = VirtualClock()
        rounds: list[tuple[str, float]] = []

        async def work(name: str) -> float | None:
            rounds.append((name, clock.monotonic()))
            return None

        renewal = Renewal(work, clock, 5)
        renewal.start()
        renewal.add("late", 100.0)
        await clock.sleep(10.0)
        renewal.add("early", 5.0)
        await clock.sleep(200.0)
        await renewal.stop()
        return rounds

    assert run_virtual(scenario()) == [("early", 15.0), ("late", 100.0)]


def test_a_failed_round_is_repeated() -> None:
    async def scenario() -> int:
        clock = VirtualClock()
        count = 0

        async def work(name: str) -> float | None:
            nonlocal count
            count += 1
            raise DhtError("away")

        renewal = Renewal(work, clock, 5, retry=60.0)
        renewal.start()
        renewal.add("a")
        await clock.sleep(200.0)
        await renewal.stop()
        return count

    assert run_virtual(scenario()) == 4


def test_names_and_rounds_at_once_are_bounded() -> None:
    async def scenario() -> int:
        clock = VirtualClock()
        running = most = 0

        async def work(name: int) -> float | None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await clock.sleep(1.0)
            running -= 1
            return None

        renewal = Renewal(work, clock, 100)
        renewal.start()
        for name in range(100):
            renewal.add(name)
        with pytest.raises(DhtError):
            renewal.add(100)
        renewal.add(7)
        await clock.sleep(20.0)
        assert len(renewal) == 0
        await renewal.stop()
        return most

    assert run_virtual(scenario()) == MAX_CONCURRENT


def test_stop_and_discard_end_rounds_under_way() -> None:
    async def scenario() -> list[str]:
        clock = VirtualClock()
        ended: list[str] = []

        async def work(name: str) -> float | None:
            try:
                await clock.sleep(10_000.0)
            finally:
                ended.append(name)
            return 1.0

        renewal = Renewal(work, clock, 5)
        renewal.start()
        renewal.add("dropped")
        renewal.add("stopped")
        await clock.sleep(1.0)
        renewal.discard("dropped")
        await clock.sleep(1.0)
        assert ended == ["dropped"]
        await renewal.stop()
        left = [t for t in asyncio.all_tasks() if t.get_name().startswith("dht-renewal")]
        assert left == []
        return ended

    assert run_virtual(scenario()) == ["dropped", "stopped"]
