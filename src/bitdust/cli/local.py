"""Commands that the registry does not declare, and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bitdust import __version__
from bitdust.api.secret import ensure_secret, secret_path
from bitdust.cli.runner import registry_of, shell_of, with_shared_options
from bitdust.cli.spellings import setting_key
from bitdust.errors import LocalFileError

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


@click.command("set")
@click.argument("key")
@click.argument("value", required=False)
@with_shared_options
@click.pass_context
def set_setting(context: click.Context, key: str, value: str | None) -> None:
    """Change a setting; without VALUE show it, and `list` shows all.

    The same as `config set`, `config get` and `config list`.
    """
    get_or_set(context, key, value)


@click.command("get")
@click.argument("key")
@with_shared_options
@click.pass_context
def get_setting(context: click.Context, key: str) -> None:
    """Show a setting; the same as `config get`."""
    get_or_set(context, key, None)


@click.command("change", hidden=True)
@click.argument("key")
@click.argument("value", required=False)
@with_shared_options
@click.pass_context
def change_setting(context: click.Context, key: str, value: str | None) -> None:
    """Show or change a setting."""
    get_or_set(context, key, value)


def get_or_set(context: click.Context, key: str, value: str | None) -> None:
    """Show a setting, or change it where a value is given."""
    shell, registry = shell_of(context), registry_of(context)
    if key == "list" and value is None:
        shell.call(registry, "configs_list", {})
    elif value is None:
        shell.call(registry, "config_get", {"key": setting_key(key)})
    else:
        shell.call(registry, "config_set", {"key": setting_key(key), "value": value})


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
    shell.call(registry, method, assignments(arguments))


def assignments(words: tuple[str, ...]) -> dict[str, Any]:
    """Parameters from words such as ``name=text`` and ``name:=json``.

    Raises:
        click.BadParameter: a word is neither.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name.rstrip(":"):
            raise click.BadParameter(f"{word!r} is neither NAME=VALUE nor NAME:=VALUE")
        if name.endswith(":"):
            try:
                given[name[:-1]] = json.loads(value)
            except ValueError as exc:
                raise click.BadParameter(f"{name[:-1]}: {value[:60]!r} is not JSON: {exc}") from exc
            except RecursionError:
                raise click.BadParameter(f"{name[:-1]}: is nested too deeply") from None
        else:
            given[name] = value
    return given


@click.command("help")
@click.argument("words", nargs=-1)
@with_shared_options
@click.pass_context
def show_help(context: click.Context, words: tuple[str, ...]) -> None:
    """Explain a command; without one, list all.

    `help settings` lists the settings.
    """
    if words == ("settings",):
        settings = shell_of(context).settings
        for view in settings.views():
            click.echo(f"{view['key']}\n    {view['info'] or view['label']}")
        return
    root = context.find_root()
    command: click.Command = root.command
    inner = root
    for word in words:
        found = command.get_command(inner, word) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f"no such command {' '.join(words)!r}", context)
        command = found
        if isinstance(command, Deferred):
            command = command.real
        inner = click.Context(command, parent=inner, info_name=word)
    click.echo(command.get_help(inner))


@click.command
@click.pass_context
def usage(context: click.Context) -> None:
    """Show how the command is called."""
    root = context.find_root()
    click.echo(root.command.get_usage(root))
    click.echo("`bitdust help` lists all commands, `bitdust help COMMAND` explains one.")


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
        name: its name here.
        help_text: what the list of commands says of it.
        module: where it is.
        attribute: its name there, when it is another.
    """

    def __init__(self, name: str, help_text: str, module: str, attribute: str = "") -> None:
        super().__init__(name, help=help_text)
        self._module = module
        self._attribute = attribute or name

    @property
    def real(self) -> click.Command:
        """The command itself.

        Raises:
            TypeError: what stands there is none.
        """
        found = getattr(import_module(self._module), self._attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{self._module}.{self._attribute} is no command")
        return found

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the real command, which click then invokes."""
        return self.real.make_context(info_name, args, parent, **extra)


