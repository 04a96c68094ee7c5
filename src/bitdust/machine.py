"""State machines as they are shown: a name, where each stands, and what it waits for.

The parts of the program keep their own states; this gives each a number that stays the same while
it lives, and remembers the states in which it was seen. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_PAST = 10
"""States remembered of each."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One state machine at one moment.

    Args:
        name: its kind, such as ``SupplierConnector``.
        id: tells it from all others, such as ``supplier_0``.
        state: where it stands, such as ``CONNECTED``.
        timers: seconds until something happens by itself, by what.
        details: whom it is about, for people.
    """

    name: str
    id: str
    state: str
    timers: Mapping[str, float] = field(default_factory=dict)
    details: str = ""


class MachineTable:
    """Numbers and past states of the machines of one node; forgets those that are gone."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, deque[str]]] = {}
        self._last = 0

    def show(self, machines: Iterable[Machine]) -> list[dict[str, Any]]:
        """Rows of ``automats_list`` for all machines that there are now."""
        rows: list[dict[str, Any]] = []
        seen: dict[tuple[str, str], tuple[int, deque[str]]] = {}
        for machine in machines:
            key = (machine.name, machine.id)
            if key in seen:
                continue
            known = self._known.get(key)
            if known is None:
                self._last += 1
                known = (self._last, deque(maxlen=MAX_PAST + 1))
            index, states = known
            if not states or states[-1] != machine.state:
                states.append(machine.state)
            seen[key] = known
            rows.append(_row(machine, index, list(states)[:-1]))
        self._known = seen
        return rows


def _row(machine: Machine, index: int, past: list[str]) -> dict[str, Any]:
    return {
        "index": index,
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "repr": f"{machine.id}({machine.state})",
        "timers": ", ".join(
            f"{what} in {max(0.0, left):.1f} s" for what, left in machine.timers.items()
        ),
        "past": past,
        "details": machine.details,
    }
