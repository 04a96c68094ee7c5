"""A name server without a network: the real rules, in memory, with a switch to be away."""

from __future__ import annotations

from bitdust.crypto import PrivateKey
from bitdust.errors import IdentityServerError, NotFound
from bitdust.identity import IdentityDocument, check_publication
from bitdust.ids import IDURL


class MemoryNames:
    """All name servers of a test in one object; implements ``NameClient``.

    Any host and port is served. Set ``away`` to make every server unreachable, or put hosts as
    ``(host, port)`` into ``away_hosts`` to lose only those.
    """

    def __init__(self) -> None:
        self.away = False
        self.away_hosts: set[tuple[str, int]] = set()
        self.documents: dict[IDURL, bytes] = {}
        self.fetches: list[IDURL] = []
        self.publications: list[IDURL] = []

    async def fetch(self, idurl: IDURL) -> bytes:
        """The registered document.

        Raises:
            NotFound, IdentityServerError: as ``NameClient.fetch``.
        """
        self._reach(idurl)
        self.fetches.append(idurl)
        if idurl not in self.documents:
            raise NotFound(f"no identity is registered at {idurl}")
        return self.documents[idurl]

    async def publish(self, idurl: IDURL, xml: bytes, signer: PrivateKey | None = None) -> None:
        """Register or update a document.

        Raises:
            NameTaken, AlreadyExists, IdentityServerError: as ``NameClient.publish``.
        """
        del signer
        self._reach(idurl)
        self.publications.append(idurl)
        held = self.documents.get(idurl)
        offered = IdentityDocument.parse(xml)
        if check_publication(IdentityDocument.parse(held) if held else None, offered, idurl):
            self.documents[idurl] = offered.to_xml()

    def _reach(self, idurl: IDURL) -> None:
        if idurl.is_serverless:
            raise NotFound(f"{idurl} is on no server")
        if self.away or (idurl.host, idurl.port) in self.away_hosts:
            raise IdentityServerError(f"the identity server {idurl.host}:{idurl.port} is away")
