"""``bitdust dhtseed``: a process that is nothing but a DHT node for others to start from."""

from __future__ import annotations

from importlib import import_module

import click

from bitdust.cli.local import make_home
from bitdust.cli.runner import shell_of, with_flags, with_shared_options


@click.command
@click.argument("mode", metavar="[daemon]", required=False, type=click.Choice(["daemon"]))
@with_flags
@with_shared_options
@click.pass_context
def dhtseed(context: click.Context, mode: str | None) -> None:
    """Run a DHT node from which others start, here or as a daemon.

    It has no identity, no API and no files. The settings below services/entangled-dht of its home
    say on which port and with whom; `bitdust stop` ends it.
    """
    shell = shell_of(context)
    make_home(shell.home)
    shell.settings.check()
    module = import_module("bitdust.daemon")
    flags = shell.flags
    plan = module.LogPlan(flags.debug, flags.output, flags.no_logs)
    pid = module.run_daemon(shell.home, foreground=mode is None, plan=plan, seed=True)
    if pid is not None:
        result = {"pid": pid, "home": str(shell.home)}
        shell.say(result, f"the DHT seed is running, process {pid}")
