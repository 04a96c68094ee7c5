from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import (
    AlreadyExists,
    DiskFull,
    InvalidInput,
    InvalidName,
    KeyProblem,
    LocalFileError,
    NoIdentity,
    NotFound,
    WrongPassphrase,
)
from bitdust.identity import (
    KeyRing,
    key_signature_message,
    master_key_locked,
    read_master_key,
    write_master_key,
)
from bitdust.ids import GlobalID, KeyID

ALICE = GlobalID.parse("alice@id.example.org_8084")
BOB = GlobalID.parse("bob@id.example.org")


@pytest.fixture
def ring(tmp_path: Path, alice_key: PrivateKey, clock: Any) -> KeyRing:
    write_master_key(tmp_path, alice_key)
    return KeyRing.load(tmp_path, ALICE, clock=clock)


def reloaded(tmp_path: Path, clock: Any, owner: GlobalID = ALICE) -> KeyRing:
    return KeyRing.load(tmp_path, owner, clock=clock)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_no_master_key(tmp_path: Path, clock: Any) -> None:
    with pytest.raises(NoIdentity):
        KeyRing.load(tmp_path, ALICE, clock=clock)
    with pytest.raises(NoIdentity):
        master_key_locked(tmp_path)


def test_master_key(ring: KeyRing, alice_key: PrivateKey) -> None:
    assert [stored.key_id for stored in ring.list()] == [ALICE.key()]
    assert ring.master.private == alice_key
    assert ring.private(ALICE.key()) == alice_key
    assert ALICE.key() in ring


def test_files_are_closed_to_others(ring: KeyRing, tmp_path: Path) -> None:
    ring.create("photos", 1024)
    assert mode(tmp_path / "metadata") == mode(tmp_path / "keys") == 0o700
    files = [tmp_path / "metadata" / "mykeyfile", *(tmp_path / "keys").iterdir()]
    assert [mode(path) for path in files] == [0o600, 0o600]


def test_a_mode_that_lets_others_read_is_corrected(ring: KeyRing, tmp_path: Path) -> None:
    path = tmp_path / "metadata" / "mykeyfile"
    path.chmod(0o644)
    read_master_key(tmp_path)
    assert mode(path) == 0o600


def test_create_get_erase(ring: KeyRing, tmp_path: Path, clock: Any) -> None:
    made = ring.create("photos", 1024, label="Cats and Dogs")
    assert str(made.key_id) == "photos$alice@id.example.org_8084"
    assert made.created == clock.now()
    assert ring.get(made.key_id) == made
    again = reloaded(tmp_path, clock)
    assert again.get(made.key_id) == made
    assert again.private(made.key_id).sign(b"x")
    with pytest.raises(AlreadyExists):
        ring.create("photos", 1024)
    ring.erase(made.key_id)
    for holder in (ring, reloaded(tmp_path, clock)):
        with pytest.raises(NotFound):
            holder.get(made.key_id)
    with pytest.raises(NotFound):
        ring.erase(made.key_id)
    assert list((tmp_path / "keys").iterdir()) == []


def test_bad_requests(ring: KeyRing) -> None:
    with pytest.raises(InvalidName):
        ring.create("Photos!", 1024)
    with pytest.raises(KeyProblem):
        ring.create("photos", 1000)
    with pytest.raises(AlreadyExists):
        ring.create("master", 1024)
    for label in ("x" * 257, "a\nb"):
        with pytest.raises(InvalidInput):
            ring.create("photos", 1024, label=label)
    for change in (
        lambda: ring.erase(ALICE.key()),
        lambda: ring.set_label(ALICE.key(), "x"),
        lambda: ring.set_active(ALICE.key(), False),
    ):
        with pytest.raises(InvalidInput, match="master key"):
            change()
    with pytest.raises(NotFound):
        ring.set_label(ALICE.key("none"), "x")
    assert len(ring.list()) == 1


def test_label_and_state(ring: KeyRing, tmp_path: Path, clock: Any) -> None:
    key_id = ring.create("photos", 1024, label="old").key_id
    ring.set_label(key_id, "Männer & Frauen")
    ring.set_active(key_id, False)
    stored = reloaded(tmp_path, clock).get(key_id)
    assert (stored.label, stored.active) == ("Männer & Frauen", False)


