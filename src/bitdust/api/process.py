"""The process of the node."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bitdust import __version__
from bitdust.api import machines, traffic
from bitdust.api.registry import GET, operation
from bitdust.errors import AccessDenied

if TYPE_CHECKING:
    from bitdust.api.node import Node


@operation(GET("/process/stop/v1"), ignored=("instant",))
async def process_stop(node: Node) -> None:
    """Stop the node.

    The answer is sent before connections are closed. Uploads and downloads go on at the next start.

    Source: BitDust API, third generation, process_stop.
    """
    node.request_stop()


@operation(GET("/process/restart/v1"), cli="process restart")
async def process_restart(node: Node) -> dict[str, bool]:
    """Stop the node and start it again.

    Returns:
        `restarted`, true.

    Source: BitDust API, third generation, process_restart.
    """
    node.request_stop(restart=True)
    return {"restarted": True}


@operation(GET("/process/health/v1"), GET("/p/h"), GET("/p/h/v1"), cli="process health")
async def process_health(node: Node) -> None:
    """Answer if the node is running.

    Source: BitDust API, third generation, process_health.
    """
    del node


@operation(GET("/process/info/v1"), cli="process info")
async def process_info(node: Node) -> dict[str, Any]:
    """Show in short how the node is doing.

    Returns:
        `version`, `home`, `identity`, `config`, `key`, `contact`, `event`, `service`, `automats`,
        `group`, `stream` (queues) and, while they are on, `network` and `dht`, with counts.

    Source: BitDust, second generation, process/info.
    """
    ready = node.global_id is not None
    suppliers = node.customer.suppliers_list() if node.customer is not None else []
    customers = node.supplier.customers_list() if node.supplier is not None else []
    connections = node.network.connections() if node.network is not None else []
    queues = node.consumers.queues()
    moving = await machines.automats_list(node)
    shown: dict[str, Any] = {
        "version": __version__,
        "home": str(node.home),
        "config": {"options": len(node.settings.keys())},
        "identity": {"ready": ready, "cache": await node.identities.count()},
        "key": {"registered": len(node.require_keys().list()) if node.keys is not None else 0},
        "contact": {
            "active": sum(1 for row in connections if row["state"] == "CONNECTED"),
            "suppliers_hired": sum(1 for row in suppliers if row.get("idurl")),
            "suppliers_total": len(suppliers),
            "suppliers_active": _active(suppliers),
            "customers": len(customers),
            "customer_assistants": _standing(moving, "CustomerAssistant", "CONNECTED"),
        },
        "event": {"total": sum(node.events.counts.values())},
        "service": {"active": sum(row["state"] == "ON" for row in node.services.views())},
        "automats": {"active": len(moving)},
        "group": {"active": _standing(moving, "GroupParticipant", "CONNECTED")},
        "stream": {
            "queues": len(queues),
            "consumers": len(queues),
            "producers": len(await traffic.queue_producers_list(node)),
        },
    }
    if node.network is not None:
        counted = node.network.packets_stats()
        under_way = [packet.direction for packet in node.traffic.packets()]
        shown["network"] = {
            "protocols": sorted({row["proto"] for row in connections}),
            "packets_in": under_way.count("incoming"),
            "packets_in_total": counted["in"]["total_packets"],
            "packets_out": under_way.count("outgoing"),
            "packets_out_total": counted["out"]["total_packets"],
        }
    if node.dht is not None:
        stats = await node.dht.stats()
        shown["dht"] = {
            "bytes_in": stats.bytes_in,
            "bytes_out": stats.bytes_out,
            "layers": {
                str(layer): {
                    "cache": counts.cache,
                    "packets_in": counts.packets_in,
                    "packets_out": counts.packets_out,
                }
                for layer, counts in sorted(stats.layers.items())
            },
        }
    return shown


def _standing(rows: list[dict[str, Any]], name: str, state: str) -> int:
    return sum(1 for row in rows if row["name"] == name and row["state"] == state)


def _active(rows: list[dict[str, Any]]) -> int:
    return sum(1 for row in rows if row.get("contact_state") == "CONNECTED")


@operation(GET("/process/debug/v1"))
async def process_debug(node: Node) -> None:
    """Stop at a breakpoint and open the Python debugger in the terminal of the node.

    Only for a node that was started with `bitdust daemon --foreground` in a terminal. Nothing else
    runs until the debugger is left.

    Raises:
        AccessDenied: the node has no terminal.

    Source: BitDust API, third generation, process_debug.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise AccessDenied(
            "this node was not started from a terminal",
            hint="stop it and start it with `bitdust daemon --foreground`",
        )
    import pdb  # noqa: T100 - the debugger is what the caller asked for

    # else it would take Ctrl-C away from the node for good
    debugger = pdb.Pdb(nosigint=True)
    debugger.prompt = f"(bitdust {__version__} at {node.home}) "
    debugger.set_trace()
