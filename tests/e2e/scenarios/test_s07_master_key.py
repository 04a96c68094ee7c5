"""S7: a file under the master key goes up, is reliable in full, and comes back the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitdust.cli.testnet import CUSTOMER, Testnet
from bitdust.cli.testnet_api import NodeApi


def test_s07_a_file_under_the_master_key(
    network: Testnet,
    customer: NodeApi,
    upload: Callable[..., dict[str, Any]],
    download: Callable[[NodeApi, str], bytes],
    reliable: Callable[[NodeApi, str], None],
    random_file: Callable[[str, int], Path],
) -> None:
    source = random_file("cat.jpg", 1_500_000)
    remote = f"master${network.member(f'{CUSTOMER}-1').global_id}:animals/cat.jpg"
    # the original wants it in the catalog first, and nothing there yet
    assert customer.get("/file/exists/v1", remote_path=remote)["exist"] is False
    made = customer.post("/file/create/v1", remote_path=remote)
    assert (made["created"], made["type"]) == (True, "file")
    result = upload(customer, source, remote)
    assert (result["state"], result["acks"]) == ("stored", 4)
    reliable(customer, remote)
    assert download(customer, remote) == source.read_bytes()
    rows = customer.get("/file/list/all/v1")
    assert remote in [row["remote_path"] for row in rows]
