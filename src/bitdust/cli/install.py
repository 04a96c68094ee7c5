"""``bitdust install`` and ``bitdust alias``: a home, and a start with the machine."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click

from bitdust.api.secret import ensure_secret, secret_path
from bitdust.cli.local import make_home
from bitdust.cli.runner import Shell, shell_of, with_shared_options
from bitdust.errors import AlreadyExists, LocalFileError, NotFound

MARK = "# bitdust: start the node with the machine"
CRONTAB_SECONDS = 20
START_OF_SCRIPT = "from bitdust.cli.main import main; main()"


def launcher() -> list[str]:
    """The words that run this very installation."""
    return [sys.executable, "-c", START_OF_SCRIPT]


def script() -> str:
    """A shell script that does the same as ``bitdust``."""
    return f'#!/bin/sh\nexec {shlex.join(launcher())} "$@"\n'


@click.command
def alias() -> None:
    """Print a script that starts this very installation.

    For example: `bitdust alias > ~/bin/bitdust; chmod +x ~/bin/bitdust`.
    """
    click.echo(script(), nl=False)


@click.command
@click.argument("what", required=False, type=click.Choice(("crontab", "shell")))
@with_shared_options
@click.pass_context
def install(context: click.Context, what: str | None) -> None:
    """Make the home folder with its settings and the API secret.

    `install crontab` also lets the node start with the machine, by a line of your crontab;
    `install shell` also writes the command to ~/.local/bin/bitdust.
    """
    shell = shell_of(context)
    make_home(shell.home)
    shell.settings.check()
    ensure_secret(shell.home)
    result = {"home": str(shell.home), "api_secret_file": str(secret_path(shell.home))}
    text = f"{shell.home} is ready; start the node with `bitdust daemon`"
    if what == "crontab":
        result["crontab"] = _add_to_crontab(shell)
        text = "the node starts with the machine; the line is in your crontab (`crontab -l`)"
    elif what == "shell":
        result["command"] = str(_write_command())
        text = f"the command is {result['command']}; that folder must be in your PATH"
    shell.say(result, text)


def _crontab(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("crontab")
    if program is None:
        raise NotFound(
            "there is no crontab on this machine", hint="let your init system run `bitdust start`"
        )
    try:
        return subprocess.run(
            [program, *words],
            input=text,
            text=True,
            capture_output=True,
            timeout=CRONTAB_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise LocalFileError("crontab does not answer") from exc


def _add_to_crontab(shell: Shell) -> str:
    words = [*launcher(), "--home", str(shell.home), "daemon"]
    line = f"@reboot {shlex.join(words)}".replace("%", r"\%")
    present = _crontab("-l")
    # `crontab -l` fails where there is none yet
    lines = present.stdout.splitlines() if present.returncode == 0 else []
    if line not in lines:
        changed = _crontab("-", text="\n".join([*lines, MARK, line, ""]))
        if changed.returncode != 0:
            raise LocalFileError(f"crontab was not changed: {changed.stderr.strip()[:200]}")
    return line


def _write_command() -> Path:
    path = Path.home() / ".local" / "bin" / "bitdust"
    try:
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != script():
            raise AlreadyExists(
                f"{path} is there already, and something else",
                hint="move it away, or use what `bitdust alias` prints",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script(), encoding="utf-8")
        path.chmod(0o700)
    except OSError as exc:
        raise LocalFileError(f"cannot write {path}: {exc.strerror}") from exc
    return path
