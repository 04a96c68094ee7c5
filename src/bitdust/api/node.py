"""What operations need from a node, as protocols.

``bitdust.node.Node`` has all of it. Interfaces are built against this page, so the API imports
nothing that stands above it, and a test can pass a small object.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from bitdust.api.chunkfiles import ChunkCounter
    from bitdust.api.listening import EventConsumers
    from bitdust.api.machinewatch import MachineWatch
    from bitdust.api.modelfeed import ModelFeed
    from bitdust.api.parameters import LocalPath, Target
    from bitdust.clock import Clock, Random
    from bitdust.config import Settings
    from bitdust.contacts import Friends, Nicknames, Pairing
    from bitdust.devices import Devices
    from bitdust.dht import Dht
    from bitdust.events import EventBus
    from bitdust.identity import IdentityCache, IdentityDocument, KeyRing, LocalIdentity
    from bitdust.ids import IDURL, GlobalID, KeyID, RemotePath
    from bitdust.machine import MachineTable
    from bitdust.messaging import (
        Broadcasts,
        BrokerService,
        Groups,
        History,
        MessageStream,
        PrivateMessages,
    )
    from bitdust.network import Network
    from bitdust.services import ServiceRunner, Traffic
    from bitdust.sharing import KeyExchange, Shares
    from bitdust.storage import Storage
    from bitdust.supply import CustomerService, SupplierService


class StorageOperations(Protocol):
    """The catalog and the jobs behind ``file_*`` and ``files_*``; results are JSON-ready."""

    async def files_sync(self) -> Any: ...

    async def files_list(
        self,
        remote_path: Target | None,
        key_id: KeyID | None,
        recursive: bool,
        all_customers: bool,
        include_uploads: bool,
        include_downloads: bool,
    ) -> tuple[list[dict[str, Any]], int, bool]: ...

    async def file_exists(self, remote_path: Target) -> Any: ...

    async def file_info(
        self, remote_path: Target, include_uploads: bool, include_downloads: bool
    ) -> Any: ...

    async def file_create(
        self, remote_path: RemotePath, as_folder: bool, exist_ok: bool, force_path_id: str | None
    ) -> Any: ...

    async def file_delete(self, remote_path: Target) -> Any: ...

    async def files_uploads(self, include_running: bool, include_pending: bool) -> Any: ...

    async def file_upload_start(
        self, local_path: LocalPath, remote_path: Target, wait_result: bool, open_share: bool
    ) -> Any: ...

    async def file_upload_stop(self, remote_path: Target) -> Any: ...

    async def file_read(self, remote_path: Target, offset: int, size: int) -> Any: ...

    async def files_downloads(self) -> Any: ...

    async def file_download_start(
        self,
        remote_path: Target,
        destination_path: LocalPath | None,
        wait_result: bool,
        open_share: bool,
    ) -> Any: ...

    async def file_download_stop(self, remote_path: Target) -> Any: ...

    async def file_explore(self, local_path: LocalPath) -> Any: ...


class Router(Protocol):
    """The web socket router behind ``device_router_info``."""

    def info(self) -> dict[str, Any]: ...


class Node(Protocol):
    """One running node, as operations see it."""

    @property
    def home(self) -> Path: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def events(self) -> EventBus: ...

    @property
    def consumers(self) -> EventConsumers:
        """Who listens to events by long polling."""
        ...

    @property
    def clock(self) -> Clock: ...

    @property
    def random(self) -> Random: ...

    @property
    def pool(self) -> Executor: ...

    @property
    def global_id(self) -> GlobalID | None:
        """This node's person, None without an identity."""
        ...

    def current_name(self, name: GlobalID) -> GlobalID:
        """The name somebody has now who had, or also has, another one."""
        ...

    @property
    def identities(self) -> IdentityCache:
        """Other people's identity documents."""
        ...

    @property
    def keys(self) -> KeyRing | None: ...

    @property
    def network(self) -> Network | None: ...

    @property
    def dht(self) -> Dht | None: ...

    @property
    def customer(self) -> CustomerService | None: ...

    @property
    def supplier(self) -> SupplierService | None: ...

    @property
    def storage(self) -> Storage | None:
        """The catalog's service, None when it is off."""
        ...

    @property
    def services(self) -> ServiceRunner:
        """What runs, and switching it."""
        ...

    @property
    def models(self) -> ModelFeed:
        """Live copies for WebSocket clients."""
        ...

    @property
    def chunks(self) -> ChunkCounter:
        """Files that WebSocket clients send and fetch in pieces."""
        ...

    @property
    def machines(self) -> MachineTable:
        """Numbers and past states of state machines."""
        ...

    @property
    def automats(self) -> MachineWatch:
        """Who is told how state machines move."""
        ...

    @property
    def message_stream(self) -> MessageStream:
        """Messages as they come, for programs of this machine."""
        ...

    @property
    def traffic(self) -> Traffic:
        """Requests under way."""
        ...

    def require_identity(self) -> LocalIdentity:
        """This node's person.

        Raises:
            NoIdentity: there is none yet.
        """
        ...

    def require_network(self) -> Network:
        """The network.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_dht(self) -> Dht:
        """The DHT.

        Raises:
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_nicknames(self) -> Nicknames:
        """The own nickname, and finding others by theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    @property
    def friends(self) -> Friends | None:
        """The friends and their presence, None when that is off."""
        ...

    def require_friends(self) -> Friends:
        """The friends and their presence.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    @property
    def devices(self) -> Devices | None:
        """The remote devices, None while they are switched off."""
        ...

    def require_devices(self) -> Devices:
        """The remote devices.

        Raises:
            ServiceOff: they are switched off or not up yet.
        """
        ...

    def require_router(self) -> Router:
        """The web socket router of this node.

        Raises:
            ServiceOff: it is switched off.
        """
        ...

    def require_pairing(self) -> Pairing:
        """Becoming friends by hand.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_history(self) -> History:
        """What was said.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_messages(self) -> PrivateMessages:
        """Messages to other people, and theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_broadcasts(self) -> Broadcasts:
        """Saying something to everybody.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    @property
    def groups(self) -> Groups | None:
        """The own groups, None when they are off."""
        ...

    @property
    def broker(self) -> BrokerService | None:
        """This node as a broker of groups, None when it is none."""
        ...

    def require_groups(self) -> Groups:
        """The own groups.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: they are switched off.
        """
        ...

    def require_key_exchange(self) -> KeyExchange:
        """Keys to other people, and theirs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_shares(self) -> Shares:
        """The shares.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_customer(self) -> CustomerService:
        """This node as a customer.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    def require_supplier(self) -> SupplierService:
        """This node as a supplier.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off or not up yet.
        """
        ...

    async def find_person(self, person: str) -> IdentityDocument:
        """Whom a user means by an IDURL, a global id, a friend's alias or a nickname.

        Raises:
            NotFound, InvalidName: nobody is known by that name.
            IdentityServerError: their identity server is away and nothing is known of them.
        """
        ...

    async def create_identity(self, username: str, servers: Sequence[str]) -> Any:
        """Make and register an identity, and bring up what needs one."""
        ...

    async def recover_identity(
        self, text: str, known_idurl: IDURL | None, passphrase: str | None = None
    ) -> Any:
        """Bring an identity back from its backup, and bring up what needs one."""
        ...

    async def rotate_identity(self) -> IdentityDocument:
        """Move this node's person to another address; gives the document before."""
        ...

    async def erase_identity(self, erase_private_key: bool) -> Any:
        """Stop what needs the identity and remove it."""
        ...

    def require_keys(self) -> KeyRing:
        """The key ring.

        Raises:
            NoIdentity: there is none yet.
        """
        ...

    def require_storage(self) -> StorageOperations:
        """The catalog and the jobs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: storage is switched off or not up yet.
        """
        ...

    @property
    def host(self) -> str:
        """Under which others reach this node."""
        ...

    @property
    def stun_port(self) -> int:
        """UDP port of the own STUN responder, 0 while there is none."""
        ...

    async def reconnect(self) -> int:
        """End all connections and make the wanted ones again."""
        ...

    def request_stop(self, restart: bool = False) -> None:
        """Begin to stop the process, and to start it again."""
        ...
