"""The catalog's journal: every change as a record, records in segments, segments as bytes.

A record is one msgpack map with its kind under ``t``, after its length as four bytes, big endian.
The records of a segment follow each other, compressed as one Zstandard frame behind a header. See
``docs/spec/catalog.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec

from bitdust.errors import BitdustError, FormatError, InvalidName
from bitdust.ids import GlobalID, KeyID, check_version
from bitdust.storage.catalog.runs import MAX_NUMBER, MAX_RUN_BYTES, check_runs
from bitdust.storage.catalog.types import FragmentMark, VersionState, VersionStats, check_raw_name

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError, compress
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError, compress

FORMAT: Final = 1
MAGIC: Final = b"BDJ1"
MAX_RECORD: Final = MAX_RUN_BYTES + 1024 * 1024
"""Bytes of one record; the longest is an entry whose content is the longest list of chunks."""
MAX_SEGMENT: Final = 32 * 1024 * 1024
"""Bytes of a segment, records unpacked."""
MAX_PACKED: Final = MAX_SEGMENT + MAX_SEGMENT // 128 + 4096
"""Bytes of a packed segment: data that does not compress grows a little."""
MAX_HEADER: Final = 1024
MAX_ROWS: Final = 4096
"""Rows in one record."""
MAX_CHUNKS: Final = 65_536
"""Chunks in one block."""
MAX_SUPPLIERS: Final = 64
MAX_CHALLENGES: Final = 64 * 1024
_LEVEL: Final = 6
_WINDOW_LOG: Final = 25

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Signed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Id16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Id32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Runs = Annotated[bytes, msgspec.Meta(max_length=MAX_RUN_BYTES)]


class KeyAdded(msgspec.Struct, tag_field="t", tag="key", frozen=True):
    """A key with the root of its tree."""

    ref: Number
    key_id: Text
    root: Number
    created: float


class OwnerRenamed(msgspec.Struct, tag_field="t", tag="owner", frozen=True):
    """All keys of ``old`` are now keys of ``new``, both global ids."""

    old: Text
    new: Text


class ItemsAdded(msgspec.Struct, tag_field="t", tag="items", frozen=True):
    """Items ``first, first+1, …`` with numbers ``number, number+1, …`` below ``parent``."""

    parent: Number
    first: Number
    number: Number
    flags: Annotated[int, msgspec.Meta(ge=0, le=3)]
    created: float
    names: Annotated[list[bytes], msgspec.Meta(max_length=MAX_ROWS)]


class ItemFlagged(msgspec.Struct, tag_field="t", tag="flag", frozen=True):
    """An item's new flags."""

    item: Number
    flags: Annotated[int, msgspec.Meta(ge=0, le=3)]


class ItemDeleted(msgspec.Struct, tag_field="t", tag="delete", frozen=True):
    """An item and all below it are gone from all versions; a key's root itself stays."""

    item: Number


class ItemsPruned(msgspec.Struct, tag_field="t", tag="prune", frozen=True):
    """Items without data, name or children of use are gone; their numbers stay taken."""

    items: Runs


class ChunkRow(msgspec.Struct, frozen=True, gc=False):
    """A chunk of a block."""

    number: Number
    id: Id32
    offset: Number
    stored: Number
    plain: Number
    compressed: bool


