"""Commands made from the registry: ``file info`` and its like, grouped by noun."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from bitdust.api.parameters import Parameter
from bitdust.api.registry import Operation
from bitdust.cli.runner import registry_of, shared_options, shell_of
from bitdust.errors import LocalFileError

NOUNS: Mapping[str, str] = {
    "automat": "State machines of the node.",
    "config": "Settings of the node.",
    "connection": "Connections to other nodes.",
    "customer": "Nodes whose data this one stores.",
    "dht": "The distributed hash table.",
    "dht node": "Nodes of the DHT.",
    "dht user": "Nodes that serve a layer of the DHT.",
    "dht value": "Records of the DHT.",
    "event": "Events of the running node.",
    "file": "Files and folders: upload, download, list, delete.",
    "identity": "Your identity and the cache of other people's.",
    "key": "Keys on this machine.",
    "network": "State of the network.",
    "packet": "Requests under way, and counters of network traffic.",
    "process": "The process of the node.",
    "queue": "What waits for listeners.",
    "service": "Services of the node.",
    "space": "Space donated, consumed and used on the disk.",
    "stream": "Data on its way.",
    "supplier": "Nodes that store your data.",
    "transfer": "Fragments on their way.",
}
_OPTION_NAMES = {"wait_result": "wait"}
_LONG_JOBS = frozenset({"file_upload_start", "file_download_start"})
MAX_INPUT = 64 * 1024


def nouns(context: click.Context) -> list[str]:
    """First words of all commands of the registry."""
    words = (entry.cli.split(" ")[0] for entry in registry_of(context).operations.values())
    return sorted({word for word in words if word})


class NounGroup(click.Group):
    """The commands that begin with the same words; they are made when they are needed."""

    def __init__(self, words: str) -> None:
        text = NOUNS.get(words, f"Commands of {words}.")
        super().__init__(words.rpartition(" ")[2], help=text, params=shared_options())
        self._words = words

    def _children(self, context: click.Context) -> dict[str, Operation[..., Any] | None]:
        children: dict[str, Operation[..., Any] | None] = {}
        prefix = self._words + " "
        for entry in registry_of(context).operations.values():
            if entry.cli.startswith(prefix):
                head, _, rest = entry.cli[len(prefix) :].partition(" ")
                children[head] = None if rest else entry
        return children

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._children(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        children = self._children(ctx)
        if cmd_name not in children:
            return None
        entry = children[cmd_name]
        if entry is None:
            return NounGroup(f"{self._words} {cmd_name}")
        return OperationCommand(cmd_name, entry)


class OperationCommand(click.Command):
    """The command of one operation: required parameters by position, the others as options."""

    def __init__(self, name: str, entry: Operation[..., Any]) -> None:
        self._entry = entry
        described = entry.description
        super().__init__(
            name,
            callback=self._run,
            help="\n\n".join(filter(None, (described.summary, _wrapped(described.details)))),
            short_help=described.summary,
        )

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self.params:
            self.params = [*self._own_params(), *shared_options()]
        return super().get_params(ctx)

    def _own_params(self) -> list[click.Parameter]:
        entry = self._entry
        described = entry.description.parameters
        params: list[click.Parameter] = []
        for parameter in entry.parameters.values():
            metavar = parameter.name.upper()
            if parameter.name in entry.from_file:
                metavar = f"{metavar}_FILE"
            help_text = _plain(described.get(parameter.name, ""))
            if parameter.required:
                params.append(click.Argument([parameter.name], metavar=metavar))
                continue
            if parameter.name in entry.positional:
                word = click.Argument(
                    [f"word_{parameter.name}"], metavar=f"[{metavar}]", required=False
                )
                params.append(word)
            params.append(_option(parameter, help_text, entry))
        return params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        described = self._entry.description.parameters
        rows = [
            (param.make_metavar(ctx), _plain(described.get(param.name or "", "")))
            for param in self.get_params(ctx)
            if isinstance(param, click.Argument) and not (param.name or "").startswith("word_")
        ]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)

    def _run(self, **values: Any) -> None:
        context = click.get_current_context()
        shell, registry = shell_of(context), registry_of(context)
        arguments: dict[str, Any] = {}
        for name, value in values.items():
            if value is None:
                continue
            name = name.removeprefix("word_")
            parameter = self._entry.parameters[name]
            arguments[name] = self._value(parameter, value)
        if arguments.get("wait_result") and self._entry.name in _LONG_JOBS:
            from bitdust.cli.progress import run_with_progress

            shell.show(
                self._entry.name, run_with_progress(shell, registry, self._entry.name, arguments)
            )
            return
        shell.call(registry, self._entry.name, arguments)

    def _value(self, parameter: Parameter, value: Any) -> Any:
        if parameter.name in self._entry.from_file:
            return _read_input(str(value))
        if parameter.kind.label == "local path":
            tail = "/" if str(value).endswith("/") else ""
            return os.path.abspath(value).rstrip("/") + tail or "/"
        if parameter.kind.label == "JSON":
            return _json_or_text(str(value))
        return value


def _option(parameter: Parameter, help_text: str, entry: Operation[..., Any]) -> click.Option:
    name = _OPTION_NAMES.get(parameter.name, parameter.name).replace("_", "-")
    if parameter.kind.label == "boolean":
        default = True if entry.name in _LONG_JOBS and name == "wait" else parameter.default
        spelling = f"--{name}/--no-{name}" if default else f"--{name}"
        return click.Option(
            [spelling, parameter.name],
            default=default,
            is_flag=True,
            help=help_text,
            show_default=True,
        )
    shown = None if parameter.default in (None, "", []) else f"{parameter.default}"
    return click.Option(
        [f"--{name}", parameter.name],
        metavar=parameter.kind.label.split(",")[0].split(" ")[-1].upper(),
        help=f"{help_text}  [default: {shown}]" if shown else help_text,
    )


def _plain(text: str) -> str:
    return text.replace("`", "")


def _wrapped(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in _plain(text).split("\n\n"))


def _json_or_text(text: str) -> Any:
    """JSON where it looks like an object, an array or a quoted text; everything else is text."""
    if text[:1] in ("{", "[", '"'):
        try:
            return json.loads(text)
        except ValueError as exc:
            raise click.BadParameter(f"{text[:60]!r} is not JSON: {exc}") from None
    return text


def _read_input(name: str) -> str:
    try:
        if name == "-":
            text = sys.stdin.read(MAX_INPUT + 1)
        else:
            with open(name, encoding="utf-8") as file:
                text = file.read(MAX_INPUT + 1)
    except OSError as exc:
        raise LocalFileError(f"cannot read {name}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise LocalFileError(f"{name} is not a text file") from None
    if len(text) > MAX_INPUT:
        raise LocalFileError(f"{name} is longer than {MAX_INPUT} characters")
    return text
