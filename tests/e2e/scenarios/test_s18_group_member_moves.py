"""S18: a member of a group, maker of another, gets a new address; both groups go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet

pytestmark = pytest.mark.slow

ALICE, BOB = f"{CUSTOMER}-1", f"{CUSTOMER}-2"


def test_s18_a_member_moves(
    crowd: Testnet, begin_group: Callable[[str], Any], eventually: Callable[..., Any]
) -> None:
    others, own = begin_group(ALICE), begin_group(BOB)
    for group, maker, guest in ((others, ALICE, BOB), (own, BOB, ALICE)):
        group.join(maker)
        group.invite(maker, guest)
        group.join(guest)
    for number in range(3):
        others.say(ALICE, f"a{number}")
        others.say(BOB, f"b{number}")
        own.say(BOB, f"o{number}")
    for member in (ALICE, BOB):
        eventually(lambda member=member: len(others.texts(member)) == 6, 60.0)
        eventually(lambda member=member: len(own.texts(member)) == 3, 60.0)
    before = crowd.api(BOB).get("/identity/get/v1")["global_id"]
    queue = own.info(BOB)["active_queue_id"]
    new = crowd.api(BOB).result("PUT", "/identity/rotate/v1")["global_id"]
    assert new != before

    def renamed(who: str) -> bool:
        listed = crowd.api(who).get("/group/list/v1") or []
        return f"{own.key_id.partition('$')[0]}${new}" in [row["group_key_id"] for row in listed]

    for member in (BOB, ALICE):
        eventually(lambda member=member: renamed(member), 90.0)
    own.key_id = f"{own.key_id.partition('$')[0]}${new}"
    for group in (others, own):
        for member in (BOB, ALICE):
            group.connected(member)
    assert own.info(BOB)["active_queue_id"] != queue

    def told(who: str) -> bool:
        """Nobody is known by the old name any more, and the mover by the new one."""
        consumers = {
            row["consumer_id"] for row in crowd.api(who).get("/queue/consumer/list/v1") or []
        }
        return before not in consumers and new in consumers

    for member in (BOB, ALICE):
        eventually(lambda member=member: told(member), 90.0)
    for number in range(3):
        others.say(BOB if number else ALICE, f"after {number}")
        own.say(ALICE if number else BOB, f"after {number}")
    for member in (ALICE, BOB):
        eventually(lambda member=member: len(others.texts(member)) == 9, 60.0)
        eventually(lambda member=member: len(own.texts(member)) == 6, 60.0)
    assert others.texts(ALICE) == others.texts(BOB)
    assert own.texts(ALICE) == own.texts(BOB)
