"""Letting people into a share and putting them out; ending it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from bitdust.crypto import PublicKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    InvalidInput,
    NotFound,
    TooFewSuppliers,
)
from bitdust.identity import IdentityDocument
from bitdust.ids import IDURL, GlobalID
from bitdust.pool import in_pool
from bitdust.sharing.keyexchange import KeyExchange
from bitdust.sharing.share_held import HeldShare, NodeID, Surroundings
from bitdust.sharing.share_notices import Notices
from bitdust.sharing.share_secret import EPOCH_KEY, open_epochs, seal_for_all, wrapped_chain
from bitdust.sharing.share_sponsor import Sponsor
from bitdust.sharing.share_wire import Invitation
from bitdust.supply import (
    MAX_MEMBERS,
    Charter,
    FormerMember,
    ShareMember,
    SupplierClient,
    share_prefix,
)

DELETE_PAGE: Final = 250


class Membership:
    """Who is a member of the shares that this node rules.

    Args:
        around: what shares stand on.
        exchange: hands over keys.
        sponsor: knows the own suppliers.
        notices: tells the members.
    """

    def __init__(
        self, around: Surroundings, exchange: KeyExchange, sponsor: Sponsor, notices: Notices
    ) -> None:
        self._around = around
        self._exchange = exchange
        self._sponsor = sponsor
        self._notices = notices

    @staticmethod
    def _ruled(held: HeldShare) -> Charter:
        if held.charter is None or not held.is_admin:
            admin = held.view()["admin"]
            raise AccessDenied(
                "only who made a share decides who is a member of it",
                hint=f"ask {admin}" if admin else "wait until the share is connected",
            )
        return held.charter

    async def publish(self, held: HeldShare, charter: Charter) -> None:
        """Sign a charter, go on under it, and bring it to suppliers and members."""
        around = self._around
        signed = await in_pool(
            around.pool,
            msgspec.structs.replace(charter, timestamp=int(around.clock.now())).signed,
            around.identity,
        )
        await held.take_charter(signed)
        await held.give()
        self._notices.grown(held)

    async def grant(
        self, held: HeldShare, trusted: IdentityDocument, timeout: float = 30.0
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
        charter = self._ruled(held)
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
            await self.publish(held, charter)
        assert held.charter is not None
        family = held.family
        if held.is_customer:
            family = await self._sponsor.own_family()
        invitation = Invitation(held.charter.encode(), family.encode() if family else b"")
        try:
            await self._exchange.share(
                held.key_id,
                trusted,
                include_private=True,
                timeout=timeout,
                extra=msgspec.msgpack.encode(invitation),
            )
        except BitdustError:
            if before is not held.charter and not before.is_member(node):
                serial = held.charter.serial + 1
                await self.publish(held, msgspec.structs.replace(before, serial=serial))
            raise

    async def revoke(self, held: HeldShare, person: GlobalID | NodeID) -> GlobalID:
        """Put somebody out; what comes after is locked under a key that they do not get.

        What they had stays with them; the files they wrote stay in the share.

        Raises:
            AccessDenied: the share is ruled by somebody else.
            NotFound: they are no member, or another member's key cannot be looked up now.
        """
        charter = self._ruled(held)
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
        await self.publish(
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

    async def end(self, held: HeldShare) -> None:
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
        await self.publish(held, closed)


async def _empty(client: SupplierClient, node: NodeID) -> None:
    """Delete everything a client can name at a supplier."""
    names = [entry.name async for entry in client.list(node)]
    for at in range(0, len(names), DELETE_PAGE):
        await client.delete(node, names[at : at + DELETE_PAGE])
