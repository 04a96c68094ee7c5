"""The settings of one home folder: one file per setting below ``config/``.

The path is the key and the file holds the value as text, so ``config/services/supplier/
donated-space`` may hold ``8 GB``. A setting without a file has its default. Files are read once,
when first asked for; ``set`` checks, writes and then tells whoever watches that key. A file that
cannot be read as its type is never overwritten: it is reported with what to do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bitdust.config_keys import all_settings
from bitdust.config_schema import MAX_TEXT, Setting, Value
from bitdust.errors import DamagedSettings, InvalidSetting, LocalFileError

HOME_VARIABLE = "BITDUST_HOME"
Watcher = Callable[[str, Value], None]


def default_home() -> Path:
    """The home folder when none is named: ``$BITDUST_HOME``, else ``~/.bitdust``."""
    named = os.environ.get(HOME_VARIABLE, "")
    return Path(named).absolute() if named else Path.home() / ".bitdust"


@dataclass(frozen=True, slots=True)
class Change:
    """A value that was checked for a key and may be written."""

    setting: Setting
    value: Value


class Settings:
    """Typed settings of one home folder, with or without a running daemon.

    Args:
        home: the home folder; the files are below ``home/config``, which need not exist yet.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "config"
        self._declared: Mapping[str, Setting] = MappingProxyType(all_settings())
        self._values: dict[str, Value] = {}
        self._watchers: dict[str, list[Watcher]] = {}
        self._lock = threading.RLock()

    def keys(self) -> list[str]:
        """All keys, in alphabetical order."""
        return list(self._declared)

    def declaration(self, key: str) -> Setting:
        """What is declared for ``key``.

        Raises:
            InvalidSetting: no such key; the hint names the nearest ones.
        """
        setting = self._declared.get(key.strip("/"))
        if setting is None:
            raise InvalidSetting(f"option {key[:200]!r} does not exist", hint=self._nearest(key))
        return setting

    def _nearest(self, key: str) -> str:
        from difflib import get_close_matches

        key = key[:200].strip("/")
        near = get_close_matches(key, self._declared, n=3, cutoff=0.6)
        last = key.rpartition("/")[2]
        near += [name for name in self._declared if last and name.endswith("/" + last)]
        if near:
            return "did you mean " + ", ".join(dict.fromkeys(near[:3])) + "?"
        return "list all settings with `bitdust config list`"

    def check(self) -> None:
        """Read every setting that has a file.

        Raises:
            DamagedSettings: a file does not hold a value of its setting's type.
        """
        for key in self._declared:
            self.get(key)

    def get(self, key: str) -> Value:
        """The typed value of ``key``: bytes for sizes, seconds for durations.

        Raises:
            InvalidSetting: no such key.
            DamagedSettings: its file does not hold a value of its type.
        """
        setting = self.declaration(key)
        with self._lock:
            if setting.key not in self._values:
                self._values[setting.key] = self._read(setting)
            return self._values[setting.key]

    def _path(self, setting: Setting) -> Path:
        return self.folder.joinpath(*setting.key.split("/"))

    def _read(self, setting: Setting) -> Value:
        path = self._path(setting)
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_TEXT + 1)
        except (FileNotFoundError, NotADirectoryError):
            return setting.default
        except OSError as exc:
            raise self._damaged(setting, exc.strerror or "it cannot be read") from exc
        if len(raw) > MAX_TEXT:
            raise self._damaged(setting, f"it is longer than {MAX_TEXT} bytes")
        try:
            return setting.take(raw.decode("utf-8"))
        except UnicodeDecodeError:
            raise self._damaged(setting, "it is not UTF-8 text") from None
        except InvalidSetting as exc:
            raise self._damaged(setting, exc.message) from None

    def _damaged(self, setting: Setting, reason: str) -> DamagedSettings:
        default = setting.kind.text(setting.default)
        return DamagedSettings(
            f"the settings file {self._path(setting)} is damaged: {reason}",
            hint=f"correct the file, or remove it to return to the default ({default or 'empty'})",
        )

    def get_bool(self, key: str) -> bool:
        """The value of a boolean setting."""
        return bool(self.get(key))

    def get_int(self, key: str) -> int:
        """The value of a number, port, choice or size setting; sizes in bytes."""
        value = self.get(key)
        if isinstance(value, int):
            return value
        raise InvalidSetting(f"{key} is not a whole number")

    def get_float(self, key: str) -> float:
        """The value of a number or duration setting; durations in seconds."""
        value = self.get(key)
        if isinstance(value, int | float):
            return float(value)
        raise InvalidSetting(f"{key} is not a number")

    def get_str(self, key: str) -> str:
        """The value of a text setting."""
        return str(self.get(key))

    def get_items(self, key: str) -> tuple[str, ...]:
        """The value of a list setting."""
        value = self.get(key)
        if isinstance(value, tuple):
            return value
        raise InvalidSetting(f"{key} is not a list")

    def get_path(self, key: str) -> Path | None:
        """The value of a folder setting, None when it is empty."""
        value = self.get_str(key)
        return Path(value) if value else None

    # --- changing --------------------------------------------------------------------------------

    def prepare(self, key: str, raw: object) -> Change:
        """Check a new value given as text or JSON, without writing it.

        Raises:
            InvalidSetting: no such key, or the value is of another type or out of range.
            DamagedSettings: the present file is damaged; it is not overwritten.
        """
        setting = self.declaration(key)
        self.get(key)
        return Change(setting, setting.take(raw))

    def write(self, change: Change) -> Value:
        """Store a checked value so that it survives a crash; blocks on the disk.

        Returns:
            The value before.

        Raises:
            LocalFileError: the file cannot be written.
        """
        path = self._path(change.setting)
        with self._lock:
            old = self.get(change.setting.key)
            try:
                _write_text(path, change.setting.kind.text(change.value) + "\n")
            except OSError as exc:
                raise LocalFileError(
                    f"cannot write the settings file {path}: {exc.strerror}",
                    hint="check the permissions and the free space of the home folder",
                ) from exc
            self._values[change.setting.key] = change.value
        return old

    def notify(self, change: Change) -> None:
        """Tell those who watch the key; to be called from the thread they live in."""
        for watcher in list(self._watchers.get(change.setting.key, ())):
            watcher(change.setting.key, change.value)

    def set(self, key: str, raw: object) -> Value:
        """Check, write and announce a new value.

        Returns:
            The value before.

        Raises:
            InvalidSetting: no such key, or the value is of another type or out of range.
            DamagedSettings: the present file is damaged; it is not overwritten.
            LocalFileError: the file cannot be written.
        """
        change = self.prepare(key, raw)
        old = self.write(change)
        self.notify(change)
        return old

    def watch(self, key: str, watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher(key, value)`` after every change of ``key``.

        Returns:
            A function that ends the watching.
        """
        watchers = self._watchers.setdefault(self.declaration(key).key, [])
        watchers.append(watcher)

        def unwatch() -> None:
            if watcher in watchers:
                watchers.remove(watcher)

        return unwatch

    # --- as the API shows them -------------------------------------------------------------------

    def view(self, key: str) -> dict[str, Any]:
        """One option: key, label, type, value, default, readonly, info and its limits."""
        setting = self.declaration(key)
        return setting.view(self.get(setting.key))

    def views(self) -> list[dict[str, Any]]:
        """All options, in alphabetical order of their keys."""
        return [self.view(key) for key in self._declared]

    def branch(self, key: str) -> list[dict[str, Any]]:
        """What is directly below a branch: options, and ``{"key", "childs"}`` for branches.

        Raises:
            InvalidSetting: no such branch.
        """
        prefix = key.strip("/") + "/" if key.strip("/") else ""
        children: dict[str, int] = {}
        for name in self._declared:
            if name.startswith(prefix):
                child = prefix + name[len(prefix) :].partition("/")[0]
                children[child] = children.get(child, 0) + 1
        if not children:
            self.declaration(key)
        return [
            self.view(child) if child in self._declared else {"key": child, "childs": count}
            for child, count in children.items()
        ]

    def is_branch(self, key: str) -> bool:
        """Whether ``key`` names a branch and not an option."""
        prefix = key.strip("/") + "/"
        return any(name.startswith(prefix) for name in self._declared)

    def tree(self) -> dict[str, Any]:
        """All options nested by the parts of their keys."""
        root: dict[str, Any] = {}
        for key in self._declared:
            *parents, last = key.split("/")
            node = root
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = self.view(key)
        return root


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner only."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    if not missing:
        folder.mkdir(exist_ok=True)  # says so when it is a file


def _write_text(path: Path, text: str) -> None:
    """Replace a file in one step: temporary file, fsync, rename, fsync of the folder."""
    make_private(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
