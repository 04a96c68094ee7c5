"""Keys, items, paths, lists."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from bitdust.errors import AlreadyExists, InvalidName, NotInCatalog
from bitdust.ids import GlobalID, KeyID, PathID
from bitdust.storage.catalog.schema import CatalogBusy
from bitdust.storage.catalog.types import StagedEntry


def test_keys(box: Any) -> None:
    catalog = box.catalog
    assert catalog.key_ref("master$alice@example.org") == box.key
    assert catalog.key_ref(KeyID.parse("alice@example.org")) == box.key
    assert catalog.find_key("photos$alice@example.org") is None
    with pytest.raises(NotInCatalog):
        catalog.key_ref("photos$alice@example.org")
    with catalog.transaction() as tx:
        assert tx.ensure_key("alice@example.org") == box.key
        photos = tx.ensure_key("photos$alice@example.org")
        bob = tx.ensure_key("share$bob@example.org")
    assert len({box.key, photos, bob}) == 3
    assert str(catalog.key_id(photos)) == "photos$alice@example.org"
    for call in (catalog.key_id, catalog.root, catalog.item, catalog.path_of, catalog.list_item):
        with pytest.raises(NotInCatalog):
            call(999)


def test_renaming_an_owner_keeps_everything_else(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one"})
    alice, new = GlobalID.parse("alice@example.org"), GlobalID.parse("alice@elsewhere_8084")
    with box.catalog.transaction() as tx:
        tx.ensure_key("share$bob@example.org")
        assert tx.rename_owner(alice, new) == 1
        assert tx.rename_owner(alice, new) == 0
    assert set(box.catalog.keys()) == {"master$alice@elsewhere_8084", "share$bob@example.org"}
    assert box.snapshot("docs", seq) == {"": 0, "a": 3}
    with box.catalog.transaction() as tx:
        tx.ensure_key("master$alice@example.org")
    before = box.catalog.revision
    with pytest.raises(AlreadyExists), box.catalog.transaction() as tx:
        tx.rename_owner(alice, new)
    assert box.catalog.revision == before


def test_paths_and_numbers(box: Any) -> None:
    with box.catalog.transaction() as tx:
        cat, made = tx.ensure_path(box.key, "2016/summer/cat.png", is_folder=False, created=7.0)
        assert made
        assert tx.ensure_path(box.key, "2016/summer/cat.png", is_folder=False) == (cat, False)
        tx.ensure_path(box.key, "2016/summer/dog.png", is_folder=False)
        tx.ensure_path(box.key, "2017", is_folder=True)
    assert not cat.is_folder
    assert cat.explicit
    assert cat.created == 7.0
    assert box.catalog.path_of(cat.id) == ("2016/summer/cat.png", PathID((0, 0, 0)))
    assert box.catalog.lookup(box.key, PathID.parse("0/0/0")) == cat
    assert box.catalog.lookup(box.key, "2016/summer/cat.png") == cat
    assert box.catalog.lookup(box.key, "2016/winter") is None
    assert box.catalog.lookup(box.key, PathID.parse("0/7")) is None
    assert box.catalog.lookup(99, "2016") is None
    assert box.catalog.lookup(box.key, "") == box.catalog.root(box.key)
    assert box.catalog.lookup(box.key, "2016").is_folder
    assert box.catalog.path_of(box.item("2017")) == ("2017", PathID((1,)))
    assert box.catalog.is_within(cat.id, box.item("2016"))
    assert not box.catalog.is_within(cat.id, box.item("2017"))


def test_numbers_are_never_given_again(box: Any) -> None:
    with box.catalog.transaction() as tx:
        item = tx.ensure_path(box.key, "a", is_folder=False)[0]
        tx.delete_item(item.id)
        again = tx.ensure_path(box.key, "a", is_folder=False)[0]
    assert again.number == item.number + 1
    assert again.id > item.id


def test_names_are_bytes(box: Any) -> None:
    names = ["\u00e9".encode(), "e\u0301".encode(), b"\xff\xfe", b" ", "\u202e".encode()]
    with box.catalog.transaction() as tx:
        made = tx.ensure_children(tx.root(box.key).id, names)
        assert tx.ensure_children(tx.root(box.key).id, names[::-1]) == made
    assert len(set(made.values())) == len(names)
    assert set(box.catalog.children(box.catalog.root(box.key).id)) == set(names)
    for name, item in made.items():
        assert os.fsencode(box.catalog.item(item).name) == name
        assert box.catalog.lookup(box.key, box.catalog.path_of(item)[0]).id == item


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0", b"x" * 4097])
def test_what_cannot_be_a_name(box: Any, name: bytes) -> None:
    root = box.catalog.root(box.key).id
    with pytest.raises(InvalidName), box.catalog.transaction() as tx:
        tx.ensure_children(root, [b"good", name])
    assert box.catalog.children(root) == {}
    with pytest.raises(InvalidName):
        box.catalog.lookup(box.key, "bad/\ud800")


def test_making_children_of_what_is_gone(box: Any) -> None:
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.ensure_children(12345, [b"a"])
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.ensure_path(12345, "a", is_folder=False)


def test_list_shows_types_sizes_versions_and_what_is_gone(box: Any) -> None:
    first = box.upload("docs", {"a": b"one", "b": {"c": b"three"}, "z": b"gone"})
    second = box.upload("docs", {"a": b"changed", "b": {"c": b"three"}})
    third = box.upload("docs/a", b"again alone")
    with box.catalog.transaction() as tx:
        tx.ensure_path(box.key, "docs/empty", is_folder=False)
    a, b, empty, z = box.catalog.list_folder(box.item("docs"))
    assert [row.path for row in (a, b, empty, z)] == [
        "docs/a",
        "docs/b",
        "docs/empty",
        "docs/z",
    ]
    assert [one.version.seq for one in a.versions] == [third, second, first]
    assert [one.entry.size for one in a.versions] == [11, 7, 3]
    assert (a.current, a.entry.size, a.childs) == (True, 11, 0)
    assert [one.version.seq for one in b.versions] == [second, first]
    assert (b.entry.type, b.childs, str(b.path_id)) == ("d", 1, "0/1")
    assert (empty.entry, empty.versions, empty.current) == (None, (), False)
    assert (z.current, z.entry.size) == (False, 4)
    assert [one.version.seq for one in z.versions] == [first]
    top = box.catalog.list_item(box.item("docs"))
    assert top.version_count == 2
    assert top.childs == 4
    assert box.catalog.list_item(box.item("docs"), versions=1).versions == top.versions[:1]
    assert box.catalog.list_item(box.item("docs/a")) == a
    rows = [row.path for row in box.catalog.list_tree(box.catalog.root(box.key).id)]
    assert rows == ["docs", "docs/a", "docs/b", "docs/b/c", "docs/empty", "docs/z"]


def test_pages_of_a_list_fit_together(box: Any) -> None:
    with box.catalog.transaction() as tx:
        root = tx.root(box.key).id
        tx.ensure_children(root, [b"%03d" % n for n in range(600)])
        tx.ensure_children(root, [b"\xff%d" % n for n in range(10)])
    seen: list[str] = []
    after = b""
    while page := box.catalog.list_folder(root, after=after, limit=64):
        seen.extend(row.item.name for row in page)
        after = os.fsencode(page[-1].item.name)
    assert len(seen) == len(set(seen)) == 610
    assert [row.item.name for row in box.catalog.list_tree(root)] == seen


def test_sums(box: Any) -> None:
    box.upload("docs", {"a": b"one", "b": {"c": b"three"}})
    with box.catalog.transaction() as tx:
        other = tx.ensure_key("photos$alice@example.org")
    sums = box.catalog.totals(box.key)
    assert (sums.items, sums.files, sums.folders, sums.size, sums.versions) == (4, 2, 2, 8, 1)
    assert (sums.blocks, sums.stored_size) == (2, 800)
    assert box.catalog.totals() == sums
    assert box.catalog.totals(other).items == 0
    seq = box.catalog.versions(box.item("docs"))[0].seq
    below = box.catalog.tree_totals(box.item("docs/b"), seq)
    assert (below.files, below.folders, below.size) == (1, 1, 5)


def test_deleting_an_item_takes_it_out_of_all_versions(box: Any) -> None:
    first = box.upload("docs", {"a": b"one", "b": {"c": b"three"}})
    box.upload("docs/b", {"c": b"other"})
    with box.catalog.transaction() as tx:
        tx.delete_item(box.item("docs/b"))
    assert box.catalog.lookup(box.key, "docs/b") is None
    assert box.snapshot("docs", first) == {"": 0, "a": 3}
    assert box.catalog.totals().versions == 1
    with box.catalog.transaction() as tx:
        tx.delete_item(tx.root(box.key).id)
    assert box.catalog.totals().items == 0
    assert box.catalog.lookup(box.key, "").id == box.catalog.root(box.key).id
    with pytest.raises(NotInCatalog), box.catalog.transaction() as tx:
        tx.delete_item(12345)


def test_what_a_running_upload_holds_cannot_be_deleted(box: Any) -> None:
    seq = box.upload("docs", {"a": b"one", "b": {"c": b"three"}})
    job, _ = box.start("docs/b")
    for path in ("docs", "docs/b", "docs/b/c"):
        with pytest.raises(CatalogBusy), box.catalog.transaction() as tx:
            tx.delete_item(box.item(path))
    with pytest.raises(CatalogBusy), box.catalog.transaction() as tx:
        tx.delete_version(seq)
    with box.catalog.transaction() as tx:
        tx.delete_item(box.item("docs/a"))
        tx.interrupt_jobs(box.now)
        tx.delete_item(box.item("docs/b"))
    assert box.catalog.job(job).item is None


def test_a_folder_of_100000_files(box: Any) -> None:
    names = [b"file-%06d" % n for n in range(100_000)]
    job, item = box.start("big")
    begin = time.perf_counter()
    with box.catalog.transaction() as tx:
        made = tx.ensure_children(item, names)
        tx.stage_entries(job, [StagedEntry(item, "d", 0o755)])
        tx.stage_entries(job, [StagedEntry(n, "f", 0o644, 5, 0, bytes(32)) for n in made.values()])
        seq = box.commit(tx, job, item)
    assert list(box.catalog.children(item)) == names
    assert sum(1 for _ in box.catalog.walk_snapshot(item, seq)) == 100_001
    assert box.catalog.lookup(box.key, "big/file-099999").number == 99_999
    page = box.catalog.list_folder(item, after=b"file-050000", limit=10)
    assert page[0].path == "big/file-050001"
    assert box.catalog.list_item(item).childs == 100_000
    # Twenty times what it takes; a scan per name would take hours.
    assert time.perf_counter() - begin < 60
