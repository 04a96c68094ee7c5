"""Topics: the 20-byte info-hashes under which nodes announce themselves on the DHT (BEP 5).

A topic is a BLAKE3 hash over the kind of topic, the name of the network and the subject, each with
its length in front, so that no two of them ever meet and a private network has topics of its own.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from bitdust.errors import InvalidInput

TOPIC_SIZE: Final = 20
NODE_ID_SIZE: Final = 32
MAX_NAME_BYTES: Final = 256
MAX_LAYER: Final = 255

LAYER_COMMON: Final = 0
LAYER_ID_SERVERS: Final = 1
LAYER_PROXY_ROUTERS: Final = 2
LAYER_SUPPLIERS: Final = 3
LAYER_REBUILDERS: Final = 4
LAYER_BROADCASTERS: Final = 5
LAYER_MERCHANTS: Final = 6
LAYER_MESSAGE_BROKERS: Final = 7
LAYER_CUSTOMERS: Final = 8
LAYER_WEB_SOCKET_ROUTERS: Final = 9

LAYER_NAMES: Final = {
    LAYER_COMMON: "COMMON",
    LAYER_ID_SERVERS: "ID_SERVERS",
    LAYER_PROXY_ROUTERS: "PROXY_ROUTERS",
    LAYER_SUPPLIERS: "SUPPLIERS",
    LAYER_REBUILDERS: "REBUILDERS",
    LAYER_BROADCASTERS: "BROADCASTERS",
    LAYER_MERCHANTS: "MERCHANTS",
    LAYER_MESSAGE_BROKERS: "MESSAGE_BROKERS",
    LAYER_CUSTOMERS: "CUSTOMERS",
    LAYER_WEB_SOCKET_ROUTERS: "WEB_SOCKET_ROUTERS",
}
"""The layers of the original network by number."""

_LABEL: Final = b"bitdust dht topic v1"


def pack_fields(*fields: bytes) -> bytes:
    """Join byte strings unambiguously: each with its length, 4 bytes big-endian, in front."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def check_layer(layer: int) -> int:
    """Return ``layer`` if it may number a layer.

    Raises:
        InvalidInput: not a whole number from 0 to 255.
    """
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer <= MAX_LAYER:
        raise InvalidInput(
            f"invalid DHT layer {str(layer)[:20]!r}", hint=f"use a number from 0 to {MAX_LAYER}"
        )
    return layer


def _name_bytes(text: str, what: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput(f"the {what} is not valid text") from exc
    if len(raw) > MAX_NAME_BYTES:
        raise InvalidInput(f"the {what} is longer than {MAX_NAME_BYTES} bytes")
    return raw


def _topic(kind: bytes, network: str, subject: bytes) -> bytes:
    packed = pack_fields(_LABEL, kind, _name_bytes(network, "network name"), subject)
    return blake3(packed).digest(length=TOPIC_SIZE)


def _check_node_id(node_id: bytes) -> bytes:
    if len(node_id) != NODE_ID_SIZE:
        raise InvalidInput(f"a node id has {NODE_ID_SIZE} bytes, not {len(node_id)}")
    return bytes(node_id)


def layer_topic(layer: int, network: str = "") -> bytes:
    """The topic on which every node that serves ``layer`` announces itself.

    Args:
        layer: 0 to 255, such as ``LAYER_SUPPLIERS``.
        network: name of a private network; empty for the public one.
    Returns:
        20 bytes.
    Raises:
        InvalidInput: the layer or the name is out of its bounds.
    """
    return _topic(b"layer", network, bytes([check_layer(layer)]))


def customer_topic(node_id: bytes, network: str = "") -> bytes:
    """The topic on which the suppliers of a customer announce themselves.

    Args:
        node_id: the customer's 32 bytes.
        network: name of a private network; empty for the public one.
    """
    return _topic(b"customer", network, _check_node_id(node_id))


def identity_topic(node_id: bytes, network: str = "") -> bytes:
    """The topic on which a node announces its own contact address.

    Args:
        node_id: the node's 32 bytes.
        network: name of a private network; empty for the public one.
    """
    return _topic(b"identity", network, _check_node_id(node_id))


def nickname_topic(name: str, network: str = "") -> bytes:
    """The topic on which the holders of a nickname announce themselves.

    Args:
        name: the nickname, case and outer spaces ignored.
        network: name of a private network; empty for the public one.
    """
    return _topic(b"nickname", network, _name_bytes(name.strip().casefold(), "nickname"))


def group_topic(stream: bytes, network: str = "") -> bytes:
    """The topic on which the brokers of a group announce themselves.

    Args:
        stream: id of the group's stream, 32 bytes.
        network: name of a private network; empty for the public one.
    """
    if len(stream) != NODE_ID_SIZE:
        raise InvalidInput(f"a stream's id has {NODE_ID_SIZE} bytes, not {len(stream)}")
    return _topic(b"group", network, bytes(stream))
