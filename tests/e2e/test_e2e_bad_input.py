"""Bad input, case by case: a clear error with what to do, and a daemon that lives on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Member, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.config import Settings

BROKEN_KEY = """http://127.0.0.1/alice.xml
-----BEGIN RSA PRIVATE KEY-----
AAAA
-----END RSA PRIVATE KEY-----
"""
Bitdust = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def alive(network: Testnet) -> Iterator[None]:
    """The customer answers after the test, from the same process as before it."""
    member = network.member("customer-1")
    pid = member.daemon.pid
    yield
    assert member.daemon.alive
    assert member.daemon.pid == pid
    assert member.api.call("GET", "/process/health/v1")["status"] == "OK"
    assert member.api.call("GET", "/file/list/v1")["status"] == "OK"


pytestmark = pytest.mark.usefixtures("alive")


@pytest.fixture(scope="module")
def nobody(running_network: Testnet) -> Iterator[Member]:
    """A running node without an identity."""
    yield running_network.add("nobody", CUSTOMER, identity=False)
    running_network.remove("nobody")


@pytest.fixture(scope="module")
def halted(running_network: Testnet) -> Iterator[Member]:
    """A node with an identity that does not run."""
    member = running_network.add("halted", SUPPLIER)
    running_network.halt(member.name)
    yield member
    running_network.remove(member.name)


def failed(api: NodeApi, verb: str, route: str, **params: Any) -> dict[str, Any]:
    """The envelope of a call that must fail with a text, a code and something to do."""
    envelope = api.call(verb, route, params)
    assert envelope["status"] == "ERROR", envelope
    assert envelope["errors"]
    assert all(envelope["errors"])
    assert envelope["code"] != "internal", envelope
    return envelope


def upload(api: NodeApi, local: Path, remote: str, **more: Any) -> dict[str, Any]:
    return {"local_path": str(local), "remote_path": remote, "wait_result": True, **more}


# --- wrong names, keys and paths -----------------------------------------------------------------


@pytest.mark.parametrize(
    "remote",
    ["no/such/file", "99/99/99", "0/0/F20160424013912PM", "master$nobody@nowhere.net:a"],
)
def test_wrong_path(customer: NodeApi, tmp_path: Path, remote: str) -> None:
    assert failed(customer, "GET", "/file/info/v1", remote_path=remote)["hint"]
    started = failed(
        customer,
        "POST",
        "/file/download/start/v1",
        remote_path=remote,
        destination_path=str(tmp_path / "back"),
        wait_result=True,
    )
    assert started["hint"]
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("remote", ["", "../up", "a\x00b", "$@:", "x" * 5000])
def test_malformed_path(customer: NodeApi, remote: str) -> None:
    envelope = failed(customer, "POST", "/file/create/v1", remote_path=remote)
    assert "remote path" in envelope["errors"][0].replace("_", " ")


def test_wrong_key(customer: NodeApi, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    envelope = failed(
        customer,
        "POST",
        "/file/upload/start/v1",
        **upload(customer, tmp_path / "file", "nokey$customer-1@127.0.0.1:a"),
    )
    assert envelope["hint"]
    assert failed(customer, "GET", "/key/get/v1", key_id="nokey$customer-1@127.0.0.1")["hint"]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "not a key",
        BROKEN_KEY,
        "http://127.0.0.1/alice.xml\n",
    ],
)
def test_recovery_from_what_is_no_key(nobody: Member, source: str) -> None:
    envelope = failed(nobody.api, "POST", "/identity/recover/v1", private_key_source=source)
    assert "AAAA" not in json.dumps(envelope)
    assert failed(nobody.api, "GET", "/identity/get/v1")["code"] == "no_identity"


def test_a_name_that_is_taken(nobody: Member) -> None:
    envelope = failed(nobody.api, "POST", "/identity/create/v1", username="customer-1")
    assert envelope["code"] == "name_taken"
    assert envelope["hint"]


# --- local files ---------------------------------------------------------------------------------


def test_missing_local_file(customer: NodeApi, tmp_path: Path) -> None:
    envelope = failed(
        customer,
        "POST",
        "/file/upload/start/v1",
        **upload(customer, tmp_path / "missing", "missing"),
    )
    assert envelope["code"] == "local_file"
    assert "missing" in envelope["errors"][0]


def test_a_device_is_no_file(customer: NodeApi, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    envelope = failed(
        customer, "POST", "/file/upload/start/v1", **upload(customer, tmp_path / "pipe", "pipe")
    )
    assert envelope["code"] == "local_file"


@pytest.mark.parametrize("destination", ["/proc/nowhere", "below a file"])
def test_unwritable_destination(customer: NodeApi, tmp_path: Path, destination: str) -> None:
    (tmp_path / "file").write_text("x" * 1000)
    name = f"unwritable-{len(destination)}"
    customer.post("/file/upload/start/v1", **upload(customer, tmp_path / "file", name))
    target = tmp_path / "file" / "below" if destination == "below a file" else Path(destination)
    envelope = failed(
        customer,
        "POST",
        "/file/download/start/v1",
        remote_path=name,
        destination_path=str(target),
        wait_result=True,
    )
    assert envelope["code"] == "local_file"
    assert envelope["hint"]
    assert (tmp_path / "file").read_text() == "x" * 1000


def test_backup_of_the_key_over_an_existing_file(customer: NodeApi, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    failed(
        customer,
        "POST",
        "/identity/backup/v1",
        destination_filepath=str(tmp_path / "precious"),
    )
    assert (tmp_path / "precious").read_text() == "mine"


# --- settings, ports and processes ---------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 3, 5, 65, "many"])
def test_unknown_supplier_number(customer: NodeApi, number: object) -> None:
    envelope = failed(
        customer,
        "POST",
        "/config/set/v1",
        key="services/customer/suppliers-number",
        value=number,
    )
    assert envelope["code"] == "invalid_setting"
    assert "2, 4, 7, 13, 18, 26, 64" in envelope["errors"][0]
    option = customer.get("/config/get/v1", key="services/customer/suppliers-number")
    assert option["value"] == 4


def test_no_such_supplier_position(customer: NodeApi) -> None:
    assert failed(customer, "POST", "/supplier/change/v1", position=17)["hint"]


def test_second_daemon_on_the_same_home(network: Testnet, bitdust: Bitdust) -> None:
    home = network.member("customer-1").home
    second = bitdust("--home", str(home), "daemon")
    assert second.returncode == 9
    assert "already uses" in second.stderr
    assert "hint:" in second.stderr
    foreground = bitdust("--home", str(home), "daemon", "--foreground")
    assert foreground.returncode == 9


@pytest.mark.parametrize(
    "key",
    [
        "interface/api/rest-http-port",
        "interface/api/web-socket-port",
        "services/tcp-connections/tcp-port",
        "services/entangled-dht/udp-port",
    ],
)
def test_port_in_use(network: Testnet, bitdust: Bitdust, halted: Member, key: str) -> None:
    kind = socket.SOCK_DGRAM if "udp" in key else socket.SOCK_STREAM
    settings = Settings(halted.home)
    before = settings.get(key)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        settings.set(key, port)
        refused = bitdust("--home", str(halted.home), "daemon")
    settings.set(key, before)
    assert refused.returncode == 10, refused.stderr
    assert str(port) in refused.stderr
    assert key in refused.stderr
    network.resume(halted.name)
    network.halt(halted.name)


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("services/supplier/donated-space", b"a lot"),
        ("interface/api/rest-http-port", b"99999999"),
        ("services/customer/enabled", b"\xff\xfe"),
    ],
)
def test_damaged_settings_file(tmp_path: Path, bitdust: Bitdust, key: str, content: bytes) -> None:
    path = tmp_path / "config" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    refused = bitdust("--home", str(tmp_path), "daemon")
    assert refused.returncode == 2
    assert str(path) in refused.stderr
    assert "correct the file, or remove it" in refused.stderr
    assert path.read_bytes() == content


def test_no_daemon_is_said(tmp_path: Path, bitdust: Bitdust) -> None:
    asked = bitdust("--home", str(tmp_path), "file", "list")
    assert asked.returncode == 8
    assert "no daemon" in asked.stderr
    assert "bitdust daemon" in asked.stderr


# --- identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "route", "params"),
    [
        ("GET", "/identity/get/v1", {}),
        ("GET", "/file/list/v1", {}),
        ("GET", "/file/info/v1", {"remote_path": "a"}),
        ("POST", "/file/create/v1", {"remote_path": "a"}),
        ("POST", "/file/upload/start/v1", {"local_path": "/etc/passwd", "remote_path": "a"}),
        ("POST", "/file/download/start/v1", {"remote_path": "a"}),
        ("GET", "/supplier/list/v1", {}),
        ("GET", "/key/list/v1", {}),
        ("GET", "/space/consumed/v1", {}),
        ("POST", "/identity/backup/v1", {"destination_filepath": "/tmp/never.key"}),
    ],
)
def test_no_identity_yet(nobody: Member, verb: str, route: str, params: dict[str, Any]) -> None:
    envelope = failed(nobody.api, verb, route, **params)
    assert envelope["code"] == "no_identity"
    assert "identity create" in envelope["hint"]
    assert nobody.api.call("GET", "/process/health/v1")["status"] == "OK"


def test_identity_server_away(nobody: Member) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{closed.getsockname()[1]}"
        envelope = failed(
            nobody.api,
            "POST",
            "/identity/create/v1",
            username="late",
            preferred_servers=[server],
        )
    assert envelope["code"] == "identity_server"
    assert envelope["hint"]
    assert nobody.api.call("GET", "/process/health/v1")["status"] == "OK"
    assert failed(nobody.api, "GET", "/identity/get/v1")["code"] == "no_identity"


# --- suppliers -----------------------------------------------------------------------------------


def test_too_few_suppliers(network: Testnet, tmp_path: Path) -> None:
    greedy = network.add("greedy", CUSTOMER, settings={"services/customer/suppliers-number": 7})
    try:
        (tmp_path / "file").write_text("x")
        envelope = failed(
            greedy.api,
            "POST",
            "/file/upload/start/v1",
            **upload(greedy.api, tmp_path / "file", "file"),
        )
        assert envelope["code"] == "too_few_suppliers"
        assert envelope["hint"]
        assert greedy.api.call("GET", "/process/health/v1")["status"] == "OK"
    finally:
        network.remove("greedy")


def test_quota_full(network: Testnet, tmp_path: Path) -> None:
    thrifty = network.add("thrifty", CUSTOMER, settings={"services/customer/needed-space": "8 MB"})
    try:
        network.await_suppliers("thrifty", 4)
        small, large = tmp_path / "small", tmp_path / "large"
        small.write_bytes(os.urandom(1_000_000))
        large.write_bytes(os.urandom(40_000_000))
        thrifty.api.post("/file/upload/start/v1", **upload(thrifty.api, small, "small"))
        envelope = failed(
            thrifty.api,
            "POST",
            "/file/upload/start/v1",
            **upload(thrifty.api, large, "large"),
        )
        assert envelope["code"] == "quota"
        assert envelope["hint"]
        result = thrifty.api.post(
            "/file/download/start/v1",
            remote_path="small",
            destination_path=str(tmp_path / "back"),
            wait_result=True,
        )
        assert Path(result["local_path"]).read_bytes() == small.read_bytes()
        assert thrifty.api.get("/space/consumed/v1")["used"] > 0
    finally:
        network.remove("thrifty")
