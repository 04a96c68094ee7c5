"""Identities in the DHT: without any server, and as the last word on where somebody went."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bitdust.crypto import PrivateKey
from bitdust.dht import IDENTITY, owner_dht_key
from bitdust.errors import IdentityServerError, InvalidInput, NotFound, WrongPassphrase
from bitdust.identity import sign_document
from bitdust.ids import IDURL, GlobalID, RemotePath
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual
from bitdust.wiring.serverless import AnyNames, record_key

SERVERLESS = {"services__identity_propagate__serverless_enabled": True}
NO_STORAGE = {"services__customer__enabled": False, "services__supplier__enabled": False}


async def in_dht(grid: Grid, node: Node) -> None:
    """Wait until the node's document stands in the DHT."""
    identity = node.require_identity()
    place = IDURL.in_dht(identity.document.dht_key, identity.document.name)

    async def stands() -> bool:
        try:
            return await node.names.fetch(place) == identity.document.to_xml()
        except (NotFound, IdentityServerError):
            return False

    for _ in range(300):
        if await stands():
            return
        await grid.clock.sleep(1.0)
    raise AssertionError("never there")


def test_people_without_any_server_find_each_other_and_store_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"kept" * 10_000)

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            grid.names.away = True
            for number in range(2):
                name = f"supplier-{number}"
                node = await grid.start(name, services__customer__enabled=False, **SERVERLESS)
                if number == 0:
                    # alone in the DHT, nobody can take the record
                    with pytest.raises(IdentityServerError):
                        await node.create_identity(name, [])
                    await grid.start("neighbour", **NO_STORAGE)
                await node.create_identity(name, [])
            alice = await grid.start(
                "alice",
                services__supplier__enabled=False,
                services__customer__suppliers_number=2,
                **SERVERLESS,
            )
            await alice.create_identity("alice", [])
            identity = alice.require_identity()
            key = owner_dht_key(identity.key).hex()
            assert str(identity.idurl) == f"dht://{key}/alice.xml"
            assert str(identity.global_id) == f"alice@{key}"
            await alice.require_customer().wait_ready(120.0)
            remote = RemotePath.parse(f"master${identity.global_id}:docs/a")
            files = alice.require_storage()
            stored = await files.file_upload_start(str(source), remote, wait_result=True)
            assert stored["state"] == "stored"
            # somebody who has never met it finds it by its name alone
            stranger = await grid.start("stranger", **NO_STORAGE, **SERVERLESS)
            await stranger.create_identity("stranger", [])
            found = await stranger.find_document(str(identity.idurl))
            assert found.node_id == identity.node_id
            assert await stranger.identities.get(identity.idurl) == found, "confirmed"
            # and from its backup it comes back
            backup = await identity.backup_text("open sesame")
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")
            again = await grid.start("alice", services__supplier__enabled=False)
            with pytest.raises(WrongPassphrase):
                await again.recover_identity(backup, None)
            await again.recover_identity(backup, None, "open sesame")
            assert again.require_identity().idurl == identity.idurl
            assert again.storage is not None
            assert await again.storage.wait_recovered(600.0)
            result = await again.require_storage().file_download_start(
                remote, str(tmp_path / "out"), wait_result=True
            )
            assert Path(result["local_path"]).read_bytes() == source.read_bytes()
            # the passphrase is the backup's, the daemon starts without
            await grid.stop("alice")
            assert (await grid.start("alice")).global_id == identity.global_id

    run_virtual(scenario())


def test_it_is_not_taken_for_granted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            node = await grid.start("alice", **NO_STORAGE)
            with pytest.raises(InvalidInput, match="no identity server") as caught:
                await node.create_identity("alice", [])
            assert "serverless" in caught.value.hint

    run_virtual(scenario())


