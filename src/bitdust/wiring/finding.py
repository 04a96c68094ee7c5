"""Being found through the DHT by address and by nickname, and finding others there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.config_schema import Value
from bitdust.contacts import Nicknames, own_nickname
from bitdust.dht import identity_topic
from bitdust.services import ServicePort
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

NICKNAME = "personal/nickname"


class LookupPart(NodePart):
    """``service_nodes_lookup``: findable through the DHT, and finding others there."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None
        self._topic = b""

    async def start(self) -> None:
        node, dht = self._node, self._node.require_dht()
        identity = node.require_identity()
        self._topic = identity_topic(identity.node_id, dht.network)
        port = node.settings.get_int("services/tcp-connections/tcp-port")
        dht.announce(self._topic, port)
        self._port = self._gateway.port()
        nicknames = Nicknames(
            self._port,
            dht,
            identity.key,
            lambda: identity.document,
            node.find_document,
            node.clock,
            node.random,
            node.events,
            node.pool,
            port,
        )
        nicknames.start(self._wanted())
        node.nicknames = nicknames
        # after friends, whom the user named: those enter at the front
        node.name_lookups.append(nicknames.find_one)
        self._unwatch.append(node.settings.watch(NICKNAME, self._changed))

    async def stop(self) -> None:
        await self._end()
        nicknames, self._node.nicknames = self._node.nicknames, None
        if nicknames is not None:
            self._node.name_lookups.remove(nicknames.find_one)
            await nicknames.stop()
        if self._port is not None:
            self._port.close()
            self._port = None
        if self._topic and self._node.dht is not None:
            self._node.dht.withdraw(self._topic)
        self._topic = b""

    def _wanted(self) -> str:
        node = self._node
        return own_nickname(node.settings.get_str(NICKNAME), node.require_identity().document.name)

    def _changed(self, _key: str, _value: Value) -> None:
        if self._node.nicknames is not None:
            self._node.nicknames.rename(self._wanted())
