"""The power fails at any point of a rotation: the next start has the old name, or completes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.api import build_registry
from bitdust.api.dispatch import dispatch
from bitdust.ids import IDURL
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

CONTENT = b"kept" * 10_000
OLD, NEW = "alice@names.test", "alice@other.test"
REGISTRY = build_registry()


async def call(node: Node, method: str, **values: object) -> Any:
    envelope = await dispatch(node, REGISTRY.operations[method], values)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


class Snapshots:
    """Copies of a home, one before and one after each change of a file in it."""

    def __init__(self, home: Path, folder: Path, served: dict[IDURL, bytes]) -> None:
        self._home = home
        self._folder = folder
        self._served = served
        self.taken: list[tuple[Path, dict[IDURL, bytes]]] = []

    def take(self) -> None:
        path = self._folder / f"{len(self.taken):03}"
        shutil.copytree(self._home, path)
        self.taken.append((path, dict(self._served)))

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(path: Any, *rest: Any, **more: Any) -> Any:
            inside = str(path).startswith(str(self._home))
            if inside:
                self.take()
            result = real(path, *rest, **more)
            if inside:
                self.take()
            return result

        return change


@pytest.fixture
def cuts(tmp_path: Path) -> list[tuple[Path, dict[IDURL, bytes]]]:
    """Homes as a power cut would leave them during one rotation; the suppliers are away."""
    grid_folder = tmp_path / "grid"
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    snapshots: list[Snapshots] = []

    async def scenario() -> None:
        async with Grid(grid_folder) as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            alice.settings.set("services/identity-propagate/known-servers", "other.test")
            for alias in ("one", "two"):
                await call(alice, "key_create", alias=alias, key_size=1024)
                result = await call(
                    alice,
                    "file_upload_start",
                    local_path=str(source),
                    remote_path=f"{alias}${OLD}:file",
                    wait_result=True,
                )
                assert result["state"] == "stored"
            await call(alice, "files_sync")
            await grid.clock.sleep(60.0)
            for number in range(2):
                await grid.stop(f"supplier-{number}")
            folder = tmp_path / "cuts"
            folder.mkdir()
            shots = Snapshots(grid_folder / "alice", folder, grid.names.documents)
            snapshots.append(shots)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "replace", shots.around(os.replace))
                patch.setattr(Path, "unlink", shots.around(Path.unlink))
                alice.events.on_event(lambda event: shots.take())
                await alice.rotate_identity()
            assert str(alice.global_id) == NEW

    run_virtual(scenario())
    return snapshots[0].taken


@pytest.mark.slow
def test_whenever_the_power_fails(
    cuts: list[tuple[Path, dict[IDURL, bytes]]], tmp_path: Path
) -> None:
    seen: set[str] = set()
    assert len(cuts) > 20

    async def scenario(number: int, home: Path, served: dict[IDURL, bytes]) -> None:
        folder = tmp_path / f"again-{number}"
        shutil.copytree(tmp_path / "grid", folder)
        shutil.rmtree(folder / "alice")
        shutil.copytree(home, folder / "alice")
        async with Grid(folder) as grid:
            grid.names.documents.update(served)
            for supplier in range(2):
                await grid.start(f"supplier-{supplier}")
            alice = await grid.start("alice")
            counts = alice.events.counts
            await alice.require_customer().wait_ready(120.0)
            name = str(alice.global_id)
            seen.add(name)
            assert name in (OLD, NEW)
            keys = [row["key_id"] for row in await call(alice, "keys_list")]
            assert keys == [f"{alias}${name}" for alias in ("master", "one", "two")]
            rows = await call(alice, "files_list", recursive=False)
            owners = {row["remote_path"].partition(":")[0] for row in rows}
            assert {f"one${name}", f"two${name}"} <= owners
            assert all(owner.endswith(f"${name}") for owner in owners)
            for alias in ("one", "two"):
                result = await call(
                    alice,
                    "file_download_start",
                    remote_path=f"{alias}${OLD}:file",
                    destination_path=str(folder / "out"),
                    wait_result=True,
                )
                assert Path(result["local_path"]).read_bytes() == CONTENT
            if name == OLD:
                # it never happened, and can be done now
                assert not counts.get("my-identity-rotated")
                await alice.rotate_identity()
            assert counts.get("my-identity-rotate-complete", 0) <= 1
            assert str(alice.global_id) == NEW
            assert not list((folder / "alice" / "metadata").glob("*.rotating"))
            # all servers have the document in force
            identity = alice.require_identity()
            await grid.until(lambda: not identity.pending)
            xml = identity.document.to_xml()
            assert all(grid.names.documents[source] == xml for source in identity.document.sources)

    for number, (home, served) in enumerate(cuts):
        run_virtual(scenario(number, home, served))
    assert seen == {OLD, NEW}
