"""Sending the fragments of one block to the suppliers, and knowing when that is enough.

A block counts as kept once at least three quarters of the suppliers acknowledged their fragment
after fsync. Suppliers that are slower than the rest are given a little longer, then left out: the
background repair brings them their fragments later. One that hangs delays an upload once, by about
a second, and is then passed over for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from bitdust.clock import Clock
from bitdust.errors import (
    BitdustError,
    DiskFull,
    NetworkError,
    QuotaExceeded,
    TooFewSuppliers,
)
from bitdust.storage.formats.fragment import Fragment
from bitdust.storage.formats.repair import acknowledgements_needed

GRACE = 1.0
"""Seconds the slower suppliers get at least, once enough have acknowledged."""
GRACE_FACTOR = 0.5
"""They also get this share of the time that the others took."""
PASS_OVER = 30.0
"""Seconds for which a supplier that failed or hung is not asked again."""
PUT_TIMEOUT = 120.0
"""Seconds one fragment may take at the most."""

NodeID = bytes

log = structlog.get_logger(component="spread")


class ObjectClient(Protocol):
    """What is asked of a connection to suppliers; ``bitdust.supply.SupplierClient`` is one."""

    async def put(
        self,
        node: NodeID,
        name: str,
        buffers: list[memoryview],
        size: int,
        hash: bytes,
        timeout: float = ...,
    ) -> bool:
        """Store an object there; returns when it is on that machine's disk."""
        ...

    async def get(
        self,
        node: NodeID,
        name: str,
        offset: int = 0,
        length: int = -1,
        *,
        timeout: float = ...,
        expect: bytes | None = None,
    ) -> bytes:
        """Bytes of an object, a range of it or all of it; ``expect`` is the hash of all of it."""
        ...

    async def get_into(
        self,
        node: NodeID,
        name: str,
        out: memoryview,
        *,
        timeout: float = ...,
        expect: bytes | None = None,
    ) -> None:
        """All of an object into memory of its size; the caller sees whether it fits its hash."""
        ...


class SupplierSet(Protocol):
    """Who keeps what: the positions of the owner's suppliers."""

    def positions(self) -> list[NodeID | None]:
        """Supplier of each position, ``None`` where none is hired now."""
        ...

    def online(self, position: int) -> bool:
        """Whether that supplier has an open session."""
        ...


@dataclass(slots=True)
class Outcome:
    """What became of a block's fragments.

    Args:
        suppliers: by position, who acknowledged it, ``None`` where nobody did.
        sent: bytes that were acknowledged.
        failures: by position, why not.
    """

    suppliers: list[NodeID | None]
    sent: int = 0
    failures: dict[int, BitdustError] = field(default_factory=dict)

    @property
    def acks(self) -> int:
        """How many suppliers hold their fragment."""
        return sum(node is not None for node in self.suppliers)


