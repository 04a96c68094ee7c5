"""The checker of links in Markdown."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "check_links.py"


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_headings_become_anchors_as_on_the_forge(checker: ModuleType) -> None:
    assert checker.slug("2. How a file travels") == "2-how-a-file-travels"
    assert checker.slug("`file_info` and *more*!") == "file_info-and-more"
    assert checker.slug("See [the API](api/README.md)") == "see-the-api"
    assert checker.slug("Ärger & Öl") == "ärger--öl"


def test_broken_links_are_found_with_their_lines(checker: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other page.md").write_text("# One\n\n# One\n\n<a id='here'></a>\n")
    page = tmp_path / "README.md"
    page.write_text(
        "# Title\n"
        "[good](docs/other%20page.md#one) [again](docs/other%20page.md#one-1)\n"
        "[named](docs/other%20page.md#here) [self](#title) [web](https://example.org/x#y)\n"
        "[bad](docs/missing.md)\n"
        "[bad](docs/other%20page.md#two) ![image](picture.png)\n"
        "[bad](#nothing) [bad](/etc/passwd) [bad](../outside.md)\n"
        "`[code](missing.md)` and ``[more `code`](missing.md)``\n"
        "```\n[fenced](missing.md)\n```\n"
        "<!-- [comment](missing.md)\n [more](missing.md) -->\n"
        "[ref]: docs/gone.md\n"
        "[mail](mailto:a@example.org) [titled](docs 'x')\n"
    )
    (tmp_path.parent / "outside.md").write_text("")
    found = list(checker.problems(page, tmp_path))
    assert [line.split(": ")[0] for line in found] == [
        "README.md:4",
        "README.md:5",
        "README.md:5",
        "README.md:6",
        "README.md:6",
        "README.md:6",
        "README.md:13",
    ]
    assert "docs/missing.md does not exist" in found[0]
    assert "names no heading" in found[1]


def test_the_exit_code_tells(checker: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Fine\n\n[up](#fine)\n")
    assert checker.main([], tmp_path) == 0
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "theirs.md").write_text("[nowhere](nowhere.md)\n")
    assert checker.main([], tmp_path) == 0
    page.write_text("[nowhere](nowhere.md)\n")
    assert checker.main([], tmp_path) == 1
    assert checker.main([str(page)], tmp_path) == 1
