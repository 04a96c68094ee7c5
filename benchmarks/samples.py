"""What the benchmarks store: random files, and whether they came back as they were."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CHUNK = 4 * 1024 * 1024
FILES_PER_FOLDER = 100


def make_large(path: Path, size: int) -> None:
    """One file of random bytes."""
    with path.open("wb") as file:
        for at in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - at)))


def make_small(root: Path, count: int, size: int) -> list[Path]:
    """Many files of random bytes, a hundred to a folder."""
    paths = []
    for number in range(count):
        folder = root / f"{number // FILES_PER_FOLDER:04d}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        path = folder / f"{number % FILES_PER_FOLDER:02d}.bin"
        path.write_bytes(os.urandom(size))
        paths.append(path)
    return paths


def digest(path: Path) -> str:
    """Hash of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
