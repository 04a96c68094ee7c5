"""What members of a group and its brokers say to each other: entries, requests, bounds. Pure.

An entry is made and signed by a member; brokers give it a place in the stream and see who made it
(a pseudonym), its size and its time, nothing else. The format is docs/spec/groups.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeVar

import msgspec
from blake3 import blake3

from bitdust.errors import FormatError
from bitdust.messaging.broker_talk import MAX_BROKERS, MAX_ENTRY, Message

T = TypeVar("T")

HIRE: Final = "group.hire"
ATTACH: Final = "group.attach"
APPEND: Final = "group.append"
READ: Final = "group.read"
PUSH: Final = "group.push"
TALK: Final = "group.talk"
OBJECT: Final = "group.object"
REFORM: Final = "group.reform"
RECALL: Final = "group.recall"

MAX_MEMBERS: Final = 1000
MAX_EPOCHS: Final = 1024
MAX_CONTROL: Final = 60 * 1024
"""Bytes of the content of an entry that is no message."""
MAX_CONTENT: Final = MAX_ENTRY - 4096
"""Bytes of any entry's content before encryption; 64 KiB of data fit, escaped as they may be."""
MAX_PAGE_ENTRIES: Final = 4096
MAX_PAGE_BYTES: Final = 1 << 20
MAX_PAGE_BODY: Final = MAX_PAGE_BYTES + MAX_ENTRY + 64 * 1024
MAX_RESCUE: Final = 8 << 20
"""Bytes of the newest entries that members keep for brokers who lost them."""
MAX_RESCUED: Final = 1 << 17
"""Entries of them."""
MAX_APPENDS: Final = 256
"""Entries in one request to append."""
MAX_TALK: Final = 8 << 20
MAX_TALKED: Final = 2048
"""Messages of brokers to each other in one request."""
MAX_IDURL: Final = 512
WRAPS_PER_ENTRY: Final = 400
KEY_SIZE: Final = 32

_ENTRY_DOMAIN: Final = b"bitdust group entry v1\x00"
_GENESIS_DOMAIN: Final = b"bitdust group genesis v1\x00"
_CHAIN_DOMAIN: Final = b"bitdust group chain v1\x00"
_ATTACH_DOMAIN: Final = b"bitdust group attach v1\x00"
_HIRE_DOMAIN: Final = b"bitdust group hire v1\x00"
_ACCESS_DOMAIN: Final = b"bitdust group access v1\x00"

Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(max_length=64)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Idurl = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDURL)]
EncodedOrder = Annotated[bytes, msgspec.Meta(max_length=8192)]
ZERO: Final = bytes(32)


class Kind(IntEnum):
    """What an entry is."""

    TURN = 0
    """Made by a broker that began to lead; holds nothing."""
    MESSAGE = 1
    CONTROL = 2
    """Somebody joined or left, or keys of a new epoch."""
    EPOCH = 3
    """The new epoch begins; its access key can be read by brokers."""
    BROKERS = 4
    """Another set of brokers, which brokers can read."""
    ORDER = 5
    """The creator's order to go on with other brokers; see ``group_order``."""


class Broker(msgspec.Struct, frozen=True, array_like=True):
    """One broker: node id and first address."""

    node: Bytes32
    idurl: Idurl


BrokerList = Annotated[list[Broker], msgspec.Meta(min_length=1, max_length=MAX_BROKERS)]


class Genesis(msgspec.Struct, frozen=True, array_like=True):
    """What a stream begins with; its hash is the stream's id, so nothing in it can be changed.

    Args:
        nonce: makes it unique.
        owner: Ed25519 key of the creator in this group: it alone begins epochs.
        access: Ed25519 key that derives from the first epoch's key.
        brokers: the first set.
    """

    nonce: Bytes32
    owner: Bytes32
    access: Bytes32
    brokers: BrokerList

    def encode(self) -> bytes:
        """As msgpack."""
        return msgspec.msgpack.encode(self)

    @property
    def stream(self) -> bytes:
        """The stream's id, 32 bytes."""
        return blake3(_GENESIS_DOMAIN + self.encode()).digest()


