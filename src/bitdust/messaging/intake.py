"""Reading what arrives: decrypt, check, put in order, keep. Runs within one transaction.

Each envelope has its outcome, and a bad one changes nothing. Messages of one sender are shown in
the order in which they were written: one that comes before its forerunners waits for them, until
the sender says that it no longer tries to bring those, or for ``HOLD_TIME``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import apsw

from bitdust.crypto import PrivateKey
from bitdust.errors import FormatError, IntegrityError
from bitdust.messaging.cards import check_card
from bitdust.messaging.history import has_message, has_room, insert_message
from bitdust.messaging.letters import (
    MAX_PAYLOAD,
    NO_SESSION,
    Envelope,
    Outcome,
    Payload,
    Signed,
    associated_data,
    decode,
    payload_to_sign,
)
from bitdust.messaging.message import (
    DELIVERED,
    INCOMING,
    PRIVATE,
    Message,
    decode_data,
    private_conversation,
)
from bitdust.messaging.ownkeys import check_signature
from bitdust.messaging.vault import PREKEY_LIFETIME, Duplicate, Vault

HOLD_TIME: Final = 120.0
"""Seconds a message waits for those before it."""
MAX_HELD: Final = 1000
"""Messages of one sender that wait; with more, they are shown as they are."""
MAX_NOTED: Final = 20_000
"""Envelopes without a message that are remembered."""


@dataclass
class Taken:
    """What became of a batch.

    Args:
        outcomes: one for each envelope.
        shown: messages to be told to programs, each with the place of its envelope in the batch,
            -1 when it came earlier.
        acked: ids of own messages that the sender has.
        unreadable: ids of own messages that the sender cannot read.
        notes: ids of envelopes that held no message.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    shown: list[tuple[int, Message]] = field(default_factory=list)
    acked: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    notes: set[bytes] = field(default_factory=set)


