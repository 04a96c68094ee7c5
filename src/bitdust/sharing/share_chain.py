"""The journal of each writer, signed and chained.

Every segment is signed by its writer and names what it follows, so that nobody writes in another's
name, nothing in the middle is taken out or changed, and two people who were shown different pasts
find out as soon as they compare. The chain is kept in the ledger.
"""

from __future__ import annotations

import threading

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import IntegrityError
from bitdust.sharing.share_ledger import ShareLedger
from bitdust.sharing.share_notes import (
    SignedSegment,
    next_link,
    pack_signed,
    signed_bytes,
    start_of_chain,
    unpack_signed,
)


class _Chain:
    """One writer's chain.

    Args:
        share: 16 bytes.
        writer: node id.
        ledger: where links are kept.
    """

    def __init__(self, share: bytes, writer: bytes, ledger: ShareLedger) -> None:
        self._share = share
        self._writer = writer
        self._ledger = ledger

    def _follows(self, epoch: int, seq: int) -> bytes | None:
        if seq == 0:
            return start_of_chain(self._share, self._writer, epoch)
        return self._ledger.link(self._writer, epoch, seq)

    def _signed(self, epoch: int, seq: int, raw: bytes) -> SignedSegment:
        signed = unpack_signed(raw)
        key = PublicKey.from_der(signed.key)
        if key.fingerprint != self._writer:
            raise IntegrityError("a segment of a share's journal is signed by somebody else")
        key.verify(
            signed.signature,
            signed_bytes(self._share, epoch, seq, signed.link, signed.segment),
        )
        return signed

    def _keep(self, epoch: int, seq: int, signed: SignedSegment) -> None:
        link = next_link(signed.link, signed.segment)
        self._ledger.add_link(self._writer, epoch, seq + 1, link)


class OwnChain(_Chain):
    """The own journal in a share: see ``bitdust.storage`` ``Envelope``.

    Args:
        key: own identity key.
    """

    def __init__(self, share: bytes, key: PrivateKey, ledger: ShareLedger) -> None:
        super().__init__(share, key.public.fingerprint, ledger)
        self._key = key

    def wrap(self, epoch: int, seq: int, segment: bytes) -> bytes:
        """Sign a segment."""
        link = self._follows(epoch, seq)
        if link is None:
            raise IntegrityError(
                "what the next part of the share's journal follows is not known",
                hint="close the share and open it again",
            )
        signature = self._key.sign(signed_bytes(self._share, epoch, seq, link, segment))
        signed = SignedSegment(self._key.public.der, link, signature, segment)
        self._keep(epoch, seq, signed)
        return pack_signed(signed)

    def unwrap(self, epoch: int, seq: int, raw: bytes) -> bytes:
        """Read a segment of one's own back, in a recovery; in any order."""
        signed = self._signed(epoch, seq, raw)
        self._keep(epoch, seq, signed)
        return signed.segment


class FollowedChain(_Chain):
    """Another writer's journal; segments may be opened in any order, and are applied in theirs.

    A segment fits when it follows the one before. Where that one is opened later, it is the later
    opening that finds what does not fit; nothing is applied before all before it was opened.
    """

    def __init__(self, share: bytes, writer: bytes, ledger: ShareLedger) -> None:
        super().__init__(share, writer, ledger)
        self._early: dict[tuple[int, int], bytes] = {}
        self._lock = threading.Lock()

    def wrap(self, epoch: int, seq: int, segment: bytes) -> bytes:
        """Never done.

        Raises:
            IntegrityError: always; nobody writes in another's name.
        """
        raise IntegrityError("the journal of another writer is only read")

    def unwrap(self, epoch: int, seq: int, raw: bytes) -> bytes:
        """Check a segment and give what is in it.

        Raises:
            IntegrityError, FormatError: it is not by that writer, or does not fit its neighbours.
        """
        signed = self._signed(epoch, seq, raw)
        after = next_link(signed.link, signed.segment)
        with self._lock:
            before = self._follows(epoch, seq)
            if before is None:
                self._early[epoch, seq] = signed.link
            if before not in (None, signed.link) or (
                self._early.get((epoch, seq + 1), after) != after
            ):
                raise IntegrityError(
                    f"part {epoch}-{seq} of the journal does not fit what its writer wrote before"
                )
            self._keep(epoch, seq, signed)
        return signed.segment
