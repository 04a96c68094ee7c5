"""This node's own identity, and the cache of other people's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitdust.api.envelope import Answer
from bitdust.api.parameters import LocalPath
from bitdust.api.registry import DELETE, GET, POST, PUT, operation
from bitdust.errors import InvalidInput
from bitdust.ids import GlobalID, check_username

if TYPE_CHECKING:
    from bitdust.api.node import Node

MAX_CACHE_LIST = 10_000
_KEEP_BOTH = (
    "keep this file and its passphrase in safe places: without them lost data cannot come back"
)
_KEEP_SAFE = (
    "keep this file in a safe place: whoever has it is you, and without it lost data cannot come "
    "back"
)


@operation(
    GET("/identity/get/v1"), cli="identity get", aliases={"xml_source": "include_xml_source"}
)
async def identity_get(node: Node, *, include_xml_source: bool = False) -> dict[str, Any]:
    """Show your identity.

    Args:
        include_xml_source: with the signed XML document as `xml`.

    Returns:
        `name`, `idurl`, `global_id`, `sources`, `contacts`, `date`, `version`,
        `revision`, `publickey` and more.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, identity_get.
    """
    return node.require_identity().document.view(include_xml=include_xml_source)


@operation(
    POST("/identity/create/v1"),
    cli="identity create",
    ignored=("join_network",),
    example={"username": "alice"},
)
async def identity_create(
    node: Node, username: str, *, preferred_servers: list[str] | None = None
) -> dict[str, Any]:
    """Make a private key and an identity, and register it on identity servers.

    Args:
        username: name of the person: lower-case letters, digits, `_` and `-`.
        preferred_servers: identity servers to use, `host` or `host:port`; those of the settings
            `services/identity-propagate/…` if not given. None is needed when
            `services/identity-propagate/serverless-enabled` is on.

    Returns:
        The identity as `identity_get` shows it, with `xml`.

    Raises:
        AlreadyExists: this node has an identity.
        InvalidName: the name cannot be a user name.
        NameTaken: the name belongs to somebody else.
        IdentityServerError: no identity server answers.

    Source: BitDust API, third generation, identity_create.
    """
    await node.create_identity(check_username(username), preferred_servers or [])
    return node.require_identity().document.view(include_xml=True)


@operation(
    POST("/identity/backup/v1"),
    cli="identity backup",
    from_file=("passphrase",),
    example={"destination_filepath": "/tmp/alice_backup.key"},  # noqa: S108 - an example
)
async def identity_backup(
    node: Node,
    destination_filepath: LocalPath,
    *,
    overwrite: bool = False,
    passphrase: str | None = None,
) -> Answer:
    """Write a backup of your private key to a file.

    With that file alone everything can be restored on another machine; see `identity_recover`.

    Args:
        destination_filepath: the file to make, readable by its owner only.
        overwrite: replace the file if it is there.
        passphrase: the private key in the file is encrypted under it; a line end after it does not
            count. Without the passphrase the file is of no use to anybody.

    Returns:
        `local_path`.

    Raises:
        NoIdentity: there is no identity yet.
        AlreadyExists: the file is there.
        LocalFileError: it cannot be written.

    Source: BitDust API, third generation, identity_backup.
    """
    path = Path(destination_filepath)
    if not path.name:
        raise InvalidInput(f"destination_filepath: {destination_filepath!r} names no file")
    secret = _passphrase(passphrase)
    await node.require_identity().backup(path, passphrase=secret, overwrite=overwrite)
    message = _KEEP_SAFE if secret is None else _KEEP_BOTH
    return Answer({"local_path": str(path)}, message=message)


@operation(
    POST("/identity/recover/v1"),
    cli="identity recover",
    from_file=("private_key_source", "passphrase"),
    from_path={"private_key_local_file": "private_key_source"},
    positional=("known_idurl",),
    ignored=("join_network",),
    example={
        "private_key_source": "http://some-host.com/alice.xml\n"
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEogIBAAKC..."
    },
)
async def identity_recover(
    node: Node,
    private_key_source: str,
    *,
    known_idurl: GlobalID | None = None,
    passphrase: str | None = None,
) -> dict[str, Any]:
    """Bring your identity back from its backup.

    Args:
        private_key_source: what the backup file holds: IDURLs, then the private key as PEM text.
        known_idurl: your IDURL, if the backup does not name it or it has changed.
        passphrase: opens a backup that was encrypted; a line end after it does not count. The key
            file on this machine is not locked by it; `bitdust passphrase` does that.

    Returns:
        The identity as `identity_get` shows it, with `xml`.

    Raises:
        AlreadyExists: this node has an identity.
        KeyProblem: the text holds no usable private key.
        WrongPassphrase: the backup is encrypted, and the passphrase is missing or wrong.
        IdentityServerError: no identity server knows the key.

    Source: BitDust API, third generation, identity_recover.
    """
    idurl = known_idurl.idurl if known_idurl else None
    await node.recover_identity(private_key_source, idurl, _passphrase(passphrase))
    return node.require_identity().document.view(include_xml=True)


def _passphrase(text: str | None) -> str | None:
    """A passphrase without the line end that a file has."""
    return (text or "").rstrip("\r\n") or None


@operation(PUT("/identity/rotate/v1"), cli="identity rotate")
async def identity_rotate(node: Node) -> dict[str, Any]:
    """Move your identity to another identity server, even if the present ones are well.

    Your IDURL and global id change, and the ids of your keys and files with them. Your private key
    stays the same, and with it your suppliers, contacts and data; the old names go on working on
    this machine. Dead servers are left without being told, see the setting
    `services/identity-propagate/automatic-rotate-enabled`.

    Returns:
        The identity as `identity_get` shows it, with `old_sources` and `rotated`.

    Raises:
        NoIdentity: there is no identity yet.
        IdentityServerError: no other identity server that the settings name answers.
        NameTaken: your user name belongs to somebody else on all of them.

    Source: BitDust API, third generation, identity_rotate.
    """
    before = await node.rotate_identity()
    document = node.require_identity().document
    return {
        **document.view(),
        "old_sources": [str(source) for source in before.sources],
        "rotated": before.sources != document.sources,
    }


@operation(DELETE("/identity/erase/v1"), POST("/identity/erase/v1"), cli="identity erase")
async def identity_erase(node: Node, *, erase_private_key: bool = False) -> Answer:
    """Remove the identity from this machine; all network services are stopped first.

    Args:
        erase_private_key: remove the private key too. Without a backup of it, everything that is
            stored is lost.

    Raises:
        NoIdentity: there is no identity.

    Source: BitDust API, third generation, identity_erase.
    """
    global_id = node.require_identity().global_id
    await node.erase_identity(erase_private_key)
    return Answer(message=f"the identity {global_id} was erased from this machine")


@operation(GET("/identity/cache/list/v1"), cli="identity cache")
async def identity_cache_list(node: Node) -> list[dict[str, Any]]:
    """List the identities of other people that are kept on this machine.

    Returns:
        A list of identities as `identity_get` shows them.

    Source: BitDust API, third generation, identity_cache_list.
    """
    documents = await node.identities.list(MAX_CACHE_LIST)
    return [document.view() for document in documents]
