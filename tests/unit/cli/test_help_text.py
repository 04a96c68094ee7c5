"""What `bitdust --help` and the tables for people look like."""

from __future__ import annotations

import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bitdust.cli.main import SECTIONS, Root
from bitdust.cli.output import print_result


def test_every_command_is_in_one_section_and_on_one_line() -> None:
    root = Root()
    context = click.Context(root, info_name="bitdust")
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(root.list_commands(context))
    text = CliRunner().invoke(root, ["--help"], terminal_width=80, catch_exceptions=False).output
    lines = text[text.index("Begin:") :].splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "..." not in "\n".join(lines)
    assert "More:" not in lines
    for name in listed:
        assert sum(line.startswith(f"  {name} ") for line in lines) == 1, name


def test_numbers_that_come_as_text_too_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"needed": 4294967296, "needed_str": "4 GB", "suppliers_num": 4, "new_bytes": 300006}
    print_result("space_consumed", {"status": "OK", "result": result})
    assert capsys.readouterr().out.splitlines() == [
        "needed         4 GB",
        "suppliers num  4",
        "new bytes      293.0 KB",
    ]


def test_versions_are_shown_as_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    row: dict[str, Any] = {"label": "F1", "size": 2048, "reliable": "100%", "suppliers": [{"a": 1}]}
    print_result("file_info", {"status": "OK", "result": {"path": "docs", "versions": [row, row]}})
    assert capsys.readouterr().out.splitlines() == [
        "path      docs",
        "versions:",
        "  label  size    reliable",
        "  F1     2.0 KB  100%",
        "  F1     2.0 KB  100%",
    ]
