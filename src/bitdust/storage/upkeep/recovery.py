"""The catalog back from the suppliers, with the key alone.

Every supplier tells which segments of the journal it keeps. The newest epoch that was adopted is
read in order; each segment comes from any ceil(N/2) of its fragments, and what a supplier made up
opens under no key of ours. An older epoch is read only when the newer one cannot have been adopted.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError, Busy, DataUnavailable, FormatError, IntegrityError
from bitdust.pool import in_pool
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.holders import Holders, Name, gather
from bitdust.storage.catalog.journal import unpack_segment
from bitdust.storage.catalog.outbox import segment_name
from bitdust.storage.catalog.replay import apply_segment, ends_base
from bitdust.storage.catalog.replay import replay as finish_replay
from bitdust.storage.formats.erasure import fragments_needed
from bitdust.storage.formats.fragment import build_fragments
from bitdust.storage.formats.fragment_header import FragmentHeader, parse_header
from bitdust.storage.formats.fragment_read import read_block
from bitdust.storage.formats.seal import BlockKind, unwrap_key
from bitdust.storage.transfer.spread import NodeID, ObjectClient
from bitdust.storage.upkeep.envelope import PLAIN, Envelope
from bitdust.storage.upkeep.journalsync import enter_segment, journal_name

MAX_SEGMENTS = 1_000_000
"""Segments one supplier may list; more is nonsense and ends the listing."""
SEGMENTS_AHEAD = 8
"""Segments fetched while earlier ones are applied."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 20.0
"""Seconds before a supplier that has too much to do is asked again; doubled from first to last."""

_SEGMENT = re.compile(r"(\d{1,12})-(\d{1,12})")

log = structlog.get_logger(component="recovery")


class NamedObject(Protocol):
    """An object in a supplier's list."""

    @property
    def name(self) -> str:
        """The object's name."""
        ...


class _NeverAdopted(IntegrityError):
    """An epoch of the journal that was begun and never became the valid one."""


class ListingClient(ObjectClient, Protocol):
    """A connection to suppliers that can also tell which objects there are, and delete them."""

    def list(self, node: NodeID, prefix: str = "") -> AsyncIterator[NamedObject]:
        """Own objects whose names begin with ``prefix``."""
        ...

    async def delete(self, node: NodeID, names: Sequence[str]) -> int:
        """Remove objects; those not there are passed over."""
        ...


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    header: FragmentHeader
    hashes: list[bytes]
    payload: bytes
    damaged: frozenset[int]


