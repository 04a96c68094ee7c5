"""Bringing services up and down: order, failures, settings, restarts, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bitdust.config import Settings
from bitdust.errors import NetworkError
from bitdust.events import Event, EventBus
from bitdust.services import Graph, ServiceRunner, Spec, State
from bitdust.services.runner import FIRST_RETRY, LONGEST_RETRY, START_TIMEOUT
from bitdust.testing import VirtualClock, run_virtual

GRAPH = Graph(
    [
        Spec("network", (), "", False),
        Spec("gateway", ("network",), ""),
        Spec("supplier", ("gateway",), ""),
        Spec("customer", ("gateway",), ""),
        Spec("employer", ("customer",), ""),
    ]
)


class FakePart:
    """Notes what is asked of it, and fails as told."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes
        self.error: Exception | None = None
        self.stop_error: Exception | None = None
        self.hang = False
        self.missing = ""
        self.well = True

    def obstacle(self) -> str:
        return self.missing

    async def start(self) -> None:
        self.notes.append(f"+{self.name}")
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        self.notes.append(f"-{self.name}")
        if self.stop_error is not None:
            raise self.stop_error

    def healthy(self) -> bool:
        return self.well


class Bench:
    def __init__(self, home: Path) -> None:
        self.notes: list[str] = []
        self.parts = {name: FakePart(name, self.notes) for name in GRAPH.order}
        self.settings = Settings(home)
        self.clock = VirtualClock()
        self.events = EventBus(self.clock.now)
        self.heard: list[tuple[str, str, str]] = []
        self.events.on_event(self._hear)
        self.identity = True
        self.runner = ServiceRunner(
            GRAPH, self.parts, self.settings, self.events, self.clock, lambda: self.identity
        )

    def _hear(self, event: Event) -> None:
        self.heard.append((event.event_id, event.data["name"], event.data["state"]))

    def states(self) -> dict[str, str]:
        return {name: self.runner.state(name).value for name in GRAPH.order}

    def take(self) -> list[str]:
        notes = list(self.notes)
        self.notes.clear()
        return notes

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await self.clock.sleep(0.01)


