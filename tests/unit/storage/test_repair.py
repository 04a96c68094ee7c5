"""How far blocks are from being lost, and what is rebuilt first."""

import pytest

from bitdust.errors import InvalidInput
from bitdust.storage import (
    SUPPLIER_COUNTS,
    FragmentState,
    acknowledgements_needed,
    block_health,
    enough,
    fragments_needed,
    may_vanish,
    plan_repair,
)

S, M, L = FragmentState.STORED, FragmentState.MISSING, FragmentState.LOST


def test_acknowledgements() -> None:
    assert [acknowledgements_needed(n) for n in SUPPLIER_COUNTS] == [2, 3, 6, 10, 14, 20, 48]
    for n in SUPPLIER_COUNTS:
        assert enough(acknowledgements_needed(n), n)
        assert not enough(acknowledgements_needed(n) - 1, n)
        assert may_vanish(n, n) == n - fragments_needed(n) == n // 2
        assert may_vanish(acknowledgements_needed(n), n) >= 1
    assert may_vanish(3, 4) == 1
    assert may_vanish(2, 4) == 0
    assert may_vanish(1, 4) == -1


def test_health() -> None:
    health = block_health(b"a", [S, M, S, L])
    assert (health.stored, health.absent, health.may_vanish) == ((0, 2), (1, 3), 0)
    assert health.recoverable
    assert not health.complete
    assert block_health(b"a", [S, S, S, S]).complete
    assert not block_health(b"a", [S, M, M, L]).recoverable
    away = block_health(b"a", [S, S, S, S], online=[1])
    assert (away.may_vanish, away.complete, away.recoverable) == (-1, True, False)


def test_most_endangered_block_comes_first() -> None:
    blocks = {
        b"fine": [S, S, S, S],
        b"weak-b": [S, S, M, L],
        b"one": [S, S, S, M],
        b"lost-b": [M, M, S, L],
        b"weak-a": [M, M, S, S],
        b"lost-a": [M, M, M, M],
    }
    plan = plan_repair(blocks, 4)
    assert [item.block_id for item in plan.rebuilds] == [b"weak-a", b"weak-b", b"one"]
    assert [item.targets for item in plan.rebuilds] == [(0, 1), (2, 3), (3,)]
    assert [item.sources for item in plan.rebuilds] == [(2, 3), (0, 1), (0, 1)]
    assert [item.may_vanish for item in plan.rebuilds] == [0, 0, 1]
    assert plan.unrecoverable == (b"lost-a", b"lost-b")
    assert plan.may_vanish == -2


def test_suppliers_that_are_away_are_neither_read_nor_written() -> None:
    blocks = {b"a": [S, S, S, M], b"b": [M, S, S, S]}
    plan = plan_repair(blocks, 4, online=[0, 1, 2])
    assert [(item.block_id, item.sources, item.targets) for item in plan.rebuilds] == [
        (b"b", (1, 2), (0,))
    ]
    assert plan.may_vanish == 0


def test_preferred_suppliers_are_read_first() -> None:
    plan = plan_repair({b"a": [S, S, M, S]}, 4, preferred=[3, 2])
    assert plan.rebuilds[0].sources == (3, 0)


def test_nothing_to_do() -> None:
    plan = plan_repair({}, 4)
    assert (plan.rebuilds, plan.unrecoverable, plan.may_vanish) == ((), (), None)
    plan = plan_repair({b"a": [S] * 7}, 7)
    assert (plan.rebuilds, plan.may_vanish) == ((), 3)


def test_bounds() -> None:
    with pytest.raises(InvalidInput):
        plan_repair({b"a": [S, S]}, 4)
    with pytest.raises(InvalidInput):
        plan_repair({}, 5)
    with pytest.raises(InvalidInput):
        block_health(b"a", [S])
    with pytest.raises(InvalidInput):
        enough(1, 3)
