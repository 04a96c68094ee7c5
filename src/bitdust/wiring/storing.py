"""Services that store: for others as a supplier, and the own files at suppliers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from bitdust.contacts import KEYS_BACK
from bitdust.dht import LAYER_SUPPLIERS, layer_topic
from bitdust.errors import BitdustError, TooFewSuppliers
from bitdust.events import Event, EventScope
from bitdust.pool import in_pool
from bitdust.services import ServicePort
from bitdust.storage import Files, KeySafe, Storage
from bitdust.supply import CustomerService, FragmentStore, SupplierService
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.jobs import hold_back
from bitdust.wiring.part import MeetingPart, NodePart
from bitdust.wiring.rotating import reload_keys

if TYPE_CHECKING:
    from bitdust.node import Node

FRESH_START_AFTER = 20
"""Rounds in which suppliers exist but none keeps anything of a recovered key, before new ones are
hired."""
NUMBER = "services/customer/suppliers-number"
RECOVERING = "recovering"
"""File below ``metadata/`` that stands there until the suppliers of a recovered key were found."""

log = structlog.get_logger(component="node")


class SupplierPart(MeetingPart):
    """``service_supplier``: data of others on this machine."""

    async def start(self) -> None:
        node, key = self._node, "services/supplier/donated-space"
        identity = node.require_identity()
        supplier = SupplierService(
            self._meet(),
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
            node.settings.get_int(NUMBER),
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
        self._follow(NUMBER, customer.set_number)

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
        # what the key had before is what is wanted, whatever a fresh machine is set to
        await in_pool(node.pool, node.settings.set, NUMBER, customer.n)
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
            other_names=node.require_identity().other_names,
        )
        node.storage = storage
        hold_back(storage, node.settings)
        key = "services/backups"
        storage.rules.set_block_size(node.settings.get_int(f"{key}/block-size"))
        storage.rules.keep_versions = node.settings.get_int(f"{key}/max-copies")
        self._follow(f"{key}/block-size", storage.rules.set_block_size)
        self._follow(f"{key}/max-copies", lambda keep: _keep(storage, keep))
        # whoever had suppliers had a catalog: one that is gone is looked for, not begun anew
        recovering = (node.home / "metadata" / RECOVERING).exists()
        lost = self._employer.had_suppliers and not catalog.exists()
        await storage.start(recover=recovering or lost)

    async def stop(self) -> None:
        await self._end()
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


def _keep(storage: Storage, versions: int) -> None:
    storage.rules.keep_versions = versions


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
            partial(reload_keys, node),
        )
        safe.on_restored = lambda: node.events.publish(KEYS_BACK)
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
        kinds = ("key-", "friend-added", "friend-removed")
        if event.event_id.startswith(kinds) and self._safe is not None:
            self._safe.changed()
