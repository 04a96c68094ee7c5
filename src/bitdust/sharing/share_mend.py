"""Making other writers' data whole again after a supplier was replaced.

Each writer repairs what it wrote, when it is there. One who is away for long, or no member any
more, does not; then the customer whose suppliers they are does it. That takes no key: any fragment
is made again, byte for byte, from half of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

import structlog
from blake3 import blake3

from bitdust.errors import BitdustError, DataUnavailable
from bitdust.pool import in_pool
from bitdust.sharing.share_follower import Follower
from bitdust.storage import (
    Catalog,
    StorageClient,
    fragments_needed,
    parse_header,
    rebuild_fragment,
)

PAGE: Final = 500
PUT_TIMEOUT: Final = 120.0

NodeID = bytes

log = structlog.get_logger(component="shares")


class Mender:
    """Brings one supplier what it should have of one writer.

    Args:
        follower: of the writer.
        client: names the writer's objects.
        positions: the suppliers as they are now.
        pool: for the catalog and the erasure code.
    """

    def __init__(
        self,
        follower: Follower,
        client: StorageClient,
        positions: Sequence[NodeID | None],
        pool: Executor,
    ) -> None:
        self._follower = follower
        self._client = client
        self._positions = positions
        self._pool = pool

    async def mend(self, position: int) -> int:
        """Give the supplier at a position every fragment that it lacks; how many it was given.

        Raises:
            BitdustError: it does not take them, or cannot be asked.
        """
        node = self._positions[position]
        if node is None:
            return 0
        there = {entry.name async for entry in self._client.list(node) if entry.intact}
        done = 0
        blocks = await in_pool(self._pool, self._blocks, self._follower.source.catalog)
        for number, name in blocks.items():
            if name not in there:
                done += await self._data(number, name, position, node)
        for name in sorted(await self._segments() - there):
            done += await self._segment(name, position, node)
        return done

    def _blocks(self, catalog: Catalog) -> dict[int, str]:
        """All blocks of the writer, with the names of their fragments."""
        found: dict[int, str] = {}
        for holder in catalog.holders():
            after = 0
            while rows := catalog.stored_at(holder, after=after, limit=PAGE):
                after = rows[-1].number
                for row in rows:
                    found[row.number] = self._follower.stored(row.number).name
        return found

    async def _data(self, number: int, name: str, position: int, node: NodeID) -> int:
        follower = self._follower
        catalog = follower.source.catalog
        block = await in_pool(self._pool, follower.stored, number)
        rows = await in_pool(self._pool, catalog.fragments, number)
        if position >= len(rows):
            return 0
        try:
            others = await follower.fetcher.fragments(block, fragments_needed(block.n))
        except DataUnavailable as exc:
            log.warning("block cannot be mended now", block=name, reason=exc.message)
            return 0
        digest = rows[position].hash
        fragment = await in_pool(self._pool, rebuild_fragment, others, position, digest)
        await self._put(node, name, fragment, digest)
        return 1

    async def _segments(self) -> set[str]:
        """Segments of the writer's journal that enough of the suppliers list."""
        counts: dict[str, int] = {}
        for node in self._positions:
            if node is None:
                continue
            try:
                async for entry in self._client.list(node, "j/"):
                    counts[entry.name] = counts.get(entry.name, 0) + entry.intact
            except BitdustError as exc:
                log.info("journal not listed", supplier=node.hex()[:16], reason=exc.message)
        needed = fragments_needed(len(self._positions))
        return {name for name, count in counts.items() if count >= needed}

    async def _segment(self, name: str, position: int, node: NodeID) -> int:
        others: dict[int, bytes] = {}
        for other in self._positions:
            if other in (None, node):
                continue
            assert other is not None
            try:
                fragment = await self._client.get(other, name)
                header = parse_header(fragment)
            except BitdustError:
                continue
            others[header.index] = fragment
            if len(others) >= fragments_needed(header.n):
                made = await in_pool(self._pool, rebuild_fragment, others, position, None)
                digest = (await in_pool(self._pool, blake3, made)).digest()
                await self._put(node, name, made, digest)
                return 1
        return 0

    async def _put(
        self, node: NodeID, name: str, fragment: bytes | bytearray, digest: bytes
    ) -> None:
        view = memoryview(fragment)
        await self._client.put(node, name, [view], len(view), digest, timeout=PUT_TIMEOUT)
