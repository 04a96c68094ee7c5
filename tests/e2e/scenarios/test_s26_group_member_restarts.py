"""S26: a member's machine is stopped and started, and is in the group again by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet

pytestmark = pytest.mark.slow

ALICE, BOB, CAROL = (f"{CUSTOMER}-{number}" for number in (1, 2, 3))


def test_s26_a_member_comes_back_by_itself(
    crowd: Testnet, begin_group: Callable[[str], Any]
) -> None:
    group = begin_group(ALICE)
    group.join(ALICE)
    for guest in (BOB, CAROL):
        group.invite(ALICE, guest)
        group.join(guest)
    group.say(ALICE, "before")
    group.arrives(CAROL, ["before"])
    crowd.halt(CAROL)
    group.say(BOB, "while away")
    crowd.resume(CAROL)
    group.connected(CAROL)
    said = ["before", "while away"]
    group.arrives(CAROL, said)
    for who in (CAROL, ALICE):
        group.say(who, f"after, by {who}")
        said.append(f"after, by {who}")
        for member in (ALICE, BOB, CAROL):
            group.arrives(member, said)