def test_whoever_recovers_after_a_move_finds_the_new_address_in_the_dht(tmp_path: Path) -> None:
    """The backup names a server that is dead by now; so does the address others know."""

    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            await grid.start("neighbour", **NO_STORAGE)
            friend = await grid.start("friend", **NO_STORAGE)
            await friend.create_identity("friend", ["friends.test"])
            alice = await grid.start(
                "alice",
                **NO_STORAGE,
                services__identity_propagate__known_servers="names.test,other.test",
                services__identity_propagate__max_servers=1,
            )
            await alice.create_identity("alice", [])
            old = alice.require_identity().idurl
            await friend.find_document(str(old))
            backup = await alice.require_identity().backup_text()
            alice.require_keys().create("photos", 1024)
            await alice.rotate_identity()
            await in_dht(grid, alice)
            new = alice.require_identity().idurl
            assert (str(old), str(new)) == (
                "http://names.test/alice.xml",
                "http://other.test/alice.xml",
            )
            grid.names.away_hosts = {("names.test", 80)}
            await grid.stop("alice")
            shutil.rmtree(tmp_path / "grid" / "alice")
            # the friend was told by nobody, and its server cannot be asked
            assert (await friend.identities.resolve(old, 0.0)).idurl == new
            again = await grid.start("alice", **NO_STORAGE)
            await again.recover_identity(backup, None)
            assert again.require_identity().idurl == new
            assert again.current_name(old.global_id) == new.global_id

    run_virtual(scenario())


def test_another_hand_has_no_place_in_the_dht(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path / "grid") as grid:
            nodes = [await grid.start(f"node-{number}", **NO_STORAGE) for number in range(2)]
            alice, mallory = PrivateKey.generate(1024), PrivateKey.generate(1024)
            place = IDURL.in_dht(owner_dht_key(alice), "alice")
            client = AnyNames(grid.names, lambda: nodes[0].dht, nodes[0].pool)
            document = sign_document(
                alice, sources=[place], dht_key=owner_dht_key(alice), revision=1
            )
            await client.publish(place, document.to_xml(), alice)
            # signed by another hand it stands elsewhere, and nobody looks there
            forged = sign_document(
                mallory, sources=[place], dht_key=owner_dht_key(alice), revision=9
            )
            await client.publish(place, forged.to_xml(), mallory)
            other = AnyNames(grid.names, lambda: nodes[1].dht, nodes[1].pool)
            assert await other.fetch(place) == document.to_xml()
            # the document of another key, put by the owner of the place, is nobody's
            value = {
                "key": record_key(place),
                "type": IDENTITY,
                "timestamp": 1,
                "idurl": str(place),
                "identity": "nonsense",
                "revision": 5,
            }
            dht = nodes[0].require_dht()
            await dht.set_value(record_key(place), value, record_type=IDENTITY, signer=alice)
            with pytest.raises(Exception, match="is bad") as caught:
                await nodes[1].identities.resolve(place)
            assert caught.value.__class__.__name__ == "FormatError"

    run_virtual(scenario())


def test_names() -> None:
    key = "ab" * 32
    idurl = IDURL.parse(f"dht://{key}/alice.xml")
    assert idurl.is_serverless
    assert str(idurl) == f"dht://{key}/alice.xml"
    assert str(idurl.global_id) == f"alice@{key}"
    assert GlobalID.parse(f"alice@{key}") == idurl.global_id
    assert GlobalID.parse(str(idurl)).idurl == idurl
    remote = RemotePath.parse(f"master$alice@{key}:a/b")
    assert str(remote) == f"master$alice@{key}:a/b"


@pytest.mark.parametrize(
    "text",
    [
        f"http://{'ab' * 32}/alice.xml",
        f"dht://{'ab' * 32}:80/alice.xml",
        f"dht://{'ab' * 31}/alice.xml",
        f"dht://{'xy' * 32}/alice.xml",
        f"dht://{'ab' * 32}/Alice.xml",
        f"dht://u@{'ab' * 32}/alice.xml",
        f"alice@{'ab' * 32}_80",
    ],
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        GlobalID.parse(text)
