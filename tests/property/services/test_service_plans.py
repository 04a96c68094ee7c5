"""The planner, over every graph."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.services import Graph, Spec

NAMES = [f"s{number}" for number in range(9)]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, len(NAMES)))
    specs = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1))) if number else set()
        specs.append(Spec(NAMES[number], tuple(NAMES[need] for need in sorted(needs)), "", False))
    return Graph(draw(st.permutations(specs)))


def closed(graph: Graph, names: set[str]) -> set[str]:
    """The part of ``names`` that can run together, by the definition and not by the planner."""
    left = set(names)
    while True:
        bad = {n for n in left if not set(graph.specs[n].depends) <= left}
        if not bad:
            return left
        left -= bad


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_every_step_keeps_what_runs_supported(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    some = st.sets(st.sampled_from(graph.order))
    running = closed(graph, data.draw(some))
    wanted = data.draw(some)
    restart = data.draw(some)
    plan = graph.plan(running, wanted, restart)

    now = set(running)
    for name in plan.stop:
        assert name in now
        now.remove(name)
        assert closed(graph, now) == now, "something was left without what it needs"
    for name in plan.start:
        assert name not in now
        assert set(graph.specs[name].depends) <= now, "started before what it needs"
        now.add(name)
    assert now == closed(graph, wanted)

    # nothing moves without a reason: an unwanted service, or a restart, at or below it
    moved = {n for n in plan.stop if n in now}
    reasons = restart & running
    for name in moved:
        assert name in reasons or any(name in graph.dependents(reason) for reason in reasons)
    assert reasons <= set(plan.stop)


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_the_order_and_the_dependents_fit_the_declarations(graph: Graph) -> None:
    for index, name in enumerate(graph.order):
        for need in graph.specs[name].depends:
            assert graph.order.index(need) < index
            assert name in graph.dependents(need)
            assert graph.dependents(name) <= graph.dependents(need)
        assert name not in graph.dependents(name)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_what_fits_already_is_left_alone(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    wanted = data.draw(st.sets(st.sampled_from(graph.order)))
    plan = graph.plan(closed(graph, wanted), wanted)
    assert (plan.stop, plan.start) == ((), ())
