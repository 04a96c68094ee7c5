"""S27: the node that orders a group's messages is gone; the next one goes on, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet

pytestmark = pytest.mark.slow

ALICE, BOB, CAROL = (f"{CUSTOMER}-{number}" for number in (1, 2, 3))


def test_s27_the_active_queue_supplier_goes_offline(
    crowd: Testnet, begin_group: Callable[[str], Any], eventually: Callable[..., Any]
) -> None:
    group, other = begin_group(ALICE), begin_group(CAROL)
    group.join(ALICE)
    group.invite(ALICE, BOB)
    group.join(BOB)
    other.join(CAROL)
    for each, member in ((group, ALICE), (other, CAROL)):
        each.whole(member)
    group.say(ALICE, "before")
    other.say(CAROL, "elsewhere")
    group.arrives(BOB, ["before"])
    info = group.info(ALICE)
    gone = crowd.member(info["active_broker_id"])
    assert gone.global_id in info["active_queue_id"]

    crowd.kill(gone.name)
    group.say(ALICE, "after")
    for member in (ALICE, BOB):
        group.arrives(member, ["before", "after"], 90.0)

    def moved() -> bool:
        now = group.info(ALICE)
        return bool(now["active"] and now["active_queue_id"] != info["active_queue_id"])

    eventually(moved, 90.0)
    group.say(BOB, "and back")
    for member in (ALICE, BOB):
        group.arrives(member, ["before", "after", "and back"], 90.0)
    other.connected(CAROL)
    assert other.texts(CAROL) == ["elsewhere"]
    other.say(CAROL, "still here")
    other.arrives(CAROL, ["elsewhere", "still here"], 90.0)
    crowd.resume(gone.name)
    group.connected(ALICE)
    assert group.texts(BOB) == ["before", "after", "and back"]
