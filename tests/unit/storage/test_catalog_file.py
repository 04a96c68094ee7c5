"""The catalog as a file: opening, damage, threads, full disks."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from bitdust.errors import DiskFull, LocalFileError
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.schema import CatalogBusy, CatalogDamaged, CatalogTooNew


def test_nobody_else_may_read_it(box: Any) -> None:
    files = list(box.path.parent.iterdir())
    assert {file.name for file in files} >= {"catalog.db", "catalog.db-wal"}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_closing_leaves_one_file(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one"})
    box.catalog.close()
    box.catalog.close()
    for call in (box.catalog.keys, lambda: box.catalog.transaction().__enter__()):
        with pytest.raises(RuntimeError):
            call()
    assert [file.name for file in box.path.parent.iterdir()] == ["catalog.db"]
    box.reopen()
    assert box.snapshot("docs", seq) == {"": 0, "a": 3}


def test_closing_does_not_wait_for_a_walk(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one", "b": b"two"})
    walk = box.catalog.walk_snapshot(box.item("docs"), seq)
    next(walk)
    box.catalog.close()
    assert len(list(walk)) == 2
    box.reopen()
    assert box.snapshot("docs", seq) == {"": 0, "a": 3, "b": 3}


def test_an_error_leaves_nothing_of_a_change(box: Any) -> None:
    before = box.catalog.revision, box.catalog.outbox_size()

    def change() -> None:
        with box.catalog.transaction() as tx:
            tx.ensure_path(box.key, "docs", is_folder=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert box.catalog.lookup(box.key, "docs") is None
    assert (box.catalog.revision, box.catalog.outbox_size()) == before


def test_a_change_and_its_record_are_one(box: Any) -> None:
    before = box.catalog.revision
    with box.catalog.transaction(durable=False) as tx:
        assert tx.ensure_path(box.key, "docs", is_folder=True)[1]
        assert tx.lookup(box.key, "docs") is not None
        assert box.catalog.lookup(box.key, "docs") is None
    assert box.catalog.lookup(box.key, "docs") is not None
    assert box.catalog.revision == before + 1
    with box.catalog.transaction() as tx:
        tx.ensure_path(box.key, "docs", is_folder=True)
    assert box.catalog.revision == before + 1


def test_transactions_do_not_nest(box: Any) -> None:
    with box.catalog.transaction(), pytest.raises(RuntimeError), box.catalog.transaction():
        pass
    with box.catalog.transaction() as tx:
        tx.ensure_path(box.key, "docs", is_folder=True)


def test_a_view_is_of_one_moment(box: Any) -> None:
    with box.catalog.view() as view:
        assert view.lookup(box.key, "docs") is None
        with box.catalog.transaction() as tx:
            tx.ensure_path(box.key, "docs", is_folder=True)
        assert view.lookup(box.key, "docs") is None
        assert view.totals().items == 0
    assert box.catalog.totals().items == 1


def test_many_threads(box: Any) -> None:
    seq = box.upload("docs", {str(n): b"x%d" % n for n in range(40)})
    expected = box.snapshot("docs", seq)
    docs = box.item("docs")
    stop = threading.Event()

    def write(thread: int) -> int:
        for n in range(20):
            with box.catalog.transaction(durable=False) as tx:
                folder = tx.ensure_path(box.key, f"t{thread}", is_folder=True)[0].id
                tx.ensure_children(folder, [b"%d" % n])
                assert len(tx.children(folder)) == n + 1
        return len(box.catalog.children(box.item(f"t{thread}")))

    def read() -> int:
        rounds = 0
        while not stop.is_set() or not rounds:
            assert box.snapshot("docs", seq) == expected
            assert len(box.catalog.list_folder(docs)) == 40
            rounds += 1
        return rounds

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        writers = [pool.submit(write, n) for n in range(4)]
        assert [future.result() for future in writers] == [20] * 4
        stop.set()
        assert all(future.result() for future in readers)
    assert box.catalog.totals().items == 41 + 4 * 21


def filled(path: Path) -> None:
    catalog = Catalog.open(path)
    with catalog.transaction() as tx:
        root = tx.root(tx.ensure_key("master$alice@host")).id
        tx.ensure_children(root, [b"name-%05d" % n for n in range(3000)])
    catalog.close()


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" + path.read_bytes()[21:])


def damage_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_pages(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    for at in range(4096, len(raw), 8192):
        raw[at : at + 100] = bytes(100)
    path.write_bytes(raw)


def other_program(path: Path) -> None:
    path.unlink()
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE cookies(x); INSERT INTO cookies VALUES (1)")


def other_tables(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("DROP TABLE outbox")


def no_mark(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("DROP TABLE meta")


@pytest.mark.parametrize(
    "damage",
    [damage_header, damage_end, damage_pages, other_program, other_tables, no_mark],
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(CatalogDamaged) as caught:
        Catalog.open(path)
    assert caught.value.hint
    assert path.read_bytes() == before
    path.rename(tmp_path / "damaged.db")
    Catalog.open(path).close()


def test_damage_met_later_is_the_same_error(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    catalog = Catalog.open(path)
    damage_pages(path)
    with pytest.raises(CatalogDamaged):
        list(catalog.list_tree(catalog.root(1).id))
    catalog.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 999)
    with pytest.raises(CatalogTooNew):
        Catalog.open(path)
    with apsw.Connection(str(path)) as db:
        assert db.pragma("user_version") == 999


def test_places_where_no_catalog_can_be(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "catalog.db"):
        with pytest.raises(LocalFileError):
            Catalog.open(path)


def test_a_full_disk_loses_nothing(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one"})
    pages = box.catalog._writer.pragma("page_count")
    box.catalog._writer.pragma("max_page_count", pages + 2)
    with pytest.raises(DiskFull), box.catalog.transaction() as tx:
        tx.ensure_children(box.item("docs"), [b"%d" % n + b"x" * 200 for n in range(2000)])
    assert box.snapshot("docs", seq) == {"": 0, "a": 3}
    assert len(box.catalog.children(box.item("docs"))) == 1
    box.catalog._writer.pragma("max_page_count", 2**30)
    box.upload("docs", {"a": b"one", "b": b"two"})
    box.reopen()
    assert box.catalog.totals().files == 2


def test_another_program_that_holds_the_file_is_named(box: Any) -> None:
    with apsw.Connection(str(box.path)) as other:
        other.execute("INSERT INTO nodes(node_id) VALUES (x'00')")
        box.catalog._writer.set_busy_timeout(10)
        with pytest.raises(CatalogBusy, match="another program"), box.catalog.transaction():
            pass
    with box.catalog.transaction() as tx:
        tx.ensure_path(box.key, "docs", is_folder=True)


def test_errors_say_what_to_do() -> None:
    for error in (CatalogDamaged("x"), CatalogTooNew("x"), CatalogBusy("x")):
        assert error.hint
        assert error.code not in ("error", "integrity")
