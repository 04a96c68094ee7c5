"""Remote devices: phones, browsers and programs that use this node from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.parameters import Range, Word
from bitdust.api.registry import DELETE, GET, POST, operation
from bitdust.errors import InvalidInput

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_PORT = 65535
_DEVICE = {"name": "phone"}
_KEY_HEX = 64


@operation(GET("/device/list/v1"), cli="device list", also=("device_list",))
async def devices_list(node: Node, *, sort: bool = False) -> list[dict[str, Any]]:
    """List the remote devices.

    Args:
        sort: by name; otherwise the oldest comes first.

    Returns:
        A list of `name`, `active` (it can come in now), `size` (bits of its key), `url` and `urls`
        where it comes in, `meta` (`routed`, `host` and `port_number` of a direct one,
        `full_access`, `client_public_key`, `label`, `created`, `paired`) and `instance`, which is
        null while it is not started: `id`, `index`, `name`, `state`, `client_connected`,
        `connections`, `pairing`, and `port_number`, or `connected_routers` and `active_routers`.

    Raises:
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_list.
    """
    rows = node.require_devices().list()
    return sorted(rows, key=lambda row: str(row["name"])) if sort else rows


@operation(
    GET("/device/info/v1"),
    GET("/device/info/{name}/v1"),
    cli="device info",
    example=_DEVICE,
)
async def device_info(node: Node, name: str) -> dict[str, Any]:
    """Show one remote device.

    Args:
        name: of the device.

    Returns:
        The device as `devices_list` shows it. States of its instance are `WEB_SOCKET?` or
        `ROUTERS?` (it cannot come in yet), `CLIENT_PUB?` (it is not paired), `CLIENT_CODE?` (it is
        being paired) and `READY`.

    Raises:
        NotFound: there is no such device.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_info.
    """
    return node.require_devices().info(name)


@operation(POST("/device/add/v1"), cli="device new", ignored=("key_size",), example=_DEVICE)
async def device_add(
    node: Node,
    name: str,
    *,
    routed: bool = False,
    activate: bool = True,
    web_socket_host: str = "localhost",
    web_socket_port: Annotated[int, Range(0, MAX_PORT)] | None = None,
    full_access: bool = False,
) -> dict[str, Any]:
    """Prepare for a remote device; `device_authorization_generate` then pairs it.

    Args:
        name: 3 to 20 letters, digits, `_` and `-`, beginning with a letter.
        routed: it reaches this node through web socket routers, and not directly.
        activate: start it at once.
        web_socket_host: address of this machine where a direct device comes in; `0.0.0.0` for all.
        web_socket_port: its port; `interface/devices/web-socket-port` when not given, 0 for any.
        full_access: it may also copy private keys, back up or erase the identity, manage devices,
            and reach the node's own folder.

    Returns:
        The device as `device_info` shows it.

    Raises:
        InvalidName: no device can be called so.
        AlreadyExists: there is a device of that name.
        InvalidInput: there are too many devices, or the host is none.
        PortInUse: the port is taken; the device is there, but not started.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_add.
    """
    return await node.require_devices().add(
        name,
        routed=routed,
        activate=activate,
        host=web_socket_host,
        port=web_socket_port,
        full_access=full_access,
    )


@operation(POST("/device/start/v1"), cli="device start", example=_DEVICE)
async def device_start(node: Node, name: str, *, wait_listening: bool = False) -> dict[str, Any]:
    """Let a remote device come in, now and whenever the node starts.

    Args:
        name: of the device.
        wait_listening: answer only when it can be reached.

    Returns:
        The device as `device_info` shows it.

    Raises:
        NotFound: there is no such device.
        PortInUse: its port is taken.
        NetworkError: it could not be reached within a minute; it goes on trying.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_start.
    """
    return await node.require_devices().start_device(name, wait_listening=wait_listening)


@operation(POST("/device/stop/v1"), cli="device stop", example=_DEVICE)
async def device_stop(node: Node, name: str) -> dict[str, Any]:
    """Let a remote device no longer come in; it stays paired, and its connections end.

    Args:
        name: of the device.

    Returns:
        The device as `device_info` shows it.

    Raises:
        NotFound: there is no such device.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_stop.
    """
    return await node.require_devices().stop_device(name)


@operation(DELETE("/device/remove/v1"), cli="device remove", example=_DEVICE)
async def device_remove(node: Node, name: str) -> None:
    """Forget a remote device; its connections end at once.

    Args:
        name: of the device.

    Raises:
        NotFound: there is no such device.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_remove.
    """
    await node.require_devices().remove(name)


@operation(
    POST("/device/authorization/generate/v1"),
    cli="device generate",
    ignored=("client_key_size",),
    example=_DEVICE,
)
async def device_authorization_generate(
    node: Node, name: str, *, start: bool = True, wait_listening: bool = False
) -> dict[str, Any]:
    """Begin to pair a remote device: make a code that is entered there.

    The code is good once, for ten minutes, and void after three wrong attempts. A device that was
    paired under this name before is replaced when the new one is there.

    Args:
        name: of the device.
        start: start the device if it is not.
        wait_listening: answer only when it can be reached.

    Returns:
        The device as `device_info` shows it, and `authorization`: `client_code`, `expires`
        (seconds since 1970), `attempts`, `urls`, `link` (all of that as one text, for a QR
        picture) and `server_public_key`.

    Raises:
        NotFound: there is no such device, or it is not started.
        PortInUse: its port is taken.
        NetworkError: it could not be reached within a minute.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_authorization_generate; the code is new.
    """
    devices = node.require_devices()
    if start:
        await devices.start_device(name, wait_listening=wait_listening)
    authorization = devices.open_code(name)
    return {**devices.info(name), "authorization": authorization}


@operation(
    POST("/device/authorization/request/v1"),
    cli="device request",
    example={**_DEVICE, "client_public_key": "8f" * 32, "client_code": "7KQM-2XRD"},
)
async def device_authorization_request(
    node: Node, name: str, client_public_key: str, client_code: Word
) -> dict[str, Any]:
    """Begin to pair a remote device whose key and code are known beforehand.

    Args:
        name: of the device, which is started.
        client_public_key: its X25519 key, 64 hexadecimal digits; no other can be paired.
        client_code: 6 to 32 letters and digits that the device shows or knows.

    Returns:
        As `device_authorization_generate`.

    Raises:
        NotFound: there is no such device, or it is not started.
        InvalidInput: the key or the code cannot be taken.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_authorization_request; key and code are new.
    """
    devices = node.require_devices()
    try:
        key = bytes.fromhex(client_public_key)
    except ValueError:
        key = b""
    if len(client_public_key) != _KEY_HEX or len(key) != _KEY_HEX // 2:
        raise InvalidInput("client_public_key: a key has 64 hexadecimal digits")
    authorization = devices.open_code(name, client_code, key)
    return {**devices.info(name), "authorization": authorization}


@operation(
    POST("/device/authorization/client_code/v1"),
    cli="device code",
    example={**_DEVICE, "client_code": "7KQM-2XRD"},
)
async def device_authorization_client_code(node: Node, name: str, client_code: Word) -> None:
    """Begin to pair a remote device with a code that was chosen there.

    Args:
        name: of the device, which is started.
        client_code: 6 to 32 letters and digits.

    Raises:
        NotFound: there is no such device, or it is not started.
        InvalidInput: the code cannot be taken.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_authorization_client_code; the code is longer.
    """
    node.require_devices().open_code(name, client_code)


@operation(POST("/device/authorization/reset/v1"), cli="device reset", example=_DEVICE)
async def device_authorization_reset(
    node: Node, name: str, *, start: bool = True, wait_listening: bool = False
) -> dict[str, Any]:
    """Forget the key of a remote device and end its connections at once.

    Use it when the device was lost. It comes in again only when it is paired anew.

    Args:
        name: of the device.
        start: start the device if it is not.
        wait_listening: answer only when it can be reached.

    Returns:
        The device as `device_info` shows it.

    Raises:
        NotFound: there is no such device.
        PortInUse: its port is taken.
        NetworkError: it could not be reached within a minute.
        ServiceOff: remote devices are switched off.

    Source: BitDust, second generation, device_authorization_reset.
    """
    devices = node.require_devices()
    await devices.reset(name)
    if start:
        await devices.start_device(name, wait_listening=wait_listening)
    return devices.info(name)


@operation(GET("/device/router/info/v1"), cli="device router")
async def device_router_info(node: Node) -> dict[str, Any]:
    """Show what this node passes on as a web socket router for other people's devices.

    Returns:
        `routes`: a list of `route_id`, `route_url`, `created`, `node_url`, `node_connected`,
        `node_bytes`, `node_updated`, `client_connected`, `client_bytes` and `client_updated`;
        and `nodes_bytes` and `clients_bytes` of all routes since the start.

    Raises:
        ServiceOff: the router is switched off.

    Source: BitDust, second generation, device_router_info.
    """
    return node.require_router().info()
