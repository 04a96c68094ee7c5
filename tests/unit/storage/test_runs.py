"""Lists of numbers in few bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitdust.errors import FormatError
from bitdust.storage.catalog.runs import (
    MAX_NUMBER,
    MAX_RUN_BYTES,
    Run,
    check_runs,
    count_numbers,
    decode_runs,
    encode_numbers,
    encode_runs,
    iter_numbers,
    merge_ranges,
    to_runs,
)

lists = st.lists(st.one_of(st.integers(0, 20), st.integers(0, MAX_NUMBER // 2)), max_size=30)


@given(lists)
def test_comes_back(numbers: list[int]) -> None:
    raw = encode_numbers(numbers)
    assert list(iter_numbers(raw)) == numbers
    assert count_numbers(raw) == len(numbers)
    assert encode_runs(decode_runs(raw)) == raw == check_runs(raw)


def test_frozen_form() -> None:
    assert encode_numbers([]).hex() == ""
    assert encode_numbers([1]).hex() == "0202"
    assert encode_numbers([5, 6, 7, 7, 7, 2]).hex() == "0a06" + "0105" + "0b02"
    assert encode_numbers([300, 301]).hex() == "d80404"


def test_long_runs_are_short() -> None:
    terabyte = encode_runs([Run(10**9, 2**20, False)])
    assert len(terabyte) < 16
    holes = encode_numbers(itertools.repeat(7, 1_000_000))
    assert len(holes) < 8
    assert list(to_runs([7] * 3 + [8, 9])) == [Run(7, 3, True), Run(8, 2, False)]


@pytest.mark.parametrize("run", [Run(-1, 1, False), Run(0, 0, False), Run(MAX_NUMBER, 1, True)])
def test_cannot_be_written(run: Run) -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode_runs([run])


@pytest.mark.parametrize(
    "raw",
    [
        bytes.fromhex("02"),  # no count
        bytes.fromhex("0282"),  # cut off in a number
        bytes.fromhex("0200"),  # no numbers
        bytes.fromhex("0102"),  # below 0
        b"\xff" * 10 + b"\x01\x02",  # a number too long
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02",  # out of range
        bytes(MAX_RUN_BYTES + 1),
    ],
)
def test_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        list(decode_runs(raw))


@given(st.binary(max_size=40))
def test_any_bytes_give_runs_or_a_format_error(raw: bytes) -> None:
    try:
        runs = list(decode_runs(raw))
    except FormatError:
        return
    assert all(run.start >= 0 and run.start + run.length <= MAX_NUMBER for run in runs)
    assert list(decode_runs(encode_runs(runs))) == runs


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12))
def test_merged_ranges_hold_the_same_numbers(pairs: list[tuple[int, int]]) -> None:
    ranges = [(start, start + size) for start, size in pairs]
    merged = merge_ranges(ranges)
    assert {n for a, b in merged for n in range(a, b)} == {
        n for a, b in ranges for n in range(a, b)
    }
    assert all(one[1] < two[0] for one, two in itertools.pairwise(merged))