class StoredFragment(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A fragment of a block, in the order of positions."""

    hash: Id32
    state: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    supplier: Id32 | None = None
    challenges: Annotated[bytes, msgspec.Meta(max_length=MAX_CHALLENGES)] = b""


class BlockStored(msgspec.Struct, tag_field="t", tag="block", frozen=True):
    """A block that enough suppliers acknowledged; the numbers of its chunks begin at ``first``."""

    number: Number
    id: Id16
    key: Number
    payload: Number
    fragment_size: Number
    created: float
    first: Number
    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_CHUNKS)]
    chunks: Annotated[list[ChunkRow], msgspec.Meta(max_length=MAX_CHUNKS)]
    fragments: Annotated[list[StoredFragment], msgspec.Meta(max_length=MAX_SUPPLIERS)]


class FragmentsMarked(msgspec.Struct, tag_field="t", tag="fragments", frozen=True):
    """News about fragments."""

    marks: Annotated[list[FragmentMark], msgspec.Meta(max_length=MAX_ROWS)]


class SupplierLost(msgspec.Struct, tag_field="t", tag="lost", frozen=True):
    """All fragments one supplier kept are lost."""

    supplier: Id32


class BlockRecoded(msgspec.Struct, tag_field="t", tag="recode", frozen=True):
    """A block was spread anew, over another number of suppliers; its payload is the same."""

    number: Number
    id: Id16
    fragment_size: Number
    fragments: Annotated[list[StoredFragment], msgspec.Meta(min_length=1, max_length=MAX_SUPPLIERS)]


class BlocksDropped(msgspec.Struct, tag_field="t", tag="drop", frozen=True):
    """Blocks that nothing refers to; their fragments are being deleted."""

    blocks: Runs


class EntryRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an item is; ``since`` and ``until`` only in a compacted journal."""

    item: Number
    type: Literal["f", "d", "l"]
    mode: Number = 0
    mtime_ns: Signed = 0
    size: Number = 0
    hash: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    target: Annotated[bytes, msgspec.Meta(max_length=65_536)] = b""
    content: Runs = b""
    since: Number = 0
    until: Number | None = None


class EntriesOpened(msgspec.Struct, tag_field="t", tag="open", frozen=True):
    """Items that are new or changed in version ``seq``; what they were before ends there."""

    seq: Number
    rows: Annotated[list[EntryRow], msgspec.Meta(max_length=MAX_ROWS)]


class EntriesClosed(msgspec.Struct, tag_field="t", tag="close", frozen=True):
    """Items that are no more in version ``seq``."""

    seq: Number
    items: Runs


class VersionAdded(msgspec.Struct, tag_field="t", tag="version", frozen=True):
    """A committed version; its entries came before."""

    seq: Number
    root: Number
    label: Text
    created: float
    state: VersionState
    stats: VersionStats


class VersionMarked(msgspec.Struct, tag_field="t", tag="state", frozen=True, omit_defaults=True):
    """A version's new state; ``suppliers`` 0 is as many as before."""

    seq: Number
    state: VersionState
    acks: Number
    suppliers: Annotated[int, msgspec.Meta(ge=0, le=MAX_SUPPLIERS)] = 0


class VersionDeleted(msgspec.Struct, tag_field="t", tag="forget", frozen=True):
    """A version is gone, with the entries only it could see."""

    seq: Number


class Revised(msgspec.Struct, tag_field="t", tag="revision", frozen=True):
    """The end of one change: the catalog's revision after it."""

    revision: Number


class BaseBegun(msgspec.Struct, tag_field="t", tag="base", frozen=True):
    """A compacted journal begins: what was known before is replaced."""


class ItemRow(msgspec.Struct, frozen=True, gc=False):
    """An item, in a compacted journal."""

    id: Number
    parent: Number
    number: Number
    name: bytes
    flags: Annotated[int, msgspec.Meta(ge=0, le=3)]
    created: float
    next_number: Number


class ItemsHeld(msgspec.Struct, tag_field="t", tag="held", frozen=True):
    """Items of a compacted journal, parents before children."""

    rows: Annotated[list[ItemRow], msgspec.Meta(max_length=MAX_ROWS)]


class RootHeld(msgspec.Struct, tag_field="t", tag="root", frozen=True):
    """How many numbers a key's root has given, in a compacted journal."""

    item: Number
    next_number: Number


class EntriesHeld(msgspec.Struct, tag_field="t", tag="span", frozen=True):
    """Entries of a compacted journal with their spans."""

    rows: Annotated[list[EntryRow], msgspec.Meta(max_length=MAX_ROWS)]


class BaseEnded(msgspec.Struct, tag_field="t", tag="end", frozen=True):
    """A compacted journal is complete; the numbers to be given next."""

    revision: Number
    next_key: Number
    next_item: Number
    next_version: Number
    next_block: Number
    next_chunk: Number


Record = (
    KeyAdded
    | OwnerRenamed
    | ItemsAdded
    | ItemFlagged
    | ItemDeleted
    | ItemsPruned
    | BlockStored
    | FragmentsMarked
    | SupplierLost
    | BlocksDropped
    | BlockRecoded
    | EntriesOpened
    | EntriesClosed
    | VersionAdded
    | VersionMarked
    | VersionDeleted
    | Revised
    | BaseBegun
    | ItemsHeld
    | RootHeld
    | EntriesHeld
    | BaseEnded
)


class SegmentHeader(msgspec.Struct, frozen=True):
    """Which segment it is: the ``seq``-th of ``epoch``, written in ``format``.

    ``size`` is that of the records unpacked, in bytes.
    """

    format: Number
    epoch: Number
    seq: Number
    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEGMENT)]


class _Tag(msgspec.Struct):
    t: Text


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Record)
_tags: Final = msgspec.msgpack.Decoder(_Tag)
_headers: Final = msgspec.msgpack.Decoder(SegmentHeader)
_KNOWN: Final = frozenset(str(kind.__struct_config__.tag) for kind in Record.__args__)


def encode_record(record: Record) -> bytes:
    """One record with its length in front.

    Raises:
        FormatError: the record is longer than ``MAX_RECORD``.
    """
    body = _encoder.encode(record)
    if len(body) > MAX_RECORD:
        raise FormatError("a journal record is longer than allowed")
    return len(body).to_bytes(4, "big") + body


def encode_records(records: Iterable[Record]) -> bytes:
    """Records one after the other, each with its length in front."""
    return b"".join(map(encode_record, records))


