"""Every operation of the engine, declared once, and what interfaces need to offer them.

Light to import: the command line builds its commands from the registry before anything else runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.api.envelope import Answer, error_classes, error_from
from bitdust.api.parameters import InvalidParameters, LocalPath, Target
from bitdust.api.registry import Operation, Registry, build_registry
from bitdust.api.secret import ensure_secret, read_secret, secret_path

if TYPE_CHECKING:
    from bitdust.api.listening import EventConsumers

__all__ = [
    "Answer",
    "EventConsumers",
    "InvalidParameters",
    "LocalPath",
    "Operation",
    "Registry",
    "Target",
    "build_registry",
    "ensure_secret",
    "error_classes",
    "error_from",
    "read_secret",
    "secret_path",
]


def __getattr__(name: str) -> object:
    if name == "EventConsumers":  # needs asyncio, which the command line does without
        from bitdust.api.listening import EventConsumers

        return EventConsumers
    raise AttributeError(name)
