"""Live copies of what the node knows, for WebSocket clients: snapshots, then every change.

A client enables a model, such as ``service`` or ``private_file``, and from then on everybody on the
WebSocket is told of each of its items that appears, changes or goes away.

Source: BitDust, second generation, WebSocket, models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from bitdust.api import files, friends, keys, messages, services
from bitdust.api.blocking import in_pool
from bitdust.clock import pause
from bitdust.errors import BitdustError, InvalidInput
from bitdust.events import Event, EventBus
from bitdust.ids import KeyID

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.messaging import Message

POLL: Final = 1.0
"""Seconds between two looks at the catalog's revision while a model of it is enabled."""
PAUSE: Final = 0.1
"""Seconds between two comparisons, so that a burst of events costs one."""
BATCH: Final = 50
BATCH_PAUSE: Final = 0.02
"""Items told at once, and the seconds after them: a client must be able to keep up."""
CHANGED: Final = "model"
"""Event of the feed's own bus; its data is what clients receive."""

MAX_MESSAGES: Final = 200
"""Newest messages that the model ``message`` holds."""
MAX_CONVERSATIONS: Final = 1000

Rows = dict[str, dict[str, Any]]

log = structlog.get_logger(component="models")


class ModelFeed:
    """The models of one node.

    Args:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.bus = EventBus(node.clock.now)
        self._sources: dict[str, Callable[[], Awaitable[Rows]]] = {
            "service": self._services,
            "key": self._keys,
            "online_status": self._online,
            "correspondent": self._correspondents,
            "conversation": self._conversations,
            "message": self._messages,
            "private_file": self._files,
            "remote_version": self._versions,
            "shared_location": self._shares,
            "shared_file": self._shared_files,
        }
        self._enabled: dict[str, Rows] = {}
        self._due: set[str] = set()
        self._revision = -1
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._off: Callable[[], None] | None = None
        self._silence: Callable[[], None] | None = None

    async def close(self) -> None:
        """Follow nothing any more."""
        self._enabled.clear()
        await self._rest()

    async def _rest(self) -> None:
        if self._off is not None:
            self._off()
            self._off = None
        if self._silence is not None:
            self._silence()
            self._silence = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def check(self, name: str) -> str:
        """A model's name.

        Raises:
            InvalidInput: there is no such model.
        """
        if name in self._sources:
            return name
        known = ", ".join(sorted(self._sources))
        raise InvalidInput(f"model_name: {name[:40]!r} is no model", hint=f"use one of {known}")

    async def enable(self, name: str, *, send: bool) -> None:
        """Follow a model from now on.

        Args:
            name: of the model, checked.
            send: tell all its items now.
        """
        async with self._turn:
            rows = await self._rows(name)
            self._enabled[name] = rows
        if send:
            await self._send(name, rows)
        if self._task is None:
            self._off = self._node.events.on_event(self._on_event)
            self._silence = self._node.message_stream.listen(self._on_message)
            self._task = asyncio.create_task(self._follow(), name="models")

    async def disable(self, name: str) -> None:
        """Follow a model no longer."""
        self._enabled.pop(name, None)
        if not self._enabled:
            await self._rest()

    async def send_all(self, name: str) -> None:
        """Tell all items of a model, followed or not."""
        await self._send(name, await self._rows(name))

    def tell(self, name: str, item: str, data: dict[str, Any]) -> None:
        """Tell one thing that belongs to no model that is followed."""
        now = self._node.clock.now()
        self.bus.publish(CHANGED, name=name, id=item, data=data, created=now)

    async def _send(self, name: str, rows: Rows, *, deleted: bool = False) -> None:
        for number, (item, data) in enumerate(rows.items(), 1):
            now = self._node.clock.now()
            message: dict[str, Any] = {"name": name, "id": item, "data": data, "created": now}
            if deleted:
                message["deleted"] = now
            self.bus.publish(CHANGED, **message)
            if not number % BATCH:  # readers have bounded queues
                await self._node.clock.sleep(BATCH_PAUSE)

    # --- following ---------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        kind = event.event_id
        if kind.startswith("service-"):
            self._due.update(self._enabled)  # with a service everything may come and go
        elif kind.startswith("key-"):
            self._due.add("key")
        elif kind in ("node-connected", "node-disconnected"):
            self._due.update(("online_status", "correspondent", "conversation"))
        elif kind.startswith("friend-"):
            self._due.update(("correspondent", "online_status"))
        elif kind in ("message-sent", "message-delivered", "message-failed"):
            self._due.add("message")
        elif kind.startswith("share-"):
            self._due.update(("shared_location", "shared_file"))
        elif kind.startswith(("backup-", "my-backup-index", "data-", "fragment-")):
            self._due.add("shared_file")
            self._due.update(("private_file", "remote_version"))
        else:
            return
        self._wake.set()

    def _on_message(self, message: Message) -> bool:
        del message
        self._due.update(("conversation", "message"))
        self._wake.set()
        return False  # a model is no listener that consumes

    async def _follow(self) -> None:
        while True:
            await pause(self._node.clock, POLL, self._wake)
            self._wake.clear()
            await self._look_at_catalog()
            due, self._due = self._due, set()
            for name in sorted(due & self._enabled.keys()):
                try:
                    await self._compare(name)
                except Exception:
                    log.exception("a model cannot be read", model=name)
            await self._node.clock.sleep(PAUSE)

    async def _look_at_catalog(self) -> None:
        if self._node.storage is None or not self._enabled.keys() & {
            "private_file",
            "remote_version",
        }:
            return
        try:
            catalog = self._node.storage.parts.catalog
            revision = await in_pool(self._node, lambda: catalog.revision)
        except BitdustError:
            return
        if revision != self._revision:
            self._revision = revision
            self._due.update(("private_file", "remote_version"))

    async def _compare(self, name: str) -> None:
        async with self._turn:
            if name not in self._enabled:
                return
            old, new = self._enabled[name], await self._rows(name)
            self._enabled[name] = new
        changed = {item: data for item, data in new.items() if old.get(item) != data}
        gone = {item: data for item, data in old.items() if item not in new}
        await self._send(name, changed)
        await self._send(name, gone, deleted=True)

    # --- what there is -----------------------------------------------------------------------

    async def _rows(self, name: str) -> Rows:
        try:
            return await self._sources[name]()
        except BitdustError:  # that part of the node is off
            return {}

    async def _services(self) -> Rows:
        rows = await services.services_list(self._node)
        return {row["name"]: {k: v for k, v in row.items() if k != "healthy"} for row in rows}

    async def _keys(self) -> Rows:
        rows = await keys.keys_list(self._node)
        return {str(row["key_id"]): row for row in rows}

    async def _online(self) -> Rows:
        network = self._node.network
        if network is None:
            return {}
        found: Rows = {}
        for node_id in network.statuses():
            document = network.document_of(node_id)
            if document is None:
                continue
            who = f"online_{document.global_id}"
            found[who] = {
                "id": who,
                "name": "OnlineStatus",
                "state": friends.contact_state(self._node, node_id),
                "idurl": str(document.idurl),
                "global_id": str(document.global_id),
                "idhost": document.idurl.host,
                "username": document.name,
            }
        return found

    async def _correspondents(self) -> Rows:
        rows = await friends.friends_list(self._node)
        return {str(row["global_id"]): row for row in rows}

    async def _conversations(self) -> Rows:
        rows = await messages.message_conversations_list(self._node, limit=MAX_CONVERSATIONS)
        return {str(row["conversation_id"]): row for row in rows}

    async def _messages(self) -> Rows:
        rows = await messages.message_history(self._node, limit=MAX_MESSAGES)
        return {str(row["doc"]["payload"]["message_id"]): row["doc"] for row in rows}

    async def _items(self) -> list[dict[str, Any]]:
        rows = (await files.files_list(self._node, recursive=True)).result
        return rows if isinstance(rows, list) else []

    async def _files(self) -> Rows:
        return _file_rows(await self._items())

    async def _shares(self) -> Rows:
        rows = self._node.require_shares().shares_list()
        return {str(row["key_id"]): row for row in rows}

    async def _shared_files(self) -> Rows:
        found: Rows = {}
        for row in self._node.require_shares().shares_list(only_active=True):
            key_id = KeyID.parse(str(row["key_id"]))
            listed = (await files.files_list(self._node, key_id=key_id)).result
            found |= _file_rows(listed if isinstance(listed, list) else [])
        return found

    async def _versions(self) -> Rows:
        found: Rows = {}
        for row in await self._items():
            for version in row.get("versions", ()):
                found[str(version["backup_id"])] = {
                    **version,
                    "filesize": version.get("size"),
                    "global_id": row["global_id"],
                    "key_id": row["key_id"],
                    "remote_path": row["remote_path"],
                }
        return found


def _file_rows(items: list[dict[str, Any]]) -> Rows:
    wanted = ("global_id", "remote_path", "size", "type", "customer", "versions")
    return {str(row["global_id"]): {key: row.get(key) for key in wanted} for row in items}
