"""``bitdust demo-people``: play what people do together, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import click

from bitdust.api.envelope import success
from bitdust.cli.demo_command import work_folder
from bitdust.cli.interrupt import interruptible
from bitdust.cli.output import print_json
from bitdust.cli.runner import shell_of, with_shared_options

BROKEN = 1


@click.command("demo-people")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Work there instead of in a temporary folder; it must be empty or new.",
)
@click.option("--keep", is_flag=True, help="Leave homes, files and logs there for a look.")
@click.option(
    "--messages",
    type=click.IntRange(30, 100_000),
    default=1500,
    show_default=True,
    help="How many are sent in the group while its leading broker is killed.",
)
@with_shared_options
@click.pass_context
def demo_people(context: click.Context, folder: Path | None, keep: bool, messages: int) -> None:
    """Show three people who share a folder, write to each other and lose a broker.

    A network of eight processes is started. Friends are made by a code; messages reach people who
    were asleep or away; a folder is shared, written at the same time, used without its owner and
    closed to one person; a group goes on when its leading broker is killed. Every promise is
    checked; ends with 0 only if all are kept.
    """
    # rich and the network code take time to load, which `--help` should not
    as_json = shell_of(context).as_json
    from bitdust.cli.demo_people import PeopleDemo
    from bitdust.cli.demo_people_cast import people_plan
    from bitdust.cli.demo_report import Screen
    from bitdust.cli.testnet import Testnet

    screen = Screen.make(as_json=as_json)
    kept = False
    with interruptible(), work_folder(folder, keep) as work:
        files = work / "files"
        files.mkdir()
        network = Testnet(work / "network", people_plan())
        run = PeopleDemo(network, files, screen, messages)
        try:
            kept = run.run()
        except KeyboardInterrupt:
            screen.line("interrupted, ending all processes")
            raise
        finally:
            network.stop()
        if keep:
            screen.line(f"everything is left in {work}")
    if as_json:
        print_json(success(run.report()))
    if not kept:
        context.exit(BROKEN)
