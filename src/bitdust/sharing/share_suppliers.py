"""The suppliers of a share, as storage asks for them: one's own, or another person's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError
from bitdust.identity import IdentityDocument
from bitdust.network import ContactState
from bitdust.storage import Suppliers
from bitdust.supply import Family, NetworkPort, ask_family

REFRESH_TIMEOUT = 15.0
LEARN_EVERY = 60.0
"""Seconds between two looks for where an absent supplier is."""
NodeID = bytes
FindDocument = Callable[[str], Awaitable[IdentityDocument]]

log = structlog.get_logger(component="shares")


class OwnSuppliers:
    """One's own suppliers; whether one that was replaced is dismissed, the own files decide.

    Args:
        suppliers: of the own files.
    """

    def __init__(self, suppliers: Suppliers) -> None:
        self._suppliers = suppliers

    @property
    def n(self) -> int:
        """See ``Suppliers``."""
        return self._suppliers.n

    @property
    def published(self) -> int:
        """See ``Suppliers``."""
        return self._suppliers.published

    async def shrink(self) -> None:
        """Nothing: the own files decide."""

    def positions(self) -> list[NodeID | None]:
        """See ``Suppliers``."""
        return self._suppliers.positions()

    def online(self, position: int) -> bool:
        """See ``Suppliers``."""
        return self._suppliers.online(position)

    def retired(self) -> list[NodeID]:
        """See ``Suppliers``."""
        return self._suppliers.retired()

    async def dismiss(self, node: NodeID) -> None:
        """Nothing: the own files may still need it."""

    async def refresh(self) -> bool:
        """They are always known."""
        return False

    def release(self) -> None:
        """The customer service holds their sessions."""


class ForeignSuppliers:
    """The suppliers of the customer who keeps a share.

    Args:
        network: sessions.
        family: as last known, proven.
        find: the identity document behind an IDURL.
        changed: told of every newer list.
        clock: time.
    """

    def __init__(
        self,
        network: NetworkPort,
        family: Family,
        find: FindDocument,
        changed: Callable[[Family], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._network = network
        self._family = family
        self._find = find
        self._changed = changed
        self._clock = clock
        self._kept: set[NodeID] = set()
        self._learn_at: dict[str, float] = {}
        self._keep()

    @property
    def n(self) -> int:
        """See ``Suppliers``."""
        return self._family.n

    @property
    def published(self) -> int:
        """See ``Suppliers``."""
        return self._family.n

    async def shrink(self) -> None:
        """Nothing: they are the customer's."""

    def positions(self) -> list[NodeID | None]:
        """See ``Suppliers``."""
        members = self._family.positions()
        return [members[i].node if i in members else None for i in range(self._family.n)]

    def online(self, position: int) -> bool:
        """See ``Suppliers``."""
        member = self._family.positions().get(position)
        return member is not None and self._online(member.node)

    def _online(self, node: NodeID) -> bool:
        return self._network.status(node).state is ContactState.ONLINE

    def retired(self) -> list[NodeID]:
        """Those are the customer's to know."""
        return []

    async def dismiss(self, node: NodeID) -> None:
        """Nothing: they are the customer's."""

    def _keep(self) -> None:
        wanted = {member.node for member in self._family.members}
        for node in wanted - self._kept:
            self._network.keep(node)
        for node in self._kept - wanted:
            self._network.release(node)
        self._kept = wanted

    def release(self) -> None:
        """Keep no session any more."""
        for node in self._kept:
            self._network.release(node)
        self._kept = set()

    async def refresh(self) -> bool:
        """Ask the suppliers who they are now, and learn where those are that cannot be reached.

        Returns:
            Whether the list changed.
        """
        await asyncio.gather(
            *(
                self._learn(member.idurl)
                for member in self._family.members
                if not self._online(member.node)
            )
        )
        answers = await asyncio.gather(
            *(self._ask(node) for node in self._kept if self._online(node))
        )
        newest = max(
            (family for family in answers if family is not None),
            key=lambda family: family.revision,
            default=None,
        )
        if newest is None or newest.revision <= self._family.revision:
            return False
        self._family = newest
        self._keep()
        await self._changed(newest)
        return True

    async def _learn(self, idurl: str) -> None:
        now = self._clock.monotonic()
        if now < self._learn_at.get(idurl, 0.0):
            return
        self._learn_at[idurl] = now + LEARN_EVERY
        try:
            self._network.learn(await self._find(idurl))
        except BitdustError as exc:
            log.debug("supplier of a share not found", idurl=idurl, reason=exc.message)

    async def _ask(self, node: NodeID) -> Family | None:
        try:
            return await ask_family(self._network, node, self._family.customer, REFRESH_TIMEOUT)
        except BitdustError as exc:
            log.info("family not told", supplier=node.hex()[:16], reason=exc.message)
            return None


ShareSuppliers = OwnSuppliers | ForeignSuppliers
