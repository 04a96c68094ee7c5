"""Remote devices of one person: pairing by a short code, and an encrypted channel to the API."""

from bitdust.devices.book import DeviceRecord
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
from bitdust.devices.line import BUSY, DENIED, DeviceLine, Pipe
from bitdust.devices.noise import KEY_SIZE, public_key
from bitdust.devices.pairing import (
    CODE_SECONDS,
    MAX_ATTEMPTS,
    OpenCode,
    PairingClient,
    PairingServer,
    check_url,
    clean_code,
    new_code,
    pairing_link,
    read_link,
)
from bitdust.devices.service import LISTENING, Devices, Door, Receive
from bitdust.devices.socketpipe import PipeClosed, SocketPipe

__all__ = [
    "BUSY",
    "CODE_SECONDS",
    "DENIED",
    "KEY_SIZE",
    "LISTENING",
    "MAX_ATTEMPTS",
    "MAX_FRAME",
    "MAX_HANDSHAKE_MESSAGE",
    "Channel",
    "DeviceLine",
    "DeviceRecord",
    "Devices",
    "Door",
    "OpenCode",
    "PairingClient",
    "PairingServer",
    "Pipe",
    "PipeClosed",
    "Purpose",
    "Receive",
    "SessionClient",
    "SessionServer",
    "SocketPipe",
    "check_url",
    "clean_code",
    "hello",
    "new_code",
    "pairing_link",
    "public_key",
    "read_hello",
    "read_link",
]
