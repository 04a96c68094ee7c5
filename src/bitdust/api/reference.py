"""The reference pages, written from the declarations: ``python -m bitdust.api.reference docs/api``.

One page per operation and an index in the folder named; ``cli.md`` and ``settings.md`` beside that
folder. ``--check`` writes nothing and fails when a page is not what it should be.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bitdust.api.envelope import INTERNAL_ERROR, error_classes
from bitdust.api.parameters import Parameter
from bitdust.api.registry import Operation, Registry, Route, build_registry
from bitdust.config_keys import all_settings
from bitdust.config_schema import Setting

_GENERATED = "<!-- written by `python -m bitdust.api.reference`; do not edit -->"
_URL = "localhost:8180"


def pages(registry: Registry) -> dict[str, str]:
    """All pages by their path, relative to the folder of the reference."""
    written = {f"{entry.name}.md": _page(entry) for entry in registry.operations.values()}
    written["README.md"] = _index(registry)
    written["../cli.md"] = _commands(registry)
    written["../settings.md"] = _settings(list(all_settings().values()))
    return written


def stale_pages(folder: Path, registry: Registry) -> list[str]:
    """Pages in ``folder`` that are missing, differ, or describe what no longer exists."""
    wanted = pages(registry)
    stale = [
        name
        for name, text in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]
    return stale + [path.name for path in sorted(folder.glob("*.md")) if path.name not in wanted]


def write_pages(folder: Path, registry: Registry) -> None:
    """Write all pages and remove those that describe what no longer exists."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages(registry)
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, "utf-8")


# --- one operation --------------------------------------------------------------------------------


def example(entry: Operation[..., Any]) -> dict[str, Any]:
    """Values for a call: those of the declaration, and usual ones for required parameters."""
    return {
        parameter.name: entry.example.get(parameter.name, parameter.kind.example)
        for parameter in entry.parameters.values()
        if parameter.required or parameter.name in entry.example
    }


def _curl(route: Route, values: Mapping[str, Any]) -> str:
    header = '-H "api_secret: $(cat ~/.bitdust/metadata/apisecret)"'
    if route.verb == "GET":
        query = "&".join(f"{name}={_in_query(value)}" for name, value in values.items())
        target = f"{_URL}{route.path}" + (f"?{query}" if query else "")
        return f"curl -X GET {header} '{target}'"
    data = f" -d {shlex.quote(json.dumps(values))}" if values else ""
    return f"curl -X {route.verb} {header} '{_URL}{route.path}'{data}"


def _in_query(value: Any) -> str:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = int(value)
    return quote(str(value), safe="$@:/,")


def command_line(entry: Operation[..., Any], values: Mapping[str, Any]) -> str:
    """The command for a call; the general form when the operation has no command of its own."""
    if not entry.cli:
        if entry.name == "process_stop":
            return "bitdust stop"
        words = [f"{name}={value}" for name, value in values.items()]
        return " ".join(["bitdust api", entry.name, *map(shlex.quote, words)])
    words = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, list):
            text = ",".join(map(str, value))
        if name in entry.from_file:
            words.append("alice_backup.key")
        elif entry.parameters[name].required or name in entry.positional:
            words.append(shlex.quote(text))
        elif value is True:
            words.append(f"--{name.replace('_', '-')}")
        else:
            words.append(f"--{name.replace('_', '-')} {shlex.quote(text)}")
    return " ".join(["bitdust", entry.cli, *words])


def _python(entry: Operation[..., Any], values: Mapping[str, Any]) -> str:
    given = "".join(f", {name}={value!r}" for name, value in values.items())
    if not entry.routes:
        return (
            "from bitdust.client import AsyncClient\n\n"
            "async with AsyncClient() as client:\n"
            f"    result = await client.{entry.name}({given.removeprefix(', ')})"
        )
    return (
        "from bitdust.client import Client\n"
        "from bitdust.config import default_home\n\n"
        f"result = Client(default_home()).call({entry.name!r}{given})"
    )


