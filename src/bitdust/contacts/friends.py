"""Friends and their presence: who is there, told within seconds of a change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any, Final

import structlog

from bitdust.clock import Clock
from bitdust.contacts.friendbook import Friend, FriendBook
from bitdust.contacts.ports import PeerPort
from bitdust.contacts.watchers import WATCH, Watch
from bitdust.errors import BitdustError, InvalidInput, NetworkError
from bitdust.events import Event, EventScope
from bitdust.identity import IdentityDocument
from bitdust.network import ContactState, NodeID
from bitdust.pool import in_pool

PULSE: Final = 4.0
"""Seconds between two signs of life asked of every friend who is there."""
PULSE_TIMEOUT: Final = 4.0
"""Seconds a friend has to give one; whoever hangs is told to be away after ``PULSE`` and this."""
MAX_KEPT: Final = 256
"""Friends that connections are made to and kept; others are seen while they are connected."""
KEYS_BACK: Final = "my-keys-synchronized"
"""The event after which files of friends may have come back from suppliers."""

log = structlog.get_logger(component="friends")


class Friends:
    """The friends of this node's person.

    Args:
        network: sessions; friends are kept connected on it.
        own: own node id.
        book: who they are, loaded at ``start``.
        clock: time.
        events: where comings and goings are heard and told.
        pool: where files are read and written.
    """

    def __init__(
        self,
        network: PeerPort,
        own: NodeID,
        book: FriendBook,
        clock: Clock,
        events: EventScope,
        pool: Executor,
    ) -> None:
        self._network = network
        self._own = own
        self._book = book
        self._clock = clock
        self._events = events
        self._pool = pool
        self._present: set[NodeID] = set()
        self._silent: set[NodeID] = set()
        self._kept: set[NodeID] = set()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the list and connect to everybody on it."""
        await in_pool(self._pool, self._book.load)
        for problem in self._book.problems.values():
            log.warning("friend not loaded", problem=problem)
        self._events.on_event(self._on_event)
        self._follow_book()
        self._spawn(self._pulse(), "pulse of friends")

    async def stop(self) -> None:
        """Keep no connections any more and tell nothing."""
        self._events.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node_id in list(self._kept):
            self._let_go(node_id)

    # --- the list ----------------------------------------------------------------------------

    async def add(self, document: IdentityDocument, alias: str = "") -> Friend:
        """Make somebody a friend, or give a friend another alias.

        Raises:
            InvalidInput: oneself, an impossible alias, or too many friends.
            AlreadyExists: another friend has that alias.
        """
        if document.node_id == self._own:
            raise InvalidInput("that is yourself", hint="name another person")
        friend, is_new = await in_pool(
            self._pool, self._book.put, document, alias, self._clock.now()
        )
        self._follow(friend)
        if is_new:
            self._tell("friend-added", friend)
            if self._network.status(friend.node_id).state is ContactState.ONLINE:
                self._spawn(self._watch(friend.node_id, True), "watch friend")
        self._judge(friend.node_id)
        return friend

    async def remove(self, node_id: NodeID) -> Friend:
        """Strike somebody off the list; a connection for other purposes stays.

        Raises:
            NotFound: that is no friend.
        """
        friend = await in_pool(self._pool, self._book.remove, node_id)
        if self._network.status(node_id).state is ContactState.ONLINE:
            self._spawn(self._watch(node_id, False), "watch no more")
        self._let_go(node_id)
        self._present.discard(node_id)
        self._silent.discard(node_id)
        self._tell("friend-removed", friend)
        self._follow_book()  # there may be room for another one
        return friend

    def check_free(self, alias: str, node_id: NodeID = b"") -> None:
        """See ``FriendBook.check_free``."""
        self._book.check_free(alias, node_id)

    def is_friend(self, node_id: NodeID) -> bool:
        """Whether that node belongs to a friend."""
        return self._book.get(node_id) is not None

    def list(self) -> list[Friend]:
        """All friends, in the order in which they were added."""
        return self._book.list()

    def get(self, node_id: NodeID) -> Friend | None:
        """A friend by node id."""
        return self._book.get(node_id)

    async def named(self, name: str) -> IdentityDocument | None:
        """Who is called that: a ``NameLookup`` for aliases."""
        friend = self._book.called(name)
        return friend.document if friend is not None else None

    # --- presence ----------------------------------------------------------------------------

    def state(self, node_id: NodeID) -> str:
        """``CONNECTED``, ``PING?`` while a connection is being made, or ``OFFLINE``."""
        state = self._network.status(node_id).state
        if state is ContactState.ONLINE:
            return "OFFLINE" if node_id in self._silent else "CONNECTED"
        return "PING?" if state is ContactState.CONNECTING else "OFFLINE"

    def _on_event(self, event: Event) -> None:
        if event.event_id == KEYS_BACK:
            self._spawn(self._reload(), "read friends")
            return
        if event.event_id not in ("node-connected", "node-disconnected", "identity-rotated"):
            return
        node_id = bytes.fromhex(str(event.data["node_id"]))
        if self._book.get(node_id) is None:
            return
        if event.event_id != "node-disconnected":
            document = self._network.document_of(node_id)
            if document is not None:
                self._spawn(self._renew(document), "renew friend")
        if event.event_id == "identity-rotated":
            return  # neither come nor gone: it told so over the connection that stands
        self._silent.discard(node_id)
        if event.event_id == "node-connected":
            self._spawn(self._watch(node_id, True), "watch friend")
        self._judge(node_id)

    async def _watch(self, node_id: NodeID, wanted: bool) -> None:
        """Ask a node to call when it comes back, or not to any more."""
        try:
            response = await self._network.request(
                node_id, WATCH, Watch(wanted), timeout=PULSE_TIMEOUT
            )
        except NetworkError as exc:
            log.debug("a friend does not call back", reason=exc.message)
        else:
            response.close()

    async def _renew(self, document: IdentityDocument) -> None:
        try:
            await in_pool(self._pool, self._book.renew, document)
        except BitdustError as exc:
            log.warning("friend not saved", reason=exc.message)

    async def _reload(self) -> None:
        try:
            await in_pool(self._pool, self._book.load)
        except BitdustError as exc:
            log.warning("friends not read", reason=exc.message)
        self._follow_book()

    def _judge(self, node_id: NodeID) -> None:
        """Tell it when a friend has come or gone."""
        friend = self._book.get(node_id)
        if friend is None:
            return
        online = self._network.status(node_id).state is ContactState.ONLINE
        present = online and node_id not in self._silent
        if present and node_id not in self._present:
            self._present.add(node_id)
            self._tell("friend-connected", friend)
        elif not present and node_id in self._present:
            self._present.discard(node_id)
            self._tell("friend-disconnected", friend)
        if online:
            self._wake.set()

    async def _pulse(self) -> None:
        """Ask all friends who are connected for signs of life: a connection to a node that hangs,
        or that lost its network, stands for much longer."""
        while True:
            asked = [
                friend.node_id
                for friend in self._book.list()
                if self._network.status(friend.node_id).state is ContactState.ONLINE
            ]
            if not asked:
                self._wake.clear()
                await self._wake.wait()
            else:
                await asyncio.gather(*(self._feel(node_id) for node_id in asked))
            await self._clock.sleep(PULSE)

    async def _feel(self, node_id: NodeID) -> None:
        try:
            await self._network.ping(node_id, PULSE_TIMEOUT)
        except NetworkError:
            if self._network.status(node_id).state is ContactState.ONLINE:
                self._silent.add(node_id)
        else:
            self._silent.discard(node_id)
        self._judge(node_id)

    # --- connections -------------------------------------------------------------------------

    def _follow_book(self) -> None:
        for friend in self._book.list():
            self._follow(friend)
            self._judge(friend.node_id)

    def _follow(self, friend: Friend) -> None:
        self._network.learn(friend.document)
        if friend.node_id not in self._kept and len(self._kept) < MAX_KEPT:
            self._kept.add(friend.node_id)
            self._network.keep(friend.node_id)

    def _let_go(self, node_id: NodeID) -> None:
        if node_id in self._kept:
            self._kept.discard(node_id)
            self._network.release(node_id)

    def _tell(self, event_id: str, friend: Friend) -> None:
        self._events.publish(
            event_id,
            idurl=str(friend.document.idurl),
            global_id=str(friend.document.global_id),
            node_id=friend.node_id.hex(),
            alias=friend.alias,
        )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
