"""The chat's screen, without a terminal: what is shown, entered, paged back and marked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from bitdust.cli.chat_screen import ChatApp, Talk
from bitdust.cli.chat_session import ChatSession, Screen
from bitdust.cli.chat_text import Line, text_of
from bitdust.errors import Busy, NotFound


class Played(ChatSession):
    """A conversation whose other side is the test."""

    def __init__(self, screen: Screen, lines: list[Line], error: NotFound | None = None) -> None:
        super().__init__(Path("/nonexistent"), "bob@id.example.org", screen)
        self.screen = screen
        self.lines = lines
        self.error = error
        self.sent: list[Mapping[str, Any]] = []
        self.full = False

    async def run(self) -> None:
        if self.error is not None:
            raise self.error
        self.screen.connection("")
        self.screen.presence("online", here=True)
        self.screen.show(self.lines[-100:], older=False)
        self.lines = self.lines[:-100]
        await asyncio.Event().wait()

    async def older(self) -> bool:
        page, self.lines = self.lines[-100:], self.lines[:-100]
        if page:
            self.screen.show(page, older=True)
        return bool(page)

    def send(self, data: Mapping[str, Any]) -> asyncio.Future[dict[str, Any]]:
        if self.full:
            raise Busy("too many lines wait already")
        self.sent.append(data)
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        return done


def line(number: int, text: str = "", **changes: Any) -> Line:
    given: dict[str, Any] = {
        "message_id": f"m{number}",
        "mine": False,
        "sender": "bob@id.example.org",
        "text": text or f"number {number}",
        "data": {},
        "time": 1_700_000_000.0 + number,
        "state": "delivered",
    }
    return Line(**(given | changes))


Opened = tuple[ChatApp, Played, Pilot[None]]


@asynccontextmanager
async def opened(lines: list[Line]) -> AsyncIterator[Opened]:
    made: list[Played] = []

    def make(screen: Screen) -> Played:
        made.append(Played(screen, lines))
        return made[0]

    app = ChatApp(Path("/nonexistent"), "bob", make_session=make)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        yield app, made[0], pilot


def texts(app: ChatApp) -> list[str]:
    return [str(row.render()) for row in app.query_one(Talk).query(Static)]


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await pilot.pause(0.02)


async def test_history_presence_and_what_comes() -> None:
    async with opened([line(n) for n in range(3)]) as (app, chat, pilot):
        await until(pilot, lambda: len(texts(app)) == 3)
        assert texts(app)[0].endswith("bob  number 0")
        assert str(app.query_one("#title", Static).render()) == "bob@id.example.org  ● online"
        chat.screen.presence("offline", here=False)
        chat.screen.show([line(7, "[bold]no markup[/bold] [link=x]y[/link]")], older=False)
        await until(pilot, lambda: len(texts(app)) == 4)
        assert "[bold]no markup[/bold] [link=x]y[/link]" in texts(app)[-1]
        assert "○ offline" in str(app.query_one("#title", Static).render())


async def test_what_is_entered_is_sent_and_marked() -> None:
    async with opened([]) as (app, chat, pilot):
        await pilot.click("#entry")
        await pilot.press(*"Hello", "enter")
        assert chat.sent == [{"message": "Hello"}]
        assert text_of(chat.sent[0]) == "Hello"
        assert app.query_one(Input).value == ""
        own = line(1, "Hello", mine=True, sender="alice@id.example.org", state="waiting")
        chat.screen.show([own], older=False)
        await until(pilot, lambda: bool(texts(app)) and texts(app)[0].endswith("Hello  …"))
        for state, mark in (("sent", "✓"), ("delivered", "✓✓"), ("failed", "✗")):
            chat.screen.change(Line(**{**own.__dict__, "state": state}))
            await until(pilot, lambda mark=mark: texts(app)[0].endswith(f"Hello  {mark}"))
        await pilot.press("enter")
        assert len(chat.sent) == 1
        chat.full = True
        await pilot.press(*"more", "enter")
        assert app.query_one(Input).value == "more"
        assert "too many" in str(app.query_one("#notice", Static).render())


async def test_history_is_paged_back_without_moving_what_is_read() -> None:
    async with opened([line(n) for n in range(250)]) as (app, chat, pilot):
        talk = app.query_one(Talk)
        await until(pilot, lambda: len(texts(app)) == 100 and talk.at_end and talk.max_scroll_y > 0)
        for _ in range(12):
            await pilot.press("pageup")
        await until(pilot, lambda: len(texts(app)) >= 200)
        for _ in range(30):
            await pilot.press("pageup")
        await until(pilot, lambda: len(texts(app)) == 250)
        numbers = [int(text.rpartition(" ")[2]) for text in texts(app)]
        assert numbers == list(range(250))
        await pilot.press("ctrl+end")
        await until(pilot, lambda: talk.at_end)
        # whoever reads further up is not pulled down by what comes
        await pilot.press("pageup", "pageup")
        await pilot.pause()
        at = talk.scroll_offset.y
        chat.screen.show([line(300)], older=False)
        await until(pilot, lambda: len(texts(app)) == 251)
        await pilot.pause()
        assert talk.scroll_offset.y == at


async def test_the_node_goes_away_and_comes_back() -> None:
    async with opened([]) as (app, chat, pilot):
        notice = app.query_one("#notice", Static)
        chat.screen.connection("the node is away, trying again")
        await until(pilot, lambda: bool(notice.display))
        await pilot.press(*"later", "enter")
        assert "sent then" in str(notice.render())
        chat.screen.connection("")
        await until(pilot, lambda: not notice.display)
        assert chat.sent == [{"message": "later"}]


async def test_an_unknown_person_ends_it() -> None:
    error = NotFound("nobody is known by that name")
    app = ChatApp(Path("/x"), "bob", make_session=lambda screen: Played(screen, [], error))
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.failure is error)


@pytest.mark.parametrize("keys", [("ctrl+d",), ("ctrl+q",)])
async def test_keys_end_it(keys: tuple[str, ...]) -> None:
    async with opened([line(1)]) as (app, _, pilot):
        await pilot.press(*keys)
        await until(pilot, lambda: not app.is_running)
