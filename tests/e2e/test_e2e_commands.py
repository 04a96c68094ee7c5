"""``bitdust testnet`` and ``bitdust demo`` as a person runs them: processes, codes, clean-up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet_api import NodeApi
from bitdust.daemon import holder

Bitdust = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[..., Any]
SMALL = ("--suppliers", "2", "--customers", "1", "--key-size", "1024")
PROGRAM = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"

pytestmark = pytest.mark.xdist_group("commands")


def processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder, of processes that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(os.fsencode(folder) in word for word in words):
                found.append(b" ".join(words).decode("utf-8", "replace"))
    return found


def launch(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_start_detached_use_and_stop(bitdust: Bitdust, tmp_path: Path) -> None:
    began = time.monotonic()
    started = bitdust("testnet", "start", "--dir", str(tmp_path), *SMALL, "--detach", "--json")
    try:
        assert started.returncode == 0, started.stderr
        assert time.monotonic() - began < 30
        nodes = json.loads((tmp_path / "testnet.json").read_text())
        assert json.loads(started.stdout)["result"] == nodes
        assert [each["role"] for each in nodes] == [
            "identity-server",
            "supplier",
            "supplier",
            "customer",
        ]
        assert len({each["api_url"] for each in nodes}) == 4
        for each in nodes:
            assert holder(Path(each["home"])) == each["pid"]
            assert each["ws_url"].startswith("ws://127.0.0.1:")
            assert each["idurl"].endswith(f"/{each['name']}.xml")
            assert each["global_id"].startswith(f"{each['name']}@127.0.0.1_")
            api = NodeApi(each["api_url"], Path(each["api_secret_file"]))
            assert api.get("/identity/get/v1")["global_id"] == each["global_id"]
        customer = NodeApi(nodes[3]["api_url"], Path(nodes[3]["api_secret_file"]))
        listed = customer.get("/supplier/list/v1")
        assert {each["contact_state"] for each in listed} == {"CONNECTED"}
        assert len(listed) == 2
        again = bitdust("testnet", "start", "--dir", str(tmp_path), *SMALL, "--detach")
        assert again.returncode == 9
        assert "holds a running test network" in again.stderr
    finally:
        stopped = bitdust("testnet", "stop", "--dir", str(tmp_path))
    assert stopped.returncode == 0, stopped.stderr
    assert "4 nodes were ended" in stopped.stdout
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "testnet.json").exists()
    assert bitdust("testnet", "stop", "--dir", str(tmp_path)).returncode == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_attached_network_ends_with_its_command(
    tmp_path: Path, eventually: Eventually, number: signal.Signals
) -> None:
    command = launch("testnet", "start", "--dir", str(tmp_path), *SMALL)
    try:
        eventually(lambda: (tmp_path / "testnet.json").exists() or command.poll() is not None, 40)
        assert command.poll() is None
        command.send_signal(number)
        _, errors = command.communicate(timeout=40)
        assert command.returncode == 0, errors
    finally:
        command.kill()
        command.communicate()
    assert processes_of(tmp_path) == []


def test_an_interrupted_start_leaves_nothing(tmp_path: Path, eventually: Eventually) -> None:
    command = launch("testnet", "start", "--dir", str(tmp_path), *SMALL)
    try:
        eventually(lambda: len(processes_of(tmp_path / "nodes")) >= 2, 30)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=40)
        assert command.returncode == 130
    finally:
        command.kill()
        command.communicate()
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "testnet.json").exists()


def test_a_killed_starter_leaves_nodes_that_stop_finds(
    bitdust: Bitdust, tmp_path: Path, eventually: Eventually
) -> None:
    command = launch("testnet", "start", "--dir", str(tmp_path), *SMALL)
    try:
        homes = [tmp_path / "nodes" / name for name in ("supplier-1", "supplier-2")]
        eventually(lambda: all(holder(home) is not None for home in homes), 30)
        command.kill()
        command.communicate()
        stopped = bitdust("testnet", "stop", "--dir", str(tmp_path))
        assert stopped.returncode == 0, stopped.stderr
    finally:
        command.kill()
        command.communicate()
        bitdust("testnet", "stop", "--dir", str(tmp_path))
    eventually(lambda: processes_of(tmp_path) == [], 10)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--suppliers", "1"), 2),
        (("--identity-servers", "0"), 2),
        (("--suppliers", "1000"), 2),
        (("--key-size", "77"), 2),
    ],
)
def test_impossible_networks_are_refused_at_once(
    bitdust: Bitdust, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    refused = bitdust("testnet", "start", "--dir", str(tmp_path / "net"), *words, "--detach")
    assert refused.returncode == code
    assert "error:" in refused.stderr
    assert not (tmp_path / "net").exists()


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    root = tmp_path / "small"
    root.mkdir()
    for number in range(30):
        (root / f"{number}.py").write_bytes(os.urandom(20_000))
    return root


@pytest.mark.timeout(180)
def test_the_demo_ends_well_and_leaves_nothing(
    bitdust: Bitdust, tmp_path: Path, small_tree: Path
) -> None:
    work = tmp_path / "work"
    done = bitdust("demo", "--dir", str(work), "--tree", str(small_tree), "--json", deadline=150.0)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)["result"]
    assert report["equal"] is True
    assert [each["total_differences"] for each in report["comparisons"]] == [0, 0]
    assert all(each["files"] > 40 for each in report["comparisons"])
    assert report["backups"][1]["stored_bytes"] < report["backups"][0]["stored_bytes"] / 2
    assert not work.exists()
    assert processes_of(work) == []


def test_an_interrupted_demo_leaves_nothing(
    tmp_path: Path, small_tree: Path, eventually: Eventually
) -> None:
    work = tmp_path / "work"
    command = launch("demo", "--dir", str(work), "--tree", str(small_tree))
    try:
        eventually(lambda: len(processes_of(work / "network")) >= 3, 30)
        command.send_signal(signal.SIGTERM)
        command.communicate(timeout=60)
        assert command.returncode == 130
    finally:
        command.kill()
        command.communicate()
    assert processes_of(work) == []
    assert not work.exists()


def test_a_demo_in_a_used_folder_is_refused(bitdust: Bitdust, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    refused = bitdust("demo", "--dir", str(tmp_path))
    assert refused.returncode == 4
    assert "is not empty" in refused.stderr
    assert (tmp_path / "precious").exists()
