"""Other people's identity documents: verified, remembered, and guarded against swapped keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError, IdentityServerError, IntegrityError, NotFound
from bitdust.events import EventBus
from bitdust.identity.cachestore import CacheStore
from bitdust.identity.document import IdentityDocument
from bitdust.identity.nameclient import NameClient
from bitdust.identity.rotation import source_change
from bitdust.ids import IDURL

CACHE_FILE = Path("metadata") / "identities.db"
DEFAULT_LIMIT = 10_000
"""Documents kept; the least recently used one that is not pinned goes first."""
DEFAULT_MAX_AGE = 3600.0
"""Seconds after which a document is asked for again."""

T = TypeVar("T")


class IdentityCache:
    """Documents of other people by IDURL and node id. Made by ``await IdentityCache.open``.

    Args:
        store: the open file.
        client: how name servers are reached.
        clock: wall clock for ages.
        pool: where SQLite calls and signature checks run.
        events: told when somebody who is known changed its sources.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
        events: EventBus | None = None,
    ) -> None:
        self._store = store
        self._events = events
        self._client = client
        self._clock = clock
        self._pool = pool
        self._log = structlog.get_logger().bind(component="identity-cache")

    @classmethod
    async def open(
        cls,
        home: Path,
        *,
        client: NameClient,
        clock: Clock,
        pool: Executor,
        events: EventBus | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> IdentityCache:
        """Open the cache of a home; a damaged file is put aside and a new one begun.

        Raises:
            InvalidInput: ``limit`` is not positive.
            LocalFileError, DiskFull: the file cannot be used.
        """
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(pool, CacheStore, home / CACHE_FILE, limit)
        cache = cls(store, client=client, clock=clock, pool=pool, events=events)
        if store.put_aside:
            cache._log.warning("damaged identity cache put aside", file=str(home / CACHE_FILE))
        return cache

    async def close(self) -> None:
        """Close the file; the cache is of no use afterwards."""
        await self._run(self._store.close)

    async def add(
        self, document: IdentityDocument, *, served_at: IDURL | None = None, replace: bool = False
    ) -> IdentityDocument:
        """Take a document whose signature was checked by ``IdentityDocument.parse``.

        Args:
            served_at: where a name server gave it; None when its owner or anybody else did.
            replace: take another key for a name that is known; for a person's explicit word only.

        Returns:
            the newest document of that key, which may be one that was known before.

        Raises:
            IntegrityError: its address belongs to another key; nothing was stored.
        """
        now = self._clock.now()
        known, before = await self._run(lambda: self._store.add(document, served_at, replace, now))
        if before is not None:
            self._tell(before, known)
        return known

    async def get(self, idurl: IDURL, *, confirmed: bool = True) -> IdentityDocument | None:
        """The newest known document of the person at ``idurl``, a former address included.

        Args:
            confirmed: only if a name server said that the name belongs to that key; otherwise
                anybody who named that address in a document may be given.
        """
        now = self._clock.now()
        return await self._run(lambda: self._store.by_name(idurl, confirmed, now))

    async def get_node(self, node_id: bytes) -> IdentityDocument | None:
        """The newest known document of a key, by its fingerprint."""
        now = self._clock.now()
        return await self._run(lambda: self._store.by_node(node_id, now))

    async def confirmed_names(self, node_id: bytes) -> tuple[IDURL, ...]:
        """Addresses of a key that name servers confirmed, those that it left included."""
        texts = await self._run(lambda: self._store.confirmed_names(node_id))
        return tuple(IDURL.parse(text) for text in texts)

    async def other_names(self, document: IdentityDocument) -> tuple[IDURL, ...]:
        """Confirmed addresses of a person besides the present one."""
        names = await self.confirmed_names(document.node_id)
        return tuple(place for place in names if place != document.idurl)

    async def resolve(
        self, idurl: IDURL, max_age: float = DEFAULT_MAX_AGE, *, replace: bool = False
    ) -> IdentityDocument:
        """The document of the person at ``idurl``, asked for again when older than ``max_age``.

        Args:
            max_age: seconds; 0 always asks. When no server gives a proper document, the known copy
                is given.
            replace: accept another key than the known one.

        Raises:
            NotFound: the server knows no such name, and neither does the cache.
            IdentityServerError: the server is away and nothing is known.
            IntegrityError: the server gave the document of another key, or nothing is known and it
                gave no proper document.
        """
        known = await self.get(idurl)
        places, left = [idurl], False
        if known is not None:
            age = self._clock.now() - await self._run(
                lambda node_id=known.node_id: self._store.fetched(node_id)  # type: ignore[misc]
            )
            if 0 <= age < max_age:
                return known
            # Where somebody moved to may answer when the former address does not. Whoever left an
            # address said so under signature: what is served there now is none of its business.
            left = idurl not in known.sources and not replace
            others = [source for source in known.sources if source != idurl]
            places = [*others, idurl] if left else [idurl, *others]
            if known.dht_key:
                # where its own hand says in the DHT where it is, with all its servers gone
                in_dht = IDURL.in_dht(known.dht_key, known.name)
                places += [in_dht] if in_dht not in places else []
        failure: BitdustError = NotFound(f"no identity is known at {idurl}")
        for place in places:
            try:
                document = await self._fetch(place)
            except (IdentityServerError, NotFound, IntegrityError) as exc:
                # Nonsense, such as the login page of a hotel, is no better than no answer.
                failure = exc if place == idurl else failure
                continue
            elsewhere = left or place != idurl
            if elsewhere and known is not None and document.node_id != known.node_id:
                continue  # a stranger at one of the other addresses says nothing about this one
            spoken = place if place in document.sources or not place.is_serverless else None
            return await self.add(document, served_at=spoken, replace=replace)
        if known is None:
            raise failure
        self._log.info("known identity used", idurl=str(idurl), reason=failure.message)
        return known

    async def pin(self, node_id: bytes) -> None:
        """Never evict this person's document; when all room is pinned, others are not kept.

        Raises:
            NotFound: no document of that key is known.
        """
        await self._run(lambda: self._store.pin(node_id))

    async def unpin(self, node_id: bytes) -> None:
        """The document may be evicted again."""
        await self._run(lambda: self._store.unpin(node_id))

    async def forget(self, node_id: bytes) -> None:
        """Drop a key's document and all its names, pinned or not."""
        await self._run(lambda: self._store.forget(node_id))

    async def list(self, limit: int = DEFAULT_LIMIT) -> tuple[IdentityDocument, ...]:
        """Known documents, the one used last first."""
        return await self._run(lambda: self._store.newest_used(limit))

    async def count(self) -> int:
        """How many documents are kept."""
        return await self._run(self._store.count)

    def _tell(self, old: IdentityDocument, new: IdentityDocument) -> None:
        if self._events is None or old.sources == new.sources:
            return
        change = source_change(old, new)
        self._events.publish("identity-rotated", **change)
        if old.idurl != new.idurl:
            self._events.publish("identity-url-changed", **change)

    async def _fetch(self, place: IDURL) -> IdentityDocument:
        xml = await self._client.fetch(place)
        try:
            return await self._run(lambda: IdentityDocument.parse(xml))
        except IntegrityError as exc:
            raise type(exc)(f"what is served at {place} is bad: {exc.message}") from exc

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
