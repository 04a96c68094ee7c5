"""Writes ``methods.json``: the facts of every method in the three BitDust API documents.

Run by hand, with the folder that holds the documents:
``python tests/vectors/api/make_methods.py FOLDER``. Only names, parameters, defaults, verbs, routes
and the values of example calls are taken.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HERE = Path(__file__).parent
FILE = HERE / "methods.json"

_HEADING = {
    3: re.compile(r"^#### (\w+)\((.*)\)\s*$"),
    2: re.compile(r"^## (\w+)\((.*)\)\s*$"),
    1: re.compile(r"^### (\w+)\((.*)\)\s*$"),
}
_CURL = re.compile(r"^\s*(curl .*)$")
_SEND = re.compile(r"^\s*websocket\.send\('(.*)'\);?\s*$")


def generation_of(text: str) -> int:
    """Which of the three documents a text is, 0 for none."""
    if not text.startswith("# BitDust API"):
        return 0
    counts = {
        generation: sum(1 for line in _lines(text) if pattern.match(line))
        for generation, pattern in _HEADING.items()
    }
    best = max(counts, key=lambda generation: counts[generation])
    return best if counts[best] > 10 else 0


def methods_of(text: str, generation: int) -> list[dict[str, Any]]:
    """The facts of all methods of one document, in its order."""
    found: list[dict[str, Any]] = []
    in_method = False
    for line in _lines(text):
        heading = _HEADING[generation].match(line)
        if heading:
            in_method = True
            found.append(
                {
                    "method": heading[1],
                    "generation": generation,
                    "parameters": _parameters(heading[2]),
                }
            )
        elif in_method and generation == 3:
            curl, send = _CURL.match(line), _SEND.match(line)
            if curl and "http" not in found[-1]:
                found[-1]["http"] = _request(curl[1])
            elif send:
                message = json.loads(send[1], strict=False)
                found[-1]["websocket"] = {
                    "method": message["method"],
                    "kwargs": message["kwargs"],
                }
    return found


def _lines(text: str) -> list[str]:
    return text.replace("\\_", "_").splitlines()


def _parameters(text: str) -> list[dict[str, Any]]:
    tree = ast.parse(f"def method({text}): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    names = [argument.arg for argument in tree.args.args]
    defaults = [ast.literal_eval(default) for default in tree.args.defaults]
    required = len(names) - len(defaults)
    return [
        {"name": name, "required": True}
        if place < required
        else {"name": name, "required": False, "default": defaults[place - required]}
        for place, name in enumerate(names)
    ]


def _request(line: str) -> dict[str, Any]:
    words = shlex.split(line)
    target = urlsplit("http://" + next(word for word in words if word.startswith("localhost:")))
    request: dict[str, Any] = {"verb": words[words.index("-X") + 1], "path": target.path}
    if target.query:
        request["query"] = dict(parse_qsl(target.query))
    if "-d" in words:
        # the documents write a line break inside a value as \n, which JSON reads as one
        request["body"] = json.loads(words[words.index("-d") + 1], strict=False)
    return request


def read_documents(folder: Path) -> list[dict[str, Any]]:
    """The facts of all methods of the documents in a folder, newest generation first.

    Raises:
        FileNotFoundError: one of the three is not there.
    """
    texts = {}
    for path in sorted(folder.glob("*.txt")):
        text = path.read_text("utf-8")
        texts[generation_of(text)] = text
    missing = {1, 2, 3} - set(texts)
    if missing:
        raise FileNotFoundError(f"no document of generation {sorted(missing)} in {folder}")
    return [
        method for generation in (3, 2, 1) for method in methods_of(texts[generation], generation)
    ]


if __name__ == "__main__":
    rows = read_documents(Path(sys.argv[1]))
    lines = ",\n".join("  " + json.dumps(row, sort_keys=True) for row in rows)
    FILE.write_text(f"[\n{lines}\n]\n", "ascii")
    sys.stdout.write(f"{len(rows)} methods\n")
