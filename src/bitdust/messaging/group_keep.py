"""What of a group must outlive this machine: a small file for each, beside the keys.

The folder of keys goes to the suppliers under the master key, so whoever recovers with the master
key alone has the groups again. Everything else is read anew from the brokers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog

from bitdust.errors import BitdustError, FormatError
from bitdust.identity import make_private_directory, read_secret, remove_file, write_secret
from bitdust.messaging.group_log import begin
from bitdust.messaging.group_store import MAX_GROUPS, GroupRow
from bitdust.messaging.group_wire import (
    MAX_EPOCHS,
    BrokerList,
    Bytes32,
    EncodedOrder,
    Genesis,
    decode_struct,
)

SUFFIX: Final = ".group"
MAX_FILE: Final = 256 * 1024
_FORMAT: Final = 1

log = structlog.get_logger(component="groups")


class _Kept(msgspec.Struct):
    format: int
    key_id: str
    fingerprint: Bytes32
    label: str
    creator: str
    creator_node: Bytes32
    genesis: bytes
    voucher: bytes
    active: bool
    keys: Annotated[dict[int, Bytes32], msgspec.Meta(min_length=1, max_length=MAX_EPOCHS)]
    brokers: BrokerList | None = None
    order: EncodedOrder = b""


class GroupKeep:
    """The files of all groups. Synchronous.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}

    def put(self, row: GroupRow) -> bool:
        """Write what changed of a group; False when nothing did.

        Raises:
            LocalFileError, DiskFull: it cannot be written.
        """
        kept = _Kept(
            _FORMAT, row.key_id, row.fingerprint, row.label, row.creator, row.creator_node,
            row.genesis, row.voucher, row.active, row.state.keys, row.state.brokers or None,
            row.order,
        )  # fmt: skip
        raw = msgspec.msgpack.encode(kept)
        if self._written.get(row.key_id) == raw:
            return False
        make_private_directory(self._folder)
        write_secret(self._path(row.key_id), raw)
        self._written[row.key_id] = raw
        return True

    def drop(self, key_id: str) -> None:
        """Remove the file of a group."""
        remove_file(self._path(key_id))
        self._written.pop(key_id, None)

    def load(self) -> list[GroupRow]:
        """All groups as they were kept, to be read from their beginning; damaged files are
        left as they are."""
        rows: list[GroupRow] = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}"))[:MAX_GROUPS]:
            try:
                rows.append(_read(path))
            except BitdustError as exc:
                log.warning("a group is not loaded", path=str(path), reason=exc.message)
        return rows

    def _path(self, key_id: str) -> Path:
        digest = hashlib.sha256(key_id.encode()).hexdigest()[:32]
        return self._folder / f"{digest}{SUFFIX}"


def _read(path: Path) -> GroupRow:
    kept = decode_struct(read_secret(path, MAX_FILE), _Kept, MAX_FILE)
    if kept.format != _FORMAT:
        raise FormatError(f"the file of a group has the unknown format {kept.format}")
    row = GroupRow(
        kept.key_id, kept.fingerprint, kept.label, kept.creator, kept.creator_node,
        kept.genesis, kept.voucher, kept.active, order=kept.order,
    )  # fmt: skip
    if kept.genesis:
        row.state = begin(decode_struct(kept.genesis, Genesis, 4096), kept.keys)
        row.state.brokers = list(kept.brokers or row.state.brokers)
    else:
        row.state.keys = dict(kept.keys)
    return row
