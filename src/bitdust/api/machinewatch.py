"""Tells by events how state machines move, for those that somebody asked about.

Machines are looked at after every event of the node and a few times a second, so a state that
lasts for less than that may go untold.

Source: BitDust, second generation, automat/events/start and the event ``state-changed``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from bitdust.clock import pause
from bitdust.errors import InvalidInput
from bitdust.events import Event

if TYPE_CHECKING:
    from bitdust.api.node import Node

CHANGED: Final = "state-changed"
POLL: Final = 0.5
"""Seconds between two looks when nothing happens."""
PAUSE: Final = 0.05
"""Seconds between two looks at the least, so that a burst of events costs one."""
MAX_WATCHED: Final = 256
"""Machines that are watched at one time."""
BORN: Final = "AT_STARTUP"
GONE: Final = "CLOSED"

Key = tuple[str, str]
"""Name and id of a machine."""

log = structlog.get_logger(component="automats")


class MachineWatch:
    """Who watches which machine of one node.

    Args:
        node: the node.
        look: all its machines now, as ``automats_list`` shows them.
    """

    def __init__(self, node: Node, look: Callable[[], list[dict[str, Any]]]) -> None:
        self._node = node
        self._look = look
        self._watched: dict[Key, bool] = {}
        self._seen: dict[Key, tuple[int, str]] = {}
        self._reason = ""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._off: Callable[[], None] | None = None

    def is_watched(self, row: dict[str, Any]) -> bool:
        """Whether the machine of a row is watched."""
        return (row["name"], row["id"]) in self._watched

    def start(self, row: dict[str, Any], *, state_unchanged: bool) -> None:
        """Watch the machine of a row from now on.

        Args:
            row: as ``automats_list`` shows it.
            state_unchanged: tell also of events after which it stands where it stood.

        Raises:
            InvalidInput: too many are watched.
        """
        key = (row["name"], row["id"])
        if key not in self._watched and len(self._watched) >= MAX_WATCHED:
            raise InvalidInput(
                f"{MAX_WATCHED} state machines are watched already",
                hint="end some with automat_events_stop",
            )
        self._watched[key] = state_unchanged
        self._seen[key] = (row["index"], row["state"])
        if self._task is None:
            self._off = self._node.events.on_event(self._on_event)
            self._task = asyncio.create_task(self._follow(), name="state machines")

    async def stop(self, row: dict[str, Any]) -> None:
        """Watch it no longer."""
        key = (row["name"], row["id"])
        self._watched.pop(key, None)
        self._seen.pop(key, None)
        if not self._watched:
            await self.close()

    async def close(self) -> None:
        """Watch nothing any more."""
        self._watched.clear()
        self._seen.clear()
        if self._off is not None:
            self._off()
            self._off = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _on_event(self, event: Event) -> None:
        if event.event_id != CHANGED:
            self._reason = event.event_id
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await pause(self._node.clock, POLL, self._wake)
            self._wake.clear()
            reason, self._reason = self._reason, ""
            try:
                self._tell(reason)
            except Exception:
                log.exception("state machines cannot be looked at")
            await self._node.clock.sleep(PAUSE)

    def _tell(self, reason: str) -> None:
        now = {(row["name"], row["id"]): (row["index"], row["state"]) for row in self._look()}
        for key, unchanged_too in list(self._watched.items()):
            index, old = self._seen.get(key, (0, BORN))
            index, new = now.get(key, (index, GONE))
            if old == new and not (unchanged_too and reason):
                continue
            # one that is gone may come back: a connection, a service's customer
            self._seen[key] = (index, new)
            self._node.events.publish(
                CHANGED,
                index=index,
                id=key[1],
                name=key[0],
                oldstate=old,
                newstate=new,
                event=reason,
            )
