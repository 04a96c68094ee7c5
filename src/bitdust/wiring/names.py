"""Other people's names: learned when nodes meet, and followed when somebody moves.

Both documents travel when two nodes connect. Whoever changes its sources while it is connected
sends its new document with the request ``identity.document``; only the key of the session counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog

from bitdust.errors import BitdustError, Busy, IntegrityError
from bitdust.events import Event, EventScope
from bitdust.identity import (
    MAX_DOCUMENT_SIZE,
    FormerNames,
    IdentityDocument,
    Rate,
    TokenBuckets,
)
from bitdust.ids import GlobalID
from bitdust.network import Call, ContactState, NodeID, Reply
from bitdust.pool import in_pool
from bitdust.services import ServicePort

if TYPE_CHECKING:
    from bitdust.node import Node

IDENTITY_DOCUMENT: Final = "identity.document"
SEND_TIMEOUT = 15.0
SENDING_AT_ONCE = 16
MAX_PENDING = 256
"""Documents of nodes just met that wait to be entered; of more, those met again are entered."""
RATE = Rate(0.1, 6)
"""New documents taken from one node."""
MAX_RATED = 10_000

log = structlog.get_logger(component="node")


class NameKeeper:
    """Learns documents and follows people who moved.

    Args:
        node: the node.
        port: the network; ``identity.document`` is answered on it.
        former: names that people left.
    """

    def __init__(self, node: Node, port: ServicePort, former: FormerNames) -> None:
        self._node = node
        self._port = port
        self._former = former
        self._events = EventScope(node.events)
        self._rates = TokenBuckets(RATE, MAX_RATED)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen."""
        self._port.handle(IDENTITY_DOCUMENT, self._on_document)
        self._events.on_event(self._on_event)

    async def stop(self) -> None:
        """End."""
        self._events.close()
        self._port.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_event(self, event: Event) -> None:
        network = self._node.network
        if network is None:
            return
        if event.event_id == "my-identity-rotated":
            self._spawn(self._send_around())
        elif event.event_id == "node-connected":
            document = network.document_of(bytes.fromhex(str(event.data["node_id"])))
            if document is not None and len(self._tasks) < MAX_PENDING:
                self._spawn(self._remember(document))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="names")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the own new document ----------------------------------------------------------------

    async def _send_around(self) -> None:
        network = self._node.network
        if network is None:
            return
        xml = self._node.require_identity().document.to_xml()
        gate = asyncio.Semaphore(SENDING_AT_ONCE)
        online = [n for n, s in network.statuses().items() if s.state is ContactState.ONLINE]
        await asyncio.gather(*(self._send(gate, node_id, xml) for node_id in online))

    async def _send(self, gate: asyncio.Semaphore, node_id: NodeID, xml: bytes) -> None:
        async with gate:
            try:
                response = await self._port.request(
                    node_id, IDENTITY_DOCUMENT, body=xml, timeout=SEND_TIMEOUT
                )
                response.close()
            except BitdustError as exc:
                # it gets the document when it connects the next time
                log.info("new identity not sent", node=node_id.hex()[:16], problem=exc.code)

    # --- documents of others -----------------------------------------------------------------

    async def _on_document(self, call: Call) -> Reply:
        if self._rates.take(call.peer.hex(), self._node.clock.monotonic()):
            raise Busy("too many new identity documents")
        xml = await call.read(MAX_DOCUMENT_SIZE)
        document = await in_pool(self._node.pool, IdentityDocument.parse, xml)
        if document.node_id != call.peer:
            raise IntegrityError("the identity document of somebody else")
        self._port.learn(document)
        await self._remember(document)
        return Reply()

    async def _remember(self, document: IdentityDocument) -> None:
        try:
            known = await self._node.identities.add(document)
            await self._follow(known)
        except BitdustError as exc:
            log.warning("identity not taken", idurl=str(document.idurl), reason=exc.message)

    async def _follow(self, document: IdentityDocument) -> None:
        """Rename what this node keeps under names that somebody left.

        Both names must have been confirmed by their servers: what a document says of itself could
        be the name of somebody else.
        """
        names = await self._node.identities.other_names(document)
        kept = [place.global_id for place in names if self._keeps(place.global_id)]
        if not kept:
            return
        fresh = await self._node.identities.resolve(document.idurl, 0.0)
        if fresh.node_id != document.node_id or fresh.idurl != document.idurl:
            return
        if document.idurl not in await self._node.identities.confirmed_names(document.node_id):
            return
        for old in kept:
            await self._rename(old, document.global_id)

    def _keeps(self, owner: GlobalID) -> bool:
        keys = self._node.keys
        return keys is not None and any(stored.key_id.owner == owner for stored in keys.list())

    async def _rename(self, old: GlobalID, new: GlobalID) -> None:
        keys, storage = self._node.keys, self._node.storage
        if keys is None:
            return
        await in_pool(self._node.pool, self._former.moved, old, new)
        pairs = await in_pool(self._node.pool, keys.rename_owner, old, new)
        if storage is not None:
            await storage.rename_owner(old, new)
        for before, after in pairs:
            self._node.events.publish("key-renamed", old_key_id=str(before), new_key_id=str(after))
