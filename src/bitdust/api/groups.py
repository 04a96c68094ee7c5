"""Groups: people who write to each other, and the nodes that keep what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.parameters import JsonValue, Person, Range
from bitdust.api.registry import DELETE, GET, POST, PUT, operation
from bitdust.errors import InvalidInput
from bitdust.ids import KeyID

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.messaging import GroupRow, Groups

_GROUP = "group_95d0fedc46308e2254477fcb96364af9$alice@server-a.com"
_ALIAS = "group_"
_TOKEN = 16
_MAX_TIMEOUT = 3600.0
_Seconds = Annotated[float, Range(0, _MAX_TIMEOUT)]
_KEY = {"key_id": "group_key_id"}
_PERSON = dict.fromkeys(
    ("trusted_id", "trusted_global_id", "trusted_idurl", "trusted_remote_user"), "trusted_user_id"
)


@operation(
    GET("/group/list/v1"),
    cli="group list",
    aliases={"active": "only_active", "mine": "include_mine", "granted": "include_granted"},
)
async def groups_list(
    node: Node,
    *,
    only_active: bool = False,
    include_mine: bool = True,
    include_granted: bool = True,
) -> list[dict[str, Any]]:
    """List the groups you made and those you were invited to.

    Args:
        only_active: only those that are connected.
        include_mine: those that you made.
        include_granted: those of other people.

    Returns:
        A list of groups as `group_info` shows them.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, groups_list.
    """
    groups = node.require_groups()
    own = node.require_identity().node_id
    rows = []
    for row in groups.rows.values():
        mine = row.creator_node == own
        if (mine and include_mine) or (not mine and include_granted):
            shown = _view(node, row.key_id)
            if shown["active"] or not only_active:
                rows.append(shown)
    return rows


@operation(
    POST("/group/create/v1"),
    cli="group create",
    ignored=("timeout",),
    example={"label": "chat with my friends"},
)
async def group_create(
    node: Node, creator_id: Person | None = None, *, key_size: int | None = None, label: str = ""
) -> dict[str, Any]:
    """Make a group.

    Its key stays on this machine until you share it; brokers that order and keep its messages,
    without being able to read them, are hired when you join it or invite somebody.

    Args:
        creator_id: yourself; nobody can make a group in the name of others.
        key_size: bits of its key; the setting `personal/private-key-size` if not given.
        label: what the group is for, in your words.

    Returns:
        The key as `key_get` shows it, with its id as `group_key_id`.

    Raises:
        NoIdentity: there is no identity yet.
        InvalidInput: the creator is somebody else.
        KeyProblem: no such key size.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, group_create.
    """
    groups = node.require_groups()
    identity = node.require_identity()
    if creator_id is not None:
        person = await node.find_person(creator_id)
        if person.node_id != identity.node_id:
            raise InvalidInput(
                "creator_id: must be yourself", hint="ask that person to make the group"
            )
    ring = node.require_keys()
    alias = _ALIAS + node.random.token(_TOKEN).hex()
    size = key_size or node.settings.get_int("personal/private-key-size")
    stored = await in_pool(node, ring.create, alias, size, label=label)
    key_id = str(stored.key_id)
    await groups.create(key_id, stored.public.fingerprint, label)
    node.events.publish("key-generated", key_id=key_id, label=label)
    shown = await in_pool(node, ring.view, stored.key_id)
    del shown["key_id"]
    return {"group_key_id": key_id, **shown}


@operation(GET("/group/info/v1"), cli="group info", aliases=_KEY, example={"group_key_id": _GROUP})
async def group_info(node: Node, group_key_id: KeyID) -> dict[str, Any]:
    """Show one group.

    Args:
        group_key_id: of the group.

    Returns:
        `group_key_id`, `alias`, `label`, `creator`, `state` (`CONNECTED`, `DISCONNECTED` or
        `CLOSED`), `active`, `active_broker_id`, `active_queue_id`, `last_sequence_id` (-1 when the
        stream is empty), `members`, `brokers`, `generation` (how often its creator went on with
        other brokers), `forked` (not everybody saw the same stream), `errors` and more.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, group_info.
    """
    shown = _view(node, str(group_key_id))
    ring = node.require_keys()
    if group_key_id in ring:
        shown["group_key_info"] = await in_pool(node, ring.view, group_key_id)
    return shown


@operation(
    GET("/group/info/dht/v1"),
    cli="group dht",
    aliases={"id": "group_creator_id"},
    example={"group_creator_id": "alice@server-a.com"},
)
async def group_info_dht(
    node: Node, group_creator_id: Person | None = None
) -> list[dict[str, Any]] | None:
    """Read from the DHT who keeps the groups of a person, of those you are in.

    Nobody but the members of a group finds its record.

    Args:
        group_creator_id: who made the groups; yourself if not given.

    Returns:
        A list of `group_key_id`, `broker_idurl`, `position`, `customer_idurl`, `epoch`, `revision`
        and `timestamp`, None when nothing is published.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: nobody is known by that name.
        ServiceOff: groups or the DHT are switched off.

    Source: BitDust, second generation, group/info/dht.
    """
    groups = node.require_groups()
    own = node.require_identity().document
    person = own if group_creator_id is None else await node.find_person(group_creator_id)
    found: list[dict[str, Any]] = []
    for row in list(groups.rows.values()):
        if row.creator_node == person.node_id:
            record = await _published(node, row)
            for position, idurl in enumerate(record.get("brokers", ())):
                found.append(
                    {
                        "group_key_id": row.key_id,
                        "broker_idurl": idurl,
                        "position": position,
                        "customer_idurl": str(person.idurl),
                        "epoch": record.get("epoch"),
                        "revision": record.get("revision"),
                        "timestamp": record.get("timestamp"),
                    }
                )
    return found or None


@operation(
    POST("/group/join/v1"),
    cli="group join",
    aliases=_KEY,
    ignored=("use_dht_cache", "wait_result"),
    example={"group_key_id": _GROUP},
)
async def group_join(node: Node, group_key_id: KeyID) -> dict[str, Any]:
    """Take part in a group, from now on and after every restart.

    Everything that was written in it before comes as well.

    Args:
        group_key_id: of the group; yours, or one that somebody shared with you.

    Returns:
        The group as `group_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group.
        PeerUnreachable: nobody can be found that orders the messages of a new group.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, group_join.
    """
    await node.require_groups().join(str(group_key_id))
    return _view(node, str(group_key_id))


@operation(
    DELETE("/group/leave/v1"),
    POST("/group/leave/v1"),
    cli="group leave",
    aliases=_KEY,
    example={"group_key_id": _GROUP},
)
async def group_leave(
    node: Node, group_key_id: KeyID, *, erase_key: bool = False
) -> dict[str, Any]:
    """Take part in a group no more; you can join it again.

    Args:
        group_key_id: of the group.
        erase_key: also erase its key here, so that only a new invitation brings you back. What
            was written stays in your history.

    Returns:
        The group, with the state `CLOSED`.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, group_leave.
    """
    groups = node.require_groups()
    key_id = str(group_key_id)
    row = await groups.leave(key_id, forget=erase_key)
    ring = node.require_keys()
    if erase_key and group_key_id in ring:
        await in_pool(node, ring.erase, group_key_id)
        node.events.publish("key-erased", key_id=key_id)
    return _shown(groups, row)


@operation(
    PUT("/group/reconnect/v1"),
    POST("/group/reconnect/v1"),
    cli="group reconnect",
    aliases=_KEY,
    example={"group_key_id": _GROUP},
)
async def group_reconnect(
    node: Node, group_key_id: KeyID, *, force: bool = False
) -> dict[str, Any]:
    """Look for the brokers of a group anew.

    After a broker served a false stream, everything is read again from another one.

    A group whose brokers are mostly lost for good waits for them. Its creator can go on with others
    then: with `force`, whatever any reachable broker or member still has is brought together and
    given to new brokers. If the old ones were not lost but only out of reach, what was written
    there meanwhile is not in the group any more; everybody concerned is told, and says their own
    messages again by themselves.

    Args:
        group_key_id: of the group.
        force: go on without the brokers that cannot be reached; for the creator alone.

    Returns:
        The group as `group_info` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group.
        InvalidInput: you did not join it, or its brokers are well and nothing has to be forced.
        AccessDenied: you are not in it any more, or did not make it and want to force it.
        PeerUnreachable: nobody can be found that keeps it from now on.
        ServiceOff: groups are switched off.

    Source: BitDust, second generation, group/reconnect; `force` is an addition of this engine.
    """
    await node.require_groups().reconnect(str(group_key_id), force=force)
    return _view(node, str(group_key_id))


@operation(
    PUT("/group/share/v1"),
    POST("/group/share/v1"),
    cli="group share",
    aliases={**_KEY, **_PERSON},
    example={"group_key_id": _GROUP, "trusted_user_id": "bob@machine-b.net"},
)
async def group_share(
    node: Node, group_key_id: KeyID, trusted_user_id: Person, *, timeout: _Seconds = 30
) -> Answer:
    """Invite a person to a group; any member may.

    The person gets the group's key, can join, and then reads what was written before, too.

    Args:
        group_key_id: of the group.
        trusted_user_id: whom to invite.
        timeout: seconds to reach that person.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group, or nobody is known by that name.
        PeerUnreachable, DeadlineExceeded: that person is not online now.
        PeerRefused: that person does not take keys from you.
        AccessDenied: you were removed from the group.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, group_share.
    """
    groups = node.require_groups()
    key_id = str(group_key_id)
    groups.get(key_id)
    person = await node.find_person(trusted_user_id)
    try:
        await groups.share(key_id, person, timeout)
    except Exception:
        node.events.publish(
            "group-key-share-failed", group_key_id=key_id, global_id=str(person.global_id)
        )
        raise
    node.events.publish("group-key-shared", group_key_id=key_id, global_id=str(person.global_id))
    return Answer(message="access granted")


@operation(
    PUT("/group/remove/v1"),
    POST("/group/remove/v1"),
    DELETE("/group/remove/v1"),
    cli="group remove",
    aliases={**_KEY, **_PERSON, "trusted_user_id": "user_id"},
    example={"group_key_id": _GROUP, "user_id": "bob@machine-b.net"},
)
async def group_remove(node: Node, group_key_id: KeyID, user_id: Person) -> Answer:
    """Remove a person from a group of yours; they read nothing of what is written afterwards.

    Args:
        group_key_id: of the group.
        user_id: whom to remove.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group, or that person is not in it.
        AccessDenied: somebody else made the group.
        InvalidInput: it is yourself, or you did not join the group.
        ServiceOff: groups are switched off.

    Source: BitDust has no such method; an addition of this engine.
    """
    groups = node.require_groups()
    groups.get(str(group_key_id))
    person = await node.find_person(user_id)
    done = await groups.remove(str(group_key_id), person)
    return Answer(
        {"removed": done, "global_id": str(person.global_id)},
        message=f"{person.global_id} was removed"
        if done
        else f"{person.global_id} will be removed when the brokers are back",
    )


@operation(
    POST("/message/send/group/v1"),
    cli="message group",
    aliases={**_KEY, "json_data": "data"},
    example={"group_key_id": _GROUP, "data": {"message": "Hola Amigos!"}},
)
async def message_send_group(node: Node, group_key_id: KeyID, data: JsonValue) -> Answer:
    """Write to a group.

    When its brokers are away, the message waits on this node and is sent when they are back.

    Args:
        group_key_id: of the group.
        data: a JSON object of at most 64 KiB, such as `{"message": "Hello"}`. A text stands for
            `{"message": text}`.

    Returns:
        `message_id`, `state` (`sent` when the brokers have it, else `waiting`), `sequence_id`: its
        place in the stream, None while it waits.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such group.
        InvalidInput: you did not join the group, or data is no JSON object or too large.
        AccessDenied: you were removed from the group.
        Busy: too many messages wait already.
        ServiceOff: groups are switched off.

    Source: BitDust API, third generation, message_send_group.
    """
    if isinstance(data, str):
        data = {"message": data}
    if not isinstance(data, dict):
        raise InvalidInput("data: must be a JSON object", hint='such as {"message": "Hello"}')
    timeout = float(node.settings.get_int("services/private-groups/message-ack-timeout"))
    message = await node.require_groups().send(str(group_key_id), data, timeout)
    sent = message.sequence is not None
    return Answer(
        {
            "message_id": message.message_id,
            "state": message.state,
            "sequence_id": message.sequence,
        },
        message=f"message was sent to {group_key_id}"
        if sent
        else f"message waits for the brokers of {group_key_id}",
    )


@operation(GET("/queue/keeper/list/v1"), cli="queue keepers")
async def queue_keepers_list(node: Node) -> list[dict[str, Any]]:
    """List the streams of other people's groups that this node keeps as a broker.

    Returns:
        A list of `stream`, `role` (`leader`, `follower` or `candidate`), `length`, `bytes` and
        `members`, the number that is attached here; empty when this node is no broker.

    Source: BitDust, second generation, queue/keeper/list.
    """
    return [] if node.broker is None else node.broker.views()


@operation(GET("/queue/peddler/list/v1"), cli="queue peddlers")
async def queue_peddlers_list(node: Node) -> list[dict[str, Any]]:
    """List the streams that this node orders now, as the leading broker.

    Returns:
        Those of `queue_keepers_list` whose `role` is `leader`.

    Source: BitDust, second generation, queue/peddler/list.
    """
    rows = [] if node.broker is None else node.broker.views()
    return [row for row in rows if row["role"] == "leader"]


def _view(node: Node, key_id: str) -> dict[str, Any]:
    groups = node.require_groups()
    return _shown(groups, groups.get(key_id))


def _shown(groups: Groups, row: GroupRow) -> dict[str, Any]:
    machine = {"index": row.no, "id": f"group_{row.no}", "name": "GroupParticipant"}
    return {**groups.view(row), **machine}


async def _published(node: Node, row: GroupRow) -> dict[str, Any]:
    """The record of a group on the DHT; empty when there is none."""
    # the command line, which needs the declarations alone, does without the DHT
    from bitdust.dht import GROUP_BROKERS, LAYER_MESSAGE_BROKERS, SharedSecret, owner_dht_key

    state = row.state
    if not row.genesis or state.epoch not in state.keys:
        return {}
    found = await node.require_dht().get_value(
        row.fingerprint.hex(),
        record_type=GROUP_BROKERS,
        layer=LAYER_MESSAGE_BROKERS,
        owner_dht_key=owner_dht_key(SharedSecret(state.keys[state.epoch])),
    )
    return found.value if isinstance(found.value, dict) else {}
