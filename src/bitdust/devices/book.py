"""The devices of a node on its disk: one small secret file each, and the node's own key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from bitdust.devices.noise import KEY_SIZE
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    IntegrityError,
    InvalidInput,
    InvalidName,
    NotFound,
)
from bitdust.identity import (
    make_private_directory,
    read_secret,
    remove_file,
    remove_leftovers,
    write_secret,
)

MAX_DEVICES = 16
MAX_FILE = 8 * 1024
KEY_FILE = "node.key"
SUFFIX = ".json"
MAX_HOST = 253
MAX_LABEL = 63
"""Characters of one part of a host name (RFC 1035, section 2.3.4)."""
_HOST = re.compile(
    r"[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", re.ASCII
)
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{2,19}", re.ASCII)

log = structlog.get_logger(component="devices")


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node knows of a device.

    Args:
        name: 3 to 20 letters, digits, ``_`` and ``-``.
        routed: reached through web socket routers, otherwise directly.
        active: started with the node.
        host, port: where a direct device comes in.
        full_access: may also do what ends the owner's control of the node.
        route: secret (hex) under which routers know a routed device.
        key: the device's public key (hex), empty while it is not paired.
        label: what the device calls itself.
        created, paired: wall clock, seconds.
    """

    name: str
    routed: bool = False
    active: bool = False
    host: str = "localhost"
    port: int = 0
    full_access: bool = False
    route: str = ""
    key: str = ""
    label: str = ""
    created: float = 0.0
    paired: float = 0.0

    @property
    def public_key(self) -> bytes:
        """The device's key as bytes, empty while it is not paired."""
        return bytes.fromhex(self.key)


def check_name(name: str) -> str:
    """The name of a device, if it can be one.

    Raises:
        InvalidName: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name[:40]!a} cannot be the name of a device",
            hint="use 3 to 20 letters, digits, _ and -, beginning with a letter",
        )
    return name


def check_host(host: str) -> str:
    """Where a direct device comes in, if it can be the name or address of a machine.

    Raises:
        InvalidInput: it cannot.
    """
    labels = host.split(".")
    if len(host) > MAX_HOST or not _HOST.fullmatch(host) or max(map(len, labels)) > MAX_LABEL:
        raise InvalidInput(
            f"web_socket_host: {host[:40]!a} is no address of a machine",
            hint="use localhost, 0.0.0.0 for all addresses, or one of this machine",
        )
    return host


class DeviceBook:
    """All devices of a node. Every method that writes blocks.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, DeviceRecord] = {}

    def load(self) -> None:
        """Read all files; one that is damaged is left alone and logged.

        Raises:
            LocalFileError: the folder cannot be made.
        """
        make_private_directory(self._folder)
        remove_leftovers(self._folder)
        self._records = {}
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                record = _read(path)
            except BitdustError as exc:
                log.warning("a device was not loaded", reason=exc.message)
                continue
            self._records[record.name] = record

    def node_key(self, new_key: Callable[[], bytes]) -> bytes:
        """The private key by which devices know this node; made at first use.

        Raises:
            IntegrityError: the file is damaged; devices must be paired again once it is removed.
        """
        path = self._folder / KEY_FILE
        try:
            key = bytes.fromhex(read_secret(path, MAX_FILE).decode("ascii"))
        except NotFound:
            key = new_key()
            write_secret(path, key.hex().encode())
        except ValueError:
            key = b""
        if len(key) != KEY_SIZE:
            raise IntegrityError(
                f"{path} is damaged", hint="remove it and pair all devices again, or restore it"
            )
        return key

    def __len__(self) -> int:
        return len(self._records)

    def all(self) -> list[DeviceRecord]:
        """All devices, oldest first."""
        return sorted(self._records.values(), key=lambda record: (record.created, record.name))

    def get(self, name: str) -> DeviceRecord:
        """One device.

        Raises:
            NotFound: there is none of that name.
        """
        record = self._records.get(name)
        if record is None:
            raise NotFound(
                f"there is no device {name[:40]!a}", hint="see `bitdust device list` for all"
            )
        return record

    def add(self, record: DeviceRecord) -> None:
        """Enter a new device.

        Raises:
            AlreadyExists: the name is taken, in whatever case.
        """
        if record.name.lower() in {name.lower() for name in self._records}:
            raise AlreadyExists(
                f"there is a device {record.name} already", hint="choose another name"
            )
        self.put(record)

    def put(self, record: DeviceRecord) -> None:
        """Replace what is known of a device."""
        write_secret(self._folder / f"{record.name}{SUFFIX}", msgspec.json.encode(record))
        self._records[record.name] = record

    def remove(self, name: str) -> None:
        """Forget a device."""
        remove_file(self._folder / f"{name}{SUFFIX}")
        self._records.pop(name, None)


def _read(path: Path) -> DeviceRecord:
    try:
        record = msgspec.json.decode(read_secret(path, MAX_FILE), type=DeviceRecord)
        sizes = (len(record.public_key), len(bytes.fromhex(record.route)))
        if not record.routed:
            check_host(record.host)
    except (msgspec.DecodeError, ValueError, InvalidInput) as exc:
        raise IntegrityError(f"{path} is damaged") from exc
    if record.name != path.name.removesuffix(SUFFIX) or not _NAME.fullmatch(record.name):
        raise IntegrityError(f"{path} is not of that device")
    if not {0, KEY_SIZE}.issuperset(sizes) or not 0 <= record.port <= 65535:
        raise IntegrityError(f"{path} is damaged")
    return record