def test_keys_of_others(ring: KeyRing, tmp_path: Path, clock: Any, mallory_key: PrivateKey) -> None:
    key_id = KeyID.parse(f"share_1${BOB}")
    key = PrivateKey.generate(1024)
    assert ring.add(key_id, key.public, label="from Bob").is_public
    with pytest.raises(KeyProblem, match="public half"):
        ring.private(key_id)
    with pytest.raises(AlreadyExists):
        ring.add(key_id, key.public)
    with pytest.raises(AlreadyExists):
        ring.add(key_id, mallory_key)
    assert reloaded(tmp_path, clock).get(key_id).is_public
    whole = ring.add(key_id, key)
    assert (whole.private, whole.label) == (key, "from Bob")
    with pytest.raises(AlreadyExists):
        ring.add(key_id, key)
    assert reloaded(tmp_path, clock).private(key_id) == key
    with pytest.raises(AlreadyExists):
        ring.add(ALICE.key(), mallory_key)


def test_list_has_the_master_key_first(ring: KeyRing) -> None:
    for alias in ("zoo", "abc", "nop"):
        ring.create(alias, 1024)
    assert [stored.key_id.alias for stored in ring.list()] == ["master", "abc", "nop", "zoo"]


def test_view(ring: KeyRing, alice_key: PrivateKey) -> None:
    key_id = ring.create("photos", 1024, label="Cats").key_id
    view = ring.view(key_id)
    public = PublicKey.from_ssh(view["public"])
    assert json.loads(json.dumps(view)) == view
    assert view["key_id"] == str(key_id)
    assert view["alias"] == "photos"
    assert view["creator"] == "http://id.example.org:8084/alice.xml"
    assert view["size"] == "1024"
    assert (view["ssh_type"], view["type"]) == ("ssh-rsa", "RSA")
    assert view["fingerprint"] == public.md5_fingerprint
    assert len(view["fingerprint"]) == 47
    assert (view["private"], view["is_public"], view["active"]) == (None, False, True)
    assert "signature" not in view
    whole = ring.view(key_id, include_private=True, include_signature=True)
    assert PrivateKey.from_pem(whole["private"]).public == public
    PublicKey.from_ssh(whole["signature_pubkey"]).verify(
        base64.b64decode(whole["signature"]), key_signature_message(key_id, public)
    )
    assert PublicKey.from_ssh(whole["signature_pubkey"]) == alice_key.public
    other = ring.add(KeyID.parse(f"p${BOB}"), public)
    shown = ring.view(other.key_id, include_private=True)
    assert (shown["private"], shown["is_public"]) == (None, True)
    assert "PRIVATE" not in repr(ring.list())


class TestPassphrase:
    def test_lock_and_unlock(self, ring: KeyRing, tmp_path: Path, clock: Any) -> None:
        assert not master_key_locked(tmp_path)
        ring.set_passphrase("secret")
        assert master_key_locked(tmp_path)
        assert b"RSA PRIVATE" not in (tmp_path / "metadata" / "mykeyfile").read_bytes()
        for wrong in (None, "wrong"):
            with pytest.raises(WrongPassphrase, match="mykeyfile"):
                KeyRing.load(tmp_path, ALICE, clock=clock, passphrase=wrong)
        KeyRing.load(tmp_path, ALICE, clock=clock, passphrase="secret").set_passphrase(None)
        assert reloaded(tmp_path, clock).master.public == ring.master.public

    def test_an_empty_one_is_refused(self, ring: KeyRing, tmp_path: Path) -> None:
        with pytest.raises(KeyProblem):
            ring.set_passphrase("")
        assert not master_key_locked(tmp_path)


