"""Services of groups: taking part in them, and keeping the streams of others as a broker."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

import structlog

from bitdust.contacts import KEYS_BACK
from bitdust.dht import (
    GROUP_BROKERS,
    LAYER_MESSAGE_BROKERS,
    Dht,
    SharedSecret,
    group_topic,
    layer_topic,
    owner_dht_key,
)
from bitdust.errors import BitdustError
from bitdust.events import Event
from bitdust.identity import IdentityDocument
from bitdust.ids import KeyID
from bitdust.messaging import (
    GROUP_KEYS,
    Around,
    Broker,
    BrokerService,
    BrokerStore,
    GroupKeep,
    Groups,
    rename_groups,
    takes_groups,
)
from bitdust.network import Endpoint
from bitdust.services import ServicePort
from bitdust.sharing import Received
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import MeetingPart
from bitdust.wiring.people import KEYS_FOLDER

if TYPE_CHECKING:
    from bitdust.node import Node

BROKER_FILE: Final = "brokers.db"
"""Below the home: streams of other people's groups."""
MAX_LOOKED_AT: Final = 24
"""Nodes asked whether they take a group, in one search."""
MAX_NAMED: Final = 16
"""Brokers of a group looked for by its record, and as many by its topic."""
LOOK_TIMEOUT: Final = 5.0
LOOK_FOR: Final = 6.0
"""Seconds a search on the DHT may take."""
ANNOUNCE_AGAIN: Final = 3600.0
DHT_TIMEOUT: Final = 10.0

log = structlog.get_logger(component="groups")


class _Meeting:
    """Makes brokers known to the network by their addresses.

    Args:
        node: the node.
        port: its network.
    """

    def __init__(self, node: Node, port: ServicePort) -> None:
        self._node = node
        self._port = port

    async def introduce(self, node_id: bytes, idurl: str) -> None:
        """Look up the address of a broker that the network does not know."""
        own = self._node.require_identity().node_id
        if node_id == own or self._port.document_of(node_id) is not None:
            return
        try:
            document = await self._node.find_document(idurl)
        except BitdustError as exc:  # the network may find it by other ways
            log.debug("a broker's identity is not found", reason=exc.message)
            return
        if document.node_id == node_id:
            self._port.learn(document)


class BrokerPart(MeetingPart):
    """``service_message_broker``: streams of groups, for others."""

    async def start(self) -> None:
        node, branch = self._node, "services/message-broker"
        port = self._meet()
        broker = BrokerService(
            port,
            await BrokerStore.open(node.home / BROKER_FILE, node.pool),
            node.require_identity().node_id,
            node.clock,
            node.random,
            _Meeting(node, port).introduce,
            max_streams=node.settings.get_int(f"{branch}/max-groups"),
            quota=node.settings.get_int(f"{branch}/group-quota"),
            on_stream=self._announce,
        )
        node.broker = broker
        dht = node.require_dht()
        await broker.start()
        own_port = node.settings.get_int("services/tcp-connections/tcp-port")
        self._be_found(layer_topic(LAYER_MESSAGE_BROKERS, dht.network), own_port)

    def _announce(self, stream: bytes, kept: bool) -> None:
        """Be found by members who know none of their group's brokers any more."""
        dht = self._node.dht
        if dht is None:
            return
        topic = group_topic(stream, dht.network)
        if not kept:
            dht.withdraw(topic)
            return
        try:
            dht.announce(topic, self._node.settings.get_int("services/tcp-connections/tcp-port"))
        except BitdustError as exc:
            log.info("a group kept here is not announced", reason=exc.message)

    async def stop(self) -> None:
        await self._end()
        broker, self._node.broker = self._node.broker, None
        if broker is not None:
            await broker.stop()


