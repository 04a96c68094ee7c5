"""Messages: to people, from people, and what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.envelope import Answer
from bitdust.api.parameters import JsonValue, Person, Range
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import InvalidInput, NotFound
from bitdust.ids import KeyID

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.messaging import Conversation, Message

PRIVATE, GROUP = "private_message", "group_message"
TYPES = (PRIVATE, GROUP)
MAX_TIMEOUT = 3600.0
MAX_OFFSET = 1 << 40
MAX_LIMIT = 1000
MAX_QUERY = 256

_Seconds = Annotated[float, Range(0, MAX_TIMEOUT)]
_Offset = Annotated[int, Range(0, MAX_OFFSET)]
_Limit = Annotated[int, Range(1, MAX_LIMIT)]
_TO = {"id": "recipient_id"}


class Collected(list[dict[str, Any]]):
    """Messages for one caller, who must receive them.

    Args:
        rows: them.
        give_back: to be called when the answer cannot be written.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], give_back: Callable[[], None]) -> None:
        super().__init__(rows)
        self.give_back = give_back


@operation(
    POST("/message/send/v1"),
    cli="message send",
    aliases={"recipient": "recipient_id", "json_data": "data", "timeout": "message_ack_timeout"},
    example={"recipient_id": "carlos@computer-c.net", "data": {"message": "Hola Amigo!"}},
)
async def message_send(
    node: Node,
    recipient_id: Person,
    data: JsonValue,
    *,
    ping_timeout: _Seconds = 30,
    message_ack_timeout: _Seconds = 15,
) -> dict[str, Any]:
    """Write to a person.

    The message is encrypted for that person alone. When they are away it waits with their
    suppliers and with this node, and is delivered as soon as they return.

    Args:
        recipient_id: the person.
        data: a JSON object of at most 64 KiB, such as `{"message": "Hello"}`. A text stands for
            `{"message": text}`. The receiver gets it with `msg_type` and `action` added.
        ping_timeout: seconds to reach the person.
        message_ack_timeout: seconds more for the acknowledgement.

    Returns:
        `consumed`, true when a program was listening at the other end; `message_id`; `state`:
        `delivered`, `waiting` or `failed`; `recipient`.

    Raises:
        NotFound: nobody is known by that name.
        InvalidInput: it is yourself, or data is no JSON object or too large.
        Busy: too many messages wait for that person.
        ServiceOff: private messages are switched off.

    Source: BitDust API, third generation, message_send.
    """
    messages = node.require_messages()
    document = await node.find_person(recipient_id)
    given = {"message": data} if isinstance(data, str) else data
    if not isinstance(given, dict):
        raise InvalidInput("data: must be a JSON object", hint='such as {"message": "Hello"}')
    sent = await messages.send(
        document,
        {**given, "msg_type": PRIVATE, "action": "read"},
        ping_timeout,
        message_ack_timeout,
    )
    return {
        "consumed": sent.consumed,
        "message_id": sent.message_id,
        "state": sent.state,
        "recipient": str(document.global_id),
    }


@operation(
    GET("/message/receive/v1"),
    GET("/message/receive/{consumer_callback_id}/v1"),
    cli="message receive",
    aliases={"consumer_id": "consumer_callback_id"},
    long_poll=True,
    example={"consumer_callback_id": "my-client-group-messages", "message_types": "group_message"},
)
async def message_receive(
    node: Node,
    consumer_callback_id: str,
    *,
    direction: str = "incoming",
    message_types: str = "private_message,group_message",
    polling_timeout: _Seconds = 60.0,
    received: str | None = None,
) -> list[dict[str, Any]]:
    """Wait for messages.

    The first call under a name starts the listening. Each call returns at once with the messages
    that came since the one before, or waits for the next; with it those of the call before count as
    received. A listener that leaves more than 100 messages uncollected is dropped, and begins anew
    with its next call. WebSocket clients get all messages without asking.

    Args:
        consumer_callback_id: name of the listener, the caller's choice.
        direction: `incoming`, `outgoing`, or `any` for both.
        message_types: `private_message`, `group_message`, separated by commas.
        polling_timeout: seconds to wait; an empty list is the answer when nothing came.
        received: `message_id` of the last message that you have. What was handed over after it is
            handed over again, so that nothing is lost when an answer did not reach you.

    Returns:
        A list of `data`, `recipient`, `sender`, `time`, `message_id`, `dir`, `type`,
        `conversation_id` and, in a group, `sequence`.

    Raises:
        InvalidInput: a name that makes no sense.
        ServiceOff: the history of messages is switched off.

    Source: BitDust API, third generation, message_receive.
    """
    node.require_history()
    way = None if direction in ("any", "both", "") else direction
    handed = await node.message_stream.receive(
        consumer_callback_id, way, _types(message_types), polling_timeout, received
    )
    return Collected([received_view(message) for message in handed], handed.give_back)


