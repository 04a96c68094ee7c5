"""Services a node stands on: address, keys, DHT, transport, sessions, being found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bitdust import __version__
from bitdust.dht import layer_topic, owner_dht_key
from bitdust.identity import KeyRing
from bitdust.network import Endpoint, Handler, Network, Transport
from bitdust.servers import NameHost
from bitdust.services import ServicePort
from bitdust.stun import LAYER_STUN, StunResponder
from bitdust.wiring.names import NameKeeper
from bitdust.wiring.part import NodePart
from bitdust.wiring.rotating import reload_keys

if TYPE_CHECKING:
    from bitdust.node import Node

log = structlog.get_logger(component="node")


class NetworkPart(NodePart):
    """``service_network``: the address under which others reach this node."""

    async def start(self) -> None:
        self._node.host = await self._node.world.address(self._node.settings)


class KeysPart(NodePart):
    """``service_keys_registry``: the keys on this machine."""

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        keys = KeyRing(node.home, identity.global_id, identity.key, node.clock)
        node.keys = keys
        await asyncio.get_running_loop().run_in_executor(node.pool, reload_keys, node)
        for problem in keys.problems.values():
            log.warning("key not loaded", problem=problem)

    async def stop(self) -> None:
        self._node.keys = None


class DhtPart(NodePart):
    """``service_entangled_dht``: this node's place in the DHT."""

    async def start(self) -> None:
        node = self._node
        dht = node.world.dht(node.home, node.settings, node.pool)
        await dht.start()
        node.dht = dht

    async def stop(self) -> None:
        dht, self._node.dht = self._node.dht, None
        if dht is not None:
            await dht.stop()

    def healthy(self) -> bool:
        return self._node.dht is not None and self._node.dht.port > 0


class ResponderPart(NodePart):
    """``service_ip_port_responder``: tells others their address, and lets them find it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._responder: StunResponder | None = None

    def obstacle(self) -> str:
        return "" if self._node.world.has_udp else "datagrams cannot be used here"

    async def start(self) -> None:
        node, dht = self._node, self._node.require_dht()
        private = node.settings.get_bool("services/entangled-dht/private-network")
        self._responder = StunResponder(
            node.host if private else "0.0.0.0",  # noqa: S104 - those who ask are anywhere
            node.settings.get_int("services/udp-datagrams/udp-port"),
        )
        port = node.stun_port = await self._responder.start()
        self._be_found(layer_topic(LAYER_STUN, dht.network), port)

    async def stop(self) -> None:
        await self._end()
        responder, self._responder = self._responder, None
        self._node.stun_port = 0
        if responder is not None:
            await responder.stop()


class IdentityServerPart(NodePart):
    """``service_identity_server``: identities of others over HTTP."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._host: NameHost | None = None

    async def start(self) -> None:
        node, branch = self._node, "services/identity-server"
        self._host = NameHost(
            node.home / "metadata" / "names.db",
            node.settings.get_str(f"{branch}/host") or "127.0.0.1",
            node.settings.get_int(f"{branch}/web-port"),
            clock=node.clock,
            pool=node.pool,
        )
        await self._host.start()

    async def stop(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.stop()


class TcpPart(NodePart):
    """``service_tcp_connections``: TLS over TCP, under this node's certificate."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.transport: Transport | None = None
        self.fingerprint = ""

    async def start(self) -> None:
        node = self._node
        self.transport, self.fingerprint = await node.world.transport(node.home, node.pool)

    async def stop(self) -> None:
        self.transport = None


class GatewayPart(NodePart):
    """``service_gateway``: sessions with other nodes."""

    def __init__(self, node: Node, tcp: TcpPart) -> None:
        super().__init__(node)
        self._tcp = tcp
        self._taken: dict[str, Handler | None] = {}

    async def start(self) -> None:
        node, transport = self._node, self._tcp.transport
        assert transport is not None
        identity = node.require_identity()
        port = node.settings.get_int("services/tcp-connections/tcp-port")
        await identity.update(
            contacts=[str(Endpoint("tcp", node.host, port))],
            certificate=self._tcp.fingerprint,
            dht_key=owner_dht_key(identity.key),
            version=__version__,
        )
        network = Network(
            identity.key,
            lambda: identity.document,
            transport,
            events=node.events,
            clock=node.clock,
            random=node.random,
            resolver=node.find_node,
            executor=node.pool,
        )
        self._taken = {}
        private = node.settings.get_bool("services/entangled-dht/private-network")
        host = node.host if private else "0.0.0.0"  # noqa: S104 - peers are anywhere
        node.network = network
        await network.start(Endpoint("tcp", host, port))

    async def stop(self) -> None:
        network, self._node.network = self._node.network, None
        if network is not None:
            await network.stop()

    def port(self) -> ServicePort:
        """The network for one more service."""
        return ServicePort(self._node.require_network(), self._node.traffic, self._taken)


class HookupsPart(NodePart):
    """``service_p2p_hookups``: remembers the identities of nodes it meets, and follows them."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._names: NameKeeper | None = None

    async def start(self) -> None:
        self._names = NameKeeper(self._node, self._gateway.port(), self._node.former_names)
        self._names.start()

    async def stop(self) -> None:
        names, self._names = self._names, None
        if names is not None:
            await names.stop()
