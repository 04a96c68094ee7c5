"""What every service of a node has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from bitdust.config_schema import Value

if TYPE_CHECKING:
    from bitdust.node import Node


class NodePart:
    """One service of a node.

    Args:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._unwatch: list[Callable[[], None]] = []

    def obstacle(self) -> str:
        """Nothing stands in the way on any machine."""
        return ""

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    def healthy(self) -> bool:
        """Being on is all there is."""
        return True

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.create_task(work, name=name)

    async def _end(self) -> None:
        """End the task and the watching of settings."""
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _follow(self, key: str, take: Callable[[int], object]) -> None:
        """Hand over new values of a number setting as long as the service is on."""

        def changed(_key: str, value: Value) -> None:
            if isinstance(value, int):
                take(value)

        self._unwatch.append(self._node.settings.watch(key, changed))
