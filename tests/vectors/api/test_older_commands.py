"""Every command line of the original that a script may hold, and what it asks of the node.

The vectors are facts: the words, and the calls that they must lead to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.registry import build_registry
from bitdust.cli import lifecycle
from bitdust.cli.local import LOCAL
from bitdust.cli.main import Root, run
from bitdust.cli.runner import Shell
from bitdust.cli.spellings import DEFAULTS, FALLBACKS, NICKNAMES, SYNONYMS
from bitdust.cli.tree import find_command
from bitdust.config import Settings

COMMANDS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "older_commands.json").read_text("ascii")
)
WITH_THEIR_SUBJECT = frozenset({"ping"})
"""Words whose operations are declared elsewhere."""
KEY = {
    "key_id": "master$alice@server-a.com",
    "private": "-----BEGIN",
    "idurl": "i",
    "global_id": "g",
}


class Recorder:
    """Answers every call, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def envelope(
        self, method: str, arguments: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        del timeout
        self.calls.append((method, dict(arguments)))
        result: Any = {**KEY, "value": 3072}
        if method == "services_list":
            result = [{"name": "service_a", "state": "ON", "reason": "", "depends": []}]
        return {"status": "OK", "result": result}

    def is_running(self) -> bool:
        return True


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(Shell, "client", lambda _self, _registry=None: recorder)
    return recorder


@pytest.mark.parametrize("row", COMMANDS, ids=[" ".join(row["words"]) for row in COMMANDS])
def test_the_words_lead_to_these_calls(
    row: dict[str, Any], recorder: Recorder, tmp_path: Path
) -> None:
    assert run(["--home", str(tmp_path), *row["words"]]) == 0
    assert recorder.calls == [(method, arguments) for method, arguments in row["calls"]]


@pytest.mark.parametrize("words", sorted({*SYNONYMS, *DEFAULTS.values()} - WITH_THEIR_SUBJECT))
def test_every_old_word_leads_to_a_command(words: str) -> None:
    assert find_command(Root().make_context("bitdust", ["version"]), words) is not None


def test_old_words_hide_no_command() -> None:
    declared = {entry.cli for entry in build_registry().operations.values() if entry.cli}
    assert not (declared | LOCAL.keys()) & SYNONYMS.keys()
    assert all(noun in {words.split(" ")[0] for words in declared} for noun in FALLBACKS)


def test_nicknames_name_settings(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    for key in NICKNAMES.values():
        assert settings.declaration(key).key == key


def test_identity_restore_takes_a_file_and_an_address(recorder: Recorder, tmp_path: Path) -> None:
    backup = tmp_path / "alice.key"
    backup.write_text("http://a.com/alice.xml\nKEY")
    words = ["identity", "restore", str(backup), "http://b.com/alice.xml"]
    assert run(["--home", str(tmp_path), *words]) == 0
    expected = {
        "private_key_source": "http://a.com/alice.xml\nKEY",
        "known_idurl": "http://b.com/alice.xml",
    }
    assert recorder.calls == [("identity_recover", expected)]


def test_a_key_goes_to_a_new_private_file(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "photos.key"
    words = ["--home", str(tmp_path), "key", "backup", "photos", str(file)]
    assert run(words) == 0
    assert file.read_text() == "master$alice@server-a.com\n-----BEGIN"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "BEGIN" not in capsys.readouterr().out
    assert run(words) != 0
    assert len(recorder.calls) == 1, "a file that is there is not even asked for"


def test_a_key_goes_to_the_clipboard(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    program = tools / "xclip"
    program.write_text(
        f'#!/bin/sh\n/bin/cat > {tmp_path}/clipboard; echo "$@" > {tmp_path}/words\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    assert run(["--home", str(tmp_path), "key", "copy"]) == 0
    assert (tmp_path / "clipboard").read_text() == "-----BEGIN"
    assert "BEGIN" not in (tmp_path / "words").read_text()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["--home", str(tmp_path), "key", "copy"]) != 0
    assert len(recorder.calls) == 1


def test_the_crontab_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table"
    table.write_text("0 * * * * date\n")
    program = tmp_path / "crontab"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -l ]; then /bin/cat {table}; else /bin/cat > {table}; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for _ in range(2):
        assert run(["--home", str(tmp_path / "home"), "install", "crontab"]) == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "0 * * * * date"
    assert [line for line in lines if line.startswith("@reboot ")] == [lines[-1]]
    assert lines[-1].endswith(f"--home {tmp_path / 'home'} daemon")
    assert len(lines) == 3


def test_the_command_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["--home", str(tmp_path / "home"), "install", "shell"]
    assert run(words) == run(words) == 0
    file = tmp_path / ".local" / "bin" / "bitdust"
    assert file.read_text().startswith("#!/bin/sh\nexec ")
    file.write_text("something else")
    assert run(words) != 0
    assert file.read_text() == "something else"


def test_flags_reach_a_started_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []

    def launch(shell: Shell, *, foreground: bool) -> int:
        flags = shell.flags
        started.append((foreground, flags.debug, flags.no_logs, flags.output, flags.quiet))
        return 17

    monkeypatch.setattr(lifecycle, "launch", launch)
    log = tmp_path / "node.log"
    home = ["--home", str(tmp_path)]
    for words in ("start", "go", "run"):
        assert run([*home, "-d", "4", "-n", words]) == 0
    assert run([*home, "-q", "-o", str(log), "detach"]) == 0
    assert run([*home, "daemon", "-d", "12"]) == 0
    assert run([*home, "--twisted", "-d", "1"]) == 0, "the node is started where nothing is said"
    assert started == [
        *[(True, 4, True, None, False)] * 3,
        (False, None, False, log, True),
        (False, 12, False, None, False),
        (True, 1, False, None, False),
    ]


def test_without_a_home_the_command_explains_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path / "none")]) == 2
    assert "Usage: bitdust" in capsys.readouterr().out


def test_quiet_and_verbose(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "-q", "file", "sync"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["--home", str(tmp_path), "-v", "set", "debug", "3"]) == 0
    assert "calling config_set(key, value)" in capsys.readouterr().err
    assert recorder.calls
