"""S1: a known nickname is found, an unknown one is not, and it has one holder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitdust.cli.testnet import SUPPLIER, Testnet
from bitdust.cli.testnet_api import NodeApi


def test_s01_a_nickname_is_found(
    network: Testnet, customer: NodeApi, eventually: Callable[..., Any]
) -> None:
    known = network.member(f"{SUPPLIER}-3")
    known.api.post("/nickname/set/v1", nickname="will scarlet")
    found = eventually(
        lambda: (
            row
            if (row := customer.get("/user/search/will%20scarlet/v1"))["result"] == "exist"
            else None
        ),
        60.0,
    )
    assert (found["idurl"], found["global_id"]) == (known.idurl, known.global_id)
    [only] = customer.get("/user/observe/will%20scarlet/v1")
    assert (only["result"], only["idurl"]) == ("exist", known.idurl)
    missing = customer.get("/user/search/maid%20marian/v1")
    assert (missing["result"], missing["nickname"]) == ("not exist", "maid marian")
    assert not missing["idurl"]
    assert not customer.get("/user/observe/maid%20marian/v1", attempts=1)
