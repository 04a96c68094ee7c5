"""Who one's friends are, on disk: a file for each, beside the keys and as private as they are.

They lie in the folder of keys because that folder goes to the suppliers under the master key:
whoever recovers with the master key alone has the friends again, too.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bitdust.contacts.person import MAX_PERSON_NAME
from bitdust.errors import AlreadyExists, BitdustError, FormatError, InvalidInput, NotFound
from bitdust.identity import (
    MAX_DOCUMENT_SIZE,
    IdentityDocument,
    make_private_directory,
    read_secret,
    remove_file,
    write_secret,
)

FRIEND_SUFFIX = ".friend"
MAX_FRIENDS = 1000
MAX_FRIEND_FILE = 4 * MAX_DOCUMENT_SIZE
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Friend:
    """One person of the list.

    Args:
        document: their newest identity document known.
        alias: what the user calls them, may be empty.
        added: wall clock, seconds.
    """

    document: IdentityDocument
    alias: str
    added: float

    @property
    def node_id(self) -> bytes:
        """Who it is, whatever the address: the fingerprint of their key."""
        return self.document.node_id


class _FriendFile(msgspec.Struct):
    format: int
    document: str
    alias: str = ""
    added: float = 0.0


class FriendBook:
    """The friends of one person. Synchronous, safe from several threads.

    Args:
        folder: where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._friends: dict[bytes, Friend] = {}
        self.problems: dict[str, str] = {}
        """Files that could not be read, with the reason."""

    def load(self) -> None:
        """Read all files again; damaged ones are left as they are and named in ``problems``."""
        with self._lock:
            make_private_directory(self._folder)
            found: dict[bytes, Friend] = {}
            self.problems.clear()
            for path in sorted(self._folder.glob(f"*{FRIEND_SUFFIX}")):
                try:
                    friend = _read(path)
                except BitdustError as exc:
                    self.problems[path.name] = f"{path}: {exc.message}"
                    continue
                if len(found) < MAX_FRIENDS:
                    found[friend.node_id] = friend
                else:
                    self.problems[path.name] = f"{path}: more than {MAX_FRIENDS} friends"
            self._friends = found

    def list(self) -> list[Friend]:
        """All friends, in the order in which they were added."""
        with self._lock:
            return sorted(self._friends.values(), key=lambda friend: (friend.added, friend.node_id))

    def get(self, node_id: bytes) -> Friend | None:
        """A friend by node id."""
        with self._lock:
            return self._friends.get(node_id)

    def called(self, alias: str) -> Friend | None:
        """A friend by alias, upper and lower case alike."""
        wanted = alias.strip().casefold()
        return next((friend for friend in self.list() if friend.alias.casefold() == wanted), None)

    def check_free(self, alias: str, node_id: bytes = b"") -> None:
        """Refuse an alias that another friend has.

        Raises:
            AlreadyExists: with whose it is.
        """
        namesake = self.called(alias) if alias else None
        if namesake is not None and namesake.node_id != node_id:
            raise AlreadyExists(
                f"you call {namesake.document.global_id} {alias!r} already",
                hint="choose another alias",
            )

    def put(self, document: IdentityDocument, alias: str, now: float) -> tuple[Friend, bool]:
        """Enter a friend, or change what a friend is called.

        Args:
            alias: new alias; an empty one leaves that of a known friend.

        Returns:
            The friend, and whether it is a new one.

        Raises:
            InvalidInput: an alias that cannot be one, or too many friends.
            AlreadyExists: another friend has that alias.
            LocalFileError, DiskFull: nothing was changed.
        """
        alias = alias.strip()
        check_alias(alias)
        with self._lock:
            known = self._friends.get(document.node_id)
            if known is None and len(self._friends) >= MAX_FRIENDS:
                raise InvalidInput(f"there are {MAX_FRIENDS} friends already")
            self.check_free(alias, document.node_id)
            newest = document
            if known is not None and known.document.revision > document.revision:
                newest = known.document
            friend = Friend(
                newest,
                alias or (known.alias if known is not None else ""),
                known.added if known is not None else now,
            )
            if friend != known:
                self._write(friend)
            return friend, known is None

    def renew(self, document: IdentityDocument) -> bool:
        """Keep a newer document of a friend; whether it was one."""
        with self._lock:
            known = self._friends.get(document.node_id)
            if known is None or known.document.revision >= document.revision:
                return False
            self._write(Friend(document, known.alias, known.added))
            return True

    def remove(self, node_id: bytes) -> Friend:
        """Strike somebody off the list.

        Raises:
            NotFound: that is no friend.
        """
        with self._lock:
            friend = self._friends.get(node_id)
            if friend is None:
                raise NotFound("that is none of your friends", hint="see `bitdust friend list`")
            remove_file(self._path(node_id))
            del self._friends[node_id]
            return friend

    def _write(self, friend: Friend) -> None:
        record = _FriendFile(
            _FORMAT, friend.document.to_xml().decode("utf-8"), friend.alias, friend.added
        )
        make_private_directory(self._folder)
        write_secret(self._path(friend.node_id), msgspec.json.encode(record))
        self._friends[friend.node_id] = friend

    def _path(self, node_id: bytes) -> Path:
        # a hash, so that a list of the files says nothing about whose they are
        name = hashlib.sha256(b"bitdust friend file\x00" + node_id).hexdigest()[:32]
        return self._folder / f"{name}{FRIEND_SUFFIX}"


def check_alias(alias: str) -> None:
    """Refuse an alias that is too long, not printable, or looks like an address.

    Raises:
        InvalidInput: with the reason.
    """
    if len(alias) > MAX_PERSON_NAME or not alias.isprintable():
        raise InvalidInput(f"an alias has at most {MAX_PERSON_NAME} printable characters")
    if "@" in alias or "://" in alias:
        raise InvalidInput("an alias cannot look like an address", hint="leave out @ and ://")


def _read(path: Path) -> Friend:
    try:
        record = msgspec.json.decode(read_secret(path, MAX_FRIEND_FILE), type=_FriendFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise FormatError("the file is damaged") from exc
    if record.format != _FORMAT:
        raise FormatError(f"the file has the unknown format {record.format}")
    check_alias(record.alias)
    document = IdentityDocument.parse(record.document.encode("utf-8", "surrogatepass"))
    return Friend(document, record.alias, record.added)
