"""Shares: encrypted places that several people read and write.

The service keeps the shares whose keys are in the ring, opens those that shall be open, lets people
in and puts them out, and tells the members at once when something was written.

Source: BitDust API, third generation, ``share_*``; docs/spec/shares.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec
import structlog

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    Busy,
    DataUnavailable,
    FormatError,
    IntegrityError,
    InvalidInput,
    KeyProblem,
    NotFound,
    TooFewSuppliers,
)
from bitdust.identity import (
    IdentityDocument,
    Rate,
    TokenBuckets,
    key_signature_message,
)
from bitdust.ids import IDURL, GlobalID, KeyID
from bitdust.network import Call, ContactState, Reply
from bitdust.pool import in_pool
from bitdust.sharing.keyexchange import KeyExchange, Received
from bitdust.sharing.share_files import ShareFiles, is_share
from bitdust.sharing.share_held import WITHDRAWN, HeldShare, NodeID, Surroundings, share_id
from bitdust.sharing.share_secret import EPOCH_KEY, open_epochs, seal_for_all, wrapped_chain
from bitdust.sharing.share_wire import (
    NOTICE,
    SPONSOR,
    Head,
    Invitation,
    Notice,
    Sponsored,
    Wish,
    read_invitation,
)
from bitdust.storage import fragments_needed
from bitdust.supply import (
    MAX_MEMBERS,
    Charter,
    Family,
    FormerMember,
    Permit,
    ShareMember,
    SupplierClient,
    ask_family,
    share_prefix,
)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks at what is in the ring and what shall be open."""
CONNECT_WAIT: Final = 30.0
"""Seconds ``share_open`` waits for the share to be connected."""
DENIED_FOR: Final = 600.0
"""Seconds for which a share is not opened again after the suppliers denied access."""
NOTICE_TIMEOUT: Final = 10.0
NOTICE_RATE: Final = Rate(2.0, 60.0)
WISH_RATE: Final = Rate(0.05, 5.0)
MAX_NOTIFIERS: Final = 4096
MAX_SHARES: Final = 1000
"""Shares one node holds."""
MAX_HISTORY: Final = 1000
"""Rows of one page of the history."""
SPONSOR_TIMEOUT: Final = 30.0
DELETE_PAGE: Final = 250

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
        self._sponsors = sponsors
        self._sponsor_quota = sponsor_quota
        self._key_size = key_size
        self._held: dict[KeyID, HeldShare] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._opening: dict[HeldShare, asyncio.Task[None]] = {}
        self._notices = TokenBuckets(NOTICE_RATE, MAX_NOTIFIERS)
        self._wishes = TokenBuckets(WISH_RATE, MAX_NOTIFIERS)
        self._off: list[Callable[[], None]] = []
        self._ended: set[str] = set()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up the shares of the ring and open those that shall be open."""
        network = self._around.network
        network.handle(NOTICE, self._on_notice)
        network.handle(SPONSOR, self._on_wish)
        self._off.append(self._exchange.on_received("share_", self._on_received))
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

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        while True:
            try:
                await self._look_at_ring()
                await self._tend()
            except BitdustError as exc:
                log.info("shares not tended", reason=exc.message)
            except Exception:
                # a defect here must not end it for good; the next round tries again
                log.exception("tending shares failed")
            sleep = asyncio.create_task(self._around.clock.sleep(LOOK_EVERY))
            wake = asyncio.create_task(self._wake.wait())
            try:
                await asyncio.wait({sleep, wake}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sleep, wake):
                    task.cancel()
                await asyncio.gather(sleep, wake, return_exceptions=True)
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
                with contextlib.suppress(NotFound):  # an alias of a person's own choice
                    await self._hold(key_id)

    async def _hold(self, key_id: KeyID) -> HeldShare:
        async with self._turn:
            held = self._held.get(key_id)
            if held is None:
                held = HeldShare(key_id, self._around, self._grown)
                await held.load()
                self._held[key_id] = held
        return held

    async def _drop(self, key_id: KeyID) -> None:
        held = self._held.pop(key_id, None)
        if held is not None:
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

    # --- finding --------------------------------------------------------------------------------

    def _get(self, key_id: KeyID) -> HeldShare:
        held = self._held.get(key_id)
        if held is None:
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
        rows = [held.view(index) for index, (_, held) in enumerate(sorted(self._held.items()))]
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
            found = await in_pool(self._around.pool, ledger.history, limit + offset, 0)
            rows += [
                {
                    "time": row.time,
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
            sponsored = await self._ask_sponsor(owner, share, key.public)
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

    async def _ask_sponsor(
        self, owner: IdentityDocument, share: bytes, key: PublicKey
    ) -> Sponsored:
        network = self._around.network
        network.learn(owner)
        response = await network.request(
            owner.node_id, SPONSOR, Wish(share, key.der), timeout=SPONSOR_TIMEOUT
        )
        async with response:
            sponsored = response.decode(Sponsored)
        permit = Permit.decode(sponsored.permit)
        permit.verify(owner.public_key)
        if (permit.share, permit.admin) != (share, self._around.me):
            raise IntegrityError("the permit is about another share")
        message = key_signature_message(owner.global_id.key(f"share_{share.hex()}"), key)
        owner.public_key.verify(sponsored.signature, message)
        return sponsored

    async def _on_wish(self, call: Call) -> Reply:
        """Somebody wants a share of theirs to lie at this person's suppliers."""
        around = self._around
        if not self._sponsors(call.peer):
            raise AccessDenied(
                "this person does not lend their suppliers to you",
                hint="they decide by the setting services/shared-data/sponsor",
            )
        if self._wishes.take(call.peer.hex(), around.clock.monotonic()):
            raise Busy("too many shares at once, try again in a minute")
        wish = call.decode(Wish)
        key = await in_pool(around.pool, PublicKey.from_der, wish.key)
        family = await self._own_family()
        permit = Permit(
            share=wish.share,
            customer=around.me,
            customer_key=around.identity.public.der,
            admin=call.peer,
            quota=-(-self._sponsor_quota() // fragments_needed(around.customer.n)),
            timestamp=int(around.clock.now()),
        )
        key_id = around.person().key(f"share_{wish.share.hex()}")

        def sign() -> tuple[bytes, bytes]:
            signature = around.identity.sign(key_signature_message(key_id, key))
            return permit.signed(around.identity).encode(), signature

        signed, signature = await in_pool(around.pool, sign)
        around.events.publish(
            "share-sponsored", key_id=str(key_id), global_id=str(call.document.global_id)
        )
        return Reply(Sponsored(signed, family.encode(), signature))

    async def _own_family(self) -> Family:
        customer = self._around.customer
        for position, node in enumerate(customer.positions()):
            if node is None or not customer.online(position):
                continue
            with contextlib.suppress(BitdustError):
                return await ask_family(self._around.network, node, self._around.me)
        raise TooFewSuppliers("no supplier can be asked for the list of suppliers now")

    # --- members --------------------------------------------------------------------------------

    def _ruled(self, key_id: KeyID) -> tuple[HeldShare, Charter]:
        held = self._get(key_id)
        if held.charter is None or not held.is_admin:
            admin = held.view()["admin"]
            raise AccessDenied(
                "only who made a share decides who is a member of it",
                hint=f"ask {admin}" if admin else "wait until the share is connected",
            )
        return held, held.charter

    async def _publish(self, held: HeldShare, charter: Charter) -> None:
        """Sign a charter, go on under it, and bring it to suppliers and members."""
        around = self._around
        signed = await in_pool(
            around.pool,
            msgspec.structs.replace(charter, timestamp=int(around.clock.now())).signed,
            around.identity,
        )
        await held.take_charter(signed)
        await held.give()
        self._grown(held)

    async def share_grant(
        self, key_id: KeyID, trusted: IdentityDocument, timeout: float = 30.0
    ) -> None:
        """Let somebody in, and hand over the key.

        Args:
            trusted: who.
            timeout: seconds for the hand-over.

        Raises:
            AccessDenied: the share is ruled by somebody else.
            InvalidInput: it is oneself, or there are too many members.
            PeerUnreachable, DeadlineExceeded, PeerRefused: the person does not take the key now;
                nothing changed.
        """
        held, charter = self._ruled(key_id)
        around = self._around
        node = trusted.node_id
        if node == around.me:
            raise InvalidInput("that is yourself", hint="name another person")
        before = charter
        if not charter.is_member(node):
            if len(charter.members) >= MAX_MEMBERS:
                raise InvalidInput(f"a share has at most {MAX_MEMBERS} members")
            sealed = b""
            if charter.epoch:
                epochs = await in_pool(
                    around.pool, open_epochs, charter, around.me, around.identity
                )
                sealed = (
                    await in_pool(
                        around.pool,
                        seal_for_all,
                        epochs[-1],
                        charter.share,
                        charter.epoch,
                        {node: trusted.public_key},
                    )
                )[node]
            member = ShareMember(node, str(trusted.idurl), sealed)
            charter = msgspec.structs.replace(
                charter,
                members=(*charter.members, member),
                former=tuple(one for one in charter.former if one.node != node),
                serial=charter.serial + 1,
            )
            await self._publish(held, charter)
        assert held.charter is not None
        family = held.family
        if held.is_customer:
            family = await self._own_family()
        invitation = Invitation(held.charter.encode(), family.encode() if family else b"")
        try:
            await self._exchange.share(
                key_id,
                trusted,
                include_private=True,
                timeout=timeout,
                extra=msgspec.msgpack.encode(invitation),
            )
        except BitdustError:
            if before is not held.charter and not before.is_member(node):
                serial = held.charter.serial + 1
                await self._publish(held, msgspec.structs.replace(before, serial=serial))
            raise

    async def share_revoke(self, key_id: KeyID, person: GlobalID | NodeID) -> GlobalID:
        """Put somebody out; what comes after is locked under a key that they do not get.

        What they had stays with them; the files they wrote stay in the share.

        Raises:
            AccessDenied: the share is ruled by somebody else.
            NotFound: they are no member, or another member's key cannot be looked up now.
        """
        held, charter = self._ruled(key_id)
        around = self._around
        gone = self._member(charter, person)
        if gone.node == around.me:
            raise InvalidInput(
                "you rule this share", hint="end it with `bitdust share delete` instead"
            )
        rest = [one for one in charter.members if one.node != gone.node]
        publics = {}
        for one in rest:
            publics[one.node] = await self._key_of(one)
        epoch, segments = 0, 0
        if held.space is not None:
            with contextlib.suppress(BitdustError):
                await held.space.look()  # what they wrote up to now counts
            epoch, segments = await held.space.position(gone.node)
        newest = around.random.token(EPOCH_KEY)

        def rekey() -> tuple[list[ShareMember], tuple[bytes, ...]]:
            epochs = open_epochs(charter, around.me, around.identity)
            sealed = seal_for_all(newest, charter.share, charter.epoch + 1, publics)
            members = [ShareMember(one.node, one.idurl, sealed[one.node]) for one in rest]
            return members, wrapped_chain([*epochs, newest])

        members, chain = await in_pool(around.pool, rekey)
        former = [one for one in charter.former if one.node != gone.node]
        if segments:
            former.append(FormerMember(gone.node, gone.idurl, epoch, segments))
        await self._publish(
            held,
            msgspec.structs.replace(
                charter,
                members=tuple(members),
                former=tuple(former[-MAX_MEMBERS:]),
                epoch=charter.epoch + 1,
                chain=chain,
                serial=charter.serial + 1,
            ),
        )
        around.network.release(gone.node)
        return IDURL.parse(gone.idurl).global_id

    @staticmethod
    def _member(charter: Charter, person: GlobalID | NodeID) -> ShareMember:
        for one in charter.members:
            if person in (one.node, IDURL.parse(one.idurl).global_id):
                return one
        raise NotFound(f"{person!s} is no member of the share", hint="see `bitdust share info`")

    async def _key_of(self, member: ShareMember) -> PublicKey:
        around = self._around
        if member.node == around.me:
            return around.identity.public
        document = around.network.document_of(member.node)
        if document is None:
            document = await around.find(member.idurl)
        if document.node_id != member.node:
            raise NotFound(
                f"the key of {IDURL.parse(member.idurl).global_id} cannot be looked up now",
                hint="try again when they are online",
            )
        return document.public_key

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
            raise AccessDenied(
                f"you have no access to {key_id} any more", hint="ask its owner to grant it again"
            )
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
            await self._end(held)
        await self._drop(key_id)
        await in_pool(self._around.pool, self._around.ring.erase, key_id)
        await in_pool(self._around.pool, lambda: shutil.rmtree(held.folder, ignore_errors=True))
        self._around.events.publish("key-erased", key_id=str(key_id))
        return shown | {"active": False, "state": "DISCONNECTED", "opened": False}

    async def _end(self, held: HeldShare) -> None:
        """Take a share's data off the suppliers, and let nobody in any more."""
        if held.space is None:
            await held.open()
        space, charter = held.space, held.charter
        assert space is not None
        assert charter is not None
        suppliers = space.suppliers
        nodes = [
            node
            for position, node in enumerate(suppliers.positions())
            if node is not None and suppliers.online(position)
        ]
        if len(nodes) < len(suppliers.positions()):
            raise TooFewSuppliers(
                f"{len(nodes)} of {suppliers.n} suppliers are connected",
                hint="all of them must be, so that nothing of the share stays behind",
            )
        await space.storage.stop()
        client = SupplierClient(
            self._around.network, account=charter.customer, prefix=share_prefix(held.share)
        )
        await asyncio.gather(*(_empty(client, node) for node in nodes))
        closed = msgspec.structs.replace(
            charter, members=(), former=(), epoch=0, chain=(), serial=charter.serial + 1
        )
        await self._publish(held, closed)

    # --- telling each other ---------------------------------------------------------------------

    def _grown(self, held: HeldShare) -> None:
        """Something was written here: tell the members who are there."""
        self._spawn(self._notify(held))

    async def _notify(self, held: HeldShare) -> None:
        charter, ledger = held.charter, held.ledger
        if charter is None or ledger is None:
            return
        heads = await in_pool(self._around.pool, ledger.heads)
        notice = Notice(
            held.share, charter.serial, [Head(*head) for head in heads[: 2 * MAX_MEMBERS]]
        )
        network = self._around.network
        await asyncio.gather(
            *(
                self._tell(member.node, notice)
                for member in charter.members
                if member.node != self._around.me
                and network.status(member.node).state is ContactState.ONLINE
            )
        )

    async def _tell(self, node: NodeID, notice: Notice) -> None:
        try:
            response = await self._around.network.request(
                node, NOTICE, notice, timeout=NOTICE_TIMEOUT
            )
            response.close()
        except BitdustError as exc:
            log.debug("member not told", member=node.hex()[:16], reason=exc.message)

    async def _on_notice(self, call: Call) -> Reply:
        notice = call.decode(Notice)
        held = next((one for one in self._held.values() if one.share == notice.share), None)
        if held is None or held.charter is None or not held.charter.is_member(call.peer):
            raise AccessDenied("no share that you are a member of")
        if self._notices.take(call.peer.hex(), self._around.clock.monotonic()):
            raise Busy("too many notices at once")
        await self._compare(held, call, notice)
        if notice.serial > held.charter.serial:
            self._spawn(self._hurry(held))
        if held.space is not None:
            held.space.wake()
        return Reply()

    async def _hurry(self, held: HeldShare) -> None:
        try:
            await held.sync_charter(now=True)
        except BitdustError as exc:
            log.info("charter not looked up", reason=exc.message)
        self._wake.set()

    async def _compare(self, held: HeldShare, call: Call, notice: Notice) -> None:
        """See whether the other was shown the same journals."""
        ledger, space = held.ledger, held.space
        if ledger is None or space is None:
            return
        for head in notice.heads:
            known = await in_pool(self._around.pool, ledger.link, head.writer, head.epoch, head.seq)
            if known in (None, head.link) or head.writer == self._around.me:
                continue
            teller = str(call.document.global_id)
            if head.writer == call.peer:
                reason = "it wrote another journal than the one that was read from it"
            else:
                reason = f"{teller} was shown another journal of it"
            await space.accuse(head.writer, reason)


async def _empty(client: SupplierClient, node: NodeID) -> None:
    """Delete everything a client can name at a supplier."""
    names = [entry.name async for entry in client.list(node)]
    for at in range(0, len(names), DELETE_PAGE):
        await client.delete(node, names[at : at + DELETE_PAGE])
