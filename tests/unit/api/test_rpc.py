"""JSON-RPC over a real socket, and the names of older generations."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.registry import Registry
from bitdust.api.rpc import RpcTable, build_rpc_table
from bitdust.errors import NotInCatalog, TooFewSuppliers
from bitdust.ids import BackupID, PathID, RemotePath
from bitdust.servers.jsonrpc import MAX_BATCH

OWN = "master$alice@server-a.com"
VERSION = "F20160424013912PM"


@pytest.fixture
def rpc(http: Any) -> Any:
    """Posts a request and gives the decoded answer, None when there is none."""

    async def post(request: Any, *, headers: dict[str, str] | None = None) -> Any:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        lines = {
            "Host": f"127.0.0.1:{http.server.port}",
            "api_secret": http.secret,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        head = "\r\n".join(
            ["POST /rpc HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
        )
        if b'"id"' not in body and body.lstrip()[:1] == b"{" and b"method" in body:
            reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b" 204 " in answer.splitlines()[0]
            return None
        status, received, answer = await http.raw(head.encode() + body)
        assert status == 200
        assert received["content-type"] == "application/json"
        return json.loads(answer)

    return post


@pytest.fixture
def call(rpc: Any) -> Any:
    """Calls a method; gives its result."""

    async def invoke(method: str, *positional: Any, **named: Any) -> Any:
        params = list(positional) if positional else named
        answer = await rpc({"jsonrpc": "2.0", "method": method, "params": params, "id": 7})
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 7
        return answer["result"] if "result" in answer else answer["error"]

    return invoke


def file_row(path: str, path_id: str, *, folder: bool = False, size: int = 9) -> dict[str, Any]:
    """A row as the catalog gives it."""
    version = {
        "backup_id": f"{OWN}:{path_id}/{VERSION}",
        "label": VERSION,
        "time": 1461505152.0,
        "size": size,
        "stored_size": 2 * size,
        "reliable": "100%",
    }
    return {
        "path": path,
        "path_id": path_id,
        "name": path.rpartition("/")[2],
        "type": "dir" if folder else "file",
        "size": size,
        "local_size": -1,
        "childs": folder,
        "versions": [] if folder else [version],
    }


# --- the protocol ---------------------------------------------------------------------------------


async def test_a_single_call(rpc: Any) -> None:
    for params in ({"params": {}}, {"params": []}, {}):
        for call_id in (1, "one", 1.5, None):
            request = {"jsonrpc": "2.0", "method": "process_health", "id": call_id, **params}
            answer = await rpc(request)
            assert answer == {"jsonrpc": "2.0", "result": {"status": "OK"}, "id": call_id}


async def test_a_notification_is_carried_out_and_not_answered(rpc: Any, node: Any) -> None:
    request = {"jsonrpc": "2.0", "method": "event_send", "params": ["told", {"a": 1}]}
    assert await rpc(request) is None
    assert node.events.counts["told"] == 1
    assert await rpc({"jsonrpc": "2.0", "method": "no_such_method"}) is None


async def test_a_batch_leaves_out_notifications_and_keeps_the_order(rpc: Any, node: Any) -> None:
    batch = [
        {"jsonrpc": "2.0", "method": "process_health", "id": 1},
        {"jsonrpc": "2.0", "method": "event_send", "params": ["told"]},
        3,
        {"jsonrpc": "2.0", "method": "nothing", "id": "x"},
        {"jsonrpc": "2.0", "method": "event_send", "params": {"event_id": "two"}, "id": 2},
    ]
    answers = await rpc(batch)
    assert [answer["id"] for answer in answers] == [1, None, "x", 2]
    assert [answer.get("error", {}).get("code") for answer in answers] == [
        None,
        -32600,
        -32601,
        None,
    ]
    assert answers[3]["result"]["result"]["event_id"] == "two"
    assert node.events.counts == {"told": 1, "two": 1}


async def test_a_batch_is_bounded(rpc: Any, node: Any) -> None:
    one = {"jsonrpc": "2.0", "method": "event_send", "params": ["told"], "id": 1}
    answer = await rpc([one] * (MAX_BATCH + 1))
    assert answer["error"]["code"] == -32600
    assert str(MAX_BATCH) in answer["error"]["message"]
    assert not node.events.counts
    assert len(await rpc([one] * MAX_BATCH)) == MAX_BATCH


MALFORMED: list[tuple[bytes, int]] = [
    (b"", -32700),
    (b"{", -32700),
    (b"\xff\xfe\x00", -32700),
    (b"[" * 100_000, -32700),
    (b'{"jsonrpc": "2.0", "method": "process_health", "id": NaN}', -32700),
    (b"[]", -32600),
    (b"[1]", -32600),
    (b'"text"', -32600),
    (b'{"id": 1}', -32600),
    (b'{"jsonrpc": "1.5", "method": "process_health", "id": 1}', -32600),
    (b'{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
    (b'{"jsonrpc": "2.0", "method": "", "id": 1}', -32600),
    (b'{"jsonrpc": "2.0", "method": "process_health", "params": 1, "id": 1}', -32600),
    (b'{"jsonrpc": "2.0", "method": "process_health", "id": [1]}', -32600),
    (b'{"jsonrpc": "2.0", "method": "process_health", "id": true}', -32600),
    (b'{"method": "process_health", "id": "' + b"x" * 2000 + b'"}', -32600),
]


async def test_malformed_requests(rpc: Any) -> None:
    for body, code in MALFORMED:
        answer = await rpc(body)
        if isinstance(answer, list):
            (answer,) = answer
        assert answer["error"]["code"] == code, body[:60]
        assert answer["error"]["message"]
        assert "result" not in answer


async def test_access_is_denied_without_the_secret(rpc: Any) -> None:
    request = {"jsonrpc": "2.0", "method": "process_health", "id": 1}
    for headers in ({"api_secret": "wrong"}, {"Host": "evil.example.org"}, {"Origin": "null"}):
        answer = await rpc(request, headers=headers)
        assert answer["error"]["message"] == "access denied"
        assert answer["error"]["data"]["code"] == "access_denied"


async def test_wrong_parameters_are_named_as_the_caller_spelled_them(call: Any) -> None:
    for method, given, name in (
        ("customer_reject", {"idurl_or_global_id": 5}, "idurl_or_global_id"),
        ("customer_reject", {}, "idurl_or_global_id"),
        ("file_info", {"remote_path": []}, "remote_path"),
        ("file_info", {"remote_path": "a", "nonsense": 1}, "nonsense"),
        ("backup_start_path", {"path": "relative"}, "path"),
        ("config_get", {}, "key"),
    ):
        error = await call(method, **given)
        assert error["code"] == -32602, method
        assert error["message"].startswith(f"Invalid params: {name}: "), error
        assert error["data"]["errors"][0].startswith(f"{name}: ")


async def test_too_many_positional_values(call: Any) -> None:
    error = await call("process_health", 1)
    assert error["code"] == -32602
    assert "at most 0" in error["message"]


async def test_unknown_methods_say_what_there_is(call: Any) -> None:
    error = await call("file_inf")
    assert error["code"] == -32601
    assert "file_info" in error["data"]["hint"]


async def test_a_failure_of_the_method_is_its_result(call: Any, node: Any) -> None:
    node.storage.answers["file_info"] = NotInCatalog("it is not there")
    envelope = await call("file_info", "cat.png")
    assert envelope["status"] == "ERROR"
    assert envelope["errors"] == ["it is not there"]
    node.storage.answers["file_info"] = RuntimeError("a secret detail")
    envelope = await call("file_info", "cat.png")
    assert envelope["code"] == "internal"
    assert "secret detail" not in json.dumps(envelope)


async def test_what_json_cannot_carry_is_an_internal_error(call: Any, node: Any) -> None:
    async def odd() -> Any:
        return {"x": {1j}}

    node.storage.answers["file_info"] = odd
    error = await call("file_info", "cat.png")
    assert error["code"] == -32603
    assert error["data"]["error_id"]


async def test_a_long_poll_ends_with_its_caller(http: Any, node: Any, rpc: Any) -> None:
    body = json.dumps({"method": "events_listen", "params": ["me"], "id": 1}).encode()
    head = (
        f"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1:{http.server.port}\r\n"
        f"api_secret: {http.secret}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(10):
        while not node.consumers._waiting:
            await asyncio.sleep(0.01)
        writer.close()
        while node.consumers._waiting:
            await asyncio.sleep(0.01)
    node.events.publish("kept")
    answer = await rpc({"method": "events_listen", "params": {"consumer_id": "me"}, "id": 2})
    assert [event["id"] for event in answer["result"]["result"]] == ["kept"]


# --- second generation ----------------------------------------------------------------------------


async def test_settings_answer_in_both_older_forms(call: Any) -> None:
    envelope = await call("config_set", "logs/debug-level", 10)
    (option,) = envelope["result"]
    shown = ("key", "type", "old_value", "value")
    wanted = ["logs/debug-level", "positive integer", "0", "10"]
    assert [option[name] for name in shown] == wanted
    assert [envelope[name] for name in shown] == wanted
    envelope = await call("config_get", key="logs/debug-level")
    assert envelope["result"][0]["value"] == "10"
    assert envelope["value"] == "10"
    envelope = await call("config_get", "logs/no-such-level", "none")
    assert envelope["value"] == "none"
    envelope = await call("config_get", "logs/no-such-level")
    assert envelope["code"] == "invalid_setting"
    envelope = await call("config_list", True)
    rows = {row["key"]: row for row in envelope["result"]}
    assert rows["services/backups/enabled"]["value"] == "true"
    assert rows["services/backups/max-block-size"]["type"] == "diskspace"
    envelope = await call("config_get", "logs")
    assert len(envelope["result"]) > 1
    assert "value" not in envelope


async def test_the_process_answers_with_words(call: Any, node: Any) -> None:
    assert await call("process_stop") == {"status": "OK", "result": "stopped"}
    assert await call("process_restart", True) == {"status": "OK", "result": "restarted"}
    assert (await call("stop"))["result"] == "stopped"
    assert (await call("restart", show=True))["result"] == "restarted"
    assert node.stops == [False, True, False, True]
    for name in ("process_show", "show"):
        assert '"show" event' in (await call(name))["result"]
    assert node.events.counts["show"] == 2


async def test_keys_come_in_lists(call: Any, keyed_node: Any) -> None:
    del keyed_node
    envelope = await call("key_create", "abcd", 1024, True)
    (key,) = envelope["result"]
    assert key["id"] == "abcd$alice@server-a.com"
    assert key["private"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert envelope["message"] == 'new private key "abcd" was generated successfully'
    (key,) = (await call("key_get", "abcd$alice@server-a.com"))["result"]
    assert key["size"] == "1024"
    assert key["private"] is None
    assert len(key["fingerprint"].split(":")) == 16
    assert len((await call("keys_list"))["result"]) == 2
    envelope = await call("key_erase", "abcd$alice@server-a.com")
    assert envelope["message"] == 'private key "abcd" was erased successfully'


async def test_downloads_answer_with_a_sentence(call: Any, node: Any) -> None:
    node.storage.answers["file_download_start"] = {
        "backup_id": f"{OWN}:0/1/{VERSION}",
        "local_path": "/home/alice/cat.png",
    }
    envelope = await call("file_download_start", "0/1", "/home/alice")
    wanted = f"downloading of version 0/1/{VERSION} has been started to /home/alice/cat.png"
    assert envelope == {"status": "OK", "result": wanted}
    name, arguments = node.storage.calls[-1]
    assert name == "file_download_start"
    assert arguments[:3] == (PathID.parse("0/1"), "/home/alice", False)
    envelope = await call("file_download_stop", "master$bob@b.net:0/1/2")
    assert envelope["result"] == 'restoring of "master$bob@b.net:0/1/2" aborted'
    envelope = await call("files_sync")
    assert envelope["result"] == "the main files sync loop has been restarted"


async def test_todays_names_answer_as_everywhere(call: Any) -> None:
    envelope = await call("configs_tree")
    assert envelope["result"]["logs"]["debug-level"]["value"] == 0
    (local,) = (await call("space_local"))["result"]
    assert local["total_str"]


# --- first generation -----------------------------------------------------------------------------


async def test_backups_are_listed_without_an_envelope(call: Any, node: Any) -> None:
    rows = [
        file_row("Users", "0", folder=True, size=11),
        file_row("Users/cat.png", "0/0", size=20 * 1024 * 1024),
    ]
    node.storage.answers["files_list"] = (rows, 1, False)
    assert await call("backups_list") == [
        {"id": "0", "path": "/Users", "size": 11, "type": "parent", "versions": []},
        {
            "id": "0/0",
            "path": "/Users/cat.png",
            "size": 20971520,
            "type": "file",
            "versions": [{"blocks": 2, "size": "20 MB", "version": VERSION}],
        },
    ]
    assert await call("backups_id_list") == [
        {"backupid": f"0/0/{VERSION}", "path": "/Users/cat.png", "size": "20 MB"}
    ]
    node.storage.answers["files_list"] = TooFewSuppliers("none")
    assert (await call("backups_list"))["status"] == "ERROR"


async def test_local_paths_stand_for_items(call: Any, node: Any, tmp_path: Path) -> None:
    node.storage.answers |= {
        "file_upload_start": {"path_id": "0/0/1"},
        "file_create": {"path_id": "0/0/2"},
        "file_info": {"path": "Users/cat.png", "path_id": "0/0/1", "versions": []},
        "file_delete": {"path_id": "0/0/1"},
    }
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "cat.png").write_bytes(b"meow")
    folder, file = str(top), str(top / "sub" / "cat.png")

    text = (await call("backup_start_path", file))["result"]
    assert text == f"uploading 0/0/1 started, local path is: {file}"
    remote = RemotePath.parse(f"{OWN}:{file.lstrip('/')}")
    assert node.storage.calls[-1][1][:2] == (file, remote)

    text = (await call("backup_start_id", "0/0/1"))["result"]
    assert text == "uploading 0/0/1 started, local path is: /Users/cat.png"

    text = (await call("backup_dir_add", dirpath=folder))["result"]
    assert text == f"new folder was added: 0/0/2, local path is {folder}"
    text = (await call("backup_file_add", filepath=file))["result"]
    assert text == f"new file was added: 0/0/2, local path is {file}"
    text = (await call("backup_tree_add", folder))["result"]
    assert text.startswith("3 items were added to the catalog")
    for method, path in (("backup_dir_add", file), ("backup_file_add", folder)):
        assert (await call(method, path))["code"] == "local_file"

    text = (await call("backup_delete_path", file))["result"]
    assert text == "item 0/0/1 was deleted from remote peers"
    node.storage.answers["file_delete"]["version"] = VERSION
    text = (await call("backup_delete_id", f"0/0/1/{VERSION}"))["result"]
    assert text == f"item 0/0/1/{VERSION} was deleted from remote peers"
    assert isinstance(node.storage.calls[-1][1][0], BackupID)
    assert (await call("backup_delete_local", f"0/0/1/{VERSION}"))["code"] == "not_in_catalog"
    assert "0/0/1" in (await call("backup_delete_local", "0/0/1"))["result"]
    assert (await call("backup_start_path", "/"))["code"] == "invalid_input"


async def test_restore_single_takes_ids_versions_and_paths(call: Any, node: Any) -> None:
    node.storage.answers["file_download_start"] = {
        "backup_id": f"{OWN}:0/1/{VERSION}",
        "local_path": "/home/alice/cat.png",
    }
    for given, kind in (
        ("0/1", PathID),
        (f"0/1/{VERSION}", BackupID),
        ("/home/alice/cat.png", RemotePath),
    ):
        envelope = await call("restore_single", given, "/tmp/there")
        assert envelope["result"].endswith("has been started to /tmp/there")
        assert isinstance(node.storage.calls[-1][1][0], kind)
    assert (await call("restore_single", "0/1"))["result"].endswith(" /home/alice/cat.png")


# --- the file manager -----------------------------------------------------------------------------


async def test_filemanager_modes(call: Any, node: Any, tmp_path: Path) -> None:
    rows = [file_row("Users", "0", folder=True), file_row("Users/cat.png", "0/0")]
    node.storage.answers |= {
        "files_list": (rows, 1, False),
        "files_uploads": {
            "pending": [{"source_path": "/a/b.txt", "path_id": "0/5"}],
            "running": [{"source_path": "/a/c.txt", "version": f"0/6/{VERSION}", "progress": 7}],
        },
        "file_upload_start": {"path_id": "0/7"},
        "file_download_start": {"backup_id": f"{OWN}:0/0/{VERSION}", "local_path": "/x"},
    }

    async def both(mode: str, **extra: Any) -> Any:
        one = await call("filemanager", json_request={"params": {"mode": mode, **extra}})
        if extra:
            assert await call(f"filemanager_{mode}", extra) == one
        assert await call(f"filemanager_{mode}", **extra) == one or mode == "stats"
        return one

    stats = await both("stats")
    assert sorted(stats) == sorted(
        [
            "bytes_donated",
            "bytes_indexed",
            "bytes_needed",
            "bytes_used_supplier",
            "bytes_used_total",
            "customers",
            "files_count",
            "folders_count",
            "items_count",
            "max_suppliers",
            "online_suppliers",
            "suppliers",
            "timestamp",
            "value_donated",
            "value_needed",
            "value_used_total",
        ]
    )
    assert (stats["files_count"], stats["folders_count"], stats["items_count"]) == (1, 1, 2)
    assert (stats["bytes_indexed"], stats["bytes_used_total"]) == (9, 18)
    assert (await both("config"))[0]["key"] == "homepath"
    assert [row["type"] for row in await both("list", path="/")] == ["parent", "file"]
    assert [row["id"] for row in await both("listall")] == ["0/0"]
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_bytes(b"12345")
    local = await both("listlocal", path=str(tmp_path), onlyFolders=False)
    found = {row["name"]: (row["type"], row["size"], row["rights"][0]) for row in local}
    assert found["file"] == ("file", "5", "-")
    assert found["dir"][0] == "dir"
    only = await both("listlocal", path=str(tmp_path), onlyFolders=True)
    assert {row["type"] for row in only} == {"dir"}
    assert [row["progress"] for row in await both("tasks")] == ["0.00%", "7.00%"]
    assert "0/7" in (await both("upload", path="/Users/cat.png"))[0]
    done = {"success": True, "error": None}
    assert await both("download", backupid=f"0/0/{VERSION}", dest_path="/x") == done
    assert await both("delete", id="0/0") == done
    assert await both("deleteversion", backupid=f"0/0/{VERSION}") == done
    assert await both("packets") == []
    assert (await both("debuginfo"))["debug"] == 0


async def test_filemanager_failures(call: Any, node: Any) -> None:
    node.storage.answers["file_delete"] = NotInCatalog("it is not there")
    answer = await call("filemanager", {"params": {"mode": "delete", "id": "0/9"}})
    assert answer["success"] is False
    assert answer["error"] == "it is not there"
    answer = await call("filemanager_delete", id="0/9")
    assert answer["error"] == "it is not there"
    for request in (5, {}, {"params": {}}, {"params": {"mode": "rename"}}, {"params": 1}):
        answer = await call("filemanager", json_request=request)
        assert answer["success"] is False
        assert answer["error"].startswith("json_request: ")
    answer = await call("filemanager_listlocal", path="/no/such/folder")
    assert answer["code"] == "local_file"


# --- the table ------------------------------------------------------------------------------------


def test_every_name_of_the_table_is_a_method_or_waits_for_its_operation(
    registry: Registry,
) -> None:
    from bitdust.api import older

    table: RpcTable = build_rpc_table(registry)
    for row in older.ROWS:
        assert (row.name in table.methods) == (row.of in registry.operations), row.name
        if row.name in table.methods:
            method = table.methods[row.name]
            known = {**method.operation.parameters, **method.operation.aliases}
            assert set(method.order) <= set(known) | method.operation.ignored, row.name