def _page(entry: Operation[..., Any]) -> str:
    described, values = entry.description, example(entry)
    message = {"command": "api_call", "method": entry.name, "kwargs": values, "call_id": 1}
    parts = [_GENERATED, f"# {entry.name}", f"`{entry.signature}`", described.summary]
    if described.details:
        parts.append(described.details)
    if entry.parameters:
        parts.append(_parameters(entry))
    parts.append("## Result")
    parts.append(described.returns or "Nothing but the status.")
    if described.raises:
        codes = {kind.__name__: kind for kind in error_classes().values()}
        rows = ["| code | when |", "|---|---|"]
        for name, when in described.raises.items():
            code = codes[name].code if name in codes else name
            rows.append(f"| `{code}` | {when} |")
        parts += ["## Errors", "\n".join(rows)]
        parts.append("Parameters that do not fit are answered with the code `invalid_input`.")
    if entry.routes:
        parts += ["## HTTP", _block("sh", _curl(entry.routes[0], values))]
    if len(entry.routes) > 1:
        others = "\n".join(f"- `{route.verb} {route.path}`" for route in entry.routes[1:])
        parts += ["The same answers at:", others]
    parts += ["## WebSocket", _block("js", f"websocket.send('{json.dumps(message)}');")]
    if entry.routes:
        parts += ["## Command line", _block("sh", command_line(entry, values))]
    else:
        parts.append("There is no other way to call it: not over HTTP, not in the command line.")
    parts += [
        "## Python",
        _block("python", _python(entry, values)),
        f"Source: {described.source}",
        "[All operations](README.md)",
    ]
    return "\n\n".join(parts) + "\n"


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _parameters(entry: Operation[..., Any]) -> str:
    rows = ["## Parameters", "", "| name | type | default | |", "|---|---|---|---|"]
    for parameter in entry.parameters.values():
        text = entry.description.parameters.get(parameter.name, "")
        rows.append(
            f"| `{parameter.name}` | {parameter.kind.label} | {_default(parameter)} | {text} |"
        )
    if entry.aliases:
        spelled = ", ".join(f"`{other}` for `{name}`" for other, name in entry.aliases.items())
        rows += ["", f"Also taken: {spelled}."]
    if entry.ignored:
        names = ", ".join(f"`{name}`" for name in sorted(entry.ignored))
        rows += ["", f"Taken without effect: {names}."]
    return "\n".join(rows)


def _default(parameter: Parameter) -> str:
    return "required" if parameter.required else f"`{json.dumps(parameter.default)}`"


# --- the other pages ------------------------------------------------------------------------------

_INDEX = """\
# The API

One node answers on this machine over HTTP and WebSocket, with the same operations everywhere.

## Access

Both servers listen on `127.0.0.1` only. Every caller shows the secret that the node wrote into
`~/.bitdust/metadata/apisecret`: over HTTP as header `api_secret`, over WebSocket as query argument
`api_secret` or `a` of the address. The setting `interface/api/auth-secret-enabled` switches this
off. Requests whose `Host` is not this machine or whose `Origin` is a foreign web page are refused.

## Answers

| key | |
|---|---|
| `status` | `OK` or `ERROR` |
| `result` | what the operation returns: an object where the call is about one thing, an array \
where it is about many; absent when there is nothing to say |
| `message` | one sentence for people |
| `errors` | with `ERROR`: what went wrong; for parameters `name: what is wrong`, one line each |
| `code` | with `ERROR`: the kind of failure, see below |
| `hint` | with `ERROR`: what can be done |
| `retryable` | true when trying again later may help |
| `execution` | seconds, as text; HTTP only |

The HTTP status is always 200. `GET` takes query arguments, the other verbs a JSON object of at most
1 MiB. `/group/verb/v1` and `/v1/group/verb` are the same.

Over WebSocket, `ws://127.0.0.1:8280/?api_secret=…`, a call is
`{"command": "api_call", "method": "process_health", "kwargs": {}, "call_id": 1}` and its answer
`{"type": "api_call", "payload": {"call_id": 1, "response": {"status": "OK"}}}`. Events come without
asking: `{"type": "event", "payload": {"event_id": "…", "data": {}}}`. A client that leaves more
than 200 messages unread is dropped.

From Python: `bitdust.client.Client` over HTTP and `bitdust.client.AsyncClient` over WebSocket.

## Error codes

| code | meaning | exit code |
|---|---|---|
"""


def _index(registry: Registry) -> str:
    rows = [
        f"| `{code}` | {_first_line(kind.__doc__)} | {kind.exit_code} |"
        for code, kind in error_classes().items()
    ]
    rows.append(
        f"| `{INTERNAL_ERROR}` | An error nobody foresaw; `error_id` finds it in the log | 1 |"
    )
    lines = [_GENERATED, "", _INDEX + "\n".join(rows), "", "## Operations", ""]
    for noun, entries in _by_noun(registry):
        lines += [f"### {noun}", ""]
        lines += [
            f"- [{each.name}]({each.name}.md): {each.description.summary}" for each in entries
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _by_noun(registry: Registry) -> Iterator[tuple[str, list[Operation[..., Any]]]]:
    def noun(entry: Operation[..., Any]) -> str:
        return entry.routes[0].path.split("/")[1] if entry.routes else entry.name.split("_")[0]

    ordered = sorted(registry.operations.values(), key=lambda entry: (noun(entry), entry.name))
    for name, entries in groupby(ordered, key=noun):
        yield name, list(entries)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].rstrip(".")