class TestRename:
    NEW = GlobalID.parse("alice@other.example.org")

    def test_follows_the_owner(self, ring: KeyRing, tmp_path: Path, clock: Any) -> None:
        ring.create("photos", 1024, label="Cats")
        theirs = ring.add(KeyID.parse(f"share_1${BOB}"), PrivateKey.generate(1024))
        pairs = ring.rename_owner(ALICE, self.NEW)
        assert [(str(old), str(new)) for old, new in pairs] == [
            (f"master${ALICE}", f"master${self.NEW}"),
            (f"photos${ALICE}", f"photos${self.NEW}"),
        ]
        for holder in (ring, reloaded(tmp_path, clock, self.NEW)):
            assert [str(stored.key_id) for stored in holder.list()] == [
                f"master${self.NEW}",
                f"photos${self.NEW}",
                str(theirs.key_id),
            ]
            assert holder.get(self.NEW.key("photos")).label == "Cats"
        assert ring.owner == self.NEW
        assert ring.rename_owner(ALICE, self.NEW) == []

    def test_somebody_else_moves(self, ring: KeyRing) -> None:
        ring.add(KeyID.parse(f"share_1${BOB}"), PrivateKey.generate(1024))
        ring.rename_owner(BOB, self.NEW)
        assert self.NEW.key("share_1") in ring
        assert ring.owner == ALICE

    def test_a_clash_changes_nothing(self, ring: KeyRing) -> None:
        ring.create("a", 1024)
        ring.create("b", 1024)
        ring.add(self.NEW.key("b"), PrivateKey.generate(1024))
        before = ring.list()
        with pytest.raises(AlreadyExists):
            ring.rename_owner(ALICE, self.NEW)
        assert ring.list() == before

    def test_a_crash_in_between_is_completed_by_the_next_call(
        self, ring: KeyRing, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ring.create("a", 1024)
        ring.create("b", 1024)

        def crash(path: Path) -> None:
            raise LocalFileError("crash")

        with monkeypatch.context() as patched:
            patched.setattr("bitdust.identity.keyring.remove_file", crash)
            with pytest.raises(LocalFileError):
                ring.rename_owner(ALICE, self.NEW)
        after = reloaded(tmp_path, clock)
        assert {str(stored.key_id) for stored in after.list()} == {
            f"master${ALICE}", f"a${ALICE}", f"a${self.NEW}", f"b${ALICE}",
        }  # fmt: skip
        after.rename_owner(ALICE, self.NEW)
        assert {str(stored.key_id) for stored in reloaded(tmp_path, clock, self.NEW).list()} == {
            f"master${self.NEW}", f"a${self.NEW}", f"b${self.NEW}",
        }  # fmt: skip


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"{}",
            b'{"format": 2, "key_id": "a$b@c", "key": "x"}',
            b'{"format": 1, "key_id": "nonsense", "key": "x"}',
            b'{"format": 1, "key_id": "a$b@c", "key": "x"}',
            b"[" * 100_000,
            b"x" * 200_000,
        ],
    )
    def test_one_damaged_file_costs_one_key(
        self, ring: KeyRing, tmp_path: Path, clock: Any, content: bytes
    ) -> None:
        ring.create("good", 1024)
        bad = ring.create("bad", 1024).key_id
        (path,) = (tmp_path / "keys").glob("bad-*")
        path.write_bytes(content)
        after = reloaded(tmp_path, clock)
        assert [stored.key_id.alias for stored in after.list()] == ["master", "good"]
        assert list(after.problems) == [path.name]
        assert str(path) in after.problems[path.name]
        with pytest.raises(NotFound):
            after.get(bad)
        assert path.read_bytes() == content, "a damaged file is left for the person to look at"

    def test_a_key_file_under_another_name_is_refused(
        self, ring: KeyRing, tmp_path: Path, clock: Any
    ) -> None:
        ring.create("one", 1024)
        (path,) = (tmp_path / "keys").glob("one-*")
        path.rename(path.with_name("two.key"))
        after = reloaded(tmp_path, clock)
        assert len(after.list()) == 1
        assert "wrong name" in after.problems["two.key"]

    @pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, b"x" * 200_000])
    def test_a_damaged_master_key_is_named(
        self, ring: KeyRing, tmp_path: Path, clock: Any, content: bytes
    ) -> None:
        path = tmp_path / "metadata" / "mykeyfile"
        path.write_bytes(content)
        with pytest.raises((KeyProblem, LocalFileError), match=str(path)):
            reloaded(tmp_path, clock)


