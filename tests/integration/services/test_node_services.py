"""Services of whole nodes, switched through the API, under virtual time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.ids import RemotePath
from bitdust.node import Node
from bitdust.testing import Grid, run_virtual

REGISTRY = build_registry()


async def answer(node: Node, method: str, **arguments: Any) -> dict[str, Any]:
    return await dispatch(node, REGISTRY.named(method), arguments)


async def ask(node: Node, method: str, **arguments: Any) -> Any:
    envelope = await answer(node, method, **arguments)
    assert envelope["status"] == "OK", envelope
    return envelope.get("result")


def states(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["name"].removeprefix("service_"): row["state"] for row in rows}


async def store(node: Node, path: Path, name: str) -> dict[str, Any]:
    remote = RemotePath.parse(f"master${node.global_id}:{name}")
    result: dict[str, Any] = await node.require_storage().file_upload_start(
        str(path), remote, wait_result=True
    )
    return result


async def fetch(node: Node, name: str, folder: Path) -> bytes:
    remote = RemotePath.parse(f"master${node.global_id}:{name}")
    await node.require_storage().file_download_start(remote, str(folder), wait_result=True)
    return (folder / name).read_bytes()


def test_everything_runs_that_should(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(4):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice")
            found = states(await ask(alice, "services_list"))
            off = {name for name, state in found.items() if state != "ON"}
            assert found["ip_port_responder"] == "NOT_INSTALLED"  # no UDP in this world
            assert off == {
                "supplier",
                "joint_postman",
                "identity_server",
                "ip_port_responder",
                "web_socket_router",
            }
            assert states(await ask(grid.nodes["s0"], "services_list"))["my_data"] == "DEPENDS_OFF"
            for name in found.keys() - off:
                assert await ask(alice, "service_health", service_name=name) is True, name
            assert await ask(alice, "service_health", service_name="supplier") is False
            detailed = await ask(alice, "services_list", with_configs=True)
            customer = next(row for row in detailed if row["name"] == "service_customer")
            assert "services/customer/needed-space" in [row["key"] for row in customer["configs"]]
            info = await ask(alice, "service_info", service_name="entangled-dht")
            assert "service_my_data" in info["dependents"]

    run_virtual(scenario())


def test_without_an_identity(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            node = await grid.start("nobody")
            found = states(await ask(node, "services_list"))
            on = {name for name, state in found.items() if state == "ON"}
            always = {"network", "tcp_connections", "entangled_dht", "web_socket_communicator"}
            assert on == always
            refused = await answer(node, "service_start", service_name="supplier")
            assert refused["code"] == "service_off"
            assert "no identity" in refused["errors"][0]
            wrong = await answer(node, "service_info", service_name="service_privat_groups")
            assert wrong["code"] == "not_found"

    run_virtual(scenario())


def test_a_supplier_is_switched_off_and_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            (tmp_path / "file").write_bytes(os.urandom(100_000))
            await store(alice, tmp_path / "file", "file")
            heard = alice.events.subscribe()
            supplier = grid.nodes["s0"]
            events = supplier.events.subscribe()
            stopped = await ask(supplier, "service_stop", service_name="service_supplier")
            assert (stopped["state"], stopped["enabled"]) == ("OFF", False)
            assert supplier.supplier is None
            assert supplier.settings.get_bool("services/supplier/enabled") is False
            told = [(event.event_id, event.data.get("name")) for event in await events.collect()]
            assert told == [
                ("service-stopped", "service_joint_postman"),
                ("service-stopped", "service_supplier"),
            ]
            refused = await answer(supplier, "customers_list")
            assert refused["code"] == "service_off"
            assert "bitdust service start service_supplier" in refused["hint"]

            rows = await ask(alice, "suppliers_ping")
            assert sorted(row["answered"] for row in rows) == [False, True]
            # half of the suppliers are enough
            assert await fetch(alice, "file", tmp_path / "one") == (tmp_path / "file").read_bytes()

            started = await ask(supplier, "service_start", service_name="supplier")
            assert started["state"] == "ON"
            rows = await ask(alice, "suppliers_ping")
            assert [row["answered"] for row in rows] == [True, True]
            alice.events.unsubscribe(heard)

    run_virtual(scenario())


@pytest.mark.parametrize("service", ["network", "entangled_dht", "customer", "backup_db"])
def test_a_restart_of_what_everything_stands_on(tmp_path: Path, service: str) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(4):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice")
            (tmp_path / "file").write_bytes(os.urandom(200_000))
            await store(alice, tmp_path / "file", "file")
            hired = alice.require_customer().positions()
            callbacks = len(alice.events._callbacks)
            for _ in range(3):
                result = await ask(alice, "service_restart", service_name=service, wait_timeout=60)
                assert result == [{"stopped": True}, {"started": True}]
            assert len(alice.events._callbacks) == callbacks, "old services still listen"
            await alice.require_customer().wait_ready(120.0)
            assert alice.require_customer().positions() == hired
            got = await fetch(alice, "file", tmp_path / "back")
            assert got == (tmp_path / "file").read_bytes()
            # and a supplier that restarts keeps what it promised
            theirs = service if service in ("network", "entangled_dht") else "supplier"
            for name in ("s0", "s1", "s2", "s3"):
                await ask(grid.nodes[name], "service_restart", service_name=theirs)
            await alice.require_customer().wait_ready(300.0)
            result = await store(alice, tmp_path / "file", "again")
            assert result["state"] == "stored"

    run_virtual(scenario())


def test_settings_switch_services_live(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            await ask(alice, "config_set", key="services/entangled-dht/enabled", value="false")
            await grid.until(lambda: alice.dht is None)
            await grid.until(lambda: not alice.services.is_on("nodes_lookup"))
            found = states(await ask(alice, "services_list"))
            assert found["my_data"] == "DEPENDS_OFF"
            assert found["gateway"] == "ON"
            refused = await answer(alice, "files_list")
            assert "service_entangled_dht is not running" in refused["errors"][0]
            await ask(alice, "config_set", key="services/entangled-dht/enabled", value="true")
            await grid.until(lambda: alice.services.is_on("my_data"))
            assert await ask(alice, "files_list") == []

    run_virtual(scenario())


def test_donated_space_is_taken_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            supplier = await grid.supplier("s0")
            key = "services/supplier/donated-space"
            await ask(supplier, "config_set", key=key, value="3 GB")
            assert (await ask(supplier, "space_donated"))["donated"] == 3 * 1024**3

    run_virtual(scenario())


def test_what_is_under_way_is_shown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(4):
                await grid.supplier(f"s{number}")
                grid.network.set_link("alice", f"s{number}", latency=0.01, rate=200_000.0)
            alice = await grid.customer("alice")
            await grid.until(lambda: not alice.traffic.packets())
            assert await ask(alice, "packets_list") == []
            rows = await ask(alice, "transfers_list")
            assert [(row["outgoing"], row["incoming"]) for row in rows] == [([], [])] * 4
            idle = {row["name"]: row["state"] for row in await ask(alice, "automats_list")}
            assert idle["DataSender"] == "READY"
            assert idle["FireHire"] == "READY"
            assert idle["SupplierConnector"] == "CONNECTED"
            assert idle["P2PConnector"] == "CONNECTED"
            assert "Backup" not in idle

            (tmp_path / "file").write_bytes(os.urandom(4_000_000))
            work = asyncio.create_task(store(alice, tmp_path / "file", "file"))
            await grid.until(
                lambda: any(p.command == "fragment.put" for p in alice.traffic.packets())
            )
            rows = await ask(alice, "transfers_list")
            moving = [entry for row in rows for entry in row["outgoing"]]
            assert moving
            assert all(entry["size"] > 0 and entry["filename"] for entry in moving)
            busy = {row["name"]: row for row in await ask(alice, "automats_list")}
            assert busy["DataSender"]["state"] == "SENDING"
            assert "READY" in busy["DataSender"]["past"]
            assert busy["Backup"]["state"] in ("READ", "RAID")
            assert busy["PacketOut"]["timers"].startswith("timeout in")
            packets = await ask(alice, "packets_list")
            put = next(row for row in packets if row["command"] == "fragment.put")
            assert (put["direction"], put["items"][0]["size"]) == ("outgoing", put["size"])
            assert put["target"].endswith(".xml")
            one = await ask(alice, "automat_info", automat_id=busy["Backup"]["id"])
            assert one["index"] == busy["Backup"]["index"]
            await work

            back = asyncio.create_task(fetch(alice, "file", tmp_path / "back"))
            await grid.until(
                lambda: any(p.command == "fragment.get" for p in alice.traffic.packets())
            )
            rows = await ask(alice, "transfers_list")
            assert any(row["incoming"] for row in rows)
            busy = {row["name"]: row for row in await ask(alice, "automats_list")}
            assert busy["RestoreWorker"]["state"] == "RECEIVING"
            await back
            await grid.until(lambda: not alice.traffic.packets())
            gone = await answer(alice, "automat_info", automat_id=busy["RestoreWorker"]["id"])
            assert gone["code"] == "not_found"

    run_virtual(scenario())


def test_what_a_supplier_serves_is_shown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
                grid.network.set_link("alice", f"s{number}", latency=0.01, rate=200_000.0)
            alice = await grid.customer("alice", suppliers=2)
            (tmp_path / "file").write_bytes(os.urandom(2_000_000))
            work = asyncio.create_task(store(alice, tmp_path / "file", "file"))
            supplier = grid.nodes["s0"]
            await grid.until(
                lambda: any(p.command == "fragment.put" for p in supplier.traffic.packets())
            )
            packets = await ask(supplier, "packets_list")
            put = next(row for row in packets if row["command"] == "fragment.put")
            assert put["direction"] == "incoming"
            assert put["global_id"] == str(alice.global_id)
            machines = {row["name"]: row for row in await ask(supplier, "automats_list")}
            assert machines["CustomerAssistant"]["state"] == "CONNECTED"
            assert machines["PacketIn"]["state"] == "RECEIVING"
            refused = await answer(supplier, "transfers_list")
            assert refused["code"] == "service_off"
            await work

    run_virtual(scenario())


def test_listeners_have_queues(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            node = await grid.start("nobody")
            assert await ask(node, "queues_list") == []
            waiting = asyncio.create_task(
                ask(node, "event_listen", consumer_callback_id="hook", polling_timeout=60)
            )
            await asyncio.sleep(0.1)
            assert (await ask(node, "queue_consumers_list"))[0]["state"] == "READ"
            await ask(node, "event_send", event_id="one")
            assert [event["id"] for event in await waiting] == ["one"]
            await ask(node, "event_send", event_id="two")
            assert await ask(node, "queues_list") == [{"queue_id": "event&hook", "messages": 1}]
            (consumer,) = await ask(node, "queue_consumers_list")
            assert (consumer["state"], consumer["consumed"]) == ("READY", 1)
            (producer,) = await ask(node, "queue_producers_list")
            assert producer["queues"] == ["event&hook"]
            assert producer["produced"] == sum(node.events.counts.values())

    run_virtual(scenario())


def test_reconnecting(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
                grid.network.set_link("alice", f"s{number}", latency=0.01, rate=200_000.0)
            alice = await grid.customer("alice", suppliers=2)
            network = alice.require_network()
            (tmp_path / "file").write_bytes(os.urandom(1_000_000))
            work = asyncio.create_task(store(alice, tmp_path / "file", "file"))
            await grid.until(
                lambda: any(p.command == "fragment.put" for p in alice.traffic.packets())
            )
            before = set(network._connections)
            envelope = await answer(alice, "network_reconnect")
            assert envelope["message"] == "reconnected"
            assert envelope["result"] == {"connections": 2}
            assert (await work)["state"] == "stored"
            await alice.require_customer().wait_ready(60.0)
            assert alice.require_network() is network, "no service had to restart"
            await grid.until(lambda: not before & network._connections)
            # the new connection was there before the old one ended
            assert "node-disconnected" not in alice.events.counts

    run_virtual(scenario())


def test_a_new_address_is_told_to_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            before = alice.require_identity().document.contacts
            world = alice.world

            async def moved(settings: object) -> str:
                return "alice-moved"

            monkeypatch.setattr(world, "address", moved)
            await ask(alice, "network_reconnect")
            after = alice.require_identity().document.contacts
            assert before == ("tcp://alice:7771",)
            assert after == ("tcp://alice-moved:7771",)
            await alice.require_customer().wait_ready(60.0)

    run_virtual(scenario())


def test_the_configuration_of_what_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            node = await grid.start(
                "nobody", services__entangled_dht__known_nodes="seed.example:14441, other.example"
            )
            shown = await ask(node, "network_configuration")
            assert shown["name"] == "mainline"
            assert shown["service_entangled_dht"]["known_nodes"] == [
                {"host": "seed.example", "udp_port": 14441},
                {"host": "other.example", "udp_port": 14441},
            ]
            assert "service_supplier" not in shown
            refused = await answer(node, "network_stun")
            assert refused["code"] == "network"
            assert "no node" in refused["errors"][0]

    run_virtual(scenario())


def test_an_injected_event_does_not_steer_the_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            heard = alice.events.subscribe()
            senseless: list[tuple[str, dict[str, Any]]] = [
                ("node-connected", {"node_id": "no hex"}),
                ("node-connected", {}),
                ("node-disconnected", {"node_id": 7}),
                ("supplier-connected", {"event_id": 1, "self": 2}),
                ("key-erased", {}),
            ]
            for event_id, data in senseless:
                await ask(alice, "event_send", event_id=event_id, data=data)
            events = await heard.collect()
            assert [(event.event_id, event.data) for event in events] == senseless

    run_virtual(scenario())


def test_the_process_in_short(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Grid(tmp_path) as grid:
            for number in range(2):
                await grid.supplier(f"s{number}")
            alice = await grid.customer("alice", suppliers=2)
            shown = await ask(alice, "process_info")
            on = [row for row in await ask(alice, "services_list") if row["state"] == "ON"]
            assert shown["service"] == {"active": len(on)}
            assert shown["automats"]["active"] > len(on)
            assert shown["network"]["packets_out_total"] > 0
            assert shown["network"]["protocols"] == ["tcp"]
            assert "layers" in shown["dht"]
            await ask(alice, "service_stop", service_name="keys_registry")
            assert (await ask(alice, "process_info"))["key"] == {"registered": 0}
            nobody = await grid.start("nobody")
            assert "network" not in await ask(nobody, "process_info")

    run_virtual(scenario())
