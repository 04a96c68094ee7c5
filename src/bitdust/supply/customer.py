"""A customer: keeps its suppliers hired, connected and agreed with, by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from bitdust.errors import (
    InvalidInput,
    NotFound,
    TooFewSuppliers,
)
from bitdust.identity import IdentityDocument
from bitdust.network import Endpoint
from bitdust.supply import messages as m
from bitdust.supply.contracts import Contract
from bitdust.supply.customer_rounds import FIRST_PAUSE, CustomerRounds, possible
from bitdust.supply.hiring import LOOKUP_TIMEOUT
from bitdust.supply.pings import ping_all
from bitdust.supply.ports import (
    is_online,
)
from bitdust.supply.supplierlist import space_view, supplier_rows
from bitdust.supply.wire import NodeID

PING_TIMEOUT = 10.0


class CustomerService(CustomerRounds):
    """This node as a customer; its arguments are those of ``CustomerRounds``."""

    # --- for storage ----------------------------------------------------------------------------

    def set_number(self, number: int) -> None:
        """Change how many suppliers there shall be.

        More are hired first; once there is one for every position, new data is spread over all.
        Fewer get new data at once; the others leave with ``shrink``.

        Raises:
            InvalidInput: no such number is possible.
        """
        self._desired = self._roster.target = possible(number)
        self._rounds = 0
        self._moved()
        self._wake.set()
        self._events.publish("suppliers-number-changed", suppliers_num=number)

    async def shrink(self) -> None:
        """Let the suppliers go that are too many; nothing but old fragments may be left with them.

        They keep what they have until ``dismiss``. Nothing happens while somebody in
        ``before_shrink`` still needs them.
        """
        for is_ready in list(self.before_shrink):
            if not await is_ready(self._roster.target):
                return
        async with self._lock:
            if self._roster.target >= self._roster.n:
                return
            gone = self._roster.shrink()
            await self._save()
            for place in gone:
                self._network.release(place.node)
                self._tell_change(place.position, place.idurl, "", "fewer suppliers")
            await self._publish()
            self._tell()
        self._moved()
        self._wake.set()

    def set_needed(self, needed: int) -> None:
        """Change the bytes wanted; contracts are renewed accordingly."""
        self._needed = needed
        self._wake.set()

    def online(self, position: int) -> bool:
        """Whether the supplier of a position can be asked now."""
        place = self._roster.places.get(self._checked(position))
        return place is not None and is_online(self._network, place.node)

    def ready(self) -> int:
        """How many suppliers have a contract and are online."""
        return sum(
            bool(place.contract) and is_online(self._network, place.node)
            for place in self._roster.places.values()
        )

    async def wait_ready(self, timeout: float, at_least: int | None = None) -> None:
        """Wait until suppliers are hired and online.

        Args:
            timeout: seconds.
            at_least: how many; all when None.

        Raises:
            TooFewSuppliers: not so many in that time.
        """
        want = self._roster.target if at_least is None else at_least
        try:
            async with asyncio.timeout(timeout):
                while self.ready() < want:
                    await self._progress.wait()
        except TimeoutError:
            raise TooFewSuppliers(f"{self.ready()} of {want} suppliers are ready") from None

    def retired(self) -> list[NodeID]:
        """Former suppliers that still keep what they had, until ``dismiss``."""
        return [place.node for place in self._roster.retired if not place.dismissed]

    async def dismiss(self, node: NodeID) -> None:
        """End the contract with a former supplier: nothing more is wanted from it.

        Raises:
            NotFound: it is no former supplier.
        """
        async with self._lock:
            found = [place for place in self._roster.retired if place.node == node]
            if not found:
                raise NotFound("there is no such former supplier")
            found[0].dismissed = True
            await self._save()
        self._wake.set()

    # --- the owner's hand -----------------------------------------------------------------------

    def _checked(self, position: int) -> int:
        if not isinstance(position, int) or not 0 <= position < self._roster.n:
            raise InvalidInput(
                f"there is no supplier number {str(position)[:20]}",
                hint=f"valid positions are 0 to {self._roster.n - 1}",
            )
        return position

    def position_of(self, idurl: str) -> int:
        """The position of the supplier with an IDURL.

        Raises:
            NotFound: it is none of ours.
        """
        for position, place in self._roster.places.items():
            if place.idurl == idurl:
                return position
        raise NotFound(f"{idurl[:200]} is none of your suppliers")

    async def change(
        self, position: int, new: NodeID | Endpoint | None = None, timeout: float = 30.0
    ) -> NodeID:
        """Put another supplier in a position; the old one keeps its data until ``dismiss``.

        Args:
            position: 0 to n-1.
            new: who, None for any.
            timeout: seconds to find and hire it.

        Returns:
            The new supplier's node id.

        Raises:
            InvalidInput: no such position, or the new one holds a position already.
            TooFewSuppliers: nobody was found in time; nothing changed.
            PeerRefused: the one named does not want to.
            PeerUnreachable: the one named cannot be reached.
        """
        self._checked(position)
        try:
            async with asyncio.timeout(timeout), self._lock:
                old = self._roster.places.get(position)
                document, contract = await self._replacement(position, new)
                if old is not None:
                    self._roster.retire(old)
                    self._network.release(old.node)
                self._fill(position, document, contract)
                await self._save()
        except TimeoutError:
            raise TooFewSuppliers(
                "no other supplier was found in time",
                hint="the present one stays; name another with NEW_SUPPLIER_ID, or try later",
            ) from None
        self._events.publish(
            "supplier-modified",
            position=position,
            old_idurl=old.idurl if old else "",
            new_idurl=str(document.idurl),
            reason="changed",
        )
        async with self._lock:
            await self._publish()
            self._tell()
        return document.node_id

    def _hireable(self, node: NodeID) -> NodeID:
        if node == self._node or self._roster.of(node) is not None:
            raise InvalidInput("that node is one of your suppliers already, or you yourself")
        return node

    async def _replacement(
        self, position: int, new: NodeID | Endpoint | None
    ) -> tuple[IdentityDocument, Contract]:
        if new is not None:
            if isinstance(new, Endpoint):
                document = await self._network.dial(new)
                node = self._hireable(document.node_id)
            else:
                node = self._hireable(new)
                document = await self._hirer.locate(node)
            contract = await self._offer(document, position)
            self._roster.retired = [old for old in self._roster.retired if old.node != node]
            return document, contract
        found: list[tuple[IdentityDocument, Contract]] = []
        taken = self._roster.nodes() | {old.node for old in self._roster.retired} | {self._node}
        while True:
            endpoints = await self._hirer.candidates(1, LOOKUP_TIMEOUT)
            await self._hirer.hire(
                endpoints,
                [position],
                set(taken),
                self._offer,
                lambda _, document, contract: found.append((document, contract)),
            )
            if found:
                return found[0]
            await self._clock.sleep(FIRST_PAUSE)

    async def ping(self, timeout: float = PING_TIMEOUT) -> list[dict[str, Any]]:
        """Ask every supplier for a sign of life.

        Returns:
            The rows of ``suppliers_list`` with ``answered``.
        """
        pongs = await ping_all(self._network, self._roster.nodes(), m.SUPPLIER_PING, timeout)
        for node, pong in pongs.items():
            if pong is not None:
                self.note_usage(node, pong.used, pong.count)
                if not pong.known:
                    self._suspect(node)
        return [
            row | {"answered": pongs.get(bytes.fromhex(row["node_id"])) is not None}
            for row in self.suppliers_list()
        ]

    # --- views ----------------------------------------------------------------------------------

    def suppliers_list(self) -> list[dict[str, Any]]:
        """The suppliers by position.

        Source: BitDust API, second and third generation, suppliers_list.
        """
        return supplier_rows(self._network, self._roster, self._usage, self._clock.now())

    def space_consumed(self) -> dict[str, Any]:
        """How much of the agreed space is used, as the suppliers last said; sizes in bytes.

        Source: BitDust API, second generation, space_consumed.
        """
        return space_view(self._needed, self._roster, self._usage)

    async def dht_lookup(self, customer_idurl: str | None = None) -> dict[str, Any] | None:
        """The suppliers a customer published on the DHT.

        Args:
            customer_idurl: whose, None for this node's own.

        Returns:
            The record (see ``publishing``), None when there is none.

        Raises:
            NotFound: that customer's identity cannot be found, so nothing could be believed.
            FormatError, DhtError: what stands there is no such record, or only parts of one.
        """
        return await self._publisher.lookup(customer_idurl)