_LIFE = "bitdust.cli.lifecycle"
_INSTALL = "bitdust.cli.install"
_VIEWS = "bitdust.cli.older_views"
_READ = "bitdust.cli.read"
_PAIRING = "bitdust.cli.pairing"
_DEVICES = "bitdust.cli.devices"

LOCAL: Mapping[str, click.Command] = {
    "init": init,
    "set": set_setting,
    "get": get_setting,
    "config change": change_setting,
    "api": api,
    "help": show_help,
    "usage": usage,
    "version": version,
    "completion": completion,
    "daemon": Deferred("daemon", "Start the node in the background.", _LIFE),
    "start": Deferred("start", "Run the node in this terminal.", _LIFE),
    "stop": Deferred("stop", "Stop the node.", _LIFE),
    "restart": Deferred("restart", "Stop the node and start it again.", _LIFE),
    "dhtseed": Deferred(
        "dhtseed", "Run a DHT node from which others start.", "bitdust.cli.seed_command"
    ),
    "install": Deferred(
        "install", "Make the home folder; let the node start with the machine.", _INSTALL
    ),
    "alias": Deferred("alias", "Print a script that starts this very installation.", _INSTALL),
    "show": Deferred("show", "Ask a user interface to come to the front.", _VIEWS),
    "storage": Deferred("storage", "Show space donated, consumed and used here.", _VIEWS),
    "idurl": Deferred("idurl", "Print the address of your identity.", _VIEWS),
    "globalid": Deferred("globalid", "Print your global id.", _VIEWS),
    "identity server": Deferred(
        "server", "Show, start or stop the own identity server.", _VIEWS, "identity_server"
    ),
    "key print": Deferred("print", "Print a private key.", _VIEWS, "key_print"),
    "key copy": Deferred("copy", "Put a private key into the clipboard.", _VIEWS, "key_copy"),
    "key backup": Deferred("backup", "Write a private key to a file.", _VIEWS, "key_backup"),
    "friend invite": Deferred(
        "invite", "Make a code that makes a friend.", _PAIRING, "friend_invite"
    ),
    "friend accept": Deferred(
        "accept", "Become friends with who gave you a code.", _PAIRING, "friend_accept"
    ),
    "device add": Deferred("add", "Prepare for a remote device.", _DEVICES, "device_add"),
    "device pair": Deferred("pair", "Let a device in by a code.", _DEVICES, "device_pair"),
    "device access-key": Deferred(
        "access-key",
        "Pair a device here and write its key to a file.",
        _DEVICES,
        "device_access_key",
    ),
    "remote": Deferred("remote", "Use a node elsewhere, as one of its devices.", _DEVICES),
    "folder": Deferred("folder", "Folders of the catalog.", _VIEWS),
    "file read": Deferred(
        "read", "Write a stored file, or a range of it, to standard output.", _READ, "file_read"
    ),
    "file cancel": Deferred(
        "cancel", "Stop uploads and downloads of a file.", _VIEWS, "file_cancel"
    ),
    "file progress": Deferred(
        "progress", "Show the uploads and downloads under way.", _VIEWS, "file_progress"
    ),
    "service tree": Deferred("tree", "Show which service needs which.", _VIEWS, "service_tree"),
    "supplier replace": Deferred(
        "replace", "Let another node take a supplier's place.", _VIEWS, "supplier_replace"
    ),
    "chat": Deferred("chat", "Talk to a person or in a group.", "bitdust.cli.chat_command"),
    "demo": Deferred(
        "demo",
        "Show that a folder survives the loss of half its suppliers.",
        "bitdust.cli.demo_command",
    ),
    "demo-people": Deferred(
        "demo-people",
        "Show three people who share a folder and write to each other.",
        "bitdust.cli.demo_people_command",
        "demo_people",
    ),
    "doctor": Deferred(
        "doctor",
        "Look for what is wrong, and say what to do.",
        "bitdust.cli.doctor",
    ),
    "passphrase": Deferred(
        "passphrase",
        "Set, change or remove the passphrase of the master key.",
        "bitdust.cli.passphrase",
    ),
    "testnet": Deferred(
        "testnet", "Run a whole network on this machine.", "bitdust.cli.testnet_command"
    ),
}
"""Commands that are not made from the registry, by their words."""
