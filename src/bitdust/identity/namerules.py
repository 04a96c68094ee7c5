"""Who may put which document under which name: the rules of every name server. Pure.

First come, first served; after that only the same key, and only with a higher revision.
"""

from __future__ import annotations

from bitdust.errors import AlreadyExists, InvalidInput, NameTaken
from bitdust.identity.document import IdentityDocument
from bitdust.ids import IDURL


def check_publication(
    held: IdentityDocument | None, offered: IdentityDocument, idurl: IDURL
) -> bool:
    """Judge a document that somebody wants to have served at ``idurl``.

    Args:
        held: what is served there now.
        offered: a document whose signature was checked.
        idurl: the name on this server.

    Returns:
        True when it is to be stored, False when exactly it is held already.

    Raises:
        InvalidInput: the document does not name ``idurl`` among its sources.
        NameTaken: the name belongs to another key.
        AlreadyExists: the held revision is the same or higher.
    """
    if idurl not in offered.sources:
        raise InvalidInput(f"the document does not name {idurl} among its sources")
    if held is None:
        return True
    if held.public_key != offered.public_key:
        raise NameTaken(f"the name {idurl.username} is registered to another key")
    if held.revision < offered.revision:
        return True
    if held == offered:
        return False
    raise AlreadyExists(
        f"revision {held.revision} is registered, revision {offered.revision} is not higher",
        hint="publish a higher revision",
    )
