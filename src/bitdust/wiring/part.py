"""What every service of a node has in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from bitdust.config_schema import Value
from bitdust.events import EventScope
from bitdust.services import ServicePort

if TYPE_CHECKING:
    from bitdust.node import Node
    from bitdust.wiring.ground import GatewayPart


class NodePart:
    """One service of a node.

    Args:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._undo: list[Callable[[], None]] = []

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
        """End the task, and take back what was taken of the node: the last thing first."""
        while self._undo:
            self._undo.pop()()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _follow(self, key: str, take: Callable[[int], object]) -> None:
        """Hand over new values of a number setting as long as the service is on."""

        def changed(_key: str, value: Value) -> None:
            if isinstance(value, int):
                take(value)

        self._undo.append(self._node.settings.watch(key, changed))

    def _listen(self) -> EventScope:
        """The node's events; callbacks end with the service."""
        scope = EventScope(self._node.events)
        self._undo.append(scope.close)
        return scope

    def _be_found(self, topic: bytes, port: int) -> None:
        """Announce a port on a topic of the DHT as long as the service is on."""
        self._node.require_dht().announce(topic, port)

        def withdraw() -> None:
            if self._node.dht is not None:
                self._node.dht.withdraw(topic)

        self._undo.append(withdraw)


class MeetingPart(NodePart):
    """A service that asks other nodes and answers them.

    Args:
        node: the node.
        gateway: where its network comes from.
    """

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway

    def _meet(self) -> ServicePort:
        """The network; what is handled on it ends with the service."""
        port = self._gateway.port()
        self._undo.append(port.close)
        return port

    def _allows(self, setting: str, node_id: bytes) -> bool:
        """Whether a setting of ``everybody``, ``friends`` or ``nobody`` lets a person in."""
        whom = self._node.settings.get_str(setting)
        friends = self._node.friends
        return whom == "everybody" or (
            whom == "friends" and friends is not None and friends.is_friend(node_id)
        )
