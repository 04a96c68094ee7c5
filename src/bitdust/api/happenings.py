"""Events: inject one, wait for the next ones, count them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.parameters import JsonValue, Range
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import InvalidInput

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_CONSUMER_ID = 128
_EVENT_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@operation(
    POST("/event/send/v1"),
    POST("/event/send/{event_id}/v1"),
    cli="event send",
    example={"event_id": "client-event-abc", "data": {"some_key": "some_value"}},
)
async def event_send(node: Node, event_id: str, *, data: JsonValue = None) -> dict[str, Any]:
    """Inject an event into the running node, as if it had happened there.

    Everybody who listens receives it; the node itself does not act on it. Provided for tests and
    development.

    Args:
        event_id: name of the event: lower-case letters, digits, `-`, `_` and `.`.
        data: a JSON object that goes with it.

    Returns:
        `event_id` and `created`, the moment in seconds since 1970.

    Raises:
        InvalidInput: the name or the data cannot be those of an event.

    Source: BitDust API, third generation, event_send.
    """
    if not _EVENT_ID.fullmatch(event_id):
        raise InvalidInput(
            f"event_id: {event_id[:80]!r} cannot name an event",
            hint="use up to 64 lower-case letters, digits, '-', '_' or '.'",
        )
    if data is not None and not isinstance(data, dict):
        raise InvalidInput("data: must be a JSON object")
    event = node.events.inject(event_id, data or {})
    return {"event_id": event.event_id, "created": event.created}


@operation(
    GET("/event/listen/v1"),
    GET("/event/listen/{consumer_callback_id}/v1"),
    cli="event listen",
    long_poll=True,
    example={"consumer_callback_id": "my-client-event-hook"},
)
async def event_listen(
    node: Node,
    consumer_callback_id: str,
    *,
    polling_timeout: Annotated[float, Range(0, 3600)] = 60.0,
) -> list[dict[str, Any]]:
    """Wait for events of the running node.

    The first call under a name starts the listening. Each call returns at once with the events that
    came since the one before, or waits for the next. A listener that leaves more than 100 events
    uncollected is forgotten. WebSocket clients receive all events without asking.

    Args:
        consumer_callback_id: name of the listener, the caller's choice.
        polling_timeout: seconds to wait; an empty list is the answer when nothing came.

    Returns:
        A list of `id`, `data` and `time`.

    Raises:
        InvalidInput: the name is empty or too long.

    Source: BitDust API, third generation, event_listen.
    """
    if not 0 < len(consumer_callback_id) <= MAX_CONSUMER_ID:
        raise InvalidInput(
            f"consumer_callback_id: must have 1 to {MAX_CONSUMER_ID} characters",
        )
    return await node.consumers.listen(consumer_callback_id, polling_timeout)


@operation(GET("/event/list/v1"), cli="event list")
async def events_list(node: Node) -> dict[str, int]:
    """Count the events since the node started.

    Returns:
        The number of times each event came, by its name.

    Source: BitDust, second generation, event/list.
    """
    return dict(sorted(node.events.counts.items()))
