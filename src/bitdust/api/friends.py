"""Friends, and whether people are online."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.envelope import Answer
from bitdust.api.parameters import Person, Range
from bitdust.api.registry import DELETE, GET, POST, operation
from bitdust.errors import InvalidInput, NetworkError, NotFound, PeerUnreachable

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.contacts import Friend, Friends
    from bitdust.identity import IdentityDocument

MAX_TIMEOUT = 3600.0
MAX_RETRIES = 100
MAX_HOURS = 24.0 * 31
_NAMES = ("idurl", "global_id", "id")
_USER = dict.fromkeys(_NAMES, "user_id")

_Seconds = Annotated[float, Range(0.1, MAX_TIMEOUT)]


@operation(GET("/friend/list/v1"), GET("/fr/l"), GET("/fr/l/v1"), cli="friend list")
async def friends_list(node: Node) -> list[dict[str, Any]]:
    """List your friends.

    Returns:
        A list of `global_id`, `idurl`, `idhost`, `username`, `alias`, `contact_status` (`online` or
        `offline`), `contact_state`, and of the connection `id`, `name` and `state`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the list of friends is switched off.

    Source: BitDust API, third generation, friends_list.
    """
    friends = node.require_friends()
    return [friend_view(friends, friend) for friend in friends.list()]


@operation(
    POST("/friend/add/v1"),
    cli="friend add",
    aliases={**dict.fromkeys((*_NAMES, "user_id"), "trusted_user_id")},
    positional=("alias",),
    example={"trusted_user_id": "dave@device-d.gov", "alias": "SuperMario"},
)
async def friend_add(node: Node, trusted_user_id: Person, *, alias: str = "") -> Answer:
    """Make somebody your friend, or give a friend another alias.

    Your node stays connected to friends and tells when they come and go.

    Args:
        trusted_user_id: the person.
        alias: what you call them; they can be named so wherever a person is meant.

    Returns:
        The friend as `friends_list` shows it.

    Raises:
        NotFound: nobody is known by that name.
        IdentityServerError: the person's identity server does not answer.
        InvalidInput: it is yourself, the alias cannot be one, or the list is full.
        AlreadyExists: another friend has that alias.

    Source: BitDust API, third generation, friend_add.
    """
    friends = node.require_friends()
    document = await node.find_person(trusted_user_id)
    friend = await friends.add(document, alias)
    shown = f" as {friend.alias!r}" if friend.alias else ""
    return Answer(
        friend_view(friends, friend), message=f"{document.global_id} is your friend{shown}"
    )


@operation(
    DELETE("/friend/add/v1"),
    DELETE("/friend/remove/v1"),
    POST("/friend/remove/v1"),
    cli="friend remove",
    aliases={**_USER, "trusted_user_id": "user_id"},
    example={"user_id": "dave@device-d.gov"},
)
async def friend_remove(node: Node, user_id: Person) -> Answer:
    """Strike somebody off the list of your friends.

    Args:
        user_id: the friend.

    Raises:
        NotFound: that is none of your friends.

    Source: BitDust API, third generation, friend_remove.
    """
    friends = node.require_friends()
    friend = _friend_named(friends, user_id)
    if friend is None:
        document = await node.find_person(user_id)
        friend = friends.get(document.node_id)
    if friend is None:
        raise NotFound(f"{user_id} is none of your friends", hint="see `bitdust friend list`")
    await friends.remove(friend.node_id)
    return Answer(message=f"{friend.document.global_id} is your friend no longer")


@operation(
    GET("/user/ping/v1"),
    POST("/user/ping/v1"),
    cli="user ping",
    aliases=_USER,
)
async def user_ping(
    node: Node,
    user_id: Person,
    *,
    timeout: _Seconds = 15,
    retries: Annotated[int, Range(0, MAX_RETRIES)] = 2,
) -> Answer:
    """Ask a person's node for a sign of life, connecting to it first where needed.

    Args:
        user_id: the person.
        timeout: seconds for one attempt.
        retries: further attempts after a failed one.

    Returns:
        `global_id`, `idurl`, `seconds` until the answer of the attempt that succeeded, and
        `attempts`.

    Raises:
        NotFound: nobody is known by that name.
        InvalidInput: it is yourself.
        PeerUnreachable: the person is not online now.

    Source: BitDust API, third generation, user_ping.
    """
    document = await node.find_person(user_id)
    if document.global_id == node.global_id:
        raise InvalidInput("that is yourself", hint="name another person")
    network = node.require_network()
    failure: NetworkError | None = None
    for attempt in range(1, retries + 2):
        begun = node.clock.monotonic()
        try:
            response = await network.request(document.node_id, "ping", timeout=timeout)
        except NetworkError as exc:
            failure = exc
            continue
        response.close()
        seconds = round(node.clock.monotonic() - begun, 6)
        result = {**_who(document), "seconds": seconds, "attempts": attempt}
        return Answer(result, message=f"{document.global_id} answered in {seconds * 1000:.1f} ms")
    assert failure is not None
    raise PeerUnreachable(
        f"{document.global_id} did not answer: {failure.message}",
        hint="they may be offline; `bitdust user status` says since when this node knows",
    )


@operation(GET("/user/status/v1"), cli="user status", aliases=_USER)
async def user_status(node: Node, user_id: Person) -> dict[str, Any]:
    """Show whether a person is connected to this node now.

    Args:
        user_id: the person.

    Returns:
        `global_id`, `idurl`, `contact_state` (`CONNECTED`, `PING?` or `OFFLINE`),
        `contact_status` (`online` or `offline`), and `since` (seconds since 1970, 0 when it was
        never tried).

    Raises:
        NotFound: nobody is known by that name.

    Source: BitDust API, third generation, user_status.
    """
    return _status(node, await node.find_person(user_id))


@operation(GET("/user/status/check/v1"), cli="user check", aliases=_USER)
async def user_status_check(
    node: Node, user_id: Person, *, timeout: _Seconds = 5
) -> dict[str, Any]:
    """Show whether a person is online; only who is not connected is asked.

    Args:
        user_id: the person.
        timeout: seconds for the question.

    Returns:
        As `user_status`.

    Raises:
        NotFound: nobody is known by that name.

    Source: BitDust API, third generation, user_status_check.
    """
    document = await node.find_person(user_id)
    network = node.require_network()
    if _state(node, document) != "CONNECTED":
        try:
            response = await network.request(document.node_id, "ping", timeout=timeout)
            response.close()
        except NetworkError:
            pass  # the state says it
    return _status(node, document)


def friend_view(friends: Friends, friend: Friend) -> dict[str, Any]:
    """A friend as operations and models show one."""
    document, state = friend.document, friends.state(friend.node_id)
    return {
        **_who(document),
        "idhost": document.idurl.host,
        "username": document.name,
        "alias": friend.alias,
        "added": friend.added,
        "contact_status": _word(state),
        "contact_state": state,
        "id": f"online_{document.global_id}",
        "name": "OnlineStatus",
        "state": state,
    }


def contact_state(node: Node, node_id: bytes) -> str:
    """``CONNECTED``, ``PING?`` or ``OFFLINE``: what friends' signs of life say goes first."""
    if node.network is None:
        return "OFFLINE"
    if node.friends is not None and node.friends.is_friend(node_id):
        return node.friends.state(node_id)
    state = node.network.status(node_id).state.value
    return {"online": "CONNECTED", "connecting": "PING?"}.get(state, "OFFLINE")


