"""One call of an operation: convert, run, put the outcome into the envelope."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import failure, internal_failure, success
from bitdust.api.parameters import MAX_TEXT, Context
from bitdust.api.registry import Operation
from bitdust.errors import BitdustError, InvalidInput, LocalFileError

if TYPE_CHECKING:
    from bitdust.api.node import Node


def note_internal_failure(node: Node, what: str) -> dict[str, Any]:
    """Log the exception being handled and give the envelope that names the log entry."""
    error_id = node.random.token(6).hex()
    structlog.get_logger("api").exception("internal error", what=what, error_id=error_id)
    return internal_failure(error_id)


def context_of(node: Node, *, textual: bool = False) -> Context:
    """What converting parameters needs to know of a node."""
    return Context(node.global_id, textual, node.current_name)


async def dispatch(
    node: Node,
    called: Operation[..., Any],
    raw: Mapping[str, object],
    *,
    textual: bool = False,
) -> dict[str, Any]:
    """Call an operation with what a caller gave.

    Args:
        node: the node to act on.
        called: the operation.
        raw: parameters as they came.
        textual: they are words and not JSON.

    Returns:
        The envelope; every failure is in it and none is raised.
    """
    try:
        if called.from_path:
            raw = await _with_files(node, called, raw)
        arguments = called.bind(raw, context_of(node, textual=textual))
    except BitdustError as exc:
        return failure(exc)
    except Exception:
        return note_internal_failure(node, called.name)
    return await perform(node, called, arguments)


async def _with_files(
    node: Node, called: Operation[..., Any], raw: Mapping[str, object]
) -> Mapping[str, object]:
    """Replace the names of local files by what is in them."""
    given = dict(raw)
    for spelling, name in called.from_path.items():
        path = given.pop(spelling, None)
        if isinstance(path, str) and path and name not in given:
            given[name] = await in_pool(node, _read_text, spelling, path)
        elif path is not None:
            raise InvalidInput(f"{spelling}: must be a path, and alone")
    return given


def _read_text(spelling: str, path: str) -> str:
    if not path.startswith("/") or "\x00" in path:
        raise InvalidInput(f"{spelling}: must be an absolute path")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MAX_TEXT + 1)
    except (OSError, UnicodeError) as exc:
        raise LocalFileError(f"{spelling}: cannot read {path[:200]!a}") from exc


async def perform(
    node: Node, called: Operation[..., Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Call an operation with typed arguments.

    Returns:
        The envelope; every failure is in it and none is raised.
    """
    started = time.perf_counter()
    noted = False
    try:
        noted = node.settings.get_bool("logs/api-enabled")
        envelope = success(await called.function(node, **arguments))
    except BitdustError as exc:
        envelope = failure(exc)
    except Exception:
        envelope = note_internal_failure(node, called.name)
    if noted:
        structlog.get_logger("api").info(
            "api call",
            method=called.name,
            status=envelope["status"],
            seconds=round(time.perf_counter() - started, 6),
        )
    return envelope
