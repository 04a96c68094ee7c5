"""Contracts: what a supplier owes a customer, signed by both. Pure.

The customer writes the terms and signs the offer; the supplier signs the same terms together with
the offer's signature. Neither can change a word afterwards, and either can show the contract to
the other years later without a session.
"""

from __future__ import annotations

import msgspec

from bitdust.errors import FormatError, IntegrityError
from bitdust.supply.wire import (
    ByteCount,
    IdurlText,
    NodeField,
    NodeID,
    Phase,
    Position,
    Revision,
    Seconds,
    Signature,
    Signer,
    Token,
    Verifier,
    check_idurl,
    check_number,
    check_signature,
    decode_bounded,
)

MAX_CONTRACT = 8192
"""Most bytes of an encoded contract."""

_OFFER_DOMAIN = b"bitdust supply contract offer v1\x00"
_GRANT_DOMAIN = b"bitdust supply contract grant v1\x00"


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One agreement between a customer and a supplier.

    Args:
        contract_id: 16 random bytes chosen by the customer; stays the same through renewals.
        customer: node id, 32 bytes.
        customer_idurl: the customer's first IDURL when it signed.
        supplier: node id, 32 bytes.
        supplier_idurl: the supplier's first IDURL when the customer signed.
        granted: bytes the supplier keeps for the customer.
        position: the supplier's place in the customer's family, 0 to n-1.
        n: number of suppliers in the family, one of ``NUMBERS``.
        issued: wall clock of the customer, seconds.
        expires: wall clock, seconds; after it nothing new is taken.
        revision: 1, then one more with each renewal.
        offer_signature: the customer's, over the terms.
        grant_signature: the supplier's, over the terms and the offer's signature; empty in an
            offer.
    """

    contract_id: Token
    customer: NodeField
    customer_idurl: IdurlText
    supplier: NodeField
    supplier_idurl: IdurlText
    granted: ByteCount
    position: Position
    n: int
    issued: Seconds
    expires: Seconds
    revision: Revision
    offer_signature: Signature = b""
    grant_signature: Signature = b""

    def terms(self) -> bytes:
        """The canonical bytes of the terms: a msgpack array in the order of the fields."""
        return msgspec.msgpack.encode(
            (
                self.contract_id,
                self.customer,
                self.customer_idurl,
                self.supplier,
                self.supplier_idurl,
                self.granted,
                self.position,
                self.n,
                self.issued,
                self.expires,
                self.revision,
            )
        )

    def encode(self) -> bytes:
        """The contract with its signatures as msgpack."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Contract:
        """Read a contract or an offer; signatures are not checked here.

        Raises:
            FormatError: not a contract, or terms outside their ranges.
        """
        contract = decode_bounded(raw, cls, MAX_CONTRACT)
        contract.check()
        return contract

    def check(self) -> None:
        """Check that the terms make sense among themselves.

        Raises:
            FormatError: they do not.
        """
        check_number(self.n)
        if self.position >= self.n:
            raise FormatError(f"position {self.position} of {self.n} suppliers")
        if self.expires <= self.issued:
            raise FormatError("a contract that ends before it begins")
        if self.granted < 1:
            raise FormatError("a contract about no bytes")
        if self.customer == self.supplier:
            raise FormatError("a contract of a node with itself")
        check_idurl(self.customer_idurl)
        check_idurl(self.supplier_idurl)

    def offered(self, key: Signer) -> Contract:
        """The same terms signed by the customer.

        Raises:
            IntegrityError: ``key`` is not the customer's.
        """
        if key.public.fingerprint != self.customer:
            raise IntegrityError("an offer can only be signed by its customer")
        return msgspec.structs.replace(
            self, offer_signature=key.sign(_OFFER_DOMAIN + self.terms()), grant_signature=b""
        )

    def countersigned(self, key: Signer) -> Contract:
        """The offer accepted by the supplier.

        Raises:
            IntegrityError: ``key`` is not the supplier's.
        """
        if key.public.fingerprint != self.supplier:
            raise IntegrityError("a contract can only be granted by its supplier")
        return msgspec.structs.replace(self, grant_signature=key.sign(self._grant_message()))

    def verify_offer(self, customer: Verifier) -> None:
        """Check the customer's signature.

        Raises:
            IntegrityError: another key, or a signature that does not fit.
        """
        if customer.fingerprint != self.customer:
            raise IntegrityError("the offer names another customer")
        check_signature(customer, self.offer_signature, _OFFER_DOMAIN + self.terms())

    def verify(self, customer: Verifier, supplier: Verifier) -> None:
        """Check both signatures.

        Raises:
            IntegrityError: other keys, or a signature that does not fit.
        """
        self.verify_offer(customer)
        self.verify_grant(supplier)

    def verify_grant(self, supplier: Verifier) -> None:
        """Check the supplier's signature alone.

        Raises:
            IntegrityError: another key, or a signature that does not fit.
        """
        if supplier.fingerprint != self.supplier:
            raise IntegrityError("the contract names another supplier")
        check_signature(supplier, self.grant_signature, self._grant_message())

    def same_terms(self, other: Contract) -> bool:
        """Whether both speak of exactly the same agreement, signatures aside."""
        return self.terms() == other.terms()

    def phase(self, now: float, grace: float) -> Phase:
        """Where the contract stands.

        Args:
            now: wall clock, seconds.
            grace: seconds after the end during which data is still read and deleted.
        """
        if now < self.expires:
            return Phase.ACTIVE
        return Phase.GRACE if now < self.expires + grace else Phase.LAPSED

    def _grant_message(self) -> bytes:
        return _GRANT_DOMAIN + msgspec.msgpack.encode((self.terms(), self.offer_signature))


def draft(
    *,
    contract_id: bytes,
    customer: NodeID,
    customer_idurl: str,
    supplier: NodeID,
    supplier_idurl: str,
    granted: int,
    position: int,
    n: int,
    now: float,
    term: float,
    revision: int = 1,
) -> Contract:
    """Unsigned terms that begin now.

    Args:
        now: wall clock, seconds.
        term: how long the contract shall last, seconds.

    Raises:
        FormatError: terms that make no sense.
    """
    contract = Contract(
        contract_id=contract_id,
        customer=customer,
        customer_idurl=customer_idurl,
        supplier=supplier,
        supplier_idurl=supplier_idurl,
        granted=granted,
        position=position,
        n=n,
        issued=max(0, int(now)),
        expires=max(0, int(now)) + int(term),
        revision=revision,
    )
    contract.check()
    return contract