class Intake:
    """The receiving side of one node.

    Args:
        vault: its keys.
        key: its master key.
        own_name: its person's global id.
        allow_sealed: whether messages without forward secrecy are taken.
    """

    def __init__(
        self,
        vault: Vault,
        key: PrivateKey,
        own_name: Callable[[], str],
        allow_sealed: Callable[[], bool],
    ) -> None:
        self._vault = vault
        self._key = key
        self._own_name = own_name
        self._allow_sealed = allow_sealed
        self._me = key.public.fingerprint

    def take(
        self,
        db: apsw.Connection,
        sender: bytes,
        name: str,
        envelopes: Sequence[Envelope],
        now: float,
    ) -> Taken:
        """Read envelopes of one sender.

        Args:
            db: the transaction.
            sender: node id; whoever calls has made sure that it is the sender of all of them.
            name: the sender's global id.
            envelopes: in the order in which they were written, as far as known.
            now: wall clock.
        """
        taken = Taken()
        for place, envelope in enumerate(envelopes):
            try:
                taken.outcomes.append(self._one(db, name, envelope, place, taken, now))
            except FormatError:
                taken.outcomes.append(Outcome.REFUSED)
        return taken

    @staticmethod
    def holds(db: apsw.Connection) -> bool:
        """Whether any message waits for its forerunners."""
        return bool(db.execute("SELECT EXISTS (SELECT 1 FROM held)").get)

    def release(self, db: apsw.Connection, now: float) -> list[Message]:
        """Messages that waited for their forerunners long enough."""
        shown: list[tuple[int, Message]] = []
        rows: list[Any] = db.execute(
            "SELECT h.peer, max(h.place), p.name FROM held h JOIN peers p ON p.peer = h.peer"
            " WHERE h.arrived <= ? GROUP BY h.peer",
            (now - HOLD_TIME,),
        ).fetchall()
        for peer, place, name in rows:
            self._advance(db, peer, name, place, -1, shown)
        return [message for _, message in shown]

    def _one(
        self, db: apsw.Connection, name: str, envelope: Envelope, at: int, taken: Taken, now: float
    ) -> Outcome:
        sender = envelope.sender
        if sender == self._me or envelope.recipient != self._me:
            return Outcome.REFUSED
        talk = private_conversation(sender)
        if has_message(db, envelope.message_id.hex(), talk) or self._is_held(db, envelope):
            return Outcome.AGAIN
        if _is_noted(db, envelope):
            taken.notes.add(envelope.message_id)
            return Outcome.AGAIN
        if not has_room(db, talk):
            return Outcome.BUSY
        try:
            plain, identity = self._open(db, envelope, now)
        except Duplicate:
            return Outcome.AGAIN
        except FormatError:
            raise
        except IntegrityError:
            return Outcome.UNREADABLE
        signed = decode(plain, Signed, MAX_PAYLOAD + 256)
        try:
            check_signature(
                identity, signed.signature, payload_to_sign(signed.payload, sender, self._me)
            )
        except IntegrityError:
            return Outcome.REFUSED
        payload = decode(signed.payload, Payload, MAX_PAYLOAD + 128)
        if payload.message_id != envelope.message_id:
            return Outcome.REFUSED
        if payload.kind != "message":
            taken.notes.add(payload.message_id)
            _note(db, envelope)
        if payload.kind == "acked":
            taken.acked += payload.ids()
        elif payload.kind == "unreadable":
            taken.unreadable += payload.ids()
        else:
            decode_data(payload.data)
            self._order(db, name, sender, payload, at, taken.shown, now)
        return Outcome.TAKEN

    def _open(self, db: apsw.Connection, envelope: Envelope, now: float) -> tuple[bytes, bytes]:
        opening = envelope.opening
        if opening is not None and not self._vault.knows(db, envelope.session):
            check_card(opening.card, envelope.sender, now, PREKEY_LIFETIME)
        if envelope.session != NO_SESSION:
            return self._vault.decrypt(db, envelope, now)
        if opening is None or not self._allow_sealed():
            raise FormatError("messages without forward secrecy are not taken")
        plain = self._key.unseal(envelope.body, associated_data(b"", envelope))
        return plain, opening.card.identity

    @staticmethod
    def _is_held(db: apsw.Connection, envelope: Envelope) -> bool:
        row = db.execute(
            "SELECT 1 FROM held WHERE peer = ? AND message_id = ?",
            (envelope.sender, envelope.message_id),
        ).fetchone()
        return row is not None

    def _order(
        self,
        db: apsw.Connection,
        name: str,
        peer: bytes,
        payload: Payload,
        at: int,
        shown: list[tuple[int, Message]],
        now: float,
    ) -> None:
        row: Any = db.execute(
            "SELECT epoch_in, got, name FROM peers WHERE peer = ?", (peer,)
        ).fetchone()
        epoch, got = (row[0], row[1]) if row else (b"", 0)
        if epoch != payload.epoch:
            # the other side counts anew, or for the first time
            self._advance(db, peer, name, 1 << 60, -1, shown)
            got = 0
        if epoch != payload.epoch or row is None or row[2] != name:
            db.execute(
                "INSERT INTO peers(peer, name, epoch_in, got) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT DO UPDATE SET name = ?2, epoch_in = ?3, got = ?4",
                (peer, name, payload.epoch, got),
            )
        when = min(payload.time, now)
        if payload.oldest - 1 > got:
            self._advance(db, peer, name, min(payload.oldest, payload.place) - 1, -1, shown)
            got = max(got, min(payload.oldest, payload.place) - 1)
        if payload.place <= got + 1:
            self._show(db, name, peer, payload.message_id, payload.data, when, at, shown)
            if payload.place == got + 1:
                self._advance(db, peer, name, payload.place, -1, shown)
            return
        db.execute(
            "INSERT INTO held VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (peer, payload.place, payload.message_id, payload.data, when, now),
        )
        count: Any = db.execute("SELECT count(*) FROM held WHERE peer = ?", (peer,)).fetchall()
        if count[0][0] > MAX_HELD:
            self._advance(db, peer, name, payload.place, -1, shown)

    def _advance(
        self,
        db: apsw.Connection,
        peer: bytes,
        name: str,
        to: int,
        at: int,
        shown: list[tuple[int, Message]],
    ) -> None:
        """Wait for nothing up to place ``to``; show what that sets free."""
        while True:
            row: Any = db.execute(
                "SELECT place, message_id, data, time FROM held WHERE peer = ?"
                " ORDER BY place LIMIT 1",
                (peer,),
            ).fetchone()
            if row is None or row[0] > to + 1:
                break
            place, message_id, data, when = row
            db.execute("DELETE FROM held WHERE peer = ? AND place = ?", (peer, place))
            self._show(db, name, peer, message_id, data, when, at, shown)
            to = max(to, place)
        if to < 1 << 60:
            db.execute("UPDATE peers SET got = max(got, ?) WHERE peer = ?", (to, peer))

    def _show(
        self,
        db: apsw.Connection,
        name: str,
        peer: bytes,
        message_id: bytes,
        data: bytes,
        when: float,
        at: int,
        shown: list[tuple[int, Message]],
    ) -> None:
        message = Message(
            message_id.hex(), private_conversation(peer), PRIVATE, INCOMING, name,
            self._own_name(), decode_data(data), when, None, DELIVERED,
        )  # fmt: skip
        if insert_message(db, message):
            shown.append((at, message))


def _is_noted(db: apsw.Connection, envelope: Envelope) -> bool:
    row = db.execute(
        "SELECT 1 FROM noted WHERE peer = ? AND message_id = ?",
        (envelope.sender, envelope.message_id),
    ).fetchone()
    return row is not None


def _note(db: apsw.Connection, envelope: Envelope) -> None:
    """Remember an envelope that held no message, so that a copy of it is known as one."""
    number: Any = db.execute(
        "INSERT INTO noted(peer, message_id) VALUES (?, ?) RETURNING no",
        (envelope.sender, envelope.message_id),
    ).fetchall()[0][0]
    db.execute("DELETE FROM noted WHERE no <= ?", (number - MAX_NOTED,))
