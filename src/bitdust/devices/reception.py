"""The handshakes of the node's side, over a pipe."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from bitdust.devices.channel import Channel, Purpose, SessionServer, read_hello
from bitdust.devices.line import DeviceLine, Pipe
from bitdust.devices.noise import NewKey
from bitdust.devices.pairing import Entropy, OpenCode, PairingServer
from bitdust.errors import AccessDenied, FormatError
from bitdust.pool import in_pool

HANDSHAKE_SECONDS = 15.0
"""Seconds until a connection must have proven itself."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Who was paired.

    Args:
        key: the device's public key.
        label: what it calls itself.
        channel: to it.
    """

    key: bytes
    label: str
    channel: Channel


async def welcome_session(
    first: bytes, pipe: Pipe, node_key: bytes, new_key: NewKey, allows: Callable[[bytes], bool]
) -> tuple[bytes, DeviceLine] | None:
    """Take a paired device in.

    Args:
        first: its first message.
        pipe: the connection.
        node_key: private part of the node's key.
        new_key: makes ephemeral keys.
        allows: whether a device key may come in.

    Returns:
        The device's key and the line to it; None when the connection is for pairing.

    Raises:
        AccessDenied, IntegrityError, NetworkError: it is not a paired device, or it went away.
    """
    purpose, rest = read_hello(first)
    if purpose is not Purpose.SESSION:
        return None
    server = SessionServer(node_key, allows, new_key)
    answer, channel = server.receive(rest)
    await pipe.send(answer)
    # the first message could be a record of an older one; only the device can go on from here
    if channel.open(await pipe.receive()) is not None:
        raise FormatError("a device says that it is there before anything else")
    return server.device_key, DeviceLine(pipe, channel)


async def welcome_pairing(
    first: bytes,
    pipe: Pipe,
    code: OpenCode,
    node_key: bytes,
    new_key: NewKey,
    random: Entropy,
    pool: Executor,
) -> Paired:
    """Pair a device that knows the code, of which an attempt was taken.

    Args:
        first: its first message.
        pipe: the connection.
        code: what it must know.
        node_key: private part of the node's key.
        new_key, random: chance.
        pool: where curve arithmetic is done.

    Raises:
        AccessDenied, FormatError, NetworkError: it does not know the code, or went away.
    """
    server = PairingServer(code.code, node_key, new_key, random)
    try:
        _, rest = read_hello(first)
        await pipe.send(await in_pool(pool, server.begin, rest))
        await pipe.send(server.receive(await pipe.receive()))
        server.receive(await pipe.receive())
    finally:
        if not server.guessed:
            code.give_back()
    assert server.channel is not None, "it is there once the last message was read"
    if code.key and code.key != server.device_key:
        raise AccessDenied("another device than the one that asked knows the code")
    return Paired(server.device_key, server.label, server.channel)
