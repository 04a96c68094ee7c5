"""S25: a group outlives its owner's leaving; who comes late reads everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet

pytestmark = pytest.mark.slow

ALICE, BOB, CAROL = (f"{CUSTOMER}-{number}" for number in (1, 2, 3))


def test_s25_a_group_and_its_history(
    crowd: Testnet, begin_group: Callable[[str], Any], eventually: Callable[..., Any]
) -> None:
    alice = crowd.api(ALICE)

    def talks(who: str) -> set[str]:
        rows = crowd.api(who).get("/message/conversation/v1", message_types="group_message")
        return {row["key_id"] for row in rows or []}

    group = begin_group(ALICE)
    fresh = group.info(ALICE)
    assert fresh["state"] == "DISCONNECTED"
    assert (fresh["last_sequence_id"], fresh["label"]) == (-1, "scenario")
    assert group.key_id in [row["key_id"] for row in alice.get("/key/list/v1")]
    group.join(ALICE)
    group.invite(ALICE, BOB)
    group.join(BOB)

    said = ["first, by the owner", "second, by the other", "third, by the owner"]
    for who, text in zip((ALICE, BOB, ALICE), said, strict=True):
        before = len(group.texts(who))
        group.say(who, text)
        for member in (ALICE, BOB):
            group.arrives(member, said[: before + 1])
    assert group.key_id in talks(ALICE) & talks(BOB)
    assert group.info(ALICE)["last_sequence_id"] >= 2

    # the owner leaves; the other one invites a third, who reads all that was said
    group.leave(ALICE)
    assert group.info(ALICE)["state"] != "CONNECTED"
    group.invite(BOB, CAROL)
    group.join(CAROL)
    group.arrives(CAROL, said)
    more = ["fourth, by the newcomer", "fifth, by the other"]
    group.say(CAROL, more[0])
    group.arrives(BOB, [*said, more[0]])
    group.say(BOB, more[1])
    for member in (BOB, CAROL):
        group.arrives(member, said + more)
    assert group.texts(ALICE) == said, "who left is told nothing"

    for member in (BOB, CAROL):
        assert group.queues(member)
        group.leave(member)
        eventually(lambda member=member: not group.queues(member), 30.0)
        assert group.info(member)["last_sequence_id"] > 0
