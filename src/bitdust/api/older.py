"""Names and answers of the second generation, and names that are still to come.

Source: BitDust API, second generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bitdust.api import configs, suppliers
from bitdust.api.envelope import Answer
from bitdust.api.parameters import JsonValue, Word
from bitdust.api.registry import operation
from bitdust.api.rpc import OlderName, Shape
from bitdust.errors import BitdustError, InvalidSetting
from bitdust.ids import GlobalID

if TYPE_CHECKING:
    from bitdust.api.node import Node

# --- shapes ---------------------------------------------------------------------------------------


def _one(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    """One thing in a list."""
    del given
    envelope["result"] = [envelope["result"]]


def _text(form: str) -> Shape:
    """A sentence made of the parameters."""

    def shape(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
        envelope["result"] = form.format_map(given)

    return shape


def _message_as_result(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    del given
    envelope["result"] = envelope.pop("message")


def _new_key(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    key = envelope["result"]
    envelope["result"] = [{**key, "id": key["key_id"]}]
    envelope["message"] = f'new private key "{given["key_alias"]}" was generated successfully'


def _erased_key(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    envelope["message"] = f'private key "{given["key_id"].alias}" was erased successfully'


def _download(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    found = envelope["result"]
    done = "is complete in" if given["wait_result"] else "has been started to"
    path = found["backup_id"].rpartition(":")[2]
    envelope["result"] = f"downloading of version {path} {done} {found['local_path']}"


def _packets(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    del given
    stats = dict(envelope["result"])
    for direction in ("in", "out"):
        counts = dict(stats[direction])
        stats[direction] = {**counts.pop("peers"), **counts}
    envelope["result"] = [stats]


def _customers(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    del given
    envelope["result"] = [{**row, "status": _contact(row)} for row in envelope["result"]]


def _correspondents(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
    del given
    rows = envelope["result"]
    envelope["result"] = [{"idurl": row["idurl"], "nickname": row["alias"]} for row in rows]


def _contact(row: Mapping[str, Any]) -> str:
    return "online" if row.get("contact_state") == "CONNECTED" else "offline"


def _switched(done: str) -> Shape:
    def shape(envelope: dict[str, Any], given: Mapping[str, Any]) -> None:
        name = str(given["service_name"]).replace("-", "_").removeprefix("service_")
        envelope["result"] = f"service_{name} was {done}"

    return shape


# --- the table ------------------------------------------------------------------------------------

_PERSON = "idurl_or_global_id"
_CUSTOMER = "customer_idurl_or_global_id"

ROWS: tuple[OlderName, ...] = (
    OlderName("process_stop", "process_stop", shape=_text("stopped")),
    OlderName(
        "process_restart",
        "process_restart",
        ("showgui",),
        ignored=("showgui",),
        shape=_text("restarted"),
    ),
    OlderName("stop", "process_stop", shape=_text("stopped")),
    OlderName("restart", "process_restart", ("show",), ignored=("show",), shape=_text("restarted")),
    OlderName("identity_list", "identity_cache_list"),
    OlderName("key_get", "key_get", shape=_one),
    OlderName(
        "key_create", "key_create", ("key_alias", "key_size", "include_private"), shape=_new_key
    ),
    OlderName("key_erase", "key_erase", shape=_erased_key),
    OlderName(
        "key_share",
        "key_share",
        ("key_id", "trusted_global_id_or_idurl", "include_private", "timeout"),
        {"trusted_global_id_or_idurl": "trusted_user_id"},
    ),
    OlderName(
        "key_audit",
        "key_audit",
        ("key_id", "untrusted_global_id_or_idurl", "is_private", "timeout"),
        {"untrusted_global_id_or_idurl": "untrusted_user_id"},
    ),
    OlderName(
        "files_sync", "files_sync", shape=_text("the main files sync loop has been restarted")
    ),
    OlderName("file_download_start", "file_download_start", shape=_download),
    OlderName(
        "file_download_stop",
        "file_download_stop",
        shape=_text('restoring of "{remote_path}" aborted'),
    ),
    OlderName(
        "suppliers_ping", "suppliers_ping", shape=_text("requests to all suppliers was sent")
    ),
    OlderName(
        "suppliers_dht_lookup",
        "suppliers_dht_lookup",
        (_CUSTOMER,),
        {_CUSTOMER: "customer_id"},
    ),
    OlderName("customers_list", "customers_list", shape=_customers),
    OlderName(
        "customer_reject",
        "customer_reject",
        (_PERSON,),
        {_PERSON: "customer_id"},
        shape=_message_as_result,
    ),
    OlderName(
        "customers_ping", "customers_ping", shape=_text("requests to all customers was sent")
    ),
    OlderName("space_donated", "space_donated", shape=_one),
    OlderName("space_consumed", "space_consumed", shape=_one),
    OlderName("space_local", "space_local", shape=_one),
    OlderName("service_info", "service_info", shape=_one),
    OlderName("service_start", "service_start", shape=_switched("switched on")),
    OlderName("service_stop", "service_stop", shape=_switched("switched off")),
    OlderName("service_restart", "service_restart", shape=_switched("restarted")),
    OlderName("packets_stats", "packets_stats", shape=_packets),
    OlderName(
        "connections_list", "connections_list", ("wanted_protos",), {"wanted_protos": "protocols"}
    ),
    OlderName("streams_list", "streams_list", ("wanted_protos",), {"wanted_protos": "protocols"}),
    OlderName("queue_list", "queues_list"),
    OlderName("share_list", "shares_list"),
    OlderName(
        "share_grant",
        "share_grant",
        ("trusted_remote_user", "key_id"),
        {"trusted_remote_user": "trusted_user_id"},
    ),
    OlderName("event_send", "event_send", ("event_id", "json_data"), {"json_data": "data"}),
    OlderName(
        "events_listen", "event_listen", ("consumer_id",), {"consumer_id": "consumer_callback_id"}
    ),
    OlderName("nickname_get", "nickname_get", shape=_one),
    OlderName("nickname_set", "nickname_set", shape=_one),
    OlderName("user_search", "user_search", shape=_one),
    OlderName("find_peer_by_nickname", "user_search", ("nickname",), shape=_one),
    OlderName("friend_list", "friends_list"),
    OlderName(
        "friend_add",
        "friend_add",
        (_PERSON, "alias"),
        {_PERSON: "trusted_user_id"},
        shape=_message_as_result,
    ),
    OlderName(
        "friend_remove",
        "friend_remove",
        (_PERSON,),
        {_PERSON: "user_id"},
        shape=_message_as_result,
    ),
    OlderName("list_correspondents", "friends_list", shape=_correspondents),
    OlderName(
        "add_correspondent",
        "friend_add",
        ("idurl", "nickname"),
        {"nickname": "alias"},
        shape=_message_as_result,
    ),
    OlderName("remove_correspondent", "friend_remove", ("idurl",), shape=_message_as_result),
    OlderName(
        "user_ping",
        "user_ping",
        (_PERSON, "timeout", "retries"),
        {_PERSON: "user_id"},
        shape=_message_as_result,
    ),
    OlderName("ping", "user_ping", ("idurl",), shape=_message_as_result),
    OlderName("user_status", "user_status", (_PERSON,), {_PERSON: "user_id"}, shape=_one),
    OlderName(
        "user_status_check",
        "user_status_check",
        (_PERSON, "timeout"),
        {_PERSON: "user_id"},
        shape=_one,
    ),
    OlderName("network_reconnect", "network_reconnect", shape=_text("reconnected")),
)

# --- settings -------------------------------------------------------------------------------------

_TYPES: Mapping[str, str] = {"integer": "positive integer", "disk space": "diskspace"}


def _option(view: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as the second generation shows it: its value is always text."""
    if "value" not in view:
        return dict(view)
    shown = {**view, "type": _TYPES.get(view["type"], view["type"])}
    for name in ("value", "old_value", "default"):
        if name in shown:
            shown[name] = _word(shown[name])
    return shown


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _options(result: Any) -> Answer:
    """Both older forms in one: a list, and for a single setting its fields beside it."""
    views = [_option(view) for view in (result if isinstance(result, list) else [result])]
    single = views[0] if len(views) == 1 and "value" in views[0] else {}
    fields = ("key", "type", "value", "old_value")
    return Answer(views, extra={name: single[name] for name in fields if name in single})


