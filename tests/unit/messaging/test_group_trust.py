"""Who is to blame when brokers serve different streams."""

from __future__ import annotations

from bitdust.messaging.group_trust import Trust

A, B, C = (bytes([n]) * 32 for n in range(3))


def test_one_against_two_lies() -> None:
    trust = Trust()
    trust.compared(A, True)
    trust.compared(B, False)
    assert not trust.judge({A, B, C})
    assert trust.liars == set()  # one against one decides nothing
    assert not trust.trusted(B)
    trust.compared(C, True)
    assert not trust.judge({A, B, C})
    assert trust.liars == {B}


def test_whoever_agrees_with_a_false_view_lies() -> None:
    trust = Trust()
    trust.compared(A, True)
    trust.compared(B, False)
    trust.compared(C, False)
    assert trust.judge({A, B, C})
    assert trust.liars == {A}
    assert trust.trusted(B)
    assert trust.trusted(C)


def test_liars_and_brokers_of_before_have_no_say() -> None:
    trust = Trust()
    trust.lies(A)
    trust.compared(A, False)
    trust.compared(B, False)
    trust.compared(bytes(31) + b"x", False)
    assert not trust.judge({A, B, C})
    assert trust.liars == {A}
    trust.forget(liars=False)
    assert trust.trusted(B)
    assert not trust.trusted(A)
    trust.forget()
    assert trust.trusted(A)
