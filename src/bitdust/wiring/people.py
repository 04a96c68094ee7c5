"""Services between people: friends and their presence, keys handed over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bitdust.contacts import FriendBook, Friends, Pairing, Watchers
from bitdust.events import EventScope
from bitdust.sharing import KeyExchange
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import MeetingPart

if TYPE_CHECKING:
    from bitdust.node import Node

KEYS_FOLDER = "keys"
"""Below the home; what lies there comes back to whoever recovers with the master key."""
ACCEPT_KEYS = "services/keys-registry/accept-keys-from"


class FriendsPart(MeetingPart):
    """``service_p2p_notifications``: friends, and whether they are there."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node, gateway)
        self._watchers: Watchers | None = None

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        port = self._meet()
        friends = Friends(
            port,
            identity.node_id,
            FriendBook(node.home / KEYS_FOLDER),
            node.clock,
            EventScope(node.events),
            node.pool,
        )
        node.friends = friends
        node.pairing = pairing = Pairing(
            port,
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
            port,
            node.home / "metadata" / "watchers",
            node.identities.get_node,
            node.clock,
            node.pool,
        )
        await self._watchers.start()
        node.name_lookups.insert(0, friends.named)

    async def stop(self) -> None:
        await self._end()
        self._node.pairing = None
        watchers, self._watchers = self._watchers, None
        if watchers is not None:
            await watchers.stop()
        friends, self._node.friends = self._node.friends, None
        if friends is not None:
            if friends.named in self._node.name_lookups:
                self._node.name_lookups.remove(friends.named)
            await friends.stop()


class KeyExchangePart(MeetingPart):
    """``service_keys_exchange``: keys to other people, and theirs."""

    async def start(self) -> None:
        node = self._node
        node.key_exchange = KeyExchange(
            self._meet(),
            node.require_keys(),
            node.require_identity().key,
            node.identities.resolve,
            partial(self._allows, ACCEPT_KEYS),
            node.clock,
            node.random,
            node.events,
            node.pool,
        )

    async def stop(self) -> None:
        await self._end()
        self._node.key_exchange = None
