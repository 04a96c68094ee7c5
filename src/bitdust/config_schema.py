"""What a setting is: its kind, its default, and how its text form is read and written.

Pure: text and JSON values in, typed values out. Files are ``bitdust.config``'s concern, the table
of all settings is in ``bitdust.config_keys``.

Sizes count in powers of 1024 whatever the spelling, as BitDust has always counted: ``8 GB``,
``8 GiB`` and ``8589934592`` are the same size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Protocol

from bitdust.errors import InvalidSetting

Value = bool | int | float | str | tuple[str, ...]
"""A setting's typed value: bytes for sizes, seconds for durations."""

MAX_TEXT = 64 * 1024
"""Characters of the longest value of a setting."""
MAX_INT = 2**53
MAX_ITEMS = 1000

TRUE_WORDS = frozenset({"1", "true", "yes", "on", "ok"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})

_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*([a-z]{0,6})", re.ASCII)
_SIZE_UNITS: Mapping[str, int] = {
    unit: 1024**power
    for power, units in enumerate(
        (
            ("", "b", "byte", "bytes"),
            ("k", "kb", "kib"),
            ("m", "mb", "mib"),
            ("g", "gb", "gib"),
            ("t", "tb", "tib"),
            ("p", "pb", "pib"),
        )
    )
    for unit in units
}
_SIZE_NAMES = ("bytes", "KB", "MB", "GB", "TB", "PB")
_DURATION_UNITS: Mapping[str, int] = {
    unit: seconds
    for units, seconds in (
        (("", "s", "sec", "second", "seconds"), 1),
        (("m", "min", "minute", "minutes"), 60),
        (("h", "hour", "hours"), 3600),
        (("d", "day", "days"), 86400),
    )
    for unit in units
}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]{0,7})", re.ASCII)


def parse_size(text: str) -> int:
    """Read a size in bytes: ``8 GB``, ``128 MiB``, ``1.5g`` or plain ``8589934592``.

    Raises:
        InvalidSetting: not a number with a known unit.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SIZE_UNITS:
        raise InvalidSetting(
            f"{text[:40]!r} is not a size", hint="write a number and a unit, such as 8 GB or 512 MB"
        )
    return int(Decimal(match[1]) * _SIZE_UNITS[match[2]])


def format_size(size: int) -> str:
    """A size in the largest unit that divides it: ``8589934592`` gives ``8 GB``.

    ``parse_size`` gives back the same number.
    """
    power = 0
    while size and size % 1024 == 0 and power < len(_SIZE_NAMES) - 1:
        size //= 1024
        power += 1
    return f"{size} {_SIZE_NAMES[power]}"


def parse_duration(text: str) -> float:
    """Read a time span in seconds: ``90``, ``90 s``, ``1.5 h``, ``7 days``.

    Raises:
        InvalidSetting: not a number with a known unit.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _DURATION_UNITS:
        raise InvalidSetting(
            f"{text[:40]!r} is not a time span", hint="write a number and s, min, h or days"
        )
    return float(Decimal(match[1]) * _DURATION_UNITS[match[2]])


def format_duration(seconds: float) -> str:
    """A time span in the largest unit that divides it: ``7200.0`` gives ``2 h``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s" if seconds == int(seconds) else f"{Decimal(repr(seconds)):f} s"


class Kind(Protocol):
    """The type of a setting: how its values are read, checked, shown and written."""

    @property
    def label(self) -> str:
        """The type's name in the API and the documentation."""
        ...

    def take(self, raw: object) -> Value:
        """A typed value from text or from a JSON value.

        Raises:
            InvalidSetting: of another type or out of range.
        """
        ...

    def text(self, value: Value) -> str:
        """The form that stands in the file; ``take`` reads it back."""
        ...

    def show(self, value: Value) -> Any:
        """The form that the API answers."""
        ...

    def limits(self) -> dict[str, Any]:
        """What else an option's description says: ``min``, ``max``, ``possible_values``."""
        ...


