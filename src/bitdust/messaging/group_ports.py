"""What groups and brokers need from the network, as a protocol."""

from __future__ import annotations

from typing import Any, Protocol

from bitdust.network import Body, Handler, NodeID, Response


class Port(Protocol):
    """Requests to other nodes and from them; ``services.ServicePort`` is one."""

    def handle(self, method: str, handler: Handler) -> None:
        """Answer a method."""
        ...

    async def request(
        self, node_id: NodeID, method: str, args: Any = None, *, body: Body = b"", timeout: float
    ) -> Response:
        """Ask a node; see ``Network.request``."""
        ...


class Introduce(Protocol):
    """Makes a node known to the network by its address, before it is asked for the first time."""

    async def __call__(self, node_id: NodeID, idurl: str) -> None: ...
