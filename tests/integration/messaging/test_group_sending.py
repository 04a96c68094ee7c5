"""What waits for brokers: in memory as far as it fits, else on the disk; in order, once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bitdust.messaging import group_sending
from bitdust.messaging.group_wire import Kind, decode_entry
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

SETTINGS: dict[str, Any] = {
    "services__customer__enabled": False,
    "services__supplier__enabled": False,
}


async def start(grid: Grid, name: str, other: str) -> Node:
    node = await grid.start(name, **SETTINGS, **{f"services__{other}__enabled": False})
    await node.create_identity(name, ["names.test"])
    return node


@pytest.mark.parametrize("kept", [4 << 20, 300], ids=["in memory", "mostly on the disk"])
def test_everything_is_sent_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(group_sending, "MAX_NEXT", kept)

    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(3):
                await start(grid, f"broker-{number}", "private_groups")
            alice = await start(grid, "alice", "message_broker")
            stored = alice.require_keys().create("group_" + "aa" * 16, 1024, label="")
            key_id, groups = str(stored.key_id), alice.require_groups()
            await groups.create(key_id, stored.public.fingerprint, "")
            await groups.join(key_id)

            async def burst(first: int, count: int) -> None:
                sent = [
                    asyncio.create_task(groups.send(key_id, {"n": n}, 120.0))
                    for n in range(first, first + count)
                ]
                assert {message.state for message in await asyncio.gather(*sent)} == {"sent"}

            await burst(0, 1)
            await burst(1, 600)
            await burst(601, 20)
            async with asyncio.timeout(300):
                while True:
                    page = await alice.require_history().page(key_id, limit=1000)
                    places = [m.sequence for m in page if m.sequence is not None]
                    if len(places) == 621:
                        break
                    await grid.clock.sleep(0.1)
            assert [message.data["n"] for message in page] == list(range(621))
            assert places == sorted(set(places))
            broker = next(node.broker for node in grid.nodes.values() if node.broker is not None)
            (stream,) = broker.streams.values()
            entries = [raw for _, raw in stream.log.read(0, 10_000, 1 << 30)]
            kinds = [decode_entry(raw).kind for raw in entries if raw]
            assert kinds.count(Kind.MESSAGE) == 621

    run_virtual(scenario())
