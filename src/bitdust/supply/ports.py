"""What the supply services need of the network and the DHT: the parts they use, as protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

from bitdust.errors import InvalidInput
from bitdust.identity import IdentityDocument
from bitdust.network import Call, ContactState, ContactStatus, Endpoint, Reply, Response
from bitdust.supply.wire import NodeID, Signer

Chunk: TypeAlias = bytes | memoryview
Body: TypeAlias = bytes | bytearray | memoryview | Sequence[Chunk] | AsyncIterator[Chunk]
Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
DocumentSource: TypeAlias = Callable[[], IdentityDocument]


class NetworkPort(Protocol):
    """Sessions to other nodes; ``bitdust.network.Network`` is one."""

    def handle(self, method: str, handler: Handler) -> None: ...

    async def request(
        self, node_id: NodeID, method: str, args: Any = None, *, body: Body = b"", timeout: float
    ) -> Response: ...

    async def dial(
        self, endpoint: Endpoint, expect: NodeID | None = None, timeout: float = 10.0
    ) -> IdentityDocument: ...

    def learn(self, document: IdentityDocument) -> None: ...

    def keep(self, node_id: NodeID) -> None: ...

    def release(self, node_id: NodeID) -> None: ...

    def document_of(self, node_id: NodeID) -> IdentityDocument | None: ...

    def status(self, node_id: NodeID) -> ContactStatus: ...


class MasterKey(Signer, Protocol):
    """A private master key that also derives other secrets; ``bitdust.crypto.PrivateKey``."""

    def derive(self, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
        """``length`` secret bytes for the purpose ``info``."""
        ...


DocumentFinder: TypeAlias = Callable[[str], Awaitable[IdentityDocument]]
"""Finds the current identity document behind an IDURL."""


def is_online(network: NetworkPort, node: NodeID) -> bool:
    """Whether a session to that node stands now."""
    return network.status(node).state is ContactState.ONLINE


def contact_status(network: NetworkPort, node: NodeID) -> str:
    """``online`` or ``offline``."""
    return "online" if is_online(network, node) else "offline"


def contact_state(network: NetworkPort, node: NodeID) -> str:
    """``CONNECTED`` or ``OFFLINE``."""
    return "CONNECTED" if is_online(network, node) else "OFFLINE"


def contact_view(document: IdentityDocument) -> dict[str, Any]:
    """Who somebody is, for events and lists."""
    return {
        "idurl": str(document.idurl),
        "global_id": str(document.global_id),
        "node_id": document.node_id.hex(),
    }


def endpoints_of(document: IdentityDocument) -> list[Endpoint]:
    """Where a node listens; contacts that make no sense are passed over."""
    found = []
    for contact in document.contacts:
        try:
            found.append(Endpoint.parse(contact))
        except InvalidInput:
            continue
    return found


def listen_port(document: IdentityDocument) -> int:
    """The TCP port of a node's first contact, 0 when it listens nowhere."""
    return next((end.port for end in endpoints_of(document) if end.proto == "tcp"), 0)
