"""Methods by the names of all three generations of the BitDust API, for ``POST /rpc``.

An older name is a row: which operation does the work, what the older document calls its parameters
and in which order, and what shape the answer has there. Names of today answer as everywhere else.

Source: BitDust API, first, second and third generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bitdust.api.dispatch import context_of, perform
from bitdust.api.parameters import InvalidParameters
from bitdust.api.registry import Operation, Registry
from bitdust.errors import NotFound

if TYPE_CHECKING:
    from bitdust.api.node import Node

Shape = Callable[[dict[str, Any], Mapping[str, Any]], None]
"""Changes an envelope of status OK into what the older document shows, given the parameters."""


FILEMANAGER = "filemanager"


@dataclass(frozen=True, slots=True)
class OlderName:
    """A row of the tables of older names.

    Args:
        name: as the older document spells it.
        of: the operation that does the work.
        order: parameters by position, as the older document spells them.
        spelled: older spellings of parameters that the operation does not know itself.
        ignored: parameters of the older document that have no effect any more.
        shape: what to do to the answer.
    """

    name: str
    of: str
    order: tuple[str, ...] = ()
    spelled: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    shape: Shape | None = None


@dataclass(frozen=True)
class RpcMethod:
    """A method of ``POST /rpc``.

    Args:
        name: as callers spell it.
        operation: does the work; knows the older spellings of its parameters.
        order: parameters by position.
        older: whether an older document shows another answer than today's.
        shape: what to do to the answer.
        bare: the answer is the result alone, without an envelope.
    """

    name: str
    operation: Operation[..., Any]
    order: tuple[str, ...]
    older: bool = False
    shape: Shape | None = None
    bare: bool = False

    def named(self, params: object) -> dict[str, object]:
        """Parameters by name, from a JSON-RPC ``params``.

        Raises:
            InvalidParameters: more values than parameters, or neither list nor object.
        """
        if params is None:
            return {}
        if isinstance(params, dict):
            return params
        if not isinstance(params, list):
            raise InvalidParameters(["params: must be a list or an object"])
        if (
            len(params) == 1
            and isinstance(params[0], dict)
            and self.name.startswith(FILEMANAGER + "_")
        ):
            return params[0]
        if len(params) > len(self.order):
            raise InvalidParameters(
                [f"params: {self.name} takes at most {len(self.order)} values"],
                hint=self.signature,
            )
        return dict(zip(self.order, params, strict=False))

    @cached_property
    def signature(self) -> str:
        """The call as one line."""
        return f"{self.name}({', '.join(self.order)})"

    async def call(self, node: Node, raw: Mapping[str, object]) -> Any:
        """Call the method.

        Args:
            node: the node to act on.
            raw: parameters by name, as JSON values.

        Returns:
            The envelope, or the result alone where the older document shows that.

        Raises:
            InvalidParameters: parameters that do not fit, by the names the caller used.
        """
        try:
            arguments = self.operation.bind(raw, context_of(node))
        except InvalidParameters as exc:
            raise self._as_spelled(exc, raw) from None
        envelope = await perform(node, self.operation, arguments)
        if envelope["status"] != "OK":
            if self.bare and self.name.startswith(FILEMANAGER):
                envelope |= {"success": False, "error": "; ".join(envelope["errors"])}
            return envelope
        if self.shape is not None:
            self.shape(envelope, arguments)
        return envelope.get("result") if self.bare else envelope

    def _as_spelled(self, exc: InvalidParameters, raw: Mapping[str, object]) -> InvalidParameters:
        aliases = self.operation.spellings
        spelled = {aliases[name]: name for name in (*self.order, *raw) if name in aliases}
        errors = []
        for error in exc.errors:
            name, colon, text = error.partition(":")
            errors.append(f"{spelled.get(name, name)}{colon}{text}")
        return InvalidParameters(errors, hint=exc.hint)


class RpcTable:
    """All methods of ``POST /rpc``.

    Args:
        registry: the operations of today.
        rows: older names of them; a row whose operation does not exist is left out.
        declared: older methods that are operations of their own.
        bare: names of those that answer without an envelope.
    """

    def __init__(
        self,
        registry: Registry,
        rows: Iterable[OlderName],
        declared: Iterable[Operation[..., Any]],
        bare: frozenset[str],
    ) -> None:
        self.methods: dict[str, RpcMethod] = {}
        for entry in registry.operations.values():
            if not entry.routes:
                continue  # for WebSocket alone
            for name in (entry.name, *entry.also):
                self.methods[name] = RpcMethod(name, entry, tuple(entry.parameters))
        for row in rows:
            if row.of in registry.operations:
                self.methods[row.name] = _method(row, registry.operations[row.of])
        for entry in declared:
            self.methods[entry.name] = RpcMethod(
                entry.name, entry, tuple(entry.parameters), older=True, bare=entry.name in bare
            )

    def method(self, name: str) -> RpcMethod:
        """The method called ``name``.

        Raises:
            NotFound: there is none; the message says so, the hint what there is.
        """
        found = self.methods.get(name)
        if found is not None:
            return found
        shown = ascii(name[:80])[1:-1]
        from difflib import get_close_matches

        near = get_close_matches(name[:80], self.methods, n=3)
        raise NotFound(
            f"unknown method {shown}",
            hint=f"did you mean {', '.join(near)}?" if near else "see the list of methods",
        )


def _method(row: OlderName, entry: Operation[..., Any]) -> RpcMethod:
    known = replace(
        entry,
        aliases={**entry.aliases, **row.spelled},
        ignored=entry.ignored | frozenset(row.ignored),
    )
    order = row.order or tuple(entry.parameters)
    return RpcMethod(row.name, known, order, older=True, shape=row.shape)


def build_rpc_table(registry: Registry) -> RpcTable:
    """The table of all methods of this version."""
    from bitdust.api import older, older_backups, older_filemanager, older_messages
    from bitdust.api.registry import declared_in

    declared = [
        *declared_in(older),
        *declared_in(older_backups),
        *declared_in(older_filemanager),
        *declared_in(older_messages),
    ]
    bare = older_backups.BARE | frozenset(
        entry.name for entry in declared if entry.name.startswith(FILEMANAGER)
    )
    rows = (*older.ROWS, *older_messages.ROWS)
    return RpcTable(registry, rows, declared, bare)
