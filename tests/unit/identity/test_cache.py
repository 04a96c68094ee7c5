from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import IdentityServerError, IntegrityError, InvalidInput, NotFound
from bitdust.identity import IdentityCache, IdentityDocument, sign_document
from bitdust.ids import IDURL
from bitdust.testing import MemoryNames

ALICE = IDURL.parse("http://a.example.org/alice.xml")
MOVED = IDURL.parse("http://b.example.org/alice.xml")
MALLORY = IDURL.parse("http://a.example.org/mallory.xml")


def signed(key: PrivateKey, *sources: IDURL, revision: int = 1, **more: Any) -> IdentityDocument:
    return sign_document(key, sources=sources, revision=revision, **more)


@pytest.fixture
async def cache(
    tmp_path: Path, names: MemoryNames, clock: Any, pool: ThreadPoolExecutor
) -> AsyncIterator[IdentityCache]:
    opened = await IdentityCache.open(tmp_path, client=names, clock=clock, pool=pool, limit=4)
    yield opened
    await opened.close()


async def test_resolve_fetches_once_within_the_age(
    cache: IdentityCache, names: MemoryNames, clock: Any, alice_key: PrivateKey
) -> None:
    document = signed(alice_key, ALICE)
    await names.publish(ALICE, document.to_xml())
    assert await cache.resolve(ALICE) == document
    clock.time += 3599
    assert await cache.resolve(ALICE) == document
    assert len(names.fetches) == 1
    clock.time += 2
    assert await cache.resolve(ALICE) == document
    assert len(names.fetches) == 2
    assert await cache.resolve(ALICE, max_age=0) == document
    assert len(names.fetches) == 3
    clock.time -= 1_000_000  # a clock that jumped back makes nothing young for ever
    await cache.resolve(ALICE)
    assert len(names.fetches) == 4


async def test_refresh_brings_the_new_revision(
    cache: IdentityCache, names: MemoryNames, alice_key: PrivateKey
) -> None:
    await names.publish(ALICE, signed(alice_key, ALICE).to_xml())
    await cache.resolve(ALICE)
    newer = signed(alice_key, ALICE, revision=2, contacts=["tcp://h:1"])
    await names.publish(ALICE, newer.to_xml())
    assert (await cache.resolve(ALICE)).revision == 1
    assert await cache.resolve(ALICE, max_age=0) == newer
    assert await cache.get(ALICE) == newer
    assert await cache.get_node(newer.node_id) == newer


async def test_stale_copy_when_the_server_is_away(
    cache: IdentityCache, names: MemoryNames, clock: Any, alice_key: PrivateKey
) -> None:
    document = signed(alice_key, ALICE)
    await names.publish(ALICE, document.to_xml())
    await cache.resolve(ALICE)
    names.away = True
    clock.time += 1_000_000
    assert await cache.resolve(ALICE) == document
    names.away = False
    names.documents.clear()
    assert await cache.resolve(ALICE, max_age=0) == document


async def test_nothing_known(cache: IdentityCache, names: MemoryNames) -> None:
    with pytest.raises(NotFound):
        await cache.resolve(ALICE)
    names.away = True
    with pytest.raises(IdentityServerError):
        await cache.resolve(ALICE)
    assert await cache.get(ALICE) is None
    assert await cache.get_node(bytes(32)) is None


async def test_survives_a_restart(
    tmp_path: Path,
    names: MemoryNames,
    clock: Any,
    pool: ThreadPoolExecutor,
    alice_key: PrivateKey,
) -> None:
    first = await IdentityCache.open(tmp_path, client=names, clock=clock, pool=pool)
    document = signed(alice_key, ALICE)
    await first.add(document, served_at=ALICE)
    await first.close()
    second = await IdentityCache.open(tmp_path, client=names, clock=clock, pool=pool)
    assert await second.get(ALICE) == document
    assert await second.list() == (document,)
    await second.close()
    assert (tmp_path / "metadata" / "identities.db").stat().st_mode & 0o077 == 0


