"""The encrypted channel between a node and a paired device: session handshake and frames. Pure.

A session begins with the ``IK`` handshake of ``noise.py``: the device shows its key under the
node's, both add a fresh one, and neither side's long-term key opens what was said before. Frames
are numbered by the keys themselves, one sequence in each direction, so that a frame which is
changed, repeated, left out, moved or sent back fails, and with it the channel.

Source: The Noise Protocol Framework, revision 34; docs/spec/devices.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

from bitdust.devices.noise import (
    KEY_SIZE,
    MAX_NOISE_MESSAGE,
    SESSION,
    TAG_SIZE,
    CipherState,
    Handshake,
    NewKey,
)
from bitdust.errors import AccessDenied, FormatError, IntegrityError, InvalidInput

MAGIC = b"BDV\x01"
"""Begins the first message of a connection; the last byte is the version."""
HELLO_SIZE = len(MAGIC) + 1
MAX_BODY = 32 * 1024
"""Bytes of a message in one frame; longer messages are split."""
MAX_FRAME = 2 + MAX_BODY + 64 + TAG_SIZE
GRAIN = 64
"""Frames are filled up to a multiple of this, so that lengths tell less."""
REKEY_AFTER = 1024
"""Frames in one direction after which its key is replaced by the next."""
MAX_HANDSHAKE_MESSAGE = 1024
"""Bytes of the longest message before a channel stands."""
MAX_MESSAGE = 1024 * 1024
"""Bytes of the longest message that a node takes from a device."""

_PROLOGUE = b"bitdust device session 1"


class Purpose(IntEnum):
    """What a connection is for, in its first message."""

    PAIR = 1
    SESSION = 2


class _Kind(IntEnum):
    PART = 0
    """Part of a message; more follows."""
    LAST = 1
    """The last part of a message, or the only one."""
    END = 2
    """Nothing more will come in this direction."""
    TICK = 3
    """Says nothing; the sender is still there."""


def hello(purpose: Purpose) -> bytes:
    """What the first message of a connection begins with."""
    return MAGIC + bytes([purpose])


def read_hello(message: bytes) -> tuple[Purpose, bytes]:
    """The purpose of a connection, and the rest of its first message.

    Raises:
        FormatError: it is no such message, or of another version.
    """
    if len(message) > MAX_HANDSHAKE_MESSAGE:
        raise FormatError("the first message is too long")
    if message[: len(MAGIC)] != MAGIC or len(message) < HELLO_SIZE:
        raise FormatError("no channel of this version begins so")
    try:
        return Purpose(message[len(MAGIC)]), message[HELLO_SIZE:]
    except ValueError:
        raise FormatError("a connection for nothing known") from None


class Channel:
    """Messages in both directions, once the keys are there.

    After any failure it is dead: nothing more is opened.

    Args:
        sealing, opening: the keys of the two directions.
        name: names this very channel on both sides.
        max_message: bytes of the longest message taken.
    """

    def __init__(
        self,
        sealing: CipherState,
        opening: CipherState,
        name: bytes,
        *,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._sealing = sealing
        self._opening = opening
        self.name = name
        self._max_message = max_message
        self._parts: list[bytes] = []
        self._taken = 0
        self._broken = False
        self.ended = False
        """The other side said that nothing more comes."""
        self.confirmed = False
        """The other side sent something under the keys: it is no replay."""

    def seal(self, message: bytes) -> Iterator[bytes]:
        """The frames of a message; all must be sent, in order, before anything else is sealed."""
        for begin in range(0, len(message), MAX_BODY) or (0,):
            last = begin + MAX_BODY >= len(message)
            yield self._seal(_Kind.LAST if last else _Kind.PART, message[begin : begin + MAX_BODY])

    def seal_end(self) -> bytes:
        """The frame that says that nothing more comes."""
        return self._seal(_Kind.END, b"")

    def seal_tick(self) -> bytes:
        """A frame that only shows that this side is there, and has the keys."""
        return self._seal(_Kind.TICK, b"")

    def _seal(self, kind: _Kind, body: bytes) -> bytes:
        filling = -(2 + len(body)) % GRAIN
        frame = self._sealing.seal(bytes((kind, filling)) + body + bytes(filling))
        if self._sealing.counter % REKEY_AFTER == 0:
            self._sealing.rekey()
        return frame

    def open(self, frame: bytes) -> bytes | None:
        """Take the next frame.

        Returns:
            A message when this frame completes one.

        Raises:
            IntegrityError: it is not the next frame of the other side; the channel is dead.
            FormatError: it is, and holds nonsense or too much; the channel is dead.
        """
        if self._broken or self.ended:
            raise IntegrityError("the channel is closed")
        try:
            return self._open(frame)
        except IntegrityError:
            self._broken = True
            self._parts.clear()
            raise

    def _open(self, frame: bytes) -> bytes | None:
        if len(frame) > MAX_FRAME:
            raise FormatError("a frame is too long")
        if len(frame) < 2 + TAG_SIZE:
            raise FormatError("a frame is too short")
        plain = self._opening.open(frame)
        if self._opening.counter % REKEY_AFTER == 0:
            self._opening.rekey()
        kind, filling = plain[0], plain[1]
        if filling >= GRAIN or 2 + filling > len(plain) or any(plain[len(plain) - filling :]):
            raise FormatError("a frame is filled wrongly")
        body = plain[2 : len(plain) - filling]
        self.confirmed = True
        if kind in (_Kind.PART, _Kind.LAST):
            return self._collect(body, last=kind == _Kind.LAST)
        if body or self._parts:
            raise FormatError("a frame of a message is missing")
        if kind == _Kind.END:
            self.ended = True
        elif kind != _Kind.TICK:
            raise FormatError("a frame of an unknown kind")
        return None

    def _collect(self, body: bytes, *, last: bool) -> bytes | None:
        if not last and not body:
            raise FormatError("an empty part of a message")
        self._taken += len(body)
        if self._taken > self._max_message:
            raise FormatError(f"a message is longer than {self._max_message} bytes")
        self._parts.append(body)
        if not last:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        self._taken = 0
        return message

    def cut(self) -> None:
        """The connection is at its end.

        Raises:
            IntegrityError: the other side did not say so; something may be missing.
        """
        if not self.ended:
            self._broken = True
            raise IntegrityError("the connection was cut off")


def channel_of(handshake: Handshake, *, max_message: int = MAX_MESSAGE) -> Channel:
    """The channel of a finished handshake."""
    sealing, opening = handshake.split()
    return Channel(sealing, opening, handshake.hash, max_message=max_message)


class SessionClient:
    """A device that opens a session.

    Args:
        static: private part of the device's key.
        node_key: the node's public key, learned when they were paired.
        new_key: makes ephemeral keys.
        max_message: bytes of the longest message taken from the node.
    """

    def __init__(
        self, static: bytes, node_key: bytes, new_key: NewKey, *, max_message: int = MAX_MESSAGE
    ) -> None:
        if len(static) != KEY_SIZE or len(node_key) != KEY_SIZE:
            raise InvalidInput("a key of a device has 32 bytes")
        self._max_message = max_message
        self._handshake = Handshake(
            SESSION,
            initiator=True,
            prologue=_PROLOGUE,
            static=static,
            new_key=new_key,
            remote_static=node_key,
        )

    def begin(self) -> bytes:
        """The first message to send."""
        return hello(Purpose.SESSION) + self._handshake.write()

    def receive(self, message: bytes) -> Channel:
        """Take the node's answer; the caller then sends a tick, which proves that it is there.

        Raises:
            IntegrityError: it is not the node's.
        """
        self._handshake.read(message)
        return channel_of(self._handshake, max_message=self._max_message)


class SessionServer:
    """A node that is asked for a session; it is only real once ``Channel.confirmed``.

    Args:
        static: private part of the node's key.
        allows: whether a device's key is one that may come in.
        new_key: makes ephemeral keys.
    """

    def __init__(self, static: bytes, allows: Callable[[bytes], bool], new_key: NewKey) -> None:
        self._allows = allows
        self._handshake = Handshake(
            SESSION, initiator=False, prologue=_PROLOGUE, static=static, new_key=new_key
        )

    @property
    def device_key(self) -> bytes:
        """Who asks."""
        return self._handshake.remote_static

    def receive(self, message: bytes) -> tuple[bytes, Channel]:
        """Take the rest of the first message.

        Returns:
            The answer, and the channel that stands once it was sent.

        Raises:
            IntegrityError: it was not made for this node.
            AccessDenied: the device is not, or no longer, paired.
        """
        if len(message) > MAX_HANDSHAKE_MESSAGE:
            raise FormatError("a message of the handshake is too long")
        self._handshake.read(message)
        if not self._allows(self.device_key):
            raise AccessDenied("this device is not paired")
        answer = self._handshake.write()
        return answer, channel_of(self._handshake)


assert MAX_FRAME <= MAX_NOISE_MESSAGE
