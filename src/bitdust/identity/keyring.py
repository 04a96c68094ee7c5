"""The keys on this machine: the master key and every key made here or given by others.

The master key lies in ``metadata/mykeyfile``. Every other key has its own file in ``keys/``: damage
to one costs one. All calls are synchronous and safe from several threads; making a key takes up to
seconds, so call ``create`` in the thread pool.

Source: BitDust API, third generation, ``key_*``; second generation for the result fields.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from bitdust.clock import Clock
from bitdust.crypto import DEFAULT_KEY_SIZE, PrivateKey, PublicKey
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    FormatError,
    InvalidInput,
    KeyProblem,
    NotFound,
)
from bitdust.identity.masterkey import MAX_KEY_FILE, read_master_key, write_master_key
from bitdust.identity.secretfile import (
    make_private_directory,
    read_secret,
    remove_file,
    remove_leftovers,
    write_secret,
)
from bitdust.ids import MASTER_ALIAS, GlobalID, KeyID, check_alias

KEYS_DIRECTORY = Path("keys")
KEY_FILE_SUFFIX = ".key"
MAX_KEYS = 10_000
MAX_GIVEN = 5_000
"""Keys handed over by others that a ring takes in all, so that own ones always find room."""
MAX_GIVEN_BY_ONE = 500
"""Keys that one person may hand over."""
MAX_LABEL = 256
_FORMAT = 1
_SIGNATURE_CONTEXT = b"bitdust key 1\x00"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key of the ring.

    Args:
        key_id: its name and owner.
        public: the public half.
        private: the private half, if this machine holds it.
        label: words of the user.
        active: whether services use it.
        created: wall clock, seconds, when it came into this ring; 0 for the master key.
        signature: its owner's over ``key_signature_message``, for keys of other people.
        signed_as: the key id in that signature; the owner may have moved since.
        given_by: node id in hex of who handed it over, empty for keys made here.
    """

    key_id: KeyID
    public: PublicKey
    private: PrivateKey | None
    label: str = ""
    active: bool = True
    created: float = 0.0
    signature: bytes = b""
    signed_as: KeyID | None = None
    given_by: str = ""

    @property
    def is_public(self) -> bool:
        """Whether only the public half is held."""
        return self.private is None


class _KeyFile(msgspec.Struct):
    """What a file in ``keys/`` holds, as JSON."""

    format: int
    key_id: str
    key: str
    label: str = ""
    active: bool = True
    created: float = 0.0
    signature: str = ""
    signed_as: str = ""
    given_by: str = ""


