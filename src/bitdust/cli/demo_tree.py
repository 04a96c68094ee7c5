"""The tree of the demo, with what backups usually get wrong, and the exact comparison of trees."""

from __future__ import annotations

import os
import shutil
import stat
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

READ = 1 << 20
NOT_STANDARD = frozenset({"site-packages", "dist-packages"})
"""Folders inside the standard library's that hold foreign packages."""
NASTY = "nasty cases"
SPARSE_SIZE = 64 * 1024 * 1024
MAX_DIFFERENCES = 50
MAX_CHANGED = 256 * 1024 * 1024
INSERT_AT = 1000
DEPTH = 40
OLD = 1_000_000_000_123_456_789
"""A modification time in 2001 with every digit of its nanoseconds in use."""


def standard_library() -> Path:
    """The folder of the running Python's own standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def copy_tree(source: Path, target: Path, *, skip: frozenset[str] = frozenset()) -> None:
    """Copy a tree with modes, times and links as they are.

    Args:
        source: the folder to copy.
        target: the folder to make.
        skip: names left out directly below ``source``. What is no file, folder or link, or cannot
            be read, is left out too.
    """

    def ignore(folder: str, names: list[str]) -> set[str]:
        left = set(names) & skip if Path(folder) == source else set()
        return left | {name for name in names if not _copyable(os.path.join(folder, name))}

    shutil.copytree(source, target, symlinks=True, ignore=ignore)


def _copyable(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:  # gone since it was listed
        return False
    if stat.S_ISLNK(mode):
        return True
    if stat.S_ISDIR(mode):
        return os.access(path, os.R_OK | os.X_OK)
    return stat.S_ISREG(mode) and os.access(path, os.R_OK)


def add_nasty_cases(root: Path) -> Path:
    """Add to a tree what backups usually get wrong; returns the folder that holds it."""
    nasty = root / NASTY
    nasty.mkdir()
    (nasty / "empty file").touch()
    (nasty / "empty folder").mkdir()
    with (nasty / "sparse").open("wb") as file:
        file.seek(SPARSE_SIZE // 2)
        file.write(b"the only bytes in the middle of a hole")
        file.truncate(SPARSE_SIZE)
    (nasty / "dangling link").symlink_to("nowhere/to/be/found")
    (nasty / "link that leads out").symlink_to("/etc/passwd")
    (nasty / "link to its own folder").symlink_to(".")
    (nasty / "link to a file").symlink_to("sparse")
    for mode in (0o400, 0o444, 0o600, 0o640, 0o755, 0o777):
        file_with_mode = nasty / f"mode {mode:o}"
        file_with_mode.write_text(f"{mode:o}\n")
        file_with_mode.chmod(mode)
    # the same word in two Unicode forms: two different files
    (nasty / "caf\u00e9 NFC").write_text("composed")
    (nasty / "cafe\u0301 NFD").write_text("decomposed")
    (nasty / "caf\u00e9").write_text("composed")
    (nasty / "cafe\u0301").write_text("decomposed")
    (nasty / "日本語 🐍 اختبار").write_text("any script")
    (nasty / " spaces and 'quotes' \"\\ * ? | $(x) ").write_text("shell characters")
    (nasty / "line\nbreak").write_text("a line break in the name")
    (nasty / ("x" * 255)).write_text("the longest name")
    (nasty / "%2e%2e%2f").write_text("looks like an escape")
    deep = nasty
    for level in range(DEPTH):
        deep = deep / f"deep {level:02d} {'d' * 20}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("at the end of a long path")
    old = nasty / "old"
    old.write_text("from 2001, to the nanosecond")
    os.utime(old, ns=(OLD, OLD))
    locked = nasty / "read-only folder"
    locked.mkdir()
    (locked / "inside").write_text("written before the folder was closed")
    locked.chmod(0o555)
    os.utime(nasty / "dangling link", ns=(OLD, OLD), follow_symlinks=False)
    os.utime(nasty / "empty folder", ns=(OLD, OLD))
    return nasty


def change_a_little(root: Path) -> list[str]:
    """Change a few things in a tree that ``add_nasty_cases`` was applied to; says what."""
    changes: list[str] = []
    files = sorted(_ordinary_files(root))
    largest = max(files, key=lambda path: path.lstat().st_size, default=None)
    if largest is not None:
        _insert(largest, b"# one inserted line shifts everything behind it\n")
        changes.append(f"a line inserted near the start of the largest file, {largest.name}")
    others = [path for path in files if path != largest][:3]
    for path in others:
        _insert(path, b"# one more line\n")
    if others:
        changes.append("a line inserted in " + ", ".join(path.name for path in others))
    nasty = root / NASTY
    (nasty / "caf\u00e9").unlink()
    (nasty / "new file").write_text("made after the first backup\n")
    (nasty / "mode 600").chmod(0o700)
    (nasty / "deep 00 dddddddddddddddddddd").rename(nasty / "moved")
    (nasty / "dangling link").unlink()
    (nasty / "dangling link").symlink_to("somewhere/else")
    changes.append(
        f"a file deleted, one added, a mode and a link changed, a folder of {DEPTH} levels moved"
    )
    return changes


def _ordinary_files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        if NASTY in folders and Path(folder) == root:
            folders.remove(NASTY)
        for name in names:
            status = (path := Path(folder, name)).lstat()
            if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_CHANGED:
                found.append(path)
    return found


def _insert(path: Path, data: bytes) -> None:
    content = path.read_bytes()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode | 0o200)
    path.write_bytes(content[:INSERT_AT] + data + content[INSERT_AT:])
    path.chmod(mode)


@dataclass
class Comparison:
    """What a comparison of two trees found.

    Args:
        files: regular files whose bytes were compared.
        folders: folders, without the root.
        links: symbolic links.
        compared: bytes compared.
        differences: what is not equal, in words; at most ``MAX_DIFFERENCES`` are kept.
        total_differences: how many there are.
    """

    files: int = 0
    folders: int = 0
    links: int = 0
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    total_differences: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.total_differences == 0

    def differ(self, path: bytes, what: str) -> None:
        """Note one difference."""
        self.total_differences += 1
        if len(self.differences) < MAX_DIFFERENCES:
            name = os.fsdecode(path).encode("unicode_escape").decode("ascii")
            self.differences.append(f"{name or '.'}: {what}")


def compare_trees(
    expected: Path, restored: Path, progress: Callable[[int], None] | None = None
) -> Comparison:
    """Compare names, kinds, every byte, modes, modification times and link targets.

    Args:
        expected: the original.
        restored: what came back.
        progress: called with the bytes compared so far.
    """
    found = Comparison()
    first, second = os.fsencode(expected), os.fsencode(restored)
    _compare_status(found, b"", os.lstat(first), os.lstat(second))
    pending = [b""]
    while pending:
        below = pending.pop()
        left = _children(os.path.join(first, below) if below else first)
        right = _children(os.path.join(second, below) if below else second)
        for name in sorted(left.keys() | right.keys()):
            path = os.path.join(below, name) if below else name
            if name not in right:
                found.differ(path, "is missing")
            elif name not in left:
                found.differ(path, "should not be there")
            elif _compare_entry(found, first, second, path, left[name], right[name]):
                pending.append(path)
            if progress is not None:
                progress(found.compared)
    return found


def _children(folder: bytes) -> dict[bytes, os.stat_result]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}


def _compare_entry(
    found: Comparison,
    first: bytes,
    second: bytes,
    path: bytes,
    left: os.stat_result,
    right: os.stat_result,
) -> bool:
    """Compare one name that is in both trees; True for folders to go into."""
    if stat.S_IFMT(left.st_mode) != stat.S_IFMT(right.st_mode):
        found.differ(path, "is of another kind")
        return False
    _compare_status(found, path, left, right)
    one, other = os.path.join(first, path), os.path.join(second, path)
    if stat.S_ISDIR(left.st_mode):
        found.folders += 1
        return True
    if stat.S_ISLNK(left.st_mode):
        found.links += 1
        if os.readlink(one) != os.readlink(other):
            found.differ(path, "points elsewhere")
        return False
    found.files += 1
    if left.st_size != right.st_size:
        found.differ(path, f"has {right.st_size} bytes, not {left.st_size}")
    else:
        _compare_bytes(found, path, one, other)
    return False


def _compare_status(
    found: Comparison, path: bytes, left: os.stat_result, right: os.stat_result
) -> None:
    if left.st_mode != right.st_mode and not stat.S_ISLNK(left.st_mode):
        wanted, got = stat.S_IMODE(left.st_mode), stat.S_IMODE(right.st_mode)
        found.differ(path, f"has mode {got:o}, not {wanted:o}")
    if left.st_mtime_ns != right.st_mtime_ns:
        found.differ(path, f"has time {right.st_mtime_ns} ns, not {left.st_mtime_ns}")


def _compare_bytes(found: Comparison, path: bytes, one: bytes, other: bytes) -> None:
    with open(one, "rb") as left, open(other, "rb") as right:
        while data := left.read(READ):
            if data != right.read(len(data)):
                found.differ(path, f"has other bytes within {READ} after {found.compared}")
                return
            found.compared += len(data)


def is_sparse(path: Path) -> bool:
    """Whether a file occupies less than half of its size on the disk."""
    status = path.stat()
    return status.st_blocks * 512 < status.st_size // 2


def remove_tree(root: Path) -> None:
    """Delete a tree, closed folders included; links are not followed."""
    for folder, folders, _ in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in folders)):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                path.chmod(0o700)
    shutil.rmtree(root)
