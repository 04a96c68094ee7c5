"""The DHT: nodes, members of layers, records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.parameters import JsonValue, Range
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import BitdustError, InvalidInput
from bitdust.ids import GlobalID

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_LAYER = 255
MAX_COUNT = 64
_DIAL_TIMEOUT = 5.0
_NODE_ID = re.compile(r"[0-9a-fA-F]{40}")

Layer = Annotated[int, Range(0, MAX_LAYER)]


@operation(
    GET("/dht/node/find/v1"),
    cli="dht node find",
    aliases={"dht_id": "node_id_64"},
    positional=("node_id_64",),
    example={"node_id_64": "4271c8f079695d77f80186ac9365e3df949ff74d"},
)
async def dht_node_find(
    node: Node, *, node_id_64: str | None = None, layer_id: Layer = 0
) -> dict[str, Any]:
    """Find the DHT nodes closest to an id, or to a random place.

    Args:
        node_id_64: 40 hexadecimal digits; a random place if not given.
        layer_id: 0 for all nodes, else the layer whose place is looked up when no id is given.

    Returns:
        `my_dht_id`, `lookup` and `closest_nodes`, a list of `dht_id` and `address`.

    Raises:
        InvalidInput: the id is no 40 hexadecimal digits.
        ServiceOff: the DHT is switched off.
        DhtError: the DHT does not answer.

    Source: BitDust API, third generation, dht_node_find.
    """
    from bitdust.dht import lookup_answer

    if node_id_64 is not None and not _NODE_ID.fullmatch(node_id_64):
        raise InvalidInput("node_id_64: must be 40 hexadecimal digits")
    dht = node.require_dht()
    wanted = bytes.fromhex(node_id_64) if node_id_64 else None
    return lookup_answer(dht.my_id, node_id_64 or "", await dht.find_nodes(wanted, layer_id))


@operation(GET("/dht/user/random/v1"), cli="dht user random", example={"count": 2, "layer_id": 3})
async def dht_user_random(
    node: Node, *, layer_id: Layer = 0, count: Annotated[int, Range(1, MAX_COUNT)] = 1
) -> list[str]:
    """Pick live nodes at random from those that serve a layer.

    Each is connected to and proves who it is before it is named.

    Args:
        layer_id: such as 3 for suppliers.
        count: how many are wanted; fewer may be found.

    Returns:
        A list of IDURLs.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the DHT or the network is switched off.

    Source: BitDust API, third generation, dht_user_random.
    """
    import asyncio

    from bitdust.network import Endpoint

    network = node.require_network()
    addresses = await node.require_dht().random_endpoints(layer_id, count * 2)

    async def meet(host: str, port: int) -> str:
        try:
            document = await network.dial(Endpoint("tcp", host, port), timeout=_DIAL_TIMEOUT)
        except BitdustError:
            return ""  # it was announced and is gone
        return str(document.idurl)

    met = await asyncio.gather(*(meet(host, port) for host, port in addresses))
    return list(dict.fromkeys(filter(None, met)))[:count]


@operation(GET("/dht/value/get/v1"), cli="dht value get", example={"key": "abcd"})
async def dht_value_get(
    node: Node,
    key: str,
    *,
    record_type: str = "skip_validation",
    layer_id: Layer = 0,
    use_cache_ttl: Annotated[float, Range(0, 1e9)] | None = None,
    owner_id: GlobalID | None = None,
) -> dict[str, Any]:
    """Read a record of the DHT.

    Args:
        key: name of the record.
        record_type: what it must be, such as `nickname` or `suppliers`; anything if not given.
        layer_id: the layer it is in.
        use_cache_ttl: seconds for which an earlier read will do.
        owner_id: whose record it is, for types that belong to somebody; your own if not given.

    Returns:
        `read` (`success` or `failed`), `my_dht_id`, `key`, and `value` or `closest_nodes`.

    Raises:
        InvalidInput: the key or the type cannot be taken.
        ServiceOff: the DHT is switched off.
        DhtError: the DHT does not answer.

    Source: BitDust API, third generation, dht_value_get.
    """
    from bitdust.dht import read_answer

    dht = node.require_dht()
    owner: bytes | None = None
    if owner_id is not None and owner_id != node.global_id:
        owner = (await node.identities.resolve(owner_id.idurl)).dht_key
    elif node.global_id is not None:
        owner = node.require_identity().document.dht_key
    found = await dht.get_value(
        key,
        record_type=record_type,
        layer=layer_id,
        owner_dht_key=owner,
        cache_ttl=use_cache_ttl,
    )
    return read_answer(dht.my_id, found)


@operation(
    POST("/dht/value/set/v1"),
    cli="dht value set",
    example={"key": "abcd", "value": {"text": "A-B-C-D"}},
)
async def dht_value_set(
    node: Node,
    key: str,
    value: JsonValue,
    *,
    expire: Annotated[float, Range(1, 1e9)] | None = None,
    record_type: str = "skip_validation",
    layer_id: Layer = 0,
) -> dict[str, Any]:
    """Write a record to the DHT, and keep it alive while this node runs.

    Args:
        key: name of the record.
        value: a JSON value.
        expire: seconds after which readers ignore it.
        record_type: what it is; types that belong to somebody are signed with your key.
        layer_id: the layer it goes to.

    Returns:
        `write` (`success` or `failed`), `my_dht_id`, `key`, `value` and `closest_nodes`.

    Raises:
        InvalidInput: the key, the value or the type cannot be taken.
        ServiceOff: the DHT is switched off.
        DhtError: the DHT does not answer.

    Source: BitDust API, third generation, dht_value_set.
    """
    from bitdust.dht import write_answer

    dht = node.require_dht()
    signer = node.require_identity().key if node.global_id is not None else None
    result = await dht.set_value(
        key, value, record_type=record_type, layer=layer_id, signer=signer, expire=expire
    )
    return write_answer(dht.my_id, result)


@operation(GET("/dht/db/dump/v1"), cli="dht dump")
async def dht_local_db_dump(node: Node) -> dict[str, Any]:
    """Show all records that this node keeps, announces or remembers.

    Returns:
        Lists of records by layer, each with `scope`, `key`, `type`, `revision`, `value` and more.

    Raises:
        ServiceOff: the DHT is switched off.

    Source: BitDust API, third generation, dht_local_db_dump.
    """
    return node.require_dht().local_db_dump()
