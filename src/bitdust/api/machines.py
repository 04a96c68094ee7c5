"""State machines: what is going on in the node, each with its state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bitdust.api.envelope import Answer
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import BitdustError, InvalidInput, NotFound
from bitdust.machine import Machine

if TYPE_CHECKING:
    from bitdust.api.node import Node

_ONLINE = {"online": "CONNECTED", "connecting": "PING?", "offline": "OFFLINE"}
_INCOMING = "incoming"
_PUT, _GET = "fragment.put", "fragment.get"


@operation(GET("/automat/list/v1"), GET("/state/list/v1"), GET("/automat/list"), cli="automat list")
async def automats_list(node: Node) -> list[dict[str, Any]]:
    """List the state machines of the node.

    Returns:
        A list of `index`, `id`, `name`, `state`, `repr`, `timers` (what happens next by itself),
        `past` (the last ten states in which it was seen), `details` (whom it is about) and
        `events` (whether its changes are told).

    Source: BitDust API, third generation, automats_list.
    """
    return look(node)


def look(node: Node) -> list[dict[str, Any]]:
    """All state machines now, as ``automats_list`` shows them."""
    rows = node.machines.show(_machines(node))
    return [{**row, "events": node.automats.is_watched(row)} for row in rows]


@operation(GET("/automat/info/v1"), GET("/state/info/v1"), cli="automat info", example={"index": 1})
async def automat_info(
    node: Node, *, index: int | None = None, automat_id: str | None = None
) -> dict[str, Any]:
    """Show one state machine.

    Args:
        index: its number.
        automat_id: or its id.

    Returns:
        The state machine as `automats_list` shows it.

    Raises:
        InvalidInput: neither is given.
        NotFound: there is no such state machine now.

    Source: BitDust, second generation, automat/info.
    """
    return _find(node, index, automat_id)


def _find(node: Node, index: int | None, automat_id: str | None) -> dict[str, Any]:
    if index is None and automat_id is None:
        raise InvalidInput("one of mandatory parameters missed: index, automat_id")
    for row in look(node):
        if row["index"] == index or row["id"] == automat_id:
            return row
    raise NotFound("there is no such state machine now", hint="see `bitdust automat list`")


@operation(
    POST("/automat/events/start/v1"),
    POST("/state/events/start/v1"),
    cli="automat events-start",
    example={"index": 1},
)
async def automat_events_start(
    node: Node,
    *,
    index: int | None = None,
    automat_id: str | None = None,
    state_unchanged: bool = False,
) -> Answer:
    """Tell by events how one state machine moves, until `automat_events_stop` is called.

    The event is `state-changed`, with `index`, `id`, `name`, `oldstate`, `newstate` and `event`,
    what happened in the node before.

    Args:
        index: its number.
        automat_id: or its id.
        state_unchanged: tell also of events after which it stands where it stood.

    Returns:
        The state machine as `automats_list` shows it.

    Raises:
        InvalidInput: neither is given, or too many are watched.
        NotFound: there is no such state machine now.

    Source: BitDust, second generation, automat/events/start.
    """
    row = _find(node, index, automat_id)
    node.automats.start(row, state_unchanged=state_unchanged)
    return Answer({**row, "events": True}, message=f"changes of {row['id']} are told by events")


@operation(
    POST("/automat/events/stop/v1"),
    POST("/state/events/stop/v1"),
    cli="automat events-stop",
    ignored=("state_unchanged",),
    example={"index": 1},
)
async def automat_events_stop(
    node: Node, *, index: int | None = None, automat_id: str | None = None
) -> Answer:
    """Tell no longer how one state machine moves.

    Args:
        index: its number.
        automat_id: or its id.

    Returns:
        The state machine as `automats_list` shows it.

    Raises:
        InvalidInput: neither is given.
        NotFound: there is no such state machine now.

    Source: BitDust, second generation, automat/events/stop.
    """
    row = _find(node, index, automat_id)
    await node.automats.stop(row)
    return Answer({**row, "events": False}, message=f"changes of {row['id']} are told no longer")


def _machines(node: Node) -> Iterator[Machine]:
    for row in node.services.views():
        yield Machine(row["name"], row["id"], row["state"], details=row["reason"])
    yield from _network(node)
    yield from _suppliers(node)
    yield from _customers(node)
    yield from _groups(node)
    yield from _devices(node)
    yield from _storage(node)
    yield from _packets(node)


def _network(node: Node) -> Iterator[Machine]:
    network = node.network
    if node.services.is_on("identity_server"):
        yield Machine("IdServer", "id_server", "LISTEN")
    if network is None:
        yield Machine("NetworkConnector", "network_connector", "DISCONNECTED")
        return
    rows = network.connections()
    connected = any(row["state"] == "CONNECTED" for row in rows)
    yield Machine("NetworkConnector", "network_connector", "CONNECTED")
    state = "CONNECTED" if connected else "DISCONNECTED"
    yield Machine("P2PConnector", "p2p_connector", state)
    yield Machine("NetworkTransport", "tcp_transport", "LISTENING")
    for row in rows:
        number = f"tcp_{row['host']}"
        yield Machine("TCPConnection", number, row["state"], details=row["global_id"])
    now = node.clock.now()
    for node_id, status in network.statuses().items():
        document = network.document_of(node_id)
        who = str(document.global_id) if document is not None else node_id.hex()[:16]
        left = status.next_attempt - now
        timers = {"attempt": left} if status.next_attempt else {}
        state = _ONLINE[status.state.value]
        why = "" if state == "CONNECTED" else status.last_error
        yield Machine("OnlineStatus", f"online_{who}", state, timers, why)


def _suppliers(node: Node) -> Iterator[Machine]:
    customer = node.customer
    if customer is None:
        return
    missing = sum(position is None for position in customer.positions())
    yield Machine(
        "FireHire",
        "fire_hire",
        "HIRE_ONE" if missing else "READY",
        details=f"{missing} of {customer.n} suppliers to be hired" if missing else "",
    )
    for row in customer.suppliers_list():
        who = f"supplier_{row['position']}"
        yield Machine("SupplierConnector", who, row["supplier_state"], details=row["global_id"])


def _groups(node: Node) -> Iterator[Machine]:
    if node.groups is None:
        return
    for row in node.groups.rows.values():
        state = node.groups.view(row)["state"]
        yield Machine("GroupParticipant", f"group_{row.no}", state, details=row.key_id)


def _devices(node: Node) -> Iterator[Machine]:
    if node.devices is None:
        return
    for row in node.devices.list():
        instance = row["instance"]
        if instance is not None:
            yield Machine(instance["name"], instance["id"], instance["state"], details=row["name"])


def _customers(node: Node) -> Iterator[Machine]:
    if node.supplier is None:
        return
    for row in node.supplier.customers_list():
        who = f"customer_{row['node_id'][:16]}"
        yield Machine("CustomerAssistant", who, row["contact_state"], details=row["global_id"])


def _storage(node: Node) -> Iterator[Machine]:
    storage = node.storage
    if storage is None:
        return
    state, details = "SAW_FILES", ""
    try:
        _ = storage.parts
    except BitdustError as exc:
        state, details = "NO_FILES", exc.message
    yield Machine("ListFilesOrator", "list_files_orator", state, details=details)
    going = {packet.command for packet in node.traffic.packets() if packet.direction != _INCOMING}
    yield Machine("DataSender", "data_sender", "SENDING" if _PUT in going else "READY")
    yield Machine("DataReceiver", "data_receiver", "RECEIVING" if _GET in going else "READY")
    jobs = [
        ("Backup", "READ", storage.uploads),
        ("RestoreWorker", "RECEIVING", storage.downloads),
    ]
    for name, working, queue in jobs:
        for job in (*queue.running(), *queue.pending()):
            state = working if job.state == "running" else "AT_STARTUP"
            if name == "Backup" and state == "READ" and not job.reading:
                state = "RAID"  # everything was read: what is left is coded and sent
            yield Machine(
                name, f"{job.kind}_{job.id}", state, details=f"{job.progress:.1f}% of {job.remote}"
            )


def _packets(node: Node) -> Iterator[Machine]:
    now = node.clock.now()
    for packet in node.traffic.packets():
        if packet.direction == _INCOMING:
            yield Machine("PacketIn", f"in_{packet.number}", "RECEIVING", details=packet.command)
            continue
        left = packet.started + packet.timeout - now
        state = "RECEIVING" if packet.fetches else "RESPONSE?"
        timers = {} if packet.fetches else {"timeout": left}
        yield Machine("PacketOut", f"out_{packet.number}", state, timers, packet.command)
