"""Three people in three processes write in a group while its brokers die and members restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bitdust.cli.testnet import Member, Plan, Testnet

Eventually = Callable[..., Any]

pytestmark = [pytest.mark.xdist_group("groups"), pytest.mark.slow]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("groups")
    with Testnet(folder, Plan(suppliers=3, customers=3, key_size=1024)) as network:
        yield network


def info(member: Member, group: str) -> dict[str, Any]:
    found: dict[str, Any] = member.api.get("/group/info/v1", group_key_id=group)
    return found


def say(member: Member, group: str, text: str) -> dict[str, Any]:
    sent: dict[str, Any] = member.api.post(
        "/message/send/group/v1", group_key_id=group, data={"message": text}
    )
    return sent


def texts(member: Member, group: str) -> list[str]:
    rows = member.api.get("/message/history/v1", recipient_id=group, limit=1000) or []
    docs = sorted((row["doc"] for row in rows), key=lambda doc: doc.get("sequence") or 0)
    return [doc["payload"]["data"]["message"] for doc in docs]


def test_three_people_lose_a_broker_and_one_another(net: Testnet, eventually: Eventually) -> None:
    """S25, S26 and S27 of the original's regression scenarios, in one."""
    alice, bob, carol = (net.member(f"customer-{number}") for number in (1, 2, 3))
    suppliers = [member for member in net.members if member.name.startswith("supplier")]
    # the people are brokers of nothing here, so that a broker can be killed without a person
    wanted = ",".join(str(member.api.get("/identity/get/v1")["idurl"]) for member in suppliers)
    alice.api.post("/config/set/v1", key="services/private-groups/preferred-brokers", value=wanted)
    group = alice.api.post("/group/create/v1", label="friends", key_size=1024)["group_key_id"]
    assert info(alice, group)["state"] == "DISCONNECTED"
    assert info(alice, group)["last_sequence_id"] == -1
    joined = alice.api.post("/group/join/v1", group_key_id=group)
    assert (joined["state"], len(joined["brokers"])) == ("CONNECTED", 3)
    alice.api.post("/group/share/v1", group_key_id=group, trusted_user_id=bob.global_id)
    assert bob.api.post("/group/join/v1", group_key_id=group)["state"] == "CONNECTED"
    assert say(alice, group, "one")["state"] == "sent"
    assert say(bob, group, "two")["state"] == "sent"
    for member in (alice, bob):
        eventually(lambda member=member: texts(member, group) == ["one", "two"], 60.0)
    queues = alice.api.get("/queue/stream/list/v1")
    (queue,) = [row for row in queues if row["queue_id"].startswith("group_")]
    assert queue["active"]
    assert sorted(queue["consumers"]) == sorted([alice.global_id, bob.global_id])
    # the owner is gone, and a member invites the next one
    net.halt(alice.name)
    bob.api.post("/group/share/v1", group_key_id=group, trusted_user_id=carol.global_id)
    carol.api.post("/group/join/v1", group_key_id=group)
    eventually(lambda: texts(carol, group) == ["one", "two"], 60.0)
    # the broker that orders is killed
    leading = info(carol, group)["active_broker_id"]
    (victim,) = [member for member in suppliers if member.global_id == leading]
    net.kill(victim.name)
    assert say(carol, group, "three")["state"] == "sent"
    assert say(bob, group, "four")["state"] == "sent"
    net.resume(alice.name)
    everything = ["one", "two", "three", "four"]
    for member in (alice, bob, carol):
        eventually(lambda member=member: texts(member, group) == everything, 60.0)
    eventually(lambda: info(alice, group)["state"] == "CONNECTED", 60.0)
    assert info(alice, group)["active_broker_id"] != leading
    # one is put out
    alice.api.post("/group/remove/v1", group_key_id=group, user_id=carol.global_id)
    assert say(alice, group, "five")["state"] == "sent"
    eventually(lambda: texts(bob, group) == [*everything, "five"], 60.0)
    eventually(lambda: info(carol, group)["state"] == "DISCONNECTED", 60.0)
    assert texts(carol, group) == everything
    net.resume(victim.name)
    bob.api.post("/group/leave/v1", group_key_id=group)
    assert info(bob, group)["state"] == "CLOSED"
