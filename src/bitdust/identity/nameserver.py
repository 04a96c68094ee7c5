"""The identity server that any node can run: names first come, first served, over HTTP.

    GET  /alice.xml     the registered document, or 404
    PUT  /alice.xml     register or update; POST does the same
    GET  /              a line for people

The listening socket belongs to the caller, who runs ``NameServer.app`` in an ASGI server.

Source: ``docs/spec/identity.md``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from bitdust.clock import Clock
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    IdentityServerError,
    IntegrityError,
    InvalidInput,
    NameTaken,
)
from bitdust.identity.document import MAX_DOCUMENT_SIZE, IdentityDocument
from bitdust.identity.namestore import NameStore
from bitdust.identity.ratelimit import Rate, TokenBuckets
from bitdust.ids import IDURL, check_username

# Defaults of NameServerLimits, where their meaning stands.
READS = Rate(20, 400)
WRITES = Rate(1, 100)
REGISTRATIONS = Rate(1 / 60, 50)
ALL_READS = Rate(500, 5000)
ALL_WRITES = Rate(50, 500)
ALL_REGISTRATIONS = Rate(5, 500)
_EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class NameServerLimits:
    """What a name server bears.

    Args:
        reads, writes, registrations: per remote address (IPv6: per /64 network); a registration is
            a write under a new name.
        all_reads, all_writes, all_registrations: for everybody together.
        max_addresses: remote addresses remembered for the rates.
        max_names: names kept.
        max_uploads: documents being received at one moment.
        upload_timeout: seconds for receiving one document.
    """

    reads: Rate = READS
    writes: Rate = WRITES
    registrations: Rate = REGISTRATIONS
    all_reads: Rate = ALL_READS
    all_writes: Rate = ALL_WRITES
    all_registrations: Rate = ALL_REGISTRATIONS
    max_addresses: int = 10_000
    max_names: int = 1_000_000
    max_uploads: int = 64
    upload_timeout: float = 10.0


class _Refused(Exception):
    """Ends a request with a status and a line of text."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = PlainTextResponse(
            text + "\n", status, {"Connection": "close", **(headers or {})}
        )


