"""Fair, bounded work: the turns of each customer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bitdust.errors import Busy


class Turns:
    """Lets only so many works run at once, over all and for each customer.

    Args:
        total: works running at once over all customers.
        each: works of one customer running at once.
        waiting: works of one customer that may wait for their turn.
    """

    def __init__(self, total: int, each: int, waiting: int) -> None:
        self._slots = asyncio.Semaphore(total)
        self._each = each
        self._most = each + waiting
        self._turns: dict[bytes, asyncio.Semaphore] = {}
        self._present: dict[bytes, int] = {}

    @contextlib.asynccontextmanager
    async def turn(self, customer: bytes) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            Busy: too many of this customer wait already.
        """
        present = self._present.get(customer, 0)
        if present >= self._most:
            raise Busy("too many transfers of one customer at once")
        turn = self._turns.setdefault(customer, asyncio.Semaphore(self._each))
        self._present[customer] = present + 1
        try:
            async with turn, self._slots:
                yield
        finally:
            self._present[customer] -= 1
            if not self._present[customer]:
                del self._present[customer]
                del self._turns[customer]
