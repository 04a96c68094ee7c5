"""One share that is open: the own part, the parts of the others, and what travels between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import structlog

from bitdust.clock import Clock, Random, pause
from bitdust.crypto import PrivateKey
from bitdust.errors import AccessDenied, BitdustError, IntegrityError, ServiceOff
from bitdust.events import EventBus
from bitdust.ids import IDURL, KeyID, decode_name
from bitdust.pool import in_pool
from bitdust.sharing.share_chain import OwnChain
from bitdust.sharing.share_follower import Follower
from bitdust.sharing.share_ledger import Happening, ShareLedger
from bitdust.sharing.share_mend import Mender
from bitdust.sharing.share_merge import Removal, Seen, Writer, is_removed
from bitdust.sharing.share_notes import Removed
from bitdust.sharing.share_secret import ShareSecret, open_epochs
from bitdust.sharing.share_source import Source
from bitdust.sharing.share_storage import ShareEvents, ShareStorage
from bitdust.sharing.share_suppliers import ShareSuppliers
from bitdust.sharing.share_view import ShareView
from bitdust.storage import CatalogBusy, fragments_needed
from bitdust.supply import Charter, NetworkPort, SupplierClient, writer_prefix

POLL: Final = 45.0
"""Seconds between two looks for what the others wrote, when nobody tells."""
RETRY: Final = 3.0
"""Seconds until the next look after one that could not be done; half as many more each time."""
FOLLOWED_AT_ONCE: Final = 4

NodeID = bytes

log = structlog.get_logger(component="shares")


class ShareSpace:
    """An open share.

    Args:
        folder: where its files lie on this machine.
        key_id: of the share.
        key: the share's private key.
        identity: own identity key.
        person: own global id.
        charter: who may use it; the own node among them.
        suppliers: who keeps it.
        ledger: chains, history.
        network: sessions.
        events, clock, random, pool: of the node.
        grown: called when the own journal reached the suppliers.
        checked: called after each look at the others.
    """

    def __init__(
        self,
        folder: Path,
        key_id: KeyID,
        key: PrivateKey,
        identity: PrivateKey,
        person: str,
        charter: Charter,
        suppliers: ShareSuppliers,
        ledger: ShareLedger,
        network: NetworkPort,
        events: EventBus,
        clock: Clock,
        random: Random,
        pool: Executor,
        grown: Callable[[], None],
        checked: Callable[[], None],
    ) -> None:
        self.folder = folder
        self.key_id = key_id
        self.charter = charter
        self.suppliers = suppliers
        self.ledger = ledger
        self.clock = clock
        self.pool = pool
        self._key = key
        self._identity = identity
        self._me = identity.public.fingerprint
        self._network = network
        self._checked = checked
        self._epochs: list[bytes] = []
        self._events = ShareEvents(events, grown)
        self._followers: dict[NodeID, Follower] = {}
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._settled: dict[NodeID, int] = {}
        self._random = random
        self.looked = False
        """Whether the others were asked since the start."""
        self.storage = ShareStorage(
            folder / "own.db",
            key_id,
            self._me,
            person,
            lambda: self._secret(self._me),
            suppliers,
            self._client(self._me),
            self._events,
            clock,
            random,
            pool,
            OwnChain(charter.share, identity, ledger),
            self.seen,
        )

    def _secret(self, writer: NodeID) -> ShareSecret:
        return ShareSecret(self._key, writer, self._epochs)

    def _client(self, writer: NodeID) -> SupplierClient:
        return SupplierClient(
            self._network,
            account=self.charter.customer,
            prefix=writer_prefix(self.charter.share, writer),
        )

    # --- life -----------------------------------------------------------------------------------

    async def start(self, *, fresh: bool = False) -> None:
        """Open everything; what the suppliers have is fetched in the background.

        Args:
            fresh: the share was made just now, so nothing of it can be anywhere.

        Raises:
            IntegrityError: the keys in the charter do not open.
        """
        self._epochs = await in_pool(self.pool, open_epochs, self.charter, self._me, self._identity)
        await self._take_members()
        await self.storage.start(recover=not fresh)
        self._task = asyncio.create_task(self._run(), name=f"share {self.key_id.alias}")

    async def stop(self) -> None:
        """Close everything; jobs of the own part go on at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.storage.stop()
        self._events.close()
        async with self._turn:
            for follower in self._followers.values():
                await in_pool(self.pool, follower.close)
            self._followers.clear()
        self.suppliers.release()

    def wake(self) -> None:
        """There may be something new."""
        self._wake.set()

    async def _run(self) -> None:
        again = RETRY
        while True:
            rest, again = again, min(POLL, again * 1.5)
            try:
                if await self.look():
                    rest, again = POLL * self._random.uniform(0.8, 1.2), RETRY
                    await self._mend()
            except BitdustError as exc:
                log.info("share not looked at", share=self.key_id.alias, reason=exc.message)
            except Exception:
                # a defect here must not end it for good; the next round tries again
                log.exception("looking at a share failed")
            self._checked()
            if await pause(self.clock, rest, self._wake):
                again = RETRY
            self._wake.clear()

    # --- who writes -----------------------------------------------------------------------------

    async def adopt(self, charter: Charter) -> None:
        """Go on under a newer charter, which lets this node in.

        Raises:
            IntegrityError: the keys in it do not open.
        """
        epochs = await in_pool(self.pool, open_epochs, charter, self._me, self._identity)
        self.charter, self._epochs = charter, epochs
        self.storage.rekey()
        await self._take_members()
        self.wake()

    async def _take_members(self) -> None:
        people = {one.node: one.idurl for one in self.charter.members}
        people |= {one.node: one.idurl for one in self.charter.former}
        people.pop(self._me, None)
        async with self._turn:
            for node, idurl in people.items():
                if node not in self._followers:
                    await self._add_follower(node, str(IDURL.parse(idurl).global_id))
            for node in set(self._followers) - set(people):
                await in_pool(self.pool, self._followers.pop(node).close)

    async def _add_follower(self, node: NodeID, person: str) -> None:
        follower = Follower(
            self.folder / f"{node.hex()[:32]}.db",
            self.charter.share,
            node,
            person,
            self.ledger,
            lambda: self._secret(node),
            self._client(node),
            self.suppliers,
            self._events,
            self.clock,
            self.pool,
        )
        happened = await in_pool(self.pool, follower.open)
        self._followers[node] = follower
        await self._enter(happened)

    def _stop_of(self, node: NodeID) -> tuple[int, int] | None:
        former = next((one for one in self.charter.former if one.node == node), None)
        return None if former is None else (former.epoch, former.segments)

    # --- taking what the others wrote -----------------------------------------------------------

    async def look(self) -> bool:
        """Ask for what the others wrote; whether all of them could be asked.

        Raises:
            BitdustError: it could not be done at all.
        """
        await self.suppliers.refresh()
        async with self._turn:
            slots = asyncio.Semaphore(FOLLOWED_AT_ONCE)
            results = await asyncio.gather(
                *(self._follow(follower, slots) for follower in self._followers.values())
            )
            if self.storage.opened:
                own = await self._note_own()
                await self._settle(own)
        done = all(results) and self.storage.opened
        self.looked = self.looked or done
        return done

    async def _note_own(self) -> Source:
        own = await self.storage.source()
        await self._enter(await in_pool(self.pool, own.refresh))
        return own

    async def note_own(self) -> None:
        """Enter what was written here since the last look into the history."""
        async with self._turn:
            if self.storage.opened:
                await self._note_own()

    async def _follow(self, follower: Follower, slots: asyncio.Semaphore) -> bool:
        before = follower.problem
        try:
            async with slots:
                happened = await follower.follow(self._stop_of(follower.node))
        except IntegrityError as exc:
            if follower.problem != before:
                await self.accuse(follower.node, exc.message)
            return True
        except BitdustError as exc:
            log.info("writer not followed", writer=follower.person, reason=exc.message)
            return False
        if happened:
            await self._enter(happened)
            self._events.publish(
                "share-changed",
                key_id=str(self.key_id),
                global_id=follower.person,
                changes=len(happened),
            )
        return True

    async def accuse(self, node: NodeID, reason: str) -> None:
        """Somebody's journal cannot be right: say so, and by whom."""
        follower = self._followers.get(node)
        if follower is None:
            return
        if not follower.problem:
            follower.problem = reason
        log.warning("journal refused", writer=follower.person, reason=reason)
        await self._enter(
            [
                Happening(
                    self.clock.now(),
                    follower.person,
                    "refused",
                    detail=reason,
                    mark=f"r/{node.hex()}/{reason}",
                )
            ]
        )
        self._events.publish(
            "share-member-contradicts",
            key_id=str(self.key_id),
            global_id=follower.person,
            reason=reason,
        )

    async def _enter(self, happened: Sequence[Happening]) -> None:
        if happened:
            await in_pool(self.pool, self.ledger.enter, happened)

    async def _settle(self, own: Source) -> None:
        """Take out of the own catalog what others deleted with it in view; that frees its space."""
        for follower in self._followers.values():
            notes = follower.source.removed
            done = self._settled.get(follower.node, 0)
            for note in notes[done:]:
                try:
                    if await in_pool(self.pool, self._purge, own, note):
                        await self.accuse(
                            follower.node, "it deleted what was not written yet, as it says"
                        )
                except CatalogBusy:
                    return
                done += 1
                self._settled[follower.node] = done

    def _purge(self, own: Source, note: Removed) -> bool:
        """Delete own items at and below a removed path that are not newer than the removal.

        Returns:
            Whether the removal lies: it says to have seen what there is not.
        """
        if note.seen.get(own.writer, 0) > own.newest():
            return True
        top = own.row(decode_name(note.path))
        if top is None or not note.path:
            return False
        removal = [Removal(b"", note.seen, note.time)]
        rows = [top, *own.catalog.list_tree(top.item.id)]
        claims = [(row, own.claim(row)) for row in rows]
        doomed = [
            row.item.id for row, claim in claims if claim is None or is_removed(claim, removal)
        ]
        if not doomed:
            return False
        with own.catalog.transaction() as tx:
            if len(doomed) == len(rows):
                tx.delete_item(top.item.id)
                return False
            for row, claim in claims:
                gone = claim is None or is_removed(claim, removal)
                if gone and not row.childs:
                    tx.delete_item(row.item.id)
        return False

    async def _mend(self) -> None:
        """Bring new suppliers what the others keep there; for the customer, whose they are."""
        nodes = self.suppliers.positions()
        if self.charter.customer != self._me or None in nodes:
            return
        now = b"".join(node for node in nodes if node is not None)
        before = await in_pool(self.pool, self.ledger.get, "mended")
        if now == before:
            return
        for position, node in enumerate(nodes):
            assert node is not None
            at = len(node) * position
            if not before or before[at : at + len(node)] == node:
                continue
            for follower in list(self._followers.values()):
                client = self._client(follower.node)
                done = await Mender(follower, client, nodes, self.pool).mend(position)
                if done:
                    log.info("data of a member mended", writer=follower.person, fragments=done)
        await in_pool(self.pool, self.ledger.set, "mended", now)

    # --- for the operations ---------------------------------------------------------------------

    def seen(self) -> Seen:
        """The newest version of each other writer that is known here; asks the catalogs."""
        return {
            follower.source.writer: follower.source.newest()
            for follower in self._followers.values()
        }

    async def view(self) -> ShareView:
        """The merged tree.

        Raises:
            ServiceOff: the own part is not open yet.
        """
        own = await self.storage.source()
        sources = [own, *(one.source for one in self._followers.values())]
        return ShareView(sources, self.clock.now())

    def follower(self, node: NodeID) -> Follower | None:
        """Who follows that writer; None for the own part."""
        return self._followers.get(node)

    async def remove(self, path: str, writers: Collection[Writer] | None) -> None:
        """Delete a path of the share, with everything in it that is known here now.

        Args:
            path: as its writers call it.
            writers: whose; everybody's when None.

        Raises:
            CatalogBusy: an own upload of it runs.
        """
        own = await self.storage.source()
        others = await in_pool(self.pool, self.seen)
        seen = {**others, own.writer: await in_pool(self.pool, own.newest)}
        note = Removed(
            path.encode("utf-8", "surrogateescape"),
            {
                writer: number
                for writer, number in seen.items()
                if number and (writers is None or writer in writers)
            },
            self.clock.now(),
        )
        catalog = self.storage.parts.catalog

        def delete() -> Happening | None:
            row = own.row(path) if writers is None or own.writer in writers else None
            with catalog.transaction() as tx:
                if row is not None:
                    tx.delete_item(row.item.id)
                return own.add_note(tx, note, self.clock.now())

        happened = await in_pool(self.pool, delete)
        await self._enter([happened] if happened is not None else [])
        self.storage.parts.care.wake()

    def online(self) -> int:
        """How many suppliers of the share can be asked now."""
        return sum(
            node is not None and self.suppliers.online(position)
            for position, node in enumerate(self.suppliers.positions())
        )

    @property
    def connected(self) -> bool:
        """Whether files can be read now."""
        return (
            self.storage.opened
            and self.looked
            and self.online() >= fragments_needed(self.suppliers.n)
        )

    def problems(self) -> list[dict[str, Any]]:
        """Members whose journal is refused, with the reason."""
        return [
            {"global_id": follower.person, "reason": follower.problem}
            for follower in self._followers.values()
            if follower.problem
        ]

    async def position(self, node: NodeID) -> tuple[int, int]:
        """How much of a member's journal was read here: epoch and number of segments.

        Raises:
            AccessDenied: it is no member.
            ServiceOff: the own part is not open yet.
        """
        if node == self._me:
            catalog = self.storage.parts.catalog
            return await in_pool(self.pool, lambda: catalog.journal_position)
        follower = self._followers.get(node)
        if follower is None:
            raise AccessDenied("that person is no member of the share")
        return await follower.position()

    async def wait_connected(self, timeout: float) -> bool:
        """Wait until files can be read; whether they can."""
        ends = self.clock.monotonic() + timeout
        while not self.connected and self.clock.monotonic() < ends:
            await self.clock.sleep(0.05)
        return self.connected

    def require_connected(self) -> None:
        """Raise ``ServiceOff`` unless the own part is there."""
        if not self.storage.opened:
            raise ServiceOff(
                f"the share {self.key_id} is not connected yet",
                hint="try again in a moment; see `bitdust share list`",
            )
