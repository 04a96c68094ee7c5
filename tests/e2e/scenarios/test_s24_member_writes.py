"""S24: somebody who was let into a share of another writes there, and all members read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet
from bitdust.cli.testnet_api import NodeApi

pytestmark = pytest.mark.slow

ALICE, BOB, CAROL = (f"{CUSTOMER}-{number}" for number in (1, 2, 3))


def test_s24_a_member_writes_into_a_share(
    crowd: Testnet,
    upload: Callable[[NodeApi, Path, str], dict[str, Any]],
    download: Callable[[NodeApi, str], bytes],
    random_file: Callable[[str, int], Path],
    eventually: Callable[..., Any],
) -> None:
    alice, bob, carol = (crowd.api(who) for who in (ALICE, BOB, CAROL))
    key_id = alice.post("/share/create/v1", label="ours")["key_id"]
    alice.result("PUT", "/share/open/v1", {"key_id": key_id})
    for api in (bob, carol):
        person = api.get("/identity/get/v1")["global_id"]
        alice.result("PUT", "/share/grant/v1", {"key_id": key_id, "trusted_user_id": person})

        def connected(api: NodeApi = api) -> bool:
            rows = {row["key_id"]: row for row in api.get("/share/list/v1") or []}
            return bool(key_id in rows and rows[key_id]["state"] == "CONNECTED")

        eventually(connected, 60.0)

    remote = f"{key_id}:from/bob"

    def size(api: NodeApi) -> int:
        rows = api.get("/file/list/v1", key_id=key_id)
        return next((row["size"] for row in rows if row["path"] == "from/bob"), -1)

    # a file, and then another under the same name
    for number, length in enumerate((400_000, 150_000)):
        source = random_file(f"source-{number}", length)
        assert upload(bob, source, remote)["state"] == "stored"
        for api in (alice, carol):
            eventually(lambda api=api, length=length: size(api) == length, 60.0)
            assert download(api, remote) == source.read_bytes()
    told = [
        (row["what"], row["path"], row["who"])
        for row in alice.get("/share/history/v1", key_id=key_id)
    ]
    assert ("uploaded", "from/bob", bob.get("/identity/get/v1")["global_id"]) in told
