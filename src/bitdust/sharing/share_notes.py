"""What a writer of a share says beside its files: what it had seen, and what it deleted. Pure.

Notes lie in a second tree of the writer's catalog, as names, so that they travel with its journal,
in one transaction with the change they speak of, and are there again after a recovery or a
compaction. The name is a rising number and the note in base64, cut into parts below each other
where one name would be too long.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from blake3 import blake3

from bitdust.errors import FormatError
from bitdust.ids import MAX_REMOTE_PATH_BYTES, GlobalID, KeyID
from bitdust.sharing.share_merge import Seen, Writer

NOTES: Final = KeyID("notes", GlobalID("share", "notes"))
"""The key in a writer's catalog under which its notes lie; there is no such key anywhere."""
MAX_NOTE: Final = 24 * 1024
"""Most bytes of a note."""
MAX_WRITERS: Final = 256
"""Most writers one note may speak of."""
_PART: Final = 4000
_NUMBER: Final = 12

Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
WriterField = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
SeenField = Annotated[dict[WriterField, Number], msgspec.Meta(max_length=MAX_WRITERS)]


class Saw(msgspec.Struct, frozen=True, tag_field="t", tag="saw"):
    """What a writer had seen of the others when it began version ``seq``."""

    seq: Number
    seen: SeenField


class Removed(msgspec.Struct, frozen=True, tag_field="t", tag="removed"):
    """A name that a writer deleted, and what it had seen then, its own versions included."""

    path: Annotated[bytes, msgspec.Meta(max_length=MAX_REMOTE_PATH_BYTES)]
    seen: SeenField
    time: Annotated[float, msgspec.Meta(ge=0, le=1e12)]


Note = Saw | Removed

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Note)


def note_path(number: int, note: Note) -> str:
    """The path of a note in the tree of notes.

    Raises:
        FormatError: it is too long.
    """
    raw = _encoder.encode(note)
    if len(raw) > MAX_NOTE:
        raise FormatError("a note of a share is too long")
    text = base64.urlsafe_b64encode(raw).decode("ascii")
    parts = [text[at : at + _PART] for at in range(0, len(text), _PART)]
    return f"{number:0{_NUMBER}x}-" + "/".join(parts)


def note_number(name: str) -> int:
    """The number of a note, by the first part of its path.

    Raises:
        FormatError: no note.
    """
    head, dash, _ = name.partition("-")
    if len(head) != _NUMBER or not dash:
        raise FormatError("a name among the notes of a share is none")
    try:
        return int(head, 16)
    except ValueError as exc:
        raise FormatError("a note of a share has no number") from exc


def read_note(names: list[str]) -> Note:
    """The note at a path; the reverse of ``note_path``.

    Args:
        names: the parts of the path.

    Raises:
        FormatError: no note, or of a kind that is not known.
    """
    note_number(names[0])
    text = names[0].partition("-")[2] + "".join(names[1:])
    if len(text) > 2 * MAX_NOTE:
        raise FormatError("a note of a share is too long")
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        note: Note = _decoder.decode(raw)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as exc:
        raise FormatError("a note of a share cannot be read") from exc
    return note


def start_of_chain(share: bytes, writer: bytes, epoch: int) -> bytes:
    """What the first segment of a writer's journal follows.

    Args:
        share: 16 bytes. writer: node id. epoch: of the journal.
    """
    context = b"bitdust share chain v1\x00"
    return blake3(context + share + writer + epoch.to_bytes(8, "big")).digest()


def next_link(link: bytes, segment: bytes) -> bytes:
    """What the segment after ``segment`` follows; two different pasts never give the same."""
    return blake3(link + blake3(segment).digest()).digest()


class SignedSegment(msgspec.Struct, frozen=True, array_like=True):
    """A segment of a writer's journal as it travels, behind ``MAGIC``.

    Args:
        key: the writer's public key, SPKI DER; its hash is the writer's node id.
        link: of the chain, before this segment.
        signature: over ``signed_bytes``.
        segment: as the catalog packs it.
    """

    key: Annotated[bytes, msgspec.Meta(max_length=2048)]
    link: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, msgspec.Meta(max_length=1024)]
    segment: bytes


MAGIC: Final = b"BDS1"
_signed: Final = msgspec.msgpack.Decoder(SignedSegment)


def signed_bytes(share: bytes, epoch: int, seq: int, link: bytes, segment: bytes) -> bytes:
    """What a writer signs for each segment of its journal."""
    return b"bitdust share segment v1\x00" + msgspec.msgpack.encode(
        (share, epoch, seq, link, blake3(segment).digest())
    )


def pack_signed(signed: SignedSegment) -> bytes:
    """The bytes that are sealed and sent."""
    return MAGIC + msgspec.msgpack.encode(signed)


def unpack_signed(raw: bytes) -> SignedSegment:
    """The reverse of ``pack_signed``; the signature is not checked here.

    Raises:
        FormatError: no signed segment.
    """
    if raw[: len(MAGIC)] != MAGIC:
        raise FormatError("a segment of a share's journal is not signed")
    try:
        return _signed.decode(memoryview(raw)[len(MAGIC) :])
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise FormatError("a signed segment cannot be read") from exc


def path_hash(path: bytes) -> bytes:
    """What stands for a path among the removals: 16 bytes."""
    return blake3(path).digest(16)


__all__ = [
    "MAX_NOTE",
    "NOTES",
    "Note",
    "Removed",
    "Saw",
    "Seen",
    "SignedSegment",
    "Writer",
    "next_link",
    "note_number",
    "note_path",
    "pack_signed",
    "path_hash",
    "read_note",
    "signed_bytes",
    "start_of_chain",
    "unpack_signed",
]
