"""Command lines that scripts of the original hold, with real processes."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_ports import Ports
from bitdust.daemon import holder

Bitdust = Callable[..., subprocess.CompletedProcess[str]]
Curl = Callable[..., dict[str, Any]]
PROGRAM = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"
DEADLINE = 60.0


@pytest.fixture
def home(tmp_path: Path, bitdust: Bitdust) -> Iterator[Path]:
    """A home with ports of its own and nothing that needs others; its node is ended afterwards."""
    home = tmp_path / "home"
    with Ports() as ports:
        for key, value in (
            ("interface/api/rest-http-port", ports.take()),
            ("interface/api/web-socket-port", ports.take()),
            ("services/entangled-dht/enabled", "false"),
            ("services/tcp-connections/tcp-port", ports.take()),
        ):
            ended = bitdust("--home", str(home), "set", key, str(value))
            assert ended.returncode == 0, ended.stderr
    yield home
    pid = holder(home)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + DEADLINE
        while holder(home) is not None and time.monotonic() < ends:
            time.sleep(0.05)


def test_a_life_in_old_words(home: Path, bitdust: Bitdust, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        ended = bitdust("--home", str(home), *words)
        assert "Traceback" not in ended.stderr
        return ended

    assert run("install").returncode == 0
    log = tmp_path / "node.log"
    started = run("-d", "10", "-o", str(log), "detach")
    assert started.stdout.startswith("new BitDust process will be started in daemon mode")
    again = run("daemon")
    assert again.stdout.startswith("main BitDust process already started")
    assert again.returncode == 9
    assert run("set", "suppliers", "2").returncode == 0
    assert run("get", "suppliers", "--json").stdout.count('"value": 2') == 1
    assert run("st", "list").returncode == 0
    assert "service_network  ON" in run("service", "tree").stdout
    assert run("id").returncode == 7
    before = log.read_text()
    assert run("reboot").stdout.startswith("the node was started again")
    assert len(log.read_text()) > len(before), "the log of a restarted node goes where it went"
    assert not (home / "logs" / "bitdust.log").exists()
    assert run("kill").stdout.startswith("the node has stopped")
    assert holder(home) is None
    assert run("reboot").returncode == 0, "it is started where it did not run"
    assert run("shutdown").returncode == 0
    assert run("-n", "daemon").returncode == 0
    assert run("stop").returncode == 0


def test_an_identity_is_made_where_no_node_runs(
    network: Testnet, home: Path, bitdust: Bitdust
) -> None:
    servers = network.api("customer-1").get("/identity/get/v1")["sources"]
    server = servers[0].removeprefix("http://").partition("/")[0]
    run = ["--home", str(home)]
    words = ["identity", "create", "offline-one", "1024", "--preferred-servers", server]
    ended = bitdust(*run, *words)
    assert ended.returncode == 0, ended.stderr
    assert "one is started for this command only" in ended.stderr
    assert holder(home) is None, "and it was stopped again"
    assert bitdust(*run, "idurl").stdout.strip() == f"http://{server}/offline-one.xml"
    assert bitdust(*run, "gid").stdout.startswith("offline-one@")
    shown = bitdust(*run, "get", "personal/private-key-size")
    assert "3072" in shown.stdout, "the size was for that call only"
    assert bitdust(*run, "identity", "create", "offline-two").returncode == 4


def test_no_secret_is_asked_for_where_that_is_switched_off(
    home: Path, bitdust: Bitdust, curl: Curl
) -> None:
    key = "interface/api/auth-secret-enabled"
    for value, answer in (("true", "access denied"), ("false", None)):
        assert bitdust("--home", str(home), "set", key, value).returncode == 0
        assert bitdust("--home", str(home), "daemon").returncode == 0
        envelope = curl(api_of(home).url, "GET", "/process/health/v1")
        assert envelope.get("errors", [None])[0] == answer
        assert bitdust("--home", str(home), "process", "health").returncode == 0
        assert bitdust("--home", str(home), "stop").returncode == 0


def api_of(home: Path) -> NodeApi:
    port = (home / "config" / "interface" / "api" / "rest-http-port").read_text().strip()
    return NodeApi(f"http://127.0.0.1:{port}", home / "metadata" / "apisecret")


def test_the_debugger_needs_a_terminal(home: Path, bitdust: Bitdust) -> None:
    assert bitdust("--home", str(home), "daemon").returncode == 0
    refused = api_of(home).call("GET", "/process/debug/v1")
    assert refused["code"] == "access_denied"
    assert "terminal" in refused["errors"][0]
    assert bitdust("--home", str(home), "stop").returncode == 0


def test_the_debugger_in_a_terminal(home: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--home", str(home), "go"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    answers: list[dict[str, Any]] = []
    try:
        read_until(ours, b"http interface is up")
        call = threading.Thread(
            target=lambda: answers.append(api_of(home).call("GET", "/process/debug/v1"))
        )
        call.start()
        read_until(ours, b"(bitdust ")
        os.write(ours, b"continue\n")
        call.join(DEADLINE)
        assert [answer["status"] for answer in answers] == ["OK"]
        process.send_signal(signal.SIGINT)
        drain = threading.Thread(target=read_all, args=(ours,), daemon=True)
        drain.start()
        assert process.wait(DEADLINE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def read_until(descriptor: int, wanted: bytes) -> None:
    seen = b""
    ends = time.monotonic() + DEADLINE
    while wanted not in seen:
        left = ends - time.monotonic()
        assert left > 0, seen[-2000:]
        if select.select([descriptor], [], [], left)[0]:
            seen += os.read(descriptor, 4096)


def read_all(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:  # the other end is gone
        return
