from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bitdust.crypto import PrivateKey
from bitdust.testing import MemoryNames


class HandClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def names() -> MemoryNames:
    return MemoryNames()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="session")
def alice_key() -> PrivateKey:
    return PrivateKey.generate(1024)


@pytest.fixture(scope="session")
def mallory_key() -> PrivateKey:
    return PrivateKey.generate(1024)
