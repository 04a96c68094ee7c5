"""The own part of a share: a catalog like that of one's own files, with notes about the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from bitdust.clock import Clock, Random
from bitdust.events import Event, EventBus, EventScope
from bitdust.ids import KeyID, RemotePath
from bitdust.pool import in_pool
from bitdust.sharing.share_chain import OwnChain
from bitdust.sharing.share_merge import Seen
from bitdust.sharing.share_notes import NOTES, Saw
from bitdust.sharing.share_source import Source
from bitdust.storage import (
    UPLOAD,
    Catalog,
    CatalogDamaged,
    Job,
    Secret,
    Storage,
    StorageClient,
    Suppliers,
    Transaction,
)

_JOURNAL_EVENT = "my-backup-index-synchronized"
_OWN = ("my-backup-index-out-of-sync", "data-repaired")


class ShareEvents(EventScope):
    """The node's events as the storage of a share sees them.

    Those about the catalog of the own files are not passed on from here.

    Args:
        bus: the node's.
        on_sent: called when a part of the journal reached the suppliers.
    """

    def __init__(self, bus: EventBus, on_sent: Callable[[], None]) -> None:
        super().__init__(bus)
        self._on_sent = on_sent

    def publish(self, event_id: str, **data: Any) -> Event:
        if event_id == _JOURNAL_EVENT:
            self._on_sent()
        if event_id == "backup-done":
            self._on_sent()
        if event_id in (_JOURNAL_EVENT, *_OWN):
            return Event(event_id, data)
        return super().publish(event_id, **data)


class _OneKey:
    """Gives the share's secret for whatever it is asked."""

    def __init__(self, secret: Callable[[], Secret]) -> None:
        self._secret = secret

    def private(self, key_id: KeyID) -> Secret:
        del key_id
        return self._secret()


class ShareStorage(Storage):
    """The own part of a share.

    Args:
        path: of the own catalog.
        key_id: of the share.
        node: own node id. person: own global id.
        secret: what the secrets follow from.
        suppliers, client: who keeps it, and how objects travel below the own name.
        events: of the share. clock, random, pool: of the node.
        chain: signs the journal.
        seen: the newest versions of the others that are known now.
    """

    def __init__(
        self,
        path: Path,
        key_id: KeyID,
        node: bytes,
        person: str,
        secret: Callable[[], Secret],
        suppliers: Suppliers,
        client: StorageClient,
        events: ShareEvents,
        clock: Clock,
        random: Random,
        pool: Executor,
        chain: OwnChain,
        seen: Callable[[], Seen],
    ) -> None:
        super().__init__(
            path,
            key_id,
            _OneKey(secret),
            suppliers,
            client,
            events,
            clock,
            random,
            pool,
            chain,
            _other_owners(path, key_id),
        )
        self._node = node
        self._person = person
        self._seen = seen
        self._source: Source | None = None

    @property
    def opened(self) -> bool:
        """Whether the catalog is there."""
        return self._parts is not None

    async def source(self) -> Source:
        """The own catalog as the merged view asks it.

        Raises:
            ServiceOff: it is not open yet.
        """
        catalog = self.parts.catalog
        if self._source is None or self._source.catalog is not catalog:
            source = Source(self._node, self._person, catalog)
            await in_pool(self.pool, source.refresh)
            self._source = source
        return self._source

    async def begin(
        self, kind: str, remote: RemotePath, local: str, item: int, options: dict[str, Any]
    ) -> Job:
        """See ``Storage``; an upload remembers what it can have taken into account."""
        if kind == UPLOAD:
            await self.source()
            known = await in_pool(self.pool, self._seen)
            seen = {writer.hex(): number for writer, number in known.items()}
            options = {**options, "seen": seen}
        return await super().begin(kind, remote, local, item, options)

    def _path_id(self, catalog: Catalog, item: int) -> str:
        """Items of a share are known by their writer first."""
        slot = Source(self._node, self._person, catalog).slot
        return f"{slot}/{super()._path_id(catalog, item)}".rstrip("/")

    def _committed(self, tx: Transaction, seq: int, job: Job) -> None:
        told = job.options.get("seen", {})
        seen = {bytes.fromhex(writer): int(number) for writer, number in told.items() if number}
        if self._source is None:  # an upload that a restart took up again
            self._source = Source(self._node, self._person, self.parts.catalog)
            self._source.refresh()
        if seen:
            self._source.add_note(tx, Saw(seq, seen), self.clock.now())


def _other_owners(path: Path, key_id: KeyID) -> list[Any]:
    """People under whose name an own catalog has the share, after they moved to another address."""
    if not path.exists():
        return []
    try:
        catalog = Catalog.open(path)
    except CatalogDamaged:
        return []  # found again, and dealt with, when it is opened for use
    try:
        names = list(catalog.keys())
        known = [KeyID.parse(text) for text in names if text != str(NOTES)]
    finally:
        catalog.close()
    return [one.owner for one in known if one.alias == key_id.alias and one != key_id]
