"""Uploads and downloads that are waited for: one thread waits, the other shows how far they are."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from bitdust.api.registry import Registry
from bitdust.cli.output import print_note
from bitdust.cli.runner import Shell
from bitdust.errors import BitdustError

POLL_SECONDS = 0.25
_STOP_COMMANDS = {
    "file_upload_start": ("upload", "bitdust file upload-stop"),
    "file_download_start": ("download", "bitdust file download-stop"),
}


def run_with_progress(
    shell: Shell, registry: Registry, method: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Start an upload or download, show its progress until it ends, and return the outcome.

    The job goes on in the node when the command is interrupted.

    Returns:
        The envelope of the operation.

    Raises:
        BitdustError: the node could not be asked.
        KeyboardInterrupt: the person does not want to wait any longer.
    """
    outcome: list[dict[str, Any] | BitdustError] = []
    done = threading.Event()

    def work() -> None:
        try:
            outcome.append(shell.client(registry).envelope(method, arguments, timeout=None))
        except BitdustError as exc:
            outcome.append(exc)
        finally:
            done.set()

    thread = threading.Thread(target=work, name=method, daemon=True)
    thread.start()
    what, stop = _STOP_COMMANDS[method]
    try:
        if sys.stderr.isatty() and not shell.as_json:
            _show(shell, registry, what, str(arguments["remote_path"]), done)
        else:
            while not done.wait(3600):
                pass
    except KeyboardInterrupt:
        print_note(f"the {what} goes on in the daemon; stop it with `{stop} REMOTE_PATH`")
        raise
    thread.join()
    if not outcome:
        raise BitdustError("the call ended without an answer")
    if isinstance(outcome[0], BitdustError):
        raise outcome[0]
    return outcome[0]


def _show(
    shell: Shell, registry: Registry, what: str, remote_path: str, done: threading.Event
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    client = shell.client(registry)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(escape(what), total=None)
        while not done.wait(POLL_SECONDS):
            try:
                job = find_job(client.call(f"files_{what}s"), remote_path)
            except BitdustError:
                continue  # the other thread will say what is wrong
            if job is not None:
                bar.update(
                    task,
                    completed=job.get("bytes_processed", 0),
                    total=job.get("total_size") or None,
                    description=escape(f"{what}, block {job.get('block_number', 0)}"),
                )


def find_job(answer: Any, remote_path: str) -> Mapping[str, Any] | None:
    """The running job about a remote path in the answer of ``files_uploads`` or its sibling.

    Args:
        answer: ``{"running": [...]}`` of uploads, or the list of downloads.
        remote_path: as the person wrote it, with or without the key.

    Returns:
        The job; the only one when none names that path.
    """
    jobs = answer.get("running", []) if isinstance(answer, dict) else answer or []
    wanted = remote_path.strip("/")
    for job in jobs:
        path = str(job.get("remote_path", ""))
        if path == wanted or path.partition(":")[2] == wanted.rpartition(":")[2]:
            return dict(job)
    return dict(jobs[0]) if len(jobs) == 1 else None
