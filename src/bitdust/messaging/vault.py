"""Prekeys and sessions in the room's file, encrypted under a key that follows from the master key.

All methods run within a transaction of ``Database.write``. A session in use stays in memory; what
was changed is written down once per transaction, before its commit.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bitdust.clock import Random
from bitdust.errors import IntegrityError
from bitdust.messaging.letters import (
    MAX_ONE_TIME,
    NO_SESSION,
    Bundle,
    Card,
    Envelope,
    OneTimeKey,
    Signed,
    associated_data,
    encode,
)
from bitdust.messaging.ownkeys import Duplicate, OwnKeys, Prekey

if TYPE_CHECKING:
    from bitdust.messaging.ratchet import Session

PREKEY_PERIOD: Final = 7 * 86400.0
"""Seconds after which a new signed prekey is made."""
CARD_LIFETIME: Final = 30 * 86400.0
"""Seconds after which a card is no longer used to begin a session."""
PREKEY_LIFETIME: Final = 75 * 86400.0
"""Seconds a signed prekey is kept: a message begun with an old card may lie in a mailbox."""
ONE_TIME_LIFETIME: Final = 75 * 86400.0
MAX_ONE_TIME_KEPT: Final = 2000
SESSIONS_PER_PEER: Final = 4
"""Sessions kept with one person; the one not heard of for longest goes first."""
MAX_CACHED: Final = 256
"""Sessions kept in memory."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions(
    session BLOB PRIMARY KEY, peer BLOB NOT NULL, heard REAL NOT NULL, state BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_peer ON sessions(peer, heard);
