"""One network of processes for all end-to-end tests, whole again before each of them."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bitdust.cli.testnet import CUSTOMER, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi

SUPPLIERS = 4
NETWORK_GROUP = "network"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if "network" in getattr(item, "fixturenames", ()):
                # with --dist loadgroup one worker has all of them, and one network is enough
                item.add_marker(pytest.mark.xdist_group(NETWORK_GROUP))


@pytest.fixture(scope="session")
def running_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("network")
    with Testnet(folder, Plan(suppliers=SUPPLIERS, customers=1, key_size=1024)) as network:
        yield network


@pytest.fixture
def network(running_network: Testnet) -> Testnet:
    """The network with every node up and all suppliers connected, whatever a test did before."""
    for member in running_network.members:
        # those that a test module adds for itself have other names
        if member.name.startswith(member.role) and not member.daemon.alive:
            running_network.resume(member.name)
    # a ping dials at once those that were away for so long that they are dialled rarely
    running_network.api(f"{CUSTOMER}-1").post("/supplier/ping/v1")
    running_network.await_suppliers(f"{CUSTOMER}-1", SUPPLIERS)
    return running_network


@pytest.fixture
def customer(network: Testnet) -> NodeApi:
    """The API of the customer."""
    return network.api(f"{CUSTOMER}-1")


Curl = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def curl() -> Curl:
    """Sends what curl sends for ``curl -X VERB [-d BODY] TARGET``, byte for byte."""

    def send(
        url: str, verb: str, target: str, body: str | None = None, *, secret: str | None = None
    ) -> dict[str, Any]:
        place = urlsplit(url)
        assert place.hostname
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        try:
            connection.putrequest(verb, target, skip_accept_encoding=True)
            connection.putheader("User-Agent", "curl/8.5.0")
            connection.putheader("Accept", "*/*")
            if secret is not None:
                connection.putheader("api_secret", secret)
            data = None if body is None else body.encode()
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
                connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.endheaders(data)
            response = connection.getresponse()
            text = response.read()
            assert response.status == 200, text
            assert response.getheader("Content-Type", "").startswith("application/json")
            envelope = json.loads(text)
        finally:
            connection.close()
        assert isinstance(envelope, dict)
        assert envelope["status"] in ("OK", "ERROR")
        assert float(envelope["execution"]) >= 0
        if envelope["status"] == "ERROR":
            assert envelope["errors"], envelope
            assert all(isinstance(line, str) and line for line in envelope["errors"])
        return envelope

    return send


@pytest.fixture(scope="session")
def bitdust() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line to its end."""

    def run(*words: str, deadline: float = 60.0) -> subprocess.CompletedProcess[str]:
        program = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
            env={**os.environ, "BITDUST_HOME": "/nonexistent/bitdust"},
        )

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Waits until something is so: ``eventually(lambda: condition, 10.0)``; returns its value."""

    def wait(condition: Callable[[], Any], deadline: float = 20.0) -> Any:
        ends = time.monotonic() + deadline
        while not (value := condition()):
            assert time.monotonic() < ends, f"not so within {deadline} s, last {value!r}"
            time.sleep(0.1)
        return value

    return wait
