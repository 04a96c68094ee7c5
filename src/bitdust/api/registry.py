"""Operations, declared once, and the table in which every interface finds them.

An operation is a typed async function ``(node, required…, *, optional…)`` under ``@operation``. Its
HTTP routes, WebSocket name, command and reference page follow from the declaration.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from bitdust.api.docstrings import Description, parse_docstring
from bitdust.api.parameters import Context, Parameter, bind, kind_of
from bitdust.errors import NotFound

P = ParamSpec("P")
R = TypeVar("R")

VERSION = "v1"
_PERSON = ("id", "idurl", "global_id", "user_id")
MAX_PATH = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP verb and path; ``{name}`` stands for one segment, ``{name:path}`` for several.

    Args:
        verb: such as ``GET``.
        path: such as ``/file/list/v1``.
        preset: other defaults that parameters have on this route.
    """

    verb: str
    path: str
    preset: tuple[tuple[str, Any], ...] = ()


def GET(path: str, **preset: Any) -> Route:
    """A route that takes query arguments, with other defaults of some parameters."""
    return Route("GET", path, tuple(preset.items()))


def POST(path: str) -> Route:
    """A route that takes a JSON object."""
    return Route("POST", path)


def PUT(path: str) -> Route:
    """A route that takes a JSON object."""
    return Route("PUT", path)


def DELETE(path: str) -> Route:
    """A route that takes a JSON object."""
    return Route("DELETE", path)


