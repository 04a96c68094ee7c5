"""Files that travel in pieces between a WebSocket client and the folder ``<home>/temp``.

A client that shares no disk with the node, such as a phone, writes here what it then uploads and
reads from here what it downloaded. Nothing outside of that folder can be reached: every folder on
the way is opened by its descriptor, links are never followed, and only plain files with a single
name are touched.

Source: BitDust, second generation, chunk_read and chunk_write, whose check was a prefix of text.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bitdust.errors import AccessDenied, DiskFull, InvalidInput, LocalFileError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "temp"
RESERVED: Final = frozenset({"keys"})
"""Folders of ``temp`` that are the node's own: private keys on their way to the catalog."""
MAX_READ: Final = 64 * 1024
"""Bytes of the longest chunk that is read; a written one is a text parameter and as long."""
MAX_DEPTH: Final = 16
"""Folders between ``temp`` and a file."""
MAX_FILE: Final = 16 * 1024**3
"""Bytes of the longest file that is written in chunks."""
MAX_FILES: Final = 1000
"""Files without a chosen name that may lie there at one time."""
STALE: Final = 7 * 24 * 3600.0
"""Seconds after which such a file is removed when another one is made."""
SPARE: Final = 256 * 1024**2
"""Bytes that stay free on the disk."""
MAX_COUNTED: Final = 256
"""Files whose chunks are counted at one time."""
PREFIX: Final = "chunks-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_HINT = f"it must be a plain file below the folder {FOLDER!r} of the node's home"


class ChunkCounter:
    """How many chunks of each file went by, and how many bytes; for the newest files only."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def add(self, way: str, path: str, size: int) -> dict[str, Any]:
        """Count one chunk.

        Args:
            way: ``chunk_read`` or ``chunk_write``.
            path: the file.
            size: bytes of the chunk.

        Returns:
            ``path``, ``count`` and ``bytes``.
        """
        count, total = self._seen.pop((way, path), (0, 0))
        self._seen[way, path] = (count + 1, total + size)
        if len(self._seen) > MAX_COUNTED:
            self._seen.popitem(last=False)
        return {"path": path, "count": count + 1, "bytes": total + size}


def write_chunk(home: Path, path: str | None, data: bytes, *, now: float, name: str) -> str:
    """Append a chunk to a file; blocks.

    Args:
        home: of the node.
        path: the file, made when it is not there; None makes one.
        data: the chunk.
        now: seconds since 1970.
        name: what a file without a chosen name is to be called.

    Returns:
        The path of the file.

    Raises:
        AccessDenied: the path leads elsewhere.
        InvalidInput: the file would become too long.
        DiskFull: the disk has no room, or too many files lie there.
        NotFound: its folder is not there.
        LocalFileError: it cannot be written.
    """
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    fresh = path is None
    if path is None:
        _make_room(folder, now)
        path = str(folder / f"{PREFIX}{name}")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | (os.O_EXCL if fresh else 0)
    with _opened(home, path, flags) as (fd, size):
        if size + len(data) > MAX_FILE:
            raise InvalidInput(f"a file in chunks holds at most {MAX_FILE} bytes")
        room = os.fstatvfs(fd)
        if room.f_bavail * room.f_frsize < len(data) + SPARE:
            raise DiskFull(
                "the disk has no room for this chunk", hint="remove files and go on with it"
            )
        with _told(path):
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise DiskFull("the disk has no room for this chunk")
    return path


def read_chunk(home: Path, path: str, offset: int, max_size: int) -> tuple[bytes, bool]:
    """Read a chunk of a file; blocks.

    Args:
        home: of the node.
        path: the file.
        offset: of its first byte.
        max_size: bytes at most.

    Returns:
        The chunk, and whether the file ends with it.

    Raises:
        AccessDenied: the path leads elsewhere.
        NotFound: the file is not there.
        LocalFileError: it cannot be read.
    """
    with _opened(home, path, os.O_RDONLY) as (fd, size), _told(path):
        if offset >= size:
            return b"", True
        data = os.pread(fd, min(max_size, MAX_READ), offset)
        return data, offset + len(data) >= size or not data


@contextmanager
def _opened(home: Path, path: str, flags: int) -> Iterator[tuple[int, int]]:
    """Descriptor and size of a plain file below the folder, opened without following any link."""
    parts = _parts(home, path)
    with _told(path):
        at = os.open(home / FOLDER, _FOLDER)
    try:
        with _told(path):
            for part in parts[:-1]:
                below = os.open(part, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            fd = os.open(parts[-1], flags | _FILE, 0o600, dir_fd=at)
    finally:
        os.close(at)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise _elsewhere(path)
        yield fd, found.st_size
    finally:
        os.close(fd)


def _parts(home: Path, path: str) -> list[str]:
    for base in (home, home.resolve()):
        start = f"{base}/{FOLDER}/"
        if path.startswith(start):
            parts = path[len(start) :].split("/")
            break
    else:
        raise _elsewhere(path)
    if len(parts) > MAX_DEPTH or parts[0] in RESERVED or any(x in ("", ".", "..") for x in parts):
        raise _elsewhere(path)
    return parts


def _elsewhere(path: str) -> AccessDenied:
    return AccessDenied(f"{path[:200]!a} is not for chunks", hint=_HINT)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Errors of the system as documented ones."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFound(f"{path[:200]!a} is not there") from exc
    except OSError as exc:
        # a link, or a file where a folder should be, or a folder where a file should be
        if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
            raise _elsewhere(path) from exc
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk has no room for this chunk") from exc
        raise LocalFileError(f"{path[:200]!a}: {exc.strerror}") from exc


def _make_room(folder: Path, now: float) -> None:
    """Remove files that were left behind; refuse when there are too many all the same."""
    left = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < now - STALE:
                        os.unlink(entry.path)
                    else:
                        left += 1
    if left >= MAX_FILES:
        raise DiskFull(
            f"{left} files in chunks lie in {folder} already", hint="remove some of them"
        )
