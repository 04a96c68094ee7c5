"""``bitdust dhtseed``: a process that is nothing but a DHT node, from which a network starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.daemon import holder, seed_in

Bitdust = Callable[..., "subprocess.CompletedProcess[str]"]
Eventually = Callable[..., Any]
DHT = "services/entangled-dht"

pytestmark = pytest.mark.xdist_group("commands")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def home(bitdust: Bitdust, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    home, port = tmp_path / "seed", free_port()
    changes = (f"{DHT}/private-network=true", f"{DHT}/udp-port={port}")
    words = [word for change in changes for word in ("--set", change)]
    assert bitdust("init", "--home", str(home), *words).returncode == 0
    yield home, port
    pid = seed_in(home)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def test_a_network_starts_from_a_seed_alone(
    bitdust: Bitdust, eventually: Eventually, home: tuple[Path, int], tmp_path: Path
) -> None:
    folder, port = home
    started = bitdust("dhtseed", "daemon", "--home", str(folder), "--json")
    assert started.returncode == 0, started.stderr
    pid = json.loads(started.stdout)["result"]["pid"]
    assert holder(folder) == seed_in(folder) == pid

    plan = Plan(
        suppliers=2,
        customers=1,
        key_size=1024,
        settings={f"{DHT}/known-nodes": f"127.0.0.1:{port}"},
    )
    with Testnet(tmp_path / "network", plan) as network:
        customer = network.api(f"{CUSTOMER}-1")
        # the customer found its suppliers through the DHT, which only the seed brought together
        rows = customer.get("/supplier/list/v1")
        assert [row["supplier_state"] for row in rows] == ["CONNECTED"] * 2
        written = customer.post("/dht/value/set/v1", key="k", value={"from": "customer"})
        assert written["write"] == "success"
        supplier = network.api("supplier-1")
        read = supplier.get("/dht/value/get/v1", key="k")
        assert read["value"] == {"from": "customer"}

        # the seed is for starting: without it the network goes on
        stopped = bitdust("stop", "--home", str(folder))
        assert stopped.returncode == 0, stopped.stderr
        assert holder(folder) is None
        eventually(
            lambda: supplier.get("/dht/value/get/v1", key="k").get("value") is not None, 40.0
        )


def test_one_home_one_process(bitdust: Bitdust, home: tuple[Path, int]) -> None:
    folder, port = home
    at = ("--home", str(folder))
    assert bitdust("dhtseed", "daemon", *at).returncode == 0
    for words in (("dhtseed", "daemon"), ("dhtseed",), ("daemon",)):
        again = bitdust(*words, *at)
        assert again.returncode != 0
        assert "already uses" in again.stderr
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert bitdust("stop", *at).returncode == 0
        other.bind(("127.0.0.1", port))
        refused = bitdust("dhtseed", "daemon", *at)
        assert refused.returncode != 0
        assert f"{port} is taken" in refused.stderr
        assert holder(folder) is None
    assert bitdust("dhtseed", "backwards", *at).returncode == 2
    missing = bitdust("stop", *at)
    assert missing.returncode != 0
    assert "no daemon is running" in missing.stderr


def test_in_the_foreground_it_ends_with_ctrl_c(
    eventually: Eventually, home: tuple[Path, int]
) -> None:
    folder, _ = home
    program = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "dhtseed", "--home", str(folder)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        log = folder / "logs" / "bitdust.log"
        eventually(lambda: log.exists() and "DHT seed started" in log.read_text())
        assert seed_in(folder) == process.pid
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30.0)
    assert process.returncode == 0
    assert "DHT seed stopped" in said
    assert holder(folder) is None
    assert not (folder / "metadata" / "mykeyfile").exists()
