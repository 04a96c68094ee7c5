"""When data counts as stored, how far it is from being lost, and what to rebuild first.

Any ceil(N/2) fragments of a block bring it back. All here is arithmetic on what is known; nothing
is asked or sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bitdust.errors import InvalidInput
from bitdust.storage.formats.erasure import check_suppliers, fragments_needed


class FragmentState(Enum):
    """What the owner knows of one fragment.

    ``STORED``: acknowledged or audited. ``MISSING``: never acknowledged, or its supplier was
    replaced or says that it does not have it. ``LOST``: its supplier gave something else or failed
    an audit.
    """

    STORED = "stored"
    MISSING = "missing"
    LOST = "lost"


def acknowledgements_needed(n: int) -> int:
    """From how many acknowledgements on an upload may end: three quarters of N, rounded up."""
    return -(-3 * check_suppliers(n) // 4)


def enough(acks: int, n: int) -> bool:
    """Whether an upload may end with that many acknowledgements."""
    return acks >= acknowledgements_needed(n)


def may_vanish(acks: int, n: int) -> int:
    """How many of the suppliers that hold a block may yet vanish; negative when it is lost."""
    return acks - fragments_needed(check_suppliers(n))


@dataclass(frozen=True, slots=True)
class BlockHealth:
    """How one block stands.

    Args:
        block_id: which block.
        stored: positions that hold their fragment.
        absent: positions whose fragment is to be made again, ascending.
        may_vanish: how many holders may vanish; negative when the block is lost.
    """

    block_id: bytes
    stored: tuple[int, ...]
    absent: tuple[int, ...]
    may_vanish: int

    @property
    def recoverable(self) -> bool:
        """Whether enough fragments are left."""
        return self.may_vanish >= 0

    @property
    def complete(self) -> bool:
        """Whether every supplier holds its fragment."""
        return not self.absent


def block_health(
    block_id: bytes, states: Sequence[FragmentState], online: Iterable[int] | None = None
) -> BlockHealth:
    """How a block stands.

    Args:
        block_id: which block.
        states: one per position, N of them.
        online: positions whose supplier can be reached; all when None. A fragment whose supplier is
            away counts neither as holding nor as absent.
    """
    n = check_suppliers(len(states))
    reachable = frozenset(range(n) if online is None else online)
    stored = tuple(
        i for i, state in enumerate(states) if state is FragmentState.STORED and i in reachable
    )
    absent = tuple(i for i, state in enumerate(states) if state is not FragmentState.STORED)
    return BlockHealth(block_id, stored, absent, may_vanish(len(stored), n))


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One block to repair: read ``sources``, make ``targets``, hand them to their suppliers."""

    block_id: bytes
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    may_vanish: int


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What to do about a set of blocks.

    Args:
        rebuilds: the most endangered block first; equally endangered ones by block id.
        unrecoverable: blocks with too few fragments within reach, by block id.
        may_vanish: how many suppliers may vanish before the first block is lost; None without
            blocks.
    """

    rebuilds: tuple[Rebuild, ...]
    unrecoverable: tuple[bytes, ...]
    may_vanish: int | None


def plan_repair(
    blocks: Mapping[bytes, Sequence[FragmentState]],
    n: int,
    *,
    online: Iterable[int] | None = None,
    preferred: Sequence[int] = (),
) -> RepairPlan:
    """Plan the repair of blocks that lie with the same N suppliers.

    Args:
        blocks: states by position of each block.
        n: number of suppliers.
        online: positions whose supplier can be reached; all when None. Nothing is read from or
            made for the others.
        preferred: positions to read from first, the fastest first.

    Raises:
        InvalidInput: a block with another number of positions.
    """
    check_suppliers(n)
    reachable = frozenset(range(n) if online is None else online)
    rank = {position: at for at, position in enumerate(preferred)}
    rebuilds: list[Rebuild] = []
    unrecoverable: list[bytes] = []
    margins: list[int] = []
    for block_id, states in blocks.items():
        if len(states) != n:
            raise InvalidInput(f"a block with {len(states)} positions cannot be on {n} suppliers")
        health = block_health(block_id, states, reachable)
        margins.append(health.may_vanish)
        if not health.recoverable:
            unrecoverable.append(block_id)
            continue
        targets = tuple(i for i in health.absent if i in reachable)
        if targets:
            ordered = sorted(health.stored, key=lambda i: (rank.get(i, n), i))
            sources = tuple(ordered[: fragments_needed(n)])
            rebuilds.append(Rebuild(block_id, sources, targets, health.may_vanish))
    rebuilds.sort(key=lambda item: (item.may_vanish, item.block_id))
    return RepairPlan(
        tuple(rebuilds), tuple(sorted(unrecoverable)), min(margins) if margins else None
    )
