"""Identities that move, seen from all sides: the mover, its suppliers, its customers, strangers."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import build_registry
from bitdust.api.dispatch import dispatch
from bitdust.errors import IdentityServerError
from bitdust.events import Event
from bitdust.ids import IDURL, GlobalID
from bitdust.network import ContactState
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

SERVERS = "names.test,other.test"
BRANCH = "services/identity-propagate"
REGISTRY = build_registry()


async def call(node: Node, method: str, **values: object) -> Any:
    """An operation, as any interface calls it."""
    envelope = await dispatch(node, REGISTRY.operations[method], values)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


def listen(node: Node) -> list[Event]:
    told: list[Event] = []
    node.events.on_event(told.append)
    return told


def names_of(told: list[Event], word: str) -> list[str]:
    return [event.event_id for event in told if word in event.event_id]


def heard(told: list[Event], word: str) -> bool:
    return bool(names_of(told, word))


async def upload(node: Node, source: Path, path: str) -> None:
    result = await call(
        node, "file_upload_start", local_path=str(source), remote_path=path, wait_result=True
    )
    assert result["state"] == "stored"


async def download(node: Node, path: str, folder: Path) -> bytes:
    result = await call(
        node,
        "file_download_start",
        remote_path=path,
        destination_path=str(folder),
        wait_result=True,
    )
    return Path(result["local_path"]).read_bytes()


def test_a_customer_moves_and_all_that_is_its_own_goes_with_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"kept" * 50_000)

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            suppliers = [await grid.supplier(f"supplier-{number}") for number in range(2)]
            carol = await grid.customer("carol", suppliers=2)
            alice = await grid.customer("alice", suppliers=2)
            alice.settings.set(f"{BRANCH}/known-servers", SERVERS)
            old = alice.global_id
            assert old is not None
            await call(alice, "key_create", alias="photos", key_size=1024)
            await upload(alice, source, f"master${old}:docs/a")
            await upload(alice, source, f"photos${old}:b")
            hired = alice.require_customer().positions()
            seen, told = listen(alice), [listen(node) for node in suppliers]

            result = await call(alice, "identity_rotate")

            new = alice.global_id
            assert str(new) == "alice@other.test"
            assert result["rotated"] is True
            assert result["old_sources"] == ["http://names.test/alice.xml"]
            assert result["sources"] == [
                "http://other.test/alice.xml",
                "http://names.test/alice.xml",
            ]
            assert names_of(seen, "my-identity") == [
                "my-identity-rotated",
                "my-identity-url-changed",
                "my-identity-rotate-complete",
            ]
            # keys and files have the new name, and nothing has the old one
            keys = [row["key_id"] for row in await call(alice, "keys_list")]
            assert keys == [f"master${new}", f"photos${new}"]
            files = [row["remote_path"] for row in await call(alice, "files_list")]
            assert all(str(new) in path and str(old) not in path for path in files)
            # both names lead to the data, by path and by item id
            for number, name in enumerate((old, new)):
                folder = tmp_path / f"out-{number}"
                assert await download(alice, f"master${name}:docs/a", folder) == b"kept" * 50_000
                assert await download(alice, f"photos${name}:b", folder) == b"kept" * 50_000
                assert (await call(alice, "key_get", key_id=f"photos${name}"))["alias"] == "photos"
            await upload(alice, source, f"master${old}:docs/c")
            # the same suppliers, connected, and they know the new name
            assert alice.require_customer().positions() == hired
            assert alice.require_customer().ready() == 2
            for node, events in zip(suppliers, told, strict=True):
                await grid.until(partial(heard, events, "identity-url-changed"))
                changed = [e for e in events if e.event_id == "identity-url-changed"]
                assert [e.data["new_global_id"] for e in changed] == [str(new)]
                rows = await call(node, "customers_list")
                assert {row["global_id"] for row in rows} == {str(new), str(carol.global_id)}
                assert (await node.find_document(str(old.idurl))).global_id == new

            # the list in the DHT follows, and is found under either name
            async def published() -> str:
                found = await call(carol, "suppliers_dht_lookup", customer_id=str(old))
                return str(found["customer_idurl"])

            await with_deadline(grid, published, str(alice.require_identity().idurl))
            # a restart changes nothing and tells nothing
            await grid.stop("alice")
            alice = await grid.start("alice")
            await alice.require_customer().wait_ready(120.0)
            assert alice.global_id == new
            assert [row["key_id"] for row in await call(alice, "keys_list")] == keys
            assert await download(alice, f"photos${old}:b", tmp_path / "again") == b"kept" * 50_000
            assert "my-identity-rotated" not in alice.events.counts

    run_virtual(scenario())


async def with_deadline(grid: Grid, ask: Any, wanted: object) -> None:
    for _ in range(600):
        if await ask() == wanted:
            return
        await grid.clock.sleep(1.0)
    raise AssertionError(f"never {wanted}")


def test_an_upload_under_way_goes_on_under_the_new_name(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            alice.settings.set(f"{BRANCH}/known-servers", SERVERS)
            told = listen(alice)
            await call(alice, "file_upload_start", local_path=str(source), remote_path="big")
            assert not names_of(told, "backup-done")
            await call(alice, "identity_rotate")
            await grid.until(lambda: bool(names_of(told, "backup-done")))
            done = [event for event in told if event.event_id == "backup-done"]
            assert done[0].data["remote_path"] == f"master${alice.global_id}:big"
            assert await download(alice, "big", tmp_path / "out") == source.read_bytes()

    run_virtual(scenario())


def test_a_supplier_moves(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"kept" * 50_000)

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            mover = await grid.supplier("mover")
            await grid.supplier("stayer")
            alice = await grid.customer("alice", suppliers=2)
            await upload(alice, source, "a")
            hired = alice.require_customer().positions()
            mover.settings.set(f"{BRANCH}/known-servers", SERVERS)
            told = listen(alice)
            await call(mover, "identity_rotate")
            await grid.until(lambda: bool(names_of(told, "identity-url-changed")))
            shown = {row["global_id"] for row in await call(alice, "suppliers_list")}
            assert shown == {"mover@other.test", "stayer@names.test"}
            assert await download(alice, "a", tmp_path / "one") == b"kept" * 50_000

            async def published() -> set[str]:
                return set((await call(alice, "suppliers_dht_lookup"))["suppliers"])

            idurls = {"http://other.test/mover.xml", "http://names.test/stayer.xml"}
            await with_deadline(grid, published, idurls)
            # it moves again while its customer is away
            await grid.stop("alice")
            mover.settings.set(f"{BRANCH}/known-servers", "third.test")
            await call(mover, "identity_rotate")
            alice = await grid.start("alice")
            await alice.require_customer().wait_ready(120.0)
            assert alice.require_customer().positions() == hired
            shown = {row["global_id"] for row in await call(alice, "suppliers_list")}
            assert shown == {"mover@third.test", "stayer@names.test"}
            # and one of the two is enough
            await grid.stop("mover")
            assert await download(alice, "a", tmp_path / "two") == b"kept" * 50_000

    run_virtual(scenario())


def test_the_key_of_a_friend_follows_the_friend(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await grid.supplier("alice"), await grid.supplier("bob")
            bob.settings.set(f"{BRANCH}/known-servers", SERVERS)
            old = bob.global_id
            assert old is not None
            await alice.find_document(str(old.idurl))
            shared = bob.require_keys().create("share", 1024)
            assert shared.private is not None
            alice.require_keys().add(old.key("share"), shared.private)
            await connect(grid, bob, alice)
            await call(bob, "identity_rotate")
            new = bob.global_id
            assert new is not None
            await grid.until(lambda: new.key("share") in alice.require_keys())
            assert old.key("share") not in alice.require_keys()
            assert (await call(alice, "key_get", key_id=f"share${old}"))["key_id"] == f"share${new}"

    run_virtual(scenario())


def test_a_stranger_cannot_have_keys_renamed_by_claiming_a_name(tmp_path: Path) -> None:
    """Mallory says in its document that it was bob; alice has keys of the real one."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            alice, bob = await grid.supplier("alice"), await grid.supplier("bob")
            mallory = await grid.supplier("mallory")
            name = bob.global_id
            assert name is not None
            key = bob.require_keys().create("share", 1024)
            assert key.private is not None
            alice.require_keys().add(name.key("share"), key.private)
            claim = (IDURL.parse("http://other.test/mallory.xml"), name.idurl)
            await mallory.require_identity().take_sources(claim)
            document = mallory.require_identity().document
            await alice.find_document(str(name.idurl))
            await connect(grid, alice, mallory)
            mallory.events.publish("my-identity-rotated")
            known = alice.require_network()
            await grid.until(lambda: known.document_of(document.node_id) == document)
            await grid.clock.sleep(60.0)
            assert name.key("share") in alice.require_keys()
            assert (await alice.find_document(str(name.idurl))).node_id == (
                bob.require_identity().node_id
            )

    run_virtual(scenario())


