"""Long lists of numbers in few bytes: the content of a file, or the items a record names.

A list is a series of runs: consecutive numbers (the chunks of a new file), or one number many
times (the holes of a sparse file). Each run is two unsigned LEB128 varints: the zigzag distance of
its first number from the number expected next, then ``length * 2 + same``. A new file of a terabyte
takes less than 16 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bitdust.errors import FormatError

MAX_NUMBER = 2**62
"""Numbers and counts stay below this, so that no sum leaves SQLite's 64 bits."""
MAX_RUN_BYTES = 8 * 1024 * 1024
"""Longest list in bytes: a terabyte of 1 MiB chunks, each from another place, still fits."""
_LONGEST: Final = 10
"""Bytes of one varint."""


class Run(NamedTuple):
    """``length`` numbers: ``start, start+1, …``, or ``start`` over and over when ``same``."""

    start: int
    length: int
    same: bool

    @property
    def end(self) -> int:
        """One past the highest number of the run."""
        return self.start + (1 if self.same else self.length)


def to_runs(numbers: Iterable[int]) -> Iterator[Run]:
    """Group numbers, in the order given, into runs."""
    start = count = 0
    same = False
    for number in numbers:
        if count == 0:
            start, count, same = number, 1, False
        elif count == 1 and number == start:
            count, same = 2, True
        elif number == (start if same else start + count):
            count += 1
        else:
            yield Run(start, count, same)
            start, count, same = number, 1, False
    if count:
        yield Run(start, count, same)


def encode_runs(runs: Iterable[Run]) -> bytes:
    """Write runs as bytes.

    Raises:
        ValueError: a number or count outside of its range.
    """
    out = bytearray()
    expected = 0
    for run in runs:
        if run.start < 0 or run.length < 1 or run.start + run.length > MAX_NUMBER:
            raise ValueError(f"run out of range: {run}")
        distance = run.start - expected
        _put(out, distance * 2 if distance >= 0 else -distance * 2 - 1)
        _put(out, run.length * 2 + run.same)
        expected = run.end
    return bytes(out)


def encode_numbers(numbers: Iterable[int]) -> bytes:
    """Write numbers, in the order given, as bytes; the reverse of ``iter_numbers``.

    Raises:
        ValueError: a number outside of 0 to ``MAX_NUMBER``.
    """
    return encode_runs(to_runs(numbers))


def decode_runs(raw: bytes) -> Iterator[Run]:
    """Read runs one by one; the reverse of ``encode_runs``.

    Raises:
        FormatError: longer than ``MAX_RUN_BYTES``, cut off, or a number out of range.
    """
    if len(raw) > MAX_RUN_BYTES:
        raise FormatError("a list of numbers is longer than allowed")
    position = expected = 0
    end = len(raw)
    while position < end:
        # Almost every number is short: read it here, without a call.
        distance = raw[position]
        position += 1
        if distance > 0x7F:
            distance, position = _get(raw, position - 1)
        if position < end and raw[position] <= 0x7F:
            length = raw[position]
            position += 1
        else:
            length, position = _get(raw, position)
        start = expected + (-(distance + 1) // 2 if distance & 1 else distance // 2)
        same = length & 1 == 1
        length >>= 1
        if start < 0 or length < 1 or start + length > MAX_NUMBER:
            raise FormatError("a number in a list is out of range")
        yield Run(start, length, same)
        expected = start + (1 if same else length)


def check_runs(raw: bytes) -> bytes:
    """Return ``raw`` if it can be read to its end.

    Raises:
        FormatError: as ``decode_runs``.
    """
    for _ in decode_runs(raw):
        pass
    return raw


def iter_numbers(raw: bytes) -> Iterator[int]:
    """The numbers themselves, in order.

    Raises:
        FormatError: as ``decode_runs``.
    """
    for run in decode_runs(raw):
        if run.same:
            for _ in range(run.length):
                yield run.start
        else:
            yield from range(run.start, run.start + run.length)


def count_numbers(raw: bytes) -> int:
    """How many numbers the list has, without walking through them.

    Raises:
        FormatError: as ``decode_runs``.
    """
    return sum(run.length for run in decode_runs(raw))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges as the fewest disjoint ones, rising."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _put(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _get(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in raw[position : position + _LONGEST]:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + shift // 7 + 1
        shift += 7
    raise FormatError("a number in a list is cut off or too long")
