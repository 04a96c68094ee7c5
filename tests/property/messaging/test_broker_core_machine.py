"""Three brokers and a spare one under loss, reordering, repetition, crashes and changes of the set.

Whatever happens: one leader per term, one order, and nothing that a leader counted as committed is
ever lost. When the disturbance ends, everything goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bitdust.messaging.broker_core import BrokerCore, Role
from bitdust.messaging.broker_talk import Message

NODES = [bytes([n]) * 32 for n in range(4)]
FIRST = frozenset(NODES[:3])


class MemoryLog:
    """A log whose end is lost in a crash unless it was flushed."""

    def __init__(self, entries: list[tuple[int, bytes]]) -> None:
        self.entries = entries

    @property
    def length(self) -> int:
        return len(self.entries)

    def term_at(self, place: int) -> int:
        return self.entries[place][0] if place >= 0 else 0

    def read(self, start: int, max_entries: int, max_bytes: int) -> list[tuple[int, bytes]]:
        del max_bytes
        return self.entries[start : start + min(max_entries, 3)]

    def append(self, term: int, raw: bytes) -> None:
        self.entries.append((term, raw))

    def truncate(self, length: int) -> None:
        del self.entries[length:]


def members_of(raw: bytes) -> frozenset[bytes] | None:
    if not raw.startswith(b"set"):
        return None
    return frozenset(NODES[number] for number in raw.split(b":")[1])


class Disk:
    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.vote = (0, b"")
        self.commit = 0


class Brokers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.numbers = itertools.count()
        self.turn = itertools.count()
        self.disks = {node: Disk() for node in NODES}
        self.nodes: dict[bytes, BrokerCore] = {}
        self.unflushed: dict[bytes, list[Any]] = {}
        self.bag: list[tuple[bytes, bytes, Message]] = []
        self.committed: list[bytes] = []
        self.leaders: dict[int, bytes] = {}
        for node in NODES:
            self.boot(node)

    def jitter(self) -> float:
        return (next(self.turn) * 0.37) % 1.0

    def boot(self, node: bytes) -> None:
        disk = self.disks[node]
        entries = list(disk.entries)
        changes = [
            (place, members)
            for place, (_, raw) in enumerate(entries)
            if (members := members_of(raw)) is not None
        ]
        self.nodes[node] = BrokerCore(
            node,
            MemoryLog(entries),
            members_of,
            FIRST,
            changes=changes,
            term=disk.vote[0],
            voted=disk.vote[1],
            commit=disk.commit,
            now=self.now,
            jitter=self.jitter,
            welcome=frozenset(NODES),
        )
        self.unflushed[node] = []

    def gather(self, node: bytes) -> None:
        """Send what may go now, keep the rest until the flush."""
        core = self.nodes[node]
        ready = core.take()
        self.bag += [(node, to, message) for to, message in ready.now]
        log = core.log
        assert isinstance(log, MemoryLog)
        self.unflushed[node].append((ready, list(log.entries)))
        self.check(node)

    def check(self, node: bytes) -> None:
        core = self.nodes[node]
        log = core.log
        assert isinstance(log, MemoryLog)
        if core.role is Role.LEADER:
            assert self.leaders.setdefault(core.term, node) == node, "two leaders in one term"
        mine = [raw for _, raw in log.entries[: core.commit]]
        shared = min(len(mine), len(self.committed))
        assert mine[:shared] == self.committed[:shared], "committed entries differ"
        if len(mine) > len(self.committed):
            self.committed = mine

    def flush(self, node: bytes, most: int = 100) -> None:
        for _ in range(most):
            if node not in self.nodes or not self.unflushed[node]:
                return
            ready, entries = self.unflushed[node].pop(0)
            self.disks[node].entries = entries
            self.disks[node].commit = ready.commit
            if ready.vote is not None:
                self.disks[node].vote = ready.vote
            self.nodes[node].flushed(ready.mark, self.now)
            self.bag += [(node, to, message) for to, message in ready.after]
            later = self.nodes[node].take()
            self.bag += [(node, to, message) for to, message in later.now]
            if later.after or later.vote is not None:
                log = self.nodes[node].log
                assert isinstance(log, MemoryLog)
                self.unflushed[node].append((later, list(log.entries)))
            self.check(node)

    def deliver(self, place: int, *, keep: bool = False) -> None:
        sender, to, message = self.bag[place] if keep else self.bag.pop(place)
        if to in self.nodes:
            self.nodes[to].receive(sender, message, self.now)
            self.gather(to)

    # --- what may happen -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.0, 5.0]), who=st.integers(0, 3))
    def time_passes(self, seconds: float, who: int) -> None:
        self.now += seconds
        node = NODES[who]
        if node in self.nodes:
            self.nodes[node].tick(self.now)
            self.gather(node)

    @precondition(lambda self: self.bag)
    @rule(data=st.data(), count=st.integers(1, 6))
    def messages_arrive(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.bag))):
            self.deliver(data.draw(st.integers(0, len(self.bag) - 1)))

    @precondition(lambda self: self.bag)
    @rule(data=st.data())
    def a_message_arrives_twice(self, data: st.DataObject) -> None:
        self.deliver(data.draw(st.integers(0, len(self.bag) - 1)), keep=True)

    @precondition(lambda self: self.bag)
    @rule(data=st.data())
    def a_message_is_lost(self, data: st.DataObject) -> None:
        self.bag.pop(data.draw(st.integers(0, len(self.bag) - 1)))

    @rule(who=st.integers(0, 3), most=st.integers(1, 4))
    def the_disk_writes(self, who: int, most: int) -> None:
        self.flush(NODES[who], most)

    @rule(who=st.integers(0, 3))
    def somebody_writes(self, who: int) -> None:
        core = self.nodes.get(NODES[who])
        if core is not None and core.role is Role.LEADER:
            core.propose(b"entry %d" % next(self.numbers), self.now)
            core.replicate(self.now)
            self.gather(NODES[who])

    @rule(who=st.integers(0, 3), members=st.sets(st.integers(0, 3), min_size=1, max_size=3))
    def the_set_changes(self, who: int, members: set[int]) -> None:
        core = self.nodes.get(NODES[who])
        wanted = frozenset(NODES[number] for number in members)
        if core is not None and core.role is Role.LEADER and core.may_become(wanted):
            core.propose(b"set:" + bytes(sorted(members)), self.now)
            core.replicate(self.now)
            self.gather(NODES[who])

    @rule(who=st.integers(0, 3))
    def a_broker_crashes(self, who: int) -> None:
        self.nodes.pop(NODES[who], None)
        self.unflushed[NODES[who]] = []

    @rule(who=st.integers(0, 3))
    def a_broker_comes_back(self, who: int) -> None:
        if NODES[who] not in self.nodes:
            self.boot(NODES[who])

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.calm(1.5)

    @rule(
        who=st.sets(st.integers(0, 3), min_size=2, max_size=3),
        stuck=st.sets(st.integers(0, 3), max_size=2),
        writes=st.integers(0, 3),
        crash=st.booleans(),
    )
    def some_are_cut_off(self, who: set[int], stuck: set[int], writes: int, crash: bool) -> None:
        """Those of ``who`` hear each other alone; the disks of ``stuck`` do not write meanwhile."""
        among = [NODES[number] for number in sorted(who)]
        for node in among:
            if node not in self.nodes:
                self.boot(node)
        self.bag = []
        slow = {NODES[number] for number in stuck}
        self.calm(6.0, among, slow)
        for node in among:
            core = self.nodes[node]
            for _ in range(writes if core.role is Role.LEADER else 0):
                core.propose(b"entry %d" % next(self.numbers), self.now)
            core.replicate(self.now)
            self.gather(node)
        self.calm(0.3, among, slow)
        if crash:
            for number in sorted(stuck):
                self.a_broker_crashes(number)

    @invariant()
    def few_messages_are_under_way(self) -> None:
        del self.bag[:-200]

    def calm(
        self, seconds: float, among: Sequence[bytes] = NODES, stuck: Collection[bytes] = ()
    ) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            for node in among:
                if node in self.nodes:
                    self.nodes[node].tick(self.now)
                    self.gather(node)
                    self.flush(node, 0 if node in stuck else 100)
            for _ in range(1000):
                if not self.bag:
                    break
                sender, to, _ = self.bag[0]
                if sender not in among or to not in among:
                    self.bag.pop(0)
                    continue
                self.deliver(0)
                self.flush(to, 0 if to in stuck else 100)

    def teardown(self) -> None:
        for node in NODES:
            if node not in self.nodes:
                self.boot(node)
        self.calm(60.0)
        newest = max(self.nodes.values(), key=lambda core: core.term)
        leaders = [c for c in self.nodes.values() if c.role is Role.LEADER]
        assert leaders, (newest.term, [c.role for c in self.nodes.values()])
        leader = max(leaders, key=lambda core: core.term)
        place = leader.propose(b"the last", self.now)
        leader.replicate(self.now)
        self.gather(leader.me)
        self.calm(5.0)
        assert leader.commit > place
        log = leader.log
        assert isinstance(log, MemoryLog)
        assert [raw for _, raw in log.entries[: len(self.committed)]] == self.committed
        for node in leader.brokers:
            assert self.nodes[node].commit == leader.commit


Brokers.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestBrokers = Brokers.TestCase
