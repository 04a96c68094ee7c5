"""Writing restored trees."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from blake3 import blake3

from bitdust.errors import IntegrityError, LocalFileError
from bitdust.storage.transfer.restore import TreeWriter

KEY = bytes(32)
WHEN = 1_400_000_000_123_456_789


def put(tree: TreeWriter, path: str, data: bytes, mode: int = 0o640) -> None:
    writer = tree.file(tuple(path.encode().split(b"/")), len(data), blake3(data).digest())
    writer.write(data)
    writer.commit(mode, WHEN)


def test_a_tree_with_modes_times_and_links(tmp_path: Path) -> None:
    tree = TreeWriter(tmp_path / "out")
    tree.folder((b"d",), 0o550, WHEN)
    put(tree, "d/f", b"hello")
    tree.link((b"d", b"l"), b"../../etc/passwd", WHEN)
    tree.folder((b"d", b"e"), 0o700, WHEN + 5)
    put(tree, "d/e/empty", b"", 0o4755)
    put(tree, "last", b"x")
    tree.finish()
    tree.close()
    out = tmp_path / "out"
    assert (out / "d/f").read_bytes() == b"hello"
    assert os.readlink(out / "d/l") == "../../etc/passwd"
    assert os.lstat(out / "d/l").st_mtime_ns == WHEN
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o550
    assert (out / "d").stat().st_mtime_ns == WHEN
    assert (out / "d/e").stat().st_mtime_ns == WHEN + 5
    assert stat.S_IMODE((out / "d/e/empty").stat().st_mode) == 0o4755
    assert sorted(os.listdir(out)) == ["d", "last"]


def test_wrong_content_never_takes_the_name(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    tree = TreeWriter(tmp_path)
    writer = tree.file((b"f",), 3, blake3(b"new").digest())
    writer.write(b"nex")
    with pytest.raises(IntegrityError):
        writer.commit(0o600, WHEN)
    tree.close()
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_link_in_the_way_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "d").symlink_to(outside)
    (dest / "f").symlink_to(outside / "target")
    tree = TreeWriter(dest)
    tree.folder((b"d",), 0o755, WHEN)
    put(tree, "d/inner", b"data")
    put(tree, "f", b"data")
    tree.finish()
    tree.close()
    assert os.listdir(outside) == []
    assert not (dest / "d").is_symlink()
    assert not (dest / "f").is_symlink()


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    tree = TreeWriter(tmp_path)
    with pytest.raises(LocalFileError, match="in the way"):
        put(tree, "f", b"data")
    tree.close()
    assert os.listdir(tmp_path) == ["f"]


def test_sparse_content_takes_no_room(tmp_path: Path) -> None:
    size = 8 << 20
    data = bytes(size)
    tree = TreeWriter(tmp_path)
    writer = tree.file((b"sparse",), size + 3, blake3(data + b"end").digest())
    writer.write(data)
    writer.write(b"end")
    writer.commit(0o600, WHEN)
    tree.close()
    st = (tmp_path / "sparse").stat()
    assert st.st_size == size + 3
    assert st.st_blocks * 512 < 1 << 20
    assert (tmp_path / "sparse").read_bytes() == data + b"end"


@pytest.mark.parametrize("zeros_at", [0, 1 << 16, 3 << 16])
def test_zeros_among_data_survive(tmp_path: Path, zeros_at: int) -> None:
    data = bytearray(os.urandom(1 << 18))
    data[zeros_at : zeros_at + (1 << 16)] = bytes(1 << 16)
    data[-8:] = bytes(8)
    tree = TreeWriter(tmp_path)
    put(tree, "f", bytes(data))
    tree.close()
    assert (tmp_path / "f").read_bytes() == data


def test_an_interrupted_file_goes_on_where_it_was_sound(tmp_path: Path) -> None:
    pieces = [os.urandom(1000), os.urandom(2000), os.urandom(500)]
    whole = b"".join(pieces)
    ids = [(blake3(piece, key=KEY).digest(), len(piece)) for piece in pieces]
    tree = TreeWriter(tmp_path)
    writer = tree.file((b"f",), len(whole), blake3(whole).digest())
    writer.write(pieces[0])
    writer.write(pieces[1][:-1] + bytes([pieces[1][-1] ^ 1]))
    writer.close()
    writer = tree.file((b"f",), len(whole), blake3(whole).digest())
    assert writer.keep(ids, KEY) == 1
    for piece in pieces[1:]:
        writer.write(piece)
    writer.commit(0o600, WHEN)
    assert (tmp_path / "f").read_bytes() == whole
    tree.touch((b"f",), 0o444, WHEN + 1)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o444
    assert (tmp_path / "f").stat().st_mtime_ns == WHEN + 1
    tree.close()


def test_an_unusable_destination(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFileError, match="cannot write"):
        TreeWriter(tmp_path / "file" / "below")
