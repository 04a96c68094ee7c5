"""What customers and suppliers say to each other: methods, arguments, bounds. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from bitdust.supply.contracts import MAX_CONTRACT
from bitdust.supply.family import MAX_FAMILY
from bitdust.supply.names import MAX_NAME, MAX_PREFIX
from bitdust.supply.wire import ByteCount, Digest, NodeField

HIRE: Final = "supplier.hire"
CONTRACT: Final = "supplier.contract"
FAMILY_PUT: Final = "supplier.family.put"
FAMILY_GET: Final = "supplier.family.get"
CANCEL: Final = "supplier.cancel"
SUPPLIER_PING: Final = "supplier.ping"
CUSTOMER_PING: Final = "customer.ping"
TERMINATED: Final = "customer.terminated"
PUT: Final = "fragment.put"
GET: Final = "fragment.get"
DELETE: Final = "fragment.delete"
LIST: Final = "fragment.list"
AUDIT: Final = "fragment.audit"
CHARTER_PUT: Final = "supplier.charter.put"
CHARTER_GET: Final = "supplier.charter.get"

LIST_PAGE: Final = 200
"""Most objects in one answer to ``fragment.list``; they fit in the arguments of a message."""
DELETE_PAGE: Final = 250
"""Most names in one ``fragment.delete``."""
MAX_REASON: Final = 200
"""Longest reason of a refusal, characters."""

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Prefix = Annotated[str, msgspec.Meta(max_length=MAX_PREFIX)]
ContractBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_CONTRACT)]
FamilyBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_FAMILY)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
Account = Annotated[bytes, msgspec.Meta(max_length=32)]
"""Whose objects are meant: a customer's node id, empty for the caller's own."""


class Refusal(StrEnum):
    """Why an offer is not accepted."""

    FULL = "full"
    DISABLED = "disabled"
    BLOCKED = "blocked"
    ALREADY = "already"
    TERM = "term"
    CLOCK = "clock"
    IN_USE = "in_use"
    STALE = "stale"


class Hire(msgspec.Struct, frozen=True):
    """Arguments of ``supplier.hire``: an offer signed by the customer."""

    offer: ContractBytes


class Hired(msgspec.Struct, frozen=True):
    """Answer to ``supplier.hire``.

    Args:
        reason: empty when accepted, else one of ``Refusal``.
        contract: countersigned when accepted; with ``already`` or ``stale`` the one in force.
        message: the reason in words.
    """

    reason: Reason = ""
    contract: ContractBytes = b""
    message: Reason = ""


class Nothing(msgspec.Struct, frozen=True):
    """No arguments."""


class Held(msgspec.Struct, frozen=True):
    """Answer to ``supplier.contract``: what the supplier holds of the customer that asks."""

    contract: ContractBytes
    family: FamilyBytes = b""
    used: ByteCount = 0
    count: ByteCount = 0


class FamilyPut(msgspec.Struct, frozen=True):
    """Arguments of ``supplier.family.put``."""

    family: FamilyBytes


class FamilyAsk(msgspec.Struct, frozen=True):
    """Arguments of ``supplier.family.get``: the customer's node id."""

    customer: NodeField


class FamilyGiven(msgspec.Struct, frozen=True):
    """Answer to both: the family in force at the supplier."""

    family: FamilyBytes


class Cancel(msgspec.Struct, frozen=True):
    """Arguments of ``supplier.cancel`` and ``customer.terminated``: which contract ends."""

    contract_id: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    reason: Reason = ""


class Freed(msgspec.Struct, frozen=True):
    """Answer to ``supplier.cancel``: bytes removed."""

    freed: ByteCount = 0


class Pong(msgspec.Struct, frozen=True):
    """Answer to both pings.

    Args:
        known: whether a contract between the two is held.
        used: bytes kept for the one who asks, from a supplier.
        count: objects kept for it.
    """

    known: bool = False
    used: ByteCount = 0
    count: ByteCount = 0


class Put(msgspec.Struct, frozen=True):
    """Arguments of ``fragment.put``; the body is the object."""

    name: Name
    size: ByteCount
    hash: Digest
    account: Account = b""


class Stored(msgspec.Struct, frozen=True):
    """Answer to ``fragment.put``, sent when the object is on the disk.

    Args:
        existed: exactly this object was there before; the body was not needed.
        used: bytes of all the customer's objects.
        count: number of them.
    """

    existed: bool = False
    used: ByteCount = 0
    count: ByteCount = 0


class Get(msgspec.Struct, frozen=True):
    """Arguments of ``fragment.get``; length -1 means to the end."""

    name: Name
    offset: ByteCount = 0
    length: Annotated[int, msgspec.Meta(ge=-1, le=1 << 50)] = -1
    account: Account = b""


class Got(msgspec.Struct, frozen=True):
    """Answer to ``fragment.get``; size and hash are the whole object's."""

    size: ByteCount
    hash: Digest


class Delete(msgspec.Struct, frozen=True):
    """Arguments of ``fragment.delete``."""

    names: Annotated[list[Name], msgspec.Meta(max_length=DELETE_PAGE)]
    account: Account = b""


class Deleted(msgspec.Struct, frozen=True):
    """Answer to ``fragment.delete``: how many were there, and what remains."""

    deleted: ByteCount = 0
    used: ByteCount = 0
    count: ByteCount = 0


class List(msgspec.Struct, frozen=True):
    """Arguments of ``fragment.list``: a prefix, and the last name of the page before."""

    prefix: Prefix = ""
    after: Prefix = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_PAGE)] = LIST_PAGE
    account: Account = b""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One object: name, size in bytes, BLAKE3, and whether the supplier can still serve it."""

    name: Name
    size: ByteCount
    hash: Digest
    intact: bool


class Listed(msgspec.Struct, frozen=True):
    """Answer to ``fragment.list``: a page, and whether more may follow."""

    entries: Annotated[list[Entry], msgspec.Meta(max_length=LIST_PAGE)]
    more: bool = False


class Audit(msgspec.Struct, frozen=True):
    """Arguments of ``fragment.audit``: a one-time key."""

    name: Name
    key: Digest
    account: Account = b""


class Audited(msgspec.Struct, frozen=True):
    """Answer to ``fragment.audit``: what ``bitdust.proofs.answer`` gives under that key."""

    digest: Digest


class CharterAsk(msgspec.Struct, frozen=True):
    """Arguments of ``supplier.charter.get``: a customer's share, and the serial known already."""

    customer: NodeField
    share: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    serial: ByteCount = 0


class CharterHeld(msgspec.Struct, frozen=True):
    """Answer to both: the serial in force; to ``get`` with the charter as body, when it is news."""

    serial: ByteCount