def test_up_in_order_and_down_in_reverse(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        assert set(bench.states().values()) == {"OFF", "DEPENDS_OFF"}
        await bench.runner.apply()
        assert bench.take() == ["+network", "+gateway", "+supplier", "+customer", "+employer"]
        assert set(bench.states().values()) == {"ON"}
        assert bench.heard[0] == ("service-started", "service_network", "ON")
        bench.heard.clear()
        await bench.runner.close()
        assert bench.take() == ["-employer", "-customer", "-supplier", "-gateway", "-network"]
        assert set(bench.states().values()) == {"CLOSED"}
        assert bench.heard[-1] == ("service-stopped", "service_network", "CLOSED")
        await bench.runner.apply()
        assert bench.take() == []

    run_virtual(scenario())


def test_without_an_identity_only_what_needs_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.identity = False
        await bench.runner.apply()
        assert bench.take() == ["+network"]
        assert "no identity" in bench.runner.reason("gateway")
        bench.identity = True
        await bench.runner.apply()
        assert bench.runner.is_on("employer")
        bench.take()
        bench.identity = False
        await bench.runner.apply()
        assert bench.take() == ["-employer", "-customer", "-supplier", "-gateway"]

    run_virtual(scenario())


def test_a_failure_stops_nothing_else_and_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["customer"].error = NetworkError("the sky fell")
        bench.parts["supplier"].error = ZeroDivisionError("secret detail")
        bench.runner.watch()
        await bench.runner.apply()
        assert bench.take() == [
            "+network",
            "+gateway",
            "+supplier",
            "-supplier",
            "+customer",
            "-customer",
        ]
        assert bench.states() == {
            "network": "ON",
            "gateway": "ON",
            "supplier": "OFF",
            "customer": "OFF",
            "employer": "DEPENDS_OFF",
        }
        assert bench.runner.reason("customer") == "the sky fell"
        assert bench.runner.explain("employer") == ("customer", "the sky fell")
        assert "secret" not in bench.runner.reason("supplier")
        assert "service_customer" in bench.runner.reason("employer")

        bench.parts["customer"].error = None
        began = bench.clock.monotonic()
        await bench.until(lambda: bench.runner.is_on("employer"))
        assert FIRST_RETRY - 1 <= bench.clock.monotonic() - began <= FIRST_RETRY + 1
        assert bench.runner.reason("customer") == ""
        await bench.runner.close()

    run_virtual(scenario())


def test_attempts_become_rare(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["network"].error = NetworkError("no")
        bench.runner.watch()
        await bench.runner.apply()
        await bench.clock.sleep(86400)
        tried = bench.take().count("+network")
        assert 86400 / LONGEST_RETRY * 0.8 <= tried <= 86400 / LONGEST_RETRY + 12
        await bench.runner.close()

    run_virtual(scenario())


def test_the_settings_are_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.runner.watch()
        await bench.runner.apply()
        bench.take()
        bench.settings.set("services/customer/enabled", False)
        await bench.until(lambda: not bench.runner.is_on("customer"))
        assert bench.take() == ["-employer", "-customer"]
        assert bench.states()["employer"] == "DEPENDS_OFF"
        assert bench.states()["customer"] == "OFF"
        assert bench.runner.explain("employer") == ("customer", "it is switched off")
        bench.settings.set("services/customer/enabled", True)
        await bench.until(lambda: bench.runner.is_on("employer"))
        assert bench.take() == ["+customer", "+employer"]
        await bench.runner.close()
        bench.settings.set("services/customer/enabled", False)

    run_virtual(scenario())


def test_a_restart_takes_what_stands_on_it_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        await bench.runner.apply()
        bench.take()
        await bench.runner.apply({"customer"})
        assert bench.take() == ["-employer", "-customer", "+customer", "+employer"]

    run_virtual(scenario())


def test_a_service_that_hangs_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["gateway"].hang = True
        began = bench.clock.monotonic()
        await bench.runner.apply()
        assert bench.clock.monotonic() - began == pytest.approx(START_TIMEOUT, abs=1)
        assert bench.take() == ["+network", "+gateway", "-gateway"]
        assert "not up within" in bench.runner.reason("gateway")

    run_virtual(scenario())


def test_the_end_comes_in_the_middle_of_a_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["customer"].hang = True
        change = asyncio.create_task(bench.runner.apply())
        await bench.until(lambda: bench.runner.state("customer") is State.STARTING)
        began = bench.clock.monotonic()
        await bench.runner.close()
        await change
        assert bench.clock.monotonic() - began < 1
        assert bench.take()[4:] == ["-customer", "-supplier", "-gateway", "-network"]

    run_virtual(scenario())


def test_a_cancelled_change_leaves_nothing_half_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["supplier"].hang = True
        change = asyncio.create_task(bench.runner.apply())
        await bench.until(lambda: bench.runner.state("supplier") is State.STARTING)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        assert bench.take() == ["+network", "+gateway", "+supplier", "-supplier"]
        bench.parts["supplier"].hang = False
        await bench.runner.apply()
        assert set(bench.states().values()) == {"ON"}

    run_virtual(scenario())


def test_a_stop_that_fails_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        await bench.runner.apply()
        bench.take()
        bench.parts["customer"].stop_error = RuntimeError("stuck")
        await bench.runner.close()
        assert bench.take() == ["-employer", "-customer", "-supplier", "-gateway", "-network"]

    run_virtual(scenario())


def test_what_is_not_installed_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.parts["customer"].missing = "a library is missing"
        await bench.runner.apply()
        assert bench.states()["customer"] == "NOT_INSTALLED"
        row = bench.runner.view("customer")
        assert (row["installed"], row["enabled"]) == (False, True)
        assert row["reason"] == "a library is missing"

    run_virtual(scenario())


def test_a_row_has_the_documented_fields(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        await bench.runner.apply()
        row = bench.runner.view("employer")
        assert row["name"] == row["id"] == "service_employer"
        assert row["depends"] == ["service_customer"]
        assert row["config_path"] == "services/employer/enabled"
        assert (row["state"], row["enabled"], row["installed"]) == ("ON", True, True)
        assert (row["healthy"], row["index"]) == (True, 4)
        bench.parts["employer"].well = False
        assert not bench.runner.healthy("employer")
        await bench.runner.close()
        assert not bench.runner.healthy("network")

    run_virtual(scenario())


def test_graph_and_parts_must_fit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(ValueError, match="gateway"):
        ServiceRunner(
            GRAPH,
            {n: p for n, p in bench.parts.items() if n != "gateway"},
            bench.settings,
            bench.events,
            bench.clock,
            lambda: True,
        )
