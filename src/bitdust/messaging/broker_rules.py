"""What a broker lets into a stream, and who may read how far. Pure.

A broker cannot open entries. It knows the access key of the current epoch, and lets in what
somebody who has that epoch's key signed, in the order in which each sender counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from bitdust.errors import FormatError
from bitdust.messaging.group_keys import is_signed
from bitdust.messaging.group_log import MAX_SENDERS, brokers_in
from bitdust.messaging.group_wire import (
    MAX_EPOCHS,
    MAX_MEMBERS,
    ZERO,
    Access,
    Attach,
    Entry,
    Genesis,
    Hire,
    Kind,
    decode_entry,
    decode_struct,
    entry_hash,
)

RATE: Final = 2000.0
"""Entries a second from one member."""
BURST: Final = 8000.0
BYTES_RATE: Final = float(8 << 20)
BYTES_BURST: Final = float(64 << 20)


@dataclass(slots=True)
class Epoch:
    """An epoch as a broker knows it: number, access key, and where the next one begins."""

    number: int
    access: bytes
    end: int | None = None


@dataclass(slots=True)
class _Undo:
    place: int
    sender: bytes
    mark: tuple[int, bytes] | None
    size: int
    epoch: bool


class Allowance:
    """What one member may still send now.

    Args:
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_bytes", "_entries")

    def __init__(self, now: float) -> None:
        self._at = now
        self._entries = BURST
        self._bytes = BYTES_BURST

    def take(self, size: int, now: float) -> bool:
        """Use up one entry of that size; False when it is too much."""
        passed = max(0.0, now - self._at)
        self._at = now
        self._entries = min(BURST, self._entries + passed * RATE)
        self._bytes = min(BYTES_BURST, self._bytes + passed * BYTES_RATE)
        if self._entries < 1 or self._bytes < size:
            return False
        self._entries -= 1
        self._bytes -= size
        return True


