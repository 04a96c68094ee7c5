"""Every parser of foreign bytes: whatever comes, it is taken or refused in the documented way."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitdust.crypto import PrivateKey
from bitdust.dht.heads import make_parcel, parse_head
from bitdust.dht.values import decode_value
from bitdust.errors import FormatError, IntegrityError, KeyProblem
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.network.frames import FrameParser, FrameType, encode_frame
from bitdust.network.messages import CloseHeader, HelloHeader, RequestHeader, decode_args
from bitdust.storage import (
    BlockKind,
    build_fragments,
    decompress,
    parse_header,
    read_block,
    wrap_key,
)
from bitdust.storage.catalog.journal import (
    Revised,
    decode_records,
    encode_record,
    pack_segment,
    unpack_segment,
)
from bitdust.storage.catalog.runs import decode_runs, encode_numbers
from bitdust.supply import Contract, Family
from bitdust.supply.contracts import draft
from bitdust.supply.roster import Roster

KEY, KEK, BLOCK = bytes(range(32)), b"k" * 32, bytes(range(16))
DOCUMENTED = (FormatError, IntegrityError, KeyProblem)


@functools.cache
def key(name: str) -> PrivateKey:
    return PrivateKey.generate(1024)


@functools.cache
def contract() -> bytes:
    terms = draft(
        contract_id=b"c" * 16,
        customer=key("alice").public.fingerprint,
        customer_idurl="http://id.example.org/alice.xml",
        supplier=key("bob").public.fingerprint,
        supplier_idurl="http://id.example.org:8084/bob.xml",
        granted=1 << 30,
        position=2,
        n=4,
        now=1_700_000_000.0,
        term=1e6,
    )
    return terms.offered(key("alice")).countersigned(key("bob")).encode()


@functools.cache
def document() -> bytes:
    return sign_document(
        key("alice"),
        sources=[IDURL.parse("http://id.example.org/alice.xml")],
        contacts=["tcp://127.0.0.1:7771"],
        certificate="ab" * 32,
        dht_key=bytes(32),
        revision=3,
        now=1_700_000_000.0,
    ).to_xml()


@functools.cache
def fragments() -> dict[int, bytes]:
    built = build_fragments(
        BLOCK, KEY, wrap_key(KEK, KEY), 4, [blake3(b"x").digest(20_000)], stripe_plain=4096
    )
    return {fragment.index: fragment.to_bytes() for fragment in built}


def frames(raw: bytes) -> None:
    parser = FrameParser()
    for at in range(0, len(raw), 97):
        parser.feed(raw[at : at + 97])


def block(raw: bytes) -> None:
    content = read_block({0: raw, 1: fragments()[1]}, KEK, block_id=BLOCK)
    assert content.payload == blake3(b"x").digest(20_000)


def records(raw: bytes) -> None:
    header, packed = unpack_segment(raw)
    list(decode_records(packed, header.format))


def seeds() -> dict[str, tuple[Callable[[bytes], Any], bytes]]:
    """Parser and proper input of each kind of foreign bytes."""
    head = make_parcel(
        b'{"a": 1}',
        record_type="string",
        revision=1,
        written=1_700_000_000,
        expires=0,
        owner=bytes(32),
        salt=bytes(64),
    ).head
    proper = encode_record(Revised(7)) * 3
    return {
        "frames": (frames, encode_frame(FrameType.PING, body=b"12345678") * 3),
        "hello": (lambda raw: decode_args(raw, HelloHeader), b"\x80"),
        "request": (lambda raw: decode_args(raw, RequestHeader), b"\x80"),
        "close": (lambda raw: decode_args(raw, CloseHeader), b"\x80"),
        "identity": (IdentityDocument.parse, document()),
        "fragment header": (parse_header, fragments()[0][:256]),
        "fragment": (block, fragments()[0]),
        "journal segment": (records, pack_segment(2, 5, proper)),
        "journal records": (lambda raw: list(decode_records(raw)), proper),
        "runs of chunks": (lambda raw: list(decode_runs(raw)), encode_numbers([1, 2, 3, 9, 9, 7])),
        "chunk": (lambda raw: decompress(raw, 4096), b"\x28\xb5\x2f\xfd"),
        "contract": (Contract.decode, contract()),
        "family": (Family.decode, b"\x80"),
        "roster": (Roster.decode, b"\x80"),
        "DHT head": (parse_head, head),
        "DHT value": (decode_value, b'{"type": "skip_validation", "data": [1, 2.5, null, "x"]}'),
    }


NAMES = tuple(seeds())

simple = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=80),
)
values = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@st.composite
def spoilt(draw: st.DrawFn, seed: bytes) -> bytes:
    """Bytes that are nearly right."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "set", "insert", "cut", "delete", "repeat"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                data[at] = draw(st.sampled_from([0, 0x7F, 0x80, 0xC1, 0xDD, 0xFF]))
            case "insert":
                data[at:at] = draw(st.binary(max_size=40))
            case "cut":
                del data[at:]
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "repeat":
                data[at:at] = data[at : at + 64] * draw(st.integers(1, 30))
    return bytes(data)


