"""The catalog's journal on its way to the suppliers.

A segment is a block like any other, under a name that its owner can find again: the journal's id,
which only the key gives, with epoch and number. Once its id, key and number of suppliers are fixed
in the catalog, sending it again sends the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor

import msgspec

from bitdust.clock import Clock, Random
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog, Transaction
from bitdust.storage.catalog.journal import pack_segment
from bitdust.storage.catalog.outbox import segment_name
from bitdust.storage.catalog.types import FragmentMark, FragmentState, OpenSegment
from bitdust.storage.formats.fragment import Fragment, build_fragments
from bitdust.storage.formats.fragment_header import FragmentHeader
from bitdust.storage.formats.seal import BLOCK_ID_SIZE, KEY_SIZE, BlockKind, unwrap_key, wrap_key
from bitdust.storage.transfer.blockwriter import OwnerKey
from bitdust.storage.transfer.spread import NodeID, Outcome, Spreader
from bitdust.storage.upkeep.envelope import PLAIN, Envelope

SEGMENT_BYTES = 4 * 1024 * 1024
"""Records that travel in one segment, before compression."""


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """A segment with everything fixed that its fragments depend on."""

    block_id: bytes
    wrapped_key: bytes
    n: int
    payload: bytes


class JournalSync:
    """Keeps the journal on the suppliers up to date.

    Args:
        catalog: where records wait.
        owner: the master key's row and key-encryption key.
        journal_id: 16 bytes that only the key gives.
        spreader: sends fragments.
        clock, random: time and chance.
        pool: where segments are built and the catalog asked.
        envelope: put around every segment.
    """

    def __init__(
        self,
        catalog: Catalog,
        owner: OwnerKey,
        journal_id: bytes,
        spreader: Spreader,
        clock: Clock,
        random: Random,
        pool: Executor,
        envelope: Envelope = PLAIN,
    ) -> None:
        self._catalog = catalog
        self.owner = owner
        self.envelope = envelope
        self._journal_id = journal_id
        self._spreader = spreader
        self._clock = clock
        self._random = random
        self._pool = pool
        self._turn = asyncio.Lock()

    async def flush(self, n: int) -> tuple[int, int]:
        """Send everything that waits.

        Args:
            n: number of suppliers for segments not fixed yet.

        Returns:
            Segments sent, and the fewest acknowledgements of any of them (``n`` when none).

        Raises:
            TooFewSuppliers, QuotaExceeded: it waits on; nothing is lost.
        """
        async with self._turn:
            return await self._send(n)

    @contextlib.asynccontextmanager
    async def quiet(self, n: int) -> AsyncIterator[None]:
        """Within, no segment is under way and none is sent; what waited before was sent first.

        Raises:
            as ``flush``.
        """
        async with self._turn:
            await self._send(n)
            yield

    async def _send(self, n: int) -> tuple[int, int]:
        sent, acks = 0, n
        while (found := await in_pool(self._pool, self._next, n)) is not None:
            segment, fragments = found
            name = self.object_name(segment.epoch, segment.seq)
            outcome = await self._spreader.spread(name, fragments)
            await in_pool(self._pool, self._finish, segment, fragments, outcome)
            sent += 1
            acks = min(acks, outcome.acks)
        return sent, acks

    def rekey(self, owner: OwnerKey) -> None:
        """Lock the keys of segments that are not sealed yet under another key."""
        self.owner = owner

    def object_name(self, epoch: int, seq: int) -> str:
        """Name of a segment's fragments on the suppliers."""
        return journal_name(self._journal_id, segment_name(epoch, seq))

    def _next(self, n: int) -> tuple[OpenSegment, list[Fragment]] | None:
        with self._catalog.transaction() as tx:
            segment = tx.begin_segment(SEGMENT_BYTES)
            if segment is None:
                return None
            if segment.sealed is None:
                key = self._random.token(KEY_SIZE)
                sealed = _Sealed(
                    self._random.token(BLOCK_ID_SIZE),
                    wrap_key(self.owner.kek, key),
                    n,
                    self.envelope.wrap(
                        segment.epoch,
                        segment.seq,
                        pack_segment(segment.epoch, segment.seq, segment.records),
                    ),
                )
                tx.seal_segment(msgspec.msgpack.encode(sealed))
            else:
                sealed = msgspec.msgpack.decode(segment.sealed, type=_Sealed)
        return segment, self._build(sealed)

    def _build(self, sealed: _Sealed) -> list[Fragment]:
        return build_fragments(
            sealed.block_id,
            unwrap_key(self.owner.kek, sealed.wrapped_key),
            sealed.wrapped_key,
            sealed.n,
            [sealed.payload],
            kind=BlockKind.JOURNAL,
        )

    def _finish(self, segment: OpenSegment, fragments: list[Fragment], outcome: Outcome) -> None:
        with self._catalog.transaction() as tx:
            enter_segment(
                tx,
                self.owner.ref,
                segment_name(segment.epoch, segment.seq),
                fragments[0].header,
                [fragment.digest for fragment in fragments],
                outcome.suppliers,
                self._clock.now(),
            )
            tx.finish_segment(segment.epoch, segment.seq)


def enter_segment(
    tx: Transaction,
    key: int,
    name: str,
    header: FragmentHeader,
    hashes: Sequence[bytes],
    suppliers: Sequence[NodeID | None],
    created: float,
) -> None:
    """Enter a segment that is on the suppliers as a block, so that it is repaired like any other.

    Args:
        tx: the change it is part of.
        key: row of the master key.
        name: ``<epoch>-<seq>``.
        header: of any of its fragments.
        hashes: BLAKE3 of each fragment, by position.
        suppliers: by position, who has it.
        created: wall clock, seconds.
    """
    segment_sent(tx, open_segment(tx, key, name, header, hashes, created), suppliers)


def open_segment(
    tx: Transaction,
    key: int,
    name: str,
    header: FragmentHeader,
    hashes: Sequence[bytes],
    created: float,
) -> int:
    """Enter a segment that is about to be sent; what a crash leaves of it is cleared away.

    Args:
        as for ``enter_segment``.

    Returns:
        The number of its block.
    """
    return tx.add_block(
        header.block_id,
        key,
        (),
        hashes,
        payload=header.layout.size,
        fragment_size=header.layout.fragment_size,
        created=created,
        kind=BlockKind.JOURNAL,
        name=name,
    ).number


def segment_sent(tx: Transaction, number: int, suppliers: Sequence[NodeID | None]) -> None:
    """Note who has a segment; ``suppliers`` by position."""
    tx.mark_fragments(
        FragmentMark(number, position, FragmentState.STORED, supplier=node)
        for position, node in enumerate(suppliers)
        if node is not None
    )
    tx.block_stored(number)


def journal_name(journal_id: bytes, segment: str) -> str:
    """Name of the fragments of a journal segment on the suppliers; without one, their prefix."""
    return f"j/{journal_id.hex()}/{segment}"
