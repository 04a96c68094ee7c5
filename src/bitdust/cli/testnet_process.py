"""The daemon processes of a test network: started, watched and ended without leaving any behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from bitdust.daemon import holder
from bitdust.errors import LocalFileError, NotRunning

START_DEADLINE = 60.0
"""Seconds a daemon may take until its API answers."""
STOP_DEADLINE = 25.0
"""Seconds a daemon may take to end by itself, before it is killed."""
KILL_DEADLINE = 10.0
MAX_REPORT = 64 * 1024


class Daemon:
    """One daemon, a child of this process.

    Args:
        home: its home directory, with its settings written.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the present or last run, 0 before the first."""
        return 0 if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; also collects it when it ended by itself."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> int:
        """Start the process and return the descriptor on which it will report.

        Raises:
            LocalFileError: its home cannot be written.
        """
        log = self.home / "logs" / "stderr.log"
        try:
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise LocalFileError(f"cannot use {str(self.home)!r} as home: {exc.strerror}") from exc
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bitdust.daemon", str(self.home), str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                # Ctrl-C in the terminal is for us alone; we end the nodes in order
                start_new_session=True,
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
            os.close(output)
        return reader

    def await_ready(self, reader: int, deadline: float = START_DEADLINE) -> None:
        """Wait until the API of the process just launched answers.

        Args:
            reader: what ``launch`` returned; closed here.
            deadline: seconds.

        Raises:
            NotRunning: it ended while starting, with the reason it gave, or took too long.
        """
        try:
            text = _read_report(reader, deadline)
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(reader)
        if text.startswith("ready"):
            return
        self.kill()
        message, _, hint = text.strip().partition("\x00")
        log = self.home / "logs" / "stderr.log"
        message = message or f"the daemon ended while starting: {_last_line(log)}"
        raise NotRunning(f"{self.home.name}: {message}", hint=hint or f"see {log}")

    def kill(self) -> None:
        """End it at once with SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(KILL_DEADLINE)

    def ask_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self._process is not None and self.alive:
            self._process.terminate()

    def stop(self, deadline: float = STOP_DEADLINE) -> bool:
        """Ask it to end and wait; kill it when it does not.

        Returns:
            Whether it ended by itself.
        """
        self.ask_to_stop()
        if self._process is None:
            return True
        try:
            self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def release(self) -> None:
        """Let it outlive this process."""
        if self._process is not None and self.alive:
            # a handle that is collected while its process runs would warn
            self._process.returncode = 0


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").split("\n")
    except OSError:
        return "no reason given"
    return next((line for line in reversed(lines) if line.strip()), "no reason given")[:500]


def _read_report(reader: int, deadline: float) -> str:
    ends = time.monotonic() + deadline
    text = b""
    while True:
        left = ends - time.monotonic()
        ready, _, _ = select.select([reader], [], [], max(left, 0.0))
        if not ready:
            raise NotRunning(f"the daemon was not up within {deadline:.0f} seconds")
        data = os.read(reader, MAX_REPORT)
        text += data
        if not data or text.startswith(b"ready") or len(text) > MAX_REPORT:
            return text.decode("utf-8", "replace")


def end_foreign(home: Path, deadline: float = STOP_DEADLINE) -> int | None:
    """End the daemon that holds ``home``, whoever started it, and wait until its process is gone.

    Only the process that holds the lock of that home is touched, through a handle that stays with
    that process, so a number that the system gave to another program meanwhile is never hit.

    Returns:
        Its process id, or None when nobody held the home.

    Raises:
        NotRunning: it could not be ended.
    """
    pid = holder(home)
    if pid is None:
        return None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if holder(home) != pid:
            return None
        for number, patience in ((signal.SIGTERM, deadline), (signal.SIGKILL, KILL_DEADLINE)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            # the handle becomes readable when the process ends
            if select.select([handle], [], [], patience)[0]:
                return pid
    finally:
        os.close(handle)
    raise NotRunning(f"process {pid} of {home} does not end", hint=f"end it with `kill -9 {pid}`")
