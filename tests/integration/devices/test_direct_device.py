"""Direct devices over real sockets: pairing, calls, events, and everybody who must not come in."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bitdust.client import Credential, DeviceClient
from bitdust.devices import MAX_ATTEMPTS, Devices, PairingClient, SocketPipe
from bitdust.devices.pairing import MAX_STARTS
from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    BitdustError,
    FormatError,
    InvalidInput,
    InvalidName,
    NotFound,
    NotRunning,
    PeerUnreachable,
    PortInUse,
)
from bitdust.node import Node
from bitdust.servers.device_direct import CONNECTION_RATE

Add = Callable[..., Awaitable[dict[str, Any]]]
Until = Callable[..., Awaitable[None]]


def url_of(devices: Devices) -> str:
    url = devices.info("phone")["url"]
    assert isinstance(url, str)
    return url


async def test_a_paired_device_uses_the_api(node: Node, devices: Devices, paired: Path) -> None:
    assert stat.S_IMODE(paired.stat().st_mode) == 0o600
    shown = devices.info("phone")
    assert shown["meta"]["label"] == "my phone"
    assert shown["instance"]["state"] == "READY"
    async with DeviceClient(paired) as client:
        await client.process_health()
        shown = await client.call("config_get", key="interface/api/rest-http-port")
        assert shown["value"] == 8180
        with pytest.raises(NotFound):
            await client.call("no_such_method")
        assert len(await client.services_list()) == len(node.services.views())
        events = client.events()
        node.events.publish("supplier-connected", global_id="bob@host")
        async with asyncio.timeout(20):
            async for event_id, data in events:
                if event_id == "supplier-connected":
                    assert data == {"global_id": "bob@host"}
                    break
        many = [client.call("config_get", key="logs/debug-level") for _ in range(100)]
        assert len(await asyncio.gather(*many)) == 100
        assert devices.info("phone")["instance"]["client_connected"]


async def test_large_messages_pass_both_ways(node: Node, paired: Path) -> None:
    async with DeviceClient(paired) as client:
        data = {"text": "x" * 900_000}
        await client.call("event_send", event_id="large-event", data=data)
        async with asyncio.timeout(20):
            async for event_id, heard in client.events():
                if event_id == "large-event":
                    assert heard == data
                    break


async def test_what_is_kept_is_for_the_owner_only(node: Node, paired: Path) -> None:
    folder = node.home / "metadata" / "devices"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {"node.key", "phone.json"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    secret = Credential.load(paired).private_key
    assert secret not in (folder / "phone.json").read_text()
    assert secret not in repr(Credential.load(paired))


async def test_pairing_outlives_a_restart(node: Node, paired: Path) -> None:
    port = int(Credential.load(paired).urls[0].split(":")[2].split("/")[0])
    await node.stop()
    again = Node(node.home, serve=False)
    # the port was any free one; a restart may take another, which the credential then does not know
    await again.start()
    try:
        shown = again.require_devices().info("phone")
        assert shown["active"]
        assert shown["meta"]["client_public_key"]
        url = shown["url"]
        known = Credential.load(paired)
        moved = Credential(
            name=known.name,
            urls=(f"ws://localhost:{port}/phone", url),
            node_key=known.node_key,
            private_key=known.private_key,
        )
        async with DeviceClient(moved) as client:
            await client.process_health()
            assert url in client.credential.urls
    finally:
        await again.stop()


async def test_a_wrong_code_pairs_nobody_and_three_end_it(
    devices: Devices, add: Add, node: Node
) -> None:
    await add()
    right = devices.open_code("phone")["client_code"]
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(AccessDenied):
            await DeviceClient.pair(url_of(devices), "WRONG-COD")
    assert not devices.info("phone")["instance"]["pairing"]
    with pytest.raises(AccessDenied):
        await DeviceClient.pair(url_of(devices), right)
    assert devices.info("phone")["meta"]["client_public_key"] is None
    assert node.events.counts["web-socket-handshake-failed"] == MAX_ATTEMPTS + 1


async def test_a_code_is_good_once(devices: Devices, add: Add) -> None:
    await add()
    code = devices.open_code("phone")["client_code"]
    assert (await DeviceClient.pair(url_of(devices), code.lower().replace("-", " "))).name
    with pytest.raises(AccessDenied):
        await DeviceClient.pair(url_of(devices), code)


async def test_without_a_code_nobody_is_paired(devices: Devices, add: Add) -> None:
    await add()
    with pytest.raises(AccessDenied):
        await DeviceClient.pair(url_of(devices), "AAAAAAAA")


async def test_a_code_chosen_by_the_device_and_a_key_known_beforehand(
    devices: Devices, add: Add
) -> None:
    await add()
    with pytest.raises(InvalidInput):
        devices.open_code("phone", "1122")
    devices.open_code("phone", "my-own-code", os.urandom(32))
    with pytest.raises(AccessDenied):
        await DeviceClient.pair(url_of(devices), "my-own-code")
    assert devices.info("phone")["meta"]["client_public_key"] is None
    devices.open_code("phone", "my-own-code")
    assert await DeviceClient.pair(url_of(devices), "MYOWNCODE")


async def test_attempts_without_a_guess_do_not_use_the_code_up_at_once(
    devices: Devices, add: Add, until: Until
) -> None:
    await add()
    code = devices.open_code("phone")["client_code"]
    for _ in range(MAX_ATTEMPTS + 2):
        asking = PairingClient("AAAAAAAA", bytes(32), "", lambda: os.urandom(32), os.urandom)
        async with connect(url_of(devices), proxy=None) as raw:
            await raw.send(asking.begin())
            assert len(await raw.recv()) == 33
        await until(lambda: devices.info("phone")["instance"]["state"] == "CLIENT_PUB?")
    assert MAX_ATTEMPTS + 2 < MAX_STARTS
    assert await DeviceClient.pair(url_of(devices), code)


async def test_a_man_in_the_middle_without_the_code_gets_nowhere(
    devices: Devices, add: Add
) -> None:
    """He answers the device in the node's place and guesses wrongly."""
    from bitdust.devices import PairingServer, read_hello

    await add()
    code = devices.open_code("phone")["client_code"]
    outcome: list[BaseException] = []

    async def impostor(connection: ServerConnection) -> None:
        pipe = SocketPipe(connection)
        node = PairingServer("GUESSED1", os.urandom(32), lambda: os.urandom(32), os.urandom)
        try:
            await pipe.send(node.begin(read_hello(await pipe.receive())[1]))
            await pipe.send(node.receive(await pipe.receive()))
        except BitdustError as exc:
            outcome.append(exc)
        await connection.close()

    async with serve(impostor, "localhost", 0) as middle:
        port = next(iter(middle.sockets)).getsockname()[1]
        with pytest.raises((AccessDenied, PeerUnreachable)):
            await DeviceClient.pair(f"ws://localhost:{port}/phone", code)
    assert isinstance(outcome[0], AccessDenied)
    assert await DeviceClient.pair(url_of(devices), code), "the code is still good"


