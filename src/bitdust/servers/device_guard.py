"""What a paired device may not do, unless it was given full access.

A device can be lost or stolen. It uses the node, but does not take it over: it cannot copy private
keys, remove or back up the identity, let other devices in, or read and write the node's own files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitdust.api.blocking import in_pool
from bitdust.api.chunkfiles import FOLDER, RESERVED
from bitdust.api.dispatch import context_of
from bitdust.api.registry import Operation
from bitdust.errors import AccessDenied, BitdustError
from bitdust.ids import RemotePath
from bitdust.servers.session import Guard

if TYPE_CHECKING:
    from bitdust.api.node import Node

REFUSED = frozenset(
    {"process_debug", "identity_backup", "identity_erase", "identity_recover", "network_create"}
)
"""Operations that a device does not get."""
REFUSED_PREFIXES = ("device_", "devices_")
PROTECTED_SETTINGS = ("interface", "services/web-socket-communicator")
"""Branches of settings that a device does not change: who may use the node."""
KEYS_FOLDER = ".keys"
"""The folder of the catalog in which the person's keys are."""
_READERS = frozenset({"file_read", "file_download_start"})
_LOCAL_PATH = "local path"
_HINT = "do it at the node, or give the device full access: remove it, then add it again"


def guard_for(node: Node, *, full_access: bool) -> Guard | None:
    """The guard of a device.

    Args:
        node: what it uses.
        full_access: whether it may do everything.
    """
    if full_access:
        return None

    async def guard(called: Operation[..., Any], raw: Mapping[str, Any]) -> None:
        if called.name in REFUSED or called.name.startswith(REFUSED_PREFIXES):
            raise _refused(called.name)
        try:
            given = called.bind(raw, context_of(node))
        except BitdustError:
            return  # the call itself says what is wrong with it
        if given.get("include_private"):
            raise _refused("private keys")
        if called.name == "config_set" and _is_protected(str(given.get("key", ""))):
            raise _refused("this setting")
        for name, value in given.items():
            if called.parameters[name].kind.label == _LOCAL_PATH and value:
                await in_pool(node, _check_local, node.home, str(value))
        if called.name in _READERS:
            await _check_remote(node, given["remote_path"])

    return guard


def _refused(what: str) -> AccessDenied:
    return AccessDenied(f"{what}: not for remote devices", hint=_HINT)


def _is_protected(key: str) -> bool:
    key = key.strip("/")
    return any(key == branch or key.startswith(branch + "/") for branch in PROTECTED_SETTINGS)


def _check_local(home: Path, path: str) -> None:
    """The node's home holds its keys; neither it nor what it lies in may be copied or changed."""
    own, other = os.path.realpath(home), os.path.realpath(path)
    temp = os.path.join(own, FOLDER)
    if other.startswith(temp + os.sep) and not any(
        os.path.commonpath([kept, other]) == kept
        for kept in (os.path.join(temp, name) for name in RESERVED)
    ):
        return  # where files in chunks lie
    if os.path.commonpath([own, other]) in (own, other):
        raise _refused("the node's own folder")


async def _check_remote(node: Node, target: Any) -> None:
    if isinstance(target, RemotePath):
        path = target.path
    else:
        try:
            found = await node.require_storage().file_info(target, False, False)
        except BitdustError:
            return  # nothing is there to be read
        path = str(found["path"])
    if path in ("", KEYS_FOLDER) or path.startswith(KEYS_FOLDER + "/"):
        raise _refused("the folder of keys")
