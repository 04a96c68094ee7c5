"""Asking other people to prove that they hold a key, and proving it to them."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Final

from bitdust.clock import Clock, Random
from bitdust.contacts import PeerPort
from bitdust.errors import Busy, IntegrityError, InvalidInput, InvalidName, NotFound
from bitdust.identity import IdentityDocument, KeyRing, Rate, TokenBuckets
from bitdust.ids import KeyID
from bitdust.network import Call, NodeID, Reply
from bitdust.pool import in_pool
from bitdust.sharing.audit import CHALLENGE_SIZE, Audit, Proof, Question
from bitdust.sharing.handover import AUDIT_KEY

AUDIT_TIMEOUT: Final = 10.0
AUDIT_RATE: Final = Rate(1.0, 20.0)
"""Questions answered to one person; one about a private half costs a signature."""
AUDIT_RATE_ALL: Final = Rate(10.0, 100.0)
MAX_ASKING: Final = 4096
"""People whose rate is remembered."""


class KeyAudit:
    """Audits of keys between this person and others.

    An answer is given only to who proves in the question to hold the public half. Everybody else
    gets the same empty answer whether the key is here or not: the name of a key tells a stranger
    nothing about who has it.

    Args:
        network: sessions; ``key.audit`` is answered on it.
        own: own node id.
        ring: the keys on this machine.
        clock, random: time and chance.
        pool: where signatures are made.
    """

    def __init__(
        self,
        network: PeerPort,
        own: NodeID,
        ring: KeyRing,
        clock: Clock,
        random: Random,
        pool: Executor,
    ) -> None:
        self._network = network
        self._own = own
        self._ring = ring
        self._clock = clock
        self._random = random
        self._pool = pool
        self._rate = TokenBuckets(AUDIT_RATE, MAX_ASKING)
        self._rate_all = TokenBuckets(AUDIT_RATE_ALL, 1)
        network.handle(AUDIT_KEY, self._on_audit)

    async def audit(
        self,
        key_id: KeyID,
        document: IdentityDocument,
        private: bool = False,
        timeout: float = AUDIT_TIMEOUT,
    ) -> None:
        """Have a person prove that they hold a key; returns when they did.

        Args:
            key_id: a key whose public half is here, too.
            document: the person.
            private: whether the private half is asked for.
            timeout: seconds, connecting included.

        Raises:
            NotFound: the key is not here, or the person does not hold it.
            InvalidInput: that is oneself.
            IntegrityError: the proof is wrong: another key of that name, or a lie.
            PeerUnreachable, DeadlineExceeded: the person is not online now.
        """
        if document.node_id == self._own:
            raise InvalidInput("that is yourself", hint="name another person")
        stored = self._ring.get(key_id)
        challenge = self._random.token(CHALLENGE_SIZE)
        audit = Audit(
            key_id,
            stored.public,
            asking=self._own,
            asked=document.node_id,
            private=private,
            challenge=challenge,
        )
        self._network.learn(document)
        question = Question(str(key_id), private, challenge, audit.question_proof())
        response = await self._network.request(
            document.node_id, AUDIT_KEY, question, timeout=timeout
        )
        response.close()
        proof = response.decode(Proof).proof
        half = "private" if private else "public"
        if not proof:
            raise NotFound(
                f"{document.global_id} does not hold the {half} key {key_id}",
                hint="hand it over with `bitdust key share`",
            )
        try:
            await in_pool(self._pool, audit.check, proof)
        except IntegrityError as exc:
            raise IntegrityError(
                f"{document.global_id} gave a wrong proof for the {half} key {key_id}",
                hint="do not trust them with what is encrypted for it",
            ) from exc

    async def _on_audit(self, call: Call) -> Reply:
        now = self._clock.monotonic()
        wait = self._rate.take(call.peer.hex(), now) or self._rate_all.take("", now)
        if wait:
            raise Busy(f"too many questions at once, wait {wait:.0f} s")
        question = call.decode(Question)
        try:
            stored = self._ring.get(KeyID.parse(question.key_id))
        except (NotFound, InvalidName):
            return Reply(Proof())
        audit = Audit(
            stored.key_id,
            stored.public,
            asking=call.peer,
            asked=self._own,
            private=question.private,
            challenge=question.challenge,
        )
        if not audit.check_question(question.proof):
            return Reply(Proof())
        return Reply(Proof(await in_pool(self._pool, audit.prove, stored.private)))
