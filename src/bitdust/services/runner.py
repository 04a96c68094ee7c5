"""Brings services up and down so that what runs is what the settings say.

A service that fails stays down with its reason, what needs it waits, everything else goes on, and
it is tried again after a while. One change is made at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Set
from enum import Enum
from typing import Any, Protocol

import structlog

from bitdust.clock import Clock, pause
from bitdust.config import Settings
from bitdust.errors import BitdustError, DeadlineExceeded
from bitdust.events import EventBus
from bitdust.services.graph import Graph

START_TIMEOUT = 120.0
"""Seconds a service may take to come up."""
STOP_TIMEOUT = 60.0
"""Seconds a service may take to go down; it is left alone after that."""
FIRST_RETRY = 15.0
"""Seconds until a failed service is tried again; doubled each time."""
LONGEST_RETRY = 900.0

log = structlog.get_logger(component="services")


class State(Enum):
    """Where a service stands."""

    OFF = "OFF"
    STARTING = "STARTING"
    ON = "ON"
    STOPPING = "STOPPING"
    DEPENDS_OFF = "DEPENDS_OFF"
    NOT_INSTALLED = "NOT_INSTALLED"
    CLOSED = "CLOSED"


class Part(Protocol):
    """What a service does when it is switched on and off."""

    def obstacle(self) -> str:
        """Why it cannot run on this machine at all, empty when it can."""
        ...

    async def start(self) -> None:
        """Come up; when it raises or is cancelled, ``stop`` is called."""
        ...

    async def stop(self) -> None:
        """Go down, also from the middle of ``start``."""
        ...

    def healthy(self) -> bool:
        """Whether it does its work now; only asked while it is on."""
        ...


class ServiceRunner:
    """The services of one node.

    Args:
        graph: what depends on what.
        parts: what they do, by name; every service of the graph has one.
        settings: where they are enabled; watched from ``watch`` on.
        events: told of ``service-started`` and ``service-stopped``.
        clock: time between attempts.
        has_identity: whether those that need an identity can run.
    """

    def __init__(
        self,
        graph: Graph,
        parts: Mapping[str, Part],
        settings: Settings,
        events: EventBus,
        clock: Clock,
        has_identity: Callable[[], bool],
    ) -> None:
        missing = graph.specs.keys() ^ parts.keys()
        if missing:
            raise ValueError(f"services and their parts differ in {sorted(missing)}")
        self.graph = graph
        self._parts = parts
        self._settings = settings
        self._events = events
        self._clock = clock
        self._has_identity = has_identity
        self._running: set[str] = set()
        self._moving: dict[str, State] = {}
        self._since: dict[str, float] = {}
        self._failures: dict[str, BitdustError] = {}
        self._attempts: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._due = False
        self._tender: asyncio.Task[None] | None = None
        self._current: asyncio.Task[None] | None = None
        self._changes: set[asyncio.Task[None]] = set()
        self._unwatch: list[Callable[[], None]] = []
        self._closed = False

    # --- life --------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on follow the settings, and try failed services again."""
        for spec in self.graph.specs.values():
            self._unwatch.append(
                self._settings.watch(spec.config_path, lambda _key, _value: self._ask())
            )
        self._tender = asyncio.create_task(self._tend(), name="services")

    async def close(self) -> None:
        """Stop everything, in reverse order; nothing can be started afterwards."""
        self._closed = True
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch.clear()
        if self._current is not None:
            self._current.cancel()
        if self._tender is not None:
            self._tender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tender
            self._tender = None
        await self.apply()
        await asyncio.gather(*self._changes, return_exceptions=True)

    def _ask(self) -> None:
        self._due = True
        self._news.set()

    async def _tend(self) -> None:
        while True:
            self._news.clear()
            if self._due:
                self._due = False
                await self.apply()
                continue
            if not await pause(self._clock, self._patience(), self._news):
                self._due = True

    def _patience(self) -> float | None:
        """Seconds until the next attempt at something that failed, None when nothing did."""
        if not self._failures:
            return None
        fewest = min(self._attempts.get(name, 1) for name in self._failures)
        return float(min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(fewest - 1, 20)))

    # --- changes -----------------------------------------------------------------------------

    async def apply(self, restart: Set[str] = frozenset()) -> None:
        """Stop and start until what runs is what the settings and the identity allow.

        Args:
            restart: services to stop and start again, with all that need them.
        """
        async with self._turn:
            await self._change(restart, None)
        self._news.set()

    async def around(self, restart: Set[str], work: Callable[[], Awaitable[None]]) -> None:
        """Stop services with all that need them, do ``work``, and start them again in any case.

        Raises:
            whatever ``work`` raises.
        """
        async with self._turn:
            await self._change(restart, work)
        self._news.set()

    async def _change(self, restart: Set[str], work: Callable[[], Awaitable[None]] | None) -> None:
        plan = self.graph.plan(self._running, self._wanted(), restart)
        for name in plan.stop:
            await self._stop(name)
        try:
            if work is not None:
                await work()
        finally:
            for name in plan.start:
                # an identity or a setting may be gone by the time it is this one's turn
                if name in self.graph.target(self._wanted()) and self._blocking(name) is None:
                    await self._start(name)
            for name in set(self._failures) - set(self.graph.target(self._wanted())):
                self._failures.pop(name)
                self._attempts.pop(name, None)

    def begin(self, restart: Set[str] = frozenset()) -> asyncio.Task[None]:
        """The same as ``apply``, as a task that lives on when whoever waits for it goes away."""
        task = asyncio.create_task(self.apply(restart), name="change services")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return task

    def _wanted(self) -> set[str]:
        if self._closed:
            return set()
        return {name for name in self.graph.order if not self._obstacle(name)}

    def _obstacle(self, name: str) -> str:
        """Why a service is not wanted or not possible, empty when it is."""
        spec = self.graph.specs[name]
        if not self._settings.get_bool(spec.config_path):
            return "it is switched off"
        if spec.needs_identity and not self._has_identity():
            return "this node has no identity yet"
        return self._parts[name].obstacle()

    def _blocking(self, name: str) -> str | None:
        """The first service that it needs and that is not up."""
        needs = self.graph.specs[name].depends
        return next((need for need in needs if need not in self._running), None)

    async def _start(self, name: str) -> None:
        self._moving[name] = State.STARTING
        self._attempts[name] = self._attempts.get(name, 0) + 1
        part = self._parts[name]
        task = self._current = asyncio.create_task(part.start(), name=f"start {name}")
        try:
            await asyncio.wait({task}, timeout=START_TIMEOUT)
            if not task.done():
                raise DeadlineExceeded(f"it was not up within {START_TIMEOUT:g} s")
            await task
        except asyncio.CancelledError:
            # either this whole change was cancelled, or only the start by ``close``
            await self._undo(task, part)
            if not self._closed:
                raise
        except Exception as exc:
            await self._undo(task, part)
            self._failed(name, exc)
        else:
            self._running.add(name)
            self._since[name] = self._clock.now()
            self._failures.pop(name, None)
            self._attempts.pop(name, None)
            self._tell("service-started", name, State.ON)
        finally:
            self._current = None
            self._moving.pop(name, None)

    async def _undo(self, task: asyncio.Task[None], part: Part) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await part.stop()
        except Exception:
            log.exception("a service that did not start could not be cleared away")

    def _failed(self, name: str, error: Exception) -> None:
        if isinstance(error, BitdustError):
            log.warning("service failed", service=name, reason=error.message)
            self._failures[name] = error
        else:
            log.error("service failed", service=name, exc_info=error)
            self._failures[name] = BitdustError(
                f"it failed unexpectedly ({type(error).__name__})", hint="see the log"
            )

    async def _stop(self, name: str) -> None:
        self._moving[name] = State.STOPPING
        self._running.discard(name)
        self._since.pop(name, None)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._parts[name].stop()
        except TimeoutError:
            log.error("service did not stop in time", service=name)
        except Exception:
            log.exception("service did not stop cleanly", service=name)
        finally:
            self._moving.pop(name, None)
        self._tell("service-stopped", name, self.state(name))

    def _tell(self, event_id: str, name: str, state: State) -> None:
        self._events.publish(event_id, name=self.graph.specs[name].full_name, state=state.value)

    # --- views -------------------------------------------------------------------------------

    def is_on(self, name: str) -> bool:
        """Whether a service is up."""
        return name in self._running

    def failure(self, name: str) -> BitdustError | None:
        """What went wrong when it was last started, None when nothing did."""
        return self._failures.get(name)

    def state(self, name: str) -> State:
        """Where a service stands."""
        if name in self._moving:
            return self._moving[name]
        if name in self._running:
            return State.ON
        if self._closed:
            return State.CLOSED
        if self._parts[name].obstacle():
            return State.NOT_INSTALLED
        if self._obstacle(name):
            return State.OFF
        return State.DEPENDS_OFF if self._blocking(name) else State.OFF

    def reason(self, name: str) -> str:
        """Why a service is not up, empty when it is."""
        if name in self._running:
            return ""
        failure = self._failures.get(name)
        if failure is not None:
            return failure.message
        blocking = self._blocking(name)
        if blocking is not None and not self._obstacle(name):
            return f"{self.graph.specs[blocking].full_name} is not running"
        return self._obstacle(name)

    def explain(self, name: str) -> tuple[str, str]:
        """The service that keeps ``name`` from running, which may be itself, and why it is down."""
        while True:
            blocking = self._blocking(name)
            if blocking is None or self._obstacle(name):
                return name, self.reason(name) or "it is on its way"
            name = blocking

    def healthy(self, name: str) -> bool:
        """Whether a service is up and does its work."""
        return name in self._running and self._parts[name].healthy()

    def view(self, name: str) -> dict[str, Any]:
        """One row of ``services_list``."""
        spec = self.graph.specs[name]
        return {
            "index": self.graph.order.index(name),
            "id": spec.full_name,
            "name": spec.full_name,
            "state": self.state(name).value,
            "enabled": self._settings.get_bool(spec.config_path),
            "installed": not self._parts[name].obstacle(),
            "healthy": self.healthy(name),
            "depends": [self.graph.specs[need].full_name for need in spec.depends],
            "config_path": spec.config_path,
            "since": self._since.get(name),
            "reason": self.reason(name),
            "info": spec.summary,
        }

    def views(self) -> list[dict[str, Any]]:
        """All services, each after those that it needs."""
        return [self.view(name) for name in self.graph.order]
