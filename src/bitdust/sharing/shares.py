"""Shares: encrypted places that several people read and write.

The service keeps the shares whose keys are in the ring, opens those that shall be open, lets people
in and puts them out, and tells the members at once when something was written.

Source: BitDust API, third generation, ``share_*``; docs/spec/shares.md.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from bitdust.clock import pause
from bitdust.crypto import PrivateKey
from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    BitdustError,
    Busy,
    DataUnavailable,
    FormatError,
    IntegrityError,
    InvalidInput,
    KeyProblem,
    LocalFileError,
    NotFound,
    ServiceOff,
)
from bitdust.events import Event
from bitdust.identity import (
    IdentityDocument,
)
from bitdust.ids import GlobalID, KeyID
from bitdust.pool import in_pool
from bitdust.sharing.keyexchange import KeyExchange, Received
from bitdust.sharing.share_files import ShareFiles, is_share
from bitdust.sharing.share_held import WITHDRAWN, HeldShare, NodeID, Surroundings, share_id
from bitdust.sharing.share_members import Membership
from bitdust.sharing.share_notices import Notices
from bitdust.sharing.share_sponsor import Sponsor
from bitdust.sharing.share_wire import (
    read_invitation,
)
from bitdust.supply import (
    Charter,
    Family,
    ShareMember,
)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks at what is in the ring and what shall be open."""
CONNECT_WAIT: Final = 30.0
"""Seconds ``share_open`` waits for the share to be connected."""
DENIED_FOR: Final = 600.0
"""Seconds for which a share is not opened again after the suppliers denied access."""
MAX_SHARES: Final = 1000
"""Shares one node holds."""
MAX_HISTORY: Final = 1000
"""Rows of one page of the history."""

log = structlog.get_logger(component="shares")


