"""Writing a restored tree: whole files appear at once, nothing is written outside the destination.

Folders are opened by descriptor and links are never followed, so a tree (or somebody racing with
us) cannot lead a write elsewhere. A file is written under a temporary name, its hash compared, and
only then renamed over the old one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from bitdust.errors import DiskFull, IntegrityError, LocalFileError

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_PART = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE = bytes(64 * 1024)


def local_error(exc: OSError, what: str) -> LocalFileError | DiskFull:
    """The documented error for a failed write, with the reason of the operating system."""
    import errno

    reason = exc.strerror or str(exc)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room to write {what}: {reason}")
    return LocalFileError(
        f"cannot write {what}: {reason}", hint="choose a destination folder you can write to"
    )


class FileWriter:
    """One file on its way to its name.

    Args:
        dir_fd: the open folder it goes to; must stay open until ``commit`` or ``abandon``.
        name: final name.
        size: bytes when whole.
        digest: BLAKE3 of the whole content, 32 bytes.
    """

    def __init__(self, dir_fd: int, name: bytes, size: int, digest: bytes) -> None:
        self._dir_fd = dir_fd
        self._name = name
        self._size = size
        self._digest = digest
        self._hasher = blake3()
        self.position = 0
        self._part = part_name(os.fsdecode(name), size, digest).encode()
        self._fd = os.open(self._part, _OPEN_PART, 0o600, dir_fd=dir_fd)
        st = os.fstat(self._fd)
        # bytes that an interrupted download left and that were not looked at yet
        self._left = st.st_size
        self._ends_in_hole = False
        if not stat.S_ISREG(st.st_mode):
            os.close(self._fd)
            raise OSError(f"{self._part.decode()} is in the way and is not a file")

    def keep(self, pieces: Iterable[tuple[bytes, int]], chunk_key: bytes) -> int:
        """Reuse what an interrupted download left: the longest run of intact pieces.

        Args:
            pieces: (chunk id, plain length) from the start of the file.
            chunk_key: 32 bytes, the key of the chunk ids.

        Returns:
            How many pieces need not be fetched again.
        """
        left = self._left
        kept = 0
        for chunk_id, length in pieces:
            if length > left - self.position:
                break
            data = os.pread(self._fd, length, self.position)
            if len(data) != length or blake3(data, key=chunk_key).digest() != chunk_id:
                break
            self._hasher.update(data)
            self.position += length
            kept += 1
        if left:
            os.ftruncate(self._fd, self.position)
            os.lseek(self._fd, self.position, os.SEEK_SET)
            self._left = 0
        return kept

    def write(self, data: bytes | memoryview) -> None:
        """Append the next bytes; long runs of zeros become holes."""
        if self._left:
            os.ftruncate(self._fd, 0)
            self._left = 0
        self._hasher.update(data)
        view = memoryview(data)
        # bytes compare as memcmp does, views byte by byte
        if (
            len(view) >= len(_HOLE)
            and not any(view[:8])
            and not any(view[-8:])
            and bytes(view[: len(_HOLE)]) == _HOLE
        ):
            self._write_sparse(view)
        else:
            self._ends_in_hole = False
            while view:
                view = view[os.write(self._fd, view) :]
        self.position += len(data)

    def _write_sparse(self, view: memoryview) -> None:
        for start in range(0, len(view), len(_HOLE)):
            piece = view[start : start + len(_HOLE)]
            if bytes(piece) == _HOLE[: len(piece)]:
                os.lseek(self._fd, len(piece), os.SEEK_CUR)
                self._ends_in_hole = True
            else:
                self._ends_in_hole = False
                while piece:
                    piece = piece[os.write(self._fd, piece) :]

    def commit(self, mode: int, mtime_ns: int) -> None:
        """Check the whole file, give it its mode, time and name.

        Raises:
            IntegrityError: the content is not what the manifest says; nothing took the name.
        """
        if self.position != self._size or self._hasher.digest() != self._digest:
            self.abandon()
            raise IntegrityError(
                "a restored file does not match the hash in its manifest",
                hint="start the download again; if it repeats, the stored data is damaged",
            )
        if self._ends_in_hole or self._left:
            os.ftruncate(self._fd, self._size)
        os.fchmod(self._fd, mode)
        os.utime(self._fd, ns=(mtime_ns, mtime_ns))
        os.close(self._fd)
        self._fd = -1
        try:
            os.rename(self._part, self._name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        except IsADirectoryError as exc:
            os.unlink(self._part, dir_fd=self._dir_fd)
            raise LocalFileError(
                f"a folder is in the way of the file {os.fsdecode(self._name)!r}",
                hint="move it away or choose another destination",
            ) from exc

    def close(self) -> None:
        """Stop, leaving what was written for a later ``keep``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """Stop and remove what was written."""
        if self._fd >= 0:
            self.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=self._dir_fd)


