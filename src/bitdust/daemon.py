"""The daemon process: one per home, with its lock, its log and its signals."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import io
import logging
import logging.handlers
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bitdust.api import error_classes
from bitdust.config import Settings
from bitdust.errors import AlreadyRunning, BitdustError, LocalFileError, NotRunning

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 5
MAX_PASSPHRASE = 4096
START_DEADLINE = 60.0
"""Seconds a detached daemon may take until it answers."""
STOP_DEADLINE = 20.0
"""Seconds a clean stop may take before the process ends anyway."""
_SEED_WORD = "--seed"
NODE = "node"
SEED = "dhtseed"
_M_ARENA_MAX = -8
"""``mallopt`` of the GNU C library: the most heaps there may be."""
_ARENAS = 2
_M_TRIM_THRESHOLD = -1
"""``mallopt``: how many free bytes at the end of a heap go back to the system at once."""
_TRIM_THRESHOLD = 16 * 1024 * 1024
_M_MMAP_THRESHOLD = -3
"""``mallopt``: from how many bytes on memory comes from the system and goes back to it at once."""
_MMAP_THRESHOLD = 4 * 1024 * 1024
TIDY_PAUSE = 30.0
"""Seconds between two times at which free memory is given back to the system."""
SWITCH_INTERVAL = 0.0005
"""Seconds a thread may keep the interpreter from others; Python's own 5 ms add up to 100 ms for a
call of the API while a large file is uploaded (docs/performance-api.md)."""
DEBUG_LEVEL = 10
"""From this value of ``logs/debug-level`` on the log has debugging messages."""
_DECORATION = ("rich", "better_exceptions")
"""What structlog imports wherever it is installed, for a console that a daemon has not: 3 MiB."""


@dataclass(frozen=True)
class LogPlan:
    """Where the log of one run goes.

    Args:
        level: its detail, as the setting ``logs/debug-level``; what the setting says when None.
        file: its file, instead of the one in the home.
        silent: write no file at all.
    """

    level: int | None = None
    file: Path | None = None
    silent: bool = False

    def words(self) -> list[str]:
        """The same as words of a command line; ``read`` understands them."""
        words = [] if self.level is None else [f"--level={self.level}"]
        words += ["--silent"] if self.silent else []
        return words if self.file is None else [*words, f"--log={self.file}"]

    @classmethod
    def read(cls, words: Iterable[str]) -> LogPlan:
        """A plan from words that ``words`` made."""
        given = dict(word[2:].partition("=")[::2] for word in words)
        return cls(
            int(given["level"]) if "level" in given else None,
            Path(given["log"]) if "log" in given else None,
            "silent" in given,
        )


class HomeLock:
    """Holds a home for one daemon; the operating system frees it when the process dies.

    Args:
        home: the home directory.
        kind: ``NODE`` or ``SEED``; stands in the file, for whoever wants to end the process.

    Raises:
        AlreadyRunning: another process holds it.
        LocalFileError: the home cannot be made or written.
    """

    def __init__(self, home: Path, kind: str = NODE) -> None:
        path = home / "daemon.lock"
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise LocalFileError(
                f"cannot use {str(home)!r} as home: {exc.strerror}",
                hint="choose another home with --home or BITDUST_HOME",
            ) from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._fd)
            raise AlreadyRunning(
                f"another daemon (process {holder(home) or 'unknown'}) already uses {str(home)!r}"
            ) from exc
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()} {kind}\n".encode())

    def release(self) -> None:
        """Give the home up."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(home: Path) -> int | None:
    """The process id of the daemon that holds ``home``, or None when none does."""
    words = _held(home)
    return int(words[0]) if words and words[0].isdigit() else None


def seed_in(home: Path) -> int | None:
    """The process id of the DHT seed that holds ``home``, or None when it is a node or none."""
    words = _held(home)
    return holder(home) if words[1:] == [SEED] else None


