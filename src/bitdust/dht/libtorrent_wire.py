"""The wire of the real DHT: one libtorrent session, its alerts brought into the event loop.

libtorrent writes a byte into a socket pair when there are alerts; no Python code ever runs on its
threads. Each question waits for the alert with its own address, and never longer than its time-out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import libtorrent as lt
import structlog

from bitdust.clock import Random
from bitdust.dht.door import Door
from bitdust.dht.heads import address_of
from bitdust.dht.lookup import closest, walk
from bitdust.dht.ownership import expanded_secret, public_of
from bitdust.dht.results import DhtNode
from bitdust.dht.session import DhtOptions, DhtSession, entrance_list, parse_bootstrap
from bitdust.dht.wire import CLOSEST, MAX_PEERS, Address, Item, Traffic
from bitdust.errors import DhtError, PortInUse

PUT_TIMEOUT: Final = 30.0
GET_TIMEOUT_PUBLIC: Final = 20.0
GET_TIMEOUT_PRIVATE: Final = 5.0
"""Where all nodes are near, one that is silent for so long is dead."""
GRACE_PUBLIC: Final = 2.0
GRACE_PRIVATE: Final = 0.5
"""Seconds in which a newer version of an item may still come after the first one."""
LATE_PEERS: Final = 0.1
QUIET_PUBLIC: Final = 1.5
QUIET_PRIVATE: Final = 0.5
"""Seconds without a new peer after which a search that found some is over."""
ASK_TIMEOUT: Final = 1.0
LOCAL_TIMEOUT: Final = 2.0
MAX_WAITING: Final = 4096
FIRST_KICK: Final = 0.1
KICK_GROWTH: Final = 1.3
LAST_KICK: Final = 20.0
FIRST_ID_CHECK: Final = 0.25
LAST_ID_CHECK: Final = 30.0
FIRST_SAVE: Final = 5.0
SAVE_INTERVAL: Final = 600.0

_log = structlog.get_logger(component="dht.wire")


@dataclass(slots=True, eq=False)
class _PeerSearch:
    want: int
    found: dict[Address, None] = field(default_factory=dict)
    full: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _ItemSearch:
    best: Item | None = None
    first: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class LibtorrentWire:
    """A node of the mainline DHT.

    Args:
        options: see ``DhtOptions``.
        random: chance.
        executor: pool for libtorrent calls that wait, None for the loop's own.
    """

    def __init__(
        self, options: DhtOptions, random: Random, executor: Executor | None = None
    ) -> None:
        self._options = options
        self._random = random
        parse_bootstrap(options.bootstrap)
        # See ``door``: the port that others know is not the one of the node itself.
        own = replace(options, port=0) if options.private else options
        self._session = DhtSession(own, executor)
        self._door = Door(self._inside) if options.private else None
        self._former: Door | None = None
        self._neighbours: list[DhtNode] = []
        self._get_timeout = GET_TIMEOUT_PRIVATE if options.private else GET_TIMEOUT_PUBLIC
        self._waiting: dict[Hashable, set[asyncio.Future[Any]]] = {}
        self._peer_searches: dict[bytes, set[_PeerSearch]] = {}
        self._item_searches: dict[tuple[bytes, bytes], set[_ItemSearch]] = {}
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def my_id(self) -> bytes:
        return self._session.my_id

    @property
    def port(self) -> int:
        return self._session.port if self._door is None else self._door.port

    @property
    def settling(self) -> tuple[float, ...]:
        return (1.0, 4.0, 15.0, 60.0) if self._options.private else (60.0,)

    async def start(self) -> None:
        if self._session.is_open:
            return
        if self._door is not None:
            await self._door.open(self._options.interface, self._options.port)
        try:
            await self._session.open()
        except BaseException:
            self._close_door()
            raise
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._bell = (ours, theirs)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._rung)
        self._session.handle.set_alert_fd(theirs.fileno())
        for address in self._session.remembered:
            self._session.handle.add_dht_node(address)
        if self._options.private:
            await self._refuse_at(self._session.former_port)
            # Such nodes are asked for others and never taken for members. Named only now, since
            # libtorrent has no id until names that stand in its first settings are resolved.
            entrances = entrance_list(self._options.bootstrap)
            self._session.handle.apply_settings({"dht_bootstrap_nodes": entrances})
            self._tasks.append(asyncio.create_task(self._form_network(), name="dht-forming"))
        self._tasks.append(asyncio.create_task(self._watch_id(), name="dht-id"))
        self._tasks.append(asyncio.create_task(self._save_often(), name="dht-state"))
        _log.info("DHT started", port=self.port, private=self._options.private)

    async def stop(self) -> None:
        self._close_door()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._bell is not None:
            asyncio.get_running_loop().remove_reader(self._bell[0].fileno())
        await self._session.close()
        if self._bell is not None:
            # Closed only now: libtorrent may write to it until its threads are gone.
            for end in self._bell:
                end.close()
            self._bell = None
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)
        for search in [s for group in self._item_searches.values() for s in group]:
            search.done.set()
        for peers in [s for group in self._peer_searches.values() for s in group]:
            peers.full.set()

    # --- what records need ----------------------------------------------------------------------

    def announce(self, topic: bytes, port: int) -> None:
        self._session.handle.dht_announce(lt.sha1_hash(topic), port, 0)

    async def peers(self, topic: bytes, timeout: float, want: int) -> list[Address]:
        session = self._session.handle
        search = _PeerSearch(min(want, MAX_PEERS))
        group = self._peer_searches.setdefault(topic, set())
        group.add(search)
        quiet = QUIET_PRIVATE if self._options.private else QUIET_PUBLIC
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(search.full.wait())]
        try:
            async with asyncio.timeout(timeout):
                session.dht_get_peers(lt.sha1_hash(topic))
                if self._options.private:
                    # libtorrent does not say when a search for peers is over; a search for an item
                    # at the same place asks the same nodes, and does.
                    waits.append(asyncio.ensure_future(self.get_part(topic)))
                while True:
                    before = len(search.found)
                    done, _ = await asyncio.wait(
                        waits, timeout=quiet, return_when=asyncio.FIRST_COMPLETED
                    )
                    if done or (before and len(search.found) == before):
                        break
                if not search.full.is_set():
                    await asyncio.sleep(LATE_PEERS)
        except TimeoutError:
            pass
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            group.discard(search)
            if not group:
                self._peer_searches.pop(topic, None)
        return list(search.found)[: search.want]

    async def put_part(self, data: bytes) -> int:
        session = self._session.handle
        taken = await self._ask(
            ("put", address_of(data)), lambda: session.dht_put_immutable_item(data), PUT_TIMEOUT
        )
        return int(taken or 0)

    async def get_part(self, address: bytes) -> bytes | None:
        session = self._session.handle
        found: bytes | None = await self._ask(
            ("part", address),
            lambda: session.dht_get_immutable_item(lt.sha1_hash(address)),
            self._get_timeout,
        )
        return found

    async def put_item(self, seed: bytes, salt: bytes, data: bytes) -> int:
        session = self._session.handle
        public_key = public_of(seed)
        secret = expanded_secret(seed)
        taken = await self._ask(
            ("put", public_key, salt),
            lambda: session.dht_put_mutable_item(secret, public_key, data, salt),
            PUT_TIMEOUT,
        )
        return int(taken or 0)

    async def get_item(self, public_key: bytes, salt: bytes) -> Item | None:
        session = self._session.handle
        search = _ItemSearch()
        place = (public_key, salt)
        group = self._item_searches.setdefault(place, set())
        group.add(search)
        grace = GRACE_PRIVATE if self._options.private else GRACE_PUBLIC
        try:
            async with asyncio.timeout(self._get_timeout):
                session.dht_get_mutable_item(public_key, salt)
                await search.first.wait()
            if search.best is not None:
                async with asyncio.timeout(grace):
                    await search.done.wait()
        except TimeoutError:
            pass
        finally:
            group.discard(search)
            if not group:
                self._item_searches.pop(place, None)
        return search.best

    async def near(self, target: bytes) -> list[DhtNode]:
        session = self._session.handle
        nodes = await self._ask(
            ("live",), lambda: session.dht_live_nodes(lt.sha1_hash(self.my_id)), LOCAL_TIMEOUT
        )
        return closest(nodes or [], target, CLOSEST)

    async def lookup(self, target: bytes, timeout: float) -> list[DhtNode]:
        seeds = await self.near(target)
        heard: dict[bytes, DhtNode] = {}
        session = self._session.handle

        async def ask(node: DhtNode) -> list[DhtNode] | None:
            endpoint = (node.host, node.port)
            answer: list[DhtNode] | None = await self._ask(
                ("near", endpoint),
                lambda: session.dht_sample_infohashes(endpoint, lt.sha1_hash(target)),
                ASK_TIMEOUT,
            )
            if answer is not None:
                heard[node.node_id] = node
            return answer

        try:
            async with asyncio.timeout(timeout):
                return await walk(target, seeds, ask, count=CLOSEST, avoid=self.my_id)
        except TimeoutError:
            return closest(heard.values(), target, CLOSEST)

    async def traffic(self) -> Traffic:
        session = self._session.handle
        values = await self._ask(("stats",), session.post_session_stats, LOCAL_TIMEOUT) or {}
        return Traffic(
            bytes_in=int(values.get("dht.dht_bytes_in", 0)),
            bytes_out=int(values.get("dht.dht_bytes_out", 0)),
            nodes=int(values.get("dht.dht_nodes", 0)),
            packets_in=int(values.get("dht.dht_messages_in", 0)),
            packets_out=int(values.get("dht.dht_messages_out", 0)),
            dropped=int(values.get("dht.dht_messages_out_dropped", 0))
            + int(values.get("dht.dht_messages_in_dropped", 0)),
        )

    # --- alerts ---------------------------------------------------------------------------------

    async def _ask(self, key: Hashable, question: Callable[[], object], timeout: float) -> Any:
        """Ask libtorrent and wait for the alert with that key; None after ``timeout`` seconds."""
        if len(self._waiting) >= MAX_WAITING and key not in self._waiting:
            raise DhtError("too many questions to the DHT are under way")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        group = self._waiting.setdefault(key, set())
        group.add(future)
        try:
            async with asyncio.timeout(timeout):
                question()
                return await future
        except TimeoutError:
            return None
        finally:
            group.discard(future)
            if not group:
                self._waiting.pop(key, None)

    def _answer(self, key: Hashable, value: object) -> None:
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(value)

    def _rung(self) -> None:
        if self._bell is None or not self._session.is_open:
            return
        with suppress(BlockingIOError):
            self._bell[0].recv(4096)
        # At most MAX_PENDING_ALERTS; libtorrent drops more, and time-outs end their questions.
        for alert in self._session.handle.pop_alerts():
            try:
                self._take(alert)
            except (RuntimeError, UnicodeDecodeError) as exc:
                # What libtorrent cannot turn into Python must not cost the alerts behind it.
                _log.warning("alert not readable", kind=type(alert).__name__, reason=str(exc)[:100])

    def _take(self, alert: lt.alert) -> None:
        match alert:
            case lt.dht_put_alert():
                self._answer(("put", alert.target.to_bytes()), alert.num_success)
                self._answer(("put", alert.public_key, _raw(alert.salt)), alert.num_success)
            case lt.dht_immutable_item_alert():
                self._answer(("part", alert.target.to_bytes()), _bytes_of(alert))
            case lt.dht_mutable_item_alert():
                self._take_item(alert)
            case lt.dht_get_peers_reply_alert():
                self._take_peers(alert)
            case lt.dht_sample_infohashes_alert():
                self._answer(("near", alert.endpoint), _nodes(alert.nodes))
            case lt.dht_live_nodes_alert():
                self._answer(("live",), _nodes(alert.nodes))
            case lt.session_stats_alert():
                self._answer(("stats",), alert.values)

    def _take_item(self, alert: lt.dht_mutable_item_alert) -> None:
        place = (alert.key, _raw(alert.salt))
        value = _bytes_of(alert)
        for search in self._item_searches.get(place, ()):
            if value and (search.best is None or alert.seq > search.best.seq):
                search.best = Item(*place, alert.seq, value, alert.signature)
                search.first.set()
            if alert.authoritative:
                search.first.set()
                search.done.set()

    def _take_peers(self, alert: lt.dht_get_peers_reply_alert) -> None:
        searches = self._peer_searches.get(alert.info_hash.to_bytes())
        if not searches:
            return
        for host, port in alert.peers()[:MAX_PEERS]:
            for search in searches:
                if len(search.found) < search.want and 0 < port < 65536:
                    search.found[(host, port)] = None
                if len(search.found) >= search.want:
                    search.full.set()

    # --- tasks ----------------------------------------------------------------------------------

    async def _form_network(self) -> None:
        """Search for random places, at first often: whoever is asked learns that this node exists.

        libtorrent alone takes 5 to 30 seconds until the nodes of a new network know each other.
        """
        delay = FIRST_KICK
        session = self._session.handle
        while True:
            self._neighbours = await self.near(self.my_id)
            if not self._neighbours:
                for address in self._session.remembered:
                    session.add_dht_node(address)
            session.dht_get_immutable_item(lt.sha1_hash(self._random.token(20)))
            await asyncio.sleep(delay * self._random.uniform(0.8, 1.2))
            delay = min(delay * KICK_GROWTH, LAST_KICK)

    def _inside(self) -> list[DhtNode]:
        """Whom the door names: this node, then those it knows."""
        own = DhtNode(self.my_id, self._options.interface, self._session.port)
        return [own, *self._neighbours] if self._session.is_open else []

    def _close_door(self) -> None:
        for door in (self._door, self._former):
            if door is not None:
                door.close()

    async def _refuse_at(self, port: int) -> None:
        if port not in (0, self.port, self._session.port):
            self._former = Door(None)
            try:
                await self._former.open(self._options.interface, port)
            except DhtError as exc:
                _log.debug("former port not taken", reason=exc.message)
            except PortInUse:
                _log.debug("former port belongs to another program", port=port)

    async def _watch_id(self) -> None:
        """Follow this node's id; libtorrent has none until the entrances' names are resolved."""
        delay = FIRST_ID_CHECK
        while True:
            await asyncio.sleep(delay)
            await self._session.refresh_id()
            delay = min(delay * 2, LAST_ID_CHECK)

    async def _save_often(self) -> None:
        delay = FIRST_SAVE
        while True:
            await asyncio.sleep(delay)
            await self._session.save()
            delay = SAVE_INTERVAL


def _bytes_of(alert: lt.dht_immutable_item_alert | lt.dht_mutable_item_alert) -> bytes | None:
    """The byte string of an item; None when there is no item, or it is none."""
    try:
        item: object = alert.item
    except RuntimeError:
        # So says libtorrent 2.0 that there is no item; 2.1 gives empty bytes.
        return None
    if isinstance(item, dict):
        # libtorrent 2.0 wraps a mutable item; a dictionary from the network has no text for keys.
        item = cast("dict[object, object]", item).get("value")
    return item if isinstance(item, bytes) and item else None


def _raw(salt: object) -> bytes:
    """A salt as bytes; libtorrent 2.0 gives text."""
    return salt.encode() if isinstance(salt, str) else cast("bytes", salt)


def _nodes(rows: list[Any]) -> list[DhtNode]:
    return [DhtNode(row["nid"].to_bytes(), *row["endpoint"]) for row in rows]
