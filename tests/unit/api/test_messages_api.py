"""Operations of messages, and messages to programs over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from bitdust.client import AsyncClient
from bitdust.errors import InvalidInput
from bitdust.messaging import History, Message

ALICE, BOB = "alice@server-a.com", "bob@server-b.com"
TALK = "private_" + "ab" * 16
GROUP = f"group_95d0$${ALICE}".replace("$$", "$")


def said(number: int, **changes: Any) -> Message:
    given: dict[str, Any] = {
        "message_id": f"m{number}",
        "conversation_id": TALK,
        "msg_type": "private_message",
        "direction": "incoming",
        "sender": BOB,
        "recipient": ALICE,
        "data": {"message": f"hello {number}"},
        "time": float(number),
    }
    return Message(**(given | changes))


@pytest.fixture
async def history(node: Any, tmp_path: Path) -> AsyncIterator[History]:
    history = await History.open(tmp_path / "messages.db", node.pool)
    node.history = history
    node.require_history = lambda: history
    yield history
    await history.close()


RECEIVE = "/message/receive/app/v1?polling_timeout=0"


async def test_a_long_poll_gets_messages_once(http: Any, node: Any, history: History) -> None:
    assert (await http.call("GET", RECEIVE))["result"] == []
    node.message_stream.publish(said(1))
    node.message_stream.publish(said(2, direction="outgoing", sender=ALICE, recipient=BOB))
    envelope = await http.call("GET", RECEIVE)
    assert envelope["result"] == [
        {
            "data": {"message": "hello 1"},
            "recipient": ALICE,
            "sender": BOB,
            "time": 1.0,
            "message_id": "m1",
            "dir": "incoming",
            "type": "private_message",
            "conversation_id": TALK,
        }
    ]
    assert (await http.call("GET", RECEIVE))["result"] == []
    again = await http.call("GET", f"{RECEIVE}&received=m0")
    assert again["result"] == []
    queues = (await http.call("GET", "/queue/consumer/list/v1"))["result"]
    assert {"consumer_id": "app", "queues": ["message&app"], "consumed": 1}.items() <= queues[
        0
    ].items()
    assert (await http.call("GET", "/queue/list/v1"))["result"] == [
        {"queue_id": "message&app", "messages": 0}
    ]
    producers = (await http.call("GET", "/queue/producer/list/v1"))["result"]
    assert [row["produced"] for row in producers if row["producer_id"] == "private_message"] == [2]


async def test_what_a_caller_names_as_its_last_is_what_it_has(
    http: Any, node: Any, history: History
) -> None:
    await http.call("GET", RECEIVE)
    for number in range(3):
        node.message_stream.publish(said(number))
    await http.call("GET", RECEIVE)
    again = (await http.call("GET", f"{RECEIVE}&received=m0"))["result"]
    assert [row["message_id"] for row in again] == ["m1", "m2"]


async def test_calls_that_are_cut_off_lose_nothing(http: Any, node: Any, history: History) -> None:
    """A caller that goes away, noticed or not yet, leaves its messages to the next call."""
    await http.call("GET", RECEIVE)
    for number in range(10):
        _, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
        writer.write(
            f"GET /message/receive/app/v1?polling_timeout=30 HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{http.server.port}\r\napi_secret: {http.secret}\r\n\r\n".encode()
        )
        await writer.drain()
        while not node.message_stream.consumers()[0]["waiting"]:
            await asyncio.sleep(0.001)
        writer.transport.abort()
        if number % 2:  # the server knows already
            while node.message_stream.consumers()[0]["waiting"]:
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0)
        node.message_stream.publish(said(number))
        while node.message_stream.consumers()[0]["waiting"]:
            await asyncio.sleep(0.001)
        while not node.message_stream.consumers()[0]["messages"]:
            await asyncio.sleep(0.001)  # it is given back
        (row,) = (await http.call("GET", RECEIVE))["result"]
        assert row["message_id"] == f"m{number}"


async def test_parameters_that_make_no_sense(http: Any, history: History) -> None:
    for target in (
        "/message/receive/v1",
        f"{RECEIVE}&direction=up",
        f"{RECEIVE}&message_types=gossip",
        "/message/receive/app/v1?polling_timeout=-1",
        "/message/history/v1?limit=0",
        "/message/history/v1?message_type=gossip",
        "/message/history/v1?recipient_id=nobody",
        "/message/search/v1",
    ):
        envelope = await http.call("GET", target)
        assert envelope["status"] == "ERROR", target


async def test_history_conversations_and_search(http: Any, history: History) -> None:
    await history.add(said(1))
    await history.add(said(2, direction="outgoing", sender=ALICE, recipient=BOB, state="waiting"))
    await history.add(
        said(3, conversation_id=GROUP, msg_type="group_message", recipient=GROUP, sequence=5)
    )
    rows = (await http.call("GET", "/message/history/v1"))["result"]
    assert [row["doc"]["direction"] for row in rows] == ["in", "out", "in"]
    assert rows[1]["doc"] == {
        "conversation_id": TALK,
        "direction": "out",
        "payload": {
            "data": {"message": "hello 2"},
            "message_id": "m2",
            "msg_type": "private_message",
            "time": 2.0,
        },
        "sender": {"glob_id": ALICE},
        "recipient": {"glob_id": BOB},
        "state": "waiting",
    }
    group = (await http.call("GET", f"/message/history/v1?recipient_id={GROUP}"))["result"]
    assert [row["doc"]["sequence"] for row in group] == [5]
    talk = (await http.call("GET", f"/message/history/v1?id={TALK}&limit=1"))["result"]
    assert [row["doc"]["payload"]["message_id"] for row in talk] == ["m2"]
    found = (await http.call("GET", "/message/search/v1?text=hello+3"))["result"]
    assert [row["doc"]["payload"]["message_id"] for row in found] == ["m3"]
    talks = (await http.call("GET", "/message/conversation/v1"))["result"]
    assert [row["key_id"] for row in talks] == [GROUP, f"master${BOB}"]
    assert talks[1]["state"] == "OFFLINE"
    assert talks[1]["events"] == 2


async def rpc(http: Any, method: str, *params: Any, **named: Any) -> Any:
    given = {"jsonrpc": "2.0", "id": 1, "method": method, "params": named or params}
    body = json.dumps(given).encode()
    answer = await http.call("POST", "/rpc", body)
    assert "result" in answer, answer
    return answer["result"]


async def test_older_names(http: Any, node: Any, history: History) -> None:
    await history.add(said(1))
    assert (await rpc(http, "message_receive", consumer_id="old", polling_timeout=0))[
        "status"
    ] == "OK"
    every = await rpc(http, "messages_get_all")
    assert every["result"][0]["id"] == "m1"
    assert every["result"][0]["doc"]["payload"]["data"] == {"message": "hello 1"}
    (row,) = (await rpc(http, "list_messages"))["result"]
    assert (row["type"], row["sender"], row["body"]) == ("inbox", BOB, "hello 1")
    assert (await rpc(http, "message_history", BOB))["errors"] == [f"unknown user {BOB}"]
    refused = await rpc(http, "send_message", BOB, "hi")
    assert refused["status"] == "ERROR"


async def test_websocket_clients_get_messages(
    websocket: Any, node: Any, secret: str, history: History
) -> None:
    assert node.message_stream.publish(said(0)) == 0
    address = f"ws://127.0.0.1:{websocket.port}/?api_secret={secret}"
    async with connect(address, compression=None, proxy=None) as connection:
        assert node.message_stream.publish(said(1)) == 1
        async with asyncio.timeout(30):
            pushed = json.loads(await connection.recv())
        assert pushed["type"] == "stream_message"
        assert pushed["payload"]["payload"]["message_id"] == "m1"
        assert pushed["payload"]["sender"] == {"glob_id": BOB}


async def test_the_client_iterates_over_messages(
    websocket: Any, node: Any, history: History
) -> None:
    async with AsyncClient(node.home) as client:
        heard = client.messages()
        everything = client.messages(direction=None, conversation_id=TALK)
        first = asyncio.ensure_future(anext(heard))
        second = asyncio.ensure_future(anext(everything))
        await asyncio.sleep(0)
        node.message_stream.publish(said(1, direction="outgoing", sender=ALICE, recipient=BOB))
        node.message_stream.publish(said(2, conversation_id="private_other"))
        async with asyncio.timeout(30):
            assert (await first)["payload"]["message_id"] == "m2"
            assert (await second)["payload"]["message_id"] == "m1"
        rest = asyncio.ensure_future(anext(heard, None))
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await rest is None


async def test_models_of_conversations_and_messages(
    websocket: Any, node: Any, history: History
) -> None:
    await history.add(said(1))
    changes = node.models.bus.subscribe()
    await node.models.enable("message", send=True)
    await node.models.enable("conversation", send=True)
    told = [event.data for event in await changes.collect()]
    assert [(row["name"], row["id"]) for row in told] == [("message", "m1"), ("conversation", TALK)]
    await history.add(said(2))
    node.message_stream.publish(said(2))
    async with asyncio.timeout(30):
        seen: set[str] = set()
        while not {"m2", TALK} <= seen:
            seen |= {event.data["id"] for event in await changes.collect()}
    await node.models.close()


async def test_the_client_iterates_over_changes_of_a_model(
    websocket: Any, node: Any, history: History
) -> None:
    await history.add(said(1))
    async with AsyncClient(node.home) as client:
        changes = client.changes("message")
        async with asyncio.timeout(30):
            assert (await anext(changes))["id"] == "m1"
            await history.add(said(2))
            node.message_stream.publish(said(2))
            change = await anext(changes)
        assert (change["id"], change["name"]) == ("m2", "message")
        assert change["data"]["payload"]["data"] == said(2).data
        with pytest.raises(InvalidInput):
            await anext(client.changes("nothing"))
        rest = asyncio.ensure_future(anext(changes, None))
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await rest is None
    await node.models.close()
