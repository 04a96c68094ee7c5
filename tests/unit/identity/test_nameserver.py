from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import IntegrityError, InvalidName
from bitdust.identity import (
    MAX_DOCUMENT_SIZE,
    IdentityDocument,
    NameServer,
    NameServerLimits,
    Rate,
    sign_document,
)
from bitdust.identity.ratelimit import TokenBuckets
from bitdust.ids import IDURL

HERE = IDURL.parse("http://id.example.org:8084/alice.xml")
ELSEWHERE = IDURL.parse("http://other.example.org/alice.xml")


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def call(
    server: NameServer,
    method: str,
    path: str,
    chunks: Iterable[bytes] = (),
    *,
    address: str = "192.0.2.1",
    headers: dict[str, str] | None = None,
    stall: bool = False,
    hang_up: bool = False,
) -> Answer:
    """One request straight into the ASGI application, so that the address can be chosen."""
    parts = list(chunks)
    messages = [
        {"type": "http.request", "body": part, "more_body": stall or hang_up or number < len(parts)}
        for number, part in enumerate(parts, 1)
    ] or [{"type": "http.request", "body": b"", "more_body": stall}]
    if hang_up:
        messages.append({"type": "http.disconnect"})
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            answer.body += message["body"]

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in (headers or {}).items()],
        "client": (address, 1234),
        "server": ("id.example.org", 8084),
        "scheme": "http",
        "http_version": "1.1",
    }
    await server.app(scope, receive, send)
    return answer


@pytest.fixture
async def server(tmp_path: Path, clock: Any, pool: ThreadPoolExecutor) -> AsyncIterator[NameServer]:
    limits = NameServerLimits(upload_timeout=0.1, max_names=5, max_uploads=2)
    opened = await NameServer.open(
        tmp_path / "names.db", "id.example.org", 8084, clock=clock, pool=pool, limits=limits
    )
    yield opened
    await opened.close()


def xml(key: PrivateKey, *sources: IDURL, revision: int = 1, **more: Any) -> bytes:
    return sign_document(key, sources=sources or (HERE,), revision=revision, **more).to_xml()


