"""Rules of the brokers' core, one at a time: what counts as committed, who leads, who is silent."""

from __future__ import annotations

from collections.abc import Collection

from bitdust.messaging.broker_core import QUIET_AFTER, QUIET_BEAT, SHUN, BrokerCore, Role
from bitdust.messaging.broker_talk import Append, Message

A, B, C = NODES = [bytes([n]) * 32 for n in range(3)]


class OneByOne:
    """A log that gives a single entry at a time."""

    def __init__(self, *entries: tuple[int, bytes]) -> None:
        self.entries = list(entries)

    @property
    def length(self) -> int:
        return len(self.entries)

    def term_at(self, place: int) -> int:
        return self.entries[place][0] if place >= 0 else 0

    def read(self, start: int, max_entries: int, max_bytes: int) -> list[tuple[int, bytes]]:
        del max_entries, max_bytes
        return self.entries[start : start + 1]

    def append(self, term: int, raw: bytes) -> None:
        self.entries.append((term, raw))

    def truncate(self, length: int) -> None:
        del self.entries[length:]


class World:
    """Cores whose disks are at once, and whose messages travel when the test says so."""

    def __init__(self, *, floor: int = 0, **logs: OneByOne) -> None:
        self.now = 100.0
        self.counts = dict.fromkeys(NODES, 0)
        self.cores = {}
        for number, node in enumerate(NODES):
            log = logs.get("abc"[number], OneByOne())
            self.cores[node] = BrokerCore(
                node,
                log,
                lambda _: None,
                frozenset(NODES),
                term=max((term for term, _ in log.entries), default=0),
                now=self.now,
                jitter=lambda number=number: number / 3,  # type: ignore[misc]
                floor=floor,
            )
        self.bag: list[tuple[bytes, bytes, Message]] = []

    def gather(self, node: bytes) -> None:
        core = self.cores[node]
        while True:
            ready = core.take()
            core.flushed(ready.mark, self.now)
            self.bag += [(node, to, message) for to, message in ready.now + ready.after]
            if not core.take_is_due():
                return

    def settle(self, among: Collection[bytes] = NODES, most: int = 1000) -> None:
        """Deliver what these say to each other; everything else is lost."""
        while self.bag and most:
            most -= 1
            sender, to, message = self.bag.pop(0)
            if sender in among and to in among:
                self.counts[sender] += 1
                self.cores[to].receive(sender, message, self.now)
                self.gather(to)
        self.bag = []

    def wait(self, seconds: float, among: Collection[bytes] = NODES) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            for node in among:
                if self.now >= self.cores[node].deadline:
                    self.cores[node].tick(self.now)
                    self.gather(node)
            self.settle(among)

    def elect(self, node: bytes, *voters: bytes) -> None:
        """Let one become the leader, with the votes of these and nobody else hearing of it."""
        core, among = self.cores[node], {node, *voters}
        self.now += 10.0
        while core.role is not Role.LEADER:
            self.now = max(self.now, core.deadline)
            core.tick(self.now)
            self.gather(node)
            for _ in range(8):
                waiting, self.bag = self.bag, []
                for sender, to, message in waiting:
                    if {sender, to} <= among and not isinstance(message, Append):
                        self.cores[to].receive(sender, message, self.now)
                        self.gather(to)
                if core.role is Role.LEADER:
                    break

    def leaders(self) -> list[bytes]:
        return [node for node, core in self.cores.items() if core.role is Role.LEADER]


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """A majority has it, and yet another leader may replace it: figure 8 of the Raft paper."""
    world = World(a=OneByOne((1, b"old")), b=OneByOne((2, b"other")))
    a, b = world.cores[A], world.cores[B]
    a.term = world.cores[C].term = 2
    world.elect(A, C)
    peer = a.peer(C)
    assert peer is not None
    while peer.match == 0:  # until A knows that C took the old entry; the turn never arrives
        sender, to, message = world.bag.pop(0)
        if {sender, to} == {A, C}:
            world.cores[to].receive(sender, message, world.now)
            world.gather(to)
    world.bag.clear()
    assert world.cores[C].log.read(0, 1, 1) == [(1, b"old")]
    assert a.commit == 0
    # so nobody was told that it was kept, when B comes back and replaces it
    world.elect(B, C)
    world.wait(5.0, {B, C})
    assert b.commit == 2
    assert world.cores[C].log.read(0, 1, 1) == [(2, b"other")]


def write(world: World, node: bytes, raw: bytes) -> None:
    world.cores[node].propose(raw, world.now)
    world.cores[node].replicate(world.now)
    world.gather(node)
    world.settle()


def test_a_quiet_stream_wakes_nobody_and_comes_back_at_once() -> None:
    world = World()
    world.wait(5.0)
    (leader,) = world.leaders()
    write(world, leader, b"one")
    world.wait(QUIET_AFTER + 2)
    before = sum(world.counts.values())
    world.wait(10 * QUIET_BEAT)
    assert world.leaders() == [leader]
    assert sum(world.counts.values()) - before <= 11 * 4  # two followers, there and back
    write(world, leader, b"two")
    world.wait(1.0)
    assert all(core.commit == 2 for core in world.cores.values())
    world.wait(5.0)
    assert world.leaders() == [leader]


def test_a_leader_that_died_in_a_quiet_stream_is_replaced_when_somebody_asks() -> None:
    world = World()
    world.wait(5.0)
    (leader,) = world.leaders()
    world.wait(QUIET_AFTER + QUIET_BEAT)
    others = [node for node in NODES if node != leader]
    for node in others:
        world.cores[node].doubt(leader, world.now)
        world.gather(node)
    world.settle(others)
    world.wait(6.0, others)
    assert any(node in others for node in world.leaders())


def test_a_doubted_leader_that_is_there_stays() -> None:
    world = World()
    world.wait(5.0)
    (leader,) = world.leaders()
    term = world.cores[leader].term
    world.wait(QUIET_AFTER + QUIET_BEAT)
    for node in NODES:
        world.cores[node].doubt(leader, world.now)
        world.gather(node)
    world.settle()
    world.wait(60.0)
    assert world.leaders() == [leader]
    assert world.cores[leader].term == term


def test_a_leader_that_members_object_to_gives_way_and_does_not_come_back() -> None:
    world = World()
    world.wait(5.0)
    (liar,) = world.leaders()
    write(world, liar, b"one")
    others = [node for node in NODES if node != liar]
    for node in others:
        assert world.cores[node].shun(liar, world.now)
        assert not world.cores[node].shun(others[0], world.now)
    world.wait(6.0)
    (leader,) = [node for node in world.leaders() if node != liar]
    write(world, leader, b"two")
    # whatever term the liar makes up, it is not followed
    high = Append(10**6, 1, world.cores[others[0]].log.term_at(0), [], 1)
    for node in others:
        world.cores[node].receive(liar, high, world.now)
        world.gather(node)
    world.settle()
    world.wait(SHUN / 2)
    assert leader in world.leaders()
    assert all(world.cores[node].commit >= 2 for node in others)


def test_brokers_that_lack_what_the_creator_ordered_do_not_lead_without_it() -> None:
    kept = [(1, b"one"), (1, b"two")]
    world = World(floor=2, a=OneByOne(*kept))
    world.wait(60.0, {B, C})
    assert not world.leaders()
    assert world.cores[B].log.length == 0
    world.wait(10.0)
    assert world.leaders() == [A]
    world.wait(5.0)
    assert all(core.log.length >= 2 for core in world.cores.values())
    world.wait(60.0, {B, C})
    assert set(world.leaders()) & {B, C}
