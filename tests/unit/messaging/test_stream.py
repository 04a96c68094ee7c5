"""Messages to long polls and listeners: none lost, none twice, bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bitdust.errors import InvalidInput
from bitdust.messaging import Message, MessageStream
from bitdust.messaging.stream import MAX_CONSUMERS, MAX_PENDING


def said(number: int, **changes: Any) -> Message:
    given: dict[str, Any] = {
        "message_id": f"m{number}",
        "conversation_id": "private_1",
        "msg_type": "private_message",
        "direction": "incoming",
        "sender": "bob@example.org",
        "recipient": "alice@example.org",
        "data": {},
        "time": float(number),
    }
    return Message(**(given | changes))


def ids(messages: list[Message]) -> list[str]:
    return [message.message_id for message in messages]


async def test_a_consumer_hears_what_comes_after_its_first_call() -> None:
    stream = MessageStream()
    assert stream.publish(said(0)) == 0
    assert await stream.receive("a", timeout=0) == []
    assert stream.publish(said(1)) == 1
    stream.publish(said(2, direction="outgoing"))
    stream.publish(said(3, msg_type="group_message"))
    assert ids(await stream.receive("a", timeout=0)) == ["m1", "m3"]
    assert await stream.receive("a", timeout=0) == []


async def test_a_waiting_call_wakes_up() -> None:
    stream = MessageStream()
    call = asyncio.create_task(stream.receive("a", timeout=60))
    while not stream.consumers():
        await asyncio.sleep(0)
    assert stream.consumers()[0]["waiting"] == 1
    stream.publish(said(1))
    assert ids(await call) == ["m1"]


async def test_a_cancelled_call_takes_nothing_with_it() -> None:
    stream = MessageStream()
    call = asyncio.create_task(stream.receive("a", timeout=60))
    while not stream.consumers():
        await asyncio.sleep(0)
    call.cancel()
    stream.publish(said(1))
    await asyncio.gather(call, return_exceptions=True)
    assert ids(await stream.receive("a", timeout=0)) == ["m1"]


async def test_an_answer_that_was_not_written_comes_again() -> None:
    stream = MessageStream()
    await stream.receive("a", timeout=0)
    stream.publish(said(1))
    stream.publish(said(2))
    lost = await stream.receive("a", timeout=0)
    stream.publish(said(3))
    lost.give_back()
    lost.give_back()
    assert ids(await stream.receive("a", timeout=0)) == ["m1", "m2", "m3"]
    lost.give_back()
    assert await stream.receive("a", timeout=0) == []


async def test_a_caller_that_names_the_last_it_has_gets_the_rest_again() -> None:
    stream = MessageStream()
    await stream.receive("a", timeout=0)
    for number in range(1, 4):
        stream.publish(said(number))
    await stream.receive("a", timeout=0)
    assert ids(await stream.receive("a", timeout=0, received="m1")) == ["m2", "m3"]
    assert ids(await stream.receive("a", timeout=0, received="m0")) == ["m2", "m3"]
    assert await stream.receive("a", timeout=0, received="m3") == []


async def test_a_consumer_that_does_not_collect_is_dropped_after_100() -> None:
    stream = MessageStream()
    await stream.receive("slow", timeout=0)
    took = [stream.publish(said(number)) for number in range(MAX_PENDING + 2)]
    assert took == [1] * MAX_PENDING + [0, 0]
    assert stream.consumers() == []
    assert await stream.receive("slow", timeout=0) == []


async def test_the_number_of_consumers_is_bounded() -> None:
    stream = MessageStream()
    for number in range(MAX_CONSUMERS + 5):
        await stream.receive(f"c{number}", timeout=0)
    names = [row["consumer_id"] for row in stream.consumers()]
    assert names == [f"c{number}" for number in range(5, MAX_CONSUMERS + 5)]


async def test_listeners_say_whether_somebody_heard() -> None:
    stream = MessageStream()
    heard: list[Message] = []

    def listen(message: Message) -> bool:
        heard.append(message)
        return len(heard) > 1

    off = stream.listen(listen)
    assert stream.publish(said(1)) == 0
    assert stream.publish(said(2)) == 1
    off()
    off()
    assert stream.publish(said(3)) == 0
    assert ids(heard) == ["m1", "m2"]


@pytest.mark.parametrize(
    "given",
    [
        {"consumer_id": ""},
        {"consumer_id": "x" * 200},
        {"consumer_id": "a", "direction": "sideways"},
        {"consumer_id": "a", "message_types": ["gossip"]},
        {"consumer_id": "a", "message_types": []},
    ],
)
async def test_calls_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await MessageStream().receive(timeout=0, **given)