@operation()
async def config_get(node: Node, key: str, *, default: str | None = None) -> Answer:
    """Show a setting, or what is below a branch; ``default`` stands for one that is unknown."""
    try:
        return _options(await configs.config_get.function(node, key))
    except InvalidSetting:
        if default is None:
            raise
        return _options({"key": key, "type": "unknown", "value": default})


@operation(ignored=("typ",))
async def config_set(node: Node, key: str, value: JsonValue) -> Answer:
    """Change a setting."""
    return _options(await configs.config_set.function(node, key, value))


@operation()
async def config_list(node: Node, *, sort: bool = False) -> Answer:
    """List all settings."""
    rows = await configs.configs_list.function(node, sort=sort)
    return Answer([_option(row) for row in rows])


# --- suppliers ------------------------------------------------------------------------------------


@operation(aliases={_CUSTOMER: "customer_id"})
async def suppliers_list(
    node: Node, *, customer_id: GlobalID | None = None, verbose: bool = False
) -> Answer:
    """List suppliers, with the number of files that each keeps a part of."""
    rows = await suppliers.suppliers_list.function(node, customer_id=customer_id, verbose=verbose)
    files = await _files_stored(node) if customer_id in (None, node.global_id) else 0
    return Answer([{**row, "files_count": files, "contact_status": _contact(row)} for row in rows])


