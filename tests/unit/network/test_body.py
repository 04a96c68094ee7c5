"""Reading an inbound body into memory."""

from __future__ import annotations

import asyncio

import pytest

from bitdust.errors import NetworkError
from bitdust.network.body import InboundBody


def _body(size: int = -1) -> tuple[InboundBody, list[int]]:
    consumed: list[int] = []
    return InboundBody(size, consumed.append), consumed


async def test_pieces_are_cut_where_the_memory_ends() -> None:
    body, consumed = _body()
    data = bytes(range(256)) * 100
    body.feed(memoryview(data)[:10_000], ended=False)
    body.feed(data[10_000:10_100], ended=False)
    body.feed(data[10_100:], ended=True)
    first, second = bytearray(10_050), bytearray(20_000)
    assert await body.read_into(memoryview(first)) == 10_050
    assert sum(consumed) == 10_050
    assert await body.read_into(memoryview(second)) == len(data) - 10_050
    assert bytes(first) + bytes(second[: len(data) - 10_050]) == data
    assert body.exhausted
    assert await body.read_into(memoryview(first)) == 0
    assert sum(consumed) == len(data)


async def test_waits_for_what_is_missing() -> None:
    body, _ = _body()
    memory = bytearray(8)
    reading = asyncio.create_task(body.read_into(memoryview(memory)))
    for part in (b"abc", b"de", b"fgh"):
        await asyncio.sleep(0)
        assert not reading.done()
        body.feed(part, ended=False)
    assert await reading == 8
    assert memory == b"abcdefgh"


async def test_a_lost_connection_fails_after_what_came() -> None:
    body, _ = _body()
    body.feed(b"abc", ended=False)
    body.fail(NetworkError("gone"))
    with pytest.raises(NetworkError, match="gone"):
        await body.read_into(memoryview(bytearray(4)))
