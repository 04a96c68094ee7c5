"""The own nickname, announced and proven to whoever asks; and finding those who hold one.

Holders announce themselves on the DHT topic of the nickname (BEP 5). A reader asks everybody who is
announced there for a signed claim, and believes it only if the session, the signature and the
identity document at the claimed address all name the same key. Nobody writes where somebody else's
claim stands, so no holder can hide another; a squatter is merely one more row.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from bitdust.clock import Clock, Random
from bitdust.contacts.nicknames_claims import (
    CLAIM_METHOD,
    CLAIM_VERSION,
    AskClaim,
    Claim,
    Holder,
    SignedClaim,
    Signer,
    clean_nickname,
    in_turns,
    matching_form,
    open_claim,
    sign_claim,
)
from bitdust.dht import Dht, nickname_topic
from bitdust.errors import (
    BitdustError,
    IntegrityError,
    InvalidName,
    Misbehaviour,
    NetworkError,
    NotFound,
    PeerRefused,
)
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument
from bitdust.network import Call, Endpoint, Handler, Reply, Response

MAX_ASKED: Final = 64
"""Endpoints asked in one search."""
MAX_CONCURRENT: Final = 16
MAX_HOLDERS: Final = 32
"""Holders given by one search."""
MAX_ATTEMPTS: Final = 10
ASK_TIMEOUT: Final = 6.0
SEARCH_DEADLINE: Final = 45.0
PEERS_TIMEOUT: Final = 5.0
MAX_REMEMBERED: Final = 256
REMEMBER: Final = 24 * 3600.0
"""Seconds for which a holder that is offline is still given, as in the original."""
CHANGED: Final = "nickname-changed"

log = structlog.get_logger(component="nicknames")


class Sessions(Protocol):
    """What this needs of the network; ``bitdust.network.Network`` is one."""

    def handle(self, method: str, handler: Handler) -> None: ...

    async def request(
        self, node_id: bytes, method: str, args: Any = None, *, timeout: float
    ) -> Response: ...

    async def dial(
        self, endpoint: Endpoint, expect: bytes | None = None, timeout: float = 10.0
    ) -> IdentityDocument: ...


@dataclass(slots=True)
class NicknameCounts:
    """What searches met since the start.

    Args:
        asked: nodes asked for a claim.
        unreachable: endpoints where nobody answered in time.
        refused: nodes that do not hold the name they are announced for.
        forged: claims of another name, of somebody else, badly signed or malformed.
        unconfirmed: claims whose address could not be shown to belong to their key.
    """

    asked: int = 0
    unreachable: int = 0
    refused: int = 0
    forged: int = 0
    unconfirmed: int = 0


class _Search:
    """One search under way: whom it asked, and whom it found."""

    def __init__(self, name: str, want: int) -> None:
        self.name = name
        self.want = want
        self.endpoints: set[tuple[str, int]] = set()
        self.nodes: set[bytes] = set()
        self.found: dict[bytes, Holder] = {}

    @property
    def is_satisfied(self) -> bool:
        return len(self.found) >= self.want

    @property
    def is_over(self) -> bool:
        return self.is_satisfied or len(self.endpoints) >= MAX_ASKED


class Nicknames:
    """The nickname of this node's person, and a way to find others by theirs.

    Args:
        sessions: sessions to other nodes.
        dht: where holders are announced.
        key: the own master key.
        document: gives the own identity document.
        resolve: gives the document that stands at an IDURL, as its name server confirms it.
        clock: time.
        random: chance.
        events: gets ``nickname-changed``.
        pool: where signatures are made and checked.
        port: TCP port under which this node is reached.
    """

    def __init__(
        self,
        sessions: Sessions,
        dht: Dht,
        key: Signer,
        document: Callable[[], IdentityDocument],
        resolve: Callable[[str], Awaitable[IdentityDocument]],
        clock: Clock,
        random: Random,
        events: EventBus,
        pool: Executor,
        port: int,
    ) -> None:
        self._sessions = sessions
        self._dht = dht
        self._key = key
        self._document = document
        self._resolve = resolve
        self._clock = clock
        self._random = random
        self._events = events
        self._pool = pool
        self._port = port
        self._name = ""
        self._topic = b""
        self._claim: asyncio.Task[SignedClaim] | None = None
        self._claimed: tuple[str, str] = ("", "")
        self._met: OrderedDict[tuple[str, bytes], tuple[Holder, float]] = OrderedDict()
        self.counts = NicknameCounts()

    @property
    def name(self) -> str:
        """The own nickname, empty before ``start``."""
        return self._name

    def start(self, name: str) -> None:
        """Announce the own nickname and answer those who ask for it.

        Raises:
            InvalidName: it cannot be a nickname.
        """
        clean = clean_nickname(name)
        self._sessions.handle(CLAIM_METHOD, self._answer)
        self._take(clean)

    async def stop(self) -> None:
        """Announce it no longer; it fades within 45 minutes, and nobody proves it meanwhile."""
        if self._topic:
            self._dht.withdraw(self._topic)
        self._name, self._topic = "", b""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.cancel()
            await asyncio.gather(claim, return_exceptions=True)

    def rename(self, name: str) -> bool:
        """Hold another nickname from now on; whether it is another one.

        Raises:
            InvalidName: it cannot be a nickname.
        """
        new, old = clean_nickname(name), self._name
        if new == old:
            return False
        self._take(new)
        self._events.publish(CHANGED, nickname=new, old_nickname=old)
        return True

    async def search(self, name: str, attempts: int) -> Holder | None:
        """Find one holder of a nickname: the first that proves it.

        Args:
            name: the nickname.
            attempts: rounds over the DHT, at most ``MAX_ATTEMPTS``.

        Raises:
            InvalidName: it cannot be a nickname.
            DhtError: the DHT is not running.
        """
        found = await self._find(clean_nickname(name), attempts, 1)
        return found[0] if found else None

    async def observe(self, name: str, attempts: int) -> list[Holder]:
        """Find all holders of a nickname, this node's person among them.

        Args:
            name: the nickname.
            attempts: rounds over the DHT, at most ``MAX_ATTEMPTS``.

        Returns:
            At most ``MAX_HOLDERS``, in an order that is the same for every reader.

        Raises:
            InvalidName: it cannot be a nickname.
            DhtError: the DHT is not running.
        """
        clean = clean_nickname(name)
        found = await self._find(clean, attempts, MAX_HOLDERS)
        if self._is_mine(clean) and all(h.node_id != self._document().node_id for h in found):
            found = [*found[: MAX_HOLDERS - 1], self._myself()]
        return sorted(found, key=lambda holder: holder.node_id)

    async def find_one(self, name: str) -> IdentityDocument | None:
        """The only holder of a nickname; None when nobody is found.

        Raises:
            InvalidName: it cannot be a nickname, or several people hold it.
            DhtError: the DHT is not running.
        """
        found = await self._find(clean_nickname(name), 1, MAX_HOLDERS)
        if len(found) > 1:
            named = ", ".join(holder.global_id for holder in found[:5])
            raise InvalidName(
                f"{len(found)} people hold the nickname {name.strip()!r}",
                hint=f"name one by the address: {named}",
            )
        return await self._resolve(found[0].idurl) if found else None

    # --- the own nickname ---------------------------------------------------------------------

    def _take(self, name: str) -> None:
        topic = nickname_topic(matching_form(name), self._dht.network)
        if topic != self._topic:
            if self._topic:
                self._dht.withdraw(self._topic)
            self._dht.announce(topic, self._port)
        self._name, self._topic = name, topic

    def _is_mine(self, name: str) -> bool:
        return bool(self._name) and matching_form(name) == matching_form(self._name)

    def _myself(self) -> Holder:
        mine = self._document()
        return Holder(self._name, mine.node_id, str(mine.idurl), str(mine.global_id))

    async def _answer(self, call: Call) -> Reply:
        asked = clean_nickname(call.decode(AskClaim).name)
        if not self._is_mine(asked):
            raise NotFound("this node does not hold that nickname")
        document = self._document()
        wanted = (self._name, str(document.idurl))
        if self._claim is None or self._claimed != wanted or _has_failed(self._claim):
            # One signature serves everybody who asks, so that asking costs us nothing.
            claim = Claim(
                CLAIM_VERSION, self._name, document.node_id, wanted[1], int(self._clock.now())
            )
            self._claim = asyncio.create_task(self._sign(claim), name="sign nickname claim")
            self._claimed = wanted
        return Reply(await asyncio.shield(self._claim))

    async def _sign(self, claim: Claim) -> SignedClaim:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, sign_claim, claim, self._key)

    # --- others -------------------------------------------------------------------------------

    async def _find(self, name: str, attempts: int, want: int) -> list[Holder]:
        search = _Search(name, want)
        search.nodes.add(self._document().node_id)
        ends = self._clock.monotonic() + SEARCH_DEADLINE
        again = [self._ask_again(search, holder) for holder in self._known(name)]
        await self._ask_all(search, again)
        topic = nickname_topic(matching_form(name), self._dht.network)
        for _ in range(max(1, min(attempts, MAX_ATTEMPTS))):
            left = ends - self._clock.monotonic()
            if search.is_over or left <= 0:
                break
            announced = await self._dht.peers(topic, min(PEERS_TIMEOUT, left))
            fresh = [endpoint for endpoint in announced if endpoint not in search.endpoints]
            if not fresh and search.found:
                break
            self._random.shuffle(fresh)
            await self._ask_in_turns(search, in_turns(fresh, MAX_ASKED), ends)
        return self._result(search)

    async def _ask_in_turns(
        self, search: _Search, endpoints: list[tuple[str, int]], ends: float
    ) -> None:
        for start in range(0, len(endpoints), MAX_CONCURRENT):
            if search.is_over or self._clock.monotonic() >= ends:
                return
            group = endpoints[start : start + MAX_CONCURRENT]
            search.endpoints.update(group)
            await self._ask_all(search, [self._ask_endpoint(search, place) for place in group])

    async def _ask_all(
        self, search: _Search, questions: Iterable[Coroutine[Any, Any, None]]
    ) -> None:
        tasks = [asyncio.create_task(question, name="ask nickname") for question in questions]
        waiting = set(tasks)
        try:
            while waiting and not search.is_satisfied:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_endpoint(self, search: _Search, endpoint: tuple[str, int]) -> None:
        host, port = endpoint
        try:
            document = await self._sessions.dial(Endpoint("tcp", host, port), timeout=ASK_TIMEOUT)
        except Misbehaviour:
            self.counts.forged += 1
            return
        except BitdustError:
            self.counts.unreachable += 1
            return
        if document.node_id not in search.nodes:
            search.nodes.add(document.node_id)
            await self._ask_node(search, document.node_id)

    async def _ask_again(self, search: _Search, holder: Holder) -> None:
        search.nodes.add(holder.node_id)
        await self._ask_node(search, holder.node_id)

    async def _ask_node(self, search: _Search, node_id: bytes) -> None:
        self.counts.asked += 1
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                response = await self._sessions.request(
                    node_id, CLAIM_METHOD, AskClaim(search.name), timeout=ASK_TIMEOUT
                )
                async with response:
                    signed = response.decode(SignedClaim)
                holder = await self._confirm(search.name, signed, response.document)
        except PeerRefused as exc:
            self.counts.refused += 1
            if exc.reason == NotFound.code:
                self._forget(search, node_id)
        except IntegrityError as exc:
            self.counts.forged += 1
            self._forget(search, node_id)
            log.info("false nickname claim dropped", node=node_id.hex(), reason=exc.message)
        except (NetworkError, TimeoutError):
            self.counts.unreachable += 1
        else:
            if holder is None:
                self.counts.unconfirmed += 1
            elif not search.is_satisfied:
                search.found[node_id] = holder
                self._remember(holder)

    async def _confirm(
        self, name: str, signed: SignedClaim, peer: IdentityDocument
    ) -> Holder | None:
        """Who holds the name; None while nobody says whose address that is.

        Raises:
            IntegrityError: the claim is not what it says.
        """
        loop = asyncio.get_running_loop()
        claim = await loop.run_in_executor(self._pool, open_claim, signed, name, peer.public_key)
        try:
            document = await self._resolve(claim.idurl)
        except BitdustError as exc:
            log.info("nickname claim not confirmed", idurl=claim.idurl, reason=exc.message)
            return None
        if document.node_id != claim.node:
            raise IntegrityError("a nickname claim names somebody else's address")
        return Holder(claim.name, claim.node, str(document.idurl), str(document.global_id))

    # --- those met before ---------------------------------------------------------------------

    def _known(self, name: str) -> list[Holder]:
        form, now = matching_form(name), self._clock.monotonic()
        for key, (_, met) in list(self._met.items()):
            if now - met > REMEMBER:
                del self._met[key]
        known = [holder for (kept, _), (holder, _) in self._met.items() if kept == form]
        return known[-MAX_CONCURRENT:]

    def _remember(self, holder: Holder) -> None:
        key = (matching_form(holder.name), holder.node_id)
        self._met[key] = (holder, self._clock.monotonic())
        self._met.move_to_end(key)
        while len(self._met) > MAX_REMEMBERED:
            self._met.popitem(last=False)

    def _forget(self, search: _Search, node_id: bytes) -> None:
        self._met.pop((matching_form(search.name), node_id), None)

    def _result(self, search: _Search) -> list[Holder]:
        """Those who answered, then those who are away but held the name within a day."""
        away = [h for h in self._known(search.name) if h.node_id not in search.found]
        return [*search.found.values(), *away][: search.want]


def _has_failed(task: asyncio.Task[SignedClaim]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def own_nickname(setting: str, username: str) -> str:
    """The nickname to hold: the one of the settings, or the user name if that is none."""
    try:
        return clean_nickname(setting) if setting else username
    except InvalidName as exc:
        log.warning("nickname of the settings not taken", reason=exc.message)
        return username
