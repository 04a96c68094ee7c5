"""What a node's groups stand on: network, disk, time, and ways to find brokers and people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bitdust.clock import Clock, Random
from bitdust.crypto import PrivateKey
from bitdust.errors import BitdustError, PeerRefused, PeerUnreachable
from bitdust.events import EventBus
from bitdust.messaging.database import Database
from bitdust.messaging.group_keep import GroupKeep
from bitdust.messaging.group_keys import EpochKey, SenderKeys
from bitdust.messaging.group_log import Reader
from bitdust.messaging.group_ports import Introduce, Port
from bitdust.messaging.group_store import GroupRow
from bitdust.messaging.group_wire import ATTACH, HIRE, Attach, Attached, Broker, Hire
from bitdust.messaging.stream import MessageStream
from bitdust.pool import in_pool

ASK_TIMEOUT: Final = 5.0

FindBrokers = Callable[[int, Collection[bytes]], Awaitable[list[Broker]]]
"""Finds up to that many nodes that take groups, other than those named."""
FindGroup = Callable[[bytes, bytes, dict[int, bytes]], Awaitable[list[Broker]]]
"""Finds nodes that may keep a group: its stream, its key's fingerprint, the keys of its epochs."""
Announce = Callable[[str, bytes, int, bytes, list[Broker]], Awaitable[None]]
"""Publishes a group's brokers: key id, key fingerprint, epoch, its key, the brokers."""


@dataclass(frozen=True, slots=True)
class Around:
    """See the module.

    Args:
        port: the network.
        me: own node id.
        identity: own identity key.
        idurl: gives the own address of the moment.
        database: the file of the history, with the tables of groups.
        stream: live messages.
        events: where things that happen are told.
        clock, random: time and chance.
        pool: where keys are used that take long.
        introduce: makes a broker known to the network.
        find_brokers: finds new ones.
        find_group: finds those of a group whose known ones are gone.
        announce: publishes a group's brokers.
        keep: keeps what must outlive this machine; told of every change.
    """

    port: Port
    me: bytes
    identity: PrivateKey
    idurl: Callable[[], str]
    database: Database
    stream: MessageStream
    events: EventBus
    clock: Clock
    random: Random
    pool: Executor
    introduce: Introduce
    find_brokers: FindBrokers
    find_group: FindGroup
    announce: Announce
    keep: GroupKeep

    async def kept(self, row: GroupRow) -> None:
        """Keep what changed of a group."""
        if await in_pool(self.pool, self.keep.put, row):
            self.events.publish("key-group-kept", group_key_id=row.key_id)

    async def ask(
        self,
        broker: Broker,
        method: str,
        args: Any,
        body: bytes = b"",
        timeout: float = ASK_TIMEOUT,
    ) -> Any:
        """Ask a broker; gives its response.

        Raises:
            NetworkError: it does not answer, or refuses.
        """
        await self.introduce(broker.node, broker.idurl)
        return await self.port.request(broker.node, method, args, body=body, timeout=timeout)

    async def attach(
        self, broker: Broker, reader: Reader, keys: SenderKeys, *, since: int, push: bool
    ) -> Attached:
        """Show a broker the own keys.

        Raises:
            NetworkError: it does not answer, or refuses.
        """
        epoch = max(reader.state.keys)
        key = reader.epoch_key(epoch)
        assert key is not None
        generation = 0 if reader.ordered is None else reader.ordered.order.generation
        ask = Attach(
            reader.stream, epoch, keys.sender, since, push, int(self.clock.now()),
            generation=generation,
        )  # fmt: skip
        message = ask.message(self.me, broker.node)
        ask = msgspec.structs.replace(ask, proof=key.prove(message), sent=keys.sign(message))
        response = await self.ask(broker, ATTACH, ask)
        response.close()
        answer: Attached = response.decode(Attached)
        return answer

    async def hire(
        self, broker: Broker, reader: Reader, brokers: list[Broker], *, fresh: bool
    ) -> None:
        """Ask a node to keep a stream.

        Raises:
            NetworkError: it does not answer, or refuses.
        """
        state = reader.state
        if state.epoch not in state.keys:
            raise PeerUnreachable("the group's key of today is missing")
        key = EpochKey(state.keys[state.epoch])
        order = reader.ordered.raw if reader.ordered is not None else b""
        hire = Hire(
            reader.genesis.encode(), state.epoch, key.access, state.signature, brokers, fresh, order
        )
        hire = msgspec.structs.replace(hire, proof=key.prove(hire.message(self.me, broker.node)))
        response = await self.ask(broker, HIRE, hire)
        response.close()


async def takes_groups(port: Port, node_id: bytes, timeout: float) -> bool:
    """Whether a node is a broker: one that does not know a stream says so, others do not."""
    ask = Attach(bytes(32), 0, bytes(32), 0, False, 0)
    try:
        (await port.request(node_id, ATTACH, ask, timeout=timeout)).close()
    except BitdustError as exc:
        return is_unknown(exc)
    return True


def is_unknown(exc: Exception) -> bool:
    """Whether a broker says that it does not keep the stream."""
    return isinstance(exc, PeerRefused) and exc.reason == "not_found"
