"""Ports of test networks: never given twice, not even to two networks that choose at one time."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from bitdust.cli.testnet_ports import LOOPBACK, Ports


def test_ports_are_held_against_other_choosers_but_not_against_a_daemon() -> None:
    with Ports() as ports:
        port = ports.take()
        with socket.socket() as stranger:
            try:
                stranger.bind((LOOPBACK, port))
                bound = True
            except OSError:
                bound = False
        assert not bound
        with (
            socket.create_server((LOOPBACK, port)) as server,
            socket.create_connection((LOOPBACK, port)) as client,
        ):
            accepted, _ = server.accept()
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"
            accepted.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dht:
            dht.bind((LOOPBACK, port))


def test_networks_that_choose_at_one_time_get_different_ports() -> None:
    networks = [Ports() for _ in range(8)]
    try:
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda each: [each.take() for _ in range(50)], networks))
    finally:
        for network in networks:
            network.close()
    every = [port for some in taken for port in some]
    assert len(every) == len(set(every)) == 400


def test_ports_are_free_again_afterwards() -> None:
    with Ports() as ports:
        port = ports.take()
    with socket.socket() as stranger:
        stranger.bind((LOOPBACK, port))


def test_a_port_used_by_udp_only_is_not_chosen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dht, Ports() as ports:
        dht.bind((LOOPBACK, 0))
        assert dht.getsockname()[1] not in [ports.take() for _ in range(20)]
