"""A supplier's answers about objects: put, get, delete, list, audit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from bitdust.clock import Clock
from bitdust.errors import Busy, FormatError, NoContract, ServiceOff
from bitdust.network import Call, Reply
from bitdust.supply import messages as m
from bitdust.supply.charters import CharterBook
from bitdust.supply.customers import Customer, CustomerBook
from bitdust.supply.index import ObjectState
from bitdust.supply.ports import Chunk, NetworkPort
from bitdust.supply.rules import Rates
from bitdust.supply.store import FragmentStore
from bitdust.supply.turns import Turns
from bitdust.supply.wire import NodeID, Phase

REQUEST_RATE = 500.0
"""Requests per second of one customer in the long run, all kinds together."""
REQUEST_BURST = 2000.0
LIST_RATE = 10.0
"""Pages of lists per second of one customer in the long run."""
LIST_BURST = 100.0
AUDIT_RATE = 20.0
"""Audits per second of one customer in the long run; each reads up to 32 KiB."""
AUDIT_BURST = 200.0
READS_EACH = 8
"""Objects one customer reads at once; further ones wait."""
READS_TOTAL = 256
"""Objects all customers read at once."""
READS_WAITING = 256
"""Reads of one customer that may wait."""


class FragmentHandlers:
    """Serves the objects of customers to themselves and to the members of their shares.

    Who asks is known from the session. Another customer's objects can be named only by a member of
    one of its shares, below the name of that share.

    Args:
        store: the objects.
        book: the customers.
        charters: who is a member of which share.
        clock: for rates and the ends of contracts.
        grace: seconds after its end during which a contract still lets its customer read.
        running: whether the service is up.
    """

    def __init__(
        self,
        store: FragmentStore,
        book: CustomerBook,
        charters: CharterBook,
        clock: Clock,
        grace: Callable[[], float],
        running: Callable[[], bool],
    ) -> None:
        self._store = store
        self._book = book
        self._charters = charters
        self._clock = clock
        self._grace = grace
        self._running = running
        self._requests = Rates(REQUEST_RATE, REQUEST_BURST)
        self._lists = Rates(LIST_RATE, LIST_BURST)
        self._audits = Rates(AUDIT_RATE, AUDIT_BURST)
        self._reads = Turns(READS_TOTAL, READS_EACH, READS_WAITING)

    def register(self, network: NetworkPort) -> None:
        """Answer on a network."""
        network.handle(m.PUT, self.put)
        network.handle(m.GET, self.get)
        network.handle(m.DELETE, self.delete)
        network.handle(m.LIST, self.list)
        network.handle(m.AUDIT, self.audit)

    async def put(self, call: Call) -> Reply:
        """Keep an object; the answer goes out when it is on the disk."""
        args = call.decode(m.Put)
        account = self._account(call, args.account)
        customer = self._proven(call, account)
        if customer.contract.phase(self._clock.now(), self._grace()) is not Phase.ACTIVE:
            raise NoContract("the contract has ended; it must be renewed before anything is added")
        if account != call.peer:
            await self._charters.check_write(account, call.peer, args.name, args.size)
        stored = await self._store.put(account, args.name, args.size, args.hash, call.body())
        if account != call.peer and stored:
            self._charters.changed(account, [args.name], args.size)
        usage = self._store.usage(account)
        return Reply(m.Stored(existed=not stored, used=usage.used, count=usage.count))

    async def get(self, call: Call) -> Reply:
        """Give an object or a part of it."""
        args = call.decode(m.Get)
        account = self._account(call, args.account)
        self._proven(call, account)
        if account != call.peer:
            self._charters.check_read(account, call.peer, args.name)
        size, digest, stream = await self._store.get(account, args.name, args.offset, args.length)
        return Reply(m.Got(size, digest), self._in_turn(call.peer, stream))

    async def _in_turn(self, peer: NodeID, stream: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
        async with self._reads.turn(peer):
            async for part in stream:
                yield part

    async def delete(self, call: Call) -> Reply:
        """Remove objects."""
        args = call.decode(m.Delete)
        account = self._account(call, args.account)
        self._proven(call, account)
        if account != call.peer:
            for name in args.names:
                await self._charters.check_write(account, call.peer, name, 0)
        deleted = await self._store.delete(account, args.names)
        self._charters.changed(account, args.names, 0)
        usage = self._store.usage(account)
        return Reply(m.Deleted(deleted=deleted, used=usage.used, count=usage.count))

    async def list(self, call: Call) -> Reply:
        """Give a page of names."""
        args = call.decode(m.List)
        account = self._account(call, args.account)
        self._proven(call, account)
        if not self._lists.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many lists were asked for")
        if account != call.peer:
            self._charters.check_read(account, call.peer, args.prefix)
        rows = await self._store.list(account, args.prefix, args.after, args.limit)
        entries = [
            m.Entry(row.name, row.size, row.digest, row.state is ObjectState.GOOD) for row in rows
        ]
        return Reply(m.Listed(entries, more=len(rows) == args.limit))

    async def audit(self, call: Call) -> Reply:
        """Prove that an object is here."""
        args = call.decode(m.Audit)
        account = self._account(call, args.account)
        self._proven(call, account)
        if not self._audits.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many audits were asked for")
        if account != call.peer:
            self._charters.check_read(account, call.peer, args.name)
        return Reply(m.Audited(await self._store.prove(account, args.name, args.key)))

    @staticmethod
    def _account(call: Call, account: bytes) -> NodeID:
        if len(account) not in (0, 32):
            raise FormatError("an account is named by a node id of 32 bytes")
        return account or call.peer

    def _proven(self, call: Call, account: NodeID) -> Customer:
        if not self._running():
            raise ServiceOff("this node is no supplier now")
        if not self._requests.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many requests")
        customer = self._book.get(account)
        if customer is None:
            raise NoContract("there is no contract with this node")
        return customer
