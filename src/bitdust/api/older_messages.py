"""Messages by the names of the first and second generation.

Source: BitDust API, first and second generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api import messages
from bitdust.api.envelope import Answer
from bitdust.api.parameters import JsonValue, Person, Range
from bitdust.api.registry import operation
from bitdust.api.rpc import OlderName

if TYPE_CHECKING:
    from bitdust.api.node import Node


def _packet(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    """What was sent, as the second generation names it."""
    del given
    sent = envelope["result"]
    envelope["result"] = [f"signed.Packet[Message({sent['message_id']})]"]
    envelope["consumed"] = sent["consumed"]


def _without_private(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("msg_type", "action")}


ROWS: tuple[OlderName, ...] = (
    OlderName(
        "message_send",
        "message_send",
        ("recipient", "json_data", "timeout"),
        {"recipient": "recipient_id", "json_data": "data", "timeout": "message_ack_timeout"},
        shape=_packet,
    ),
    OlderName(
        "message_receive",
        "message_receive",
        ("consumer_id",),
        {"consumer_id": "consumer_callback_id"},
    ),
    OlderName("message_history", "message_history", ("user",), {"user": "recipient_id"}),
    OlderName("broadcast_send_message", "broadcast_send_message", ("payload",)),
)


@operation(ignored=("index_name", "with_storage"))
async def messages_get_all(
    node: Node,
    *,
    index_name: str | None = None,
    limit: Annotated[int, Range(1, messages.MAX_LIMIT)] | None = None,
    offset: Annotated[int, Range(0, messages.MAX_OFFSET)] = 0,
    with_doc: bool = True,
    with_storage: bool = True,
) -> Answer:
    """List all messages that are kept, with what they say or by their ids alone."""
    del index_name, with_storage
    rows = await messages.message_history(node, offset=offset, limit=limit or messages.MAX_LIMIT)
    found = []
    for row in rows:
        doc = row["doc"]
        entry = {"id": doc["payload"]["message_id"], "key": doc["conversation_id"]}
        found.append({**entry, "doc": doc} if with_doc else entry)
    return Answer(found)


@operation()
async def list_messages(node: Node) -> Answer:
    """List the newest messages, sent and received."""
    found = []
    for row in await messages.message_history(node, limit=messages.MAX_LIMIT):
        doc = row["doc"]
        data = _without_private(doc["payload"]["data"])
        found.append(
            {
                "id": doc["payload"]["message_id"],
                "type": "inbox" if doc["direction"] == "in" else "outbox",
                "sender": doc["sender"]["glob_id"],
                "recipient": doc["recipient"]["glob_id"],
                "time": doc["payload"]["time"],
                "body": data["message"] if set(data) == {"message"} else data,
            }
        )
    return Answer(found)


@operation()
async def send_message(node: Node, recipient: Person, message_body: JsonValue) -> Answer:
    """Write to a person; a text is sent as ``{"message": text}``."""
    return Answer(await messages.message_send(node, recipient, message_body))
