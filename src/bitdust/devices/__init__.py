"""Remote devices of one person: pairing by a short code, and an encrypted channel to the API."""

from bitdust.devices.channel import (
    MAX_FRAME,
    MAX_HANDSHAKE_MESSAGE,
    Channel,
    Purpose,
    SessionClient,
    SessionServer,
    hello,
    read_hello,
)
from bitdust.devices.noise import KEY_SIZE, public_key
from bitdust.devices.pairing import (
    CODE_SECONDS,
    MAX_ATTEMPTS,
    OpenCode,
    PairingClient,
    PairingServer,
    clean_code,
    new_code,
)

__all__ = [
    "CODE_SECONDS",
    "KEY_SIZE",
    "MAX_ATTEMPTS",
    "MAX_FRAME",
    "MAX_HANDSHAKE_MESSAGE",
    "Channel",
    "OpenCode",
    "PairingClient",
    "PairingServer",
    "Purpose",
    "SessionClient",
    "SessionServer",
    "clean_code",
    "hello",
    "new_code",
    "public_key",
    "read_hello",
]
