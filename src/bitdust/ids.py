"""Names of people, keys and files: frozen values, parsed once at the edge.

    IDURL        http://id.example.org:8084/alice.xml
                 dht://<64 hex digits>/alice.xml, a document in the DHT and on no server
    GlobalID     alice@id.example.org_8084
    KeyID        photos$alice@id.example.org_8084
    RemotePath   photos$alice@id.example.org_8084:2016/cat.png
    PathID       0/0/1/3
    version      F20160424013912PM

Source: BitDust API, second and third generation.
"""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from bitdust.errors import InvalidName

MAX_REMOTE_PATH_BYTES = 16 * 1024
MAX_SEGMENT_BYTES = 4096
MASTER_ALIAS = "master"

_USERNAME = re.compile(r"[a-z0-9_-]{1,64}")
_ALIAS = re.compile(r"[a-z0-9_.-]{1,128}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_DHT_KEY = re.compile(r"[0-9a-f]{64}")
# A label of a DNS name has at most 63 characters, so no server can have such a name.
_NO_PORT = 0
_PATH_ID = re.compile(r"\d{1,12}(/\d{1,12}){0,511}")
_VERSION = re.compile(r"F\d{8}(0[1-9]|1[0-2])[0-5]\d[0-5]\d(AM|PM)(\.\d{1,6})?")


def check_username(name: str) -> str:
    """Return ``name`` if it may be a user name.

    Raises:
        InvalidName: not 1 to 64 of lower-case letters, digits, ``_`` and ``-``.
    """
    if not _USERNAME.fullmatch(name):
        raise InvalidName(
            f"invalid user name {name[:80]!r}",
            hint="use 1 to 64 lower-case letters, digits, '_' or '-'",
        )
    return name


def check_alias(alias: str) -> str:
    """Return ``alias`` if it may name a key.

    Raises:
        InvalidName: not 1 to 128 of lower-case letters, digits, ``_``, ``-`` and ``.``.
    """
    if not _ALIAS.fullmatch(alias):
        raise InvalidName(
            f"invalid key alias {alias[:80]!r}",
            hint="use 1 to 128 lower-case letters, digits, '_', '-' or '.'",
        )
    return alias


def _check_host(host: str, port: int | None, text: str) -> None:
    if not _HOST.fullmatch(host) or ".." in host or _DHT_KEY.fullmatch(host):
        raise InvalidName(f"invalid host name in {text[:120]!r}", hint="use a DNS name or an IPv4")
    if port is not None and not 0 < port < 65536:
        raise InvalidName(f"invalid port in {text[:120]!r}", hint="use a port from 1 to 65535")


@dataclass(frozen=True, slots=True, order=True)
class IDURL:
    """Where a person's identity document is served: ``http://host[:port]/name.xml``.

    A document that stands in the DHT, on no server, is at ``dht://<key>/name.xml``: ``host`` is
    then the person's DHT key, 64 hex digits, and ``port`` is 0.
    """

    host: str
    port: int
    username: str

    @classmethod
    def parse(cls, text: str) -> IDURL:
        """Read an IDURL.

        Raises:
            InvalidName: not of the form ``http://host[:port]/name.xml`` or ``dht://key/name.xml``.
        """
        hint = "an IDURL looks like http://id.example.org/alice.xml"
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as exc:
            raise InvalidName(f"invalid IDURL {text[:120]!r}", hint=hint) from exc
        path = parts.path.removeprefix("/")
        in_dht = parts.scheme == "dht"
        if (
            parts.scheme not in ("http", "dht")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username is not None
            or not path.endswith(".xml")
        ):
            raise InvalidName(f"invalid IDURL {text[:120]!r}", hint=hint)
        username = check_username(path.removesuffix(".xml"))
        if in_dht:
            if port is not None or not _DHT_KEY.fullmatch(parts.hostname):
                raise InvalidName(f"invalid IDURL {text[:120]!r}", hint=hint)
            return cls(parts.hostname, _NO_PORT, username)
        _check_host(parts.hostname, port, text)
        return cls(parts.hostname, port or 80, username)

    @classmethod
    def in_dht(cls, dht_key: bytes, username: str) -> IDURL:
        """The address of a document in the DHT, under the person's DHT key (32 bytes)."""
        return cls(dht_key.hex(), _NO_PORT, check_username(username))

    @property
    def is_serverless(self) -> bool:
        """Whether the document is in the DHT and on no server."""
        return self.port == _NO_PORT

    @property
    def global_id(self) -> GlobalID:
        """The same person as ``alice@host_port``."""
        return GlobalID(self.username, self.host, self.port)

    def __str__(self) -> str:
        if self.is_serverless:
            return f"dht://{self.host}/{self.username}.xml"
        host = self.host if self.port == 80 else f"{self.host}:{self.port}"
        return f"http://{host}/{self.username}.xml"


@dataclass(frozen=True, slots=True, order=True)
class GlobalID:
    """A person: ``alice@host`` or, when the port is not 80, ``alice@host_8084``.

    Without a server it is ``alice@<64 hex digits>``, the person's DHT key; the port is 0.
    """

    username: str
    host: str
    port: int = 80

    @classmethod
    def parse(cls, text: str) -> GlobalID:
        """Read a global id; an IDURL is taken too.

        Raises:
            InvalidName: neither form.
        """
        text = text.strip()
        if text.startswith(("http://", "dht://")):
            return IDURL.parse(text).global_id
        username, sep, hostport = text.partition("@")
        if not sep:
            raise InvalidName(
                f"invalid global id {text[:120]!r}", hint="a global id looks like alice@example.org"
            )
        if _DHT_KEY.fullmatch(hostport):
            return cls(check_username(username), hostport, _NO_PORT)
        host, sep, port_text = hostport.rpartition("_")
        port = 80
        if sep and port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5:
            port = int(port_text)
        else:
            host = hostport
        _check_host(host, port, text)
        return cls(check_username(username), host, port)

    @property
    def idurl(self) -> IDURL:
        """The same person as an IDURL."""
        return IDURL(self.host, self.port, self.username)

    def key(self, alias: str = MASTER_ALIAS) -> KeyID:
        """The id of this person's key ``alias``."""
        return KeyID(check_alias(alias), self)

    def __str__(self) -> str:
        host = self.host if self.port in (_NO_PORT, 80) else f"{self.host}_{self.port}"
        return f"{self.username}@{host}"


@dataclass(frozen=True, slots=True, order=True)
class KeyID:
    """A key: ``alias$alice@host``; the alias ``master`` is the identity key."""

    alias: str
    owner: GlobalID

    @classmethod
    def parse(cls, text: str) -> KeyID:
        """Read a key id; a bare global id means its master key.

        Raises:
            InvalidName: neither form.
        """
        alias, sep, owner = text.strip().partition("$")
        if not sep:
            return cls(MASTER_ALIAS, GlobalID.parse(text))
        return cls(check_alias(alias), GlobalID.parse(owner))

    def __str__(self) -> str:
        return f"{self.alias}${self.owner}"


def clean_path(path: str) -> str:
    """Bring a path in the catalog to its one form: no leading, trailing or double slashes.

    The spelling of names is kept as given, whatever its Unicode form: two files whose names differ
    only in form are two files.

    Raises:
        InvalidName: ``.`` or ``..`` as a segment, a NUL character, or too long.
    """
    segments = [segment for segment in path.split("/") if segment]
    for segment in segments:
        if segment in (".", "..") or "\x00" in segment:
            raise InvalidName(
                f"invalid name {segment[:80]!r} in a remote path",
                hint="'.', '..' and NUL characters cannot be names",
            )
        if len(encode_name(segment)) > MAX_SEGMENT_BYTES:
            raise InvalidName("a name in the remote path is longer than 4096 bytes")
    cleaned = "/".join(segments)
    if len(encode_name(cleaned)) > MAX_REMOTE_PATH_BYTES:
        raise InvalidName(f"the remote path is longer than {MAX_REMOTE_PATH_BYTES} bytes")
    return cleaned


def encode_name(name: str) -> bytes:
    """A file name as bytes, undecodable bytes of the file system included."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(raw: bytes) -> str:
    """The reverse of ``encode_name``."""
    return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, order=True)
class RemotePath:
    """A file in a catalog: ``key$alice@host:path/to/file``; the empty path is the root."""

    key_id: KeyID
    path: str

    @classmethod
    def parse(cls, text: str, default_key: KeyID | None = None) -> RemotePath:
        """Read a remote path; without a key part, ``default_key`` is meant.

        Raises:
            InvalidName: malformed, or no key part and no default.
        """
        head, sep, path = text.partition(":")
        if sep and "@" in head and "/" not in head:
            return cls(KeyID.parse(head), clean_path(path))
        if not sep and "@" in text and "/" not in text:
            return cls(KeyID.parse(text), "")
        if default_key is None:
            raise InvalidName(
                f"invalid remote path {text[:120]!r}",
                hint="a remote path looks like master$alice@example.org:folder/file",
            )
        return cls(default_key, clean_path(text.removeprefix(":")))

    @property
    def name(self) -> str:
        """The last segment, empty for the root."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.key_id}:{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class PathID:
    """An item of a catalog by numbers: ``0/0/1/3``."""

    numbers: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> PathID:
        """Read an item id.

        Raises:
            InvalidName: not numbers joined by ``/``.
        """
        if not _PATH_ID.fullmatch(text):
            raise InvalidName(f"invalid item id {text[:80]!r}", hint="it looks like 0/0/1/3")
        return cls(tuple(int(part) for part in text.split("/")))

    @classmethod
    def looks_like(cls, text: str) -> bool:
        """Whether the text has the form of an item id."""
        return _PATH_ID.fullmatch(text) is not None

    def __str__(self) -> str:
        return "/".join(map(str, self.numbers))


@dataclass(frozen=True, slots=True, order=True)
class BackupID:
    """One version of an item: ``key$alice@host:0/0/1/3/F20160424013912PM``."""

    key_id: KeyID
    path_id: PathID
    version: str

    @classmethod
    def parse(cls, text: str, default_key: KeyID | None = None) -> BackupID:
        """Read a backup id; without a key part, ``default_key`` is meant.

        Raises:
            InvalidName: malformed, or no key part and no default.
        """
        head, sep, rest = text.rpartition(":")
        if sep:
            key_id = KeyID.parse(head)
        elif default_key is not None:
            key_id = default_key
        else:
            raise InvalidName(
                f"invalid backup id {text[:120]!r}", hint="name the key: key$user@host:"
            )
        path_id, _, version = rest.rpartition("/")
        return cls(key_id, PathID.parse(path_id), check_version(version))

    def __str__(self) -> str:
        return f"{self.key_id}:{self.path_id}/{self.version}"


def check_version(text: str) -> str:
    """Return ``text`` if it is a version name.

    Raises:
        InvalidName: not of the form ``F20160424013912PM``, with an optional ``.N`` for the second
            and later versions within one second.
    """
    if not _VERSION.fullmatch(text):
        raise InvalidName(f"invalid version {text[:40]!r}", hint="it looks like F20160424013912PM")
    return text


def looks_like_version(text: str) -> bool:
    """Whether the text has the form of a version name."""
    return _VERSION.fullmatch(text) is not None


def version_name(when: float, serial: int = 0) -> str:
    """The version name for a moment, in UTC with a 12-hour clock, as in ``F20160424013912PM``.

    Args:
        when: wall clock, seconds since 1970.
        serial: 0 for the first version within that second, then 1, 2, …
    """
    text = time.strftime("F%Y%m%d%I%M%S%p", time.gmtime(when))
    return f"{text}.{serial}" if serial else text


def display_name(name: str) -> str:
    """A file name that is safe to print: NFC, undecodable bytes and controls shown escaped."""
    shown = unicodedata.normalize("NFC", name)
    return "".join(
        ch
        if ch.isprintable()
        else ch.encode(
            "utf-8", "surrogateescape" if "\udc80" <= ch <= "\udcff" else "surrogatepass"
        )
        .decode("latin-1")
        .encode("unicode_escape")
        .decode("ascii")
        for ch in shown
    )
