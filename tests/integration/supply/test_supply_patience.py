"""A customer waits for a supplier that has too much to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bitdust.errors import Busy
from bitdust.supply import messages as m
from bitdust.supply.rules import Rates

Play = Callable[[Callable[[Any], Any]], None]

COUNT = 2 * m.LIST_PAGE + 1


def test_a_long_list_is_read_at_the_pace_the_supplier_allows(play: Play, hash_of: Any) -> None:
    async def scenario(world: Any) -> None:
        supplier, _ = await world.suppliers(2)
        _, customer = await world.customer(n=2)
        await world.until(lambda: customer.ready() == 2)
        client = customer.client
        for number in range(COUNT):
            await client.put(supplier.id, f"d/{number:04}", b"x", 1, hash_of(b"x"))
        # two pages at once, then one in ten seconds
        supplier.supplier._fragments._lists = Rates(0.1, 2.0)
        began = world.clock.monotonic()
        names = [entry.name async for entry in client.list(supplier.id, "d/")]
        assert names == [f"d/{number:04}" for number in range(COUNT)]
        assert world.clock.monotonic() - began > 5.0
        # one that never has time is not waited for without end
        supplier.supplier._fragments._lists = Rates(1e-6, 1.0)
        with pytest.raises(Busy):
            _ = [entry async for entry in client.list(supplier.id, "d/")]

    play(scenario)
