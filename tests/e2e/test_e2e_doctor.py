"""``bitdust doctor`` against running nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from bitdust.cli.testnet import CUSTOMER, Testnet

Bitdust = Callable[..., CompletedProcess[str]]


def examined(bitdust: Bitdust, home: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ended = bitdust("--home", home, "doctor", "--json")
    rows = json.loads(ended.stdout)["result"]
    return ended.returncode, {row["check"]: row for row in rows}


def test_a_healthy_node_and_one_that_lost_suppliers(network: Testnet, bitdust: Bitdust) -> None:
    home = str(network.member(f"{CUSTOMER}-1").home)
    code, found = examined(bitdust, home)
    assert {row["status"] for row in found.values()} <= {"ok", "warning"}, "\n".join(
        f"{r}" for r in found.values() if r["status"] not in ("ok", "warning")
    )
    assert code == 0
    assert found["suppliers"]["status"] == "ok"
    assert found["clock"]["status"] == "ok"
    assert found["services"]["status"] == "ok"

    halted = ["supplier-1", "supplier-2", "supplier-3"]
    for name in halted:
        network.halt(name)
    try:
        ends = time.monotonic() + 60
        while found["suppliers"]["status"] != "problem" and time.monotonic() < ends:
            code, found = examined(bitdust, home)
        assert found["suppliers"]["status"] == "problem"
        assert "1 are connected" in found["suppliers"]["message"]
        assert "supplier-1@" in found["suppliers"]["message"]
        assert code == 1
    finally:
        for name in halted:
            network.resume(name)
