"""RSA keys: proving who somebody is, and sealing bytes that only that somebody can open.

One key has one canonical form, whatever file it was read from: primes ordered, private exponent
reduced, PKCS#1. Everything derived from a key rests on that form: a key that passed through other
tools still opens what it opened before.

Source: RFC 8017 (RSA, PSS, OAEP), RFC 4253 section 6.6 (``ssh-rsa`` text), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bitdust.crypto.lock import is_locked, normalize_passphrase, unlock_key
from bitdust.errors import FormatError, IntegrityError, InvalidInput, KeyProblem, WrongPassphrase

KEY_SIZES = (1024, 2048, 3072, 4096)
"""Sizes of RSA keys in bits that this network takes."""
DEFAULT_KEY_SIZE = 3072
PUBLIC_EXPONENT = 65537
MAX_PEM_SIZE = 64 * 1024
"""Characters a private key file may have."""
MAX_PUBLIC_SIZE = 2048
"""Characters or bytes a public key may have; 4096 bits need 750."""
MAX_SEALED_PLAIN = 4 * 1024 * 1024
"""Bytes one sealed envelope may hold."""
MAX_DERIVED = 255 * 32
"""Bytes HKDF-SHA256 can give for one ``info`` (RFC 5869 section 2.3)."""

_SEAL_VERSION = 1
_SEAL_LABEL = b"bitdust seal 1"
_SEAL_NONCE = bytes(12)
_TAG_SIZE = 16
_CONTENT_KEY_BITS = 256
_SIZES_HINT = "use an RSA key of 1024, 2048, 3072 or 4096 bits with public exponent 65537"
_PEM = re.compile(
    r"\s*-----BEGIN (?P<kind>[A-Z0-9 ]{1,40})-----\r?\n.*\n-----END (?P=kind)-----\s*", re.DOTALL
)
_PEM_KINDS = ("RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")


def _pss() -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


def _oaep() -> padding.OAEP:
    return padding.OAEP(
        mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=_SEAL_LABEL
    )


def _seal_context(wrapped: bytes, context: bytes) -> bytes:
    return _SEAL_LABEL + hashlib.sha256(wrapped).digest() + context


class PublicKey:
    """The public half of an RSA key: checks signatures and seals envelopes. Immutable."""

    __slots__ = ("_der", "_fingerprint", "_key", "_ssh")

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        if key.key_size not in KEY_SIZES or key.public_numbers().e != PUBLIC_EXPONENT:
            raise FormatError(
                f"this RSA public key ({key.key_size} bits) cannot be used", hint=_SIZES_HINT
            )
        self._key = key
        self._der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._fingerprint = hashlib.sha256(self._der).digest()
        self._ssh = key.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ).decode("ascii")

    @classmethod
    def from_ssh(cls, text: str) -> PublicKey:
        """Read ``ssh-rsa AAAA...``; a comment after the key is allowed and dropped.

        Raises:
            FormatError: not the canonical text of an RSA key of a known size.
        """
        if len(text) > MAX_PUBLIC_SIZE:
            raise FormatError("the public key text is too long")
        fields = text.split(None, 2)
        if len(fields) < 2 or fields[0] != "ssh-rsa" or "\n" in text.strip():
            raise FormatError(
                "not an ssh-rsa public key", hint="it looks like: ssh-rsa AAAAB3Nz..."
            )
        canonical = f"ssh-rsa {fields[1]}"
        try:
            key = serialization.load_ssh_public_key(canonical.encode("ascii"))
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise FormatError("damaged ssh-rsa public key") from exc
        if not isinstance(key, rsa.RSAPublicKey):
            raise FormatError("not an RSA public key")
        public = cls(key)
        # Two texts for one key would let a re-encoded document pass as another one.
        if public.to_ssh() != canonical:
            raise FormatError("the ssh-rsa public key is not in its canonical form")
        return public

    @classmethod
    def from_der(cls, der: bytes) -> PublicKey:
        """Read a SubjectPublicKeyInfo in DER.

        Raises:
            FormatError: not the canonical DER of an RSA key of a known size.
        """
        if len(der) > MAX_PUBLIC_SIZE:
            raise FormatError("the public key is too long")
        try:
            key = serialization.load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise FormatError("damaged public key") from exc
        if not isinstance(key, rsa.RSAPublicKey):
            raise FormatError("not an RSA public key")
        public = cls(key)
        if public.der != der:
            raise FormatError("the public key is not in its canonical form")
        return public

    def to_ssh(self) -> str:
        """The canonical ``ssh-rsa AAAA...`` text, without comment or line end."""
        return self._ssh

    @property
    def der(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return self._der

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of ``der``, 32 bytes: the id of the node that holds the private half."""
        return self._fingerprint

    @property
    def md5_fingerprint(self) -> str:
        """MD5 of the SSH wire form as ``50:f9:...``, for people who compare with ``ssh-keygen``."""
        blob = base64.b64decode(self._ssh.split(" ")[1])
        return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")

    @property
    def size(self) -> int:
        """Bits of the modulus."""
        return self._key.key_size

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check that the private half signed ``message``.

        Raises:
            IntegrityError: it did not.
        """
        try:
            self._key.verify(signature, message, _pss(), hashes.SHA256())
        except InvalidSignature as exc:
            raise IntegrityError("the signature does not fit the key and the message") from exc

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt for the holder of the private half.

        Args:
            plain: at most ``MAX_SEALED_PLAIN`` bytes.
            context: what the envelope is for; opening needs the same bytes.

        Returns:
            version byte, wrapped key (``size // 8`` bytes), AES-256-GCM text and tag.

        Raises:
            InvalidInput: ``plain`` is too long.
        """
        if len(plain) > MAX_SEALED_PLAIN:
            raise InvalidInput(f"a sealed envelope holds at most {MAX_SEALED_PLAIN} bytes")
        content_key = AESGCM.generate_key(_CONTENT_KEY_BITS)
        wrapped = self._key.encrypt(content_key, _oaep())
        # The content key is used for this one message only, so the nonce may be fixed.
        text = AESGCM(content_key).encrypt(_SEAL_NONCE, plain, _seal_context(wrapped, context))
        return bytes((_SEAL_VERSION,)) + wrapped + text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other._der == self._der

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def __repr__(self) -> str:
        return f"<PublicKey {self.size} {self._fingerprint.hex()[:16]}>"


