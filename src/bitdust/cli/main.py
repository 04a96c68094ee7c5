"""The command ``bitdust``: local commands, and those that the registry declares.

Kept light: nothing here loads the engine, a server or a cryptographic library, so that the first
line of output comes at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module

import click

from bitdust import __version__
from bitdust.api.envelope import failure
from bitdust.cli.local import LOCAL
from bitdust.cli.output import print_error, print_json
from bitdust.cli.runner import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    Reported,
    exit_code,
    flag_options,
    shared_options,
    shell_of,
)
from bitdust.cli.tree import find_command, nouns
from bitdust.errors import BitdustError, LocalFileError

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("init", "daemon", "start", "stop", "restart", "doctor"),
    "Yourself": ("identity", "key", "passphrase", "nickname", "idurl", "globalid"),
    "Files": ("file", "folder", "share", "space", "storage", "supplier", "customer"),
    "People": ("friend", "chat", "message", "group", "user"),
    "Devices": ("device", "remote"),
    "Settings": ("config", "get", "set"),
    "What the node does": (
        "service",
        "network",
        "connection",
        "dht",
        "event",
        "transfer",
        "stream",
        "packet",
        "queue",
        "automat",
        "process",
        "api",
        "show",
    ),
    "Try it": ("demo", "demo-people", "testnet", "dhtseed"),
    "This command": ("help", "usage", "version", "completion", "install", "alias"),
}
"""Commands as the help groups them."""
MAX_NAME = 200
"""Characters of a file name that an error shows."""
BITDUST_TRACEBACK = "BITDUST_TRACEBACK"
"""Set it to let mistakes of the command itself come with their traceback."""


class Root(click.Group):
    """The command itself."""

    def __init__(self) -> None:
        super().__init__(
            "bitdust",
            help="A private peer-to-peer engine: files encrypted, cut into fragments and kept on "
            "other people's machines.",
            epilog="Exit codes are listed in docs/cli.md. Every command takes --help.",
            params=[
                *shared_options(),
                *flag_options(),
                click.Option(
                    ["--version"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    callback=_print_version,
                    help="Print the version.",
                ),
            ],
            callback=_without_words,
            invoke_without_command=True,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*(words for words in LOCAL if " " not in words), *nouns(ctx)})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in sections, each with one line."""
        known = [name for names in SECTIONS.values() for name in names]
        others = tuple(name for name in self.list_commands(ctx) if name not in known)
        width = max(map(len, (*known, *others)))
        for title, names in {**SECTIONS, "More": others}.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width - width - 4))
                for name, command in found
                if command is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(ctx, cmd_name)


@click.pass_context
def _without_words(context: click.Context) -> None:
    """Start the node where there is a home, as the original does; explain the command elsewhere."""
    if context.invoked_subcommand is not None:
        return
    if shell_of(context).home.is_dir():
        context.invoke(import_module("bitdust.cli.lifecycle").start)
        return
    click.echo(context.get_help())
    context.exit(EXIT_USAGE)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"bitdust {__version__}")
        context.exit()


def run(arguments: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: words after ``bitdust``; those of the process when None.

    Returns:
        The exit code.
    """
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        code = Root().main(args=arguments, prog_name="bitdust", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Reported as exc:
        if as_json:
            print_json(exc.envelope)
        print_error(exc.error.message, exc.error.hint)
        return exit_code(exc.error, exc.envelope)
    except BitdustError as exc:
        if as_json:
            print_json(failure(exc))
        print_error(exc.message, exc.hint)
        return exit_code(exc)
    except click.ClickException as exc:
        context = getattr(exc, "ctx", None)
        hint = f"see `{context.command_path} --help`" if context is not None else ""
        print_error(exc.format_message(), hint)
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe is gone; what is still buffered must not be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as exc:
        named = str(exc.filename or "")[:MAX_NAME]
        error = LocalFileError(f"{named}: {exc.strerror}" if named else str(exc)[:MAX_NAME])
        if as_json:
            print_json(failure(error))
        print_error(error.message, error.hint)
        return error.exit_code
    except Exception as exc:
        # a mistake of ours: where it is helps those who mend it, and nobody else
        if BITDUST_TRACEBACK in os.environ:
            raise
        print_error(
            f"internal error in the command: {type(exc).__name__}",
            f"set {BITDUST_TRACEBACK}=1 to see where, and report it",
        )
        return EXIT_INTERNAL


def main() -> None:
    """Entry point of the ``bitdust`` script."""
    sys.exit(run())
