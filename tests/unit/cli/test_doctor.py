"""The doctor: its verdicts, and what it finds in a home where nothing runs."""

from __future__ import annotations

import email.utils
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli import doctor_checks as checks
from bitdust.cli.doctor import examine
from bitdust.cli.main import run
from bitdust.client import Client
from bitdust.config import Settings

GiB = 1024**3


def by_name(verdicts: list[checks.Verdict]) -> dict[str, checks.Verdict]:
    return {verdict.check: verdict for verdict in verdicts}


@pytest.mark.parametrize(
    ("skews", "status"),
    [
        ([], "skipped"),
        ([1.0], "ok"),
        ([-299.0], "ok"),
        ([7200.0], "problem"),
        ([-7200.0, -7201.0, 3.0], "problem"),
        ([90000.0, 1.0, 2.0], "ok"),
    ],
)
def test_clock(skews: list[float], status: str) -> None:
    assert checks.judge_clock(skews).status == status


@pytest.mark.parametrize(
    ("free", "donated", "used", "status"),
    [
        (100 * GiB, 8 * GiB, 0, "ok"),
        (4 * GiB, 8 * GiB, 0, "warning"),
        (4 * GiB, 8 * GiB, 5 * GiB, "ok"),
        (GiB // 2, 0, 0, "warning"),
        (1000, 0, 0, "problem"),
    ],
)
def test_disk(free: int, donated: int, used: int, status: str) -> None:
    verdict = checks.judge_disk(free, donated, used)
    assert verdict.status == status
    assert bool(verdict.advice) == (status != "ok")


@pytest.mark.parametrize(
    ("online", "away", "wanted", "status"),
    [(4, 0, 4, "ok"), (2, 2, 4, "warning"), (1, 3, 4, "problem"), (2, 0, 4, "warning")],
)
def test_suppliers(online: int, away: int, wanted: int, status: str) -> None:
    rows = [{"contact_state": "CONNECTED", "global_id": f"on{n}@x"} for n in range(online)]
    rows += [{"contact_state": "OFFLINE", "global_id": f"off{n}@x"} for n in range(away)]
    verdict = checks.judge_suppliers(rows, wanted)
    assert verdict.status == status
    assert ("off0@x" in verdict.message) == bool(away)
    assert checks.judge_suppliers(None, wanted).status == "skipped"


@pytest.mark.parametrize(
    ("shares", "status"),
    [(["100%", "100%"], "ok"), (["100%", "75%"], "warning"), (["25%", "75%"], "problem")],
)
def test_redundancy(shares: list[str], status: str) -> None:
    rows = [{"remote_path": f"p{n}", "versions": [{"reliable": s}]} for n, s in enumerate(shares)]
    assert checks.judge_redundancy(rows).status == status
    assert checks.judge_redundancy([]).status == "ok"
    assert checks.judge_redundancy(None).status == "skipped"


def service(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "enabled": True, "reason": "", **more}


def test_services() -> None:
    on = service("service_network", "ON")
    assert checks.judge_services([on]).status == "ok"
    off = service("service_supplier", "OFF", enabled=False)
    waits = service("service_employer", "DEPENDS_OFF")
    unborn = service("service_gateway", "OFF", reason="this node has no identity yet")
    assert checks.judge_services([on, off, waits, unborn]).status == "ok"
    failed = service("service_supplier", "OFF", reason="the disk is full")
    verdict = checks.judge_services([on, failed])
    assert verdict.status == "problem"
    assert "the disk is full" in verdict.message
    assert "service_supplier" in verdict.advice


def test_network_and_dht() -> None:
    assert checks.judge_dht(None).status == "skipped"
    assert checks.judge_dht({"contacts": 0}).status == "problem"
    assert checks.judge_dht({"contacts": 5, "udp_port": 1}).status == "ok"
    assert checks.judge_network(None).status == "skipped"
    assert checks.judge_network([]).status == "warning"
    row = {"global_id": "a@x", "state": "CONNECTED"}
    assert checks.judge_network([row]).status == "ok"
    assert checks.judge_identity(None).status == "problem"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = Settings(tmp_path)
    for key in (
        "interface/api/rest-http-port",
        "interface/api/web-socket-port",
        "services/tcp-connections/tcp-port",
        "services/entangled-dht/udp-port",
    ):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            settings.set(key, probe.getsockname()[1])
    return tmp_path


class _WrongClock(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", email.utils.formatdate(time.time() + 86400, usegmt=True))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def wrong_clock() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _WrongClock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_home_where_nothing_runs(home: Path, wrong_clock: str) -> None:
    settings = Settings(home)
    settings.set("services/identity-propagate/known-servers", f"{wrong_clock}, 127.0.0.1:1")
    found = by_name(examine(home, settings, Client(home)))
    assert found["daemon"].status == "problem"
    assert "bitdust daemon" in found["daemon"].advice
    assert found["ports"].status == "ok"
    assert found["clock"].status == "problem"
    assert "behind" in found["clock"].message

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.get_int("services/tcp-connections/tcp-port")))
        taken.listen()
        found = by_name(examine(home, settings, Client(home)))
    assert found["ports"].status == "problem"
    assert "services/tcp-connections/tcp-port" in found["ports"].message


def test_damaged_settings_are_all_that_is_said(home: Path) -> None:
    path = home / "config" / "services" / "supplier" / "donated-space"
    path.parent.mkdir(parents=True)
    path.write_text("a lot")
    (verdict,) = examine(home, Settings(home), Client(home))
    assert verdict.status == "problem"
    assert str(path) in verdict.message


def test_the_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "doctor", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["result"]
    assert {"check", "status", "message", "advice"} == rows[0].keys()
    assert run(["--home", str(home), "doctor"]) == 1
    shown = capsys.readouterr().out
    assert "PROBLEM" in shown
    assert "-> start it with `bitdust daemon`" in shown


def test_a_home_that_is_not_there(tmp_path: Path) -> None:
    home = tmp_path / "nowhere"
    (verdict,) = examine(home, Settings(home), Client(home))
    assert (verdict.check, verdict.status) == ("home", checks.PROBLEM)
    assert "bitdust init" in verdict.advice
