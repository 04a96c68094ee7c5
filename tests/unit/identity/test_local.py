from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import (
    AlreadyExists,
    IdentityServerError,
    IntegrityError,
    InvalidInput,
    InvalidName,
    KeyProblem,
    LocalFileError,
    NameTaken,
    NoIdentity,
    WrongPassphrase,
)
from bitdust.identity import (
    IdentityDocument,
    LocalIdentity,
    has_identity,
    has_master_key,
    master_key_locked,
    read_master_key,
    sign_document,
    write_master_key,
)
from bitdust.ids import IDURL
from bitdust.testing import MemoryNames

ONE = IDURL.parse("http://one.example.org/alice.xml")
TWO = IDURL.parse("http://two.example.org:8084/alice.xml")
SERVERS = ["one.example.org", "two.example.org:8084"]


class Tools:
    """The arguments that every call takes, and short ways to make calls."""

    def __init__(self, home: Path, names: MemoryNames, clock: Any, pool: Any) -> None:
        self.home = home
        self.names = names
        self.clock = clock
        self.common = {"client": names, "clock": clock, "pool": pool}

    async def create(self, **more: Any) -> LocalIdentity:
        values = {"username": "alice", "servers": SERVERS, "key_size": 1024, **more}
        return await LocalIdentity.create(self.home, **values, **self.common)

    async def load(self, **more: Any) -> LocalIdentity:
        return await LocalIdentity.load(self.home, **more, **self.common)

    async def recover(self, home: Path, text: str, **more: Any) -> LocalIdentity:
        return await LocalIdentity.recover(home, text, **more, **self.common)

    def served(self, idurl: IDURL) -> IdentityDocument:
        return IdentityDocument.parse(self.names.documents[idurl])


@pytest.fixture
def tools(tmp_path: Path, names: MemoryNames, clock: Any, pool: ThreadPoolExecutor) -> Tools:
    return Tools(tmp_path / "home", names, clock, pool)


class TestCreate:
    async def test_registers_and_keeps(self, tools: Tools) -> None:
        me = await tools.create(contacts=["tcp://h:1"], certificate="ab" * 32, version="v")
        assert me.document.sources == (ONE, TWO)
        assert tools.served(ONE) == tools.served(TWO) == me.document
        assert me.document.revision == 1
        assert me.document.contacts == ("tcp://h:1",)
        assert me.pending == ()
        assert str(me.global_id) == "alice@one.example.org"
        assert me.node_id == me.key.public.fingerprint
        for name in ("mykeyfile", "localidentity"):
            path = tools.home / "metadata" / name
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        again = await tools.load()
        assert again.document == me.document
        assert again.key == me.key

    async def test_only_once(self, tools: Tools) -> None:
        me = await tools.create()
        with pytest.raises(AlreadyExists, match="identity already"):
            await tools.create(username="bob")
        assert (await tools.load()).document == me.document

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"username": "Alice"}, InvalidName),
            ({"username": ""}, InvalidName),
            ({"servers": []}, InvalidInput),
            ({"servers": ["h"] * 2}, InvalidInput),
            ({"servers": [f"h{n}" for n in range(9)]}, InvalidInput),
            ({"servers": ["no such host!"]}, InvalidName),
            ({"servers": ["h/x"]}, InvalidName),
            ({"servers": [""]}, InvalidName),
            ({"servers": ["h:99999"]}, InvalidName),
            ({"key_size": 1000}, KeyProblem),
        ],
    )
    async def test_bad_values_leave_nothing(
        self, tools: Tools, values: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await tools.create(**values)
        assert not tools.home.exists()
        assert not tools.names.documents

    async def test_name_taken(self, tools: Tools, mallory_key: PrivateKey) -> None:
        theirs = sign_document(mallory_key, sources=[TWO]).to_xml()
        await tools.names.publish(TWO, theirs)
        with pytest.raises(NameTaken, match=r"two\.example\.org"):
            await tools.create()
        assert not has_identity(tools.home)
        assert tools.names.documents == {TWO: theirs}, "nothing was registered on the other one"

    async def test_a_server_away_is_left_out(self, tools: Tools) -> None:
        tools.names.away_hosts.add(("one.example.org", 80))
        me = await tools.create()
        assert me.document.sources == (TWO,)

    async def test_all_away_then_again_with_the_same_key(self, tools: Tools) -> None:
        tools.names.away = True
        with pytest.raises(IdentityServerError, match="no identity server answers"):
            await tools.create()
        assert not has_identity(tools.home)
        key = read_master_key(tools.home)
        tools.names.away = False
        assert (await tools.create()).key == key

    async def test_a_crash_after_registering_is_healed(self, tools: Tools) -> None:
        first = await tools.create()
        (tools.home / "metadata" / "localidentity").unlink()
        second = await tools.create()
        assert second.key == first.key
        assert second.document.revision == 2
        assert tools.served(ONE) == second.document

    async def test_locked_key_file(self, tools: Tools) -> None:
        me = await tools.create(passphrase="secret")
        assert master_key_locked(tools.home)
        with pytest.raises(WrongPassphrase):
            await tools.load()
        with pytest.raises(WrongPassphrase):
            await tools.load(passphrase="wrong")
        assert (await tools.load(passphrase="secret")).document == me.document


class TestLoad:
    async def test_none(self, tools: Tools) -> None:
        with pytest.raises(NoIdentity):
            await tools.load()

    @pytest.mark.parametrize("content", [b"", b"<identity/>", b"\x00" * 100])
    async def test_damaged_document(self, tools: Tools, content: bytes) -> None:
        await tools.create()
        path = tools.home / "metadata" / "localidentity"
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=str(path)):
            await tools.load()

    async def test_huge_document(self, tools: Tools) -> None:
        await tools.create()
        (tools.home / "metadata" / "localidentity").write_bytes(b"x" * 100_000)
        with pytest.raises(LocalFileError, match="localidentity"):
            await tools.load()

    async def test_key_of_somebody_else(self, tools: Tools, mallory_key: PrivateKey) -> None:
        await tools.create()
        write_master_key(tools.home, mallory_key)
        with pytest.raises(KeyProblem, match="mykeyfile"):
            await tools.load()

    async def test_key_gone(self, tools: Tools) -> None:
        await tools.create()
        (tools.home / "metadata" / "mykeyfile").unlink()
        with pytest.raises(KeyProblem):
            await tools.load()


