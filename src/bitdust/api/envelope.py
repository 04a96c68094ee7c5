"""The envelope in which every interface answers, and errors on their way in and out of it.

``{"status": "OK", "result": …, "message": …}`` or
``{"status": "ERROR", "errors": ["…"], "code": "…", "hint": "…"}``. HTTP adds ``execution``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitdust.api.parameters import InvalidParameters
from bitdust.errors import BitdustError, PeerRefused

INTERNAL_ERROR = "internal"


@dataclass(frozen=True, slots=True)
class Answer:
    """A result with more to say.

    Args:
        result: JSON-ready; no ``result`` is sent when it is None.
        message: one sentence for people.
        extra: further keys of the envelope, such as ``revision``.
    """

    result: Any = None
    message: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def success(result: Any) -> dict[str, Any]:
    """The envelope for what an operation returned."""
    answer = result if isinstance(result, Answer) else Answer(result)
    envelope: dict[str, Any] = {**answer.extra, "status": "OK"}
    if answer.result is not None:
        envelope["result"] = answer.result
    if answer.message:
        envelope["message"] = answer.message
    return envelope


def failure(error: BitdustError) -> dict[str, Any]:
    """The envelope for a documented error."""
    errors = error.errors if isinstance(error, InvalidParameters) else [error.message]
    envelope: dict[str, Any] = {"status": "ERROR", "errors": errors, "code": error.code}
    if error.hint:
        envelope["hint"] = error.hint
    if isinstance(error, PeerRefused) and error.reason:
        envelope["reason"] = error.reason
    if error.retryable:
        envelope["retryable"] = True
    return envelope


def internal_failure(error_id: str) -> dict[str, Any]:
    """The envelope for an error nobody foresaw; its details are in the log under ``error_id``."""
    return {
        "status": "ERROR",
        "errors": [f"internal error {error_id}"],
        "code": INTERNAL_ERROR,
        "hint": f"please report it with the lines of the log that name {error_id}",
        "error_id": error_id,
    }


def _tree(root: type[BitdustError]) -> Iterator[type[BitdustError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def error_classes() -> dict[str, type[BitdustError]]:
    """The documented error classes by their code; the first that has a code stands for it."""
    classes: dict[str, type[BitdustError]] = {}
    for entry in _tree(BitdustError):
        if entry.__module__ == "bitdust.errors":
            classes.setdefault(entry.code, entry)
    return classes


def error_from(envelope: Mapping[str, Any]) -> BitdustError:
    """The error that an envelope of status ``ERROR`` stands for, for clients to raise."""
    code = str(envelope.get("code", ""))
    errors = envelope.get("errors")
    message = "; ".join(map(str, errors)) if isinstance(errors, list) else "unknown error"
    hint = str(envelope.get("hint", ""))
    found = error_classes().get(code, BitdustError)
    if issubclass(found, PeerRefused):
        return found(message, reason=str(envelope.get("reason", "")), hint=hint)
    return found(message, hint=hint)