class Relay:
    """Stands between device and node, notes everything, and does harm when it is told to."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.sent: list[bytes] = []
        self.answered: list[bytes] = []
        self.harm: Callable[[bytes], list[bytes]] = lambda data: [data]

    async def __call__(self, connection: ServerConnection) -> None:
        async with connect(self._target, proxy=None) as node:

            async def back() -> None:
                async for data in node:
                    assert isinstance(data, bytes)
                    self.answered.append(data)
                    await connection.send(data)
                await connection.close()

            task = asyncio.create_task(back())
            try:
                async for data in connection:
                    assert isinstance(data, bytes)
                    self.sent.append(data)
                    for part in self.harm(data):
                        await node.send(part)
            except ConnectionClosed:
                pass
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_who_is_in_the_middle_reads_and_changes_nothing(
    devices: Devices, paired: Path
) -> None:
    known = Credential.load(paired)
    relay = Relay(known.urls[0])
    async with serve(relay, "localhost", 0, max_size=2**20) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        through = Credential(
            name="phone",
            urls=(f"ws://localhost:{port}/phone",),
            node_key=known.node_key,
            private_key=known.private_key,
        )
        async with DeviceClient(through) as client:
            await client.config_get("personal/private-key-size")
            flow = b"".join(relay.sent + relay.answered)
            for word in (b"config_get", b"personal", b"api_call", bytes.fromhex(known.node_key)):
                assert word not in flow
            relay.harm = lambda data: [data[:-1] + bytes([data[-1] ^ 1])]
            with pytest.raises(NotRunning):
                await client.config_get("personal/private-key-size")
        relay.harm = lambda data: [data]
        async with DeviceClient(
            Credential(
                name="phone",
                urls=(f"ws://localhost:{port}/phone",),
                node_key=known.node_key,
                private_key=known.private_key,
            )
        ) as client:
            await client.process_health()
            relay.harm = lambda data: [data, data]
            with pytest.raises(NotRunning):
                await client.call("event_listen", consumer_callback_id="c")


async def test_a_recorded_conversation_is_worth_nothing(
    devices: Devices, paired: Path, node: Node, until: Until
) -> None:
    known = Credential.load(paired)
    relay = Relay(known.urls[0])
    async with serve(relay, "localhost", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        through = Credential(
            name="phone",
            urls=(f"ws://localhost:{port}/phone",),
            node_key=known.node_key,
            private_key=known.private_key,
        )
        async with DeviceClient(through) as client:
            await client.config_set("logs/debug-level", 3)
    node.settings.set("logs/debug-level", 0)
    connected = node.events.counts["web-socket-connected"]
    failed = node.events.counts.get("web-socket-handshake-failed", 0)
    async with connect(known.urls[0], proxy=None) as replay:
        for frame in relay.sent[:2]:
            await replay.send(frame)
        assert len(await replay.recv()) == 48, "the first message was answered, as it must be"
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(replay.recv(), 20)
    await until(lambda: node.events.counts.get("web-socket-handshake-failed", 0) == failed + 1)
    assert node.events.counts["web-socket-connected"] == connected
    assert node.settings.get_int("logs/debug-level") == 0


async def test_two_devices_share_a_port(devices: Devices, add: Add, paired: Path) -> None:
    shown = await add("tablet")
    assert shown["instance"]["port_number"] == devices.info("phone")["instance"]["port_number"]
    tablet = await DeviceClient.pair(devices.open_code("tablet")["link"])
    async with DeviceClient(paired) as one, DeviceClient(tablet) as two:
        await devices.remove("tablet")
        await one.process_health()
        with pytest.raises(NotRunning):
            await two.process_health()


@pytest.mark.parametrize("how", ["reset", "remove", "stop"])
async def test_a_device_is_cut_off_at_once(devices: Devices, paired: Path, how: str) -> None:
    async with DeviceClient(paired) as client:
        waits = asyncio.create_task(client.call("event_listen", consumer_callback_id="c"))
        await client.process_health()
        async with asyncio.timeout(10):
            if how == "reset":
                await devices.reset("phone")
            elif how == "remove":
                await devices.remove("phone")
            else:
                await devices.stop_device("phone")
            with pytest.raises(NotRunning):
                await waits
        with pytest.raises(NotRunning):
            await client.process_health()
    with pytest.raises((AccessDenied, PeerUnreachable)):
        async with DeviceClient(paired):
            pytest.fail("it came in")
    if how == "stop":
        await devices.start_device("phone")
        url = devices.info("phone")["url"]
        known = Credential.load(paired)
        moved = Credential(
            name="phone", urls=(url,), node_key=known.node_key, private_key=known.private_key
        )
        async with DeviceClient(moved) as client:
            await client.process_health()


async def test_a_new_device_replaces_the_old_one(
    devices: Devices, paired: Path, tmp_path: Path
) -> None:
    async with DeviceClient(paired) as old:
        await old.process_health()
        newer = tmp_path / "newer.json"
        await DeviceClient.pair(devices.open_code("phone")["link"], path=newer)
        with pytest.raises(NotRunning):
            await old.process_health()
    with pytest.raises(AccessDenied):
        async with DeviceClient(paired):
            pytest.fail("it came in")
    async with DeviceClient(newer) as client:
        await client.process_health()


async def test_a_credential_does_not_overwrite_a_file(devices: Devices, paired: Path) -> None:
    link = devices.open_code("phone")["link"]
    with pytest.raises(AlreadyExists):
        await DeviceClient.pair(link, path=paired)


async def test_a_device_of_another_name_does_not_come_in(
    devices: Devices, add: Add, paired: Path
) -> None:
    """Its key is good for its own entry alone."""
    await add("tablet")
    known = Credential.load(paired)
    other = Credential(
        name="tablet",
        urls=(devices.info("tablet")["url"],),
        node_key=known.node_key,
        private_key=known.private_key,
    )
    with pytest.raises(AccessDenied):
        async with DeviceClient(other):
            pytest.fail("it came in")


async def test_another_node_in_the_same_place_is_not_believed(paired: Path) -> None:
    known = Credential.load(paired)
    wrong = Credential(
        name="phone", urls=known.urls, node_key="11" * 32, private_key=known.private_key
    )
    with pytest.raises(AccessDenied):
        async with DeviceClient(wrong):
            pytest.fail("it was believed")


async def test_strangers_get_little(devices: Devices, paired: Path, node: Node) -> None:
    url = url_of(devices)
    for first in (b"", b"junk", "text", b"BDV\x01\x02" + bytes(96), b"BDV\x01\x01" + b"A" * 33):
        async with connect(url, proxy=None) as raw:
            await raw.send(first)
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(raw.recv(), 20)
            assert caught.value.rcvd is not None
            assert 4400 <= caught.value.rcvd.code < 4500
    async with connect(url, proxy=None, max_size=None) as raw:
        await raw.send(bytes(200_000))
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(raw.recv(), 20)
    async with connect(url.replace("/phone", "/nobody"), proxy=None) as raw:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(raw.recv(), 20)
    async with DeviceClient(paired) as client:
        await client.process_health()
    assert node.events.counts["web-socket-handshake-failed"] >= 5


async def test_connections_are_limited(devices: Devices, add: Add) -> None:
    await add()
    refused: list[int] = []
    for _ in range(int(CONNECTION_RATE.burst) + 15):
        try:
            async with connect(url_of(devices), proxy=None):
                pass
        except InvalidStatus as exc:
            refused.append(exc.response.status_code)
    assert refused
    assert set(refused) == {429}


async def test_a_port_that_is_taken(devices: Devices, add: Add) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse):
            await add(host="127.0.0.1", port=taken.getsockname()[1])
    shown = devices.info("phone")
    assert shown["instance"] is None
    assert not shown["active"]
    shown = await devices.start_device("phone")
    assert shown["instance"]["state"] == "CLIENT_PUB?"


async def test_names_and_entries_are_checked(devices: Devices, add: Add) -> None:
    for bad in ("", "ab", "x" * 21, "1phone", "a b c", "../../etc", "phöne", "node.key"):
        with pytest.raises(InvalidName):
            await add(bad)
    for bad in ("", "a b", "a..b/", "-x", "\x00", "x" * 300, "y" * 64 + ".org", "ü.de", "http://x"):
        with pytest.raises(InvalidInput, match="web_socket_host"):
            await add("other", host=bad)
    for unusable in ("192.0.2.77", "a..b", "no-such-host.invalid", "1:2:3"):
        with pytest.raises(PortInUse):
            await add("other", host=unusable)
        await devices.remove("other")
    await add("Phone")
    with pytest.raises(AlreadyExists):
        await add("phone")
    for call in (devices.info, devices.open_code):
        with pytest.raises(NotFound):
            call("nobody")
    await devices.stop_device("Phone")
    with pytest.raises(NotFound, match="not started"):
        devices.open_code("Phone")
    for number in range(15):
        await add(f"dev{number}", activate=False)
    with pytest.raises(InvalidInput, match="16"):
        await add("onemore")
    assert devices.list()[0]["name"] == "Phone"


async def test_damaged_files_disturb_nobody(node: Node, paired: Path) -> None:
    folder = node.home / "metadata" / "devices"
    (folder / "broken.json").write_text('{"name": "broken"')
    (folder / "other.json").write_bytes((folder / "phone.json").read_bytes())
    (folder / "keyless.json").write_text('{"name": "keyless", "key": "abcd"}')
    await node.stop()
    again = Node(node.home, serve=False)
    await again.start()
    try:
        assert [row["name"] for row in again.require_devices().list()] == ["phone"]
    finally:
        await again.stop()
    bad = paired.with_name("bad.json")
    for text in ("", "{}", '{"name": 1}', paired.read_text().replace("ws://", "ftp://")):
        bad.write_text(text)
        with pytest.raises(FormatError):
            Credential.load(bad)
