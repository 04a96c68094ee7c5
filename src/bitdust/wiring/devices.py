"""Remote devices of this node's person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.api import build_registry
from bitdust.devices import DeviceLine, DeviceRecord, Devices, Door, Receive
from bitdust.servers import DirectDoors, Sessions, guard_for
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

FOLDER = "devices"
"""Below ``metadata``."""
PORT = "interface/devices/web-socket-port"


class DevicesPart(NodePart):
    """``service_web_socket_communicator``: paired devices use this node."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._sessions: Sessions | None = None
        self._direct = DirectDoors(lambda: node.host, node.clock)

    async def start(self) -> None:
        node = self._node
        devices = Devices(
            node.home / "metadata" / FOLDER,
            self._door,
            self._serve,
            clock=node.clock,
            random=node.random,
            pool=node.pool,
            events=node.events,
            port=lambda: node.settings.get_int(PORT),
        )
        await devices.start()
        node.devices = devices

    async def stop(self) -> None:
        devices, self._node.devices = self._node.devices, None
        if devices is not None:
            await devices.stop()
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            await sessions.stop()

    def _door(self, record: DeviceRecord, receive: Receive) -> Door:
        return self._direct.door(record, receive)

    async def _serve(self, line: DeviceLine, record: DeviceRecord) -> None:
        if self._sessions is None:
            # most nodes have no devices, and do without this
            self._sessions = Sessions(self._node, build_registry())
            self._sessions.start()
        guard = guard_for(self._node, full_access=record.full_access)
        await self._sessions.converse(line, guard)