class TestUpdate:
    async def test_raises_the_revision_and_publishes(self, tools: Tools) -> None:
        me = await tools.create()
        tools.clock.time += 86400
        document = await me.update(contacts=["tcp://h:2"], dht_key=bytes(32))
        assert document == me.document == tools.served(ONE) == tools.served(TWO)
        assert document.revision == 2
        assert document.contacts == ("tcp://h:2",)
        assert document.dht_key == bytes(32)
        assert (await tools.load()).document == document
        after = await me.update(certificate="cd" * 32)
        assert (after.revision, after.contacts) == (3, ("tcp://h:2",))

    async def test_no_change_no_revision(self, tools: Tools) -> None:
        me = await tools.create(contacts=["tcp://h:1"])
        published = len(tools.names.publications)
        assert (await me.update(contacts=["tcp://h:1"], certificate="")).revision == 1
        assert len(tools.names.publications) == published

    async def test_bad_values_change_nothing(self, tools: Tools) -> None:
        me = await tools.create()
        with pytest.raises(InvalidInput):
            await me.update(contacts=["nonsense"])
        assert me.document.revision == 1
        assert (await tools.load()).document == me.document

    async def test_servers_away_are_tried_again(self, tools: Tools) -> None:
        me = await tools.create()
        tools.names.away_hosts.add(("one.example.org", 80))
        await me.update(contacts=["tcp://h:2"])
        assert me.pending == (ONE,)
        assert tools.served(ONE).revision == 1
        tools.names.away_hosts.clear()
        assert await me.publish() == (ONE, TWO)
        assert me.pending == ()
        assert tools.served(ONE) == me.document

    async def test_all_away(self, tools: Tools) -> None:
        me = await tools.create()
        tools.names.away = True
        assert (await me.update(contacts=["tcp://h:2"])).revision == 2
        assert me.pending == (ONE, TWO)
        assert (await tools.load()).document.revision == 2
        with pytest.raises(IdentityServerError, match="no identity server took"):
            await me.publish()

    async def test_unwritable_home_changes_nothing(
        self, tools: Tools, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        me = await tools.create()

        def fail(*args: object) -> None:
            raise LocalFileError("cannot write")

        monkeypatch.setattr("bitdust.identity.local.store_document", fail)
        with pytest.raises(LocalFileError):
            await me.update(contacts=["tcp://h:2"])
        assert me.document.revision == 1
        assert tools.served(ONE).revision == 1

    async def test_an_old_copy_of_the_home_catches_up(self, tools: Tools) -> None:
        me = await tools.create()
        old = await tools.load()
        for port in range(1, 5):
            await me.update(contacts=[f"tcp://new:{port}"])
        assert tools.served(ONE).revision == 5
        await old.update(contacts=["tcp://old:1"])
        assert old.document.revision == 6
        assert tools.served(ONE) == tools.served(TWO) == old.document
        assert (await tools.load()).document == old.document

    async def test_the_name_went_to_somebody_else(
        self, tools: Tools, mallory_key: PrivateKey
    ) -> None:
        me = await tools.create()
        tools.names.documents[ONE] = sign_document(mallory_key, sources=[ONE]).to_xml()
        with pytest.raises(NameTaken):
            await me.publish()
        assert (await me.update(contacts=["tcp://h:2"])).revision == 2
        assert tools.served(TWO) == me.document


class TestBackup:
    async def test_text(self, tools: Tools) -> None:
        me = await tools.create()
        lines = (await me.backup_text()).splitlines()
        assert lines[:3] == [str(ONE), str(TWO), "-----BEGIN RSA PRIVATE KEY-----"]
        assert lines[-1] == "-----END RSA PRIVATE KEY-----"
        locked = await me.backup_text("secret")
        assert "RSA PRIVATE" not in locked
        assert locked.startswith(f"{ONE}\n{TWO}\n-----BEGIN BITDUST LOCKED KEY")

    async def test_file(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create()
        path = tmp_path / "alice.key"
        assert await me.backup(path) == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() == await me.backup_text()
        path.write_text("precious")
        with pytest.raises(AlreadyExists):
            await me.backup(path)
        assert path.read_text() == "precious"
        await me.backup(path, overwrite=True)
        assert path.read_text() == await me.backup_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("place", ["missing/alice.key", ".", "file/alice.key"])
    @pytest.mark.parametrize("overwrite", [False, True])
    async def test_bad_places(
        self, tools: Tools, tmp_path: Path, place: str, overwrite: bool
    ) -> None:
        (tmp_path / "file").write_text("x")
        me = await tools.create()
        with pytest.raises((LocalFileError, AlreadyExists)):
            await me.backup(tmp_path / place, overwrite=overwrite)
        assert not list(tmp_path.glob("**/*.tmp"))


class TestRecover:
    async def test_from_the_backup(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create(contacts=["tcp://h:1"], certificate="ab" * 32)
        back = await tools.recover(tmp_path / "new", await me.backup_text())
        assert back.key == me.key
        assert back.document.sources == (ONE, TWO)
        assert back.document.revision == 2
        assert back.document.contacts == ()
        assert tools.served(ONE) == back.document
        loaded = await LocalIdentity.load(tmp_path / "new", **tools.common)
        assert loaded.document == back.document
        with pytest.raises(AlreadyExists):
            await tools.recover(tmp_path / "new", await me.backup_text())

    async def test_blank_lines_and_line_ends(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create()
        text = "\ufeff\r\n\r\n" + (await me.backup_text()).replace("\n", "\r\n\r\n", 2) + "\r\n\r\n"
        back = await tools.recover(tmp_path / "new", text)
        assert back.document.sources == (ONE, TWO)

    async def test_locked_backup(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create()
        text = await me.backup_text("secret")
        for wrong in (None, "wrong"):
            with pytest.raises(WrongPassphrase):
                await tools.recover(tmp_path / "new", text, passphrase=wrong)
        assert not (tmp_path / "new").exists()
        back = await tools.recover(tmp_path / "new", text, passphrase="secret")
        assert back.key == me.key
        assert master_key_locked(tmp_path / "new")

    async def test_known_idurl(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create()
        pem = me.key.to_pem()
        with pytest.raises(InvalidInput, match="no IDURL"):
            await tools.recover(tmp_path / "new", pem)
        back = await tools.recover(tmp_path / "new", pem, known_idurl=TWO)
        assert back.document.sources == (ONE, TWO)

    async def test_after_moving_to_another_server(self, tools: Tools, tmp_path: Path) -> None:
        me = await tools.create(servers=["one.example.org"])
        text = await me.backup_text()
        moved = sign_document(me.key, sources=[ONE, TWO], revision=9)
        await tools.names.publish(ONE, moved.to_xml())
        newest = sign_document(me.key, sources=[TWO], revision=12)
        await tools.names.publish(TWO, newest.to_xml())
        back = await tools.recover(tmp_path / "new", text)
        assert back.document.revision == 13
        assert tools.served(TWO) == back.document

    @pytest.mark.parametrize("outage", ["away", "lost"])
    async def test_servers_gone(self, tools: Tools, tmp_path: Path, outage: str) -> None:
        me = await tools.create()
        for port in range(1, 20):
            await me.update(contacts=[f"tcp://h:{port}"])
        text = await me.backup_text()
        saved = dict(tools.names.documents)
        tools.names.documents.clear()
        tools.names.away = outage == "away"
        back = await tools.recover(tmp_path / "new", text)
        assert back.document.sources == (ONE, TWO)
        assert back.document.node_id == me.node_id
        assert back.document.revision == int(tools.clock.time)
        if outage == "lost":
            assert tools.served(ONE) == back.document
            return
        assert back.pending == (ONE, TWO)
        tools.names.away = False
        tools.names.documents.update(saved)
        await back.publish()
        assert tools.served(ONE) == tools.served(TWO) == back.document

    async def test_wrong_key(self, tools: Tools, tmp_path: Path, mallory_key: PrivateKey) -> None:
        await tools.create()
        text = f"{ONE}\n{mallory_key.to_pem()}"
        with pytest.raises(KeyProblem, match=r"not the private key.*one\.example\.org"):
            await tools.recover(tmp_path / "new", text)
        assert not (tmp_path / "new").exists()

    async def test_the_name_was_given_away_on_one_server(
        self, tools: Tools, tmp_path: Path, mallory_key: PrivateKey
    ) -> None:
        me = await tools.create()
        text = await me.backup_text()
        tools.names.documents[ONE] = sign_document(mallory_key, sources=[ONE]).to_xml()
        back = await tools.recover(tmp_path / "new", text)
        assert back.document.sources == (TWO,)
        assert tools.served(TWO) == back.document

    @pytest.mark.parametrize(
        ("spoil", "error", "words"),
        [
            (lambda text: "", KeyProblem, "no private key"),
            (lambda text: text.partition("-----")[0], KeyProblem, "no private key"),
            (lambda text: "hello\n" + text, InvalidInput, "line 1 .*'hello'"),
            (lambda text: "\n\nhttps://x/y.xml\n" + text, InvalidInput, "line 3"),
            (lambda text: text[:300], KeyProblem, "PEM"),
            (lambda text: text + "trailing", KeyProblem, "PEM"),
            (lambda text: text.replace("MII", "AII", 1), KeyProblem, "damaged"),
            (lambda text: text + text, KeyProblem, "PEM"),
            (lambda text: text * 1000, InvalidInput, "too long"),
            (
                lambda text: "".join(f"http://h{n}/alice.xml\n" for n in range(9)) + text,
                InvalidInput,
                "more than 8",
            ),
        ],
    )
    async def test_bad_text(
        self,
        tools: Tools,
        tmp_path: Path,
        spoil: Callable[[str], str],
        error: type[Exception],
        words: str,
    ) -> None:
        me = await tools.create()
        text = await me.backup_text()
        with pytest.raises(error, match=words) as caught:
            await tools.recover(tmp_path / "new", spoil(text))
        assert text[200:240] not in str(caught.value)
        assert not (tmp_path / "new").exists()

    async def test_never_over_another_key(
        self, tools: Tools, tmp_path: Path, mallory_key: PrivateKey
    ) -> None:
        me = await tools.create()
        home = tmp_path / "new"
        write_master_key(home, mallory_key)
        with pytest.raises(AlreadyExists, match="another private key"):
            await tools.recover(home, await me.backup_text())
        assert read_master_key(home) == mallory_key
        write_master_key(home, me.key)
        await tools.recover(home, await me.backup_text())


class TestErase:
    @pytest.mark.parametrize("whole", [False, True])
    async def test_erase(self, tools: Tools, whole: bool) -> None:
        me = await tools.create()
        await me.erase(erase_private_key=whole)
        with pytest.raises(NoIdentity):
            await tools.load()
        assert has_master_key(tools.home) is not whole
        if not whole:
            assert (await tools.create()).key == me.key


async def test_updates_at_once_do_not_lose_each_other(tools: Tools) -> None:
    me = await tools.create()
    calls: list[Awaitable[Any]] = [me.update(contacts=[f"tcp://h:{n}"]) for n in range(1, 9)]
    await asyncio.gather(*calls, me.update(certificate="ef" * 32))
    assert me.document.revision == 10
    assert me.document.certificate == "ef" * 32
    assert tools.served(ONE) == me.document
