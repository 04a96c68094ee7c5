"""Services between people: friends and their presence, keys handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.contacts import FriendBook, Friends, Pairing, Watchers
from bitdust.events import EventScope
from bitdust.services import ServicePort
from bitdust.sharing import KeyExchange
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

KEYS_FOLDER = "keys"
"""Below the home; what lies there comes back to whoever recovers with the master key."""
ACCEPT_KEYS = "services/keys-registry/accept-keys-from"


class FriendsPart(NodePart):
    """``service_p2p_notifications``: friends, and whether they are there."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None
        self._watchers: Watchers | None = None

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        self._port = self._gateway.port()
        friends = Friends(
            self._port,
            identity.node_id,
            FriendBook(node.home / KEYS_FOLDER),
            node.clock,
            EventScope(node.events),
            node.pool,
        )
        node.friends = friends
        node.pairing = pairing = Pairing(
            self._port,
            lambda: identity.document,
            friends,
            node.identities.resolve,
            node.home / "metadata" / "invitations",
            node.clock,
            node.random,
            node.pool,
        )
        await friends.start()
        await pairing.start()
        self._watchers = Watchers(
            self._port,
            node.home / "metadata" / "watchers",
            node.identities.get_node,
            node.clock,
            node.pool,
        )
        await self._watchers.start()
        node.name_lookups.insert(0, friends.named)

    async def stop(self) -> None:
        self._node.pairing = None
        watchers, self._watchers = self._watchers, None
        if watchers is not None:
            await watchers.stop()
        friends, self._node.friends = self._node.friends, None
        if friends is not None:
            if friends.named in self._node.name_lookups:
                self._node.name_lookups.remove(friends.named)
            await friends.stop()
        if self._port is not None:
            self._port.close()
            self._port = None


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
        friends = self._node.friends
        return whom == "everybody" or (
            whom == "friends" and friends is not None and friends.is_friend(node_id)
        )
