"""S19: a device that reaches a node directly is paired, uses the API, and is shut out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_ports import Ports
from bitdust.client import DeviceClient
from bitdust.errors import AccessDenied, BitdustError, NotFound

Bitdust = Callable[..., subprocess.CompletedProcess[str]]
Eventually = Callable[..., Any]
NAME = "phone"
CUSTOMER = "customer-1"


@pytest.fixture
def port() -> Iterator[int]:
    with Ports() as ports:
        yield ports.take()


@pytest.fixture
def alice(customer: NodeApi) -> Iterator[NodeApi]:
    yield customer
    with suppress(NotFound):
        customer.result("DELETE", "/device/remove/v1", {"name": NAME})


def run_remote(credential: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "remote", "call", "--file", str(credential), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def use(credential: Path, customer: NodeApi) -> None:
    """Calls and events through the channel."""
    async with DeviceClient(credential) as client:
        own = await client.identity_get()
        assert own["global_id"] == customer.get("/identity/get/v1")["global_id"]
        assert len(await client.suppliers_list()) == 4
        await asyncio.to_thread(
            customer.post, "/event/send/v1", event_id="from-home", data={"number": 1}
        )
        async with asyncio.timeout(60):
            async for event_id, data in client.events():
                if event_id == "from-home":
                    assert data == {"number": 1}
                    break
        refused: tuple[tuple[str, dict[str, Any]], ...] = (
            ("process_debug", {}),
            ("key_get", {"key_id": f"master${own['global_id']}", "include_private": True}),
            ("devices_list", {}),
        )
        for method, given in refused:
            with pytest.raises(AccessDenied):
                await client.call(method, **given)


def test_s19_a_direct_device(
    network: Testnet,
    alice: NodeApi,
    bitdust: Bitdust,
    port: int,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    home = str(network.member(CUSTOMER).home)
    made = bitdust("--home", home, "device", "add", "direct", NAME, "localhost", str(port))
    assert made.returncode == 0, made.stderr
    shown = alice.get("/device/info/v1", name=NAME)
    assert shown["url"] == f"ws://localhost:{port}/{NAME}"
    assert shown["meta"]["routed"] is False
    assert shown["instance"]["state"] == "CLIENT_PUB?"
    assert [row["name"] for row in alice.get("/device/list/v1")] == [NAME]

    authorization = alice.post("/device/authorization/generate/v1", name=NAME)["authorization"]
    code, url = authorization["client_code"], authorization["urls"][0]
    with pytest.raises(AccessDenied):
        asyncio.run(DeviceClient.pair(url, "1122-3344"))
    credential = tmp_path / "phone.json"
    asyncio.run(DeviceClient.pair(url, code, credential))
    with pytest.raises(AccessDenied):
        asyncio.run(DeviceClient.pair(url, code))
    assert alice.get("/device/info/v1", name=NAME)["instance"]["state"] == "READY"

    asyncio.run(use(credential, alice))
    done = run_remote(credential, "config_get", "key=logs/debug-level")
    assert done.returncode == 0, done.stderr
    assert "logs/debug-level" in done.stdout

    network.halt(CUSTOMER)
    network.resume(CUSTOMER)
    network.await_suppliers(CUSTOMER, 4)
    asyncio.run(use(credential, alice))

    async def cut_off() -> None:
        async with DeviceClient(credential) as client:
            await client.process_health()
            waiting = asyncio.create_task(client.call("event_listen", consumer_callback_id="s19"))
            await client.process_health()
            await asyncio.to_thread(alice.post, "/device/authorization/reset/v1", name=NAME)
            async with asyncio.timeout(30):
                with pytest.raises(BitdustError):
                    await waiting

    asyncio.run(cut_off())
    done = run_remote(credential, "process_health")
    assert done.returncode == AccessDenied.exit_code, done.stderr
    assert "no longer" in done.stderr


def test_s19_an_access_key_is_made_at_the_node(
    network: Testnet, alice: NodeApi, bitdust: Bitdust, port: int, tmp_path: Path
) -> None:
    home = str(network.member(CUSTOMER).home)
    made = bitdust("--home", home, "device", "create", "direct", NAME, "localhost", str(port))
    assert made.returncode == 0, made.stderr
    file = tmp_path / "key.json"
    made = bitdust("--home", home, "device", "generate-client-code", NAME, str(file))
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o077 == 0
    assert run_remote(file, "process_health").returncode == 0
    shown = bitdust("--home", home, "device", "pair", NAME, "--qr")
    assert shown.returncode == 0, shown.stderr
    assert "bitdust remote pair" in shown.stdout
    for words in (("device",), ("device", "show", NAME), ("device", "disable", NAME)):
        assert bitdust("--home", home, *words).returncode == 0
    assert alice.get("/device/info/v1", name=NAME)["active"] is False
    assert run_remote(file, "process_health").returncode != 0
    assert bitdust("--home", home, "device", "rm", NAME).returncode == 0
    assert bitdust("--home", home, "device", "info", NAME).returncode == NotFound.exit_code
