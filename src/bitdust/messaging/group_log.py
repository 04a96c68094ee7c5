"""A member's view of a group's stream: checks what brokers serve, and says what it means. Pure.

Brokers are not trusted. Every entry is linked to the one before it in the stream (the chain), to
the sender's own entry before (which makes one signature enough for all of a sender's entries in a
page), and holds what its sender had seen of the stream. So an entry that was dropped, exchanged or
moved, and a stream that is not the same for all, come to light; nothing of that kind is ever taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from bitdust.errors import BitdustError, FormatError, IntegrityError
from bitdust.messaging.group_keys import (
    Card,
    EpochKey,
    SenderKeys,
    Voucher,
    Wrap,
    check_card,
    is_signed,
    open_entry,
)
from bitdust.messaging.group_order import Ordered, order_in
from bitdust.messaging.group_wire import (
    MAX_CONTENT,
    MAX_EPOCHS,
    MAX_MEMBERS,
    WRAPS_PER_ENTRY,
    ZERO,
    Access,
    Broker,
    BrokerList,
    Bytes32,
    Entry,
    Genesis,
    Kind,
    Number,
    decode_entry,
    decode_struct,
    entry_hash,
    first_link,
    next_link,
)

LINKS: Final = 8192
"""Links of the chain kept to compare with what others say they saw."""
MAX_SENDERS: Final = 4 * MAX_MEMBERS


class Said(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A message: its id, its data as JSON, the sender's wall clock."""

    ident: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_CONTENT)]
    time: float


