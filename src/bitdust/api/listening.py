"""Readers of events by long polling: each named reader keeps its place between two calls."""

from __future__ import annotations

import asyncio
from typing import Any

from bitdust.events import EventBus, Subscription

MAX_CONSUMERS = 64
"""Named readers at one time; the one silent for longest makes room for a new one."""


class EventConsumers:
    """The named readers of one node's event bus.

    Args:
        events: the bus.
    """

    def __init__(self, events: EventBus) -> None:
        self._events = events
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: dict[str, int] = {}

    async def listen(self, name: str, timeout: float) -> list[dict[str, Any]]:
        """Wait for events and hand them over; a new reader hears what comes from now on.

        A reader that leaves more events uncollected than the bus allows is forgotten, and begins
        anew with its next call.

        Args:
            name: of the reader, its own choice.
            timeout: seconds to wait for the first event.

        Returns:
            ``[{"id", "data", "time"}]``, empty when none came in time.
        """
        subscription = self._subscription(name)
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with asyncio.timeout(timeout):
                events = await subscription.collect()
        except TimeoutError:
            events = []
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name]
        return [
            {"id": event.event_id, "data": event.data, "time": event.created} for event in events
        ]

    def queues(self) -> list[dict[str, Any]]:
        """What waits for each reader: ``consumer_id``, ``queue_id``, ``messages``, ``consumed`` and
        ``waiting``, the number of its calls that wait now."""
        return [
            {
                "consumer_id": name,
                "queue_id": f"event&{name}",
                "messages": subscription.pending,
                "consumed": subscription.taken,
                "waiting": self._waiting.get(name, 0),
            }
            for name, subscription in self._subscriptions.items()
            if not subscription.dropped
        ]

    def _subscription(self, name: str) -> Subscription:
        subscription = self._subscriptions.pop(name, None)
        if subscription is None or subscription.dropped:
            self._make_room()
            subscription = self._events.subscribe()
        self._subscriptions[name] = subscription  # the last in the dict was heard of last
        return subscription

    def _make_room(self) -> None:
        if len(self._subscriptions) >= MAX_CONSUMERS:
            silent = (name for name in self._subscriptions if name not in self._waiting)
            oldest = next(silent, next(iter(self._subscriptions)))
            self._events.unsubscribe(self._subscriptions.pop(oldest))
