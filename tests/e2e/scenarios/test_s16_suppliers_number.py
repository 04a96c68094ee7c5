"""S16: two suppliers, then four, then two; all see it on the DHT, and no file suffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import SUPPLIER, Member, Testnet
from bitdust.cli.testnet_api import NodeApi

pytestmark = pytest.mark.slow

NUMBER = "services/customer/suppliers-number"


def test_s16_two_four_two(
    spares: Testnet,
    hire: Callable[[str], Member],
    upload: Callable[[NodeApi, Path, str], dict[str, Any]],
    download: Callable[[NodeApi, str], bytes],
    random_file: Callable[[str, int], Path],
    reliable: Callable[[NodeApi, str], None],
    eventually: Callable[..., Any],
) -> None:
    api = hire("numbers").api
    own = api.get("/identity/get/v1")
    observers = [api, *(spares.api(f"{SUPPLIER}-{number}") for number in (1, 2, 3))]
    contents: dict[str, bytes] = {}

    def suppliers() -> list[str]:
        return [row["idurl"] for row in api.get("/supplier/list/v1")]

    def settled(number: int) -> bool:
        rows = api.get("/supplier/list/v1")
        return len(rows) == number and all(row["contact_state"] == "CONNECTED" for row in rows)

    def seen(number: int, by: NodeApi) -> bool:
        # right after it was written, a node may not find it yet
        answer = by.call("GET", "/supplier/list/dht/v1", {"customer_id": own["global_id"]})
        record = answer.get("result")
        return bool(
            record
            and record["ecc_map"] == f"ecc/{number}x{number}"
            and record["suppliers"] == suppliers()
        )

    def works(number: int) -> None:
        for remote, expected in contents.items():
            reliable(api, remote)
            assert download(api, remote) == expected
        name = f"stored with {number}, {len(contents)}"
        source = random_file(f"source-{len(contents)}", 600_000)
        assert upload(api, source, name)["suppliers"] == number
        contents[name] = source.read_bytes()
        assert download(api, name) == contents[name]

    works(2)
    first = suppliers()
    for number in (4, 2):
        api.post("/config/set/v1", key=NUMBER, value=number)
        eventually(lambda number=number: settled(number), 120.0)
        assert suppliers()[:2] == first
        for observer in observers:
            eventually(lambda number=number, by=observer: seen(number, by), 90.0)
        works(number)
    # those that left keep nothing, and each of the two that stayed has everything
    left = [spares.member(f"{SUPPLIER}-{number}") for number in range(1, 6)]

    def forgotten(member: Member) -> bool:
        rows = member.api.get("/customer/list/v1") or []
        return own["idurl"] not in [row["idurl"] for row in rows]

    for member in left:
        if member.idurl not in first:
            eventually(lambda member=member: forgotten(member), 120.0)
    for idurl in first:
        gone = next(member for member in left if member.idurl == idurl)
        spares.kill(gone.name)
        try:
            for remote, expected in contents.items():
                assert download(api, remote) == expected
        finally:
            spares.resume(gone.name)
        spares.await_suppliers("numbers", 2)
    # and once more after a restart
    spares.halt("numbers")
    spares.resume("numbers")
    spares.await_suppliers("numbers", 2)
    assert settled(2)
    answer = api.call("POST", "/config/set/v1", {"key": NUMBER, "value": 3})
    assert answer["status"] == "ERROR"
