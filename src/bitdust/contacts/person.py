"""Who is meant: from what a user types to a person's identity document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from bitdust.errors import InvalidName, NotFound
from bitdust.identity import IdentityDocument
from bitdust.ids import IDURL, GlobalID

MAX_PERSON_NAME = 64
"""Characters of an alias or nickname."""
HINT = "name them by their address, such as alice@id.example.org, or see `bitdust friend list`"

NameLookup: TypeAlias = Callable[[str], Awaitable[IdentityDocument | None]]
"""Finds the one person with an alias or a nickname; None when it knows nobody of that name."""
Resolve: TypeAlias = Callable[[IDURL], Awaitable[IdentityDocument]]


def parse_address(text: str) -> GlobalID | None:
    """The address in what a user typed; None when it is a name that somebody must know.

    Args:
        text: an IDURL, a global id, a key id of that person, or a bare name.

    Raises:
        InvalidName: an address that is malformed, or a name that nobody can have.
    """
    text = text.strip()
    if text.startswith(("http://", "https://", "dht://")) or "@" in text:
        return GlobalID.parse(text if "://" in text else text.rpartition("$")[2])
    if not 0 < len(text) <= MAX_PERSON_NAME or not text.isprintable():
        raise InvalidName(f"{text[:80]!r} names nobody", hint=HINT)
    return None


async def find_person(
    text: str, resolve: Resolve, lookups: Iterable[NameLookup]
) -> IdentityDocument:
    """The identity document of whom a user means.

    Args:
        text: see ``parse_address``.
        resolve: finds the document behind an IDURL.
        lookups: know people by names that are no addresses; asked in order.

    Raises:
        InvalidName: nobody can be called that.
        NotFound: nobody is known by that name.
        IdentityServerError: the person's identity server is away and nothing is known of them.
        IntegrityError: the server gave the document of another key than the known one.
    """
    address = parse_address(text)
    if address is not None:
        try:
            return await resolve(address.idurl)
        except NotFound as exc:
            raise NotFound(f"unknown user {address}", hint=HINT) from exc
    for lookup in lookups:
        found = await lookup(text.strip())
        if found is not None:
            return found
    raise NotFound(f"unknown user {text.strip()[:80]!r}", hint=HINT)
