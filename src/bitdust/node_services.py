"""What the services of a node do when they are switched on and off; a part of the composition root.

Each class brings one thing up on the node that owns it and takes it down again. The order, and when
it happens, are ``bitdust.services``' business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from bitdust import __version__
from bitdust.config_schema import Value
from bitdust.dht import LAYER_SUPPLIERS, identity_topic, layer_topic, owner_dht_key
from bitdust.errors import BitdustError, TooFewSuppliers
from bitdust.events import Event, EventScope
from bitdust.identity import IdentityDocument, KeyRing
from bitdust.network import Endpoint, Handler, Network, Transport
from bitdust.servers import NameHost
from bitdust.services import Part, ServicePort
from bitdust.storage import Files, KeySafe, Storage
from bitdust.stun import LAYER_STUN, StunResponder
from bitdust.supply import CustomerService, FragmentStore, SupplierService

if TYPE_CHECKING:
    from bitdust.node import Node

PUBLISH_PAUSE = 60.0
"""Seconds between attempts to reach name servers that were away."""
FRESH_START_AFTER = 20
"""Rounds in which suppliers exist but none keeps anything of a recovered key, before new ones are
hired."""
RECOVERING = "recovering"
"""File below ``metadata/`` that stands there until the suppliers of a recovered key were found."""

log = structlog.get_logger(component="node")


class NodePart:
    """One service of a node.

    Args:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._unwatch: list[Callable[[], None]] = []

    def obstacle(self) -> str:
        """Nothing stands in the way on any machine."""
        return ""

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    def healthy(self) -> bool:
        """Being on is all there is."""
        return True

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.create_task(work, name=name)

    async def _end(self) -> None:
        """End the task and the watching of settings."""
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _follow(self, key: str, take: Callable[[int], object]) -> None:
        """Hand over new values of a number setting as long as the service is on."""

        def changed(_key: str, value: Value) -> None:
            if isinstance(value, int):
                take(value)

        self._unwatch.append(self._node.settings.watch(key, changed))


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
        await asyncio.get_running_loop().run_in_executor(node.pool, keys.reload)
        for problem in keys.problems.values():
            log.warning("key not loaded", problem=problem)
        node.keys = keys

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
        self._topic = b""

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
        self._topic = layer_topic(LAYER_STUN, dht.network)
        dht.announce(self._topic, port)

    async def stop(self) -> None:
        responder, self._responder = self._responder, None
        self._node.stun_port = 0
        if self._topic and self._node.dht is not None:
            self._node.dht.withdraw(self._topic)
        self._topic = b""
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


class PropagatePart(NodePart):
    """``service_identity_propagate``: brings the document to name servers that were away."""

    async def start(self) -> None:
        self._run(self._publish(), "publish identity")

    async def stop(self) -> None:
        await self._end()

    def healthy(self) -> bool:
        identity = self._node.identity
        return identity is not None and len(identity.pending) < len(identity.document.sources)

    async def _publish(self) -> None:
        identity = self._node.require_identity()
        while True:
            if identity.pending:
                with contextlib.suppress(BitdustError):
                    await identity.publish()
            await self._node.clock.sleep(PUBLISH_PAUSE)


class HookupsPart(NodePart):
    """``service_p2p_hookups``: remembers the identities of nodes it meets."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._events: EventScope | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._events = EventScope(self._node.events)
        self._events.on_event(self._on_event)

    async def stop(self) -> None:
        if self._events is not None:
            self._events.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_event(self, event: Event) -> None:
        network = self._node.network
        if event.event_id != "node-connected" or network is None:
            return
        try:
            node_id = bytes.fromhex(str(event.data.get("node_id", "")))
        except ValueError:  # anybody with access to the API can send an event of that name
            return
        document = network.document_of(node_id)
        if document is not None:
            task = asyncio.create_task(self._remember(document), name="remember identity")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _remember(self, document: IdentityDocument) -> None:
        try:
            await self._node.identities.add(document)
        except BitdustError as exc:
            log.warning("identity not taken", idurl=str(document.idurl), reason=exc.message)


class LookupPart(NodePart):
    """``service_nodes_lookup``: findable through the DHT, and finding others there."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._topic = b""

    async def start(self) -> None:
        node = self._node
        self._topic = identity_topic(node.require_identity().node_id)
        port = node.settings.get_int("services/tcp-connections/tcp-port")
        node.require_dht().announce(self._topic, port)

    async def stop(self) -> None:
        if self._topic and self._node.dht is not None:
            self._node.dht.withdraw(self._topic)
        self._topic = b""


class SupplierPart(NodePart):
    """``service_supplier``: data of others on this machine."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None

    async def start(self) -> None:
        node, key = self._node, "services/supplier/donated-space"
        identity = node.require_identity()
        self._port = self._gateway.port()
        supplier = SupplierService(
            self._port,
            node.require_dht(),
            FragmentStore(node.home / "customers", node.pool),
            identity.key,
            lambda: identity.document,
            node.clock,
            node.random,
            node.events,
            node.settings.get_int(key),
        )
        node.supplier = supplier
        await supplier.start()
        self._follow(key, supplier.set_donated)

    async def stop(self) -> None:
        await self._end()
        supplier, self._node.supplier = self._node.supplier, None
        if supplier is not None:
            await supplier.stop()
        if self._port is not None:
            self._port.close()
            self._port = None


class CustomerPart(NodePart):
    """``service_customer``: contracts with the suppliers of the own data."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node)
        self._gateway = gateway
        self._port: ServicePort | None = None
        self._events: EventScope | None = None
        self.path = node.home / "metadata" / "suppliers.json"

    async def start(self) -> None:
        self._port = self._gateway.port()
        self._events = EventScope(self._node.events)

    async def stop(self) -> None:
        if self._events is not None:
            self._events.close()
        if self._port is not None:
            self._port.close()
            self._port = None

    def make(self) -> CustomerService:
        """This node as a customer, not started."""
        node = self._node
        assert self._port is not None
        assert self._events is not None
        self._events.close()
        self._port.close()
        identity = node.require_identity()
        return CustomerService(
            self._port,
            node.require_dht(),
            identity.key,
            lambda: identity.document,
            node.clock,
            node.random,
            self._events,
            node.settings.get_int("services/customer/suppliers-number"),
            node.settings.get_int("services/customer/needed-space"),
            self.path,
            node.pool,
            find_document=node.find_document,
        )