def decode_records(raw: bytes, format: int = FORMAT) -> Iterator[Record]:
    """Read records one by one; the reverse of ``encode_records``.

    Args:
        raw: the unpacked records of a segment.
        format: what the segment's header says it was written in.

    Raises:
        FormatError: cut off, too long, malformed, or of a kind this version does not know.
    """
    if len(raw) > MAX_SEGMENT:
        raise FormatError("a journal segment is longer than allowed")
    view = memoryview(raw)
    position = 0
    while position < len(view):
        size = int.from_bytes(view[position : position + 4], "big")
        position += 4
        if size > MAX_RECORD or position + size > len(view):
            raise FormatError("a journal record is cut off or too long")
        yield _decode(view[position : position + size], format)
        position += size


def _decode(body: memoryview, format: int) -> Record:
    try:
        record: Record = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise FormatError(_why(body, format)) from exc
    try:
        _check(record)
    except FormatError:
        raise
    except (BitdustError, ValueError) as exc:
        raise FormatError(f"a journal record holds what cannot be: {exc}") from exc
    return record


def _why(body: memoryview, format: int) -> str:
    try:
        tag = _tags.decode(body).t
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "a journal record is malformed"
    if tag not in _KNOWN:
        return (
            f"a journal record of the kind {tag[:40]!a}, written in format {format}, is not known"
            f" to this version, which reads format {FORMAT}"
        )
    return f"a journal record of the kind {tag!a} is malformed"


def _check(record: Record) -> None:
    """What types cannot say: names that could lead out of a tree, lists, ids."""
    match record:
        case KeyAdded():
            if str(KeyID.parse(record.key_id)) != record.key_id:
                raise InvalidName("a key id in another form")
        case OwnerRenamed():
            GlobalID.parse(record.old)
            GlobalID.parse(record.new)
        case ItemsAdded():
            for name in record.names:
                check_raw_name(name)
        case ItemsHeld():
            for item in record.rows:
                check_raw_name(item.name)
        case EntriesOpened() | EntriesHeld():
            for row in record.rows:
                check_runs(row.content)
                if len(row.hash) not in (0, 32):
                    raise ValueError("a hash of another length")
        case EntriesClosed() | ItemsPruned():
            check_runs(record.items)
        case BlocksDropped():
            check_runs(record.blocks)
        case VersionAdded():
            check_version(record.label)
            _in_range(*msgspec.structs.astuple(record.stats))
        case FragmentsMarked():
            for mark in record.marks:
                _in_range(mark.block, mark.position)
                if mark.state not in (0, 1, 2, 3) or len(mark.supplier or bytes(32)) != 32:
                    raise ValueError("a state or supplier that cannot be")
                if len(mark.challenges or b"") > MAX_CHALLENGES:
                    raise ValueError("too many challenges")
        case _:
            pass


def _in_range(*numbers: int) -> None:
    if any(not 0 <= number <= MAX_NUMBER for number in numbers):
        raise ValueError("a number out of range")


def pack_segment(epoch: int, seq: int, records: bytes) -> bytes:
    """A segment as bytes: magic, header with its length, records compressed.

    Args:
        epoch: of the journal. seq: position within the epoch, from 0.
        records: what ``encode_records`` gave, at most ``MAX_SEGMENT`` bytes.

    Raises:
        FormatError: too many records.
    """
    if len(records) > MAX_SEGMENT:
        raise FormatError("a journal segment is longer than allowed")
    header = _encoder.encode(SegmentHeader(FORMAT, epoch, seq, len(records)))
    return MAGIC + len(header).to_bytes(2, "big") + header + compress(records, _LEVEL)


def unpack_segment(raw: bytes) -> tuple[SegmentHeader, bytes]:
    """The header of a segment and its records, for ``decode_records``.

    Memory stays bounded by the size in the header, which is at most ``MAX_SEGMENT``.

    Raises:
        FormatError: no whole segment in this form.
    """
    if len(raw) > MAX_PACKED or raw[:4] != MAGIC:
        raise FormatError("this is no journal segment")
    size = int.from_bytes(raw[4:6], "big")
    if size > MAX_HEADER or len(raw) < 6 + size:
        raise FormatError("the header of a journal segment is cut off or too long")
    try:
        header = _headers.decode(raw[6 : 6 + size])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise FormatError("the header of a journal segment is malformed") from exc
    decompressor = ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW_LOG})
    try:
        records = decompressor.decompress(raw[6 + size :], header.size)
        if not decompressor.eof and len(records) == header.size:
            records += decompressor.decompress(b"", 1)
    except (ZstdError, EOFError) as exc:
        raise FormatError("a journal segment cannot be unpacked") from exc
    if len(records) != header.size or not decompressor.eof or decompressor.unused_data:
        raise FormatError("a journal segment does not unpack to its size")
    return header, records
