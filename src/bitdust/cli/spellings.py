"""Words that existing scripts use on the command line, and what they stand for here. Pure.

A synonym is looked up only where no command of that name exists, so that a new command always wins
over an old word. Commands for devices, friends and messages are declared with their operations;
their old words belong into ``SYNONYMS`` too.

Source: BitDust, second generation, command line.
"""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, str] = {
    "go": "start",
    "run": "start",
    "detach": "daemon",
    "reboot": "restart",
    "open": "show",
    "kill": "stop",
    "shutdown": "stop",
    "ver": "version",
    "v": "version",
    "h": "help",
    "?": "help",
    "id": "identity",
    "gid": "globalid",
    "identity new": "identity create",
    "identity register": "identity create",
    "identity bk": "identity backup",
    "identity save": "identity backup",
    "identity restore": "identity recover",
    "identity read": "identity recover",
    "identity load": "identity recover",
    "identity delete": "identity erase",
    "identity del": "identity erase",
    "identity rm": "identity erase",
    "identity show": "identity get",
    "identity print": "identity get",
    "key ls": "key list",
    "key new": "key create",
    "key delete": "key erase",
    "key del": "key erase",
    "key rm": "key erase",
    "key cp": "key copy",
    "key bk": "key backup",
    "key save": "key backup",
    "config ls": "config list",
    "dir": "folder",
    "file ls": "file list",
    "file up": "file upload",
    "file down": "file download",
    "file rm": "file delete",
    "file remove": "file delete",
    "supplier ls": "supplier list",
    "suppliers": "supplier",
    "customer ls": "customer list",
    "customers": "customer",
    "customer remove": "customer reject",
    "customer rm": "customer reject",
    "customer delete": "customer reject",
    "devices": "device",
    "device ls": "device list",
    "device create": "device add",
    "device show": "device info",
    "device enable": "device start",
    "device disable": "device stop",
    "device auth": "device pair",
    "device authorize": "device pair",
    "device generate-client-code": "device access-key",
    "device revoke": "device reset",
    "device delete": "device remove",
    "device rm": "device remove",
    "reconnect": "network reconnect",
    "state": "automat",
    "st": "automat",
    "automats": "automat",
    "services": "service",
    "service ls": "service list",
    "ping": "user ping",
    "friends": "friend",
    "friend ls": "friend list",
    "friend rm": "friend remove",
    "friend delete": "friend remove",
}
"""Old words and the command or group that they stand for."""

DEFAULTS: Mapping[str, str] = {
    "device": "device list",
    "identity": "identity get",
    "key": "key list",
    "file": "file list",
    "friend": "friend list",
    "supplier": "supplier list",
    "customer": "customer list",
    "automat": "automat list",
    "service": "service list",
}
"""What a group does when nothing follows its name."""

FALLBACKS: Mapping[str, str] = {"config": "change", "service": "info"}
"""The command of a group that takes a first word which names no command, as in ``service NAME``."""

NICKNAMES: Mapping[str, str] = {
    "donated": "services/supplier/donated-space",
    "shared": "services/supplier/donated-space",
    "needed": "services/customer/needed-space",
    "suppliers": "services/customer/suppliers-number",
    "debug": "logs/debug-level",
    "block-size": "services/backups/block-size",
    "max-block-size": "services/backups/max-block-size",
    "max-backups": "services/backups/max-copies",
    "local-backups": "services/backups/keep-local-copies-enabled",
    "tcp": "services/tcp-transport/enabled",
    "tcp-port": "services/tcp-connections/tcp-port",
    "udp": "services/udp-transport/enabled",
    "udp-port": "services/udp-datagrams/udp-port",
    "proxy": "services/proxy-transport/enabled",
    "http": "services/http-transport/enabled",
    "http-port": "services/http-connections/http-port",
    "dht-port": "services/entangled-dht/udp-port",
    "limit-send": "services/network/send-limit",
    "limit-receive": "services/network/receive-limit",
    "weblog": "logs/stream-enabled",
    "weblog-port": "logs/stream-port",
}
"""Short names of settings."""

OWN_KEY = "master"
"""The key that is meant where a command about keys names none."""

STAND_INS: Mapping[str, Mapping[str, str]] = {
    "key_get": {"key_id": OWN_KEY},
    "identity_backup": {"destination_filepath": "bitdust-identity.key"},
}
"""What is meant where a required parameter is left out, by method and parameter."""


def setting_key(name: str) -> str:
    """The key of a setting that may be called by its nickname."""
    return NICKNAMES.get(name, name)
