"""The service of shares: places that several people read and write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bitdust.events import EventScope
from bitdust.services import ServicePort
from bitdust.sharing import RoutedFiles, Shares, Surroundings
from bitdust.storage import Files
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

SPONSOR = "services/shared-data/sponsor"
SPONSOR_QUOTA = "services/shared-data/sponsor-quota"


class SharesPart(NodePart):
    """``service_shared_data``: shares, and their files beside the own ones."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None
        self._events: EventScope | None = None
        self._asks: list[Callable[[int], Awaitable[bool]]] = []

    async def start(self) -> None:
        node = self._node
        self._port = self._gateway.port()
        self._events = EventScope(node.events)
        identity = node.require_identity()
        shares = Shares(
            Surroundings(
                node.home / "shares",
                self._port,
                node.require_keys(),
                identity.key,
                lambda: identity.global_id,
                node.require_customer(),
                node.find_document,
                self._events,
                node.clock,
                node.random,
                node.pool,
                node.restore_folder,
            ),
            node.require_key_exchange(),
            self._sponsors,
            lambda: node.settings.get_int(SPONSOR_QUOTA),
            lambda: node.settings.get_int("personal/private-key-size"),
        )
        node.shares = shares
        await shares.start()
        self._asks = node.require_customer().before_shrink
        self._asks.append(shares.are_spread_over)
        assert node.storage is not None
        node.files = RoutedFiles(node.storage, node.restore_folder, shares)

    async def stop(self) -> None:
        node = self._node
        shares, node.shares = node.shares, None
        if node.storage is not None and node.files is not None:
            node.files = Files(node.storage, node.restore_folder)
        if shares is not None:
            self._asks.remove(shares.are_spread_over)
            await shares.stop()
        if self._events is not None:
            self._events.close()
        if self._port is not None:
            self._port.close()
            self._port = None

    def _sponsors(self, node_id: bytes) -> bool:
        whom = self._node.settings.get_str(SPONSOR)
        friends = self._node.friends
        return whom == "everybody" or (
            whom == "friends" and friends is not None and friends.is_friend(node_id)
        )
