"""Sessions between two people: X3DH to begin one, the Double Ratchet to go on. No I/O.

The algorithms are those of the packages ``x3dh`` and ``doubleratchet``; this module gives them
their parameters, keeps hostile bytes within the documented errors and turns a session into bytes
and back. Both packages bring much that a node needs only once somebody writes, so this module is
imported then and not before. X25519 and Ed25519, HKDF and HMAC with SHA-256, AES-256-CBC with HMAC.

Source: The X3DH Key Agreement Protocol, revision 1; The Double Ratchet Algorithm, revision 1
(signal.org/docs/specifications).
"""

from __future__ import annotations

from collections.abc import Coroutine
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec
from doubleratchet import (
    AuthenticationFailedException,
    DecryptionFailedException,
    DoSProtectionException,
    DoubleRatchet,
    DuplicateMessageException,
    EncryptedMessage,
    Header,
)
from doubleratchet.models import DoubleRatchetModel
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)
from x3dh import BaseState, IdentityKeyFormat, KeyAgreementException
from x3dh import Bundle as X3dhBundle
from x3dh import HashFunction as X3dhHash
from x3dh import Header as X3dhHeader
from x3dh.models import BaseStateModel, IdentityKeyPairModel, SignedPreKeyPairModel
from x3dh.types import SecretType
from xeddsa import XEdDSAException

from bitdust.errors import FormatError, IntegrityError
from bitdust.messaging.letters import Bundle, Card, Opening
from bitdust.messaging.ownkeys import PREKEY_DOMAIN, Duplicate, OwnKeys, Prekey

MAX_SKIP: Final = 500
"""Messages of one chain that may be missing before one that arrives."""
MAX_SKIPPED: Final = 1000
"""Keys of missing messages kept per session; the oldest go first."""
MAX_STATE: Final = 512 * 1024

_AGREEMENT_INFO: Final = b"bitdust messages x3dh 1"
_FAILURES: Final = (
    AuthenticationFailedException,
    DecryptionFailedException,
    DoSProtectionException,
    KeyAgreementException,
    XEdDSAException,
    ValueError,
)

T = TypeVar("T")


