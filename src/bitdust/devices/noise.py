"""The Noise handshakes of remote devices, over X25519, ChaCha20-Poly1305 and SHA-256. Pure.

Two patterns are used. Pairing is ``Noise_XXpsk0_25519_ChaChaPoly_SHA256`` under a key that SPAKE2
made from the code; every later session is ``Noise_IK_25519_ChaChaPoly_SHA256``.

Source: The Noise Protocol Framework, revision 34.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bitdust.errors import FormatError, IntegrityError

KEY_SIZE = 32
TAG_SIZE = 16
MAX_NOISE_MESSAGE = 65535
"""Bytes of the longest message, tag included (section 3)."""
MAX_NONCE = 2**64 - 1
"""Never used for a message; it makes the next key (section 4.2)."""

Word = str
NewKey = Callable[[], bytes]
"""Gives 32 unpredictable bytes: the private part of an ephemeral key."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A handshake pattern.

    Args:
        name: of the whole protocol; it is hashed into everything.
        messages: the tokens of each message, beginning with the initiator's.
        knows_responder: the initiator has the responder's static key beforehand.
    """

    name: str
    messages: tuple[tuple[Word, ...], ...]
    knows_responder: bool = False

    @property
    def has_psk(self) -> bool:
        """Whether a shared key takes part."""
        return any("psk" in tokens for tokens in self.messages)


PAIRING = Pattern(
    "Noise_XXpsk0_25519_ChaChaPoly_SHA256",
    (("psk", "e"), ("e", "ee", "s", "es"), ("s", "se")),
)
SESSION = Pattern(
    "Noise_IK_25519_ChaChaPoly_SHA256",
    (("e", "es", "s", "ss"), ("e", "ee", "se")),
    knows_responder=True,
)


def public_key(private: bytes) -> bytes:
    """The public part of an X25519 key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _agree(private: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        # a point of low order would give everybody the same secret
        raise IntegrityError("the other side sent a key that is none") from None


def _derive(chaining: bytes, material: bytes, count: int) -> list[bytes]:
    """HKDF of section 4.3."""
    temporary = hmac.digest(chaining, material, "sha256")
    outputs: list[bytes] = []
    last = b""
    for number in range(1, count + 1):
        last = hmac.digest(temporary, last + bytes([number]), "sha256")
        outputs.append(last)
    return outputs


class CipherState:
    """One key and its counter; every message gets the next number, which is never sent.

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = ChaCha20Poly1305(key)
        self.counter = 0

    def _nonce(self) -> bytes:
        if self.counter >= MAX_NONCE:
            raise IntegrityError("too many messages under one key")
        return bytes(4) + self.counter.to_bytes(8, "little")

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Encrypt the next message."""
        sealed = self._cipher.encrypt(self._nonce(), plaintext, associated)
        self.counter += 1
        return sealed

    def open(self, sealed: bytes, associated: bytes = b"") -> bytes:
        """Decrypt the next message.

        Raises:
            IntegrityError: it is not the next message of the one who has the key.
        """
        try:
            plaintext = self._cipher.decrypt(self._nonce(), sealed, associated)
        except InvalidTag:
            raise IntegrityError("a message was changed, repeated, lost or not meant for us") from (
                None
            )
        self.counter += 1
        return plaintext

    def rekey(self) -> None:
        """Replace the key by one that follows from it; the counter goes on (section 4.2)."""
        nonce = bytes(4) + MAX_NONCE.to_bytes(8, "little")
        self._key = self._cipher.encrypt(nonce, bytes(KEY_SIZE), b"")[:KEY_SIZE]
        self._cipher = ChaCha20Poly1305(self._key)


class _Symmetric:
    """Hash, chaining key and cipher of a handshake under way (section 5.2)."""

    def __init__(self, name: str) -> None:
        raw = name.encode()
        self.hash = raw.ljust(32, b"\0") if len(raw) <= 32 else hashlib.sha256(raw).digest()
        self.chaining = self.hash
        self.cipher: CipherState | None = None

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining, key = _derive(self.chaining, material, 2)
        self.cipher = CipherState(key)

    def mix_key_and_hash(self, material: bytes) -> None:
        self.chaining, mixed, key = _derive(self.chaining, material, 3)
        self.mix_hash(mixed)
        self.cipher = CipherState(key)

    def encrypt(self, plaintext: bytes) -> bytes:
        sealed = plaintext if self.cipher is None else self.cipher.seal(plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        plaintext = sealed if self.cipher is None else self.cipher.open(sealed, self.hash)
        self.mix_hash(sealed)
        return plaintext


@dataclass
class Handshake:
    """One side of a handshake: messages are written and read in turn, then it is split.

    Args:
        pattern: which handshake.
        initiator: whether this side sends first.
        prologue: what both sides must agree on beforehand; a difference makes the handshake fail.
        static: private part of the own key, 32 bytes.
        new_key: makes the ephemeral key.
        remote_static: the other side's key, where the pattern says it is known.
        psk: the shared key, where the pattern has one.
    """

    pattern: Pattern
    initiator: bool
    prologue: bytes
    static: bytes
    new_key: NewKey
    remote_static: bytes = b""
    psk: bytes = b""
    _step: int = 0
    _ephemeral: bytes = field(default=b"", repr=False)
    _remote_ephemeral: bytes = b""
    _state: _Symmetric = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._state = _Symmetric(self.pattern.name)
        self._state.mix_hash(self.prologue)
        if self.pattern.knows_responder:
            known = self.remote_static if self.initiator else public_key(self.static)
            self._state.mix_hash(known)

    @property
    def finished(self) -> bool:
        """Whether all messages went over."""
        return self._step == len(self.pattern.messages)

    @property
    def hash(self) -> bytes:
        """A name of this very handshake, the same on both sides once it is finished."""
        return self._state.hash

    def _next(self, ours: bool) -> tuple[Word, ...]:
        if self.finished or (self._step % 2 == 0) != (self.initiator == ours):
            raise FormatError("a message of the handshake came out of turn")
        self._step += 1
        return self.pattern.messages[self._step - 1]

    def write(self, payload: bytes = b"") -> bytes:
        """The next message to send, with a payload that is only as secret as the pattern says.

        Raises:
            FormatError: it is the other side's turn.
        """
        out = bytearray()
        for word in self._next(ours=True):
            if word == "e":
                self._ephemeral = self.new_key()
                public = public_key(self._ephemeral)
                out += public
                self._mix_ephemeral(public)
            elif word == "s":
                out += self._state.encrypt(public_key(self.static))
            else:
                self._mix(word)
        out += self._state.encrypt(payload)
        return bytes(out)

    def read(self, message: bytes) -> bytes:
        """Take the other side's next message.

        Returns:
            Its payload.

        Raises:
            FormatError: too short or long, or out of turn.
            IntegrityError: it does not come from whom the pattern says; the handshake is over.
        """
        if len(message) > MAX_NOISE_MESSAGE:
            raise FormatError("a message of the handshake is too long")
        rest = message
        for word in self._next(ours=False):
            if word == "e":
                self._remote_ephemeral, rest = _cut(rest, KEY_SIZE)
                self._mix_ephemeral(self._remote_ephemeral)
            elif word == "s":
                size = KEY_SIZE + (TAG_SIZE if self._state.cipher is not None else 0)
                sealed, rest = _cut(rest, size)
                self.remote_static = self._state.decrypt(sealed)
            else:
                self._mix(word)
        if self._state.cipher is not None and len(rest) < TAG_SIZE:
            raise FormatError("a message of the handshake is too short")
        return self._state.decrypt(rest)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._state.mix_hash(public)
        if self.pattern.has_psk:
            self._state.mix_key(public)

    def _mix(self, word: Word) -> None:
        if word == "psk":
            self._state.mix_key_and_hash(self.psk)
            return
        # the first letter names the initiator's key, the second the responder's
        own, other = (word[0], word[1]) if self.initiator else (word[1], word[0])
        private = {"e": self._ephemeral, "s": self.static}[own]
        public = {"e": self._remote_ephemeral, "s": self.remote_static}[other]
        self._state.mix_key(_agree(private, public))

    def split(self) -> tuple[CipherState, CipherState]:
        """What to seal with and what to open with, once it is finished (section 5.2).

        Raises:
            FormatError: it is not finished.
        """
        if not self.finished:
            raise FormatError("the handshake is not finished")
        first, second = (CipherState(key) for key in _derive(self._state.chaining, b"", 2))
        return (first, second) if self.initiator else (second, first)


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise FormatError("a message of the handshake is too short")
    return data[:size], data[size:]
