"""Rates, back-off, quotas, views, and the customer's list of suppliers on the disk."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.errors import Busy, IntegrityError, QuotaExceeded
from bitdust.pool import in_pool
from bitdust.supply import granted_bytes, percent_text, size_text
from bitdust.supply import quota as quota_module
from bitdust.supply.quota import Quotas
from bitdust.supply.roster import Place, Roster, load_roster, save_roster
from bitdust.supply.rules import BackOff, Rates
from bitdust.supply.turns import Turns
from bitdust.supply.views import moment_text

ALICE, BOB = b"\xaa" * 32, b"\xbb" * 32


def test_rates_give_a_burst_then_a_rate() -> None:
    rates = Rates(rate=2.0, burst=3.0)
    assert [rates.allow(ALICE, 10.0) for _ in range(4)] == [True, True, True, False]
    assert rates.allow(BOB, 10.0)
    assert not rates.allow(ALICE, 10.4)
    assert rates.allow(ALICE, 10.6)
    assert [rates.allow(ALICE, 100.0) for _ in range(4)] == [True, True, True, False]
    assert not rates.allow(ALICE, 0.0)  # time that goes back gives nothing


def test_rates_remember_only_so_many() -> None:
    rates = Rates(rate=0.001, burst=1.0, most=2)
    assert rates.allow(b"1", 0)
    assert rates.allow(b"2", 0)
    assert not rates.allow(b"2", 0)
    assert rates.allow(b"3", 0)
    assert not rates.allow(b"2", 0)
    assert rates.allow(b"1", 0)  # forgotten, so it starts afresh


def test_back_off_doubles_to_its_end() -> None:
    pauses = BackOff(first=2.0, most=10.0)
    now, seen = 0.0, []
    assert pauses.ready("a", now)
    for _ in range(5):
        pauses.failed("a", now, jitter=1.0)
        start = now
        while not pauses.ready("a", now):
            now += 0.5
        seen.append(now - start)
    assert seen == [2.0, 4.0, 8.0, 10.0, 10.0]
    pauses.failed("a", now, 1.0, at_least=100.0)
    assert not pauses.ready("a", now + 99)
    pauses.forget("a")
    assert pauses.ready("a", now)


def test_back_off_remembers_only_so_many() -> None:
    pauses = BackOff(first=100.0, most=100.0, limit=2)
    for name in "abc":
        pauses.failed(name, 0.0, 1.0)
    assert [pauses.ready(name, 1.0) for name in "abc"] == [True, False, False]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["commit", "release", "keep"]))))
def test_books_never_promise_more_than_granted(steps: list[tuple[int, str]]) -> None:
    quotas = Quotas()
    quotas.grant(ALICE, 1000)
    used = kept = count = 0
    for size, end in steps:
        try:
            reservation = quotas.reserve(ALICE, size)
        except QuotaExceeded:
            assert used + kept + size > 1000
            continue
        if end == "commit":
            reservation.commit()
            reservation.release()
            used += size
            count += 1
        elif end == "release":
            reservation.release()
            reservation.commit()
        else:
            kept += size
        usage = quotas.usage(ALICE)
        assert (usage.used, usage.reserved, usage.count) == (used, kept, count)
        assert usage.used + usage.reserved <= 1000
    assert quotas.reserved_total() == kept


def test_too_many_small_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_module, "OBJECTS_BASE", 2)
    quotas = Quotas()
    quotas.grant(ALICE, 4096)
    for _ in range(3):
        quotas.reserve(ALICE, 1).commit()
    with pytest.raises(QuotaExceeded, match="objects"):
        quotas.reserve(ALICE, 1)
    quotas.removed(ALICE, 1, 1)
    quotas.reserve(ALICE, 1).commit()


async def test_turns_are_bounded_for_each_and_for_all() -> None:
    turns = Turns(total=2, each=1, waiting=1)
    go = asyncio.Event()
    running: list[bytes] = []

    async def work(who: bytes) -> None:
        async with turns.turn(who):
            running.append(who)
            await go.wait()

    tasks = [asyncio.create_task(work(who)) for who in (ALICE, ALICE, BOB)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(running) == [ALICE, BOB]
    with pytest.raises(Busy):
        await work(ALICE)
    go.set()
    await asyncio.gather(*tasks)
    await work(ALICE)


async def test_cancelled_work_in_the_pool_is_waited_for() -> None:
    with ThreadPoolExecutor(1) as pool:
        entered, leave, left = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            entered.set()
            leave.wait(10)
            left.set()

        task = asyncio.create_task(in_pool(pool, work))
        while not entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, leave.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set()


def test_what_people_read() -> None:
    assert [size_text(n) for n in (0, 1023, 1536, 166578104, 1 << 30, 1 << 60)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KB",
        "158.86 MB",
        "1 GB",
        "1024 PB",
    ]
    assert [percent_text(1, 8), percent_text(0, 5), percent_text(5, 0), percent_text(5, 5)] == [
        "12.5%",
        "0%",
        "0%",
        "100%",
    ]
    assert moment_text(1465131965) == "05-06-2016 13:06:05"
    assert moment_text(0) == ""
    assert [granted_bytes(100, n) for n in (2, 4, 7)] == [100, 50, 30]


def roster() -> Roster:
    made = Roster(4)
    made.places[2] = Place(position=2, node=ALICE, idurl="http://a.b/alice.xml", hired=5)
    made.retire(Place(position=2, node=BOB, idurl="http://a.b/bob.xml", dismissed=True))
    return made


def test_the_list_of_suppliers_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "metadata" / "suppliers"
    assert load_roster(path) is None
    save_roster(path, roster().encode())
    again = load_roster(path)
    assert again is not None
    assert (again.n, again.places, again.retired) == (4, roster().places, roster().retired)
    assert again.missing() == [0, 1, 3]
    assert (path.stat().st_mode & 0o777) == 0o600
    save_roster(path, Roster(2).encode())
    shorter = load_roster(path)
    assert shorter is not None
    assert shorter.places == {}
    assert [entry.name for entry in path.parent.iterdir()] == ["suppliers"]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1000), st.integers(0, 255), st.integers(0, 1000))
def test_a_damaged_list_is_never_believed(at: int, value: int, cut: int) -> None:
    raw = roster().encode()
    changed = bytearray(raw)
    changed[at % len(raw)] = value
    for candidate in (bytes(changed), raw[: cut % len(raw)]):
        if candidate != raw:
            with pytest.raises(IntegrityError):
                Roster.decode(candidate)


def test_a_damaged_list_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "suppliers"
    path.write_bytes(b"nonsense")
    with pytest.raises(IntegrityError):
        load_roster(path)
    assert not path.exists()
    assert path.with_name("suppliers.damaged").read_bytes() == b"nonsense"
    assert load_roster(path) is None
