"""A DHT in memory: many nodes in one process, under whatever clock the test owns.

It keeps the promises of the real one and no more: announcements fade 30 minutes after they were
made, BEP 44 items two hours after they were put. A node that is cut off reaches nobody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from bitdust.clock import Clock, Random
from bitdust.dht import (
    Address,
    DhtNode,
    DhtService,
    Item,
    Traffic,
    is_signed,
    item_target,
    public_of,
    sign_item,
)
from bitdust.errors import DhtError, PortInUse

ANNOUNCEMENT_LIFE: Final = 1800.0
ITEM_LIFE: Final = 7200.0
MAX_ITEM: Final = 1000
CLOSEST: Final = 8
FIRST_PORT: Final = 20000


@dataclass(slots=True)
class _Stored:
    item: Item
    fades: float


@dataclass(slots=True)
class MemoryDhtNetwork:
    """What all nodes of a network share.

    Args:
        clock: time by which things fade.
    """

    clock: Clock
    _nodes: dict[Address, MemoryWire] = field(default_factory=dict)
    _peers: dict[bytes, dict[Address, float]] = field(default_factory=dict)
    _parts: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    _items: dict[bytes, _Stored] = field(default_factory=dict)

    def node(
        self,
        random: Random,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        network: str = "",
        clock: Clock | None = None,
    ) -> MemoryDht:
        """A new node, not started yet.

        Args:
            random: chance.
            host: its address; what it announces stands under it.
            port: its UDP port, 0 for any.
            network: name of a private network.
            clock: the node's own time, when it is not that of the network.
        """
        return MemoryDht(self, random, host=host, port=port, network=network, clock=clock)

    def forge_item(self, item: Item) -> None:
        """Put an item into the network as a hostile node would; the signature is not looked at."""
        target = item_target(item.public_key, item.salt)
        self._items[target] = _Stored(item, self.clock.monotonic() + ITEM_LIFE)

    def item(self, public_key: bytes, salt: bytes) -> Item | None:
        """The mutable item that stands in a place now."""
        stored = self._items.get(item_target(public_key, salt))
        return stored.item if stored and stored.fades > self.clock.monotonic() else None

    def items(self) -> list[Item]:
        """All mutable items that have not faded."""
        now = self.clock.monotonic()
        return [stored.item for stored in self._items.values() if stored.fades > now]

    def drop_parts(self) -> int:
        """Lose all immutable items; how many there were."""
        count = len(self._parts)
        self._parts.clear()
        return count

    # The following are for MemoryWire.

    def join(self, wire: MemoryWire, port: int) -> int:
        """Give a node its port."""
        chosen = port or FIRST_PORT
        while not port and (wire.host, chosen) in self._nodes:
            chosen += 1
        if (wire.host, chosen) in self._nodes:
            raise PortInUse(f"the DHT port {wire.host}:{port} is taken by another program")
        self._nodes[(wire.host, chosen)] = wire
        return chosen

    def leave(self, wire: MemoryWire) -> None:
        """Forget a node; what it stored stays until it fades."""
        if self._nodes.get((wire.host, wire.port)) is wire:
            del self._nodes[(wire.host, wire.port)]

    def others(self, wire: MemoryWire) -> list[DhtNode]:
        """Nodes that can be reached from one."""
        return [
            DhtNode(other.my_id, other.host, other.port)
            for other in self._nodes.values()
            if other is not wire and not other.cut_off
        ]

    def put_peer(self, topic: bytes, address: Address) -> None:
        """Note an announcement."""
        self._peers.setdefault(topic, {})[address] = self.clock.monotonic() + ANNOUNCEMENT_LIFE

    def get_peers(self, topic: bytes) -> list[Address]:
        """Announcements that have not faded."""
        now = self.clock.monotonic()
        known = self._peers.get(topic, {})
        for address in [address for address, fades in known.items() if fades <= now]:
            del known[address]
        return list(known)

    def put_part(self, address: bytes, data: bytes) -> None:
        """Note an immutable item."""
        self._parts[address] = (data, self.clock.monotonic() + ITEM_LIFE)

    def get_part(self, address: bytes) -> bytes | None:
        """An immutable item that has not faded."""
        data, fades = self._parts.get(address, (b"", 0.0))
        return data if fades > self.clock.monotonic() and data else None

    def put_item(self, item: Item) -> bool:
        """Note a mutable item by the rules of BEP 44: signed, and newer than what is there."""
        if not is_signed(item.public_key, item.salt, item.seq, item.value, item.signature):
            return False
        current = self.item(item.public_key, item.salt)
        if current is not None and current.seq >= item.seq:
            return False
        self.forge_item(item)
        return True


class MemoryWire:
    """One node's way into a ``MemoryDhtNetwork``.

    Args:
        network: the network.
        random: chance.
        host: its address.
        port: its UDP port, 0 for any.
    """

    def __init__(self, network: MemoryDhtNetwork, random: Random, host: str, port: int) -> None:
        self._network = network
        self._wanted_port = port
        self._bytes_in = 0
        self._bytes_out = 0
        self.host = host
        self.my_id = random.token(20)
        self.port = 0
        self.cut_off = False

    @property
    def settling(self) -> tuple[float, ...]:
        return ()

    async def start(self) -> None:
        if not self.port:
            self.port = self._network.join(self, self._wanted_port)

    async def stop(self) -> None:
        self._network.leave(self)
        self.port = 0

    def announce(self, topic: bytes, port: int) -> None:
        if self._reaches_others():
            self._bytes_out += len(topic)
            self._network.put_peer(topic, (self.host, port))

    async def peers(self, topic: bytes, timeout: float, want: int) -> list[Address]:
        found = self._network.get_peers(topic) if self._reaches_others() else []
        self._bytes_in += 6 * len(found)
        return found[:want]

    async def put_part(self, data: bytes) -> int:
        encoded = b"%d:%s" % (len(data), data)
        if not self._reaches_others() or len(encoded) > MAX_ITEM:
            return 0
        self._bytes_out += len(encoded)
        address = hashlib.sha1(encoded, usedforsecurity=False).digest()
        self._network.put_part(address, data)
        return self._copies()

    async def get_part(self, address: bytes) -> bytes | None:
        found = self._network.get_part(address) if self._reaches_others() else None
        self._bytes_in += len(found or b"")
        return found

    async def put_item(self, seed: bytes, salt: bytes, data: bytes) -> int:
        if not self._reaches_others() or len(b"%d:" % len(data)) + len(data) > MAX_ITEM:
            return 0
        public_key = public_of(seed)
        current = self._network.item(public_key, salt)
        seq = current.seq + 1 if current else 1
        signature = sign_item(seed, salt, seq, data)
        self._bytes_out += len(data)
        taken = self._network.put_item(Item(public_key, salt, seq, data, signature))
        return self._copies() if taken else 0

    async def get_item(self, public_key: bytes, salt: bytes) -> Item | None:
        found = self._network.item(public_key, salt) if self._reaches_others() else None
        self._bytes_in += len(found.value) if found else 0
        return found

    async def near(self, target: bytes) -> list[DhtNode]:
        if not self._reaches_others():
            return []
        wanted = int.from_bytes(target, "big")
        nodes = self._network.others(self)
        nodes.sort(key=lambda node: int.from_bytes(node.node_id, "big") ^ wanted)
        return nodes[:CLOSEST]

    async def lookup(self, target: bytes, timeout: float) -> list[DhtNode]:
        return await self.near(target)

    async def traffic(self) -> Traffic:
        self._check_running()
        return Traffic(self._bytes_in, self._bytes_out, len(self._network.others(self)))

    def _copies(self) -> int:
        return min(len(self._network.others(self)), CLOSEST)

    def _check_running(self) -> None:
        if not self.port:
            raise DhtError("the DHT is not running")

    def _reaches_others(self) -> bool:
        self._check_running()
        return not self.cut_off and bool(self._network.others(self))


class MemoryDht(DhtService):
    """A node of a ``MemoryDhtNetwork``; the same as ``LibtorrentDht`` in all but its wire.

    Args:
        shared: the network.
        random: chance.
        host: its address.
        port: its UDP port, 0 for any.
        network: name of a private network, which separates its topics and records from others.
        clock: the node's own time, when it is not that of the network.
    """

    def __init__(
        self,
        shared: MemoryDhtNetwork,
        random: Random,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        network: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._memory = MemoryWire(shared, random, host, port)
        super().__init__(self._memory, clock or shared.clock, random, network)

    @property
    def cut_off(self) -> bool:
        """Whether this node reaches nobody now; may be set at any time."""
        return self._memory.cut_off

    @cut_off.setter
    def cut_off(self, value: bool) -> None:
        self._memory.cut_off = value
