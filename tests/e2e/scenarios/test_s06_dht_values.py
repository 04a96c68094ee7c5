"""S6: values of the DHT: missing, written here and read everywhere, written by two people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitdust.cli.testnet import SUPPLIER, Testnet
from bitdust.cli.testnet_api import NodeApi


def test_s06_values_are_read_by_all(
    network: Testnet, customer: NodeApi, eventually: Callable[..., Any]
) -> None:
    others = [network.api(f"{SUPPLIER}-{number}") for number in (1, 2, 3)]
    missing = customer.get("/dht/value/get/v1", key="no-such-key")
    assert missing["read"] == "failed"
    assert missing["closest_nodes"]
    assert "value" not in missing

    mine = {"text": "A-B-C-D", "number": 7}
    written = customer.post("/dht/value/set/v1", key="s6-one-writer", value=mine)
    assert written["write"] == "success"
    assert written["closest_nodes"]

    def read(api: NodeApi, key: str) -> Any:
        return api.get("/dht/value/get/v1", key=key).get("value")

    for api in (customer, *others):
        eventually(lambda api=api: read(api, "s6-one-writer") == mine, 30.0)

    values = [{"writer": number} for number in (1, 2)]
    for api, value in zip(others, values, strict=False):
        assert api.post("/dht/value/set/v1", key="s6-two", value=value)["write"] == "success"
    for api in (customer, *others):
        assert eventually(lambda api=api: read(api, "s6-two"), 30.0) in values
