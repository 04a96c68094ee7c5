"""The directory of a fragment store: paths, durable writes, checked reads.

    <root>/<node id in hex>/<2 hex>/<object name>~<hash>   an object
    <root>/<node id in hex>/contract, family               what the index also holds
    <root>/incoming/                                       writes that are not done

All calls block and are meant for the pool.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from bitdust.errors import DiskFull, IntegrityError, LocalFileError
from bitdust.supply.index import ObjectRow
from bitdust.supply.names import file_name, parse_file_name, shard

_NODE_DIR = re.compile(r"[0-9a-f]{64}")
_SHARD_DIR = re.compile(r"[0-9a-f]{2}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system says into the documented errors.

    Raises:
        DiskFull: no room on the disk.
        LocalFileError: anything else went wrong with the disk.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise DiskFull(f"no room on the disk for {doing}") from exc
        raise LocalFileError(f"the disk failed at {doing}: {os.strerror(exc.errno or 0)}") from exc


def sync_dir(path: Path) -> None:
    """Make the entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_and_forget(fd: int) -> None:
    """Make the bytes of a file durable and give their memory back.

    What others keep here is hardly ever read soon. Left in the page cache it would push out what
    this machine's owner works with, and every further object would need memory that was not in use
    yet, which on a virtual machine costs more than all else that storing does
    (docs/performance.md).
    """
    os.fsync(fd)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def make_dir(path: Path) -> None:
    """Make a directory whose parent exists, durably; fine when it is there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    sync_dir(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a small file as a whole: afterwards it has the old bytes or the new ones.

    Raises:
        DiskFull, LocalFileError: the old file is untouched.
    """
    with disk_errors(f"writing {path.name}"):
        temp = path.with_name(f".{path.name}.new")
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temp, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temp)
            raise
        sync_dir(path.parent)


class Layout:
    """Where things lie under the root of a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.index = root / "index.db"

    def prepare(self) -> None:
        """Make the directories that always exist."""
        with disk_errors("making the folder of customers"):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_dir(self.incoming)

    def customer(self, customer: bytes) -> Path:
        """The folder of a customer."""
        return self.root / customer.hex()

    def object(self, customer: bytes, name: str, digest: bytes) -> Path:
        """The file of an object."""
        return self.customer(customer) / shard(name) / file_name(name, digest)

    def row_path(self, row: ObjectRow) -> Path:
        """The file of an object of the index."""
        return self.object(row.customer, row.name, row.digest)

    def customers(self) -> Iterator[bytes]:
        """Customers that have a folder."""
        for entry in os.scandir(self.root):
            if _NODE_DIR.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield bytes.fromhex(entry.name)

    def objects(self, customer: bytes) -> Iterator[tuple[str, bytes, int, Path]]:
        """The object files of a customer: name, hash, size in bytes, path."""
        for folder in os.scandir(self.customer(customer)):
            if not _SHARD_DIR.fullmatch(folder.name) or not folder.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(folder.path):
                parsed = parse_file_name(entry.name)
                if parsed is None or not entry.is_file(follow_symlinks=False):
                    continue
                if shard(parsed[0]) == folder.name:
                    yield *parsed, entry.stat(follow_symlinks=False).st_size, Path(entry.path)


def free_bytes(path: Path) -> int:
    """Bytes an ordinary user may still write to the file system of ``path``."""
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def append(fd: int, hasher: blake3, data: memoryview) -> None:
    """Write and hash the next bytes of an object."""
    hasher.update(data)
    with disk_errors("an object"):
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])


def discard(fd: int, temp: Path) -> None:
    """Close an unfinished file and remove what is left under its name."""
    os.close(fd)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temp)


def open_read(path: Path) -> int:
    """Open the file of an object."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def check_size(path: Path, size: int) -> None:
    """Raise ``IntegrityError`` when a file has not the size it should have."""
    if path.lstat().st_size != size:
        raise IntegrityError("another size than recorded")


def read_at(fd: int, offset: int, want: int, hasher: blake3 | None) -> bytes:
    """Read exactly ``want`` bytes, hashing them; ``IntegrityError`` when there are fewer."""
    data = os.pread(fd, want, offset)
    if len(data) != want:
        raise IntegrityError("the file is shorter than recorded")
    if hasher is not None:
        hasher.update(data)
    return data


def read_whole(path: Path, row: ObjectRow) -> bytes:
    """Read a small object at once; ``IntegrityError`` when it is damaged."""
    fd = open_read(path)
    try:
        if os.fstat(fd).st_size != row.size:
            raise IntegrityError("another size than recorded")
        hasher = blake3()
        data = read_at(fd, 0, row.size, hasher)
        if hasher.digest() != row.digest:
            raise IntegrityError("another hash than recorded")
        return data
    finally:
        os.close(fd)


def remove_folder(layout: Layout, customer: bytes) -> None:
    """Remove the folder of a customer with everything a store makes in it; the rest stays."""
    folder = layout.customer(customer)
    if not folder.is_dir():
        return
    for _, _, _, path in list(layout.objects(customer)):
        path.unlink(missing_ok=True)
    for name in ("contract", "family"):
        (folder / name).unlink(missing_ok=True)
    folders = [
        Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)
    ]
    for path in (*folders, folder):
        # Not empty: something that is not ours lies in it.
        with contextlib.suppress(OSError):
            os.rmdir(path)
