"""Handing keys to other people, and taking theirs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog

from bitdust.clock import Clock, Random
from bitdust.contacts import PeerPort
from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    Busy,
    IntegrityError,
    InvalidInput,
    KeyProblem,
    NetworkError,
    NotFound,
    ServiceOff,
)
from bitdust.events import EventBus
from bitdust.identity import (
    IdentityDocument,
    KeyRing,
    Rate,
    StoredKey,
    TokenBuckets,
    key_signature_message,
)
from bitdust.ids import IDURL, MASTER_ALIAS, KeyID
from bitdust.network import Call, NodeID, Reply
from bitdust.pool import in_pool
from bitdust.sharing.handover import (
    MAX_EXTRA,
    MAX_HANDOVER,
    MAX_SKEW,
    SHARE_KEY,
    HandOver,
    Taken,
    check_owner,
    key_in,
    open_handover,
    seal_handover,
)
from bitdust.sharing.keyaudit import KeyAudit

SHARE_TIMEOUT: Final = 10.0
"""Seconds a hand-over may take when nothing else is said."""
TAKE_RATE: Final = Rate(1.0, 60.0)
"""Hand-overs taken from one person; each costs a few milliseconds."""
TAKE_RATE_ALL: Final = Rate(5.0, 300.0)
MAX_SENDERS: Final = 4096
"""People whose rate is remembered."""
MAX_NONCES: Final = 20_000
"""Hand-overs remembered so that none counts twice; more than the rates let in meanwhile."""

log = structlog.get_logger(component="keys")


@dataclass(frozen=True, slots=True)
class Received:
    """A key that somebody handed over.

    Args:
        key: as the ring keeps it now.
        sender: who handed it over; need not be its owner.
        label: what the sender called it.
        extra: what came with it for the part of the program that the alias belongs to.
        is_new: whether a half of the key was not known before.
    """

    key: StoredKey
    sender: IdentityDocument
    label: str
    extra: bytes
    is_new: bool


Receiver: TypeAlias = Callable[[Received], Awaitable[None]]
"""Told of a key; a ``BitdustError`` refuses it, and a key that was new is forgotten again."""
Find: TypeAlias = Callable[[IDURL], Awaitable[IdentityDocument]]
Accept: TypeAlias = Callable[[NodeID], bool]


class KeyExchange:
    """Keys between this person and others.

    Args:
        network: sessions; ``key.share`` and ``key.audit`` are answered on it.
        ring: where keys are taken from and go to.
        identity: own identity key.
        find: the document of the person at an address, found independently of who asks.
        accept: whether keys of that person are taken now.
        clock, random: time and chance.
        events: where things that happen are told.
        pool: where key operations run.
    """

    def __init__(
        self,
        network: PeerPort,
        ring: KeyRing,
        identity: PrivateKey,
        find: Find,
        accept: Accept,
        clock: Clock,
        random: Random,
        events: EventBus,
        pool: Executor,
    ) -> None:
        self._network = network
        self._ring = ring
        self._identity = identity
        self._node_id = identity.public.fingerprint
        self._find = find
        self._accept = accept
        self._clock = clock
        self._random = random
        self._events = events
        self._pool = pool
        self._receivers: dict[str, Receiver] = {}
        self._rate = TokenBuckets(TAKE_RATE, MAX_SENDERS)
        self._rate_all = TokenBuckets(TAKE_RATE_ALL, 1)
        self._nonces: OrderedDict[bytes, float] = OrderedDict()
        self._turn = asyncio.Lock()
        self._audits = KeyAudit(network, self._node_id, ring, clock, random, pool)
        network.handle(SHARE_KEY, self._on_share)

    def on_received(self, alias_prefix: str, receiver: Receiver) -> Callable[[], None]:
        """Call ``receiver`` with every key that comes and whose alias begins with that text.

        It is called before the sender gets the answer, also for keys known before, one at a time.

        Returns:
            A function that ends it.

        Raises:
            ValueError: the prefix is taken.
        """
        if alias_prefix in self._receivers:
            raise ValueError(f"keys {alias_prefix!r} are received already")
        self._receivers[alias_prefix] = receiver

        def off() -> None:
            if self._receivers.get(alias_prefix) is receiver:
                del self._receivers[alias_prefix]

        return off

    async def audit(
        self,
        key_id: KeyID,
        document: IdentityDocument,
        private: bool = False,
        timeout: float = SHARE_TIMEOUT,
    ) -> None:
        """See ``KeyAudit.audit``."""
        await self._audits.audit(key_id, document, private, timeout)

    # --- giving ------------------------------------------------------------------------------

    async def share(
        self,
        key_id: KeyID,
        trusted: IdentityDocument | NodeID,
        include_private: bool = False,
        timeout: float = SHARE_TIMEOUT,
        *,
        extra: bytes = b"",
    ) -> bool:
        """Hand a key to a person; returns once they keep it.

        Args:
            key_id: a key of the ring; one of another person goes with that person's signature.
            trusted: who gets it.
            include_private: with the private half.
            timeout: seconds, connecting included.
            extra: at most ``MAX_EXTRA`` bytes for the receiver's ``on_received``.

        Returns:
            Whether the receiver knew the key before.

        Raises:
            NotFound: there is no such key, or that node is not known.
            KeyProblem: only the public half is here, or no signature of the key's owner.
            InvalidInput: an identity key, oneself, or too much ``extra``.
            PeerUnreachable, DeadlineExceeded: the person is not online now.
            PeerRefused: the person does not take it, with the reason.
        """
        document = trusted if isinstance(trusted, IdentityDocument) else self._known(trusted)
        if document.node_id == self._node_id:
            raise InvalidInput("that is yourself", hint="name another person")
        if key_id.alias == MASTER_ALIAS:
            raise InvalidInput(
                "an identity key is not handed over",
                hint="its public half is in your identity document; make another key to share",
            )
        if len(extra) > MAX_EXTRA:
            raise InvalidInput(f"at most {MAX_EXTRA} bytes go with a key")
        stored = self._ring.get(key_id)
        private = self._ring.private(key_id) if include_private else None
        try:
            sealed = await in_pool(self._pool, self._seal, stored, private, document, extra)
            self._network.learn(document)
            response = await self._network.request(
                document.node_id, SHARE_KEY, body=sealed, timeout=timeout
            )
            response.close()
            known = response.decode(Taken).known
        except NetworkError as exc:
            self._tell(stored, document, include_private, exc)
            raise
        self._tell(stored, document, include_private, None)
        return known

    def _known(self, node_id: NodeID) -> IdentityDocument:
        document = self._network.document_of(node_id)
        if document is None:
            raise NotFound("that person is not known here", hint="name them by their address")
        return document

    def _seal(
        self,
        stored: StoredKey,
        private: PrivateKey | None,
        document: IdentityDocument,
        extra: bytes,
    ) -> bytes:
        key_id, signature, signed_as = stored.key_id, stored.signature, ""
        if key_id.owner == self._ring.owner:
            signature = self._identity.sign(key_signature_message(key_id, stored.public))
        elif not signature:
            raise KeyProblem(
                f"the signature of its owner over {key_id} is not here",
                hint="ask its owner to share the key with you again",
            )
        elif stored.signed_as is not None and stored.signed_as != key_id:
            signed_as = str(stored.signed_as)
        handover = HandOver(
            sender=self._node_id,
            receiver=document.node_id,
            time=self._clock.now(),
            nonce=self._random.token(16),
            key_id=str(key_id),
            public=stored.public.der,
            private=private.to_pem() if private is not None else "",
            label=stored.label,
            signed_as=signed_as,
            signature=signature,
            extra=extra,
        )
        return seal_handover(handover, self._identity, document.public_key)

    def _tell(
        self, stored: StoredKey, to: IdentityDocument, private: bool, failure: BitdustError | None
    ) -> None:
        what = f"{'private' if private else 'public'}-key"
        details = {"reason": failure.message} if failure is not None else {}
        self._events.publish(
            f"{what}-share-failed" if failure is not None else f"{what}-shared",
            key_id=str(stored.key_id),
            global_id=str(to.global_id),
            idurl=str(to.idurl),
            **details,
        )

    # --- taking ------------------------------------------------------------------------------

    async def _on_share(self, call: Call) -> Reply:
        if not self._accept(call.peer):
            raise AccessDenied(
                "this person does not take keys from you",
                hint="they decide by the setting services/keys-registry/accept-keys-from",
            )
        now = self._clock.monotonic()
        wait = self._rate.take(call.peer.hex(), now) or self._rate_all.take("", now)
        if wait:
            raise Busy(f"too many keys at once, wait {wait:.0f} s")
        sealed = await call.read(MAX_HANDOVER)
        handover = await in_pool(self._pool, self._open, sealed, call.document)
        key_id, key = await in_pool(self._pool, key_in, handover)
        self._once(handover)
        owner = await self._owner_of(key_id, call.document)
        public = key.public if isinstance(key, PrivateKey) else key
        signed_as = await in_pool(self._pool, check_owner, handover, key_id, public, owner)
        async with self._turn:
            return Reply(await self._take(call, handover, key_id, key, owner, signed_as))

    def _open(self, sealed: bytes, sender: IdentityDocument) -> HandOver:
        return open_handover(sealed, self._identity, sender.public_key, self._clock.now())

    def _once(self, handover: HandOver) -> None:
        """Refuse a hand-over that was taken already."""
        now = self._clock.now()
        while self._nonces:
            nonce, then = next(iter(self._nonces.items()))
            if abs(now - then) <= 2 * MAX_SKEW and len(self._nonces) < MAX_NONCES:
                break
            del self._nonces[nonce]
        mark = handover.sender + handover.nonce
        if mark in self._nonces:
            raise IntegrityError("that hand-over was seen before")
        self._nonces[mark] = now

    async def _owner_of(self, key_id: KeyID, sender: IdentityDocument) -> PublicKey:
        """The identity key of the person in a key id; never on the sender's word alone."""
        if key_id.owner == self._ring.owner:
            return self._identity.public
        try:
            return (await self._find(key_id.owner.idurl)).public_key
        except BitdustError as exc:
            raise NotFound(
                f"the owner of {key_id} cannot be looked up: {exc.message}",
                hint="try again when their identity server answers",
            ) from exc

    async def _take(
        self,
        call: Call,
        handover: HandOver,
        key_id: KeyID,
        key: PrivateKey | PublicKey,
        owner: PublicKey,
        signed_as: KeyID,
    ) -> Taken:
        prefix = self._prefix_of(key_id.alias)
        if prefix is None and handover.extra:
            raise ServiceOff(f"nothing takes what comes with {key_id} now")
        had = key_id in self._ring
        stored, is_new = await in_pool(
            self._pool,
            lambda: self._ring.take(
                key_id,
                key,
                signature=handover.signature,
                signed_as=signed_as,
                given_by=call.peer.hex(),
                label=handover.label,
                relabel=owner.fingerprint == call.peer,
            ),
        )
        if prefix is not None:
            received = Received(stored, call.document, handover.label, handover.extra, is_new)
            try:
                await self._receivers[prefix](received)
            except BitdustError:
                if not had:
                    await in_pool(self._pool, self._ring.erase, key_id)
                raise
        if is_new:
            log.info("key taken", key_id=str(key_id), sender=str(call.document.global_id))
            self._events.publish(
                "key-registered",
                key_id=str(key_id),
                label=stored.label,
                is_public=stored.is_public,
                sender=str(call.document.global_id),
            )
        return Taken(known=not is_new)

    def _prefix_of(self, alias: str) -> str | None:
        """The longest prefix somebody waits for."""
        fitting = [prefix for prefix in self._receivers if alias.startswith(prefix)]
        return max(fitting, key=len) if fitting else None
