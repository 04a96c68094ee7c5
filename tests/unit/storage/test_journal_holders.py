"""What follows from the lists of segments that suppliers give."""

from __future__ import annotations

import pytest

from bitdust.storage.catalog.holders import Holders, JournalGap, Name, gather

A, B, C, D = (bytes([n]) * 32 for n in range(4))


def listed(**by_name: str) -> Holders:
    """``e1_0="abc"``: who lists the segment 1-0; ``silent="d"``: who does not answer."""
    silent = by_name.pop("silent", "")
    found: dict[str, list[Name]] = {letter: [] for letter in "abcd"}
    for name, letters in by_name.items():
        epoch, seq = name[1:].split("_")
        for letter in letters:
            found[letter].append((int(epoch), int(seq)))
    nodes = dict(zip("abcd", (A, B, C, D), strict=True))
    return gather(((nodes[x], None if x in silent else found[x]) for x in found), 4)


def test_segments_are_planned_in_order() -> None:
    holders = listed(e0_0="abcd", e0_1="abcd", e0_2="abc", e2_0="abcd")
    assert holders.epochs() == [2, 0]
    assert holders.plan(0) == [(0, 0), (0, 1), (0, 2)]
    assert holders.plan(0, 2) == [(0, 2)]
    assert holders.plan(1) == []
    assert list(holders.of((0, 2))) == [A, B, C]
    assert holders.others(2)[D] == [(0, 0), (0, 1)]


def test_a_hole_before_what_enough_have_is_a_gap() -> None:
    with pytest.raises(JournalGap) as caught:
        listed(e0_0="abcd", e0_2="ab").plan(0)
    assert caught.value.missing == ((0, 1),)


def test_what_one_supplier_makes_up_is_no_gap() -> None:
    holders = listed(e0_0="abcd", e0_7="a", e999_3="a")
    assert holders.plan(0) == [(0, 0)]
    assert holders.plan(999) == []
    assert holders.may_end_before((999, 0))
    assert holders.newest(0) == 999
    assert listed(e0_0="abcd", e2000_0="a").newest(0) == 0


def test_nothing_is_given_up_that_silent_suppliers_may_have() -> None:
    # two of four list it and one is silent: three may have acknowledged it
    assert not listed(e1_0="ab", silent="d").may_end_before((1, 0))
    assert listed(e1_0="ab").may_end_before((1, 0))
    assert listed(e1_0="a", silent="d").may_end_before((1, 0))
    # a later one proves that it was acknowledged
    assert not listed(e1_0="a", e1_1="bc").may_end_before((1, 0))


def test_the_very_first_segment_may_have_been_cut_off() -> None:
    assert listed(e0_0="a").is_a_beginning()
    assert not listed(e0_0="abc").is_a_beginning()
    assert not listed(e0_0="a", e0_1="a").is_a_beginning()
    assert not listed(e0_0="a", silent="bc").is_a_beginning()