class Came(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """The sender joins; with a voucher, or as the creator or a member that was there before."""

    card: Card
    voucher: Voucher | None = None


class Went(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """The sender leaves."""


class Keys(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Some of the wraps of the next epoch's key, and who will not be in it."""

    epoch: Number
    ephemeral: Bytes32
    removed: Annotated[list[Bytes32], msgspec.Meta(max_length=MAX_MEMBERS)]
    wraps: Annotated[list[Wrap], msgspec.Meta(max_length=WRAPS_PER_ENTRY)]


class Moved(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """The open part names other brokers."""


class Content(msgspec.Struct, frozen=True, array_like=True):
    """What an entry holds: how much its sender had seen, the chain there, and the rest."""

    seen: Number
    link: Bytes32
    body: Said | Came | Went | Keys | Moved


_content = msgspec.msgpack.Decoder(Content)


@dataclass(slots=True)
class Member:
    """A sender in the stream.

    Args:
        sender: Ed25519 key.
        counter, last: the newest entry's counter and hash.
        node: node id, empty for somebody who never joined.
        idurl: address.
        wrap: X25519 key.
        state: ``active``, ``left``, ``removed`` or ``stranger``.
        epoch: in which it was removed.
    """

    sender: bytes
    counter: int = 0
    last: bytes = ZERO
    node: bytes = b""
    idurl: str = ""
    wrap: bytes = b""
    state: str = "stranger"
    epoch: int = 0


@dataclass(slots=True)
class State:
    """Where a reader stands; what it knows is the same for all who read as far.

    Args:
        position: entries taken.
        link: the chain's value behind them.
        epoch: the current one.
        keys: those of all epochs the member has.
        pending: the next epoch's key, once found.
        signature: the creator's, over the access key of the current epoch; empty in the first.
        brokers: the newest set in the stream.
        members: by sender key.
        fork: why nothing more is taken, empty while all is well.
        doubt: the sender whose word alone is against the stream, if that is why.
        out: whether this member was removed.
    """

    position: int
    link: bytes
    epoch: int
    keys: dict[int, bytes]
    brokers: list[Broker]
    pending: bytes = b""
    signature: bytes = b""
    members: dict[bytes, Member] = field(default_factory=dict)
    fork: str = ""
    out: bool = False
    doubt: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message to be shown."""

    place: int
    member: Member
    said: Said


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something else happened: ``joined``, ``left``, ``removed``, ``epoch``, ``brokers``,
    ``unreadable``."""

    place: int
    what: str
    member: Member | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a page.

    Args:
        events: in order.
        changed: members whose rows changed.
        ordered: a new order of the creator.
    """

    events: list[Heard | Noticed] = field(default_factory=list)
    ordered: Ordered | None = None
    changed: set[bytes] = field(default_factory=set)


def begin(genesis: Genesis, keys: dict[int, bytes]) -> State:
    """The state before any entry."""
    stream = genesis.stream
    return State(0, first_link(stream), 0, dict(keys), list(genesis.brokers))


class Reader:
    """Takes pages of one stream.

    Args:
        genesis: what it begins with.
        group: fingerprint of the group's key.
        mine: the own keys in the group.
        creator: node id of the group's creator.
        state: where it stands; changed in place.
        ordered: the creator's newest order that is known.
    """

    def __init__(
        self,
        genesis: Genesis,
        group: bytes,
        mine: SenderKeys,
        creator: bytes,
        state: State,
        ordered: Ordered | None = None,
    ) -> None:
        self.genesis = genesis
        self.stream = genesis.stream
        self.state = state
        self.ordered = ordered
        self.excused: set[bytes] = set()
        """Senders whose word against the stream was found to be wrong."""
        self._group = group
        self._mine = mine
        self._creator = creator
        self._epoch_keys: dict[int, EpochKey] = {}
        self._links = bytearray(state.link)
        self._links_from = state.position

    # --- views -------------------------------------------------------------------------------

    def epoch_key(self, epoch: int) -> EpochKey | None:
        """The key of an epoch, if this member has it."""
        key = self._epoch_keys.get(epoch)
        if key is None:
            secret = self.state.keys.get(epoch)
            if secret is None:
                return None
            key = self._epoch_keys[epoch] = EpochKey(secret)
        return key

    def link_at(self, length: int) -> bytes | None:
        """The chain's value behind the first ``length`` entries, if it is remembered."""
        at = (length - self._links_from) * 32
        return bytes(self._links[at : at + 32]) if 0 <= at < len(self._links) else None

    @property
    def me(self) -> Member:
        """The own row."""
        return self._member(self._mine.sender)

    def admitted(self) -> list[Member]:
        """Those who may take part: who is in the group, and who left and may come back."""
        return [m for m in self.state.members.values() if m.state in ("active", "left")]

    def active(self) -> list[Member]:
        """Those who are in the group now."""
        return [member for member in self.state.members.values() if member.state == "active"]

    # --- pages -------------------------------------------------------------------------------

    def take(self, start: int, raws: list[bytes], link: bytes) -> Outcome:
        """Take a page.

        Args:
            start: place of its first entry; entries that were taken before are compared only.
            raws: the entries.
            link: the chain's value behind them, as the broker says.

        Raises:
            FormatError: it does not join on to what was taken; nothing was changed.
            IntegrityError: the broker serves another stream than before, or one in which entries
                were dropped, exchanged or moved; nothing was changed, ``state.fork`` says why.
        """
        state = self.state
        if start > state.position:
            raise FormatError("a page of a group that begins too late")
        known = state.position - start
        if known >= len(raws):
            if self.disagrees(start + len(raws), link):
                raise self._fork("the broker serves another stream than before")
            return Outcome()
        # what was taken before is not looked at again: the chain shows whether it is the same
        raws = raws[known:]
        entries, links = self._check(raws, link)
        outcome = Outcome()
        for (entry, digest), value in zip(entries, links, strict=True):
            if entry is not None and not self._apply(entry, digest, outcome):
                break
            state.position += 1
            state.link = value
            self._note_link(value)
        return outcome

    def disagrees(self, length: int, link: bytes) -> bool:
        """Whether somebody saw another stream than this one."""
        mine = self.link_at(length)
        return bool(link) and mine is not None and mine != link

    def _check(
        self, raws: list[bytes], link: bytes
    ) -> tuple[list[tuple[Entry | None, bytes]], list[bytes]]:
        """Everything that can be checked without opening entries; changes nothing but ``fork``."""
        value, links = self.state.link, []
        entries: list[tuple[Entry | None, bytes]] = []
        newest: dict[bytes, tuple[int, bytes, Entry]] = {}
        ordered = self.ordered
        for place, raw in enumerate(raws, self.state.position):
            digest = entry_hash(raw)
            if ordered is not None and place == ordered.order.base:
                self._check_order(ordered, value, digest)
            value = next_link(value, digest)
            links.append(value)
            if not raw:
                entries.append((None, digest))
                continue
            try:
                entry = decode_entry(raw)
            except FormatError:
                raise self._fork("an entry that no honest broker takes") from None
            known = newest.get(entry.sender)
            if known is not None:
                counter, last = known[0], known[1]
            else:
                member = self.state.members.get(entry.sender)
                counter, last = (member.counter, member.last) if member else (0, ZERO)
            if entry.counter != counter + 1 or entry.before != last:
                raise self._fork("entries of one member are missing, repeated or in another order")
            newest[entry.sender] = (entry.counter, digest, entry)
            entries.append((entry, digest))
        if value != link:
            raise self._fork("the broker's chain does not fit the entries it serves")
        for _, _, entry in newest.values():
            if not is_signed(entry.sender, entry.signature, entry.message(self.stream)):
                raise self._fork("an entry was not signed by the one it names")
        if len(self.state.members.keys() | newest.keys()) > MAX_SENDERS:
            raise self._fork("more senders than a broker may let in")
        return entries, links

    def _check_order(self, ordered: Ordered, link: bytes, digest: bytes) -> None:
        if link != ordered.order.link or digest != ordered.digest:
            raise self._fork("the stream is not the one the creator ordered to go on with")

    def _fork(self, reason: str) -> IntegrityError:
        self.state.fork = reason
        return IntegrityError(reason)

    def _apply(self, entry: Entry, digest: bytes, outcome: Outcome) -> bool:
        """Take one entry whose place and signature are right; False when it shows a fork."""
        state, place = self.state, self.state.position
        if entry.epoch != state.epoch:
            state.fork = "an entry of another epoch than the stream's"
            return False
        member = self._member(entry.sender)
        content: Content | None = None
        key = self.epoch_key(entry.epoch)
        if key is not None:
            try:
                content = _content.decode(open_entry(entry, key, self.stream))
            except (IntegrityError, ValueError, RecursionError):
                content = None
        if content is not None:
            if content.seen > place:
                content = None  # nobody can have seen what comes after
            elif entry.sender not in self.excused and self.disagrees(content.seen, content.link):
                who = member.idurl or "a member"
                state.fork = f"{who} was served another stream than this one"
                state.doubt = entry.sender
                return False
        member.counter, member.last = entry.counter, digest
        outcome.changed.add(entry.sender)
        if entry.kind == Kind.EPOCH and not self._begin(entry, content, outcome):
            return False
        if entry.kind == Kind.ORDER and not self._obey(entry, digest, outcome):
            return False
        if entry.kind == Kind.BROKERS:
            self._move(entry, member, outcome)
        elif content is None:
            if entry.kind not in (Kind.EPOCH, Kind.ORDER):
                outcome.events.append(Noticed(place, "unreadable", member))
        else:
            self._understand(entry, content, member, outcome)
        return True

    def _understand(self, entry: Entry, content: Content, member: Member, outcome: Outcome) -> None:
        body, place = content.body, self.state.position
        match body:
            case Said() if entry.kind == Kind.MESSAGE and member.state == "active":
                outcome.events.append(Heard(place, member, body))
            case Came() if entry.kind == Kind.CONTROL:
                if self._came(body, member):
                    outcome.events.append(Noticed(place, "joined", member))
            case Went() if entry.kind == Kind.CONTROL and member.state == "active":
                member.state = "left"
                outcome.events.append(Noticed(place, "left", member))
            case Keys() if entry.kind == Kind.CONTROL and self._is_owner(member):
                self._find_key(body)
            case _:
                pass

    # --- control -----------------------------------------------------------------------------

    def _came(self, came: Came, member: Member) -> bool:
        card = came.card
        if card.sender != member.sender or check_card(card, self._group):
            return False
        node = card.node_id
        if not self._may_come(came, member, node):
            return False
        if member.state != "active" and len(self.active()) >= MAX_MEMBERS:
            return False
        member.node, member.idurl, member.wrap = node, card.idurl, card.wrap
        member.state = "active"
        return True

    def _may_come(self, came: Came, member: Member, node: bytes) -> bool:
        if self._is_owner(member):
            return node == self._creator
        if member.state in ("active", "left") and member.node == node:
            return True
        voucher = came.voucher
        if voucher is None or voucher.node != node or voucher.idurl != came.card.idurl:
            return False
        by = self.state.members.get(voucher.by)
        if by is None or by.state not in ("active", "left"):
            return False
        if any(
            other.node == node and other.sender != member.sender
            for other in self.state.members.values()
        ):
            return False
        if member.state == "removed" and voucher.epoch < member.epoch:
            return False
        return is_signed(voucher.by, voucher.signature, voucher.message(self.stream))

    def _find_key(self, keys: Keys) -> None:
        state = self.state
        if keys.epoch != state.epoch + 1:
            return
        for wrap in keys.wraps:
            if wrap.sender == self._mine.sender:
                try:
                    state.pending = self._mine.open(wrap, keys.ephemeral, self.stream, keys.epoch)
                except BitdustError:
                    state.pending = b""

    def _begin(self, entry: Entry, content: Content | None, outcome: Outcome) -> bool:
        """A new epoch."""
        state, place = self.state, self.state.position
        try:
            access = decode_struct(entry.open, Access)
        except FormatError:
            access = None
        if (
            access is None
            or entry.sender != self.genesis.owner
            or access.epoch != state.epoch + 1
            or access.epoch >= MAX_EPOCHS
            or not is_signed(self.genesis.owner, access.signature, access.message(self.stream))
        ):
            state.fork = "an epoch that the creator did not begin"
            return False
        removed: list[bytes] = []
        if content is not None and isinstance(content.body, Keys):
            self._find_key(content.body)
            removed = content.body.removed
        pending, state.pending = state.pending, b""
        state.epoch, state.signature = access.epoch, access.signature
        if pending and EpochKey(pending).access == access.access:
            state.keys[access.epoch] = pending
        known = state.keys.get(access.epoch)
        if known is None or EpochKey(known).access != access.access:
            state.keys.pop(access.epoch, None)
            state.out = True
        gone = set(removed)
        for member in state.members.values():
            if member.node in gone and member.sender != self.genesis.owner:
                member.state, member.epoch = "removed", access.epoch
                outcome.changed.add(member.sender)
                outcome.events.append(Noticed(place, "removed", member))
        outcome.events.append(Noticed(place, "epoch"))
        return True

    def _move(self, entry: Entry, member: Member, outcome: Outcome) -> None:
        brokers = brokers_in(entry)
        if self.ordered is not None and self.state.position < self.ordered.order.base:
            return  # that was before the order
        if brokers is not None:
            self.state.brokers = brokers
            outcome.events.append(Noticed(self.state.position, "brokers", member))

    def _obey(self, entry: Entry, digest: bytes, outcome: Outcome) -> bool:
        """The creator ordered to go on with other brokers, here."""
        state, order, known = self.state, order_in(entry), self.ordered
        if (
            order is None
            or entry.sender != self.genesis.owner
            or order.base != state.position
            or order.link != state.link
        ):
            state.fork = "an order that the creator did not give"
            return False
        if known is None or order.generation > known.order.generation:
            self.ordered = outcome.ordered = Ordered(order, entry.encode(), digest)
        elif digest != known.digest and order.base >= known.order.base:
            state.fork = "an order of the creator that was superseded"
            return False
        if self.ordered is not None and digest == self.ordered.digest:
            state.brokers = list(order.brokers)
            outcome.events.append(Noticed(state.position, "brokers", self._member(entry.sender)))
        return True

    # --- bookkeeping -------------------------------------------------------------------------

    def _is_owner(self, member: Member) -> bool:
        return member.sender == self.genesis.owner

    def _member(self, sender: bytes) -> Member:
        member = self.state.members.get(sender)
        if member is None:
            member = self.state.members[sender] = Member(sender)
        return member

    def _note_link(self, link: bytes) -> None:
        self._links += link
        if len(self._links) > 64 * LINKS:
            del self._links[: 32 * LINKS]
            self._links_from += LINKS


def brokers_in(entry: Entry) -> list[Broker] | None:
    """The set of brokers that an entry names, None if it names none."""
    if entry.kind != Kind.BROKERS:
        return None
    try:
        found: list[Broker] = msgspec.msgpack.decode(entry.open, type=BrokerList)
    except (ValueError, RecursionError):
        return None
    return found if len({broker.node for broker in found}) == len(found) else None
