"""Nicknames: the own one, and people found by theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.parameters import Range
from bitdust.api.registry import GET, POST, operation

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.contacts import Holder

MAX_ATTEMPTS = 10
_SETTING = "personal/nickname"

Attempts = Annotated[int, Range(1, MAX_ATTEMPTS)]


def _row(holder: Holder, position: int) -> dict[str, Any]:
    return {
        "result": "exist",
        "nickname": holder.name,
        "position": position,
        "global_id": holder.global_id,
        "idurl": holder.idurl,
    }


@operation(GET("/nickname/get/v1"), cli="nickname get")
async def nickname_get(node: Node) -> dict[str, Any]:
    """Show the nickname under which others find you.

    Returns:
        `nickname`; and `searches`, what your own searches met: nodes `asked`, endpoints
        `unreachable`, claims `refused`, `forged` and `unconfirmed`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the DHT or the network is switched off.

    Source: BitDust API, second generation, nickname_get.
    """
    from dataclasses import asdict

    nicknames = node.require_nicknames()
    return {"nickname": nicknames.name, "searches": asdict(nicknames.counts)}


@operation(
    POST("/nickname/set/v1"),
    cli="nickname set",
    positional=("nickname",),
    example={"nickname": "Alice"},
)
async def nickname_set(node: Node, nickname: str) -> dict[str, Any]:
    """Choose the nickname under which others find you.

    It is announced at once and found within seconds. Somebody else may hold the same one.

    Args:
        nickname: up to 64 visible characters; case does not count.

    Returns:
        `result` (`registered`), `nickname`, `global_id` and `idurl`.

    Raises:
        InvalidName: it cannot be a nickname.
        NoIdentity: there is no identity yet.
        ServiceOff: the DHT or the network is switched off.

    Source: BitDust API, second generation, nickname_set.
    """
    from bitdust.contacts import clean_nickname

    nicknames = node.require_nicknames()
    clean = clean_nickname(nickname)
    change = node.settings.prepare(_SETTING, clean)
    await in_pool(node, node.settings.write, change)
    node.settings.notify(change)
    document = node.require_identity().document
    return {
        "result": "registered",
        "nickname": nicknames.name,
        "global_id": str(document.global_id),
        "idurl": str(document.idurl),
    }


@operation(
    GET("/user/search/v1"),
    GET("/user/search/{nickname}/v1"),
    cli="user search",
    positional=("nickname",),
    example={"nickname": "carol"},
)
async def user_search(node: Node, nickname: str, *, attempts: Attempts = 1) -> dict[str, Any]:
    """Find somebody by nickname.

    Answers with the first person that proves to hold it; there may be more, see `user_observe`.

    Args:
        nickname: case does not count.
        attempts: how often to look on the DHT before giving up.

    Returns:
        `result` (`exist` or `not exist`), `nickname`, `position`, `global_id` and `idurl`; the last
        two are empty and the position is -1 when nobody holds it.

    Raises:
        InvalidName: it cannot be a nickname.
        NoIdentity: there is no identity yet.
        ServiceOff: the DHT or the network is switched off.

    Source: BitDust API, third generation, user_search.
    """
    holder = await node.require_nicknames().search(nickname, attempts)
    if holder is not None:
        return _row(holder, 0)
    return {
        "result": "not exist",
        "nickname": nickname,
        "position": -1,
        "global_id": "",
        "idurl": "",
    }


@operation(
    GET("/user/observe/v1"),
    GET("/user/observe/{nickname}/v1"),
    cli="user observe",
    positional=("nickname",),
    example={"nickname": "carol"},
)
async def user_observe(node: Node, nickname: str, *, attempts: Attempts = 3) -> list[Any]:
    """Find everybody who holds a nickname.

    Each proves it with a signature by the key that their identity server knows.

    Args:
        nickname: case does not count.
        attempts: how often to look on the DHT for more.

    Returns:
        A list of `result` (`exist`), `nickname`, `position`, `global_id` and `idurl`; at most 32.

    Raises:
        InvalidName: it cannot be a nickname.
        NoIdentity: there is no identity yet.
        ServiceOff: the DHT or the network is switched off.

    Source: BitDust API, third generation, user_observe.
    """
    found = await node.require_nicknames().observe(nickname, attempts)
    return [_row(holder, position) for position, holder in enumerate(found)]
