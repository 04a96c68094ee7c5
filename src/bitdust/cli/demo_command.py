"""``bitdust demo``: run the demo in a folder of its own and leave nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bitdust.api.envelope import success
from bitdust.cli.interrupt import interruptible, undisturbed
from bitdust.cli.output import print_json
from bitdust.cli.runner import shell_of, with_shared_options

DIFFERENT = 1


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Work there instead of in a temporary folder; it must be empty or new.",
)
@click.option("--keep", is_flag=True, help="Leave trees, homes and logs there for a look.")
@click.option(
    "--tree",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Back up this folder instead of Python's standard library.",
)
@with_shared_options
@click.pass_context
def demo(context: click.Context, folder: Path | None, keep: bool, tree: Path | None) -> None:
    """Show that a folder survives the loss of half its suppliers and of this machine.

    A network of seven processes is started. A real tree is backed up twice, two of four suppliers
    are killed, the owner's home is deleted, and both versions are restored from the key backup file
    alone and compared byte by byte. Ends with 0 only if all of it is equal.
    """
    # rich and the network code take time to load, which `--help` should not
    as_json = shell_of(context).as_json
    from bitdust.cli.demo import Demo, demo_plan
    from bitdust.cli.demo_report import Screen
    from bitdust.cli.testnet import Testnet

    screen = Screen.make(as_json=as_json)
    equal = False
    with interruptible(), work_folder(folder, keep) as work:
        trees = work / "trees"
        trees.mkdir()
        network = Testnet(work / "network", demo_plan())
        run = Demo(network, trees, tree and tree.absolute(), screen)
        try:
            equal = run.run()
        except KeyboardInterrupt:
            screen.line("interrupted, ending all processes")
            raise
        finally:
            network.stop()
        if keep:
            screen.line(f"everything is left in {work}")
    if as_json:
        print_json(success(run.report()))
    if not equal:
        context.exit(DIFFERENT)


@contextmanager
def work_folder(folder: Path | None, keep: bool) -> Iterator[Path]:
    """A folder for one run, which goes with it unless it is to be kept.

    Raises:
        AlreadyExists: it is not empty.
        LocalFileError: it cannot be made.
    """
    from bitdust.cli.demo_tree import remove_tree
    from bitdust.errors import AlreadyExists, LocalFileError

    try:
        if folder is None:
            work = Path(tempfile.mkdtemp(prefix="bitdust-demo-"))
        else:
            work = folder.absolute()
            work.mkdir(parents=True, exist_ok=True)
            if any(work.iterdir()):
                raise AlreadyExists(
                    f"{str(work)!r} is not empty", hint="name a new folder with --dir"
                )
    except OSError as exc:
        raise LocalFileError(
            f"cannot use {str(folder or tempfile.gettempdir())!r}: {exc.strerror}",
            hint="name a folder you can write to with --dir",
        ) from exc
    try:
        yield work
    finally:
        if not keep:
            with undisturbed():
                remove_tree(work)