class Access(msgspec.Struct, frozen=True, array_like=True):
    """The open part of an entry that begins an epoch.

    Args:
        epoch: its number.
        access: Ed25519 key that derives from its key.
        signature: the creator's, by ``Genesis.owner``.
    """

    epoch: Number
    access: Bytes32
    signature: Signature

    def message(self, stream: bytes) -> bytes:
        """What is signed."""
        return _ACCESS_DOMAIN + msgspec.msgpack.encode((stream, self.epoch, self.access))


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a stream.

    Args:
        kind: see ``Kind``.
        epoch: under whose key the content is encrypted.
        sender: the member's Ed25519 key in this group.
        counter: 1 for the sender's first entry, then one more each.
        before: hash of the sender's entry before, zeros at first.
        open: what brokers must read.
        content: nonce and AES-256-GCM text.
        signature: the sender's.
    """

    kind: Annotated[int, msgspec.Meta(ge=0, le=5)]
    epoch: Number
    sender: Annotated[bytes, msgspec.Meta(max_length=32)]
    counter: Number
    before: Annotated[bytes, msgspec.Meta(max_length=32)]
    open: Annotated[bytes, msgspec.Meta(max_length=4096)]
    content: Annotated[bytes, msgspec.Meta(max_length=MAX_ENTRY)]
    signature: Signature

    def head(self) -> bytes:
        """What the encryption of the content is bound to."""
        return msgspec.msgpack.encode(
            (self.kind, self.epoch, self.sender, self.counter, self.before, self.open)
        )

    def message(self, stream: bytes) -> bytes:
        """What is signed."""
        return b"".join((_ENTRY_DOMAIN, stream, self.head(), self.content))

    def encode(self) -> bytes:
        """As msgpack."""
        return msgspec.msgpack.encode(self)


_entry_decoder = msgspec.msgpack.Decoder(Entry)


def decode_entry(raw: bytes) -> Entry:
    """Read an entry; its signature is not checked here.

    Raises:
        FormatError: not an entry.
    """
    if len(raw) > MAX_ENTRY:
        raise FormatError("an entry of a group is too large")
    try:
        entry = _entry_decoder.decode(raw)
    except (ValueError, RecursionError) as exc:
        raise FormatError("not an entry of a group") from exc
    if entry.encode() != raw:
        raise FormatError("an entry of a group in another form than the canonical one")
    return entry


def entry_hash(raw: bytes) -> bytes:
    """The hash of an entry as its sender's next one names it."""
    return blake3(raw).digest()


def first_link(stream: bytes) -> bytes:
    """The chain's value before any entry."""
    return blake3(_CHAIN_DOMAIN + stream).digest()


def next_link(link: bytes, digest: bytes) -> bytes:
    """The chain's value behind an entry of that hash."""
    return blake3(link + digest).digest()


# --- what brokers are asked -------------------------------------------------------------------


class Hire(msgspec.Struct, frozen=True):
    """Arguments of ``group.hire``: a stream to keep.

    Args:
        genesis: encoded.
        epoch, access: the current epoch and its access key; after the first one with the
            creator's ``signature`` as in ``Access``.
        brokers: the set of now, the one asked among them.
        fresh: the stream is only just made or ordered anew, and no broker of this set has ever
            forgotten anything.
        order: the creator's newest order, if there was any.
        proof: by the access key over all of it and who asks.
    """

    genesis: Annotated[bytes, msgspec.Meta(max_length=4096)]
    epoch: Number
    access: Bytes32
    signature: Signature
    brokers: BrokerList
    fresh: bool
    order: EncodedOrder = b""
    proof: Signature = b""

    def message(self, asks: bytes, asked: bytes) -> bytes:
        """What the proof signs."""
        terms = (self.genesis, self.epoch, self.access, self.signature, self.brokers, self.fresh)
        rest = (*terms, self.order, asks, asked)
        return _HIRE_DOMAIN + msgspec.msgpack.encode(rest)


class Attach(msgspec.Struct, frozen=True):
    """Arguments of ``group.attach``: a member shows that it may read and write.

    Args:
        stream: its id.
        epoch: the newest whose key the member has.
        sender: the member's key in the group.
        since: entries the member has.
        push: whether new entries shall be sent by themselves.
        generation: of the newest order of the creator that the member knows.
        time: the member's wall clock, seconds.
        proof: by the epoch's access key.
        sent: by the sender's key over the same.
    """

    stream: Bytes32
    epoch: Number
    sender: Bytes32
    since: Number
    push: bool
    time: Number
    proof: Signature = b""
    sent: Signature = b""
    generation: Number = 0

    def message(self, asks: bytes, asked: bytes) -> bytes:
        """What both signatures sign; names both nodes, so nobody else can use it."""
        rest = (self.stream, self.epoch, self.sender, self.time, asks, asked)
        return _ATTACH_DOMAIN + msgspec.msgpack.encode(rest)


class Attached(msgspec.Struct, frozen=True):
    """Answer to ``group.attach``, ``group.hire`` and refusals to append: how the stream stands.

    Args:
        leader: node id of the broker that orders, empty when none is known.
        brokers: the set of now.
        length: committed entries that the asking member may read.
        link: the chain's value behind the ``since`` entries the member named, empty when the
            broker has fewer.
        term: of the leader.
        generation: of the creator's newest order that the broker follows.
        order: that order, if the one who asks does not know it.
    """

    leader: Annotated[bytes, msgspec.Meta(max_length=32)]
    brokers: BrokerList
    length: Number
    link: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    term: Number = 0
    generation: Number = 0
    order: EncodedOrder = b""


