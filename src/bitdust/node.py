"""The composition root: one node, the only place where the parts meet.

Without an identity a node serves its local API, and names and the DHT if told to. With one it has a
network, may be a supplier, and keeps its person's files at suppliers of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import structlog

from bitdust.api import build_registry, ensure_secret
from bitdust.api.chunkfiles import ChunkCounter
from bitdust.api.listening import EventConsumers
from bitdust.api.machines import look
from bitdust.api.machinewatch import MachineWatch
from bitdust.api.modelfeed import ModelFeed
from bitdust.clock import Clock, Random
from bitdust.config import Settings, make_private
from bitdust.contacts import (
    NameLookup,
    find_person,
    parse_address,
)
from bitdust.dht import identity_topic
from bitdust.errors import (
    BitdustError,
    PortInUse,
)
from bitdust.events import EventBus
from bitdust.identity import (
    FormerNames,
    IdentityCache,
    IdentityDocument,
    LocalIdentity,
    has_identity,
)
from bitdust.ids import IDURL, GlobalID
from bitdust.machine import MachineTable
from bitdust.messaging import (
    MessageStream,
)
from bitdust.network import ContactState, Endpoint
from bitdust.servers import HttpServer, WebSocketServer
from bitdust.services import ServiceRunner, Traffic, known_services
from bitdust.wiring import (
    RECOVERING,
    AnyNames,
    Holdings,
    Moves,
    bring_identity_back,
    make_identity,
    service_parts,
)
from bitdust.world import RealWorld, World

RECOVERY_WAIT = 30.0
"""Seconds ``identity_recover`` waits for the catalog; it goes on by itself after that."""
RECONNECT_WAIT = 5.0
"""Seconds ``network_reconnect`` waits for the nodes that were connected."""

log = structlog.get_logger(component="node")


class Node(Holdings):
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
        self.world = world or RealWorld()
        self._serve = serve
        self.clock: Clock = self.world.clock
        self.random: Random = self.world.random
        self.settings = Settings(home)
        self.events = EventBus(self.clock.now)
        self.consumers = EventConsumers(self.events)
        self.pool: Executor = self.world.pool()
        self.names = AnyNames(self.world.names(self.pool), lambda: self.dht, self.pool)
        super().__init__()
        self.former_names = FormerNames(home)
        """Names that other people left."""
        self.message_stream = MessageStream()
        self.name_lookups: list[NameLookup] = []
        """Who knows people by names that are no addresses; services enter and leave."""
        self.host = "127.0.0.1"
        """Under which others reach this node, as ``service_network`` found."""
        self.stun_port = 0
        """UDP port of the own STUN responder, 0 while there is none."""
        self.traffic = Traffic(self.clock)
        self.machines = MachineTable()
        self.automats = MachineWatch(self, lambda: look(self))
        self.models = ModelFeed(self)
        self.chunks = ChunkCounter()
        self._leaving = False
        self.services = ServiceRunner(
            known_services(),
            service_parts(self),
            self.settings,
            self.events,
            self.clock,
            lambda: self.identity is not None and not self._leaving,
        )
        self._http: HttpServer | None = None
        self._websocket: WebSocketServer | None = None
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._restart = False
        self._moves = Moves(self, self._changing)

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
        make_private(metadata)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._identities = await IdentityCache.open(
            self.home,
            client=self.names,
            clock=self.clock,
            pool=self.pool,
            events=self.events,
        )
        if has_identity(self.home):
            self.identity = await LocalIdentity.load(
                self.home,
                client=self.names,
                clock=self.clock,
                pool=self.pool,
                passphrase=self._passphrase,
            )
        async with self._changing:
            await self.services.apply()
        for name in ("gateway", "entangled_dht", "identity_server"):
            failure = self.services.failure(name)
            if isinstance(failure, PortInUse):
                # a mistake in the settings is told at once; whatever else failed is tried again
                raise failure
        self.services.watch()
        self._moves.complete_interrupted()
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
        await self.automats.close()
        await self.models.close()
        await self._moves.stop()
        await self.services.close()
        self.identity = None
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

    async def reconnect(self) -> int:
        """Look for the own address anew, end all connections and make the wanted ones again.

        What is under way on a connection comes to its end first.

        Returns:
            How many nodes are connected again, after a few seconds at most.

        Raises:
            NoIdentity: there is no identity yet.
            ServiceOff: the network is switched off.
        """
        network = self.require_network()
        if await self.world.address(self.settings) != self.host:
            await asyncio.shield(self.services.begin({"network"}))
            network = self.require_network()
        kept = [node_id for node_id, status in network.statuses().items() if status.kept]
        for node_id in network.statuses():
            network.renew(node_id)
        ends = self.clock.monotonic() + RECONNECT_WAIT
        while True:
            online = [n for n in kept if network.status(n).state is ContactState.ONLINE]
            if len(online) == len(kept) or self.clock.monotonic() > ends:
                return len(online)
            await self.clock.sleep(0.05)

    def restore_folder(self) -> Path:
        """Where downloads go when no destination is named."""
        return self.settings.get_path("paths/restore") or Path.home()

    # --- other people ------------------------------------------------------------------------

    async def find_document(self, idurl: str) -> IdentityDocument:
        """The identity document behind an IDURL."""
        return await self.identities.resolve(IDURL.parse(idurl))

    async def find_person(self, person: str) -> IdentityDocument:
        """Whom a user means; the network then knows where to reach them.

        Args:
            person: an IDURL, a global id, a friend's alias or a nickname.

        Raises:
            NotFound, InvalidName: nobody is known by that name.
            IdentityServerError: their identity server is away and nothing is known of them.
        """
        own = self.identity
        if own is not None and parse_address(person) == own.global_id:
            return own.document
        document = await find_person(person, self.identities.resolve, self.name_lookups)
        if self.network is not None:
            self.network.learn(document)
        return document

    async def find_node(self, node_id: bytes) -> list[Endpoint]:
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
            identity = await make_identity(self, username, servers)
            await self._take_up(identity)
        self.events.publish("local-identity-set", global_id=str(identity.global_id))
        return identity

    async def recover_identity(
        self, text: str, known_idurl: IDURL | None, passphrase: str | None = None
    ) -> LocalIdentity:
        """Bring an identity back from its backup, and with it suppliers and catalog.

        Waits for the catalog for a while; it goes on in the background after that.

        Args:
            text: content of the backup file.
            known_idurl: the address, if the file names none or an outdated one.
            passphrase: opens an encrypted backup.

        Raises:
            AlreadyExists: there is an identity.
            InvalidInput, KeyProblem, IntegrityError: no proper backup.
            WrongPassphrase: it is encrypted, and the passphrase is missing or wrong.
        """
        async with self._changing:
            identity = await bring_identity_back(self, text, known_idurl, passphrase)
            (self.home / "metadata" / RECOVERING).touch(mode=0o600)
            await self._take_up(identity)
            storage = self.storage
        self.events.publish("local-identity-set", global_id=str(identity.global_id))
        if storage is not None:
            await storage.wait_recovered(RECOVERY_WAIT)
        return identity

    async def rotate_identity(self) -> IdentityDocument:
        """Move this node's person to another address, on another identity server if there is one.

        Whoever stops waiting does not stop it.

        Returns:
            The document before.

        Raises:
            NoIdentity: there is no identity yet.
            IdentityServerError, NameTaken: no server can take the address; nothing changed.
        """
        return await self._moves.rotate(move=True)

    async def replace_sources(self, dead: Sequence[IDURL]) -> IdentityDocument:
        """Give up sources whose servers are dead; the rest as ``rotate_identity``."""
        return await self._moves.rotate(move=False, dead=dead)

    def current_name(self, name: GlobalID) -> GlobalID:
        """The name somebody has now who had, or also has, another one."""
        if self.identity is not None and name in self.identity.other_names:
            return self.identity.global_id
        return self.former_names.current(name)

    async def erase_identity(self, erase_private_key: bool) -> None:
        """Stop what needs the identity and remove it.

        Raises:
            NoIdentity: there is none.
        """
        async with self._changing:
            identity = self.require_identity()
            self._leaving = True
            try:
                await self.services.apply()
                await identity.erase(erase_private_key=erase_private_key)
                self.identity = None
            finally:
                self._leaving = False
                await self.services.apply()
        self.events.publish("local-identity-erased", global_id=str(identity.global_id))

    async def _take_up(self, identity: LocalIdentity) -> None:
        self.identity = identity
        await self.services.apply()
