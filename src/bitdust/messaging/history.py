"""What was said: every message sent and received, by conversation, searchable.

Pages count from the newest message backwards and hold their messages in the order in which they
came. The functions that take a connection are for whoever writes a message together with something
else in one transaction (``Database.write``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final, Self

import apsw
import msgspec

from bitdust.errors import Busy, InvalidInput
from bitdust.messaging.database import Database
from bitdust.messaging.message import (
    DIRECTIONS,
    MAX_MESSAGE_ID,
    STATES,
    TYPES,
    Message,
    decode_data,
    encode_data,
    searchable,
)

MAX_PAGE: Final = 1000
"""Messages or conversations in one page."""
MAX_OFFSET: Final = 1 << 40
MAX_CONVERSATIONS: Final = 10_000
MAX_PER_CONVERSATION: Final = 1_000_000
"""Messages kept of one conversation; the oldest go first."""
MAX_WORDS: Final = 16
"""Words of one search."""
MAX_QUERY: Final = 256
MAX_NAME: Final = 512
"""Characters of a sender, recipient or conversation."""
DROP_AT_ONCE: Final = 1000

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS names(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS messages(
    no INTEGER PRIMARY KEY, message_id TEXT NOT NULL, conversation INTEGER NOT NULL,
    type INTEGER NOT NULL, direction INTEGER NOT NULL, sender INTEGER NOT NULL,
    recipient INTEGER NOT NULL, data TEXT NOT NULL, time REAL NOT NULL, sequence INTEGER,
    state INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS messages_id ON messages(message_id, conversation);
CREATE INDEX IF NOT EXISTS messages_page ON messages(conversation, no, sender, recipient);
CREATE INDEX IF NOT EXISTS messages_type ON messages(type, no, sender, recipient);
CREATE TABLE IF NOT EXISTS conversations(
    conversation INTEGER PRIMARY KEY, type INTEGER NOT NULL, peer INTEGER NOT NULL,
    started REAL NOT NULL, updated REAL NOT NULL, last TEXT NOT NULL, events INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS conversations_updated ON conversations(updated);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
"""

_COLUMNS = (
    "m.message_id, c.name, m.type, m.direction, s.name, r.name, m.data, m.time, m.sequence, m.state"
)
_JOINED = (
    " JOIN names c ON c.no = m.conversation JOIN names s ON s.no = m.sender"
    " JOIN names r ON r.no = m.recipient"
)


class Conversation(msgspec.Struct, frozen=True):
    """One talk: with a person, or in a group.

    Args:
        conversation_id: see ``Message``.
        msg_type: of its messages.
        peer: global id of the other person as last seen, or the group's key id.
        started: when its first message came, seconds since 1970.
        last_updated: when its newest one came.
        last_message_id: of the newest.
        events: number of messages.
    """

    conversation_id: str
    msg_type: str
    peer: str
    started: float
    last_updated: float
    last_message_id: str
    events: int


