"""The HTTP interface over real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from bitdust.api.registry import Registry
from bitdust.config import Settings
from bitdust.errors import PortInUse, TooFewSuppliers
from bitdust.ids import RemotePath
from bitdust.servers import HttpServer


async def test_health_answers_as_documented(http: Any) -> None:
    envelope = await http.call("GET", "/process/health/v1")
    execution = envelope.pop("execution")
    assert envelope == {"status": "OK"}
    assert len(execution.partition(".")[2]) == 6


async def test_the_body_has_sorted_keys_indentation_and_a_line_end(http: Any) -> None:
    request = (
        f"GET /process/health/v1/ HTTP/1.1\r\nHost: localhost:{http.server.port}\r\n"
        f"api_secret: {http.secret}\r\n\r\n"
    )
    status, headers, body = await http.raw(request.encode())
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers
    text = body.decode()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


DENIED: list[dict[str, str | None]] = [
    {"api_secret": None},
    {"api_secret": ""},
    {"api_secret": "wrong"},
    {"api_secret": "é" * 32},
    {"Host": "evil.example.org"},
    {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"},
    {"Host": "127.0.0.1.evil.org:{port}"},
    {"Host": "0.0.0.0:{port}"},
    {"Origin": "https://evil.example.org"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.org"},
    {"Origin": "http://["},
]


async def test_access_is_denied(http: Any) -> None:
    for headers in DENIED:
        filled = {
            name: value.replace("{port}", str(http.server.port)) if value else value
            for name, value in headers.items()
        }
        for path in ("/process/health/v1", "/no/such/path"):
            envelope = await http.call("GET", path, headers=filled)
            assert envelope["status"] == "ERROR", headers
            assert envelope["errors"] == ["access denied"], headers
            assert envelope["code"] == "access_denied"
            assert http.secret not in json.dumps(envelope)


async def test_access_is_given(http: Any) -> None:
    for host in ("localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"):
        for origin in (None, "http://localhost:3000", "http://127.0.0.1"):
            headers = {"Host": host.replace("{port}", str(http.server.port)), "Origin": origin}
            envelope = await http.call("GET", "/process/health/v1", headers=headers)
            assert envelope["status"] == "OK", headers


async def test_the_secret_may_stand_in_the_query(http: Any) -> None:
    target = f"/event/list/v1?api_secret={http.secret}"
    assert (await http.call("GET", target, headers={"api_secret": None}))["status"] == "OK"


async def test_without_a_secret_everybody_local_may_call(node: Any, registry: Registry) -> None:
    server = HttpServer(node, registry, port=0, secret=None)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET /process/health/v1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert b'"OK"' in await asyncio.wait_for(reader.read(), 10)
        writer.close()
    finally:
        await server.stop()


async def test_only_the_loopback_interface_is_bound(http: Any) -> None:
    sockets = http.server._server.servers[0].sockets
    assert [entry.getsockname()[0] for entry in sockets] == ["127.0.0.1"]


async def test_query_path_and_body_parameters(http: Any, node: Any) -> None:
    path = quote("master$alice@server-a.com:dogs/bobby é.jpeg")
    envelope = await http.call(
        "GET", f"/file/info/v1?remote_path={path}&include_uploads=0&remote_path=second"
    )
    assert envelope["result"] == {"called": "file_info"}
    name, arguments = node.storage.calls[0]
    assert name == "file_info"
    assert arguments == (
        RemotePath.parse("master$alice@server-a.com:dogs/bobby é.jpeg"),
        False,
        True,
    )
    body = b'{"remote_path": "0/1", "local_path": "/tmp/films/"}'
    await http.call("POST", "/file/download/start/v1", body)
    assert node.storage.calls[1][1][1] == "/tmp/films/"
    envelope = await http.call("GET", "/config/get/services/supplier/donated-space/v1")
    assert envelope["result"]["value"] == "8 GB"


async def test_bad_json_is_an_envelope(http: Any) -> None:
    bodies = (b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"key": NaN}', b"null")
    for body in bodies:
        envelope = await http.call("POST", "/config/set/v1", body)
        assert envelope["status"] == "ERROR"
        assert envelope["code"] == "invalid_input"
        assert envelope["errors"][0].startswith("invalid json input")


async def test_an_empty_body_is_an_empty_object(http: Any) -> None:
    envelope = await http.call("POST", "/config/set/v1", b"")
    assert envelope["errors"] == ["key: missing", "value: missing"]


async def test_unknown_parameters_are_named(http: Any) -> None:
    envelope = await http.call("GET", "/file/info/v1?remote_pth=x")
    assert "remote_pth: unknown parameter" in envelope["errors"]
    assert envelope["hint"] == "did you mean remote_path?"


async def test_unknown_routes_and_verbs(http: Any) -> None:
    envelope = await http.call("GET", "/no/such/v1")
    assert envelope["errors"] == ["method GET:/no/such/v1 was not found"]
    envelope = await http.call("DELETE", "/process/health/v1")
    assert envelope["hint"] == "use GET"
    assert (await http.call("OPTIONS", "/process/health/v1"))["status"] == "ERROR"


async def test_a_long_body_is_refused_by_its_declared_and_by_its_real_length(http: Any) -> None:
    envelope = await http.call("POST", "/event/send/v1", headers={"Content-Length": "1048577"})
    assert envelope["errors"] == ["the request is longer than 1048576 bytes"]
    chunk = b"x" * 65536
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for _ in range(17))
    headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    envelope = await http.call("POST", "/event/send/v1", body, headers=headers)
    assert envelope["errors"] == ["the request is longer than 1048576 bytes"]


async def test_a_long_head_is_refused(http: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(b"GET /?" + b"x" * 40_000)  # and its end never comes
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_documented_errors_carry_code_hint_and_retryable(http: Any, node: Any) -> None:
    node.storage.answers["file_info"] = TooFewSuppliers("2 of 4 suppliers are away")
    envelope = await http.call("GET", "/file/info/v1?remote_path=0/1")
    assert envelope["errors"] == ["2 of 4 suppliers are away"]
    assert envelope["code"] == "too_few_suppliers"
    assert envelope["retryable"] is True
    assert "supplier list" in envelope["hint"]


async def test_an_unforeseen_error_gives_an_id_and_no_details(http: Any, node: Any) -> None:
    node.storage.answers["file_info"] = RuntimeError("secret detail")
    envelope = await http.call("GET", "/file/info/v1?remote_path=0/1")
    assert envelope["code"] == "internal"
    assert envelope["errors"] == [f"internal error {envelope['error_id']}"]
    assert "secret detail" not in json.dumps(envelope)


async def test_a_damaged_settings_file_spoils_no_answer(http: Any, node: Any) -> None:
    node.settings = Settings(node.home)
    path = node.home / "config" / "logs" / "api-enabled"
    path.parent.mkdir(parents=True)
    path.write_text("perhaps")
    envelope = await http.call("GET", "/process/health/v1")
    assert envelope["code"] == "damaged_settings"
    assert str(path) in envelope["errors"][0]


async def test_an_error_outside_of_operations_is_an_envelope_too(
    http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.server._registry, "route", lambda verb, path: 1 / 0)
    assert (await http.call("GET", "/process/health/v1"))["code"] == "internal"


async def test_an_answer_that_is_not_json_is_an_internal_error(http: Any, node: Any) -> None:
    node.storage.answers["file_info"] = {"bad": object()}
    assert (await http.call("GET", "/file/info/v1?remote_path=0/1"))["code"] == "internal"


async def test_names_that_are_no_unicode_and_large_answers(http: Any, node: Any) -> None:
    rows = [{"path": f"caf\udce9 {n}"} for n in range(2000)]
    node.storage.answers["files_list"] = (rows, 1, False)
    envelope = await http.call("GET", "/file/list/v1")
    assert envelope["result"][7] == {"path": "caf\udce9 7"}


async def test_stopping_answers_first(http: Any, node: Any) -> None:
    assert (await http.call("GET", "/process/stop/v1?instant=1"))["status"] == "OK"
    assert node.stops == [False]
    assert (await http.call("GET", "/process/restart/v1"))["result"] == {"restarted": True}
    assert node.stops == [False, True]


async def test_the_debugger_needs_a_terminal(http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert (await http.call("GET", "/process/debug/v1"))["code"] == "access_denied"


async def test_a_taken_port_is_reported(http: Any, node: Any, registry: Registry) -> None:
    second = HttpServer(node, registry, port=http.server.port, secret=None)
    with pytest.raises(PortInUse) as caught:
        await second.start()
    assert str(http.server.port) in caught.value.message
    assert "interface/api/rest-http-port" in caught.value.hint
    await second.stop()


async def test_events_by_long_polling(http: Any, node: Any) -> None:
    listening = asyncio.create_task(http.call("GET", "/event/listen/hook/v1"))
    while not node.consumers._waiting:
        await asyncio.sleep(0)
    sent = await http.call("POST", "/event/send/client-event-abc/v1", b'{"data": {"k": "v"}}')
    assert sent["result"]["event_id"] == "client-event-abc"
    envelope = await listening
    assert [(e["id"], e["data"]) for e in envelope["result"]] == [("client-event-abc", {"k": "v"})]
    await http.call("POST", "/event/send/second/v1")
    envelope = await http.call("GET", "/event/listen/hook/v1")
    assert [event["id"] for event in envelope["result"]] == ["second"]
    envelope = await http.call("GET", "/event/listen/hook/v1?polling_timeout=0")
    assert envelope["result"] == []
    counts = (await http.call("GET", "/event/list/v1"))["result"]
    assert counts == {"client-event-abc": 1, "second": 1}


async def test_a_poll_whose_caller_went_away_collects_nothing(http: Any, node: Any) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(
        f"GET /event/listen/hook/v1 HTTP/1.1\r\nHost: 127.0.0.1:{http.server.port}\r\n"
        f"api_secret: {http.secret}\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        while not node.consumers._waiting:
            await asyncio.sleep(0)
        writer.close()
        while node.consumers._waiting:
            await asyncio.sleep(0)
    node.events.publish("kept")
    envelope = await http.call("GET", "/event/listen/hook/v1")
    assert [event["id"] for event in envelope["result"]] == ["kept"]


async def test_stopping_ends_waiting_polls_at_once(node: Any, registry: Registry) -> None:
    server = HttpServer(node, registry, port=0, secret=None)
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET /event/listen/hook/v1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        while not node.consumers._waiting:
            await asyncio.sleep(0)
        await server.stop()
    writer.close()
    assert not node.consumers._waiting


async def test_bad_event_names_and_data(http: Any) -> None:
    for target, body in (
        ("/event/send/Bad%20Name/v1", b"{}"),
        ("/event/send/" + "x" * 65 + "/v1", b"{}"),
        ("/event/send/fine/v1", b'{"data": [1]}'),
    ):
        envelope = await http.call("POST", target, body)
        assert envelope["code"] == "invalid_input"