class NameServer:
    """An ASGI application over a ``NameStore``. Made by ``await NameServer.open``.

    Args:
        store: the open file.
        host, port: under which people reach this server; only documents with a source here are
            taken.
        clock: for rates and dates.
        pool: where SQLite calls and signature checks run.
        limits: what it bears.
    """

    def __init__(
        self,
        store: NameStore,
        host: str,
        port: int,
        *,
        clock: Clock,
        pool: Executor,
        limits: NameServerLimits,
    ) -> None:
        self._store = store
        self._host = host
        self._port = port
        self._clock = clock
        self._pool = pool
        self._limits = limits
        self._uploads = 0
        self._reads = _Gate(limits.reads, limits.all_reads, limits.max_addresses)
        self._writes = _Gate(limits.writes, limits.all_writes, limits.max_addresses)
        self._registrations = _Gate(
            limits.registrations, limits.all_registrations, limits.max_addresses
        )
        self._log = structlog.get_logger().bind(component="name-server", host=host, port=port)
        self.answers: Counter[int] = Counter()
        """Answers given so far by HTTP status."""
        # routing is 1 MiB that a node which serves no names does without
        from starlette.applications import Starlette
        from starlette.routing import Route

        self.app = Starlette(
            routes=[
                Route("/", self._guarded(self._greet), methods=["GET"]),
                Route("/{name}.xml", self._guarded(self._serve), methods=["GET"]),
                Route("/{name}.xml", self._guarded(self._take), methods=["PUT", "POST"]),
            ]
        )

    @classmethod
    async def open(
        cls,
        path: Path,
        host: str,
        port: int,
        *,
        clock: Clock,
        pool: Executor,
        limits: NameServerLimits | None = None,
    ) -> NameServer:
        """Open the file of names, made when missing.

        Raises:
            InvalidName: ``host`` or ``port`` cannot be part of an IDURL.
            IntegrityError: the file is damaged.
            LocalFileError, DiskFull: it cannot be used.
        """
        IDURL.parse(f"http://{host}:{port}/a.xml")
        limits = limits or NameServerLimits()
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(pool, NameStore, path, limits.max_names)
        return cls(store, host, port, clock=clock, pool=pool, limits=limits)

    async def close(self) -> None:
        """Close the file; the ASGI server must have ended before."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._store.close)

    def _guarded(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The handler with refusals turned into answers, and all answers counted."""

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except _Refused as refused:
                response = refused.response
            except BitdustError as exc:
                self._log.error("request failed", error=str(exc))
                response = PlainTextResponse("this server has a problem\n", 500)
            response.headers["X-Content-Type-Options"] = "nosniff"
            self.answers[response.status_code] += 1
            return response

        return handle

    async def _greet(self, request: Request) -> Response:
        self._reads.pass_one(request, self._clock)
        return PlainTextResponse(
            f"This is a BitDust identity server. Identities are at"
            f" http://{self._host}:{self._port}/NAME.xml\n"
        )

    async def _serve(self, request: Request) -> Response:
        self._reads.pass_one(request, self._clock)
        idurl = self._idurl(request)
        loop = asyncio.get_running_loop()
        xml = await loop.run_in_executor(self._pool, self._store.get, idurl.username)
        if xml is None:
            raise _Refused(404, f"no identity is registered as {idurl.username}")
        return Response(xml, media_type="text/xml", headers={"Cache-Control": "no-cache"})

    async def _take(self, request: Request) -> Response:
        self._writes.pass_one(request, self._clock)
        idurl = self._idurl(request)
        xml = await self._receive(request)
        loop = asyncio.get_running_loop()
        try:
            document = await loop.run_in_executor(self._pool, IdentityDocument.parse, xml)
            if await loop.run_in_executor(self._pool, self._store.get, idurl.username) is None:
                self._registrations.pass_one(request, self._clock)
            changed = await loop.run_in_executor(
                self._pool, self._store.put, idurl, document, self._clock.now()
            )
        except (InvalidInput, IntegrityError) as exc:
            raise _Refused(400, exc.message) from exc
        except NameTaken as exc:
            raise _Refused(403, exc.message) from exc
        except AlreadyExists as exc:
            raise _Refused(409, exc.message) from exc
        except IdentityServerError as exc:
            raise _Refused(507, exc.message) from exc
        self._log.info("identity taken", name=idurl.username, revision=document.revision)
        return PlainTextResponse("registered\n" if changed else "unchanged\n")

    def _idurl(self, request: Request) -> IDURL:
        try:
            name = check_username(request.path_params["name"])
        except InvalidInput as exc:
            raise _Refused(404, exc.message) from exc
        return IDURL(self._host, self._port, name)

    async def _receive(self, request: Request) -> bytes:
        """The body, within the bounds of size, time and number."""
        too_long = _Refused(413, f"a document has at most {MAX_DOCUMENT_SIZE} bytes")
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 9 or int(announced) > MAX_DOCUMENT_SIZE:
            raise too_long
        if self._uploads >= self._limits.max_uploads:
            raise _Refused(503, "too many uploads at this moment", {"Retry-After": "5"})
        self._uploads += 1
        try:
            body = bytearray()
            async with asyncio.timeout(self._limits.upload_timeout):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_DOCUMENT_SIZE:
                        raise too_long
            return bytes(body)
        except TimeoutError as exc:
            raise _Refused(408, "the document came too slowly") from exc
        except ClientDisconnect as exc:
            raise _Refused(400, "the document was cut off") from exc
        finally:
            self._uploads -= 1


class _Gate:
    """Rates for one kind of request: per address, and for everybody together."""

    def __init__(self, each: Rate, together: Rate, max_addresses: int) -> None:
        self._each = TokenBuckets(each, max_addresses)
        self._together = TokenBuckets(together, 1)

    def pass_one(self, request: Request, clock: Clock) -> None:
        """Count one request.

        Raises:
            _Refused: there were too many.
        """
        address = _network(request.client.host if request.client else "")
        wait = self._each.take(address, clock.monotonic())
        # The common bucket is touched only by those within their own rate.
        wait = wait or self._together.take(_EVERYBODY, clock.monotonic())
        if wait:
            raise _Refused(429, "too many requests", {"Retry-After": str(math.ceil(wait))})


def _network(host: str) -> str:
    """The address that rates count for: one person easily holds a whole /64 of IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
