"""Whatever a broker makes of a stream, a member takes only what each sender said, in its order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.clock import SystemRandom
from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError
from bitdust.messaging.broker_rules import Rules
from bitdust.messaging.group_keys import EpochKey, SenderKeys, make_entry, seal_epoch, vouch
from bitdust.messaging.group_log import Came, Content, Heard, Keys, Noticed, Reader, Said, begin
from bitdust.messaging.group_wire import (
    WRAPS_PER_ENTRY,
    ZERO,
    Access,
    Broker,
    Genesis,
    Kind,
    decode_entries,
    decode_entry,
    decode_talk,
    entry_hash,
    first_link,
    next_link,
)

GROUP = bytes(range(32))
RANDOM = SystemRandom()
SECRET = bytes([7]) * 32


@cache
def identities() -> tuple[PrivateKey, ...]:
    return tuple(PrivateKey.generate(1024) for _ in range(3))


@dataclass
class Stream:
    """An honest stream, and the members that write it."""

    keys: list[SenderKeys] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    said: dict[bytes, list[str]] = field(default_factory=dict)
    marks: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    epoch: int = 0
    key: EpochKey = field(default_factory=lambda: EpochKey(SECRET))

    def __post_init__(self) -> None:
        self.keys = [SenderKeys(identity, GROUP) for identity in identities()]
        self.genesis = Genesis(
            bytes(32), self.keys[0].sender, self.key.access, [Broker(bytes(32), "http://b/b.xml")]
        )
        self.stream = self.genesis.stream
        for who, (identity, keys) in enumerate(zip(identities(), self.keys, strict=True)):
            idurl = f"http://id.example/member-{who}.xml"
            card = keys.card(identity, idurl, GROUP)
            voucher = vouch(self.keys[0], self.stream, 0, card.node_id, idurl) if who else None
            self.add(who, Kind.CONTROL, Came(card, voucher))

    def link(self, length: int) -> bytes:
        link = first_link(self.stream)
        for raw in self.raws[:length]:
            link = next_link(link, entry_hash(raw))
        return link

    def add(self, who: int, kind: Kind, body: Any, opened: bytes = b"") -> None:
        keys = self.keys[who]
        counter, before = self.marks.get(keys.sender, (0, ZERO))
        content = Content(len(self.raws), self.link(len(self.raws)), body)
        raw = make_entry(
            kind,
            self.epoch,
            self.key,
            keys,
            stream=self.stream,
            counter=counter + 1,
            before=before,
            plain=msgspec.msgpack.encode(content),
            random=RANDOM,
            opened=opened,
        )
        self.marks[keys.sender] = (counter + 1, entry_hash(raw))
        self.raws.append(raw)

    def say(self, who: int, text: str) -> None:
        self.add(who, Kind.MESSAGE, Said(text, b"{}", 0.0))
        self.said.setdefault(self.keys[who].sender, []).append(text)

    def reader(self, who: int = 1) -> Reader:
        state = begin(self.genesis, {0: SECRET})
        node = identities()[0].public.fingerprint
        return Reader(self.genesis, GROUP, self.keys[who], node, state)


def served(stream: Stream, start: int, raws: list[bytes]) -> bytes:
    """The chain's value that fits whatever a broker serves from ``start`` on."""
    link = stream.link(start)
    for raw in raws:
        link = next_link(link, entry_hash(raw))
    return link


@st.composite
def tampered(draw: st.DrawFn) -> tuple[Stream, list[bytes]]:
    stream = Stream()
    for number, who in enumerate(draw(st.lists(st.integers(0, 2), min_size=3, max_size=12))):
        stream.say(who, f"{who}-{number}")
    raws = list(stream.raws)
    for _ in range(draw(st.integers(1, 3))):
        if not raws:
            break
        at = draw(st.integers(0, len(raws) - 1))
        what = draw(st.sampled_from(["drop", "swap", "repeat", "flip", "junk", "cut"]))
        other = draw(st.integers(0, len(raws) - 1))
        if what == "drop":
            del raws[at]
        elif what == "swap":
            raws[at], raws[other] = raws[other], raws[at]
        elif what == "repeat":
            raws.insert(other, raws[at])
        elif what == "junk":
            raws.insert(at, draw(st.binary(max_size=60)))
        elif what == "cut":
            del raws[at:]
        else:
            spot = draw(st.integers(0, len(raws[at]) - 1))
            raw = bytearray(raws[at])
            raw[spot] ^= draw(st.integers(1, 255))
            raws[at] = bytes(raw)
    return stream, raws


