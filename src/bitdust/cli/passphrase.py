"""``bitdust passphrase``: lock the master key's file, change its passphrase, or unlock it."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

import click

from bitdust.cli.runner import shell_of, with_shared_options
from bitdust.errors import InvalidInput, LocalFileError, WrongPassphrase
from bitdust.identity import master_key_locked, read_master_key, write_master_key

ENVIRONMENT = "BITDUST_PASSPHRASE_FILE"
"""Names a file whose first line is the passphrase, for starts without a terminal."""
MAX_PASSPHRASE = 4096


def read_passphrase_file(path: Path) -> str:
    """The first line of a file.

    Raises:
        LocalFileError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline(MAX_PASSPHRASE).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise LocalFileError(
            f"cannot read the passphrase from {str(path)!r}",
            hint="it must be a text file that you can read",
        ) from exc


def passphrase_for(home: Path) -> str | None:
    """The passphrase that opens the master key of ``home``; None when it is not locked.

    It comes from the file that ``BITDUST_PASSPHRASE_FILE`` names, else it is asked for.

    Raises:
        WrongPassphrase: there is neither a file nor a terminal.
    """
    if not (home / "metadata" / "mykeyfile").exists() or not master_key_locked(home):
        return None
    named = os.environ.get(ENVIRONMENT)
    if named:
        return read_passphrase_file(Path(named))
    if not sys.stdin.isatty():
        raise WrongPassphrase(
            "the master key is locked with a passphrase",
            hint=f"start in a terminal, or let {ENVIRONMENT} name a file with the passphrase",
        )
    return getpass.getpass("passphrase of the master key: ")


def _new_passphrase(source: str | None) -> str | None:
    if source is not None:
        return read_passphrase_file(Path(source)) or None
    first = getpass.getpass("new passphrase, empty for none: ")
    if first != getpass.getpass("the same again: "):
        raise InvalidInput("the two passphrases differ", hint="nothing was changed; try again")
    return first or None


@click.command("passphrase")
@click.option(
    "--new-file", metavar="FILE", help="Take the new passphrase from the first line of a file."
)
@with_shared_options
@click.pass_context
def passphrase(context: click.Context, new_file: str | None) -> None:
    """Set, change or remove the passphrase of the master key.

    The key file is encrypted under it (Argon2id). The daemon then asks for the passphrase when it
    starts. A lost passphrase cannot be replaced: keep a backup of the key.
    """
    shell = shell_of(context)
    key = read_master_key(shell.home, passphrase_for(shell.home))
    chosen = _new_passphrase(new_file)
    write_master_key(shell.home, key, chosen)
    shell.say(
        {"locked": chosen is not None},
        "the master key is locked now" if chosen else "the master key has no passphrase now",
    )
