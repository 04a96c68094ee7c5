"""What storage needs of the rest of a node."""

from __future__ import annotations

from typing import Protocol

from bitdust.ids import KeyID
from bitdust.storage.transfer.spread import NodeID
from bitdust.storage.upkeep.care import DeletingClient
from bitdust.storage.upkeep.inspection import ProvingClient


class Suppliers(Protocol):
    """The owner's suppliers; ``bitdust.supply.CustomerService`` is them."""

    @property
    def n(self) -> int:
        """How many new data is spread over."""
        ...

    @property
    def published(self) -> int:
        """How many there are; more than ``n`` while some are to leave, until ``shrink``."""
        ...

    def positions(self) -> list[NodeID | None]:
        """Supplier of each position, ``None`` where none is hired now."""
        ...

    def online(self, position: int) -> bool:
        """Whether that supplier has an open session."""
        ...

    def retired(self) -> list[NodeID]:
        """Former suppliers that still keep what they had."""
        ...

    async def dismiss(self, node: NodeID) -> None:
        """Nothing more is wanted from a former supplier."""
        ...

    async def shrink(self) -> None:
        """Let those go that are too many: what they keep lies with the others as well."""
        ...


class Secret(Protocol):
    """What all secrets of storage follow from; ``bitdust.crypto.PrivateKey`` is one."""

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """Secret bytes for the purpose ``info``.

        A secret that was changed gives several keys in a row for what locks the keys of blocks, the
        newest first.
        """
        ...


class Keys(Protocol):
    """The owner's keys; ``bitdust.identity.KeyRing`` is them."""

    def private(self, key_id: KeyID) -> Secret:
        """The secret of the key of that id."""
        ...


class StorageClient(ProvingClient, DeletingClient, Protocol):
    """All that storage asks of suppliers; ``bitdust.supply.SupplierClient`` is one."""
