"""``bitdust testnet``: start and stop a whole network of daemons on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bitdust.cli.runner import shell_of, with_shared_options
from bitdust.cli.testnet_folder import NODES_FILE
from bitdust.config_keys import KEY_SIZES

F = TypeVar("F", bound=Callable[..., Any])


def _folder_option(text: str) -> Callable[[F], F]:
    kind = click.Path(path_type=Path, file_okay=False)
    return click.option("--dir", "folder", required=True, type=kind, metavar="DIR", help=text)


@click.group
def testnet() -> None:
    """Run a whole network of nodes on this machine, for trying things out and for tests."""


@testnet.command
@_folder_option("Folder for everything the network writes.")
@click.option("--suppliers", default=4, show_default=True, help="Nodes that donate space.")
@click.option("--customers", default=1, show_default=True, help="Nodes that store data.")
@click.option("--identity-servers", default=1, show_default=True, help="Nodes that serve names.")
@click.option(
    "--key-size",
    default="2048",
    show_default=True,
    type=click.Choice([str(size) for size in KEY_SIZES]),
    help="Bits of everybody's RSA keys.",
)
@click.option("--needed-space", metavar="SIZE", help="What a customer wants.  [default: 4 GB]")
@click.option("--donated-space", metavar="SIZE", help="What a supplier offers.  [default: 32 GB]")
@click.option("--detach", is_flag=True, help="Return once it is up, and leave it running.")
@with_shared_options
@click.pass_context
def start(
    context: click.Context,
    folder: Path,
    suppliers: int,
    customers: int,
    identity_servers: int,
    key_size: str,
    needed_space: str | None,
    donated_space: str | None,
    detach: bool,
) -> None:
    """Start a network and wait until every customer has its suppliers.

    Writes DIR/testnet.json, a list of the nodes. Without --detach it runs until Ctrl-C.
    """
    # what starts processes takes time to load, which `--help` should not
    from bitdust.cli.testnet import Plan, run

    plan = Plan(
        suppliers,
        customers,
        identity_servers,
        int(key_size),
        needed_space or Plan.needed_space,
        donated_space or Plan.donated_space,
    )

    def report(line: str) -> None:
        click.echo(line, err=True)

    def ready(nodes: list[dict[str, Any]]) -> None:
        path = folder.absolute() / NODES_FILE
        shell_of(context).say(nodes, f"{len(nodes)} nodes are running, see {path}")

    run(folder, plan, detach=detach, report=report, ready=ready)


@testnet.command
@_folder_option("The folder it was started with.")
@with_shared_options
@click.pass_context
def stop(context: click.Context, folder: Path) -> None:
    """End the network of a folder, leaving no process."""
    from bitdust.cli.testnet import stop_folder

    count = stop_folder(folder)
    shell_of(context).say({"stopped": count}, f"{count} nodes were ended")
