"""Every method of the older documents, over ``/rpc``, against a network of processes."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bitdust.api.registry import build_registry
from bitdust.api.rpc import build_rpc_table
from bitdust.cli.testnet import Testnet
from bitdust.client import AsyncClient
from bitdust.ids import GlobalID

VECTORS = Path(__file__).parent.parent / "vectors" / "api" / "methods.json"
ELSEWHERE = frozenset(
    {
        "process_debug",  # opens a debugger
        "process_restart",  # over HTTP in the commands' tests
        "process_stop",
        "restart",
        "supplier_change",  # moves data; see the tests of suppliers
        "supplier_replace",
        "network_stun",  # asks a server of the wide network
    }
)


class Rpc:
    """Calls methods of one node and remembers which."""

    def __init__(self, url: str, secret: str, called: set[str]) -> None:
        place = urlsplit(url)
        assert place.hostname
        self._place = (place.hostname, place.port)
        self._secret = secret
        self._called = called

    def post(self, request: Any) -> Any:
        """Send a request and give the decoded answer."""
        connection = http.client.HTTPConnection(*self._place, timeout=120)
        try:
            connection.request("POST", "/rpc", json.dumps(request), {"api_secret": self._secret})
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())
        finally:
            connection.close()

    def __call__(self, method: str, *positional: Any, **named: Any) -> Any:
        """The whole ``result`` of a call."""
        params: Any = list(positional) or named
        answer = self.post({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        assert "result" in answer, (method, answer)
        self._called.add(method)
        return answer["result"]

    def ok(self, method: str, *positional: Any, **named: Any) -> Any:
        """The ``result`` in the envelope of a call that must succeed."""
        envelope = self(method, *positional, **named)
        assert envelope["status"] == "OK", (method, envelope)
        return envelope.get("result")

    def fails(self, code: str, method: str, *positional: Any) -> None:
        """A call that must fail with this code."""
        envelope = self(method, *positional)
        assert envelope["status"] == "ERROR", (method, envelope)
        assert envelope["code"] == code, (method, envelope)
        assert envelope["errors"][0]


def rpc_of(network: Testnet, name: str, called: set[str]) -> Rpc:
    member = network.member(name)
    return Rpc(member.api.url, member.secret_file.read_text().strip(), called)


@pytest.mark.timeout(300)
def test_every_older_method(
    network: Testnet, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    called: set[str] = set()
    customer = rpc_of(network, "customer-1", called)
    supplier = rpc_of(network, "supplier-1", called)
    alice = network.member("customer-1").global_id
    source = tmp_path / "source"
    source.mkdir()
    picture = source / "cat.png"
    picture.write_bytes(os.urandom(200_000))

    state_of_things(customer, supplier, alice)
    keys(customer)
    second_generation_files(customer, picture, tmp_path, eventually)
    first_generation_files(customer, picture, tmp_path, eventually)
    file_manager(customer, picture, tmp_path, eventually)
    people(customer, supplier, alice, network.member("supplier-1").global_id, eventually)
    the_engine(customer)
    assert supplier.ok("stop") == "stopped"

    known = build_rpc_table(build_registry()).methods
    documented = {
        row["method"] for row in json.loads(VECTORS.read_text("ascii")) if row["generation"] < 3
    }
    modes = {name for name in known if name.startswith("filemanager_")}
    assert (documented & set(known)) - ELSEWHERE - called == set()
    assert modes - called == set()


def state_of_things(customer: Rpc, supplier: Rpc, alice: str) -> None:
    assert customer("process_health") == {"status": "OK"}
    assert '"show" event' in customer.ok("process_show")
    assert '"show" event' in customer.ok("show")
    (option,) = customer.ok("config_get", "services/customer/needed-space")
    assert option["type"] == "diskspace"
    customer.ok("config_set", "logs/debug-level", "0")
    (option,) = customer.ok("config_set", "logs/debug-level", "2")
    assert (option["old_value"], option["value"]) == ("0", "2")
    assert customer("config_set", "logs/debug-level", 0)["value"] == "0"
    assert len(customer.ok("config_list", True)) > 100

    assert customer.ok("identity_get")["global_id"] == alice
    assert all(row["idurl"] for row in customer.ok("identity_list"))
    customer.fails("already_exists", "identity_create", "bob")
    customer.fails("already_exists", "identity_recover", "http://a.b/alice.xml\n")
    customer.fails("already_exists", "identity_backup", "/etc/hostname")

    rows = customer.ok("suppliers_list")
    assert [row["position"] for row in rows] == [0, 1, 2, 3]
    assert {row["contact_status"] for row in rows} == {"online"}
    assert all(row["contact_state"] == "CONNECTED" for row in rows)
    assert customer.ok("suppliers_ping") == "requests to all suppliers was sent"
    assert len(customer.ok("suppliers_dht_lookup", alice)["suppliers"]) == 4
    # other tests may have left customers on the network that all of these share
    rows = supplier.ok("customers_list")
    (row,) = [row for row in rows if row["idurl"] == str(GlobalID.parse(alice).idurl)]
    assert row["status"] == "online"
    assert supplier.ok("customers_ping") == "requests to all customers was sent"
    supplier.fails("not_found", "customer_reject", "nobody@127.0.0.1_9")
    (space,) = supplier.ok("space_donated")
    assert space["customers_num"] == len(rows)
    assert space["donated_str"]
    (space,) = customer.ok("space_consumed")
    assert space["suppliers_num"] == 4
    assert space["needed_per_supplier_str"]
    (space,) = customer.ok("space_local")
    assert space["disktotal_str"]


def keys(customer: Rpc) -> None:
    (key,) = customer.ok("key_create", "older1", 1024)
    assert key["alias"] == "older1"
    (again,) = customer.ok("key_get", key["id"])
    assert again["fingerprint"] == key["fingerprint"]
    assert {row["alias"] for row in customer.ok("keys_list")} >= {"master", "older1"}
    envelope = customer("key_erase", key["id"])
    assert envelope["message"] == 'private key "older1" was erased successfully'


def second_generation_files(
    customer: Rpc, picture: Path, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    assert customer.ok("file_create", "older/cat.png")["created"] is True
    stored = customer.ok("file_upload_start", str(picture), "older/cat.png", True)
    assert stored["state"] == "stored"
    assert [row["path"] for row in customer.ok("files_list", "older")] == ["older/cat.png"]
    info = customer.ok("file_info", "older/cat.png")
    assert info["versions"][0]["reliable"] == "100%"
    nothing: dict[str, Any] = {"running": [], "pending": []}
    eventually(lambda: customer.ok("files_uploads") == nothing, 10.0)
    text = customer.ok("file_download_start", "older/cat.png", str(tmp_path / "second"), True)
    version = info["versions"][0]["backup_id"].rpartition(":")[2]
    assert text.startswith(f"downloading of version {version} is complete in ")
    assert (tmp_path / "second" / "cat.png").read_bytes() == picture.read_bytes()
    eventually(lambda: customer.ok("files_downloads") == [], 10.0)
    customer.fails("not_in_catalog", "file_download_stop", "older/cat.png")
    customer.fails("not_in_catalog", "file_upload_stop", "older/cat.png")
    customer.fails("local_file", "file_explore", "/no/such/file")
    assert customer.ok("files_sync") == "the main files sync loop has been restarted"
    assert customer.ok("file_delete", "older/cat.png")["path"] == "older/cat.png"


def first_generation_files(
    customer: Rpc, picture: Path, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    def stored(path: Path) -> list[dict[str, Any]]:
        return [row for row in customer("backups_id_list") if row["path"] == str(path)]

    assert customer.ok("backups_update") == "the main loop has been restarted"
    folder = picture.parent
    text = customer.ok("backup_dir_add", str(folder))
    assert text.startswith("new folder was added: ")
    text = customer.ok("backup_file_add", str(picture))
    path_id = text.removeprefix("new file was added: ").partition(",")[0]
    assert customer.ok("backup_tree_add", str(folder)).startswith("2 items were added")
    text = customer.ok("backup_start_id", path_id)
    assert text == f"uploading {path_id} started, local path is: {picture}"
    (row,) = eventually(lambda: stored(picture), 60.0)
    assert row["size"] == "195.31 KB"
    assert row["backupid"].startswith(f"{path_id}/F")
    assert f"uploading {path_id} started" in customer.ok("backup_start_path", str(picture))
    eventually(lambda: len(stored(picture)) == 2, 60.0)
    rows = {row["path"]: row for row in customer("backups_list")}
    assert rows[str(picture)]["id"] == path_id
    assert rows[str(picture)]["type"] == "file"
    assert len(rows[str(picture)]["versions"]) == 2
    assert rows[str(folder)]["type"] == "parent"

    there = tmp_path / "first"
    text = customer.ok("restore_single", row["backupid"], str(there))
    assert text == f"downloading of version {row['backupid']} has been started to {there}"
    eventually(lambda: (there / "cat.png").exists() and not customer.ok("files_downloads"), 60.0)
    assert (there / "cat.png").read_bytes() == picture.read_bytes()

    assert row["backupid"] in customer.ok("backup_delete_local", row["backupid"])
    assert row["backupid"] in customer.ok("backup_delete_id", row["backupid"])
    assert len(stored(picture)) == 1
    assert path_id in customer.ok("backup_delete_path", str(picture))
    assert stored(picture) == []


def file_manager(
    customer: Rpc, picture: Path, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    assert customer("filemanager", {"params": {"mode": "stats"}})["max_suppliers"] == 4
    assert customer("filemanager_stats")["online_suppliers"] == 4
    assert customer("filemanager_config")[0]["key"] == "homepath"
    local = customer("filemanager_listlocal", {"path": str(picture.parent), "onlyFolders": False})
    assert [row["name"] for row in local] == ["cat.png"]
    assert "started" in customer("filemanager_upload", {"path": str(picture)})[0]

    def listed() -> list[dict[str, Any]]:
        assert isinstance(customer("filemanager_tasks"), list)
        return [row for row in customer("filemanager_listall") if row["name"] == "cat.png"]

    (row,) = eventually(listed, 60.0)
    assert row["dirpath"] == str(picture.parent)
    inside = customer("filemanager_list", {"path": str(picture.parent)})
    assert [one["id"] for one in inside] == [row["id"]]
    version = row["versions"][0]["backupid"]
    there = tmp_path / "third"
    done = {"success": True, "error": None}
    request = {"backupid": version, "dest_path": str(there), "name": "cat.png"}
    assert customer("filemanager_download", request) == done
    eventually(lambda: (there / "cat.png").exists() and not customer.ok("files_downloads"), 60.0)
    assert (there / "cat.png").read_bytes() == picture.read_bytes()
    assert customer("filemanager_deleteversion", {"backupid": version}) == done
    assert customer("filemanager_delete", {"id": row["id"]}) == done
    assert customer("filemanager_delete", {"id": row["id"]})["success"] is False
    assert all(one["proto"] for one in customer("filemanager_connections"))
    for mode in ("packets", "streams"):
        assert isinstance(customer(f"filemanager_{mode}"), list)
    assert customer("filemanager_debuginfo")["debug"] == 0


def people(alice: Rpc, bob: Rpc, her_id: str, his_id: str, eventually: Callable[..., Any]) -> None:
    """Friends, names, messages, keys and shares, with the second name of each thing."""
    alice.ok("friend_add", his_id, "bobby")
    assert [row["global_id"] for row in alice.ok("friend_list")] == [his_id]
    alice.ok("friend_remove", his_id)
    his_idurl = bob.ok("identity_get")["idurl"]
    alice.ok("add_correspondent", his_idurl, "bob")
    assert len(alice.ok("list_correspondents")) == 1
    alice.ok("remove_correspondent", his_idurl)
    assert not alice.ok("friend_list")

    alice.ok("user_ping", his_id, 30)
    alice.ok("ping", his_idurl)
    for method in ("user_status", "user_status_check"):
        assert "CONNECTED" in str(alice.ok(method, his_id)), method

    bob.ok("nickname_set", "bob-of-the-test")
    assert "bob-of-the-test" in str(bob.ok("nickname_get"))
    for method in ("user_search", "user_observe", "find_peer_by_nickname"):  # once announced
        eventually(lambda m=method: his_id in str(alice.ok(m, "bob-of-the-test")))

    bob.ok("message_receive", consumer_id="e2e", polling_timeout=0)
    alice.ok("message_send", his_id, {"text": "one"})
    alice.ok("send_message", his_id, "two")
    heard = bob.ok("message_receive", consumer_id="e2e", polling_timeout=30)
    assert "one" in str(heard)
    assert "two" in str(bob.ok("list_messages"))
    assert "two" in str(bob.ok("message_history", her_id))
    assert "one" in str(bob.ok("messages_get_all"))
    alice.ok("broadcast_send_message", {"text": "to everybody"})

    key_id = alice.ok("key_create", "given", 2048)[0]["key_id"]
    alice.ok("key_share", key_id, his_id, True, 60)
    alice.ok("key_audit", key_id, his_id, True, 60)
    share = alice.ok("share_create", None, 2048)["key_id"]
    alice.ok("share_open", share)
    # a node of this network that only supplies has no place of its own to open a share in
    alice.fails("peer_refused", "share_grant", his_id, share)
    assert share in str(alice.ok("share_list"))
    assert share in str(alice.ok("share_history"))
    alice.ok("share_close", share)


def the_engine(customer: Rpc) -> None:
    (stats,) = customer.ok("packets_stats")
    assert stats["in"]["total_bytes"] > 0
    assert any(name.startswith("http://") for name in stats["out"])
    assert {row["proto"] for row in customer.ok("connections_list", ["tcp"])} == {"tcp"}
    assert isinstance(customer.ok("streams_list"), list)
    assert customer.ok("network_connected", 5)["connected"] >= 4
    customer.ok("events_listen", consumer_id="e2e", polling_timeout=0)
    customer.ok("event_send", "told-by-rpc", {"a": 1})
    heard = customer.ok("events_listen", "e2e")
    assert [row["data"] for row in heard if row["id"] == "told-by-rpc"] == [{"a": 1}]

    known = build_rpc_table(build_registry()).methods
    for method in ("automats_list", "services_list", "packets_list", "transfers_list"):
        if method in known:
            assert isinstance(customer.ok(method), list)
    if "queue_list" in known:
        assert isinstance(customer.ok("queue_list"), list)
    if "network_reconnect" in known:
        assert customer.ok("network_reconnect") == "reconnected"
    if "service_info" in known:
        (row,) = customer.ok("service_info", "service_supplier")
        assert row["config_path"] == "services/supplier/enabled"
        for method, done in (
            ("service_start", "switched on"),
            ("service_restart", "restarted"),
            ("service_stop", "switched off"),
        ):
            assert customer.ok(method, "service_supplier") == f"service_supplier was {done}"


@pytest.mark.timeout(180)
async def test_a_job_of_the_client_shows_progress(network: Testnet, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(48 * 1024 * 1024))
    async with AsyncClient(network.member("customer-1").home) as client:
        job = client.file_upload(str(source), "jobs/large.bin")
        seen = [progress.percent async for progress in job]
        result = await job
        assert result["bytes"] == 48 * 1024 * 1024
        assert seen == sorted(seen)
        back = client.file_download("jobs/large.bin", str(tmp_path / "back"))
        assert (await back)["downloaded"] is True
        assert (tmp_path / "back" / "large.bin").read_bytes() == source.read_bytes()
        await client.file_delete("jobs")