class TestRules:
    async def test_register_fetch_update(self, server: NameServer, alice_key: PrivateKey) -> None:
        assert (await call(server, "GET", "/alice.xml")).status == 404
        first = xml(alice_key)
        answer = await call(server, "PUT", "/alice.xml", [first])
        assert (answer.status, answer.body) == (200, b"registered\n")
        fetched = await call(server, "GET", "/alice.xml")
        assert (fetched.status, fetched.body) == (200, first)
        assert fetched.headers["content-type"].startswith("text/xml")
        second = xml(alice_key, revision=2)
        assert (
            await call(server, "POST", "/alice.xml", [second[:100], second[100:]])
        ).status == 200
        assert (await call(server, "GET", "/alice.xml")).body == second

    async def test_the_same_document_again(self, server: NameServer, alice_key: PrivateKey) -> None:
        document = xml(alice_key)
        await call(server, "PUT", "/alice.xml", [document])
        answer = await call(server, "PUT", "/alice.xml", [document])
        assert (answer.status, answer.body) == (200, b"unchanged\n")

    async def test_only_the_same_key_and_a_higher_revision(
        self, server: NameServer, alice_key: PrivateKey, mallory_key: PrivateKey
    ) -> None:
        held = xml(alice_key, revision=5)
        await call(server, "PUT", "/alice.xml", [held])
        for offered, status in (
            (xml(mallory_key, revision=99), 403),
            (xml(alice_key, revision=4), 409),
            (xml(alice_key, revision=5, contacts=["tcp://h:1"]), 409),
            (held.replace(b"<revision>5", b"<revision>6"), 400),
        ):
            answer = await call(server, "PUT", "/alice.xml", [offered])
            assert answer.status == status, answer.body
            assert answer.body.endswith(b"\n")
        assert (await call(server, "GET", "/alice.xml")).body == held

    async def test_the_document_must_name_this_server(
        self, server: NameServer, alice_key: PrivateKey
    ) -> None:
        for document in (
            xml(alice_key, ELSEWHERE),
            xml(alice_key, IDURL("id.example.org", 8084, "bob")),
            xml(alice_key, IDURL("id.example.org", 80, "alice")),
        ):
            answer = await call(server, "PUT", "/alice.xml", [document])
            assert (answer.status, b"sources" in answer.body) == (400, True)
        assert (await call(server, "PUT", "/alice.xml", [xml(alice_key, ELSEWHERE, HERE)])).status

    @pytest.mark.parametrize(
        "body", [b"", b"hello", b"<identity/>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><identity/>"]
    )
    async def test_bad_documents(self, server: NameServer, body: bytes) -> None:
        assert (await call(server, "PUT", "/alice.xml", [body])).status == 400

    @pytest.mark.parametrize(
        "path", ["/Alice.xml", "/a%20b.xml", "/../x.xml", "/.xml", "/a/b.xml", "/alice", "/é.xml"]
    )
    async def test_bad_names(self, server: NameServer, alice_key: PrivateKey, path: str) -> None:
        assert (await call(server, "GET", path)).status == 404
        assert (await call(server, "PUT", path, [xml(alice_key)])).status == 404

    async def test_other_methods_and_the_front_page(self, server: NameServer) -> None:
        assert (await call(server, "DELETE", "/alice.xml")).status == 405
        page = await call(server, "GET", "/")
        assert (page.status, b"id.example.org:8084" in page.body) == (200, True)

    async def test_it_is_full_some_day(self, server: NameServer, alice_key: PrivateKey) -> None:
        places = [IDURL("id.example.org", 8084, f"n{number}") for number in range(6)]
        statuses = [
            (await call(server, "PUT", f"/{place.username}.xml", [xml(alice_key, place)])).status
            for place in places
        ]
        assert statuses == [200] * 5 + [507]
        again = await call(server, "PUT", "/n0.xml", [xml(alice_key, places[0], revision=2)])
        assert again.status == 200, "those who are registered can still update"

    async def test_two_registrations_at_once(
        self, server: NameServer, alice_key: PrivateKey, mallory_key: PrivateKey
    ) -> None:
        answers = await asyncio.gather(
            call(server, "PUT", "/alice.xml", [xml(alice_key)]),
            call(server, "PUT", "/alice.xml", [xml(mallory_key)]),
        )
        assert sorted(answer.status for answer in answers) == [200, 403]

    async def test_names_survive_a_restart(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor, alice_key: PrivateKey
    ) -> None:
        for status in (404, 200):
            server = await NameServer.open(
                tmp_path / "n.db", "id.example.org", 8084, clock=clock, pool=pool
            )
            assert (await call(server, "GET", "/alice.xml")).status == status
            await call(server, "PUT", "/alice.xml", [xml(alice_key)])
            await server.close()

    async def test_a_damaged_file_is_named_and_kept(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor
    ) -> None:
        path = tmp_path / "n.db"
        path.write_bytes(b"damaged" * 1000)
        with pytest.raises(IntegrityError, match=str(path)):
            await NameServer.open(path, "id.example.org", 8084, clock=clock, pool=pool)
        assert path.read_bytes() == b"damaged" * 1000

    @pytest.mark.parametrize(("host", "port"), [("bad host", 80), ("h", 70000), ("", 80)])
    async def test_bad_address(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor, host: str, port: int
    ) -> None:
        with pytest.raises(InvalidName):
            await NameServer.open(tmp_path / "n.db", host, port, clock=clock, pool=pool)


class TestUploads:
    @pytest.mark.parametrize("announced", [str(MAX_DOCUMENT_SIZE + 1), "9" * 30, "-1", "x", "²"])
    async def test_announced_too_long(self, server: NameServer, announced: str) -> None:
        answer = await call(
            server, "PUT", "/alice.xml", [b"x"], headers={"content-length": announced}
        )
        assert answer.status == 413

    async def test_too_long_without_saying(self, server: NameServer) -> None:
        chunks = [b"x" * 1024] * 1000
        answer = await call(server, "PUT", "/alice.xml", chunks)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"

    async def test_slow_and_cut_off(self, server: NameServer, alice_key: PrivateKey) -> None:
        slow = await call(server, "PUT", "/alice.xml", [xml(alice_key)[:100]], stall=True)
        assert slow.status == 408
        cut = await call(server, "PUT", "/alice.xml", [xml(alice_key)[:100]], hang_up=True)
        assert cut.status == 400
        good = await call(server, "PUT", "/alice.xml", [xml(alice_key)])
        assert good.status == 200, "the places of the two were given back"

    async def test_too_many_at_once(self, server: NameServer) -> None:
        answers = await asyncio.gather(
            *(call(server, "PUT", "/alice.xml", [b"x"], stall=True) for _ in range(5))
        )
        assert sorted(answer.status for answer in answers) == [408, 408, 503, 503, 503]


