"""One conversation with a person or in a group, kept up over restarts of the node."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bitdust.cli.chat_text import Line, clean_name, line_of
from bitdust.client import AsyncClient
from bitdust.errors import BitdustError, Busy, InvalidInput, NetworkError, NotFound, NotRunning

PAGE = 100
LOOK_EVERY = 2.0
"""Seconds between two looks at presence and at messages that are under way."""
RECONNECT_FIRST = 0.3
RECONNECT_MOST = 5.0
MAX_UNSENT = 1000
"""Lines that wait for the node to come back, or for their turn."""
MAX_KNOWN = 20_000
"""Messages whose state is remembered."""
REACH = 1.0
"""Seconds in which a person must be reached, until the message counts as waiting."""
CLOCK_SLACK = 1.0
GROUP_MARK = "$"


class Screen(Protocol):
    """Where a chat is shown; every text handed over is safe to print."""

    def show(self, lines: list[Line], *, older: bool) -> None:
        """More messages: the newest, or, when ``older``, what comes before all that is shown."""

    def change(self, line: Line) -> None:
        """The state or place of a shown message changed."""

    def presence(self, text: str, *, here: bool) -> None:
        """Who is there."""

    def connection(self, problem: str) -> None:
        """The node is reached again (empty), or why it is not."""

    def problem(self, text: str, hint: str) -> None:
        """Something that was asked for was not done."""


@dataclass
class Unsent:
    """A message that the person entered.

    Args:
        data: what is to be sent.
        since: when it was given to the node first, 0 when it was not yet.
        done: ends with the outcome.
    """

    data: Mapping[str, Any]
    since: float = 0.0
    done: asyncio.Future[dict[str, Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class ChatSession:
    """See the module; ``run`` in a task, then ``send`` and ``older`` as one likes.

    Args:
        home: of the node.
        target: a person, or a group by its key id or label.
        screen: is told what happens.
        history: how many messages to begin with.
    """

    def __init__(self, home: Path, target: str, screen: Screen, history: int = PAGE) -> None:
        self._home = home
        self._target = target
        self._screen = screen
        self._history = history
        self._client: AsyncClient | None = None
        self._known: dict[str, Line] = {}
        self._shown = 0
        self._unsent: deque[Unsent] = deque()
        self._wake = asyncio.Event()
        self._entered = asyncio.Event()
        self._settled: deque[str] = deque(maxlen=MAX_UNSENT)
        self._up = False
        self._peer = ""
        self._conversation = ""
        self._met = False
        self.group = ""
        """Key id of the group, empty in private."""
        self.title = clean_name(target)
        """Whom one talks to."""

    # --- what the person does ----------------------------------------------------------------

    def send(self, data: Mapping[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Send a message, now or when the node is back; in order.

        Returns:
            The outcome as `message_send` or `message_send_group` gives it; or their error.

        Raises:
            Busy: too many wait already.
        """
        if len(self._unsent) >= MAX_UNSENT:
            raise Busy("too many lines wait already", hint="wait until the node is back")
        unsent = Unsent(data)
        self._unsent.append(unsent)
        self._entered.set()
        return unsent.done

    async def older(self) -> bool:
        """Show the page before the oldest message; False when there is none.

        Raises:
            BitdustError: the node cannot be asked.
        """
        rows = await self._page(self._shown, PAGE)
        fresh = [line for line in rows if line.message_id not in self._known]
        self._shown += len(rows)
        self._remember(fresh)
        if fresh:
            self._screen.show(fresh, older=True)
        return bool(rows)

    # --- the session -------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the conversation up until cancelled.

        Raises:
            BitdustError: the node is not there at first, or knows no such person or group.
        """
        pause = RECONNECT_FIRST
        while True:
            try:
                async with AsyncClient(self._home) as client:
                    self._client = client
                    await self._talk(client)
            except BitdustError as exc:
                if not self._met or not isinstance(exc, NotRunning | NetworkError):
                    raise
            finally:
                self._client = None
            if self._up:
                pause, self._up = RECONNECT_FIRST, False
                self._screen.connection("the node is away, trying again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, RECONNECT_MOST)

    async def _talk(self, client: AsyncClient) -> None:
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        hearing = asyncio.create_task(_pump(client.messages(direction=None), queue))
        tasks = [hearing]
        try:
            await asyncio.sleep(0)  # from here on nothing that is said is missed
            await self._find(client)
            await self._begin()
            self._met = self._up = True
            self._screen.connection("")
            tasks += [
                asyncio.create_task(self._look()),
                asyncio.create_task(self._listen(client)),
                asyncio.create_task(self._send_all(client)),
                asyncio.create_task(self._hear(queue)),
            ]
            done, _ = await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, client: AsyncClient) -> None:
        """Find out who or what is meant."""
        if self._peer or self.group:
            return
        groups = await client.groups_list() if await self._has_groups(client) else []
        named = [g for g in groups if self._target in (g["group_key_id"], g["label"], g["alias"])]
        if len(named) > 1:
            raise InvalidInput(f"{len(named)} groups have that name", hint="name one by its key id")
        if named:
            [group] = named
            self.group = self._conversation = str(group["group_key_id"])
            self.title = clean_name(str(group["label"] or group["alias"]))
            if group["state"] != "CONNECTED":
                await client.group_join(self.group)
            return
        if self._target.startswith("group_") and GROUP_MARK in self._target:
            raise NotFound(
                f"there is no group {self._target[:200]}",
                hint="list the groups with `bitdust group list`, or ask a member to share it",
            )
        person = await client.user_status(self._target)
        self._peer = str(person["global_id"])
        self.title = clean_name(self._peer)

    @staticmethod
    async def _has_groups(client: AsyncClient) -> bool:
        rows = await client.services_list()
        return any(r["name"] == "service_private_groups" and r["state"] == "ON" for r in rows)

    async def _begin(self) -> None:
        """Show the newest page, or after a break what came meanwhile."""
        wanted = PAGE if self._met else self._history
        rows: list[Line] = []
        while wanted:
            page = await self._page(len(rows), min(PAGE, wanted))
            rows = page + rows
            complete = any(line.message_id in self._known for line in page)
            if not self._met or complete or len(page) < PAGE or len(rows) >= 100 * PAGE:
                break
        self._take(rows)

    async def _page(self, offset: int, limit: int) -> list[Line]:
        client = self._client
        if client is None:
            raise NotRunning("the node is away")
        found = await client.message_history(
            recipient_id=self.group or self._peer, offset=offset, limit=limit
        )
        for row in found:
            self._conversation = self._conversation or str(row["doc"]["conversation_id"])
        return [line_of(row["doc"]) for row in found]

    def _take(self, lines: list[Line]) -> None:
        fresh = [line for line in lines if line.message_id not in self._known]
        for line in lines:
            before = self._known.get(line.message_id)
            if before is not None and before != line:
                self._known[line.message_id] = line
                self._screen.change(line)
        self._shown += len(fresh)
        self._remember(fresh)
        if fresh:
            self._screen.show(fresh, older=False)

    def _remember(self, lines: list[Line]) -> None:
        self._known.update((line.message_id, line) for line in lines)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    # --- what goes on while connected --------------------------------------------------------

    async def _hear(self, queue: asyncio.Queue[Mapping[str, Any] | None]) -> None:
        while (doc := await queue.get()) is not None:
            if self._is_here(doc):
                self._conversation = str(doc["conversation_id"])
                self._take([line_of(doc)])

    def _is_here(self, doc: Mapping[str, Any]) -> bool:
        if self._conversation:
            return bool(doc["conversation_id"] == self._conversation)
        private = str(doc["conversation_id"]).startswith("private_")
        return private and self._peer in (doc["sender"]["glob_id"], doc["recipient"]["glob_id"])

    async def _listen(self, client: AsyncClient) -> None:
        async for event_id, data in client.events():
            if event_id in ("message-sent", "message-delivered", "message-failed"):
                self._mark(str(data.get("message_id")), str(data.get("state")))
            elif event_id.startswith(("friend-", "node-", "group-")):
                self._wake.set()
        raise NotRunning("the node is away")

    async def _look(self) -> None:
        """Presence, and how far own messages have come: neither is always told by events."""
        while True:
            await self._look_at_presence()
            if any(not line.settled for line in list(self._known.values())[-PAGE:]):
                self._take(await self._page(0, PAGE))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY)
            self._wake.clear()
            await asyncio.sleep(0.1)  # a burst of events costs one look

    async def _look_at_presence(self) -> None:
        client = self._client
        if client is None:
            raise NotRunning("the node is away")
        if self.group:
            group = await client.group_info(self.group)
            count = len(group["members"])
            here = bool(group["active"])
            text = f"{count} member{'s' if count != 1 else ''}" if here else "not connected"
            if group["errors"]:
                text += f" ({clean_name(str(group['errors'][0]))})"
        else:
            person = await client.user_status(self._peer)
            here = person["contact_status"] == "online"
            text = str(person["contact_status"])
        self._screen.presence(text, here=here)

    def _mark(self, message_id: str, state: str) -> None:
        line = self._known.get(message_id)
        if line is not None and line.mine and state and line.state != state:
            changed = Line(**{**line.__dict__, "state": state})
            self._known[message_id] = changed
            self._screen.change(changed)

    # --- sending -----------------------------------------------------------------------------

    async def _send_all(self, client: AsyncClient) -> None:
        while True:
            self._entered.clear()
            while self._unsent:
                unsent = self._unsent[0]
                if unsent.since and (outcome := self._got_in(unsent)) is not None:
                    self._settle(unsent, outcome)
                    continue
                unsent.since = unsent.since or time.time()
                try:
                    self._settle(unsent, await self._send_one(client, unsent.data))
                except NotRunning:
                    raise
                except BitdustError as exc:
                    self._unsent.popleft()
                    self._screen.problem(exc.message, exc.hint)
                    if not unsent.done.done():
                        unsent.done.set_exception(exc)
                        unsent.done.exception()  # not everybody looks at it
            await self._entered.wait()

    async def _send_one(self, client: AsyncClient, data: Mapping[str, Any]) -> dict[str, Any]:
        if self.group:
            return dict(await client.message_send_group(self.group, dict(data)))
        return dict(
            await client.message_send(
                self._peer, dict(data), ping_timeout=REACH, message_ack_timeout=REACH
            )
        )

    def _settle(self, unsent: Unsent, outcome: dict[str, Any]) -> None:
        self._unsent.popleft()
        if not unsent.done.done():
            unsent.done.set_result(outcome)
        self._settled.append(str(outcome["message_id"]))
        self._mark(str(outcome["message_id"]), str(outcome["state"]))

    def _got_in(self, unsent: Unsent) -> dict[str, Any] | None:
        """Whether a message was taken by a node that ended before it could say so."""
        for line in reversed(self._known.values()):
            if line.time < unsent.since - CLOCK_SLACK:
                return None
            known = line.message_id in self._settled
            if line.mine and not known and line.data == unsent.data:
                return {"message_id": line.message_id, "state": line.state}
        return None


async def _pump(
    source: AsyncIterator[Mapping[str, Any]], queue: asyncio.Queue[Mapping[str, Any] | None]
) -> None:
    async for doc in source:
        queue.put_nowait(doc)
    queue.put_nowait(None)
