"""Choosing new sources, and what identities, caches and former names make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import IdentityServerError, InvalidName, NameTaken, NotFound
from bitdust.events import Event, EventBus
from bitdust.identity import (
    FormerNames,
    IdentityCache,
    IdentityDocument,
    LocalIdentity,
    former_sources,
    sign_document,
)
from bitdust.identity.document import MAX_EXTRA_SIZE
from bitdust.identity.rotation import MAX_FORMER, extras_after, next_sources
from bitdust.ids import IDURL, GlobalID
from bitdust.testing import MemoryNames

A, B, C, D = (IDURL.parse(f"http://{host}.example.org/alice.xml") for host in "abcd")


class TestNextSources:
    def test_moves_to_a_fresh_server_and_stays_findable_under_the_old_one(self) -> None:
        assert next_sources([A, B], [C], move=True) == (C, A, B)
        assert next_sources([A, B], [C], move=True, most=2) == (C, A)
        assert next_sources([A, B], [C], move=True, most=1) == (C,)

    def test_without_a_fresh_server_another_source_becomes_the_address(self) -> None:
        assert next_sources([A, B], [], move=True) == (B, A)
        assert next_sources([A, B], [], move=True, away=[B]) == ()
        assert next_sources([A], [], move=True) == ()

    def test_a_dead_address_goes_to_those_who_know_the_person(self) -> None:
        assert next_sources([A, B], [C], move=False, lost=[A]) == (B,)
        assert next_sources([A, B], [C], move=False, lost=[A], fewest=2) == (B, C)
        assert next_sources([A], [C, D], move=False, lost=[A], fewest=2) == (C, D)
        assert next_sources([A, B], [C], move=False, lost=[A], away=[A, B]) == (C, B)

    def test_another_dead_source_does_not_change_the_address(self) -> None:
        assert next_sources([A, B], [C], move=False, lost=[B]) == (A,)
        assert next_sources([A, B], [C], move=False, lost=[B], fewest=2) == (A, C)

    def test_nothing_to_do(self) -> None:
        assert next_sources([A, B], [C], move=False) == (A, B)
        assert next_sources([A], [A], move=True) == ()


class TestFormer:
    def signed(self, key: PrivateKey, *sources: IDURL, **more: Any) -> IdentityDocument:
        return sign_document(key, sources=sources, **more)

    def test_an_address_that_was_left_is_kept(self, alice_key: PrivateKey) -> None:
        first = self.signed(alice_key, A, B, extras=[("motto", "carpe diem")])
        extras = extras_after(first, (C, B))
        assert extras == (("motto", "carpe diem"), ("former", str(A)))
        second = self.signed(alice_key, C, B, extras=extras)
        assert former_sources(IdentityDocument.parse(second.to_xml())) == (A,)
        third = self.signed(alice_key, A, extras=extras_after(second, (A,)))
        assert former_sources(third) == (C,), "whoever came back did not leave"

    def test_bounded(self, alice_key: PrivateKey) -> None:
        long = [IDURL.parse(f"http://{n:0>60}.{'x' * 60}.org/alice.xml") for n in range(60)]
        document = self.signed(alice_key, long[0])
        for source in long[1:]:
            extras = extras_after(document, (source,))
            document = self.signed(alice_key, source, extras=extras)
        former = former_sources(document)
        assert former == tuple(reversed(long[59 - len(former) : 59]))
        assert len(dict(document.extras)["former"]) <= MAX_EXTRA_SIZE
        short = self.signed(alice_key, A)
        for number in range(50):
            place = IDURL.parse(f"http://h{number}/alice.xml")
            short = self.signed(alice_key, place, extras=extras_after(short, (place,)))
        assert len(former_sources(short)) == MAX_FORMER

    def test_nonsense_is_skipped(self, alice_key: PrivateKey) -> None:
        words = f"nonsense {A} http:// {A} {B} x@y"
        document = self.signed(alice_key, B, extras=[("former", words)])
        assert former_sources(document) == (A,)


@pytest.fixture
def common(names: MemoryNames, clock: Any, pool: ThreadPoolExecutor) -> dict[str, Any]:
    return {"client": names, "clock": clock, "pool": pool}


@pytest.fixture
async def me(tmp_path: Path, common: dict[str, Any]) -> LocalIdentity:
    servers = ["a.example.org", "b.example.org"]
    return await LocalIdentity.create(tmp_path, "alice", servers, key_size=1024, **common)


class TestLocal:
    async def test_moves(
        self, me: LocalIdentity, names: MemoryNames, tmp_path: Path, common: dict[str, Any]
    ) -> None:
        sources = await me.find_sources(["a.example.org", "c.example.org"], move=True)
        assert sources == (C, A, B)
        assert me.idurl == A, "nothing changed yet"
        assert await me.unfinished() is None
        before = await me.take_sources(sources)
        assert (before.idurl, me.idurl) == (A, C)
        assert A.global_id in me.other_names
        loaded = await LocalIdentity.load(tmp_path, **common)
        unfinished = await loaded.unfinished()
        assert unfinished == before, "a restart knows that it is to be completed"
        assert await me.publish() == (C, A, B)
        served = {IdentityDocument.parse(xml).revision for xml in names.documents.values()}
        assert served == {me.document.revision}
        await me.finish_rotation()
        assert await me.unfinished() is None

    async def test_no_other_server(self, me: LocalIdentity, names: MemoryNames) -> None:
        names.away_hosts = {("b.example.org", 80), ("c.example.org", 80)}
        with pytest.raises(IdentityServerError, match="no other"):
            await me.find_sources(["c.example.org"], move=True)
        with pytest.raises(InvalidName):
            await me.find_sources(["no such host!"], move=True)
        assert me.document.sources == (A, B)

    async def test_a_name_that_is_taken_elsewhere(
        self, me: LocalIdentity, names: MemoryNames, mallory_key: PrivateKey
    ) -> None:
        await names.publish(C, sign_document(mallory_key, sources=[C]).to_xml())
        sources = await me.find_sources(["c.example.org", "d.example.org"], move=True)
        assert sources == (D, A, B)
        only = ["c.example.org"]
        assert await me.find_sources(only, move=True) == (B, A)
        names.documents[B] = names.documents[C].replace(b"c.example", b"b.example")
        with pytest.raises(NameTaken):
            await me.find_sources(only, move=True)

    async def test_a_server_that_is_dead_is_left_and_one_that_is_back_is_kept(
        self, me: LocalIdentity, names: MemoryNames
    ) -> None:
        names.away_hosts = {("a.example.org", 80)}
        assert await me.find_sources([], move=False, dead=[A, B]) == (B,)
        names.away_hosts = set()
        assert await me.find_sources([], move=False, dead=[A, B]) == (A, B)

    async def test_an_update_in_between_is_not_lost(
        self, me: LocalIdentity, names: MemoryNames
    ) -> None:
        sources = await me.find_sources(["c.example.org"], move=True)
        await me.update(contacts=["tcp://h:1"])
        await me.take_sources(sources)
        await me.publish()
        assert me.document.contacts == ("tcp://h:1",)
        assert IdentityDocument.parse(names.documents[C]) == me.document

    async def test_recovered_elsewhere_it_knows_its_former_names(
        self, me: LocalIdentity, tmp_path: Path, common: dict[str, Any]
    ) -> None:
        backup = await me.backup_text()
        await me.take_sources(await me.find_sources(["c.example.org"], move=True, most=1))
        await me.publish()
        # b and a still serve what they had, which names a and b only
        with pytest.raises(NotFound):
            await common["client"].fetch(D)
        again = await LocalIdentity.recover(tmp_path / "new", backup, known_idurl=C, **common)
        assert again.idurl == C
        assert A.global_id in again.other_names


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
async def cache(
    tmp_path: Path, common: dict[str, Any], told: list[Event]
) -> AsyncIterator[IdentityCache]:
    bus = EventBus(common["clock"].now)
    bus.on_event(told.append)
    opened = await IdentityCache.open(tmp_path / "cache", events=bus, **common)
    yield opened
    await opened.close()


class TestCache:
    async def test_tells_who_moved_and_finds_it_under_both_names(
        self,
        cache: IdentityCache,
        told: list[Event],
        names: MemoryNames,
        alice_key: PrivateKey,
    ) -> None:
        old = sign_document(alice_key, sources=[A], revision=1)
        await names.publish(A, old.to_xml())
        await cache.resolve(A)
        assert told == []
        new = sign_document(alice_key, sources=[B], revision=2)
        await cache.add(new)
        assert [event.event_id for event in told] == ["identity-rotated", "identity-url-changed"]
        assert told[1].data["old_idurl"] == str(A)
        assert told[1].data["new_idurl"] == str(B)
        await cache.add(new)
        assert len(told) == 2, "once"
        names.away = True
        assert await cache.resolve(A) == new
        assert await cache.other_names(new) == (A,)

    async def test_another_source_is_no_other_address(
        self, cache: IdentityCache, told: list[Event], alice_key: PrivateKey
    ) -> None:
        await cache.add(sign_document(alice_key, sources=[A], revision=1))
        await cache.add(sign_document(alice_key, sources=[A, B], revision=2))
        assert [event.event_id for event in told] == ["identity-rotated"]

    async def test_a_stranger_does_not_inherit_an_address_that_was_left(
        self,
        cache: IdentityCache,
        names: MemoryNames,
        alice_key: PrivateKey,
        mallory_key: PrivateKey,
    ) -> None:
        await names.publish(A, sign_document(alice_key, sources=[A], revision=1).to_xml())
        await cache.resolve(A)
        moved = sign_document(alice_key, sources=[B], revision=2)
        await names.publish(B, moved.to_xml())
        await cache.add(moved)
        # the server of the old address has a new owner, who gives the name to somebody else
        names.documents[A] = sign_document(mallory_key, sources=[A], revision=99).to_xml()
        assert await cache.resolve(A, 0.0) == moved
        names.away_hosts = {(B.host, B.port)}
        assert await cache.resolve(A, 0.0) == moved
        # only the person at the keyboard may say that the name is another's now
        taken = await cache.resolve(A, 0.0, replace=True)
        assert taken.public_key == mallory_key.public


class TestFormerNames:
    def test_follows_a_chain_and_survives_a_restart(self, tmp_path: Path) -> None:
        first, second, third = (GlobalID("bob", f"{host}.org") for host in "abc")
        former = FormerNames(tmp_path)
        former.moved(first, second)
        former.moved(second, third)
        again = FormerNames(tmp_path)
        assert again.current(first) == again.current(second) == third
        assert again.current(third) == third
        again.moved(third, first)
        assert again.current(first) == first, "it came back"
        assert again.current(second) == first

    def test_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bitdust.identity.formernames.MAX_NAMES", 3)
        former = FormerNames(tmp_path)
        people = [GlobalID(f"p{number}", "a.org") for number in range(5)]
        for person in people:
            former.moved(person, GlobalID(person.username, "b.org"))
        assert [former.current(one).host for one in people] == ["a.org"] * 2 + ["b.org"] * 3

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"a": "b"}', b"\xff\xfe", b'{"a@b": 5}'])
    def test_a_damaged_file_is_begun_anew(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "metadata" / "formernames.json"
        path.parent.mkdir()
        path.write_bytes(content)
        former = FormerNames(tmp_path)
        name = GlobalID("bob", "a.org")
        assert former.current(name) == name
        former.moved(name, GlobalID("bob", "b.org"))
        assert FormerNames(tmp_path).current(name).host == "b.org"
        assert path.stat().st_mode & 0o077 == 0
