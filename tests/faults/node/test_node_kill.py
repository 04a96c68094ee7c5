"""SIGKILL at random points: nothing acknowledged is lost, nothing half-written is served."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from bitdust.cli.demo_tree import compare_trees
from bitdust.errors import BitdustError

Eventually = Callable[..., Any]

FAST_ROUNDS = 2
SLOW_ROUNDS = 50


class Round:
    """One customer's life under fire: it changes a tree, stores it, and somebody is killed."""

    def __init__(self, net: Any, folder: Path, eventually: Eventually) -> None:
        self.net = net
        self.folder = folder
        self.eventually = eventually
        self.tree = folder / "tree"
        self.tree.mkdir(parents=True)
        self.kept = folder / "kept"
        self.kept.mkdir()
        self.acknowledged: dict[str, Path] = {}
        """Backup ids that were reported stored, with a copy of what was stored under them."""
        self.number = 0

    def run(self, chance: random.Random) -> None:
        self.number += 1
        remote = f"tree{chance.randrange(2)}"
        self._change(chance)
        copy = self.kept / str(self.number)
        shutil.copytree(self.tree, copy, symlinks=True)
        victim = chance.choice([self.net.name, self.net.name, *self.net.suppliers()])
        what = chance.choice(["upload", "upload", "download", "delete"])
        if what == "download" and not self.acknowledged:
            what = "upload"
        target = self.folder / f"under fire {self.number}"
        work = {
            "upload": lambda: self._upload(remote, copy),
            "download": lambda: self._download(chance.choice(sorted(self.acknowledged)), target),
            "delete": lambda: self._delete(chance),
        }[what]
        thread = threading.Thread(target=work)
        thread.start()
        # anywhere between the first byte and the journal behind the last one
        time.sleep(chance.uniform(0.0, 1.2))
        self.net.network.kill(victim)
        thread.join(120)
        assert not thread.is_alive()
        self.net.whole()
        self.eventually(self.net.idle)
        self._check(chance, what, victim)

    def _change(self, chance: random.Random) -> None:
        for _ in range(chance.randrange(1, 4)):
            name = self.tree / f"file{chance.randrange(6)}"
            name.write_bytes(chance.randbytes(chance.choice([0, 10, 70_000, 3_000_000])))
        big = self.tree / "big"
        big.write_bytes(chance.randbytes(18_000_000))
        small = self.tree / f"folder{chance.randrange(3)}"
        small.mkdir(exist_ok=True)
        for number in range(30):
            (small / str(number)).write_bytes(chance.randbytes(200))

    def _upload(self, remote: str, copy: Path) -> None:
        try:
            result = self.net.upload(copy, remote)
        except BitdustError:
            return
        assert result["acks"] >= 3
        self.acknowledged[result["backup_id"]] = copy

    def _download(self, backup_id: str, target: Path) -> None:
        try:
            result = self.net.download(backup_id, target)
        except BitdustError:
            return
        self._same(backup_id, Path(result["local_path"]))

    def _delete(self, chance: random.Random) -> None:
        for backup_id in sorted(self.acknowledged)[:-1][: chance.randrange(3)]:
            del self.acknowledged[backup_id]
            try:
                self.net.customer.post("/file/delete/v1", remote_path=backup_id)
            except BitdustError:
                return

    def _check(self, chance: random.Random, what: str, victim: str) -> None:
        # all of them would take long: the newest and another one
        newest = sorted(self.acknowledged)[-1:]
        others = chance.sample(sorted(self.acknowledged), min(1, len(self.acknowledged)))
        for backup_id in {*newest, *others}:
            target = self.folder / f"{self.number} {what} {victim}" / backup_id.replace("/", "-")
            result = self.net.download(backup_id, target)
            self._same(backup_id, Path(result["local_path"]))
            shutil.rmtree(target)
        # what an interrupted upload made afterwards is whole as well
        for remote in ("tree0", "tree1"):
            if not self.net.customer.get("/file/exists/v1", remote_path=remote)["exist"]:
                continue
            for version in self.net.info(remote)["versions"][:1]:
                assert version["state"] in ("stored", "partial")
                target = self.folder / f"{self.number} {remote}"
                back = Path(self.net.download(version["backup_id"], target)["local_path"])
                assert any(
                    compare_trees(copy, back).differences == [] for copy in self.kept.iterdir()
                )
                shutil.rmtree(target)

    def _same(self, backup_id: str, back: Path) -> None:
        assert compare_trees(self.acknowledged[backup_id], back).differences == [], backup_id

    def finish(self) -> None:
        """Every version that was ever acknowledged, and the stores of all."""
        for backup_id in self.acknowledged:
            target = self.folder / "last" / backup_id.replace("/", "-")
            self._same(backup_id, Path(self.net.download(backup_id, target)["local_path"]))
            shutil.rmtree(target)
        for member in list(self.net.network.members):
            self.net.network.halt(member.name)
            for database in (
                member.home / "catalog.db",
                *(member.home / "customers").glob("*.db"),
            ):
                if database.exists():
                    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
                    assert db.execute("PRAGMA integrity_check").get == "ok"
                    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
                    db.close()
            incoming = member.home / "customers" / "incoming"
            assert not incoming.exists() or not list(incoming.iterdir())


def play(net: Any, folder: Path, eventually: Eventually, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    life = Round(net, folder, eventually)
    for _ in range(rounds):
        life.run(chance)
    life.finish()


def test_a_kill_during_an_upload_loses_nothing(
    net: Any, tmp_path: Path, eventually: Eventually
) -> None:
    play(net, tmp_path, eventually, FAST_ROUNDS, 7)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_random_points_lose_nothing(
    net: Any, tmp_path: Path, eventually: Eventually
) -> None:
    play(net, tmp_path, eventually, SLOW_ROUNDS, random.SystemRandom().randrange(1 << 30))


def test_an_upload_that_was_cut_off_goes_on_by_itself(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    big = tmp_path / "big"
    big.write_bytes(noise(1, 160_000_000))
    job = net.upload(big, "cut off", wait=False)
    eventually(
        lambda: any(e["block_number"] for e in net.customer.get("/file/upload/v1")["running"])
    )
    net.network.kill(net.name)
    net.network.resume(net.name)
    eventually(lambda: net.idle() and net.info("cut off")["versions"])
    [version] = net.info("cut off")["versions"]
    assert version["backup_id"] == job["backup_id"]
    back = Path(net.download("cut off", tmp_path / "back")["local_path"])
    assert back.read_bytes() == big.read_bytes()
    big.unlink()


def test_a_download_that_was_cut_off_goes_on_by_itself(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    big = tmp_path / "source" / "big"
    big.parent.mkdir()
    big.write_bytes(noise(2, 160_000_000))
    net.upload(big, "cut down")
    target = tmp_path / "back"
    net.customer.post(
        "/file/download/start/v1", remote_path="cut down", destination_path=str(target)
    )
    eventually(lambda: any(e["bytes_processed"] for e in net.customer.get("/file/download/v1")))
    net.network.kill(net.name)
    # a name that stands for a whole file is never there for half of one
    final = target / "cut down"
    assert not final.exists() or final.read_bytes() == big.read_bytes()
    net.network.resume(net.name)
    eventually(lambda: net.idle() and final.exists())
    assert final.read_bytes() == big.read_bytes()
    assert [path.name for path in target.iterdir()] == ["cut down"]
