"""Lending suppliers to shares of other people, and borrowing them for one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from bitdust.crypto import PublicKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    Busy,
    IntegrityError,
    TooFewSuppliers,
)
from bitdust.identity import IdentityDocument, Rate, TokenBuckets, key_signature_message
from bitdust.network import Call, Reply
from bitdust.pool import in_pool
from bitdust.sharing.share_held import NodeID, Surroundings
from bitdust.sharing.share_wire import SPONSOR, Sponsored, Wish
from bitdust.storage import fragments_needed
from bitdust.supply import Family, Permit, ask_family

WISH_RATE: Final = Rate(0.05, 5.0)
MAX_ASKERS: Final = 4096
SPONSOR_TIMEOUT: Final = 30.0


class Sponsor:
    """Suppliers for shares, lent and borrowed.

    Args:
        around: what shares stand on.
        allows: whether own suppliers are lent to a share of that person.
        quota: bytes that one such share may use of the needed space.
    """

    def __init__(
        self,
        around: Surroundings,
        allows: Callable[[NodeID], bool],
        quota: Callable[[], int],
    ) -> None:
        self._around = around
        self._allows = allows
        self._quota = quota
        self._wishes = TokenBuckets(WISH_RATE, MAX_ASKERS)
        around.network.handle(SPONSOR, self._on_wish)

    async def ask(self, owner: IdentityDocument, share: bytes, key: PublicKey) -> Sponsored:
        """Ask somebody to keep a new share at their suppliers.

        Raises:
            PeerRefused: they do not want to. PeerUnreachable: they are not there.
            IntegrityError: what they answered proves nothing.
        """
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
        if not self._allows(call.peer):
            raise AccessDenied(
                "this person does not lend their suppliers to you",
                hint="they decide by the setting services/shared-data/sponsor",
            )
        if self._wishes.take(call.peer.hex(), around.clock.monotonic()):
            raise Busy("too many shares at once, try again in a minute")
        wish = call.decode(Wish)
        key = await in_pool(around.pool, PublicKey.from_der, wish.key)
        family = await self.own_family()
        permit = Permit(
            share=wish.share,
            customer=around.me,
            customer_key=around.identity.public.der,
            admin=call.peer,
            quota=-(-self._quota() // fragments_needed(around.customer.n)),
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

    async def own_family(self) -> Family:
        """The list of one's own suppliers, as one of them keeps it.

        Raises:
            TooFewSuppliers: none can be asked.
        """
        customer = self._around.customer
        for position, node in enumerate(customer.positions()):
            if node is None or not customer.online(position):
                continue
            with contextlib.suppress(BitdustError):
                return await ask_family(self._around.network, node, self._around.me)
        raise TooFewSuppliers("no supplier can be asked for the list of suppliers now")
