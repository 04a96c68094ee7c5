"""A private key locked with a passphrase, as text that may lie around.

    -----BEGIN BITDUST LOCKED KEY-----
    Argon2id: v=1 m=65536 t=3 p=4 salt=00112233445566778899aabbccddeeff

    base64 of AES-256-GCM text and tag, then 8 bytes of SHA-256 over parameters and text
    -----END BITDUST LOCKED KEY-----

The checksum only tells damage from a wrong passphrase; what protects the key is the tag, which also
covers the parameter line.

Source: RFC 9106 (Argon2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import textwrap
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bitdust.errors import FormatError, IntegrityError, InvalidInput, KeyProblem, WrongPassphrase

MAX_LOCKED_SIZE = 128 * 1024
"""Characters of locked text: 64 KiB of PEM in base64, with room."""
MAX_PLAIN_SIZE = 64 * 1024
MAX_PASSPHRASE_SIZE = 1024
MAX_MEMORY_KIB = 1024 * 1024
"""1 GiB: what a hostile file may make us take at most."""
MAX_WORK_KIB = 8 * 1024 * 1024
"""Memory times passes: bounds the time to some seconds."""
MAX_PASSES = 64
MAX_LANES = 16

_BEGIN = "-----BEGIN BITDUST LOCKED KEY-----"
_END = "-----END BITDUST LOCKED KEY-----"
_SALT_BITS = 128
_KEY_SIZE = 32
_TAG_SIZE = 16
_CHECKSUM_SIZE = 8
_NONCE = bytes(12)
_PARAMETERS = re.compile(
    r"Argon2id: v=(?P<v>\d{1,3}) m=(?P<m>[1-9]\d{0,9}) t=(?P<t>[1-9]\d{0,3})"
    r" p=(?P<p>[1-9]\d{0,2}) salt=(?P<salt>[0-9a-f]{32})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class LockCost:
    """What one try of a passphrase costs; the default is the second choice of RFC 9106.

    Args:
        memory_kib: memory in KiB, at least 8 per lane.
        passes: rounds over that memory.
        lanes: threads.
    """

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        if not (
            1 <= self.lanes <= MAX_LANES
            and 1 <= self.passes <= MAX_PASSES
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
            and self.memory_kib * self.passes <= MAX_WORK_KIB
        ):
            raise InvalidInput("the cost of the key lock is out of bounds")


def is_locked(text: str) -> bool:
    """Whether the text claims to be a locked key."""
    return text.lstrip()[: len(_BEGIN)] == _BEGIN


def lock_key(pem: str, passphrase: str, cost: LockCost | None = None) -> str:
    """Encrypt a private key's PEM text; takes a noticeable time by design, so use a thread pool.

    Args:
        pem: at most ``MAX_PLAIN_SIZE`` bytes.
        passphrase: 1 to ``MAX_PASSPHRASE_SIZE`` bytes in UTF-8; its Unicode form does not matter.
        cost: what each try shall cost.

    Raises:
        KeyProblem: an empty, overlong or impossible passphrase.
        InvalidInput: ``pem`` is too long.
    """
    plain = pem.encode("utf-8")
    if len(plain) > MAX_PLAIN_SIZE:
        raise InvalidInput("the key to be locked is too long")
    cost = cost or LockCost()
    salt = AESGCM.generate_key(_SALT_BITS)
    parameters = (
        f"Argon2id: v=1 m={cost.memory_kib} t={cost.passes} p={cost.lanes} salt={salt.hex()}"
    )
    # A fresh salt makes a fresh key, so the nonce may be fixed.
    cipher = AESGCM(_stretch(passphrase, salt, cost))
    sealed = cipher.encrypt(_NONCE, plain, parameters.encode("ascii"))
    body = base64.b64encode(sealed + _checksum(parameters, sealed)).decode("ascii")
    return "\n".join((_BEGIN, parameters, "", *textwrap.wrap(body, 64), _END, ""))


def unlock_key(text: str, passphrase: str) -> str:
    """The PEM text that ``lock_key`` took.

    Raises:
        WrongPassphrase: another passphrase was used.
        FormatError: not a locked key, or parameters out of bounds.
        IntegrityError: the text was damaged after locking.
    """
    if len(text) > MAX_LOCKED_SIZE:
        raise FormatError("the locked key is too long")
    lines = [line.rstrip() for line in text.strip().split("\n")]
    if len(lines) < 5 or lines[0] != _BEGIN or lines[-1] != _END or lines[2]:
        raise FormatError("not a locked key")
    parameters = lines[1]
    match = _PARAMETERS.fullmatch(parameters)
    if not match:
        raise FormatError("the locked key has no readable parameters")
    if match["v"] != "1":
        raise FormatError("the locked key is of an unknown version", hint="update this program")
    try:
        cost = LockCost(int(match["m"]), int(match["t"]), int(match["p"]))
        text = "".join(lines[3:-1])
        body = base64.b64decode(text.encode("ascii"), validate=True)
    except InvalidInput as exc:
        raise FormatError("the locked key asks for too much memory or time") from exc
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise FormatError("the locked key is damaged") from exc
    if base64.b64encode(body).decode("ascii") != text:
        raise FormatError("the locked key is damaged")
    sealed, checksum = body[:-_CHECKSUM_SIZE], body[-_CHECKSUM_SIZE:]
    if len(sealed) < _TAG_SIZE or checksum != _checksum(parameters, sealed):
        raise IntegrityError("the locked key is damaged", hint="use another copy of it")
    cipher = AESGCM(_stretch(passphrase, bytes.fromhex(match["salt"]), cost))
    try:
        return cipher.decrypt(_NONCE, sealed, parameters.encode("ascii")).decode("utf-8")
    except InvalidTag:
        raise WrongPassphrase("the passphrase does not open the locked key") from None
    except UnicodeDecodeError:
        raise FormatError("the locked key holds no text") from None


def normalize_passphrase(passphrase: str) -> bytes:
    """The bytes of a passphrase, the same whichever keyboard typed it.

    Raises:
        KeyProblem: empty, too long, or no proper Unicode text.
    """
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        raise KeyProblem("the passphrase is no proper Unicode text") from None
    if not 0 < len(secret) <= MAX_PASSPHRASE_SIZE:
        raise KeyProblem(f"a passphrase has 1 to {MAX_PASSPHRASE_SIZE} bytes")
    return secret


def _stretch(passphrase: str, salt: bytes, cost: LockCost) -> bytes:
    return Argon2id(
        salt=salt,
        length=_KEY_SIZE,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive(normalize_passphrase(passphrase))


def _checksum(parameters: str, sealed: bytes) -> bytes:
    return hashlib.sha256(parameters.encode("ascii") + sealed).digest()[:_CHECKSUM_SIZE]
