"""What a request and its answer look like to the rest of the program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from bitdust.network.body import Body, InboundBody
from bitdust.network.frames import Chunk
from bitdust.network.messages import decode_args
from bitdust.network.transport import NodeID

if TYPE_CHECKING:
    from bitdust.identity import IdentityDocument

T = TypeVar("T")


class Call:
    """A request from a peer, as its handler sees it.

    Attributes:
        peer: the proven node id of the caller, 32 bytes.
        document: the caller's identity document.
        method: the name of the request.
        args: its arguments as msgpack, at most 64 KiB.
    """

    __slots__ = ("_body", "args", "document", "method", "peer")

    def __init__(
        self, document: IdentityDocument, method: str, args: bytes, body: InboundBody
    ) -> None:
        self.peer: NodeID = document.node_id
        self.document = document
        self.method = method
        self.args = args
        self._body = body

    def decode(self, kind: type[T]) -> T:
        """The arguments as ``kind``, a msgspec Struct.

        Raises:
            FormatError: they are not of that form.
        """
        decoded: T = decode_args(self.args, kind)
        return decoded

    @property
    def body_size(self) -> int:
        """Bytes of the body as declared, -1 when the caller did not know; enforced on the wire."""
        return self._body.size

    def body(self) -> AsyncIterator[Chunk]:
        """The body in pieces as they arrive; the caller is slowed down to the reader's pace.

        Raises:
            NetworkError: while iterating, when the caller goes away before its end.
        """
        return aiter(self._body)

    async def read(self, max_size: int) -> bytes:
        """The whole body.

        Raises:
            FormatError: it is larger than ``max_size`` bytes.
            NetworkError: the caller went away before its end.
        """
        return await self._body.read(max_size)


@dataclass(slots=True)
class Reply:
    """A handler's answer.

    Args:
        args: a msgspec Struct or a dict, None for nothing.
        body: bytes, a list of buffers, or an async iterator of buffers.
    """

    args: Any = None
    body: Body = b""


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


class Response:
    """A peer's answer. Read the body to its end, or close it, or use it as a context manager."""

    __slots__ = ("_body", "_cancel", "args", "document")

    def __init__(
        self,
        document: IdentityDocument,
        args: bytes,
        body: InboundBody,
        cancel: Callable[[], None],
    ) -> None:
        self.document = document
        self.args = args
        self._body = body
        self._cancel = cancel

    def decode(self, kind: type[T]) -> T:
        """The arguments as ``kind``, a msgspec Struct.

        Raises:
            FormatError: they are not of that form.
        """
        decoded: T = decode_args(self.args, kind)
        return decoded

    @property
    def body_size(self) -> int:
        """Bytes of the body as declared, -1 when the peer did not know; enforced on the wire."""
        return self._body.size

    async def read(self, max_size: int) -> bytes:
        """The whole body.

        Raises:
            FormatError: it is larger than ``max_size`` bytes; the rest is refused.
            NetworkError: the peer went away before its end.
        """
        try:
            return await self._body.read(max_size)
        finally:
            self.close()

    async def read_into(self, memory: memoryview) -> int:
        """Fill ``memory`` with the next bytes of the body; fewer only at its end.

        Raises:
            NetworkError: the peer went away before its end.
        """
        return await self._body.read_into(memory)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return aiter(self._body)

    def close(self) -> None:
        """Take no more of the body; harmless when it was read to its end."""
        if not self._body.exhausted:
            self._cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
