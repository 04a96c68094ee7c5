"""Shares: encrypted places that several people read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.parameters import Person, Range
from bitdust.api.registry import DELETE, GET, POST, PUT, operation
from bitdust.errors import BitdustError
from bitdust.ids import GlobalID, KeyID

if TYPE_CHECKING:
    from bitdust.api.node import Node

_MAX_TIMEOUT = 3600.0
_SHARE = "share_7e9726e2dccf9ebe6077070e98e78082$alice@server-a.com"
_PERSON = dict.fromkeys(
    ("trusted_id", "trusted_global_id", "trusted_idurl", "trusted_remote_user"), "trusted_user_id"
)


@operation(
    GET("/share/list/v1"),
    cli="share list",
    aliases={"active": "only_active", "mine": "include_mine", "granted": "include_granted"},
)
async def shares_list(
    node: Node,
    *,
    only_active: bool = False,
    include_mine: bool = True,
    include_granted: bool = True,
) -> list[dict[str, Any]]:
    """List your shares and those that others let you into.

    Args:
        only_active: only those that are connected.
        include_mine: those that belong to you.
        include_granted: those of other people.

    Returns:
        A list of shares as `share_info` shows them.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, shares_list.
    """
    return node.require_shares().shares_list(only_active, include_mine, include_granted)


@operation(GET("/share/info/v1"), cli="share info", example={"key_id": _SHARE})
async def share_info(node: Node, key_id: KeyID) -> dict[str, Any]:
    """Show one share.

    Args:
        key_id: of the share.

    Returns:
        `key_id`, `label`, `creator`, `state` (`CONNECTED` or `DISCONNECTED`), `active`,
        `suppliers`, `ecc_map`, `revision`, `members`, `problems` and more.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share.

    Source: BitDust, second generation, share/info.
    """
    return node.require_shares().share_info(key_id)


@operation(POST("/share/create/v1"), cli="share create", example={"label": "my summer holidays"})
async def share_create(
    node: Node, owner_id: Person | None = None, *, key_size: int | None = None, label: str = ""
) -> dict[str, Any]:
    """Make a share: a place in which you and others whom you let in read and write files.

    Args:
        owner_id: whose suppliers shall keep it, when they allow it; yours if not given.
        key_size: bits of its key; the setting `personal/private-key-size` if not given.
        label: what it is for, in your words.

    Returns:
        The key of the share as `key_get` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        PeerRefused: the owner does not lend their suppliers to you.
        PeerUnreachable: the owner is not online now.
        KeyProblem: no such key size.

    Source: BitDust API, third generation, share_create.
    """
    shares = node.require_shares()
    owner = await node.find_person(owner_id) if owner_id is not None else None
    key_id = await shares.share_create(owner, key_size, label)
    return await in_pool(node, node.require_keys().view, key_id)


@operation(
    DELETE("/share/delete/v1"),
    POST("/share/delete/v1"),
    cli="share delete",
    example={"key_id": _SHARE},
)
async def share_delete(node: Node, key_id: KeyID) -> Answer:
    """Leave a share for good and erase its key here.

    If you made it, it ends for everybody, and its files are deleted from the suppliers.

    Args:
        key_id: of the share.

    Returns:
        The share as it was, now disconnected.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share.
        TooFewSuppliers: its files cannot be deleted now; nothing changed.

    Source: BitDust API, third generation, share_delete.
    """
    shown = await node.require_shares().share_delete(key_id)
    return Answer(shown, message=f"the share {key_id} was deleted")


@operation(
    PUT("/share/grant/v1"),
    POST("/share/grant/v1"),
    cli="share grant",
    aliases=_PERSON,
    example={"key_id": _SHARE, "trusted_user_id": "bob@machine-b.net"},
)
async def share_grant(
    node: Node,
    key_id: KeyID,
    trusted_user_id: Person,
    *,
    timeout: Annotated[float, Range(1.0, _MAX_TIMEOUT)] = 30.0,
) -> Answer:
    """Let somebody into a share: they read and write its files from then on.

    Args:
        key_id: of the share.
        trusted_user_id: whom.
        timeout: seconds for handing over the key.

    Returns:
        The share as `share_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share, or nobody is known by that name.
        AccessDenied: somebody else decides about that share.
        PeerUnreachable: the person is not online now.
        PeerRefused: the person does not take it, with the reason.

    Source: BitDust API, third generation, share_grant.
    """
    shares = node.require_shares()
    shares.share_info(key_id)
    await shares.share_grant(key_id, await node.find_person(trusted_user_id), timeout)
    return Answer(shares.share_info(key_id), message="access granted")


@operation(
    PUT("/share/revoke/v1"),
    POST("/share/revoke/v1"),
    cli="share revoke",
    example={"key_id": _SHARE, "user_id": "bob@machine-b.net"},
)
async def share_revoke(node: Node, key_id: KeyID, user_id: Person) -> Answer:
    """Put somebody out of a share.

    The suppliers answer them no more, and what is written from now on is locked under a key that
    they do not get. What they have already stays readable to them; files they wrote stay.

    Args:
        key_id: of the share.
        user_id: whom.

    Returns:
        The share as `share_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share, or they are no member of it.
        AccessDenied: somebody else decides about that share.

    Source: BitDust, shares; putting somebody out is new here.
    """
    shares = node.require_shares()
    shares.share_info(key_id)
    person: GlobalID | bytes
    try:
        person = (await node.find_person(user_id)).node_id
    except BitdustError:
        # they need not be found any more to be put out
        person = GlobalID.parse(str(user_id))
    gone = await shares.share_revoke(key_id, person)
    return Answer(shares.share_info(key_id), message=f"{gone} has no access any more")


@operation(
    PUT("/share/open/v1"), POST("/share/open/v1"), cli="share open", example={"key_id": _SHARE}
)
async def share_open(node: Node, key_id: KeyID) -> dict[str, Any]:
    """Open a share, and wait until it is connected or cannot be for now.

    Shares are open unless they were closed.

    Args:
        key_id: of the share.

    Returns:
        The share as `share_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share, or no supplier knows it.
        AccessDenied: you have no access to it any more.

    Source: BitDust API, third generation, share_open.
    """
    return await node.require_shares().share_open(key_id)


@operation(
    PUT("/share/close/v1"),
    DELETE("/share/close/v1"),
    POST("/share/close/v1"),
    cli="share close",
    example={"key_id": _SHARE},
)
async def share_close(node: Node, key_id: KeyID) -> dict[str, Any]:
    """Close a share; it stays closed until it is opened.

    Args:
        key_id: of the share.

    Returns:
        The share as `share_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share.

    Source: BitDust API, third generation, share_close.
    """
    return await node.require_shares().share_close(key_id)


@operation(GET("/share/history/v1"), cli="share history")
async def share_history(
    node: Node,
    key_id: KeyID | None = None,
    *,
    limit: Annotated[int, Range(1, 1000)] = 100,
    offset: Annotated[int, Range(0, 1_000_000)] = 0,
) -> list[dict[str, Any]]:
    """List what happened in your shares, the latest first.

    Args:
        key_id: only in this share.
        limit: rows of the page.
        offset: rows to pass over.

    Returns:
        A list of `time`, `date`, `key_id`, `who`, `what` (`created`, `granted`, `revoked`,
        `opened`, `closed`, `uploaded`, `deleted` or `refused`), `path`, `remote_path` and `detail`.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such share.

    Source: BitDust API, third generation, share_history.
    """
    return await node.require_shares().share_history(key_id, limit, offset)
