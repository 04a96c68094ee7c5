"""Operations that are more than a call of a domain: settings, keys, suppliers, network, DHT."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bitdust.api.dispatch import dispatch
from bitdust.api.envelope import error_classes, error_from, failure
from bitdust.api.listening import MAX_CONSUMERS, EventConsumers
from bitdust.api.registry import Registry
from bitdust.api.secret import ensure_secret, read_secret, secret_path
from bitdust.errors import BitdustError, LocalFileError, NotRunning, PeerRefused
from bitdust.events import EventBus
from bitdust.ids import GlobalID

CAROL = GlobalID("carol", "computer-c.net")


async def call(node: Any, registry: Registry, method: str, **raw: Any) -> dict[str, Any]:
    return await dispatch(node, registry.named(method), raw)


async def result_of(node: Any, registry: Registry, method: str, **raw: Any) -> Any:
    envelope = await call(node, registry, method, **raw)
    assert envelope["status"] == "OK", envelope
    return envelope["result"]


async def test_settings(node: Any, registry: Registry) -> None:
    heard: list[object] = []
    key = "services/supplier/donated-space"
    node.settings.watch(key, lambda _, value: heard.append(value))
    changed = await result_of(node, registry, "config_set", key=key, value="16 GB")
    assert (changed["value"], changed["old_value"]) == ("16 GB", "8 GB")
    assert heard == [16 * 1024**3]
    assert (await result_of(node, registry, "config_get", key=key))["value"] == "16 GB"
    branch = await result_of(node, registry, "config_get", key="services/supplier")
    assert [option["key"] for option in branch] == [key, "services/supplier/enabled"]
    options = await result_of(node, registry, "configs_list", include_info=False)
    assert "info" not in options[0]
    tree = await result_of(node, registry, "configs_tree")
    assert tree["services"]["supplier"]["donated-space"]["value"] == "16 GB"
    envelope = await call(node, registry, "config_get", key="services/suplier/enabled")
    assert envelope["code"] == "invalid_setting"
    assert "services/supplier/enabled" in envelope["hint"]


async def test_keys(keyed_node: Any, registry: Registry) -> None:
    made = await result_of(
        keyed_node, registry, "key_create", alias="abcd1234", key_size=1024, label="Cats"
    )
    assert made["key_id"] == "abcd1234$alice@server-a.com"
    assert (made["size"], made["label"], made["private"]) == ("1024", "Cats", None)
    shown = await result_of(keyed_node, registry, "key_get", key_id="abcd1234", include_private=1)
    assert shown["private"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    listed = await result_of(keyed_node, registry, "keys_list")
    assert [key["alias"] for key in listed] == ["master", "abcd1234"]
    assert all(key["private"] is None for key in listed)
    shown = await result_of(keyed_node, registry, "key_label", key_id="abcd1234", label="Dogs")
    assert shown["label"] == "Dogs"
    assert (await call(keyed_node, registry, "key_erase", key_id="abcd1234"))["message"]
    envelope = await call(keyed_node, registry, "key_get", key_id="abcd1234")
    assert envelope["code"] == "not_found"
    assert keyed_node.events.counts == {"key-generated": 1, "key-erased": 1}


async def test_without_an_identity(node: Any, registry: Registry) -> None:
    node.global_id = None
    for method in ("keys_list", "identity_get", "files_list", "network_info"):
        envelope = await call(node, registry, method)
        assert envelope["code"] == "no_identity", method
        assert "identity create" in envelope["hint"]
    info = await result_of(node, registry, "process_info")
    assert info["identity"] == {"ready": False, "cache": 0}


async def test_file_operations_reach_storage_with_their_arguments(
    node: Any, registry: Registry
) -> None:
    names = [name for name in registry.operations if name.startswith(("file_", "files_"))]
    assert len(names) == 14
    for name in names:
        needed = {
            entry.name: "/tmp/x" if entry.name == "local_path" else "a/b"
            for entry in registry.named(name).parameters.values()
            if entry.required
        }
        wanted = [] if name == "files_list" else {"called": name}
        assert await result_of(node, registry, name, **needed) == wanted
        assert len(node.storage.calls[-1][1]) == len(registry.named(name).parameters)


async def test_file_lists_carry_the_revision_and_say_when_they_are_cut(
    node: Any, registry: Registry
) -> None:
    node.storage.answers["files_list"] = ([{"path": "a"}], 7, True)
    envelope = await call(node, registry, "files_list")
    assert envelope["result"] == [{"path": "a"}]
    assert envelope["revision"] == 7
    assert "first 1 items" in envelope["message"]


class FakeCustomer:
    def __init__(self) -> None:
        self.changes: list[tuple[int, bytes | None]] = []

    def suppliers_list(self) -> list[dict[str, Any]]:
        return [
            {"position": 0, "global_id": str(CAROL), "contact_state": "CONNECTED"},
            {"position": 1, "global_id": "dave@device-d.gov", "contact_state": "OFFLINE"},
        ]

    def position_of(self, idurl: str) -> int:
        assert idurl == "http://device-d.gov/dave.xml"
        return 1

    async def change(self, position: int, new: bytes | None) -> bytes:
        self.changes.append((position, new))
        return b""

    async def dht_lookup(self, idurl: str | None) -> dict[str, Any] | None:
        assert idurl is None
        return None


class SuppliersOnDht:
    """A DHT on which Carol published one supplier."""

    async def get_value(self, key: str, *, owner_dht_key: bytes, **_: Any) -> Any:
        assert str(CAROL.idurl) in key
        assert owner_dht_key == b"d" * 32
        return SimpleNamespace(found=True, value={"suppliers": ["http://a/b.xml"]})


async def test_suppliers(node: Any, registry: Registry) -> None:
    node.customer = FakeCustomer()
    node.require_customer = lambda: node.customer
    assert len(await result_of(node, registry, "suppliers_list")) == 2

    async def find_person(person: str) -> Any:
        assert person == str(CAROL)
        return SimpleNamespace(idurl=CAROL.idurl, dht_key=b"d" * 32)

    node.find_person, node.require_dht = find_person, SuppliersOnDht
    other = await result_of(node, registry, "suppliers_list", customer_id=str(CAROL))
    assert other == [{"position": 0, "idurl": "http://a/b.xml"}]
    envelope = await call(node, registry, "suppliers_dht_lookup")
    assert envelope["code"] == "not_found"
    for wrong in ({}, {"position": 0, "supplier_id": str(CAROL)}):
        envelope = await call(node, registry, "supplier_change", **wrong)
        assert envelope["errors"][0].startswith("position: ")
    changed = await result_of(node, registry, "supplier_change", supplier_id="dave@device-d.gov")
    assert changed["position"] == 1
    learned: list[Any] = []
    document = SimpleNamespace(node_id=b"n" * 32)

    async def resolve(idurl: object) -> Any:
        assert idurl == CAROL.idurl
        return document

    node.identities = SimpleNamespace(resolve=resolve)
    node.require_network = lambda: SimpleNamespace(learn=learned.append)
    await result_of(node, registry, "supplier_change", position=0, new_supplier_id=str(CAROL))
    assert node.customer.changes == [(1, None), (0, b"n" * 32)]
    assert learned == [document]


async def test_customers(node: Any, registry: Registry) -> None:
    rejected: list[bytes] = []

    async def reject(who: bytes) -> int:
        rejected.append(who)
        return 77

    rows = [{"idurl": str(CAROL.idurl), "node_id": "ab" * 32}]
    supplier = SimpleNamespace(customers_list=lambda: rows, reject_customer=reject)
    node.require_supplier = lambda: supplier
    envelope = await call(node, registry, "customer_reject", customer_id="bob@host")
    assert envelope["code"] == "not_found"
    done = await result_of(node, registry, "customer_reject", customer_id=str(CAROL.idurl))
    assert done == {"idurl": str(CAROL.idurl), "freed": 77}
    assert rejected == [b"\xab" * 32]


async def test_local_space(node: Any, registry: Registry) -> None:
    (node.home / "customers" / "deep").mkdir(parents=True)
    (node.home / "customers" / "deep" / "object").write_bytes(b"x" * 2048)
    (node.home / "log").write_bytes(b"y" * 100)
    (node.home / "link").symlink_to("/")
    space = await result_of(node, registry, "space_local")
    assert space["customers"] == 2048
    assert space["customers_str"] == "2 KB"
    assert space["diskfree_percent"].endswith("%")
    assert 2148 <= space["total"] < 3000
    assert 0 < space["diskfree"] <= space["disktotal"]


async def test_network_connected_waits_for_the_first_connection(
    node: Any, registry: Registry
) -> None:
    rows: list[dict[str, Any]] = [{"state": "HANDSHAKE", "proto": "tcp"}]
    node.require_network = lambda: SimpleNamespace(connections=lambda: rows, streams=lambda: rows)
    envelope = await call(node, registry, "network_connected", wait_timeout=0)
    assert envelope["code"] == "network"
    assert envelope["retryable"] is True
    waiting = asyncio.create_task(result_of(node, registry, "network_connected", wait_timeout=10))
    await asyncio.sleep(0)
    rows.append({"state": "CONNECTED", "proto": "udp"})
    node.events.publish("node-connected")
    assert await waiting == {
        "connected": 1,
        "service_network": "started",
        **dict.fromkeys(
            ("service_gateway", "service_p2p_hookups", "service_proxy_transport"), "disabled"
        ),
    }
    listed = await result_of(node, registry, "connections_list", protocols="tcp,proxy")
    assert listed == rows[:1]
    assert await result_of(node, registry, "streams_list", protocols=[]) == rows


async def test_dht_records_on_a_network_in_memory(node: Any, registry: Registry) -> None:
    from bitdust.testing import MemoryDhtNetwork

    network = MemoryDhtNetwork(node.clock)
    dht, other = network.node(node.random), network.node(node.random)
    node.require_dht = lambda: dht
    node.global_id = None
    await other.start()
    await dht.start()
    try:
        written = await result_of(
            node, registry, "dht_value_set", key="abcd", value={"text": "A-B-C-D"}
        )
        assert written["value"] == {"text": "A-B-C-D"}
        assert written["write"] == "success"
        read = await result_of(node, registry, "dht_value_get", key="abcd")
        assert (read["read"], read["value"]) == ("success", {"text": "A-B-C-D"})
        read = await result_of(node, registry, "dht_value_get", key="nothing")
        assert read["read"] == "failed"
        assert (await result_of(node, registry, "dht_node_find"))["my_dht_id"] == dht.my_id.hex()
        envelope = await call(node, registry, "dht_node_find", node_id_64="xyz")
        assert envelope["errors"] == ["node_id_64: must be 40 hexadecimal digits"]
        assert isinstance(await result_of(node, registry, "dht_local_db_dump"), dict)
    finally:
        await dht.stop()
        await other.stop()


async def test_api_calls_are_logged_when_asked_for(
    node: Any, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    await call(node, registry, "process_health")
    assert "api call" not in capsys.readouterr().out
    node.settings.set("logs/api-enabled", True)
    await call(node, registry, "process_health")
    assert "process_health" in capsys.readouterr().out


def test_every_error_survives_the_envelope() -> None:
    for code, kind in error_classes().items():
        error = kind("what happened", hint="do this")
        back = error_from(failure(error))
        assert type(back) is kind
        assert (back.code, back.message, back.hint) == (code, "what happened", "do this")
    refused = error_from(failure(PeerRefused("no", reason="quota")))
    assert isinstance(refused, PeerRefused)
    assert refused.reason == "quota"
    assert type(error_from({"errors": ["x"], "code": "internal"})) is BitdustError
    assert error_from({}).message == "unknown error"


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        read_secret(tmp_path)
    secret = ensure_secret(tmp_path)
    assert len(secret) == 32
    assert ensure_secret(tmp_path) == read_secret(tmp_path) == secret
    path = secret_path(tmp_path)
    assert path == tmp_path / "metadata" / "apisecret"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    ensure_secret(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("")
    assert ensure_secret(tmp_path) != secret
    path.write_text("short")
    with pytest.raises(LocalFileError):
        ensure_secret(tmp_path)


async def test_listeners_are_bounded_and_the_silent_one_goes_first() -> None:
    bus = EventBus(lambda: 0.0)
    consumers = EventConsumers(bus)
    for number in range(MAX_CONSUMERS):
        await consumers.listen(f"c{number}", 0)
    await consumers.listen("c0", 0)
    await consumers.listen("new", 0)
    bus.publish("ping")
    assert len(await consumers.listen("c0", 0)) == 1
    assert await consumers.listen("c1", 0) == []
    assert len(bus._subscriptions) == MAX_CONSUMERS


async def test_a_listener_that_leaves_too_much_begins_anew() -> None:
    bus = EventBus(lambda: 0.0)
    consumers = EventConsumers(bus)
    await consumers.listen("slow", 0)
    for _ in range(101):
        bus.publish("noise")
    assert await consumers.listen("slow", 0) == []
    bus.publish("after")
    assert [event["id"] for event in await consumers.listen("slow", 0)] == ["after"]
