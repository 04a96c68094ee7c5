"""Networks to choose from: where the DHT begins, and which identity servers there are.

A description is a JSON object: `name`, `label`, `maintainer`, and an object for each service with
what is to be set. It is kept in the home, so that networks can be changed back and forth.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.registry import GET, POST, operation
from bitdust.errors import InvalidInput, LocalFileError, NetworkError, NotFound

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_DESCRIPTION = 64 * 1024
"""Bytes of the longest description."""
MAX_NETWORKS = 100
MAX_PLACES = 100
"""Addresses in one list of a description."""
MAX_LABEL = 200
FETCH_SECONDS = 15.0
MAINLINE = "mainline"
"""The network of all who say nothing else: the defaults of the settings."""
FOLDER = "networks"
SELECTED = "selected"

PORTS: Mapping[str, str] = {
    "services/entangled-dht/known-nodes": "udp_port",
    "services/identity-propagate/known-servers": "web_port",
    "services/identity-propagate/preferred-servers": "web_port",
}
"""Lists of addresses that a description may set, and what its objects call the port."""
PLAIN = (
    "services/entangled-dht/private-network",
    "services/identity-propagate/min-servers",
    "services/identity-propagate/max-servers",
)
"""What else it may set; everything that is about this machine or its person is not its business."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)


@operation(
    POST("/network/create/v1"),
    cli="network create",
    example={"url": "https://some-host.com/network.json"},
)
async def network_create(node: Node, url: str) -> Answer:
    """Learn the description of a network, so that it can be selected.

    Args:
        url: an `http` or `https` address, or the path of a file on this machine. The file holds a
            JSON object such as `network_configuration` shows.

    Returns:
        `name`, `label`, `maintainer`, and `ignored`, what the description says without effect.

    Raises:
        InvalidInput: it is no description of a network.
        LocalFileError: the file cannot be read.
        NetworkError: the address does not answer.

    Source: BitDust, second generation, network/create.
    """
    text = await in_pool(node, _fetch, url)
    described = read_description(text)
    await in_pool(node, _store, node.home, described)
    name = described["name"]
    return Answer(
        {**_titles(described), "ignored": settings_of(described)[1]},
        message=f"network {name} was added; select it with `bitdust network select {name}`",
    )


@operation(POST("/network/select/v1"), cli="network select", example={"name": MAINLINE})
async def network_select(node: Node, name: str) -> Answer:
    """Move to another network.

    The settings that its description names are changed, all others about networks go back to their
    defaults, and the network services are started again. Your identity stays as it is.

    Args:
        name: of a network that `network_create` learned, or `mainline`.

    Returns:
        What `network_configuration` shows of the network.

    Raises:
        NotFound: there is no such network here.

    Source: BitDust, second generation, network/select.
    """
    import asyncio

    described = await in_pool(node, _load, node.home, name)
    wanted, _ = settings_of(described)
    changes = [
        node.settings.prepare(key, wanted[key])
        if key in wanted
        else node.settings.prepare(key, node.settings.declaration(key).default)
        for key in (*PORTS, *PLAIN)
    ]
    for change in changes:
        await in_pool(node, node.settings.write, change)
        node.settings.notify(change)
    await in_pool(node, _select, node.home, name)
    await asyncio.shield(node.services.begin({"network"}))
    return Answer(_titles(described), message=f"network {name} was selected")


@operation(GET("/network/list/v1"), cli="network list")
async def networks_list(node: Node) -> list[dict[str, Any]]:
    """List the networks that can be selected.

    Returns:
        A list of `name`, `label`, `maintainer`, `contact_email` and `selected`.

    Source: BitDust, second generation, network/select.
    """

    def collect() -> list[dict[str, Any]]:
        names = sorted(path.stem for path in (node.home / FOLDER).glob("*.json"))[:MAX_NETWORKS]
        current = selected(node.home)["name"]
        rows = []
        for name in [MAINLINE, *names]:
            try:
                rows.append(_titles(_load(node.home, name)))
            except (InvalidInput, NotFound, OSError) as exc:
                # here, because the command line reads the declarations and never comes here
                import structlog

                log = structlog.get_logger(component="networks")
                log.warning("a network is not listed", file=f"{name}.json", reason=str(exc))
        return [{**row, "selected": row["name"] == current} for row in rows]

    return await in_pool(node, collect)


def read_description(text: bytes) -> dict[str, Any]:
    """Check the description of a network.

    Raises:
        InvalidInput: it is none; the message says what is wrong.
    """
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("url: what is there is not JSON") from None
    if not isinstance(described, dict):
        raise InvalidInput("url: what is there is not a JSON object")
    name = described.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == MAINLINE:
        raise InvalidInput(
            "url: the description has no usable `name`",
            hint="a name has up to 32 lower-case letters, digits, '-' and '_'",
        )
    settings_of(described)
    return described


