"""Docstrings of operations taken apart, for help texts and the reference."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from inspect import cleandoc

_SECTION = re.compile(r"(Args|Returns|Raises|Source):\s*(.*)")
_ENTRY = re.compile(r"(\w+): (.*)")


@dataclass(frozen=True, slots=True)
class Description:
    """What a docstring says.

    Args:
        summary: its first paragraph, on one line.
        details: the paragraphs after it.
        parameters: what each parameter means.
        returns: the result in words.
        raises: the error classes and when they come.
        source: the document the operation comes from.
    """

    summary: str
    details: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: dict[str, str] = field(default_factory=dict)
    source: str = ""


def parse_docstring(text: str) -> Description:
    """Take a docstring with ``Args``, ``Returns``, ``Raises`` and ``Source`` sections apart."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in cleandoc(text).splitlines():
        match = _SECTION.match(line)
        if match:
            current = match[1]
            sections[current] = [match[2]] if match[2] else []
        else:
            sections[current].append(line.strip() if current else line)
    summary, _, details = "\n".join(sections[""]).strip().partition("\n\n")
    return Description(
        summary=" ".join(summary.split()),
        details=details.strip(),
        parameters=_entries(sections.get("Args", [])),
        returns=" ".join(" ".join(sections.get("Returns", [])).split()),
        raises=_entries(sections.get("Raises", [])),
        source=" ".join(" ".join(sections.get("Source", [])).split()),
    )


def _entries(lines: list[str]) -> dict[str, str]:
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        match = _ENTRY.match(line)
        if match:
            name = match[1]
            entries[name] = match[2].strip()
        elif name and line:
            entries[name] += " " + line
    return entries