def _state(node: Node, document: IdentityDocument) -> str:
    if document.global_id == node.global_id:
        return "CONNECTED"
    return contact_state(node, document.node_id)


def _status(node: Node, document: IdentityDocument) -> dict[str, Any]:
    network, state = node.require_network(), _state(node, document)
    return {
        **_who(document),
        "contact_state": state,
        "contact_status": _word(state),
        "since": network.status(document.node_id).since,
    }


def _who(document: IdentityDocument) -> dict[str, Any]:
    return {"idurl": str(document.idurl), "global_id": str(document.global_id)}


def _word(state: str) -> str:
    return "online" if state == "CONNECTED" else "offline"


def _friend_named(friends: Friends, user_id: str) -> Friend | None:
    """A friend by alias or address, without asking anybody: their server may be gone for good."""
    wanted = user_id.rpartition("$")[2]
    for friend in friends.list():
        document = friend.document
        if wanted in (str(document.global_id), *map(str, document.sources)):
            return friend
    return next((f for f in friends.list() if f.alias and f.alias == user_id), None)


@operation(POST("/friend/invite/v1"), example={"alias": "SuperMario"})
async def friend_invite(
    node: Node, *, alias: str = "", hours: Annotated[float, Range(0.01, MAX_HOURS)] = 24
) -> Answer:
    """Make a code with which one other person can become your friend.

    Give it to that person in a way that you trust. It is good once, until it expires, and while
    both of you are online. `bitdust friend invite` shows it also as a picture to be photographed.

    Args:
        alias: what you will call whoever accepts.
        hours: how long it is good.

    Returns:
        `code`, `inviter` (your address), `expires` (seconds since 1970).

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: the list of friends is switched off.
        InvalidInput: an impossible alias, or too many invitations are open.
        AlreadyExists: a friend has that alias.

    Source: BitDust, friends; invitations are new here.
    """
    code, expires = await node.require_pairing().invite(hours * 3600.0, alias)
    return Answer({"code": code.text, "inviter": str(code.inviter), "expires": expires})


@operation(
    POST("/friend/accept/v1"),
    example={"code": "alice@server-a.com/7K2QF-M9TRA-W6BPX-4H0EZ", "alias": "Al"},
)
async def friend_accept(
    node: Node, code: str, *, alias: str = "", timeout: _Seconds = 15
) -> Answer:
    """Become friends with the person who gave you a code.

    Each side proves to the other that it knows the secret in the code; neither has to trust
    identity servers.

    Args:
        code: as `friend_invite` made it; case, blanks and dashes do not matter.
        alias: what you will call them.
        timeout: seconds, connecting included.

    Returns:
        The friend as `friends_list` shows it.

    Raises:
        InvalidInput: no proper code, your own, or an impossible alias.
        AlreadyExists: another friend has that alias.
        NotFound: nobody is known at the address in the code.
        PeerUnreachable: the person is not online now.
        PeerRefused: the invitation is not good any more.
        IntegrityError: whoever answers there did not give that code.

    Source: BitDust, friends; invitations are new here.
    """
    friends = node.require_friends()
    friend = await node.require_pairing().accept(code, alias, timeout)
    return Answer(
        friend_view(friends, friend),
        message=f"{friend.document.global_id} and you are friends now",
    )
