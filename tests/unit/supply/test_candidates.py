"""Looking for candidates: a quick look first, a longer one only when that brings too few."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bitdust.clock import SystemRandom
from bitdust.errors import DhtError
from bitdust.network import Endpoint
from bitdust.supply.hiring import QUICK_LOOK, Hirer

PATIENCE = 2.0
OWN = ("127.0.0.1", 1)


class Directory:
    """A DHT that knows more the longer one looks."""

    network = "test"

    def __init__(self, quick: list[int], slow: list[int]) -> None:
        self._ports = {QUICK_LOOK: quick, PATIENCE: slow}
        self.looks: list[float] = []

    async def peers(self, topic: bytes, timeout: float, want: int) -> list[tuple[str, int]]:
        del topic, want
        self.looks.append(timeout)
        if not self._ports[timeout]:
            raise DhtError("nobody there")
        return [("127.0.0.1", port) for port in self._ports[timeout]]


def hirer(dht: Directory, pool: ThreadPoolExecutor, configured: tuple[Endpoint, ...] = ()) -> Hirer:
    key = SimpleNamespace(public=SimpleNamespace(fingerprint=bytes(32)))
    document = SimpleNamespace(contacts=(f"tcp://{OWN[0]}:{OWN[1]}",))
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    given: tuple[Any, ...] = (None, dht, key, lambda: document, clock, SystemRandom(), pool)
    return Hirer(*cast(Any, given), configured)


@pytest.mark.parametrize(
    ("quick", "slow", "looks", "ports"),
    [
        ([2, 3], [2, 3, 4], [QUICK_LOOK], {2, 3}),
        ([1, 2], [1, 2, 3], [QUICK_LOOK, PATIENCE], {2, 3}),
        ([], [2, 3], [QUICK_LOOK, PATIENCE], {2, 3}),
        ([], [], [QUICK_LOOK, PATIENCE], set()),
    ],
)
async def test_a_longer_look_only_when_the_quick_one_brought_too_few(
    quick: list[int], slow: list[int], looks: list[float], ports: set[int]
) -> None:
    dht = Directory(quick, slow)
    with ThreadPoolExecutor(1) as pool:
        found = await hirer(dht, pool).candidates(2, PATIENCE)
    assert dht.looks == looks
    assert {end.port for end in found} == ports


async def test_enough_addresses_of_the_settings_need_no_look() -> None:
    dht = Directory([4], [4])
    configured = (Endpoint("tcp", "127.0.0.1", 2), Endpoint("tcp", "127.0.0.1", 3))
    with ThreadPoolExecutor(1) as pool:
        assert await hirer(dht, pool, configured).candidates(2, PATIENCE) == list(configured)
        assert dht.looks == []
        found = await hirer(dht, pool, configured).candidates(3, PATIENCE)
    assert found == [*configured, Endpoint("tcp", "127.0.0.1", 4)]
