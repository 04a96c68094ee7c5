"""Finding one's suppliers again with nothing but the master key.

The customer's own DHT records may have faded long ago. Its suppliers have not: each announces
itself on the topic of the customer's key, holds both sides of the contract and the newest family
it was given, and all of that is signed. Whoever announces itself there falsely can show nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import structlog

from bitdust.clock import Clock
from bitdust.dht import Dht, customer_topic
from bitdust.errors import BitdustError, IntegrityError, TooFewSuppliers
from bitdust.identity import IdentityDocument
from bitdust.network import Endpoint
from bitdust.supply import messages as m
from bitdust.supply.client import refusals
from bitdust.supply.contracts import Contract
from bitdust.supply.family import Family
from bitdust.supply.hiring import DIAL_TIMEOUT, Hirer
from bitdust.supply.ports import MasterKey, NetworkPort
from bitdust.supply.roster import Place, Roster
from bitdust.supply.wire import NUMBERS, NodeID

ASK_TIMEOUT = 15.0
"""Seconds for one supplier to show what it holds."""
MAX_ANNOUNCED = 256
"""Addresses on the customer's topic that are tried."""
CONCURRENT_ASKS = 16
LOOKUP_TIMEOUT = 3.0
"""Seconds of one look at the DHT."""
RETRY_SECONDS = 0.5
"""Pause before looking again while suppliers are missing."""

SETTLE_SECONDS = 4.0
"""With half of the family found, how long nothing new may come before the search ends."""

_log = structlog.get_logger(component="customer")