class TestCrashes:
    """A write that fails at any step leaves the old content, and nothing else."""

    @pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left"), OSError(5, "I/O error")])
    def test_write_fails(
        self,
        ring: KeyRing,
        tmp_path: Path,
        clock: Any,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
        error: OSError,
    ) -> None:
        key_id = ring.create("photos", 1024, label="old").key_id
        before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}

        def fail(*args: object, **kwargs: object) -> None:
            raise error

        class FailingFile:
            def __init__(self, descriptor: int, mode: str) -> None:
                os.close(descriptor)

            def __enter__(self) -> FailingFile:
                return self

            def __exit__(self, *args: object) -> None: ...

            write = fail

        target = {"open": "open", "write": "fdopen", "fsync": "fsync", "replace": "replace"}[step]
        replacement: Callable[..., object] = FailingFile if step == "write" else fail
        with monkeypatch.context() as patched:
            patched.setattr(f"bitdust.identity.secretfile.os.{target}", replacement)
            expected = DiskFull if error.errno == 28 else LocalFileError
            with pytest.raises(expected):
                ring.set_label(key_id, "new")
        assert ring.get(key_id).label == "old"
        after = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
        assert after == before
        assert reloaded(tmp_path, clock).get(key_id).label == "old"

    def test_leftovers_of_a_cut_off_write_are_removed(
        self, ring: KeyRing, tmp_path: Path, clock: Any
    ) -> None:
        ring.create("photos", 1024)
        leftover = tmp_path / "keys" / "photos-0123.key.0011223344556677.tmp"
        leftover.write_bytes(b"half")
        after = reloaded(tmp_path, clock)
        assert not leftover.exists()
        assert not after.problems
        assert len(after.list()) == 2


def test_many_threads(ring: KeyRing, tmp_path: Path, clock: Any) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            ring.create(f"k{number % 4}", 1024)
            outcomes.append("made")
        except AlreadyExists:
            outcomes.append("taken")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] * 4 + ["taken"] * 8
    assert len(reloaded(tmp_path, clock).list()) == 5


class TestKeysFromOthers:
    def given(self, ring: KeyRing, key: PrivateKey | PublicKey, **changes: Any) -> bool:
        key_id = BOB.key("photos")
        wanted = {"signature": b"by bob", "signed_as": key_id, "given_by": "aa", "label": "Cats"}
        return ring.take(key_id, key, **{**wanted, **changes})[1]

    def test_halves_come_one_after_the_other_and_nothing_is_replaced(self, ring: KeyRing) -> None:
        key, other = PrivateKey.generate(1024), PrivateKey.generate(1024)
        assert self.given(ring, key.public)
        assert not self.given(ring, key.public, label="Dogs")
        assert self.given(ring, key, given_by="bb")
        assert not self.given(ring, key.public)
        stored = ring.get(BOB.key("photos"))
        assert (stored.private, stored.label, stored.given_by) == (key, "Cats", "aa")
        for strange in (other, other.public):
            with pytest.raises(AlreadyExists):
                self.given(ring, strange)
        self.given(ring, key.public, label="Dogs", relabel=True)
        assert ring.get(BOB.key("photos")).label == "Dogs"

    def test_the_owners_signature_is_kept_through_restarts_and_moves(self, ring: KeyRing) -> None:
        key = PrivateKey.generate(1024)
        self.given(ring, key.public)
        ring.add(BOB.key("photos"), key)
        ring.reload()
        moved = GlobalID("bob", "new.example.org")
        ring.rename_owner(BOB, moved)
        ring.reload()
        stored = ring.get(moved.key("photos"))
        assert (stored.signature, stored.signed_as) == (b"by bob", BOB.key("photos"))
        assert (stored.private, stored.given_by) == (key, "aa")

    def test_room_is_bounded(self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bitdust.identity.keyring.MAX_GIVEN", 1)
        self.given(ring, PrivateKey.generate(1024).public)
        with pytest.raises(InvalidInput, match="takes no more"):
            ring.take(
                BOB.key("cats"),
                PrivateKey.generate(1024).public,
                signature=b"",
                signed_as=BOB.key("cats"),
                given_by="cc",
            )
        ring.create("own", 1024)