@dataclass(slots=True)
class Rules:
    """The state of a stream that decides what is let in.

    Args:
        genesis: what it begins with.
        quota: bytes of all entries.
        marks: counter and hash of each sender's newest entry.
        epochs: all epochs so far.
        size: bytes of the entries.
    """

    genesis: Genesis
    quota: int
    marks: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    size: int = 0
    _undo: list[_Undo] = field(default_factory=list)
    _stream: bytes = b""

    def __post_init__(self) -> None:
        self._stream = self.genesis.stream
        if not self.epochs:
            self.epochs = [Epoch(0, self.genesis.access)]

    @property
    def epoch(self) -> Epoch:
        """The current one."""
        return self.epochs[-1]

    # --- who may do what ---------------------------------------------------------------------

    def may_attach(self, ask: Attach, asks: bytes, asked: bytes) -> bool:
        """Whether somebody has the key of the epoch named, and the sender's."""
        epoch = self._epoch(ask.epoch)
        if epoch is None:
            return False
        message = ask.message(asks, asked)
        return is_signed(epoch.access, ask.proof, message) and is_signed(
            ask.sender, ask.sent, message
        )

    def readable(self, epoch: int, length: int) -> int:
        """How many of ``length`` entries may be read with the key of an epoch: those up to the
        beginning of the next one, which holds the wraps of its key."""
        known = self._epoch(epoch)
        if known is None:
            return 0
        return length if known.end is None else min(length, known.end)

    def refusal(self, raw: bytes, sender: bytes) -> str:
        """Why an entry is not let in; empty when it is."""
        try:
            entry = decode_entry(raw)
        except FormatError:
            return "format"
        if entry.sender != sender or entry.kind == Kind.TURN:
            return "sender"
        if entry.epoch != self.epoch.number:
            return "epoch"
        mark = self.marks.get(sender)
        counter, last = mark or (0, ZERO)
        if entry.counter != counter + 1 or entry.before != last:
            return "counter"
        if mark is None and len(self.marks) >= MAX_SENDERS - MAX_MEMBERS:
            return "full"
        if self.size + len(raw) > self.quota and entry.kind == Kind.MESSAGE:
            return "quota"
        if entry.kind == Kind.EPOCH and not self._may_begin(entry):
            return "owner"
        if entry.kind == Kind.ORDER:  # comes another way: ``group.reform``
            return "owner"
        if entry.kind == Kind.BROKERS and brokers_in(entry) is None:
            return "brokers"
        if not is_signed(sender, entry.signature, entry.message(self._stream)):
            return "signature"
        return ""

    def _may_begin(self, entry: Entry) -> bool:
        try:
            access = decode_struct(entry.open, Access)
        except FormatError:
            return False
        return (
            entry.sender == self.genesis.owner
            and access.epoch == self.epoch.number + 1 < MAX_EPOCHS
            and is_signed(self.genesis.owner, access.signature, access.message(self._stream))
        )

    def _epoch(self, number: int) -> Epoch | None:
        return self.epochs[number] if 0 <= number < len(self.epochs) else None

    # --- what is in --------------------------------------------------------------------------

    def apply(self, place: int, raw: bytes) -> None:
        """Take note of an entry of the log; what cannot be read changes nothing."""
        sender, mark, epoch = b"", None, False
        self.size += len(raw)
        if raw:
            try:
                entry = decode_entry(raw)
            except FormatError:
                entry = None
            if entry is not None:
                sender, mark = entry.sender, self.marks.get(entry.sender)
                self.marks[sender] = (entry.counter, entry_hash(raw))
                if entry.kind == Kind.EPOCH:
                    epoch = self._begin(place, entry)
        self._undo.append(_Undo(place, sender, mark, len(raw), epoch))

    def _begin(self, place: int, entry: Entry) -> bool:
        if not self._may_begin(entry):
            return False
        access = decode_struct(entry.open, Access)
        self.epoch.end = place + 1
        self.epochs.append(Epoch(access.epoch, access.access))
        return True

    def truncate(self, length: int) -> None:
        """Entries from ``length`` on were never there."""
        while self._undo and self._undo[-1].place >= length:
            undo = self._undo.pop()
            self.size -= undo.size
            if undo.epoch:
                self.epochs.pop()
                self.epoch.end = None
            if undo.sender:
                if undo.mark is None:
                    self.marks.pop(undo.sender, None)
                else:
                    self.marks[undo.sender] = undo.mark

    def commit(self, length: int) -> None:
        """Entries before ``length`` stay for ever."""
        kept = 0
        while kept < len(self._undo) and self._undo[kept].place < length:
            kept += 1
        del self._undo[:kept]


def may_hire(hire: Hire, asks: bytes, asked: bytes) -> Genesis | None:
    """The stream that somebody may have kept here; None when it was not proven.

    The one who asks must hold the key of the epoch named. An epoch after the first must have been
    begun by the creator.
    """
    try:
        genesis = decode_struct(hire.genesis, Genesis, 4096)
    except FormatError:
        return None
    if genesis.encode() != hire.genesis or asked not in {b.node for b in hire.brokers}:
        return None
    if hire.epoch == 0:
        proper = hire.access == genesis.access
    else:
        access = Access(hire.epoch, hire.access, hire.signature)
        proper = is_signed(genesis.owner, hire.signature, access.message(genesis.stream))
    if not proper or not is_signed(hire.access, hire.proof, hire.message(asks, asked)):
        return None
    return genesis


def encode_epochs(epochs: list[Epoch]) -> bytes:
    """For the disk."""
    return msgspec.msgpack.encode([(e.number, e.access, e.end) for e in epochs])


def decode_epochs(raw: bytes) -> list[Epoch]:
    """The reverse."""
    rows = msgspec.msgpack.decode(raw, type=list[tuple[int, bytes, int | None]])
    return [Epoch(*row) for row in rows]
