"""What a customer knows of its suppliers, and how it is kept on the disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import msgspec
from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError
from bitdust.supply.contracts import Contract
from bitdust.supply.disk import disk_errors, write_durably
from bitdust.supply.family import Family
from bitdust.supply.messages import ContractBytes, FamilyBytes
from bitdust.supply.wire import (
    MAX_SUPPLIERS,
    IdurlText,
    NodeField,
    NodeID,
    Position,
    Seconds,
    check_number,
    decode_bounded,
)

MAX_STATE = 16 * 1024 * 1024
"""Most bytes of the state file; 64 suppliers with the longest documents fit."""
MAX_RETIRED = 256
"""Former suppliers remembered until they are dismissed."""

_MAGIC = b"bitdust suppliers 1\n"


class Place(msgspec.Struct, kw_only=True):
    """One supplier of this customer, or a former one.

    Args:
        position: its place.
        node: node id.
        idurl: its address, as last known.
        contract: encoded and signed by both; empty while it is known from the family alone.
        document: its identity document, empty when never met.
        hired: wall clock of the hiring, seconds.
        dismissed: for former ones: nothing more is wanted from it, it only has not been told.
    """

    position: Position
    node: NodeField
    idurl: IdurlText
    contract: ContractBytes = b""
    document: Annotated[bytes, msgspec.Meta(max_length=64 * 1024)] = b""
    hired: Seconds = 0
    dismissed: bool = False

    def terms(self) -> Contract | None:
        """The contract, None when there is none yet."""
        return Contract.decode(self.contract) if self.contract else None


class _State(msgspec.Struct, kw_only=True):
    n: int
    places: Annotated[list[Place], msgspec.Meta(max_length=MAX_SUPPLIERS)] = []
    retired: Annotated[list[Place], msgspec.Meta(max_length=MAX_RETIRED)] = []
    family: FamilyBytes = b""


class Roster:
    """The suppliers of this customer by position.

    Args:
        n: how many there are by the published family, one of ``NUMBERS``.

    ``target`` is how many there shall be. While it is larger, those hired for the further positions
    wait among ``places``; while it is smaller, the last positions are kept until nothing is left
    with them.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.target = n
        self.places: dict[int, Place] = {}
        self.retired: list[Place] = []
        self.family: Family | None = None

    def missing(self) -> list[int]:
        """Positions without a supplier that shall have one."""
        return [position for position in range(self.target) if position not in self.places]

    def n_at(self, position: int) -> int:
        """Number of suppliers that the contract for a position speaks of."""
        return self.n if position < self.n else self.target

    def nodes(self) -> set[NodeID]:
        """Node ids of all suppliers."""
        return {place.node for place in self.places.values()}

    def of(self, node: NodeID) -> Place | None:
        """The place a node holds."""
        return next((p for p in self.places.values() if p.node == node), None)

    def members(self) -> dict[int, tuple[NodeID, str]]:
        """What the family says: position -> (node id, IDURL)."""
        return {
            pos: (place.node, place.idurl) for pos, place in self.places.items() if pos < self.n
        }

    def family_is_current(self, customer_idurl: str) -> bool:
        """Whether the signed family says what is so."""
        family = self.family
        return (
            family is not None
            and family.n == self.n
            and family.customer_idurl == customer_idurl
            and {m.position: (m.node, m.idurl) for m in family.members} == self.members()
        )

    def retire(self, place: Place) -> None:
        """Put a supplier among the former ones; the oldest of too many is forgotten."""
        self.retired = [old for old in self.retired if old.node != place.node]
        self.retired.append(place)
        del self.retired[:-MAX_RETIRED]

    def grow(self) -> bool:
        """Take in those hired for further positions once all are; whether it came to that."""
        if self.target <= self.n or self.missing():
            return False
        self.n = self.target
        return True

    def give_up(self) -> list[Place]:
        """Let those go who were hired for a larger number that is not wanted any more."""
        spare = [place for pos, place in self.places.items() if pos >= max(self.n, self.target)]
        for place in spare:
            del self.places[place.position]
            self.retire(place)
        return spare

    def shrink(self) -> list[Place]:
        """Let the positions beyond ``target`` go; those who held them are former suppliers now."""
        gone = [place for pos, place in sorted(self.places.items()) if pos >= self.target]
        for place in gone:
            del self.places[place.position]
            self.retire(place)
        self.n = self.target
        return gone

    # --- disk -----------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """All of it, with a hash in front."""
        state = _State(
            n=self.n,
            places=[place for _, place in sorted(self.places.items())],
            retired=self.retired,
            family=self.family.encode() if self.family else b"",
        )
        payload = msgspec.msgpack.encode(state)
        return _MAGIC + blake3(payload).digest() + payload

    @classmethod
    def decode(cls, raw: bytes) -> Roster:
        """Read what ``encode`` gave.

        Raises:
            IntegrityError: damaged.
            FormatError: not such a file.
        """
        if not raw.startswith(_MAGIC):
            raise FormatError("not a file of suppliers")
        digest, payload = raw[len(_MAGIC) : len(_MAGIC) + 32], raw[len(_MAGIC) + 32 :]
        if blake3(payload).digest() != digest:
            raise IntegrityError("the file of suppliers is damaged")
        state = decode_bounded(payload, _State, MAX_STATE)
        check_number(state.n)
        roster = cls(state.n)
        roster.places = {place.position: place for place in state.places}
        roster.retired = state.retired
        roster.family = Family.decode(state.family) if state.family else None
        for place in (*state.places, *state.retired):
            place.terms()
        return roster


def load_roster(path: Path) -> Roster | None:
    """Read the state file. Blocks; meant for the pool.

    A damaged one is put aside under ``<name>.damaged``.

    Returns:
        None when there is no file.

    Raises:
        IntegrityError: it was damaged.
        LocalFileError: it cannot be read.
    """
    with disk_errors("reading the list of suppliers"):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return Roster.decode(raw)
        except IntegrityError:
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, path.with_name(path.name + ".damaged"))
            raise


def save_roster(path: Path, raw: bytes) -> None:
    """Replace the state file as a whole. Blocks; meant for the pool.

    Raises:
        DiskFull, LocalFileError: the old one is untouched.
    """
    with disk_errors("writing the list of suppliers"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, raw)
