"""Blocks are filled in order, never split a chunk, and reuse memory."""

import pytest

from bitdust.errors import InvalidInput
from bitdust.storage import MAX_CHUNK, MAX_PAYLOAD, BlockSpace, Packer

MIB = 1024 * 1024


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_entries_tell_where_chunks_lie() -> None:
    packer = Packer()
    parts = [b"one", b"", b"three" * 100]
    for number, part in enumerate(parts):
        assert packer.add(name(number), part, size=1000 + number, compressed=number == 2) is None
    assert packer.used == 503
    block = packer.flush()
    assert block is not None
    assert block.payload == b"".join(parts)
    assert [entry.chunk_id for entry in block.entries] == [name(0), name(1), name(2)]
    for entry, part in zip(block.entries, parts, strict=True):
        assert block.payload[entry.offset : entry.offset + entry.stored] == part
    assert [entry.size for entry in block.entries] == [1000, 1001, 1002]
    assert [entry.compressed for entry in block.entries] == [False, False, True]
    assert packer.flush() is None
    assert packer.used == 0


def test_chunk_that_does_not_fit_opens_the_next_block() -> None:
    packer = Packer()
    chunk = bytes(MAX_CHUNK)
    for number in range(4):
        assert packer.add(name(number), chunk) is None
    full = packer.add(name(4), b"x")
    assert full is not None
    assert len(full.payload) == MAX_PAYLOAD
    assert len(full.entries) == 4
    rest = packer.flush()
    assert rest is not None
    assert [entry.chunk_id for entry in rest.entries] == [name(4)]
    assert rest.entries[0].offset == 0
    assert rest.entries[0].size == 1


def test_data_may_change_after_it_was_added() -> None:
    packer = Packer()
    data = bytearray(b"before")
    packer.add(name(0), data)
    data[:] = b"after!"
    block = packer.flush()
    assert block is not None
    assert block.payload == b"before"


def test_memory_is_taken_only_when_needed_and_given_back_with_the_block() -> None:
    spaces = [BlockSpace(MAX_CHUNK), BlockSpace(MAX_CHUNK)]
    first, second = spaces
    packer = Packer(lambda: spaces.pop(0))
    assert packer.flush() is None
    assert len(spaces) == 2
    packer.add(name(0), bytes(MAX_CHUNK))
    full = packer.add(name(1), b"next")
    assert full is not None
    assert full.space is first
    spaces.append(full.space)
    last = packer.flush()
    assert last is not None
    assert last.space is second


@pytest.mark.parametrize(("chunk", "data"), [(b"short", b""), (name(0), bytes(MAX_CHUNK + 1))])
def test_bad_chunks_are_refused(chunk: bytes, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Packer().add(chunk, data)


@pytest.mark.parametrize("limit", [0, MAX_CHUNK - 1, MAX_PAYLOAD + 1])
def test_block_memory_has_bounds(limit: int) -> None:
    with pytest.raises(InvalidInput):
        BlockSpace(limit)