class TestHijack:
    """A dishonest name server, or a peer that lies about its name."""

    async def test_another_key_for_a_known_name(
        self,
        cache: IdentityCache,
        names: MemoryNames,
        alice_key: PrivateKey,
        mallory_key: PrivateKey,
    ) -> None:
        genuine = signed(alice_key, ALICE)
        await names.publish(ALICE, genuine.to_xml())
        await cache.resolve(ALICE)
        forged = signed(mallory_key, ALICE, revision=10**6)
        names.documents[ALICE] = forged.to_xml()
        with pytest.raises(IntegrityError, match="another key"):
            await cache.resolve(ALICE, max_age=0)
        assert await cache.get(ALICE) == genuine
        assert await cache.get_node(forged.node_id) is None
        with pytest.raises(IntegrityError, match="another key"):
            await cache.add(forged)
        # The person says so after asking Alice on another channel.
        assert await cache.resolve(ALICE, max_age=0, replace=True) == forged
        assert await cache.get(ALICE) == forged
        assert await cache.get_node(genuine.node_id) == genuine

    async def test_a_claim_that_no_server_confirmed_is_worth_nothing(
        self,
        cache: IdentityCache,
        names: MemoryNames,
        alice_key: PrivateKey,
        mallory_key: PrivateKey,
    ) -> None:
        liar = signed(mallory_key, ALICE, revision=9)
        await cache.add(liar)
        assert await cache.get(ALICE) is None
        assert await cache.get(ALICE, confirmed=False) == liar
        names.away = True
        with pytest.raises(IdentityServerError):
            await cache.resolve(ALICE)
        names.away = False
        genuine = signed(alice_key, ALICE)
        await names.publish(ALICE, genuine.to_xml())
        assert await cache.resolve(ALICE) == genuine
        assert await cache.get(ALICE, confirmed=False) == genuine

    async def test_a_name_in_a_later_source_is_not_taken_over(
        self, cache: IdentityCache, alice_key: PrivateKey, mallory_key: PrivateKey
    ) -> None:
        genuine = signed(alice_key, ALICE)
        await cache.add(genuine, served_at=ALICE)
        await cache.add(signed(mallory_key, MALLORY, ALICE), served_at=MALLORY)
        assert await cache.get(ALICE, confirmed=False) == genuine

    async def test_a_document_that_does_not_name_its_place(
        self, cache: IdentityCache, names: MemoryNames, mallory_key: PrivateKey
    ) -> None:
        names.documents[ALICE] = signed(mallory_key, MALLORY).to_xml()
        with pytest.raises(IntegrityError, match="not that person's"):
            await cache.resolve(ALICE)
        assert await cache.count() == 0

    @pytest.mark.parametrize("served", [b"", b"<html/>", b"x" * 70_000])
    async def test_nonsense(
        self, cache: IdentityCache, names: MemoryNames, alice_key: PrivateKey, served: bytes
    ) -> None:
        names.documents[ALICE] = served
        with pytest.raises(IntegrityError, match=r"a\.example\.org"):
            await cache.resolve(ALICE)
        assert await cache.count() == 0
        known = signed(alice_key, ALICE)
        await cache.add(known, served_at=ALICE)
        assert await cache.resolve(ALICE, max_age=0) == known

    async def test_an_old_revision_served_again(
        self, cache: IdentityCache, names: MemoryNames, clock: Any, alice_key: PrivateKey
    ) -> None:
        newer = signed(alice_key, ALICE, revision=5)
        await cache.add(newer, served_at=ALICE)
        names.documents[ALICE] = signed(alice_key, ALICE, revision=4).to_xml()
        assert await cache.resolve(ALICE, max_age=0) == newer
        # A peer that plays the known document again does not keep us from asking.
        clock.time += 3601
        await cache.add(newer)
        asked = len(names.fetches)
        await cache.resolve(ALICE)
        assert len(names.fetches) == asked + 1


class TestMoves:
    async def test_the_former_address_leads_to_the_person(
        self, cache: IdentityCache, names: MemoryNames, alice_key: PrivateKey
    ) -> None:
        await cache.add(signed(alice_key, ALICE), served_at=ALICE)
        moved = signed(alice_key, MOVED, revision=2)
        await cache.add(moved)  # the peer itself told us
        assert await cache.get(ALICE) == moved
        names.away_hosts.add((ALICE.host, ALICE.port))
        newest = signed(alice_key, MOVED, revision=3)
        await names.publish(MOVED, newest.to_xml())
        assert await cache.resolve(ALICE, max_age=0) == newest
        assert await cache.get(MOVED) == newest

    async def test_a_stranger_at_the_other_address_is_passed_over(
        self,
        cache: IdentityCache,
        names: MemoryNames,
        alice_key: PrivateKey,
        mallory_key: PrivateKey,
    ) -> None:
        known = signed(alice_key, ALICE, MOVED)
        await cache.add(known, served_at=ALICE)
        names.away_hosts.add((ALICE.host, ALICE.port))
        await names.publish(MOVED, signed(mallory_key, MOVED).to_xml())
        assert await cache.resolve(ALICE, max_age=0) == known

    async def test_names_of_one_key_are_bounded(
        self, cache: IdentityCache, alice_key: PrivateKey, tmp_path: Path
    ) -> None:
        await cache.add(signed(alice_key, ALICE), served_at=ALICE)
        for revision in range(2, 60):
            place = IDURL("h", revision, "alice")
            await cache.add(signed(alice_key, place, revision=revision))
        connection = apsw.Connection(str(tmp_path / "metadata" / "identities.db"))
        ((count,),) = connection.execute("SELECT count(*) FROM names").fetchall()
        connection.close()
        assert count == 32
        assert (await cache.get(ALICE)) is not None, "confirmed names go last"


