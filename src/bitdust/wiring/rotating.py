"""Changing the identity servers of this node's person: one operation, completed after any crash.

What makes the change is one file: the document in the home, replaced whole. Everything else that
carries the person's name follows it when its service starts: the key ring and the catalog take all
other names of the document for the present one. So a rotation stops those services, replaces the
document, and starts them again; and a crash leaves either the old name everywhere or work that the
next start does anyway. The note beside the document is there for what is to be told in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import structlog

from bitdust.errors import AlreadyExists, BitdustError, IdentityServerError
from bitdust.identity import IdentityDocument, source_change
from bitdust.ids import IDURL

if TYPE_CHECKING:
    from bitdust.node import Node

BRANCH: Final = "services/identity-propagate"
NAMED_SERVICES: Final = frozenset({"keys_registry"})
"""Stopped, with all that need them, while the name changes."""
PUBLISH_WAIT = 10.0
"""Seconds a rotation waits for all its servers; those left over get the document later."""

log = structlog.get_logger(component="identity")


async def rotate(node: Node, *, move: bool, dead: Collection[IDURL] = ()) -> IdentityDocument:
    """Give this node's person other identity servers.

    Args:
        node: the node.
        move: change the address even if its server is well.
        dead: sources to be given up.

    Returns:
        The document before; the present one when there was nothing to change.

    Raises:
        NoIdentity: there is no identity yet.
        IdentityServerError, NameTaken: no server can take the address; nothing changed.
        LocalFileError, DiskFull: the change could not be kept; nothing changed.
    """
    identity = node.require_identity()
    settings = node.settings
    sources = await identity.find_sources(
        known_servers(node),
        move=move,
        dead=dead,
        fewest=settings.get_int(f"{BRANCH}/min-servers"),
        most=settings.get_int(f"{BRANCH}/max-servers"),
    )
    old = identity.document
    if sources == old.sources:
        return old

    async def take() -> None:
        await identity.take_sources(sources)

    if sources[0] == old.idurl:
        await take()
    else:
        await node.services.around(NAMED_SERVICES, take)
    await complete(node, old)
    return old


async def complete(node: Node, before: IdentityDocument) -> None:
    """Bring the new document to its servers and tell that the sources changed.

    Args:
        before: the document before the change.
    """
    identity = node.require_identity()
    try:
        async with asyncio.timeout(PUBLISH_WAIT):
            await identity.publish()
    except (TimeoutError, IdentityServerError, AlreadyExists) as exc:
        log.warning("identity not published everywhere yet", reason=str(exc))
    after = identity.document
    change = source_change(before, after)
    log.info("identity servers changed", old=change["old_idurl"], new=change["new_idurl"])
    moved = before.idurl != after.idurl
    if moved and node.keys is not None:
        for stored in node.keys.list():
            if stored.key_id.owner == after.global_id:
                old_id = str(before.global_id.key(stored.key_id.alias))
                node.events.publish("key-renamed", old_key_id=old_id, new_key_id=str(stored.key_id))
    node.events.publish("local-identity-modified", **change)
    node.events.publish("my-identity-rotated", **change)
    if moved:
        node.events.publish("my-identity-url-changed", **change)
    node.events.publish("my-identity-rotate-complete", **change)
    await identity.finish_rotation()


async def complete_interrupted(node: Node) -> None:
    """Complete a rotation that the last run of the program left unfinished, if there is one."""
    if node.identity is None:
        return
    try:
        before = await node.identity.unfinished()
        if before is not None:
            await complete(node, before)
    except BitdustError as exc:
        log.error("identity rotation not completed; the next start tries again", reason=exc.message)


def known_servers(node: Node) -> list[str]:
    """The identity servers of the settings, those preferred first."""
    items = node.settings.get_items
    named = [*items(f"{BRANCH}/preferred-servers"), *items(f"{BRANCH}/known-servers")]
    return list(dict.fromkeys(named))


def reload_keys(node: Node) -> None:
    """Read the key ring again, and take what is under other names of this person. Blocks."""
    keys = node.keys
    if keys is None:
        return
    keys.reload()
    for name in node.require_identity().other_names:
        try:
            keys.rename_owner(name, keys.owner)
        except AlreadyExists as exc:
            log.warning("keys not renamed", old=str(name), reason=exc.message)