async def _files_stored(node: Node) -> int:
    """Every supplier keeps a fragment of every file."""
    try:
        rows, _, _ = await node.require_storage().files_list(None, None, True, False, False, False)
    except BitdustError:
        return 0  # no catalog is open
    return sum(1 for row in rows if row["type"] == "file" and row["versions"])


async def _replace(
    node: Node, position: int | None, person: GlobalID | None, newcomer: GlobalID | None
) -> Answer:
    idurl = str(person.idurl) if person is not None else ""
    old = next(
        (
            row["idurl"]
            for row in node.require_customer().suppliers_list()
            if row.get("idurl") and (row["position"] == position or row["idurl"] == idurl)
        ),
        idurl or f"number {position}",
    )
    await suppliers.supplier_change.function(
        node, position=position, supplier_id=person, new_supplier_id=newcomer
    )
    by = newcomer.idurl if newcomer is not None else "new peer"
    return Answer(f"supplier {old} will be replaced by {by}")


def _which(value: str) -> tuple[int | None, GlobalID | None]:
    if value.isdecimal() and len(value) <= _POSITION_DIGITS:
        return int(value), None
    return None, GlobalID.parse(value)


_POSITION_DIGITS = 3
_WHICH = {"index": "index_or_idurl_or_global_id", "position": "index_or_idurl_or_global_id"}
_NEWCOMER = {"new_supplier_idurl_or_global_id": "new_supplier_id"}


@operation(aliases=_WHICH)
async def supplier_replace(node: Node, index_or_idurl_or_global_id: Word) -> Answer:
    """Replace a supplier by somebody found through the DHT."""
    return await _replace(node, *_which(index_or_idurl_or_global_id), None)


@operation(aliases={**_WHICH, **_NEWCOMER, "supplier_id": "index_or_idurl_or_global_id"})
async def supplier_change(
    node: Node, index_or_idurl_or_global_id: Word, new_supplier_id: GlobalID | None = None
) -> Answer:
    """Replace a supplier by somebody named, or by anybody."""
    return await _replace(node, *_which(index_or_idurl_or_global_id), new_supplier_id)


# --- the process ----------------------------------------------------------------------------------


def _shows(name: str) -> Callable[[Node], Any]:
    async def show(node: Node) -> Answer:
        """Tell the user interface, if one listens to events, to come to the front."""
        node.events.publish("show")
        return Answer('"show" event has been sent to the main process')

    show.__name__ = name
    return show


process_show = operation()(_shows("process_show"))
show = operation()(_shows("show"))
