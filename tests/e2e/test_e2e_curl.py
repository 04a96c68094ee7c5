"""The curl examples of the API document, third generation, as they stand there, against a network.

Names of people, keys, files and suppliers are replaced by those of the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import Testnet
from bitdust.cli.testnet_api import NodeApi

Curl = Callable[..., dict[str, Any]]
Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(network: Testnet, curl: Curl) -> Call:
    """``call(verb, target, body)`` to the customer, with names filled in."""
    member = network.member("customer-1")

    def send(verb: str, target: str, body: str | None = None) -> dict[str, Any]:
        for text, name in (("alice@server-a.com", member.global_id),):
            target = target.replace(text, name)
            body = None if body is None else body.replace(text, name)
        return curl(
            member.api.url, verb, target, body, secret=member.secret_file.read_text().strip()
        )

    return send


IDENTITY = {
    "name": str,
    "idurl": str,
    "global_id": str,
    "sources": list,
    "contacts": list,
    "date": str,
    "revision": (str, int),
    "publickey": str,
    "signature": str,
}
KEY = {"key_id": str, "alias": str, "label": str, "creator": str, "public": str}
OPTION = {"key": str, "type": str, "value": object, "default": object, "label": str}
SPACE = (int, float)
CREATED = {"path_id": str, "key_id": str, "remote_path": str, "global_id": str, "type": str}


def shaped(value: Any, shape: dict[str, Any]) -> None:
    """Each field of the shape is there, of its type; one object, not a list of one."""
    assert isinstance(value, dict), value
    for name, kind in shape.items():
        assert name in value, f"{name} is missing in {sorted(value)}"
        assert isinstance(value[name], kind), f"{name} is {value[name]!r}"


ONE: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("GET", "/config/get/v1?key=logs/debug-level", None, OPTION),
    ("GET", "/config/get/logs/debug-level/v1", None, OPTION),
    ("POST", "/config/set/v1", '{"key": "logs/debug-level", "value": 12}', OPTION),
    ("GET", "/config/tree/v1", None, {"services": dict, "interface": dict}),
    ("GET", "/identity/get/v1", None, IDENTITY),
    ("GET", "/identity/get/v1?include_xml_source=1", None, {**IDENTITY, "xml": str}),
    ("GET", "/key/get/v1?key_id=master$alice@server-a.com", None, KEY),
    ("GET", "/supplier/list/dht/v1", None, {"suppliers": list, "ecc_map": str}),
    (
        "GET",
        "/space/consumed/v1",
        None,
        {"needed": int, "needed_str": str, "used": int, "used_percent": str, "suppliers_num": int},
    ),
    ("GET", "/space/local/v1", None, {"total": int, "disktotal": int, "diskfree_str": str}),
    ("GET", "/packet/stats/v1", None, {"in": dict, "out": dict}),
    (
        "GET",
        "/dht/node/find/v1?node_id_64=4271c8f079695d77f80186ac9365e3df949ff74d",
        None,
        {"my_dht_id": str, "closest_nodes": list},
    ),
    (
        "POST",
        "/dht/value/set/v1",
        '{"key": "abcd", "value": {"text": "A-B-C-D"}}',
        {"write": str, "my_dht_id": str, "key": str, "value": dict},
    ),
    ("GET", "/dht/value/get/v1?key=abcd", None, {"read": str, "my_dht_id": str, "key": str}),
    ("GET", "/file/upload/v1", None, {"running": list, "pending": list}),
    ("GET", "/process/info/v1", None, {"config": dict, "identity": dict}),
]

MANY: list[tuple[str, str, str | None, dict[str, Any], int]] = [
    ("GET", "/config/list/v1", None, OPTION, 100),
    ("GET", "/key/list/v1?include_private=1", None, {**KEY, "private": str}, 1),
    (
        "GET",
        "/supplier/list/v1",
        None,
        {"position": int, "idurl": str, "global_id": str, "contact_state": str},
        4,
    ),
    ("POST", "/supplier/ping/v1", None, {"idurl": str, "contact_state": str}, 4),
    (
        "GET",
        "/connection/list/v1?protocols=tcp,udp,proxy",
        None,
        {"proto": str, "state": str, "global_id": str},
        4,
    ),
    ("GET", "/identity/cache/list/v1", None, IDENTITY, 4),
]

MAYBE_EMPTY = ["/stream/list/v1", "/file/list/v1", "/file/download/v1"]


@pytest.mark.parametrize(("verb", "target", "body", "shape"), ONE)
def test_calls_about_one_thing(
    call: Call, verb: str, target: str, body: str | None, shape: dict[str, Any]
) -> None:
    envelope = call(verb, target, body)
    assert envelope["status"] == "OK", envelope
    shaped(envelope["result"], shape)


@pytest.mark.parametrize(("verb", "target", "body", "shape", "least"), MANY)
def test_calls_about_many(
    call: Call, verb: str, target: str, body: str | None, shape: dict[str, Any], least: int
) -> None:
    envelope = call(verb, target, body)
    assert envelope["status"] == "OK", envelope
    assert len(envelope["result"]) >= least
    for entry in envelope["result"]:
        shaped(entry, shape)


@pytest.mark.parametrize("target", MAYBE_EMPTY)
def test_lists_that_may_be_empty_are_lists(call: Call, target: str) -> None:
    envelope = call("GET", target)
    assert envelope["status"] == "OK", envelope
    assert isinstance(envelope["result"], list)


def test_health_has_no_result(call: Call) -> None:
    envelope = call("GET", "/process/health/v1")
    assert envelope["status"] == "OK"
    assert set(envelope) == {"status", "execution"}


def test_files_as_documented(call: Call, tmp_path: Path) -> None:
    safari = "master$alice@server-a.com:movies/travels/safari.mp4"
    made = call("POST", "/file/create/v1", json.dumps({"remote_path": safari}))
    assert made["status"] == "OK", made
    shaped(made["result"], CREATED)
    assert made["result"]["type"] == "file"
    again = call("POST", "/file/create/v1", json.dumps({"remote_path": safari}))
    assert again["status"] == "ERROR"
    assert call("GET", f"/file/exists/v1?remote_path={safari}")["result"]["exist"] is True
    info = call("GET", f"/file/info/v1?remote_path={safari}")["result"]
    shaped(info, {"name": str, "path_id": str, "versions": list, "uploads": dict})
    assert info["versions"] == []
    local = tmp_path / "safari.mp4"
    local.write_bytes(b"lions" * 1000)
    started = call(
        "POST",
        "/file/upload/start/v1",
        json.dumps({"remote_path": safari, "local_path": str(local), "wait_result": True}),
    )
    assert started["status"] == "OK", started
    shaped(started["result"], {"remote_path": str, "version": str, "path_id": str, "state": str})
    assert started["result"]["state"] == "stored"
    info = call("GET", f"/file/info/v1?remote_path={safari}")["result"]
    assert len(info["versions"]) == 1
    shaped(info["versions"][0], {"backup_id": str})
    target = tmp_path / "back"
    loaded = call(
        "POST",
        "/file/download/start/v1",
        json.dumps({"remote_path": safari, "destination_path": str(target), "wait_result": True}),
    )
    assert loaded["status"] == "OK", loaded
    shaped(loaded["result"], {"downloaded": bool, "backup_id": str, "local_path": str})
    assert Path(loaded["result"]["local_path"]).read_bytes() == local.read_bytes()
    gone = call("POST", "/file/delete/v1", json.dumps({"remote_path": safari}))
    assert gone["status"] == "OK", gone
    assert call("GET", f"/file/exists/v1?remote_path={safari}")["result"]["exist"] is False


def test_keys_as_documented(call: Call) -> None:
    made = call(
        "POST",
        "/key/create/v1",
        '{"key_alias": "abcd1234", "key_size": 1024, "label": "Cats and Dogs"}',
    )
    assert made["status"] == "OK", made
    shaped(made["result"], KEY)
    assert made["result"]["label"] == "Cats and Dogs"
    labelled = call(
        "POST",
        "/key/label/v1",
        '{"key_id": "abcd1234$alice@server-a.com", "label": "Man and Woman"}',
    )
    assert labelled["status"] == "OK", labelled
    got = call("GET", "/key/get/v1?key_id=abcd1234$alice@server-a.com")
    assert got["result"]["label"] == "Man and Woman"
    erased = call("DELETE", "/key/erase/v1", '{"key_id": "abcd1234$alice@server-a.com"}')
    assert erased["status"] == "OK", erased
    missing = call("GET", "/key/get/v1?key_id=abcd1234$alice@server-a.com")
    assert missing["status"] == "ERROR"


def test_identity_backup_as_documented(call: Call, tmp_path: Path) -> None:
    target = tmp_path / "alice_backup.key"
    body = json.dumps({"destination_filepath": str(target)})
    envelope = call("POST", "/identity/backup/v1", body)
    assert envelope["status"] == "OK", envelope
    assert "PRIVATE KEY" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o600


def test_events_as_documented(call: Call) -> None:
    call("GET", "/event/listen/my-client-event-hook/v1?polling_timeout=0")
    sent = call("POST", "/event/send/client-event-abc/v1", '{"data": {"some_key": "some_value"}}')
    assert sent["status"] == "OK", sent
    heard = call("GET", "/event/listen/my-client-event-hook/v1?polling_timeout=5")
    mine = [each for each in heard["result"] if each["id"] == "client-event-abc"]
    assert [each["data"] for each in mine] == [{"some_key": "some_value"}]


def test_a_dht_value_is_read_where_it_was_not_written(network: Testnet, customer: NodeApi) -> None:
    customer.post("/dht/value/set/v1", key="shared word", value={"text": "A-B-C-D"})
    got = network.api("supplier-2").get("/dht/value/get/v1", key="shared word")
    assert got["read"] == "success"
    assert got["value"]["text"] == "A-B-C-D"


def test_random_people_of_the_suppliers_layer_are_suppliers(
    network: Testnet, customer: NodeApi
) -> None:
    found = customer.get("/dht/user/random/v1", count=2, layer_id=3)
    assert found
    assert set(found) <= {member.idurl for member in network.members}


def test_suppliers_know_their_customer(network: Testnet, curl: Curl) -> None:
    member = network.member("supplier-1")
    secret = member.secret_file.read_text().strip()
    listed = curl(member.api.url, "GET", "/customer/list/v1", secret=secret)
    # other tests have had customers of their own
    people = [each["global_id"] for each in listed["result"]]
    assert people.count(network.member("customer-1").global_id) == 1
    donated = curl(member.api.url, "GET", "/space/donated/v1", secret=secret)
    shaped(donated["result"], {"donated": int, "consumed": int, "used": int, "customers": list})
    assert donated["result"]["donated"] == 32 * 1024**3
    pinged = curl(member.api.url, "POST", "/customer/ping/v1", secret=secret)
    assert pinged["status"] == "OK"


@pytest.mark.parametrize("secret", [None, "", "wrong"])
def test_the_secret_is_asked_for(network: Testnet, curl: Curl, secret: str | None) -> None:
    url = network.api("customer-1").url
    for target in ("/process/health/v1", "/no/such/route"):
        envelope = curl(url, "GET", target, secret=secret)
        assert envelope["status"] == "ERROR"
        assert envelope["errors"] == ["access denied"]


@pytest.mark.parametrize(
    ("verb", "target", "body"),
    [
        ("GET", "/no/such/route/v1", None),
        ("POST", "/file/create/v1", "not json"),
        ("POST", "/file/create/v1", "[]"),
        ("POST", "/file/create/v1", "{}"),
        ("POST", "/file/create/v1", '{"remote_path": 5}'),
        ("GET", "/file/info/v1", None),
        ("GET", "/key/get/v1?key_id=nonsense", None),
        ("POST", "/config/set/v1", '{"key": "no/such/key", "value": 1}'),
        ("POST", "/config/set/v1", '{"key": "logs/debug-level", "value": "much"}'),
    ],
)
def test_bad_calls_say_what_is_wrong(call: Call, verb: str, target: str, body: str | None) -> None:
    envelope = call(verb, target, body)
    assert envelope["status"] == "ERROR"
    assert call("GET", "/process/health/v1")["status"] == "OK"
