"""S5: people whose identities lie with different servers reach each other, each with each.

In the original they live behind different proxy routers. There are none here: nodes connect to
each other directly, so what is left of the scenario is the pings.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Testnet

pytestmark = pytest.mark.slow


def test_s05_everybody_reaches_everybody(crowd: Testnet) -> None:
    members = [member for member in crowd.members if member.role in (CUSTOMER, SUPPLIER)]
    # all begin with the server that the settings name first
    crowd.api(f"{CUSTOMER}-3").result("PUT", "/identity/rotate/v1")
    crowd.api(f"{SUPPLIER}-4").result("PUT", "/identity/rotate/v1")
    now = {member.name: member.api.get("/identity/get/v1")["global_id"] for member in members}
    assert len({name.partition("@")[2] for name in now.values()}) > 1, "more than one server"
    for one, other in permutations(members, 2):
        answer = one.api.get("/user/ping/v1", id=now[other.name], timeout=30)
        assert answer["seconds"] < 30.0, (one.name, other.name)
