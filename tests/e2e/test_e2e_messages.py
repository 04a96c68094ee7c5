"""Two people in two processes write to each other, go away and come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bitdust.cli.testnet import Member, Plan, Testnet

Eventually = Callable[..., Any]

pytestmark = [pytest.mark.xdist_group("messages"), pytest.mark.slow]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("messages")
    with Testnet(folder, Plan(suppliers=3, customers=2, key_size=1024)) as network:
        yield network


def people(net: Testnet) -> tuple[Member, Member]:
    return net.member("customer-1"), net.member("customer-2")


def say(sender: Member, to: Member, text: str, **more: Any) -> dict[str, Any]:
    data = {"message": text}
    sent: dict[str, Any] = sender.api.post(
        "/message/send/v1", recipient_id=to.global_id, data=data, **more
    )
    return sent


def listen(member: Member, timeout: float = 0) -> list[dict[str, Any]]:
    found = member.api.get("/message/receive/tester/v1", polling_timeout=timeout)
    return list(found or [])


def texts(member: Member, way: str = "in") -> list[str]:
    rows = member.api.get("/message/history/v1", limit=1000) or []
    docs = [row["doc"] for row in rows]
    return [d["payload"]["data"]["message"] for d in docs if d["direction"] == way]


def test_a_private_message_is_consumed_by_who_listens(net: Testnet) -> None:
    """S3 of the original's regression scenarios."""
    alice, bob = people(net)
    for one in (alice, bob):
        assert not one.api.get("/message/conversation/v1")
        assert not one.api.get("/message/history/v1")
    assert say(alice, bob, "nobody listens")["consumed"] is False
    listen(bob)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(listen, bob, 30)
        sent = say(alice, bob, "somebody listens")
        assert sent["consumed"] is True
        assert sent["state"] == "delivered"
        (got,) = waiting.result()
    data = {k: v for k, v in got["data"].items() if k not in ("msg_type", "action")}
    assert data == {"message": "somebody listens"}
    assert (got["sender"], got["recipient"]) == (alice.global_id, bob.global_id)
    assert got["message_id"] == sent["message_id"]
    for one in (alice, bob):
        assert len(one.api.get("/message/conversation/v1")) == 1
        assert len(one.api.get("/message/history/v1")) == 2


def test_a_receiver_that_is_killed_gets_everything_on_return(
    net: Testnet, eventually: Eventually
) -> None:
    alice, bob = people(net)
    before = len(texts(bob))
    say(alice, bob, "before the kill")
    net.kill(bob.name)
    for number in range(3):
        sent = say(alice, bob, f"while away {number}", ping_timeout=5, message_ack_timeout=1)
        assert sent["state"] == "waiting"
    net.resume(bob.name)
    wanted = ["before the kill", *(f"while away {number}" for number in range(3))]
    eventually(lambda: texts(bob)[before:] == wanted, 60.0)
    eventually(
        lambda: (
            {
                row["doc"]["state"]
                for row in alice.api.get("/message/history/v1")
                if row["doc"]["direction"] == "out"
            }
            == {"delivered"}
        )
    )


def test_messages_wait_at_suppliers_when_both_go_away(net: Testnet, eventually: Eventually) -> None:
    alice, bob = people(net)
    before = len(texts(bob))
    net.kill(bob.name)
    began = time.monotonic()
    for number in range(3):
        say(alice, bob, f"letter {number}", ping_timeout=10)
    assert time.monotonic() - began < 60
    net.kill(alice.name)
    net.resume(bob.name)
    eventually(lambda: texts(bob)[before:] == [f"letter {number}" for number in range(3)], 60.0)
    net.resume(alice.name)
    eventually(
        lambda: (
            {
                row["doc"]["state"]
                for row in alice.api.get("/message/history/v1")
                if row["doc"]["direction"] == "out"
            }
            == {"delivered"}
        )
    )
    assert say(bob, alice, "thank you")["state"] == "delivered"


def test_bad_calls_are_told_plainly(net: Testnet) -> None:
    alice, bob = people(net)
    for body, text in (
        ({"recipient_id": alice.global_id, "data": {}}, "your own address"),
        ({"recipient_id": "nobody@127.0.0.1_1", "data": {}}, ""),
        ({"recipient_id": bob.global_id, "data": {"message": "x" * 70_000}}, "65536"),
        ({"recipient_id": bob.global_id, "data": [1]}, "JSON object"),
    ):
        envelope = alice.api.call("POST", "/message/send/v1", body)
        assert envelope["status"] == "ERROR"
        assert text in " ".join(envelope["errors"])
