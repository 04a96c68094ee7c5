"""Families: a customer's own signed list of its suppliers. Pure.

Every supplier keeps the newest one and hands it to anybody who asks, because it proves itself: it
carries the customer's public key, whose hash is the customer's node id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from bitdust.errors import FormatError, IntegrityError
from bitdust.supply.wire import (
    MAX_SUPPLIERS,
    IdurlText,
    KeyDer,
    NodeField,
    NodeID,
    Position,
    Revision,
    Seconds,
    Signature,
    Signer,
    Verifier,
    check_idurl,
    check_number,
    check_signature,
    decode_bounded,
)

MAX_FAMILY = 48 * 1024
"""Most bytes of an encoded family: 64 members with the longest IDURLs fit."""

_DOMAIN = b"bitdust supply family v1\x00"


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One supplier of a family: its place, node id and IDURL."""

    position: Position
    node: NodeField
    idurl: IdurlText


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Who keeps a customer's data, and at which place.

    Args:
        customer: node id, 32 bytes.
        customer_key: its public key, SPKI DER.
        customer_idurl: its first IDURL.
        n: number of suppliers, one of ``NUMBERS``.
        ecc: the erasure code, always ``ecc/NxN``.
        members: by rising position; places not filled yet are left out.
        revision: rises with every change.
        timestamp: wall clock of the customer, seconds.
        signature: the customer's.
    """

    customer: NodeField
    customer_key: KeyDer
    customer_idurl: IdurlText
    n: int
    ecc: Annotated[str, msgspec.Meta(max_length=16)]
    members: Annotated[tuple[Member, ...], msgspec.Meta(max_length=MAX_SUPPLIERS)]
    revision: Revision
    timestamp: Seconds
    signature: Signature = b""

    @classmethod
    def build(
        cls,
        key: Signer,
        *,
        customer_idurl: str,
        n: int,
        members: Mapping[int, tuple[NodeID, str]],
        revision: int,
        now: float,
    ) -> Family:
        """Make and sign a family.

        Args:
            members: position -> (node id, IDURL).
            now: wall clock, seconds.

        Raises:
            FormatError: a list that makes no sense.
        """
        public = key.public
        family = cls(
            customer=public.fingerprint,
            customer_key=public.der,
            customer_idurl=customer_idurl,
            n=n,
            ecc=f"ecc/{n}x{n}",
            members=tuple(
                Member(position, node, idurl) for position, (node, idurl) in sorted(members.items())
            ),
            revision=revision,
            timestamp=max(0, int(now)),
        )
        family.check()
        return msgspec.structs.replace(family, signature=key.sign(family._message()))

    def encode(self) -> bytes:
        """The family with its signature as msgpack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Family:
        """Read a family; the signature is not checked here.

        Raises:
            FormatError: not a family, or a list that makes no sense.
        """
        family = decode_bounded(raw, cls, MAX_FAMILY)
        family.check()
        return family

    def check(self) -> None:
        """Check the list in itself.

        Raises:
            FormatError: an unknown number, positions out of order or range, or a node twice.
        """
        check_number(self.n)
        if self.ecc != f"ecc/{self.n}x{self.n}":
            raise FormatError("the erasure code of a family does not fit its number of suppliers")
        positions = [member.position for member in self.members]
        if positions != sorted(set(positions)) or (positions and positions[-1] >= self.n):
            raise FormatError("the positions of a family are not in order")
        nodes = {member.node for member in self.members}
        if len(nodes) != len(self.members) or self.customer in nodes:
            raise FormatError("a node holds two places of a family")
        check_idurl(self.customer_idurl)
        for member in self.members:
            check_idurl(member.idurl)

    def verify(self, customer: Verifier) -> None:
        """Check that the customer signed this very list.

        Raises:
            IntegrityError: another key, or a signature that does not fit.
        """
        if customer.fingerprint != self.customer or customer.der != self.customer_key:
            raise IntegrityError("the family names another customer")
        check_signature(customer, self.signature, self._message())

    def positions(self) -> dict[int, Member]:
        """The members by position."""
        return {member.position: member for member in self.members}

    def _message(self) -> bytes:
        return _DOMAIN + msgspec.msgpack.encode(
            (
                self.customer,
                self.customer_key,
                self.customer_idurl,
                self.n,
                self.ecc,
                [(member.position, member.node, member.idurl) for member in self.members],
                self.revision,
                self.timestamp,
            )
        )
