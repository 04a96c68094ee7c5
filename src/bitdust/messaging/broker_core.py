"""How a group's brokers agree on one order: a replicated log for a set of at most three. Pure.

Raft with pre-votes: one broker leads a term, appends entries and counts an entry as committed when
a majority has it on the disk; what was committed is in the log of every later leader. The set of
brokers changes by an entry of the log itself: until that entry is committed both the old and the
new set must agree, afterwards the new set alone (docs/spec/groups.md says why nothing is lost).

The shell feeds messages, proposals and the time; after each turn it takes what is to be sent,
writes the log and the vote to the disk, tells ``flushed`` and sends what had to wait for that.

Source: D. Ongaro, J. Ousterhout, In Search of an Understandable Consensus Algorithm (2014);
D. Ongaro, Consensus: Bridging Theory and Practice (2014), sections 4.3 and 9.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bitdust.errors import Misbehaviour
from bitdust.messaging.broker_talk import (
    BATCH_BYTES,
    BATCH_ENTRIES,
    MAX_BROKERS,
    Append,
    Appended,
    Log,
    Message,
    Vote,
    Voted,
)

HEARTBEAT: Final = 0.5
"""Seconds between two messages of a leader."""
ELECTION: Final = 2.0
"""Seconds of silence after which a follower looks for another leader; up to twice that."""
FIRST_ELECTION: Final = 0.2
"""The same for a stream that is new; up to four times that."""
QUIET_AFTER: Final = 10.0
"""Seconds without anything new after which a leader speaks seldom."""
QUIET_BEAT: Final = 20.0
"""Seconds between two messages of a leader in a quiet stream."""
SHUN: Final = 600.0
"""Seconds for which a leader that members objected to is not followed."""
RESEND: Final = 1.0
"""Seconds without an answer after which a follower is sent the same again."""
WINDOW: Final = 4
"""Messages with entries under way to one follower."""


class Role(StrEnum):
    """What a broker is in its term."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(slots=True)
class Peer:
    """What a leader knows of another broker."""

    match: int = 0
    next: int = 0
    heard: float = 0.0
    sent: float = -1e9
    under_way: int = 0
    probing: bool = True


@dataclass(slots=True)
class Ready:
    """What the shell has to do after a turn.

    Args:
        now: messages that may go out at once.
        after: messages that must wait until the log and the vote are on the disk.
        vote: term and the broker voted for, when they changed.
        commit: to be kept on the disk with the next change.
        mark: to be handed to ``flushed``.
    """

    now: list[tuple[bytes, Message]] = field(default_factory=list)
    after: list[tuple[bytes, Message]] = field(default_factory=list)
    vote: tuple[int, bytes] | None = None
    commit: int = 0
    mark: tuple[int, int] = (0, 0)