class Recovery:
    """One recovery of a catalog.

    Args:
        client: how objects travel.
        positions: the suppliers to ask, by position.
        journal_id: 16 bytes that only the key gives.
        kek: the master key's key-encryption key.
        clock, pool: time, and where segments are opened and applied.
        progress: told (segments applied, segments in all).
        envelope: around every segment.
    """

    def __init__(
        self,
        client: ListingClient,
        positions: Sequence[NodeID | None],
        journal_id: bytes,
        kek: bytes,
        clock: Clock,
        pool: Executor,
        progress: Callable[[int, int], None],
        envelope: Envelope = PLAIN,
    ) -> None:
        self._envelope = envelope
        self._client = client
        self._positions = positions
        self._nodes = [node for node in positions if node is not None]
        self._journal_id = journal_id
        self._kek = kek
        self._clock = clock
        self._pool = pool
        self._progress = progress

    async def run(self, path: Path, master: str, *, tidy: bool = False) -> int:
        """Build the catalog at ``path``, where there must be none.

        Args:
            path: of the new catalog file.
            master: id of the master key, for a customer that never stored anything.
            tidy: delete what is left of other epochs; for the only writer of the journal.

        Returns:
            Segments applied; 0 when the suppliers keep no journal of this key.

        Raises:
            DataUnavailable: too few suppliers answer to be sure that nothing is missing.
            JournalGap: a segment in the middle cannot be had now.
            FormatError, IntegrityError: what could be read contradicts itself.
        """
        holders = await self._list()
        for epoch in holders.epochs():
            try:
                applied = await self._build(path, epoch, holders)
            except _NeverAdopted as exc:
                # a compaction that was cut off leaves the epoch before as the valid one
                log.warning("epoch of the journal was never adopted", epoch=epoch, why=exc.message)
                continue
            if tidy:
                await self._tidy(epoch, holders)
            return applied
        if holders.nodes and not holders.is_a_beginning():
            raise DataUnavailable("no part of the catalog's journal can be had now")
        catalog = Catalog.open(path)
        with catalog.transaction() as tx:
            tx.ensure_key(master, self._clock.now())
        catalog.close()
        return 0

    async def follow(self, catalog: Catalog, stop: tuple[int, int] | None = None) -> int:
        """Bring a catalog that is only read up to date with its journal.

        Args:
            catalog: as far as it is.
            stop: epoch, and how many of its segments count; all when None.

        Returns:
            Segments applied; those that cannot be had now are left for the next time.

        Raises:
            DataUnavailable: too few suppliers answer.
            JournalGap: the journal lacks a segment in the middle.
            FormatError, IntegrityError: the writer contradicts itself; what came before is applied.
        """
        holders = await self._list()
        at, first = await in_pool(self._pool, lambda: catalog.journal_position)
        if stop is not None:
            epochs = [stop[0]] if stop[0] >= at else []
        else:
            epochs = [epoch for epoch in holders.epochs() if epoch >= at]
        for epoch in epochs:
            plan = holders.plan(epoch, first if epoch == at else 0)
            if stop is not None:
                plan = [name for name in plan if name[1] < stop[1]]
            elif epoch > at and not await self._has_base(plan, holders):
                continue
            applied = 0
            async with contextlib.aclosing(self._read(plan, holders)) as segments:
                async for segment in segments:
                    applied += await in_pool(self._pool, apply_segment, catalog, segment.payload)
            return applied
        return 0

    async def _has_base(self, plan: list[Name], holders: Holders) -> bool:
        """Whether a newer epoch can be read to the end of its base; else it is not begun."""
        async with contextlib.aclosing(self._read(plan, holders)) as segments:
            async for segment in segments:
                if await in_pool(self._pool, ends_base, segment.payload):
                    return True
        return False

    async def _read(self, plan: list[Name], holders: Holders) -> AsyncGenerator[_Segment, None]:
        """The segments of a plan in order, up to the first that was never acknowledged.

        Raises:
            DataUnavailable, IntegrityError: one cannot be had that may have been acknowledged.
        """
        waiting = iter(plan)
        ahead: deque[tuple[Name, asyncio.Task[_Segment]]] = deque()
        try:
            while True:
                while len(ahead) < SEGMENTS_AHEAD and (name := next(waiting, None)) is not None:
                    ahead.append((name, asyncio.create_task(self._fetch(name, holders.of(name)))))
                if not ahead:
                    return
                name, task = ahead[0]
                try:
                    segment = await task
                except (DataUnavailable, IntegrityError, FormatError) as exc:
                    if not holders.may_end_before(name):
                        raise
                    told = segment_name(*name)
                    log.warning("a segment was never sent whole", segment=told, why=exc.message)
                    return
                ahead.popleft()
                yield segment
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _list(self) -> Holders:
        """Who keeps which segment."""
        prefix = journal_name(self._journal_id, "")

        async def ask(node: NodeID) -> set[Name] | None:
            names: set[Name] = set()
            try:
                async for entry in self._client.list(node, prefix):
                    match = _SEGMENT.fullmatch(entry.name.removeprefix(prefix))
                    if match is not None:
                        names.add((int(match[1]), int(match[2])))
                    if len(names) > MAX_SEGMENTS:
                        break
            except BitdustError as exc:
                log.warning("supplier not asked", supplier=node.hex()[:16], error=exc.message)
                return None
            return names

        answers = await asyncio.gather(*map(ask, self._nodes))
        answered = sum(answer is not None for answer in answers)
        if 2 * answered < len(self._nodes):
            raise DataUnavailable(f"only {answered} of {len(self._nodes)} suppliers answered")
        return gather(zip(self._nodes, answers, strict=True), len(self._positions))

    async def _build(self, path: Path, epoch: int, holders: Holders) -> int:
        draft = path.with_name(path.name + ".recovering")
        for leftover in draft.parent.glob(draft.name + "*"):
            leftover.unlink()
        plan = holders.plan(epoch)
        done: list[_Segment] = []
        catalog = await in_pool(self._pool, Catalog.open, draft)
        try:
            async with contextlib.aclosing(self._read(plan, holders)) as segments:
                async for segment in segments:
                    await in_pool(self._pool, apply_segment, catalog, segment.payload)
                    done.append(replace(segment, payload=b""))
                    self._progress(len(done), len(plan))
            whole = (await in_pool(self._pool, finish_replay, catalog, [])).complete
            if not (done and whole):
                lacking = "its base is not there to its end"
                if not holders.may_end_before((epoch, len(done))):
                    raise DataUnavailable(f"the catalog's journal cannot be had now: {lacking}")
                raise _NeverAdopted(lacking)
            await in_pool(self._pool, self._enter, catalog, epoch, done, holders)
        finally:
            await in_pool(self._pool, catalog.close)
        draft.rename(path)
        return len(done)

    async def _tidy(self, epoch: int, holders: Holders) -> None:
        """Delete what is left of other epochs: older ones, and newer ones never adopted."""
        for node, names in holders.others(epoch).items():
            objects = [journal_name(self._journal_id, segment_name(*name)) for name in names]
            try:
                await self._client.delete(node, objects)
            except BitdustError as exc:
                log.info("not deleted there yet", supplier=node.hex()[:16], reason=exc.message)

    def _enter(
        self,
        catalog: Catalog,
        epoch: int,
        segments: list[_Segment],
        holders: Holders,
    ) -> None:
        """Enter the segments as blocks; a position whose supplier lists one is taken to have it."""
        with catalog.transaction() as tx:
            tx.set_meta("newest_epoch", holders.newest(epoch))
            key = min(tx.keys().values())
            for segment in segments:
                listed = holders.of((epoch, int(segment.name.partition("-")[2])))
                places = [
                    node if node in listed and position not in segment.damaged else None
                    for position, node in enumerate(self._positions[: segment.header.n])
                ]
                enter_segment(
                    tx,
                    key,
                    segment.name,
                    segment.header,
                    segment.hashes,
                    places,
                    self._clock.now(),
                )

    async def _fetch(self, name: Name, holders: Sequence[NodeID]) -> _Segment:
        """Read one segment from as few of its holders as it takes."""
        text = segment_name(*name)
        wanted = journal_name(self._journal_id, text)
        found: dict[int, bytes] = {}
        needed = 1
        waiting = list(holders)
        while waiting:
            batch = [waiting.pop(0) for _ in range(min(len(waiting), max(1, needed - len(found))))]
            answers = await asyncio.gather(
                *(self._get(node, wanted) for node in batch), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BitdustError):
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                try:
                    header = parse_header(answer)
                except FormatError:
                    continue
                needed = fragments_needed(header.n)
                found[header.index] = answer
            if len(found) >= needed:
                try:
                    return await in_pool(self._pool, self._open, found, text)
                except IntegrityError:
                    if not waiting:
                        raise
        raise DataUnavailable(f"the segment {text} of the catalog's journal cannot be had now")

    async def _get(self, node: NodeID, name: str) -> bytes:
        """Fetch an object from a supplier, at the pace at which it answers."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._client.get(node, name)
            except Busy:
                # a long journal is asked for faster than a supplier lets one customer ask
                if pause > LONGEST_PAUSE:
                    raise
                await self._clock.sleep(pause)
                pause *= 2

    def _open(self, found: dict[int, bytes], name: str) -> _Segment:
        content = read_block(found, self._kek)
        header = content.header
        if header.kind is not BlockKind.JOURNAL:
            raise IntegrityError("a block of another kind stands in for a journal segment")
        raw = bytes(content.payload)
        epoch, seq = map(int, name.split("-"))
        payload = self._envelope.unwrap(epoch, seq, raw)
        told = unpack_segment(payload)[0]
        if segment_name(told.epoch, told.seq) != name:
            # an older segment under a newer name would hide what came after it
            raise IntegrityError("a segment of the journal stands under another's name")
        # made again from its key, so that the hashes of all fragments are known, the lost ones too
        fragments = build_fragments(
            header.block_id,
            unwrap_key(self._kek, header.wrapped_key),
            header.wrapped_key,
            header.n,
            [raw],
            kind=BlockKind.JOURNAL,
        )
        hashes = [fragment.digest for fragment in fragments]
        return _Segment(name, header, hashes, payload, content.damaged)
