"""Finding suppliers and making contracts with them: the customer's side of one hiring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any

import structlog

from bitdust.clock import Clock, Random
from bitdust.dht import LAYER_SUPPLIERS, Dht, identity_topic, layer_topic
from bitdust.errors import BitdustError, IntegrityError, PeerRefused, PeerUnreachable
from bitdust.identity import IdentityDocument
from bitdust.network import Endpoint
from bitdust.pool import in_pool
from bitdust.supply import messages as m
from bitdust.supply.client import refusals
from bitdust.supply.contracts import Contract, draft
from bitdust.supply.ports import (
    DocumentFinder,
    DocumentSource,
    MasterKey,
    NetworkPort,
    endpoints_of,
    is_online,
)
from bitdust.supply.rules import BackOff
from bitdust.supply.wire import NodeID

DIAL_TIMEOUT = 5.0
"""Seconds to reach a candidate and prove identities."""
OFFER_TIMEOUT = 15.0
"""Seconds for the answer to an offer."""
LOOKUP_TIMEOUT = 2.0
"""Seconds to look for candidates on the DHT in the first rounds."""
QUICK_LOOK = 0.3
"""Seconds for the look before that one, which does where it brings enough."""
CONCURRENT_DIALS = 12
"""Candidates approached at once."""
MAX_CANDIDATES = 64
"""Addresses of one round that are tried."""
MAX_LOCATED = 8
"""Addresses announced for one node that are tried."""
FIRST_PAUSE = 2.0
"""Seconds for which a candidate that failed is left alone, the first time."""
LONGEST_PAUSE = 3600.0
REFUSED_PAUSE = 300.0
"""Seconds for which a candidate that refused is left alone at least."""

_log = structlog.get_logger(component="customer")


class OfferRefused(PeerRefused):
    """A supplier did not take an offer.

    Args:
        reason: one of ``messages.Refusal``, or another word.
        contract: the valid contract in force, when the supplier showed one.
    """

    def __init__(self, reason: str, message: str, contract: Contract | None) -> None:
        super().__init__(message or reason, reason=reason)
        self.contract = contract


class Hirer:
    """Approaches candidates for a customer.

    Args:
        network: sessions.
        dht: where suppliers announce themselves.
        key: the customer's master key.
        document: the customer's current identity document.
        clock: time.
        random: chance.
        pool: threads for signatures.
        configured: addresses tried before those from the DHT.
        find_document: finds identity documents by IDURL, when the node has such a thing.
    """

    def __init__(
        self,
        network: NetworkPort,
        dht: Dht,
        key: MasterKey,
        document: DocumentSource,
        clock: Clock,
        random: Random,
        pool: Executor,
        configured: Sequence[Endpoint] = (),
        find_document: DocumentFinder | None = None,
    ) -> None:
        self._network = network
        self._dht = dht
        self._key = key
        self._document = document
        self._clock = clock
        self._random = random
        self._pool = pool
        self._configured = tuple(configured)
        self._find_document = find_document
        self._node = key.public.fingerprint
        self._endpoints = BackOff(FIRST_PAUSE, LONGEST_PAUSE)
        self._nodes = BackOff(FIRST_PAUSE, LONGEST_PAUSE)
        self._own: set[Endpoint] = set()

    # --- finding --------------------------------------------------------------------------------

    async def candidates(self, want: int, patience: float) -> list[Endpoint]:
        """Addresses of nodes that say they are suppliers, those from the settings first.

        Args:
            want: how many are needed; more are looked for as time goes on.
            patience: seconds for the DHT.
        """
        usable = self._usable(self._configured)
        for seconds in (min(QUICK_LOOK, patience), patience):
            if len(usable) >= want:
                break
            usable = self._usable([*self._configured, *await self._announced(seconds)])
        return usable

    async def _announced(self, seconds: float) -> list[Endpoint]:
        """Addresses from the DHT, in no order."""
        topic = layer_topic(LAYER_SUPPLIERS, self._dht.network)
        try:
            peers = await self._dht.peers(topic, seconds, MAX_CANDIDATES)
        except BitdustError as exc:
            _log.debug("no candidates from the DHT", problem=exc.code)
            return []
        self._random.shuffle(peers)
        return [Endpoint("tcp", host, port) for host, port in peers]

    def _usable(self, found: Sequence[Endpoint]) -> list[Endpoint]:
        """Those of other nodes that did not fail a short time ago."""
        now = self._clock.monotonic()
        own = self._own.union(endpoints_of(self._document()))
        fresh = [end for end in dict.fromkeys(found) if end not in own]
        return [end for end in fresh if self._endpoints.ready(end, now)][:MAX_CANDIDATES]

    async def meet(self, endpoint: Endpoint) -> IdentityDocument | None:
        """Open a session with a candidate; None when it cannot be used now."""
        try:
            document = await self._network.dial(endpoint, timeout=DIAL_TIMEOUT)
        except BitdustError:
            self._failed(self._endpoints, endpoint)
            return None
        if document.node_id == self._node:
            self._own.add(endpoint)
            return None
        self._endpoints.forget(endpoint)
        if not self._nodes.ready(document.node_id, self._clock.monotonic()):
            self._failed(self._endpoints, endpoint)
            return None
        return document

    async def locate(self, node: NodeID, idurl: str = "") -> IdentityDocument:
        """Open a session with a certain node, wherever it is now.

        Args:
            node: its id.
            idurl: its address, when known.

        Raises:
            PeerUnreachable: it cannot be found or reached now.
        """
        known = self._network.document_of(node)
        if known is not None and is_online(self._network, node):
            return known
        for endpoint in endpoints_of(known) if known else ():
            document = await self._try(endpoint, node)
            if document is not None:
                return document
        if idurl and self._find_document is not None:
            try:
                found = await self._find_document(idurl)
            except BitdustError:
                found = None
            if found is not None and found.node_id == node:
                self._network.learn(found)
                for endpoint in endpoints_of(found):
                    document = await self._try(endpoint, node)
                    if document is not None:
                        return document
        try:
            peers = await self._dht.peers(
                identity_topic(node, self._dht.network), LOOKUP_TIMEOUT, MAX_LOCATED
            )
        except BitdustError:
            peers = []
        for host, port in peers[:MAX_LOCATED]:
            document = await self._try(Endpoint("tcp", host, port), node)
            if document is not None:
                return document
        raise PeerUnreachable(f"the supplier {idurl or node.hex()[:16]} cannot be reached now")

    async def _try(self, endpoint: Endpoint, node: NodeID) -> IdentityDocument | None:
        try:
            return await self._network.dial(endpoint, expect=node, timeout=DIAL_TIMEOUT)
        except BitdustError:
            return None

    # --- contracts ------------------------------------------------------------------------------

    async def offer(
        self,
        document: IdentityDocument,
        *,
        position: int,
        n: int,
        granted: int,
        term: float,
        renews: Contract | None = None,
    ) -> Contract:
        """Offer a contract and get it back signed.

        Args:
            document: the supplier's.
            position: its place.
            n: number of suppliers.
            granted: bytes wanted.
            term: seconds it shall last.
            renews: the contract this one follows.

        Raises:
            OfferRefused: the supplier did not take it.
            IntegrityError: the supplier's contract says something else than the offer.
            NetworkError: it did not answer properly.
        """
        terms = draft(
            contract_id=renews.contract_id if renews else self._random.token(16),
            customer=self._node,
            customer_idurl=str(self._document().idurl),
            supplier=document.node_id,
            supplier_idurl=str(document.idurl),
            granted=granted,
            position=position,
            n=n,
            now=self._clock.now(),
            term=term,
            revision=renews.revision + 1 if renews else 1,
        )
        offer = await in_pool(self._pool, terms.offered, self._key)
        with refusals():
            response = await self._network.request(
                document.node_id, m.HIRE, m.Hire(offer.encode()), timeout=OFFER_TIMEOUT
            )
        async with response:
            hired = response.decode(m.Hired)
        if hired.reason:
            contract = self.proven(hired.contract, document) if hired.contract else None
            raise OfferRefused(hired.reason, hired.message, contract)
        contract = self.proven(hired.contract, document)
        if not contract.same_terms(offer):
            raise IntegrityError("the supplier signed other terms than were offered")
        return contract

    def proven(self, raw: bytes, document: IdentityDocument) -> Contract:
        """A contract shown by a supplier, if it is really one between the two.

        Raises:
            IntegrityError: it is not.
        """
        contract = Contract.decode(raw)
        contract.verify(self._key.public, document.public_key)
        return contract

    async def hire(
        self,
        endpoints: Sequence[Endpoint],
        free: list[int],
        taken: set[NodeID],
        offer: Callable[[IdentityDocument, int], Coroutine[Any, Any, Contract]],
        hired: Callable[[int, IdentityDocument, Contract], None],
    ) -> None:
        """Approach candidates side by side until every free position has a supplier.

        As soon as all are filled, nobody waits for candidates that are slow.

        Args:
            endpoints: candidates.
            free: positions to fill; those filled are taken out.
            taken: nodes not to be hired; those hired are put in.
            offer: makes the offer to a supplier for a position.
            hired: told of every success.
        """
        queue = list(reversed(endpoints))
        dials: dict[asyncio.Task[IdentityDocument | None], Endpoint] = {}
        offers: dict[asyncio.Task[Contract], tuple[int, IdentityDocument, Endpoint]] = {}
        met: list[tuple[IdentityDocument, Endpoint]] = []
        try:
            while free or offers:
                while queue and free and len(dials) < CONCURRENT_DIALS:
                    endpoint = queue.pop()
                    dials[asyncio.create_task(self.meet(endpoint))] = endpoint
                while met and free:
                    document, endpoint = met.pop(0)
                    if document.node_id not in taken:
                        taken.add(document.node_id)
                        position = free.pop(0)
                        asked = asyncio.create_task(offer(document, position))
                        offers[asked] = (position, document, endpoint)
                if not dials and not offers:
                    return
                await asyncio.wait([*dials, *offers], return_when=asyncio.FIRST_COMPLETED)
                for dial in [task for task in dials if task.done()]:
                    endpoint = dials.pop(dial)
                    found = dial.result()
                    if found is not None:
                        met.append((found, endpoint))
                for asked in [task for task in offers if task.done()]:
                    position, document, endpoint = offers.pop(asked)
                    try:
                        contract = asked.result()
                    except BitdustError as exc:
                        self._refused(document.node_id, endpoint, exc)
                        taken.discard(document.node_id)
                        free.append(position)
                        free.sort()
                    else:
                        self._nodes.forget(document.node_id)
                        hired(position, document, contract)
        finally:
            tasks = [*dials, *offers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _refused(self, node: NodeID, endpoint: Endpoint, error: BitdustError) -> None:
        pause = REFUSED_PAUSE if isinstance(error, OfferRefused) else 0.0
        self._failed(self._nodes, node, pause)
        self._failed(self._endpoints, endpoint, pause)
        _log.info("supplier not hired", node=node.hex()[:16], problem=error.code)

    def _failed(self, where: BackOff, what: object, at_least: float = 0.0) -> None:
        where.failed(what, self._clock.monotonic(), self._random.uniform(0.5, 1.0), at_least)
