"""What a customer does by itself: hires suppliers, stays connected, keeps contracts and family."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import structlog

from bitdust.clock import Clock, Random, pause
from bitdust.dht import Dht
from bitdust.errors import (
    BitdustError,
    IntegrityError,
    InvalidInput,
    NotFound,
    PeerRefused,
    ServiceOff,
)
from bitdust.events import Event, EventBus
from bitdust.identity import IdentityDocument
from bitdust.network import Call, Endpoint, Reply
from bitdust.pool import in_pool
from bitdust.supply import messages as m
from bitdust.supply.client import SupplierClient
from bitdust.supply.contracts import Contract
from bitdust.supply.hiring import LOOKUP_TIMEOUT, Hirer, OfferRefused
from bitdust.supply.ports import (
    DocumentFinder,
    DocumentSource,
    MasterKey,
    NetworkPort,
    contact_view,
)
from bitdust.supply.publishing import Publisher
from bitdust.supply.recovery import Recovery
from bitdust.supply.roster import Place, Roster, load_roster, save_roster
from bitdust.supply.rules import DAY
from bitdust.supply.supplierlist import granted_bytes
from bitdust.supply.upkeep import Upkeep
from bitdust.supply.wire import NUMBERS, NodeID

TERM = 90 * DAY
"""Seconds a contract lasts; it is renewed at half of them."""
FIRST_PAUSE = 0.3
"""Seconds between the first rounds while suppliers are missing; then longer."""
LONGEST_PAUSE = 60.0
REFRESH_SECONDS = 300.0
"""Seconds between rounds when nothing is missing."""
REPAIR_RECOVERY = 60.0
"""Seconds spent on finding the suppliers again when the list on the disk was damaged."""


_log = structlog.get_logger(component="customer")


class CustomerRounds:
    """What a customer does by itself; see ``CustomerService``.

    Args:
        network: sessions; ``customer.*`` methods are answered on it.
        dht: where suppliers are found and the family is published.
        key: this node's master key.
        document: this node's current identity document.
        clock: time.
        random: chance.
        events: where things that happen are told.
        desired: number of suppliers, one of ``NUMBERS``. A list kept from before is brought to it;
            see ``set_number``.
        needed: bytes of data the customer wants to keep safe.
        path: the file that keeps the list of suppliers.
        pool: threads for the disk and for signatures.
        configured: suppliers to try first.
        find_document: finds identity documents by IDURL, when the node has such a thing.
        term: seconds a contract shall last.
    """

    def __init__(
        self,
        network: NetworkPort,
        dht: Dht,
        key: MasterKey,
        document: DocumentSource,
        clock: Clock,
        random: Random,
        events: EventBus,
        desired: int,
        needed: int,
        path: Path,
        pool: Executor,
        *,
        configured: Sequence[Endpoint] = (),
        find_document: DocumentFinder | None = None,
        term: float = TERM,
    ) -> None:
        self._desired = possible(desired)
        self._network = network
        self._key = key
        self._node = key.public.fingerprint
        self._clock = clock
        self._random = random
        self._events = events
        self._needed = needed
        self._path = path
        self._pool = pool
        self._term = term
        self._dht = dht
        self._hirer = Hirer(
            network, dht, key, document, clock, random, pool, configured, find_document
        )
        self._roster = Roster(desired)
        self._publisher = Publisher(network, dht, key, document, clock, random, pool, find_document)
        self._upkeep = Upkeep(network, self._hirer, clock, random)
        self.client = SupplierClient(network, self.note_usage, self._suspect)
        self._usage: dict[NodeID, tuple[int, int]] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rounds = 0
        self._was_complete = False
        self._running = False
        self._registered = False
        self.before_shrink: list[Callable[[int], Awaitable[bool]]] = []
        """Asked whether all is spread over so many suppliers, before the others leave."""

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the list of suppliers, connect to them and hire those that are missing.

        Returns at once; see ``wait_ready``.

        Raises:
            LocalFileError: the list cannot be read.
        """
        if self._running:
            return
        damaged = False
        try:
            loaded = await in_pool(self._pool, load_roster, self._path)
        except IntegrityError:
            _log.error("the list of suppliers was damaged; it is looked for in the network")
            loaded, damaged = None, True
        if loaded is not None:
            self._roster = loaded
        self._roster.target = self._desired
        if not self._roster.places:
            self._roster.n = self._desired
        if not self._registered:
            self._registered = True
            self._network.handle(m.CUSTOMER_PING, self._on_ping)
            self._network.handle(m.TERMINATED, self._on_terminated)
            self._events.on_event(self._on_event)
        self._running = True
        self._connect_all()
        self._spawn(self._run(damaged))

    async def stop(self) -> None:
        """Hire no more and keep no connection; contracts stay in force."""
        if not self._running:
            return
        self._running = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._publisher.stop()
        for node in self._roster.nodes():
            self._network.release(node)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connect_all(self) -> None:
        for place in self._roster.places.values():
            if place.document and self._network.document_of(place.node) is None:
                with contextlib.suppress(IntegrityError):
                    self._network.learn(IdentityDocument.parse(place.document))
            self._network.keep(place.node)

    async def _run(self, damaged: bool) -> None:
        if damaged:
            try:
                await self.recover(REPAIR_RECOVERY)
            except BitdustError as exc:
                _log.error("the suppliers were not found again", problem=exc.code)
        while True:
            try:
                async with self._lock:
                    await self._round()
            except BitdustError as exc:
                # The disk may be full or the DHT away; the next round tries again.
                _log.warning("round failed", problem=exc.code, reason=exc.message)
            await self._pause()

    async def _pause(self) -> None:
        if self._roster.missing():
            self._rounds += 1
            rest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._rounds - 1, 30))
        else:
            self._rounds = 0
            rest = REFRESH_SECONDS
        await pause(self._clock, rest * self._random.uniform(0.7, 1.0), self._wake)
        self._wake.clear()

    # --- one round ------------------------------------------------------------------------------

    async def _round(self) -> None:
        if self._roster.missing():
            await self._hire_missing()
        await self._grow()
        if await self._upkeep.run(self._roster, self._granted, self._term):
            await self._save()
            self._moved()
        for place in self._upkeep.take_lost():
            await self._lose(place, "no_contract")
        await self._publish()
        self._tell()

    async def _hire_missing(self) -> None:
        free = self._roster.missing()
        taken = self._roster.nodes() | {old.node for old in self._roster.retired} | {self._node}
        # While the network is young a short look often is better than a long one.
        patience = LOOKUP_TIMEOUT * min(1 + self._rounds, 4)
        endpoints = await self._hirer.candidates(len(free), patience)
        await self._hirer.hire(endpoints, free, taken, self._offer, self._fill)
        await self._save()

    async def _grow(self) -> None:
        """Go over to a larger number once there is somebody for every position."""
        before = self._roster.n
        given_up = self._roster.give_up()
        for place in given_up:
            self._network.release(place.node)
        if given_up:
            await self._save()
        if not self._roster.grow():
            return
        await self._save()
        self._moved()
        for position in range(before, self._roster.n):
            self._tell_change(position, "", self._roster.places[position].idurl, "more suppliers")

    def _tell_change(self, position: int, old: str, new: str, reason: str) -> None:
        self._events.publish(
            "supplier-modified", position=position, old_idurl=old, new_idurl=new, reason=reason
        )

    async def _offer(self, document: IdentityDocument, position: int) -> Contract:
        """Agree with a supplier on a position, also when it still holds an older contract."""
        renews: Contract | None = None
        for _ in range(2):
            try:
                return await self._hirer.offer(
                    document,
                    position=position,
                    n=self._roster.n_at(position),
                    granted=self._granted,
                    term=self._term,
                    renews=renews,
                )
            except OfferRefused as exc:
                # It knows us from a time that we forgot: go on from there.
                if exc.contract is None or renews is not None:
                    raise
                renews = exc.contract
        raise PeerRefused("the supplier holds another contract", reason="already")

    def _fill(self, position: int, document: IdentityDocument, contract: Contract) -> None:
        place = Place(
            position=position,
            node=document.node_id,
            idurl=str(document.idurl),
            contract=contract.encode(),
            document=document.to_xml(),
            hired=int(self._clock.now()),
        )
        self._roster.places[position] = place
        self._network.learn(document)
        self._network.keep(place.node)
        self._events.publish("supplier-connected", **contact_view(document), position=position)
        self._moved()

    async def _lose(self, place: Place, reason: str) -> None:
        """A supplier ended the contract or forgot it."""
        if self._roster.places.get(place.position) is not place:
            return
        del self._roster.places[place.position]
        self._network.release(place.node)
        await self._save()
        self._events.publish(
            "supplier-modified",
            position=place.position,
            old_idurl=place.idurl,
            new_idurl="",
            reason=reason,
        )
        self._moved()
        self._wake.set()

    async def _publish(self) -> None:
        for _ in range(3):
            if await self._publisher.renew(self._roster):
                await self._save()
            await self._publisher.spread(self._roster)
            if not self._publisher.outdated(self._roster):
                return

    async def _save(self) -> None:
        await in_pool(self._pool, save_roster, self._path, self._roster.encode())

    def _tell(self) -> None:
        missing = self._roster.missing()
        complete = not missing
        if complete and not self._was_complete:
            self._events.publish("my-suppliers-all-hired", suppliers_num=self._roster.n)
        elif not complete and (self._was_complete or self._rounds == 0):
            self._events.publish(
                "my-suppliers-yet-not-hired", suppliers_num=self._roster.n, missing=missing
            )
        self._was_complete = complete

    # --- what others say ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.event_id.endswith("identity-url-changed"):
            self._wake.set()  # the family names people by their addresses
        if not self._running or event.event_id not in ("node-connected", "node-disconnected"):
            return
        node = bytes.fromhex(str(event.data.get("node_id", "")))
        if self._roster.of(node) is None:
            return
        self._moved()
        if event.event_id == "node-connected":
            self._publisher.try_again(node)
            self._wake.set()

    async def _on_ping(self, call: Call) -> Reply:
        return Reply(m.Pong(self._roster.of(call.peer) is not None))

    async def _on_terminated(self, call: Call) -> Reply:
        notice = call.decode(m.Cancel)
        if not self._running:
            raise ServiceOff("this node is no customer now")
        async with self._lock:
            place = self._roster.of(call.peer)
            contract = place.terms() if place else None
            if place is None or contract is None or contract.contract_id != notice.contract_id:
                raise NotFound("there is no such contract")
            await self._lose(place, "terminated")
        return Reply()

    def note_usage(self, node: NodeID, used: int, count: int) -> None:
        """Remember what a supplier says it keeps for us, in bytes and objects."""
        if self._roster.of(node) is not None:
            self._usage[node] = (used, count)

    def _moved(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    @property
    def n(self) -> int:
        """How many suppliers new data is spread over."""
        return min(self._roster.n, self._roster.target)

    @property
    def published(self) -> int:
        """How many suppliers the family names; more than ``n`` until ``shrink``."""
        return self._roster.n

    @property
    def _granted(self) -> int:
        return granted_bytes(self._needed, self.n)

    def positions(self) -> list[NodeID | None]:
        """The supplier of every position, None where none is hired."""
        places = self._roster.places
        return [places[i].node if i in places else None for i in range(self._roster.n)]

    def _suspect(self, node: NodeID) -> None:
        """A supplier says it has no contract with us: it is asked for a new one, or replaced."""
        if self._roster.of(node) is not None:
            self._upkeep.suspect(node)
            self._wake.set()

    async def recover(self, timeout: float = 60.0) -> list[NodeID | None]:
        """Find the suppliers again from the key alone and take them over.

        Args:
            timeout: seconds at most; it ends as soon as all have shown up.

        Returns:
            The positions.

        Raises:
            TooFewSuppliers: none was found.
        """
        recovery = Recovery(self._network, self._dht, self._key, self._hirer, self._clock)
        async with self._lock:
            roster = await recovery.run(timeout)
            for node in self._roster.nodes() - roster.nodes():
                self._network.release(node)
            if not self._running:
                self._desired = roster.n
            self._roster = roster
            self._roster.target = self._desired
            self._usage = recovery.evidence.usage
            await self._save()
            if self._running:
                self._connect_all()
        self._moved()
        self._wake.set()
        return self.positions()


def possible(number: int) -> int:
    """The number, if so many suppliers are possible.

    Raises:
        InvalidInput: they are not.
    """
    if number not in NUMBERS:
        raise InvalidInput(
            f"{number} suppliers are not possible",
            hint="use one of " + ", ".join(map(str, NUMBERS)),
        )
    return number
