"""What members of a share, and those who lend it their suppliers, say to each other. Pure."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from bitdust.errors import FormatError
from bitdust.supply import MAX_CHARTER, MAX_MEMBERS

NOTICE: Final = "share.notice"
"""To a member: something was written, or the charter changed."""
SPONSOR: Final = "share.sponsor"
"""To somebody whose suppliers shall keep a new share."""

MAX_INVITATION: Final = 128 * 1024
MAX_FAMILY: Final = 48 * 1024

ShareField = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
NodeField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """How far a writer's journal is known: its next segment, and what that one follows."""

    writer: NodeField
    epoch: Number
    seq: Number
    link: NodeField


class Notice(msgspec.Struct, frozen=True):
    """Arguments of ``share.notice``.

    Args:
        share: 16 bytes.
        serial: of the newest charter that is known.
        heads: of all journals that are known; the sender's own among them.
    """

    share: ShareField
    serial: Number
    heads: Annotated[list[Head], msgspec.Meta(max_length=2 * MAX_MEMBERS)] = []


class Wish(msgspec.Struct, frozen=True):
    """Arguments of ``share.sponsor``: the new share, and its public key as SPKI DER."""

    share: ShareField
    key: Annotated[bytes, msgspec.Meta(max_length=2048)]


class Sponsored(msgspec.Struct, frozen=True):
    """Answer to ``share.sponsor``.

    Args:
        permit: signed by the one who was asked.
        family: the list of its suppliers.
        signature: its own over the share's key, as that of a key of its own.
    """

    permit: Annotated[bytes, msgspec.Meta(max_length=8192)]
    family: Annotated[bytes, msgspec.Meta(max_length=MAX_FAMILY)]
    signature: Annotated[bytes, msgspec.Meta(max_length=1024)]


class Invitation(msgspec.Struct, frozen=True):
    """What goes with the key of a share to a new member: the charter, and who keeps the data."""

    charter: Annotated[bytes, msgspec.Meta(max_length=MAX_CHARTER)]
    family: Annotated[bytes, msgspec.Meta(max_length=MAX_FAMILY)] = b""


def read_invitation(raw: bytes) -> Invitation:
    """Read what came with a key.

    Raises:
        FormatError: no invitation.
    """
    if len(raw) > MAX_INVITATION:
        raise FormatError("an invitation to a share is too long")
    try:
        return msgspec.msgpack.decode(raw, type=Invitation)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise FormatError("an invitation to a share cannot be read") from exc
