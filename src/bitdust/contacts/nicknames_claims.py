"""Nicknames: which text is one, and the signed claim by which somebody holds it. Pure.

A claim says who holds which nickname, and is signed with that person's master key. It is worth
nothing by itself: the reader checks it against the identity document of the address it names.

Source: docs/spec/nicknames.md.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import msgspec

from bitdust.errors import FormatError, IntegrityError, InvalidName
from bitdust.ids import IDURL

CLAIM_METHOD: Final = "nickname.claim"
CLAIM_VERSION: Final = 1
MAX_NICKNAME: Final = 64
"""Characters of a nickname."""
MAX_NICKNAME_BYTES: Final = 200
MAX_IDURL: Final = 400
MAX_RECORD: Final = 1024
MAX_SIGNATURE: Final = 1024

_CONTEXT: Final = b"bitdust nickname claim 1\x00"


class Signer(Protocol):
    """A private master key."""

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message``."""
        ...


class Verifier(Protocol):
    """A public master key."""

    @property
    def fingerprint(self) -> bytes:
        """The node id of its owner, 32 bytes."""
        ...

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature; raises IntegrityError."""
        ...


class AskClaim(msgspec.Struct, frozen=True):
    """Asks a node whether it holds a nickname.

    Args:
        name: the nickname.
    """

    name: Annotated[str, msgspec.Meta(max_length=MAX_NICKNAME)]


class SignedClaim(msgspec.Struct, frozen=True):
    """A claim as it travels.

    Args:
        record: a ``Claim`` as msgpack.
        signature: RSA-PSS by the holder's master key.
    """

    record: Annotated[bytes, msgspec.Meta(max_length=MAX_RECORD)]
    signature: Annotated[bytes, msgspec.Meta(max_length=MAX_SIGNATURE)]


class Claim(msgspec.Struct, frozen=True):
    """Somebody holds a nickname.

    Args:
        version: 1.
        name: the nickname, as its holder writes it.
        node: the holder's node id, 32 bytes.
        idurl: the holder's address.
        issued: the holder's wall clock, seconds.
    """

    version: Annotated[int, msgspec.Meta(ge=CLAIM_VERSION, le=CLAIM_VERSION)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NICKNAME)]
    node: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    idurl: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDURL)]
    issued: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who was proven to hold a nickname.

    Args:
        name: as the holder writes it.
        node_id: 32 bytes.
        idurl: the holder's address.
        global_id: the same as ``user@host``.
    """

    name: str
    node_id: bytes
    idurl: str
    global_id: str


def clean_nickname(text: str) -> str:
    """A nickname as it is kept: composed characters, no spaces at the ends.

    Raises:
        InvalidName: empty, too long, or with characters that cannot be seen.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidName("the nickname is not valid text") from exc
    name = unicodedata.normalize("NFC", text[: 4 * MAX_NICKNAME]).strip()
    long = len(text) > 4 * MAX_NICKNAME or len(name) > MAX_NICKNAME
    if not name or long or len(name.encode()) > MAX_NICKNAME_BYTES or not name.isprintable():
        raise InvalidName(
            f"{name[:40]!r} cannot be a nickname",
            hint=f"use 1 to {MAX_NICKNAME} visible characters on one line",
        )
    return name


def matching_form(name: str) -> str:
    """What two spellings of one nickname have in common: case does not count.

    Args:
        name: from ``clean_nickname``.
    """
    return unicodedata.normalize("NFC", name.casefold())


def sign_claim(claim: Claim, key: Signer) -> SignedClaim:
    """Sign a claim with its holder's master key."""
    record = msgspec.msgpack.encode(claim)
    return SignedClaim(record, key.sign(_CONTEXT + record))


def open_claim(signed: SignedClaim, name: str, key: Verifier) -> Claim:
    """Check a claim.

    Args:
        signed: from anybody.
        name: the nickname asked for, from ``clean_nickname``.
        key: the master key of whoever is said to have signed it.

    Raises:
        FormatError: not a claim, or of something that cannot be a nickname or an address.
        IntegrityError: of another name, of somebody else, or not signed by ``key``.
    """
    try:
        claim = msgspec.msgpack.decode(signed.record, type=Claim)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise FormatError("not a nickname claim") from exc
    try:
        is_clean = clean_nickname(claim.name) == claim.name
        IDURL.parse(claim.idurl)
    except InvalidName as exc:
        raise FormatError(f"a nickname claim holds {exc.message}") from exc
    if not is_clean:
        raise FormatError("a nickname claim holds a nickname in no proper form")
    if matching_form(claim.name) != matching_form(name):
        raise IntegrityError("a nickname claim is about another nickname")
    if claim.node != key.fingerprint:
        raise IntegrityError("a nickname claim is somebody else's")
    key.verify(signed.signature, _CONTEXT + signed.record)
    return claim


def in_turns(endpoints: list[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Choose whom to ask so that each host has its turn before any has a second one.

    Whoever announces a thousand ports of one machine thus hides nobody.

    Args:
        endpoints: ``(host, port)``, in the order in which those of one host are to be asked.
        most: how many to choose.
    """
    by_host: dict[str, list[tuple[str, int]]] = {}
    for endpoint in endpoints:
        by_host.setdefault(endpoint[0], []).append(endpoint)
    chosen: list[tuple[str, int]] = []
    turn = 0
    while len(chosen) < most and any(len(group) > turn for group in by_host.values()):
        chosen += [group[turn] for group in by_host.values() if len(group) > turn]
        turn += 1
    return chosen[:most]
