"""Looking after contracts: renewing them in time, asking for forgotten ones, ending old ones."""

from __future__ import annotations

import asyncio

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import BitdustError, IntegrityError, NoContract, PeerRefused, PeerUnreachable
from bitdust.identity import IdentityDocument
from bitdust.supply import messages as m
from bitdust.supply.client import refusals
from bitdust.supply.contracts import Contract
from bitdust.supply.hiring import Hirer, OfferRefused
from bitdust.supply.ports import NetworkPort, is_online
from bitdust.supply.roster import Place, Roster
from bitdust.supply.rules import BackOff
from bitdust.supply.wire import NodeID

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 3600.0
ASK_TIMEOUT = 15.0
RENEW_AFTER = 0.5
"""Share of a contract's time after which it is renewed."""

_log = structlog.get_logger(component="customer")


class Upkeep:
    """Does for each supplier what is due, one thing at a time and not too often.

    Args:
        network: sessions.
        hirer: makes offers and finds nodes.
        clock: time.
        random: chance.
    """

    def __init__(self, network: NetworkPort, hirer: Hirer, clock: Clock, random: Random) -> None:
        self._network = network
        self._hirer = hirer
        self._clock = clock
        self._random = random
        self._pauses = BackOff(FIRST_PAUSE, LONGEST_PAUSE)
        self._suspects: set[NodeID] = set()
        self._lost: list[Place] = []

    def suspect(self, node: NodeID) -> None:
        """A supplier said it has no contract with us."""
        self._suspects.add(node)

    def take_lost(self) -> list[Place]:
        """Suppliers found to have ended their contract since the last call."""
        lost, self._lost = self._lost, []
        return lost

    async def run(self, roster: Roster, granted: int, term: float) -> bool:
        """Do all that is due now.

        Args:
            roster: the suppliers; changed in place.
            granted: bytes each contract shall be about.
            term: seconds a renewed contract shall last.

        Returns:
            Whether anything changed.
        """
        changed = await asyncio.gather(
            *(
                self._look_after(place, roster.n_at(place.position), granted, term)
                for place in roster.places.values()
            ),
            *(self._end(place) for place in roster.retired if place.dismissed),
        )
        before = len(roster.retired)
        now = self._clock.now()
        roster.retired = [
            place
            for place in roster.retired
            if (terms := place.terms()) is not None and now < terms.expires
        ]
        return any(changed) or len(roster.retired) != before

    async def _look_after(self, place: Place, n: int, granted: int, term: float) -> bool:
        if not self._pauses.ready(place.node, self._clock.monotonic()):
            return False
        try:
            if not is_online(self._network, place.node):
                return await self._find(place)
            document = self._network.document_of(place.node)
            if document is None:
                return False
            if not place.contract:
                await self._fetch(place, document)
                return True
            moved = self._moved(place, document)
            contract = Contract.decode(place.contract)
            if not self._due(contract, place, n, granted):
                return moved
            await self._renew(place, document, contract, n, granted, term)
        except PeerUnreachable:
            self._pause(place)
            return False
        except BitdustError as exc:
            _log.info("contract not renewed", supplier=place.idurl, problem=exc.code)
            self._pause(place)
            return False
        self._pauses.forget(place.node)
        return True

    @staticmethod
    def _moved(place: Place, document: IdentityDocument) -> bool:
        """Take over the address of a supplier that has a new one; contracts name the key."""
        if str(document.idurl) == place.idurl:
            return False
        place.document, place.idurl = document.to_xml(), str(document.idurl)
        return True

    def _due(self, contract: Contract, place: Place, n: int, granted: int) -> bool:
        age = self._clock.now() - contract.issued
        return (
            place.node in self._suspects
            or age > (contract.expires - contract.issued) * RENEW_AFTER
            or contract.granted != granted
            or contract.n != n
            or contract.position != place.position
        )

    async def _find(self, place: Place) -> bool:
        """Reach a supplier whose address may have changed."""
        document = await self._hirer.locate(place.node, place.idurl)
        self._network.learn(document)
        self._pauses.forget(place.node)
        xml = document.to_xml()
        if xml == place.document and str(document.idurl) == place.idurl:
            return False
        place.document, place.idurl = xml, str(document.idurl)
        return True

    async def _fetch(self, place: Place, document: IdentityDocument) -> None:
        """Have a supplier known from the family show the contract."""
        try:
            with refusals():
                response = await self._network.request(
                    place.node, m.CONTRACT, m.Nothing(), timeout=ASK_TIMEOUT
                )
            async with response:
                held = response.decode(m.Held)
            contract = self._hirer.proven(held.contract, document)
        except (NoContract, IntegrityError):
            self._lost.append(place)
            raise
        place.contract = contract.encode()
        place.document = document.to_xml()
        place.hired = contract.issued

    async def _renew(
        self,
        place: Place,
        document: IdentityDocument,
        contract: Contract,
        n: int,
        granted: int,
        term: float,
    ) -> None:
        for _ in range(2):
            try:
                contract = await self._hirer.offer(
                    document,
                    position=place.position,
                    n=n,
                    granted=granted,
                    term=term,
                    renews=contract,
                )
                break
            except OfferRefused as exc:
                behind = exc.reason in (m.Refusal.ALREADY, m.Refusal.STALE)
                if behind and exc.contract is not None and exc.contract != contract:
                    # An answer was lost: the supplier is ahead of what is known here.
                    contract = exc.contract
                    continue
                if place.node in self._suspects or exc.reason == m.Refusal.BLOCKED:
                    # It neither keeps the old contract nor takes a new one.
                    self._suspects.discard(place.node)
                    self._lost.append(place)
                raise
        else:
            raise PeerRefused("the supplier does not settle on a contract")
        self._suspects.discard(place.node)
        place.contract = contract.encode()
        place.document = document.to_xml()

    async def _end(self, place: Place) -> bool:
        contract = place.terms()
        if contract is None or not self._pauses.ready(place.node, self._clock.monotonic()):
            return False
        try:
            with refusals():
                response = await self._network.request(
                    place.node, m.CANCEL, m.Cancel(contract.contract_id), timeout=ASK_TIMEOUT
                )
            response.close()
        except NoContract:
            pass
        except BitdustError:
            self._pause(place)
            return False
        place.contract = b""
        return True

    def _pause(self, place: Place) -> None:
        self._pauses.failed(place.node, self._clock.monotonic(), self._random.uniform(0.5, 1.0))
