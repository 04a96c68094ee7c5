"""Every documented call of the third generation, as it stands there, over HTTP and WebSocket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bitdust.api.registry import build_registry

VECTORS = Path(__file__).parent.parent.parent / "vectors" / "api" / "methods.json"
REGISTRY = build_registry()
ROWS: list[dict[str, Any]] = [
    row
    for row in json.loads(VECTORS.read_text("ascii"))
    if row["generation"] == 3 and row["method"] in REGISTRY.operations
]

ENDS_OR_WAITS = frozenset(
    {"process_stop", "process_restart", "process_debug", "identity_erase", "identity_rotate"}
)
"""Not called here: what they do is seen in tests of their own."""
SLIPS = frozenset({"dht_user_random", "user_ping", "friend_remove"})
"""Documented over WebSocket under the name of another method."""

# what a node without suppliers, customers and other nodes has to say to the examples
EXPECTED: dict[str, set[str]] = {
    "already_exists": {
        "file_create",
        "identity_backup",
        "identity_create",
        "identity_recover",
        "key_create",
    },
    "not_found": {
        "key_audit",
        "key_get",
        "key_label",
        "key_share",
        "key_erase",
        "customer_reject",
        "service_info",
        "suppliers_dht_lookup",
        "supplier_change",
        "group_info",
        "group_join",
        "group_leave",
        "group_share",
        "message_send_group",
        "share_close",
        "share_delete",
        "share_grant",
        "share_open",
    },
    "not_in_catalog": {
        "file_info",
        "file_read",
        "file_delete",
        "file_upload_stop",
        "file_download_start",
        "file_download_stop",
    },
    "local_file": {"file_upload_start", "file_explore"},
    "too_few_suppliers": {"files_sync", "supplier_change"},
    "service_off": {
        "dht_node_find",
        "dht_user_random",
        "dht_value_get",
        "dht_value_set",
        "dht_local_db_dump",
        "suppliers_dht_lookup",
        "supplier_change",
        "network_stun",
        "service_restart",
    },
    "identity_server": {
        "friend_add",
        "friend_remove",
        "message_send",
        "supplier_change",
        "suppliers_dht_lookup",
        "user_ping",
        "user_status",
        "user_status_check",
    },
    "network": {"network_connected", "network_stun", "network_reconnect"},
    "peer_unreachable": {"supplier_change"},
}
LISTS = ("configs_list", "keys_list", "identity_cache_list", "suppliers_list", "customers_list")
LISTS += ("services_list", "automats_list", "packets_list", "transfers_list", "connections_list")
LISTS += ("streams_list", "queues_list", "queue_consumers_list", "queue_producers_list")


@pytest.fixture(scope="module")
def names(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], Any]:
    """Puts this node's person and a folder of the test into an example."""
    own = live.websocket("identity_get", {})["response"]["result"]["global_id"]
    folder = str(tmp_path_factory.mktemp("examples"))

    def fill(method: str, value: Any) -> Any:
        text = json.dumps(value).replace("alice@server-a.com", own)
        if method.startswith("file"):
            text = text.replace("abcd1234$", "master$")  # that key is erased again
        text = text.replace("/tmp/", f"{folder}/")
        for stranger in ("carol@computer-c.net", "dave@device-d.gov", "bob@machine-b.net"):
            text = text.replace(stranger, "nobody@127.0.0.1_1")
        return json.loads(text)

    return fill


def judge(method: str, envelope: dict[str, Any]) -> None:
    assert envelope["status"] in ("OK", "ERROR")
    if envelope["status"] == "ERROR":
        assert method in EXPECTED.get(envelope["code"], ()), envelope
        assert all(isinstance(line, str) and line for line in envelope["errors"])
    elif method in LISTS:
        assert isinstance(envelope["result"], list)
    elif "result" in envelope:
        assert isinstance(envelope["result"], dict | list)


def quick(method: str) -> dict[str, Any]:
    parameters = REGISTRY.operations[method].parameters
    return {name: 0 for name in ("wait_timeout", "polling_timeout") if name in parameters}


def settle(live: Any) -> None:
    """Wait until no service is on its way up or down: some examples restart one and do not wait."""
    ends = time.monotonic() + 60.0
    while True:
        rows = live.websocket("services_list", {})["response"]["result"]
        moving = [
            row["name"]
            for row in rows
            if row["state"] in ("STARTING", "STOPPING")
            or (row["enabled"] and row["state"] != "ON" and not row["reason"])
        ]
        if not moving:
            return
        assert time.monotonic() < ends, moving
        time.sleep(0.02)


def test_over_http(live: Any, names: Any) -> None:
    called = 0
    for row in ROWS:
        method = row["method"]
        if method in ENDS_OR_WAITS or "http" not in row:
            continue
        shown = names(method, row["http"])
        settle(live)
        if shown["verb"] == "GET":
            query = urlencode({**shown.get("query", {}), **quick(method)})
            envelope = live.http("GET", shown["path"] + (f"?{query}" if query else ""))
        else:
            body = {**shown.get("body", {}), **quick(method)}
            raw = json.dumps(body).encode() if body else None
            envelope = live.http(shown["verb"], shown["path"], raw)
        assert float(envelope.pop("execution")) >= 0
        judge(method, envelope)
        called += 1
    assert called >= 55


def test_over_websocket_and_rpc(live: Any, names: Any) -> None:
    started = live.websocket("service_start", {"service_name": "supplier"})["response"]
    assert started["status"] == "OK", "the examples over HTTP have stopped it"
    called = 0
    for row in ROWS:
        method = row["method"]
        if method in ENDS_OR_WAITS | SLIPS or "websocket" not in row:
            continue
        settle(live)
        given = {**names(method, row["websocket"]["kwargs"]), **quick(method)}
        envelope = live.websocket(method, given)["response"]
        assert "execution" not in envelope
        judge(method, envelope)
        settle(live)
        answer = live.rpc(method, given)
        assert "error" not in answer, (method, answer)
        if answer["result"]["status"] == "ERROR":
            assert method in EXPECTED[answer["result"]["code"]], answer
        called += 1
    assert called >= 55
