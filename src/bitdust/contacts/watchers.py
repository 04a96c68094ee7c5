"""Who wants to know when this node comes back: people who have it as a friend, and say so.

They need not be friends of this node's person. When it starts it calls on them, so that they need
not look for it all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import structlog

from bitdust.clock import Clock
from bitdust.contacts.ports import PeerPort
from bitdust.errors import BitdustError, Busy, NetworkError, NotFound
from bitdust.identity import (
    IdentityDocument,
    Rate,
    TokenBuckets,
    read_secret,
    write_secret,
)
from bitdust.network import Call, ContactState, NodeID, Reply
from bitdust.pool import in_pool

WATCH: Final = "friend.watch"
MAX_WATCHERS: Final = 256
"""People called on after a start; those who asked longest ago are forgotten first."""
CALLS_AT_ONCE: Final = 16
CALL_TIMEOUT: Final = 10.0
RATE: Final = Rate(0.05, 10.0)
MAX_ASKING: Final = 4096
MAX_FILE: Final = 64 * 1024
SAVE_PAUSE: Final = 5.0
"""Seconds between two writes of the list."""

_NodeField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

log = structlog.get_logger(component="friends")


class Watch(msgspec.Struct, frozen=True):
    """Arguments of ``friend.watch``: whether to be called on from now on."""

    wanted: bool = True


class Watchers:
    """The people who watch this node.

    Args:
        network: sessions; ``friend.watch`` is answered on it.
        path: the list of node ids.
        known: the last document known of a node.
        clock: time.
        pool: where the file is read and written.
    """

    def __init__(
        self,
        network: PeerPort,
        path: Path,
        known: Callable[[NodeID], Awaitable[IdentityDocument | None]],
        clock: Clock,
        pool: Executor,
    ) -> None:
        self._network = network
        self._path = path
        self._known = known
        self._clock = clock
        self._pool = pool
        self._nodes: OrderedDict[NodeID, None] = OrderedDict()
        self._rate = TokenBuckets(RATE, MAX_ASKING)
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the list, answer, and begin to call on everybody."""
        try:
            self._nodes = await in_pool(self._pool, _read, self._path)
        except BitdustError as exc:
            log.warning("watchers not loaded", reason=exc.message)
        self._network.handle(WATCH, self._on_watch)
        self._tasks = [
            asyncio.create_task(self._greet(), name="call on watchers"),
            asyncio.create_task(self._save(), name="save watchers"),
        ]

    async def stop(self) -> None:
        """Call on nobody any more, and keep the list as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._changed.is_set():
            await self._write()

    async def _on_watch(self, call: Call) -> Reply:
        wait = self._rate.take(call.peer.hex(), self._clock.monotonic())
        if wait:
            raise Busy(f"asked for too often, wait {wait:.0f} s")
        known = call.peer in self._nodes
        self._nodes.pop(call.peer, None)
        if call.decode(Watch).wanted:
            self._nodes[call.peer] = None
            if len(self._nodes) > MAX_WATCHERS:
                self._nodes.popitem(last=False)
        if known != (call.peer in self._nodes):
            self._changed.set()
        return Reply()

    async def _greet(self) -> None:
        turns = asyncio.Semaphore(CALLS_AT_ONCE)

        async def call_on(node_id: NodeID) -> None:
            async with turns:
                document = await self._known(node_id)
                if document is None:
                    return
                self._network.learn(document)
                if self._network.status(node_id).state is ContactState.ONLINE:
                    return
                with contextlib.suppress(NetworkError):
                    response = await self._network.request(node_id, "ping", timeout=CALL_TIMEOUT)
                    response.close()

        await asyncio.gather(*(call_on(node_id) for node_id in reversed(self._nodes)))

    async def _save(self) -> None:
        while True:
            await self._changed.wait()
            await self._write()
            await self._clock.sleep(SAVE_PAUSE)

    async def _write(self) -> None:
        self._changed.clear()
        try:
            await in_pool(self._pool, write_secret, self._path, _encode(self._nodes))
        except BitdustError as exc:
            log.warning("watchers not saved", reason=exc.message)


def _encode(nodes: OrderedDict[NodeID, Any]) -> bytes:
    return msgspec.msgpack.encode(list(nodes))


def _read(path: Path) -> OrderedDict[NodeID, None]:
    try:
        nodes = msgspec.msgpack.decode(read_secret(path, MAX_FILE), type=list[_NodeField])
    except NotFound:
        return OrderedDict()
    except (msgspec.MsgspecError, RecursionError):
        log.warning("the list of watchers was damaged", file=str(path))
        return OrderedDict()
    return OrderedDict.fromkeys(nodes[-MAX_WATCHERS:])
