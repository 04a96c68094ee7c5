"""Every method of the three BitDust API documents, by name, route, parameters and defaults."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.parameters import Context
from bitdust.api.registry import Registry, build_registry
from bitdust.api.rpc import RpcTable, build_rpc_table
from bitdust.ids import GlobalID

HERE = Path(__file__).parent
SEEDS = "BITDUST_SEEDS"
"""Names the folder of the documents, where they are at hand."""

METHODS: list[dict[str, Any]] = json.loads((HERE / "methods.json").read_text("ascii"))

SLIPS = {
    # documented on a route or under a name that belongs to another method
    ("friend_remove", "websocket"),
    ("user_ping", "websocket"),
    ("dht_user_random", "websocket"),
}
OTHER_DEFAULTS = {
    # null in place of an empty list
    ("identity_create", "preferred_servers"): None,
}
ALICE = Context(GlobalID("alice", "server-a.com"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry()


@pytest.fixture(scope="module")
def table(registry: Registry) -> RpcTable:
    return build_rpc_table(registry)


def rows(generation: int) -> list[dict[str, Any]]:
    return [row for row in METHODS if row["generation"] == generation]


def test_no_method_is_missing(table: RpcTable) -> None:
    assert METHODS
    assert not sorted({row["method"] for row in METHODS} - set(table.methods))


def test_the_third_generation_has_its_routes_and_parameters(registry: Registry) -> None:
    checked = 0
    for row in rows(3):
        name = row["method"]
        if name not in registry.operations:
            continue
        entry = registry.operations[name]
        for wanted in row["parameters"]:
            parameter = entry.parameters.get(wanted["name"])
            assert parameter is not None, f"{name}: {wanted['name']}"
            assert parameter.required == wanted["required"], f"{name}: {wanted['name']}"
            if not wanted["required"]:
                expected = OTHER_DEFAULTS.get((name, wanted["name"]), wanted["default"])
                assert parameter.default == expected, f"{name}: {wanted['name']}"
        documented = {wanted["name"] for wanted in row["parameters"]}
        for parameter in entry.parameters.values():
            assert parameter.name in documented or not parameter.required, name
        if name == "share_history":
            continue  # "not implemented yet" in the document, which shows no route for it
        shown = row["http"]
        found, in_path = registry.route(shown["verb"], shown["path"])
        assert found is entry, name
        given = {**shown.get("query", {}), **shown.get("body", {}), **in_path}
        textual = shown["verb"] == "GET"
        bound = entry.bind(given, Context(ALICE.owner, textual))
        assert {entry.aliases.get(one, one) for one in given} <= set(bound), name
        if "websocket" in row and (name, "websocket") not in SLIPS:
            assert row["websocket"]["method"] == name
            entry.bind(row["websocket"]["kwargs"], ALICE)
        checked += 1
    assert checked >= 50


def test_older_methods_take_their_parameters_by_name_and_by_position(table: RpcTable) -> None:
    checked = 0
    for row in rows(2) + rows(1):
        name = row["method"]
        if name not in table.methods or (row["generation"] == 1 and is_newer(name)):
            continue
        method = table.methods[name]
        entry = method.operation
        documented = [wanted["name"] for wanted in row["parameters"]]
        for wanted in documented:
            known = wanted in entry.parameters or wanted in entry.aliases or wanted in entry.ignored
            assert known, f"{name}: {wanted}"
        canonical = [entry.aliases.get(wanted, wanted) for wanted in documented]
        by_position = [entry.aliases.get(given, given) for given in method.order]
        assert by_position[: len(canonical)] == canonical, name
        for parameter in entry.parameters.values():
            if parameter.required:
                assert parameter.name in canonical, f"{name}: {parameter.name}"
        checked += 1
    assert checked >= 60


def is_newer(name: str) -> bool:
    """Whether a later document has the method too, and with it the last word."""
    return any(row["method"] == name and row["generation"] > 1 for row in METHODS)


def test_the_first_generation_keeps_its_parameters_where_both_have_a_method(
    table: RpcTable,
) -> None:
    for row in rows(1):
        if row["method"] in table.methods:
            entry = table.methods[row["method"]].operation
            for wanted in row["parameters"]:
                name = wanted["name"]
                assert name in entry.parameters or name in entry.aliases or name in entry.ignored


if SEEDS in os.environ:

    def test_the_table_is_what_the_documents_say() -> None:
        spec = importlib.util.spec_from_file_location("make_methods", HERE / "make_methods.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.read_documents(Path(os.environ[SEEDS])) == METHODS