@settings(max_examples=80, deadline=None)
@given(tampered(), st.integers(1, 5))
def test_only_what_was_said_in_the_order_of_each_sender(
    given_: tuple[Stream, list[bytes]], size: int
) -> None:
    stream, raws = given_
    reader = stream.reader()
    heard: dict[bytes, list[str]] = {}
    link = first_link(stream.stream)
    for at in range(0, len(raws), size):
        page = raws[at : at + size]
        for raw in page:
            link = next_link(link, entry_hash(raw))
        before = reader.state.position
        try:
            outcome = reader.take(at, page, link)
        except (IntegrityError, FormatError):
            assert reader.state.position == before
            break
        for event in outcome.events:
            if isinstance(event, Heard):
                heard.setdefault(event.member.sender, []).append(event.said.ident)
        if reader.state.fork:
            break
    for sender, texts in heard.items():
        assert stream.said[sender][: len(texts)] == texts


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=20), st.integers(1, 7), st.integers(0, 6))
def test_an_honest_stream_is_taken_in_any_pages(who: list[int], size: int, again: int) -> None:
    stream = Stream()
    for number, one in enumerate(who):
        stream.say(one, f"{one}-{number}")
    reader, rules = stream.reader(), Rules(stream.genesis, 1 << 30)
    heard = []
    for place, raw in enumerate(stream.raws):
        assert rules.refusal(raw, decode_entry(raw).sender) == ""
        rules.apply(place, raw)
        assert rules.refusal(raw, decode_entry(raw).sender) == "counter"
    for at in range(0, len(stream.raws), size):
        start = max(0, at - again)
        page = stream.raws[start : at + size]
        outcome = reader.take(start, page, stream.link(start + len(page)))
        heard += [e.said.ident for e in outcome.events if isinstance(e, Heard)]
        assert not reader.state.fork
    assert heard == [f"{one}-{number}" for number, one in enumerate(who)]
    assert len(reader.active()) == 3


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_foreign_bytes_raise_only_what_is_documented(raw: bytes) -> None:
    for read in (decode_entry, decode_entries, decode_talk):
        with contextlib.suppress(FormatError):
            read(raw)
    reader = Stream().reader()
    with pytest.raises(IntegrityError):
        reader.take(0, [raw or b"\x00"], bytes(32))


def test_a_thousand_members_get_the_key_of_a_new_epoch() -> None:
    """Some entries hold all wraps; each of those who remain finds its own."""
    stream = Stream()
    owner, mine = stream.keys[0], stream.keys[1]
    members = {bytes([n % 256, n // 256]) * 16: mine.wrap for n in range(998)}
    members |= {owner.sender: owner.wrap, mine.sender: mine.wrap}
    secret = bytes([9]) * 32
    ephemeral, wraps = seal_epoch(secret, members, stream.stream, 1, RANDOM)
    assert len(wraps) == 1000
    removed = [identities()[2].public.fingerprint]
    parts = [wraps[at : at + WRAPS_PER_ENTRY] for at in range(0, 1000, WRAPS_PER_ENTRY)]
    for part in parts[:-1]:
        stream.add(0, Kind.CONTROL, Keys(1, ephemeral, [], part))
    access = Access(1, EpochKey(secret).access, b"")
    access = msgspec.structs.replace(access, signature=owner.sign(access.message(stream.stream)))
    stream.add(
        0, Kind.EPOCH, Keys(1, ephemeral, removed, parts[-1]), msgspec.msgpack.encode(access)
    )
    page, link = stream.raws, stream.link(len(stream.raws))
    for who, is_in in ((0, True), (1, True), (2, False)):
        reader = stream.reader(who)
        outcome = reader.take(0, page, link)
        assert reader.state.epoch == 1
        assert (reader.state.keys.get(1) == secret) is is_in
        assert reader.state.out is not is_in
        assert "removed" in [e.what for e in outcome.events if isinstance(e, Noticed)]
    rules = Rules(stream.genesis, 1 << 30)
    for place, raw in enumerate(stream.raws):
        assert rules.refusal(raw, owner.sender if place > 2 else decode_entry(raw).sender) == ""
        rules.apply(place, raw)
    assert rules.epoch.access == EpochKey(secret).access
    assert rules.readable(0, 10**6) == len(stream.raws)
    # what belongs to the old epoch is not let in any more
    stream.say(1, "too late")
    assert rules.refusal(stream.raws[-1], mine.sender) == "epoch"
    rules.truncate(len(stream.raws) - 2)
    assert rules.epoch.number == 0


def test_only_the_creator_begins_an_epoch() -> None:
    stream = Stream()
    thief = stream.keys[1]
    access = Access(1, EpochKey(bytes(32)).access, b"")
    access = msgspec.structs.replace(access, signature=thief.sign(access.message(stream.stream)))
    body = Keys(1, bytes(32), [], [])
    stream.add(1, Kind.EPOCH, body, msgspec.msgpack.encode(access))
    rules = Rules(stream.genesis, 1 << 30)
    for place, raw in enumerate(stream.raws[:-1]):
        rules.apply(place, raw)
    assert rules.refusal(stream.raws[-1], thief.sender) == "owner"
    reader = stream.reader()
    reader.take(0, stream.raws, stream.link(len(stream.raws)))
    assert "creator" in reader.state.fork
    assert reader.state.epoch == 0


def test_nobody_comes_without_a_voucher() -> None:
    stream = Stream()
    identity = PrivateKey.generate(1024)
    keys = SenderKeys(identity, GROUP)
    stream.keys.append(keys)
    idurl = "http://id.example/mallory.xml"
    card = keys.card(identity, idurl, GROUP)
    stream.add(3, Kind.CONTROL, Came(card))
    own = vouch(keys, stream.stream, 0, card.node_id, idurl)
    stream.add(3, Kind.CONTROL, Came(card, own))
    other = vouch(stream.keys[1], stream.stream, 0, bytes(32), idurl)
    stream.add(3, Kind.CONTROL, Came(card, other))
    stream.say(3, "hello")
    reader = stream.reader()
    outcome = reader.take(0, stream.raws, stream.link(len(stream.raws)))
    assert not [e for e in outcome.events if isinstance(e, Heard)]
    assert len(reader.active()) == 3
    voucher = vouch(stream.keys[1], stream.stream, 0, card.node_id, idurl)
    at = len(stream.raws)
    stream.add(3, Kind.CONTROL, Came(card, voucher))
    stream.say(3, "hello again")
    outcome = reader.take(at, stream.raws[at:], stream.link(len(stream.raws)))
    assert [e.said.ident for e in outcome.events if isinstance(e, Heard)] == ["hello again"]
