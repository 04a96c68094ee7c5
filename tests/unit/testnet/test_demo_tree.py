"""The demo's tree and its comparison: it proves nothing unless every kind of damage is seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bitdust.cli.demo_tree import (
    NASTY,
    add_nasty_cases,
    change_a_little,
    compare_trees,
    copy_tree,
    is_sparse,
    remove_tree,
    standard_library,
)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    before = os.umask(0o022)
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "sub").mkdir(parents=True)
    (one / "sub" / "a.py").write_bytes(os.urandom(3_000_000))
    (one / "sub" / "b.py").write_text("b")
    (one / "c.py").write_text("c")
    (one / "d.py").write_text("d")
    add_nasty_cases(one)
    copy_tree(one, other)
    yield one, other
    os.umask(before)
    remove_tree(tmp_path)


def test_a_copy_is_equal_in_everything(trees: tuple[Path, Path]) -> None:
    found = compare_trees(*trees)
    assert found.equal
    assert found.differences == []
    assert found.files >= 20
    assert found.folders >= 43
    assert found.links == 4
    assert found.compared > 64 * 1024 * 1024
    assert is_sparse(trees[0] / NASTY / "sparse")


def _flip_last_byte(root: Path) -> None:
    path = root / "sub" / "a.py"
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _cut(root: Path) -> None:
    os.truncate(root / "sub" / "a.py", 2_999_999)


def _touch(root: Path) -> None:
    status = (root / "c.py").stat()
    os.utime(root / "c.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _touch_folder(root: Path) -> None:
    os.utime(root / NASTY / "empty folder", ns=(0, 0))


def _touch_link(root: Path) -> None:
    os.utime(root / NASTY / "dangling link", ns=(0, 0), follow_symlinks=False)


def _relink(root: Path) -> None:
    link = root / NASTY / "link to a file"
    status = link.lstat()
    link.unlink()
    link.symlink_to("elsewhere")
    os.utime(link, ns=(0, status.st_mtime_ns), follow_symlinks=False)


def _follow(root: Path) -> None:
    link = root / NASTY / "link to a file"
    link.unlink()
    link.write_bytes((root / NASTY / "sparse").read_bytes())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_flip_last_byte, "sub/a.py: has other bytes"),
        (_cut, "sub/a.py: has 2999999 bytes, not 3000000"),
        (_touch, "c.py: has time"),
        (_touch_folder, "nasty cases/empty folder: has time"),
        (_touch_link, "nasty cases/dangling link: has time"),
        (_relink, "nasty cases/link to a file: points elsewhere"),
        (_follow, "nasty cases/link to a file: is of another kind"),
        (lambda root: (root / "c.py").chmod(0o600), "c.py: has mode 600, not 644"),
        (lambda root: (root / NASTY).chmod(0o711), "nasty cases: has mode 711, not 755"),
        (lambda root: (root / "c.py").unlink(), "c.py: is missing"),
        (lambda root: (root / "more").touch(), "more: should not be there"),
        (lambda root: (root / NASTY / "empty folder").rmdir(), "empty folder: is missing"),
        (lambda root: root.chmod(0o700), ".: has mode 700, not 755"),
    ],
)
def test_damage_is_seen(
    trees: tuple[Path, Path], damage: Callable[[Path], None], says: str
) -> None:
    damage(trees[1])
    found = compare_trees(*trees)
    assert not found.equal
    assert any(says in line for line in found.differences), found.differences


def test_swapped_unicode_forms_are_seen(trees: tuple[Path, Path]) -> None:
    folder = trees[1] / NASTY
    (folder / "caf\u00e9").rename(folder / "spare")
    (folder / "cafe\u0301").rename(folder / "caf\u00e9")
    (folder / "spare").rename(folder / "cafe\u0301")
    assert not compare_trees(*trees).equal


def test_many_differences_are_counted_but_not_all_kept(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    for number in range(200):
        (tmp_path / "one" / str(number)).touch()
    found = compare_trees(tmp_path / "one", tmp_path / "other")
    assert found.total_differences >= 200
    assert len(found.differences) == 50


def test_changes_are_few_and_seen(trees: tuple[Path, Path]) -> None:
    changes = change_a_little(trees[0])
    assert any("a.py" in line for line in changes)
    found = compare_trees(trees[1], trees[0])
    names = "\n".join(found.differences)
    for expected in ("sub/a.py", "c.py", "new file", "moved", "mode 600", "dangling link"):
        assert expected in names
    assert (trees[0] / "sub" / "a.py").stat().st_size < 3_000_100


def test_what_cannot_be_stored_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "one" / "site-packages").mkdir(parents=True)
    (tmp_path / "one" / "sub" / "site-packages").mkdir(parents=True)
    os.mkfifo(tmp_path / "one" / "pipe")
    copy_tree(tmp_path / "one", tmp_path / "two", skip=frozenset({"site-packages"}))
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["sub"]
    assert (tmp_path / "two" / "sub" / "site-packages").is_dir()


def test_the_standard_library_is_one() -> None:
    assert (standard_library() / "os.py").is_file()
