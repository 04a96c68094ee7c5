"""The creator's order to go on with other brokers when most of the old ones are lost. Pure.

An order is an entry of the stream like others, signed by the creator, that stands at the place it
names: everything before it stays, everything else that was at that place or behind is void. Each
order has a higher generation than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from bitdust.errors import BitdustError, FormatError, IntegrityError
from bitdust.messaging.group_keys import is_signed
from bitdust.messaging.group_wire import (
    BrokerList,
    Bytes32,
    Entry,
    Genesis,
    Kind,
    Number,
    decode_entry,
    decode_struct,
    entry_hash,
)

MAX_GENERATION: Final = 1 << 20
_TERMS: Final = 32
"""Bits of a broker's term below the generation."""


class Order(msgspec.Struct, frozen=True, array_like=True):
    """The open part of an entry of kind ``ORDER``.

    Args:
        generation: 1 for the first order, then higher.
        base: the place of the entry; what is before it stays.
        link: the chain's value there.
        brokers: who goes on.
    """

    generation: Annotated[int, msgspec.Meta(ge=1, le=MAX_GENERATION)]
    base: Number
    link: Bytes32
    brokers: BrokerList

    @property
    def term(self) -> int:
        """The brokers' first term: higher than any of the generation before."""
        return self.generation << _TERMS


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that was checked, with its entry."""

    order: Order
    raw: bytes
    digest: bytes


def order_in(entry: Entry) -> Order | None:
    """What an entry orders, None if it is no order."""
    if entry.kind != Kind.ORDER:
        return None
    try:
        order = decode_struct(entry.open, Order, 4096)
    except FormatError:
        return None
    return order if len({b.node for b in order.brokers}) == len(order.brokers) else None


def check_order(raw: bytes, genesis: Genesis) -> Ordered:
    """Read an order.

    Args:
        raw: the entry.
        genesis: of the stream it is said to be for.

    Raises:
        FormatError: it is none.
        IntegrityError: the creator did not sign it.
    """
    entry = decode_entry(raw)
    order = order_in(entry)
    if order is None:
        raise FormatError("not an order of a group's creator")
    signed = is_signed(entry.sender, entry.signature, entry.message(genesis.stream))
    if entry.sender != genesis.owner or not signed:
        raise IntegrityError("an order that the creator of the group did not give")
    return Ordered(order, raw, entry_hash(raw))


def known_order(raw: bytes, genesis: Genesis) -> Ordered | None:
    """The same for something that may be empty or of no use."""
    try:
        return check_order(raw, genesis) if raw else None
    except BitdustError:
        return None
