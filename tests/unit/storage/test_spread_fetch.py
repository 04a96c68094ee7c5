"""Sending and fetching fragments among suppliers that fail in every way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3

from bitdust.clock import SystemClock
from bitdust.errors import (
    BitdustError,
    DataUnavailable,
    IntegrityError,
    NotFound,
    PeerUnreachable,
    QuotaExceeded,
    TooFewSuppliers,
)
from bitdust.storage.formats.fragment import Fragment, build_fragments
from bitdust.storage.formats.seal import wrap_key
from bitdust.storage.transfer import fetch, spread
from bitdust.storage.transfer.fetch import BlockFetcher, Place, StoredBlock
from bitdust.storage.transfer.spread import Spreader

KEK = b"k" * 32
NODES = [bytes([i]) * 32 for i in range(1, 5)]


class Suppliers:
    """Four suppliers in memory, each with a fault of its own."""

    def __init__(self) -> None:
        self.objects: dict[tuple[bytes, str], bytes] = {}
        self.faults: dict[bytes, BitdustError] = {}
        self.hanging: set[bytes] = set()
        self.asked: list[bytes] = []
        self.offline: set[bytes] = set()

    def positions(self) -> list[bytes | None]:
        return list(NODES)

    def online(self, position: int) -> bool:
        return NODES[position] not in self.offline

    def is_online(self, node: bytes) -> bool:
        return node not in self.offline

    async def _meet(self, node: bytes) -> None:
        self.asked.append(node)
        if node in self.hanging:
            await asyncio.Event().wait()
        if node in self.faults:
            raise self.faults[node]

    async def put(
        self,
        node: bytes,
        name: str,
        buffers: list[memoryview],
        size: int,
        hash: bytes,
        timeout: float = 1.0,
    ) -> bool:
        await self._meet(node)
        data = b"".join(buffers)
        assert len(data) == size
        assert blake3(data).digest() == hash
        self.objects[node, name] = data
        return True

    async def get(
        self,
        node: bytes,
        name: str,
        offset: int = 0,
        length: int = -1,
        *,
        timeout: float = 1.0,
        expect: bytes | None = None,
    ) -> bytes:
        await self._meet(node)
        data = self.objects.get((node, name))
        if data is None:
            raise NotFound("no such object")
        if expect is not None and blake3(data).digest() != expect:
            raise IntegrityError("other bytes than expected")
        return data[offset:] if length < 0 else data[offset : offset + length]

    async def get_into(
        self,
        node: bytes,
        name: str,
        out: memoryview,
        *,
        timeout: float = 1.0,
        expect: bytes | None = None,
    ) -> None:
        await self._meet(node)
        data = self.objects.get((node, name))
        if data is None:
            raise NotFound("no such object")
        if len(data) != len(out):
            raise IntegrityError("another size than expected")
        out[:] = data


@pytest.fixture
def suppliers(monkeypatch: pytest.MonkeyPatch) -> Suppliers:
    monkeypatch.setattr(spread, "GRACE", 0.05)
    monkeypatch.setattr(fetch, "HEDGE_AFTER", 0.05)
    return Suppliers()


@pytest.fixture
async def fetcher(suppliers: Suppliers) -> AsyncIterator[BlockFetcher]:
    with ThreadPoolExecutor(2) as pool:
        found = BlockFetcher(
            suppliers,
            SystemClock(),
            pool,
            suppliers.is_online,
            lambda block, position, node, error: DAMAGED.append(position),
        )
        DAMAGED.clear()
        yield found


DAMAGED: list[int] = []


def make(payload: bytes) -> tuple[StoredBlock, list[Fragment]]:
    block_id, key = os.urandom(16), os.urandom(32)
    fragments = build_fragments(block_id, key, wrap_key(KEK, key), 4, [payload])
    places = [Place(i, NODES[i], f.digest) for i, f in enumerate(fragments)]
    stored = StoredBlock(1, block_id, f"d/{block_id.hex()}", 4, len(payload), places)
    return stored, fragments


async def store(suppliers: Suppliers, payload: bytes) -> StoredBlock:
    block, fragments = make(payload)
    outcome = await Spreader(suppliers, suppliers, SystemClock()).spread(block.name, fragments)
    assert outcome.acks == 4
    suppliers.asked.clear()
    return block


async def test_all_four_acknowledge_and_two_bring_it_back(
    suppliers: Suppliers, fetcher: BlockFetcher
) -> None:
    payload = os.urandom(3_000_000)
    block = await store(suppliers, payload)
    assert bytes(await fetcher.whole(block, KEK)) == payload
    assert len(suppliers.asked) == 2
    assert not DAMAGED


async def test_blocks_fetched_at_once_come_from_different_suppliers(
    suppliers: Suppliers, fetcher: BlockFetcher
) -> None:
    payload = os.urandom(2_000_000)
    block = await store(suppliers, payload)
    both = await asyncio.gather(fetcher.whole(block, KEK), fetcher.whole(block, KEK))
    assert [bytes(found) for found in both] == [payload, payload]
    assert sorted(suppliers.asked) == sorted(NODES)


async def test_memory_is_used_again_and_stays_right(
    suppliers: Suppliers, fetcher: BlockFetcher
) -> None:
    space, out = fetch.FragmentSpace(), memoryview(bytearray(5_000_000))
    for size in (4_000_000, 100, 3_000_001):
        payload = os.urandom(size)
        block = await store(suppliers, payload)
        found = await fetcher.whole(block, KEK, space=space, out=out)
        assert found == payload
        assert found.obj is out.obj


@pytest.mark.parametrize("fault", ["error", "hang"])
async def test_three_of_four_are_enough(suppliers: Suppliers, fault: str) -> None:
    block, fragments = make(b"x" * 5000)
    if fault == "hang":
        suppliers.hanging.add(NODES[1])
    else:
        suppliers.faults[NODES[1]] = PeerUnreachable("gone")
    spreader = Spreader(suppliers, suppliers, SystemClock())
    outcome = await spreader.spread(block.name, fragments)
    assert outcome.suppliers == [NODES[0], None, NODES[2], NODES[3]]
    assert set(outcome.failures) == {1}
    # the one that failed is passed over, so that it costs time only once
    suppliers.asked.clear()
    await spreader.spread(block.name, fragments)
    assert NODES[1] not in suppliers.asked
    spreader.forgive(NODES[1])
    suppliers.hanging.clear()
    suppliers.faults.clear()
    assert (await spreader.spread(block.name, fragments)).acks == 4


async def test_two_of_four_are_not_enough(suppliers: Suppliers) -> None:
    block, fragments = make(b"x")
    suppliers.faults = {NODES[0]: PeerUnreachable("gone"), NODES[1]: PeerUnreachable("gone")}
    with pytest.raises(TooFewSuppliers, match="only 2 of 4"):
        await Spreader(suppliers, suppliers, SystemClock()).spread(block.name, fragments)


@pytest.mark.parametrize("fault", ["error", "hang"])
async def test_a_supplier_that_was_passed_over_helps_out(
    suppliers: Suppliers, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "GRACE", 0.05)
    block, fragments = make(b"x" * 5000)
    spreader = Spreader(suppliers, suppliers, SystemClock())
    suppliers.faults[NODES[0]] = PeerUnreachable("away")
    assert (await spreader.spread(block.name, fragments)).acks == 3
    # the first is well again, and before anybody noticed another one is not
    del suppliers.faults[NODES[0]]
    if fault == "error":
        suppliers.faults[NODES[1]] = PeerUnreachable("away")
    else:
        suppliers.hanging.add(NODES[1])
    outcome = await spreader.spread(block.name, fragments)
    assert outcome.suppliers == [NODES[0], None, NODES[2], NODES[3]]


async def test_full_suppliers_are_told_apart(suppliers: Suppliers) -> None:
    block, fragments = make(b"x")
    suppliers.faults = {node: QuotaExceeded("no room") for node in NODES[:2]}
    with pytest.raises(QuotaExceeded, match="2 of 4"):
        await Spreader(suppliers, suppliers, SystemClock()).spread(block.name, fragments)


async def test_reads_around_failures(suppliers: Suppliers, fetcher: BlockFetcher) -> None:
    payload = os.urandom(2_500_000)
    block = await store(suppliers, payload)
    suppliers.faults[NODES[0]] = PeerUnreachable("gone")
    suppliers.hanging.add(NODES[1])
    assert bytes(await fetcher.whole(block, KEK)) == payload
    suppliers.hanging.clear()
    suppliers.faults[NODES[2]] = PeerUnreachable("gone")
    suppliers.faults[NODES[1]] = PeerUnreachable("gone")
    with pytest.raises(DataUnavailable, match="only 1 of the 2"):
        await fetcher.whole(block, KEK)


async def test_a_damaged_fragment_is_replaced_and_reported(
    suppliers: Suppliers, fetcher: BlockFetcher
) -> None:
    payload = os.urandom(2_500_000)
    block = await store(suppliers, payload)
    data = bytearray(suppliers.objects[NODES[0], block.name])
    data[700_000] ^= 1
    suppliers.objects[NODES[0], block.name] = bytes(data)
    suppliers.offline = {NODES[2], NODES[3]}
    assert bytes(await fetcher.whole(block, KEK)) == payload
    assert DAMAGED == [0]


async def test_a_damaged_fragment_without_known_hashes(
    suppliers: Suppliers, fetcher: BlockFetcher
) -> None:
    payload = os.urandom(2_500_000)
    block = await store(suppliers, payload)
    data = bytearray(suppliers.objects[NODES[1], block.name])
    data[900] ^= 1
    suppliers.objects[NODES[1], block.name] = bytes(data)
    bare = StoredBlock(
        1, block.block_id, block.name, 4, block.size, [Place(i, NODES[i], None) for i in range(4)]
    )
    suppliers.offline = {NODES[2], NODES[3]}
    assert bytes(await fetcher.whole(bare, KEK)) == payload
    assert DAMAGED == [1]


async def test_a_part_of_a_block(suppliers: Suppliers, fetcher: BlockFetcher) -> None:
    payload = os.urandom(5_000_000)
    block = await store(suppliers, payload)
    layout = fetch.Layout(4, len(payload))
    for stripes in (range(1), range(2, 4), range(layout.stripes - 1, layout.stripes)):
        start, end = layout.plain_range(stripes[0])[0], layout.plain_range(stripes[-1])[1]
        assert bytes(await fetcher.part(block, KEK, stripes)) == payload[start:end]
    # damage within the part: the whole block is read instead, and tells who it was
    name = block.name
    offset, _ = layout.stripe_range(2)
    data = bytearray(suppliers.objects[NODES[0], name])
    data[offset + 5] ^= 1
    suppliers.objects[NODES[0], name] = bytes(data)
    suppliers.offline = {NODES[2], NODES[3]}
    start, end = layout.plain_range(2)
    assert bytes(await fetcher.part(block, KEK, range(2, 3))) == payload[start:end]
    assert DAMAGED == [0]


async def test_a_lost_fragment_is_reported(suppliers: Suppliers, fetcher: BlockFetcher) -> None:
    block = await store(suppliers, b"small")
    del suppliers.objects[NODES[0], block.name]
    suppliers.offline = {NODES[2], NODES[3]}
    assert bytes(await fetcher.whole(block, KEK)) == b"small"
    assert DAMAGED == [0]
    got: Sequence[int] = sorted(await fetcher.fragments(block, 4, at_least=2))
    assert got == [1, 2, 3]


async def test_the_wrong_key_opens_nothing(suppliers: Suppliers, fetcher: BlockFetcher) -> None:
    block = await store(suppliers, b"secret")
    with pytest.raises(IntegrityError):
        await fetcher.whole(block, b"x" * 32)
