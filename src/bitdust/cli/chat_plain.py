"""A chat for pipes and logs: one line in is one message out, messages of others are printed."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from bitdust.cli.chat_session import ChatSession
from bitdust.cli.chat_text import Line, as_text
from bitdust.cli.output import print_error, print_note
from bitdust.errors import BitdustError, FormatError, InvalidInput

MAX_LINE = 64 * 1024
"""Bytes of one line, as much as a message takes."""
AT_ONCE = 100
"""Lines that are read ahead of those being sent."""


class PlainScreen:
    """Prints what happens.

    Args:
        out: where messages go.
        name: of the other side, as it was entered here.
        as_json: one JSON object for each.
    """

    def __init__(self, out: TextIO, name: str, *, as_json: bool) -> None:
        self._out = out
        self._name = name
        self._as_json = as_json
        self._here: bool | None = None

    def show(self, lines: list[Line], *, older: bool) -> None:
        """Print messages of others; own ones are known to who wrote them."""
        del older
        for line in lines:
            if self._as_json:
                self._write(as_object(line))
            elif not line.mine:
                self._out.write(as_text(line) + "\n")
        self._out.flush()

    def change(self, line: Line) -> None:
        """Programs are told how far an own message has come."""
        if self._as_json:
            state = {"type": "state", "message_id": line.message_id, "state": line.state}
            self._write(state)
            self._out.flush()

    def presence(self, text: str, *, here: bool) -> None:
        """Tell when somebody comes or goes."""
        if here == self._here:
            return
        first, self._here = self._here is None, here
        if self._as_json:
            self._write({"type": "presence", "online": here, "text": text})
            self._out.flush()
        elif not first:
            print_note(f"{self._name}: {text}")

    def connection(self, problem: str) -> None:
        """Tell when the node goes."""
        if problem:
            print_note(problem)

    def problem(self, text: str, hint: str) -> None:
        """Tell what was not done."""
        print_error(text, hint)

    def _write(self, row: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(row) + "\n")


def as_object(line: Line) -> dict[str, Any]:
    """A message for programs."""
    row: dict[str, Any] = {
        "type": "message",
        "message_id": line.message_id,
        "direction": "out" if line.mine else "in",
        "time": line.time,
        "sender": line.sender,
        "data": dict(line.data),
        "state": line.state,
    }
    return row if line.sequence is None else {**row, "sequence": line.sequence}


def parse_line(raw: bytes, *, as_json: bool) -> Mapping[str, Any]:
    """The message that a line stands for: its text, or with JSON the object in it.

    Raises:
        FormatError: it is no text.
        InvalidInput: it is too long, or no JSON object or text.
    """
    if len(raw) > MAX_LINE:
        raise InvalidInput(f"a line has more than {MAX_LINE} bytes", hint="share a file instead")
    try:
        text = raw.decode().rstrip("\r\n")
        found = json.loads(text) if as_json else text
    except (ValueError, RecursionError):
        what = "JSON" if as_json else "UTF-8 text"
        raise FormatError(f"a line of the input is no {what}") from None
    if isinstance(found, str):
        return {"message": found}
    if not isinstance(found, dict):
        raise InvalidInput("a line must be a JSON object or text", hint='such as {"message": "Hi"}')
    return found


async def chat_plain(home: Path, target: str, *, as_json: bool, history: int, listen: bool) -> bool:
    """Chat over standard input and output, until the input ends and all of it was sent.

    Args:
        home: of the node.
        target: a person or group.
        as_json: read and write JSON lines.
        history: how many messages to print first.
        listen: go on after the end of the input, until interrupted.

    Returns:
        Whether everything that was entered was taken by the node.

    Raises:
        BitdustError: the node is not there, or knows no such person or group.
    """
    screen = PlainScreen(sys.stdout, target, as_json=as_json)
    session = ChatSession(home, target, screen, history)
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(AT_ONCE)
    _read_in_thread(asyncio.get_running_loop(), lines, room)
    talking = asyncio.create_task(session.run())
    sending = asyncio.create_task(_send_lines(session, lines, room, as_json=as_json))
    try:
        await asyncio.wait({talking, sending}, return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            talking.result()
        good = await sending
        if listen:
            await talking
        return good
    finally:
        for task in (talking, sending):
            task.cancel()
        await asyncio.gather(talking, sending, return_exceptions=True)


def _read_in_thread(
    loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes | None], room: threading.Semaphore
) -> None:
    """Read standard input, which may be anything: a file, a pipe, a terminal."""

    def read() -> None:
        source = sys.stdin.buffer
        try:
            while raw := source.readline(MAX_LINE + 2):
                while (
                    len(raw) > MAX_LINE
                    and not raw.endswith(b"\n")
                    and (rest := source.readline(MAX_LINE))
                ):
                    raw = raw[: MAX_LINE + 1] + rest[-1:]  # the rest of a line that is too long
                room.acquire()
                loop.call_soon_threadsafe(lines.put_nowait, raw)
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except (RuntimeError, ValueError):  # the chat ended meanwhile
            return

    threading.Thread(target=read, name="chat input", daemon=True).start()


async def _send_lines(
    session: ChatSession,
    lines: asyncio.Queue[bytes | None],
    room: threading.Semaphore,
    *,
    as_json: bool,
) -> bool:
    good = True
    while (raw := await lines.get()) is not None:
        room.release()
        if not raw.strip():
            continue
        try:
            data = parse_line(raw, as_json=as_json)
        except BitdustError as exc:
            print_error(exc.message, exc.hint)
            good = False
            continue
        try:
            await session.send(data)
        except BitdustError:  # the session told it
            good = False
    return good