def _held(home: Path) -> list[str]:
    """What the lock of a running daemon says: its process id and its kind."""
    try:
        fd = os.open(home / "daemon.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 32, 0).decode("ascii", "replace").split()
    else:
        return []
    finally:
        os.close(fd)


def setup_logging(home: Path, *, console: bool, plan: LogPlan | None = None) -> None:
    """Send structured lines to ``<home>/logs/bitdust.log``, rotated, and to stderr if asked.

    Raises:
        LocalFileError: the file cannot be written.
    """
    plan = plan or LogPlan()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if console else []
    if not plan.silent:
        handlers.append(_log_file(plan.file or home / "logs" / "bitdust.log"))
    level = _level(plan.level or 0)
    logging.basicConfig(
        level=level, handlers=handlers or [logging.NullHandler()], format="%(message)s", force=True
    )
    for name in ("websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _hidden(*_DECORATION):
        import structlog
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(
                key_order=["timestamp", "level", "component", "event"], drop_missing=True
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _log_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
        os.chmod(path, 0o600)
    except OSError as exc:
        raise LocalFileError(
            f"cannot write the log {str(path)!r}: {exc.strerror}",
            hint="name another file with -o, or none with -n",
        ) from exc
    return handler


def _level(detail: int) -> int:
    return logging.DEBUG if detail >= DEBUG_LEVEL else logging.INFO


def _follow_level(settings: Settings, plan: LogPlan) -> None:
    """Let the detail of the log be what the setting says, unless the command line said."""
    key = "logs/debug-level"

    def take(_key: str, value: object) -> None:
        if isinstance(value, int):
            logging.getLogger().setLevel(_level(value))

    if plan.level is None:
        take(key, settings.get_int(key))
        settings.watch(key, take)


@contextlib.contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Let modules that are not loaded yet seem not to be installed."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        # so the import system is told that there is none; its type does not know
        sys.modules[name] = cast(ModuleType, None)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _raise_file_limit() -> None:
    # a deep tree keeps one descriptor per level open, a supplier one per transfer
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tune_heaps() -> None:
    # Every thread of the pool would keep a heap of its own; must be said before they begin. And
    # what is received by the network comes and goes in pieces of 256 KiB: given back each time and
    # asked for again, that was 100,000 page faults for each GiB that a supplier took.
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)


def _give_back() -> None:
    """Return to the system what is free in the heaps."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


async def _tidy(pool: Executor) -> None:
    while True:
        await asyncio.get_running_loop().run_in_executor(pool, _give_back)
        await asyncio.sleep(TIDY_PAUSE)


async def _serve(
    home: Path, ready: Callable[[], None], passphrase: str | None, plan: LogPlan
) -> bool:
    """Run until asked to stop; True when a restart is wanted."""
    # Modules live as long as the process: looking through them for garbage at every collection
    # while they are loaded, and after that, costs time for nothing. Once is enough.
    gc.disable()
    # an upload's threads may hold the interpreter this long before the loop gets its turn
    sys.setswitchinterval(SWITCH_INTERVAL)
    # the composition root pulls in everything, so it is imported only where a node really runs
    from bitdust.node import Node

    gc.collect()
    gc.freeze()
    gc.enable()
    node = Node(home, passphrase=passphrase)
    _follow_level(node.settings, plan)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, node.request_stop)
    try:
        await node.start()
        ready()
        tidying = loop.create_task(_tidy(node.pool), name="tidy memory")
        try:
            return await node.wait_stop()
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, return_exceptions=True)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.stop(), STOP_DEADLINE)


async def _serve_seed(home: Path, ready: Callable[[], None], plan: LogPlan) -> bool:
    """Run a DHT seed until asked to stop."""
    from bitdust.seed import DhtSeed

    settings = Settings(home)
    _follow_level(settings, plan)
    seed = DhtSeed(home, settings)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, seed.request_stop)
    try:
        await seed.start()
        ready()
        return await seed.wait_stop()
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seed.stop(), STOP_DEADLINE)


def _run(main: Coroutine[Any, Any, bool]) -> bool:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def serve(
    home: Path,
    ready: Callable[[], None],
    *,
    console: bool,
    passphrase: str | None = None,
    plan: LogPlan | None = None,
    seed: bool = False,
) -> None:
    """Hold the home and run the daemon in this process until it is stopped.

    Args:
        home: the home directory.
        ready: called once the API answers.
        console: log to stderr as well.
        passphrase: opens a locked master key.
        plan: where the log goes.
        seed: be a DHT seed and nothing else.

    Raises:
        BitdustError: it could not start; nothing is left running.
    """
    plan = plan or LogPlan()
    lock = HomeLock(home, SEED if seed else NODE)
    try:
        setup_logging(home, console=console, plan=plan)
        _raise_file_limit()
        _tune_heaps()
        restart = _run(
            _serve_seed(home, ready, plan) if seed else _serve(home, ready, passphrase, plan)
        )
    finally:
        lock.release()
    if restart:
        os.dup2(_pipe_with(passphrase), 0)
        os.execv(  # noqa: S606
            sys.executable, [sys.executable, "-m", "bitdust.daemon", *plan.words(), str(home)]
        )


def _pipe_with(passphrase: str | None) -> int:
    """A descriptor to read the passphrase from: neither a command line nor a file ever holds it."""
    reader, writer = os.pipe()
    os.write(writer, (passphrase or "").encode())
    os.close(writer)
    return reader


def run_daemon(
    home: Path,
    *,
    foreground: bool,
    passphrase: str | None = None,
    plan: LogPlan | None = None,
    seed: bool = False,
) -> int | None:
    """Start the daemon for ``home``.

    Args:
        home: the home directory; made when missing.
        foreground: stay in this process until stopped, logging to stderr.
        passphrase: opens a locked master key.
        plan: where the log goes.
        seed: be a DHT seed and nothing else.

    Returns:
        The process id of the detached daemon, once it answers; None after a run in the foreground.

    Raises:
        AlreadyRunning: another daemon holds this home.
        BitdustError: it could not start, with the reason it gave.
    """
    if foreground:
        serve(home, lambda: None, console=True, passphrase=passphrase, plan=plan, seed=seed)
        return None
    pid = holder(home)
    if pid is not None:
        raise AlreadyRunning(f"another daemon (process {pid}) already uses {str(home)!r}")
    try:
        (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        output = os.open(
            home / "logs" / "stderr.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
    except OSError as exc:
        raise LocalFileError(
            f"cannot use {str(home)!r} as home: {exc.strerror}",
            hint="choose another home with --home or BITDUST_HOME",
        ) from exc
    secret = _pipe_with(passphrase)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "bitdust.daemon"),
                    *(plan or LogPlan()).words(),
                    *([_SEED_WORD] if seed else []),
                    *(str(home), str(writer)),
                ],
                stdin=secret,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(secret)
            os.close(writer)
            os.close(output)
        text = _wait_for(stream, START_DEADLINE)
    if text.startswith("ready"):
        # the daemon outlives us on purpose, so its handle must not warn when it is collected
        process.returncode = 0
        return process.pid
    if process.poll() is None:
        process.terminate()
        process.wait(STOP_DEADLINE)
    code, message, hint = (*text.split("\x00"), "", "", "")[:3]
    raise error_classes().get(code, NotRunning)(
        message or "the daemon ended while starting",
        hint=hint or f"see {home / 'logs' / 'stderr.log'}",
    )


def _wait_for(stream: io.FileIO, seconds: float) -> str:
    """What the detached process reports until it closes its end; empty when it takes too long."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    while select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = stream.read(4096)
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()


def main(argv: list[str]) -> int:
    """Entry of the detached process: ``HOME [FD]`` after the words of its ``LogPlan``.

    It reports on FD whether it is up.

    A pipe as standard input holds the passphrase of the master key, if it has one.
    """
    plan = LogPlan.read(word for word in argv if word.startswith("--"))
    seed = _SEED_WORD in argv
    argv = [word for word in argv if not word.startswith("--")]
    home = Path(argv[0])
    piped = stat.S_ISFIFO(os.fstat(0).st_mode)
    passphrase = os.read(0, MAX_PASSPHRASE).decode() if piped else ""
    writer = int(argv[1]) if len(argv) > 1 else -1

    def report(text: str) -> None:
        nonlocal writer
        if writer >= 0:
            os.write(writer, text.encode())
            os.close(writer)
            writer = -1

    try:
        serve(
            home,
            lambda: report("ready"),
            console=False,
            passphrase=passphrase or None,
            plan=plan,
            seed=seed,
        )
    except BitdustError as exc:
        report(f"{exc.code}\x00{exc.message}\x00{exc.hint}")
        return exc.exit_code
    finally:
        report("")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
