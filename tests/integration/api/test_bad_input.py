"""Whatever is sent to any operation on any interface, the answer names what was wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitdust.api.parameters import Context, InvalidParameters
from bitdust.api.registry import Operation, build_registry
from bitdust.api.rpc import RpcMethod, build_rpc_table
from bitdust.ids import GlobalID

REGISTRY = build_registry()
TABLE = build_rpc_table(REGISTRY)

HARMFUL = frozenset(
    {
        "identity_erase",
        "process_debug",
        "process_restart",
        "process_stop",
        "restart",
        "stop",
        "supplier_change",
        "supplier_replace",
    }
)
"""Operations that are only called with what they must refuse: they end the node, or take long."""

WAITS = {"polling_timeout": 0, "wait_timeout": 0, "wait_listening": False}
"""Given for those who have them, so that nothing waits."""
QUICK = 150
"""Examples of each interface in the quick round, over all operations."""

SHAPED = [
    "master$alice@127.0.0.1_1:cat.png",
    "0/0/1",
    "0/1/F20160424013912PM",
    "alice@127.0.0.1_1",
    "http://127.0.0.1:1/alice.xml",
    "/nonexistent/x",
    "/",
    "//",
    "/..",
    "../../etc/passwd",
    "/" * 4000,
    "services/supplier/donated-space",
    "logs",
    "http://[",
    "$@:",
    "a\x00b",
    "\ud800",
    "٣",
    "1e999",
    "-0",
    "x" * 70_000,
]
NUMBERS = [0, -1, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, -0.0, 1e308, 1e-320]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(NUMBERS)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(SHAPED)
    | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1"))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
) | st.sampled_from([["a"] * 1001, json.loads("[" * 80 + "]" * 80)])


def arguments(entry: Operation[..., Any]) -> st.SearchStrategy[dict[str, Any]]:
    known = [*entry.parameters, *entry.aliases, *entry.ignored]
    names = st.sampled_from(known) if known else st.nothing()
    given_names = names | st.sampled_from(["nonsense", "", "a b", "é", "\x00", "n" * 200])
    drawn = st.dictionaries(given_names, values, max_size=5)
    fixed: dict[str, Any] = {
        name: value for name, value in WAITS.items() if name in entry.parameters
    }
    if entry.name in HARMFUL:
        fixed["harm"] = 1
    return drawn.map(lambda one: {**one, **fixed})


def examples(factor: int = 1) -> Any:
    return settings(
        max_examples=QUICK * factor, deadline=None, suppress_health_check=list(HealthCheck)
    )


def sound(
    envelope: dict[str, Any],
    entry: Operation[..., Any],
    given_: dict[str, Any],
    *,
    textual: bool = False,
) -> None:
    """An envelope with a clear error, which names a parameter when one was at fault."""
    assert envelope["status"] in ("OK", "ERROR")
    if envelope["status"] == "OK":
        return
    assert envelope["errors"]
    assert envelope["code"] != "internal", (entry.name, given_, envelope)
    for line in envelope["errors"]:
        assert line
        assert "Traceback" not in line
    try:
        entry.bind(given_, Context(CONTEXT.owner, textual))
    except InvalidParameters:
        named = {*entry.parameters, *entry.aliases, *map(printable, given_)}
        for line in envelope["errors"]:
            assert _names_one(line, named), (entry.name, line)


def _names_one(line: str, names: Iterable[str]) -> bool:
    """Whether a line of errors begins with a name and a colon; the name may hold one as well."""
    return any(line.startswith(f"{name}: ") for name in names)


CONTEXT = Context(GlobalID("alice", "server-a.com"))


def printable(name: str) -> str:
    return ascii(name[:80])[1:-1] or "''"


OPERATIONS = list(REGISTRY.operations.values())
calls = st.sampled_from(OPERATIONS).flatmap(
    lambda entry: st.tuples(st.just(entry), arguments(entry))
)
METHODS = list(TABLE.methods.values())
rpc_calls = st.sampled_from(METHODS).flatmap(
    lambda method: st.tuples(
        st.just(method), arguments(method.operation) | st.lists(values, max_size=4)
    )
)


def by_http(live: Any, call: tuple[Operation[..., Any], dict[str, Any]]) -> None:
    entry, given_ = call
    for route in entry.routes:
        path = route.path
        if "{" in path:
            continue
        if route.verb == "GET":
            words = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in given_.items()
            }
            query = urlencode(words, errors="surrogatepass")
            if len(query) > 20_000:
                continue
            envelope = live.http("GET", f"{path}?{query}")
            sound(envelope, entry, dict(parse_qsl(query, True)), textual=True)
        else:
            envelope = live.http(route.verb, path, json.dumps(given_).encode())
            sound(envelope, entry, given_)


def by_websocket(live: Any, call: tuple[Operation[..., Any], dict[str, Any]]) -> None:
    entry, given_ = call
    payload = live.websocket(entry.name, given_)
    sound(payload["response"], entry, given_)


def by_rpc(live: Any, call: tuple[RpcMethod, Any]) -> None:
    method, given_ = call
    waits = method.operation.long_poll or "wait_timeout" in method.operation.parameters
    if isinstance(given_, list) and (waits or method.name in HARMFUL):
        return
    answer = live.rpc(method.name, given_)
    if "error" in answer:
        assert answer["error"]["code"] == -32602, (method.name, given_, answer)
        assert ": " in answer["error"]["message"]
        known = {*method.operation.parameters, *method.operation.aliases, "params"}
        for named in (given_, *given_) if isinstance(given_, list) else (given_,):
            if isinstance(named, dict):
                known |= set(map(printable, named))
        for line in answer["error"]["data"]["errors"]:
            assert _names_one(line, known), (method.name, line)
    elif isinstance(answer["result"], dict):
        assert answer["result"].get("code") != "internal", (method.name, given_, answer)


@examples()
@given(calls)
def test_http(live: Any, call: Any) -> None:
    by_http(live, call)


@examples()
@given(calls)
def test_websocket(live: Any, call: Any) -> None:
    by_websocket(live, call)


@examples()
@given(rpc_calls)
def test_rpc(live: Any, call: Any) -> None:
    by_rpc(live, call)


@pytest.mark.slow
@pytest.mark.timeout(600)
@examples(10)
@given(calls, calls, rpc_calls)
def test_all_interfaces_for_long(live: Any, one: Any, other: Any, third: Any) -> None:
    by_http(live, one)
    by_websocket(live, other)
    by_rpc(live, third)


def test_every_parameter_with_every_wrong_value(live: Any) -> None:
    for entry in OPERATIONS:
        fixed: dict[str, Any] = {
            name: value for name, value in WAITS.items() if name in entry.parameters
        }
        if entry.name in HARMFUL:
            fixed["harm"] = 1
        for name in entry.parameters:
            for value in (
                [1],
                {"a": 1},
                10**400,
                "a\x00b",
                "\ud800",
                "/",
                "x" * 70_000,
                True,
                -1,
                0.5,
            ):
                given_ = {**fixed, name: value}
                by_websocket(live, (entry, given_))
        by_websocket(live, (entry, {**fixed, "nonsense": 1}))


def test_bodies_that_are_no_object(live: Any) -> None:
    for body in (b"[]", b"1", b"\xff\x00", b"{" * 5000, b'{"a": NaN}', b'"x"'):
        for path in ("/file/create/v1", "/event/send/v1"):
            envelope = live.http("POST", path, body)
            assert envelope["errors"][0].startswith("invalid json input")
    envelope = live.http("POST", "/event/send/v1", b" " * (1024 * 1024 + 1))
    assert "longer than" in envelope["errors"][0]
    payload = live.websocket("process_health", [1])
    assert payload["errors"] == ["kwargs: must be a JSON object"]
    assert live.http("GET", "/process/health/v1")["status"] == "OK"
