"""Walking a local tree without ever leaving it: folders by descriptor, links never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bitdust.errors import LocalFileError
from bitdust.ids import encode_name

FILE = "f"
FOLDER = "d"
LINK = "l"

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Found:
    """One name in a local folder, as ``lstat`` sees it.

    Args:
        name: bytes of the name.
        kind: ``f`` file, ``d`` folder, ``l`` symbolic link.
        mode: permission bits, 12 bits.
        mtime_ns: modification time, nanoseconds since 1970.
        ctime_ns: inode change time, nanoseconds; with ``ino`` it tells a changed file.
        size: bytes; 0 for folders, length of the target for links.
        target: a link's target, else empty.
    """

    name: bytes
    kind: str
    mode: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    size: int
    target: bytes = b""


@dataclass(slots=True)
class Visit:
    """One folder of the walk, valid until the next one is asked for.

    Args:
        segments: names from the root down, empty for the root.
        fd: descriptor of the open folder, for opening its files.
        found: what is in it, sorted by name.
        skipped: names with the reason why they are left out (sockets, devices, unreadable).
    """

    segments: tuple[bytes, ...]
    fd: int
    found: list[Found]
    skipped: list[tuple[bytes, str]]


def describe(name: bytes, st: os.stat_result, dir_fd: int | None, path: bytes) -> Found | str:
    """A ``Found`` from a stat result, or the reason why this kind of file is left out."""
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISREG(st.st_mode):
        return Found(name, FILE, mode, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_size)
    if stat.S_ISDIR(st.st_mode):
        return Found(name, FOLDER, mode, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, 0)
    if stat.S_ISLNK(st.st_mode):
        try:
            target = os.readlink(path, dir_fd=dir_fd)
        except OSError as exc:
            return exc.strerror or "unreadable link"
        return Found(
            name, LINK, mode, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, len(target), target
        )
    return "not a file, folder or link"


def stat_root(path: Path) -> Found:
    """Describe the place a walk would start from.

    Raises:
        LocalFileError: it does not exist, cannot be read, or is a device or socket.
    """
    raw = os.fsencode(path)
    try:
        st = os.lstat(raw)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no usable path"
        raise LocalFileError(
            f"cannot read {str(path)!r}: {reason}", hint="check the local path and its permissions"
        ) from exc
    found = describe(os.path.basename(raw), st, None, raw)
    if isinstance(found, str):
        raise LocalFileError(f"cannot store {str(path)!r}: {found}")
    return found


def open_file(name: bytes | Path, dir_fd: int | None = None) -> int:
    """Open a regular file for reading without following a link in its last segment.

    Raises:
        OSError: as ``os.open``; a name that became a link, pipe or device since the walk is
            refused as well.
    """
    fd = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("it is no longer a regular file")
    return fd


def _read_folder(segments: tuple[bytes, ...], fd: int) -> Visit:
    found: list[Found] = []
    skipped: list[tuple[bytes, str]] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            # scandir of a descriptor yields text whatever the platform's encoding
            name = encode_name(entry.name)
            try:
                one = describe(name, entry.stat(follow_symlinks=False), fd, name)
            except OSError as exc:
                one = exc.strerror or "unreadable"
            if isinstance(one, str):
                skipped.append((name, one))
            else:
                found.append(one)
    found.sort(key=lambda item: item.name)
    return Visit(segments, fd, found, skipped)


def walk_tree(root: Path) -> Iterator[Visit]:
    """Visit every folder below ``root``, parents first, each folder's files before its folders.

    Only the folders on the way down are open, so depth costs descriptors and nothing else does.
    A folder that cannot be opened is reported as skipped by a visit of its own with no entries.

    Raises:
        LocalFileError: ``root`` itself cannot be opened.
    """
    try:
        fd = os.open(root, _OPEN_FOLDER)
    except OSError as exc:
        raise LocalFileError(f"cannot read {str(root)!r}: {exc.strerror}") from exc
    stack: list[tuple[tuple[bytes, ...], int, Iterator[bytes]]] = [((), fd, iter(()))]
    try:
        visit = _read_folder((), fd)
        stack[0] = ((), fd, _folders(visit))
        yield visit
        while stack:
            segments, fd, folders = stack[-1]
            name = next(folders, None)
            if name is None:
                stack.pop()
                os.close(fd)
                continue
            below = (*segments, name)
            try:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=fd)
            except OSError as exc:
                yield Visit(below, -1, [], [(b"", exc.strerror or "cannot be opened")])
                continue
            try:
                visit = _read_folder(below, inner)
            except OSError as exc:
                os.close(inner)
                yield Visit(below, -1, [], [(b"", exc.strerror or "cannot be read")])
                continue
            stack.append((below, inner, _folders(visit)))
            yield visit
    finally:
        for _, fd, _ in stack:
            os.close(fd)


def _folders(visit: Visit) -> Iterator[bytes]:
    return iter([item.name for item in visit.found if item.kind == FOLDER])


def measure(root: Path) -> tuple[int, int]:
    """Files and bytes below ``root``, for progress bars; quick, and wrong by what changes."""
    files = size = 0
    for visit in walk_tree(root):
        for item in visit.found:
            if item.kind == FILE:
                files += 1
                size += item.size
    return files, size
