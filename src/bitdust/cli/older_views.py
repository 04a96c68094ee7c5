"""Commands of the original that show or do what several operations do here.

Source: BitDust, second generation, command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bitdust.api.envelope import error_from
from bitdust.cli.runner import Reported, Shell, registry_of, shell_of, with_shared_options
from bitdust.cli.spellings import OWN_KEY
from bitdust.errors import AlreadyExists, InvalidInput, LocalFileError, NotFound

CLIPBOARDS = (
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
    ("pbcopy",),
    ("clip.exe",),
)
"""Programs that put their input into the clipboard."""
CLIPBOARD_SECONDS = 10
JOBS = ("upload", "download")


def _call(context: click.Context, method: str, **arguments: Any) -> None:
    shell_of(context).call(registry_of(context), method, arguments)


def _ask(context: click.Context, method: str, **arguments: Any) -> Any:
    return shell_of(context).ask(registry_of(context), method, arguments)


@click.command
@with_shared_options
@click.pass_context
def show(context: click.Context) -> None:
    """Ask a user interface to come to the front: fires the event `show`."""
    _call(context, "event_send", event_id="show")


@click.command
@with_shared_options
@click.pass_context
def storage(context: click.Context) -> None:
    """Show space donated to others, consumed at suppliers and used on this disk."""
    views = {
        name: shell_of(context).envelope(registry_of(context), f"space_{name}", {})
        for name in ("donated", "consumed", "local")
    }
    # a node may well be only a customer or only a supplier
    shown = {name: view.get("result") for name, view in views.items() if view["status"] == "OK"}
    if not shown:
        first = views["donated"]
        raise Reported(error_from(first), first)
    _show(shell_of(context), "storage", shown)


def _show(shell: Shell, method: str, result: Any) -> None:
    shell.show(method, {"status": "OK", "result": result})


@click.command
@with_shared_options
@click.pass_context
def idurl(context: click.Context) -> None:
    """Print the address of your identity."""
    text = _ask(context, "identity_get")["idurl"]
    shell_of(context).say({"idurl": text}, text)


@click.command
@with_shared_options
@click.pass_context
def globalid(context: click.Context) -> None:
    """Print your global id."""
    text = _ask(context, "identity_get")["global_id"]
    shell_of(context).say({"global_id": text}, text)


@click.command
@click.argument("action", required=False, type=click.Choice(("start", "stop")))
@with_shared_options
@click.pass_context
def identity_server(context: click.Context, action: str | None) -> None:
    """Show the own identity server, or start or stop it."""
    _call(context, f"service_{action or 'info'}", service_name="identity_server")


# --- keys --------------------------------------------------------------------------------------


def _private_key(context: click.Context, key_id: str) -> tuple[str, str]:
    """Full id and PEM text of a key.

    Raises:
        NotFound: only its public half is here.
    """
    view: Mapping[str, Any] = _ask(context, "key_get", key_id=key_id, include_private=True)
    if not view.get("private"):
        raise NotFound(
            f"the private half of {view['key_id']} is not on this machine",
            hint="only its owner has it",
        )
    return str(view["key_id"]), str(view["private"])


@click.command
@click.argument("key_id", metavar="[KEY_ID]", default=OWN_KEY)
@with_shared_options
@click.pass_context
def key_print(context: click.Context, key_id: str) -> None:
    """Print a private key, the master key if none is named."""
    name, text = _private_key(context, key_id)
    shell_of(context).say({"key_id": name, "private": text}, text)


@click.command
@click.argument("key_id", metavar="[KEY_ID]", default=OWN_KEY)
@with_shared_options
@click.pass_context
def key_copy(context: click.Context, key_id: str) -> None:
    """Put a private key into the clipboard, the master key if none is named."""
    found = next((words for words in CLIPBOARDS if shutil.which(words[0])), None)
    if found is None:
        raise NotFound(
            "there is no program that reaches the clipboard",
            hint="install wl-copy, xclip or xsel, or use `bitdust key print` or `key backup`",
        )
    name, text = _private_key(context, key_id)
    try:
        subprocess.run(
            found,
            input=text.encode(),
            check=True,
            timeout=CLIPBOARD_SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise LocalFileError(
            f"{found[0]} did not take the key", hint="is there a desktop session?"
        ) from exc
    shell_of(context).say({"key_id": name}, f"the private key {name} is in the clipboard")


@click.command
@click.argument("key_id")
@click.argument("file")
@with_shared_options
@click.pass_context
def key_backup(context: click.Context, key_id: str, file: str) -> None:
    """Write a private key to a new file that only you can read."""
    path = Path(file).absolute()
    if path.exists():
        raise AlreadyExists(f"{path} is there already", hint="name another file")
    name, text = _private_key(context, key_id)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"{name}\n{text}")
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise AlreadyExists(f"{path} is there already", hint="name another file") from None
    except OSError as exc:
        raise LocalFileError(f"cannot write {path}: {exc.strerror}") from exc
    result = {"key_id": name, "local_path": str(path)}
    shell_of(context).say(result, f"the private key {name} was written to {path}")


# --- files -------------------------------------------------------------------------------------


@click.group
def folder() -> None:
    """Folders of the catalog."""


@folder.command("create")
@click.argument("remote_path")
@with_shared_options
@click.pass_context
def folder_create(context: click.Context, remote_path: str) -> None:
    """Make a folder in the catalog."""
    _call(context, "file_create", remote_path=remote_path, as_folder=True)


@folder.command("delete")
@click.argument("remote_path")
@with_shared_options
@click.pass_context
def folder_delete(context: click.Context, remote_path: str) -> None:
    """Delete a folder of the catalog with all that is in it."""
    _call(context, "file_delete", remote_path=remote_path)


@click.command
@click.argument("words", nargs=-1, required=True, metavar="[upload|download] REMOTE_PATH")
@with_shared_options
@click.pass_context
def file_cancel(context: click.Context, words: tuple[str, ...]) -> None:
    """Stop the uploads and downloads of a file, or only the one or the other."""
    *kinds, remote_path = words
    if len(words) > 2 or any(kind not in JOBS for kind in kinds):
        raise click.UsageError("say `file cancel [upload|download] REMOTE_PATH`", context)
    shell, registry = shell_of(context), registry_of(context)
    stopped: dict[str, Any] = {}
    failures = []
    for kind in kinds or JOBS:
        envelope = shell.envelope(registry, f"file_{kind}_stop", {"remote_path": remote_path})
        if envelope["status"] == "OK":
            stopped[kind] = envelope.get("result")
        else:
            failures.append(envelope)
    if not stopped:
        raise Reported(error_from(failures[0]), failures[0])
    _show(shell, "file_cancel", stopped)


@click.command
@click.argument("kind", required=False, type=click.Choice(JOBS))
@with_shared_options
@click.pass_context
def file_progress(context: click.Context, kind: str | None) -> None:
    """Show the uploads and downloads under way."""
    found = {f"{name}s": _ask(context, f"files_{name}s") for name in JOBS if kind in (None, name)}
    _show(shell_of(context), "file_progress", found)


# --- services and suppliers --------------------------------------------------------------------


@click.command
@with_shared_options
@click.pass_context
def service_tree(context: click.Context) -> None:
    """Show which service needs which, each below the one that it waits for longest."""
    rows = _ask(context, "services_list")
    shell = shell_of(context)
    if shell.as_json:
        _show(shell, "services_list", rows)
    elif not shell.flags.quiet:
        sys.stdout.write("".join(f"{line}\n" for line in tree_lines(rows)))


def tree_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a tree of services, each service on one.

    Args:
        rows: as ``services_list`` gives them, each after those that it needs.
    """
    depth: dict[str, int] = {}
    below: dict[str, list[str]] = {}
    for row in rows:
        needs = row["depends"]
        depth[row["name"]] = 1 + max((depth[need] for need in needs), default=-1)
        parent = max(needs, key=lambda need: depth[need], default="")
        below.setdefault(parent, []).append(row["name"])
    named = {row["name"]: row for row in rows}
    lines: list[str] = []
    pending = list(reversed(below.get("", [])))
    while pending:
        name = pending.pop()
        row = named[name]
        state = (
            row["state"]
            if row["state"] == "ON" or not row["reason"]
            else (f"{row['state']} ({row['reason']})")
        )
        others = sorted(set(row["depends"]) - {_parent(row, depth)})
        also = f", also needs {', '.join(others)}" if others else ""
        lines.append(f"{'  ' * depth[name]}{name}  {state}{also}")
        pending.extend(reversed(below.get(name, [])))
    return lines


def _parent(row: Mapping[str, Any], depth: Mapping[str, int]) -> str:
    return max(row["depends"], key=lambda need: depth[need], default="")


@click.command
@click.argument("position", type=click.IntRange(0))
@with_shared_options
@click.pass_context
def supplier_replace(context: click.Context, position: int) -> None:
    """Let some other node take a supplier's place."""
    if position > 63:
        raise InvalidInput("position: there are 64 suppliers at most")
    _call(context, "supplier_change", position=position)
