"""Walking local trees."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bitdust.errors import LocalFileError
from bitdust.storage.transfer.walk import (
    FILE,
    FOLDER,
    LINK,
    measure,
    open_file,
    stat_root,
    walk_tree,
)


def names(root: Path) -> dict[tuple[bytes, ...], list[tuple[bytes, str]]]:
    return {v.segments: [(f.name, f.kind) for f in v.found] for v in walk_tree(root)}


def test_visits_parents_first_and_sorts(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b" / "c").write_bytes(b"")
    (tmp_path / "link").symlink_to("/nowhere/at/all")
    seen = names(tmp_path)
    assert list(seen) == [(), (b"b",), (b"b", b"deep")]
    assert seen[()] == [(b"a.txt", FILE), (b"b", FOLDER), (b"link", LINK)]
    assert seen[(b"b",)] == [(b"c", FILE), (b"deep", FOLDER)]
    assert measure(tmp_path) == (2, 3)


def test_link_to_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"x")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "door").symlink_to(outside)
    visits = list(walk_tree(inside))
    assert len(visits) == 1
    assert visits[0].found[0].kind == LINK
    assert visits[0].found[0].target == os.fsencode(outside)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    raw = b"caf\xe9"
    os.close(os.open(os.fsencode(tmp_path) + b"/" + raw, os.O_CREAT | os.O_WRONLY))
    nfc, nfd = "é".encode(), "e\u0301".encode()
    for name in (nfc, nfd):
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    (visit,) = walk_tree(tmp_path)
    assert {item.name for item in visit.found} == {raw, nfc, nfd}


def test_sockets_and_pipes_are_skipped_with_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        (visit,) = walk_tree(tmp_path)
    assert not visit.found
    assert sorted(name for name, _ in visit.skipped) == [b"pipe", b"sock"]


def test_a_very_deep_tree(tmp_path: Path) -> None:
    depth = 300
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("deep-folder", dir_fd=fd)
            inner = os.open("deep-folder", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    finally:
        os.close(fd)
    visits = [(len(v.segments), len(v.found)) for v in walk_tree(tmp_path)]
    assert visits[-1] == (depth, 1)
    assert len(visits) == depth + 1


def test_descriptors_are_closed_when_the_walk_is_left(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    walk = walk_tree(tmp_path)
    next(walk)
    next(walk)
    walk.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_became_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "name").symlink_to("secret")
    with pytest.raises(OSError, match="symbolic"):
        open_file(tmp_path / "name")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no longer a regular file"):
        open_file(tmp_path / "pipe")


@pytest.mark.parametrize("bad", ["missing", "nul\0name"])
def test_a_root_that_cannot_be_read(tmp_path: Path, bad: str) -> None:
    with pytest.raises(LocalFileError, match="cannot read"):
        stat_root(tmp_path / bad)
