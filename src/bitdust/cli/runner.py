"""One call of an operation from the command line, and the options that every command takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from bitdust.api.envelope import error_classes, error_from, failure, success
from bitdust.api.registry import Registry, build_registry
from bitdust.cli.output import print_json, print_note, print_result
from bitdust.client import Client
from bitdust.config import Settings, default_home
from bitdust.errors import AccessDenied, BitdustError, LocalFileError, NoIdentity, NotRunning

OWN_DOCUMENT = "metadata/localidentity"
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
class Flags:
    """What the flags before the command said.

    Args:
        debug: detail of the log of a node that this command starts.
        quiet: print nothing but errors.
        verbose: tell on standard error what is called.
        no_logs: a node that this command starts writes no log.
        output: its log goes to this file.
    """

    debug: int | None = None
    quiet: bool = False
    verbose: bool = False
    no_logs: bool = False
    output: Path | None = None


@dataclass(slots=True)
class Shell:
    """What the words before a command said.

    Args:
        home: the home folder.
        as_json: print envelopes and not tables.
        flags: how much is told and logged.
    """

    home: Path
    as_json: bool = False
    flags: Flags = field(default_factory=Flags)

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
        if self.flags.quiet:
            return
        if self.as_json:
            print_json(envelope)
        else:
            print_result(method, envelope)

    def say(self, result: Any, text: str) -> None:
        """Print the outcome of a local command: the envelope, or a line for people."""
        if self.flags.quiet:
            return
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
        self.show(method, self.envelope(registry, method, arguments))

    def ask(self, registry: Registry, method: str, arguments: Mapping[str, Any]) -> Any:
        """Call an operation and give its result.

        Raises:
            Reported: the operation failed.
            BitdustError: the node could not be asked.
        """
        envelope = self.envelope(registry, method, arguments)
        if envelope.get("status") != "OK":
            raise Reported(error_from(envelope), envelope)
        return envelope.get("result")

    def envelope(
        self, registry: Registry, method: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Call an operation and give its envelope, also where no node runs and none is needed.

        Raises:
            BitdustError: the node could not be asked.
        """
        if self.flags.verbose:
            # no values: one may be a secret
            print_note(f"calling {method}({', '.join(arguments)}) of the node in {self.home}")
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
        if self.flags.verbose:
            print_note(f"{method} took {envelope.get('execution', '0')} s in the node")
        return envelope

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
            if method == "identity_get":
                return self._offline_identity(arguments)
        except BitdustError as exc:
            return failure(exc)
        return None

    def _offline_identity(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        from bitdust.identity import IdentityDocument, has_identity

        if not self.home.is_dir():
            return None
        if not has_identity(self.home):
            raise NoIdentity("this node has no identity yet")
        try:
            text = (self.home / OWN_DOCUMENT).read_bytes()
        except OSError as exc:
            raise LocalFileError(f"cannot read the own identity: {exc.strerror}") from exc
        document = IdentityDocument.parse(text)
        wanted = str(arguments.get("include_xml_source", "")).lower() in ("true", "1", "yes")
        return success(document.view(include_xml=wanted))


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
    flags: Flags = field(default_factory=Flags)


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


def _set_flag(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        setattr(context.ensure_object(_ShellBox).flags, str(option.name), value)


def _set_output(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(_ShellBox).flags.output = Path(value).absolute()


def flag_options() -> list[click.Parameter]:
    """Flags of the command itself and of those that start a node."""
    simple: Mapping[str, Any] = {"expose_value": False, "is_flag": True, "callback": _set_flag}
    return [
        click.Option(
            ["-d", "--debug"],
            type=click.IntRange(0, 100),
            metavar="N",
            expose_value=False,
            callback=_set_flag,
            help="Detail of the log of a node that this command starts; 10 is much.",
        ),
        click.Option(["-q", "--quiet"], help="Print errors only.", **simple),
        click.Option(["-v", "--verbose"], help="Tell what is called.", **simple),
        click.Option(
            ["-n", "--no-logs"], help="A node that this command starts writes no log.", **simple
        ),
        click.Option(
            ["-o", "--output"],
            metavar="FILE",
            expose_value=False,
            callback=_set_output,
            help="The log of a node that this command starts goes to this file.",
        ),
        # chose the network library of the original
        click.Option(["--twisted"], is_flag=True, expose_value=False, hidden=True),
    ]


def with_flags(function: F) -> F:
    """Give a command the flags that may also stand before it."""
    known = getattr(function, "__click_params__", [])
    function.__dict__["__click_params__"] = [*reversed(flag_options()), *known]
    return function


def with_shared_options(function: F) -> F:
    """Give a command ``--home`` and ``--json``."""
    known = getattr(function, "__click_params__", [])
    function.__dict__["__click_params__"] = [*reversed(shared_options()), *known]
    return function


def shell_of(context: click.Context) -> Shell:
    """What the options of a command line said."""
    box = context.ensure_object(_ShellBox)
    return Shell(box.home or default_home(), box.as_json, box.flags)


def registry_of(context: click.Context) -> Registry:
    """The registry, built once per command line."""
    box = context.ensure_object(_ShellBox)
    if box.registry is None:
        box.registry = build_registry()
    return box.registry
