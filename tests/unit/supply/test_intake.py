"""Gathering the pieces of a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bitdust.errors import IntegrityError
from bitdust.supply.intake import Intake


async def _pieces(*sizes: int) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        yield bytes((at + i) % 251 for i in range(size))
        at += size


@pytest.mark.parametrize("room", [1, 3, 10, 64, 100])
async def test_pieces_of_any_size_fill_memories_of_any_size(room: int) -> None:
    intake = Intake(_pieces(1, 0, 7, 64, 13, 3), 1.0)
    memory = memoryview(bytearray(room))
    whole = b""
    while True:
        count = await intake.fill(memory)
        whole += memory[:count]
        if count < room:
            break
    assert whole == bytes(i % 251 for i in range(88))
    assert await intake.fill(memory) == 0


async def test_slow_pieces_are_fine_and_a_stop_is_not() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.08)
            yield b"x"
        await asyncio.Event().wait()

    intake = Intake(body(), 0.2)
    assert await intake.fill(memoryview(bytearray(6))) == 6
    with pytest.raises(IntegrityError, match="stopped flowing"):
        await intake.fill(memoryview(bytearray(1)))
