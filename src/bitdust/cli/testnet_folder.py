"""The folder of a test network: its list of nodes, and ending what runs in it from any process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bitdust.cli.interrupt import undisturbed
from bitdust.cli.testnet_process import end_foreign
from bitdust.daemon import holder
from bitdust.errors import AlreadyExists, AlreadyRunning, LocalFileError, NotRunning

NODES_FILE = "testnet.json"
NODES_FOLDER = "nodes"
MARKER = ".testnet"
LOCK_FILE = ".testnet.lock"
PARALLEL = 16


def prepare_folder(folder: Path) -> None:
    """Make room for a new network; what an earlier one left there goes.

    Raises:
        AlreadyRunning: a network runs there.
        AlreadyExists: there is something in the way that no test network made.
        LocalFileError: the folder cannot be written.
    """
    nodes = folder / NODES_FOLDER
    if running_homes(folder):
        raise _running(folder)
    try:
        if nodes.exists():
            if not (nodes / MARKER).exists():
                raise AlreadyExists(
                    f"{str(nodes)!r} exists and is no earlier test network",
                    hint="name another folder with --dir",
                )
            shutil.rmtree(nodes)
        nodes.mkdir(mode=0o700, parents=True)
        (nodes / MARKER).touch()
        (folder / NODES_FILE).unlink(missing_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc) from exc


class FolderLock:
    """Holds a folder for one process that starts a network in it, until ``release`` or its end.

    Args:
        folder: the folder; made when missing.

    Raises:
        AlreadyRunning: another process holds it.
        LocalFileError: it cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise _unusable(folder, exc) from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._fd)
            raise _running(folder) from exc

    def release(self) -> None:
        """Give the folder up; safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _running(folder: Path) -> AlreadyRunning:
    return AlreadyRunning(
        f"{str(folder)!r} holds a running test network",
        hint=f"end it with `bitdust testnet stop --dir {folder}`",
    )


def _unusable(folder: Path, exc: OSError) -> LocalFileError:
    return LocalFileError(
        f"cannot use {str(folder)!r} for a test network: {exc.strerror}",
        hint="name a folder you can write to with --dir",
    )


def write_nodes(folder: Path, nodes: Sequence[dict[str, Any]]) -> None:
    """Write ``testnet.json``; a reader sees the old list or the new one."""
    target = folder / NODES_FILE
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(nodes, indent=2) + "\n", "utf-8")
    part.replace(target)


def running_homes(folder: Path) -> list[Path]:
    """Homes below a test network's folder that a daemon holds, listed or not."""
    homes = {path.parent for path in (folder / NODES_FOLDER).glob("*/daemon.lock")}
    try:
        nodes = json.loads((folder / NODES_FILE).read_text("utf-8"))
        homes.update(Path(str(node["home"])) for node in nodes)
    except (OSError, ValueError, TypeError, KeyError):
        # without a list, the homes below the folder are all there is
        pass
    return sorted(home for home in homes if holder(home) is not None)


def stop_folder(folder: Path) -> int:
    """End the network that was started in ``folder``, by any process.

    Returns:
        How many nodes were ended.

    Raises:
        NotRunning: nothing runs there, or a node could not be ended.
    """
    folder = folder.absolute()
    homes = running_homes(folder)
    listed = folder / NODES_FILE
    if not homes and not listed.exists():
        raise NotRunning(
            f"no test network runs in {str(folder)!r}",
            hint="name the folder it was started with by --dir",
        )
    with undisturbed(), ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        ended = [pid for pid in pool.map(end_foreign, homes) if pid is not None]
    listed.unlink(missing_ok=True)
    return len(ended)
