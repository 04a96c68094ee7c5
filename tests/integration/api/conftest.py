"""A daemon with an identity, a catalog and no suppliers, and plain connections to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from bitdust.api import read_secret
from bitdust.cli.testnet_ports import Ports
from bitdust.config import Settings
from bitdust.daemon import holder, run_daemon

DEADLINE = 60.0


@dataclass
class Live:
    """A running node and plain connections to it."""

    home: Path
    pid: int
    secret: str
    http_port: int
    ws_port: int
    client: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)

    def http(self, verb: str, target: str, body: bytes | None = None) -> dict[str, Any]:
        """Make a request and give its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            connection.request(verb, target, body, {"api_secret": self.secret})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        assert response.status == 200, (response.status, text[:200])
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer

    def rpc(self, method: str, params: Any = None) -> dict[str, Any]:
        """Call a method of ``/rpc`` and give the whole response."""
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": "mine"}
        answer = self.http("POST", "/rpc", json.dumps(request).encode())
        assert answer["id"] == "mine"
        return answer

    def websocket(self, method: str, kwargs: Any) -> dict[str, Any]:
        """Call a method and give the payload of its answer."""
        message = {"command": "api_call", "method": method, "kwargs": kwargs, "call_id": "mine"}
        self.client.send(json.dumps(message))
        while True:
            answer = json.loads(self.client.recv(timeout=60))
            if answer["type"] == "event":
                self.events.append(answer["payload"])
            if answer["type"] == "api_call":
                payload = answer["payload"]
                assert payload["call_id"] == "mine"
                assert isinstance(payload, dict)
                return payload


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("live") / "home"
    settings = Settings(home)
    with Ports() as ports:
        for key in (
            "interface/api/rest-http-port",
            "interface/api/web-socket-port",
            "services/tcp-connections/tcp-port",
            "services/identity-server/web-port",
            "services/entangled-dht/udp-port",
        ):
            settings.set(key, ports.take())
    dht = "services/entangled-dht"
    settings.set(f"{dht}/private-network", True)
    settings.set(f"{dht}/known-nodes", f"127.0.0.1:{settings.get_int(f'{dht}/udp-port')}")
    settings.set("services/identity-server/enabled", True)
    settings.set("services/identity-server/host", "127.0.0.1")
    settings.set("personal/private-key-size", 1024)
    server = f"127.0.0.1:{settings.get_int('services/identity-server/web-port')}"
    pid = run_daemon(home, foreground=False)
    assert pid is not None
    http_port = settings.get_int("interface/api/rest-http-port")
    ws_port = settings.get_int("interface/api/web-socket-port")
    secret = read_secret(home)
    address = f"ws://127.0.0.1:{ws_port}/?api_secret={secret}"
    try:
        with connect(
            address, compression=None, max_size=2**26, proxy=None, ping_interval=None
        ) as client:
            node = Live(home, pid, secret, http_port, ws_port, client)
            payload = node.websocket(
                "identity_create", {"username": "alice", "preferred_servers": [server]}
            )
            assert payload["response"]["status"] == "OK", payload
            ends = time.monotonic() + DEADLINE
            while node.websocket("files_list", {})["response"]["status"] != "OK":
                assert time.monotonic() < ends, "the catalog does not open"
                time.sleep(0.05)
            yield node
            assert holder(home) == pid, "the process died"
            log = (home / "logs" / "bitdust.log").read_text("utf-8")
            assert "Traceback" not in log, log[max(0, log.index("Traceback") - 500) :][:4000]
    finally:
        os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + DEADLINE
        while holder(home) is not None and time.monotonic() < ends:
            time.sleep(0.05)
