"""Nicknames between processes, over the real DHT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitdust.cli.testnet import Testnet
from bitdust.cli.testnet_api import NodeApi


def test_people_find_each_other_by_nickname(
    network: Testnet, customer: NodeApi, eventually: Callable[..., Any]
) -> None:
    suppliers = [network.api(f"supplier-{number}") for number in (1, 2)]
    own = [api.get("/identity/get/v1")["global_id"] for api in suppliers]
    assert suppliers[0].post("/nickname/set/v1", nickname="Little John")["result"] == "registered"
    assert suppliers[1].post("/nickname/set/v1", nickname="little john")["result"] == "registered"

    def holders() -> Any:
        rows = customer.get("/user/observe/v1", nickname="LITTLE JOHN")
        return rows if len(rows) == 2 else None

    rows = eventually(holders, 60.0)
    assert {row["global_id"] for row in rows} == set(own)
    assert [row["position"] for row in rows] == [0, 1]
    found = customer.get("/user/search/Little%20John/v1")
    assert found["result"] == "exist"
    assert found["global_id"] in own

    suppliers[1].post("/nickname/set/v1", nickname="Friar Tuck")
    found = eventually(
        lambda: (
            answer
            if (answer := customer.get("/user/search/v1", nickname="friar tuck"))["idurl"]
            else None
        ),
        60.0,
    )
    assert found["global_id"] == own[1]
    rows = customer.get("/user/observe/v1", nickname="little john", attempts=1)
    assert [row["global_id"] for row in rows] == own[:1]
    assert customer.get("/user/search/v1", nickname="nobody at all")["result"] == "not exist"
