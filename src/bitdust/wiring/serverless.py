"""Identity documents in the DHT: addresses of the form ``dht://<DHT key>/name.xml``.

The record stands under the person's own DHT key, so nobody else can put one there, and the document
in it proves itself by the master key's signature.

Source: docs/spec/identity.md, "Without a server".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from bitdust.dht import IDENTITY, LAYER_COMMON, Dht
from bitdust.errors import (
    AlreadyExists,
    DhtError,
    FormatError,
    IdentityServerError,
    InvalidInput,
    NotFound,
)
from bitdust.identity import IdentityDocument, NameClient
from bitdust.ids import IDURL
from bitdust.pool import in_pool

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bitdust.crypto import PrivateKey

READ_TIMEOUT = 10.0
WRITE_TIMEOUT = 15.0


class AnyNames:
    """A ``NameClient`` for name servers and for the DHT.

    Args:
        servers: how name servers are reached.
        dht: gives the DHT, None while it is off.
        pool: where documents are read.
    """

    def __init__(self, servers: NameClient, dht: Callable[[], Dht | None], pool: Executor) -> None:
        self._servers = servers
        self._dht = dht
        self._pool = pool

    async def fetch(self, idurl: IDURL) -> bytes:
        if not idurl.is_serverless:
            return await self._servers.fetch(idurl)
        try:
            result = await self._running().get_value(
                record_key(idurl),
                record_type=IDENTITY,
                layer=LAYER_COMMON,
                owner_dht_key=bytes.fromhex(idurl.host),
                timeout=READ_TIMEOUT,
            )
        except (DhtError, FormatError) as exc:
            raise IdentityServerError(f"{idurl} cannot be read: {exc.message}") from exc
        if not result.found:
            raise NotFound(f"no identity is in the DHT at {idurl}")
        return str(result.value["identity"]).encode("utf-8", "replace")

    async def publish(self, idurl: IDURL, xml: bytes, signer: PrivateKey | None = None) -> None:
        if not idurl.is_serverless:
            await self._servers.publish(idurl, xml, signer)
            return
        dht = self._running()
        if signer is None:
            raise InvalidInput("an identity in the DHT is signed with its own key")
        document = await in_pool(self._pool, IdentityDocument.parse, xml)
        value = {
            "key": record_key(idurl),
            "type": IDENTITY,
            "timestamp": int(datetime.fromisoformat(document.date).timestamp()),
            "idurl": str(document.idurl),
            "identity": xml.decode("utf-8"),
            "revision": document.revision,
        }
        try:
            result = await dht.set_value(
                record_key(idurl),
                value,
                record_type=IDENTITY,
                layer=LAYER_COMMON,
                signer=signer,
                timeout=WRITE_TIMEOUT,
            )
        except (DhtError, InvalidInput) as exc:
            raise IdentityServerError(f"{idurl} cannot be written: {exc.message}") from exc
        if result.success:
            return
        if result.revision > document.revision:
            raise AlreadyExists(f"the DHT holds a higher revision of {idurl}")
        raise IdentityServerError(f"{idurl} cannot be written: {result.reason}")

    def _running(self) -> Dht:
        dht = self._dht()
        if dht is None:
            raise IdentityServerError(
                "the DHT is off", hint="start it with `bitdust service start entangled_dht`"
            )
        return dht


def record_key(idurl: IDURL) -> str:
    """The DHT key of the record; the name in the address does not matter."""
    return f"identity:{idurl.host}"
