"""Commands that need no running node, or start and end it."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bitdust import __version__
from bitdust.api.secret import ensure_secret, secret_path
from bitdust.cli.runner import registry_of, shell_of, with_shared_options
from bitdust.errors import DeadlineExceeded, LocalFileError

STOP_DEADLINE = 60.0
"""Seconds that ``bitdust stop`` waits for the end."""
SHELLS = ("bash", "zsh", "fish")


def make_home(home: Path) -> None:
    """Make a home folder for its owner only.

    Raises:
        LocalFileError: it cannot be made.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("config", "metadata"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise LocalFileError(
            f"cannot make the home folder {home}: {exc.strerror}",
            hint="choose another home with --home or BITDUST_HOME",
        ) from exc


@click.command
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Also change a setting.")
@with_shared_options
@click.pass_context
def init(context: click.Context, changes: tuple[str, ...]) -> None:
    """Make the home folder with its settings and the API secret."""
    shell = shell_of(context)
    settings = shell.settings
    prepared = []
    for change in changes:
        key, separator, value = change.partition("=")
        if not separator:
            raise click.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
        prepared.append(settings.prepare(key.strip(), value))
    make_home(shell.home)
    settings.check()
    for entry in prepared:
        settings.write(entry)
    ensure_secret(shell.home)
    result = {"home": str(shell.home), "api_secret_file": str(secret_path(shell.home))}
    shell.say(result, f"{shell.home} is ready; start the node with `bitdust daemon`")


@click.command
@click.option("--foreground", is_flag=True, help="Stay in this terminal and log to it.")
@click.option("--detach", is_flag=True, help="Run in the background; this is the default.")
@with_shared_options
@click.pass_context
def daemon(context: click.Context, foreground: bool, detach: bool) -> None:
    """Start the node."""
    if foreground and detach:
        raise click.UsageError("--foreground and --detach exclude each other")
    shell = shell_of(context)
    make_home(shell.home)
    shell.settings.check()
    secret = None
    if (shell.home / "metadata" / "mykeyfile").exists():
        secret = import_module("bitdust.cli.passphrase").passphrase_for(shell.home)
    pid = import_module("bitdust.daemon").run_daemon(
        shell.home, foreground=foreground, passphrase=secret
    )
    if not foreground:
        shell.say({"pid": pid, "home": str(shell.home)}, f"the node is running, process {pid}")


@click.command
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end.")
@with_shared_options
@click.pass_context
def stop(context: click.Context, wait: bool) -> None:
    """Stop the node."""
    shell = shell_of(context)
    shell.client(registry_of(context)).call("process_stop")
    if wait:
        holder = import_module("bitdust.daemon").holder
        ends = time.monotonic() + STOP_DEADLINE
        while holder(shell.home) is not None:
            if time.monotonic() > ends:
                raise DeadlineExceeded(
                    f"the node did not end within {STOP_DEADLINE:g} s",
                    hint=f"see {shell.home / 'logs'}",
                )
            time.sleep(0.05)
    shell.say({"stopped": True}, "the node has stopped" if wait else "the node is stopping")


@click.command("set")
@click.argument("key")
@click.argument("value")
@with_shared_options
@click.pass_context
def set_setting(context: click.Context, key: str, value: str) -> None:
    """Change a setting; the same as `config set`."""
    arguments = {"key": key, "value": value}
    shell_of(context).call(registry_of(context), "config_set", arguments)


@click.command
@click.argument("method", required=False)
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@with_shared_options
@click.pass_context
def api(context: click.Context, method: str | None, arguments: tuple[str, ...]) -> None:
    """Call any method of the API; without one, list them all.

    NAME=VALUE gives a parameter as text, NAME:=VALUE as JSON.
    """
    registry, shell = registry_of(context), shell_of(context)
    if method is None:
        signatures = [entry.signature for entry in registry.operations.values()]
        shell.say(signatures, "\n".join(signatures))
        return
    given: dict[str, Any] = {}
    for word in arguments:
        name, separator, value = word.partition("=")
        if not separator or not name.rstrip(":"):
            raise click.BadParameter(f"{word!r} is neither NAME=VALUE nor NAME:=VALUE")
        if name.endswith(":"):
            try:
                given[name[:-1]] = json.loads(value)
            except ValueError as exc:
                raise click.BadParameter(f"{name[:-1]}: {value[:60]!r} is not JSON: {exc}") from exc
        else:
            given[name] = value
    shell.call(registry, method, given)


@click.command
@with_shared_options
@click.pass_context
def version(context: click.Context) -> None:
    """Print the version."""
    shell_of(context).say({"version": __version__}, f"bitdust {__version__}")


@click.command
@click.argument("shell_name", metavar="SHELL", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell_name: str) -> None:
    """Print the completion script of a shell.

    For bash, put this into ~/.bashrc:  eval "$(bitdust completion bash)"
    """
    from click.shell_completion import get_completion_class

    root = context.find_root()
    found = get_completion_class(shell_name)
    assert found is not None, "the choices are those that click knows"
    click.echo(found(root.command, {}, "bitdust", "_BITDUST_COMPLETE").source())


class Deferred(click.Command):
    """A command or group that lives in a module which is loaded only when it is used.

    Args:
        name: its name here and there.
        help_text: what the list of commands says of it.
        module: where it is.
    """

    def __init__(self, name: str, help_text: str, module: str) -> None:
        super().__init__(name, help=help_text)
        self._module = module

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the real command, which click then invokes."""
        found = getattr(import_module(self._module), str(self.name))
        if not isinstance(found, click.Command):
            raise TypeError(f"{self._module}.{self.name} is no command")
        return found.make_context(info_name, args, parent, **extra)


LOCAL_COMMANDS: tuple[click.Command, ...] = (
    init,
    daemon,
    stop,
    set_setting,
    api,
    version,
    completion,
    Deferred(
        "demo",
        "Show that a folder survives the loss of half its suppliers.",
        "bitdust.cli.demo_command",
    ),
    Deferred(
        "doctor",
        "Look for what is wrong with the node, its network and its data.",
        "bitdust.cli.doctor",
    ),
    Deferred(
        "passphrase",
        "Set, change or remove the passphrase of the master key.",
        "bitdust.cli.passphrase",
    ),
    Deferred("testnet", "Run a whole network on this machine.", "bitdust.cli.testnet_command"),
)
