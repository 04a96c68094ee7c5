"""The customer's hand on a supplier: put, get, delete, list and audit objects there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from blake3 import blake3

from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    BitdustError,
    Busy,
    DeadlineExceeded,
    DiskFull,
    IntegrityError,
    InvalidInput,
    InvalidName,
    NoContract,
    NotFound,
    PeerRefused,
    QuotaExceeded,
)
from bitdust.network import Response
from bitdust.supply import messages as m
from bitdust.supply.ports import Body, NetworkPort
from bitdust.supply.store import MAX_OBJECT
from bitdust.supply.wire import NodeID

T = TypeVar("T")

SHORT_TIMEOUT = 30.0
"""Seconds for an answer that needs no reading of large objects."""
LONG_TIMEOUT = 300.0
"""Seconds for a whole object to go over."""
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 32.0
"""Seconds before a busy supplier is asked for its list again; doubled from first to last."""

_REASONS: Final[dict[str, tuple[type[BitdustError], str]]] = {
    "quota": (QuotaExceeded, ""),
    "disk_full": (DiskFull, "the supplier's disk is full; it may be replaced by another one"),
    "integrity": (IntegrityError, ""),
    "format": (IntegrityError, ""),
    "not_found": (NotFound, ""),
    "already_exists": (AlreadyExists, ""),
    "busy": (Busy, ""),
    "access_denied": (AccessDenied, "ask the owner of the share for access"),
    "no_contract": (NoContract, "see `bitdust supplier list`"),
    "invalid_name": (InvalidName, ""),
    "invalid_input": (InvalidInput, ""),
}


@contextlib.contextmanager
def refusals() -> Any:
    """Turn a supplier's refusal into the error it would be here; unknown reasons stay as they are.

    Raises:
        BitdustError: of the class that the reason names.
    """
    try:
        yield
    except PeerRefused as exc:
        known = _REASONS.get(exc.reason)
        if known is None:
            raise
        kind, hint = known
        raise kind(f"the supplier refused: {exc.message}", hint=hint) from exc


class SupplierClient:
    """Objects on suppliers, by node id.

    Every method raises ``PeerUnreachable``, ``DeadlineExceeded`` or another ``NetworkError`` when
    the supplier cannot be reached or breaks off, ``NoContract`` when it does not know this
    customer, ``Busy`` when it is asked too often, and ``FormatError`` when its answer is nonsense.

    Args:
        network: sessions to other nodes.
        on_usage: told of the bytes and the number of objects a supplier says it keeps for us.
        on_stranger: told when a supplier says it has no contract with us.
        account: whose objects are meant, for a member of a share; one's own when empty.
        prefix: how the names of all objects begin at suppliers; callers leave it out.
    """

    def __init__(
        self,
        network: NetworkPort,
        on_usage: Callable[[NodeID, int, int], None] | None = None,
        on_stranger: Callable[[NodeID], None] | None = None,
        *,
        account: bytes = b"",
        prefix: str = "",
    ) -> None:
        self._network = network
        self._account = account
        self._prefix = prefix
        self._on_stranger = on_stranger
        self._on_usage = on_usage

    async def put(
        self,
        node: NodeID,
        name: str,
        buffers: Body,
        size: int,
        hash: bytes,
        timeout: float = LONG_TIMEOUT,
    ) -> bool:
        """Give an object to a supplier; on return it is on the supplier's disk.

        Args:
            node: the supplier, 32 bytes.
            name: object name.
            buffers: the body: bytes, a list of buffers or an async iterator of them.
            size: its length, bytes.
            hash: its BLAKE3, 32 bytes.
            timeout: seconds for all of it.

        Returns:
            True when it was sent, False when the supplier had exactly this object before.

        Raises:
            QuotaExceeded: no room in the contract.
            DiskFull: no room on the supplier's disk.
            AlreadyExists: the name belongs to other bytes there.
            IntegrityError: what arrived was not what was announced.
        """
        args = m.Put(self._prefix + name, size, hash, self._account)
        async with self._asked(node, m.PUT, args, timeout, buffers) as response:
            stored = response.decode(m.Stored)
        self._note(node, stored.used, stored.count)
        return not stored.existed

    async def get(
        self,
        node: NodeID,
        name: str,
        offset: int = 0,
        length: int = -1,
        *,
        timeout: float = LONG_TIMEOUT,
        max_size: int = MAX_OBJECT,
        expect: bytes | None = None,
    ) -> bytes:
        """Fetch an object or a part of it as one piece.

        Args:
            node: the supplier.
            name: object name.
            offset: first byte wanted.
            length: bytes wanted, -1 for all from ``offset``.
            timeout: seconds for all of it.
            max_size: most bytes taken.
            expect: the BLAKE3 the whole object must have; without it the supplier's word counts.

        Raises:
            NotFound: the supplier has no such object.
            IntegrityError: it is damaged there, or what came is not what it should be.
        """
        stream = self.stream(
            node, name, offset, length, timeout=timeout, max_size=max_size, expect=expect
        )
        async with self._deadline(timeout), contextlib.aclosing(stream):
            return b"".join([part async for part in stream])

    async def get_into(
        self,
        node: NodeID,
        name: str,
        out: memoryview,
        *,
        timeout: float = LONG_TIMEOUT,
        expect: bytes | None = None,
    ) -> None:
        """Fetch all of an object into memory of its size.

        The bytes are as the supplier sent them: whether they fit their hash is for the caller to
        see, who can do so in another thread.

        Args:
            node: the supplier.
            name: object name.
            out: exactly as many bytes as the object must have.
            timeout: seconds for all of it.
            expect: the BLAKE3 the object must have; another one said by the supplier ends it.

        Raises:
            NotFound: the supplier has no such object.
            IntegrityError: it is damaged there, or has another size or hash.
        """
        async with self._asked(node, m.GET, self._get_args(name), timeout) as response:
            got = response.decode(m.Got)
            if expect is not None and got.hash != expect:
                raise IntegrityError(f"the supplier has other bytes under {name}")
            if got.size != len(out):
                raise IntegrityError(f"{name} has {got.size} bytes instead of {len(out)}")
            if await response.read_into(out) < len(out):
                raise IntegrityError(f"the supplier broke off within {name}")
            async for _ in response:
                raise IntegrityError(f"the supplier sent more than {len(out)} bytes of {name}")

    async def stream(
        self,
        node: NodeID,
        name: str,
        offset: int = 0,
        length: int = -1,
        *,
        timeout: float = LONG_TIMEOUT,
        max_size: int = MAX_OBJECT,
        expect: bytes | None = None,
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """Fetch as ``get`` does, in pieces as they arrive; close it when it is not read to its end.

        ``timeout`` bounds the wait for the first piece and each wait for a further one. Nothing is
        proven before the end: an ``IntegrityError`` after the last piece means that all of it is
        worthless.
        """
        # No deadline over all of it here: it would strike the reader between two pieces.
        async with await self._request(
            node, m.GET, self._get_args(name, offset, length), timeout
        ) as response:
            got = response.decode(m.Got)
            end = got.size if length < 0 else min(got.size, offset + length)
            want = max(0, end - offset)
            if expect is not None and got.hash != expect:
                raise IntegrityError(f"the supplier has other bytes under {name}")
            if want > max_size:
                raise IntegrityError(f"{name} has {want} bytes, at most {max_size} are expected")
            hasher = blake3() if want == got.size else None
            total = 0
            async for part in response:
                total += len(part)
                if total > want:
                    raise IntegrityError(f"the supplier sent more than {want} bytes of {name}")
                if hasher is not None:
                    hasher.update(part)
                yield part
            if total < want:
                raise IntegrityError(f"the supplier sent {total} of {want} bytes of {name}")
            if hasher is not None and hasher.digest() != got.hash:
                raise IntegrityError(f"the bytes of {name} do not fit their hash")

    async def delete(
        self, node: NodeID, names: Sequence[str], timeout: float = SHORT_TIMEOUT
    ) -> int:
        """Remove objects from a supplier; those that are not there are passed over.

        Returns:
            How many were there.
        """
        deleted = 0
        for at in range(0, len(names), m.DELETE_PAGE):
            some = [self._prefix + name for name in names[at : at + m.DELETE_PAGE]]
            page = m.Delete(some, self._account)
            async with self._asked(node, m.DELETE, page, timeout) as response:
                answer = response.decode(m.Deleted)
            deleted += answer.deleted
            self._note(node, answer.used, answer.count)
        return deleted

    async def list(
        self, node: NodeID, prefix: str = "", timeout: float = SHORT_TIMEOUT
    ) -> AsyncIterator[m.Entry]:
        """All objects a supplier keeps for this customer, by name, at the pace it allows.

        Args:
            prefix: how the names begin.
            timeout: seconds for each page.

        Raises:
            IntegrityError: the supplier's pages do not go forward.
            Busy: it gave no page for about a minute.
        """
        after = ""
        prefix = self._prefix + prefix
        while True:
            args = m.List(prefix, after, account=self._account)
            page = await self._list_page(node, args, timeout)
            for entry in page.entries:
                # A hostile supplier could send pages for ever; names only rise and have an end.
                if entry.name <= after or not entry.name.startswith(prefix):
                    raise IntegrityError("the supplier lists its objects out of order")
                after = entry.name
                if self._prefix:
                    entry = msgspec.structs.replace(
                        entry, name=entry.name.removeprefix(self._prefix)
                    )
                yield entry
            if not page.more or not page.entries:
                return

    async def _list_page(self, node: NodeID, args: m.List, timeout: float) -> m.Listed:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._asked(node, m.LIST, args, timeout) as response:
                    return response.decode(m.Listed)
            except Busy:
                # a long list has more pages than a supplier gives at once
                if pause > LONGEST_PAUSE:
                    raise
                await asyncio.sleep(pause)
                pause *= 2

    async def audit(
        self, node: NodeID, name: str, key: bytes, timeout: float = LONG_TIMEOUT
    ) -> bytes:
        """Ask for the answer to a one-time challenge; see ``bitdust.proofs``.

        Args:
            key: 32 bytes never used before.

        Returns:
            32 bytes, right only if the supplier has the object.
        """
        args = m.Audit(self._prefix + name, key, self._account)
        async with self._asked(node, m.AUDIT, args, timeout) as response:
            return response.decode(m.Audited).digest

    def _get_args(self, name: str, offset: int = 0, length: int = -1) -> m.Get:
        return m.Get(self._prefix + name, offset, length, self._account)

    def _note(self, node: NodeID, used: int, count: int) -> None:
        if self._on_usage is not None:
            self._on_usage(node, used, count)

    @contextlib.asynccontextmanager
    async def _asked(
        self, node: NodeID, method: str, args: object, timeout: float, body: Body = b""
    ) -> AsyncIterator[Response]:
        async with (
            self._deadline(timeout),
            await self._request(node, method, args, timeout, body) as response,
        ):
            yield response

    async def _request(
        self, node: NodeID, method: str, args: object, timeout: float, body: Body = b""
    ) -> Response:
        try:
            with refusals():
                return await self._network.request(node, method, args, body=body, timeout=timeout)
        except NoContract:
            if self._on_stranger is not None:
                self._on_stranger(node)
            raise

    @contextlib.asynccontextmanager
    async def _deadline(self, timeout: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError as exc:
            raise DeadlineExceeded(f"the supplier took longer than {timeout:g} s") from exc
