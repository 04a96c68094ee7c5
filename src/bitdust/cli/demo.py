"""The demo: a real folder survives the death of half the suppliers and of its owner's machine.

Everything happens through the public interface of separate processes, the way a person would do it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitdust.cli.demo_report import Screen, Step, size
from bitdust.cli.demo_tree import (
    NASTY,
    NOT_STANDARD,
    Comparison,
    add_nasty_cases,
    change_a_little,
    compare_trees,
    copy_tree,
    is_sparse,
    standard_library,
)
from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import BitdustError, DataUnavailable, NotFound

SUPPLIERS = 5
KILLED = 2
REMOTE = "library"
NEW_HOME = "new-machine"
CATALOG_DEADLINE = 60.0
"""Seconds after the recovery until both versions must be in the catalog again."""
POLL = 0.2


@dataclass
class Backup:
    """One upload as the engine reported it, and what its versions must restore to.

    Args:
        number: 1 or 2.
        original: a copy of the tree as it was then.
        result: the answer to the upload.
        on_disks: bytes in the suppliers' folders afterwards.
    """

    number: int
    original: Path
    result: Mapping[str, Any] = field(default_factory=dict)
    on_disks: int = 0

    @property
    def version(self) -> str:
        """Its version name, such as ``F20160424013912PM``."""
        return str(self.result["version"])

    def count(self, name: str) -> int:
        """A number of the result."""
        return int(self.result.get(name) or 0)


class Demo:
    """One run of the demo.

    Args:
        network: not started yet; with five suppliers and one customer.
        work: an empty folder for the trees.
        tree: what to back up, the standard library when None.
        screen: where to tell about it.
    """

    def __init__(self, network: Testnet, work: Path, tree: Path | None, screen: Screen) -> None:
        self._network = network
        self._work = work
        self._source = tree
        self._screen = screen
        self._tree = work / "tree"
        self._key = work / "alice.key"
        self._backups = [Backup(number, work / f"original-{number}") for number in (1, 2)]
        self._comparisons: list[Comparison] = []
        self._sparse = False
        self._path_id = ""

    def run(self) -> bool:
        """Do everything; returns whether all that came back equals what was backed up.

        Raises:
            BitdustError: a step failed.
        """
        screen = self._screen
        screen.title(
            "BitDust demo: a folder outlives half of its suppliers and its owner's machine"
        )
        with screen.step("network") as step:
            self._network.start()
            step.note = f"{len(self._network.members)} processes, {SUPPLIERS} of them suppliers"
        customer = self._customer()
        with screen.step("tree") as step:
            self._copy_source(step)
        with screen.step("key backup") as step:
            customer.post("/identity/backup/v1", destination_filepath=str(self._key))
            step.note = f"{self._key.stat().st_size} bytes, all that will be left"
        self._back_up(self._backups[0])
        self._change()
        self._back_up(self._backups[1])
        self._show_backups()
        self._kill_suppliers()
        self._lose_machine()
        owner = self._recover()
        for backup in self._backups:
            self._restore(owner, backup)
        screen.table()
        return self._verdict()

    def report(self) -> dict[str, Any]:
        """Everything that was found out, for programs."""
        return {
            "equal": self._equal(),
            "steps": [step.as_json() for step in self._screen.steps],
            "backups": [
                {**backup.result, "bytes_on_suppliers": backup.on_disks}
                for backup in self._backups
                if backup.result
            ],
            "comparisons": [
                {
                    "files": each.files,
                    "folders": each.folders,
                    "links": each.links,
                    "bytes": each.compared,
                    "differences": each.differences,
                    "total_differences": each.total_differences,
                }
                for each in self._comparisons
            ],
        }

    # --- before the disaster ------------------------------------------------------------------

    def _customer(self) -> NodeApi:
        return self._network.api(f"{CUSTOMER}-1")

    def _copy_source(self, step: Step) -> None:
        if self._source is None:
            copy_tree(standard_library(), self._tree, skip=NOT_STANDARD)
        else:
            copy_tree(self._source, self._tree)
        add_nasty_cases(self._tree)
        copy_tree(self._tree, self._backups[0].original)
        name = "Python's standard library" if self._source is None else self._source.name
        step.note = f"{name}, and what backups get wrong"

    def _change(self) -> None:
        with self._screen.step("changes") as step:
            changes = change_a_little(self._tree)
            copy_tree(self._tree, self._backups[1].original)
            step.note = "a few"
        for change in changes:
            self._screen.line(change)

    def _back_up(self, backup: Backup) -> None:
        customer = self._customer()
        with self._screen.step(f"backup {backup.number}") as step:
            if backup.number == 1:
                customer.post("/file/create/v1", remote_path=REMOTE, as_folder=True)
            backup.result = self._watched(
                f"backup {backup.number}",
                lambda: customer.post(
                    "/file/upload/start/v1",
                    local_path=str(self._tree),
                    remote_path=REMOTE,
                    wait_result=True,
                ),
                lambda: customer.get("/file/upload/v1")["running"],
            )
            self._path_id = str(backup.result["path_id"])
            step.moved = backup.count("bytes")
            step.note = (
                f"{backup.result['state']}: {backup.count('files'):,} files, "
                f"{size(backup.count('bytes'))} read, {size(backup.count('new_bytes'))} new"
            )
        backup.on_disks = self._on_disks()
        for warning in list(backup.result.get("warnings") or [])[:5]:
            self._screen.line(f"warning: {warning}")

    def _watched(
        self, name: str, work: Callable[[], Any], running: Callable[[], list[dict[str, Any]]]
    ) -> Any:
        """Run a long call in a thread and show its job's progress meanwhile."""
        done = threading.Event()
        with ThreadPoolExecutor(1) as pool, self._screen.progress(name) as advance:
            future = pool.submit(work)
            future.add_done_callback(lambda _: done.set())
            while not done.wait(POLL):
                for job in self._jobs(running)[:1]:
                    advance(int(job.get("bytes_processed") or 0), int(job.get("total_size") or 0))
            return future.result()

    @staticmethod
    def _jobs(running: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        try:
            return running() or []
        except BitdustError:
            # the bar is a courtesy; the call that is waited for tells what is wrong
            return []

    def _on_disks(self) -> int:
        return sum(
            path.lstat().st_size
            for member in self._network.members
            if member.role == SUPPLIER
            for path in (member.home / "customers").rglob("*")
            if path.is_file()
        )

    def _show_backups(self) -> None:
        rows: list[tuple[str, ...]] = [("", *(f"backup {each.number}" for each in self._backups))]
        for title, name, show in (
            ("files", "files", "{:,}".format),
            ("folders", "folders", "{:,}".format),
            ("links", "links", "{:,}".format),
            ("files, folders and links changed", "files_changed", "{:,}".format),
            ("read", "bytes", size),
            ("new after deduplication", "new_bytes", size),
            ("after compression", "compressed_bytes", size),
            ("sent to suppliers, with redundancy", "stored_bytes", size),
            ("blocks", "blocks", "{:,}".format),
            ("suppliers that have it on disk", "acks", "{:,}".format),
            ("suppliers that may vanish", "may_vanish", "{:,}".format),
        ):
            if any(name in backup.result for backup in self._backups):
                rows.append((title, *(show(backup.count(name)) for backup in self._backups)))
        rows.append(
            ("on the suppliers' disks in all", *(size(each.on_disks) for each in self._backups))
        )
        self._screen.facts("What was stored", rows[0], rows[1:])
        first, second = (backup.count("stored_bytes") for backup in self._backups)
        if first:
            self._screen.line(f"the second backup sent {100 * second / first:.2f} % of the first")

    # --- the disaster, and after ----------------------------------------------------------------

    def _kill_suppliers(self) -> None:
        with self._screen.step("suppliers killed") as step:
            listed = self._customer().get("/supplier/list/v1")
            ids = [str(each["global_id"]) for each in listed]
            victims = [self._network.member(each).name for each in ids[:KILLED]]
            for victim in victims:
                self._network.kill(victim)
            step.note = f"SIGKILL to {' and '.join(victims)}, {len(ids) - KILLED} are left"

    def _lose_machine(self) -> None:
        with self._screen.step("machine lost") as step:
            member = self._network.member(f"{CUSTOMER}-1")
            self._network.remove(member.name)
            step.note = "the owner's home deleted, with catalog and keys"

    def _recover(self) -> NodeApi:
        with self._screen.step("recovery") as step:
            member = self._network.add(NEW_HOME, CUSTOMER, identity=False)
            identity = member.api.post(
                "/identity/recover/v1", private_key_source=self._key.read_text("ascii")
            )
            self._network.learn(member, identity)
            found = self._await_versions(member.api)
            step.note = f"on a new home, from the key file alone: {found} versions found"
        return member.api

    def _await_versions(self, owner: NodeApi) -> int:
        wanted = {backup.version for backup in self._backups}
        ends = time.monotonic() + CATALOG_DEADLINE
        while True:
            found: set[str] = set()
            try:
                info = owner.get("/file/info/v1", remote_path=REMOTE)
                found = {str(each["backup_id"]).rpartition("/")[2] for each in info["versions"]}
            except (NotFound, BitdustError) as exc:
                if time.monotonic() > ends:
                    raise DataUnavailable(f"the catalog did not come back: {exc.message}") from exc
            if wanted <= found:
                return len(found)
            if time.monotonic() > ends:
                raise DataUnavailable(f"only {len(found)} of {len(wanted)} versions came back")
            time.sleep(POLL)

    def _restore(self, owner: NodeApi, backup: Backup) -> None:
        target = self._work / f"restored-{backup.number}"
        with self._screen.step(f"restore {backup.number}") as step:
            result = self._watched(
                f"restore {backup.number}",
                lambda: owner.post(
                    "/file/download/start/v1",
                    remote_path=f"{self._path_id}/{backup.version}",
                    destination_path=str(target),
                    wait_result=True,
                ),
                lambda: owner.get("/file/download/v1"),
            )
            step.moved = backup.count("bytes")
            step.note = f"version {backup.version}, from {SUPPLIERS - 1 - KILLED} suppliers"
        restored = Path(str(result["local_path"]))
        with self._screen.step(f"comparison {backup.number}") as step:
            found = compare_trees(backup.original, restored)
            self._comparisons.append(found)
            self._sparse = is_sparse(restored / NASTY / "sparse")
            step.moved = found.compared
            step.note = (
                f"{found.files:,} files, {found.folders:,} folders, {found.links:,} links, "
                f"{size(found.compared)}: "
                + ("all equal" if found.equal else f"{found.total_differences:,} DIFFERENCES")
            )
        for difference in found.differences:
            self._screen.line(difference)

    def _equal(self) -> bool:
        return len(self._comparisons) == len(self._backups) and all(
            each.equal for each in self._comparisons
        )

    def _verdict(self) -> bool:
        equal = self._equal()
        if equal:
            sparse = ", holes are holes again" if self._sparse else ""
            self._screen.title(
                f"Both versions came back with every byte, mode, time and link equal{sparse}."
            )
        else:
            self._screen.title("The restored trees DIFFER from the originals.")
        return equal


def demo_plan() -> Plan:
    """The network of the demo."""
    return Plan(suppliers=SUPPLIERS, customers=1, identity_servers=1)
