"""Blocking calls of operations, sent to the node's thread pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from bitdust.api.node import Node

P = ParamSpec("P")
R = TypeVar("R")


async def in_pool(node: Node, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``function`` in the node's pool and wait for its result."""
    import asyncio  # here, because the command line reads the declarations and never comes here

    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(node.pool, lambda: function(*args, **kwargs))
