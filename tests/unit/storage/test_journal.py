"""Journal records and segments as bytes, good and hostile."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.errors import FormatError
from bitdust.storage.catalog import journal as j
from bitdust.storage.catalog.runs import encode_numbers
from bitdust.storage.catalog.types import FragmentMark, VersionState, VersionStats

RECORDS: list[j.Record] = [
    j.KeyAdded(1, "master$alice@host", 1, 5.0),
    j.OwnerRenamed("alice@host", "alice@elsewhere_8084"),
    j.ItemsAdded(1, 2, 0, 1, 5.0, [b"docs", b"\xff\xfe", "é".encode()]),
    j.ItemFlagged(2, 3),
    j.ItemDeleted(3),
    j.ItemsPruned(encode_numbers([4, 5, 9])),
    j.BlockStored(
        1,
        bytes(16),
        1,
        1000,
        300,
        5.0,
        1,
        1,
        [j.ChunkRow(1, bytes(32), 0, 10, 20, True)],
        [j.StoredFragment(bytes(32), 1, b"n" * 32, b"challenge"), j.StoredFragment(bytes(32))],
    ),
    j.FragmentsMarked([FragmentMark(1, 0, 2), FragmentMark(1, 1, 1, b"n" * 32, b"c")]),
    j.SupplierLost(b"n" * 32),
    j.BlockRecoded(7, b"r" * 16, 4096, [j.StoredFragment(b"h" * 32, 1, b"n" * 32, b"c")] * 2),
    j.BlocksDropped(encode_numbers([1])),
    j.EntriesOpened(
        1,
        [
            j.EntryRow(2, "d", 0o755, -5),
            j.EntryRow(3, "f", 0o644, 5, 20, bytes(32), b"", encode_numbers([1])),
            j.EntryRow(4, "l", 0o777, 5, 0, b"", b"target\xff"),
        ],
    ),
    j.EntriesClosed(2, encode_numbers([3])),
    j.VersionAdded(
        1, 2, "F20160424013912PM", 5.0, VersionState.STORED, VersionStats(files=1, acks=4)
    ),
    j.VersionMarked(1, VersionState.PARTIAL, 3),
    j.VersionDeleted(1),
    j.Revised(7),
    j.BaseBegun(),
    j.ItemsHeld([j.ItemRow(2, 1, 0, b"docs", 1, 5.0, 3)]),
    j.RootHeld(1, 1),
    j.EntriesHeld([j.EntryRow(2, "d", since=1, until=4), j.EntryRow(2, "d", since=4)]),
    j.BaseEnded(7, 2, 5, 3, 2, 2),
]


def packed(value: object) -> bytes:
    body = msgspec.msgpack.encode(value)
    return len(body).to_bytes(4, "big") + body


def test_every_kind_comes_back() -> None:
    assert {type(record) for record in RECORDS} == set(j.Record.__args__)
    assert list(j.decode_records(j.encode_records(RECORDS))) == RECORDS


def test_segment_comes_back() -> None:
    raw = j.pack_segment(3, 14, j.encode_records(RECORDS))
    header, records = j.unpack_segment(raw)
    assert (header.format, header.epoch, header.seq) == (j.FORMAT, 3, 14)
    assert list(j.decode_records(records)) == RECORDS
    assert j.unpack_segment(j.pack_segment(0, 0, b""))[1] == b""


def test_a_kind_from_a_newer_version_names_it() -> None:
    raw = packed({"t": "hologram", "depth": 3})
    with pytest.raises(FormatError, match=r"'hologram', written in format 9.*reads format 1"):
        list(j.decode_records(raw, 9))


def test_fields_from_a_newer_version_are_passed_over() -> None:
    raw = packed({"t": "flag", "item": 2, "flags": 3, "colour": "red"})
    assert list(j.decode_records(raw)) == [j.ItemFlagged(2, 3)]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0", b"x" * 4097])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    for value in (
        {
            "t": "items",
            "parent": 1,
            "first": 2,
            "number": 0,
            "flags": 0,
            "created": 0.0,
            "names": [name],
        },
        {
            "t": "held",
            "rows": [
                {
                    "id": 2,
                    "parent": 1,
                    "number": 0,
                    "name": name,
                    "flags": 0,
                    "created": 0.0,
                    "next_number": 0,
                }
            ],
        },
    ):
        with pytest.raises(FormatError):
            list(j.decode_records(packed(value)))


@pytest.mark.parametrize(
    "value",
    [
        {"t": "delete", "item": -1},
        {"t": "delete", "item": 2**63},
        {"t": "delete"},
        {"t": "key", "ref": 1, "key_id": "no key", "root": 1, "created": 0.0},
        {"t": "key", "ref": 1, "key_id": "alice@host", "root": 1, "created": 0.0},
        {"t": "owner", "old": "alice@host", "new": "../x"},
        {"t": "prune", "items": b"\x82"},
        {"t": "drop", "blocks": b"\x02\x00"},
        {"t": "open", "seq": 1, "rows": [{"item": 1, "type": "x"}]},
        {"t": "open", "seq": 1, "rows": [{"item": 1, "type": "f", "hash": b"short"}]},
        {"t": "open", "seq": 1, "rows": [{"item": 1, "type": "f", "content": b"\x82"}]},
        {"t": "fragments", "marks": [{"block": 1, "position": 0, "state": 9}]},
        {"t": "fragments", "marks": [{"block": 2**63, "position": 0, "state": 1}]},
        {"t": "fragments", "marks": [{"block": 1, "position": 0, "state": 1, "supplier": b"x"}]},
        {"t": "lost", "supplier": b"short"},
        {"t": 5},
        {},
        [],
        None,
    ],
)
def test_malformed_records_are_refused(value: object) -> None:
    with pytest.raises(FormatError):
        list(j.decode_records(packed(value)))


def test_bad_framing_is_refused() -> None:
    good = j.encode_records(RECORDS[:1])
    for raw in (
        good[:3],
        good[:-1],
        good + b"\0",
        b"\xff\xff\xff\xff" + good,
        (j.MAX_RECORD + 1).to_bytes(4, "big") + good,
        packed(None)[:4] + b"\x91" * 1,
        len(b"\x91" * 100_000).to_bytes(4, "big") + b"\x91" * 100_000,
        bytes(j.MAX_SEGMENT + 1),
    ):
        with pytest.raises(FormatError):
            list(j.decode_records(raw))


def test_bad_segments_are_refused() -> None:
    good = j.pack_segment(0, 1, j.encode_records(RECORDS))
    lying = msgspec.msgpack.encode(j.SegmentHeader(1, 0, 1, j.MAX_SEGMENT))
    size = int.from_bytes(good[4:6], "big")
    bomb = j.pack_segment(0, 0, bytes(4_000_000))
    bomb_size = int.from_bytes(bomb[4:6], "big")
    small = msgspec.msgpack.encode(j.SegmentHeader(1, 0, 0, 100))
    for raw in (
        b"",
        b"BDJ1",
        b"XXXX" + good[4:],
        good[:20],
        good[:-1],
        good + b"x",
        good[:4] + b"\xff\xff" + good[6:],
        good[:4] + len(lying).to_bytes(2, "big") + lying + good[6 + size :],
        bomb[:4] + len(small).to_bytes(2, "big") + small + bomb[6 + bomb_size :],
        bytes(j.MAX_PACKED + 1),
    ):
        with pytest.raises(FormatError):
            j.unpack_segment(raw)
    with pytest.raises(FormatError):
        j.pack_segment(0, 0, bytes(j.MAX_SEGMENT + 1))
    with pytest.raises(FormatError):
        j.encode_record(j.ItemsPruned(bytes(j.MAX_RECORD)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_gives_records_or_a_format_error(data: st.DataObject) -> None:
    raw = bytearray(j.encode_records(data.draw(st.lists(st.sampled_from(RECORDS), max_size=4))))
    for _ in range(data.draw(st.integers(1, 4))):
        if raw:
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        records = list(j.decode_records(bytes(raw)))
    except FormatError:
        return
    assert list(j.decode_records(j.encode_records(records))) == records


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_a_segment(raw: bytes, magic: bool) -> None:
    try:
        header, records = j.unpack_segment(j.MAGIC + raw if magic else raw)
    except FormatError:
        return
    assert len(records) == header.size
