"""Networks that can be selected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.api.dispatch import dispatch
from bitdust.api.networks import MAX_DESCRIPTION, read_description, settings_of
from bitdust.api.registry import Registry
from bitdust.errors import InvalidInput

DESCRIBED = {
    "name": "home",
    "label": "Ours",
    "maintainer": "Alice",
    "service_entangled_dht": {
        "known_nodes": [{"host": "10.0.0.1", "udp_port": 14441}, {"host": "10.0.0.2"}],
        "private_network": True,
        "bucket_size": 10,
    },
    "service_identity_propagate": {
        "known_servers": [{"host": "id.example", "web_port": 8084, "tcp_port": 6661}]
    },
    "service_supplier": {"donated_space": "1 TB"},
}


async def call(node: Any, registry: Registry, method: str, **raw: Any) -> dict[str, Any]:
    return await dispatch(node, registry.named(method), raw)


async def test_a_network_is_learned_selected_and_left(
    node: Any, registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "network.json"
    file.write_text(json.dumps(DESCRIBED))
    envelope = await call(node, registry, "network_create", url=str(file))
    assert envelope["status"] == "OK", envelope
    assert envelope["result"]["name"] == "home"
    assert envelope["result"]["ignored"] == [
        "service_entangled_dht.bucket_size",
        "service_supplier.donated_space",
    ]
    envelope = await call(node, registry, "network_select", name="home")
    assert envelope["status"] == "OK", envelope
    dht = "services/entangled-dht"
    assert node.settings.get_items(f"{dht}/known-nodes") == ("10.0.0.1:14441", "10.0.0.2")
    assert node.settings.get_bool(f"{dht}/private-network")
    servers = "services/identity-propagate/known-servers"
    assert node.settings.get_items(servers) == ("id.example:8084",)
    assert node.settings.view("services/supplier/donated-space")["value"] == "8 GB"
    envelope = await call(node, registry, "network_configuration")
    assert envelope["status"] == "OK", envelope
    shown = envelope["result"]
    assert (shown["name"], shown["label"], shown["maintainer"]) == ("home", "Ours", "Alice")
    listed = (await call(node, registry, "networks_list"))["result"]
    assert [(row["name"], row["selected"]) for row in listed] == [
        ("mainline", False),
        ("home", True),
    ]
    await call(node, registry, "network_select", name="mainline")
    assert node.settings.get_items(f"{dht}/known-nodes") == ()
    assert (await call(node, registry, "network_configuration"))["result"]["name"] == "mainline"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("nothing", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"label": "x"}', "no usable `name`"),
        ('{"name": "../x"}', "no usable `name`"),
        ('{"name": "mainline"}', "no usable `name`"),
        ('{"name": "a", "service_entangled_dht": {"known_nodes": 7}}', "must be a list"),
        ('{"name": "a", "service_entangled_dht": {"known_nodes": [{}]}}', "no address"),
        ('{"name": "a", "service_entangled_dht": {"known_nodes": ["a b"]}}', "no address"),
        (" " * (MAX_DESCRIPTION + 1), "longer than"),
    ],
)
async def test_what_is_no_description_is_refused(
    node: Any, registry: Registry, tmp_path: Path, text: str, wrong: str
) -> None:
    file = tmp_path / "network.json"
    file.write_text(text)
    envelope = await call(node, registry, "network_create", url=str(file))
    assert wrong in envelope["errors"][0]
    assert not (node.home / "networks").exists()


async def test_what_cannot_be_read_is_named(node: Any, registry: Registry) -> None:
    for url, code in (
        ("/nowhere/network.json", "local_file"),
        ("file:///etc/passwd", "invalid_input"),
        ("http://127.0.0.1:1/network.json", "network"),
        ("http://[", "invalid_input"),
        ("nothing", "invalid_input"),
    ):
        envelope = await call(node, registry, "network_create", url=url)
        assert envelope["code"] == code, url
    for name in ("other", "../x", "", "selected"):
        envelope = await call(node, registry, "network_select", name=name)
        assert envelope["code"] == "not_found", name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["name", "label", "service_entangled_dht", "service_identity_propagate"]),
        JSON | st.dictionaries(st.sampled_from(["known_nodes", "min_servers"]), JSON),
    )
)
@settings(deadline=None, max_examples=150)
def test_any_description_is_taken_or_refused(described: dict[str, Any]) -> None:
    try:
        taken = read_description(json.dumps(described).encode())
    except InvalidInput:
        return
    wanted, ignored = settings_of(taken)
    assert all(isinstance(value, str | int) for value in wanted.values())
    assert all(isinstance(name, str) for name in ignored)


async def test_disconnecting_switches_the_gateway(node: Any, registry: Registry) -> None:
    assert (await call(node, registry, "network_disconnect"))["message"] == "disconnected"
    assert not node.settings.get_bool("services/gateway/enabled")
    node.reconnect = _three
    envelope = await call(node, registry, "network_reconnect")
    assert envelope["result"] == {"connections": 3}
    assert node.settings.get_bool("services/gateway/enabled")


async def _three() -> int:
    return 3
