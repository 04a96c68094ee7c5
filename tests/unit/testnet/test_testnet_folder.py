"""Folders of test networks: what is in the way, what is stale, what runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitdust.cli.testnet import Plan, Testnet, stop_folder
from bitdust.cli.testnet_folder import prepare_folder, running_homes, write_nodes
from bitdust.cli.testnet_process import end_foreign
from bitdust.errors import AlreadyExists, AlreadyRunning, InvalidInput, LocalFileError, NotRunning

HOLDER = """
import sys, time
from pathlib import Path
from bitdust.daemon import HomeLock
lock = HomeLock(Path(sys.argv[1]))
print("held", flush=True)
{then}
"""


def _hold(home: Path, then: str = "time.sleep(60)") -> subprocess.Popen[str]:
    program = HOLDER.format(then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_an_earlier_network_is_replaced_but_nothing_else(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    (tmp_path / "nodes" / "supplier-1").mkdir()
    (tmp_path / "mine").touch()
    prepare_folder(tmp_path)
    assert not (tmp_path / "nodes" / "supplier-1").exists()
    assert (tmp_path / "mine").exists()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "precious").touch()
    with pytest.raises(AlreadyExists):
        prepare_folder(tmp_path)
    assert (tmp_path / "nodes" / "precious").exists()


def test_a_running_network_is_found_and_ended(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    home = tmp_path / "nodes" / "supplier-1"
    process = _hold(home)
    try:
        assert running_homes(tmp_path) == [home]
        with pytest.raises(AlreadyRunning, match="holds a running test network"):
            prepare_folder(tmp_path)
        write_nodes(tmp_path, [{"home": str(home), "pid": process.pid}])
        assert stop_folder(tmp_path) == 1
        assert process.wait(10) == -15
        assert not (tmp_path / "testnet.json").exists()
        assert running_homes(tmp_path) == []
    finally:
        process.kill()
        process.wait()


def test_a_daemon_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = _hold(
        tmp_path, "import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    )
    try:
        assert end_foreign(tmp_path, deadline=0.5) == process.pid
        assert process.wait(10) in (-9, -15)
    finally:
        process.kill()
        process.wait()


def test_a_stranger_with_the_number_of_a_dead_daemon_is_not_touched(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    home = tmp_path / "nodes" / "supplier-1"
    home.mkdir()
    # the number in the list and in the lock file is ours now; nobody holds the lock
    (home / "daemon.lock").write_text(f"{os.getpid()}\n")
    write_nodes(tmp_path, [{"home": str(home), "pid": os.getpid()}])
    assert stop_folder(tmp_path) == 0


def test_nothing_to_stop_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no test network runs"):
        stop_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "not json", "{}", '[{"name": "x"}]', "[1]", "null"])
def test_a_damaged_list_does_not_hide_running_nodes(tmp_path: Path, text: str) -> None:
    prepare_folder(tmp_path)
    process = _hold(tmp_path / "nodes" / "a")
    try:
        (tmp_path / "testnet.json").write_text(text)
        assert stop_folder(tmp_path) == 1
    finally:
        process.kill()
        process.wait()


def test_the_list_is_replaced_at_once(tmp_path: Path) -> None:
    write_nodes(tmp_path, [{"name": "a"}])
    write_nodes(tmp_path, [{"name": "b"}])
    assert json.loads((tmp_path / "testnet.json").read_text()) == [{"name": "b"}]
    assert [path.name for path in tmp_path.iterdir()] == ["testnet.json"]


@pytest.mark.parametrize(
    "plan",
    [
        Plan(suppliers=1),
        Plan(identity_servers=0),
        Plan(customers=-1),
        Plan(suppliers=500),
    ],
)
def test_impossible_plans_are_refused(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(InvalidInput):
        Testnet(tmp_path / "net", plan).start()
    assert not (tmp_path / "net").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError, match="cannot use"):
        Testnet(tmp_path / "file" / "net").start()


@pytest.mark.parametrize(
    ("suppliers", "hired"), [(2, 2), (3, 2), (4, 4), (5, 4), (12, 7), (70, 64)]
)
def test_customers_hire_as_many_as_can_be(suppliers: int, hired: int) -> None:
    assert Plan(suppliers=suppliers).hired == hired
