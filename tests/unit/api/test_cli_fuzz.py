"""Whatever stands on the command line: a clear answer and a documented exit code, never a crash."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitdust.api.envelope import error_classes
from bitdust.cli import lifecycle
from bitdust.cli.local import LOCAL, Deferred
from bitdust.cli.main import Root, run
from bitdust.cli.runner import Shell
from bitdust.cli.spellings import SYNONYMS
from bitdust.cli.tree import NOUNS, find_command, nouns
from bitdust.errors import NotInCatalog

BEGINS_MUCH = frozenset({"demo", "demo-people", "testnet", "dhtseed"})
"""They start networks; only what they refuse is tried."""
CODES = {0, 1, 2, 130} | {kind.exit_code for kind in error_classes().values()}


def commands() -> list[str]:
    """The words of every command, old ones included."""
    context = Root().make_context("bitdust", ["version"])
    found: list[str] = []
    pending = [(name, find_command(context, name)) for name in Root().list_commands(context)]
    while pending:
        words, command = pending.pop()
        assert command is not None, words
        if isinstance(command, Deferred) and words not in BEGINS_MUCH:
            command = command.real
        if isinstance(command, click.Group):
            pending += [
                (f"{words} {name}", command.get_command(context, name))
                for name in command.list_commands(context)
            ]
        found.append(words)
    return sorted({*found, *(words for words in SYNONYMS if find_command(context, words))})


COMMANDS = commands()
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=30)
ODD = st.sampled_from(
    [
        *("", " ", "-", "--", "---", "=", ":=", "a=", "=b", "a=b", "a:=b", "a:=1", "key=1"),
        *("-1", "0", "1", "1e999", "99999999999999999999999", "true", "False", "null"),
        *("{", "[", '"', "{}", "[" * 3000, '{"a": ' * 100, '"\\ud800"'),
        *("x" * 200_000, "\x1b[31m", "\r\n", "\udcff\udc80", "..", "/", "/etc/passwd", "~"),
        *("--json", "-h", "--help", "--no-such-option", "-z", "-d", "-o", "-vq", "--home", "-n"),
        *(
            "http://",
            "http://a.com/b.xml",
            "a@b_80",
            "master$a@b:c",
            "0/1",
            "0/1/F20160424013912PM",
        ),
        *("--wait", "--position", "--value", "--key-size", "--include-private", "--index"),
    ]
)
WORDS = st.lists(TEXT | ODD, max_size=5)
LINES = st.one_of(
    st.tuples(st.sampled_from(COMMANDS), WORDS).map(lambda line: [*line[0].split(" "), *line[1]]),
    WORDS,
)


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node: Any) -> None:
    """Nothing that is tried starts a node, waits for ever or writes outside of the test."""

    async def listen(_consumer: str, _timeout: float) -> list[Any]:
        return []

    def launch(shell: Shell, *, foreground: bool) -> int:
        del shell, foreground
        return 1

    def at_once(*_: object) -> None:
        return None

    monkeypatch.setattr(lifecycle, "launch", launch)
    monkeypatch.setattr(lifecycle, "await_end", at_once)
    monkeypatch.setattr(lifecycle, "_await_restart", at_once)
    monkeypatch.setattr(node.consumers, "listen", listen)
    # what a command reads piece by piece has a shape that the fake's answers have not
    node.storage.answers["file_read"] = NotInCatalog("no such item")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BITDUST_PASSPHRASE_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


def attempt(home: Path, words: list[str]) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    if words and words[0] in BEGINS_MUCH:
        words = [words[0], "--no-such-option", *words[1:]]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["--home", str(home), *words])
    err.flush()
    told = err.buffer.getvalue().decode()
    assert code in CODES, (words, code)
    assert "Traceback" not in told, words
    assert "\x1b" not in told, "no text from outside may reach the terminal as it is"
    assert "internal error in the command" not in told, (words, told)
    if code not in (0, 2) and "doctor" not in words:
        assert told.startswith("error: ") or "\nerror: " in told, (words, told)


async def test_no_words_crash_the_command_line(http: Any, node: Any, harmless: None) -> None:
    del http, harmless

    @given(LINES)
    @settings(
        deadline=None,
        max_examples=400,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def try_them(words: list[str]) -> None:
        attempt(node.home, words)

    await asyncio.get_running_loop().run_in_executor(None, try_them)


async def test_every_command_refuses_nonsense(http: Any, node: Any, harmless: None) -> None:
    """Every one of them, since chance may pass one over."""
    del http, harmless

    def try_all() -> None:
        chance = random.Random(4)
        for words in COMMANDS:
            for extra in (
                [],
                ["--no-such-option"],
                ["\udcff\x1b[2J", "{", "-1"],
                [chance.choice(["99999999999999999999", "x" * 100_000]) for _ in range(6)],
            ):
                attempt(node.home, [*words.split(" "), *extra])

    await asyncio.get_running_loop().run_in_executor(None, try_all)


def test_every_command_explains_itself(tmp_path: Path) -> None:
    for words in COMMANDS:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run(["--home", str(tmp_path), *words.split(" "), "--help"]) == 0, words
        assert "Usage: bitdust" in out.getvalue(), words


def test_the_table_of_local_commands_names_what_is_there() -> None:
    for words, command in LOCAL.items():
        real = command.real if isinstance(command, Deferred) else command
        assert real.get_short_help_str() or real.help, words


@pytest.mark.parametrize(
    "words",
    [
        [b"file", b"info", b"\xff\xfe"],
        [b"\xff"],
        [b"api", b"config_get", b"key=\xc3("],
        [b"set", b"debug", b"1" * 5000],
        [b"identity", b"recover", b"/nowhere/\xff"],
        [b"passphrase"],
        [b"key", b"backup", b"x", b"/proc/\xff"],
        [b"dht", b"value", b"set", b"k", b"[" * 50_000],
    ],
)
def test_bytes_that_are_no_text(words: list[bytes], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from bitdust.cli.main import main; main()", *words],
        env={**os.environ, "BITDUST_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in CODES - {0, 1}
    assert ended.stderr.startswith(b"error: ")
    assert b"Traceback" not in ended.stderr


def test_every_group_says_what_it_is_about() -> None:
    context = Root().make_context("bitdust", ["version"])
    for noun in nouns(context):
        assert noun in NOUNS, f"{noun}: say in NOUNS of cli/tree.py what it is about"