class _RootKdf(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"bitdust messages root 1"


class _ChainKdf(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class _Aead(aead_aes_hmac.AEAD):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"bitdust messages key 1"


class _Ratchet(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        return b"".join(
            (
                associated_data,
                header.ratchet_pub,
                header.previous_sending_chain_length.to_bytes(8, "big"),
                header.sending_chain_length.to_bytes(8, "big"),
            )
        )


class _Agreement(BaseState):
    @staticmethod
    def _encode_public_key(key_format: IdentityKeyFormat, pub: bytes) -> bytes:
        if key_format is IdentityKeyFormat.CURVE_25519:
            return PREKEY_DOMAIN + pub
        return b"\x01" + pub


_PARAMETERS: Final[dict[str, Any]] = {
    "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
    "root_chain_kdf": _RootKdf,
    "message_chain_kdf": _ChainKdf,
    "dos_protection_threshold": MAX_SKIP,
    "max_num_skipped_message_keys": MAX_SKIPPED,
    "aead": _Aead,
}
_CHAIN_CONSTANT: Final = b"\x01\x02"


class Session:
    """One session with one person.

    Args:
        session_id: 16 bytes, the same at both ends.
        peer: node id of the other.
        identity: Ed25519 key of the other.
        agreed: associated data of the key agreement.
        opening: what goes with each envelope until the other answered, None after that.
    """

    def __init__(
        self,
        session_id: bytes,
        peer: bytes,
        identity: bytes,
        agreed: bytes,
        opening: Opening | None,
        ratchet: DoubleRatchet | None,
    ) -> None:
        self.session_id = session_id
        self.peer = peer
        self.identity = identity
        self.agreed = agreed
        self.opening = opening
        self._ratchet = ratchet
        self._secret = b""  # of a session that was begun and has encrypted nothing yet
        self._first = b""

    @classmethod
    def begin(cls, own: OwnKeys, bundle: Bundle, own_card: Card) -> Session:
        """Begin a session with the person of a checked bundle.

        Raises:
            IntegrityError: the signature of the prekey does not fit.
            FormatError: a key that cannot be used.
        """
        card = bundle.card
        theirs = X3dhBundle(
            card.identity,
            card.prekey,
            card.prekey_signature,
            frozenset() if bundle.one_time is None else frozenset((bundle.one_time.key,)),
        )
        try:
            secret, agreed, header = _now(
                _agreement(own, None).get_shared_secret_active(theirs, require_pre_key=False)
            )
        except _FAILURES as exc:
            raise IntegrityError("the keys of that person cannot be used") from exc
        opening = Opening(own_card, header.ephemeral_key, header.signed_pre_key, header.pre_key)
        session = cls(
            _session_id(header.ephemeral_key, own.identity, card.identity),
            card.node_id, card.identity, agreed, opening, None,
        )  # fmt: skip
        session._secret, session._first = secret, card.prekey
        return session

    @classmethod
    def accept(
        cls,
        own: OwnKeys,
        opening: Opening,
        prekey: Prekey,
        one_time: bytes | None,
        message: tuple[bytes, int, int, bytes],
        data: bytes,
        peer: bytes,
    ) -> tuple[Session, bytes]:
        """Take part in a session that the other began, with one of its messages.

        Args:
            own: this person's keys.
            opening: from the envelope, its card checked.
            prekey: the own prekey that the opening names.
            one_time: the secret of the one-time key it names.
            message: ratchet key, ``previous``, ``number`` and body of the envelope.
            data: the associated data without what the agreement gives.
            peer: the sender.

        Returns:
            The session and the plaintext.

        Raises:
            IntegrityError: it does not fit.
        """
        header = X3dhHeader(
            opening.card.identity, opening.ephemeral, opening.prekey, opening.one_time
        )
        try:
            secret, agreed, _ = _now(
                _agreement(own, prekey, one_time).get_shared_secret_passive(
                    header, require_pre_key=False
                )
            )
            ratchet, plain = _now(
                _Ratchet.decrypt_initial_message(
                    **_PARAMETERS,
                    message_chain_constant=_CHAIN_CONSTANT,
                    shared_secret=secret,
                    own_ratchet_priv=prekey.secret,
                    message=_encrypted(message),
                    associated_data=agreed + data,
                )
            )
        except _FAILURES as exc:
            raise IntegrityError("the first message of a session cannot be read") from exc
        session_id = _session_id(opening.ephemeral, opening.card.identity, own.identity)
        return cls(session_id, peer, opening.card.identity, agreed, None, ratchet), plain

    def encrypt(self, plain: bytes, data: bytes) -> tuple[bytes, int, int, bytes]:
        """Encrypt the next message.

        Args:
            plain: plaintext.
            data: what is authenticated beside it, without what the agreement gave.

        Returns:
            Ratchet key, ``previous``, ``number`` and body of the envelope.
        """
        if self._ratchet is None:
            self._ratchet, sealed = _now(
                _Ratchet.encrypt_initial_message(
                    **_PARAMETERS,
                    message_chain_constant=_CHAIN_CONSTANT,
                    shared_secret=self._secret,
                    recipient_ratchet_pub=self._first,
                    message=plain,
                    associated_data=self.agreed + data,
                )
            )
            self._secret = self._first = b""
        else:
            sealed = _now(self._ratchet.encrypt_message(plain, self.agreed + data))
        head = sealed.header
        return (
            head.ratchet_pub,
            head.previous_sending_chain_length,
            head.sending_chain_length,
            sealed.ciphertext,
        )

    def decrypt(self, message: tuple[bytes, int, int, bytes], data: bytes) -> bytes:
        """Decrypt a message; one that cannot be read changes nothing.

        Raises:
            Duplicate: it was read before.
            IntegrityError: forged, damaged, of another session, or too far ahead.
        """
        if self._ratchet is None:
            raise IntegrityError("nothing was said in this session yet")
        known = self._ratchet.receiving_chain_length
        if known is not None and message[1] - known > MAX_SKIP:
            theirs = self._ratchet.model.diffie_hellman_ratchet.other_ratchet_pub
            if message[0] != theirs:  # the library would go on and lose the keys of the missing
                raise IntegrityError("too many messages of this session are missing")
        try:
            plain = _now(self._ratchet.decrypt_message(_encrypted(message), self.agreed + data))
        except DuplicateMessageException as exc:
            raise Duplicate("this message was read before") from exc
        except _FAILURES as exc:
            raise IntegrityError("a message that does not belong to this session") from exc
        self.opening = None  # whoever answers has the session
        return plain

    def to_bytes(self) -> bytes:
        """The whole session, secrets included."""
        if self._ratchet is None:
            raise ValueError("a session that encrypted nothing is not kept")
        state = self._ratchet.model.model_dump()
        return msgspec.msgpack.encode(
            (self.session_id, self.peer, self.identity, self.agreed, self.opening, state)
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> Session:
        """The reverse of ``to_bytes``.

        Raises:
            FormatError: damaged.
        """
        try:
            parts = msgspec.msgpack.decode(
                raw, type=tuple[bytes, bytes, bytes, bytes, Opening | None, dict[str, Any]]
            )
            session_id, peer, identity, agreed, opening, state = parts
            ratchet = _Ratchet.from_model(
                DoubleRatchetModel.model_validate(state), **_PARAMETERS,
                message_chain_constant=_CHAIN_CONSTANT,
            )  # fmt: skip
        except ValueError as exc:
            raise FormatError("a session that is kept here is damaged") from exc
        return cls(session_id, peer, identity, agreed, opening, ratchet)


def _agreement(own: OwnKeys, prekey: Prekey | None, one_time: bytes | None = None) -> _Agreement:
    """The state of ``x3dh`` with one prekey and at most one one-time key."""
    if prekey is None:  # whoever begins a session uses none of them
        prekey = Prekey(own.seed, b"", bytes(64))
    return _Agreement.from_model(
        BaseStateModel(
            identity_key=IdentityKeyPairModel(secret=own.seed, secret_type=SecretType.SEED),
            signed_pre_key=SignedPreKeyPairModel(
                priv=prekey.secret, sig=prekey.signature, timestamp=0
            ),
            old_signed_pre_key=None,
            pre_keys=frozenset() if one_time is None else frozenset((one_time,)),
        ),
        IdentityKeyFormat.ED_25519,
        X3dhHash.SHA_256,
        _AGREEMENT_INFO,
    )


def _session_id(ephemeral: bytes, first: bytes, second: bytes) -> bytes:
    return sha256(b"bitdust session 1\0" + ephemeral + first + second).digest()[:16]


def _encrypted(message: tuple[bytes, int, int, bytes]) -> EncryptedMessage:
    ratchet, previous, number, body = message
    return EncryptedMessage(Header(ratchet, previous, number), body)


def _now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of these libraries, which never wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the cryptography waits for something")
