"""Remote devices of this node's person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.api import build_registry
from bitdust.devices import DeviceLine, DeviceRecord, Devices, Door, Receive
from bitdust.dht import LAYER_WEB_SOCKET_ROUTERS, layer_topic
from bitdust.servers import DeviceRouter, DirectDoors, RoutedDoor, Sessions, guard_for
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

Address = tuple[str, int]

COMMUNICATOR = "services/web-socket-communicator"
ROUTER = "services/web-socket-router"
MAX_PORT = 65535
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
        if record.routed:
            return RoutedDoor(record, receive, self._routers, self._bounds, self._node.clock)
        return self._direct.door(record, receive)

    def _bounds(self) -> tuple[int, int]:
        settings = self._node.settings
        return (
            settings.get_int(f"{COMMUNICATOR}/min-connections"),
            settings.get_int(f"{COMMUNICATOR}/max-connections"),
        )

    async def _routers(self, count: int) -> list[Address]:
        """Addresses of routers: those of the settings, then others from the DHT."""
        preferred = self._node.settings.get_items(f"{COMMUNICATOR}/preferred-routers")
        found = [address for address in map(_address, preferred) if address is not None]
        dht = self._node.dht
        if dht is not None and len(found) < count:
            topic = layer_topic(LAYER_WEB_SOCKET_ROUTERS, dht.network)
            others = await dht.peers(topic, want=count)
            self._node.random.shuffle(others)
            found += others
        return found[:count]

    async def _serve(self, line: DeviceLine, record: DeviceRecord) -> None:
        if self._sessions is None:
            # most nodes have no devices, and do without this
            self._sessions = Sessions(self._node, build_registry())
            self._sessions.start()
        guard = guard_for(self._node, full_access=record.full_access)
        await self._sessions.converse(line, guard)


class RouterPart(NodePart):
    """``service_web_socket_router``: passes on for devices of others, who find it in the DHT."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)

    async def start(self) -> None:
        node, dht = self._node, self._node.require_dht()
        private = node.settings.get_bool("services/entangled-dht/private-network")
        host = node.settings.get_str(f"{ROUTER}/host") or (node.host if private else "")
        port = node.settings.get_int(f"{ROUTER}/port")
        router = DeviceRouter(host, port, node.host, node.clock)
        port = await router.start()
        node.router = router
        self._be_found(layer_topic(LAYER_WEB_SOCKET_ROUTERS, dht.network), port)

    async def stop(self) -> None:
        await self._end()
        router, self._node.router = self._node.router, None
        if router is not None:
            await router.stop()


def _address(text: str) -> Address | None:
    """``host:port``, None when it is something else."""
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        return None
    return host.strip("[]"), int(port)
