"""S23: one of two suppliers leaves the network; both customers read on, and it comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import Member, Testnet
from bitdust.cli.testnet_api import NodeApi

pytestmark = pytest.mark.slow


def test_s23_a_supplier_leaves_and_comes_back(
    spares: Testnet,
    hire: Callable[[str], Member],
    upload: Callable[[NodeApi, Path, str], dict[str, Any]],
    download: Callable[[NodeApi, str], bytes],
    random_file: Callable[[str, int], Path],
    eventually: Callable[..., Any],
) -> None:
    people = [hire("down-1"), hire("down-2")]
    kept: list[tuple[NodeApi, str, bytes]] = []
    for number, person in enumerate(people):
        source = random_file(f"source-{number}", 500_000)
        upload(person.api, source, "own/cat")
        share = person.api.post("/share/create/v1")["key_id"]
        person.api.result("PUT", "/share/open/v1", {"key_id": share})
        upload(person.api, source, f"{share}:shared/cat")
        kept += [
            (person.api, name, source.read_bytes()) for name in ("own/cat", f"{share}:shared/cat")
        ]
    first = {row["idurl"] for row in people[0].api.get("/supplier/list/v1")}
    # one that serves the first, and the second too if they have one in common
    second = {row["idurl"] for row in people[1].api.get("/supplier/list/v1")}
    idurl = sorted(first & second or first)[0]
    down = next(member for member in spares.members if member.idurl == idurl)
    down.api.get("/network/disconnect/v1")
    try:

        def away() -> bool:
            rows = people[0].api.get("/supplier/list/v1")
            [row] = [row for row in rows if row["idurl"] == idurl]
            return bool(row["contact_state"] != "CONNECTED")

        eventually(away, 30.0)
        for api, remote, expected in kept:
            assert download(api, remote) == expected
    finally:
        down.api.get("/network/reconnect/v1")
    for person in people:
        spares.await_suppliers(person.name, 2)
    for api, remote, expected in kept:
        assert download(api, remote) == expected
