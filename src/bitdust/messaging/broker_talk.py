"""What brokers of one stream say to each other, and the log they agree on. Pure."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec

BATCH_BYTES: Final = 1 << 20
BATCH_ENTRIES: Final = 1024
"""What one message to a follower holds at most."""
MAX_ENTRY: Final = 128 * 1024
MAX_BROKERS: Final = 3
MAX_PAUSE: Final = 60
"""Seconds for which a leader may say that it will be silent."""

Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
EntryBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_ENTRY)]
LogEntry = tuple[Number, EntryBytes]
"""The term in which an entry was appended, and its bytes."""


class Vote(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """A candidate asks for a vote; with ``pre`` it only asks whether it would get it."""

    term: Number
    last_term: Number
    length: Number
    pre: bool


class Voted(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """Answer to ``Vote``; the term is the candidate's when granted, else the voter's."""

    term: Number
    granted: bool
    pre: bool


class Append(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A leader's entries from ``start`` on, behind an entry of ``prev_term``; none is a heartbeat.

    ``commit`` is the number of entries known to be committed; ``pause`` the seconds until the
    leader speaks again if nothing happens, 0 while something does.
    """

    term: Number
    start: Number
    prev_term: Number
    entries: Annotated[list[LogEntry], msgspec.Meta(max_length=BATCH_ENTRIES)]
    commit: Number
    pause: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAUSE)] = 0


class Appended(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """Answer to ``Append``: the length up to which both logs are equal, or where to try next."""

    term: Number
    fits: bool
    length: Number


Message = Vote | Voted | Append | Appended


class Log(Protocol):
    """The entries of one stream; changes are written to the disk by the shell."""

    @property
    def length(self) -> int: ...

    def term_at(self, place: int) -> int:
        """Term of an entry, 0 for place -1."""
        ...

    def read(self, start: int, max_entries: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Entries from ``start`` on; at least one if there is one."""
        ...

    def append(self, term: int, raw: bytes) -> None: ...

    def truncate(self, length: int) -> None: ...
