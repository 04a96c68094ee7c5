"""What a transport is: it carries bytes between two nodes and knows nothing of frames.

A transport calls back into a ``LinkHandler``, as asyncio protocols do: that is the fastest way to
take bytes. ``TcpTransport`` and the in-memory transport of ``bitdust.testing`` implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from bitdust.errors import InvalidInput
from bitdust.network.frames import Chunk

NodeID: TypeAlias = bytes
"""SHA-256 of a node's public key as SPKI DER, 32 bytes."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a node listens: ``tcp://host:port``.

    Args:
        proto: name of the transport, such as ``tcp``.
        host: DNS name or address, IPv6 without brackets.
        port: 0 to 65535; 0 only to listen on any free port.
    """

    proto: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``tcp://host:port``.

        Raises:
            InvalidInput: not of that form.
        """
        hint = "a contact looks like tcp://host.example.org:7771"
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as exc:
            raise InvalidInput(f"invalid contact {text[:120]!r}", hint=hint) from exc
        rest = parts.path or parts.query or parts.fragment or parts.username
        if not parts.scheme or not parts.hostname or port is None or rest:
            raise InvalidInput(f"invalid contact {text[:120]!r}", hint=hint)
        return cls(parts.scheme, parts.hostname, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.proto}://{host}:{self.port}"


class Link(Protocol):
    """One connection's bytes.

    ``listener_certificate`` and ``dialler_certificate`` are SHA-256 fingerprints (32 bytes) of the
    certificates both ends saw, empty where a side has none.
    """

    @property
    def remote(self) -> Endpoint: ...
    @property
    def listener_certificate(self) -> bytes: ...
    @property
    def dialler_certificate(self) -> bytes: ...

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Send bytes; they must not change afterwards."""
        ...

    def pause_reading(self) -> None:
        """Deliver no more bytes for now."""
        ...

    def resume_reading(self) -> None:
        """Deliver bytes again."""
        ...

    def close(self) -> None:
        """Send what was written, then end."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


class LinkHandler(Protocol):
    """Who takes a link's bytes.

    ``connection_lost`` comes exactly once, also when an accepted link never came up; nothing comes
    after it. When ``Transport.dial`` raises, nothing was called at all.
    """

    def connection_made(self, link: Link) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...


Accept: TypeAlias = Callable[[Endpoint], LinkHandler | None]
"""Called with the remote address of a new connection, before any of its bytes is read; None
refuses it."""


class Transport(Protocol):
    """A way to reach other nodes."""

    @property
    def proto(self) -> str:
        """Its name in contacts, such as ``tcp``."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the own certificate, 32 bytes; it belongs in the own identity document."""
        ...

    async def listen(self, endpoint: Endpoint, accept: Accept) -> Endpoint:
        """Take connections; gives the endpoint with the real port.

        Raises:
            PortInUse: another program listens there.
            InvalidInput: not an address of this machine.
        """
        ...

    async def dial(self, endpoint: Endpoint, handler: LinkHandler, timeout: float) -> None:
        """Connect; the handler's ``connection_made`` was called when this returns.

        Raises:
            PeerUnreachable: nobody answers there.
        """
        ...

    async def stop(self) -> None:
        """Listen no more and end every link that is left."""
        ...
