"""The reference pages are fresh, and what they show works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.parameters import Context
from bitdust.api.reference import command_line, example, main, stale_pages, write_pages
from bitdust.api.registry import Registry
from bitdust.cli.main import run
from bitdust.cli.runner import Shell
from bitdust.ids import GlobalID

PAGES = Path(__file__).resolve().parents[3] / "docs" / "api"


def test_the_pages_are_what_the_declarations_say(registry: Registry) -> None:
    assert stale_pages(PAGES, registry) == [], "run `make docs`"


def test_stale_pages_are_found_and_removed(tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "docs" / "api"
    write_pages(folder, registry)
    assert main(["--check", str(folder)]) == 0
    (folder / "gone.md").write_text("an operation of last year")
    (folder / "file_info.md").write_text("changed by hand")
    (folder / "key_get.md").unlink()
    assert sorted(stale_pages(folder, registry)) == ["file_info.md", "gone.md", "key_get.md"]
    assert main(["--check", str(folder)]) == 1
    assert main([str(folder)]) == 0
    assert stale_pages(folder, registry) == []
    assert not (folder / "gone.md").exists()


def test_examples_are_taken_by_their_operations(registry: Registry) -> None:
    owner = GlobalID("alice", "server-a.com")
    for entry in registry.operations.values():
        assert set(entry.bind(example(entry), Context(owner))) == set(entry.parameters)


def test_every_documented_error_exists(registry: Registry) -> None:
    import bitdust.errors

    for entry in registry.operations.values():
        for name in entry.description.raises:
            assert hasattr(bitdust.errors, name), f"{entry.name}: {name}"


def test_references_between_operations_exist(registry: Registry) -> None:
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+\.md)\)", page.read_text("utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_command_lines_of_the_pages_make_the_calls_they_stand_for(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def call(shell: Shell, _: Registry, method: str, arguments: dict[str, Any]) -> None:
        calls.append((method, arguments))

    monkeypatch.setattr(Shell, "call", call)
    monkeypatch.setattr(
        "bitdust.cli.progress.run_with_progress",
        lambda shell, _, method, arguments: calls.append((method, arguments)) or {"status": "OK"},
    )
    monkeypatch.chdir(tmp_path)
    owner = Context(GlobalID("alice", "server-a.com"))
    for entry in registry.operations.values():
        values = example(entry)
        for name in values.keys() & set(entry.from_file):
            (tmp_path / "alice_backup.key").write_text(str(values[name]), "utf-8")
        words = shlex.split(command_line(entry, values))
        assert words[0] == "bitdust"
        if words[1] == "stop":
            continue
        assert run(words[1:]) == 0, words
        method, arguments = calls.pop()
        assert method == entry.name
        given = {**entry.bind(arguments, owner)}
        wanted = entry.bind(values, owner)
        for waiting in ("wait_result",):
            given.pop(waiting, None)
            wanted.pop(waiting, None)
        assert _plain(given) == _plain(wanted), words


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.rstrip("/") if isinstance(value, str) else value
        for name, value in arguments.items()
    }
