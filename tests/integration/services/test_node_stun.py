"""Nodes on this machine's own network: the STUN service, found through the DHT."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from bitdust.api.dispatch import dispatch
from bitdust.api.registry import build_registry
from bitdust.config import Settings
from bitdust.node import Node


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_two_nodes_tell_each_other_their_address(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    nodes = []
    for number, port in enumerate(ports):
        home = tmp_path / f"node-{number}"
        settings = Settings(home)
        settings.set("services/entangled-dht/private-network", True)
        settings.set("services/entangled-dht/udp-port", port)
        settings.set("services/entangled-dht/known-nodes", f"127.0.0.1:{ports[1 - number]}")
        settings.set("services/udp-datagrams/udp-port", free_port())
        nodes.append(Node(home, serve=False))
    registry = build_registry()
    try:
        for node in nodes:
            await node.start()
            assert node.services.is_on("ip_port_responder"), node.services.reason(
                "ip_port_responder"
            )
        for node in nodes:
            async with asyncio.timeout(60):
                while True:
                    answer = await dispatch(node, registry.named("network_stun"), {})
                    if answer["status"] == "OK":
                        break
                    assert "no node" in answer["errors"][0]
                    await asyncio.sleep(0.1)
            assert answer["result"]["result"] == "stun-success"
            assert (answer["result"]["ip"], answer["result"]["type"]) == ("127.0.0.1", "open")
        asked = nodes[1].stun_port
        assert answer["result"]["details"][0]["server"] == f"127.0.0.1:{nodes[0].stun_port}"
        await dispatch(nodes[1], registry.named("service_stop"), {"service_name": "network"})
        assert nodes[1].stun_port == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", asked))
    finally:
        for node in nodes:
            await node.stop()