class TestRates:
    async def open(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor, **rates: Rate
    ) -> NameServer:
        return await NameServer.open(
            tmp_path / "n.db",
            "id.example.org",
            8084,
            clock=clock,
            pool=pool,
            limits=NameServerLimits(**rates),
        )

    async def test_reads_of_one_address(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor
    ) -> None:
        server = await self.open(tmp_path, clock, pool, reads=Rate(0.5, 3))
        statuses = [(await call(server, "GET", "/a.xml")).status for _ in range(5)]
        assert statuses == [404, 404, 404, 429, 429]
        refused = await call(server, "GET", "/a.xml")
        assert refused.headers["retry-after"] == "2"
        assert (await call(server, "GET", "/a.xml", address="192.0.2.2")).status == 404
        clock.time += 2
        assert (await call(server, "GET", "/a.xml")).status == 404
        assert (await call(server, "GET", "/a.xml")).status == 429
        clock.time += 1000
        statuses = [(await call(server, "GET", "/a.xml")).status for _ in range(4)]
        assert statuses == [404, 404, 404, 429], "a bucket never holds more than its burst"
        assert server.answers[429] == 5
        await server.close()

    async def test_a_network_of_ipv6_counts_as_one(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor
    ) -> None:
        server = await self.open(tmp_path, clock, pool, reads=Rate(1, 2))
        statuses = [
            (await call(server, "GET", "/a.xml", address=f"2001:db8::{n}")).status
            for n in range(1, 4)
        ]
        assert statuses == [404, 404, 429]
        assert (await call(server, "GET", "/a.xml", address="2001:db8:0:1::1")).status == 404
        for _ in range(2):
            await call(server, "GET", "/a.xml", address="::ffff:192.0.2.9")
        assert (await call(server, "GET", "/a.xml", address="192.0.2.9")).status == 429
        await server.close()

    async def test_everybody_together(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor
    ) -> None:
        server = await self.open(tmp_path, clock, pool, all_reads=Rate(1, 4))
        statuses = [
            (await call(server, "GET", "/a.xml", address=f"192.0.2.{n}")).status for n in range(6)
        ]
        assert statuses == [404] * 4 + [429] * 2
        await server.close()

    async def test_writes_and_registrations(
        self, tmp_path: Path, clock: Any, pool: ThreadPoolExecutor, alice_key: PrivateKey
    ) -> None:
        server = await self.open(
            tmp_path, clock, pool, writes=Rate(1, 5), registrations=Rate(0.01, 1)
        )
        bob = IDURL("id.example.org", 8084, "bob")
        assert (await call(server, "PUT", "/alice.xml", [xml(alice_key)])).status == 200
        new = await call(server, "PUT", "/bob.xml", [xml(alice_key, bob)])
        assert (new.status, new.headers["retry-after"]) == (429, "100")
        for revision, status in ((2, 200), (3, 200), (4, 200), (5, 429)):
            answer = await call(server, "PUT", "/alice.xml", [xml(alice_key, revision=revision)])
            assert answer.status == status
        assert (await call(server, "GET", "/alice.xml")).status == 200
        await server.close()


class TestTokenBuckets:
    def test_the_table_is_bounded(self) -> None:
        buckets = TokenBuckets(Rate(1, 1), 100)
        for number in range(10_000):
            assert buckets.take(f"k{number}", 0.0) == 0
        assert len(buckets) == 100
        assert buckets.take("k9999", 0.0) == 1

    def test_time_that_goes_back_gives_nothing(self) -> None:
        buckets = TokenBuckets(Rate(1, 1), 1)
        assert buckets.take("k", 100.0) == 0
        assert buckets.take("k", 50.0) == 1


async def test_served_documents_parse(server: NameServer, alice_key: PrivateKey) -> None:
    loose = xml(alice_key).replace(b"  ", b"\t")
    await call(server, "PUT", "/alice.xml", [loose])
    served = (await call(server, "GET", "/alice.xml")).body
    assert IdentityDocument.parse(served).to_xml() == served
