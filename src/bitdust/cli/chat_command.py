"""``bitdust chat``: a conversation in the terminal, or over pipes."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec

import click

from bitdust.cli.runner import registry_of, shell_of, with_shared_options
from bitdust.errors import NotFound

FAILED = 1


@click.command
@click.argument("words", nargs=-1, metavar="[USER|GROUP]")
@click.option("--plain", is_flag=True, help="Lines instead of a screen; so it is in a pipe.")
@click.option(
    "--history",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="Messages to begin with.  [default: 100; 0 with --plain]",
)
@click.option("--listen", is_flag=True, help="With --plain: go on after the end of the input.")
@with_shared_options
@click.pass_context
def chat(
    context: click.Context, words: tuple[str, ...], plain: bool, history: int | None, listen: bool
) -> None:
    """Talk to a person or in a group; without a name, list the conversations.

    A person is named as everywhere, a group by its label or key id. In a pipe, or with --plain, one
    line of input is one message, and messages of others are printed with time and sender; with
    --json lines are JSON objects. `chat send USER|GROUP TEXT` sends one message.
    """
    shell = shell_of(context)
    if not words:
        shell.call(registry_of(context), "message_conversations_list", {})
        return
    if words[0] == "send" and len(words) > 1:
        if len(words) != 3:
            raise click.UsageError('chat send takes a name and a text: chat send bob "Hello"')
        send_once(context, words[1], words[2])
        return
    if len(words) > 1:
        raise click.UsageError(f"one person or group, not {len(words)}; quote names with blanks")
    if plain or shell.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from bitdust.cli.chat_plain import chat_plain

        good = asyncio.run(
            chat_plain(
                shell.home, words[0], as_json=shell.as_json, history=history or 0, listen=listen
            )
        )
        if not good:
            context.exit(FAILED)
        return
    if find_spec("textual") is None:
        raise NotFound(
            "the chat screen needs textual, which is not installed",
            hint="install it with `pip install 'bitdust[tui]'`, or add --plain",
        )
    from bitdust.cli.chat_screen import ChatApp

    app = ChatApp(shell.home, words[0], 100 if history is None else history)
    app.run()
    if app.failure is not None:
        raise app.failure


def send_once(context: click.Context, target: str, text: str) -> None:
    """Send one message, to a person or a group."""
    shell, registry = shell_of(context), registry_of(context)
    if target.startswith("group_") and "$" in target:
        given = {"group_key_id": target, "data": {"message": text}}
        shell.call(registry, "message_send_group", given)
        return
    shell.call(registry, "message_send", {"recipient_id": target, "data": {"message": text}})
