"""The chat as a screen in the terminal; needs ``textual``, the extra ``[tui]``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from bitdust.cli.chat_session import PAGE, ChatSession, Screen
from bitdust.cli.chat_text import Line, local_time, short_name
from bitdust.errors import BitdustError

MAX_ENTRY: Final = 16_000
"""Characters of one message that can be entered."""
MAX_WIDGETS: Final = 5000
"""Messages on the screen; the oldest go first."""
COLOURS: Final = ("cyan", "green", "yellow", "magenta", "blue", "bright_red")
STYLES: Final = {"waiting": "dim", "sent": "dim", "delivered": "green", "failed": "bold red"}

MakeSession = Callable[[Screen], ChatSession]


class Talk(VerticalScroll):
    """The messages; says when its top is reached."""

    class Top(Message):
        """The oldest message that is shown came into view."""

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """See the class."""
        super().watch_scroll_y(old_value, new_value)
        if new_value <= 0 < old_value:
            self.post_message(self.Top())

    @property
    def at_end(self) -> bool:
        """Whether the newest message is in view."""
        return self.scroll_offset.y >= self.max_scroll_y - 1


class ChatApp(App[None]):
    """One conversation.

    Args:
        home: of the node.
        target: a person or group.
        history: messages to begin with.
        make_session: makes the conversation; as usual when None.
    """

    TITLE = "BitDust"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title { height: 1; background: $primary-background; padding: 0 1; }
    #talk { height: 1fr; padding: 0 1; }
    #talk Static { width: 1fr; height: auto; }
    #notice { height: auto; max-height: 3; color: $warning; padding: 0 1; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "back", "Back", priority=True),
        Binding("pagedown", "forward", "Forward", priority=True),
        Binding("ctrl+end", "newest", "Newest", priority=True),
        Binding("ctrl+d", "quit", "Quit", priority=True),
    ]

    def __init__(
        self,
        home: Path,
        target: str,
        history: int = PAGE,
        make_session: MakeSession | None = None,
    ) -> None:
        super().__init__()
        make = make_session or (lambda screen: ChatSession(home, target, screen, history))
        self.session = make(_Teller(self))
        self.failure: BitdustError | None = None
        self._rows: dict[str, Static] = {}
        self._presence = ("", False)
        self._away = ""
        self._loading = False

    def compose(self) -> ComposeResult:
        """The title, the messages, a notice and the line to write in."""
        yield Static(id="title", markup=False)
        yield Talk(id="talk", can_focus=False)
        yield Static(id="notice", markup=False)
        yield Input(placeholder="Message", id="entry", max_length=MAX_ENTRY)

    def on_mount(self) -> None:
        """Begin the conversation."""
        self.query_one("#entry", Input).focus()
        self._show_title()
        self.run_worker(self._converse(), name="conversation")

    async def _converse(self) -> None:
        try:
            await self.session.run()
        except BitdustError as exc:
            self.failure = exc
            self.exit()

    # --- what is shown -----------------------------------------------------------------------

    @property
    def talk(self) -> Talk:
        """The messages."""
        return self.query_one("#talk", Talk)

    def _show_title(self) -> None:
        text, here = self._presence
        shown = Text(self.session.title, style="bold", no_wrap=True, overflow="ellipsis")
        if text:
            shown.append("  ● " if here else "  ○ ", style="green" if here else "dim")
            shown.append(text, style="not bold")
        self.query_one("#title", Static).update(shown)

    def show_lines(self, lines: list[Line], *, older: bool) -> None:
        """Put messages at the end, or before all others."""
        talk = self.talk
        rows = [Static(self._row(line), markup=False) for line in lines]
        follow, height, at = talk.at_end, talk.virtual_size.height, talk.scroll_offset.y
        if older:
            shown = dict(zip([line.message_id for line in lines], rows, strict=True))
            self._rows = {**shown, **self._rows}
            first = next(iter(talk.children), None)
            talk.mount_all(rows, before=first)
        else:
            self._rows.update(zip([line.message_id for line in lines], rows, strict=True))
            talk.mount_all(rows)
        while len(self._rows) > MAX_WIDGETS:
            self._rows.pop(next(iter(self._rows))).remove()

        def settle() -> None:
            if older:
                talk.scroll_to(y=at + talk.virtual_size.height - height, animate=False)
            elif follow:
                talk.scroll_end(animate=False)

        self.call_after_refresh(settle)

    def change_line(self, line: Line) -> None:
        """Show a message as it is now."""
        row = self._rows.get(line.message_id)
        if row is not None:
            row.update(self._row(line))

    def show_presence(self, text: str, *, here: bool) -> None:
        """Who is there."""
        self._presence = (text, here)
        self._show_title()

    def show_away(self, problem: str) -> None:
        """Whether the node is reached."""
        self._away = problem
        if problem:
            self._presence = ("", False)
            self._show_title()
        self.notice(problem)

    def notice(self, text: str) -> None:
        """One line above the entry; none when empty."""
        place = self.query_one("#notice", Static)
        place.update(text)
        place.display = bool(text)

    def _row(self, line: Line) -> Text:
        local = local_time(line.time)
        today = local[:3] == time.localtime()[:3]
        # Text and no markup: what others write can neither colour nor link anything
        row = Text(time.strftime("%H:%M " if today else "%d %b %Y %H:%M ", local), style="dim")
        row.append(short_name(line.sender), style=f"bold {_colour(line)} not dim")
        row.append("  " + line.text, style="not dim not bold")
        if line.mark:
            row.append(f"  {line.mark}", style=STYLES.get(line.state, ""))
        return row

    # --- what the person does ----------------------------------------------------------------

    @on(Input.Submitted, "#entry")
    def entered(self, event: Input.Submitted) -> None:
        """Send the line."""
        text = event.value.strip()
        if not text:
            return
        try:
            self.session.send({"message": text})
        except BitdustError as exc:
            self.notice(exc.message)
            return
        event.input.value = ""
        self.notice(f"{self._away}; your message is sent then" if self._away else "")
        self.talk.scroll_end(animate=False)

    @on(Talk.Top)
    async def reached_top(self) -> None:
        """Load what was said before."""
        await self._older()

    async def action_back(self) -> None:
        """One page back; at the top load what was said before."""
        if self.talk.scroll_offset.y <= 0:
            await self._older()
        self.talk.scroll_page_up(animate=False)

    def action_forward(self) -> None:
        """One page forward."""
        self.talk.scroll_page_down(animate=False)

    def action_newest(self) -> None:
        """To the newest message."""
        self.talk.scroll_end(animate=False)

    async def _older(self) -> None:
        if self._loading:
            return
        self._loading = True
        try:
            await self.session.older()
        except BitdustError as exc:
            self.notice(exc.message)
        finally:
            self._loading = False

    def on_resize(self, event: events.Resize) -> None:
        """Keep the newest message in view."""
        del event
        if self.talk.at_end:
            self.call_after_refresh(self.talk.scroll_end, animate=False)


class _Teller:
    """What the conversation is shown on."""

    def __init__(self, app: ChatApp) -> None:
        self._app = app

    def show(self, lines: list[Line], *, older: bool) -> None:
        self._app.show_lines(lines, older=older)

    def change(self, line: Line) -> None:
        self._app.change_line(line)

    def presence(self, text: str, *, here: bool) -> None:
        self._app.show_presence(text, here=here)

    def connection(self, problem: str) -> None:
        self._app.show_away(problem)

    def problem(self, text: str, hint: str) -> None:
        self._app.notice(f"{text}; {hint}" if hint else text)


def _colour(line: Line) -> str:
    if line.mine:
        return "white"
    return COLOURS[sum(line.sender.encode()) % len(COLOURS)]
