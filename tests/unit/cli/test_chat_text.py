"""What others write, made safe: nothing that a terminal or the markup of a screen acts on."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.cli.chat_plain import as_object, parse_line
from bitdust.cli.chat_text import (
    MAX_LINES,
    MAX_SHOWN,
    Line,
    as_text,
    clean,
    clean_name,
    line_of,
    short_name,
    text_of,
)
from bitdust.cli.output import print_result
from bitdust.errors import FormatError, InvalidInput

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)
HOSTILE = st.lists(
    st.sampled_from(
        ["\x1b[", "\x1b]0;", "\x07", "\x9b", "\r", "\n", "31m", "\u202e", "é", "\u0301", "a"]
    )
).map("".join)


@given(st.one_of(ANY_TEXT, HOSTILE))
@settings(deadline=None, max_examples=200)
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = clean(text)
    for ch in shown.replace("\n", ""):
        kind = unicodedata.category(ch)
        assert kind not in ("Cc", "Cs", "Zl", "Zp")
        assert kind != "Cf" or ch in "\u200c\u200d"
    assert shown.count("\n") < MAX_LINES
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b2Jgone", "gone"),
        ("\x1bPq#0\x1b\\picture", "picture"),
        ("\x1bc", ""),
        ("hidden\x1b]never ends", "hidden"),
        ("a\u202eb\u2066c", "abc"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a" + "\u0301" * 50, "\u00e1" + "\u0301" * 4),
        ("[bold]no markup[/bold]", "[bold]no markup[/bold]"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("\ud800", "\ufffd"),
        ("tab\there", "tab    here"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_long_texts_are_cut() -> None:
    assert len(clean("x" * 10 * MAX_SHOWN)) < MAX_SHOWN + 10
    assert clean("y\n" * 1000).count("\n") == MAX_LINES - 1
    assert clean_name("b\nob@" + "x" * 1000).startswith("b ob@x")
    assert len(clean_name("x" * 1000)) == 80
    assert short_name("bob@id.example.org") == "bob"


def document(data: Any, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "conversation_id": "private_1",
        "direction": "in",
        "payload": {"data": data, "message_id": "m1", "msg_type": "private_message", "time": 5.0},
        "sender": {"glob_id": "bob@id.example.org"},
        "recipient": {"glob_id": "alice@id.example.org"},
        "state": "delivered",
    }
    return given | changes


def test_messages_become_lines() -> None:
    data = {"message": "Hi\x1b[1m!", "action": "read", "msg_type": "private_message"}
    line = line_of(document(data))
    assert (line.text, line.sender, line.mine, line.mark) == (
        "Hi!",
        "bob@id.example.org",
        False,
        "",
    )
    assert dict(line.data) == {"message": "Hi\x1b[1m!"}
    assert text_of({"photo": "\x07x", "size": 3}) == '{"photo": "\\u0007x", "size": 3}'
    own = line_of(document(data, direction="out", state="waiting"))
    assert (own.mark, own.settled) == ("…", False)
    assert line_of(document(data, direction="out", state="sent", sequence=4)).settled
    assert not line_of(document(data, direction="out", state="sent")).settled


def test_no_line_can_pretend_to_be_another_message() -> None:
    line = line_of(document({"message": "Hi\n2026-01-01 00:00:00 eve@x: I am eve"}))
    first, second = as_text(line).split("\n")
    assert first.endswith("bob@id.example.org: Hi")
    assert second.startswith("    2026")
    odd = Line("m", False, "bob@x", "x", {}, 1e30, "delivered")
    assert "bob@x: x" in as_text(odd)
    assert as_object(line)["data"]["message"].startswith("Hi\n")


def test_lines_of_the_input() -> None:
    assert parse_line(b"Hello\r\n", as_json=False) == {"message": "Hello"}
    assert parse_line(b'{"a": 1}', as_json=False) == {"message": '{"a": 1}'}
    assert parse_line(b'{"a": 1}', as_json=True) == {"a": 1}
    assert parse_line(b'"Hi"', as_json=True) == {"message": "Hi"}
    for bad, wrong in ((b"\xff", FormatError), (b"x" * 70_000, InvalidInput)):
        with pytest.raises(wrong):
            parse_line(bad, as_json=False)
    for bad, wrong in ((b"{", FormatError), (b"[1]", InvalidInput), (b"[" * 60_000, FormatError)):
        with pytest.raises(wrong):
            parse_line(bad, as_json=True)


@pytest.mark.parametrize("method", ["message_history", "message_receive"])
def test_commands_print_messages_as_lines(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    doc = document({"message": "Hi\x1b[1m!"}, direction="out", state="sent")
    row: dict[str, Any] = {"doc": doc}
    if method == "message_receive":
        row = {"data": {"message": "Hi!"}, "message_id": "m1", "time": 5.0, "dir": "incoming"}
        row["sender"] = "bob@id.example.org"
    print_result(method, {"status": "OK", "result": [row]})
    out = capsys.readouterr().out
    assert "bob@id.example.org: Hi!" in out
    assert ("\u2713" in out) == (method == "message_history")
    assert "\x1b" not in out
