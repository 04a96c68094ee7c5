"""Pairing by a short code: SPAKE2, then the keys of both sides under what came out of it. Pure.

Whoever does not know the code can make one guess for each attempt and learns nothing else, not even
from a record of the whole conversation. The node finds out first whether the device knows the code;
it shows its own key only to one that does.

Source: RFC 9382 (SPAKE2, in the form of the package ``spake2``); The Noise Protocol Framework,
revision 34, pattern ``XXpsk0``; docs/spec/devices.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from bitdust.devices.channel import (
    MAX_HANDSHAKE_MESSAGE,
    Channel,
    Purpose,
    channel_of,
    hello,
)
from bitdust.devices.noise import PAIRING, Handshake, NewKey
from bitdust.errors import AccessDenied, FormatError, IntegrityError, InvalidInput

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Letters of codes; those that are easily confused are left out (Crockford's base 32)."""
CODE_LETTERS = 8
"""Letters of a code that is made here: 40 bits."""
MIN_CODE = 6
MAX_CODE = 32
"""Letters of a code that somebody chose."""
CODE_SECONDS = 600.0
"""How long a code is good."""
MAX_ATTEMPTS = 3
"""Wrong guesses after which a code is void."""
MAX_LABEL = 64
"""Characters of what a device calls itself."""
MAX_STARTS = 30
"""Times that somebody may begin, and leave before a guess, until a code is void."""
MAX_URLS = 8
MAX_URL = 300
LINK = "bitdust-pair:"
SPAKE_SIZE = 33
"""Bytes of a SPAKE2 message."""

_DEVICE = b"bitdust device 1"
_NODE = b"bitdust node 1"
_KEY_LABEL = b"bitdust device pairing key 1"
_CONFUSED = str.maketrans({"O": "0", "I": "1", "L": "1", "U": "V", "-": None, " ": None})

Entropy = Callable[[int], bytes]


class _Spake(Protocol):
    def start(self) -> bytes: ...
    def finish(self, message: bytes) -> bytes: ...


def new_code(random: Entropy) -> str:
    """A fresh code, such as ``7KQM-2XRD``."""
    letters = "".join(ALPHABET[byte % len(ALPHABET)] for byte in random(CODE_LETTERS))
    return f"{letters[:4]}-{letters[4:]}"


def clean_code(text: str) -> str:
    """A code as it is used, whatever way it was typed.

    Raises:
        InvalidInput: too short, too long, or with other signs than letters and digits.
    """
    code = text[: 4 * MAX_CODE].upper().translate(_CONFUSED)
    if not MIN_CODE <= len(code) <= MAX_CODE or not (code.isascii() and code.isalnum()):
        raise InvalidInput(
            f"a pairing code has {MIN_CODE} to {MAX_CODE} letters and digits",
            hint="let the node make one, or choose a longer one",
        )
    return code


