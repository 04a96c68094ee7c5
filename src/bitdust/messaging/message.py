"""What a message is, to this node and to the programs that use it. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from bitdust.errors import FormatError, InvalidInput

PRIVATE: Final = "private_message"
GROUP: Final = "group_message"
TYPES: Final = (PRIVATE, GROUP)

INCOMING: Final = "incoming"
OUTGOING: Final = "outgoing"
DIRECTIONS: Final = (INCOMING, OUTGOING)

WAITING: Final = "waiting"
"""Not with the receiver yet; it is tried again."""
SENT: Final = "sent"
"""Lies in a mailbox, or with a broker."""
DELIVERED: Final = "delivered"
"""The receiver said that it has it; every incoming message is."""
FAILED: Final = "failed"
"""Given up."""
STATES: Final = (WAITING, SENT, DELIVERED, FAILED)

MAX_DATA: Final = 64 * 1024
"""Bytes of a message's data as JSON."""
MAX_DEPTH: Final = 32
"""Levels of objects and lists within each other in a message's data."""
MAX_MESSAGE_ID: Final = 64
MAX_TEXT: Final = 4096
"""Characters of a message that can be searched for."""

MsgType = Literal["private_message", "group_message"]
Direction = Literal["incoming", "outgoing"]


class Message(msgspec.Struct, frozen=True):
    """One message, sent or received.

    Args:
        message_id: chosen by its sender.
        conversation_id: what it belongs to: a group's key id, or the name of the talk with one
            person, which outlives that person's change of address.
        msg_type: ``private_message`` or ``group_message``.
        direction: ``incoming`` or ``outgoing``.
        sender: global id.
        recipient: global id, or a group's key id.
        data: a JSON object.
        time: seconds since 1970, by the sender's clock.
        sequence: place in a group's stream, None for private messages.
        state: ``waiting``, ``sent``, ``delivered`` or ``failed``.
    """

    message_id: str
    conversation_id: str
    msg_type: MsgType
    direction: Direction
    sender: str
    recipient: str
    data: dict[str, Any]
    time: float
    sequence: int | None = None
    state: str = DELIVERED


def private_conversation(node_id: bytes) -> str:
    """The name of the talk with one person, made of that person's key."""
    return f"private_{node_id.hex()[:32]}"


def encode_data(data: object) -> bytes:
    """A message's data as JSON.

    Raises:
        InvalidInput: it is no JSON object, is too deep, or larger than 64 KiB.
    """
    if not isinstance(data, dict):
        raise InvalidInput("data: must be a JSON object", hint='such as {"message": "Hello"}')
    try:
        if _depth(data) > MAX_DEPTH:
            raise InvalidInput(f"data: more than {MAX_DEPTH} levels within each other")
        raw = msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput("data: cannot be written as JSON") from exc
    if len(raw) > MAX_DATA:
        raise InvalidInput(
            f"data: has {len(raw)} bytes as JSON, a message takes at most {MAX_DATA}",
            hint="share a file instead",
        )
    return raw


def decode_data(raw: bytes | str) -> dict[str, Any]:
    """The reverse of ``encode_data``.

    Raises:
        FormatError: these bytes are no message's data.
    """
    if len(raw) > MAX_DATA:
        raise FormatError("the data of a message is too large")
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
        deep = _depth(found) > MAX_DEPTH
    except (ValueError, RecursionError) as exc:
        raise FormatError("the data of a message is no JSON object") from exc
    if deep:
        raise FormatError("the data of a message is too deep")
    return found


def searchable(data: dict[str, Any]) -> str:
    """The words in a message's data: all its texts, joined."""
    found: list[str] = []
    room = MAX_TEXT
    waiting: list[object] = [data]
    while waiting and room > 0:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value[:room])
            room -= len(value) + 1
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))
    return "\n".join(found).replace("\x00", " ")


def _depth(data: object) -> int:
    """Levels of containers within each other, counted up to ``MAX_DEPTH`` + 1."""
    level: list[object] = [data]
    depth = 0
    while level and depth <= MAX_DEPTH:
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list | tuple):
                inner.extend(value)
        if not any(isinstance(value, dict | list | tuple) for value in level):
            break
        depth += 1
        level = inner
    return depth
