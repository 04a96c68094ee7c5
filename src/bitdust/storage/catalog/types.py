"""What the catalog takes and gives back: frozen rows and their states."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from bitdust.errors import InvalidName
from bitdust.ids import MAX_SEGMENT_BYTES, PathID, decode_name, encode_name
from bitdust.storage.formats.seal import BlockKind

INODE_MASK = 2**63 - 1
"""Inode numbers are kept in 63 bits; mask ``st_ino`` with this before comparing."""


class VersionState(StrEnum):
    """How safe a committed version is."""

    STORED = "stored"
    PARTIAL = "partial"
    FAILED = "failed"


class BlockState(IntEnum):
    """Open while fragments are first sent; stored once enough suppliers acknowledged; dying once
    nothing refers to it and its fragments may be deleted from the suppliers."""

    OPEN = 0
    STORED = 1
    DYING = 2


class FragmentState(IntEnum):
    """Where one fragment stands."""

    MISSING = 0
    STORED = 1
    LOST = 2
    BAD = 3


class JobKind(StrEnum):
    """Long work that survives a restart."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    REBUILD = "rebuild"


class JobState(StrEnum):
    """Where a job stands; ``pending`` and ``running`` are unfinished."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


UNFINISHED = (JobState.PENDING, JobState.RUNNING)


class Item(msgspec.Struct, frozen=True, gc=False):
    """A place in the tree of one key.

    ``is_folder`` is what it was made or last stored as; ``explicit`` items were asked for by name
    and stay when they have no data.
    """

    id: int
    key: int
    parent: int | None
    number: int
    name: str
    is_folder: bool
    explicit: bool
    created: float


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What an item was from version ``since`` up to, not including, ``until``.

    ``type`` is ``f``, ``d`` or ``l``; ``hash`` is the BLAKE3 of the whole content; ``content`` the
    packed chunk numbers; ``ino`` and ``ctime_ns`` serve change detection on this machine alone and
    are 0 after a recovery.
    """

    item: int
    since: int
    until: int | None
    type: str
    mode: int
    mtime_ns: int
    size: int
    hash: bytes
    target: bytes
    content: bytes
    ino: int
    ctime_ns: int


class Child(msgspec.Struct, frozen=True, gc=False):
    """An item of a folder with its current entry, if it has one."""

    item: int
    entry: Entry | None


class StagedEntry(msgspec.Struct, frozen=True, gc=False):
    """What an item shall be in the version being made.

    Args:
        item: its id.
        type: ``f`` file, ``d`` folder, ``l`` symbolic link.
        mode: permission bits.
        mtime_ns: modification time, nanoseconds since 1970.
        size: length of the content, bytes.
        hash: BLAKE3 of the content, 32 bytes; empty for folders and links.
        target: where a link points, as the file system has it.
        content: ``encode_numbers`` of the chunks in order.
        ino: inode number. ctime_ns: change time, nanoseconds.
    """

    item: int
    type: str
    mode: int = 0
    mtime_ns: int = 0
    size: int = 0
    hash: bytes = b""
    target: bytes = b""
    content: bytes = b""
    ino: int = 0
    ctime_ns: int = 0


class VersionStats(msgspec.Struct, frozen=True):
    """Sums over a whole version; sizes in bytes.

    ``size`` is what a restore writes, ``new_size`` what changed, ``stored_size`` what went to
    suppliers for it, parity included. ``suppliers`` is N of ``ecc/NxN``; ``acks`` the fewest of
    them that acknowledged any block.
    """

    files: int = 0
    folders: int = 0
    links: int = 0
    size: int = 0
    new_size: int = 0
    stored_size: int = 0
    suppliers: int = 0
    acks: int = 0


class Version(msgspec.Struct, frozen=True):
    """One committed version of ``root`` and everything below it."""

    seq: int
    root: int
    label: str
    created: float
    state: VersionState
    stats: VersionStats


class ItemVersion(msgspec.Struct, frozen=True):
    """A version in which an item is visible, and what the item was in it."""

    version: Version
    entry: Entry


class AddedBlock(msgspec.Struct, frozen=True):
    """A block that was just entered; ``chunks`` are the numbers of the chunks given, in order."""

    number: int
    chunks: tuple[int, ...]


