"""Making the customer's family known: to every supplier, and on the DHT."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import Any

import structlog

from bitdust.clock import Clock, Random
from bitdust.dht import LAYER_COMMON, SUPPLIERS, Dht, owner_dht_key
from bitdust.errors import BitdustError, NotFound
from bitdust.pool import in_pool
from bitdust.supply import messages as m
from bitdust.supply.client import refusals
from bitdust.supply.family import Family
from bitdust.supply.ports import (
    DocumentFinder,
    DocumentSource,
    MasterKey,
    NetworkPort,
    is_online,
)
from bitdust.supply.roster import Place, Roster
from bitdust.supply.rules import BackOff
from bitdust.supply.wire import NodeID

PUT_TIMEOUT = 15.0
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 600.0
_VIEW = ("customer_idurl", "publisher_idurl", "ecc_map", "suppliers", "revision", "timestamp")

_log = structlog.get_logger(component="customer")


def record_key(customer_idurl: str) -> str:
    """The DHT key of a customer's record."""
    return f"suppliers:{customer_idurl}"


class Publisher:
    """Signs new families and brings them to where they are looked for.

    Args:
        network: sessions.
        dht: the DHT.
        key: the customer's master key.
        document: the customer's current identity document.
        clock: time.
        random: chance.
        pool: threads for signatures.
        find_document: finds identity documents of others by IDURL.
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
        find_document: DocumentFinder | None,
    ) -> None:
        self._network = network
        self._dht = dht
        self._key = key
        self._document = document
        self._clock = clock
        self._random = random
        self._pool = pool
        self._find_document = find_document
        self._has: dict[NodeID, int] = {}
        self._pauses = BackOff(FIRST_PAUSE, LONGEST_PAUSE)
        self._floor = 0
        self._on_dht = 0
        self._writing: asyncio.Task[None] | None = None
        self._wanted: Family | None = None

    async def stop(self) -> None:
        """End a write to the DHT that is still running; the next start writes again."""
        task, self._writing = self._writing, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._on_dht = 0
        self._has.clear()

    def try_again(self, node: NodeID) -> None:
        """A supplier is back."""
        self._pauses.forget(node)

    async def renew(self, roster: Roster) -> bool:
        """Sign a new family when the old one is not right any more.

        Returns:
            Whether there is a new one, to be saved before it is spread.
        """
        idurl = str(self._document().idurl)
        held = roster.family.revision if roster.family else 0
        if not roster.places or (roster.family_is_current(idurl) and not self.outdated(roster)):
            return False
        roster.family = await in_pool(
            self._pool,
            Family.build,
            self._key,
            customer_idurl=idurl,
            n=roster.n,
            members=roster.members(),
            revision=max(held, self._floor) + 1,
            now=self._clock.now(),
        )
        return True

    def outdated(self, roster: Roster) -> bool:
        """Whether somebody holds another family of this or a later revision."""
        return roster.family is not None and roster.family.revision <= self._floor

    async def spread(self, roster: Roster) -> None:
        """Give the family to every supplier that has not got it, and to the DHT.

        When it then is ``outdated``, it has to be renewed and spread again.
        """
        family = roster.family
        if family is None:
            return
        now = self._clock.monotonic()
        due = [
            place
            # Former suppliers too: the old list they hold must not mislead a recovery.
            for place in (*roster.places.values(), *roster.retired)
            if not place.dismissed
            and self._has.get(place.node) != family.revision
            and is_online(self._network, place.node)
            and self._pauses.ready(place.node, now)
        ]
        await asyncio.gather(*(self._give(place, family) for place in due))
        if self.outdated(roster):
            return
        self._wanted = family
        if self._on_dht != family.revision and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._keep_writing(family))

    async def _give(self, place: Place, family: Family) -> None:
        try:
            with refusals():
                response = await self._network.request(
                    place.node, m.FAMILY_PUT, m.FamilyPut(family.encode()), timeout=PUT_TIMEOUT
                )
            async with response:
                kept = Family.decode(response.decode(m.FamilyGiven).family)
            kept.verify(self._key.public)
        except BitdustError as exc:
            _log.info("family not given", supplier=place.idurl, problem=exc.code)
            pause = self._random.uniform(0.5, 1.0)
            self._pauses.failed(place.node, self._clock.monotonic(), pause)
            return
        if kept.revision >= family.revision:
            self._pauses.forget(place.node)
        if kept.encode() == family.encode():
            self._has[place.node] = family.revision
            return
        # Signed by us in a time we forgot: go beyond it, or it would win at a recovery.
        self._floor = max(self._floor, kept.revision)
        if kept.revision < family.revision:
            pause = self._random.uniform(0.5, 1.0)
            self._pauses.failed(place.node, self._clock.monotonic(), pause)

    async def _keep_writing(self, family: Family) -> None:
        """Write the newest family to the DHT, again and again until it is there."""
        pause = FIRST_PAUSE
        while self._on_dht != family.revision and self._floor < family.revision:
            if not await self._write(family):
                await self._clock.sleep(pause * self._random.uniform(0.5, 1.0))
                pause = min(LONGEST_PAUSE, 2 * pause)
            # it may have changed while it was on its way
            family = self._wanted or family

    async def _write(self, family: Family) -> bool:
        by_position = family.positions()
        value: dict[str, Any] = {
            "key": record_key(family.customer_idurl),
            "type": SUPPLIERS,
            "timestamp": family.timestamp,
            "customer_idurl": family.customer_idurl,
            "publisher_idurl": family.customer_idurl,
            "ecc_map": family.ecc,
            "suppliers": [
                by_position[i].idurl if i in by_position else "" for i in range(family.n)
            ],
            "revision": family.revision,
        }
        try:
            result = await self._dht.set_value(
                value["key"],
                value,
                record_type=SUPPLIERS,
                layer=LAYER_COMMON,
                signer=self._key,
            )
        except BitdustError as exc:
            _log.info("family not published", problem=exc.code)
            return False
        if result.success:
            self._on_dht = family.revision
            return True
        _log.info("family not published", reason=result.reason)
        if result.revision >= family.revision:
            self._floor = max(self._floor, result.revision)
        return False

    async def lookup(self, customer_idurl: str | None) -> dict[str, Any] | None:
        """See ``CustomerService.dht_lookup``."""
        mine = str(self._document().idurl)
        if customer_idurl in (None, mine):
            return await _published(self._dht, mine, mine, owner_dht_key(self._key))
        assert customer_idurl is not None
        if self._find_document is None:
            raise NotFound(f"the identity of {customer_idurl[:200]} is not known")
        return await published_suppliers(self._dht, self._find_document, customer_idurl)


async def published_suppliers(
    dht: Dht, find_document: DocumentFinder, customer_idurl: str
) -> dict[str, Any] | None:
    """The suppliers that another customer published on the DHT.

    Args:
        dht: where.
        find_document: finds identity documents by IDURL.
        customer_idurl: whose.

    Returns:
        The record, None when there is none.

    Raises:
        NotFound: that customer's identity cannot be found, so nothing could be believed.
        FormatError, DhtError: what stands there is no such record, or only parts of one.
    """
    document = await find_document(customer_idurl)
    if not document.dht_key:
        raise NotFound(f"{customer_idurl[:200]} publishes nothing on the DHT")
    return await _published(dht, str(document.idurl), customer_idurl, document.dht_key)


async def _published(dht: Dht, now: str, before: str, owner: bytes) -> dict[str, Any] | None:
    # whoever moved publishes under the new address, after a while
    for place in dict.fromkeys((now, before)):
        result = await dht.get_value(
            record_key(place), record_type=SUPPLIERS, layer=LAYER_COMMON, owner_dht_key=owner
        )
        if result.found:
            return {name: result.value.get(name) for name in _VIEW}
    return None
