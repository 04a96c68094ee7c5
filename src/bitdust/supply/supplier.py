"""A supplier: takes customers, keeps what it promised, and tells where it can be found."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog

from bitdust.clock import Clock, Random
from bitdust.dht import LAYER_SUPPLIERS, Dht, customer_topic, layer_topic
from bitdust.errors import (
    BitdustError,
    Busy,
    IntegrityError,
    NoContract,
    NotFound,
    ServiceOff,
)
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument
from bitdust.network import Call, Reply
from bitdust.supply import messages as m
from bitdust.supply.charters import CharterBook
from bitdust.supply.contracts import Contract
from bitdust.supply.customers import Customer, CustomerBook
from bitdust.supply.family import Family
from bitdust.supply.fragments import FragmentHandlers
from bitdust.supply.pings import ping_all
from bitdust.supply.ports import (
    DocumentSource,
    NetworkPort,
    contact_state,
    contact_status,
    contact_view,
    listen_port,
)
from bitdust.supply.rules import Rates, Standing, Terms, judge
from bitdust.supply.store import FragmentStore
from bitdust.supply.views import contract_view, percent_text, with_texts
from bitdust.supply.wire import NodeID, Phase, Signer

HIRE_RATE = 1.0
"""Offers per second of one node in the long run; each costs a signature."""
HIRE_BURST = 20.0
ASK_RATE = 5.0
"""Other questions per second of one node, customer or not."""
ASK_BURST = 50.0
MAINTENANCE_SECONDS = 600.0
"""Pause between looks at contracts and announcements."""
LAPSE_SECONDS = 86400.0
"""How long this node must have run and seen a contract lapsed before it removes the data.

