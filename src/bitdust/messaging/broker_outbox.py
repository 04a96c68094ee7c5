"""What a broker says to the other brokers: one queue for each, all streams together."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec
import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError
from bitdust.messaging.group_ports import Introduce, Port
from bitdust.messaging.group_wire import MAX_TALK, MAX_TALKED, TALK, Talk

TALK_TIMEOUT: Final = 5.0
TALK_PAUSE: Final = 0.5
"""Seconds before a broker that could not be reached is tried again."""
MAX_OUTBOX: Final = 16 << 20
"""Bytes that wait for one other broker; more is dropped, and sent again by the leader."""

log = structlog.get_logger(component="broker")


class _Queue:
    """What waits for one other broker."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.size = 0


class BrokerOutbox:
    """See the module.

    Args:
        port: the network.
        clock: time.
        introduce: makes other brokers known to the network.
    """

    def __init__(self, port: Port, clock: Clock, introduce: Introduce) -> None:
        self._port = port
        self._clock = clock
        self._introduce = introduce
        self._queues: dict[bytes, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Say nothing more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def say(self, stream: bytes, node_id: bytes, idurl: str, message: Any) -> None:
        """Let a message wait for its turn, which may come at once.

        Args:
            stream: what it is about.
            node_id, idurl: whom it is for; the address may be empty.
            message: for that broker's core.
        """
        raw = msgspec.msgpack.encode(Talk(stream, message))
        queue = self._queues.get(node_id)
        fresh = queue is None
        if queue is None:
            queue = self._queues[node_id] = _Queue()
        if queue.size + len(raw) > MAX_OUTBOX:
            return
        queue.waiting.append(raw)
        queue.size += len(raw)
        if fresh:
            task = asyncio.create_task(self._deliver(node_id, idurl, queue), name="broker talk")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, node_id: bytes, idurl: str, queue: _Queue) -> None:
        try:
            while queue.waiting:
                batch: list[msgspec.Raw] = []
                size = 0
                while queue.waiting and len(batch) < MAX_TALKED and size < MAX_TALK // 2:
                    raw = queue.waiting.popleft()
                    size += len(raw)
                    batch.append(msgspec.Raw(raw))
                queue.size -= size
                try:
                    await self._send(node_id, idurl, msgspec.msgpack.encode(batch))
                except (BitdustError, ValueError) as exc:
                    log.debug("another broker is not reached", reason=str(exc))
                    await self._clock.sleep(TALK_PAUSE)
                    queue.waiting.clear()
                    queue.size = 0
        finally:
            del self._queues[node_id]

    async def _send(self, node_id: bytes, idurl: str, body: bytes) -> None:
        if idurl:
            await self._introduce(node_id, idurl)
        response = await self._port.request(node_id, TALK, body=body, timeout=TALK_TIMEOUT)
        response.close()
