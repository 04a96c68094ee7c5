"""What other people write, made safe to print, and messages as lines of a chat.

Everything that comes from others is hostile: escape sequences that move the cursor or change the
title, control characters, characters that reverse the direction of what follows, heaps of accents,
line breaks that look like the next message.
"""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 16 * 1024
"""Characters of one message that are shown."""
MAX_LINES = 200
MAX_MARKS = 4
"""Combining marks on one character."""
MAX_NAME = 80
TAB = "    "
CONTINUED = "    "
"""Before every line of a message but its first, so that none looks like a message of its own."""

_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # strings, as in titles
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?",  # the rest
    re.DOTALL,
)
"""Escape sequences of terminals (ECMA-48, section 5)."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that scripts and emoji need; all others are left out."""
LAST_TIME = 253_402_300_000
"""Seconds since 1970 until shortly before the year 10000."""
_OWN = frozenset({"action", "msg_type"})
"""Fields that the engine adds to what was written."""

MARKS: Mapping[str, str] = {"waiting": "…", "sent": "✓", "delivered": "✓✓", "failed": "✗"}
"""How far an own message has come."""


@dataclass(frozen=True)
class Line:
    """One message of a chat, safe to print.

    Args:
        message_id: of the message.
        mine: whether the person here wrote it.
        sender: who did, a global id.
        text: with line breaks between its lines.
        data: as it came, for programs; not safe to print.
        time: seconds since 1970, by the sender's clock.
        state: ``waiting``, ``sent``, ``delivered`` or ``failed``.
        sequence: place in a group, None in private.
    """

    message_id: str
    mine: bool
    sender: str
    text: str
    data: Mapping[str, Any]
    time: float
    state: str
    sequence: int | None = None

    @property
    def mark(self) -> str:
        """How far it has come; empty for messages of others."""
        return MARKS.get(self.state, "") if self.mine else ""

    @property
    def settled(self) -> bool:
        """Whether its state is the last one."""
        if not self.mine or self.state in ("delivered", "failed"):
            return True
        return self.state == "sent" and self.sequence is not None


def clean(text: str) -> str:
    """A text of somebody else without anything that acts on a terminal.

    Args:
        text: whatever came.

    Returns:
        Printable characters and line breaks, at most ``MAX_SHOWN`` and ``MAX_LINES``.
    """
    whole = len(text) <= MAX_SHOWN
    text = _ESCAPES.sub("", text[:MAX_SHOWN])
    text = re.sub(r"\r\n?|[\n\v\f\x85\u2028\u2029]", "\n", text).replace("\t", TAB)
    shown: list[str] = []
    marks = 0
    for ch in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(ch)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if ch == "\n" or ch in _JOINERS:
            shown.append(ch)
        elif kind in ("Cs", "Co", "Cn"):
            shown.append("\ufffd")
        elif kind not in ("Cc", "Cf") and marks <= MAX_MARKS:
            shown.append(" " if kind in ("Zs", "Zl", "Zp") else ch)
    lines = "".join(shown).strip("\n").split("\n")
    if len(lines) > MAX_LINES:
        lines, whole = lines[:MAX_LINES], False
    return "\n".join(lines) + ("" if whole else " […]")


def clean_name(name: str) -> str:
    """A name of somebody else as one short line."""
    return clean(name[:MAX_NAME]).replace("\n", " ")


def text_of(data: Mapping[str, Any]) -> str:
    """What is to be read in the data of a message: its text, or all of it as JSON."""
    text = data.get("message")
    own = {name: value for name, value in data.items() if name not in _OWN}
    if isinstance(text, str) and len(own) == 1:
        return clean(text)
    return clean(json.dumps(own, ensure_ascii=False))


def line_of(doc: Mapping[str, Any]) -> Line:
    """A message as the history and WebSocket clients show it."""
    payload = doc["payload"]
    data = payload["data"] if isinstance(payload["data"], dict) else {}
    return Line(
        str(payload["message_id"]),
        doc["direction"] == "out",
        clean_name(str(doc["sender"]["glob_id"])),
        text_of(data),
        {name: value for name, value in data.items() if name not in _OWN},
        float(payload["time"]),
        str(doc.get("state", "")),
        doc.get("sequence"),
    )


def received(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a long poll gets it, in the form that ``line_of`` takes."""
    return {
        "direction": "in" if row["dir"] == "incoming" else "out",
        "payload": {name: row[name] for name in ("data", "message_id", "time")},
        "sender": {"glob_id": row["sender"]},
        "sequence": row.get("sequence"),
    }


def local_time(when: float) -> time.struct_time:
    """A time of somebody else, as far as this machine can show it."""
    return time.localtime(when if 0 <= when < LAST_TIME else 0.0)


def as_text(line: Line) -> str:
    """``2026-11-20 20:08:33 bob@id.example.org: text``, further lines indented."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", local_time(line.time))
    return f"{when} {line.sender}: " + line.text.replace("\n", "\n" + CONTINUED)


def short_name(global_id: str) -> str:
    """``bob`` of ``bob@id.example.org``."""
    return global_id.partition("@")[0] or global_id
