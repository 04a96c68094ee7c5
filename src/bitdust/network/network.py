"""The network of one node: who may connect, whom it knows, how to ask them something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

import structlog

from bitdust.clock import Clock, Random, SystemClock, SystemRandom
from bitdust.crypto import PrivateKey
from bitdust.errors import NetworkError, PeerUnreachable
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument
from bitdust.network.body import Body
from bitdust.network.calls import Call, Handler, Reply, Response
from bitdust.network.connection import Connection, State, Surroundings
from bitdust.network.contacts import Contact, Contacts, ContactState, ContactStatus, back_off
from bitdust.network.handshake import Role
from bitdust.network.limits import Limits
from bitdust.network.loopback import ask_oneself
from bitdust.network.messages import is_method
from bitdust.network.statistics import Statistics
from bitdust.network.transport import Endpoint, NodeID, Transport

T = TypeVar("T")

Resolver: TypeAlias = Callable[[NodeID], Awaitable[list[Endpoint]]]
"""Finds addresses of a node whose known contacts fail, on the DHT for example."""

_ATTEMPTS = 3
"""Connections tried for one request when the one chosen retires at that moment."""


class Network:
    """Connections to other nodes, requests to them and from them.

    Args:
        key: own identity key.
        document: gives the own identity document of the moment; it must hold the transport's
            certificate fingerprint.
        transport: how bytes travel.
        events: where ``node-connected`` and ``node-disconnected`` are published.
        clock, random: time and chance.
        limits: bounds.
        resolver: finds addresses when a contact's own fail.
        executor: where signatures are made (a few milliseconds each); in the loop when None.
    """

    def __init__(
        self,
        key: PrivateKey,
        document: Callable[[], IdentityDocument],
        transport: Transport,
        *,
        events: EventBus,
        clock: Clock | None = None,
        random: Random | None = None,
        limits: Limits | None = None,
        resolver: Resolver | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._own_document = document
        self._node_id: NodeID = key.public.fingerprint
        self._transport = transport
        self._events = events
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._limits = limits or Limits()
        self._resolver = resolver
        self.statistics = Statistics()
        self._handlers: dict[str, Handler] = {}
        self._contacts = Contacts(self._limits.max_documents)
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running = False
        self._log = structlog.get_logger().bind(component="network")
        self._around = Surroundings(
            key=key,
            document=document,
            parse_document=IdentityDocument.parse,
            handlers=self._handlers,
            clock=self._clock,
            random=self._random,
            limits=self._limits,
            statistics=self.statistics,
            executor=executor,
            on_open=self._on_open,
            on_change=self._on_change,
            on_closed=self._on_closed,
        )
        self.handle("ping", _answer_ping)

    @property
    def node_id(self) -> NodeID:
        """Own node id, 32 bytes."""
        return self._node_id

    # --- life --------------------------------------------------------------------------------

    async def start(self, endpoint: Endpoint | None) -> Endpoint | None:
        """Listen, or only be able to dial with None; gives the endpoint with its real port.

        Raises:
            PortInUse: another program listens there.
            InvalidInput: not an address of this machine.
        """
        self._running = True
        if endpoint is None:
            return None
        return await self._transport.listen(endpoint, self._accept)

    async def stop(self) -> None:
        """Let open exchanges end for a while, then close every connection and task."""
        self._running = False
        for contact in self._contacts:
            if contact.keeper is not None:
                contact.keeper.cancel()
            if contact.dialling is not None:
                contact.dialling.cancel()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections):
            if connection.usable:
                connection.retire()
            elif connection.state is not State.RETIRING:
                connection.close("stopping")
        deadline = self._limits.drain_timeout
        try:
            async with asyncio.timeout(deadline):
                for connection in list(self._connections):
                    await connection.join()
        except TimeoutError:
            for connection in list(self._connections):
                connection.close("stopping")
        await self._transport.stop()
        for connection in list(self._connections):
            await connection.join()
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    # --- requests ----------------------------------------------------------------------------

    def handle(self, method: str, handler: Handler) -> None:
        """Answer requests of that name.

        Raises:
            ValueError: the name is taken or not 1 to 64 of ``a-z 0-9 . _ -``.
        """
        if not is_method(method) or method in self._handlers:
            raise ValueError(f"method {method!r} is no free name")
        self._handlers[method] = handler

    async def request(
        self,
        node_id: NodeID,
        method: str,
        args: Any = None,
        *,
        body: Body = b"",
        timeout: float = 30.0,
    ) -> Response:
        """Ask a node, connecting to it first where needed.

        Args:
            node_id: whom, 32 bytes.
            method: name of the request.
            args: a msgspec Struct or a dict, at most 64 KiB as msgpack; None for nothing.
            body: bytes, a list of buffers, or an async iterator of buffers; buffers are not copied
                and must not be changed before the answer.
            timeout: seconds until the answer begins, connecting and sending included; then the
                longest pause between two pieces of its body.

        Returns:
            The answer; read its body to the end or close it.

        Raises:
            PeerUnreachable: no connection can be made.
            DeadlineExceeded: no answer in time; the request was cancelled.
            PeerRefused: the node refused; ``reason`` is the code of its error.
            NetworkError: the connection was lost meanwhile.
        """
        if node_id == self._node_id:
            own = self._own_document()
            return await ask_oneself(self._handlers, own, method, args, body, timeout)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        for attempt in range(_ATTEMPTS):
            connection = await self._connected(node_id, method, max(0.0, end - loop.time()))
            if connection.usable or attempt == _ATTEMPTS - 1:
                return await connection.request(method, args, body, max(0.0, end - loop.time()))
        raise PeerUnreachable("no connection stays open long enough")

    async def dial(
        self, endpoint: Endpoint, expect: NodeID | None = None, timeout: float = 10.0
    ) -> IdentityDocument:
        """Connect to an address.

        Args:
            endpoint: where.
            expect: the only node id accepted there, None for any.
            timeout: seconds until its identity must be proven.

        Returns:
            The proven identity document of who answers there.

        Raises:
            PeerUnreachable: nobody answers there.
            Misbehaviour: whoever answers did not prove to be that node.
        """
        return (await self._dial(endpoint, expect, timeout)).document

    async def ping(self, node_id: NodeID, timeout: float) -> None:
        """Wait for a sign of life on a connection that stands; makes none.

        Raises:
            PeerUnreachable: there is no connection.
            DeadlineExceeded: no sign of life within ``timeout`` seconds.
            NetworkError: the connection was lost meanwhile.
        """
        contact = self._contacts.find(node_id)
        connection = contact.connection if contact is not None else None
        if connection is None:
            raise PeerUnreachable("there is no connection to that node")
        await connection.ping(timeout)

    # --- contacts ----------------------------------------------------------------------------

    def learn(self, document: IdentityDocument) -> None:
        """Remember a verified identity document and the addresses in it."""
        if document.node_id != self._node_id:
            for connection in self._contacts.learn(document).links:
                connection.learn(document)

    def keep(self, node_id: NodeID, owner: object = None) -> None:
        """Stay connected to a node: connect now and whenever the connection is lost.

        Args:
            owner: who wants it so, hashable; the node is kept as long as anybody does.
        """
        contact = self._contacts.get(node_id)
        if self._running and node_id != self._node_id:
            contact.keepers.add(owner)
        if contact.keeper is None and self._running and node_id != self._node_id:
            contact.keeper = self._own(self._keep(contact))

    def release(self, node_id: NodeID, owner: object = None) -> None:
        """Do not reconnect for that owner any more; a connection that is open stays open."""
        contact = self._contacts.find(node_id)
        if contact is None:
            return
        contact.keepers.discard(owner)
        if not contact.keepers:
            self._release(contact)

    def _release(self, contact: Contact) -> None:
        if contact.keeper is not None:
            contact.keeper.cancel()
            contact.keeper = None
            contact.next_attempt = 0.0

    def renew(self, node_id: NodeID) -> None:
        """End the connections to a node as ``disconnect`` does; make a new one if it is kept."""
        contact = self._contacts.find(node_id)
        owners = set(contact.keepers) if contact is not None else set()
        self.disconnect(node_id)
        for owner in owners:
            self.keep(node_id, owner)

    def disconnect(self, node_id: NodeID) -> None:
        """Release a node for all and end its connections once their exchanges have ended."""
        contact = self._contacts.find(node_id)
        if contact is not None:
            contact.keepers.clear()
            self._release(contact)
        for connection in list(contact.links) if contact is not None else ():
            connection.retire()

    def status(self, node_id: NodeID) -> ContactStatus:
        """Whether a node is online, since when, and what went wrong last."""
        contact = self._contacts.find(node_id)
        return ContactStatus(ContactState.OFFLINE) if contact is None else contact.status()

    def statuses(self) -> dict[NodeID, ContactStatus]:
        """The status of every contact known."""
        return {contact.node_id: contact.status() for contact in self._contacts}

    def document_of(self, node_id: NodeID) -> IdentityDocument | None:
        """The newest document known of a node."""
        contact = self._contacts.find(node_id)
        return contact.document if contact is not None else None

    # --- views -------------------------------------------------------------------------------

    def connections(self) -> list[dict[str, Any]]:
        """Rows of `connections_list`."""
        return [connection.view() for connection in self._connections]

    def streams(self) -> list[dict[str, Any]]:
        """Rows of `streams_list`."""
        return [row for connection in self._connections for row in connection.streams()]

    def packets_stats(self) -> dict[str, Any]:
        """The shape of `packets_stats`."""
        return self.statistics.packets_stats()

    @property
    def buffered(self) -> int:
        """Body bytes received and not yet read by anybody, over all connections."""
        return sum(connection.buffered for connection in self._connections)

    # --- inbound -----------------------------------------------------------------------------

    def _accept(self, remote: Endpoint) -> Connection | None:
        bound = self._bound_reached(remote.host)
        if bound:
            self.statistics.refused(bound)
            return None
        connection = Connection(Role.LISTENER, remote, self._around)
        self._connections.add(connection)
        return connection

    def _bound_reached(self, host: str) -> str:
        limits = self._limits
        if not self._running:
            return "stopping"
        inbound = [c for c in self._connections if c.role is Role.LISTENER]
        greeting = (State.CONNECTING, State.HANDSHAKE)
        if sum(c.state in greeting for c in inbound) >= limits.max_handshakes:
            return "handshakes"
        if sum(c.remote.host == host for c in inbound) >= limits.max_connections_per_address:
            return "address"
        if len(self._connections) >= limits.max_connections and not self._make_room():
            return "connections"
        return ""

    def _make_room(self) -> bool:
        """Close the idle connection that was not used for longest; False when all are in use."""
        idle = [
            c
            for c in self._connections
            if c.usable and c.idle and self._contacts.get(c.document.node_id).keeper is None
        ]
        if idle:
            min(idle, key=lambda c: c.last_used).close("idle", "making room for others")
        return bool(idle)

    # --- outbound ----------------------------------------------------------------------------

    async def _connected(self, node_id: NodeID, method: str, timeout: float) -> Connection:
        contact = self._contacts.get(node_id)
        connection = contact.connection
        if connection is not None:
            return connection
        if not self._running:
            raise PeerUnreachable("the network is not running")
        task = self._start_dialling(contact)
        try:
            async with asyncio.timeout(timeout):
                # Others may wait for the same connection: giving up here must not end it.
                return await asyncio.shield(task)
        except TimeoutError:
            raise PeerUnreachable(f"no connection for {method!r} within {timeout:g} s") from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise PeerUnreachable("the network was stopped") from None
            raise

    def _start_dialling(self, contact: Contact) -> asyncio.Task[Connection]:
        task = contact.dialling
        if task is None:
            task = contact.dialling = self._own(self._reach(contact))
        return task

    async def _reach(self, contact: Contact) -> Connection:
        """Try every address known, then those the resolver finds."""
        limits = self._limits
        contact.since = self._clock.now()
        try:
            tried: set[Endpoint] = set()
            error = PeerUnreachable("no address of that node is known")
            endpoints = contact.endpoints(self._transport.proto, limits.max_endpoints)
            for resolved in (False, True):
                if resolved:
                    endpoints = await self._resolve(contact.node_id)
                for endpoint in endpoints:
                    if contact.connection is not None:  # it came to us meanwhile
                        return contact.connection
                    if endpoint in tried:
                        continue
                    tried.add(endpoint)
                    try:
                        return await self._dial(endpoint, contact.node_id, limits.dial_timeout)
                    except NetworkError as exc:
                        error = PeerUnreachable(exc.message)
            if contact.connection is not None:
                return contact.connection
            contact.last_error = error.message
            raise error
        finally:
            contact.dialling = None
            contact.since = self._clock.now()

    async def _resolve(self, node_id: NodeID) -> list[Endpoint]:
        if self._resolver is None:
            return []
        try:
            found = await self._resolver(node_id)
        except NetworkError as exc:
            self._log.info("resolver_failed", node=node_id.hex(), error=exc.message)
            return []
        proto = self._transport.proto
        return [endpoint for endpoint in found if endpoint.proto == proto][
            : self._limits.max_endpoints
        ]

    async def _dial(self, endpoint: Endpoint, expect: NodeID | None, timeout: float) -> Connection:
        if not self._running:
            raise PeerUnreachable("the network is not running")
        connection = Connection(Role.DIALLER, endpoint, self._around, expect)
        self._connections.add(connection)
        try:
            async with asyncio.timeout(timeout):
                await self._transport.dial(endpoint, connection, timeout)
                await connection.proven
        except TimeoutError:
            error: NetworkError = PeerUnreachable(f"{endpoint} did not answer within {timeout:g} s")
            self._give_up(connection, error)
            raise error from None
        except BaseException:
            self._give_up(connection, PeerUnreachable(f"cannot connect to {endpoint}"))
            raise
        return connection

    def _give_up(self, connection: Connection, error: NetworkError) -> None:
        connection.abort(error)
        if connection.is_linked:
            return  # ``connection_lost`` is still to come
        self._connections.discard(connection)

    async def _keep(self, contact: Contact) -> None:
        limits = self._limits
        failures = 0
        while True:
            contact.changed.clear()
            connection = contact.connection
            if connection is not None:
                await contact.changed.wait()
                if contact.connection is None:
                    lasted = self._clock.monotonic() - connection.opened_at
                    failures = 0 if lasted >= limits.stable_after else failures + 1
                    await self._pause(contact, failures)
                continue
            try:
                await asyncio.shield(self._start_dialling(contact))
            except NetworkError:
                await self._pause(contact, failures)
                failures += 1

    async def _pause(self, contact: Contact, failures: int) -> None:
        """Wait before the next attempt; a new document or connection ends the pause."""
        limits = self._limits
        pause = back_off(failures, limits.back_off_first, limits.back_off_most, self._random)
        contact.next_attempt = self._clock.now() + pause
        contact.changed.clear()
        try:
            async with asyncio.timeout(pause):
                await contact.changed.wait()
        except TimeoutError:
            pass
        finally:
            contact.next_attempt = 0.0

    # --- what connections report -------------------------------------------------------------

    def _on_open(self, connection: Connection) -> None:
        document = connection.document
        contact = self._contacts.learn(document)
        for link in contact.links:
            link.learn(document)
        contact.links.append(connection)
        old = contact.connection
        if old is None:
            contact.primary = connection
        elif self._prefers(connection, old):
            contact.primary = connection
            self._own(self._retire_later(old))
        else:
            self._own(self._choose(contact, old, connection))
        contact.last_error = ""
        contact.changed.set()
        if not contact.online:
            contact.online = True
            contact.since = self._clock.now()
            self._publish("node-connected", document)

    def _prefers(self, new: Connection, old: Connection) -> bool:
        """Of two connections between the same nodes, both sides keep the one dialled by the lower
        node id; of two from the same dialler, the newer one."""
        peer = new.document.node_id
        new_dialler = self._node_id if new.role is Role.DIALLER else peer
        old_dialler = self._node_id if old.role is Role.DIALLER else peer
        return new_dialler <= old_dialler

    async def _retire_later(self, connection: Connection) -> None:
        await asyncio.sleep(self._limits.duplicate_grace)
        connection.retire()

    async def _choose(self, contact: Contact, old: Connection, new: Connection) -> None:
        """The old connection is the one to keep, if it lives; the peer may have lost it."""
        try:
            await old.ping(self._limits.liveness_timeout)
        except NetworkError as exc:
            contact.primary = new
            old.abort(exc)
        else:
            await self._retire_later(new)

    def _on_change(self, connection: Connection) -> None:
        """A connection retires or is closed."""
        if not connection.is_proven:
            return
        contact = self._contacts.get(connection.document.node_id)
        if connection.state is State.CLOSED and connection in contact.links:
            contact.links.remove(connection)
            if connection.error is not None:
                contact.last_error = connection.error.message
        contact.reselect()
        contact.changed.set()
        if contact.online and not contact.links:
            contact.online = False
            contact.since = self._clock.now()
            self._publish("node-disconnected", connection.document)

    def _on_closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _publish(self, event_id: str, document: IdentityDocument) -> None:
        self._events.publish(
            event_id,
            global_id=str(document.global_id),
            idurl=str(document.idurl),
            node_id=document.node_id.hex(),
        )

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, NetworkError):
            self._log.error("task_failed", error=repr(error))


async def _answer_ping(call: Call) -> Reply:
    return Reply()
