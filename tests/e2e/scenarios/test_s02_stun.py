"""S2: two nodes with different addresses learn, each its own, from other nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet
from bitdust.errors import NetworkError

pytestmark = pytest.mark.slow

ELSEWHERE = "127.0.0.2"


def test_s02_each_learns_its_own_address(spares: Testnet, eventually: Callable[..., Any]) -> None:
    host = {"services/tcp-connections/host": ELSEWHERE}
    far = spares.add("far", CUSTOMER, settings=host)
    near = spares.member("supplier-1")

    def answer(name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = spares.api(name).get("/network/stun/v1")
        except NetworkError:
            return None  # the DHT does not know yet who tells addresses
        return found

    try:
        for member, address in ((near, "127.0.0.1"), (far, ELSEWHERE)):
            found = eventually(lambda member=member: answer(member.name), 60.0)
            assert found["result"] == "stun-success"
            assert found["ip"] == address
            assert found["type"] in ("open", "unknown"), "there is no translation on the way"
            assert found["details"]
            assert {row["ip"] for row in found["details"]} == {address}
    finally:
        spares.remove("far")
