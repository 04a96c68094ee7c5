"""Mailboxes: what a supplier keeps for its customers while they are away.

An envelope is kept as it came; the supplier sees who wrote to whom, when and how much. Beside the
envelopes lie the keys that customers leave, so that a session can be begun with them; each one-time
key is given away once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import apsw
import structlog

from bitdust.clock import Clock
from bitdust.errors import BitdustError, Busy, FormatError, NoContract, ServiceOff
from bitdust.messaging.cards import check_card
from bitdust.messaging.database import Database
from bitdust.messaging.letters import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_CARD,
    MAX_ENVELOPE,
    MAX_ONE_TIME,
    Bundle,
    Card,
    Drop,
    Envelope,
    Fetch,
    Fetched,
    KeysFound,
    KeysOf,
    Nothing,
    Offer,
    Offered,
    OneTimeKey,
    Put,
    PutDone,
    PutOutcome,
    decode,
    encode,
    join,
    split,
)
from bitdust.messaging.ownkeys import check_signature
from bitdust.messaging.ports import (
    MAILBOX_DROP,
    MAILBOX_FETCH,
    MAILBOX_KEYS,
    MAILBOX_OFFER,
    MAILBOX_PUT,
    WAITING_MAIL,
    NetworkPort,
)
from bitdust.messaging.vault import CARD_LIFETIME
from bitdust.network import Call, ContactState, Reply
from bitdust.supply import Rates

CUSTOMER_BYTES: Final = 32 * 1024 * 1024
"""Bytes kept for one customer."""
SENDER_BYTES: Final = 8 * 1024 * 1024
"""Bytes kept of one sender for one customer."""
SENDER_LETTERS: Final = 2000
TOTAL_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Bytes kept for all customers together."""
LIFETIME: Final = 30 * 86400.0
"""Seconds an envelope is kept."""
PUT_RATE: Final = 50.0
"""Envelopes per second taken from one sender in the long run; ``PUT_BURST`` at once."""
PUT_BURST: Final = 500.0
ASK_RATE: Final = 5.0
ASK_BURST: Final = 50.0
KEY_RATE: Final = 1 / 60
"""One-time keys per second given to one asker; ``KEY_BURST`` at once. Then it gets none."""
KEY_BURST: Final = 5.0
SWEEP_EVERY: Final = 3600.0
POKE_TIMEOUT: Final = 10.0

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS letters(
    no INTEGER PRIMARY KEY AUTOINCREMENT, recipient BLOB NOT NULL, sender BLOB NOT NULL,
    message_id BLOB NOT NULL, arrived REAL NOT NULL, envelope BLOB NOT NULL,
    UNIQUE(recipient, sender, message_id));
