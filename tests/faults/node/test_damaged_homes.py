"""Each file of a full home, damaged in every way: the node starts or says what to do; all is kept.

The home belongs to a person with files, keys, friends, messages, a share, a group and a device.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from structlog.testing import capture_logs

from bitdust.api import build_registry
from bitdust.api.dispatch import dispatch
from bitdust.errors import BitdustError
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PERSON = "alice"
HUGE = 64 * 1024 * 1024
AWHILE = 900.0
"""Seconds of the node's life after the damage: rounds, retries and loops show."""

LISTS = (
    "process_health",
    "configs_list",
    "identity_get",
    "keys_list",
    "files_list",
    "friends_list",
    "groups_list",
    "shares_list",
    "devices_list",
    "networks_list",
    "services_list",
    "suppliers_list",
    "message_conversations_list",
    "message_history",
    "automats_list",
)
FORGOTTEN = {"metadata/identities.db", "metadata/suppliers.json", "brokers.db"}
"""What is learned anew by itself; emptied or damaged, the loss may go without a word."""
SECRETS = ("keys/", "metadata/mykeyfile", "metadata/devices/")

REGISTRY = build_registry()


def truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbled(path: Path) -> None:
    path.write_bytes(blake3(b"noise").digest(max(100, path.stat().st_size)))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data), max(1, len(data) // 50)):
        data[at] ^= 0x11
    path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def removed(path: Path) -> None:
    path.unlink()


def grown(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(HUGE)


HARM = (truncated, emptied, zeroed, garbled, flipped, a_folder, removed, grown)


NOTICED = (truncated, zeroed, garbled, a_folder)
"""Harm that no file can hide, but for a setting: half of a number may be a number."""


async def call(node: Node, method: str, **given: Any) -> dict[str, Any]:
    return await dispatch(node, REGISTRY.named(method), given)


async def result(node: Node, method: str, **given: Any) -> Any:
    envelope = await call(node, method, **given)
    assert envelope["status"] == "OK", (method, envelope)
    return envelope.get("result")


async def fill(grid: Grid, folder: Path) -> None:
    """Make the home of a person who uses everything."""
    for number in range(4):
        await grid.supplier(f"supplier-{number}")
    node = await grid.customer(PERSON)
    friend = str((await grid.customer("bob")).global_id)
    local = folder / "local"
    local.write_bytes(blake3(b"file").digest(200_000))
    await result(
        node, "file_upload_start", local_path=str(local), remote_path="file", wait_result=True
    )
    await result(node, "key_create", key_alias="work", key_size=1024)
    await result(node, "friend_add", trusted_user_id=friend, alias="bob")
    await result(node, "message_send", recipient_id=friend, data={"message": "hello"})
    share = await result(node, "share_create", label="photos")
    await result(node, "share_open", key_id=share["key_id"])
    group = (await result(node, "group_create", label="us", timeout=60))["group_key_id"]
    await result(node, "group_join", group_key_id=group)
    await result(node, "message_send_group", group_key_id=group, data={"message": "all"})
    await call(node, "device_add", name="phone", activate=False)
    network = folder / "network.json"
    network.write_text(json.dumps({"name": "mine", "label": "Mine", "maintainer": "me"}))
    await result(node, "network_create", url=str(network))
    await grid.clock.sleep(600)


@pytest.fixture(scope="module")
def full_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The home, its node at rest; and the name servers that know the person."""
    folder = tmp_path_factory.mktemp("full")
    names: list[Any] = []

    async def build() -> None:
        async with Grid(folder / "grid") as grid:
            names.append(grid.names)
            await fill(grid, folder)

    run_virtual(build())
    return folder / "grid" / PERSON, names[0]


def files_of(home: Path) -> dict[str, str]:
    """Paths and hashes of what is there, without what SQLite makes and removes as it likes."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_the_home_has_everything(full_home: tuple[Path, Any]) -> None:
    found = files_of(full_home[0])
    for start in ("catalog.db", "keys/", "metadata/messages.db", "metadata/devices/", "shares/"):
        assert any(name.startswith(start) for name in found), start
    for ending in (".friend", ".group", "mykeyfile", "localidentity", "suppliers.json"):
        assert any(name.endswith(ending) for name in found), ending


async def live(node: Node, grid: Grid) -> list[str]:
    """Let the node go on, and ask it for everything; what it said of things that are off."""
    await grid.clock.sleep(AWHILE)
    said = []
    for method in LISTS:
        envelope = await call(node, method)
        if envelope["status"] != "OK":
            assert envelope["code"] != "internal_error", (method, envelope)
            assert envelope.get("hint") or envelope["code"] == "service_off", (method, envelope)
            said.append(f"{method}: {envelope['errors'][0]}")
        elif method == "shares_list":
            said += [str(row.get("reason")) for row in envelope["result"]]
    for row in await result(node, "services_list"):
        assert "unexpectedly" not in str(row.get("reason")), row
        said.append(str(row.get("reason")))
    return said


async def attempt(folder: Path, names: Any) -> tuple[list[str], BitdustError | None]:
    """Start the node of a damaged home; what it told, or why it did not start."""
    told: list[str] = []
    grid = Grid(folder)
    grid.names = names
    with capture_logs() as logs:
        async with grid:
            try:
                node = await grid.start(PERSON)
            except BitdustError as exc:
                return told, exc
            told += await live(node, grid)
    for entry in logs:
        assert not entry.get("exc_info"), entry
        if entry["log_level"] in ("warning", "error"):
            told.append(str(entry))
    return told, None


@pytest.mark.parametrize("harm", HARM, ids=[harm.__name__ for harm in HARM])
def test_a_damaged_file_harms_nothing_else(
    full_home: tuple[Path, Any], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    home, names = full_home
    for number, name in enumerate(sorted(files_of(home))):
        folder = tmp_path / str(number)
        shutil.copytree(home, folder / PERSON)
        hurt = folder / PERSON / name
        harm(hurt)
        before = files_of(folder / PERSON)
        told, refusal = run_virtual(attempt(folder, names))
        where = f"{name}, {harm.__name__}"
        if refusal is not None:
            assert hurt.name in refusal.message + refusal.hint, (where, refusal)
            assert refusal.hint, (where, refusal)
        elif harm in NOTICED and not name.startswith(("config/", *FORGOTTEN)):
            # a share is called by its id, which is the name of its folder
            assert any(hurt.name in line or hurt.parent.name in line for line in told), where
        after = files_of(folder / PERSON)
        assert set(before) - {name} <= set(after), where
        for other in before:
            if other.startswith(SECRETS) and other != name:
                assert after[other] == before[other], (where, other)
        if name.startswith(SECRETS) and name in before:
            # what was in it may be precious to whoever can mend it
            assert before[name] in after.values(), where
        shutil.rmtree(folder)
