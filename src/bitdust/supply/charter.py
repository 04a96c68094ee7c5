"""Charters: who may use a share, and whose suppliers keep it. Pure.

A share is a place that several people read and write. Its data lies at the suppliers of one
customer and counts against that customer's contracts. The charter names the members; it is signed
by the share's *admin*, who made it, and needs no secret to be checked, so that every supplier and
every member can. The newest one counts: whoever is not in it any more is no member.

When the admin is not the customer itself, the charter carries the customer's *permit*: the word
that this share may use its suppliers, and how much of them.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from bitdust.errors import FormatError, IntegrityError
from bitdust.supply.wire import (
    ByteCount,
    Digest,
    IdurlText,
    KeyDer,
    NodeField,
    NodeID,
    Revision,
    Seconds,
    Signature,
    Signer,
    Token,
    Verifier,
    check_idurl,
    check_signature,
    decode_bounded,
)

MAX_CHARTER: Final = 160 * 1024
"""Most bytes of an encoded charter: as many members as may be, with 4096-bit keys, fit."""
MAX_PERMIT: Final = 8192
"""Most bytes of an encoded permit."""
MAX_MEMBERS: Final = 64
"""Most members of a share, and most former ones whose data it still holds."""
MAX_EPOCHS: Final = 1024
"""Most keys a share may have had."""
WRAPPED: Final = 40
"""Bytes of a key locked under the one that came after it."""
WRITER: Final = 16
"""Bytes of a node id that stand for a writer in object names."""

_CHARTER_DOMAIN = b"bitdust share charter v1\x00"
_PERMIT_DOMAIN = b"bitdust share permit v1\x00"

Epoch = Annotated[int, msgspec.Meta(ge=0, le=MAX_EPOCHS)]
Wrapped = Annotated[bytes, msgspec.Meta(min_length=WRAPPED, max_length=WRAPPED)]


class ShareMember(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who reads and writes.

    Args:
        node: node id.
        idurl: address when the charter was signed.
        sealed: the newest key of the share, sealed for this member; empty while there is only the
            key that all members were handed.
    """

    node: NodeField
    idurl: IdurlText
    sealed: Annotated[bytes, msgspec.Meta(max_length=1024)] = b""