class GroupsPart(MeetingPart):
    """``service_private_groups``: the own groups."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node, gateway)
        self._port: ServicePort | None = None
        self._announced: dict[str, tuple[int, tuple[str, ...], float]] = {}

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        assert node.history is not None
        port = self._port = self._meet()
        around = Around(
            port=port,
            me=identity.node_id,
            identity=identity.key,
            idurl=lambda: str(identity.idurl),
            database=node.history.database,
            stream=node.message_stream,
            events=node.events,
            clock=node.clock,
            random=node.random,
            pool=node.pool,
            introduce=_Meeting(node, port).introduce,
            find_brokers=self._find_brokers,
            find_group=self._find_group,
            announce=self._announce,
            keep=GroupKeep(node.home / KEYS_FOLDER),
        )
        await rename_groups(around.database, around.keep, self._names(), node.pool)
        groups = node.groups = Groups(around, self._hand_over, node.find_document)
        await groups.start()
        exchange = node.require_key_exchange()
        self._undo.append(exchange.on_received(GROUP_KEYS, self._on_key))
        self._listen().on_event(self._on_event)

    async def stop(self) -> None:
        await self._end()
        groups, self._node.groups = self._node.groups, None
        if groups is not None:
            await groups.stop()
        self._port = None

    def _names(self) -> dict[bytes, str]:
        """What the keys of groups are called, by their fingerprints."""
        ring = self._node.keys
        keys = ring.list() if ring is not None else []
        return {
            key.public.fingerprint: str(key.key_id)
            for key in keys
            if key.key_id.alias.startswith(GROUP_KEYS)
        }

    def _on_event(self, event: Event) -> None:
        groups = self._node.groups
        if event.event_id == "key-renamed":
            if groups is not None and str(event.data["old_key_id"]) in groups.rows:
                self._node.services.begin({"private_groups"})
            return
        if event.event_id == KEYS_BACK and self._node.groups is not None:
            self._node.groups.came_back()
        elif event.event_id == "node-disconnected" and self._node.groups is not None:
            try:
                self._node.groups.lost(bytes.fromhex(str(event.data.get("node_id", ""))))
            except ValueError:  # not one of ours
                return

    # --- keys --------------------------------------------------------------------------------

    async def _hand_over(
        self, key_id: str, person: IdentityDocument, extra: bytes, timeout: float
    ) -> None:
        exchange = self._node.require_key_exchange()
        await exchange.share(
            KeyID.parse(key_id), person, include_private=True, timeout=timeout, extra=extra
        )

    async def _on_key(self, received: Received) -> None:
        groups = self._node.groups
        if groups is not None and received.extra:
            key = received.key
            await groups.invited(
                str(key.key_id), key.public.fingerprint, received.label, received.extra
            )

    # --- brokers -----------------------------------------------------------------------------

    async def _find_brokers(self, count: int, known: Collection[bytes]) -> list[Broker]:
        """Those the person prefers, those found on the DHT, the own suppliers: in this order."""
        node, port = self._node, self._port
        assert port is not None
        own = node.require_identity().node_id
        found: dict[bytes, Broker] = {}

        async def look(document: IdentityDocument | None) -> None:
            if document is None or document.node_id in (own, *known, *found):
                return
            port.learn(document)
            broker = Broker(document.node_id, str(document.idurl))
            if await takes_groups(port, broker.node, LOOK_TIMEOUT):
                found[broker.node] = broker

        for idurl in node.settings.get_items("services/private-groups/preferred-brokers"):
            await look(await self._document(idurl))
        if len(found) < count and node.dht is not None:
            endpoints = await node.dht.random_endpoints(
                LAYER_MESSAGE_BROKERS, MAX_LOOKED_AT, LOOK_FOR
            )
            own_port = node.settings.get_int("services/tcp-connections/tcp-port")
            for host, number in endpoints:
                if len(found) >= count:
                    break
                if (host, number) != (node.host, own_port):
                    await look(await self._dial(Endpoint("tcp", host, number)))
        if len(found) < count and node.customer is not None:
            for supplier in node.customer.positions():
                if supplier and len(found) < count:
                    await look(port.document_of(supplier))
        return list(found.values())

    async def _find_group(
        self, stream: bytes, fingerprint: bytes, keys: dict[int, bytes]
    ) -> list[Broker]:
        """Those that the record of the group names, and those that announce themselves for it.

        Both are hints: whoever is found has to prove by the stream that it keeps the group.
        """
        node, port = self._node, self._port
        assert port is not None
        if node.dht is None:
            return []
        found: dict[bytes, Broker] = {}
        documents = []
        try:
            record = await read_brokers(node.dht, fingerprint, keys[max(keys)])
            named = record.get("brokers", ())[:MAX_NAMED]
            documents += [await self._document(str(idurl)) for idurl in named]
            topic = group_topic(stream, node.dht.network)
            peers = (await node.dht.peers(topic, LOOK_FOR, MAX_NAMED))[:MAX_NAMED]
            documents += [await self._dial(Endpoint("tcp", *address)) for address in peers]
        except BitdustError as exc:
            log.info("the brokers of a group are not found", reason=exc.message)
        for document in documents:
            if document is not None and document.node_id != node.require_identity().node_id:
                port.learn(document)
                found[document.node_id] = Broker(document.node_id, str(document.idurl))
        return list(found.values())

    async def _document(self, idurl: str) -> IdentityDocument | None:
        try:
            return await self._node.find_document(idurl)
        except BitdustError as exc:
            log.info("a preferred broker is not found", idurl=idurl, reason=exc.message)
            return None

    async def _dial(self, endpoint: Endpoint) -> IdentityDocument | None:
        assert self._port is not None
        try:
            return await self._port.dial(endpoint, timeout=LOOK_TIMEOUT)
        except BitdustError:
            return None

    async def _announce(
        self, key_id: str, fingerprint: bytes, epoch: int, secret: bytes, brokers: list[Broker]
    ) -> None:
        """Publish who keeps a group, for members that were away for long."""
        node = self._node
        idurls = tuple(broker.idurl for broker in brokers)
        now = node.clock.now()
        last = self._announced.get(key_id)
        if node.dht is None or (
            last is not None and last[:2] == (epoch, idurls) and now - last[2] < ANNOUNCE_AGAIN
        ):
            return
        self._announced[key_id] = (epoch, idurls, now)
        value = {
            "type": GROUP_BROKERS,
            "key": fingerprint.hex(),
            "timestamp": int(now),
            "brokers": list(idurls),
            "epoch": epoch,
        }
        try:
            await node.dht.set_value(
                fingerprint.hex(),
                {**value, "revision": int(now)},
                record_type=GROUP_BROKERS,
                layer=LAYER_MESSAGE_BROKERS,
                signer=SharedSecret(secret),
                timeout=DHT_TIMEOUT,
            )
        except BitdustError as exc:
            log.info("a group's brokers are not published", reason=exc.message)


async def read_brokers(dht: Dht, fingerprint: bytes, secret: bytes) -> dict[str, Any]:
    """The record of a group on the DHT; empty when there is none.

    Args:
        fingerprint: of the group's key.
        secret: the key of an epoch.

    Raises:
        DhtError: the DHT does not work.
    """
    found = await dht.get_value(
        fingerprint.hex(),
        record_type=GROUP_BROKERS,
        layer=LAYER_MESSAGE_BROKERS,
        owner_dht_key=owner_dht_key(SharedSecret(secret)),
    )
    return found.value if isinstance(found.value, dict) else {}
