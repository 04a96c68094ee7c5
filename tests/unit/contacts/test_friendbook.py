"""The list of friends on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitdust.contacts import FriendBook
from bitdust.crypto import PrivateKey
from bitdust.errors import AlreadyExists, InvalidInput, NotFound
from bitdust.identity import IdentityDocument, sign_document
from bitdust.ids import IDURL

KEYS = [PrivateKey.generate(1024) for _ in range(3)]


def document(number: int, revision: int = 1, host: str = "names.test") -> IdentityDocument:
    return sign_document(
        KEYS[number],
        sources=[IDURL.parse(f"http://{host}/person-{number}.xml")],
        revision=revision,
        now=float(revision),
    )


def opened(folder: Path) -> FriendBook:
    book = FriendBook(folder)
    book.load()
    return book


def test_kept_changed_and_removed(tmp_path: Path) -> None:
    book = opened(tmp_path / "keys")
    friend, is_new = book.put(document(0), "  Bobby ", 5.0)
    assert (friend.alias, friend.added, is_new) == ("Bobby", 5.0, True)
    friend, is_new = book.put(document(0, 7, "other.test"), "", 9.0)
    assert (friend.alias, friend.added, is_new) == ("Bobby", 5.0, False)
    assert friend.document.idurl.host == "other.test"
    assert book.put(document(0, 3), "", 9.0)[0].document.revision == 7, (
        "an older one changes nothing"
    )
    book.put(document(1), "", 4.0)
    [file, _] = sorted((tmp_path / "keys").iterdir(), key=lambda path: -path.stat().st_size)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in file.parent.iterdir())
    again = opened(tmp_path / "keys")
    assert again.list() == book.list()
    assert [entry.alias for entry in again.list()] == ["", "Bobby"]
    assert again.called("BOBBY") == again.get(document(0).node_id)
    with pytest.raises(AlreadyExists):
        again.put(document(1), "bobby", 1.0)
    assert again.renew(document(1, 2))
    assert not again.renew(document(1, 2))
    assert not again.renew(document(2, 9)), "no friend"
    again.remove(document(0).node_id)
    with pytest.raises(NotFound):
        again.remove(document(0).node_id)
    assert [entry.document.revision for entry in opened(tmp_path / "keys").list()] == [2]


@pytest.mark.parametrize("alias", ["x" * 65, "a\nb", "a@b", "http://x"])
def test_aliases_that_cannot_be(tmp_path: Path, alias: str) -> None:
    with pytest.raises(InvalidInput):
        opened(tmp_path).put(document(0), alias, 0.0)
    assert opened(tmp_path).list() == []


def test_the_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitdust.contacts.friendbook.MAX_FRIENDS", 2)
    book = opened(tmp_path)
    for number in range(2):
        book.put(document(number), "", 0.0)
    with pytest.raises(InvalidInput):
        book.put(document(2), "", 0.0)
    monkeypatch.setattr("bitdust.contacts.friendbook.MAX_FRIENDS", 1)
    again = opened(tmp_path)
    assert (len(again.list()), len(again.problems)) == (1, 1)


def test_damage_to_one_costs_one(tmp_path: Path) -> None:
    book = opened(tmp_path)
    for number in range(3):
        book.put(document(number), f"friend {number}", 0.0)
    first, second, _ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-40])
    record = json.loads(second.read_bytes())
    record["document"] = record["document"].replace("person-", "nobody-")
    second.write_text(json.dumps(record))
    again = opened(tmp_path)
    assert len(again.list()) == 1
    assert set(again.problems) == {first.name, second.name}
    assert first.exists()


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200)
    | st.fixed_dictionaries(
        {
            "format": st.integers(0, 2) | st.text(max_size=3),
            "document": st.text(max_size=60),
            "alias": st.text(max_size=80),
            "added": st.floats(allow_nan=False, allow_infinity=False),
        }
    ).map(lambda record: json.dumps(record).encode())
)
def test_any_file(tmp_path: Path, raw: Any) -> None:
    (tmp_path / "x.friend").write_bytes(raw)
    book = opened(tmp_path)
    assert book.list() == []
    assert list(book.problems) == ["x.friend"]
