"""The tests that docs/reliability.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= written, sorted(named - written)
    for path in re.findall(r"`((?:faults|unit|integration|property)/[\w/]+\.py)`", page):
        assert (ROOT / "tests" / path).exists(), path
