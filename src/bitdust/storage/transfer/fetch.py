"""Bringing blocks back: the fewest fragments, the fastest suppliers first, and a hedge.

A whole block is read from ceil(N/2) whole fragments, each checked against its hash. A part of a
block is read by stripes; their seal tells whether they are right, and if not, the whole block is
read instead, which finds the damaged fragment and reports it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import structlog
from blake3 import blake3

from bitdust.clock import Clock
from bitdust.errors import BitdustError, DataUnavailable, IntegrityError, NotFound
from bitdust.pool import in_pool
from bitdust.storage.formats.erasure import SUPPLIER_COUNTS, fragments_needed
from bitdust.storage.formats.fragment_header import HEADER_SIZE, Layout, parse_header
from bitdust.storage.formats.fragment_read import BlockReader, read_block
from bitdust.storage.formats.seal import MAX_PAYLOAD, BlockKind, unwrap_key
from bitdust.storage.memory import reusable
from bitdust.storage.transfer.spread import NodeID, ObjectClient

GET_TIMEOUT = 120.0
"""Seconds one fragment may take at the most."""
HEDGE_AFTER = 0.5
"""Seconds after which another supplier is asked as well, at the least."""
HEDGE_FACTOR = 3.0
"""… or this many times what the supplier usually takes for as many bytes."""
UNKNOWN_PACE = 0.2e-6
"""Seconds a byte assumed of a supplier that was never measured (5 MB/s)."""

T = TypeVar("T")

log = structlog.get_logger(component="fetch")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one fragment is.

    Args:
        position: which fragment, 0 to N-1.
        node: who keeps it.
        digest: its BLAKE3, None when not known.
    """

    position: int
    node: NodeID
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as the catalog knows it.

    Args:
        number: row in the catalog.
        block_id: 16 bytes.
        name: of its fragments on the suppliers.
        n: number of suppliers it was made for.
        size: bytes of its payload.
        places: where its fragments are.
        kind: data or journal.
    """

    number: int
    block_id: bytes
    name: str
    n: int
    size: int
    places: Sequence[Place]
    kind: BlockKind = BlockKind.DATA


class FragmentSpace:
    """Memory for as many fragments as bring a block back, used again for block after block."""

    def __init__(self) -> None:
        largest = max(
            fragments_needed(n) * Layout(n, MAX_PAYLOAD).fragment_size for n in SUPPLIER_COUNTS
        )
        self.memory = reusable(largest)

    def parts(self, count: int, size: int) -> list[memoryview]:
        """``count`` pieces of ``size`` bytes, as far as there is room."""
        most = min(count, len(self.memory) // size)
        return [self.memory[at * size : (at + 1) * size] for at in range(most)]


class Pace:
    """How fast each supplier was lately, in seconds a byte; a failure makes it slow."""

    def __init__(self) -> None:
        self._pace: dict[NodeID, float] = {}

    def of(self, node: NodeID) -> float:
        """Seconds a byte to be expected."""
        return self._pace.get(node, UNKNOWN_PACE)

    def took(self, node: NodeID, size: int, seconds: float) -> None:
        """Note a success."""
        measured = seconds / max(size, 64 * 1024)
        self._pace[node] = 0.7 * self._pace.get(node, measured) + 0.3 * measured

    def failed(self, node: NodeID) -> None:
        """Note a failure: it goes to the end of the line and works its way up again."""
        self._pace[node] = max(10 * self.of(node), 10 * UNKNOWN_PACE)


class BlockFetcher:
    """Reads blocks from the suppliers.

    Args:
        client: how objects travel.
        clock: for measuring and hedging.
        pool: where hashes are checked and blocks decoded.
        online: whether a supplier has an open session.
        on_damaged: told (block, position, supplier) of every fragment found damaged or gone.
    """

    def __init__(
        self,
        client: ObjectClient,
        clock: Clock,
        pool: Executor,
        online: Callable[[NodeID], bool],
        on_damaged: Callable[[StoredBlock, int, NodeID, BitdustError], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._pool = pool
        self._online = online
        self._on_damaged = on_damaged
        self._asked: Counter[NodeID] = Counter()
        self.pace = Pace()

    async def whole(
        self,
        block: StoredBlock,
        kek: bytes,
        *,
        space: FragmentSpace | None = None,
        out: memoryview | None = None,
    ) -> memoryview:
        """The payload of a block.

        Args:
            block: which block.
            kek: unlocks its key, 32 bytes.
            space: memory for its fragments, free again afterwards; fresh memory when None.
            out: memory for the payload, at least as long; fresh memory when None.

        Raises:
            DataUnavailable: fewer intact fragments can be reached than needed.
        """
        fragments = await self.fragments(block, fragments_needed(block.n), space=space)

        def decode() -> memoryview:
            return read_block(fragments, kek, block_id=block.block_id, out=out).payload

        try:
            return await in_pool(self._pool, decode)
        except IntegrityError:
            # without hashes to tell, more fragments than needed show which one is wrong
            everything = await self.fragments(block, block.n, at_least=fragments_needed(block.n))
            content = await in_pool(
                self._pool,
                lambda: read_block(everything, kek, block_id=block.block_id, compare=True),
            )
            for position in content.damaged:
                node = next(p.node for p in block.places if p.position == position)
                self._on_damaged(block, position, node, IntegrityError("a fragment is damaged"))
            return content.payload

    async def part(self, block: StoredBlock, kek: bytes, stripes: range) -> memoryview:
        """The payload of some consecutive stripes of a block.

        Raises:
            DataUnavailable: fewer intact fragments can be reached than needed.
        """
        layout = Layout(block.n, block.size)
        if len(stripes) == layout.stripes:
            return await self.whole(block, kek)
        offset, length = layout.stripes_range(stripes)

        async def get(place: Place) -> tuple[bytes, bytes]:
            if offset == HEADER_SIZE:
                both = await self._get(place, block.name, 0, HEADER_SIZE + length)
                return both[:HEADER_SIZE], both[HEADER_SIZE:]
            header, body = await asyncio.gather(
                self._get(place, block.name, 0, HEADER_SIZE),
                self._get(place, block.name, offset, length),
            )
            return header, body

        parts = await self._race(block, fragments_needed(block.n), get, length)

        def decode() -> memoryview:
            wrapped = parse_header(next(iter(parts.values()))[0]).wrapped_key
            reader = BlockReader(block.block_id, layout, unwrap_key(kek, wrapped), block.kind)
            return reader.open_stripes(stripes, {i: body for i, (_, body) in parts.items()})

        try:
            return await in_pool(self._pool, decode)
        except IntegrityError:
            payload = await self.whole(block, kek)
            start = layout.plain_range(stripes[0])[0]
            return payload[start : layout.plain_range(stripes[-1])[1]]

    async def fragments(
        self,
        block: StoredBlock,
        wanted: int,
        *,
        at_least: int | None = None,
        space: FragmentSpace | None = None,
    ) -> dict[int, memoryview]:
        """Whole fragments by position, checked against their hashes where known.

        Args:
            block: which block.
            wanted: how many fragments.
            at_least: fewer are fine when no more can be had.
            space: memory for them; fresh memory when None, and for those that it has no room for.

        Raises:
            DataUnavailable: fewer than asked for.
        """
        size = Layout(block.n, block.size).fragment_size
        free = space.parts(wanted, size) if space is not None else []

        async def get(place: Place) -> memoryview:
            out = free.pop() if free else memoryview(bytearray(size))
            try:
                await self._client.get_into(
                    place.node, block.name, out, timeout=GET_TIMEOUT, expect=place.digest
                )
                if place.digest is not None:
                    await in_pool(self._pool, _check, out, place.digest)
            except BaseException:
                free.append(out)
                raise
            return out

        return await self._race(block, wanted, get, size, at_least)

    async def _get(self, place: Place, name: str, offset: int, length: int) -> bytes:
        return await self._client.get(place.node, name, offset, length, timeout=GET_TIMEOUT)

    async def _race(
        self,
        block: StoredBlock,
        wanted: int,
        get: Callable[[Place], Coroutine[object, object, T]],
        size: int,
        at_least: int | None = None,
    ) -> dict[int, T]:
        def rank(place: Place) -> tuple[bool, float]:
            # what was asked of a supplier already comes first: blocks at once go to different ones
            ahead = self._asked[place.node] + size
            return not self._online(place.node), ahead * self.pace.of(place.node)

        def over(node: NodeID) -> None:
            self._asked[node] -= size
            if not self._asked[node]:
                del self._asked[node]

        waiting = deque(sorted(block.places, key=rank))
        running: dict[asyncio.Task[T], tuple[Place, float]] = {}
        results: dict[int, T] = {}
        failures: list[str] = []

        def start() -> None:
            place = waiting.popleft()
            task = asyncio.create_task(get(place))
            self._asked[place.node] += size
            task.add_done_callback(lambda _: over(place.node))
            running[task] = (place, self._clock.monotonic())

        try:
            while waiting and len(running) < wanted:
                start()
            while running and len(results) < wanted:
                expected = size * max(self.pace.of(place.node) for place, _ in running.values())
                patience = max(HEDGE_AFTER, HEDGE_FACTOR * expected)
                done, _ = await asyncio.wait(
                    running,
                    timeout=patience if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    start()
                for task in done:
                    place, began = running.pop(task)
                    error = task.exception()
                    if error is None:
                        self.pace.took(place.node, size, self._clock.monotonic() - began)
                        results[place.position] = task.result()
                        continue
                    if not isinstance(error, BitdustError):
                        raise error
                    self._failed(block, place, error)
                    failures.append(error.message)
                    if waiting:
                        start()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if len(results) < (wanted if at_least is None else at_least):
            told = "; ".join(sorted(set(failures))[:3]) or "no suppliers are left"
            raise DataUnavailable(
                f"only {len(results)} of the {wanted} fragments needed could be had ({told})"
            )
        return results

    def _failed(self, block: StoredBlock, place: Place, error: BitdustError) -> None:
        self.pace.failed(place.node)
        log.info(
            "fragment not had",
            block=block.name,
            position=place.position,
            supplier=place.node.hex()[:16],
            code=error.code,
        )
        if isinstance(error, IntegrityError | NotFound):
            self._on_damaged(block, place.position, place.node, error)


def _check(fragment: memoryview, digest: bytes) -> None:
    if blake3(fragment).digest() != digest:
        raise IntegrityError("a fragment does not fit its hash")