@operation(
    GET("/message/history/v1"),
    cli="message history",
    aliases={**_TO, "user": "recipient_id"},
    positional=("recipient_id",),
    example={
        "message_type": "group_message",
        "recipient_id": "group_95d0fedc46308e2254477fcb96364af9$alice@server-a.com",
    },
)
async def message_history(
    node: Node,
    recipient_id: str | None = None,
    *,
    sender_id: Person | None = None,
    message_type: str | None = None,
    offset: _Offset = 0,
    limit: _Limit = 100,
) -> list[dict[str, Any]]:
    """Show what was said with a person or in a group.

    Args:
        recipient_id: the person, both directions are shown; or the key id of a group. All
            conversations when not given.
        sender_id: messages of this person only.
        message_type: `private_message` or `group_message`; both when not given.
        offset: how many of the newest messages to pass over.
        limit: how many to show.

    Returns:
        A list, oldest first, of `doc`: `conversation_id`, `direction` (`in` or `out`), `payload`
        with `data`, `message_id`, `msg_type` and `time`, `sender` and `recipient` with `glob_id`,
        `state` (`waiting`, `sent`, `delivered`, `failed`) and, in a group, `sequence`.

    Raises:
        NotFound: nobody is known by that name.
        InvalidInput: no such type of messages.
        ServiceOff: the history of messages is switched off.

    Source: BitDust API, third generation, message_history.
    """
    history = node.require_history()
    if message_type is not None and message_type not in TYPES:
        raise InvalidInput(f"message_type: use {' or '.join(TYPES)}")
    conversation = None
    if recipient_id:
        conversation = await conversation_of(node, recipient_id)
    sender = None
    if sender_id is not None:
        document = await node.find_person(sender_id)
        sender = str(document.global_id)
    found = await history.page(conversation, message_type, offset, limit, sender=sender)
    return [{"doc": message_view(message)} for message in found]


@operation(
    GET("/message/search/v1"),
    cli="message search",
    positional=("recipient_id",),
    example={"text": "tomorrow"},
)
async def message_search(
    node: Node,
    text: str,
    *,
    recipient_id: str | None = None,
    offset: _Offset = 0,
    limit: _Limit = 100,
) -> list[dict[str, Any]]:
    """Find messages by their words.

    Args:
        text: words, all of which must be there; each may be the beginning of one.
        recipient_id: the person or group to search in; everywhere when not given.
        offset: how many of the newest to pass over.
        limit: how many to show.

    Returns:
        As `message_history`, newest first.

    Raises:
        InvalidInput: the text is too long.
        NotFound: nobody is known by that name.
        ServiceOff: the history of messages is switched off.

    Source: BitDust, this engine; there is no such method in the original.
    """
    history = node.require_history()
    conversation = await conversation_of(node, recipient_id) if recipient_id else None
    found = await history.search(text, conversation, offset, limit)
    return [{"doc": message_view(message)} for message in found]


