"""Commands that start and end the node."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import click

from bitdust.api.registry import Registry
from bitdust.cli.local import make_home
from bitdust.cli.output import print_note
from bitdust.cli.runner import (
    Shell,
    registry_of,
    shell_of,
    with_flags,
    with_shared_options,
)
from bitdust.errors import AlreadyRunning, DeadlineExceeded, NotRunning

STOP_DEADLINE = 60.0
"""Seconds that ``bitdust stop`` waits for the end."""
RESTART_DEADLINE = 90.0
"""Seconds that ``bitdust restart`` waits until the node answers again."""
LOOK_EVERY = 0.05

# Scripts of the original wait for these words.
STARTING = "new BitDust process will be started in daemon mode"
RUNNING = "main BitDust process already started"


def holder(home: Path) -> int | None:
    """The process of the node that runs in ``home``."""
    found: int | None = import_module("bitdust.daemon").holder(home)
    return found


def launch(shell: Shell, *, foreground: bool) -> int | None:
    """Start the node of a home.

    Returns:
        Its process id, once it answers; None after a run in the foreground.

    Raises:
        AlreadyRunning: one runs.
        BitdustError: it could not start.
    """
    make_home(shell.home)
    shell.settings.check()
    secret = None
    if (shell.home / "metadata" / "mykeyfile").exists():
        secret = import_module("bitdust.cli.passphrase").passphrase_for(shell.home)
    module = import_module("bitdust.daemon")
    flags = shell.flags
    plan = module.LogPlan(flags.debug, flags.output, flags.no_logs)
    pid: int | None = module.run_daemon(
        shell.home, foreground=foreground, passphrase=secret, plan=plan
    )
    return pid


def await_end(home: Path) -> None:
    """Wait until no node runs in ``home``.

    Raises:
        DeadlineExceeded: it takes too long.
    """
    ends = time.monotonic() + STOP_DEADLINE
    while holder(home) is not None:
        if time.monotonic() > ends:
            raise DeadlineExceeded(
                f"the node did not end within {STOP_DEADLINE:g} s", hint=f"see {home / 'logs'}"
            )
        time.sleep(LOOK_EVERY)


@contextmanager
def node_for(shell: Shell, registry: Registry) -> Iterator[None]:
    """A node for one call: the one that runs, or one that is stopped again afterwards."""
    running = holder(shell.home) is not None or shell.client(registry).is_running()
    if running or not shell.home.is_dir():
        yield
        return
    try:
        launch(shell, foreground=False)
    except AlreadyRunning:  # somebody else started it meanwhile
        yield
        return
    if not shell.flags.quiet:
        print_note("no node is running: one is started for this command only")
    try:
        yield
    finally:
        shell.client(registry).call("process_stop")
        await_end(shell.home)


@click.command
@click.option("--foreground", is_flag=True, help="Stay in this terminal and log to it.")
@click.option("--detach", is_flag=True, help="Run in the background; this is the default.")
@with_flags
@with_shared_options
@click.pass_context
def daemon(context: click.Context, foreground: bool, detach: bool) -> None:
    """Start the node in the background."""
    if foreground and detach:
        raise click.UsageError("--foreground and --detach exclude each other")
    shell = shell_of(context)
    if foreground:
        launch(shell, foreground=True)
        return
    if holder(shell.home) is not None and not shell.as_json and not shell.flags.quiet:
        click.echo(RUNNING)
    pid = launch(shell, foreground=False)
    result = {"pid": pid, "home": str(shell.home)}
    shell.say(result, f"{STARTING}\nthe node is running, process {pid}")


@click.command
@with_flags
@with_shared_options
@click.pass_context
def start(context: click.Context) -> None:
    """Run the node in this terminal, and log to it; Ctrl-C ends it."""
    launch(shell_of(context), foreground=True)


@click.command
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end.")
@with_shared_options
@click.pass_context
def stop(context: click.Context, wait: bool) -> None:
    """Stop the node."""
    shell = shell_of(context)
    seed: int | None = import_module("bitdust.daemon").seed_in(shell.home)
    if seed is not None:  # it has no API
        with suppress(ProcessLookupError):
            os.kill(seed, signal.SIGTERM)
    else:
        shell.ask(registry_of(context), "process_stop", {})
    if wait:
        await_end(shell.home)
    shell.say({"stopped": True}, "the node has stopped" if wait else "the node is stopping")


@click.command
@with_flags
@with_shared_options
@click.pass_context
def restart(context: click.Context) -> None:
    """Stop the node and start it again; start it where it does not run."""
    shell, registry = shell_of(context), registry_of(context)
    before = _run_of(shell.home)
    try:
        shell.ask(registry, "process_restart", {})
    except NotRunning:
        pid = launch(shell, foreground=False)
        shell.say({"restarted": False, "pid": pid}, f"the node is running, process {pid}")
        return
    _await_restart(shell, registry, before)
    shell.say({"restarted": True, "pid": holder(shell.home)}, "the node was started again")


def _run_of(home: Path) -> int:
    """What tells one run of the node from the next: they have the same process id."""
    try:
        return (home / "daemon.lock").stat().st_mtime_ns
    except OSError:
        return 0


def _await_restart(shell: Shell, registry: Registry, before: int) -> None:
    """Wait until the next run holds the home, and answers."""
    ends = time.monotonic() + RESTART_DEADLINE
    while time.monotonic() < ends:
        changed = _run_of(shell.home) != before and holder(shell.home) is not None
        if changed and shell.client(registry).is_running():
            return
        time.sleep(LOOK_EVERY)
    raise DeadlineExceeded(
        f"the node did not answer again within {RESTART_DEADLINE:g} s",
        hint=f"see {shell.home / 'logs'}",
    )