@dataclass(frozen=True, eq=False)
class Operation(Generic[P, R]):
    """One declared operation; calling it calls its function.

    Args:
        function: the body.
        routes: HTTP routes, the documented one first; none when only WebSocket has it.
        cli: words of its command, empty when it has none.
        aliases: other spellings of parameters that existing clients use.
        ignored: parameters of existing clients that are accepted without effect.
        also: other method names.
        long_poll: waits for something to happen; ended when the caller goes away.
        from_file: parameters that the command line reads from a named file.
        from_path: spellings under which existing clients name a local file, and the parameters
            that take what is in it.
        positional: optional parameters that the command line takes without their name.
        example: values for the reference where the usual ones do not fit.
    """

    function: Callable[P, Awaitable[R]]
    routes: tuple[Route, ...]
    cli: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    also: tuple[str, ...] = ()
    long_poll: bool = False
    from_file: tuple[str, ...] = ()
    from_path: Mapping[str, str] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The method name, such as ``file_info``."""
        return self.function.__name__

    @cached_property
    def description(self) -> Description:
        """Its docstring, taken apart."""
        return parse_docstring(self.function.__doc__ or "")

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Its parameters in order, without the node."""
        hints = get_type_hints(self.function, localns={"Node": object}, include_extras=True)
        signature = list(inspect.signature(self.function).parameters.values())[1:]
        return {
            entry.name: Parameter(
                entry.name,
                kind_of(hints[entry.name]),
                required=entry.default is inspect.Parameter.empty,
                default=None if entry.default is inspect.Parameter.empty else entry.default,
            )
            for entry in signature
        }

    def bind(self, raw: Mapping[str, object], context: Context) -> dict[str, Any]:
        """Typed arguments from what a caller gave.

        Raises:
            InvalidParameters: missing, unknown, doubled or ill-typed parameters.
        """
        return bind(self.parameters, raw, context, aliases=self.spellings, ignored=self.ignored)

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Other spellings of parameters: those declared, and those that name a person.

        A person may be given as ``id``, ``idurl`` or ``global_id`` where only one is asked for, and
        with the beginning of the parameter's name in any case: ``trusted_user_id`` is also
        ``trusted_id``, ``trusted_idurl`` and ``trusted_global_id``.
        """
        people = [name for name, entry in self.parameters.items() if entry.kind.names_person]
        found: dict[str, str] = {}
        for name in people:
            stem = name.removesuffix("_idurl").removesuffix("_id").removesuffix("_user")
            found |= {f"{stem}_{ending}": name for ending in _PERSON}
            if len(people) == 1:
                found |= dict.fromkeys(_PERSON, name)
        found |= self.aliases
        return {given: name for given, name in found.items() if given not in self.parameters}

    @property
    def signature(self) -> str:
        """The call as one line, such as ``file_info(remote_path, include_uploads=True)``."""
        parts = [
            entry.name if entry.required else f"{entry.name}={entry.default!r}"
            for entry in self.parameters.values()
        ]
        return f"{self.name}({', '.join(parts)})"


def operation(
    *routes: Route,
    cli: str = "",
    aliases: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
    also: tuple[str, ...] = (),
    long_poll: bool = False,
    from_file: tuple[str, ...] = (),
    from_path: Mapping[str, str] | None = None,
    positional: tuple[str, ...] = (),
    example: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Operation[P, R]]:
    """Declare an operation; see ``Operation`` for the arguments."""

    def declare(function: Callable[P, Awaitable[R]]) -> Operation[P, R]:
        return Operation(
            function,
            routes,
            cli=cli,
            aliases=aliases or {},
            ignored=frozenset(ignored),
            also=also,
            long_poll=long_poll,
            from_file=from_file,
            from_path=from_path or {},
            positional=positional,
            example=example or {},
        )

    return declare


class Registry:
    """All operations, by name and by route.

    Args:
        operations: in the order in which they are to be listed.

    Raises:
        ValueError: two operations share a name or a route.
    """

    def __init__(self, operations: Iterable[Operation[..., Any]]) -> None:
        self.operations: dict[str, Operation[..., Any]] = {}
        self._names: dict[str, Operation[..., Any]] = {}
        self._routes: dict[
            tuple[str, tuple[str, ...]], tuple[Operation[..., Any], dict[str, Any]]
        ] = {}
        self._patterns: list[tuple[str, tuple[str, ...], Operation[..., Any]]] = []
        for entry in operations:
            self._add(entry)

    def _add(self, entry: Operation[..., Any]) -> None:
        self.operations[entry.name] = entry
        for name in (entry.name, *entry.also):
            if name in self._names:
                raise ValueError(f"two operations are called {name}")
            self._names[name] = entry
        for route in entry.routes:
            segments = tuple(route.path.strip("/").split("/"))
            if "{" in route.path:
                self._patterns.append((route.verb, segments, entry))
            elif (route.verb, segments) in self._routes:
                raise ValueError(f"two operations have the route {route.verb} {route.path}")
            else:
                self._routes[route.verb, segments] = (entry, dict(route.preset))

    def named(self, name: str) -> Operation[..., Any]:
        """The operation called ``name``.

        Raises:
            NotFound: none is; the hint names the nearest.
        """
        entry = self._names.get(name)
        if entry is None:
            from difflib import get_close_matches

            near = get_close_matches(name[:80], self._names, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "see the list of methods"
            raise NotFound(f"invalid api method name {name[:80]!r}", hint=hint)
        return entry

    def route(self, verb: str, path: str) -> tuple[Operation[..., Any], Mapping[str, Any]]:
        """The operation for an HTTP request, and the parameters that its path holds or presets.

        ``/group/verb/v1`` and ``/v1/group/verb`` are the same; a slash at the end is ignored.

        Raises:
            NotFound: no operation has that route; the hint names the right verb if there is one.
        """
        segments = tuple(part for part in path[:MAX_PATH].split("/") if part)
        if segments and segments[0] == VERSION:
            segments = (*segments[1:], VERSION)
        found = self._match(verb, segments)
        if found is not None:
            return found
        shown = ascii(path[:200])[1:-1]
        others = [
            other
            for other in ("GET", "POST", "PUT", "DELETE")
            if other != verb and self._match(other, segments) is not None
        ]
        hint = f"use {' or '.join(others)}" if others else "see the list of methods"
        raise NotFound(f"method {ascii(verb[:20])[1:-1]}:{shown} was not found", hint=hint)

    def _match(
        self, verb: str, segments: tuple[str, ...]
    ) -> tuple[Operation[..., Any], Mapping[str, Any]] | None:
        found = self._routes.get((verb, segments))
        if found is not None:
            return found
        for pattern_verb, pattern, candidate in self._patterns:
            if pattern_verb == verb:
                values = _match_pattern(pattern, segments)
                if values is not None:
                    return candidate, values
        return None


def _match_pattern(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if part.endswith(":path}"):
            tail = len(pattern) - index - 1
            taken = segments[index : len(segments) - tail]
            if not taken or (tail and segments[-tail:] != pattern[-tail:]):
                return None
            values[part[1:-6]] = "/".join(taken)
            return values
        if index >= len(segments):
            return None
        if part.startswith("{"):
            values[part[1:-1]] = segments[index]
        elif part != segments[index]:
            return None
    return values if len(pattern) == len(segments) else None


def declared_in(module: ModuleType) -> list[Operation[..., Any]]:
    """The operations of a module, in the order in which they are written."""
    return [value for value in vars(module).values() if isinstance(value, Operation)]


def build_registry() -> Registry:
    """The registry of all operations of this version."""
    from bitdust.api import (
        chunks,
        configs,
        devices,
        dht,
        files,
        friends,
        groups,
        happenings,
        identity,
        keys,
        machines,
        messages,
        models,
        network,
        networks,
        nicknames,
        process,
        services,
        shares,
        suppliers,
        traffic,
    )

    modules = (
        process,
        configs,
        identity,
        keys,
        friends,
        messages,
        groups,
        files,
        chunks,
        shares,
        suppliers,
        services,
        traffic,
        network,
        networks,
        nicknames,
        dht,
        machines,
        happenings,
        models,
        devices,
    )
    return Registry(entry for module in modules for entry in declared_in(module))