CREATE TABLE IF NOT EXISTS prekeys(
    public BLOB PRIMARY KEY, one_time INTEGER NOT NULL, state BLOB NOT NULL,
    created REAL NOT NULL, given INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS prekeys_kind ON prekeys(one_time, given, created);
"""
_NONCE: Final = 12


class NoSession(IntegrityError):
    """There is no session with that person in which this can be said or read."""

    code = "no_session"


class Vault:
    """The keys for messages of one node's person.

    Args:
        own: the identity for messages.
        at_rest: 32 secret bytes.
        random: for keys and nonces.
    """

    def __init__(self, own: OwnKeys, at_rest: bytes, random: Random) -> None:
        self.own = own
        self._box = AESGCM(at_rest)
        self._random = random
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._current: dict[bytes, bytes] = {}
        self._dirty: dict[bytes, float] = {}

    def epoch(self) -> bytes:
        """A name for a counter that may begin now."""
        return self._random.token(8)

    # --- transactions ------------------------------------------------------------------------

    def before_commit(self, db: apsw.Connection) -> None:
        """Write the sessions that were used."""
        for session_id, heard in self._dirty.items():
            session = self._sessions[session_id]
            db.execute(
                "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"
                " state = excluded.state, heard = max(heard, excluded.heard)",
                (session_id, session.peer, heard, self._seal(session_id, session.to_bytes())),
            )
        self._dirty.clear()
        while len(self._sessions) > MAX_CACHED:
            session_id, session = self._sessions.popitem(last=False)
            if self._current.get(session.peer) == session_id:
                del self._current[session.peer]

    def rolled_back(self) -> None:
        """Forget what is in memory; the file is right."""
        self._sessions.clear()
        self._current.clear()
        self._dirty.clear()

    # --- prekeys -----------------------------------------------------------------------------

    def prekey(self, db: apsw.Connection, now: float) -> tuple[Prekey, float]:
        """The signed prekey of these days and when it was made; makes one when it is due."""
        row = db.execute(
            "SELECT public, state, created FROM prekeys WHERE one_time = 0"
            " ORDER BY created DESC LIMIT 1"
        ).fetchone()
        if row is not None and row[2] <= now < row[2] + PREKEY_PERIOD:
            return self._open_prekey(row[0], row[1]), row[2]
        db.execute(
            "DELETE FROM prekeys WHERE one_time = 0 AND created < ?", (now - PREKEY_LIFETIME,)
        )
        db.execute(
            "DELETE FROM prekeys WHERE one_time = 1 AND created < ?", (now - ONE_TIME_LIFETIME,)
        )
        prekey = self.own.make_prekey(self._random.token(32))
        self._keep(db, prekey, False, now)
        return prekey, now

    def one_time_keys(self, db: apsw.Connection, count: int, now: float) -> list[OneTimeKey]:
        """Fresh one-time keys to hand out, at most ``MAX_ONE_TIME``; each is given away once."""
        count = min(count, MAX_ONE_TIME)
        found = []
        for _ in range(count):
            secret = self._random.token(32)
            made = self.own.make_prekey(secret)
            key = OneTimeKey(made.public, bytes(64))
            found.append(OneTimeKey(made.public, self.own.sign(key.to_sign())))
            self._keep(db, made, True, now)
        db.execute(
            "DELETE FROM prekeys WHERE public IN (SELECT public FROM prekeys WHERE one_time = 1"
            " ORDER BY created DESC LIMIT -1 OFFSET ?)",
            (MAX_ONE_TIME_KEPT,),
        )
        return found

    def _keep(self, db: apsw.Connection, prekey: Prekey, one_time: bool, now: float) -> None:
        db.execute(
            "INSERT INTO prekeys(public, one_time, state, created) VALUES (?, ?, ?, ?)",
            (prekey.public, int(one_time), self._seal(prekey.public, prekey.secret), now),
        )

    def _open_prekey(self, public: bytes, state: bytes) -> Prekey:
        return self.own.make_prekey(self._open(public, state))

    def _find(self, db: apsw.Connection, public: bytes, one_time: bool) -> Prekey | None:
        row = db.execute(
            "SELECT state FROM prekeys WHERE public = ? AND one_time = ?", (public, int(one_time))
        ).fetchone()
        return None if row is None else self._open_prekey(public, row[0])

    # --- sessions ----------------------------------------------------------------------------

    def encrypt(
        self, db: apsw.Connection, peer: bytes, me: bytes, message_id: bytes, signed: Signed
    ) -> Envelope:
        """Encrypt for a person in the session heard of last.

        Raises:
            NoSession: there is none.
        """
        session = self._current_session(db, peer)
        if session is None:
            raise NoSession("there is no session with that person yet")
        return self._encrypt(session, me, message_id, signed)

    def begin(
        self,
        db: apsw.Connection,
        bundle: Bundle,
        card: Card,
        now: float,
    ) -> None:
        """Begin a session with the person of a checked bundle; it is the current one from now on.

        Something must be encrypted in it before the transaction ends.

        Args:
            db: the transaction.
            bundle: theirs.
            card: one's own.
            now: wall clock.

        Raises:
            IntegrityError: their keys cannot be used.
        """
        from bitdust.messaging.ratchet import Session  # the packages behind it are heavy

        self._put(db, Session.begin(self.own, bundle, card), now)

    def _encrypt(self, session: Session, me: bytes, message_id: bytes, signed: Signed) -> Envelope:
        envelope = Envelope(
            1, message_id, me, session.peer, session.session_id, bytes(32), 0, 0,
            session.opening, b"",
        )  # fmt: skip
        ratchet, previous, number, body = session.encrypt(
            encode(signed), associated_data(b"", envelope)
        )
        self._dirty.setdefault(session.session_id, 0.0)
        return Envelope(
            1, message_id, me, session.peer, session.session_id, ratchet, previous, number,
            session.opening, body,
        )  # fmt: skip

    def decrypt(self, db: apsw.Connection, envelope: Envelope, now: float) -> tuple[bytes, bytes]:
        """Decrypt an envelope whose card, if it has one, was checked.

        Returns:
            The plaintext, and the sender's Ed25519 key.

        Raises:
            NoSession: there is no such session, and the envelope begins none that can be read.
            Duplicate: it was read before.
            IntegrityError: it does not belong to the session it names.
        """
        message = (envelope.ratchet, envelope.previous, envelope.number, envelope.body)
        data = associated_data(b"", envelope)
        session = self._session(db, envelope.session)
        if session is not None:
            if session.peer != envelope.sender:
                raise IntegrityError("a message in the session of somebody else")
            plain = session.decrypt(message, data)
            self._dirty[session.session_id] = now
            self._current[session.peer] = session.session_id
            return plain, session.identity
        opening = envelope.opening
        if opening is None or envelope.session == NO_SESSION:
            raise NoSession("this session is not known here")
        prekey = self._find(db, opening.prekey, False)
        one_time = None
        if opening.one_time is not None:
            one_time = self._find(db, opening.one_time, True)
        if prekey is None or (opening.one_time is not None and one_time is None):
            raise NoSession("the keys that this session was begun with are gone")
        from bitdust.messaging.ratchet import Session  # the packages behind it are heavy

        session, plain = Session.accept(
            self.own, opening, prekey, one_time.secret if one_time else None, message, data,
            envelope.sender,
        )  # fmt: skip
        if session.session_id != envelope.session:
            raise IntegrityError("a session under a name that is not its own")
        if one_time is not None:
            db.execute("DELETE FROM prekeys WHERE public = ?", (one_time.public,))
        self._put(db, session, now)
        return plain, session.identity

    def forget(self, db: apsw.Connection, session_id: bytes) -> None:
        """Drop a session that the other end does not have."""
        session = self._sessions.pop(session_id, None)
        self._dirty.pop(session_id, None)
        if session is not None and self._current.get(session.peer) == session_id:
            del self._current[session.peer]
        db.execute("DELETE FROM sessions WHERE session = ?", (session_id,))

    def has_session(self, db: apsw.Connection, peer: bytes) -> bool:
        """Whether something can be said to a person at once."""
        return self._current_session(db, peer) is not None

    def knows(self, db: apsw.Connection, session_id: bytes) -> bool:
        """Whether that session is kept here."""
        return session_id != NO_SESSION and self._session(db, session_id) is not None

    def _put(self, db: apsw.Connection, session: Session, now: float) -> None:
        peer, session_id = session.peer, session.session_id
        kept: list[Any] = db.execute(
            "SELECT session FROM sessions WHERE peer = ? AND session != ? ORDER BY heard DESC",
            (peer, session_id),
        ).fetchall()
        for (old,) in kept[SESSIONS_PER_PEER - 1 :]:
            self.forget(db, old)
        self._sessions[session_id] = session
        self._current[peer] = session_id
        self._dirty[session_id] = now

    def _current_session(self, db: apsw.Connection, peer: bytes) -> Session | None:
        session_id = self._current.get(peer)
        if session_id is None:
            row = db.execute(
                "SELECT session FROM sessions WHERE peer = ? ORDER BY heard DESC LIMIT 1", (peer,)
            ).fetchone()
            if row is None:
                return None
            session_id = self._current[peer] = row[0]
        return self._session(db, session_id)

    def _session(self, db: apsw.Connection, session_id: bytes) -> Session | None:
        session = self._sessions.get(session_id)
        if session is not None:
            self._sessions.move_to_end(session_id)
            return session
        row = db.execute("SELECT state FROM sessions WHERE session = ?", (session_id,)).fetchone()
        if row is None:
            return None
        from bitdust.messaging.ratchet import Session  # the packages behind it are heavy

        session = Session.from_bytes(self._open(session_id, row[0]))
        self._sessions[session_id] = session
        return session

    # --- at rest -----------------------------------------------------------------------------

    def _seal(self, name: bytes, plain: bytes) -> bytes:
        nonce = self._random.token(_NONCE)
        return nonce + self._box.encrypt(nonce, plain, name)

    def _open(self, name: bytes, sealed: bytes) -> bytes:
        try:
            return self._box.decrypt(sealed[:_NONCE], sealed[_NONCE:], name)
        except (InvalidTag, ValueError) as exc:
            raise IntegrityError("a kept key is damaged, or belongs to another identity") from exc


__all__ = ["Duplicate", "NoSession", "Vault"]
