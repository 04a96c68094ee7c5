"""What a node, a web socket router and a device say to each other around the sealed frames. Pure.

A node connects to the router and shows a secret; its hash names the route, so that a node has the
same route at every router and after every break, and nobody else can take it over. Whoever connects
to ``/ROUTE`` is a client of that route; the router gives it a number and passes its messages on,
unread, with that number in front.

Source: docs/spec/devices.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from bitdust.devices.channel import MAX_FRAME
from bitdust.devices.noise import KEY_SIZE
from bitdust.errors import FormatError

ROUTE_MAGIC = b"BDR\x01"
ROUTE_LETTERS = 32
HEADER = 5
MAX_ROUTED = HEADER + MAX_FRAME
"""Bytes of the longest message between a node and a router."""
MAX_CLIENTS_PER_ROUTE = 4
MAX_NUMBER = 2**32 - 1

_LABEL = b"bitdust device route 1"


class RouteKind(IntEnum):
    """What a message between node and router is about."""

    OPEN = 1
    """A client came; to nodes only."""
    DATA = 2
    """A message of a client, or for one."""
    CLOSE = 3
    """A client left, or shall."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A message between node and router.

    Args:
        kind: what it is about.
        client: number of the client.
        data: what the client sent or gets.
    """

    kind: RouteKind
    client: int
    data: bytes = b""


def route_of(secret: bytes) -> str:
    """The name of a route, 32 hexadecimal digits."""
    return hashlib.sha256(_LABEL + secret).hexdigest()[:ROUTE_LETTERS]


def registration(secret: bytes) -> bytes:
    """What a node sends first."""
    return ROUTE_MAGIC + secret


def read_registration(message: bytes) -> bytes:
    """The secret in a node's first message.

    Raises:
        FormatError: it is no such message, or of another version.
    """
    if message[: len(ROUTE_MAGIC)] != ROUTE_MAGIC or len(message) != len(ROUTE_MAGIC) + KEY_SIZE:
        raise FormatError("no node of this version begins so")
    return message[len(ROUTE_MAGIC) :]


def confirmation(route: str) -> bytes:
    """What a router answers."""
    return ROUTE_MAGIC + route.encode("ascii")


def check_confirmation(message: bytes, route: str) -> None:
    """Whether a router took the node in.

    Raises:
        FormatError: it did something else.
    """
    if message != confirmation(route):
        raise FormatError("the router did not confirm the route")


def write_routed(message: Routed) -> bytes:
    """A message as it goes over."""
    return bytes([message.kind]) + message.client.to_bytes(4, "big") + message.data


def read_routed(raw: bytes) -> Routed:
    """Read a message.

    Raises:
        FormatError: it is none.
    """
    if not HEADER <= len(raw) <= MAX_ROUTED:
        raise FormatError("a routed message has a wrong length")
    try:
        kind = RouteKind(raw[0])
    except ValueError:
        raise FormatError("a routed message of an unknown kind") from None
    data = raw[HEADER:]
    if data and kind is not RouteKind.DATA:
        raise FormatError("a routed message that carries something it should not")
    return Routed(kind, int.from_bytes(raw[1:HEADER], "big"), data)