CREATE INDEX IF NOT EXISTS letters_recipient ON letters(recipient, no);
CREATE INDEX IF NOT EXISTS letters_arrived ON letters(arrived);
CREATE TABLE IF NOT EXISTS boxes(
    recipient BLOB NOT NULL, sender BLOB NOT NULL, bytes INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY(recipient, sender)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cards(recipient BLOB PRIMARY KEY, card BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS one_time(
    recipient BLOB NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL,
    PRIMARY KEY(recipient, key)) WITHOUT ROWID;
"""

log = structlog.get_logger(component="mailbox")


class Mailbox:
    """The mailboxes on one supplier.

    Args:
        network: sessions.
        path: the SQLite file.
        pool: where its work runs.
        is_customer: whether a node is a customer now.
        clock: time.
    """

    def __init__(
        self,
        network: NetworkPort,
        path: Path,
        pool: Executor,
        is_customer: Callable[[bytes], bool],
        clock: Clock,
    ) -> None:
        self._network = network
        self._path = path
        self._pool = pool
        self._is_customer = is_customer
        self._clock = clock
        self._database: Database | None = None
        self._puts = Rates(PUT_RATE, PUT_BURST)
        self._asks = Rates(ASK_RATE, ASK_BURST)
        self._keys = Rates(KEY_RATE, KEY_BURST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._poked: set[bytes] = set()

    async def start(self) -> None:
        """Open the mailboxes."""
        self._database = await Database.open(self._path, SCHEMA, SCHEMA_VERSION, self._pool)
        for method, handler in (
            (MAILBOX_PUT, self._on_put),
            (MAILBOX_FETCH, self._on_fetch),
            (MAILBOX_DROP, self._on_drop),
            (MAILBOX_KEYS, self._on_keys),
            (MAILBOX_OFFER, self._on_offer),
        ):
            self._network.handle(method, handler)
        self._spawn(self._sweep(), "sweep mailboxes")

    async def stop(self) -> None:
        """Close them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def stored(self) -> dict[str, int]:
        """How much is kept: ``letters``, ``bytes`` and ``customers``."""

        def count(db: apsw.Connection) -> dict[str, int]:
            row: Any = db.execute(
                "SELECT coalesce(sum(count), 0), coalesce(sum(bytes), 0),"
                " count(DISTINCT recipient) FROM boxes WHERE count > 0"
            ).fetchone()
            return {"letters": row[0], "bytes": row[1], "customers": row[2]}

        return await self._open().read(count)

    def _open(self) -> Database:
        if self._database is None:
            raise ServiceOff("this node keeps no mailboxes now")
        return self._database

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- for senders -----------------------------------------------------------------------------

    async def _on_put(self, call: Call) -> Reply:
        recipient = call.decode(Put).recipient
        self._check_customer(recipient)
        raw = split(await call.read(MAX_BATCH_BYTES + MAX_ENVELOPE * 2))
        if not self._puts.allow(call.peer, self._clock.monotonic(), max(1, len(raw))):
            raise Busy("too many messages")
        letters = [(decode(one, Envelope, MAX_ENVELOPE), one) for one in raw]
        for envelope, _ in letters:
            if envelope.sender != call.peer or envelope.recipient != recipient:
                raise FormatError("a message that is not from its sender to that customer")
        now = self._clock.now()
        outcomes = await self._open().write(
            lambda db: [_keep(db, envelope, one, now) for envelope, one in letters]
        )
        if PutOutcome.KEPT in outcomes:
            self._poke(recipient)
        return Reply(PutDone(outcomes))

    async def _on_keys(self, call: Call) -> Reply:
        recipient = call.decode(KeysOf).recipient
        self._check_customer(recipient)
        self._check_rate(call)
        given = self._keys.allow(call.peer, self._clock.monotonic())
        bundle = await self._open().write(lambda db: _give_keys(db, recipient, given))
        return Reply(KeysFound(bundle))

    # --- for customers ---------------------------------------------------------------------------

    async def _on_fetch(self, call: Call) -> Reply:
        after = call.decode(Fetch).after
        self._check_rate(call)
        rows = await self._open().read(lambda db: _letters(db, call.peer, after))
        found: list[bytes] = []
        last, size = after, 0
        for no, envelope in rows[:MAX_BATCH]:
            size += len(envelope)
            if found and size > MAX_BATCH_BYTES:
                break
            found.append(envelope)
            last = no
        return Reply(Fetched(last, len(found) < len(rows)), join(found))

    async def _on_drop(self, call: Call) -> Reply:
        letters = call.decode(Drop).letters
        self._check_rate(call)

        def work(db: apsw.Connection) -> None:
            for sender, message_id in letters:
                _drop(db, call.peer, sender, message_id)

        await self._open().write(work)
        return Reply(Nothing())

    async def _on_offer(self, call: Call) -> Reply:
        offer = call.decode(Offer)
        self._check_customer(call.peer)
        self._check_rate(call)
        check_card(offer.card, call.peer, self._clock.now(), CARD_LIFETIME)
        for key in offer.one_time:
            check_signature(offer.card.identity, key.signature, key.to_sign())
        left = await self._open().write(lambda db: _take_keys(db, call.peer, offer))
        return Reply(Offered(left))

    # --- order -----------------------------------------------------------------------------------

    def _check_customer(self, node: bytes) -> None:
        if not self._is_customer(node):
            raise NoContract("that person has no mailbox here")

    def _check_rate(self, call: Call) -> None:
        if not self._asks.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many requests")

    def _poke(self, customer: bytes) -> None:
        """Tell a customer that is online that something came."""
        if (
            customer not in self._poked
            and self._network.status(customer).state is ContactState.ONLINE
        ):
            self._poked.add(customer)
            self._spawn(self._tell(customer), "tell a customer of mail")

    async def _tell(self, customer: bytes) -> None:
        try:
            response = await self._network.request(
                customer, WAITING_MAIL, Nothing(), timeout=POKE_TIMEOUT
            )
            response.close()
        except BitdustError as exc:
            log.debug("a customer was not told of mail", reason=exc.message)
        finally:
            self._poked.discard(customer)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_EVERY)
            try:
                await self.sweep()
            except BitdustError as exc:
                log.warning("old letters stay", reason=exc.message)

    async def sweep(self) -> int:
        """Remove letters that are too old, and all of those who are no customers any more.

        Returns:
            How many letters went.
        """
        now = self._clock.now()

        def known(db: apsw.Connection) -> list[bytes]:
            rows: list[Any] = db.execute(
                "SELECT recipient FROM boxes UNION SELECT recipient FROM cards"
            ).fetchall()
            return [row[0] for row in rows]

        strangers = [node for node in await self._open().read(known) if not self._is_customer(node)]
        return await self._open().write(lambda db: _sweep(db, now - LIFETIME, strangers))


def _keep(db: apsw.Connection, envelope: Envelope, raw: bytes, now: float) -> PutOutcome:
    recipient, sender = envelope.recipient, envelope.sender
    there = db.execute(
        "SELECT 1 FROM letters WHERE recipient = ? AND sender = ? AND message_id = ?",
        (recipient, sender, envelope.message_id),
    ).fetchone()
    if there is not None:  # encrypted anew, perhaps: the newer one can be read
        db.execute(
            "UPDATE boxes SET bytes = bytes + ? - (SELECT length(envelope) FROM letters WHERE"
            " recipient = ?2 AND sender = ?3 AND message_id = ?4)"
            " WHERE recipient = ?2 AND sender = ?3",
            (len(raw), recipient, sender, envelope.message_id),
        )
        db.execute(
            "UPDATE letters SET envelope = ? WHERE recipient = ? AND sender = ? AND message_id = ?",
            (raw, recipient, sender, envelope.message_id),
        )
        return PutOutcome.THERE
    own: Any = db.execute(
        "SELECT bytes, count FROM boxes WHERE recipient = ? AND sender = ?", (recipient, sender)
    ).fetchone()
    whole: Any = db.execute(
        "SELECT coalesce(sum(bytes), 0) FROM boxes WHERE recipient = ?", (recipient,)
    ).fetchone()
    total: Any = db.execute("SELECT coalesce(sum(bytes), 0) FROM boxes").fetchone()
    size = len(raw)
    if (
        (own and (own[0] + size > SENDER_BYTES or own[1] >= SENDER_LETTERS))
        or whole[0] + size > CUSTOMER_BYTES
        or total[0] + size > TOTAL_BYTES
    ):
        return PutOutcome.FULL
    db.execute(
        "INSERT INTO letters(recipient, sender, message_id, arrived, envelope) VALUES (?,?,?,?,?)",
        (recipient, sender, envelope.message_id, now, raw),
    )
    db.execute(
        "INSERT INTO boxes VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET"
        " bytes = bytes + ?3, count = count + 1",
        (recipient, sender, size),
    )
    return PutOutcome.KEPT


def _letters(db: apsw.Connection, recipient: bytes, after: int) -> list[tuple[int, bytes]]:
    rows: list[Any] = db.execute(
        "SELECT no, envelope FROM letters WHERE recipient = ? AND no > ? ORDER BY no LIMIT ?",
        (recipient, after, MAX_BATCH + 1),
    ).fetchall()
    return rows


def _drop(db: apsw.Connection, recipient: bytes, sender: bytes, message_id: bytes) -> None:
    rows: list[Any] = db.execute(
        "DELETE FROM letters WHERE recipient = ? AND sender = ? AND message_id = ?"
        " RETURNING length(envelope)",
        (recipient, sender, message_id),
    ).fetchall()
    for (size,) in rows:
        db.execute(
            "UPDATE boxes SET bytes = bytes - ?, count = count - 1"
            " WHERE recipient = ? AND sender = ?",
            (size, recipient, sender),
        )
        db.execute(
            "DELETE FROM boxes WHERE recipient = ? AND sender = ? AND count <= 0",
            (recipient, sender),
        )


def _give_keys(db: apsw.Connection, recipient: bytes, one_time: bool) -> Bundle | None:
    row: Any = db.execute("SELECT card FROM cards WHERE recipient = ?", (recipient,)).fetchone()
    if row is None:
        return None
    key = None
    if one_time:
        found: list[Any] = db.execute(
            "DELETE FROM one_time WHERE recipient = ?1 AND key ="
            " (SELECT min(key) FROM one_time WHERE recipient = ?1) RETURNING key, signature",
            (recipient,),
        ).fetchall()
        key = OneTimeKey(*found[0]) if found else None
    return Bundle(decode(row[0], Card, MAX_CARD), key)


def _take_keys(db: apsw.Connection, recipient: bytes, offer: Offer) -> int:
    db.execute("INSERT OR REPLACE INTO cards VALUES (?, ?)", (recipient, encode(offer.card)))
    for key in offer.one_time:
        db.execute(
            "INSERT OR IGNORE INTO one_time VALUES (?, ?, ?)", (recipient, key.key, key.signature)
        )
    db.execute(
        "DELETE FROM one_time WHERE recipient = ?1 AND key IN (SELECT key FROM one_time"
        " WHERE recipient = ?1 ORDER BY key LIMIT -1 OFFSET ?2)",
        (recipient, MAX_ONE_TIME),
    )
    left: Any = db.execute(
        "SELECT count(*) FROM one_time WHERE recipient = ?", (recipient,)
    ).fetchone()
    return int(left[0])


def _sweep(db: apsw.Connection, before: float, strangers: list[bytes]) -> int:
    rows: list[Any] = db.execute(
        "SELECT recipient, sender, message_id FROM letters WHERE arrived < ?", (before,)
    ).fetchall()
    for recipient, sender, message_id in rows:
        _drop(db, recipient, sender, message_id)
    gone = len(rows)
    for node in strangers:
        db.execute("DELETE FROM letters WHERE recipient = ?", (node,))
        gone += db.changes()
        for table in ("boxes", "cards", "one_time"):
            db.execute(f"DELETE FROM {table} WHERE recipient = ?", (node,))  # noqa: S608
    return gone
