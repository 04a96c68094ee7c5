"""Cuts depend on content alone, whatever the sizes of the reads."""

import io

import pytest
from blake3 import blake3

from bitdust.errors import InvalidInput
from bitdust.storage import MAX_CHUNK, MIN_CHUNK, Chunker, chunk_id, chunks, cut_points

MIB = 1024 * 1024


def noise(seed: bytes, size: int) -> bytes:
    return blake3(seed).digest(size)


class Trickle:
    """A file that gives at most ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._stream = io.BytesIO(data)
        self._step = step

    def readinto(self, memory: memoryview) -> int:
        return self._stream.readinto(memory[: self._step])

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._step))


def lengths(data: bytes, step: int, buffer_size: int = 2 * MAX_CHUNK) -> list[int]:
    return [len(chunk) for chunk in Chunker(buffer_size).chunks(Trickle(data, step).readinto)]


def test_cuts_are_the_same_whatever_the_read_and_buffer_sizes() -> None:
    data = noise(b"cuts", 14 * MIB + 12345)
    whole = cut_points(data, True)
    expected = [end - start for start, end in zip([0, *whole], whole, strict=False)]
    assert len(expected) > 5
    for step, buffer_size in [
        (4096 * 13 + 1, MAX_CHUNK),
        (65_537, 2 * MAX_CHUNK),
        (MIB, 5 * MIB + 3),
        (len(data), MAX_CHUNK + 1),
        (len(data), 16 * MIB),
    ]:
        assert lengths(data, step, buffer_size) == expected


def test_chunks_are_the_file_and_within_bounds() -> None:
    data = noise(b"whole", 9 * MIB + 1)
    found = [bytes(chunk) for chunk in Chunker().chunks(io.BytesIO(data).readinto)]
    assert b"".join(found) == data
    assert all(MIN_CHUNK <= len(chunk) <= MAX_CHUNK for chunk in found[:-1])
    assert 0 < len(found[-1]) <= MAX_CHUNK


def test_read_style_source_gives_the_same_chunks() -> None:
    data = noise(b"read", 6 * MIB)
    a = [bytes(chunk) for chunk in chunks(Trickle(data, 70_001).read)]
    b = [bytes(chunk) for chunk in Chunker().chunks(io.BytesIO(data).readinto)]
    assert a == b


def test_batches_hold_the_same_chunks() -> None:
    data = noise(b"batch", 12 * MIB)
    found = []
    for batch in Chunker(MAX_CHUNK).batches(io.BytesIO(data).readinto):
        assert batch
        found += [bytes(chunk) for chunk in batch]
    assert found == [bytes(chunk) for chunk in Chunker().chunks(io.BytesIO(data).readinto)]


def test_insertion_moves_only_the_cuts_near_it() -> None:
    data = noise(b"insert", 12 * MIB)
    changed = data[: 5 * MIB] + b"inserted" + data[5 * MIB :]
    key = bytes(32)
    before = {chunk_id(key, chunk) for chunk in Chunker().chunks(io.BytesIO(data).readinto)}
    after = {chunk_id(key, chunk) for chunk in Chunker().chunks(io.BytesIO(changed).readinto)}
    assert len(before) > 6
    assert len(after - before) <= 3


@pytest.mark.parametrize("size", [0, 1, MIN_CHUNK - 1, MIN_CHUNK])
def test_small_file_is_one_chunk(size: int) -> None:
    data = noise(b"small", size) if size else b""
    assert lengths(data, 999_999) == ([size] if size else [])


def test_file_without_content_cuts_is_cut_at_the_maximum() -> None:
    data = bytes(2 * MAX_CHUNK + 5)
    assert lengths(data, 300_000) == [MAX_CHUNK, MAX_CHUNK, 5]
    assert lengths(bytes(MAX_CHUNK), MIB, MAX_CHUNK) == [MAX_CHUNK]


def test_unfinished_chunk_is_left_until_its_end_is_known() -> None:
    data = noise(b"tail", 6 * MIB)
    points = cut_points(data, True)
    for cut in (points[1], points[1] + 1, points[2] - 1, 3 * MIB):
        known = cut_points(data[:cut], False)
        assert known == points[: len(known)]
        assert cut - (known[-1] if known else 0) < MAX_CHUNK
    assert cut_points(b"", True) == cut_points(b"", False) == []


def test_buffer_must_hold_a_chunk() -> None:
    with pytest.raises(InvalidInput):
        Chunker(MAX_CHUNK - 1)


def test_chunk_id_depends_on_key_and_data() -> None:
    ids = {chunk_id(key, data) for key in (bytes(32), b"k" * 32) for data in (b"", b"a", b"b")}
    assert len(ids) == 6
    assert all(len(name) == 32 for name in ids)
    assert chunk_id(bytes(32), memoryview(b"a")) == chunk_id(bytes(32), b"a")
