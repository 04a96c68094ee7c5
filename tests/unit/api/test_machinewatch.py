"""Changes of state machines, told by events."""

from __future__ import annotations

import asyncio
from typing import Any

from bitdust.api import machinewatch
from bitdust.api.dispatch import dispatch
from bitdust.api.machinewatch import CHANGED, MAX_WATCHED, MachineWatch
from bitdust.api.registry import Registry


async def call(node: Any, registry: Registry, method: str, **raw: Any) -> dict[str, Any]:
    return await dispatch(node, registry.named(method), raw)


async def next_change(subscription: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            for event in await subscription.collect():
                if event.event_id == CHANGED:
                    found: dict[str, Any] = event.data
                    return found


async def test_a_change_is_told_with_what_happened(node: Any, registry: Registry) -> None:
    subscription = node.events.subscribe()
    name = "service_identity_server"
    envelope = await call(node, registry, "automat_events_start", automat_id=name)
    index = envelope["result"]["index"]
    assert envelope["result"]["events"] is True
    rows = (await call(node, registry, "automats_list"))["result"]
    assert [row["id"] for row in rows if row["events"]] == [name]
    await call(node, registry, "service_start", service_name=name)
    change = await next_change(subscription)
    assert change == {
        "index": index,
        "id": name,
        "name": name,
        "oldstate": "OFF",
        "newstate": "ON",
        "event": "service-started",
    }
    row = (await call(node, registry, "automat_info", index=index))["result"]
    assert (row["state"], row["past"][-1]) == ("ON", "OFF")
    envelope = await call(node, registry, "automat_events_stop", index=index)
    assert envelope["result"]["events"] is False
    counted = node.events.counts[CHANGED]
    await call(node, registry, "service_stop", service_name=name)
    await asyncio.sleep(3 * machinewatch.PAUSE)
    assert node.events.counts[CHANGED] == counted
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "state machines"]


async def test_unchanged_states_are_told_when_that_is_wanted(node: Any, registry: Registry) -> None:
    subscription = node.events.subscribe()
    name = "service_supplier"
    await call(node, registry, "automat_events_start", automat_id=name, state_unchanged=True)
    node.events.publish("something")
    change = await next_change(subscription)
    assert change["oldstate"] == change["newstate"]
    assert change["event"] == "something"
    await node.automats.close()


async def test_wrong_machines_and_too_many_are_refused(node: Any, registry: Registry) -> None:
    for method in ("automat_events_start", "automat_events_stop"):
        envelope = await call(node, registry, method)
        assert envelope["errors"] == ["one of mandatory parameters missed: index, automat_id"]
        assert (await call(node, registry, method, index=999))["code"] == "not_found"
    for number in range(MAX_WATCHED):
        row = {"index": number, "id": f"m_{number}", "name": "M", "state": "ON"}
        node.automats.start(row, state_unchanged=False)
    envelope = await call(node, registry, "automat_events_start", automat_id="service_supplier")
    assert envelope["code"] == "invalid_input"
    await node.automats.close()


async def test_a_machine_that_goes_away_and_comes_back(node: Any) -> None:
    rows = [{"index": 4, "id": "tcp_1", "name": "TCPConnection", "state": "CONNECTED"}]
    watch = MachineWatch(node, lambda: rows)
    subscription = node.events.subscribe()
    watch.start(rows[0], state_unchanged=False)
    kept, rows = rows, []
    gone = await next_change(subscription)
    assert (gone["oldstate"], gone["newstate"]) == ("CONNECTED", "CLOSED")
    rows = kept
    assert (await next_change(subscription))["newstate"] == "CONNECTED"
    await watch.close()
