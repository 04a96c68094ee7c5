"""What depends on what, and what to stop and start when one thing changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from bitdust.errors import NotFound

PREFIX = "service_"
MAX_NAME = 64
"""Characters of a service's name."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One service, as it is declared.

    Args:
        name: such as ``my_data``.
        depends: names of the services that must be up before it.
        summary: what it does, for people.
        needs_identity: it can only run once there is an identity.
    """

    name: str
    depends: tuple[str, ...]
    summary: str
    needs_identity: bool = True

    @property
    def full_name(self) -> str:
        """Such as ``service_my_data``."""
        return PREFIX + self.name

    @property
    def config_path(self) -> str:
        """The setting that switches it, such as ``services/my-data/enabled``."""
        return f"services/{self.name.replace('_', '-')}/enabled"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order: first all stops, then all starts."""

    stop: tuple[str, ...]
    start: tuple[str, ...]


class Graph:
    """Services in an order in which each comes after all that it needs.

    Args:
        specs: the services; those that do not depend on each other keep their order.

    Raises:
        ValueError: a name is declared twice, not declared, or part of a circle.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        declared = list(specs)
        self.specs = {spec.name: spec for spec in declared}
        if len(self.specs) != len(declared):
            raise ValueError("a service is declared twice")
        for spec in declared:
            unknown = set(spec.depends) - self.specs.keys()
            if unknown:
                raise ValueError(f"{spec.name} needs unknown services {sorted(unknown)}")
        self.order = self._sorted()
        self._dependents = {name: self._above(name) for name in self.order}

    def _sorted(self) -> tuple[str, ...]:
        placed: dict[str, None] = {}
        waiting = list(self.specs.values())
        while waiting:
            ready = [spec for spec in waiting if all(need in placed for need in spec.depends)]
            if not ready:
                names = sorted(spec.name for spec in waiting)
                raise ValueError(f"the services {names} depend on each other in a circle")
            placed[ready[0].name] = None
            waiting.remove(ready[0])
        return tuple(placed)

    def _above(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        for other in self.order:
            if found.union({name}) & set(self.specs[other].depends):
                found.add(other)
        return frozenset(found)

    def resolve(self, text: str) -> str:
        """The name meant by ``service_my_data``, ``my_data``, ``my-data`` or ``service-my-data``.

        Raises:
            NotFound: there is no such service; the hint names the nearest.
        """
        name = text[:MAX_NAME].strip().lower().replace("-", "_").removeprefix(PREFIX)
        if name in self.specs:
            return name
        from difflib import get_close_matches

        near = [PREFIX + found for found in get_close_matches(name, self.order, n=3)]
        raise NotFound(
            f"there is no service {text[:MAX_NAME]!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "see `bitdust service list`",
        )

    def dependents(self, name: str) -> frozenset[str]:
        """All services that need ``name``, directly or through others."""
        return self._dependents[name]

    def target(self, wanted: Set[str]) -> tuple[str, ...]:
        """Of the wanted services those that can run, since all they need is wanted too."""
        chosen: dict[str, None] = {}
        for name in self.order:
            if name in wanted and all(need in chosen for need in self.specs[name].depends):
                chosen[name] = None
        return tuple(chosen)

    def plan(self, running: Set[str], wanted: Set[str], restart: Set[str] = frozenset()) -> Plan:
        """How to come from what runs to what is wanted.

        Args:
            running: services that are up now.
            wanted: services that are enabled and possible.
            restart: services to stop and start again, with all that need them.

        Returns:
            Stops in reverse order, starts in order. A service is never up without all it needs.
        """
        target = self.target(wanted)
        again = {name for name in restart if name in running}
        for name in tuple(again):
            again |= self._dependents[name]
        # whatever stands on something that goes away goes first, however it came to be there
        gone = {name for name in running if name not in target} | (again & running)
        for name in tuple(gone):
            gone |= self._dependents[name] & running
        stop = tuple(name for name in reversed(self.order) if name in gone)
        start = tuple(name for name in target if name not in running or name in gone)
        return Plan(stop, start)