def _as_text(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise InvalidSetting(f"a value of type {type(raw).__name__} does not fit")
    if isinstance(raw, int) and abs(raw) > MAX_INT:
        raise InvalidSetting("the number is too large")
    return str(raw).strip()


class _Plain:
    """What most kinds have in common: written with ``str``, shown as they are, no limits."""

    def text(self, value: Value) -> str:
        return str(value)

    def show(self, value: Value) -> Any:
        return value

    def limits(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Bool(_Plain):
    """On or off: ``true`` or ``false`` in the file."""

    label: str = "boolean"

    def take(self, raw: object) -> Value:
        if isinstance(raw, bool):
            return raw
        word = _as_text(raw).lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise InvalidSetting(f"{word[:40]!r} is neither true nor false")

    def text(self, value: Value) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Int(_Plain):
    """A whole number between ``low`` and ``high``, both included."""

    low: int = 0
    high: int = MAX_INT
    label: str = "integer"

    def take(self, raw: object) -> Value:
        text = _as_text(raw)
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            raise InvalidSetting(f"{text[:40]!r} is not a whole number")
        number = int(text)
        if not self.low <= number <= self.high:
            raise InvalidSetting(f"{number} is not between {self.low} and {self.high}")
        return number

    def limits(self) -> dict[str, Any]:
        limits = {"min": self.low}
        return limits if self.high == MAX_INT else limits | {"max": self.high}


def Port() -> Int:
    """A TCP or UDP port, 1 to 65535."""
    return Int(1, 65535, "port number")


@dataclass(frozen=True)
class Float(_Plain):
    """A finite number above zero."""

    label: str = "non zero positive floating point"

    def take(self, raw: object) -> Value:
        text = _as_text(raw)
        if not re.fullmatch(r"\d{1,18}(\.\d{1,18})?", text, re.ASCII) or float(text) <= 0:
            raise InvalidSetting(f"{text[:40]!r} is not a number above zero")
        return float(text)


@dataclass(frozen=True)
class Size(_Plain):
    """An amount of bytes, written with a unit."""

    low: int = 0
    high: int = MAX_INT
    label: str = "disk space"

    def take(self, raw: object) -> Value:
        size = parse_size(_as_text(raw))
        if not self.low <= size <= self.high:
            raise InvalidSetting(
                f"{format_size(size)} is not between {format_size(self.low)} and "
                f"{format_size(self.high)}"
            )
        return size

    def text(self, value: Value) -> str:
        return format_size(int(value)) if isinstance(value, int | float) else str(value)

    def show(self, value: Value) -> Any:
        return self.text(value)

    def limits(self) -> dict[str, Any]:
        return {"min": format_size(self.low), "max": format_size(self.high)}


@dataclass(frozen=True)
class Duration(_Plain):
    """A time span in seconds, written with a unit."""

    low: float = 0.0
    high: float = 366 * 86400.0
    label: str = "duration"

    def take(self, raw: object) -> Value:
        seconds = parse_duration(_as_text(raw))
        if not self.low <= seconds <= self.high:
            raise InvalidSetting(
                f"{format_duration(seconds)} is not between {format_duration(self.low)} and "
                f"{format_duration(self.high)}"
            )
        return seconds

    def text(self, value: Value) -> str:
        return format_duration(float(value)) if isinstance(value, int | float) else str(value)

    def show(self, value: Value) -> Any:
        return self.text(value)

    def limits(self) -> dict[str, Any]:
        return {"min": format_duration(self.low), "max": format_duration(self.high)}


@dataclass(frozen=True)
class Choice(_Plain):
    """One of a few whole numbers."""

    values: tuple[int, ...]
    label: str = "selection"

    def take(self, raw: object) -> Value:
        text = _as_text(raw)
        for value in self.values:
            if text == str(value):
                return value
        names = ", ".join(map(str, self.values))
        raise InvalidSetting(f"{text[:40]!r} is not one of {names}")

    def limits(self) -> dict[str, Any]:
        return {"possible_values": list(self.values)}


@dataclass(frozen=True)
class Words(_Plain):
    """One of a few words."""

    values: tuple[str, ...]
    label: str = "selection"

    def take(self, raw: object) -> Value:
        text = _as_text(raw).strip().lower()
        if text in self.values:
            return text
        raise InvalidSetting(f"{text[:40]!r} is not one of {', '.join(self.values)}")

    def limits(self) -> dict[str, Any]:
        return {"possible_values": list(self.values)}


@dataclass(frozen=True)
class String(_Plain):
    """One line of text."""

    label: str = "string"

    def take(self, raw: object) -> Value:
        text = _as_text(raw)
        if len(text) > MAX_TEXT:
            raise InvalidSetting(f"the value is longer than {MAX_TEXT} characters")
        if "\x00" in text or (self.label != "text" and ("\n" in text or "\r" in text)):
            raise InvalidSetting("the value holds a line break or a NUL character")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidSetting("the value is not valid Unicode") from None
        return text


def Text() -> String:
    """Text of several lines."""
    return String("text")


@dataclass(frozen=True)
class Password(String):
    """A secret: stored for its owner, never shown."""

    label: str = "password"

    def show(self, value: Value) -> Any:
        return "********" if value else ""


@dataclass(frozen=True)
class Items(_Plain):
    """Words separated by commas or white space, or a JSON array of them."""

    label: str = "list"

    def take(self, raw: object) -> Value:
        if isinstance(raw, list | tuple):
            if not all(isinstance(item, str) for item in raw):
                raise InvalidSetting("a list may hold text only")
            raw = ",".join(raw)
        joined = String("text").take(raw)
        words = tuple(word for word in re.split(r"[\s,]+", str(joined)) if word)
        if len(words) > MAX_ITEMS:
            raise InvalidSetting(f"the list has more than {MAX_ITEMS} entries")
        return words

    def text(self, value: Value) -> str:
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    def show(self, value: Value) -> Any:
        return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Folder(String):
    """An absolute path of a folder, or nothing for the default place."""

    label: str = "folder path"

    def take(self, raw: object) -> Value:
        text = str(super().take(raw))
        if text and not PurePath(text).is_absolute():
            raise InvalidSetting(f"{text[:120]!r} is not an absolute path")
        return text


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting.

    Args:
        key: path of its file below ``config/``.
        kind: its type.
        default: the typed value when there is no file.
        info: what it does, for people.
        effective: False when this version only keeps the value, for other programs and versions.
    """

    key: str
    kind: Kind
    default: Value
    info: str = ""
    effective: bool = True

    @property
    def label(self) -> str:
        """A short title, made from the last parts of the key."""
        branch, _, last = self.key.rpartition("/")
        words = f"{branch.rpartition('/')[2]} enabled" if last == "enabled" else last
        return words.replace("-", " ")

    def take(self, raw: object) -> Value:
        """A typed value from text or JSON.

        Raises:
            InvalidSetting: does not fit; the message names the key.
        """
        try:
            return self.kind.take(raw)
        except InvalidSetting as exc:
            raise InvalidSetting(f"{self.key}: {exc.message}", hint=exc.hint) from None

    def view(self, value: Value) -> dict[str, Any]:
        """The option as the API shows it."""
        info = self.info
        if not self.effective:
            info = f"{info} (without effect in this version, the value is kept)".lstrip()
        return {
            "key": self.key,
            "label": self.label,
            "type": self.kind.label,
            "value": self.kind.show(value),
            "default": self.kind.show(self.default),
            "readonly": False,
            "info": info,
            "effective": self.effective,
            **self.kind.limits(),
        }