@operation(
    GET("/message/conversation/v1"),
    GET("/message/conversation/list/v1"),
    cli="message conversations",
    also=("message_conversations",),
    example={"message_types": "private_message"},
)
async def message_conversations_list(
    node: Node,
    *,
    message_types: str = "private_message,group_message",
    offset: _Offset = 0,
    limit: _Limit = 100,
) -> list[dict[str, Any]]:
    """List conversations, the one with the newest message first.

    Args:
        message_types: `private_message`, `group_message`, separated by commas.
        offset: how many to pass over.
        limit: how many to show.

    Returns:
        A list of `conversation_id`, `key_id`, `type`, `label`, `started`, `last_updated`,
        `last_message_id`, `events`, and for a person `id`, `name` and `state` of the connection.

    Raises:
        InvalidInput: no such type of messages.
        ServiceOff: the history of messages is switched off.

    Source: BitDust, second generation, message/conversation.
    """
    found = await node.require_history().conversations(_types(message_types), offset, limit)
    online: set[str] = set()
    if node.network is not None:
        for node_id, status in node.network.statuses().items():
            if status.state.value == "online":
                online.add(private_conversation(node_id))
    return [conversation_view(talk, talk.conversation_id in online) for talk in found]


@operation(
    POST("/broadcast/send/message/v1"),
    POST("/message/broadcast/v1"),
    cli="message broadcast",
    example={"payload": {"message": "Hello everybody"}},
)
async def broadcast_send_message(node: Node, payload: JsonValue) -> Answer:
    """Say something to everybody who can be reached.

    It is signed, passed on once by every node, and told there by the event
    `broadcast-message-received`. Anybody can read it.

    Args:
        payload: a JSON object of at most 4 KiB.

    Returns:
        `message_id`, and `nodes`, how many it is handed to first.

    Raises:
        InvalidInput: it is no JSON object, or too large.
        Busy: too many in a short time.
        ServiceOff: private messages are switched off.

    Source: BitDust API, second generation, broadcast_send_message.
    """
    return Answer(node.require_broadcasts().send(payload))


# --- how messages are shown -----------------------------------------------------------------------


def _types(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word) or TYPES


async def conversation_of(node: Node, text: str) -> str:
    """The conversation with a person, or of a group.

    Raises:
        NotFound, InvalidName: nobody can be or is meant.
    """
    if "$" in text:
        key_id = KeyID.parse(text)
        if key_id.alias not in ("master", "messages"):
            return str(key_id)
    try:
        document = await node.find_person(Person(text))
    except NotFound:
        found = await node.require_history().page(text, limit=1)
        if found:  # a conversation may be named by its own id
            return text
        raise
    return private_conversation(document.node_id)


def message_view(message: Message) -> dict[str, Any]:
    """A message as the history and WebSocket clients show it."""
    view: dict[str, Any] = {
        "conversation_id": message.conversation_id,
        "direction": "in" if message.direction == "incoming" else "out",
        "payload": {
            "data": message.data,
            "message_id": message.message_id,
            "msg_type": message.msg_type,
            "time": message.time,
        },
        "sender": {"glob_id": message.sender},
        "recipient": {"glob_id": message.recipient},
        "state": message.state,
    }
    if message.sequence is not None:
        view["sequence"] = message.sequence
    return view


def received_view(message: Message) -> dict[str, Any]:
    """A message as a long poll gets it."""
    view: dict[str, Any] = {
        "data": message.data,
        "recipient": message.recipient,
        "sender": message.sender,
        "time": message.time,
        "message_id": message.message_id,
        "dir": message.direction,
        "type": message.msg_type,
        "conversation_id": message.conversation_id,
    }
    if message.sequence is not None:
        view["sequence"] = message.sequence
    return view


def conversation_view(talk: Conversation, online: bool) -> dict[str, Any]:
    """A conversation with what is known about the other side now."""
    private = talk.msg_type == PRIVATE
    view: dict[str, Any] = {
        "conversation_id": talk.conversation_id,
        "key_id": f"master${talk.peer}" if private else talk.peer,
        "type": talk.msg_type,
        "label": talk.peer,
        "started": talk.started,
        "last_updated": talk.last_updated,
        "last_message_id": talk.last_message_id,
        "events": talk.events,
    }
    if private:
        view |= {
            "id": f"online_{talk.peer}",
            "name": "OnlineStatus",
            "state": "CONNECTED" if online else "OFFLINE",
        }
    return view


def private_conversation(node_id: bytes) -> str:
    """The name of the talk with one person; the same as in ``bitdust.messaging``, which is too
    heavy for the command line to load."""
    return f"private_{node_id.hex()[:32]}"
