"""Being found through the DHT by address and by nickname, and finding others there."""

from __future__ import annotations

from bitdust.config_schema import Value
from bitdust.contacts import Nicknames, own_nickname
from bitdust.dht import identity_topic
from bitdust.wiring.part import MeetingPart

NICKNAME = "personal/nickname"


class LookupPart(MeetingPart):
    """``service_nodes_lookup``: findable through the DHT, and finding others there."""

    async def start(self) -> None:
        node, dht = self._node, self._node.require_dht()
        identity = node.require_identity()
        port = node.settings.get_int("services/tcp-connections/tcp-port")
        self._be_found(identity_topic(identity.node_id, dht.network), port)
        nicknames = Nicknames(
            self._meet(),
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
        self._undo.append(node.settings.watch(NICKNAME, self._changed))

    async def stop(self) -> None:
        await self._end()
        nicknames, self._node.nicknames = self._node.nicknames, None
        if nicknames is not None:
            self._node.name_lookups.remove(nicknames.find_one)
            await nicknames.stop()

    def _wanted(self) -> str:
        node = self._node
        return own_nickname(node.settings.get_str(NICKNAME), node.require_identity().document.name)

    def _changed(self, _key: str, _value: Value) -> None:
        if self._node.nicknames is not None:
            self._node.nicknames.rename(self._wanted())