def try_one(name: str, raw: bytes) -> None:
    parse, _ = seeds()[name]
    with contextlib.suppress(*DOCUMENTED):
        parse(raw)


def fuzz(name: str, examples: int) -> None:
    _, seed = seeds()[name]

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.one_of(
            spoilt(seed),
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda tail: seed[: len(seed) // 2] + tail),
            values.map(msgspec.msgpack.encode),
            values.filter(lambda v: not isinstance(v, bytes)).map(msgspec.json.encode),
        )
    )
    def run(raw: bytes) -> None:
        try_one(name, raw)

    run()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proper_is_taken(name: str) -> None:
    parse, seed = seeds()[name]
    if name not in ("hello", "request", "close", "family", "roster", "chunk"):
        parse(seed)


@pytest.mark.parametrize("name", NAMES)
def test_foreign_bytes_raise_documented_errors_only(name: str) -> None:
    fuzz(name, 40)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_many_foreign_bytes_raise_documented_errors_only(name: str) -> None:
    fuzz(name, 4000)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x91" * 100_000,
        b"[" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"<a>" * 50_000,
        b"\xff" * 70_000,
    ],
    ids=["empty", "nested arrays", "nested json", "array", "bytes", "map", "nested xml", "noise"],
)
def test_bombs_are_refused(name: str, raw: bytes) -> None:
    try_one(name, raw)


def test_every_field_of_an_identity_counts() -> None:
    """Each byte of the signed text: changed, the document is refused or says the same."""
    proper = IdentityDocument.parse(document())
    raw = bytearray(document())
    for at in range(0, len(raw), 3):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        with contextlib.suppress(*DOCUMENTED):
            assert IdentityDocument.parse(changed) == proper


FIELDS = ("block", "n", "index", "size", "stripe", "stripes", "key", "kind")


def with_field(fragment: bytes, name: str, value: Any) -> bytes:
    """A fragment whose header says something else, properly checked and padded."""
    length = int.from_bytes(fragment[8:10], "big")
    fields = msgspec.msgpack.decode(fragment[10 : 10 + length])
    assert set(fields) == set(FIELDS)
    assert fields[name] != value
    fields[name] = value
    described = msgspec.msgpack.encode(fields)
    head = (fragment[:8] + len(described).to_bytes(2, "big") + described).ljust(240, b"\0")
    return head + blake3(head).digest(16) + fragment[256:]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block", bytes(16)),
        ("n", 2),
        ("n", 7),
        ("index", 1),
        ("index", 3),
        ("size", 19_999),
        ("size", 20_001),
        ("size", 0),
        ("stripe", 8192),
        ("stripes", 4),
        ("stripes", 6),
        ("key", bytes(40)),
        ("kind", int(BlockKind.JOURNAL)),
        ("kind", 200),
    ],
)
def test_every_field_of_a_fragment_is_noticed(field: str, value: Any) -> None:
    good = fragments()
    payload = blake3(b"x").digest(20_000)
    bad = with_field(good[0], field, value)
    digests = {position: blake3(data).digest() for position, data in good.items()}
    # with one other alone there is nothing to read
    for known in (None, digests):
        with pytest.raises(DOCUMENTED):
            read_block({0: bad, 1: good[1]}, KEK, block_id=BLOCK, digests=known)
    # with all others it is found out and got around
    content = read_block({**good, 0: bad}, KEK, block_id=BLOCK, compare=True)
    assert content.payload == payload
    assert 0 in content.damaged


def test_every_part_of_a_fragment_is_noticed() -> None:
    good = fragments()
    payload = blake3(b"x").digest(20_000)
    places = [*range(0, 256, 5), *range(256, len(good[2]), 397), len(good[2]) - 1]
    for at in places:
        bad = bytearray(good[2])
        bad[at] ^= 0x08
        content = read_block({**good, 2: bytes(bad)}, KEK, block_id=BLOCK, compare=True)
        assert content.payload == payload
        assert content.damaged == {2}, at
        digests = {2: blake3(good[2]).digest()}
        with pytest.raises(DOCUMENTED):
            read_block({2: bytes(bad), 3: good[3]}, KEK, block_id=BLOCK, digests=digests)
    for size in (0, 100, 256, len(good[2]) - 1):
        content = read_block({**good, 2: good[2][:size]}, KEK, block_id=BLOCK, compare=True)
        assert content.payload == payload
        assert content.damaged == {2}
    content = read_block({**good, 2: good[2] + b"\0"}, KEK, block_id=BLOCK, compare=True)
    assert content.payload == payload
    assert content.damaged == {2}