class Shares:
    """The shares of one person on this node.

    Args:
        around: what they stand on.
        exchange: hands over keys.
        sponsors: whether own suppliers are lent to a share of that person.
        sponsor_quota: bytes that one such share may use of the needed space.
        key_size: bits of new keys.
    """

    def __init__(
        self,
        around: Surroundings,
        exchange: KeyExchange,
        sponsors: Callable[[NodeID], bool],
        sponsor_quota: Callable[[], int],
        key_size: Callable[[], int],
    ) -> None:
        self._around = around
        self._exchange = exchange
        self._key_size = key_size
        self._held: dict[KeyID, HeldShare] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._unreadable: set[KeyID] = set()
        self._opening: dict[HeldShare, asyncio.Task[None]] = {}
        self._off: list[Callable[[], None]] = []
        self._sponsor = Sponsor(around, sponsors, sponsor_quota)
        self._notices = Notices(around, self._find, self._spawn, self._wake.set)
        self._members = Membership(around, exchange, self._sponsor, self._notices)

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up the shares of the ring and open those that shall be open."""
        self._off.append(self._exchange.on_received("share_", self._on_received))
        self._off.append(self._around.events.on_event(self._on_event))
        await self._look_at_ring()
        self._spawn(self._run())

    async def stop(self) -> None:
        """Close all shares."""
        for off in self._off:
            off()
        self._off.clear()
        tasks = [*self._tasks, *self._opening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for held in self._held.values():
            await held.unload()
        self._held.clear()

    def _on_event(self, event: Event) -> None:
        if event.event_id.startswith(("key-", "keys-")):
            self._wake.set()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        while True:
            again = True
            try:
                await self._look_at_ring()
                await self._tend()
                again = bool(self._held)  # without a share only a new key is news
            except BitdustError as exc:
                log.info("shares not tended", reason=exc.message)
            except Exception:
                # a defect here must not end it for good; the next round tries again
                log.exception("tending shares failed")
            await pause(self._around.clock, LOOK_EVERY if again else None, self._wake)
            self._wake.clear()

    async def _look_at_ring(self) -> None:
        """Shares come and go with their keys, after a recovery or under another owner's name."""
        keys = {
            key.key_id: key
            for key in self._around.ring.list()
            if is_share(key.key_id) and not key.is_public
        }
        for key_id in list(self._held):
            if key_id not in keys:
                await self._drop(key_id)
        for key_id in keys:
            if key_id not in self._held and len(self._held) < MAX_SHARES:
                # an alias of a person's own choice, or the id of another share under one's own name
                try:
                    await self._hold(key_id)
                except (NotFound, AlreadyExists):
                    pass
                except LocalFileError as exc:
                    if key_id not in self._unreadable:
                        log.warning("a share cannot be read", share=key_id.alias, reason=str(exc))
                        self._unreadable.add(key_id)
                else:
                    self._unreadable.discard(key_id)

    async def _hold(self, key_id: KeyID) -> HeldShare:
        async with self._turn:
            held = self._held.get(key_id)
            if held is None:
                other = self._find(share_id(key_id))
                if other is not None and other.key_id in self._around.ring:
                    raise AlreadyExists(f"{other.key_id} has the same id as {key_id}")
                if other is not None:  # its key was renamed
                    del self._held[other.key_id]
                    await other.unload()
                held = HeldShare(key_id, self._around, self._notices.grown)
                await held.load()
                self._held[key_id] = held
        return held

    async def _drop(self, key_id: KeyID) -> None:
        async with self._turn:
            held = self._held.pop(key_id, None)
            if held is None:
                return
            task = self._opening.pop(held, None)
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await held.unload()

    async def _tend(self) -> None:
        """Open what shall be open, close what one was put out of, keep charters up to date."""
        for held in list(self._held.values()):
            if held.space is not None:
                await held.sync_charter()
                if self._is_out(held):
                    held.reason = WITHDRAWN
                    await held.close()
            elif held.wanted and held not in self._opening and not self._is_out(held):
                task = asyncio.create_task(self._try_open(held), name=f"open {held.key_id.alias}")
                self._opening[held] = task
                task.add_done_callback(functools.partial(self._opened, held))

    def _is_out(self, held: HeldShare) -> bool:
        """Whether this node is no member any more, as far as is known."""
        if held.charter is not None and not held.charter.is_member(self._around.me):
            return True
        # the suppliers are asked again some time, for they may have been wrong
        at = held.denied_at
        return at is not None and self._around.clock.monotonic() - at < DENIED_FOR

    def _opened(self, held: HeldShare, task: asyncio.Task[None]) -> None:
        del task
        self._opening.pop(held, None)

    async def _try_open(self, held: HeldShare) -> None:
        try:
            await held.open()
        except BitdustError as exc:
            held.reason = exc.message
            log.info("share not opened", share=held.key_id.alias, reason=exc.message)

    def _find(self, share: bytes) -> HeldShare | None:
        return next((held for held in self._held.values() if held.share == share), None)

    # --- finding --------------------------------------------------------------------------------

    async def are_spread_over(self, n: int) -> bool:
        """Whether all that was written here into own shares is spread over so many suppliers."""
        for held in list(self._held.values()):
            if not held.is_customer or held.space is None:
                continue
            try:
                care = held.space.storage.parts.care
            except ServiceOff:
                return False  # its catalog is on the way back
            if not await care.is_spread_over(n):
                care.wake()
                return False
        return True

    def _get(self, key_id: KeyID) -> HeldShare:
        held = self._held.get(key_id)
        if held is None or key_id not in self._around.ring:
            share_id(key_id)
            raise NotFound(
                f"there is no share {key_id}", hint="list them with `bitdust share list`"
            )
        return held

    async def files(self, key_id: KeyID, *, open_share: bool) -> ShareFiles:
        """The file operations of a share.

        Args:
            open_share: open it first if need be.

        Raises:
            NotFound: there is no such share.
            AccessDenied: it is closed, or this node is no member any more.
        """
        held = self._get(key_id)
        if held.files is None:
            if not (open_share or held.wanted):
                raise AccessDenied(
                    f"the share {key_id} is closed",
                    hint=f"open it with `bitdust share open {key_id}`",
                )
            if self._is_out(held):  # nothing to wait for
                raise _no_access(key_id)
            if open_share:
                await held.set_wanted(True)
            await held.open()
        files = held.files
        if files is None:
            raise DataUnavailable(f"the share {key_id} was closed meanwhile")
        return files

    def opened(self) -> Sequence[ShareFiles]:
        """The shares that are open now."""
        return [held.files for held in self._held.values() if held.files is not None]

    # --- views ----------------------------------------------------------------------------------

    def shares_list(
        self, only_active: bool = False, include_mine: bool = True, include_granted: bool = True
    ) -> list[dict[str, Any]]:
        """All shares; see ``HeldShare.view``."""
        ring = self._around.ring
        # a key that was renamed a moment ago is held under its new name in the next
        there = [held for key_id, held in sorted(self._held.items()) if key_id in ring]
        rows = [held.view(index) for index, held in enumerate(there)]
        return [
            row
            for row in rows
            if (row["active"] or not only_active)
            and (include_mine if row["mine"] else include_granted)
        ]

    def share_info(self, key_id: KeyID) -> dict[str, Any]:
        """One share."""
        return self._get(key_id).view(sorted(self._held).index(key_id))

    async def share_history(
        self, key_id: KeyID | None = None, limit: int = 100, offset: int = 0
    ) -> list[dict[str, Any]]:
        """What happened in one share or all, the latest first."""
        if not 0 < limit <= MAX_HISTORY or offset < 0:
            raise InvalidInput(f"a page of the history has 1 to {MAX_HISTORY} rows")
        some = [self._get(key_id)] if key_id is not None else list(self._held.values())
        rows: list[dict[str, Any]] = []
        for held in some:
            ledger = held.ledger
            if ledger is None:
                continue
            if held.space is not None:
                await held.space.note_own()
            found = await in_pool(self._around.pool, ledger.history, limit + offset, 0)
            rows += [
                {
                    "time": row.time,
                    "date": datetime.fromtimestamp(row.time, UTC).strftime("%Y-%m-%d %H:%M:%S"),
                    "key_id": str(held.key_id),
                    "who": row.who,
                    "what": row.what,
                    "path": row.path,
                    "remote_path": f"{held.key_id}:{row.path}" if row.path else "",
                    "detail": row.detail,
                }
                for row in found
            ]
        rows.sort(key=lambda row: float(row["time"]), reverse=True)
        return rows[offset : offset + limit]

    # --- making ---------------------------------------------------------------------------------

    async def share_create(
        self, owner: IdentityDocument | None = None, key_size: int | None = None, label: str = ""
    ) -> KeyID:
        """Make a share, and open it.

        Args:
            owner: whose suppliers shall keep it; one's own when None.
            key_size: bits of its key.
            label: words for it.

        Raises:
            PeerRefused, PeerUnreachable: the owner does not lend its suppliers, or is not there.
            KeyProblem, InvalidInput: a size or label that cannot be.
        """
        around = self._around
        share = around.random.token(16)
        alias = f"share_{share.hex()}"
        key = await in_pool(around.pool, PrivateKey.generate, key_size or self._key_size())
        permit, family = b"", None
        if owner is None or owner.node_id == around.me:
            key_id, customer = around.person().key(alias), around.me
            await in_pool(around.pool, lambda: around.ring.add(key_id, key, label=label))
        else:
            key_id, customer = owner.global_id.key(alias), owner.node_id
            sponsored = await self._sponsor.ask(owner, share, key.public)
            permit, family = sponsored.permit, Family.decode(sponsored.family)
            family.verify(owner.public_key)
            await in_pool(
                around.pool,
                lambda: around.ring.take(
                    key_id,
                    key,
                    signature=sponsored.signature,
                    signed_as=key_id,
                    given_by="",
                    label=label,
                ),
            )
        around.events.publish("key-generated", key_id=str(key_id), label=label)
        held = await self._hold(key_id)
        me = str(around.person().idurl)
        charter = Charter(
            share=share,
            key=key.public.fingerprint,
            customer=customer,
            admin=around.me,
            admin_key=around.identity.public.der,
            admin_idurl=me,
            members=(ShareMember(around.me, me),),
            serial=1,
            timestamp=int(around.clock.now()),
            permit=permit,
        )
        if family is not None:
            await held.take_family(family)
        await held.take_charter(await in_pool(around.pool, charter.signed, around.identity))
        await held.open(fresh=True)
        await held.give()
        self._wake.set()
        return key_id

    # --- members --------------------------------------------------------------------------------

    async def share_grant(
        self, key_id: KeyID, trusted: IdentityDocument, timeout: float = 30.0
    ) -> None:
        """Let somebody in; see ``Membership.grant``."""
        await self._members.grant(self._get(key_id), trusted, timeout)

    async def share_revoke(self, key_id: KeyID, person: GlobalID | NodeID) -> GlobalID:
        """Put somebody out; see ``Membership.revoke``."""
        return await self._members.revoke(self._get(key_id), person)

    async def _on_received(self, received: Received) -> None:
        """The key of a share came, with the invitation into it."""
        key_id = received.key.key_id
        share_id(key_id)
        if received.key.is_public:
            raise KeyProblem("the key of a share is of use only as a whole")
        invitation = read_invitation(received.extra)
        charter = Charter.decode(invitation.charter)
        if not charter.is_member(self._around.me):
            raise AccessDenied("the invitation is for somebody else")
        owner = received.sender
        if owner.global_id != key_id.owner:
            owner = await self._around.find(str(key_id.owner.idurl))
        if charter.customer != owner.node_id:
            raise IntegrityError("the invitation names other suppliers than those of the owner")
        if key_id not in self._held and len(self._held) >= MAX_SHARES:
            raise Busy(f"this node holds {MAX_SHARES} shares already")
        held = await self._hold(key_id)
        if invitation.family:
            family = Family.decode(invitation.family)
            family.verify(owner.public_key)
            await held.take_family(family)
        await held.take_charter(charter)
        if held.charter is None or held.charter.serial < charter.serial:
            await self._drop(key_id)
            raise FormatError("the invitation does not fit the share")
        await held.set_wanted(True)
        self._wake.set()

    # --- opening and closing --------------------------------------------------------------------

    async def share_open(self, key_id: KeyID) -> dict[str, Any]:
        """Open a share and wait for a while until it is connected."""
        held = self._get(key_id)
        await held.set_wanted(True)
        if held.space is None:
            await held.open()
            await held.log("opened")
        space = held.space
        if space is not None:
            await held.sync_charter(now=True)
            if not self._is_out(held):
                await space.wait_connected(CONNECT_WAIT)
                await held.sync_charter(now=True)
        if self._is_out(held):
            await held.close()
            raise _no_access(key_id)
        return self.share_info(key_id)

    async def share_close(self, key_id: KeyID) -> dict[str, Any]:
        """Close a share; it stays closed over restarts."""
        held = self._get(key_id)
        await held.set_wanted(False)
        if held.space is not None:
            await held.close()
            await held.log("closed")
        return self.share_info(key_id)

    async def share_delete(self, key_id: KeyID) -> dict[str, Any]:
        """Leave a share for good; who rules it ends it for all, and its data is deleted.

        Raises:
            TooFewSuppliers: its data cannot be deleted now; nothing changed.
        """
        held = self._get(key_id)
        shown = self.share_info(key_id)
        if held.is_admin:
            await self._members.end(held)
        # first the key, for a share is held as long as its key is in the ring
        await in_pool(self._around.pool, self._around.ring.erase, key_id)
        await self._drop(key_id)
        await in_pool(self._around.pool, lambda: shutil.rmtree(held.folder, ignore_errors=True))
        self._around.events.publish("key-erased", key_id=str(key_id))
        return shown | {"active": False, "state": "DISCONNECTED", "opened": False}


def _no_access(key_id: KeyID) -> AccessDenied:
    return AccessDenied(
        f"you have no access to {key_id} any more", hint="ask its owner to grant it again"
    )
