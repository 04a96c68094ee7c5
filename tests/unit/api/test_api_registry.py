"""The registry: names, routes, declarations."""

from __future__ import annotations

import pytest

from bitdust.api.docstrings import parse_docstring
from bitdust.api.registry import GET, Registry, build_registry, operation
from bitdust.errors import NotFound

WEB_SOCKET_ONLY = {"chunk_read", "chunk_write"}

THIRD_GENERATION = [
    ("process_stop", "GET", "/process/stop/v1"),
    ("process_restart", "GET", "/process/restart/v1"),
    ("process_health", "GET", "/process/health/v1"),
    ("process_debug", "GET", "/process/debug/v1"),
    ("config_get", "GET", "/config/get/v1"),
    ("config_set", "POST", "/config/set/v1"),
    ("configs_list", "GET", "/config/list/v1"),
    ("configs_tree", "GET", "/config/tree/v1"),
    ("identity_get", "GET", "/identity/get/v1"),
    ("identity_create", "POST", "/identity/create/v1"),
    ("identity_backup", "POST", "/identity/backup/v1"),
    ("identity_recover", "POST", "/identity/recover/v1"),
    ("identity_erase", "DELETE", "/identity/erase/v1"),
    ("identity_cache_list", "GET", "/identity/cache/list/v1"),
    ("key_get", "GET", "/key/get/v1"),
    ("keys_list", "GET", "/key/list/v1"),
    ("key_create", "POST", "/key/create/v1"),
    ("key_label", "POST", "/key/label/v1"),
    ("key_erase", "DELETE", "/key/erase/v1"),
    ("files_sync", "GET", "/file/sync/v1"),
    ("file_exists", "GET", "/file/exists/v1"),
    ("file_info", "GET", "/file/info/v1"),
    ("file_create", "POST", "/file/create/v1"),
    ("file_delete", "POST", "/file/delete/v1"),
    ("files_uploads", "GET", "/file/upload/v1"),
    ("file_upload_start", "POST", "/file/upload/start/v1"),
    ("file_upload_stop", "POST", "/file/upload/stop/v1"),
    ("files_downloads", "GET", "/file/download/v1"),
    ("file_download_start", "POST", "/file/download/start/v1"),
    ("file_download_stop", "POST", "/file/download/stop/v1"),
    ("file_explore", "GET", "/file/explore/v1"),
    ("suppliers_list", "GET", "/supplier/list/v1"),
    ("supplier_change", "POST", "/supplier/change/v1"),
    ("suppliers_ping", "POST", "/supplier/ping/v1"),
    ("suppliers_dht_lookup", "GET", "/supplier/list/dht/v1"),
    ("customers_list", "GET", "/customer/list/v1"),
    ("customer_reject", "DELETE", "/customer/reject/v1"),
    ("customers_ping", "POST", "/customer/ping/v1"),
    ("space_donated", "GET", "/space/donated/v1"),
    ("space_consumed", "GET", "/space/consumed/v1"),
    ("space_local", "GET", "/space/local/v1"),
    ("packets_stats", "GET", "/packet/stats/v1"),
    ("connections_list", "GET", "/connection/list/v1"),
    ("streams_list", "GET", "/stream/list/v1"),
    ("event_send", "POST", "/event/send/client-event-abc/v1"),
    ("event_listen", "GET", "/event/listen/my-client-event-hook/v1"),
    ("network_connected", "GET", "/network/connected/v1"),
    ("dht_node_find", "GET", "/dht/node/find/v1"),
    ("dht_user_random", "GET", "/dht/user/random/v1"),
    ("dht_value_get", "GET", "/dht/value/get/v1"),
    ("dht_value_set", "POST", "/dht/value/set/v1"),
    ("dht_local_db_dump", "GET", "/dht/db/dump/v1"),
]


@pytest.mark.parametrize(("name", "verb", "path"), THIRD_GENERATION)
def test_documented_routes_lead_to_the_documented_methods(
    registry: Registry, name: str, verb: str, path: str
) -> None:
    assert registry.route(verb, path)[0].name == name
    assert registry.route(verb, path + "/")[0].name == name
    assert registry.route(verb, "/v1" + path.removesuffix("/v1"))[0].name == name
    assert registry.named(name).name == name


def test_paths_that_hold_parameters(registry: Registry) -> None:
    found, values = registry.route("GET", "/config/get/services/supplier/donated-space/v1")
    assert (found.name, values) == ("config_get", {"key": "services/supplier/donated-space"})
    assert registry.route("GET", "/v1/config/get/logs")[1] == {"key": "logs"}
    found, values = registry.route("POST", "/event/send/some-event/v1")
    assert (found.name, values) == ("event_send", {"event_id": "some-event"})
    assert registry.route("GET", "/f/l")[0].name == "files_list"
    assert registry.route("GET", "/p/h")[0].name == "process_health"


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/process", "/process/health", "/process/health/v2", "/a" * 5000]
)
def test_unknown_routes(registry: Registry, path: str) -> None:
    with pytest.raises(NotFound) as caught:
        registry.route("GET", path)
    assert caught.value.message.startswith("method GET:")
    assert len(caught.value.message) < 400


def test_the_wrong_verb_is_told(registry: Registry) -> None:
    with pytest.raises(NotFound) as caught:
        registry.route("GET", "/file/upload/start/v1")
    assert caught.value.hint == "use POST"


def test_unknown_methods_name_the_nearest(registry: Registry) -> None:
    with pytest.raises(NotFound) as caught:
        registry.named("file_inf")
    assert "file_info" in caught.value.hint


def test_two_registries_share_nothing_but_the_declarations() -> None:
    first, second = build_registry(), build_registry()
    del first.operations["file_info"]
    assert "file_info" in second.operations


def test_names_and_routes_are_unique() -> None:
    @operation(GET("/one/v1"))
    async def one(node: object) -> None:
        """One."""

    @operation(GET("/one/v1"))
    async def two(node: object) -> None:
        """Two."""

    with pytest.raises(ValueError, match="called one"):
        Registry([one, one])
    with pytest.raises(ValueError, match="route GET /one/v1"):
        Registry([one, two])


def test_every_operation_documents_itself(registry: Registry) -> None:
    for entry in registry.operations.values():
        described = entry.description
        assert described.summary.endswith("."), entry.name
        assert set(described.parameters) == set(entry.parameters), entry.name
        assert described.source.startswith("BitDust"), entry.name
        assert all("{" not in route.path for route in entry.routes[:1]), entry.name
    assert {x.name for x in registry.operations.values() if not x.routes} == WEB_SOCKET_ONLY


def test_commands_are_unique(registry: Registry) -> None:
    commands = [entry.cli for entry in registry.operations.values() if entry.cli]
    assert len(commands) == len(set(commands))
    for command in commands:
        assert not any(other.startswith(command + " ") for other in commands), command


def test_docstrings_are_taken_apart() -> None:
    described = parse_docstring(
        """Do a thing,
        well.

        More about it.

        Args:
            one: the first
                of two.
            two: the other.

        Returns:
            Something
            good.

        Raises:
            NotFound: it is not there.

        Source: a document.
        """
    )
    assert described.summary == "Do a thing, well."
    assert described.details == "More about it."
    assert described.parameters == {"one": "the first of two.", "two": "the other."}
    assert described.returns == "Something good."
    assert described.raises == {"NotFound": "it is not there."}
    assert described.source == "a document."
