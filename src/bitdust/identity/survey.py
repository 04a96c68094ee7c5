"""Asking all of a person's name servers at once what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from bitdust.crypto import PublicKey
from bitdust.errors import IdentityServerError, IntegrityError, NotFound
from bitdust.identity.document import IdentityDocument
from bitdust.identity.nameclient import NameClient
from bitdust.ids import IDURL


@dataclass(frozen=True, slots=True)
class Survey:
    """What the servers said about one key.

    Args:
        own: documents of the key, by where they are served.
        free: where nothing is served under the name.
        strangers: where the name belongs to another key, or to nobody readable.
        away: where no server answered.
    """

    own: dict[IDURL, IdentityDocument]
    free: tuple[IDURL, ...]
    strangers: tuple[IDURL, ...]
    away: tuple[IDURL, ...]

    @property
    def newest(self) -> IdentityDocument | None:
        """The key's document of the highest revision."""
        return max(self.own.values(), key=lambda document: document.revision, default=None)


async def ask_servers(
    client: NameClient,
    pool: Executor,
    sources: Sequence[IDURL],
    key: PublicKey,
    known: IdentityDocument | None = None,
) -> Survey:
    """Fetch from every source at once.

    Args:
        sources: a few; each costs one exchange.
        key: whose documents are looked for.
        known: the document expected there; the very same bytes are not verified again.
    """
    loop = asyncio.get_running_loop()
    known_xml = known.to_xml() if known is not None else None

    async def ask(source: IDURL) -> IdentityDocument | Exception:
        try:
            xml = await client.fetch(source)
            if known is not None and xml == known_xml:
                return known
            return await loop.run_in_executor(pool, IdentityDocument.parse, xml)
        except (NotFound, IdentityServerError, IntegrityError) as exc:
            return exc

    answers = dict(zip(sources, await asyncio.gather(*map(ask, sources)), strict=True))
    own: dict[IDURL, IdentityDocument] = {}
    free, strangers, away = [], [], []
    for source, answer in answers.items():
        if isinstance(answer, NotFound):
            free.append(source)
        elif isinstance(answer, IdentityServerError):
            away.append(source)
        elif isinstance(answer, IdentityDocument) and answer.public_key == key:
            own[source] = answer
        else:
            strangers.append(source)
    return Survey(own, tuple(free), tuple(strangers), tuple(away))
