"""The network: whether we are connected, to whom, and what travels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.networks import MAINLINE, selected
from bitdust.api.parameters import Range
from bitdust.api.registry import GET, operation
from bitdust.errors import NetworkError

if TYPE_CHECKING:
    from bitdust.api.node import Node

_PROTOCOLS = {"protocols": ["tcp", "udp", "proxy"]}
_CONNECTED = "CONNECTED"
_GATEWAY = "services/gateway/enabled"
_CONNECTED_SERVICES = (
    "service_gateway",
    "service_p2p_hookups",
    "service_proxy_transport",
)
_STUN_LOOKUP = 5.0
_STUN_SERVERS = 10
_KNOWN_PORTS = {"known-nodes": (14441, "udp_port")}


@operation(GET("/network/connected/v1"), cli="network connected")
async def network_connected(
    node: Node, *, wait_timeout: Annotated[float, Range(0, 600)] = 5.0
) -> dict[str, Any]:
    """Make sure that this node is connected to another one.

    Answers at once when it is, and else waits for the first connection.

    Args:
        wait_timeout: seconds to wait.

    Returns:
        `connected`, the number of connections, and `service_network`, `service_gateway`,
        `service_p2p_hookups` and `service_proxy_transport`, each `started` or `disabled`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the network is switched off.
        NetworkError: no other node was connected within that time.

    Source: BitDust API, third generation, network_connected.
    """
    import asyncio

    network = node.require_network()
    subscription = node.events.subscribe()
    try:
        async with asyncio.timeout(wait_timeout):
            while not (count := _count_connected(network.connections())):
                await subscription.collect()
    except TimeoutError:
        raise NetworkError(
            f"not connected to any other node within {wait_timeout:g} s",
            hint="see `bitdust network info`",
        ) from None
    finally:
        node.events.unsubscribe(subscription)
    services = {row["name"]: row for row in node.services.views()}
    return {"connected": count, "service_network": "started"} | {
        name: _service_word(services.get(name)) for name in _CONNECTED_SERVICES
    }


def _service_word(row: dict[str, Any] | None) -> str:
    return "started" if row is not None and row["state"] == "ON" else "disabled"


def _count_connected(rows: list[dict[str, Any]]) -> int:
    return sum(1 for row in rows if row["state"] == _CONNECTED)


@operation(GET("/network/info/v1"), GET("/network/details/v1"), cli="network info")
async def network_info(
    node: Node,
    *,
    suppliers: bool = True,
    customers: bool = True,
    cache: bool = True,
    tcp: bool = True,
    udp: bool = True,
    proxy: bool = True,
    dht: bool = True,
) -> dict[str, Any]:
    """Show the state of the network in detail.

    Args:
        suppliers: with your suppliers.
        customers: with your customers.
        cache: with the number of identities in the cache.
        tcp: with connections and streams over TCP.
        udp: accepted for older clients; there is no such transport in this version.
        proxy: accepted for older clients; there is no such transport in this version.
        dht: with the state of the DHT.

    Returns:
        `p2p_connector_state`, `network_connector_state`, `idurl`, `global_id`, `identity_sources`,
        `identity_contacts`, `identity_revision`, and the parts that were asked for.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust, second generation, network/info.
    """
    del udp, proxy
    document = node.require_identity().document
    rows = node.network.connections() if node.network is not None else []
    connected = _count_connected(rows)
    shown: dict[str, Any] = {
        "p2p_connector_state": _CONNECTED if connected else "DISCONNECTED",
        "network_connector_state": _CONNECTED if node.network is not None else "DISCONNECTED",
        "idurl": str(document.idurl),
        "global_id": str(document.global_id),
        "identity_sources": [str(source) for source in document.sources],
        "identity_contacts": list(document.contacts),
        "identity_revision": document.revision,
    }
    if suppliers and node.customer is not None:
        peers = node.customer.suppliers_list()
        shown["suppliers"] = {
            "desired": node.settings.get_int("services/customer/suppliers-number"),
            "connected": _count_peers(peers),
            "total": len(peers),
            "peers": [_peer(row) for row in peers],
        }
    if customers and node.supplier is not None:
        peers = node.supplier.customers_list()
        shown["customers"] = {
            "connected": _count_peers(peers),
            "total": len(peers),
            "peers": [_peer(row) for row in peers],
        }
    if cache:
        shown["cache"] = {"total": await node.identities.count()}
    if tcp and node.network is not None:
        shown["tcp"] = {"sessions": rows, "streams": node.network.streams()}
    if dht and node.dht is not None:
        shown["dht"] = await _dht_view(node)
    return shown


def _count_peers(rows: list[dict[str, Any]]) -> int:
    return sum(1 for row in rows if row.get("contact_state") == _CONNECTED)


def _peer(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "idurl": row.get("idurl", ""),
        "global_id": row.get("global_id", ""),
        "state": row.get("contact_state", ""),
    }


async def _dht_view(node: Node) -> dict[str, Any]:
    stats = await node.require_dht().stats()
    return {
        "udp_port": stats.port,
        "bytes_received": stats.bytes_in,
        "bytes_sent": stats.bytes_out,
        "packets_received": stats.packets_in,
        "packets_sent": stats.packets_out,
        "packets_dropped": stats.dropped,
        "node_id": stats.my_id.hex(),
        "contacts": stats.nodes,
        "layers": [
            {
                "layer_id": layer,
                "packets_received": counts.packets_in,
                "packets_sent": counts.packets_out,
                "data_store_items": counts.cache,
            }
            for layer, counts in sorted(stats.layers.items())
        ],
    }


@operation(GET("/network/status/v1"), cli="network status")
async def network_status(
    node: Node,
    *,
    suppliers: bool = False,
    customers: bool = False,
    cache: bool = False,
    tcp: bool = False,
    udp: bool = False,
    proxy: bool = False,
    dht: bool = False,
) -> dict[str, Any]:
    """Show the state of the network in short; the same as `network_info`, with less of it.

    Args:
        suppliers: with your suppliers.
        customers: with your customers.
        cache: with the number of identities in the cache.
        tcp: with connections and streams over TCP.
        udp: accepted for older clients; there is no such transport in this version.
        proxy: accepted for older clients; there is no such transport in this version.
        dht: with the state of the DHT.

    Returns:
        See `network_info`.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust, second generation, network/status.
    """
    return await network_info(
        node,
        suppliers=suppliers,
        customers=customers,
        cache=cache,
        tcp=tcp,
        udp=udp,
        proxy=proxy,
        dht=dht,
    )


@operation(GET("/network/reconnect/v1"), cli="network reconnect")
async def network_reconnect(node: Node) -> Answer:
    """Look for this machine's address anew, and make all connections again.

    Requests that are under way come to their end; uploads and downloads go on. After
    `network_disconnect` the network services are switched on again.

    Returns:
        `connections`, the number of nodes that are connected again.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the network is switched off.

    Source: BitDust API, third generation, network_reconnect.
    """
    if node.network is None and not node.settings.get_bool(_GATEWAY):
        await _switch_gateway(node, True)
    return Answer({"connections": await node.reconnect()}, message="reconnected")


@operation(GET("/network/disconnect/v1"), cli="network disconnect")
async def network_disconnect(node: Node) -> Answer:
    """End all connections and stay away until `network_reconnect` is called.

    The service `service_gateway` is switched off, with all that stand on it. Uploads and downloads
    go on when it is back.

    Source: BitDust, second generation, network/disconnect.
    """
    await _switch_gateway(node, False)
    return Answer(message="disconnected")


async def _switch_gateway(node: Node, value: bool) -> None:
    import asyncio

    change = node.settings.prepare(_GATEWAY, value)
    await in_pool(node, node.settings.write, change)
    node.settings.notify(change)
    await asyncio.shield(node.services.begin())


@operation(GET("/network/stun/v1"), cli="network stun")
async def network_stun(
    node: Node,
    *,
    udp_port: Annotated[int, Range(0, 65535)] | None = None,
    dht_port: Annotated[int, Range(0, 65535)] | None = None,
) -> dict[str, Any]:
    """Find out under which address other machines see this one.

    Nodes that offer it are found through the DHT and asked over UDP.

    Args:
        udp_port: port to ask from; any free one if it is left out.
        dht_port: accepted for older clients; the DHT's own port is used.

    Returns:
        `result`, `ip`, `port`, `type` and `details`. The type is `open` (no address translation),
        `cone`, `symmetric`, or `unknown` after a single answer; `details` holds what each node
        said.

    Raises:
        ServiceOff: the DHT is switched off.
        PortInUse: the port is taken.
        NetworkError: no node offers it, or none answered.

    Source: BitDust API, third generation, network_stun.
    """
    from bitdust.dht import layer_topic
    from bitdust.stun import LAYER_STUN, find_address

    del dht_port
    dht = node.require_dht()
    found = await dht.peers(layer_topic(LAYER_STUN, dht.network), _STUN_LOOKUP, _STUN_SERVERS)
    own = {("127.0.0.1", node.stun_port), (node.host, node.stun_port)}
    others = [server for server in found if server not in own and ":" not in server[0]]
    if not others:
        raise NetworkError(
            "no node that tells addresses was found",
            hint="wait until the DHT knows more nodes; see `bitdust network info`",
        )
    node.random.shuffle(others)
    # in a private network as the DHT does: from the address that the settings name
    private = node.settings.get_bool("services/entangled-dht/private-network")
    host = node.host if private else "0.0.0.0"  # noqa: S104 - any way out will do
    finding = await find_address(others, node.random, host=host, port=udp_port or 0)
    return {
        "result": "stun-success",
        "type": finding.kind,
        "ip": finding.host,
        "port": finding.port,
        "details": [
            {"server": f"{server[0]}:{server[1]}", "ip": seen[0], "port": seen[1]}
            for server, seen in finding.answers.items()
        ],
    }


@operation(GET("/network/configuration/v1"), cli="network configuration")
async def network_configuration(node: Node) -> dict[str, Any]:
    """Show which network this node belongs to, and how its services are set up.

    Returns:
        `name`, `label`, `maintainer`, `contact_email` and `current_network`, and one object of
        settings for each service that runs, such as `service_entangled_dht`. Addresses of known
        nodes and servers are objects of `host` and `udp_port` or `web_port`.

    Source: BitDust API, third generation, network_configuration.
    """
    described = await in_pool(node, selected, node.home)
    name = described["name"]
    if name == MAINLINE and node.settings.get_bool("services/entangled-dht/private-network"):
        described = {"label": "A private network"}
        name = "private"
    shown: dict[str, Any] = {
        "name": name,
        "current_network": name,
        "label": str(described.get("label", "")),
        "maintainer": str(described.get("maintainer", "")),
        "contact_email": str(described.get("contact_email", "")),
    }
    keys = node.settings.keys()
    for row in node.services.views():
        if row["state"] == "ON":
            branch = row["config_path"].rpartition("/")[0]
            shown[row["name"]] = {
                key.rpartition("/")[2].replace("-", "_"): _configured(node, key)
                for key in keys
                if key.rpartition("/")[0] == branch and not key.endswith("/enabled")
            }
    return shown


def _configured(node: Node, key: str) -> Any:
    value = node.settings.get(key)
    if not isinstance(value, tuple):
        return value
    default, port_name = _KNOWN_PORTS.get(key.rpartition("/")[2], (80, "web_port"))
    return [_place(text, default, port_name) for text in value]


def _place(text: str, default: int, port_name: str) -> dict[str, Any]:
    host, separator, port = text.rpartition(":")
    if separator and port.isdigit():
        return {"host": host, port_name: int(port)}
    return {"host": text, port_name: default}


@operation(
    GET("/connection/list/v1"),
    cli="connection list",
    aliases={"wanted_protos": "protocols"},
    example=_PROTOCOLS,
)
async def connections_list(
    node: Node, *, protocols: list[str] | None = None
) -> list[dict[str, Any]]:
    """List open connections to other nodes.

    Args:
        protocols: only those of these transports, such as `tcp`.

    Returns:
        A list of `status`, `state`, `proto`, `host`, `global_id`, `idurl`, `bytes_sent` and
        `bytes_received`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the network is switched off.

    Source: BitDust API, third generation, connections_list.
    """
    rows = node.require_network().connections()
    return [row for row in rows if not protocols or row["proto"] in protocols]


@operation(
    GET("/stream/list/v1"),
    cli="stream list",
    aliases={"wanted_protos": "protocols"},
    example=_PROTOCOLS,
)
async def streams_list(node: Node, *, protocols: list[str] | None = None) -> list[dict[str, Any]]:
    """List data that is on its way to or from other nodes.

    Args:
        protocols: only those of these transports, such as `tcp`.

    Returns:
        A list of `proto`, `stream_id`, `type`, `bytes_current`, `bytes_total` and `progress`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the network is switched off.

    Source: BitDust API, third generation, streams_list.
    """
    rows = node.require_network().streams()
    return [row for row in rows if not protocols or row["proto"] in protocols]


@operation(GET("/packet/stats/v1"), GET("/packet/info/v1"), cli="packet stats")
async def packets_stats(node: Node) -> dict[str, Any]:
    """Count what was sent and received since the node started.

    Returns:
        `in` and `out`, each with `total_packets`, `total_bytes`, `failed_packets` and `peers`;
        `misbehaviours` by kind of violation, `misbehaving_peers` by IDURL or remote address, and
        `refused_connections` by the bound that was reached.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the network is switched off.

    Source: BitDust API, third generation, packets_stats.
    """
    return node.require_network().packets_stats()
