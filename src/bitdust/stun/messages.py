"""Binding requests and answers of STUN: bytes in, values out. Pure.

Source: RFC 8489, sections 5, 6 and 14.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from bitdust.errors import FormatError

MAGIC: Final = 0x2112A442
TRANSACTION_SIZE: Final = 12
HEADER_SIZE: Final = 20
MAX_MESSAGE: Final = 548
"""Bytes of the longest message looked at; RFC 8489 keeps messages below this over IPv4."""
MAX_ATTRIBUTES: Final = 32

_REQUEST: Final = 0x0001
_SUCCESS: Final = 0x0101
_MAPPED_ADDRESS: Final = 0x0001
_XOR_MAPPED_ADDRESS: Final = 0x0020
_HEADER: Final = struct.Struct(">HHI12s")
_ATTRIBUTE: Final = struct.Struct(">HH")

Address = tuple[str, int]


def binding_request(transaction: bytes) -> bytes:
    """A request that asks from which address it came.

    Args:
        transaction: 12 unpredictable bytes.
    """
    return _HEADER.pack(_REQUEST, 0, MAGIC, transaction)


def binding_answer(transaction: bytes, address: Address) -> bytes:
    """The answer to a request that came from ``address``.

    Args:
        transaction: of the request.
        address: IPv4 or IPv6 host and port.
    """
    host = ipaddress.ip_address(address[0])
    mask = MAGIC.to_bytes(4, "big") + transaction
    hidden = bytes(a ^ b for a, b in zip(host.packed, mask, strict=False))
    family = 1 if host.version == 4 else 2
    value = struct.pack(">BBH", 0, family, address[1] ^ (MAGIC >> 16)) + hidden
    body = _ATTRIBUTE.pack(_XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEADER.pack(_SUCCESS, len(body), MAGIC, transaction) + body


def _header(message: bytes) -> tuple[int, bytes]:
    """Kind and transaction of a message of the right form."""
    if not HEADER_SIZE <= len(message) <= MAX_MESSAGE:
        raise FormatError("not the length of a STUN message")
    kind, length, magic, transaction = _HEADER.unpack_from(message)
    if magic != MAGIC or length % 4 or len(message) != HEADER_SIZE + length:
        raise FormatError("not a STUN message")
    return kind, transaction


def read_request(message: bytes) -> bytes:
    """The transaction of a binding request.

    Raises:
        FormatError: it is none.
    """
    kind, transaction = _header(message)
    if kind != _REQUEST:
        raise FormatError("not a binding request")
    return transaction


def read_answer(message: bytes) -> tuple[bytes, Address]:
    """Transaction and address of a binding answer.

    Raises:
        FormatError: it is none, or holds no address.
    """
    kind, transaction = _header(message)
    if kind != _SUCCESS:
        raise FormatError("not a binding answer")
    plain: Address | None = None
    at = HEADER_SIZE
    for _ in range(MAX_ATTRIBUTES):
        if at + _ATTRIBUTE.size > len(message):
            break
        attribute, length = _ATTRIBUTE.unpack_from(message, at)
        at += _ATTRIBUTE.size
        value = message[at : at + length]
        if len(value) != length:
            raise FormatError("an attribute is cut off")
        if attribute == _XOR_MAPPED_ADDRESS:
            return transaction, _address(value, MAGIC.to_bytes(4, "big") + transaction)
        if attribute == _MAPPED_ADDRESS and plain is None:
            plain = _address(value, bytes(16))
        at += length + -length % 4
    if plain is None:
        raise FormatError("the answer holds no address")
    return transaction, plain


def _address(value: bytes, mask: bytes) -> Address:
    size = {1: 4, 2: 16}.get(value[1] if len(value) > 1 else 0)
    if size is None or len(value) != 4 + size:
        raise FormatError("not an address")
    port = int.from_bytes(value[2:4], "big") ^ int.from_bytes(mask[:2], "big")
    host = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(host)), port
