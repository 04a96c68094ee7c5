"""S11: a friend gets a new address; the talk goes on, under the old name too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Testnet
from bitdust.cli.testnet_api import NodeApi

pytestmark = pytest.mark.slow

ALICE, BOB = f"{CUSTOMER}-1", f"{CUSTOMER}-2"


def test_s11_friends_and_messages_after_a_move(
    crowd: Testnet, eventually: Callable[..., Any]
) -> None:
    alice, bob = crowd.api(ALICE), crowd.api(BOB)
    old = alice.get("/identity/get/v1")
    other = bob.get("/identity/get/v1")
    for api, person in ((alice, other), (bob, old)):
        api.post("/friend/add/v1", trusted_user_id=person["global_id"])

    def rows(api: NodeApi, person: str) -> list[tuple[str, str]]:
        found = api.get("/message/history/v1", id=person, message_type="private_message") or []
        return [(row["doc"]["direction"], row["doc"]["payload"]["data"]["text"]) for row in found]

    def talks(api: NodeApi, person: str) -> set[str]:
        found = api.get("/message/history/v1", id=person, message_type="private_message") or []
        return {row["doc"]["conversation_id"] for row in found}

    def friends() -> list[str]:
        return [row["idurl"] for row in bob.get("/friend/list/v1")]

    assert rows(alice, other["global_id"]) == rows(bob, old["global_id"]) == []
    assert old["idurl"] in friends()
    alice.post("/message/send/v1", id=other["global_id"], data={"text": "before"})
    eventually(lambda: rows(bob, old["global_id"]) == [("in", "before")], 30.0)
    assert rows(alice, other["global_id"]) == [("out", "before")]
    [talk] = talks(bob, old["global_id"])

    new = alice.result("PUT", "/identity/rotate/v1")
    assert new["idurl"] != old["idurl"]
    eventually(lambda: new["idurl"] in friends(), 60.0)
    assert old["idurl"] not in friends()

    # addressed as before
    bob.post("/message/send/v1", id=old["global_id"], data={"text": "to the old name"})
    eventually(
        lambda: rows(alice, other["global_id"]) == [("out", "before"), ("in", "to the old name")],
        60.0,
    )
    alice.post("/message/send/v1", id=other["global_id"], data={"text": "from the new name"})
    expected = [("in", "before"), ("out", "to the old name"), ("in", "from the new name")]
    for name in (old["global_id"], new["global_id"]):
        eventually(lambda name=name: rows(bob, name) == expected, 60.0)
        assert talks(bob, name) == {talk}
    assert len(talks(alice, other["global_id"])) == 1