A clock that jumped for an hour must not cost a customer everything.
"""
SCRUB_PAUSE = 86400.0
"""Pause between two passes over all objects, seconds."""
SCRUB_RATE = 4 * 1024 * 1024
"""Bytes per second read by a pass."""
ROOM_SHARE = 16
"""New customers are invited while at least one part in so many of the donated space is free."""
NOTICE_TIMEOUT = 10.0
GREETINGS_AT_ONCE = 16
"""Customers called on at the same time after a start."""

_log = structlog.get_logger(component="supplier")


class SupplierService:
    """This node as a supplier. Owns the store: opens it at ``start``, closes it at ``stop``.

    Args:
        network: sessions; the methods ``supplier.*`` and ``fragment.*`` are answered on it.
        dht: where it announces itself.
        store: the objects, not open yet.
        key: this node's master key.
        document: this node's current identity document.
        clock: time.
        random: chance.
        events: where things that happen are told.
        donated: bytes for all customers together.
        enabled: whether new customers are taken.
        terms: the other conditions; their ``donated`` and ``enabled`` are replaced.
    """

    def __init__(
        self,
        network: NetworkPort,
        dht: Dht,
        store: FragmentStore,
        key: Signer,
        document: DocumentSource,
        clock: Clock,
        random: Random,
        events: EventBus,
        donated: int,
        *,
        enabled: bool = True,
        terms: Terms | None = None,
    ) -> None:
        self._network = network
        self._dht = dht
        self._store = store
        self._key = key
        self._document = document
        self._clock = clock
        self._random = random
        self._events = events
        base = terms or Terms(donated)
        self._terms = Terms(donated, enabled, base.most_per_customer, base.longest, base.grace)
        self._node = key.public.fingerprint
        self._book = CustomerBook(store, key)
        self._charters = CharterBook(store, self._book, clock)
        self._fragments = FragmentHandlers(
            store,
            self._book,
            self._charters,
            clock,
            lambda: self._terms.grace,
            lambda: self._running,
        )
        self._hires = Rates(HIRE_RATE, HIRE_BURST)
        self._asks = Rates(ASK_RATE, ASK_BURST)
        self._hiring = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._announced: dict[bytes, int] = {}
        self._running = False
        self._registered = False

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, load the customers, answer and announce.

        Raises:
            DiskFull, LocalFileError: the folder of customers cannot be used.
        """
        if self._running:
            return
        self._store.on_damaged = self._on_damaged
        report = await self._store.open()
        if report.leftovers or report.adopted or report.lost_count or report.index_damaged:
            _log.warning(
                "the store was not closed cleanly",
                leftovers=report.leftovers,
                adopted=report.adopted,
                lost=report.lost_count,
                index_damaged=report.index_damaged,
            )
        try:
            await self._book.load()
            await self._charters.load()
        except BaseException:
            await self._store.close()
            raise
        self._register()
        self._running = self._charters.running = True
        self._spawn(self._maintain())
        self._spawn(self._scrub())
        self._spawn(self._greet())
        self.announce()

    def _register(self) -> None:
        if self._registered:
            return
        self._registered = True
        network = self._network
        network.handle(m.HIRE, self._on_hire)
        network.handle(m.CONTRACT, self._on_contract)
        network.handle(m.FAMILY_PUT, self._on_family_put)
        network.handle(m.FAMILY_GET, self._on_family_get)
        network.handle(m.CANCEL, self._on_cancel)
        network.handle(m.SUPPLIER_PING, self._on_ping)
        self._fragments.register(network)
        self._charters.register(network)

    async def stop(self) -> None:
        """Answer no more, announce no more, close the store; data stays as it is."""
        if not self._running:
            return
        self._running = self._charters.running = False
        for topic in list(self._announced):
            self._dht.withdraw(topic)
        self._announced.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- settings -------------------------------------------------------------------------------

    @property
    def donated(self) -> int:
        """Bytes for all customers together."""
        return self._terms.donated

    def set_donated(self, donated: int, *, enabled: bool | None = None) -> None:
        """Change what is donated; less than is promised only stops new promises."""
        terms = self._terms
        self._terms = Terms(
            donated,
            terms.enabled if enabled is None else enabled,
            terms.most_per_customer,
            terms.longest,
            terms.grace,
        )
        if self._running:
            self.announce()

    @property
    def room(self) -> int:
        """Bytes that could still be promised."""
        return max(0, self._terms.donated - self._book.promised())

    def announce(self) -> None:
        """Bring the announcements on the DHT to what is so now; call it when the port changed."""
        port = listen_port(self._document())
        wanted: set[bytes] = set()
        if port:
            room = self.room
            if self._terms.enabled and room and room >= self._terms.donated // ROOM_SHARE:
                wanted.add(layer_topic(LAYER_SUPPLIERS, self._dht.network))
            wanted.update(customer_topic(node, self._dht.network) for node in self._book.all())
        for topic in set(self._announced) - wanted:
            self._dht.withdraw(topic)
            del self._announced[topic]
        for topic in wanted:
            if self._announced.get(topic) == port:
                continue
            try:
                self._dht.announce(topic, port)
            except BitdustError as exc:
                # A promise is kept even when it cannot be announced; it is tried again later.
                _log.warning("not announced", problem=exc.code)
                return
            self._announced[topic] = port

    # --- contracts ------------------------------------------------------------------------------

    async def _on_hire(self, call: Call) -> Reply:
        self._check(call, self._hires)
        offer = Contract.decode(call.decode(m.Hire).offer)
        if offer.customer != call.peer or offer.supplier != self._node:
            raise IntegrityError("the offer is not between the two of us")
        offer.verify_offer(call.document.public_key)
        async with self._hiring:
            return Reply(await self._decide(call, offer))

    async def _decide(self, call: Call, offer: Contract) -> m.Hired:
        node = call.peer
        known = self._book.get(node)
        held = known.contract if known else None
        if held is not None and offer.same_terms(held):
            return m.Hired(contract=held.encode())
        standing = Standing(
            now=self._clock.now(),
            promised=self._book.promised(leave_out=node),
            used=self._store.usage(node).used,
            held=held,
            blocked=self._book.is_rejected(node),
        )
        refusal = judge(offer, self._terms, standing)
        who = contact_view(call.document)
        if refusal is not None:
            kind = "existing-customer-denied" if known else "new-customer-denied"
            self._events.publish(kind, **who, reason=refusal.value)
            current = held.encode() if held is not None else b""
            return m.Hired(refusal.value, current, f"refused: {refusal.value}")
        contract = await self._store.run(offer.countersigned, self._key)
        customer = Customer(
            contract,
            known.family if known else None,
            call.document,
            known.since if known else int(standing.now),
        )
        await self._book.save(node, customer)
        kind = "existing-customer-accepted" if known else "new-customer-accepted"
        self._events.publish(
            kind, **who, allocated_bytes=contract.granted, position=contract.position
        )
        _log.info(kind, customer=who["global_id"], granted=contract.granted)
        self.announce()
        return m.Hired(contract=contract.encode())

    async def _on_contract(self, call: Call) -> Reply:
        self._check(call, self._asks)
        customer = self._customer(call.peer)
        usage = self._store.usage(call.peer)
        family = customer.family.encode() if customer.family else b""
        return Reply(m.Held(customer.contract.encode(), family, usage.used, usage.count))

    async def _on_family_put(self, call: Call) -> Reply:
        self._check(call, self._asks)
        family = Family.decode(call.decode(m.FamilyPut).family)
        family.verify(call.document.public_key)
        customer = self._customer(call.peer)
        held = customer.family
        if held is None or family.revision > held.revision:
            changed = Customer(customer.contract, family, call.document, customer.since)
            async with self._hiring:
                # The contract may have been renewed or ended while the lock was waited for.
                current = self._customer(call.peer)
                changed.contract = current.contract
                if current.family is None or family.revision > current.family.revision:
                    await self._book.save(call.peer, changed)
            held = self._customer(call.peer).family
        return Reply(m.FamilyGiven(held.encode() if held else b""))

    async def _on_family_get(self, call: Call) -> Reply:
        self._check(call, self._asks)
        customer = self._book.get(call.decode(m.FamilyAsk).customer)
        if customer is None or customer.family is None:
            raise NotFound("no family of that customer is kept here")
        return Reply(m.FamilyGiven(customer.family.encode()))

    async def _on_cancel(self, call: Call) -> Reply:
        self._check(call, self._hires)
        args = call.decode(m.Cancel)
        async with self._hiring:
            customer = self._customer(call.peer)
            if args.contract_id != customer.contract.contract_id:
                raise NoContract("another contract is in force")
            freed = await self._end(call.peer, customer, "cancelled")
        return Reply(m.Freed(freed))

    async def _on_ping(self, call: Call) -> Reply:
        self._check(call, self._asks)
        usage = self._store.usage(call.peer)
        return Reply(m.Pong(self._book.get(call.peer) is not None, usage.used, usage.count))

    def _check(self, call: Call, rates: Rates) -> None:
        if not self._running:
            raise ServiceOff("this node is no supplier now")
        if not rates.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many requests")

    def _customer(self, node: NodeID) -> Customer:
        customer = self._book.get(node)
        if customer is None:
            raise NoContract("there is no contract with this node")
        return customer

    async def _end(
        self, node: NodeID, customer: Customer | None, reason: str, *, reject: bool = False
    ) -> int:
        await self._charters.forget(node)
        freed = await self._book.remove(node, reject=int(self._clock.now()) if reject else None)
        who: dict[str, Any] = {"node_id": node.hex()}
        if customer is not None:
            document = customer.document
            who = contact_view(document) if document else who | {"idurl": customer.idurl}
        self._events.publish("existing-customer-terminated", **who, reason=reason, freed=freed)
        _log.info("customer ended", customer=who.get("global_id", ""), reason=reason, freed=freed)
        self.announce()
        return freed

    # --- the owner's hand -----------------------------------------------------------------------

    async def reject_customer(self, node: NodeID) -> int:
        """End the support of a customer, remove its files, and take no offers from it any more.

        It is told at once when it can be reached, else by the refusal it meets next.

        Returns:
            Bytes freed.

        Raises:
            NotFound: there is no such customer.
        """
        async with self._hiring:
            customer = self._book.get(node)
            if customer is None and node not in self._book.without_contract():
                raise NotFound(
                    "there is no such customer", hint="list them with `bitdust customer list`"
                )
            freed = await self._end(node, customer, "rejected", reject=True)
        if customer is not None:
            self._spawn(self._notify(node, customer.contract))
        return freed

    async def forgive_customer(self, node: NodeID) -> None:
        """Let a rejected customer offer again."""
        await self._book.forgive(node)

    async def _notify(self, node: NodeID, contract: Contract) -> None:
        notice = m.Cancel(contract.contract_id, "rejected")
        with contextlib.suppress(BitdustError):
            response = await self._network.request(
                node, m.TERMINATED, notice, timeout=NOTICE_TIMEOUT
            )
            response.close()

    async def ping_customers(self, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Ask every customer for a sign of life.

        Args:
            timeout: seconds for each.

        Returns:
            The rows of ``customers_list`` with ``answered``.
        """
        answers = await ping_all(self._network, self._book.all(), m.CUSTOMER_PING, timeout)
        return [
            row | {"answered": answers.get(bytes.fromhex(row["node_id"])) is not None}
            for row in self.customers_list()
        ]

    # --- views ----------------------------------------------------------------------------------

    def customers_list(self) -> list[dict[str, Any]]:
        """Who keeps data here, the first one first.

        Source: BitDust API, third generation, customers_list.
        """
        rows = []
        for position, (node, customer) in enumerate(self._book.all().items()):
            usage = self._store.usage(node)
            document = self._network.document_of(node) or customer.document
            who = (
                contact_view(document)
                if document
                else {"idurl": customer.idurl, "global_id": "", "node_id": node.hex()}
            )
            phase = customer.contract.phase(self._clock.now(), self._terms.grace)
            rows.append(
                {
                    "position": position,
                    **who,
                    "status": contact_status(self._network, node),
                    "contact_status": contact_status(self._network, node),
                    "contact_state": contact_state(self._network, node),
                    "files_count": usage.count,
                    "used": usage.used,
                    "contract": contract_view(customer.contract, phase),
                }
            )
        return rows

    async def space_donated(self) -> dict[str, Any]:
        """How the donated space is used; sizes in bytes.

        Source: BitDust API, second generation, space_donated.
        """
        totals = {total.customer: total for total in await self._store.totals()}
        customers = []
        consumed = used = real = 0
        for node, customer in self._book.all().items():
            total = totals.pop(node, None)
            row = {
                "consumed": customer.contract.granted,
                "used": total.used if total else 0,
                "real": total.real if total else 0,
            }
            consumed += row["consumed"]
            used += row["used"]
            real += row["real"]
            customers.append({"idurl": customer.idurl, "node_id": node.hex(), **row})
        donated = self._terms.donated
        view: dict[str, Any] = with_texts(
            {
                "donated": donated,
                "consumed": consumed,
                "free": max(0, donated - consumed),
                "used": used,
                "real": real,
            }
        )
        view |= {
            "consumed_percent": percent_text(consumed, donated),
            "used_percent": percent_text(used, donated),
            "customers_num": len(customers),
            "customers": customers,
            "old_customers": [
                {"idurl": "", "node_id": node.hex(), "used": total.used, "real": total.real}
                for node, total in totals.items()
            ],
            "old_customers_used": sum(total.used for total in totals.values()),
            "old_customers_real": sum(total.real for total in totals.values()),
        }
        return view

    # --- watching -------------------------------------------------------------------------------

    def _on_damaged(self, node: NodeID, name: str, what: str) -> None:
        customer = self._book.get(node)
        _log.warning("fragment damaged", customer=node.hex()[:16], name=name, what=what)
        self._events.publish(
            "fragment-damaged",
            node_id=node.hex(),
            idurl=customer.idurl if customer else "",
            name=name,
            what=what,
        )

    async def _greet(self) -> None:
        """Call on the customers after a start, once: they may look for this node only seldom."""
        customers = list(self._book.all().items())
        self._random.shuffle(customers)
        slots = asyncio.Semaphore(GREETINGS_AT_ONCE)

        async def greet(node: NodeID, document: IdentityDocument) -> None:
            async with slots:
                if self._network.document_of(node) is None:
                    self._network.learn(document)
                with contextlib.suppress(BitdustError):
                    response = await self._network.request(
                        node, m.CUSTOMER_PING, timeout=NOTICE_TIMEOUT
                    )
                    response.close()

        await asyncio.gather(
            *(
                greet(node, customer.document)
                for node, customer in customers
                if customer.document is not None
            )
        )

    async def _maintain(self) -> None:
        while True:
            await self._clock.sleep(MAINTENANCE_SECONDS * self._random.uniform(0.9, 1.1))
            try:
                await self.check_lapsed()
                self.announce()
            except BitdustError as exc:
                _log.error("maintenance failed", problem=exc.code)

    def serves(self, node: NodeID) -> bool:
        """Whether that node has a contract here now."""
        return self._book.get(node) is not None

    async def check_lapsed(self) -> None:
        """Remove the data of customers whose contract and grace ended long enough ago."""
        for node, customer in self._book.all().items():
            phase = customer.contract.phase(self._clock.now(), self._terms.grace)
            now = self._clock.monotonic()
            if phase is not Phase.LAPSED:
                customer.lapsed_at = None
            elif customer.lapsed_at is None:
                customer.lapsed_at = now
            elif now - customer.lapsed_at >= LAPSE_SECONDS:
                async with self._hiring:
                    if self._book.get(node) is customer:
                        await self._end(node, customer, "lapsed")

    async def _scrub(self) -> None:
        while True:
            await self._clock.sleep(SCRUB_PAUSE * self._random.uniform(0.5, 1.0))
            try:
                found = await self._store.scrub(self._clock, SCRUB_RATE)
            except BitdustError as exc:
                _log.error("looking through the objects failed", problem=exc.code)
                continue
            if found:
                _log.warning("damaged objects found", count=found)
