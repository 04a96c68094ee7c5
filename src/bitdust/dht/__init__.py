"""The DHT: where nodes announce what they are and owners publish signed records.

It is the BitTorrent mainline DHT through libtorrent (BEP 5, BEP 44), or a private one of the same
kind. Announcements only point; whatever they point to proves itself. See docs/spec/dht.md.
"""

from bitdust.dht.libtorrent_dht import LibtorrentDht
from bitdust.dht.ownership import (
    KeySource,
    SharedSecret,
    is_signed,
    item_target,
    owner_dht_key,
    public_of,
    sign_item,
)
from bitdust.dht.protocol import Dht, read_safely
from bitdust.dht.records import (
    GROUP_BROKERS,
    IDENTITY,
    MESSAGE_BROKER,
    NICKNAME,
    RECORD_TYPES,
    SKIP_VALIDATION,
    SUPPLIERS,
    RecordType,
)
from bitdust.dht.results import (
    DhtNode,
    DhtStats,
    LayerCounts,
    ReadResult,
    WriteResult,
    lookup_answer,
    node_rows,
    read_answer,
    write_answer,
)
from bitdust.dht.service import DhtService
from bitdust.dht.session import DEFAULT_BOOTSTRAP
from bitdust.dht.topics import (
    LAYER_BROADCASTERS,
    LAYER_COMMON,
    LAYER_CUSTOMERS,
    LAYER_ID_SERVERS,
    LAYER_MERCHANTS,
    LAYER_MESSAGE_BROKERS,
    LAYER_NAMES,
    LAYER_PROXY_ROUTERS,
    LAYER_REBUILDERS,
    LAYER_SUPPLIERS,
    LAYER_WEB_SOCKET_ROUTERS,
    customer_topic,
    group_topic,
    identity_topic,
    layer_topic,
    nickname_topic,
)
from bitdust.dht.values import MAX_VALUE_BYTES
from bitdust.dht.wire import Address, Item, Traffic, Wire

__all__ = [
    "DEFAULT_BOOTSTRAP",
    "GROUP_BROKERS",
    "IDENTITY",
    "LAYER_BROADCASTERS",
    "LAYER_COMMON",
    "LAYER_CUSTOMERS",
    "LAYER_ID_SERVERS",
    "LAYER_MERCHANTS",
    "LAYER_MESSAGE_BROKERS",
    "LAYER_NAMES",
    "LAYER_PROXY_ROUTERS",
    "LAYER_REBUILDERS",
    "LAYER_SUPPLIERS",
    "LAYER_WEB_SOCKET_ROUTERS",
    "MAX_VALUE_BYTES",
    "MESSAGE_BROKER",
    "NICKNAME",
    "RECORD_TYPES",
    "SKIP_VALIDATION",
    "SUPPLIERS",
    "Address",
    "Dht",
    "DhtNode",
    "DhtService",
    "DhtStats",
    "Item",
    "KeySource",
    "LayerCounts",
    "LibtorrentDht",
    "ReadResult",
    "RecordType",
    "SharedSecret",
    "Traffic",
    "Wire",
    "WriteResult",
    "customer_topic",
    "group_topic",
    "identity_topic",
    "is_signed",
    "item_target",
    "layer_topic",
    "lookup_answer",
    "nickname_topic",
    "node_rows",
    "owner_dht_key",
    "public_of",
    "read_answer",
    "read_safely",
    "sign_item",
    "write_answer",
]
