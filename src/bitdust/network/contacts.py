"""Other nodes this one knows: their documents, whether they are online, when to try again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bitdust.clock import Random
from bitdust.errors import InvalidInput
from bitdust.network.connection import Connection
from bitdust.network.transport import Endpoint, NodeID

if TYPE_CHECKING:
    from bitdust.identity import IdentityDocument


class ContactState(Enum):
    """Whether a node can be asked now."""

    ONLINE = "online"
    CONNECTING = "connecting"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class ContactStatus:
    """What is known about reaching a node.

    Args:
        state: see ``ContactState``.
        since: wall clock, seconds; 0 when it was never tried.
        last_error: why it could not be reached or was lost, empty when there was no failure.
        kept: whether the network keeps trying by itself.
        next_attempt: wall clock of the next attempt, 0 when none is planned.
    """

    state: ContactState
    since: float = 0.0
    last_error: str = ""
    kept: bool = False
    next_attempt: float = 0.0


def back_off(failures: int, first: float, most: float, random: Random) -> float:
    """Seconds to wait after that many failures in a row: doubling, at most ``most``, jittered."""
    pause = min(most, first * 2.0 ** min(failures, 32))
    return pause * random.uniform(0.5, 1.0)


class Contact:
    """One node.

    Args:
        node_id: 32 bytes.
    """

    __slots__ = (
        "changed",
        "dialling",
        "document",
        "keeper",
        "keepers",
        "last_error",
        "links",
        "next_attempt",
        "node_id",
        "online",
        "primary",
        "since",
    )

    def __init__(self, node_id: NodeID) -> None:
        self.node_id = node_id
        self.document: IdentityDocument | None = None
        self.links: list[Connection] = []
        self.primary: Connection | None = None
        self.online = False
        self.since = 0.0
        self.last_error = ""
        self.next_attempt = 0.0
        self.dialling: asyncio.Task[Connection] | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.keepers: set[object] = set()
        """Who wants the connection kept; it is let go when the last one no longer does."""
        self.changed = asyncio.Event()

    @property
    def connection(self) -> Connection | None:
        """The connection for new requests."""
        primary = self.primary
        return primary if primary is not None and primary.usable else None

    @property
    def busy(self) -> bool:
        """Whether it may not be forgotten."""
        return bool(self.links or self.dialling or self.keeper)

    def reselect(self) -> None:
        """Choose among the usable links when the primary is not usable any more."""
        if self.connection is None:
            self.primary = next((link for link in reversed(self.links) if link.usable), None)

    def endpoints(self, proto: str, most: int) -> list[Endpoint]:
        """Addresses from its document that a transport can dial."""
        found: list[Endpoint] = []
        for text in self.document.contacts if self.document is not None else ():
            try:
                endpoint = Endpoint.parse(text)
            except InvalidInput:
                continue
            if endpoint.proto == proto and endpoint.port and endpoint not in found:
                found.append(endpoint)
        return found[:most]

    def status(self) -> ContactStatus:
        """For the API."""
        if self.connection is not None:
            state = ContactState.ONLINE
        elif self.dialling is not None:
            state = ContactState.CONNECTING
        else:
            state = ContactState.OFFLINE
        kept = self.keeper is not None
        return ContactStatus(state, self.since, self.last_error, kept, self.next_attempt)


class Contacts:
    """All nodes known, at most ``bound`` of those nobody needs at the moment.

    Args:
        bound: contacts remembered.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._known: OrderedDict[NodeID, Contact] = OrderedDict()

    def __iter__(self) -> Iterator[Contact]:
        return iter(list(self._known.values()))

    def find(self, node_id: NodeID) -> Contact | None:
        """The contact if it is known."""
        return self._known.get(node_id)

    def get(self, node_id: NodeID) -> Contact:
        """The contact, new if it is not known."""
        contact = self._known.get(node_id)
        if contact is None:
            contact = self._known[node_id] = Contact(node_id)
            self._forget_surplus()
        else:
            self._known.move_to_end(node_id)
        return contact

    def learn(self, document: IdentityDocument) -> Contact:
        """Remember a document unless a newer one is known."""
        contact = self.get(document.node_id)
        known = contact.document
        if known is None or document.revision >= known.revision:
            moved = known is None or known.contacts != document.contacts
            contact.document = document
            if moved:
                contact.changed.set()
        return contact

    def _forget_surplus(self) -> None:
        surplus = len(self._known) - self._bound
        if surplus <= 0:
            return
        for contact in list(self._known.values())[:-1]:
            if surplus <= 0:
                break
            if not contact.busy:
                del self._known[contact.node_id]
                surplus -= 1
