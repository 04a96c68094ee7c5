"""What travels at this moment: requests, fragments, events in their queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitdust.api.registry import GET, operation

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.services import Packet

_PUT, _GET = "fragment.put", "fragment.get"
_OUTGOING = "outgoing"
_PROTO = "tcp"


@operation(GET("/packet/list/v1"), cli="packet list")
async def packets_list(node: Node) -> list[dict[str, Any]]:
    """List requests that are under way between this node and others.

    Returns:
        A list of `direction`, `command`, `packet_id`, `transfer_id`, `label`, `target`, `proto`,
        `size` (-1 while it is unknown), `bytes_received`, `seconds` since it began, and for
        outgoing ones `description`, `response_timeout` and `items`.

    Source: BitDust API, third generation, packets_list.
    """
    return [_packet(node, packet) for packet in node.traffic.packets()]


def _who(node: Node, node_id: bytes) -> tuple[str, str]:
    """IDURL and global id of a node, empty where its document is not known."""
    document = node.network.document_of(node_id) if node.network is not None else None
    return (str(document.idurl), str(document.global_id)) if document is not None else ("", "")


def _packet(node: Node, packet: Packet) -> dict[str, Any]:
    idurl, global_id = _who(node, packet.node)
    seconds = round(max(0.0, node.clock.now() - packet.started), 3)
    row: dict[str, Any] = {
        "direction": packet.direction,
        "command": packet.command,
        "packet_id": packet.number,
        "transfer_id": packet.number,
        "label": packet.object_name,
        "target": idurl,
        "global_id": global_id,
        "proto": _PROTO,
        "size": packet.size,
        "bytes_received": packet.done,
        "seconds": seconds,
        "timeout": packet.timeout or None,
    }
    if packet.direction == _OUTGOING:
        row["description"] = f"{packet.command} {packet.object_name}".rstrip()
        row["response_timeout"] = packet.timeout
        row["items"] = [
            {
                "transfer_id": packet.number,
                "proto": _PROTO,
                "host": global_id,
                "size": packet.size,
            }
        ]
    return row


@operation(GET("/transfer/list/v1"), cli="transfer list")
async def transfers_list(node: Node) -> list[dict[str, Any]]:
    """List fragments that are on their way to and from suppliers.

    Returns:
        A list with one entry for each supplier: `idurl`, `global_id`, `position`, `outgoing` and
        `incoming`, each a list of `packet_id`, `owner_id`, `remote_id`, `customer`, `filename`,
        `size`, `created` and, for incoming ones, `requested` and `bytes_received`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing own files is off.

    Source: BitDust API, third generation, transfers_list.
    """
    customer = node.require_customer()
    own = str(node.require_identity().global_id)
    packets = [packet for packet in node.traffic.packets() if packet.direction == _OUTGOING]
    rows = []
    for supplier in customer.suppliers_list():
        node_id = bytes.fromhex(supplier["node_id"])
        mine = [packet for packet in packets if packet.node == node_id]
        remote = supplier["global_id"]
        rows.append(
            {
                "idurl": supplier["idurl"],
                "global_id": remote,
                "position": supplier["position"],
                "outgoing": [_transfer(p, own, remote) for p in mine if p.command == _PUT],
                "incoming": [
                    _transfer(p, own, remote) | {"requested": p.started, "bytes_received": p.done}
                    for p in mine
                    if p.command == _GET
                ],
            }
        )
    return rows


def _transfer(packet: Packet, own: str, remote: str) -> dict[str, Any]:
    return {
        "packet_id": packet.number,
        "owner_id": own,
        "remote_id": remote,
        "customer": own,
        "filename": packet.object_name,
        "size": packet.size,
        "created": packet.started,
    }


@operation(GET("/queue/list/v1"), cli="queue list")
async def queues_list(node: Node) -> list[dict[str, Any]]:
    """List queues: what waits for whom.

    Every listener to events or messages has one.

    Returns:
        A list of `queue_id` and `messages`, the number that wait.

    Source: BitDust API, third generation, queues_list.
    """
    return [
        {"queue_id": row["queue_id"], "messages": row["messages"]}
        for row in (*node.consumers.queues(), *node.message_stream.consumers())
    ] + [{"queue_id": row["queue_id"], "messages": 0} for row in _group_queues(node)]


@operation(GET("/queue/consumer/list/v1"), cli="queue consumers")
async def queue_consumers_list(node: Node) -> list[dict[str, Any]]:
    """List those who take from queues.

    Returns:
        A list of `consumer_id`, `queues`, `commands`, `state` (`READ` while a call waits, else
        `READY`) and `consumed`.

    Source: BitDust API, third generation, queue_consumers_list.
    """
    return (
        [
            {
                "consumer_id": row["consumer_id"],
                "queues": [row["queue_id"]],
                "commands": ["event"],
                "state": "READ" if row["waiting"] else "READY",
                "consumed": row["consumed"],
            }
            for row in node.consumers.queues()
        ]
        + [
            {
                "consumer_id": row["consumer_id"],
                "queues": [row["queue_id"]],
                "commands": row["message_types"],
                "state": "READ" if row["waiting"] else "READY",
                "consumed": row["consumed"],
            }
            for row in node.message_stream.consumers()
        ]
        + [
            {
                "consumer_id": member,
                "queues": [row["queue_id"]],
                "commands": ["group_message"],
                "state": row["state"],
                "consumed": row["sequence_id"] + 1,
            }
            for row in _group_queues(node)
            for member in row["members"]
        ]
    )


@operation(GET("/queue/producer/list/v1"), cli="queue producers")
async def queue_producers_list(node: Node) -> list[dict[str, Any]]:
    """List those who put into queues.

    Returns:
        A list of `producer_id`, `queues`, `state` and `produced`.

    Source: BitDust API, third generation, queue_producers_list.
    """
    queues = [row["queue_id"] for row in node.consumers.queues()]
    return (
        [
            {
                "producer_id": str(node.global_id) if node.global_id is not None else "events",
                "queues": queues,
                "state": "READY",
                "produced": sum(node.events.counts.values()),
            }
        ]
        + [
            {
                "producer_id": kind,
                "queues": [
                    row["queue_id"]
                    for row in node.message_stream.consumers()
                    if kind in row["message_types"]
                ],
                "state": "READY",
                "produced": produced,
            }
            for kind, produced in sorted(node.message_stream.produced.items())
        ]
        + [
            {
                "producer_id": member,
                "queues": [row["queue_id"]],
                "state": row["state"],
                "produced": row["produced"].get(member, 0),
            }
            for row in _group_queues(node)
            for member in row["members"]
        ]
    )


@operation(GET("/queue/stream/list/v1"), cli="queue streams")
async def queue_streams_list(node: Node) -> list[dict[str, Any]]:
    """List queues with those who take from them and put into them: events, and your groups.

    Returns:
        A list of `queue_id`, `active` (somebody waits), `consumers`, `producers` and `sequence_id`,
        the number of the last message that was taken, -1 before the first.

    Source: BitDust, second generation, queue/stream/list.
    """
    producers = [row["producer_id"] for row in await queue_producers_list(node)]
    return [
        {
            "queue_id": row["queue_id"],
            "active": row["waiting"],
            "consumers": [row["consumer_id"]],
            "producers": producers,
            "sequence_id": row["consumed"] - 1,
        }
        for row in node.consumers.queues()
    ] + [
        {
            "queue_id": row["queue_id"],
            "active": row["active"],
            "consumers": row["members"],
            "producers": row["members"],
            "sequence_id": row["sequence_id"],
        }
        for row in _group_queues(node)
    ]


def _group_queues(node: Node) -> list[dict[str, Any]]:
    """Queues of the groups this node takes part in and is connected to."""
    rows = node.groups.queues() if node.groups is not None else []
    return [row for row in rows if row["queue_id"]]