class Append(msgspec.Struct, frozen=True):
    """Arguments of ``group.append``; the body is the encoded list of entries."""

    stream: Bytes32


class Taken(msgspec.Struct, frozen=True):
    """Answer to ``group.append``: places of the first entries, all committed; then the reason why
    the others were not taken, if any."""

    places: Annotated[list[Number], msgspec.Meta(max_length=MAX_APPENDS)]
    reason: Annotated[str, msgspec.Meta(max_length=32)] = ""
    state: Attached | None = None


class Object(msgspec.Struct, frozen=True):
    """Arguments of ``group.object``: a member cannot go on with the broker that leads.

    Args:
        stream: its id.
        leader: node id of the broker.
        lies: it does not tell the truth, so another one shall lead; else it is only not reached.
    """

    stream: Bytes32
    leader: Bytes32
    lies: bool


class Reform(msgspec.Struct, frozen=True):
    """Arguments of ``group.reform``: the creator's order.

    The body are entries from ``start`` on, as far as the broker lacks what stands before the order.
    """

    stream: Bytes32
    order: EncodedOrder
    start: Number = 0


class Read(msgspec.Struct, frozen=True):
    """Arguments of ``group.read`` and ``group.recall``: entries from ``start`` on.

    To the creator alone ``beyond`` gives entries, too, of which is not known whether they are
    committed.
    """

    stream: Bytes32
    start: Number
    beyond: bool = False


class Page(msgspec.Struct, frozen=True):
    """Answer to ``group.read`` and arguments of ``group.push``; the body is the list of entries.

    Args:
        stream: its id.
        start: place of the first.
        length: committed entries.
        link: the chain's value behind the last of these entries.
    """

    stream: Bytes32
    start: Number
    length: Number
    link: Bytes32


class Pushed(msgspec.Struct, frozen=True):
    """Answer to ``group.push``: entries that the member has, and whether it wants more."""

    since: Number
    more: bool = True


class Talk(msgspec.Struct, frozen=True, array_like=True):
    """One message between brokers, of one stream."""

    stream: Bytes32
    message: Message


_entries_encoder = msgspec.msgpack.Encoder()
_entries_decoder = msgspec.msgpack.Decoder(
    Annotated[list[Annotated[bytes, msgspec.Meta(max_length=MAX_ENTRY)]], msgspec.Meta(
        max_length=MAX_PAGE_ENTRIES)]
)  # fmt: skip
_rescue_decoder = msgspec.msgpack.Decoder(
    Annotated[list[Annotated[bytes, msgspec.Meta(max_length=MAX_ENTRY)]], msgspec.Meta(
        max_length=MAX_RESCUED)]
)  # fmt: skip
_talk_decoder = msgspec.msgpack.Decoder(Annotated[list[Talk], msgspec.Meta(max_length=MAX_TALKED)])


def encode_entries(entries: list[bytes]) -> bytes:
    """The body of a page."""
    return _entries_encoder.encode(entries)


def decode_entries(raw: bytes) -> list[bytes]:
    """The reverse.

    Raises:
        FormatError: no list of entries, or too many.
    """
    try:
        found: list[bytes] = _entries_decoder.decode(raw)
    except (ValueError, RecursionError) as exc:
        raise FormatError("not a page of a group") from exc
    return found


def decode_rescue(raw: bytes) -> list[bytes]:
    """The entries that come with an order; there may be more of them than in a page.

    Raises:
        FormatError: no list of entries, or too many.
    """
    try:
        found: list[bytes] = _rescue_decoder.decode(raw or b"\x90")
    except (ValueError, RecursionError) as exc:
        raise FormatError("not the end of a group's stream") from exc
    return found


def decode_talk(raw: bytes) -> list[Talk]:
    """What another broker says.

    Raises:
        FormatError: no list of messages, or too many.
    """
    try:
        found: list[Talk] = _talk_decoder.decode(raw)
    except (ValueError, RecursionError) as exc:
        raise FormatError("not a message of a broker") from exc
    return found


def decode_struct(raw: bytes, kind: type[T], limit: int = MAX_CONTROL) -> T:
    """Read msgpack of a known form.

    Raises:
        FormatError: too long, or not of that form.
    """
    if len(raw) > limit:
        raise FormatError(f"{kind.__name__} of {len(raw)} bytes")
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"not a {kind.__name__}") from exc
