"""``bitdust file read``: bytes on standard output."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from bitdust.cli import read
from bitdust.cli.main import run
from bitdust.cli.runner import Shell

CONTENT = bytes(range(256)) * 20
PATH = "master$alice@server-a.com:cars/fiat.jpeg"
PINNED = "master$alice@server-a.com:0/1/F20160424013912PM"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    asked: list[tuple[str, int, int]] = []

    def ask(shell: Shell, _: Any, method: str, given: dict[str, Any]) -> Any:
        assert method == "file_read"
        asked.append((given["remote_path"], given["offset"], given["size"]))
        data = CONTENT[given["offset"] : given["offset"] + given["size"]]
        return {
            "global_id": "master$alice@server-a.com:0/1",
            "version": "F20160424013912PM",
            "data": b64encode(data).decode(),
            "completed": given["offset"] + given["size"] >= len(CONTENT),
        }

    monkeypatch.setattr(Shell, "ask", ask)
    monkeypatch.setattr(read, "PIECE", 2000)
    return asked


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], CONTENT),
        (["--offset", "100"], CONTENT[100:]),
        (["--offset", "100", "--size", "3000"], CONTENT[100:3100]),
        (["--size", "0"], b""),
        (["--offset", "5110", "--size", "100"], CONTENT[5110:]),
        (["--offset", "9999"], b""),
    ],
)
def test_bytes_are_written_as_they_are(
    asked: list[Any], capfdbinary: Any, words: list[str], expected: bytes
) -> None:
    assert run(["file", "read", PATH, *words]) == 0
    assert capfdbinary.readouterr().out == expected


def test_further_pieces_are_of_the_same_version(asked: list[Any], capfdbinary: Any) -> None:
    assert run(["file", "read", PATH]) == 0
    assert asked == [(PATH, 0, 2000), (PINNED, 2000, 2000), (PINNED, 4000, 2000)]


def test_json_shows_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(Shell, "call", lambda *words: calls.append(words[2:]))
    assert run(["--json", "file", "read", PATH, "--offset", "7"]) == 0
    assert calls == [("file_read", {"remote_path": PATH, "offset": 7})]
