"""Kinds of settings: what they take, refuse, write and show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitdust.config_keys import all_settings
from bitdust.config_schema import (
    Bool,
    Choice,
    Duration,
    Folder,
    Int,
    Items,
    Password,
    Port,
    Size,
    String,
    Text,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from bitdust.errors import InvalidSetting


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8 GB", 8589934592),
        ("8589934592", 8589934592),
        ("128 MiB", 134217728),
        ("1.5g", 1610612736),
        ("0", 0),
        ("  2 kb ", 2048),
        ("7 bytes", 7),
        ("0.5 B", 0),
        ("3 TiB", 3 * 1024**4),
    ],
)
def test_sizes_are_read_with_any_spelling_of_the_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-1", "1 XB", "8,5 GB", "1e9", "١", "9" * 21, "1 GB 2 MB", "0x10", "nan"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        parse_size(text)


@given(st.integers(0, 2**60))
def test_a_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**9).map(lambda ms: ms / 1000))
def test_a_duration_survives_being_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.text(max_size=40))
def test_arbitrary_text_is_a_size_or_the_documented_error(text: str) -> None:
    try:
        size = parse_size(text)
    except InvalidSetting:
        size = 0
    assert size >= 0


@given(
    st.one_of(st.none(), st.binary(), st.text(), st.integers(), st.floats(), st.lists(st.text()))
)
def test_any_value_for_any_kind_is_taken_or_refused_by_the_name_of_the_key(raw: object) -> None:
    for setting in SAMPLE:
        value, message = setting.default, f"{setting.key}: "
        try:
            value = setting.take(raw)
        except InvalidSetting as exc:
            message = exc.message
        assert message.startswith(f"{setting.key}: ")
        assert setting.take(setting.kind.text(value)) == value


SAMPLE = list({setting.kind: setting for setting in all_settings().values()}.values())


def test_every_default_survives_its_file_form() -> None:
    for setting in all_settings().values():
        assert setting.take(setting.kind.text(setting.default)) == setting.default, setting.key


@pytest.mark.parametrize("raw", [True, 1, "1", "true", "YES", "on", "ok"])
def test_true_words(raw: object) -> None:
    assert Bool().take(raw) is True


@pytest.mark.parametrize("raw", [False, 0, "0", "false", "No", "off", ""])
def test_false_words(raw: object) -> None:
    assert Bool().take(raw) is False


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Bool(), "maybe"),
        (Bool(), 2),
        (Bool(), [True]),
        (Int(1), 0),
        (Int(0, 5), 6),
        (Int(), "1.5"),
        (Int(), True),
        (Int(), "9" * 5000),
        (Port(), 0),
        (Port(), 65536),
        (Choice((2, 4)), 3),
        (Choice((2, 4)), "04"),
        (Size(1024), "1 KB x"),
        (Size(1024), 1023),
        (Size(0, 10), "11"),
        (Duration(1.0), "0.5"),
        (Duration(), "1 fortnight"),
        (String(), "two\nlines"),
        (String(), "nul\x00"),
        (String(), "\ud800"),
        (String(), "x" * 70000),
        (String(), {"a": 1}),
        (Folder(), "relative/folder"),
        (Items(), ["a", 1]),
        (Items(), ["x"] * 1001),
    ],
)
def test_what_does_not_fit_is_refused(kind: Bool, raw: object) -> None:
    with pytest.raises(InvalidSetting):
        kind.take(raw)


def test_typed_values() -> None:
    assert Choice((2, 4)).take("4") == 4
    assert Items().take("a:1, b:2\nc:3") == ("a:1", "b:2", "c:3")
    assert Items().take(["a:1", "b:2"]) == ("a:1", "b:2")
    assert Items().show(("a", "b")) == ["a", "b"]
    assert Duration().take("2 h") == 7200.0
    assert Text().take("two\nlines") == "two\nlines"
    assert Folder().take("/srv/data") == "/srv/data"
    assert Size().show(Size().take(8589934592)) == "8 GB"


def test_a_password_is_never_shown() -> None:
    assert Password().show("hunter2") == "********"
    assert Password().text("hunter2") == "hunter2"
    assert Password().show("") == ""
