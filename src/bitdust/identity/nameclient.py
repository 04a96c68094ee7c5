"""Asking name servers for documents and publishing one's own, over plain HTTP.

Nothing a name server says is believed: documents prove themselves by signature, and the cache
remembers which key a name belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from concurrent.futures import Executor
from typing import Protocol

from bitdust.crypto import PrivateKey
from bitdust.errors import AlreadyExists, IdentityServerError, NameTaken, NotFound
from bitdust.identity.document import MAX_DOCUMENT_SIZE
from bitdust.ids import IDURL

DEFAULT_TIMEOUT = 15.0
"""Seconds for one whole exchange, name lookup included."""
MAX_EXPLANATION = 300
"""Bytes of a refusal's text that are passed on."""


class NameClient(Protocol):
    """A way to reach name servers."""

    async def fetch(self, idurl: IDURL) -> bytes:
        """The document served at ``idurl``: at most ``MAX_DOCUMENT_SIZE`` unchecked bytes.

        Raises:
            NotFound: the server knows no such name.
            IdentityServerError: the server is away or answers nonsense.
        """
        ...

    async def publish(self, idurl: IDURL, xml: bytes, signer: PrivateKey | None = None) -> None:
        """Have ``xml`` served at ``idurl``; ``signer`` is its person's master key.

        Raises:
            NameTaken: the name belongs to another key.
            AlreadyExists: the server holds the same or a higher revision.
            IdentityServerError: the server is away, busy or refuses the document.
        """
        ...


class HttpNameClient:
    """A ``NameClient`` over HTTP/1.1, one connection per call, redirects never followed.

    Args:
        pool: where the blocking calls run.
        timeout: seconds for one whole exchange.
    """

    def __init__(self, pool: Executor, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._pool = pool
        self._timeout = timeout

    async def fetch(self, idurl: IDURL) -> bytes:
        status, body = await self._exchange(idurl, "GET", None)
        if status == 200:
            if len(body) > MAX_DOCUMENT_SIZE:
                raise IdentityServerError(f"{_where(idurl)} sent an oversized document")
            return body
        if status == 404:
            raise NotFound(f"no identity is registered at {idurl}")
        raise _refusal(idurl, status, body)

    async def publish(self, idurl: IDURL, xml: bytes, signer: PrivateKey | None = None) -> None:
        del signer  # the document proves itself to a server
        status, body = await self._exchange(idurl, "PUT", xml)
        if status in (200, 201, 204):
            return
        if status == 403:
            raise NameTaken(f"the name {idurl.username} is taken on {_where(idurl)}")
        if status == 409:
            raise AlreadyExists(f"{_where(idurl)} holds this or a higher revision")
        raise _refusal(idurl, status, body)

    async def _exchange(self, idurl: IDURL, method: str, body: bytes | None) -> tuple[int, bytes]:
        if idurl.is_serverless:
            raise IdentityServerError(f"{idurl} is on no server")
        exchange = _Exchange(idurl, method, body, self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._pool, exchange.run)
        except TimeoutError as exc:
            raise IdentityServerError(f"{_where(idurl)} did not answer in time") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            # ValueError covers host names that cannot be encoded.
            raise IdentityServerError(
                f"{_where(idurl)} cannot be reached ({type(exc).__name__})"
            ) from exc
        finally:
            # A server that drips bytes would hold the pool's thread beyond the deadline.
            exchange.abandon()


class _Exchange:
    """One blocking request and its answer, which another thread may cut off."""

    def __init__(self, idurl: IDURL, method: str, body: bytes | None, timeout: float) -> None:
        self._idurl = idurl
        self._method = method
        self._body = body
        self._connection = http.client.HTTPConnection(idurl.host, idurl.port, timeout=timeout)
        self._socket: socket.socket | None = None
        self._abandoned = False

    def run(self) -> tuple[int, bytes]:
        """Status and at most one byte more than a document may have."""
        headers = {"Connection": "close", "User-Agent": "bitdust"}
        if self._body is not None:
            headers["Content-Type"] = "text/xml; charset=utf-8"
        with contextlib.closing(self._connection) as connection:
            connection.connect()
            # Kept, because the connection forgets it once the answer's head is read.
            self._socket = connection.sock
            if self._abandoned:
                raise TimeoutError
            # A server may refuse a document before having read it all; its answer is there then.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    self._method, f"/{self._idurl.username}.xml", body=self._body, headers=headers
                )
            with contextlib.closing(connection.getresponse()) as response:
                body = response.read(MAX_DOCUMENT_SIZE + 1)
                if response.length and len(body) <= MAX_DOCUMENT_SIZE:
                    raise http.client.IncompleteRead(body, response.length)
                return response.status, body

    def abandon(self) -> None:
        """Make ``run`` end at once; harmless when it has ended."""
        self._abandoned = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _where(idurl: IDURL) -> str:
    return f"the identity server {idurl.host}:{idurl.port}"


def _refusal(idurl: IDURL, status: int, body: bytes) -> IdentityServerError:
    text = body[:MAX_EXPLANATION].decode("utf-8", "replace").strip()
    shown = "".join(ch if ch.isprintable() else " " for ch in text)
    return IdentityServerError(f"{_where(idurl)} answered {status}: {shown or 'nothing'}")
