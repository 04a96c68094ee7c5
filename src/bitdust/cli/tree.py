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
from bitdust.cli.local import LOCAL
from bitdust.cli.runner import registry_of, shared_options, shell_of
from bitdust.cli.spellings import DEFAULTS, FALLBACKS, STAND_INS, SYNONYMS, setting_key
from bitdust.errors import LocalFileError

NOUNS: Mapping[str, str] = {
    "automat": "State machines of the node.",
    "config": "Settings of the node.",
    "connection": "Connections to other nodes.",
    "customer": "Nodes whose data this one stores.",
    "device": "Phones, browsers and programs that use this node.",
    "dht": "The distributed hash table.",
    "dht node": "Nodes of the DHT.",
    "dht user": "Nodes that serve a layer of the DHT.",
    "dht value": "Records of the DHT.",
    "event": "Events of the running node.",
    "file": "Files and folders: upload, download, list, delete.",
    "friend": "Your friends.",
    "group": "Groups of people who talk to each other.",
    "identity": "Your identity and the cache of other people's.",
    "key": "Keys on this machine.",
    "message": "Messages to and from other people and groups.",
    "network": "State of the network; the networks to choose from.",
    "nickname": "Names under which others find you.",
    "packet": "Requests under way, and counters of network traffic.",
    "process": "The process of the node.",
    "queue": "What waits for listeners.",
    "service": "Services of the node.",
    "share": "Folders that you share with other people.",
    "space": "Space donated, consumed and used on the disk.",
    "stream": "Data on its way.",
    "supplier": "Nodes that store your data.",
    "transfer": "Fragments on their way.",
    "user": "Other people: whether they are online.",
}
_OPTION_NAMES = {"wait_result": "wait"}
_LONG_JOBS = frozenset({"file_upload_start", "file_download_start"})
_KEY_SIZE = "personal/private-key-size"
_NEEDS_A_NODE = frozenset({"identity_create", "identity_recover"})
"""Methods for which a node is started, and stopped again, where none runs."""
MAX_INPUT = 64 * 1024


def nouns(context: click.Context) -> list[str]:
    """First words of all commands of the registry."""
    words = (entry.cli.split(" ")[0] for entry in registry_of(context).operations.values())
    return sorted({word for word in words if word})


def find_command(context: click.Context, words: str) -> click.Command | None:
    """The command or group that ``words`` lead to, by its own name or an old one.

    Args:
        context: of the command line.
        words: such as ``identity restore``.
    """
    prefix, _, last = words.rpartition(" ")
    found: click.Command | None = None
    if words in LOCAL:
        found = LOCAL[words]
    elif prefix:
        entry = _children(context, prefix).get(last, _ABSENT)
        if entry is None:
            found = NounGroup(words)
        elif isinstance(entry, Operation):
            kind = IdentityCreate if entry.name == "identity_create" else OperationCommand
            found = kind(last, entry)
    elif words in nouns(context):
        found = NounGroup(words)
    if found is None and words in SYNONYMS:
        found = find_command(context, SYNONYMS[words])
    return found


_ABSENT = object()


def _children(context: click.Context, words: str) -> dict[str, Operation[..., Any] | None]:
    children: dict[str, Operation[..., Any] | None] = {}
    prefix = words + " "
    for entry in registry_of(context).operations.values():
        if entry.cli.startswith(prefix):
            head, _, rest = entry.cli[len(prefix) :].partition(" ")
            children[head] = None if rest else entry
    return children


class NounGroup(click.Group):
    """The commands that begin with the same words; they are made when they are needed."""

    def __init__(self, words: str) -> None:
        text = NOUNS.get(words, f"Commands of {words}.")
        super().__init__(
            words.rpartition(" ")[2],
            help=text,
            params=shared_options(),
            invoke_without_command=words in DEFAULTS,
            callback=self._run_default if words in DEFAULTS else None,
        )
        self._words = words

    def _run_default(self) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            words = DEFAULTS[self._words]
            found = find_command(context, words)
            assert found is not None, words
            with found.make_context(words.rpartition(" ")[2], [], parent=context) as inner:
                found.invoke(inner)

    def list_commands(self, ctx: click.Context) -> list[str]:
        prefix = self._words + " "
        own = {name.removeprefix(prefix) for name in LOCAL if name.startswith(prefix)}
        return sorted({*own, *_children(ctx, self._words)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(ctx, f"{self._words} {cmd_name}")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The next command; a group may have one for first words that name none."""
        fallback = FALLBACKS.get(self._words)
        if fallback and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            return fallback, self.get_command(ctx, fallback), args
        return super().resolve_command(ctx, args)


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
                standing_in = STAND_INS.get(entry.name, {}).get(parameter.name)
                if standing_in is None:
                    params.append(click.Argument([parameter.name], metavar=metavar))
                else:
                    word = click.Argument(
                        [parameter.name], metavar=f"[{metavar}]", default=standing_in
                    )
                    params.append(word)
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
            if name == "key" and self._entry.name.startswith("config_"):
                value = setting_key(str(value))
            arguments[name] = self._value(parameter, value)
        if arguments.get("wait_result") and self._entry.name in _LONG_JOBS:
            from bitdust.cli.progress import run_with_progress

            shell.show(
                self._entry.name, run_with_progress(shell, registry, self._entry.name, arguments)
            )
            return
        if self._entry.name in _NEEDS_A_NODE:
            from bitdust.cli.lifecycle import node_for

            with node_for(shell, registry):
                shell.call(registry, self._entry.name, arguments)
            return
        shell.call(registry, self._entry.name, arguments)

    def _value(self, parameter: Parameter, value: Any) -> Any:
        if parameter.name in self._entry.from_file:
            if parameter.name == "passphrase" and value == "-" and sys.stdin.isatty():
                from getpass import getpass

                return getpass("passphrase: ")
            return _read_input(str(value))
        if parameter.kind.label == "local path":
            tail = "/" if str(value).endswith("/") else ""
            return os.path.abspath(value).rstrip("/") + tail or "/"
        if parameter.kind.label == "JSON":
            return _json_or_text(str(value))
        return value


class IdentityCreate(OperationCommand):
    """``identity create NAME [KEY_SIZE]``: the size is a setting, for this call only."""

    def _own_params(self) -> list[click.Parameter]:
        size = click.Argument(["bits"], metavar="[KEY_SIZE]", required=False)
        return [*super()._own_params(), size]

    def _run(self, **values: Any) -> None:
        bits = values.pop("bits")
        if bits is None:
            super()._run(**values)
            return
        context = click.get_current_context()
        shell, registry = shell_of(context), registry_of(context)
        shell.settings.prepare(_KEY_SIZE, bits)
        if not shell.home.is_dir():
            super()._run(**values)  # says what is to be done first
            return
        before = shell.ask(registry, "config_get", {"key": _KEY_SIZE})["value"]
        shell.ask(registry, "config_set", {"key": _KEY_SIZE, "value": bits})
        try:
            super()._run(**values)
        finally:
            shell.ask(registry, "config_set", {"key": _KEY_SIZE, "value": before})


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
        metavar="FILE"
        if parameter.name in entry.from_file
        else parameter.kind.label.split(",")[0].split(" ")[-1].upper(),
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
        except RecursionError:
            raise click.BadParameter(f"{text[:60]!r} is nested too deeply") from None
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