class TestEviction:
    async def fill(
        self, cache: IdentityCache, clock: Any, count: int, served: bool = True
    ) -> list[IdentityDocument]:
        documents = []
        for _ in range(count):
            clock.time += 1000
            place = IDURL("h", 80, f"user{int(clock.time)}")
            document = signed(PrivateKey.generate(1024), place)
            await cache.add(document, served_at=place if served else None)
            documents.append(document)
        return documents

    async def test_least_recently_used_goes_first(self, cache: IdentityCache, clock: Any) -> None:
        first, second, third, fourth = await self.fill(cache, clock, 4)
        clock.time += 1000
        assert await cache.get_node(first.node_id) == first
        (fifth,) = await self.fill(cache, clock, 1)
        assert await cache.get_node(second.node_id) is None
        assert await cache.get(second.idurl) is None
        for kept in (first, third, fourth, fifth):
            assert await cache.get_node(kept.node_id) == kept

    async def test_pinned_stay(self, cache: IdentityCache, clock: Any) -> None:
        friend, *_ = await self.fill(cache, clock, 1)
        await cache.pin(friend.node_id)
        await self.fill(cache, clock, 10)
        assert await cache.get(friend.idurl) == friend
        assert await cache.count() == 4
        await cache.unpin(friend.node_id)
        await self.fill(cache, clock, 10)

    async def test_a_flood_of_strangers_does_not_wash_out_the_confirmed(
        self, cache: IdentityCache, clock: Any
    ) -> None:
        known = await self.fill(cache, clock, 3)
        await self.fill(cache, clock, 10, served=False)
        for document in known:
            assert await cache.get(document.idurl) == document
        assert await cache.count() == 4

    async def test_pins_are_bounded(self, cache: IdentityCache, clock: Any) -> None:
        documents = await self.fill(cache, clock, 4)
        for document in documents:
            await cache.pin(document.node_id)
            await cache.pin(document.node_id)
        (newcomer,) = await self.fill(cache, clock, 1)
        with pytest.raises(NotFound):
            await cache.pin(newcomer.node_id)
        assert await cache.count() == 4
        await cache.unpin(documents[0].node_id)
        (newcomer,) = await self.fill(cache, clock, 1)
        await cache.pin(newcomer.node_id)
        await cache.forget(documents[1].node_id)
        assert await cache.count() == 3


async def test_bad_limit(
    tmp_path: Path, names: MemoryNames, clock: Any, pool: ThreadPoolExecutor
) -> None:
    with pytest.raises(InvalidInput):
        await IdentityCache.open(tmp_path, client=names, clock=clock, pool=pool, limit=0)


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\x00" + bytes(84)])
async def test_a_damaged_file_is_put_aside(
    tmp_path: Path,
    names: MemoryNames,
    clock: Any,
    pool: ThreadPoolExecutor,
    alice_key: PrivateKey,
    content: bytes,
) -> None:
    path = tmp_path / "metadata" / "identities.db"
    path.parent.mkdir()
    path.write_bytes(content)
    cache = await IdentityCache.open(tmp_path, client=names, clock=clock, pool=pool)
    await cache.add(signed(alice_key, ALICE), served_at=ALICE)
    assert await cache.count() == 1
    await cache.close()
    assert path.with_name("identities.db.damaged").read_bytes() == content


async def test_a_damaged_row_is_dropped(
    cache: IdentityCache, names: MemoryNames, alice_key: PrivateKey, tmp_path: Path
) -> None:
    document = signed(alice_key, ALICE)
    await names.publish(ALICE, document.to_xml())
    await cache.resolve(ALICE)
    connection = apsw.Connection(str(tmp_path / "metadata" / "identities.db"))
    connection.execute("UPDATE documents SET xml = substr(xml, 1, 100)")
    connection.close()
    assert await cache.get(ALICE) is None
    assert await cache.resolve(ALICE) == document


async def test_many_at_once(
    cache: IdentityCache, names: MemoryNames, alice_key: PrivateKey
) -> None:
    await names.publish(ALICE, signed(alice_key, ALICE).to_xml())
    found = await asyncio.gather(*(cache.resolve(ALICE, max_age=0) for _ in range(30)))
    assert len(set(found)) == 1
    assert await cache.count() == 1
