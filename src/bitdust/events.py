"""In-process event bus: named events with a JSON payload, bounded queues, slow readers dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_PENDING = 100
"""Events a subscriber may leave uncollected before it is dropped (documented API behaviour)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in this node.

    Args:
        event_id: dashed name, such as ``supplier-connected``.
        data: JSON-ready details, never a secret.
        created: wall clock, seconds.
    """

    event_id: str
    data: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0


class Subscription:
    """One reader of the bus; holds at most ``limit`` events, then is dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: deque[Event] = deque()
        self._wake = asyncio.Event()
        self.dropped = False
        self.taken = 0

    @property
    def pending(self) -> int:
        """How many events wait."""
        return len(self._pending)

    def offer(self, event: Event) -> bool:
        """Hand over one event; False when the reader was too slow and is now dropped."""
        if len(self._pending) >= self._limit:
            self.dropped = True
            self._pending.clear()
        else:
            self._pending.append(event)
        self._wake.set()
        return not self.dropped

    async def collect(self) -> list[Event]:
        """Wait for at least one event and take all that are pending; empty once dropped."""
        while not self._pending and not self.dropped:
            self._wake.clear()
            await self._wake.wait()
        events = list(self._pending)
        self._pending.clear()
        self.taken += len(events)
        return events


class EventBus:
    """Publishes events to subscribers and to plain callbacks.

    Args:
        now: wall clock used to stamp events.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._subscriptions: set[Subscription] = set()
        self._callbacks: list[Callable[[Event], None]] = []
        self.counts: dict[str, int] = {}

    def publish(self, event_id: str, **data: Any) -> Event:
        """Send an event to everybody who listens; never blocks."""
        event = self.inject(event_id, data)
        for callback in list(self._callbacks):
            callback(event)
        return event

    def inject(self, event_id: str, data: dict[str, Any]) -> Event:
        """Send an event from outside to the subscribers alone.

        Callbacks, by which the parts of the engine tell each other what happened, do not get it:
        what they are told must be true.
        """
        event = Event(event_id, data, self._now())
        self.counts[event_id] = self.counts.get(event_id, 0) + 1
        for subscription in list(self._subscriptions):
            if not subscription.offer(event):
                self._subscriptions.discard(subscription)
        return event

    def subscribe(self, limit: int = MAX_PENDING) -> Subscription:
        """A new reader that sees every event from now on."""
        subscription = Subscription(limit)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a reader."""
        self._subscriptions.discard(subscription)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``callback`` at every event, inside ``publish``; it must be quick and not raise.

        Returns:
            A function that ends it.
        """
        self._callbacks.append(callback)

        def off() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return off


class EventScope(EventBus):
    """A bus as one part of the program sees it; the part's callbacks end when it is closed.

    Args:
        bus: where events really go to and come from.
    """

    def __init__(self, bus: EventBus) -> None:
        super().__init__(bus._now)
        self._bus = bus
        self._off: list[Callable[[], None]] = []
        self.counts = bus.counts

    def publish(self, event_id: str, **data: Any) -> Event:
        return self._bus.publish(event_id, **data)

    def inject(self, event_id: str, data: dict[str, Any]) -> Event:
        return self._bus.inject(event_id, data)

    def subscribe(self, limit: int = MAX_PENDING) -> Subscription:
        return self._bus.subscribe(limit)

    def unsubscribe(self, subscription: Subscription) -> None:
        self._bus.unsubscribe(subscription)

    def on_event(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        off = self._bus.on_event(callback)
        self._off.append(off)
        return off

    def close(self) -> None:
        """End all callbacks that were registered here."""
        for off in self._off:
            off()
        self._off.clear()