class BrokerCore:
    """One broker's part in one stream.

    Args:
        me: own node id.
        log: the entries on the disk.
        members_of: the broker set in an entry that changes it, None for all other entries.
        initial: the broker set before any entry.
        changes: places and sets of the changes that the log holds already.
        term, voted: the vote on the disk.
        commit: committed entries as far as the disk says; may be too few.
        now: monotonic seconds.
        jitter: gives numbers from 0 to 1.
        silent: does not vote before it has caught up, since its log may have been lost.
        welcome: brokers that are listened to though the log does not name them (yet).
        floor: entries before this place stand by the creator's order, which named ``initial``;
            whoever lacks some of them neither leads nor helps another such broker to lead.
    """

    def __init__(
        self,
        me: bytes,
        log: Log,
        members_of: Callable[[bytes], frozenset[bytes] | None],
        initial: frozenset[bytes],
        *,
        changes: Iterable[tuple[int, frozenset[bytes]]] = (),
        term: int = 0,
        voted: bytes = b"",
        commit: int = 0,
        now: float = 0.0,
        jitter: Callable[[], float],
        silent: bool = False,
        welcome: frozenset[bytes] = frozenset(),
        floor: int = 0,
    ) -> None:
        self.me = me
        self.log = log
        self.role = Role.FOLLOWER
        self.term = term
        self.voted = voted
        self.leader = b""
        self.commit = commit
        self.welcome = welcome
        self._floor = floor
        self._silent = silent
        self._members_of = members_of
        self._sets: list[tuple[int, frozenset[bytes]]] = [(-1, initial), *changes]
        self._durable = log.length
        self._generation = 0
        self._jitter = jitter
        self._peers: dict[bytes, Peer] = {}
        self._votes: set[bytes] = set()
        self._pre = False
        self._heard = -1e9
        self._pause = 0.0
        self._awake = now
        self._shunned = b""
        self._shunned_until = -1e9
        self._ready = Ready()
        self._vote_dirty = False
        self._deadline = 0.0
        self._wait(now)
        if (term == 0 and log.length == 0) or log.length == floor > 0:
            # a stream that was only just made, or ordered anew, has no leader to be disturbed
            self._deadline = now + FIRST_ELECTION * (1 + 3 * jitter())

    # --- what the shell asks -----------------------------------------------------------------

    @property
    def brokers(self) -> frozenset[bytes]:
        """The newest set of brokers in the log, committed or not."""
        return self._sets[-1][1]

    @property
    def involved(self) -> frozenset[bytes]:
        """All brokers that have a say now."""
        return frozenset().union(*(members for _, members in self._active()))

    @property
    def settled(self) -> bool:
        """Whether the newest set of brokers is committed."""
        return self._sets[-1][0] < self.commit

    def may_become(self, members: frozenset[bytes]) -> bool:
        """Whether the brokers can be changed to ``members`` now: one at a time, one by one.

        Whoever stays then knows whoever comes, and can vote for it after a crash.
        """
        return (
            self.settled
            and 0 < len(members) <= MAX_BROKERS
            and len(self.brokers - members) <= 1
            and len(members - self.brokers) <= 1
        )

    @property
    def silent(self) -> bool:
        """Whether this broker must catch up before it votes."""
        return self._silent

    @property
    def deadline(self) -> float:
        """When ``tick`` wants to be called, monotonic seconds."""
        return self._deadline

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be replicated."""
        return self.commit == self.log.length

    def peer(self, node_id: bytes) -> Peer | None:
        """What this leader knows of another broker."""
        return self._peers.get(node_id)

    def take(self) -> Ready:
        """What came of the calls since the last time."""
        ready, self._ready = self._ready, Ready()
        if self._vote_dirty:
            ready.vote = (self.term, self.voted)
            self._vote_dirty = False
        ready.commit = self.commit
        ready.mark = (self._generation, self.log.length)
        return ready

    def take_is_due(self) -> bool:
        """Whether ``take`` would give anything."""
        return bool(self._vote_dirty or self._ready.now or self._ready.after)

    def flushed(self, mark: tuple[int, int], now: float) -> None:
        """All that was there at ``take`` is on the disk."""
        generation, length = mark
        if generation == self._generation:
            self._durable = max(self._durable, length)
        if self.role is Role.LEADER:
            self._advance(now)

    # --- events ------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now < self._deadline:
            return
        if self.role is Role.LEADER:
            if not self._is_heard(now):
                self._follow(self.term, b"", now)
            else:
                quiet = self._is_quiet(now)
                self._pause = QUIET_BEAT if quiet else 0.0
                for node_id, peer in self._peers.items():
                    if now - peer.sent >= RESEND and (peer.under_way or peer.probing):
                        peer.next, peer.under_way, peer.probing = peer.match, 0, True
                    self._send(node_id, peer, now, beat=True)
                self._deadline = now + (QUIET_BEAT if quiet else HEARTBEAT)
            return
        if self._silent or self.log.length < self._floor or self.me not in self.involved:
            self._wait(now)
            return
        self._campaign(now, pre=True)

    def propose(self, raw: bytes, now: float) -> int:
        """Append an entry as the leader.

        Returns:
            Its place.

        Raises:
            RuntimeError: this broker does not lead, or the set of brokers cannot become that now.
        """
        members = self._members_of(raw)
        if self.role is not Role.LEADER or (members is not None and not self.may_become(members)):
            raise RuntimeError("this broker cannot take the entry now")
        place = self.log.length
        self._rouse(now)
        self._push(self.term, raw, now)
        return place

    def replicate(self, now: float) -> None:
        """Send what followers do not have; called once after some proposals."""
        for node_id, peer in self._peers.items():
            self._send(node_id, peer, now)

    def doubt(self, leader: bytes, now: float) -> None:
        """Somebody cannot reach the leader: look whether it is there, and replace it if not."""
        if self.role is not Role.FOLLOWER or self.leader != leader or not self._pause:
            return
        self._pause = 0.0
        self._wait(now)
        self._ready.after.append((leader, Appended(self.term, False, self.log.length)))

    def shun(self, leader: bytes, now: float) -> bool:
        """Somebody found that a leader does not tell the truth: do without it for a while.

        An election at any time is safe, so nothing has to be proven; to keep it rare, one broker
        at a time is shunned.

        Returns:
            Whether it is shunned now.
        """
        if now < self._shunned_until and self._shunned != leader:
            return False
        if now >= self._shunned_until:
            self._shunned, self._shunned_until = leader, now + SHUN
            if leader == self.me and self.role is Role.LEADER:
                self._follow(self.term, b"", now)
            elif self.role is Role.FOLLOWER and self.leader == leader:
                self._follow(self.term, b"", now)
                self._heard = -1e9
                self._deadline = now + FIRST_ELECTION * (1 + 3 * self._jitter())
        return True

    def receive(self, sender: bytes, message: Message, now: float) -> None:
        """Take a message of another broker.

        Raises:
            Misbehaviour: it contradicts what was committed; nothing was changed.
        """
        if sender == self.me:
            return
        if sender not in self.involved and sender not in self.welcome:
            return
        if self._is_shunned(sender, now) and isinstance(message, Vote | Append):
            return
        match message:
            case Vote():
                self._on_vote(sender, message, now)
            case Voted():
                self._on_voted(sender, message, now)
            case Append():
                self._on_append(sender, message, now)
            case Appended():
                self._on_appended(sender, message, now)

    # --- elections ---------------------------------------------------------------------------

    def _campaign(self, now: float, *, pre: bool) -> None:
        self._pre = pre
        self._votes = {self.me}
        self.role = Role.CANDIDATE
        self.leader = b""
        term = self.term + 1
        if not pre:
            self._set_vote(term, self.me)
        self._wait(now)
        ask = Vote(term, self._last_term(), self.log.length, pre)
        for node_id in self.involved - {self.me}:
            (self._ready.now if pre else self._ready.after).append((node_id, ask))
        self._count(now)

    def _count(self, now: float) -> None:
        if not self._enough(self._votes):
            return
        if self._pre:
            self._campaign(now, pre=False)
        else:
            self._lead(now)

    def _on_vote(self, sender: bytes, vote: Vote, now: float) -> None:
        if self._silent:
            return
        newer = (vote.last_term, vote.length) >= (self._last_term(), self.log.length)
        newer = newer and vote.length >= self._floor
        hears_leader = self.role is Role.LEADER or now - self._heard < ELECTION + self._pause
        if vote.pre:
            granted = newer and vote.term > self.term and not hears_leader
            answer = Voted(vote.term if granted else self.term, granted, True)
            self._ready.after.append((sender, answer))
            return
        if hears_leader and vote.term > self.term:
            # whoever is cut off, or was replaced, cannot end a term that works
            self._ready.after.append((sender, Voted(self.term, False, False)))
            return
        if vote.term > self.term:
            self._follow(vote.term, b"", now)
        granted = newer and vote.term == self.term and self.voted in (b"", sender)
        if granted:
            self._set_vote(self.term, sender)
            self._wait(now)
        self._ready.after.append((sender, Voted(self.term, granted, False)))

    def _on_voted(self, sender: bytes, answer: Voted, now: float) -> None:
        if not answer.granted:
            if answer.term > self.term:
                self._follow(answer.term, b"", now)
            return
        wanted = self.term + 1 if self._pre else self.term
        if self.role is Role.CANDIDATE and answer.pre == self._pre and answer.term == wanted:
            self._votes.add(sender)
            self._count(now)

    def _lead(self, now: float) -> None:
        self.role = Role.LEADER
        self.leader = self.me
        self._peers = {}
        self._rouse(now)
        self._meet(now)
        if self.commit < self.log.length:
            # entries of earlier terms count as committed only behind one of this term
            self._push(self.term, b"", now)
        self.replicate(now)
        for node_id, peer in self._peers.items():
            self._send(node_id, peer, now, beat=True)
        self._deadline = now + HEARTBEAT
        self._advance(now)

    def _follow(self, term: int, leader: bytes, now: float) -> None:
        if term > self.term:
            self._set_vote(term, b"")
        self.role = Role.FOLLOWER
        self.leader = leader
        self._peers = {}
        self._votes = set()
        self._wait(now)

    def _is_heard(self, now: float) -> bool:
        since = 2 * ELECTION + self._pause
        alive = {n for n, peer in self._peers.items() if now - max(peer.heard, self._awake) < since}
        return self._enough(alive | {self.me})

    def _is_quiet(self, now: float) -> bool:
        return (
            now - self._awake >= QUIET_AFTER
            and self.commit == self.log.length
            and all(peer.match == self.log.length for peer in self._peers.values())
        )

    def _rouse(self, now: float) -> None:
        """Something happens: speak often again."""
        self._awake, self._pause = now, 0.0
        self._deadline = min(self._deadline, now + HEARTBEAT)

    def _is_shunned(self, node_id: bytes, now: float) -> bool:
        return node_id == self._shunned and now < self._shunned_until

    # --- replication -------------------------------------------------------------------------

    def _send(self, node_id: bytes, peer: Peer, now: float, *, beat: bool = False) -> None:
        sent = False
        while peer.next < self.log.length and peer.under_way < (1 if peer.probing else WINDOW):
            entries = self.log.read(peer.next, BATCH_ENTRIES, BATCH_BYTES)
            self._post(node_id, peer, entries, now)
            peer.next += len(entries)
            peer.under_way += 1
            sent = True
        if beat and not sent:
            self._post(node_id, peer, [], now)

    def _post(
        self, node_id: bytes, peer: Peer, entries: list[tuple[int, bytes]], now: float
    ) -> None:
        before = self.log.term_at(peer.next - 1)
        message = Append(self.term, peer.next, before, entries, self.commit, int(self._pause))
        if entries or not peer.under_way:
            peer.sent = now
        self._ready.now.append((node_id, message))

    def _on_append(self, sender: bytes, message: Append, now: float) -> None:
        if message.term < self.term:
            self._ready.after.append((sender, Appended(self.term, False, self.log.length)))
            return
        if message.term == self.term and self.role is Role.LEADER:
            raise Misbehaviour("two brokers lead one term")
        self._pause = float(message.pause)
        self._follow(message.term, sender, now)
        self._heard = now
        start = message.start
        if start > self.log.length:
            self._ready.after.append((sender, Appended(self.term, False, self.log.length)))
            return
        if start and self.log.term_at(start - 1) != message.prev_term:
            if start <= self.commit:
                raise Misbehaviour("a broker contradicts what was committed")
            self._ready.after.append((sender, Appended(self.term, False, self._before(start))))
            return
        place = start
        for term, raw in message.entries:
            if place < self.log.length:
                if self.log.term_at(place) == term:
                    place += 1
                    continue
                if place < self.commit:
                    raise Misbehaviour("a broker contradicts what was committed")
                self._cut(place)
            self._note(place, raw)
            self.log.append(term, raw)
            place += 1
        self.commit = max(self.commit, min(message.commit, place))
        self._silent = self._silent and place < max(message.commit, self._floor)
        if self.settled and not self._silent and self.me in self.brokers and place >= self._floor:
            self.welcome = frozenset()  # the log names everybody who has a say
        self._ready.after.append((sender, Appended(self.term, True, place)))

    def _before(self, start: int) -> int:
        """Where the run of terms that does not fit begins."""
        term, place = self.log.term_at(start - 1), start - 1
        while place > self.commit and self.log.term_at(place - 1) == term:
            place -= 1
        return place

    def _on_appended(self, sender: bytes, answer: Appended, now: float) -> None:
        if answer.term > self.term:
            self._follow(answer.term, b"", now)
            return
        peer = self._peers.get(sender)
        if self.role is not Role.LEADER or answer.term < self.term or peer is None:
            return
        peer.heard = now
        if answer.length > self.log.length:
            raise Misbehaviour("a broker claims entries that were never sent")
        if answer.fits:
            peer.under_way = max(0, peer.under_way - 1)
            peer.probing = False
            peer.match = max(peer.match, answer.length)
            peer.next = max(peer.next, peer.match)
            self._advance(now)
        else:
            # shorter than before: that broker lost its disk, or this is an old answer; either way
            # nothing may count that it is not known to have
            peer.match = min(peer.match, answer.length)
            peer.next, peer.under_way, peer.probing = answer.length, 0, True
            self._rouse(now)
        if self.role is Role.LEADER:
            self._send(sender, peer, now, beat=not answer.fits)

    def _advance(self, now: float) -> None:
        """Count what a majority has, and take up a change of brokers that got through."""
        reached = sorted({self._durable, *(peer.match for peer in self._peers.values())})
        for length in reversed(reached):
            if length <= self.commit or self.log.term_at(length - 1) != self.term:
                break
            have = {n for n, peer in self._peers.items() if peer.match >= length}
            if self._durable >= length:
                have.add(self.me)
            if self._enough(have):
                was_settled = self.settled
                self.commit = length
                for node_id, peer in list(self._peers.items()):
                    self._send(node_id, peer, now, beat=True)
                if not was_settled and self.settled:
                    self._meet(now)
                    if self.me not in self.brokers:
                        self._follow(self.term, b"", now)
                break

    # --- the log and the sets of brokers -----------------------------------------------------

    def _push(self, term: int, raw: bytes, now: float) -> None:
        self._note(self.log.length, raw)
        self.log.append(term, raw)
        self._meet(now)

    def _note(self, place: int, raw: bytes) -> None:
        members = self._members_of(raw) if place >= self._floor else None
        if members is not None:
            self._sets.append((place, members))

    def _cut(self, length: int) -> None:
        self.log.truncate(length)
        self._generation += 1
        self._durable = min(self._durable, length)
        while self._sets[-1][0] >= length:
            self._sets.pop()

    def _active(self) -> list[tuple[int, frozenset[bytes]]]:
        """The sets that must agree: the newest committed one and those behind it."""
        first = max(i for i, (place, _) in enumerate(self._sets) if place < self.commit or i == 0)
        return self._sets[first:]

    def _enough(self, have: set[bytes]) -> bool:
        return all(2 * len(have & members) > len(members) for _, members in self._active())

    def _meet(self, now: float) -> None:
        """Keep track of exactly the brokers that have a say."""
        if self.role is not Role.LEADER:
            return
        wanted = self.involved - {self.me}
        for node_id in wanted - self._peers.keys():
            self._peers[node_id] = Peer(next=self.log.length, heard=now)
        for node_id in self._peers.keys() - wanted:
            del self._peers[node_id]

    def _set_vote(self, term: int, voted: bytes) -> None:
        if (term, voted) != (self.term, self.voted):
            self.term, self.voted = term, voted
            self._vote_dirty = True

    def _last_term(self) -> int:
        return self.log.term_at(self.log.length - 1)

    def _wait(self, now: float) -> None:
        pause = 1.5 * self._pause if self.leader else 0.0
        self._deadline = now + pause + ELECTION * (1 + self._jitter())
