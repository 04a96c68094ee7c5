"""Messages on their way to the programs of this machine: long poll and live listeners.

A consumer is a name that a program chose; its first call makes it. What a call hands over is kept
until the consumer's next call says, by coming, that the answer arrived: a call that names the last
message it has (``received``) gets again whatever came after that one, and an answer that could not
be written is taken back (``give_back``). So no message is lost with a connection that was cut, and
a program that never asks for anything twice gets nothing twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from bitdust.errors import InvalidInput
from bitdust.messaging.message import DIRECTIONS, INCOMING, TYPES, Message

MAX_PENDING: Final = 100
"""Messages a consumer may leave uncollected before it is dropped (documented API behaviour)."""
MAX_CONSUMERS: Final = 64
"""Consumers at one time; the one silent for longest makes room for a new one."""
MAX_CONSUMER_ID: Final = 128
MAX_LISTENERS: Final = 64

Listener = Callable[[Message], bool]
"""Takes a message as it comes, at once and without raising; says whether somebody got it."""


class Handover(list[Message]):
    """Messages handed to a consumer.

    Args:
        messages: them.
        give_back: to be called when they did not reach the consumer.
    """

    def __init__(
        self, messages: Sequence[Message] = (), give_back: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(messages)
        self.give_back = give_back


class _Consumer:
    def __init__(self) -> None:
        self.directions: frozenset[str] = frozenset()
        self.types: frozenset[str] = frozenset()
        self.pending: deque[Message] = deque()
        self.handed: list[Message] = []
        self.taken = 0
        self.waiting = 0
        self.wake = asyncio.Event()
        self.dropped = False

    def wants(self, message: Message) -> bool:
        return message.direction in self.directions and message.msg_type in self.types


class MessageStream:
    """The live messages of one node."""

    def __init__(self) -> None:
        self._consumers: dict[str, _Consumer] = {}
        self._listeners: list[Listener] = []
        self.produced: dict[str, int] = {}
        """How many messages were published, by type."""

    def publish(self, message: Message) -> int:
        """Hand a message to everybody who listens; never blocks.

        Returns:
            How many consumers and listeners took it.
        """
        self.produced[message.msg_type] = self.produced.get(message.msg_type, 0) + 1
        took = 0
        for name, consumer in list(self._consumers.items()):
            if not consumer.wants(message):
                continue
            if len(consumer.pending) >= MAX_PENDING:
                consumer.dropped = True
                del self._consumers[name]
            else:
                consumer.pending.append(message)
                took += 1
            consumer.wake.set()
        return took + sum(listener(message) for listener in list(self._listeners))

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call ``callback`` at every message, inside ``publish``.

        Returns:
            A function that ends it.

        Raises:
            InvalidInput: there are too many listeners.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            raise InvalidInput(f"at most {MAX_LISTENERS} parts of the program can listen")
        self._listeners.append(callback)

        def off() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return off

    async def receive(
        self,
        consumer_id: str,
        direction: str | None = INCOMING,
        message_types: Sequence[str] = TYPES,
        timeout: float = 60.0,
        received: str | None = None,
    ) -> Handover:
        """Wait for messages; the first call of a consumer makes it, and hears what comes then.

        Args:
            consumer_id: the caller's choice, 1 to 128 characters.
            direction: ``incoming``, ``outgoing``, None for both.
            message_types: ``private_message``, ``group_message``.
            timeout: seconds to wait for the first message.
            received: id of the last message that the caller got; what was handed over after it is
                handed over again. Without it, all that was handed over counts as received.

        Returns:
            What came since the call before, empty when nothing came in time.

        Raises:
            InvalidInput: a name that makes no sense.
        """
        if not 0 < len(consumer_id) <= MAX_CONSUMER_ID:
            raise InvalidInput(f"consumer_callback_id: must have 1 to {MAX_CONSUMER_ID} characters")
        if direction is not None and direction not in DIRECTIONS:
            raise InvalidInput(f"direction: use {' or '.join(DIRECTIONS)}")
        if not message_types or not set(message_types) <= set(TYPES):
            raise InvalidInput(f"message_types: use {' or '.join(TYPES)}")
        consumer = self._consumer(consumer_id)
        consumer.directions = frozenset(DIRECTIONS if direction is None else (direction,))
        consumer.types = frozenset(message_types)
        self._release(consumer, received)
        consumer.waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while not consumer.pending and not consumer.dropped:
                    consumer.wake.clear()
                    await consumer.wake.wait()
        except TimeoutError:
            pass
        finally:
            consumer.waiting -= 1
        return self._hand_over(consumer)

    def consumers(self) -> list[dict[str, Any]]:
        """For each consumer: ``consumer_id``, ``queue_id``, ``messages`` that wait, ``consumed``,
        ``waiting`` calls, ``directions`` and ``message_types``."""
        return [
            {
                "consumer_id": name,
                "queue_id": f"message&{name}",
                "messages": len(consumer.pending),
                "consumed": consumer.taken,
                "waiting": consumer.waiting,
                "directions": sorted(consumer.directions),
                "message_types": sorted(consumer.types),
            }
            for name, consumer in self._consumers.items()
        ]

    @staticmethod
    def _release(consumer: _Consumer, received: str | None) -> None:
        handed, consumer.handed = consumer.handed, []
        if received is None or not handed:
            return
        for place, message in enumerate(handed):
            if message.message_id == received:
                handed = handed[place + 1 :]
                break
        consumer.pending.extendleft(reversed(handed))

    @staticmethod
    def _hand_over(consumer: _Consumer) -> Handover:
        messages = [message for message in consumer.pending if consumer.wants(message)]
        consumer.pending.clear()
        consumer.handed = messages
        consumer.taken += len(messages)

        def give_back() -> None:
            if consumer.handed is messages:
                consumer.handed = []
                consumer.pending.extendleft(reversed(messages))
                consumer.taken -= len(messages)
                consumer.wake.set()

        return Handover(messages, give_back)

    def _consumer(self, name: str) -> _Consumer:
        consumer = self._consumers.pop(name, None)
        if consumer is None:
            if len(self._consumers) >= MAX_CONSUMERS:
                idle = (known for known, one in self._consumers.items() if not one.waiting)
                oldest = next(idle, next(iter(self._consumers)))
                gone = self._consumers.pop(oldest)
                gone.dropped = True
                gone.wake.set()
            consumer = _Consumer()
        self._consumers[name] = consumer  # the last in the dict was heard of last
        return consumer