class History:
    """The history of one node.

    Args:
        database: an open file with ``SCHEMA``.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    async def open(cls, path: Path, pool: Executor) -> Self:
        """Open or make the file, readable by its owner only.

        Raises:
            IntegrityError: it is damaged, or of another version.
            LocalFileError, DiskFull: it cannot be opened.
        """
        return cls(await Database.open(path, SCHEMA, SCHEMA_VERSION, pool))

    async def close(self) -> None:
        """Commit what waits, and close the file."""
        await self.database.close()

    async def add(self, message: Message) -> bool:
        """Keep a message; on return it is on the disk.

        Returns:
            False when the conversation had a message of that id already.

        Raises:
            InvalidInput: a part of it is too long.
            Busy: there are too many conversations for a new one.
            LocalFileError, DiskFull: it cannot be written.
        """
        return await self.database.write(lambda db: insert_message(db, message))

    async def mark(self, message_id: str, state: str, conversation_id: str | None = None) -> bool:
        """Change the state of an outgoing message.

        Returns:
            False when there is no such message, or it was in that state.

        Raises:
            InvalidInput: there is no such state.
        """
        return await self.database.write(
            lambda db: set_state(db, message_id, state, conversation_id)
        )

    async def page(
        self,
        conversation: str | None = None,
        msg_type: str | None = None,
        offset: int = 0,
        limit: int = 100,
        *,
        sender: str | None = None,
        recipient: str | None = None,
    ) -> list[Message]:
        """Messages of one conversation, or of all.

        Args:
            conversation: its id; None for all.
            msg_type: one type only.
            offset: newest messages to pass over.
            limit: most messages, up to ``MAX_PAGE``.
            sender: global id; that sender only.
            recipient: global id or group; that recipient only.

        Returns:
            Oldest first.

        Raises:
            InvalidInput: offset, limit or type make no sense.
        """
        _check_page(offset, limit)
        kind = None if msg_type is None else _number(TYPES, msg_type, "message_type")
        wanted = (conversation, sender, recipient)
        return await self.database.read(lambda db: _page(db, kind, wanted, offset, limit))

    async def conversations(
        self, types: Sequence[str] = TYPES, offset: int = 0, limit: int = 100
    ) -> list[Conversation]:
        """Conversations, the one with the newest message first.

        Raises:
            InvalidInput: offset, limit or a type make no sense.
        """
        _check_page(offset, limit)
        kinds = sorted({_number(TYPES, kind, "message_types") for kind in types})
        return await self.database.read(lambda db: _conversations(db, kinds, offset, limit))

    async def search(
        self,
        text: str,
        conversation: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> list[Message]:
        """Messages that hold all words of a text, the newest first; each word may be a beginning.

        Raises:
            InvalidInput: offset or limit make no sense, or the text is too long.
        """
        _check_page(offset, limit)
        if len(text) > MAX_QUERY:
            raise InvalidInput(f"text: at most {MAX_QUERY} characters can be searched for")
        words = [word.replace('"', "") for word in text.replace("\x00", " ").split()][:MAX_WORDS]
        query = " ".join(f'"{word}"*' for word in words if word)
        if not query:
            return []
        return await self.database.read(lambda db: _search(db, query, conversation, offset, limit))

    async def get(self, conversation: str, message_id: str) -> Message | None:
        """One message."""

        def find(db: apsw.Connection) -> Message | None:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM messages m {_JOINED}"  # noqa: S608
                " WHERE m.message_id = ? AND c.name = ?",
                (message_id, conversation),
            ).fetchone()
            return None if row is None else _message(row)

        return await self.database.read(find)


def insert_message(db: apsw.Connection, message: Message) -> bool:
    """See ``History.add``; within the transaction of the connection."""
    names = (message.message_id, message.conversation_id, message.sender, message.recipient)
    if not message.message_id or len(message.message_id) > MAX_MESSAGE_ID:
        raise InvalidInput(f"a message id has 1 to {MAX_MESSAGE_ID} characters")
    if max(map(len, names)) > MAX_NAME:
        raise InvalidInput(f"a name in a message is longer than {MAX_NAME} characters")
    data = encode_data(message.data)
    kind = _number(TYPES, message.msg_type, "msg_type")
    way = _number(DIRECTIONS, message.direction, "direction")
    state = _number(STATES, message.state, "state")
    conversation = _name(db, message.conversation_id)
    sender, recipient = _name(db, message.sender), _name(db, message.recipient)
    cursor = db.execute(
        "INSERT INTO messages(message_id, conversation, type, direction, sender, recipient, data,"
        " time, sequence, state) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING RETURNING no",
        (
            message.message_id, conversation, kind, way, sender, recipient, data.decode(),
            message.time, message.sequence, state,
        ),
    )  # fmt: skip
    row = cursor.fetchone()
    cursor.close()
    if row is None:
        return False
    words = searchable(message.data)
    if words:
        db.execute("INSERT INTO words(rowid, text) VALUES (?, ?)", (row[0], words))
    peer = sender if way == DIRECTIONS.index("incoming") and kind == 0 else recipient
    _touch(db, conversation, kind, peer, message)
    return True


def has_message(db: apsw.Connection, message_id: str, conversation_id: str) -> bool:
    """Whether the conversation holds a message of that id; within a transaction."""
    row = db.execute(
        "SELECT 1 FROM messages WHERE message_id = ? AND conversation ="
        " (SELECT no FROM names WHERE name = ?)",
        (message_id, conversation_id),
    ).fetchone()
    return row is not None


def has_room(db: apsw.Connection, conversation_id: str) -> bool:
    """Whether a message of that conversation would be taken; within a transaction."""
    known = db.execute(
        "SELECT 1 FROM conversations WHERE conversation = (SELECT no FROM names WHERE name = ?)",
        (conversation_id,),
    ).fetchone()
    if known is not None:
        return True
    count: Any = db.execute("SELECT count(*) FROM conversations").fetchall()[0][0]
    return bool(count < MAX_CONVERSATIONS)


def set_state(
    db: apsw.Connection, message_id: str, state: str, conversation_id: str | None = None
) -> bool:
    """See ``History.mark``; within the transaction of the connection."""
    number = _number(STATES, state, "state")
    db.execute(
        "UPDATE messages SET state = ?1 WHERE message_id = ?2 AND direction = ?3 AND state != ?1"
        " AND (?4 IS NULL OR conversation = (SELECT no FROM names WHERE name = ?4))",
        (number, message_id, DIRECTIONS.index("outgoing"), conversation_id),
    )
    return db.changes() > 0


def void_sequences(
    db: apsw.Connection, conversation_id: str, since: int, most: int
) -> list[tuple[str, bytes, float]]:
    """Messages at places from ``since`` on are not in a group's stream; within a transaction.

    Args:
        since: first place.
        most: own messages at most.

    Returns:
        The own ones, which wait again: message id, data as JSON, time.
    """
    where = "conversation = (SELECT no FROM names WHERE name = ?) AND sequence >= ?"
    own = DIRECTIONS.index("outgoing")
    rows: Any = db.execute(
        f"SELECT message_id, data, time FROM messages WHERE {where} AND direction = ?"  # noqa: S608
        " ORDER BY sequence LIMIT ?",
        (conversation_id, since, own, most),
    ).fetchall()
    db.execute(
        f"UPDATE messages SET state = ? WHERE {where} AND direction = ?",  # noqa: S608
        (STATES.index("waiting"), conversation_id, since, own),
    )
    db.execute(
        f"UPDATE messages SET sequence = NULL WHERE {where}",  # noqa: S608
        (conversation_id, since),
    )
    return [(ident, data.encode(), time) for ident, data, time in rows]


def set_sequence(db: apsw.Connection, message_id: str, conversation_id: str, place: int) -> None:
    """An own message has its place in a group's stream; within a transaction.

    It moves behind what others said before it, so that every member's history has one order.
    """
    rows: Any = db.execute(
        "UPDATE messages SET sequence = ? WHERE message_id = ? AND conversation ="
        " (SELECT no FROM names WHERE name = ?) RETURNING no, conversation, data",
        (place, message_id, conversation_id),
    ).fetchall()
    for number, conversation, data in rows:
        later = db.execute(
            "SELECT 1 FROM messages WHERE conversation = ? AND no > ? AND sequence < ? LIMIT 1",
            (conversation, number, place),
        ).fetchone()
        if later is None:
            continue
        last: Any = db.execute("SELECT max(no) FROM messages").fetchall()[0][0]
        db.execute("UPDATE messages SET no = ? WHERE no = ?", (last + 1, number))
        db.execute("DELETE FROM words WHERE rowid = ?", (number,))
        if words := searchable(decode_data(data)):
            db.execute("INSERT INTO words(rowid, text) VALUES (?, ?)", (last + 1, words))


def _touch(db: apsw.Connection, conversation: int, kind: int, peer: int, message: Message) -> None:
    row: list[Any] = db.execute(
        "UPDATE conversations SET updated = max(updated, ?), last = ?, peer = ?,"
        " events = events + 1 WHERE conversation = ? RETURNING events",
        (message.time, message.message_id, peer, conversation),
    ).fetchall()
    if not row:
        count: Any = db.execute("SELECT count(*) FROM conversations").fetchall()[0][0]
        if count >= MAX_CONVERSATIONS:
            raise Busy(f"there are {count} conversations, the most that are kept")
        db.execute(
            "INSERT INTO conversations VALUES (?,?,?,?,?,?,1)",
            (conversation, kind, peer, message.time, message.time, message.message_id),
        )
    elif row[0][0] > MAX_PER_CONVERSATION:
        _drop_oldest(db, conversation)


def _drop_oldest(db: apsw.Connection, conversation: int) -> None:
    gone = [
        (no,)
        for (no,) in db.execute(
            "SELECT no FROM messages WHERE conversation = ? ORDER BY no LIMIT ?",
            (conversation, DROP_AT_ONCE),
        ).fetchall()
    ]
    db.executemany("DELETE FROM messages WHERE no = ?", gone)
    db.executemany("DELETE FROM words WHERE rowid = ?", gone)
    db.execute(
        "UPDATE conversations SET events = events - ? WHERE conversation = ?",
        (len(gone), conversation),
    )


def _name(db: apsw.Connection, name: str) -> int:
    row: Any = db.execute("SELECT no FROM names WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO names(name) VALUES (?) RETURNING no", (name,)).fetchall()[0]
    return int(row[0])


def _page(
    db: apsw.Connection,
    kind: int | None,
    wanted: tuple[str | None, str | None, str | None],
    offset: int,
    limit: int,
) -> list[Message]:
    where: list[str] = []
    given: list[Any] = []
    for column, name in zip(("conversation", "sender", "recipient"), wanted, strict=True):
        if name is None:
            continue
        row = db.execute("SELECT no FROM names WHERE name = ?", (name,)).fetchone()
        if row is None:
            return []
        where.append(f"{column} = ?")
        given.append(row[0])
    if kind is not None:
        # the index by conversation does not hold the type; a conversation has one type alone
        where.append("+type = ?" if wanted[0] is not None else "type = ?")
        given.append(kind)
    if wanted[0] is not None and kind is not None:
        found = db.execute(
            "SELECT 1 FROM conversations WHERE conversation = ? AND type = ?", (given[0], kind)
        ).fetchone()
        if found is None:
            return []
        where.pop()
        given.pop()
    clause = f" WHERE {' AND '.join(where)}" if where else ""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM"  # noqa: S608 - built of the words above
        f" (SELECT no FROM messages{clause} ORDER BY no DESC LIMIT ? OFFSET ?) p"
        f" JOIN messages m ON m.no = p.no {_JOINED} ORDER BY m.no",
        (*given, limit, offset),
    )
    return [_message(row) for row in rows]


def _search(
    db: apsw.Connection, query: str, conversation: str | None, offset: int, limit: int
) -> list[Message]:
    given: list[Any] = [query]
    where = ""
    if conversation is not None:
        where = " AND c.name = ?"
        given.append(conversation)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM words w JOIN messages m ON m.no = w.rowid {_JOINED}"  # noqa: S608
        f" WHERE words MATCH ?{where} ORDER BY w.rowid DESC LIMIT ? OFFSET ?",
        (*given, limit, offset),
    )
    return [_message(row) for row in rows]


def _conversations(
    db: apsw.Connection, kinds: list[int], offset: int, limit: int
) -> list[Conversation]:
    marks = ",".join("?" * len(kinds))
    rows = db.execute(
        "SELECT c.name, k.type, p.name, k.started, k.updated, k.last, k.events"  # noqa: S608
        " FROM conversations k JOIN names c ON c.no = k.conversation"
        f" JOIN names p ON p.no = k.peer WHERE k.type IN ({marks})"
        " ORDER BY k.updated DESC LIMIT ? OFFSET ?",
        (*kinds, limit, offset),
    )
    return [
        Conversation(name, TYPES[kind], peer, started, updated, last, events)
        for name, kind, peer, started, updated, last, events in rows
    ]


def _message(row: tuple[Any, ...]) -> Message:
    ident, conversation, kind, way, sender, recipient, data, when, sequence, state = row
    return Message(
        ident, conversation, TYPES[kind], DIRECTIONS[way], sender, recipient,
        decode_data(data), when, sequence, STATES[state],
    )  # fmt: skip


def _number(names: Sequence[str], name: str, what: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise InvalidInput(
            f"{what}: {str(name)[:40]!r} is unknown", hint=f"use one of {', '.join(names)}"
        ) from None


def _check_page(offset: int, limit: int) -> None:
    if not 0 <= offset <= MAX_OFFSET:
        raise InvalidInput("offset: must be 0 or more")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit: must be from 1 to {MAX_PAGE}")
