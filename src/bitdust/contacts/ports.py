"""What services between people need of the network: the parts they use, as a protocol."""

from __future__ import annotations

from typing import Any, Protocol

from bitdust.identity import IdentityDocument
from bitdust.network import Body, ContactStatus, Handler, NodeID, Response


class PeerPort(Protocol):
    """Sessions with other people's nodes; ``bitdust.services.ServicePort`` is one."""

    def handle(self, method: str, handler: Handler) -> None: ...

    async def request(
        self, node_id: NodeID, method: str, args: Any = None, *, body: Body = b"", timeout: float
    ) -> Response: ...

    async def ping(self, node_id: NodeID, timeout: float) -> None: ...

    def learn(self, document: IdentityDocument) -> None: ...

    def keep(self, node_id: NodeID) -> None: ...

    def release(self, node_id: NodeID) -> None: ...

    def document_of(self, node_id: NodeID) -> IdentityDocument | None: ...

    def status(self, node_id: NodeID) -> ContactStatus: ...
