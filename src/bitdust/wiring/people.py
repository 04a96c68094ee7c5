"""Services between people: friends and their presence, keys handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.services import ServicePort
from bitdust.sharing import KeyExchange
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

ACCEPT_KEYS = "services/keys-registry/accept-keys-from"


class KeyExchangePart(NodePart):
    """``service_keys_exchange``: keys to other people, and theirs."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None

    async def start(self) -> None:
        node = self._node
        self._port = self._gateway.port()
        node.key_exchange = KeyExchange(
            self._port,
            node.require_keys(),
            node.require_identity().key,
            node.identities.resolve,
            self._accepts,
            node.clock,
            node.random,
            node.events,
            node.pool,
        )

    async def stop(self) -> None:
        self._node.key_exchange = None
        if self._port is not None:
            self._port.close()
            self._port = None

    def _accepts(self, node_id: bytes) -> bool:
        whom = self._node.settings.get_str(ACCEPT_KEYS)
        return whom == "everybody"
