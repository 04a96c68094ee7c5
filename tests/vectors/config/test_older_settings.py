"""The 159 settings of the original: each is known, of a type that fits, and takes its values.

The vectors are facts: key, type, default and bounds as the original has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bitdust
from bitdust import config_keys
from bitdust.config import Settings
from bitdust.config_inherited import inherited_settings
from bitdust.config_keys import all_settings
from bitdust.config_schema import Setting, Value
from bitdust.errors import InvalidSetting
from bitdust.services import known_services

SETTINGS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "older_settings.json").read_text("ascii")
)
DECLARED: dict[str, Setting] = all_settings()
TYPES: dict[str, set[str]] = {
    "bool": {"boolean"},
    "int": {"integer", "selection"},
    "port": {"port number", "string"},
    "string": {"string", "list", "text"},
    "text": {"text", "list"},
    "password": {"password"},
    "disk space": {"disk space"},
    "folder path": {"folder path"},
    "selection": {"selection"},
    "non zero positive floating point": {"non zero positive floating point"},
}
OTHER_DEFAULTS: dict[str, str] = {
    "personal/private-key-size": "2048 bits are weak for a key that lasts for years",
    "services/backups/block-size": "fewer, larger blocks are faster here",
    "services/backups/max-copies": "nothing is deleted that nobody asked to delete",
    "services/customer/needed-space": "what does not fit is lost there and refused here",
    "services/customer/suppliers-number": "half of four may fail",
    "services/identity-propagate/min-servers": "one server does for a beginning",
}
"""Settings whose default differs, and why."""
NARROWER = {
    "personal/private-key-size": {0},
    "services/identity-propagate/health-check-interval-seconds": {0},
}
"""Values that the original takes and that could mean nothing here."""
NOT_READ_BY_NAME = frozenset({"enabled"})


def ids(row: dict[str, Any]) -> str:
    return str(row["key"])


def test_no_setting_is_declared_twice() -> None:
    declared = [
        setting.key
        for name, part in vars(config_keys).items()
        if name.startswith("_") and callable(part)
        for setting in part()
    ]
    declared += [setting.key for setting in inherited_settings()]
    assert sorted(declared) == sorted(DECLARED)


def test_the_table_is_complete() -> None:
    assert len(SETTINGS) == len({row["key"] for row in SETTINGS}) == 159


@pytest.mark.parametrize("row", SETTINGS, ids=ids)
def test_a_setting_is_known_and_takes_the_original_values(
    row: dict[str, Any], tmp_path: Path
) -> None:
    key = row["key"]
    declared = DECLARED[key]
    assert declared.kind.label in TYPES[row["type"]]
    settings = Settings(tmp_path)
    values: list[object] = [row["default"], *row.get("choices", ())]
    if row["type"] == "bool":
        values += ["true", "false", True, False]
    elif row["type"] == "port":
        values += [1, "65535"]
    elif "min" in row and row["min"] not in NARROWER.get(key, ()):
        values += [row["min"]]
    for value in values:
        settings.set(key, value)
        again = Settings(tmp_path)
        assert again.get(key) == settings.get(key), "what was written is read back"
    if "choices" in row:
        with pytest.raises(InvalidSetting, match=key):
            settings.set(key, 5)


@pytest.mark.parametrize("row", SETTINGS, ids=ids)
def test_defaults_are_the_original_ones_or_named(row: dict[str, Any], tmp_path: Path) -> None:
    declared = DECLARED[row["key"]]
    same = declared.take(row["default"]) == declared.default
    assert same != (row["key"] in OTHER_DEFAULTS), declared.default
    view = Settings(tmp_path).view(row["key"])
    assert view["default"] == declared.kind.show(declared.default)
    assert view["effective"] is declared.effective
    if not declared.effective:
        assert "without effect" in view["info"]
    else:
        assert view["info"], "what has an effect says which"


def test_what_switches_a_service_has_an_effect_and_nothing_else_of_the_kind() -> None:
    switches = {spec.config_path for spec in known_services().specs.values()}
    for key, setting in DECLARED.items():
        if key.startswith("services/") and key.endswith("/enabled"):
            assert setting.effective == (key in switches), key
    assert switches <= DECLARED.keys()


def test_what_has_an_effect_is_read_somewhere() -> None:
    source = Path(bitdust.__file__).parent
    text = "\n".join(
        path.read_text("utf-8")
        for path in source.rglob("*.py")
        if not path.name.startswith("config_") and path.name != "spellings.py"
    )
    for key, setting in DECLARED.items():
        name = key.rpartition("/")[2]
        if setting.effective and name not in NOT_READ_BY_NAME:
            assert f"/{name}" in text, f"{key} has no effect, and does not say so"


def test_what_has_no_effect_is_kept(tmp_path: Path) -> None:
    kept: list[tuple[str, Value]] = []
    settings = Settings(tmp_path)
    for key, setting in DECLARED.items():
        if not setting.effective and setting.kind.label == "integer":
            settings.set(key, 7)
            kept.append((key, 7))
    assert len(kept) > 10
    again = Settings(tmp_path)
    assert [(key, again.get(key)) for key, _ in kept] == kept
