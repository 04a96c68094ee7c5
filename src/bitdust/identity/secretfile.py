"""Small secret files: written whole or not at all, readable by their owner only."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from bitdust.errors import AlreadyExists, BitdustError, DiskFull, LocalFileError, NotFound

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
TEMPORARY_SUFFIX = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def make_private_directory(path: Path) -> None:
    """Make ``path`` and its parents; the folder itself is closed to others.

    Raises:
        LocalFileError: it cannot be made.
    """
    try:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        path.chmod(DIRECTORY_MODE)
    except OSError as exc:
        raise _translate(exc, path, "make") from exc


def write_secret(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``; after a crash there is the old content or the new one.

    Raises:
        LocalFileError, DiskFull: nothing was changed.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        _create(temporary, data)
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _translate(exc, path, "write") from exc


def write_new_secret(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, where nothing may be yet.

    Raises:
        AlreadyExists: something is there; it was left as it is.
        LocalFileError, DiskFull: nothing was left behind.
    """
    try:
        _create(path, data)
        _sync_directory(path.parent)
    except FileExistsError as exc:
        raise AlreadyExists(f"{path} exists already", hint="choose another file name") from exc
    except OSError as exc:
        raise _translate(exc, path, "write") from exc


def read_secret(path: Path, limit: int) -> bytes:
    """The content of ``path``; a mode that lets others read it is corrected on the way.

    Raises:
        NotFound: no such file.
        LocalFileError: unreadable, or longer than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                with contextlib.suppress(PermissionError):
                    os.fchmod(file.fileno(), FILE_MODE)
            data = file.read(limit + 1)
    except FileNotFoundError as exc:
        raise NotFound(f"there is no {path}") from exc
    except OSError as exc:
        raise _translate(exc, path, "read") from exc
    if len(data) > limit:
        raise LocalFileError(
            f"{path} is longer than {limit} bytes, so it is damaged",
            hint="put back what was there before, or move it away",
        )
    return data


def remove_file(path: Path) -> None:
    """Remove ``path`` for good; it is no error when it is gone already.

    Raises:
        LocalFileError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileNotFoundError:
        return  # the folder is gone, and the file with it
    except OSError as exc:
        raise _translate(exc, path, "remove") from exc


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of a write that a crash cut off."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.name.endswith(TEMPORARY_SUFFIX):
                path.unlink()


def _create(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        # Some file systems, such as those of memory sticks, cannot sync a folder.
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _translate(exc: OSError, path: Path, verb: str) -> BitdustError:
    if exc.errno in _FULL:
        return DiskFull(f"no room left to write {path}")
    return LocalFileError(
        f"cannot {verb} {path}: {exc.strerror or type(exc).__name__}",
        hint="check that it exists, that you own it and that its folder is writable",
    )
