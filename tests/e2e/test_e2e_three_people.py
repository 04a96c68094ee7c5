"""Three people over processes and public interfaces: the scenes of ``bitdust demo-people``."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bitdust.cli import demo_people_scenes as scenes
from bitdust.cli.demo_people import PeopleDemo
from bitdust.cli.demo_people_cast import Cast, Checks, people_plan
from bitdust.cli.demo_report import Screen
from bitdust.cli.testnet import Testnet

pytestmark = pytest.mark.xdist_group("three-people")


def all_kept(checks: Checks) -> None:
    assert checks.done
    assert not checks.broken


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    folder = tmp_path_factory.mktemp("pair")
    cast = Cast(Testnet(folder, people_plan(suppliers=2, key_size=1024)), ("alice", "bob"))
    try:
        cast.start()
        yield cast
    finally:
        cast.network.stop()


def test_two_people_write_and_share_a_file(pair: Cast, tmp_path: Path) -> None:
    alice, bob = pair.people
    checks = Checks()
    for one, other in ((alice, bob), (bob, alice)):
        one.api.post("/friend/add/v1", trusted_user_id=other.id)
    scenes.write_both_ways(alice, bob, checks)
    folder = scenes.share_a_folder(alice, bob, tmp_path, checks)
    scenes.write_one_name(alice, bob, folder, checks)
    all_kept(checks)
    assert [row["direction"] for row in bob.talk(alice.id)] == ["in", "out"]
    assert len(alice.lists(folder.key_id)) == 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_people(tmp_path: Path) -> None:
    """They share, chat, lose a broker, go offline and come back, and put one of them out."""
    screen = Screen(Console(file=io.StringIO(), width=100))
    files = tmp_path / "files"
    files.mkdir()
    network = Testnet(tmp_path / "network", people_plan(key_size=1024))
    demo = PeopleDemo(network, files, screen, 1500)
    try:
        assert demo.run(), demo.checks.broken
        alice, bob, carol = demo.cast.people
        # what the people's own nodes say at the end, besides all that was checked on the way
        groups = {who.name: who.api.get("/group/list/v1")[0] for who in demo.cast.people}
        assert {groups[name]["epoch"] for name in ("alice", "bob")} == {1}
        assert groups["alice"]["members"] == groups["bob"]["members"] == sorted([alice.id, bob.id])
        assert not groups["carol"]["active"]
        assert not any(group["forked"] for group in groups.values())
        shares = [row["what"] for row in alice.api.get("/share/history/v1")]
        assert {"created", "granted", "revoked", "uploaded"} <= set(shares)
        assert carol.sees(alice) == "CONNECTED"
        assert len(demo.report()["checks"]) >= 45
    finally:
        network.stop()
    assert scenes.leftovers(demo.cast) == []


@pytest.mark.slow
def test_the_demo_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle ends every process and removes the folder."""
    work = tmp_path / "work"
    program = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"
    demo = subprocess.Popen(
        [sys.executable, "-c", program, "demo-people", "--dir", str(work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "friends" in line:
                break
        pids = [
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdigit() and str(work) in _command(path)
        ]
        assert len(pids) > 8
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 130
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
        assert demo.stdout is not None
        demo.stdout.close()
    ends = time.monotonic() + 10
    while any(_runs(pid, work) for pid in pids) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not any(_runs(pid, work) for pid in pids)
    assert not work.exists()


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _runs(pid: int, work: Path) -> bool:
    return os.path.exists(f"/proc/{pid}") and str(work) in _command(Path(f"/proc/{pid}"))