async def connect(grid: Grid, one: Node, other: Node) -> None:
    """A session between two nodes, kept by ``other``."""
    network, document = other.require_network(), one.require_identity().document
    network.learn(document)
    network.keep(document.node_id)
    await grid.until(lambda: network.status(document.node_id).state is ContactState.ONLINE)


def test_a_dead_server_is_left_without_being_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.start(
                "alice",
                services__customer__enabled=False,
                services__identity_propagate__known_servers="dead.test,live.test,third.test",
                services__identity_propagate__max_servers=2,
                services__identity_propagate__min_servers=2,
                services__identity_propagate__health_check_interval_seconds=10,
            )
            await node.create_identity("alice", [])
            assert str(node.global_id) == "alice@dead.test"
            told = listen(node)
            await grid.clock.sleep(300.0)
            assert not names_of(told, "my-identity")
            grid.names.away_hosts = {("dead.test", 80)}
            await grid.until(lambda: bool(names_of(told, "complete")), 100.0)
            assert names_of(told, "complete") == ["my-identity-rotate-complete"]
            sources = [str(source) for source in node.require_identity().document.sources]
            assert sources == ["http://live.test/alice.xml", "http://third.test/alice.xml"]
            assert node.current_name(GlobalID("alice", "dead.test")) == node.global_id
            await grid.clock.sleep(600.0)
            assert names_of(told, "complete") == ["my-identity-rotate-complete"]

    run_virtual(scenario())


