"""The description of the HTTP interface: valid, complete, and true of a running node."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bitdust.api.openapi import describe
from bitdust.api.registry import build_registry

REGISTRY = build_registry()

UNSAFE = (
    "identity_erase",
    "process_debug",
    "process_restart",
    "process_stop",
    "supplier_change",
    "event_listen",
    "message_receive",
    "network_connected",
)
"""Operations that end the node, or wait."""


@pytest.fixture(scope="module")
def description(live: Any) -> dict[str, Any]:
    return dict(live.http("GET", "/openapi.json"))


def test_every_route_of_every_operation_is_described(description: dict[str, Any]) -> None:
    assert description["openapi"] == "3.1.0"
    wanted = {
        (route.path.replace(":path}", "}"), route.verb.lower(), entry.name)
        for entry in REGISTRY.operations.values()
        for route in entry.routes
    }
    found = {
        (path, verb, shown["x-method"])
        for path, verbs in description["paths"].items()
        for verb, shown in verbs.items()
        if "x-method" in shown
    }
    assert found == wanted
    assert description["paths"]["/rpc"]["post"]["operationId"] == "rpc"


def test_every_parameter_is_described(description: dict[str, Any]) -> None:
    for path, verbs in description["paths"].items():
        for verb, shown in verbs.items():
            if "x-method" not in shown:
                continue
            entry = REGISTRY.operations[shown["x-method"]]
            rows = {row["name"]: row for row in shown.get("parameters", [])}
            body = shown.get("requestBody", {}).get("content", {}).get("application/json", {})
            fields = body.get("schema", {}).get("properties", {})
            assert {*rows, *fields} == set(entry.parameters), (verb, path)
            assert not set(rows) & set(fields)
            for name, parameter in entry.parameters.items():
                assert (rows.get(name) or fields[name])["description"], (path, name)
                if name in rows and rows[name]["in"] == "path":
                    assert rows[name]["required"]
                elif name in rows:
                    assert rows[name]["required"] == parameter.required
                else:
                    assert (name in body["schema"].get("required", [])) == parameter.required


def test_operation_ids_are_unique(description: dict[str, Any]) -> None:
    names = [
        shown["operationId"] for verbs in description["paths"].values() for shown in verbs.values()
    ]
    assert len(names) == len(set(names))


def test_the_description_asks_for_the_secret(live: Any) -> None:
    served = live.http("GET", "/openapi.json")
    assert served == json.loads(json.dumps(describe(REGISTRY, port=live.http_port)))
    refused = type(live)(live.home, live.pid, "wrong", live.http_port, live.ws_port, live.client)
    assert refused.http("GET", "/openapi.json")["errors"] == ["access denied"]


if importlib.util.find_spec("openapi_spec_validator"):

    def test_the_description_is_valid(description: dict[str, Any]) -> None:
        from openapi_spec_validator import OpenAPIV31SpecValidator, validate

        validate(description, cls=OpenAPIV31SpecValidator)  # type: ignore[arg-type]


if importlib.util.find_spec("schemathesis"):

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    def test_the_node_answers_as_described(live: Any, tmp_path: Path) -> None:
        words = [sys.executable, "-m", "schemathesis.cli", "run"]
        words += [f"http://127.0.0.1:{live.http_port}/openapi.json"]
        words += ["-H", f"api_secret: {live.secret}", "--max-examples", "20", "--no-color"]
        words += ["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all"]
        words += ["--checks", "not_a_server_error,status_code_conformance"]
        words[-1] += ",content_type_conformance,response_schema_conformance"
        words += ["--exclude-operation-id-regex", rf"^({'|'.join(UNSAFE)})(_\d+)?$"]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=800, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