class EmployerPart(NodePart):
    """``service_employer``: suppliers stay hired and connected."""

    def __init__(self, node: Node, customer: CustomerPart) -> None:
        super().__init__(node)
        self._customer = customer
        self.had_suppliers = False

    async def start(self) -> None:
        node = self._node
        self.had_suppliers = self._customer.path.exists()
        customer = self._customer.make()
        node.customer = customer
        if (node.home / "metadata" / RECOVERING).exists():
            self._run(self._recover(customer), "recover suppliers")
        else:
            await customer.start()
        self._follow("services/customer/needed-space", customer.set_needed)

    async def stop(self) -> None:
        await self._end()
        customer, self._node.customer = self._node.customer, None
        if customer is not None:
            await customer.stop()

    def healthy(self) -> bool:
        customer = self._node.customer
        return customer is not None and customer.ready() >= -(-customer.n // 2)

    async def _recover(self, customer: CustomerService) -> None:
        """Find the suppliers of a recovered key; new ones are hired only once it is clear that it
        never had any."""
        node, dht = self._node, self._node.require_dht()
        empty = 0
        while True:
            try:
                await customer.recover(20.0)
                break
            except TooFewSuppliers as exc:
                log.info("suppliers not found yet", reason=exc.message)
                others = await dht.peers(layer_topic(LAYER_SUPPLIERS, dht.network))
                empty = empty + 1 if others else 0
                if empty >= FRESH_START_AFTER:
                    log.warning("no supplier keeps anything of this key, new ones are hired")
                    break
            except BitdustError as exc:
                log.warning("suppliers not recovered yet", reason=exc.message)
            await node.clock.sleep(2.0)
        (node.home / "metadata" / RECOVERING).unlink(missing_ok=True)
        await customer.start()


class CatalogPart(NodePart):
    """``service_backup_db``: the catalog of the own data, its journal and its care."""

    def __init__(self, node: Node, employer: EmployerPart) -> None:
        super().__init__(node)
        self._employer = employer
        self._events: EventScope | None = None

    async def start(self) -> None:
        node = self._node
        catalog = node.home / "catalog.db"
        customer = node.require_customer()
        self._events = EventScope(node.events)
        storage = Storage(
            catalog,
            node.require_identity().global_id.key(),
            node.require_keys(),
            customer,
            customer.client,
            self._events,
            node.clock,
            node.random,
            node.pool,
        )
        node.storage = storage
        # whoever had suppliers had a catalog: one that is gone is looked for, not begun anew
        recovering = (node.home / "metadata" / RECOVERING).exists()
        lost = self._employer.had_suppliers and not catalog.exists()
        await storage.start(recover=recovering or lost)

    async def stop(self) -> None:
        storage, self._node.storage = self._node.storage, None
        if storage is not None:
            await storage.stop()
        if self._events is not None:
            self._events.close()

    def healthy(self) -> bool:
        storage = self._node.storage
        try:
            return storage is not None and storage.parts is not None
        except BitdustError:
            return False


class FilesPart(NodePart):
    """``service_list_files``: what the catalog holds."""

    async def start(self) -> None:
        storage = self._node.storage
        assert storage is not None
        self._node.files = Files(storage, self._node.restore_folder)

    async def stop(self) -> None:
        self._node.files = None


class KeySafePart(NodePart):
    """``service_keys_storage``: the other own keys, stored under the master key."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._safe: KeySafe | None = None
        self._events: EventScope | None = None

    async def start(self) -> None:
        node = self._node
        assert node.storage is not None
        assert node.files is not None
        safe = self._safe = KeySafe(
            node.storage,
            node.files,
            node.home / "keys",
            node.home / "temp" / "keys",
            node.require_keys().reload,
        )
        safe.start()
        self._events = EventScope(node.events)
        self._events.on_event(self._on_event)

    async def stop(self) -> None:
        if self._events is not None:
            self._events.close()
        safe, self._safe = self._safe, None
        if safe is not None:
            await safe.stop()

    def _on_event(self, event: Event) -> None:
        if event.event_id.startswith("key-") and self._safe is not None:
            self._safe.changed()


def service_parts(node: Node) -> dict[str, Part]:
    """What every service of ``bitdust.services.known_services`` does on a node."""
    tcp = TcpPart(node)
    gateway = GatewayPart(node, tcp)
    customer = CustomerPart(node, gateway)
    employer = EmployerPart(node, customer)
    return {
        "network": NetworkPart(node),
        "keys_registry": KeysPart(node),
        "tcp_connections": tcp,
        "entangled_dht": DhtPart(node),
        "ip_port_responder": ResponderPart(node),
        "identity_server": IdentityServerPart(node),
        "gateway": gateway,
        "identity_propagate": PropagatePart(node),
        "p2p_hookups": HookupsPart(node),
        "nodes_lookup": LookupPart(node),
        "supplier": SupplierPart(node, gateway),
        "customer": customer,
        "employer": employer,
        "backup_db": CatalogPart(node, employer),
        "list_files": FilesPart(node),
        "keys_storage": KeySafePart(node),
        "my_data": NodePart(node),
    }
