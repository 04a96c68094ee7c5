"""S17: the machine is gone; the key file alone brings everything back on an empty one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Member, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import BitdustError

pytestmark = pytest.mark.slow

SERVICES = (
    "customer",
    "my_data",
    "keys_storage",
    "shared_data",
    "private_groups",
    "message_history",
)


def published(api: NodeApi) -> dict[str, Any] | None:
    """The suppliers on the DHT, as soon as they are there."""
    answer = api.call("GET", "/supplier/list/dht/v1")
    return answer.get("result")


def test_s17_the_key_file_brings_everything_back(
    spares: Testnet,
    hire: Callable[[str], Member],
    upload: Callable[[NodeApi, Path, str], dict[str, Any]],
    download: Callable[[NodeApi, str], bytes],
    reliable: Callable[[NodeApi, str], None],
    random_file: Callable[[str, int], Path],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    before, friend = hire("phoenix"), hire("phoenix-friend")
    own = random_file("own", 700_000)
    upload(before.api, own, "deep/own/cat")
    contents: dict[str, bytes] = {"deep/own/cat": own.read_bytes()}
    shares: list[str] = []
    for number in (1, 2):
        key_id = before.api.post("/share/create/v1", label=f"share {number}")["key_id"]
        before.api.result("PUT", "/share/open/v1", {"key_id": key_id})
        source = random_file(f"shared-{number}", 300_000)
        upload(before.api, source, f"{key_id}:pictures/{number}")
        contents[f"{key_id}:pictures/{number}"] = source.read_bytes()
        shares.append(key_id)
    friend_id = friend.global_id
    before.api.result("PUT", "/share/grant/v1", {"key_id": shares[0], "trusted_user_id": friend_id})
    eventually(
        lambda: shares[0] in [row["key_id"] for row in friend.api.get("/share/list/v1")], 30.0
    )
    upload(friend.api, own, f"{shares[0]}:from/friend")
    contents[f"{shares[0]}:from/friend"] = own.read_bytes()
    for remote in contents:
        if not remote.endswith("from/friend"):
            reliable(before.api, remote)
    record = eventually(lambda: published(before.api), 60.0)
    kept = before.api.get("/service/health/keys-storage/v1")
    assert kept is True
    suppliers = [row["idurl"] for row in before.api.get("/supplier/list/v1")]
    identity = before.api.get("/identity/get/v1")
    backup = tmp_path / "backup.key"
    before.api.post("/identity/backup/v1", destination_filepath=str(backup))
    # what was told to the suppliers, and nothing else, survives
    spares.kill("phoenix")
    spares.remove("phoenix")

    after = spares.add("phoenix-again", CUSTOMER, identity=False)
    try:
        again = after.api.post(
            "/identity/recover/v1", private_key_source=backup.read_text(), join_network=True
        )
        spares.learn(after, again)
        assert (again["idurl"], again["publickey"]) == (identity["idurl"], identity["publickey"])
        spares.await_suppliers(after.name, 2)
        assert [row["idurl"] for row in after.api.get("/supplier/list/v1")] == suppliers

        def on() -> bool:
            states = {row["name"]: row["state"] for row in after.api.get("/service/list/v1")}
            return all(states[f"service_{name}"] == "ON" for name in SERVICES)

        eventually(on, 60.0)
        eventually(lambda: after.api.get("/service/health/keys-storage/v1") is True, 60.0)
        found = eventually(lambda: published(after.api), 60.0)
        assert (found["suppliers"], found["ecc_map"]) == (record["suppliers"], record["ecc_map"])

        for key_id in shares:

            def connected(key_id: str = key_id) -> bool:
                try:
                    opened = after.api.result("PUT", "/share/open/v1", {"key_id": key_id})
                except BitdustError:
                    return False  # its key is still on the way back
                return bool(opened["state"] == "CONNECTED")

            eventually(connected, 90.0)

        def listed() -> bool:
            rows = after.api.get("/file/list/all/v1")
            rows += [row for key in shares for row in after.api.get("/file/list/v1", key_id=key)]
            names = {row["remote_path"] for row in rows if row["type"] == "file"}
            wanted = {
                name if "$" in name else f"master${after.global_id}:{name}" for name in contents
            }
            return wanted <= names

        eventually(listed, 60.0)
        for remote, expected in contents.items():
            if not remote.endswith("from/friend"):
                reliable(after.api, remote)
            assert download(after.api, remote) == expected
        # it is the same person to others, and goes on writing
        upload(after.api, own, f"{shares[0]}:after/recovery")
        eventually(
            lambda: (
                "after/recovery"
                in [row["path"] for row in friend.api.get("/file/list/v1", key_id=shares[0])]
            ),
            60.0,
        )
        assert download(friend.api, f"{shares[0]}:after/recovery") == own.read_bytes()
    finally:
        spares.remove(after.name)
