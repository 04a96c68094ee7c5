"""Becoming friends by hand: one gives a code, the other enters it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import structlog

from bitdust.clock import Clock, Random
from bitdust.contacts.friendbook import Friend, check_alias
from bitdust.contacts.friends import Friends
from bitdust.contacts.invitation import (
    ACCEPT,
    SECRET_SIZE,
    Acceptance,
    Code,
    Welcome,
    acceptance_proof,
    is_proof,
    number_of,
    welcome_proof,
)
from bitdust.contacts.ports import PeerPort
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    Busy,
    IntegrityError,
    InvalidInput,
    NotFound,
    PeerRefused,
)
from bitdust.identity import (
    IdentityDocument,
    Rate,
    TokenBuckets,
    read_secret,
    write_secret,
)
from bitdust.ids import IDURL
from bitdust.network import Call, NodeID, Reply
from bitdust.pool import in_pool

MAX_OPEN: Final = 20
"""Invitations open at a time."""
MAX_USED: Final = 50
"""Accepted ones remembered, for guests that did not get the answer and ask again."""
MAX_ATTEMPTS: Final = 3
"""Wrong proofs after which an invitation is void; nobody makes one by mistake."""
RATE: Final = Rate(0.2, 10.0)
RATE_ALL: Final = Rate(2.0, 50.0)
MAX_GUESTS: Final = 4096
"""People whose rate is remembered."""
ACCEPT_TIMEOUT: Final = 15.0
MAX_FILE: Final = 64 * 1024
_GONE: Final = "ask for a new invitation: each is good once, for one person, and for a while"

log = structlog.get_logger(component="pairing")


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that was given out.

    Args:
        secret: what the code holds.
        expires: wall clock, seconds.
        alias: what whoever accepts will be called here.
        wrong: wrong proofs so far.
        guest: who accepted it, empty while nobody did.
    """

    secret: bytes
    expires: float
    alias: str = ""
    wrong: int = 0
    guest: bytes = b""


class _Row(msgspec.Struct):
    secret: str
    expires: float
    alias: str = ""
    wrong: int = 0
    guest: str = ""


