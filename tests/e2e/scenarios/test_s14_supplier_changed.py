"""S14 and S15: a supplier is replaced by anybody, or by a certain one; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import SUPPLIER, Member, Testnet
from bitdust.cli.testnet_api import NodeApi

pytestmark = pytest.mark.slow

Upload = Callable[[NodeApi, Path, str], dict[str, Any]]
Download = Callable[[NodeApi, str], bytes]


class Stored:
    """A customer with a file of its own and one in a share."""

    def __init__(self, member: Member, upload: Upload, own: Path, shared: Path) -> None:
        self.api = member.api
        self._bytes = {"own/cat": own.read_bytes()}
        upload(self.api, own, "own/cat")
        share = self.api.post("/share/create/v1", label="cats")["key_id"]
        self.api.result("PUT", "/share/open/v1", {"key_id": share})
        self._bytes[f"{share}:cat"] = shared.read_bytes()
        upload(self.api, shared, f"{share}:cat")

    def suppliers(self) -> list[str]:
        return [row["idurl"] for row in self.api.get("/supplier/list/v1")]

    def comes_back(self, reliable: Callable[[NodeApi, str], None], download: Download) -> bool:
        for remote, expected in self._bytes.items():
            reliable(self.api, remote)
            if download(self.api, remote) != expected:
                return False
        return True


@pytest.fixture
def stored(
    hire: Callable[[str], Member],
    upload: Upload,
    random_file: Callable[[str, int], Path],
    request: pytest.FixtureRequest,
) -> Stored:
    name = f"changes-{request.node.name[5:8]}"
    return Stored(hire(name), upload, random_file("own", 900_000), random_file("shared", 400_000))


def test_s14_a_supplier_is_replaced_by_somebody(
    spares: Testnet,
    stored: Stored,
    reliable: Callable[[NodeApi, str], None],
    download: Download,
    eventually: Callable[..., Any],
) -> None:
    before = stored.suppliers()
    assert stored.comes_back(reliable, download)
    stored.api.post("/supplier/change/v1", position=0)
    after = stored.suppliers()
    assert len(after) == 2
    assert after[0] not in before
    assert after[1] == before[1]
    assert stored.comes_back(reliable, download)
    # the former one is dismissed once the new one has everything, and then that alone is enough
    who = {member.idurl: member for member in spares.members}
    own = stored.api.get("/identity/get/v1")["idurl"]

    def dismissed() -> bool:
        rows = who[before[0]].api.get("/customer/list/v1") or []
        return own not in [row["idurl"] for row in rows]

    eventually(dismissed, 90.0)
    gone = who[after[1]]
    spares.kill(gone.name)
    try:
        assert stored.comes_back(lambda api, remote: None, download)
    finally:
        spares.resume(gone.name)

    def published() -> dict[str, Any] | None:
        found = stored.api.call("GET", "/supplier/list/dht/v1").get("result")
        return found if found and found["suppliers"] == after else None

    record = eventually(published, 60.0)
    assert record["ecc_map"] == "ecc/2x2"


def test_s15_a_supplier_is_replaced_by_a_certain_one(
    spares: Testnet, stored: Stored, reliable: Callable[[NodeApi, str], None], download: Download
) -> None:
    before = stored.suppliers()
    others = [spares.member(f"{SUPPLIER}-{number}") for number in range(1, 6)]
    chosen = next(member for member in others if member.idurl not in before)
    stored.api.result(
        "PUT", "/supplier/switch/v1", {"position": 1, "new_global_id": chosen.global_id}
    )
    assert stored.suppliers() == [before[0], chosen.idurl]
    assert stored.comes_back(reliable, download)
    # a place that does not exist, and one who has a place already
    for wrong in ({"position": 2}, {"position": 0, "new_global_id": chosen.global_id}):
        answer = stored.api.call("PUT", "/supplier/switch/v1", wrong)
        assert answer["status"] == "ERROR"
        assert stored.suppliers() == [before[0], chosen.idurl]
