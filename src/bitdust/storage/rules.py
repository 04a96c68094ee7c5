"""What a person lets their storage do, as services and settings say it."""

from __future__ import annotations

from dataclasses import dataclass

from bitdust.storage.formats.chunker import MAX_CHUNK
from bitdust.storage.formats.seal import MAX_PAYLOAD


@dataclass(slots=True)
class StorageRules:
    """Read whenever they matter, so that a change acts at once.

    Args:
        moving: data may go to and come from suppliers at all.
        repairing: lost fragments are brought back, and moved when a supplier is replaced.
        block_limit: payload bytes of a block, at most.
        keep_versions: complete versions that are kept of every item, 0 for all.
    """

    moving: bool = True
    repairing: bool = True
    block_limit: int = MAX_PAYLOAD
    keep_versions: int = 0

    def set_block_size(self, wanted: int) -> None:
        """Take a block size; one too small for a chunk, or too large to read, is the next best."""
        self.block_limit = min(max(wanted, MAX_CHUNK), MAX_PAYLOAD)
