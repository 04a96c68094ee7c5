"""What an identity keeps in the home: ``metadata/localidentity`` and the master key beside it.

Synchronous; run it in the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitdust.crypto import PrivateKey
from bitdust.errors import (
    AlreadyExists,
    BitdustError,
    IntegrityError,
    InvalidInput,
    InvalidName,
    KeyProblem,
    NoIdentity,
    NotFound,
)
from bitdust.identity.document import MAX_DOCUMENT_SIZE, MAX_SOURCES, IdentityDocument
from bitdust.identity.masterkey import (
    MASTER_FILE,
    START_ANEW,
    has_master_key,
    read_master_key,
    write_master_key,
)
from bitdust.identity.secretfile import (
    make_private_directory,
    read_secret,
    remove_file,
    write_secret,
)
from bitdust.ids import IDURL, check_username

LOCAL_FILE = Path("metadata") / "localidentity"
ROTATION_NOTE = Path("metadata") / "localidentity.rotating"
"""The document before a change of sources that is not completed yet."""


def has_identity(home: Path) -> bool:
    """Whether the home has an identity document."""
    return (home / LOCAL_FILE).exists()


def source_idurls(username: str, servers: Sequence[str]) -> tuple[IDURL, ...]:
    """The addresses of a name on servers given as ``host`` or ``host:port``.

    Raises:
        InvalidName: a bad name or server.
        InvalidInput: no server, too many, or one twice.
    """
    check_username(username)
    if not 0 < len(servers) <= MAX_SOURCES:
        raise InvalidInput(f"name 1 to {MAX_SOURCES} identity servers")
    sources = []
    for server in servers:
        if not server or "/" in server or "@" in server:
            raise InvalidName(f"invalid identity server {server[:120]!r}", hint="use host:port")
        sources.append(IDURL.parse(f"http://{server}/{username}.xml"))
    if len(set(sources)) != len(sources):
        raise InvalidInput("an identity server is named twice")
    return tuple(sources)


def refuse_second(home: Path) -> None:
    """Check that the home has no identity.

    Raises:
        AlreadyExists: it has one.
    """
    if has_identity(home):
        raise AlreadyExists(
            "this node has an identity already", hint="`bitdust identity erase` removes it"
        )


def take_or_make_key(home: Path, size: int, passphrase: str | None) -> PrivateKey:
    """The master key in the home, or a new one written there; may take seconds."""
    if has_master_key(home):
        return read_master_key(home, passphrase)
    key = PrivateKey.generate(size)
    write_master_key(home, key, passphrase)
    return key


def keep_recovered_key(home: Path, key: PrivateKey, passphrase: str | None) -> None:
    """Write the key to the home, unless it is there; never over another one."""
    if has_master_key(home):
        try:
            same = read_master_key(home, passphrase) == key
        except BitdustError:
            same = False
        if not same:
            raise AlreadyExists(
                f"there is another private key in {home / MASTER_FILE}",
                hint="move it to a safe place first",
            )
        return
    write_master_key(home, key, passphrase)


def read_home(home: Path, passphrase: str | None) -> tuple[PrivateKey, IdentityDocument]:
    """The key and the document of a home; for the errors see ``LocalIdentity.load``."""
    path = home / LOCAL_FILE
    try:
        xml = read_secret(path, MAX_DOCUMENT_SIZE)
    except NotFound as exc:
        raise NoIdentity("this node has no identity yet") from exc
    try:
        document = IdentityDocument.parse(xml)
    except IntegrityError as exc:
        raise IntegrityError(f"{path} is damaged: {exc.message}", hint=START_ANEW) from exc
    if not has_master_key(home):
        raise KeyProblem(
            f"{home / MASTER_FILE} is missing, the private key of {document.global_id}",
            hint=f"put it back, or {START_ANEW}",
        )
    key = read_master_key(home, passphrase)
    if key.public != document.public_key:
        raise KeyProblem(
            f"the key in {home / MASTER_FILE} is not the one of the identity in {path}",
            hint=START_ANEW,
        )
    return key, document


def store_document(home: Path, document: IdentityDocument) -> None:
    """Write the document to the home, whole or not at all."""
    path = home / LOCAL_FILE
    make_private_directory(path.parent)
    write_secret(path, document.to_xml())


def store_note(home: Path, before: IdentityDocument) -> None:
    """Note that the sources are about to change."""
    path = home / ROTATION_NOTE
    make_private_directory(path.parent)
    write_secret(path, before.to_xml())


def read_note(home: Path) -> IdentityDocument | None:
    """The document before a change of sources that was not completed, None when there is none."""
    try:
        return IdentityDocument.parse(read_secret(home / ROTATION_NOTE, MAX_DOCUMENT_SIZE))
    except (NotFound, IntegrityError):
        return None


def remove_note(home: Path) -> None:
    """The change is complete."""
    remove_file(home / ROTATION_NOTE)


def remove_document(home: Path) -> None:
    """Remove the document from the home."""
    remove_file(home / ROTATION_NOTE)
    remove_file(home / LOCAL_FILE)