class TreeWriter:
    """Writes a tree below a destination, in the order a snapshot is walked (parents first).

    Args:
        destination: an existing or new folder; given by the person, so links in it are followed.
    """

    def __init__(self, destination: Path) -> None:
        try:
            destination.mkdir(parents=True, exist_ok=True)
            fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise local_error(exc, repr(str(destination))) from exc
        if not os.access(destination, os.W_OK | os.X_OK):
            os.close(fd)
            raise LocalFileError(
                f"cannot write into {str(destination)!r}",
                hint="choose a destination folder you can write to",
            )
        # the folders on the way to where we are; (name, fd, mode and mtime to set when left)
        self._levels: list[tuple[bytes, int, tuple[int, int] | None]] = [(b"", fd, None)]

    def _enter(self, segments: tuple[bytes, ...]) -> int:
        """Descriptor of the folder ``segments``, leaving and finishing others on the way."""
        common = 0
        while (
            common < len(segments)
            and common + 1 < len(self._levels)
            and self._levels[common + 1][0] == segments[common]
        ):
            common += 1
        while len(self._levels) > common + 1:
            self._leave()
        for name in segments[common:]:
            self._make(name, None)
        return self._levels[-1][1]

    def _make(self, name: bytes, finish: tuple[int, int] | None) -> None:
        parent = self._levels[-1][1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            st = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(st.st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
            elif st.st_mode & 0o700 != 0o700:
                os.chmod(name, stat.S_IMODE(st.st_mode) | 0o700, dir_fd=parent)
        self._levels.append((name, os.open(name, _OPEN_FOLDER, dir_fd=parent), finish))

    def _leave(self) -> None:
        _, fd, finish = self._levels.pop()
        try:
            if finish is not None:
                os.fchmod(fd, finish[0])
                os.utime(fd, ns=(finish[1], finish[1]))
        finally:
            os.close(fd)

    def folder(self, segments: tuple[bytes, ...], mode: int, mtime_ns: int) -> None:
        """Make a folder; its mode and time are set once everything in it is written."""
        self._enter(segments[:-1])
        self._make(segments[-1], (mode, mtime_ns))

    def link(self, segments: tuple[bytes, ...], target: bytes, mtime_ns: int) -> None:
        """Make a symbolic link, whatever it points to; it is not followed."""
        fd = self._enter(segments[:-1])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(segments[-1], dir_fd=fd)
        os.symlink(target, segments[-1], dir_fd=fd)
        os.utime(segments[-1], ns=(mtime_ns, mtime_ns), dir_fd=fd, follow_symlinks=False)

    def touch(self, segments: tuple[bytes, ...], mode: int, mtime_ns: int) -> None:
        """Give a file that is there already its mode and time."""
        fd = os.open(segments[-1], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._enter(segments[:-1]))
        try:
            os.fchmod(fd, mode)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd)

    def file(self, segments: tuple[bytes, ...], size: int, digest: bytes) -> FileWriter:
        """Begin a file; call its ``commit`` before moving on to another folder."""
        return FileWriter(self._enter(segments[:-1]), segments[-1], size, digest)

    def finish(self) -> None:
        """Set modes and times of the folders still open."""
        while len(self._levels) > 1:
            self._leave()

    def close(self) -> None:
        """Let go of all folders; those not finished keep a mode that lets their owner write."""
        while self._levels:
            os.close(self._levels.pop()[1])


def part_name(name: str, size: int, digest: bytes) -> str:
    """The temporary name of a file that is being restored, the same at every attempt."""
    tag = blake3(digest + size.to_bytes(8, "big") + os.fsencode(name)).hexdigest(length=8)
    return f".bitdust-{tag}.part"