_CLI = """\
# The command line

`bitdust COMMAND --help` explains every command. Options that all commands take:

| option | |
|---|---|
| `--home DIR` | home folder of the node; `$BITDUST_HOME` or `~/.bitdust` if not given |
| `--json` | print the envelope of the [API](api/README.md) and no table |

Required parameters are given by position, the others as options. A parameter of type JSON takes
JSON where it begins with `{`, `[` or `"`, and text otherwise. Local paths may be relative.

These stand before the command, and with `daemon`, `start` and `restart` also after it:

| flag | |
|---|---|
| `-d N`, `--debug N` | detail of the log of a node that this command starts; 10 is much |
| `-n`, `--no-logs` | that node writes no log |
| `-o FILE`, `--output FILE` | its log goes to this file |
| `-q`, `--quiet` | print errors only |
| `-v`, `--verbose` | tell what is called, and how long it took |

[Words of the original](cli-older.md) are understood as well.

## Local commands

| command | |
|---|---|
| `bitdust init [--set KEY=VALUE]` | make the home folder, its settings and the API secret |
| `bitdust daemon [--foreground]` | start the node, in the background if not told otherwise |
| `bitdust start` | run the node in this terminal; so does `bitdust` alone where there is a home |
| `bitdust stop [--no-wait]` | stop the node and wait for its end |
| `bitdust restart` | stop it and start it again, or start it |
| `bitdust set KEY [VALUE]`, `bitdust get KEY` | change or show a setting, with or without a node |
| `bitdust api [METHOD [NAME=VALUE] [NAME:=JSON]]` | call any method; list them all |
| `bitdust passphrase [--new-file FILE]` | set or remove the passphrase of the master key |
| `bitdust doctor` | look for what is wrong and say what to do |
| `bitdust demo` | a network of processes keeps a folder safe |
| `bitdust testnet start --dir DIR`, `bitdust testnet stop --dir DIR` | a network on this machine |
| `bitdust completion bash`, `zsh`, `fish` | the completion script; for bash put \
`eval "$(bitdust completion bash)"` into `~/.bashrc` |
| `bitdust version` | print the version |

`config get`, `config set`, `config list`, `config tree` and `identity get` also work while no node
runs; `identity create` and `identity recover` start one for themselves and stop it again. `file
upload` and `file download` wait for the end and show a progress bar; `--no-wait` starts them only.

## Exit codes

| code | when |
|---|---|
| 0 | done |
"""


def _commands(registry: Registry) -> str:
    by_code: dict[int, list[str]] = {1: ["any other failure"], 2: ["a wrong command line"]}
    for kind in error_classes().values():
        if kind.exit_code > 1:
            text = _first_line(kind.__doc__)
            by_code.setdefault(kind.exit_code, []).append(f"`{kind.code}`: {text}")
    by_code[130] = ["interrupted with Ctrl-C"]
    lines = [_GENERATED, "", _CLI.rstrip()]
    lines += [f"| {code} | {'<br>'.join(texts)} |" for code, texts in sorted(by_code.items())]
    lines += ["", "## Commands of the API", "", "| command | operation | |", "|---|---|---|"]
    for entry in sorted(registry.operations.values(), key=lambda entry: entry.cli):
        if entry.cli:
            words = " ".join(
                parameter.name.upper() if parameter.required else f"[{parameter.name.upper()}]"
                for parameter in entry.parameters.values()
                if parameter.required or parameter.name in entry.positional
            )
            lines.append(
                f"| `{' '.join(filter(None, ('bitdust', entry.cli, words)))}` "
                f"| [{entry.name}](api/{entry.name}.md) | {entry.description.summary} |"
            )
    return "\n".join(lines) + "\n"


_SETTINGS = """\
# Settings

Each setting is a file below `~/.bitdust/config`, its path is the key and it holds the value as
text: `config/services/supplier/donated-space` may hold `8 GB`. A setting without a file has its
default. `bitdust config set KEY VALUE` checks and writes one, with or without a running node. A
file that cannot be read as its type keeps the node from starting, is named in the error and never
overwritten.

Sizes count in powers of 1024: `8 GB`, `8 GiB` and `8589934592` are the same. Booleans are `true`
and `false`; lists are separated by commas or white space.
"""


def _settings(settings: list[Setting]) -> str:
    lines = [_GENERATED, "", _SETTINGS.rstrip()]
    for title, effective in (("Settings with an effect", True), ("Settings that are kept", False)):
        lines += ["", f"## {title}", ""]
        if not effective:
            lines += [
                "BitDust has these, this version only takes, checks and keeps their values.",
                "",
            ]
        lines += ["| key | type | default | allowed |" + (" |" if effective else "")]
        lines += ["|---|---|---|---|" + ("---|" if effective else "")]
        for setting in settings:
            if setting.effective == effective:
                default = setting.kind.text(setting.default)
                row = f"| `{setting.key}` | {setting.kind.label} | {_code(default)} | "
                row += f"{_allowed(setting)} |" + (f" {setting.info} |" if effective else "")
                lines.append(row)
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else "empty"


def _allowed(setting: Setting) -> str:
    limits = setting.kind.limits()
    if "possible_values" in limits:
        return ", ".join(map(str, limits["possible_values"]))
    if "max" in limits:
        return f"{limits['min']} to {limits['max']}"
    return f"from {limits['min']}" if "min" in limits else ""


def main(arguments: list[str]) -> int:
    """Write or check the pages; the exit code."""
    check = "--check" in arguments
    names = [word for word in arguments if word != "--check"]
    folder = Path(names[0] if names else "docs/api")
    registry = build_registry()
    if check:
        stale = stale_pages(folder, registry)
        for name in stale:
            sys.stderr.write(f"stale: {folder / name}\n")
        return 1 if stale else 0
    write_pages(folder, registry)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
