"""What commands print: tables for people, JSON for programs, errors with what to do.

Names from elsewhere are shown with control characters escaped, so that a file name cannot move the
cursor or colour the screen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bitdust.ids import display_name

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "devices_list": ("name", "active", "url", "size"),
    "files_list": ("type", "size", "latest", "path_id", "remote_path"),
    "files_downloads": ("state", "progress", "bytes_processed", "total_size", "remote_path"),
    "keys_list": ("key_id", "size", "is_public", "active", "label"),
    "friends_list": ("alias", "global_id", "contact_status", "contact_state"),
    "configs_list": ("key", "value", "default", "type"),
    "suppliers_list": ("position", "global_id", "supplier_state", "contact_state", "connected"),
    "customers_list": ("position", "global_id", "contact_state", "used"),
    "suppliers_ping": ("position", "global_id", "answered", "contact_state"),
    "customers_ping": ("position", "global_id", "answered", "contact_state"),
    "connections_list": ("proto", "state", "global_id", "host", "bytes_sent", "bytes_received"),
    "streams_list": ("proto", "stream_id", "type", "bytes_current", "bytes_total", "progress"),
    "services_list": ("name", "state", "enabled", "healthy", "reason"),
    "automats_list": ("index", "name", "id", "state", "timers", "details"),
    "packets_list": ("direction", "command", "label", "global_id", "size", "seconds"),
    "transfers_list": ("position", "global_id", "outgoing", "incoming"),
    "shares_list": ("key_id", "label", "state", "members", "reason"),
    "share_history": ("date", "who", "what", "path", "detail"),
    "groups_list": ("label", "state", "members", "last_sequence_id", "group_key_id"),
    "message_conversations_list": ("label", "type", "state", "events"),
    "identity_cache_list": ("global_id", "revision", "date", "contacts"),
}
"""Columns of lists, by method; the others show what fits."""

_SIZES = frozenset({"size", "local_size", "total_size", "bytes_processed", "bytes_sent"}) | {
    "bytes_received",
    "used",
    "bytes_current",
    "bytes_total",
    "bytes",
    "new_bytes",
    "packed_bytes",
    "stored_bytes",
}
_ROWS: Mapping[str, tuple[str, ...]] = {
    "versions": ("label", "size", "reliable", "delivered", "may_vanish", "files", "folders"),
}
"""Columns of lists within a result, by field."""
_WRITTEN = "_str"
"""Ending of fields that give a number as text; people are shown the text alone."""
MESSAGES = frozenset({"message_history", "message_search", "message_receive"})
"""Methods whose rows are messages, which people are shown as lines of a chat."""
HIDDEN: Mapping[str, frozenset[str]] = {
    "identity_create": frozenset({"xml"}),
    "identity_recover": frozenset({"xml"}),
}
"""Fields that people are not shown, by method; ``--json`` shows everything."""
MAX_COLUMNS = 6
MAX_VALUE = 120
"""Characters of a value that people are shown."""
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def size_text(size: float) -> str:
    """A byte count for people, in units of 1024: ``1.5 MB``."""
    unit = 0
    while abs(size) >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def print_json(envelope: Mapping[str, Any]) -> None:
    """The envelope as JSON on standard output."""
    sys.stdout.write(json.dumps(envelope, indent=2, sort_keys=True) + "\n")


def print_error(message: str, hint: str = "") -> None:
    """``error: …`` and ``hint: …`` on standard error."""
    sys.stderr.write(f"error: {_shown(message)}\n")
    if hint:
        sys.stderr.write(f"hint: {_shown(hint)}\n")


def print_note(text: str) -> None:
    """A line for people on standard error, out of the way of the result."""
    sys.stderr.write(f"{_shown(text)}\n")


def print_result(method: str, envelope: Mapping[str, Any]) -> None:
    """The result of an operation for people."""
    result = envelope.get("result")
    if method in MESSAGES and isinstance(result, list) and result:
        _print_messages(result)
    elif isinstance(result, list) and result and all(isinstance(row, dict) for row in result):
        _print_rows(COLUMNS.get(method, ()), result)
    elif isinstance(result, dict):
        hidden = HIDDEN.get(method, frozenset())
        _print_pairs({name: value for name, value in result.items() if name not in hidden})
    elif isinstance(result, list):
        for entry in result:
            sys.stdout.write(f"{_cell('', entry)}\n")
    elif result is not None:
        sys.stdout.write(f"{_cell('', result)}\n")
    message = envelope.get("message")
    if message:
        print_note(str(message))
    elif result is None:
        print_note("ok")
    elif result in ([], {}):
        print_note("nothing there")


def _print_messages(rows: Sequence[Mapping[str, Any]]) -> None:
    from bitdust.cli.chat_text import as_text, line_of, received

    for row in rows:
        line = line_of(row["doc"] if "doc" in row else received(row))
        sys.stdout.write(f"{as_text(line)} {line.mark}".rstrip() + "\n")


def _shown(text: str) -> str:
    return "\n".join(display_name(line) for line in text.split("\n"))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _SIZES and isinstance(value, int):
        return size_text(value) if value >= 0 else "-"
    if isinstance(value, list):
        return ", ".join(_cell("", entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(key, entry)}" for key, entry in value.items())
    text = display_name(str(value))
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _print_rows(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], indent: str = ""
) -> None:
    present = [name for name in columns if any(name in row for row in rows)]
    if not present:
        present = [name for name, value in rows[0].items() if not isinstance(value, dict | list)]
        present = present[:MAX_COLUMNS] or list(rows[0])[:MAX_COLUMNS]
    cells = [[_cell(name, row.get(name)) for name in present] for row in rows]
    titles = [name.replace("_", " ") for name in present]
    if sys.stdout.isatty() and not indent:
        _print_table(titles, cells)
        return
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    for line in (titles, *cells):
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        sys.stdout.write(f"{indent}{'  '.join(padded)}".rstrip() + "\n")


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _print_pairs(result: Mapping[str, Any], indent: str = "") -> None:
    width = max((len(str(name).removesuffix(_WRITTEN)) for name in result), default=0)
    for name, value in result.items():
        if f"{name}{_WRITTEN}" in result:
            continue
        name = str(name).removesuffix(_WRITTEN)
        label = f"{indent}{display_name(str(name)).replace('_', ' ')}"
        if isinstance(value, dict) and value:
            sys.stdout.write(f"{label}:\n")
            _print_pairs(value, indent + "  ")
        elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            sys.stdout.write(f"{label}:\n")
            if str(name) in _ROWS:
                _print_rows(_ROWS[str(name)], value, indent + "  ")
                continue
            for row in value:
                sys.stdout.write(f"{indent}  - {_cell('', row)}\n")
        elif isinstance(value, str) and "\n" in value:
            sys.stdout.write(f"{label}:\n{_shown(value.rstrip())}\n")
        else:
            sys.stdout.write(f"{label.ljust(len(indent) + width)}  {_cell(name, value)}\n")
