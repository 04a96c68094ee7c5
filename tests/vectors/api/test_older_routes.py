"""Routes, spellings and defaults that existing clients use beside the documented ones.

The vectors are facts: verb, path, what is given, the method and values that it must come to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.parameters import Context
from bitdust.api.registry import Registry, build_registry
from bitdust.ids import GlobalID

ROUTES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "older_routes.json").read_text("ascii")
)
ALICE = GlobalID("alice", "server-a.com")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry()


@pytest.mark.parametrize(
    "row", ROUTES, ids=[f"{row['verb']} {row['path']} {row['given']}" for row in ROUTES]
)
def test_the_route_leads_to_its_method(row: dict[str, Any], registry: Registry) -> None:
    found, in_path = registry.route(row["verb"], row["path"])
    assert found.name == row["method"]
    context = Context(ALICE, textual=row["verb"] == "GET")
    given = {key: value for key, value in row["given"].items() if key not in found.from_path}
    bound = found.bind({**in_path, **given}, context)
    for name, wanted in row["bound"].items():
        value = bound[name]
        assert (str(value) if isinstance(value, GlobalID) else value) == wanted, name
