"""Asking many nodes for a sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bitdust.errors import BitdustError
from bitdust.supply import messages as m
from bitdust.supply.ports import NetworkPort
from bitdust.supply.wire import NodeID

CONCURRENT_PINGS = 16


async def ping_all(
    network: NetworkPort, nodes: Iterable[NodeID], method: str, timeout: float
) -> dict[NodeID, m.Pong | None]:
    """Ping nodes side by side.

    Args:
        network: sessions.
        nodes: whom.
        method: ``SUPPLIER_PING`` or ``CUSTOMER_PING``.
        timeout: seconds for each.

    Returns:
        What each answered, None where no proper answer came.
    """
    gate = asyncio.Semaphore(CONCURRENT_PINGS)

    async def ping(node: NodeID) -> m.Pong | None:
        async with gate:
            try:
                response = await network.request(node, method, m.Nothing(), timeout=timeout)
                async with response:
                    return response.decode(m.Pong)
            except BitdustError:
                return None

    asked = list(nodes)
    return dict(zip(asked, await asyncio.gather(*map(ping, asked)), strict=True))