def check_url(url: str) -> str:
    """The address of a node or route, if it can be one.

    Raises:
        InvalidInput: it cannot.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise InvalidInput(
            f"{url[:60]!a} is no address of a node", hint="it looks like ws://host:8281/name"
        )
    return url


def pairing_link(code: str, urls: list[str]) -> str:
    """A code and where it can be used, as one text, for a QR picture."""
    return f"{LINK}{code}?{urlencode([('url', url) for url in urls[:MAX_URLS]])}"


def read_link(text: str) -> tuple[str, list[str]]:
    """The code and the addresses in a link.

    Raises:
        InvalidInput: it is no such link.
    """
    code, _, query = text.strip().removeprefix(LINK).partition("?")
    if not text.strip().startswith(LINK) or len(text) > 2 * MAX_URLS * MAX_URL:
        raise InvalidInput(f"a pairing link begins with {LINK}")
    try:
        pairs = parse_qsl(query, max_num_fields=MAX_URLS)
    except ValueError:
        raise InvalidInput("the pairing link has too many parts") from None
    return clean_code(code), [check_url(value) for name, value in pairs if name == "url"]


@dataclass
class OpenCode:
    """A code that a node has given out; good once, for a while, for a few attempts.

    Args:
        code: as ``clean_code`` gives it.
        expires: wall clock, seconds.
        key: the only device key it is good for, where that is known beforehand.
    """

    code: str = field(repr=False)
    expires: float
    key: bytes = b""
    left: int = MAX_ATTEMPTS
    starts: int = MAX_STARTS

    def is_good(self, now: float) -> bool:
        """Whether somebody may still try."""
        return now < self.expires and self.left > 0 and self.starts > 0

    def take(self, now: float) -> None:
        """Begin an attempt.

        Raises:
            AccessDenied: the code is used up or too old.
        """
        if not self.is_good(now):
            raise AccessDenied("no pairing is open")
        self.left -= 1
        self.starts -= 1

    def give_back(self) -> None:
        """The attempt ended before a guess could be checked."""
        self.left += 1


def _finish(spake: _Spake, message: bytes) -> bytes:
    """The key that both sides share when they know the same code."""
    if len(message) != SPAKE_SIZE:
        raise FormatError("a message of the pairing has the wrong length")
    try:
        key = spake.finish(message)
    except (SPAKEError, NotOnCurve, ValueError) as exc:
        raise FormatError("a message of the pairing is no point of the curve") from exc
    return hashlib.sha256(_KEY_LABEL + key).digest()


class PairingClient:
    """A device that is being paired.

    Args:
        code: as ``clean_code`` gives it.
        static: private part of the device's key.
        label: what the device calls itself, for people.
        new_key: makes ephemeral keys.
        random: entropy.
    """

    def __init__(
        self, code: str, static: bytes, label: str, new_key: NewKey, random: Entropy
    ) -> None:
        self._spake: _Spake = SPAKE2_A(code.encode(), _DEVICE, _NODE, entropy_f=random)
        self._static = static
        self._label = label[:MAX_LABEL].encode("utf-8", "replace")
        self._new_key = new_key
        self._first = b""
        self._handshake: Handshake | None = None
        self.channel: Channel | None = None
        """There once the node has proven that it knows the code."""

    @property
    def node_key(self) -> bytes:
        """The node's public key."""
        return self._handshake.remote_static if self._handshake is not None else b""

    def begin(self) -> bytes:
        """The first message to send."""
        self._first = hello(Purpose.PAIR) + self._spake.start()
        return self._first

    def receive(self, message: bytes) -> bytes:
        """Take the node's next message.

        Returns:
            What to send next.

        Raises:
            AccessDenied: the other side does not know the code.
            FormatError: what came is no such message.
        """
        if len(message) > MAX_HANDSHAKE_MESSAGE or self.channel is not None:
            raise FormatError("a message of the pairing is too long, or out of turn")
        if self._handshake is None:
            self._handshake = Handshake(
                PAIRING,
                initiator=True,
                prologue=self._first + message,
                static=self._static,
                new_key=self._new_key,
                psk=_finish(self._spake, message),
            )
            return self._handshake.write()
        try:
            self._handshake.read(message)
        except FormatError:
            raise
        except IntegrityError:
            raise _wrong_code() from None
        answer = self._handshake.write(self._label)
        self.channel = channel_of(self._handshake)
        return answer


class PairingServer:
    """A node that pairs a device.

    Args:
        code: as ``clean_code`` gives it.
        static: private part of the node's key.
        new_key: makes ephemeral keys.
        random: entropy.
    """

    def __init__(self, code: str, static: bytes, new_key: NewKey, random: Entropy) -> None:
        self._spake: _Spake = SPAKE2_B(code.encode(), _DEVICE, _NODE, entropy_f=random)
        self._static = static
        self._new_key = new_key
        self._handshake: Handshake | None = None
        self.guessed = False
        """The device showed a guess of the code, right or wrong."""
        self.label = ""
        self.channel: Channel | None = None
        """There once the device has proven that it knows the code."""

    @property
    def device_key(self) -> bytes:
        """The device's public key."""
        return self._handshake.remote_static if self._handshake is not None else b""

    def begin(self, message: bytes) -> bytes:
        """Take the rest of the first message.

        Returns:
            The answer, which tells nothing about the code.

        Raises:
            FormatError: what came is no such message.
        """
        answer = self._spake.start()
        self._handshake = Handshake(
            PAIRING,
            initiator=False,
            prologue=hello(Purpose.PAIR) + message + answer,
            static=self._static,
            new_key=self._new_key,
            psk=_finish(self._spake, message),
        )
        return answer

    def receive(self, message: bytes) -> bytes:
        """Take the device's next message.

        Returns:
            What to send next, empty when nothing.

        Raises:
            AccessDenied: the device does not know the code.
            FormatError: what came is no such message.
        """
        if self._handshake is None or self.channel is not None:
            raise FormatError("a message of the pairing is out of turn")
        if len(message) > MAX_HANDSHAKE_MESSAGE:
            raise FormatError("a message of the pairing is too long")
        self.guessed = True
        try:
            payload = self._handshake.read(message)
        except FormatError:
            raise
        except IntegrityError:
            raise _wrong_code() from None
        if not self._handshake.finished:
            return self._handshake.write()
        self.label = payload[: 4 * MAX_LABEL].decode("utf-8", "replace")[:MAX_LABEL]
        self.channel = channel_of(self._handshake)
        return b""


def _wrong_code() -> AccessDenied:
    return AccessDenied(
        "the pairing code is wrong", hint="check the code, or let the node make a new one"
    )
