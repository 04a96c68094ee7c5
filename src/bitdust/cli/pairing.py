"""``bitdust friend invite`` and ``friend accept``: two people become friends by hand."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from bitdust.cli.runner import registry_of, shell_of, with_shared_options

MAX_CODE = 500


@click.command("invite")
@click.argument("alias", default="")
@click.option("--hours", default=24.0, show_default=True, help="How long the code is good.")
@click.option("--qr/--no-qr", default=None, help="Also as a picture; the default in a terminal.")
@with_shared_options
@click.pass_context
def friend_invite(context: click.Context, alias: str, hours: float, qr: bool | None) -> None:
    """Make a code with which one other person can become your friend.

    ALIAS is what you will call that person. Give them the code in a way that you trust; it is good
    once.
    """
    shell = shell_of(context)
    made: Mapping[str, Any] = shell.ask(
        registry_of(context), "friend_invite", {"alias": alias, "hours": hours}
    )
    shown = sys.stdout.isatty() if qr is None else qr
    until = time.strftime("%d %b %H:%M", time.localtime(float(made["expires"])))
    lines = [*([picture(str(made["code"]))] if shown else []), "", f"    {made['code']}", ""]
    lines.append(f"Good once, until {until}. The other side enters it after: bitdust friend accept")
    shell.say(dict(made), "\n".join(lines))


@click.command("accept")
@click.argument("alias", default="")
@click.option("--timeout", default=15.0, show_default=True, help="Seconds to reach the inviter.")
@with_shared_options
@click.pass_context
def friend_accept(context: click.Context, alias: str, timeout: float) -> None:
    """Become friends with the person who gave you a code.

    The code is asked for, or read from standard input; as a word of the command it could be seen by
    other users of this machine. ALIAS is what you will call that person.
    """
    shell = shell_of(context)
    if sys.stdin.isatty():
        code = click.prompt("code", prompt_suffix=": ", err=True)
    else:
        code = sys.stdin.readline(MAX_CODE + 1).strip()
    if not code:
        raise click.UsageError("no code was given; write it to standard input")
    given = {"code": code, "alias": alias, "timeout": timeout}
    shell.call(registry_of(context), "friend_accept", given)


def picture(code: str) -> str:
    """The code as a QR of block characters."""
    import segno  # here, because no other command needs it

    out = io.StringIO()
    segno.make(code, error="m", micro=False).terminal(out, compact=True)
    return out.getvalue().rstrip("\n")
