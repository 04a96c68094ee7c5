"""What several people wrote becomes one tree, whatever the order in which it is learned."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.sharing.share_merge import (
    Claim,
    Facts,
    Removal,
    conflict_name,
    join,
    name_all,
    plain_name,
    visible,
)

WRITERS = [bytes([number]) * 16 for number in range(4)]

vectors = st.dictionaries(st.sampled_from(WRITERS), st.integers(0, 4), max_size=4)
claims = st.builds(
    Claim,
    st.sampled_from(WRITERS),
    st.integers(0, 4),
    vectors,
    st.integers(0, 3).map(float),
    st.booleans(),
)
removals = st.builds(Removal, st.sampled_from(WRITERS), vectors, st.integers(0, 3).map(float))


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    found = {claim.writer: claim for claim in draw(st.lists(claims, max_size=4))}
    return join(Facts(found, tuple(draw(st.lists(removals, max_size=3)))), Facts({}))


@settings(deadline=None, max_examples=80)
@given(facts(), facts(), facts())
def test_joining_has_no_order(one: Facts, two: Facts, three: Facts) -> None:
    assert join(one, two) == join(two, one)
    assert join(join(one, two), three) == join(one, join(two, three))
    assert join(one, one) == one
    together = visible(join(join(one, two), three))
    assert together == visible(join(three, join(two, one)))


@settings(deadline=None, max_examples=80)
@given(facts())
def test_something_stays_unless_it_was_removed(known: Facts) -> None:
    """Even when everybody lies about what they saw."""
    shown = visible(known)
    left = visible(Facts(known.claims))
    assert bool(left) == bool(known.claims)
    if not known.removals:
        assert shown == left
    assert len({claim.writer for claim in shown}) == len(shown)


@dataclass
class Person:
    """Somebody with a copy of what is known about one name."""

    writer: bytes
    known: Facts = field(default_factory=lambda: Facts({}))
    newest: dict[bytes, int] = field(default_factory=dict)
    written: dict[int, str] = field(default_factory=dict)


steps = st.lists(
    st.tuples(st.sampled_from(["write", "write", "delete", "sync"]), st.integers(0, 3)),
    max_size=30,
)


@settings(deadline=None, max_examples=80)
@given(steps, st.randoms(use_true_random=False))
def test_nothing_is_lost_that_nobody_saw(plan: list[tuple[str, int]], chance: object) -> None:
    """Writes, deletions and talks at random: in the end all see the same, and each write is there
    unless somebody wrote or deleted with it in view."""
    people = [Person(writer) for writer in WRITERS]
    replaced: set[tuple[bytes, int]] = set()
    clock = 0.0

    def meet(one: Person, other: Person) -> None:
        both = join(one.known, other.known)
        newest = {
            writer: max(one.newest.get(writer, 0), other.newest.get(writer, 0))
            for writer in WRITERS
        }
        for person in (one, other):
            person.known, person.newest = both, dict(newest)

    everything: dict[tuple[bytes, int], Claim] = {}
    for what, index in plan:
        person = people[index]
        clock += 1.0
        in_view = {(claim.writer, claim.since) for claim in person.known.claims.values()}
        if what == "write":
            number = person.newest.get(person.writer, 0) + 1
            claim = Claim(person.writer, number, dict(person.newest), clock)
            replaced |= in_view
            everything[person.writer, number] = claim
            person.known = join(person.known, Facts({person.writer: claim}))
            person.newest = {**person.newest, person.writer: number}
        elif what == "delete":
            replaced |= in_view
            gone = Removal(person.writer, dict(person.newest), clock)
            person.known = join(person.known, Facts({}, (gone,)))
        else:
            meet(person, people[(index + 1) % len(people)])
    for _ in range(2):
        for index, person in enumerate(people):
            meet(person, people[(index + 1) % len(people)])
    shown = [visible(person.known) for person in people]
    assert all(one == shown[0] for one in shown)
    expected = {key for key in everything if key not in replaced}
    assert {(claim.writer, claim.since) for claim in shown[0]} == expected
    assert copy.copy(shown[0]) == sorted(shown[0], key=lambda claim: (claim.created, claim.writer))


@settings(deadline=None, max_examples=60)
@given(
    st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name and "\n" not in name),
    st.lists(claims, min_size=1, max_size=4, unique_by=lambda claim: claim.writer),
    st.booleans(),
)
def test_every_file_gets_a_name_of_its_own(name: str, some: list[Claim], busy: bool) -> None:
    who = {writer: f"person{at}" for at, writer in enumerate(WRITERS)}
    taken = {conflict_name(name, "person1", 1.0)} if busy else set()
    named = name_all(name, some, who, lambda other: other in taken)
    assert named == name_all(name, some[::-1], who, lambda other: other in taken)
    files = [label for label, claim in named if not claim.is_folder]
    assert len(set(files)) == len(files)
    assert not taken & set(files) - {name}
    assert len(named) == len(some)
    if any(claim.is_folder for claim in some):
        assert name not in files
    else:
        assert files[0] == name


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name), st.floats(0, 4e9))
def test_a_conflict_name_leads_back(name: str, when: float) -> None:
    assert plain_name(conflict_name(name, "bob", when)) == name


def test_conflict_names_read_well() -> None:
    assert conflict_name("letter.txt", "bob", 1795786510.0) == (
        "letter (from bob 2026-11-27 13-35-10).txt"
    )
    assert conflict_name(".profile", "bob", 0.0) == ".profile (from bob 1970-01-01 00-00-00)"
    assert conflict_name("README", "a@b.c", float("inf")).endswith("1970-01-01 00-00-00)")
    assert plain_name("letter.txt") is None