class KeyRing:
    """All keys of one person on this machine.

    Args:
        home: the node's home directory.
        owner: the person; its key ``master`` is ``master``.
        master: the person's master key.
        clock: stamps new keys.
    """

    def __init__(self, home: Path, owner: GlobalID, master: PrivateKey, clock: Clock) -> None:
        self._home = home
        self._directory = home / KEYS_DIRECTORY
        self._owner = owner
        self._clock = clock
        self._lock = threading.RLock()
        self._keys: dict[KeyID, StoredKey] = {}
        self._master_key = master
        self._master = StoredKey(owner.key(), master.public, master, label="master key")
        self.problems: dict[str, str] = {}
        """Files in ``keys/`` that could not be read, with the reason."""

    @classmethod
    def load(
        cls, home: Path, owner: GlobalID, *, clock: Clock, passphrase: str | None = None
    ) -> KeyRing:
        """Read the master key and all others; damaged files of others go to ``problems``.

        Raises:
            NoIdentity: there is no master key.
            KeyProblem, IntegrityError: the master key cannot be read.
        """
        ring = cls(home, owner, read_master_key(home, passphrase), clock)
        ring.reload()
        return ring

    @property
    def owner(self) -> GlobalID:
        """Whose ring this is."""
        return self._owner

    @property
    def master(self) -> StoredKey:
        """The identity key."""
        return self._master

    def reload(self) -> None:
        """Read ``keys/`` again."""
        with self._lock:
            make_private_directory(self._directory)
            remove_leftovers(self._directory)
            self._keys.clear()
            self.problems.clear()
            for path in sorted(self._directory.glob(f"*{KEY_FILE_SUFFIX}")):
                try:
                    stored = _read_key_file(path)
                except BitdustError as exc:
                    self.problems[path.name] = f"{path}: {exc.message}"
                    continue
                if len(self._keys) >= MAX_KEYS:
                    self.problems[path.name] = f"{path}: more than {MAX_KEYS} keys"
                    continue
                known = self._keys.get(stored.key_id)
                if known is None or known.is_public:
                    self._keys[stored.key_id] = stored

    def list(self) -> list[StoredKey]:
        """All keys, the master key first, then by key id."""
        with self._lock:
            return [self._master, *(self._keys[key_id] for key_id in sorted(self._keys))]

    def get(self, key_id: KeyID) -> StoredKey:
        """One key.

        Raises:
            NotFound: it is not in the ring.
        """
        with self._lock:
            if key_id == self._master.key_id:
                return self._master
            stored = self._keys.get(key_id)
        if stored is None:
            raise NotFound(f"no key {key_id}", hint="list the keys with `bitdust key list`")
        return stored

    def __contains__(self, key_id: object) -> bool:
        with self._lock:
            return key_id == self._master.key_id or key_id in self._keys

    def private(self, key_id: KeyID) -> PrivateKey:
        """The private half of one key.

        Raises:
            NotFound: the key is not in the ring.
            KeyProblem: only its public half is.
        """
        stored = self.get(key_id)
        if stored.private is None:
            raise KeyProblem(
                f"only the public half of {key_id} is here", hint="ask its owner to share it"
            )
        return stored.private

    def create(
        self, alias: str, size: int = DEFAULT_KEY_SIZE, *, label: str = "", active: bool = True
    ) -> StoredKey:
        """Make a new key of the owner; slow for large sizes.

        Raises:
            InvalidName, InvalidInput, KeyProblem: bad alias, label or size.
            AlreadyExists: the alias is taken.
        """
        key_id = self._owner.key(check_alias(alias))
        if key_id in self:  # checked again by add; here it saves making a key in vain
            raise AlreadyExists(f"there is a key {key_id} already", hint="choose another alias")
        return self.add(key_id, PrivateKey.generate(size), label=label, active=active)

    def add(
        self, key_id: KeyID, key: PrivateKey | PublicKey, *, label: str = "", active: bool = True
    ) -> StoredKey:
        """Keep a key; a private half completes the same key's public half held before.

        Raises:
            AlreadyExists: another key has that id, or this one is here whole.
            InvalidInput: bad label, or the ring is full.
        """
        _check_label(label)
        private = key if isinstance(key, PrivateKey) else None
        public = key.public if isinstance(key, PrivateKey) else key
        with self._lock:
            known = self.get(key_id) if key_id in self else None
            if known and (known.public != public or private is None or known.private):
                raise AlreadyExists(f"there is a key {key_id} already", hint="erase it first")
            if known is None and len(self._keys) >= MAX_KEYS:
                raise InvalidInput(f"the key ring holds {MAX_KEYS} keys already")
            stored = StoredKey(
                key_id,
                public,
                private,
                label or (known.label if known else ""),
                active,
                self._clock.now(),
            )
            if known is not None:
                stored = replace(
                    stored,
                    signature=known.signature,
                    signed_as=known.signed_as,
                    given_by=known.given_by,
                )
            self._write(stored)
            return stored

    def take(
        self,
        key_id: KeyID,
        key: PrivateKey | PublicKey,
        *,
        signature: bytes,
        signed_as: KeyID,
        given_by: str,
        label: str = "",
        relabel: bool = False,
    ) -> tuple[StoredKey, bool]:
        """Keep a key that somebody handed over; nothing that is known is overwritten.

        Args:
            key_id: its name and owner.
            key: what was given of it.
            signature: the owner's, checked by the caller.
            signed_as: the key id in that signature.
            given_by: node id in hex of who hands it over.
            label: words that came with it.
            relabel: take the label for a key that is known, too.

        Returns:
            The key as it is kept now, and whether a half of it is new.

        Raises:
            AlreadyExists: a different key has that id.
            InvalidInput: bad label, or too many keys were handed over.
        """
        _check_label(label)
        private = key if isinstance(key, PrivateKey) else None
        public = key.public if isinstance(key, PrivateKey) else key
        with self._lock:
            known = self.get(key_id) if key_id in self else None
            if known is not None and known.public != public:
                raise AlreadyExists(f"another key is called {key_id}")
            if known is None:
                self._check_room(given_by)
                stored = StoredKey(key_id, public, private, label, True, self._clock.now())
                stored = replace(
                    stored, signature=signature, signed_as=signed_as, given_by=given_by
                )
            elif known.private is None and private is not None:
                stored = replace(known, private=private, signature=signature, signed_as=signed_as)
            else:
                stored = known
            if known is not None and relabel and label:
                stored = replace(stored, label=label)
            if stored != known:
                self._write(stored)
            is_new = known is None or (known.private is None and private is not None)
            return stored, is_new

    def _check_room(self, given_by: str) -> None:
        given = [stored.given_by for stored in self._keys.values() if stored.given_by]
        if len(given) >= MAX_GIVEN or len(self._keys) >= MAX_KEYS:
            raise InvalidInput(f"this node holds {len(given)} keys of others and takes no more")
        if given.count(given_by) >= MAX_GIVEN_BY_ONE:
            raise InvalidInput(f"at most {MAX_GIVEN_BY_ONE} keys are taken from one person")

    def set_label(self, key_id: KeyID, label: str) -> StoredKey:
        """Give a key another label.

        Raises:
            NotFound: no such key.
            InvalidInput: a bad label, or the master key.
        """
        _check_label(label)
        return self._change(key_id, label=label)

    def set_active(self, key_id: KeyID, active: bool) -> StoredKey:
        """Switch a key on or off.

        Raises:
            NotFound: no such key.
            InvalidInput: the master key.
        """
        return self._change(key_id, active=active)

    def erase(self, key_id: KeyID) -> None:
        """Forget a key and remove its file.

        Raises:
            NotFound: no such key.
            InvalidInput: the master key, which goes with the identity only.
        """
        with self._lock:
            self._refuse_master(key_id, "erased")
            self.get(key_id)
            remove_file(self._path(key_id))
            del self._keys[key_id]

    def rename_owner(self, old: GlobalID, new: GlobalID) -> Sequence[tuple[KeyID, KeyID]]:
        """Follow a person to a new address: every key of ``old`` becomes one of ``new``.

        A crash in between leaves some keys under both ids; calling again completes it.

        Returns:
            pairs of the old and the new id, in order.

        Raises:
            AlreadyExists: a different key has one of the new ids; nothing was renamed.
        """
        with self._lock:
            moved = [key_id for key_id in sorted(self._keys) if key_id.owner == old]
            pairs = [(key_id, KeyID(key_id.alias, new)) for key_id in moved]
            for before, after in pairs:
                clash = self._keys.get(after)
                if clash and clash.public != self._keys[before].public:
                    raise AlreadyExists(f"there is a different key {after} already")
            for before, after in pairs:
                if before == after:
                    continue
                source, there = self._keys[before], self._keys.get(after)
                if there is None or (there.is_public and not source.is_public):
                    self._write(replace(source, key_id=after))
                remove_file(self._path(before))
                del self._keys[before]
            if old == self._owner:
                self._owner = new
                pairs.insert(0, (self._master.key_id, new.key()))
                self._master = replace(self._master, key_id=new.key())
            return pairs

    def set_passphrase(self, passphrase: str | None) -> None:
        """Lock the master key's file with a passphrase, or unlock it with None; slow by design.

        Raises:
            KeyProblem: an impossible passphrase.
        """
        if passphrase == "":
            raise KeyProblem("the passphrase is empty", hint="give none to unlock the key file")
        with self._lock:
            write_master_key(self._home, self._master_key, passphrase)

    def view(
        self, key_id: KeyID, *, include_private: bool = False, include_signature: bool = False
    ) -> dict[str, Any]:
        """One key in the JSON-ready form that the API gives.

        Args:
            include_private: with the private half, if held: for its owner only.
            include_signature: with the owner of this ring's signature over key id and public half.

        Raises:
            NotFound: no such key.
        """
        stored = self.get(key_id)
        shown: dict[str, Any] = {
            "key_id": str(key_id),
            "alias": key_id.alias,
            "label": stored.label,
            "creator": str(key_id.owner.idurl),
            "fingerprint": stored.public.md5_fingerprint,
            "size": str(stored.public.size),
            "ssh_type": "ssh-rsa",
            "type": "RSA",
            "public": stored.public.to_ssh(),
            "private": None,
            "is_public": stored.is_public,
            "active": stored.active,
            "created": stored.created,
            "include_private": include_private,
        }
        if include_private and stored.private is not None:
            shown["private"] = stored.private.to_pem()
        if include_signature:
            signature = self._master_key.sign(key_signature_message(key_id, stored.public))
            shown["signature"] = base64.b64encode(signature).decode("ascii")
            shown["signature_pubkey"] = self._master.public.to_ssh()
        return shown

    def _change(self, key_id: KeyID, **changes: Any) -> StoredKey:
        with self._lock:
            self._refuse_master(key_id, "changed")
            stored = replace(self.get(key_id), **changes)
            self._write(stored)
            return stored

    def _refuse_master(self, key_id: KeyID, verb: str) -> None:
        if key_id == self._master.key_id:
            raise InvalidInput(
                f"the master key cannot be {verb}", hint="`bitdust identity erase` removes it"
            )

    def _write(self, stored: StoredKey) -> None:
        text = stored.private.to_pem() if stored.private else stored.public.to_ssh()
        record = _KeyFile(
            format=_FORMAT,
            key_id=str(stored.key_id),
            key=text,
            label=stored.label,
            active=stored.active,
            created=stored.created,
            signature=stored.signature.hex(),
            signed_as=str(stored.signed_as) if stored.signed_as is not None else "",
            given_by=stored.given_by,
        )
        make_private_directory(self._directory)
        write_secret(self._path(stored.key_id), msgspec.json.encode(record))
        self._keys[stored.key_id] = stored

    def _path(self, key_id: KeyID) -> Path:
        return self._directory / key_file_name(key_id)


