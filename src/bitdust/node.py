"""The composition root: one node, the only place where the parts meet.

Without an identity a node serves its local API, and names and the DHT if told to. With one it has a
network, may be a supplier, and keeps its person's files at suppliers of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import structlog

from bitdust import __version__
from bitdust.api import build_registry, ensure_secret
from bitdust.api.listening import EventConsumers
from bitdust.clock import Clock, Random
from bitdust.config import Settings
from bitdust.dht import (
    LAYER_SUPPLIERS,
    Dht,
    identity_topic,
    layer_topic,
    owner_dht_key,
)
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    InvalidInput,
    NoIdentity,
    ServiceOff,
    TooFewSuppliers,
)
from bitdust.events import Event, EventBus
from bitdust.identity import (
    IdentityCache,
    IdentityDocument,
    KeyRing,
    LocalIdentity,
    has_identity,
)
from bitdust.ids import IDURL, GlobalID
from bitdust.network import Endpoint, Network
from bitdust.servers import HttpServer, NameHost, WebSocketServer
from bitdust.storage import Files, KeySafe, Storage
from bitdust.supply import CustomerService, FragmentStore, SupplierService
from bitdust.world import RealWorld, World

RECOVERY_WAIT = 30.0
"""Seconds ``identity_recover`` waits for the catalog; it goes on by itself after that."""
FRESH_START_AFTER = 20
"""Rounds in which suppliers exist but none keeps anything of a recovered key, before new ones are
hired."""
PUBLISH_PAUSE = 60.0
"""Seconds between attempts to reach name servers that were away."""

_RECOVERING = "recovering"

log = structlog.get_logger(component="node")


class Node:
    """One node.

    Args:
        home: its directory.
        world: what it stands on; this machine when None.
        serve: whether to answer the local API over HTTP and WebSocket.
        passphrase: opens a locked master key.
    """

    def __init__(
        self,
        home: Path,
        *,
        world: World | None = None,
        serve: bool = True,
        passphrase: str | None = None,
    ) -> None:
        self.home = home
        self._passphrase = passphrase
        self._world = world or RealWorld()
        self._serve = serve
        self.clock: Clock = self._world.clock
        self.random: Random = self._world.random
        self.settings = Settings(home)
        self.events = EventBus(self.clock.now)
        self.consumers = EventConsumers(self.events)
        self.pool: Executor = self._world.pool()
        self._names = self._world.names(self.pool)
        self._identities: IdentityCache | None = None
        self.identity: LocalIdentity | None = None
        self.keys: KeyRing | None = None
        self.network: Network | None = None
        self.dht: Dht | None = None
        self.supplier: SupplierService | None = None
        self.customer: CustomerService | None = None
        self._storage: Storage | None = None
        self._files: Files | None = None
        self._key_safe: KeySafe | None = None
        self._name_host: NameHost | None = None
        self._http: HttpServer | None = None
        self._websocket: WebSocketServer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._restart = False

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring up everything that the settings and the identity allow.

        Raises:
            DamagedSettings: a settings file cannot be read; it is named.
            PortInUse: a port is taken.
            IntegrityError, KeyProblem: a damaged key or identity file.
        """
        self.settings.check()
        metadata = self.home / "metadata"
        metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await self._start(metadata)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, metadata: Path) -> None:
        self._identities = await IdentityCache.open(
            self.home, client=self._names, clock=self.clock, pool=self.pool
        )
        self.events.on_event(self._on_event)
        if self.settings.get_bool("services/identity-server/enabled"):
            branch = "services/identity-server"
            self._name_host = NameHost(
                metadata / "names.db",
                self.settings.get_str(f"{branch}/host") or "127.0.0.1",
                self.settings.get_int(f"{branch}/web-port"),
                clock=self.clock,
                pool=self.pool,
            )
            await self._name_host.start()
        if self.settings.get_bool("services/entangled-dht/enabled"):
            dht = self._world.dht(self.home, self.settings, self.pool)
            await dht.start()
            self.dht = dht
        if has_identity(self.home):
            async with self._changing:
                await self._bring_up(
                    await LocalIdentity.load(
                        self.home,
                        client=self._names,
                        clock=self.clock,
                        pool=self.pool,
                        passphrase=self._passphrase,
                    )
                )
        if self._serve:
            await self._start_interfaces()

    async def _start_interfaces(self) -> None:
        registry = build_registry()
        api = "interface/api"
        secret = (
            ensure_secret(self.home)
            if self.settings.get_bool(f"{api}/auth-secret-enabled")
            else None
        )
        if self.settings.get_bool(f"{api}/web-socket-enabled"):
            self._websocket = WebSocketServer(
                self, registry, port=self.settings.get_int(f"{api}/web-socket-port"), secret=secret
            )
            await self._websocket.start()
        if self.settings.get_bool(f"{api}/rest-http-enabled"):
            self._http = HttpServer(
                self, registry, port=self.settings.get_int(f"{api}/rest-http-port"), secret=secret
            )
            await self._http.start()

    async def stop(self) -> None:
        """Take everything down, in the reverse order; safe at any point."""
        for server in (self._http, self._websocket):
            if server is not None:
                await server.stop()
        self._http = self._websocket = None
        await self._take_down()
        if self.dht is not None:
            await self.dht.stop()
            self.dht = None
        if self._name_host is not None:
            await self._name_host.stop()
            self._name_host = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._identities is not None:
            await self._identities.close()
            self._identities = None
        self.pool.shutdown(wait=False)

    def request_stop(self, restart: bool = False) -> None:
        """Begin to stop the process, and to start it again."""
        self._restart = restart
        self._stopping.set()

    async def wait_stop(self) -> bool:
        """Wait until somebody asks to stop; True when the process shall start again."""
        await self._stopping.wait()
        return self._restart

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what needs an identity --------------------------------------------------------------

    async def _bring_up(self, identity: LocalIdentity) -> None:
        self.identity = identity
        loop = asyncio.get_running_loop()
        keys = KeyRing(self.home, identity.global_id, identity.key, self.clock)
        await loop.run_in_executor(self.pool, keys.reload)
        for problem in keys.problems.values():
            log.warning("key not loaded", problem=problem)
        self.keys = keys
        if not self.settings.get_bool("services/network/enabled"):
            return
        await self._bring_up_network(identity)
        if self.dht is None:
            log.warning("no suppliers and no customers without the DHT")
            return
        if self.settings.get_bool("services/supplier/enabled"):
            await self._bring_up_supplier(identity)
        if self.settings.get_bool("services/customer/enabled"):
            await self._bring_up_customer(identity)

    async def _bring_up_network(self, identity: LocalIdentity) -> None:
        transport, fingerprint = await self._world.transport(self.home, self.pool)
        host = await self._world.address(self.settings)
        port = self.settings.get_int("services/tcp-connections/tcp-port")
        endpoint = Endpoint("tcp", host, port)
        document = await identity.update(
            contacts=[str(endpoint)],
            certificate=fingerprint,
            dht_key=owner_dht_key(identity.key),
            version=__version__,
        )
        self.network = Network(
            identity.key,
            lambda: identity.document,
            transport,
            events=self.events,
            clock=self.clock,
            random=self.random,
            resolver=self._find_node,
            executor=self.pool,
        )
        private = self.settings.get_bool("services/entangled-dht/private-network")
        await self.network.start(Endpoint("tcp", host if private else "0.0.0.0", port))  # noqa: S104
        if self.dht is not None:
            self.dht.announce(identity_topic(document.node_id), port)
        self._spawn(self._publish_later(identity), "publish identity")

    async def _bring_up_supplier(self, identity: LocalIdentity) -> None:
        assert self.network is not None
        assert self.dht is not None
        self.supplier = SupplierService(
            self.network,
            self.dht,
            FragmentStore(self.home / "customers", self.pool),
            identity.key,
            lambda: identity.document,
            self.clock,
            self.random,
            self.events,
            self.settings.get_int("services/supplier/donated-space"),
        )
        await self.supplier.start()

    async def _bring_up_customer(self, identity: LocalIdentity) -> None:
        assert self.network is not None
        assert self.dht is not None
        assert self.keys is not None
        path = self.home / "metadata" / "suppliers.json"
        known = path.exists()
        self.customer = CustomerService(
            self.network,
            self.dht,
            identity.key,
            lambda: identity.document,
            self.clock,
            self.random,
            self.events,
            self.settings.get_int("services/customer/suppliers-number"),
            self.settings.get_int("services/customer/needed-space"),
            path,
            self.pool,
            find_document=self._find_document,
        )
        catalog = self.home / "catalog.db"
        self._storage = Storage(
            catalog,
            identity.global_id.key(),
            self.keys,
            self.customer,
            self.customer.client,
            self.events,
            self.clock,
            self.random,
            self.pool,
        )
        self._files = Files(self._storage, self._restore_folder)
        recovering = (self.home / "metadata" / _RECOVERING).exists()
        if recovering:
            self._spawn(self._recover_suppliers(identity, self.customer), "recover suppliers")
        else:
            await self.customer.start()
        # whoever had suppliers had a catalog: one that is gone is looked for, not begun anew
        await self._storage.start(recover=recovering or (known and not catalog.exists()))
        self._key_safe = KeySafe(
            self._storage,
            self._files,
            self.home / "keys",
            self.home / "temp" / "keys",
            self.keys.reload,
        )
        self._key_safe.start()

    async def _recover_suppliers(self, identity: LocalIdentity, customer: CustomerService) -> None:
        """Find the suppliers of a recovered key; new ones are hired only once it is clear that it
        never had any."""
        assert self.dht is not None
        empty = 0
        while True:
            try:
                await customer.recover(20.0)
                break
            except TooFewSuppliers as exc:
                log.info("suppliers not found yet", reason=exc.message)
                others = await self.dht.peers(layer_topic(LAYER_SUPPLIERS, self.dht.network))
                empty = empty + 1 if others else 0
                if empty >= FRESH_START_AFTER:
                    log.warning("no supplier keeps anything of this key, new ones are hired")
                    break
            except BitdustError as exc:
                log.warning("suppliers not recovered yet", reason=exc.message)
            await self.clock.sleep(2.0)
        (self.home / "metadata" / _RECOVERING).unlink(missing_ok=True)
        await customer.start()

    async def _take_down(self) -> None:
        self._files = None
        if self._key_safe is not None:
            await self._key_safe.stop()
            self._key_safe = None
        if self._storage is not None:
            await self._storage.stop()
            self._storage = None
        if self.customer is not None:
            await self.customer.stop()
            self.customer = None
        if self.supplier is not None:
            await self.supplier.stop()
            self.supplier = None
        if self.network is not None:
            if self.dht is not None and self.identity is not None:
                self.dht.withdraw(identity_topic(self.identity.node_id))
            await self.network.stop()
            self.network = None
        self.keys = None
        self.identity = None

    async def _publish_later(self, identity: LocalIdentity) -> None:
        """Bring the document to name servers that were away."""
        while self.identity is identity:
            if identity.pending:
                with contextlib.suppress(BitdustError):
                    await identity.publish()
            await self.clock.sleep(PUBLISH_PAUSE)

    def _restore_folder(self) -> Path:
        return self.settings.get_path("paths/restore") or Path.home()

    # --- other people ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.event_id.startswith("key-") and self._key_safe is not None:
            self._key_safe.changed()
        if event.event_id == "node-connected" and self.network is not None:
            document = self.network.document_of(bytes.fromhex(str(event.data["node_id"])))
            if document is not None:
                self._spawn(self._remember(document), "remember identity")

    async def _remember(self, document: IdentityDocument) -> None:
        try:
            await self.identities.add(document)
        except BitdustError as exc:
            log.warning("identity not taken", idurl=str(document.idurl), reason=exc.message)

    async def _find_document(self, idurl: str) -> IdentityDocument:
        return await self.identities.resolve(IDURL.parse(idurl))

    async def _find_node(self, node_id: bytes) -> list[Endpoint]:
        """Addresses of a node whose known contacts fail: its name server first, then the DHT."""
        found: list[Endpoint] = []
        known = await self.identities.get_node(node_id)
        if known is not None:
            try:
                fresh = await self.identities.resolve(known.idurl, 0.0)
                if fresh.node_id == node_id:
                    found += [Endpoint.parse(contact) for contact in fresh.contacts]
            except BitdustError as exc:
                log.debug("name server of a contact is away", reason=exc.message)
        if self.dht is not None:
            peers = await self.dht.peers(identity_topic(node_id))
            found += [Endpoint("tcp", host, port) for host, port in peers]
        return list(dict.fromkeys(found))

    # --- operations of the identity ----------------------------------------------------------

    async def create_identity(self, username: str, servers: Sequence[str]) -> LocalIdentity:
        """Make and register an identity, and bring up what needs one.

        Args:
            username: part of the address.
            servers: ``host[:port]``; those of the settings when empty.

        Raises:
            AlreadyExists: there is an identity.
            NameTaken, IdentityServerError: it could not be registered.
        """
        async with self._changing:
            if self.identity is not None:
                raise AlreadyExists(
                    f"this node has the identity {self.identity.global_id} already",
                    hint="erase it first, or use another home",
                )
            branch = "services/identity-propagate"
            chosen = list(servers) or [
                *self.settings.get_items(f"{branch}/preferred-servers"),
                *self.settings.get_items(f"{branch}/known-servers"),
            ]
            if not chosen:
                raise InvalidInput(
                    "no identity server is known",
                    hint=f"name one, or set {branch}/known-servers",
                )
            most = self.settings.get_int(f"{branch}/max-servers")
            identity = await LocalIdentity.create(
                self.home,
                username,
                list(dict.fromkeys(chosen))[:most],
                client=self._names,
                clock=self.clock,
                pool=self.pool,
                key_size=self.settings.get_int("personal/private-key-size"),
                version=__version__,
            )
            await self._bring_up(identity)
        self.events.publish("local-identity-set", global_id=str(identity.global_id))
        return identity

    async def recover_identity(self, text: str, known_idurl: IDURL | None) -> LocalIdentity:
        """Bring an identity back from its backup, and with it suppliers and catalog.

        Waits for the catalog for a while; it goes on in the background after that.

        Args:
            text: content of the backup file.
            known_idurl: the address, if the file names none or an outdated one.

        Raises:
            AlreadyExists: there is an identity.
            InvalidInput, KeyProblem, IntegrityError: no proper backup.
        """
        async with self._changing:
            if self.identity is not None:
                raise AlreadyExists(
                    f"this node has the identity {self.identity.global_id} already",
                    hint="erase it first, or use another home",
                )
            identity = await LocalIdentity.recover(
                self.home,
                text,
                client=self._names,
                clock=self.clock,
                pool=self.pool,
                known_idurl=known_idurl,
                version=__version__,
            )
            (self.home / "metadata" / _RECOVERING).touch(mode=0o600)
            await self._bring_up(identity)
            storage = self._storage
        self.events.publish("local-identity-set", global_id=str(identity.global_id))
        if storage is not None:
            await storage.wait_recovered(RECOVERY_WAIT)
        return identity

    async def erase_identity(self, erase_private_key: bool) -> None:
        """Stop what needs the identity and remove it.

        Raises:
            NoIdentity: there is none.
        """
        async with self._changing:
            identity = self.require_identity()
            await self._take_down()
            await identity.erase(erase_private_key=erase_private_key)
        self.events.publish("local-identity-erased", global_id=str(identity.global_id))

    # --- what operations ask for -------------------------------------------------------------

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

    @property
    def storage(self) -> Storage | None:
        """The catalog's service, None when it is off."""
        return self._storage

    def require_identity(self) -> LocalIdentity:
        """This node's person.

        Raises:
            NoIdentity: there is none yet.
        """
        if self.identity is None:
            raise NoIdentity("this node has no identity yet")
        return self.identity

    def require_keys(self) -> KeyRing:
        """The key ring.

        Raises:
            NoIdentity: there is no identity yet.
        """
        self.require_identity()
        assert self.keys is not None
        return self.keys

    def require_network(self) -> Network:
        """The network.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.network is None:
            raise _off("the network", "services/network/enabled")
        return self.network

    def require_dht(self) -> Dht:
        """The DHT.

        Raises:
            ServiceOff: it is switched off.
        """
        if self.dht is None:
            raise _off("the DHT", "services/entangled-dht/enabled")
        return self.dht

    def require_customer(self) -> CustomerService:
        """This node as a customer.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.customer is None:
            raise _off("storing own files", "services/customer/enabled")
        return self.customer

    def require_supplier(self) -> SupplierService:
        """This node as a supplier.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self.supplier is None:
            raise _off("storing files of others", "services/supplier/enabled")
        return self.supplier

    def require_storage(self) -> Files:
        """The catalog and the jobs.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: it is switched off.
        """
        self.require_identity()
        if self._files is None:
            raise _off("storing own files", "services/customer/enabled")
        return self._files


def _off(what: str, setting: str) -> ServiceOff:
    return ServiceOff(f"{what} is switched off", hint=f"set {setting} to true and restart")