class Pairing:
    """Invitations of this node's person, and accepting those of others.

    Args:
        network: sessions; ``friend.accept`` is answered on it.
        document: own identity document of the moment.
        friends: where both end up.
        find: the document of the person at an address.
        path: the file of open invitations.
        clock, random: time and chance.
        pool: where the file is read and written.
    """

    def __init__(
        self,
        network: PeerPort,
        document: Callable[[], IdentityDocument],
        friends: Friends,
        find: Callable[[IDURL], Awaitable[IdentityDocument]],
        path: Path,
        clock: Clock,
        random: Random,
        pool: Executor,
    ) -> None:
        self._network = network
        self._document = document
        self._friends = friends
        self._find = find
        self._path = path
        self._clock = clock
        self._random = random
        self._pool = pool
        self._open: dict[bytes, Invitation] = {}
        self._rate = TokenBuckets(RATE, MAX_GUESTS)
        self._rate_all = TokenBuckets(RATE_ALL, 1)
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Read the open invitations and answer to those who accept."""
        try:
            self._open = await in_pool(self._pool, _read, self._path)
        except BitdustError as exc:
            log.warning("invitations not loaded", reason=exc.message)
        self._network.handle(ACCEPT, self._on_accept)

    # --- inviting ----------------------------------------------------------------------------

    async def invite(self, seconds: float, alias: str = "") -> tuple[Code, float]:
        """Make an invitation.

        Args:
            seconds: how long it is good.
            alias: what whoever accepts will be called here.

        Returns:
            The code, and the wall clock until which it is good.

        Raises:
            InvalidInput: an impossible alias, or too many invitations are open.
            AlreadyExists: a friend has that alias.
        """
        alias = alias.strip()
        check_alias(alias)
        self._friends.check_free(alias)
        async with self._turn:
            self._forget_old()
            if sum(not entry.guest for entry in self._open.values()) >= MAX_OPEN:
                raise InvalidInput(
                    f"{MAX_OPEN} invitations are open already", hint="wait until one has expired"
                )
            secret = self._random.token(SECRET_SIZE)
            expires = self._clock.now() + seconds
            await self._save(number_of(secret), Invitation(secret, expires, alias))
        return Code(self._document().global_id, secret), expires

    async def _on_accept(self, call: Call) -> Reply:
        now = self._clock.monotonic()
        wait = self._rate.take(call.peer.hex(), now) or self._rate_all.take("", now)
        if wait:
            raise Busy(f"too many attempts, wait {wait:.0f} s")
        given = call.decode(Acceptance)
        own = self._document().node_id
        async with self._turn:
            self._forget_old()
            entry = self._open.get(given.number)
            if entry is None or entry.guest not in (b"", call.peer):
                raise NotFound("there is no such invitation, or not any more", hint=_GONE)
            if not is_proof(acceptance_proof(entry.secret, own, call.peer), given.proof):
                await self._count_wrong(given.number, entry)
                raise AccessDenied("that does not prove the code of the invitation", hint=_GONE)
            if not entry.guest:
                await self._check_address(call.document)
                await self._friends.add(call.document, self._usable(entry.alias, call.peer))
                await self._save(given.number, replace(entry, guest=call.peer))
                log.info("invitation accepted", guest=str(call.document.global_id))
        return Reply(Welcome(welcome_proof(entry.secret, own, call.peer)))

    async def _count_wrong(self, number: bytes, entry: Invitation) -> None:
        if entry.guest:
            return
        entry = replace(entry, wrong=entry.wrong + 1)
        if entry.wrong >= MAX_ATTEMPTS:
            log.warning("invitation void after wrong proofs")
            del self._open[number]
            await in_pool(self._pool, _write, self._path, dict(self._open))
        else:
            await self._save(number, entry)

    async def _check_address(self, document: IdentityDocument) -> None:
        """The key is the one that knows the secret; is the address in its document its own?"""
        try:
            found = await self._find(document.idurl)
        except BitdustError as exc:
            log.info("address of a guest not confirmed", reason=exc.message)
            return  # a server that is away or forgot says nothing against it
        if found.node_id != document.node_id:
            raise IntegrityError(f"{document.global_id} is the address of another person")

    def _usable(self, alias: str, guest: NodeID) -> str:
        """The alias, unless somebody got it meanwhile."""
        try:
            self._friends.check_free(alias, guest)
        except BitdustError:
            return ""
        return alias

    def _forget_old(self) -> None:
        now = self._clock.now()
        self._open = {n: entry for n, entry in self._open.items() if entry.expires > now}
        used = [number for number, entry in self._open.items() if entry.guest]
        for number in used[:-MAX_USED]:
            del self._open[number]

    async def _save(self, number: bytes, entry: Invitation) -> None:
        wanted = {**self._open, number: entry}
        await in_pool(self._pool, _write, self._path, wanted)
        self._open = wanted

    # --- accepting ---------------------------------------------------------------------------

    async def accept(self, text: str, alias: str = "", timeout: float = ACCEPT_TIMEOUT) -> Friend:
        """Become friends with who gave a code.

        Args:
            text: the code.
            alias: what they shall be called here.
            timeout: seconds, connecting included.

        Raises:
            InvalidInput: no proper code, one's own, or an impossible alias.
            AlreadyExists: another friend has that alias.
            NotFound: nobody is known at the address in it.
            PeerRefused: the invitation is not good any more.
            PeerUnreachable, DeadlineExceeded: the inviter is not online now.
            IntegrityError: whoever answers there did not give that code.
        """
        code = Code.parse(text)
        own = self._document().node_id
        if code.inviter == self._document().global_id:
            raise InvalidInput("that is your own invitation", hint="give it to somebody else")
        document = await self._find(code.inviter.idurl)
        alias = alias.strip()
        check_alias(alias)
        self._friends.check_free(alias, document.node_id)
        self._network.learn(document)
        proof = acceptance_proof(code.secret, document.node_id, own)
        try:
            response = await self._network.request(
                document.node_id, ACCEPT, Acceptance(code.number, proof), timeout=timeout
            )
        except PeerRefused as exc:
            raise PeerRefused(exc.message, reason=exc.reason, hint=_GONE) from exc
        response.close()
        welcome = response.decode(Welcome).proof
        if not is_proof(welcome_proof(code.secret, document.node_id, own), welcome):
            raise IntegrityError(
                f"whoever answers as {code.inviter} did not give you that code",
                hint="compare the address with the one who invited you",
            )
        return await self._friends.add(response.document, alias)


def _read(path: Path) -> dict[bytes, Invitation]:
    try:
        rows = msgspec.json.decode(read_secret(path, MAX_FILE), type=list[_Row])
        return {
            number_of(bytes.fromhex(row.secret)): Invitation(
                bytes.fromhex(row.secret),
                row.expires,
                row.alias,
                row.wrong,
                bytes.fromhex(row.guest),
            )
            for row in rows
        }
    except NotFound:
        return {}
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"{path} is damaged", hint="open invitations are lost") from exc


def _write(path: Path, entries: dict[bytes, Invitation]) -> None:
    rows = [
        _Row(entry.secret.hex(), entry.expires, entry.alias, entry.wrong, entry.guest.hex())
        for entry in entries.values()
    ]
    write_secret(path, msgspec.json.encode(rows))