def key_file_name(key_id: KeyID) -> str:
    """The file of a key in ``keys/``: its alias for people, a hash of the whole id to be unique."""
    digest = hashlib.sha256(str(key_id).encode("utf-8")).hexdigest()[:16]
    # A name that starts with a dot would be hidden.
    return f"{key_id.alias.lstrip('.') or MASTER_ALIAS}-{digest}{KEY_FILE_SUFFIX}"


def key_signature_message(key_id: KeyID, public: PublicKey) -> bytes:
    """What a person signs to say that a key is the one called ``key_id``."""
    return _SIGNATURE_CONTEXT + public.fingerprint + str(key_id).encode("utf-8")


def _check_label(label: str) -> None:
    if len(label) > MAX_LABEL or not all(ch.isprintable() for ch in label):
        raise InvalidInput(f"a label has at most {MAX_LABEL} printable characters")


def _read_key_file(path: Path) -> StoredKey:
    """Read one file of ``keys/``; raises errors of the tree only."""
    try:
        record = msgspec.json.decode(read_secret(path, MAX_KEY_FILE), type=_KeyFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise FormatError("the key file is damaged") from exc
    if record.format != _FORMAT:
        raise FormatError(f"the key file has the unknown format {record.format}")
    key_id = KeyID.parse(record.key_id)
    if path.name != key_file_name(key_id):
        raise FormatError(f"the key file of {key_id} has the wrong name")
    if record.key.startswith("ssh-rsa "):
        private, public = None, PublicKey.from_ssh(record.key)
    else:
        private = PrivateKey.from_pem(record.key)
        public = private.public
    try:
        signature = bytes.fromhex(record.signature)
    except ValueError as exc:
        raise FormatError("the key file holds a damaged signature") from exc
    return StoredKey(
        key_id,
        public,
        private,
        record.label,
        record.active,
        record.created,
        signature,
        KeyID.parse(record.signed_as) if record.signed_as else None,
        record.given_by,
    )
