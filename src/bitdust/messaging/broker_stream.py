"""One stream at a broker: its log, its rules, who reads it, and who waits for an entry."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bitdust.errors import FormatError
from bitdust.messaging.broker_core import BrokerCore, Ready, Role
from bitdust.messaging.broker_rules import Allowance, Epoch, Rules, decode_epochs, encode_epochs
from bitdust.messaging.broker_store import BrokerStore, Row, StreamLog
from bitdust.messaging.group_log import brokers_in
from bitdust.messaging.group_order import known_order
from bitdust.messaging.group_wire import (
    MAX_PAGE_BYTES,
    MAX_PAGE_ENTRIES,
    Attached,
    Broker,
    Genesis,
    Kind,
    Page,
    decode_entry,
    decode_struct,
    encode_entries,
    entry_hash,
)

RECENT: Final = 4096
"""Entries remembered by sender and number, for members that send one again."""
SPLIT_CACHE: Final = 8
"""Encoded pages kept for readers that stand at the same place."""


@dataclass(slots=True, eq=False)
class Attachment:
    """A member that showed its keys.

    Args:
        node: node id.
        sender: its key in the group.
        epoch: the newest epoch whose key it showed.
        push: whether entries are sent to it.
        cursor: entries it has.
        seen: when it came last, monotonic seconds.
        busy: whether something is on its way to it.
    """

    node: bytes
    sender: bytes
    epoch: int
    push: bool
    cursor: int
    seen: float
    busy: bool = False


def members_of(raw: bytes) -> frozenset[bytes] | None:
    """The node ids in an entry that changes the set of brokers."""
    found = _brokers(raw)
    return None if found is None else frozenset(broker.node for broker in found)


def _brokers(raw: bytes) -> list[Broker] | None:
    if len(raw) < 2 or raw[1] != Kind.BROKERS:  # kind is the first of the array's fields
        return None
    try:
        return brokers_in(decode_entry(raw))
    except FormatError:
        return None


class HostedStream:
    """One stream.

    Args:
        row: what the disk holds.
        store: where older entries are read.
        me: the broker's node id.
        quota: bytes of entries.
        now: monotonic seconds.
        jitter: gives numbers from 0 to 1.
        silent: an empty log may be one that was lost.
    """

    def __init__(
        self,
        row: Row,
        store: BrokerStore,
        me: bytes,
        quota: int,
        *,
        now: float,
        jitter: Callable[[], float],
        silent: bool = True,
    ) -> None:
        self.no = row.no
        self.stream = row.stream
        self.hired_by = row.hired_by
        self.used = row.used
        self.genesis = decode_struct(row.genesis, Genesis, 4096)
        self.rules = Rules(
            self.genesis,
            quota,
            marks=row.marks,
            epochs=decode_epochs(row.epochs),
            size=row.size - sum(len(raw) for _, raw, _ in row.tail),
        )
        for at, (_, raw, _) in enumerate(row.tail, row.length - len(row.tail)):
            self.rules.apply(at, raw)
        self.log = StreamLog(
            row,
            self.rules,
            lambda start, end: store.read_old(row.no, start, end),
            lambda raw: members_of(raw) is not None,
        )
        self.ordered = known_order(row.order, self.genesis)
        order = self.ordered.order if self.ordered is not None else None
        self._floor = 0 if order is None else order.base + 1
        first = list(self.genesis.brokers if order is None else order.brokers)
        self.retired = order is not None and me not in {broker.node for broker in first}
        self._sets: list[tuple[int, list[Broker]]] = [(-1, first)]
        changes = []
        for place, raw in row.changes:
            found = _brokers(raw) if place >= self._floor else None
            if found is not None:
                self._sets.append((place, found))
                changes.append((place, frozenset(broker.node for broker in found)))
        self.core = BrokerCore(
            me,
            self.log,
            members_of,
            frozenset(broker.node for broker in first),
            changes=changes,
            term=row.term if order is None else max(row.term, order.term),
            voted=row.voted,
            commit=row.committed,
            now=now,
            jitter=jitter,
            silent=silent and row.length == 0,
            welcome=frozenset(row.welcome),
            floor=self._floor,
        )
        self.known = {broker.node: broker.idurl for broker in first}
        self.attached: OrderedDict[bytes, Attachment] = OrderedDict()
        self.pending: list[Ready] = []
        self.marks_due: dict[bytes, tuple[int, bytes]] = {}
        self.epochs_due = False
        self.closed = False
        self.settled = row.committed
        self.on_disk = row.length
        self.committed_on_disk = row.committed
        self._waiting: deque[tuple[int, int, asyncio.Future[bool]]] = deque()
        self._recent: OrderedDict[tuple[bytes, int], tuple[int, bytes]] = OrderedDict()
        self._allowances: dict[bytes, Allowance] = {}
        self._pages: OrderedDict[tuple[int, int], tuple[Page, bytes]] = OrderedDict()

    # --- views -------------------------------------------------------------------------------

    @property
    def brokers(self) -> list[Broker]:
        """The newest set in the committed part of the log."""
        return next(found for place, found in reversed(self._sets) if place < self.settled)

    @property
    def leads(self) -> bool:
        """Whether this broker orders."""
        return self.core.role is Role.LEADER

    @property
    def generation(self) -> int:
        """Of the creator's newest order, 0 if there was none."""
        return 0 if self.ordered is None else self.ordered.order.generation

    def state(self, epoch: int, since: int = -1, generation: int = 0) -> Attached:
        """How the stream stands for a reader of that epoch, who knows orders so far."""
        order = b""
        if self.ordered is not None and generation < self.generation:
            order = self.ordered.raw
        if self.retired:
            return Attached(b"", self.brokers, 0, generation=self.generation, order=order)
        length = self.rules.readable(epoch, self.settled)
        link = self.log.link_at(since) if 0 <= since <= length else b""
        return Attached(
            self.core.leader, self.brokers, length, link, self.core.term, self.generation, order
        )

    def page(self, start: int, epoch: int) -> tuple[Page, bytes] | None:
        """Entries from ``start`` on that a reader of that epoch may have, None when none."""
        length = self.rules.readable(epoch, self.settled)
        if start >= length or self.retired:
            return None
        key = (start, length)
        found = self._pages.get(key)
        if found is None:
            most = min(MAX_PAGE_ENTRIES, length - start)
            raws = [raw for _, raw in self.log.read(start, most, MAX_PAGE_BYTES)]
            link = self.log.link_at(start + len(raws))
            found = Page(self.stream, start, length, link), encode_entries(raws)
            self._pages[key] = found
            while len(self._pages) > SPLIT_CACHE:
                self._pages.popitem(last=False)
        return found

    def beyond(self, start: int) -> tuple[Page, bytes] | None:
        """Entries from ``start`` on, committed or not; None when there are none."""
        if self.retired or not self.settled <= start < self.log.length:
            return None
        raws = [raw for _, raw in self.log.read(start, MAX_PAGE_ENTRIES, MAX_PAGE_BYTES)]
        end = start + len(raws)
        return Page(self.stream, start, end, self.log.link_at(end)), encode_entries(raws)

    # --- entries of members ------------------------------------------------------------------

    def offer(self, raw: bytes, sender: bytes, now: float) -> tuple[int, str]:
        """Let an entry in as the leader.

        Returns:
            Its place, or -1 and why it was not taken.
        """
        allowance = self._allowances.get(sender)
        if allowance is None:
            allowance = self._allowances[sender] = Allowance(now)
        if not allowance.take(len(raw), now):
            return -1, "rate"
        reason = self.rules.refusal(raw, sender)
        if reason == "counter":
            entry = decode_entry(raw)
            known = self._recent.get((sender, entry.counter))
            if known is not None and known[1] == entry_hash(raw) and known[0] < self.log.length:
                return known[0], ""
        if reason:
            return -1, reason
        members = members_of(raw)
        if members is not None and not self.core.may_become(members):
            return -1, "brokers"
        place = self.core.propose(raw, now)
        entry = decode_entry(raw)
        self._recent[sender, entry.counter] = (place, entry_hash(raw))
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return place, ""

    def wait(self, place: int) -> asyncio.Future[bool]:
        """Tells whether the entry at that place, appended in this term, was committed."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if place < self.settled:
            future.set_result(True)
        else:
            self._waiting.append((place, self.core.term, future))
        return future

    # --- what the core did -------------------------------------------------------------------

    def settle(self) -> bool:
        """Take note of what was committed and of a lost lead; True when there is more to read."""
        core = self.core
        grown = core.commit > self.settled
        if grown:
            for at, (_, raw) in enumerate(
                self.log.read(self.settled, core.commit - self.settled, 1 << 62), self.settled
            ):
                self._note(at, raw)
            self.settled = core.commit
            self.rules.commit(core.commit)
        leads = self.leads
        keep: deque[tuple[int, int, asyncio.Future[bool]]] = deque()
        for place, term, future in self._waiting:
            if future.done():
                continue
            if leads and term == core.term:
                if place < core.commit:
                    future.set_result(True)
                else:
                    keep.append((place, term, future))
            else:
                future.set_result(False)
        self._waiting = keep
        if not leads:
            self._recent.clear()
        return grown

    def _note(self, place: int, raw: bytes) -> None:
        if not raw:
            return
        try:
            entry = decode_entry(raw)
        except FormatError:
            return
        self.marks_due[entry.sender] = (entry.counter, entry_hash(raw))
        self.epochs_due = self.epochs_due or entry.kind == Kind.EPOCH
        found = brokers_in(entry) if place >= self._floor else None
        if found is not None:
            self._sets.append((place, found))
            self.known.update((broker.node, broker.idurl) for broker in found)

    def epochs_settled(self) -> bytes:
        """The epochs in the committed part, for the disk."""
        kept = []
        for epoch in self.rules.epochs:
            if epoch.end is None or epoch.end > self.settled:
                kept.append(Epoch(epoch.number, epoch.access))
                break
            kept.append(epoch)
        return encode_epochs(kept)

    @property
    def due(self) -> float:
        """When the core wants to be called, monotonic seconds."""
        return math.inf if self.retired else self.core.deadline

    def close(self) -> None:
        """Nobody needs to wait any more."""
        self.closed = True
        for _, _, future in self._waiting:
            if not future.done():
                future.set_result(False)
        self._waiting.clear()