class PrivateKey:
    """A whole RSA key. Immutable; never shows its secret in ``repr``, never pickles."""

    __slots__ = ("_key", "_pkcs1", "_public")

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        try:
            self._public = PublicKey(key.public_key())
        except FormatError as exc:
            raise KeyProblem(
                f"this RSA key ({key.key_size} bits) cannot be used", hint=_SIZES_HINT
            ) from exc
        self._key = _canonical(key)
        self._pkcs1 = self._key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    @classmethod
    def generate(cls, size: int = DEFAULT_KEY_SIZE) -> PrivateKey:
        """Make a new key; takes up to seconds for 4096 bits, so call it in a thread pool.

        Raises:
            KeyProblem: ``size`` is not one of ``KEY_SIZES``.
        """
        if size not in KEY_SIZES:
            raise KeyProblem(f"no RSA key of {size} bits is made", hint=_SIZES_HINT)
        return cls(rsa.generate_private_key(PUBLIC_EXPONENT, size))

    @classmethod
    def from_pem(cls, text: str, passphrase: str | None = None) -> PrivateKey:
        """Read a private key: PKCS#1, PKCS#8, or the locked form of ``lock_key``.

        Args:
            text: the PEM block and nothing else; at most ``MAX_PEM_SIZE`` characters.
            passphrase: needed for a locked or encrypted key only.

        Raises:
            WrongPassphrase: the key is encrypted and the passphrase is missing or wrong.
            KeyProblem: no RSA key of a known size, damaged, too long, or more text around it.
            IntegrityError: a locked key that is damaged.
        """
        if len(text) > MAX_PEM_SIZE:
            raise KeyProblem(f"the key file is longer than {MAX_PEM_SIZE} characters")
        if is_locked(text):
            if passphrase is None:
                _need_passphrase()
            text = unlock_key(text, passphrase)
            passphrase = None
        match = _PEM.fullmatch(text)
        kind = match["kind"] if match else ""
        if kind not in _PEM_KINDS or text.count("-----BEGIN ") != 1:
            raise KeyProblem(
                "this is not one private RSA key in PEM form",
                hint="it starts with -----BEGIN RSA PRIVATE KEY----- and holds nothing else",
            )
        encrypted = kind == "ENCRYPTED PRIVATE KEY" or "\nProc-Type: 4,ENCRYPTED" in text
        if encrypted and passphrase is None:
            _need_passphrase()
        secret = normalize_passphrase(passphrase) if encrypted and passphrase else None
        try:
            key = serialization.load_pem_private_key(text.strip().encode("ascii"), secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            # The library's texts name no secret, but they may quote the input: keep ours only.
            if encrypted:
                raise WrongPassphrase(
                    "the key cannot be decrypted: wrong passphrase, or a damaged key"
                ) from None
            raise KeyProblem(f"the private key is damaged ({type(exc).__name__})") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyProblem("the private key is not an RSA key", hint=_SIZES_HINT)
        return cls(key)

    def to_pem(self) -> str:
        """The whole key as PKCS#1 PEM, not encrypted: for secret files and ``lock_key`` only."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode("ascii")

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """RSA-PSS with SHA-256 and a salt of 32 bytes over ``message``; ``size // 8`` bytes."""
        return self._key.sign(message, _pss(), hashes.SHA256())

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Open an envelope made by ``PublicKey.seal``.

        Raises:
            FormatError: no sealed envelope, or too long.
            IntegrityError: sealed for another key or another context, or damaged.
        """
        head = 1 + self._public.size // 8
        if not head + _TAG_SIZE <= len(sealed) <= head + _TAG_SIZE + MAX_SEALED_PLAIN:
            raise FormatError("a sealed envelope of an impossible size")
        if sealed[0] != _SEAL_VERSION:
            raise FormatError(f"a sealed envelope of unknown version {sealed[0]}")
        wrapped = sealed[1:head]
        # One text for every failure: telling them apart would be an oracle for the wrapped key.
        failure = "the sealed envelope does not open with this key and context"
        try:
            content_key = self._key.decrypt(wrapped, _oaep())
            if len(content_key) * 8 != _CONTENT_KEY_BITS:
                raise IntegrityError(failure)
            return AESGCM(content_key).decrypt(
                _SEAL_NONCE, sealed[head:], _seal_context(wrapped, context)
            )
        except (ValueError, InvalidTag) as exc:
            raise IntegrityError(failure) from exc

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """A secret that follows from this key alone: HKDF-SHA256 over the canonical PKCS#1 DER.

        Args:
            info: what the secret is for; each use takes its own.
            length: bytes wanted, 1 to ``MAX_DERIVED``.
            salt: optional, need not be secret.

        Raises:
            InvalidInput: ``length`` out of range.
        """
        if not 0 < length <= MAX_DERIVED:
            raise InvalidInput(f"a derived secret has 1 to {MAX_DERIVED} bytes")
        return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt or None, info=info).derive(
            self._pkcs1
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and other._public == self._public

    def __hash__(self) -> int:
        return hash(self._public)

    def __repr__(self) -> str:
        return f"<PrivateKey {self._public.size} {self._public.fingerprint.hex()[:16]}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not pickle")


def _canonical(key: rsa.RSAPrivateKey) -> rsa.RSAPrivateKey:
    """The same key with the larger prime first and the private exponent modulo lcm(p-1, q-1)."""
    numbers = key.private_numbers()
    p, q = max(numbers.p, numbers.q), min(numbers.p, numbers.q)
    d = pow(PUBLIC_EXPONENT, -1, math.lcm(p - 1, q - 1))
    if (numbers.p, numbers.q, numbers.d) == (p, q, d):
        return key
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=numbers.public_numbers,
    ).private_key()


def _need_passphrase() -> NoReturn:
    raise WrongPassphrase(
        "the private key is locked", hint="give the passphrase it was locked with"
    )