class FormerMember(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who was a member, and whose files stay.

    Args:
        node: node id.
        idurl: last known address.
        epoch, segments: of that writer's journal only this epoch counts, up to so many segments.
    """

    node: NodeField
    idurl: IdurlText
    epoch: Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
    segments: Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's word that somebody else's share may use its suppliers.

    Args:
        share: 16 bytes. customer, customer_key: whose suppliers. admin: node id of who rules it.
        quota: bytes at each supplier, 0 for as much as the contract has.
        expires: wall clock second, 0 for never.
        timestamp: wall clock second.
        signature: the customer's.
    """

    share: Token
    customer: NodeField
    customer_key: KeyDer
    admin: NodeField
    quota: ByteCount = 0
    expires: Seconds = 0
    timestamp: Seconds = 0
    signature: Signature = b""

    def _message(self) -> bytes:
        return _PERMIT_DOMAIN + msgspec.msgpack.encode(
            (
                self.share,
                self.customer,
                self.customer_key,
                self.admin,
                self.quota,
                self.expires,
                self.timestamp,
            )
        )

    def signed(self, key: Signer) -> Permit:
        """The permit with the customer's signature.

        Raises:
            IntegrityError: ``key`` is not the customer's.
        """
        if key.public.fingerprint != self.customer:
            raise IntegrityError("a permit can only be signed by the customer it speaks for")
        return msgspec.structs.replace(self, signature=key.sign(self._message()))

    def encode(self) -> bytes:
        """The permit with its signature as msgpack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Permit:
        """Read a permit; its signature is not checked here.

        Raises:
            FormatError: no permit.
        """
        return decode_bounded(raw, cls, MAX_PERMIT)

    def verify(self, customer: Verifier) -> None:
        """Check the customer's signature.

        Raises:
            IntegrityError: another key, or a signature that does not fit.
        """
        if customer.fingerprint != self.customer or customer.der != self.customer_key:
            raise IntegrityError("the permit speaks for another customer")
        check_signature(customer, self.signature, self._message())


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use a share.

    Args:
        share: 16 bytes, those of the share's alias.
        key: SHA-256 of the share's own public key.
        customer: node id of whose suppliers keep it.
        admin, admin_key, admin_idurl: who rules it.
        members: the admin among them; none in a share that was ended.
        former: whose files stay though they are no members any more.
        epoch: how often the key was changed.
        chain: the keys before the newest one, each locked under the next, the latest first; the
            very first one, which follows from the share's own key, is not among them.
        quota: bytes that its members besides the customer may use at each supplier, 0 for as many
            as the contract has.
        expires: wall clock second after which members have no access, 0 for never.
        serial: rises with every change.
        timestamp: wall clock second.
        permit: of the customer, when the admin is somebody else.
        signature: the admin's.
    """

    share: Token
    key: Digest
    customer: NodeField
    admin: NodeField
    admin_key: KeyDer
    admin_idurl: IdurlText
    members: Annotated[tuple[ShareMember, ...], msgspec.Meta(max_length=MAX_MEMBERS)]
    former: Annotated[tuple[FormerMember, ...], msgspec.Meta(max_length=MAX_MEMBERS)] = ()
    epoch: Epoch = 0
    chain: Annotated[tuple[Wrapped, ...], msgspec.Meta(max_length=MAX_EPOCHS)] = ()
    quota: ByteCount = 0
    expires: Seconds = 0
    serial: Revision
    timestamp: Seconds
    permit: Annotated[bytes, msgspec.Meta(max_length=MAX_PERMIT)] = b""
    signature: Signature = b""

    def _message(self) -> bytes:
        return _CHARTER_DOMAIN + msgspec.msgpack.encode(
            (
                self.share,
                self.key,
                self.customer,
                self.admin,
                self.admin_key,
                self.admin_idurl,
                [(one.node, one.idurl, one.sealed) for one in self.members],
                [(one.node, one.idurl, one.epoch, one.segments) for one in self.former],
                self.epoch,
                self.chain,
                self.quota,
                self.expires,
                self.serial,
                self.timestamp,
                self.permit,
            )
        )

    def signed(self, key: Signer) -> Charter:
        """The charter with the admin's signature.

        Raises:
            IntegrityError: ``key`` is not the admin's.
            FormatError: it makes no sense, or is too long.
        """
        if key.public.fingerprint != self.admin:
            raise IntegrityError("a charter can only be signed by the share's admin")
        self.check()
        charter = msgspec.structs.replace(self, signature=key.sign(self._message()))
        if len(charter.encode()) > MAX_CHARTER:
            raise FormatError("the charter of a share is too long")
        return charter

    def encode(self) -> bytes:
        """The charter with its signature as msgpack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Charter:
        """Read a charter; signatures are not checked here.

        Raises:
            FormatError: no charter, or one that makes no sense.
        """
        charter = decode_bounded(raw, cls, MAX_CHARTER)
        charter.check()
        return charter

    def check(self) -> None:
        """Check the charter in itself.

        Raises:
            FormatError: a person twice, the admin missing, or keys that do not fit the epoch.
        """
        everybody: list[ShareMember | FormerMember] = [*self.members, *self.former]
        writers = {one.node[:WRITER] for one in everybody}
        if len(writers) != len(everybody):
            raise FormatError("somebody stands twice in the charter of a share")
        if self.members and not self.is_member(self.admin):
            raise FormatError("the admin of a share is no member of it")
        if len(self.chain) != max(0, self.epoch - 1):
            raise FormatError("the keys in a charter do not fit its epoch")
        for one in everybody:
            check_idurl(one.idurl)
        check_idurl(self.admin_idurl)

    def verify(self, admin: Verifier, customer: Verifier | None = None) -> None:
        """Check the admin's signature and, for a share on another's suppliers, the permit.

        Args:
            admin: the key in ``admin_key``.
            customer: the key in the permit, None when the charter carries none.

        Raises:
            IntegrityError: a signature does not fit, or there is no permit where one is needed.
            FormatError: the permit cannot be read.
        """
        if admin.fingerprint != self.admin or admin.der != self.admin_key:
            raise IntegrityError("the charter names another admin")
        check_signature(admin, self.signature, self._message())
        if self.admin == self.customer:
            return
        permit = self.permit_of()
        if permit is None or customer is None:
            raise IntegrityError("the charter of a share on foreign suppliers lacks their permit")
        if (permit.share, permit.customer, permit.admin) != (self.share, self.customer, self.admin):
            raise IntegrityError("the permit in a charter is about something else")
        permit.verify(customer)

    def permit_of(self) -> Permit | None:
        """The permit it carries.

        Raises:
            FormatError: it cannot be read.
        """
        return Permit.decode(self.permit) if self.permit else None

    def is_member(self, node: NodeID) -> bool:
        """Whether somebody may read and write."""
        return any(member.node == node for member in self.members)

    def member(self, node: NodeID) -> ShareMember | None:
        """The row of a member."""
        return next((member for member in self.members if member.node == node), None)

    def ends(self) -> int:
        """The second at which access ends by itself, 0 for never."""
        permit = self.permit_of()
        times = [at for at in (self.expires, permit.expires if permit else 0) if at]
        return min(times, default=0)

    def limit(self) -> int:
        """Bytes that members besides the customer may use at each supplier, 0 for no limit."""
        permit = self.permit_of()
        bounds = [size for size in (self.quota, permit.quota if permit else 0) if size]
        return min(bounds, default=0)

    def replaces(self, held: Charter) -> bool:
        """Whether this one takes the place of ``held``, both being proven.

        The customer itself may end or take over any share on its suppliers.
        """
        if self.serial <= held.serial or (self.share, self.customer) != (held.share, held.customer):
            return False
        return self.admin == held.admin or self.admin == self.customer


def share_prefix(share: bytes) -> str:
    """How the names of all objects of a share begin."""
    return f"s/{share.hex()}/"


def writer_prefix(share: bytes, writer: NodeID) -> str:
    """How the names of one writer's objects in a share begin."""
    return f"{share_prefix(share)}{writer[:WRITER].hex()}/"