def test_who_is_cut_off_blames_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.supplier("alice")
            node.settings.set(f"{BRANCH}/known-servers", SERVERS)
            node.settings.set(f"{BRANCH}/health-check-interval-seconds", 10)
            grid.names.away = True
            await grid.clock.sleep(3600.0)
            grid.names.away = False
            await grid.clock.sleep(3600.0)
            assert str(node.global_id) == "alice@names.test"
            # with somebody connected it is the server that is dead
            other = await grid.supplier("other")
            await connect(grid, node, other)
            grid.names.away_hosts = {("names.test", 80)}
            await grid.until(lambda: str(node.global_id) == "alice@other.test", 400.0)
            node.settings.set(f"{BRANCH}/automatic-rotate-enabled", False)
            grid.names.away_hosts = {("other.test", 80)}
            await grid.clock.sleep(3600.0)
            assert str(node.global_id) == "alice@other.test", "not if it is switched off"

    run_virtual(scenario())


def test_a_server_that_lost_its_names_gets_them_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.supplier("alice")
            node.settings.set(f"{BRANCH}/health-check-interval-seconds", 10)
            served = dict(grid.names.documents)
            grid.names.documents.clear()
            # the interval of before is still waited for
            await grid.until(lambda: grid.names.documents == served, 400.0)

    run_virtual(scenario())


def test_no_other_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.supplier("alice")
            told = listen(node)
            with pytest.raises(IdentityServerError, match="no other"):
                await node.rotate_identity()
            assert str(node.global_id) == "alice@names.test"
            assert told == []

    run_virtual(scenario())


def test_an_encrypted_backup(tmp_path: Path) -> None:
    path = tmp_path / "alice.key"

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.supplier("alice")
            name = node.global_id
            phrase = "open sesame\n"  # as a file has it
            await call(node, "identity_backup", destination_filepath=str(path), passphrase=phrase)
            text = path.read_text("ascii")
            assert path.stat().st_mode & 0o077 == 0
            assert "RSA PRIVATE KEY" not in text
            assert node.require_identity().key.to_pem().splitlines()[1] not in text
            other = await grid.start("other", services__customer__enabled=False)
            recover = REGISTRY.operations["identity_recover"]
            for wrong in ({}, {"passphrase": "open barley"}):
                values: dict[str, object] = {"private_key_source": text, **wrong}
                envelope = await dispatch(other, recover, values)
                assert envelope["status"] == "ERROR"
                assert envelope["code"] == "wrong_passphrase"
                assert "sesame" not in str(envelope)
            values = {"private_key_source": text, "passphrase": "open sesame"}
            assert (await dispatch(other, recover, values))["status"] == "OK"
            assert other.global_id == name

    run_virtual(scenario())
