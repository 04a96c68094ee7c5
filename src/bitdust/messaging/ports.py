"""What this room needs of the others, as protocols and small types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from bitdust.identity import IdentityDocument
from bitdust.messaging.letters import Bundle
from bitdust.network import Body, ContactStatus, Handler, NodeID, Response

DELIVER: Final = "message.deliver"
KEYS: Final = "message.keys"
WAITING_MAIL: Final = "message.waiting"
MAILBOX_PUT: Final = "mailbox.put"
MAILBOX_FETCH: Final = "mailbox.fetch"
MAILBOX_DROP: Final = "mailbox.drop"
MAILBOX_KEYS: Final = "mailbox.keys"
MAILBOX_OFFER: Final = "mailbox.offer"
BROADCAST: Final = "message.broadcast"


class NetworkPort(Protocol):
    """Sessions to other nodes; ``bitdust.network.Network`` is one."""

    def handle(self, method: str, handler: Handler) -> None: ...

    async def request(
        self, node_id: NodeID, method: str, args: Any = None, *, body: Body = b"", timeout: float
    ) -> Response: ...

    def learn(self, document: IdentityDocument) -> None: ...

    def status(self, node_id: NodeID) -> ContactStatus: ...

    def document_of(self, node_id: NodeID) -> IdentityDocument | None: ...


class People(Protocol):
    """Who is who; ``bitdust.identity.IdentityCache`` is one."""

    async def get_node(self, node_id: bytes) -> IdentityDocument | None: ...


FindDocument: TypeAlias = Callable[[str], Awaitable[IdentityDocument]]
"""The identity document behind an IDURL, as its name server vouches for it."""
FindMailboxes: TypeAlias = Callable[[IdentityDocument], Awaitable[list[IdentityDocument]]]
"""The suppliers of a person, those to be asked first in front; empty when none are known."""


class Mail(Protocol):
    """The mailboxes of others, as a sender uses them."""

    async def put(self, recipient: IdentityDocument, envelopes: Sequence[bytes]) -> list[int]:
        """How many mailboxes keep each envelope now."""
        ...

    async def keys(self, recipient: IdentityDocument) -> Bundle | None:
        """The keys that the person left at the suppliers."""
        ...
