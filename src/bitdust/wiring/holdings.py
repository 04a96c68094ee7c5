"""What a node holds while its services are up, and how operations ask for it."""

from __future__ import annotations

from bitdust.config import Settings
from bitdust.contacts import Friends, Nicknames, Pairing
from bitdust.devices import Devices
from bitdust.dht import Dht
from bitdust.errors import NoIdentity, ServiceOff
from bitdust.identity import IdentityCache, KeyRing, LocalIdentity
from bitdust.ids import GlobalID
from bitdust.messaging import (
    Broadcasts,
    BrokerService,
    Groups,
    History,
    Mailbox,
    PrivateMessages,
)
from bitdust.network import Network
from bitdust.servers import DeviceRouter
from bitdust.services import ServiceRunner
from bitdust.sharing import KeyExchange, Shares
from bitdust.storage import Files, Storage
from bitdust.supply import CustomerService, SupplierService


class Holdings:
    """The parts of a node, each ``None`` while the service that brings it is down.

    The ``require_*`` methods give a part, or say which service is missing and how to start it.
    """

    settings: Settings
    services: ServiceRunner

    def __init__(self) -> None:
        self._identities: IdentityCache | None = None
        self.identity: LocalIdentity | None = None
        self.keys: KeyRing | None = None
        self.network: Network | None = None
        self.dht: Dht | None = None
        self.nicknames: Nicknames | None = None
        self.friends: Friends | None = None
        self.pairing: Pairing | None = None
        self.key_exchange: KeyExchange | None = None
        self.shares: Shares | None = None
        self.history: History | None = None
        self.groups: Groups | None = None
        self.broker: BrokerService | None = None
        self.messages: PrivateMessages | None = None
        self.broadcasts: Broadcasts | None = None
        self.mailbox: Mailbox | None = None
        self.devices: Devices | None = None
        self.router: DeviceRouter | None = None
        self.supplier: SupplierService | None = None
        self.customer: CustomerService | None = None
        self.storage: Storage | None = None
        self.files: Files | None = None

    @property
    def global_id(self) -> GlobalID | None:
        """This node's person, None without an identity."""
        return self.identity.global_id if self.identity is not None else None

    @property
    def identities(self) -> IdentityCache:
        """Other people's identity documents."""
        if self._identities is None:
            raise ServiceOff("the node is not running")
        return self._identities

    def require_identity(self) -> LocalIdentity:
        """This node's person.

        Raises:
            NoIdentity: there is none yet.
        """
        if self.identity is None:
            raise NoIdentity("this node has no identity yet")
        return self.identity

    def require_devices(self) -> Devices:
        """The remote devices.

        Raises:
            ServiceOff: they are switched off.
        """
        if self.devices is None:
            raise self._off("letting remote devices in", "web_socket_communicator")
        return self.devices

    def require_router(self) -> DeviceRouter:
        """The web socket router.

        Raises:
            ServiceOff: it is switched off.
        """
        if self.router is None:
            raise self._off("passing on for devices of others", "web_socket_router")
        return self.router

    def require_keys(self) -> KeyRing:
        """The key ring.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.keys is None:
            raise self._off("the key ring", "keys_registry")
        return self.keys

    def require_network(self) -> Network:
        """The network.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.network is None:
            raise self._off("the network", "gateway")
        return self.network

    def require_history(self) -> History:
        """What was said.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.history is None:
            raise self._off("the history of messages", "message_history")
        return self.history

    def require_groups(self) -> Groups:
        """The own groups.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.groups is None:
            raise self._off("taking part in groups", "private_groups")
        return self.groups

    def require_messages(self) -> PrivateMessages:
        """Messages to other people, and theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.messages is None:
            raise self._off("writing to people", "private_messages")
        return self.messages

    def require_broadcasts(self) -> Broadcasts:
        """Saying something to everybody.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_messages()
        assert self.broadcasts is not None, "they come and go with the messages"
        return self.broadcasts

    def require_dht(self) -> Dht:
        """The DHT.

        Raises:
            ServiceOff: it is switched off.
        """
        if self.dht is None:
            raise self._off("the DHT", "entangled_dht")
        return self.dht

    def require_nicknames(self) -> Nicknames:
        """The own nickname, and finding others by theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.nicknames is None:
            raise self._off("finding people by nickname", "nodes_lookup")
        return self.nicknames

    def require_friends(self) -> Friends:
        """The friends and their presence.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.friends is None:
            raise self._off("the list of friends", "p2p_notifications")
        return self.friends

    def require_pairing(self) -> Pairing:
        """Becoming friends by hand.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_friends()
        assert self.pairing is not None, "it comes and goes with the friends"
        return self.pairing

    def require_key_exchange(self) -> KeyExchange:
        """Keys to other people, and theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.key_exchange is None:
            raise self._off("handing over keys", "keys_exchange")
        return self.key_exchange

    def require_shares(self) -> Shares:
        """The shares.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.shares is None:
            raise self._off("shares", "shared_data")
        return self.shares

    def require_customer(self) -> CustomerService:
        """This node as a customer.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.customer is None:
            raise self._off("storing own files", "employer")
        return self.customer

    def require_supplier(self) -> SupplierService:
        """This node as a supplier.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.supplier is None:
            raise self._off("storing files of others", "supplier")
        return self.supplier

    def require_storage(self) -> Files:
        """The catalog and the jobs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.files is None or not self.services.is_on("my_data"):
            raise self._off("storing own files", "my_data")
        return self.files

    def _off(self, what: str, name: str) -> ServiceOff:
        culprit, reason = self.services.explain(name)
        full_name = self.services.graph.specs[culprit].full_name
        enabled = self.settings.get_bool(self.services.graph.specs[culprit].config_path)
        return ServiceOff(
            f"{what} is off: {full_name} is not running, {reason}",
            hint=f"see `bitdust service info {full_name}`"
            if enabled
            else f"start it with `bitdust service start {full_name}`",
        )
