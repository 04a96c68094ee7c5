"""S3: a message to a person, with nobody listening there and with somebody listening."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bitdust.cli.testnet import SUPPLIER, Testnet
from bitdust.cli.testnet_api import NodeApi


def rows(api: NodeApi, person: str) -> list[dict[str, Any]]:
    found = api.get("/message/history/v1", id=person, message_type="private_message") or []
    return [row["doc"] for row in found]


def conversations(api: NodeApi) -> dict[str, dict[str, Any]]:
    found = api.get("/message/conversation/v1", message_types="private_message") or []
    return {row["conversation_id"]: row for row in found}


def test_s03_a_private_message(network: Testnet, eventually: Callable[..., Any]) -> None:
    alice, bob = network.member(f"{SUPPLIER}-1"), network.member(f"{SUPPLIER}-2")
    ends = ((alice, bob.global_id), (bob, alice.global_id))
    before = {member.name: conversations(member.api) for member, _ in ends}
    for member, other in ends:
        assert rows(member.api, other) == []

    first = alice.api.post(
        "/message/send/v1", id=bob.global_id, data={"message": "nobody is listening"}
    )
    assert first["consumed"] is False
    # the first poll under a name begins to listen
    listen = {"consumer_callback_id": "scenario", "message_types": "private_message"}
    assert bob.api.get("/message/receive/v1", **listen, polling_timeout=0) == []
    with ThreadPoolExecutor(max_workers=1) as pool:
        poll = pool.submit(bob.api.get, "/message/receive/v1", **listen, polling_timeout=60)
        second = alice.api.post("/message/send/v1", id=bob.global_id, data={"random_message": "7"})
        assert second["consumed"] is True
        [got] = poll.result(60.0)
    assert {name: got["data"][name] for name in got["data"] if name != "action"} == {
        "msg_type": "private_message",
        "random_message": "7",
    }
    assert (got["sender"], got["recipient"]) == (alice.global_id, bob.global_id)
    assert (got["dir"], got["message_id"]) == ("incoming", second["message_id"])

    for member, other in ends:
        eventually(lambda member=member, other=other: len(rows(member.api, other)) == 2, 30.0)
        shown = rows(member.api, other)
        assert {row["direction"] for row in shown} == {"out" if member is alice else "in"}
        assert {row["sender"]["glob_id"] for row in shown} == {alice.global_id}
        after = conversations(member.api)
        [added] = after.keys() - before[member.name].keys()
        assert {row["conversation_id"] for row in shown} == {added}
        assert after[added]["events"] == 2
        assert after[added]["last_message_id"] == second["message_id"]
