"""Check that relative links and anchors in the project's Markdown lead somewhere.

Usage: ``python docs/check_links.py [FILE.md ...]``; all tracked pages when none is named. Links to
other sites are left alone. Ends with 1 and one line per broken link.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".hypothesis", "dist", "build"}

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_CODE = re.compile(r"(`+).+?\1")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'(][^)]*)?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$")
_ANCHOR = re.compile(r"<a\s+(?:id|name)=[\"']([^\"']+)[\"']")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a page with their numbers, without fenced code and comments."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if match and not fence:
            fence = match[1]
        elif match and match[1].startswith(fence) and line.strip() == match[1]:
            fence = ""
        elif not fence:
            yield number, line


def slug(heading: str) -> str:
    """The anchor that a heading gets, as GitHub makes it."""
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    heading = re.sub(r"[`*]|<[^>]*>", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """All anchors of a page."""
    found: dict[str, int] = {}
    named: set[str] = set()
    for _, line in prose(page.read_text("utf-8")):
        named.update(_ANCHOR.findall(line))
        match = _HEADING.match(line)
        if match:
            name = slug(match[1])
            count = found.get(name, 0)
            found[name] = count + 1
            named.add(f"{name}-{count}" if count else name)
    return frozenset(named)


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Targets of all links of a page, with their line numbers."""
    for number, line in prose(page.read_text("utf-8")):
        line = _CODE.sub(lambda match: "x" * len(match[0]), line)
        match = _REFERENCE.match(line)
        if match:
            yield number, match[1]
        for found in _LINK.finditer(line):
            yield number, found[1]


def problems(page: Path, root: Path) -> Iterator[str]:
    """One line for each link of a page that leads nowhere."""
    for number, target in links(page):
        if _SCHEME.match(target) or target.startswith("//"):
            continue
        name, _, anchor = target.partition("#")
        path = page if not name else (page.parent / unquote(name))
        where = f"{page.relative_to(root)}:{number}"
        if name.startswith("/"):
            yield f"{where}: {target} is absolute"
        elif not path.exists():
            yield f"{where}: {target} does not exist"
        elif not path.resolve().is_relative_to(root.resolve()):
            yield f"{where}: {target} leaves the project"
        elif anchor and path.suffix == ".md" and unquote(anchor) not in anchors(path):
            yield f"{where}: {target} names no heading of that page"


def main(names: list[str], root: Path = ROOT) -> int:
    """Check the pages named, or all below ``root``; the exit code."""
    pages = [Path(name).resolve() for name in names] or [
        page
        for page in sorted(root.rglob("*.md"))
        if not SKIPPED & set(page.relative_to(root).parts)
    ]
    broken = [problem for page in pages for problem in problems(page, root)]
    for problem in broken:
        sys.stdout.write(problem + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