@dataclass(slots=True)
class Evidence:
    """What suppliers showed so far.

    Args:
        contracts: valid ones by supplier, with its document.
        family: the newest valid one, None when none was shown.
        usage: bytes and objects each keeps.
        asked: addresses that need not be tried again.
    """

    contracts: dict[NodeID, tuple[Contract, IdentityDocument]] = field(default_factory=dict)
    family: Family | None = None
    usage: dict[NodeID, tuple[int, int]] = field(default_factory=dict)
    asked: set[Endpoint] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether every member of the family has shown its contract."""
        return self.family is not None and all(
            member.node in self.contracts for member in self.family.members
        )

    def roster(self) -> Roster | None:
        """The suppliers as far as they are proven, None when there are none."""
        if self.family is not None:
            roster = Roster(self.family.n)
            roster.family = self.family
            for member in self.family.members:
                roster.places[member.position] = self._place(
                    member.position, member.node, member.idurl
                )
            return roster
        if not self.contracts:
            return None
        # No family was ever spread: the newest contracts say who stands where.
        newest = max((c for c, _ in self.contracts.values()), key=lambda c: (c.issued, c.revision))
        roster = Roster(newest.n if newest.n in NUMBERS else NUMBERS[0])
        by_age = sorted(self.contracts.values(), key=lambda pair: pair[0].issued)
        for contract, document in by_age:
            if contract.n == roster.n:
                roster.places[contract.position] = self._place(
                    contract.position, contract.supplier, str(document.idurl)
                )
        return roster

    def _place(self, position: int, node: NodeID, idurl: str) -> Place:
        place = Place(position=position, node=node, idurl=idurl)
        shown = self.contracts.get(node)
        if shown is not None:
            contract, document = shown
            place.contract = contract.encode()
            place.document = document.to_xml()
            place.idurl = str(document.idurl)
            place.hired = contract.issued
        return place


class Recovery:
    """One search for the suppliers of a key.

    Args:
        network: sessions.
        dht: where suppliers announce themselves.
        key: the customer's master key.
        hirer: finds nodes and proves contracts.
        clock: time.
    """

    def __init__(
        self, network: NetworkPort, dht: Dht, key: MasterKey, hirer: Hirer, clock: Clock
    ) -> None:
        self._network = network
        self._dht = dht
        self._key = key
        self._hirer = hirer
        self._clock = clock
        self._node = key.public.fingerprint
        self.evidence = Evidence()
        self._news = clock.monotonic()

    async def run(self, timeout: float) -> Roster:
        """Search until every member of the newest family was found, or enough and no more came.

        Args:
            timeout: seconds at most.

        Returns:
            The suppliers; places whose supplier did not show up have no contract.

        Raises:
            TooFewSuppliers: not a single one was found.
        """
        end = self._clock.monotonic() + timeout
        while (left := end - self._clock.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._round(min(LOOKUP_TIMEOUT, left))
            if self.evidence.complete or self._settled():
                break
            await self._clock.sleep(min(RETRY_SECONDS, left))
        roster = self.evidence.roster()
        if roster is None:
            raise TooFewSuppliers(
                "no supplier of this key was found",
                hint="is this the right key, and is the network up? It can be tried again",
            )
        _log.info(
            "suppliers recovered", found=len(self.evidence.contracts), places=len(roster.places)
        )
        return roster

    def _settled(self) -> bool:
        """Whether enough was found and nothing new came for a while: the rest may be dead."""
        family = self.evidence.family
        if family is None or self._clock.monotonic() - self._news < SETTLE_SECONDS:
            return False
        found = sum(member.node in self.evidence.contracts for member in family.members)
        return 2 * found >= family.n

    async def _round(self, patience: float) -> None:
        try:
            peers = await self._dht.peers(
                customer_topic(self._node, self._dht.network), patience, MAX_ANNOUNCED
            )
        except BitdustError as exc:
            _log.debug("the DHT gave no suppliers", problem=exc.code)
            peers = []
        fresh = [Endpoint("tcp", host, port) for host, port in dict.fromkeys(peers)]
        fresh = [end for end in fresh if end not in self.evidence.asked][:MAX_ANNOUNCED]
        gate = asyncio.Semaphore(CONCURRENT_ASKS)
        await asyncio.gather(*(self._approach(gate, end) for end in fresh))
        family = self.evidence.family
        members = family.members if family else ()
        absent = [member for member in members if member.node not in self.evidence.contracts]
        await asyncio.gather(*(self._find(gate, mem.node, mem.idurl) for mem in absent))

    async def _approach(self, gate: asyncio.Semaphore, endpoint: Endpoint) -> None:
        async with gate:
            try:
                document = await self._network.dial(endpoint, timeout=DIAL_TIMEOUT)
            except BitdustError:
                return
            if await self._ask(document):
                self.evidence.asked.add(endpoint)

    async def _find(self, gate: asyncio.Semaphore, node: NodeID, idurl: str) -> None:
        async with gate:
            try:
                document = await self._hirer.locate(node, idurl)
            except BitdustError:
                return
            await self._ask(document)

    async def _ask(self, document: IdentityDocument) -> bool:
        """Have one node show what it holds; False when it is worth asking again."""
        node = document.node_id
        if node == self._node:
            return True
        if node in self.evidence.contracts:
            return True
        try:
            with refusals():
                response = await self._network.request(
                    node, m.CONTRACT, m.Nothing(), timeout=ASK_TIMEOUT
                )
            async with response:
                held = response.decode(m.Held)
            contract = self._hirer.proven(held.contract, document)
        except IntegrityError as exc:
            _log.warning("false supplier ignored", node=node.hex()[:16], problem=exc.code)
            return True
        except BitdustError:
            return False
        self._news = self._clock.monotonic()
        self.evidence.contracts[node] = (contract, document)
        self.evidence.usage[node] = (held.used, held.count)
        try:
            family = Family.decode(held.family) if held.family else None
            if family is not None:
                family.verify(self._key.public)
        except IntegrityError as exc:
            _log.warning("false family ignored", node=node.hex()[:16], problem=exc.code)
            return True
        current = self.evidence.family
        if family is not None and (current is None or family.revision > current.revision):
            self.evidence.family = family
        return True
