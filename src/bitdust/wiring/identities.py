"""Making this node's identity, bringing it back, and moving it, as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

import structlog

from bitdust import __version__
from bitdust.dht import owner_dht_key
from bitdust.errors import AlreadyExists, InvalidInput
from bitdust.identity import IdentityDocument, LocalIdentity
from bitdust.ids import IDURL
from bitdust.wiring.rotating import BRANCH, complete_interrupted, known_servers, rotate

if TYPE_CHECKING:
    from bitdust.node import Node

JOIN_WAIT = 10.0
"""Seconds to wait for the DHT before an identity is looked for, or put, there."""

log = structlog.get_logger(component="identity")


async def make_identity(node: Node, username: str, servers: Sequence[str]) -> LocalIdentity:
    """Make and register an identity; see ``Node.create_identity``."""
    _refuse_second(node)
    chosen = list(servers) or known_servers(node)
    serverless = node.settings.get_bool(f"{BRANCH}/serverless-enabled")
    if not chosen and not serverless:
        raise InvalidInput(
            "no identity server is known",
            hint=f"name one, set {BRANCH}/known-servers, or do without:"
            f" set {BRANCH}/serverless-enabled",
        )
    if serverless:
        await _join_dht(node)
    most = node.settings.get_int(f"{BRANCH}/max-servers")
    return await LocalIdentity.create(
        node.home,
        username,
        list(dict.fromkeys(chosen))[:most],
        client=node.names,
        clock=node.clock,
        pool=node.pool,
        key_size=node.settings.get_int("personal/private-key-size"),
        version=__version__,
        dht_key_of=owner_dht_key if serverless else None,
    )


async def bring_identity_back(
    node: Node, text: str, known_idurl: IDURL | None, passphrase: str | None
) -> LocalIdentity:
    """Recover an identity from its backup; see ``Node.recover_identity``."""
    _refuse_second(node)
    await _join_dht(node)
    return await LocalIdentity.recover(
        node.home,
        text,
        client=node.names,
        clock=node.clock,
        pool=node.pool,
        known_idurl=known_idurl,
        passphrase=passphrase,
        lock_key=False,
        version=__version__,
        dht_key_of=owner_dht_key,
    )


def _refuse_second(node: Node) -> None:
    if node.identity is not None:
        raise AlreadyExists(
            f"this node has the identity {node.identity.global_id} already",
            hint="erase it first, or use another home",
        )


async def _join_dht(node: Node) -> None:
    """Give a DHT that has just started the time to find others."""
    if node.dht is not None:
        await node.dht.joined(JOIN_WAIT)


class Moves:
    """Changes of the identity's sources under way; whoever stops waiting does not stop them.

    Args:
        node: the node.
        turn: held while the identity changes.
    """

    def __init__(self, node: Node, turn: asyncio.Lock) -> None:
        self._node = node
        self._turn = turn
        self._tasks: set[asyncio.Task[IdentityDocument | None]] = set()

    def complete_interrupted(self) -> None:
        """Begin to complete what the last run of the program left unfinished."""

        async def complete() -> None:
            await complete_interrupted(self._node)

        self._begin(complete)

    async def rotate(self, *, move: bool, dead: Collection[IDURL] = ()) -> IdentityDocument:
        """See ``rotating.rotate``."""

        async def change() -> IdentityDocument:
            async with self._turn:
                return await rotate(self._node, move=move, dead=dead)

        before = await asyncio.shield(self._begin(change))
        assert before is not None
        return before

    async def stop(self) -> None:
        """End what is under way; the next start completes it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self, work: Callable[[], Awaitable[IdentityDocument | None]]
    ) -> asyncio.Task[IdentityDocument | None]:
        async def run() -> IdentityDocument | None:
            return await work()

        task = asyncio.create_task(run(), name="rotate identity")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[IdentityDocument | None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("identity servers not changed", reason=str(task.exception()))
