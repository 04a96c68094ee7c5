"""One call of an operation from the command line, and the options that every command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from bitdust.api.envelope import error_classes, error_from, failure, success
from bitdust.api.registry import Registry, build_registry
from bitdust.cli.output import print_json, print_result
from bitdust.client import Client
from bitdust.config import Settings, default_home
from bitdust.errors import AccessDenied, BitdustError, NotRunning

EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])


class Reported(Exception):
    """An operation failed and its envelope was printed; only the exit code is left to do.

    Args:
        error: what it stands for.
        envelope: what the node answered.
    """

    def __init__(self, error: BitdustError, envelope: Mapping[str, Any]) -> None:
        super().__init__(error.message)
        self.error = error
        self.envelope = envelope


@dataclass(slots=True)
class Shell:
    """What the words before a command said.

    Args:
        home: the home folder.
        as_json: print envelopes and not tables.
    """

    home: Path
    as_json: bool = False

    @property
    def settings(self) -> Settings:
        """The settings of the home folder."""
        return Settings(self.home)

    def client(self, registry: Registry | None = None) -> Client:
        """A client of the node in the home folder."""
        return Client(self.home, registry=registry)

    def show(self, method: str, envelope: Mapping[str, Any]) -> None:
        """Print the outcome of an operation.

        Raises:
            Reported: it failed.
        """
        if envelope.get("status") != "OK":
            raise Reported(error_from(envelope), envelope)
        if self.as_json:
            print_json(envelope)
        else:
            print_result(method, envelope)

    def say(self, result: Any, text: str) -> None:
        """Print the outcome of a local command: the envelope, or a line for people."""
        if self.as_json:
            print_json(success(result))
        else:
            click.echo(text)

    def call(self, registry: Registry, method: str, arguments: Mapping[str, Any]) -> None:
        """Call an operation of the running node and print the outcome.

        Settings can also be read and changed while no node runs.

        Raises:
            Reported: the operation failed.
            BitdustError: the node could not be asked.
        """
        try:
            envelope = self.client(registry).envelope(method, arguments, timeout=None)
            if envelope.get("code") == AccessDenied.code and not self._is_held():
                raise NotRunning(
                    f"no daemon is running in {self.home}, and the one that answered is of another "
                    "home",
                    hint="give this home ports of its own: `bitdust config set "
                    "interface/api/rest-http-port PORT`",
                )
        except NotRunning:
            offline = self._offline(method, arguments)
            if offline is None:
                raise
            envelope = offline
        self.show(method, envelope)

    def _is_held(self) -> bool:
        """Whether some daemon holds this home, which may not be the one that answered."""
        from importlib import import_module

        return import_module("bitdust.daemon").holder(self.home) is not None

    def _offline(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        settings = self.settings
        key = str(arguments.get("key", ""))
        try:
            if method == "config_get":
                branch = settings.is_branch(key)
                return success(settings.branch(key) if branch else settings.view(key))
            if method == "config_set":
                old = settings.declaration(key).kind.show(settings.set(key, arguments["value"]))
                return success({**settings.view(key), "old_value": old})
            if method == "configs_list":
                return success(settings.views())
            if method == "configs_tree":
                return success(settings.tree())
        except BitdustError as exc:
            return failure(exc)
        return None


def exit_code(error: BitdustError, envelope: Mapping[str, Any] | None = None) -> int:
    """The exit code for an error: that of its class, as documented."""
    if envelope is not None and str(envelope.get("code")) not in error_classes():
        return EXIT_INTERNAL
    return error.exit_code


def _set_home(context: click.Context, _: click.Parameter, value: str | None) -> None:
    shell = context.ensure_object(_ShellBox)
    if value is not None:
        shell.home = Path(value).absolute()


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(_ShellBox).as_json = True


@dataclass(slots=True)
class _ShellBox:
    """What options said so far, on the way from the first word to the last."""

    home: Path | None = None
    as_json: bool = False
    registry: Registry | None = None


def shared_options() -> list[click.Parameter]:
    """``--home`` and ``--json``, which may stand anywhere."""
    return [
        click.Option(
            ["--home"],
            metavar="DIR",
            expose_value=False,
            callback=_set_home,
            help="Home folder of the node.  [default: $BITDUST_HOME or ~/.bitdust]",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Print JSON.",
        ),
    ]


def with_shared_options(function: F) -> F:
    """Give a command ``--home`` and ``--json``."""
    known = getattr(function, "__click_params__", [])
    function.__dict__["__click_params__"] = [*reversed(shared_options()), *known]
    return function


def shell_of(context: click.Context) -> Shell:
    """What the options of a command line said."""
    box = context.ensure_object(_ShellBox)
    return Shell(box.home or default_home(), box.as_json)


def registry_of(context: click.Context) -> Registry:
    """The registry, built once per command line."""
    box = context.ensure_object(_ShellBox)
    if box.registry is None:
        box.registry = build_registry()
    return box.registry
