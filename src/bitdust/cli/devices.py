"""``bitdust device`` where it is more than one call, and ``bitdust remote`` at the other side."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bitdust.api.envelope import success
from bitdust.cli.local import assignments
from bitdust.cli.pairing import picture
from bitdust.cli.runner import Shell, registry_of, shell_of, with_shared_options

MAX_CODE = 64
CREDENTIAL = "bitdust-device.json"

_START = click.option("--start/--no-start", default=True, show_default=True, help="Start it too.")
_FULL = click.option(
    "--full-access", is_flag=True, help="It may also copy keys, erase the identity, add devices."
)


@click.group("add")
def device_add() -> None:
    """Prepare for a remote device; `device pair` then makes a code for it."""


@device_add.command("direct")
@click.argument("name")
@click.argument("host", required=False)
@click.argument("port", required=False, type=int)
@click.argument("key_size", required=False, type=int)
@_START
@_FULL
@with_shared_options
@click.pass_context
def add_direct(
    context: click.Context,
    name: str,
    host: str | None,
    port: int | None,
    key_size: int | None,
    start: bool,
    full_access: bool,
) -> None:
    """A device that reaches this machine by itself, at HOST and PORT.

    HOST is an address of this machine, or 0.0.0.0 for all of them; the default is localhost. Keys
    have one size, so that KEY_SIZE has no effect.
    """
    del key_size
    given: dict[str, Any] = {"name": name, "activate": start, "full_access": full_access}
    if host is not None:
        given["web_socket_host"] = host
    if port is not None:
        given["web_socket_port"] = port
    shell_of(context).call(registry_of(context), "device_add", given)


@device_add.command("routed")
@click.argument("name")
@click.argument("key_size", required=False, type=int)
@_START
@_FULL
@with_shared_options
@click.pass_context
def add_routed(
    context: click.Context, name: str, key_size: int | None, start: bool, full_access: bool
) -> None:
    """A device that reaches this node through web socket routers of other nodes."""
    del key_size
    given = {"name": name, "routed": True, "activate": start, "full_access": full_access}
    shell_of(context).call(registry_of(context), "device_add", given)


@click.command("pair")
@click.argument("name")
@click.argument("client_code", required=False)
@click.argument("client_public_key", required=False)
@click.option("--qr/--no-qr", default=None, help="Also as a picture; the default in a terminal.")
@with_shared_options
@click.pass_context
def device_pair(
    context: click.Context,
    name: str,
    client_code: str | None,
    client_public_key: str | None,
    qr: bool | None,
) -> None:
    """Make a code that is entered on the device NAME, and let it in with that.

    CLIENT_CODE is for a device that shows a code itself; CLIENT_PUBLIC_KEY makes sure that no other
    device uses it.
    """
    shell, registry = shell_of(context), registry_of(context)
    if client_code is None:
        given = {"name": name, "wait_listening": True}
        made = shell.ask(registry, "device_authorization_generate", given)
    elif client_public_key is None:
        shell.ask(registry, "device_start", {"name": name, "wait_listening": True})
        code = {"name": name, "client_code": client_code}
        shell.ask(registry, "device_authorization_client_code", code)
        made = shell.ask(registry, "device_info", {"name": name})
    else:
        shell.ask(registry, "device_start", {"name": name, "wait_listening": True})
        made = shell.ask(
            registry,
            "device_authorization_request",
            {"name": name, "client_code": client_code, "client_public_key": client_public_key},
        )
    authorization = made.get("authorization")
    if authorization is None:
        shell.say(made, "The device can now be paired with its code, for ten minutes.")
        return
    shown = sys.stdout.isatty() if qr is None else qr
    shell.say(made, _explain(authorization, qr=shown))


def _explain(authorization: Mapping[str, Any], *, qr: bool) -> str:
    until = time.strftime("%H:%M", time.localtime(float(authorization["expires"])))
    lines = [picture(str(authorization["link"]))] if qr else []
    lines += ["", f"    {authorization['client_code']}", ""]
    lines += [f"    {url}" for url in authorization["urls"]]
    lines.append("")
    lines.append(f"Good once, until {until}. Enter the code at the other side, or there:")
    lines.append("    bitdust remote pair URL")
    return "\n".join(lines)


@click.command("access-key")
@click.argument("name")
@click.argument("file", default=CREDENTIAL, type=click.Path(dir_okay=False, path_type=Path))
@with_shared_options
@click.pass_context
def device_access_key(context: click.Context, name: str, file: Path) -> None:
    """Pair the device NAME here and now, and write what it needs to FILE.

    Whoever has the file is the device. Carry it there in a way that you trust.
    """
    shell, registry = shell_of(context), registry_of(context)
    given = {"name": name, "wait_listening": True}
    made = shell.ask(registry, "device_authorization_generate", given)["authorization"]
    _pair(shell, list(made["urls"]), str(made["client_code"]), file, name)


# --- the other side -------------------------------------------------------------------------------


@click.group
def remote() -> None:
    """Use a node elsewhere, as one of its devices."""


@remote.command("pair")
@click.argument("where", nargs=-1, required=True, metavar="URL...")
@click.option(
    "--file",
    default=CREDENTIAL,
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to keep what lets this device in.",
)
@click.option("--label", default="", help="What this device calls itself.")
@with_shared_options
@click.pass_context
def remote_pair(context: click.Context, where: tuple[str, ...], file: Path, label: str) -> None:
    """Become a device of the node at URL, which shows a code.

    The code is asked for, or read from standard input; as a word of the command it could be seen by
    other users of this machine. Several addresses are tried in turn.
    """
    shell = shell_of(context)
    if sys.stdin.isatty():
        code = click.prompt("code", prompt_suffix=": ", err=True)
    else:
        code = sys.stdin.readline(MAX_CODE + 1).strip()
    if not code:
        raise click.UsageError("no code was given; write it to standard input")
    _pair(shell, list(where), code, file, label)


def _pair(shell: Shell, urls: list[str], code: str, file: Path, label: str) -> None:
    from bitdust.client import DeviceClient

    made = asyncio.run(DeviceClient.pair(urls, code, file, label=label))
    result = {"name": made.name, "urls": list(made.urls), "file": str(file.absolute())}
    shell.say(result, f"paired as {made.name}; keep {file} secret")


@remote.command("call")
@click.argument("method")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--file",
    default=CREDENTIAL,
    show_default=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What pairing wrote.",
)
@with_shared_options
@click.pass_context
def remote_call(
    context: click.Context, method: str, arguments: tuple[str, ...], file: Path
) -> None:
    """Call a method of the API of the node elsewhere.

    NAME=VALUE gives a parameter as text, NAME:=VALUE as JSON.
    """
    from bitdust.client import DeviceClient

    async def ask() -> Any:
        async with DeviceClient(file) as client:
            return await client.ask(method, assignments(arguments))

    result = asyncio.run(ask())
    shell_of(context).show(method, success(result))