def settings_of(described: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings that a description asks for, and what it says besides.

    Raises:
        InvalidInput: an address or a number that cannot be taken.
    """
    wanted: dict[str, Any] = {}
    ignored: list[str] = []
    for branch, options in described.items():
        if not branch.startswith("service_") or not isinstance(options, dict):
            continue
        for option, value in options.items():
            service = branch.removeprefix("service_")
            key = f"services/{service}/{option}".replace("_", "-")
            if key in PORTS:
                wanted[key] = _places(f"{branch}.{option}", value, PORTS[key])
            elif key in PLAIN:
                if not isinstance(value, int):
                    raise InvalidInput(f"url: {branch}.{option} cannot be {type(value).__name__}")
                wanted[key] = value
            else:
                ignored.append(f"{branch}.{option}"[:MAX_LABEL])
    return wanted, ignored[:MAX_PLACES]


def _places(where: str, value: object, port_name: str) -> str:
    if not isinstance(value, list) or len(value) > MAX_PLACES:
        raise InvalidInput(f"url: {where} must be a list of at most {MAX_PLACES} addresses")
    words = []
    for entry in value:
        host = entry.get("host") if isinstance(entry, dict) else entry
        port = entry.get(port_name) if isinstance(entry, dict) else None
        plain = isinstance(host, str) and re.fullmatch(r"[A-Za-z0-9_.:\[\]-]{1,253}", host)
        if not plain or not (port is None or (isinstance(port, int) and 0 < port < 65536)):
            raise InvalidInput(f"url: {where} holds something that is no address")
        words.append(host if port is None else f"{host}:{port}")
    return ", ".join(map(str, words))


def selected(home: Path) -> dict[str, Any]:
    """The description of the network that was selected, that of the mainline if none was."""
    try:
        with (home / FOLDER / SELECTED).open(encoding="ascii") as file:
            name = file.read(MAX_LABEL).strip()
        return _load(home, name)
    except (OSError, ValueError, NotFound, InvalidInput):
        return _load(home, MAINLINE)


def _titles(described: Mapping[str, Any]) -> dict[str, Any]:
    names = ("label", "maintainer", "contact_email")
    texts = {name: described.get(name) for name in names}
    return {"name": described["name"]} | {
        name: text[:MAX_LABEL] if isinstance(text, str) else "" for name, text in texts.items()
    }


def _load(home: Path, name: str) -> dict[str, Any]:
    if name == MAINLINE:
        return {"name": MAINLINE, "label": "BitTorrent mainline DHT"}
    path = home / FOLDER / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise NotFound(
            f"there is no network {name[:40]!a} here",
            hint="see `bitdust network list`, or add it with `bitdust network create URL`",
        )
    with path.open("rb") as file:
        return read_description(file.read(MAX_DESCRIPTION + 1))


def _store(home: Path, described: Mapping[str, Any]) -> None:
    folder = home / FOLDER
    known = list(folder.glob("*.json"))
    path = folder / f"{described['name']}.json"
    if path not in known and len(known) >= MAX_NETWORKS:
        raise InvalidInput(f"there are {MAX_NETWORKS} networks already", hint=f"tidy {folder}")
    _write(path, json.dumps(described, indent=2, sort_keys=True))


def _select(home: Path, name: str) -> None:
    _write(home / FOLDER / SELECTED, f"{name}\n")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as exc:
        raise LocalFileError(f"cannot write {path}: {exc.strerror}") from exc


def _fetch(url: str) -> bytes:
    """The content of an address or of a local file; blocks."""
    try:
        if url.startswith("/"):
            with open(url, "rb") as file:
                text = file.read(MAX_DESCRIPTION + 1)
        elif url.startswith(("http://", "https://")):
            from urllib.request import urlopen

            with urlopen(url, timeout=FETCH_SECONDS) as answer:  # noqa: S310 - http and https only
                text = answer.read(MAX_DESCRIPTION + 1)
        else:
            raise InvalidInput(
                "url: is neither an http address nor an absolute path",
                hint="such as https://some-host.com/network.json",
            )
    except OSError as exc:
        if url.startswith("/"):
            raise LocalFileError(f"cannot read {url}: {exc.strerror}") from exc
        raise NetworkError(f"{url[:200]} does not answer") from exc
    except ValueError as exc:
        raise InvalidInput("url: is no proper address") from exc
    if len(text) > MAX_DESCRIPTION:
        raise InvalidInput(f"url: the description is longer than {MAX_DESCRIPTION} bytes")
    return bytes(text)