class Spreader:
    """Sends fragments to all suppliers of the owner at once.

    Args:
        client: how objects travel.
        suppliers: who they travel to.
        clock: for the time a slow supplier gets.
    """

    def __init__(self, client: ObjectClient, suppliers: SupplierSet, clock: Clock) -> None:
        self._client = client
        self._suppliers = suppliers
        self._clock = clock
        self._passed_over: dict[NodeID, float] = {}
        self._on_trouble: Callable[[NodeID, BitdustError], None] | None = None

    async def spread(self, name: str, fragments: Sequence[Fragment]) -> Outcome:
        """Send fragment i to supplier i.

        Args:
            name: the object's name, the same at every supplier.
            fragments: all N of a block, by index.

        Returns:
            At least three quarters of the suppliers acknowledged.

        Raises:
            QuotaExceeded: too many suppliers have no room left.
            TooFewSuppliers: too few acknowledged for another reason.
        """
        n = len(fragments)
        nodes = self._suppliers.positions()[:n]
        nodes += [None] * (n - len(nodes))
        outcome = Outcome([None] * n)
        needed = acknowledgements_needed(n)
        started = self._clock.monotonic()
        asked, spare = self._choose(nodes, needed, started)
        tasks: dict[asyncio.Task[bool], tuple[int, NodeID]] = {}

        def ask(position: int, node: NodeID) -> asyncio.Task[bool]:
            fragment = fragments[position]
            task = asyncio.create_task(
                self._client.put(
                    node,
                    name,
                    list(fragment.buffers),
                    fragment.size,
                    fragment.digest,
                    timeout=PUT_TIMEOUT,
                ),
                name=f"put {name} {position}",
            )
            tasks[task] = position, node
            return task

        try:
            waiting = {ask(position, node) for position, node in asked}
            await self._collect(waiting, tasks, ask, spare, outcome, fragments, needed, started)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if outcome.acks < needed:
            raise self._too_few(outcome, needed, n)
        return outcome

    def _choose(
        self, nodes: list[NodeID | None], needed: int, now: float
    ) -> tuple[list[tuple[int, NodeID]], list[tuple[int, NodeID]]]:
        """Whom to ask, and who is left in case that some of those do not answer."""
        hired = [(i, node) for i, node in enumerate(nodes) if node is not None]
        good = [
            (i, node)
            for i, node in hired
            if self._suppliers.online(i) and self._passed_over.get(node, now) <= now
        ]
        if len(good) < needed:
            return hired, []
        return good, [each for each in hired if each not in good]

    async def _collect(
        self,
        waiting: set[asyncio.Task[bool]],
        tasks: Mapping[asyncio.Task[bool], tuple[int, NodeID]],
        ask: Callable[[int, NodeID], asyncio.Task[bool]],
        spare: list[tuple[int, NodeID]],
        outcome: Outcome,
        fragments: Sequence[Fragment],
        needed: int,
        started: float,
    ) -> None:
        deadline: float | None = None
        while waiting:
            if deadline is not None:
                left: float | None = max(0.0, deadline - self._clock.monotonic())
            else:
                left = GRACE if spare else None
            done, waiting = await asyncio.wait(
                waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done and deadline is not None:
                for task in waiting:
                    position, node = tasks[task]
                    self._trouble(node, NetworkError("slower than the other suppliers"))
                    outcome.failures[position] = NetworkError("too slow")
                return
            for task in done:
                position, node = tasks[task]
                error = task.exception()
                if error is None:
                    outcome.suppliers[position] = node
                    outcome.sent += fragments[position].size
                    self._passed_over.pop(node, None)
                elif isinstance(error, BitdustError):
                    outcome.failures[position] = error
                    self._trouble(node, error)
                else:
                    raise error
            if spare and (not done or outcome.acks + len(waiting) < needed):
                # those that were passed over may be better than those that were asked
                waiting |= {ask(position, node) for position, node in spare}
                spare = []
            if deadline is None and outcome.acks >= needed:
                now = self._clock.monotonic()
                deadline = now + max(GRACE, (now - started) * GRACE_FACTOR)

    def _trouble(self, node: NodeID, error: BitdustError) -> None:
        self._passed_over[node] = self._clock.monotonic() + PASS_OVER
        log.info("supplier passed over", supplier=node.hex()[:16], code=error.code)

    def forgive(self, node: NodeID) -> None:
        """Ask a supplier again at once, after it came back."""
        self._passed_over.pop(node, None)

    @staticmethod
    def _too_few(outcome: Outcome, needed: int, n: int) -> BitdustError:
        reasons = list(outcome.failures.values())
        full = [exc for exc in reasons if isinstance(exc, QuotaExceeded | DiskFull)]
        if n - len(full) < needed:
            return QuotaExceeded(
                f"{len(full)} of {n} suppliers have no room left for this data: {full[0].message}"
            )
        told = "; ".join(sorted({exc.message for exc in reasons})[:3]) or "not connected"
        return TooFewSuppliers(
            f"only {outcome.acks} of {n} suppliers took the data, {needed} are needed ({told})"
        )
