"""Writes the typed methods of the clients: ``python -m bitdust.client.generate``.

One method for each operation, in ``operations.py`` for the blocking client and in
``aio_operations.py`` for the asynchronous one. ``--check`` writes nothing and fails when a file is
not what it should be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import wrap
from typing import Any, get_type_hints

from bitdust.api.parameters import Parameter
from bitdust.api.registry import Operation, Registry, build_registry

FOLDER = Path(__file__).parent
WIDTH = 100

_TYPES = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "list of texts": "Sequence[str]",
    "JSON": "Any",
}
_OBJECT, _LIST = "dict[str, Any]", "list[dict[str, Any]]"
_RESULTS = {
    # declared as answers, or as whatever storage gives
    "config_get": f"{_OBJECT} | {_LIST}",
    "file_download_stop": _LIST,
    "file_upload_stop": "list[str]",
    "files_downloads": _LIST,
    "files_list": _LIST,
    "identity_erase": "None",
    "key_erase": "None",
}

_HEAD = '''\
"""Every operation as a typed method; {what}.

Written by ``python -m bitdust.client.generate``; do not edit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class {name}(ABC):
    """The operations of a node. All raise the errors of ``bitdust.errors``."""

    @abstractmethod
    {prefix}def ask(self, method: str, arguments: dict[str, Any]) -> Any:
        """Call an operation with JSON values and give its result; None stands for "not given"."""
'''


def sources(registry: Registry) -> dict[str, str]:
    """The generated modules by file name."""
    kinds = (
        ("operations.py", "Operations", "the blocking form", ""),
        ("aio_operations.py", "AsyncOperations", "the asynchronous form", "async "),
    )
    return {
        file: _HEAD.format(name=name, what=what, prefix=prefix)
        + "".join(
            _method(entry, prefix)
            for entry in registry.operations.values()
            if entry.routes or prefix  # without a route it answers over WebSocket alone
        )
        for file, name, what, prefix in kinds
    }


def stale(registry: Registry, folder: Path = FOLDER) -> list[str]:
    """Names of generated files that are not what they should be."""
    return [
        name
        for name, text in sources(registry).items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]


def _type(parameter: Parameter) -> str:
    name = _TYPES.get(parameter.kind.label, "str")
    optional = not parameter.required and parameter.default is None and name != "Any"
    return f"{name} | None" if optional else name


def result_type(entry: Operation[..., Any]) -> str:
    """The type of an operation's result, as source text."""
    if entry.name in _RESULTS:
        return _RESULTS[entry.name]
    hint = get_type_hints(entry.function, localns={"Node": object})["return"]
    if hint is type(None):
        return "None"
    text = str(hint).replace("typing.", "")
    return text if text.startswith(("dict[", "list[")) else _OBJECT


def _method(entry: Operation[..., Any], prefix: str) -> str:
    described = entry.description
    parts = ["self"]
    starred = False
    for parameter in entry.parameters.values():
        if not parameter.required and not starred:
            parts.append("*")
            starred = True
        text = f"{parameter.name}: {_type(parameter)}"
        parts.append(text if parameter.required else f"{text} = {_literal(parameter.default)}")
    lines = [""]
    result = result_type(entry)
    head = f"    {prefix}def {entry.name}({', '.join(parts)}) -> {result}:"
    if len(head) <= WIDTH:
        lines.append(head)
    else:
        inner = f"        {', '.join(parts)}"
        lines.append(f"    {prefix}def {entry.name}(")
        if len(inner) <= WIDTH:
            lines.append(inner)
        else:
            lines += [f"        {part}," for part in parts]
        lines.append(f"    ) -> {result}:")
    lines += _docstring(entry)
    given = [f'"{name}": {name}' for name in entry.parameters]
    awaited = "await " if prefix else ""
    call = f'        result: {result} = {awaited}self.ask("{entry.name}", {{{", ".join(given)}}})'
    if result == "None":
        call = f'        {awaited}self.ask("{entry.name}", {{{", ".join(given)}}})'
    if len(call) <= WIDTH:
        lines.append(call)
    else:
        opening = call[: call.index("(")]
        lines.append(f"{opening}(")
        inner = f'            "{entry.name}", {{{", ".join(given)}}}'
        if len(inner) <= WIDTH:
            lines.append(inner)
        else:
            lines.append(f'            "{entry.name}",')
            row = f"            {{{', '.join(given)}}},"
            if len(row) <= WIDTH:
                lines.append(row)
            else:
                lines += ["            {", *(f"                {one}," for one in given)]
                lines.append("            },")
        lines.append("        )")
    if result != "None":
        lines.append("        return result")
    assert not described.summary.endswith('"'), "would end the docstring with four quotes"
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _docstring(entry: Operation[..., Any]) -> list[str]:
    described = entry.description
    texts = {
        name: described.parameters.get(name, entry.parameters[name].kind.label)
        for name in entry.parameters
    }
    indent = " " * 8
    summary = wrap(described.summary, WIDTH - 12)
    if not texts and not described.returns and len(summary) == 1:
        return [f'{indent}"""{summary[0]}"""']
    lines = [f'{indent}"""{summary[0]}', *(f"{indent}{line}" for line in summary[1:])]
    if texts:
        lines += ["", f"{indent}Args:"]
        for name, text in texts.items():
            first, *rest = wrap(f"{name}: {text}", WIDTH - 14) or [f"{name}:"]
            lines.append(f"{indent}    {first}")
            lines += [f"{indent}        {line}" for line in rest]
    if described.returns:
        lines += ["", f"{indent}Returns:"]
        lines += [f"{indent}    {line}" for line in wrap(described.returns, WIDTH - 14)]
    return [*lines, f'{indent}"""']


def main(arguments: list[str]) -> int:
    """Write or check the files; the exit code."""
    registry = build_registry()
    if "--check" in arguments:
        names = stale(registry)
        for name in names:
            sys.stderr.write(f"stale: {FOLDER / name}\n")
        return 1 if names else 0
    for name, text in sources(registry).items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