class BlockRow(msgspec.Struct, frozen=True):
    """A sealed block; ``suppliers`` is N, sizes are in bytes, ``name`` is for journal segments."""

    number: int
    id: bytes
    key: int
    kind: BlockKind
    state: BlockState
    name: str
    suppliers: int
    payload: int
    fragment_size: int
    created: float
    job: int | None


class FragmentRow(msgspec.Struct, frozen=True, gc=False):
    """One supplier's part of a block."""

    block: int
    position: int
    hash: bytes
    state: int
    supplier: bytes | None
    challenges: bytes


class FragmentMark(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """News about a fragment; ``None`` keeps the supplier or the challenges as they are."""

    block: int
    position: int
    state: int
    supplier: bytes | None = None
    challenges: bytes | None = None


class Repair(msgspec.Struct, frozen=True):
    """A block that lacks fragments: the positions not stored."""

    block: BlockRow
    missing: tuple[int, ...]


class ChunkLocation(msgspec.Struct, frozen=True, gc=False):
    """Where one chunk of a file is: ``stored`` bytes at ``offset`` in the payload of a block."""

    number: int
    id: bytes
    block: int
    block_id: bytes
    offset: int
    stored: int
    plain: int
    compressed: bool


class Progress(msgspec.Struct, frozen=True):
    """How far a job is; sizes in bytes."""

    files: int = 0
    files_total: int = 0
    size: int = 0
    size_total: int = 0
    blocks: int = 0
    sent: int = 0


class JobRow(msgspec.Struct, frozen=True):
    """Long work, as the catalog remembers it."""

    id: int
    kind: JobKind
    key: int
    item: int | None
    local_path: str
    remote_path: str
    label: str
    state: JobState
    progress: Progress
    error: str
    created: float
    updated: float
    options: dict[str, msgspec.Raw]


class OpenSegment(msgspec.Struct, frozen=True):
    """The journal segment being sent: same records, same name, until it is closed."""

    epoch: int
    seq: int
    last: int
    records: bytes
    sealed: bytes | None


class ListRow(msgspec.Struct, frozen=True):
    """One row of a file list.

    ``entry`` is the current entry or, when the item is gone from the latest version, the last one.
    ``versions`` are the newest, newest first; ``version_count`` counts all.
    """

    item: Item
    path: str
    path_id: PathID
    entry: Entry | None
    current: bool
    childs: int
    versions: tuple[ItemVersion, ...]
    version_count: int


class Totals(msgspec.Struct, frozen=True):
    """Sums over one key or the whole catalog; ``size`` is of current files, in bytes."""

    items: int = 0
    files: int = 0
    folders: int = 0
    links: int = 0
    size: int = 0
    versions: int = 0
    blocks: int = 0
    stored_size: int = 0


class Health(msgspec.Struct, frozen=True):
    """How safe the blocks behind a version are.

    ``fragments`` and ``stored`` count over all blocks; ``weakest`` is how many fragments are stored
    of the block nearest to being lost, ``weakest_of`` its number of suppliers, ``weak_block`` that
    block; ``by_position`` the stored fragments per supplier position.
    """

    blocks: int
    fragments: int
    stored: int
    weakest: int
    weak_block: int | None
    by_position: tuple[int, ...]
    weakest_of: int = 0


def raw_name(name: str) -> bytes:
    """A name as the catalog keeps it.

    Raises:
        InvalidName: empty, ``.``, ``..``, with a slash or NUL, not encodable, or too long.
    """
    try:
        raw = encode_name(name)
    except UnicodeEncodeError as exc:
        raise InvalidName(f"the name {ascii(name)[:80]} has no bytes") from exc
    return check_raw_name(raw)


def check_raw_name(raw: bytes) -> bytes:
    """Return ``raw`` if it may name an item.

    Raises:
        InvalidName: as ``raw_name``.
    """
    if not raw or raw in (b".", b"..") or b"/" in raw or b"\0" in raw:
        raise InvalidName(
            f"invalid name {decode_name(raw[:80])!a}",
            hint="'', '.', '..', slashes and NUL characters cannot be names",
        )
    if len(raw) > MAX_SEGMENT_BYTES:
        raise InvalidName(f"a name is longer than {MAX_SEGMENT_BYTES} bytes")
    return raw
